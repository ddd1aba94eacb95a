/* A tokenizer from text: words are cut and counted, pairs are merged, and what comes out is put
 * together as a tokenizer. Special tokens come first, then the 256 bytes in GPT-2's order, then the
 * merges' tokens as they were made. */
#include "token/train.h"
#include <string.h>

enum { MAX_SPECIAL = 1024, MAX_WORD = 1024 };

struct hg_trainer {
    hg_tokenizer_options o;
    hg_splitter *splitter;
    hg_split_scratch *scratch;
    hg_word_counts words;
    uint64_t n_documents, n_bytes, n_words;
    uint64_t n_counted_bytes; /* of words that take part in merging */
};

static const hg_split gpt2 = {.pattern = hg_pattern_gpt2};

void hg_tokenizer_options_init(hg_tokenizer_options *o)
{
    static const char *const special[] = {"<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|pad|>"};
    *o = (hg_tokenizer_options){.n_vocab = 8192,
                                .special = special,
                                .n_special = sizeof special / sizeof special[0],
                                .max_bytes = (uint64_t)1 << 30};
}

static hg_status check(const hg_tokenizer_options *o, hg_err *e)
{
    if (o->n_special > MAX_SPECIAL)
        return hg_fail(e, HG_E_ARG, "%zu special tokens; at most %d allowed", o->n_special,
                       MAX_SPECIAL);
    for (size_t i = 0; i < o->n_special; i++) {
        size_t n = strlen(o->special[i]);
        /* One byte is what every text may hold: it would never be text again. */
        if (n < 2 || n > HG_MAX_TOKEN_BYTES)
            return hg_fail(e, HG_E_ARG, "special token %zu has %zu bytes; 2 to %d allowed", i + 1,
                           n, HG_MAX_TOKEN_BYTES);
        for (size_t k = 0; k < i; k++)
            if (strcmp(o->special[k], o->special[i]) == 0)
                return hg_fail(e, HG_E_ARG, "special token %.60s is there twice", o->special[i]);
    }
    if (o->n_vocab < 257 + o->n_special || o->n_vocab > HG_MAX_TOKENS)
        return hg_fail(e, HG_E_ARG,
                       "a vocabulary of %u tokens; %zu (256 bytes, %zu special tokens, one merge) "
                       "to %d allowed",
                       o->n_vocab, 257 + o->n_special, o->n_special, HG_MAX_TOKENS);
    return HG_OK;
}

hg_status hg_trainer_new(hg_trainer **out, const hg_tokenizer_options *o, hg_err *e)
{
    *out = NULL;
    HG_TRY(check(o, e));
    hg_trainer *tr = hg_alloc(1, sizeof *tr);
    if (tr == NULL) return hg_fail(e, HG_E_NOMEM, "no room to train a tokenizer");
    tr->o = *o;
    tr->scratch = hg_split_scratch_new();
    hg_status s = tr->scratch != NULL ? hg_splitter_new(&tr->splitter, &gpt2, 1, false, e)
                                      : hg_fail(e, HG_E_NOMEM, "no room to train a tokenizer");
    if (s != HG_OK) {
        hg_trainer_free(tr);
        return s;
    }
    *out = tr;
    return HG_OK;
}

void hg_trainer_free(hg_trainer *tr)
{
    if (tr == NULL) return;
    hg_splitter_free(tr->splitter);
    hg_split_scratch_free(tr->scratch);
    hg_strings_free(&tr->words.words);
    hg_free(tr->words.count);
    hg_free(tr);
}

/* Very long words (base64, a page of dashes) teach nothing and would cost a scan for every merge.
 */
static hg_status count_word(void *ctx, const char *p, size_t n, size_t room, hg_err *e)
{
    (void)room;
    hg_trainer *tr = ctx;
    hg_word_counts *w = &tr->words;
    uint32_t i;
    size_t before = w->words.n;
    tr->n_words++;
    if (n > MAX_WORD) return HG_OK;
    HG_TRY(hg_strings_put(&w->words, p, n, &i, e));
    if (i == before) {
        HG_TRY(hg_grow(&w->count, &w->count_cap, i, sizeof *w->count, e));
        w->count[i] = 0;
    }
    w->count[i]++;
    tr->n_counted_bytes += n;
    return HG_OK;
}

static size_t whole_utf8(hg_bytes s)
{
    size_t i = 0, len;
    uint32_t cp;
    while (i < s.n && (len = hg_token_utf8(s.p + i, s.n - i, &cp)) > 0) i += len;
    return i;
}

hg_status hg_trainer_add(hg_trainer *tr, hg_bytes document, hg_err *e)
{
    size_t n = whole_utf8(document);
    if (n < document.n) return hg_fail(e, HG_E_FORMAT, "a document is no UTF-8 at byte %zu", n);
    tr->n_documents++;
    tr->n_bytes += n;
    if (n == 0) return HG_OK;
    return hg_splitter_run(tr->splitter, tr->scratch, document.p, n, true, count_word, tr, e);
}

/* ---- from merges to a tokenizer ---- */

typedef struct assembly {
    hg_arena mem;
    hg_bytes *token, *merge;
    uint8_t *flags;
    hg_token_parts parts;
} assembly;

static hg_status show(hg_arena *mem, hg_buf *b, hg_bytes *out, hg_err *e)
{
    HG_TRY(hg_buf_status(b, e));
    const char *p = hg_arena_strndup(mem, b->p, b->n);
    if (p == NULL) return hg_fail(e, HG_E_NOMEM, "no room for the vocabulary");
    *out = (hg_bytes){p, b->n};
    hg_buf_clear(b);
    return HG_OK;
}

static void put_token(hg_buf *b, const hg_merged *m, uint32_t i)
{
    hg_bytes s = hg_strings_get(&m->tokens, i);
    hg_token_show(b, s.p, s.n);
}

static hg_status fill(assembly *a, const hg_merged *m, const hg_tokenizer_options *o, hg_buf *b,
                      hg_err *e)
{
    for (size_t i = 0; i < o->n_special; i++) {
        a->token[i] = (hg_bytes){o->special[i], strlen(o->special[i])};
        a->flags[i] = HG_TOKEN_ADDED | HG_TOKEN_SPECIAL;
    }
    for (size_t i = 0; i < m->tokens.n; i++) {
        put_token(b, m, (uint32_t)i);
        HG_TRY(show(&a->mem, b, &a->token[o->n_special + i], e));
    }
    for (size_t i = 0; i < m->n_merges; i++) {
        put_token(b, m, m->merge[i].left);
        hg_buf_putc(b, ' ');
        put_token(b, m, m->merge[i].right);
        HG_TRY(show(&a->mem, b, &a->merge[i], e));
    }
    return HG_OK;
}

static hg_status assemble(assembly *a, const hg_merged *m, const hg_tokenizer_options *o, hg_err *e)
{
    hg_buf b = {0};
    size_t n = m->tokens.n + o->n_special;
    a->token = HG_NEW(&a->mem, hg_bytes, n);
    a->flags = HG_NEW(&a->mem, uint8_t, n);
    a->merge = HG_NEW(&a->mem, hg_bytes, m->n_merges);
    if (a->token == NULL || a->flags == NULL || a->merge == NULL)
        return hg_fail(e, HG_E_NOMEM, "no room for a vocabulary of %zu tokens", n);
    hg_status s = fill(a, m, o, &b, e);
    hg_buf_free(&b);
    a->parts = (hg_token_parts){.token = a->token,
                                .flags = a->flags,
                                .n = n,
                                .merge = a->merge,
                                .n_merges = m->n_merges,
                                .split = &gpt2,
                                .n_splits = 1,
                                .unk = -1,
                                .bos = -1,
                                .eos = -1};
    return s;
}

static void fill_stats(const hg_trainer *tr, const hg_merged *m, hg_tokenizer_stats *s)
{
    *s = (hg_tokenizer_stats){.n_documents = tr->n_documents,
                              .n_bytes = tr->n_bytes,
                              .n_words = tr->n_words,
                              .n_unique_words = tr->words.words.n,
                              .n_vocab = (uint32_t)(m->tokens.n + tr->o.n_special),
                              .n_merges = (uint32_t)m->n_merges};
    if (m->n_tokens > 0) s->bytes_per_token = (double)tr->n_counted_bytes / (double)m->n_tokens;
}

hg_status hg_trainer_finish(hg_trainer *tr, hg_tokenizer **out, hg_tokenizer_stats *stats,
                            const hg_watch *w, hg_err *e)
{
    hg_merged m;
    assembly a = {0};
    *out = NULL;
    HG_TRY(hg_merge_words(&m, &tr->words, tr->o.n_vocab - tr->o.n_special, w, e));
    hg_arena_init(&a.mem, 0);
    hg_status s = assemble(&a, &m, &tr->o, e);
    if (s == HG_OK) s = hg_tokenizer_from_parts(out, &a.parts, e);
    if (s == HG_OK && stats != NULL) fill_stats(tr, &m, stats);
    hg_arena_free(&a.mem);
    hg_merged_free(&m);
    return s;
}
