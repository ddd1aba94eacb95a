/* The tokenizer in a GGUF's metadata, read and written. Names and meanings follow llama.cpp, so
 * that its tools open what is exported here and give the same ids. */
#include "model/gguf_meta.h"
#include "model/inner.h"
#include "token/token.h"
#include <stdio.h>
#include <string.h>

/* llama.cpp's kinds of tokens. */
enum {
    KIND_NORMAL = 1,
    KIND_UNKNOWN = 2,
    KIND_CONTROL = 3,
    KIND_USER = 4,
    KIND_UNUSED = 5,
    KIND_BYTE = 6
};

/* ---- reading ---- */

/* A tokenizer while it is read. */
typedef struct draft {
    const hg_gguf *g;
    hg_arena mem;
    hg_bytes *token;
    uint8_t *flags;
    hg_normal normal[4];
    hg_token_parts p;
} draft;

static bool is_text(hg_bytes s, const char *text)
{
    return s.n == strlen(text) && memcmp(s.p, text, s.n) == 0;
}

static hg_status read_kinds(draft *d, hg_err *e)
{
    const hg_gguf_kv *kv = hg_gguf_find(d->g, "tokenizer.ggml.token_type");
    if (kv == NULL) return HG_OK;
    if (kv->type != GGUF_ARRAY || kv->item != GGUF_I32 || kv->n != d->p.n)
        return hg_fail(e, HG_E_FORMAT, "tokenizer.ggml.token_type is no list of %zu int32", d->p.n);
    for (size_t i = 0; i < d->p.n; i++) {
        int32_t kind;
        memcpy(&kind, kv->p + 4 * i, 4);
        if (kind == KIND_CONTROL || (kind == KIND_UNKNOWN && d->p.is_text))
            d->flags[i] = HG_TOKEN_ADDED | HG_TOKEN_SPECIAL;
        if (kind == KIND_USER) d->flags[i] = HG_TOKEN_ADDED;
        if (kind == KIND_BYTE) d->p.byte_fallback = true;
        if (kind == KIND_UNUSED && !d->p.is_text) d->token[i] = (hg_bytes){"", 0};
    }
    return HG_OK;
}

static hg_status read_tokens(draft *d, hg_err *e)
{
    HG_TRY(hg_gguf_strings(d->g, "tokenizer.ggml.tokens", HG_MAX_TOKENS, &d->mem, &d->token,
                           &d->p.n, e));
    if (d->token == NULL) return hg_fail(e, HG_E_FORMAT, "its tokenizer has no tokens");
    d->flags = HG_NEW(&d->mem, uint8_t, d->p.n);
    if (d->flags == NULL) return hg_fail(e, HG_E_NOMEM, "no room for a tokenizer");
    HG_TRY(read_kinds(d, e));
    while (d->p.n > 0 && d->token[d->p.n - 1].n == 0)
        d->p.n--; /* rows of the embedding beyond the vocabulary */
    d->p.token = d->token;
    d->p.flags = d->flags;
    return HG_OK;
}

/* The ids that are put around a text, when the file says so or, saying nothing, means so. */
static hg_status read_around(draft *d, int32_t bos, int32_t eos, bool add_bos, bool add_eos,
                             hg_err *e)
{
    HG_TRY(hg_gguf_bool(d->g, "tokenizer.ggml.add_bos_token", &add_bos, e));
    HG_TRY(hg_gguf_bool(d->g, "tokenizer.ggml.add_eos_token", &add_eos, e));
    if (hg_gguf_find(d->g, "tokenizer.ggml.bos_token_id") != NULL)
        HG_TRY(hg_gguf_id(d->g, "tokenizer.ggml.bos_token_id", &bos, e));
    if (hg_gguf_find(d->g, "tokenizer.ggml.eos_token_id") != NULL)
        HG_TRY(hg_gguf_id(d->g, "tokenizer.ggml.eos_token_id", &eos, e));
    if (add_bos && bos >= 0 && (size_t)bos < d->p.n) d->p.bos = bos;
    if (add_eos && eos >= 0 && (size_t)eos < d->p.n) d->p.eos = eos;
    return HG_OK;
}

/* "gpt2": byte-level BPE. */
static hg_status read_bpe(draft *d, hg_err *e)
{
    hg_bytes *merge = NULL, pre = {"gpt-2", 5};
    HG_TRY(read_tokens(d, e));
    HG_TRY(hg_gguf_strings(d->g, "tokenizer.ggml.merges", HG_MAX_MERGES, &d->mem, &merge,
                           &d->p.n_merges, e));
    HG_TRY(hg_gguf_text(d->g, "tokenizer.ggml.pre", &pre, e));
    if (merge == NULL) return hg_fail(e, HG_E_FORMAT, "its tokenizer has no merges");
    char *name = hg_arena_strndup(&d->mem, pre.p, pre.n);
    if (name == NULL) return hg_fail(e, HG_E_NOMEM, "no room for a tokenizer");
    d->p.merge = merge;
    d->p.split = hg_splits_find(name, &d->p.n_splits, &d->p.ignore_merges);
    if (d->p.split == NULL)
        return hg_fail(e, HG_E_UNSUPPORTED, "pre-tokenisation \"%.64s\" is not known", name);
    HG_TRY(hg_gguf_bool(d->g, "tokenizer.ggml.add_space_prefix", &d->p.add_prefix_space, e));
    return read_around(d, -1, -1, d->p.ignore_merges, false, e);
}

static hg_status read_scores(draft *d, hg_err *e)
{
    const hg_gguf_kv *kv = hg_gguf_find(d->g, "tokenizer.ggml.scores");
    if (kv == NULL || kv->type != GGUF_ARRAY || kv->item != GGUF_F32 || kv->n < d->p.n)
        return hg_fail(e, HG_E_FORMAT, "tokenizer.ggml.scores is no list of %zu float32", d->p.n);
    double *score = HG_NEW_RAW(&d->mem, double, d->p.n);
    if (score == NULL) return hg_fail(e, HG_E_NOMEM, "no room for a tokenizer");
    for (size_t i = 0; i < d->p.n; i++) {
        float f;
        memcpy(&f, kv->p + 4 * i, 4);
        score[i] = (double)f;
    }
    d->p.score = score;
    return HG_OK;
}

/* SentencePiece's kinds: "llama" is BPE by score, "t5" unigram. */
static hg_status read_sentencepiece(draft *d, bool is_unigram, hg_err *e)
{
    const hg_gguf_kv *map = hg_gguf_find(d->g, "tokenizer.ggml.precompiled_charsmap");
    bool prefix = true, one_space = false;
    hg_bytes charsmap = {"", 0};
    d->p.model = is_unigram ? HG_TOKEN_UNIGRAM : HG_TOKEN_SCORES;
    d->p.is_text = d->p.fuse_unk = d->p.meta_is_space = true;
    d->p.raw_bytes = !is_unigram;
    HG_TRY(read_tokens(d, e));
    HG_TRY(read_scores(d, e));
    d->p.unk = is_unigram ? 2 : 0;
    if (hg_gguf_find(d->g, "tokenizer.ggml.unknown_token_id") != NULL)
        HG_TRY(hg_gguf_id(d->g, "tokenizer.ggml.unknown_token_id", &d->p.unk, e));
    HG_TRY(hg_gguf_bool(d->g, "tokenizer.ggml.add_space_prefix", &prefix, e));
    HG_TRY(hg_gguf_bool(d->g, "tokenizer.ggml.remove_extra_whitespaces", &one_space, e));
    if (is_unigram && map != NULL && map->type == GGUF_ARRAY &&
        (map->item == GGUF_I8 || map->item == GGUF_U8))
        charsmap = (hg_bytes){(const char *)map->p, (size_t)map->n};
    d->p.normal = d->normal;
    d->p.n_normal = hg_spm_steps(d->normal, charsmap, is_unigram && one_space, prefix, true);
    d->p.drop_space = prefix;
    return is_unigram ? read_around(d, -1, 1, false, true, e)
                      : read_around(d, 1, 2, true, false, e);
}

hg_status hg_gguf_tokenizer(const hg_gguf *g, hg_tokenizer **out, hg_err *e)
{
    hg_bytes kind = {NULL, 0};
    draft d = {.g = g};
    hg_status s;
    *out = NULL;
    HG_TRY(hg_gguf_text(g, "tokenizer.ggml.model", &kind, e));
    if (kind.p == NULL || is_text(kind, "none") || is_text(kind, "no_vocab")) return HG_OK;
    hg_arena_init(&d.mem, 0);
    hg_token_parts_init(&d.p);
    if (is_text(kind, "gpt2"))
        s = read_bpe(&d, e);
    else if (is_text(kind, "llama") || is_text(kind, "t5"))
        s = read_sentencepiece(&d, is_text(kind, "t5"), e);
    else
        s = hg_fail(e, HG_E_UNSUPPORTED,
                    "its tokenizer is of kind \"%.*s\"; Higgins reads \"gpt2\" (byte-level BPE), "
                    "\"llama\" and \"t5\" (SentencePiece's BPE and unigram)",
                    (int)(kind.n < 32 ? kind.n : 32), kind.p);
    if (s == HG_OK) s = hg_tokenizer_from_parts(out, &d.p, e);
    hg_arena_free(&d.mem);
    return s;
}

/* ---- writing ---- */

/* Tokens and their kinds. The list is as long as the embedding; rows without a token get a name
 * that no text has. */
static unsigned kind_of(const hg_token_parts *p, size_t i)
{
    if (i >= p->n || p->token[i].n == 0) return KIND_UNUSED;
    if (p->is_text && (int32_t)i == p->unk) return KIND_UNKNOWN;
    if ((p->flags[i] & HG_TOKEN_SPECIAL) != 0) return KIND_CONTROL;
    if ((p->flags[i] & HG_TOKEN_ADDED) != 0) return KIND_USER;
    bool is_byte = p->byte_fallback && p->token[i].n == 6 && memcmp(p->token[i].p, "<0x", 3) == 0;
    return is_byte ? KIND_BYTE : KIND_NORMAL;
}

/* A symbol that people defined is looked for in the text as it comes, where a space is a space. */
static void put_symbol(hg_meta *m, const hg_token_parts *p, hg_bytes s)
{
    size_t n_signs = 0;
    for (size_t i = 0; p->meta_is_space && i + 3 <= s.n; i++)
        n_signs += memcmp(s.p + i, HG_META, 3) == 0;
    hg_meta_put(m->b, s.n - 2 * n_signs, 8);
    for (size_t i = 0; i < s.n;) {
        bool sign = p->meta_is_space && s.n - i >= 3 && memcmp(s.p + i, HG_META, 3) == 0;
        hg_buf_putc(m->b, sign ? ' ' : s.p[i]);
        i += sign ? 3 : 1;
    }
}

static void put_tokens(hg_meta *m, const hg_token_parts *p, size_t n_vocab)
{
    hg_meta_array(m, "tokenizer.ggml.tokens", GGUF_STRING, n_vocab);
    for (size_t i = 0; i < n_vocab; i++) {
        char unused[32];
        (void)snprintf(unused, sizeof unused, "[UNUSED%zu]", i);
        if (i < p->n && kind_of(p, i) == KIND_USER)
            put_symbol(m, p, p->token[i]);
        else if (i < p->n && p->token[i].n > 0)
            hg_meta_string(m->b, p->token[i].p, p->token[i].n);
        else
            hg_meta_string(m->b, unused, strlen(unused));
    }
    hg_meta_array(m, "tokenizer.ggml.token_type", GGUF_I32, n_vocab);
    for (size_t i = 0; i < n_vocab; i++) hg_meta_put(m->b, kind_of(p, i), 4);
}

typedef struct merge_list {
    hg_meta *m;
    bool has_head;
} merge_list;

static void put_merge(void *ctx, hg_bytes merge, size_t n)
{
    merge_list *l = ctx;
    if (!l->has_head) hg_meta_array(l->m, "tokenizer.ggml.merges", GGUF_STRING, n);
    l->has_head = true;
    hg_meta_string(l->m->b, merge.p, merge.n);
}

/* "gpt2": byte-level BPE. */
static hg_status put_bpe(hg_meta *m, const hg_tokenizer *t, size_t n_vocab, hg_err *e)
{
    const hg_token_parts *p = hg_tokenizer_parts(t);
    merge_list l = {m, false};
    char pre[64];
    if (p->n_normal > 0 && !(p->n_normal == 1 && p->normal[0].kind == HG_NORMAL_NFC))
        return hg_fail(e, HG_E_UNSUPPORTED,
                       "GGUF has no place for this tokenizer's normalisation of text");
    if (hg_splits_name(p->split, p->n_splits, p->ignore_merges, pre, sizeof pre) == 0)
        return hg_fail(e, HG_E_UNSUPPORTED,
                       "GGUF has no name for this tokenizer's way of splitting text into words");
    hg_meta_text(m, "tokenizer.ggml.model", "gpt2");
    hg_meta_text(m, "tokenizer.ggml.pre", pre);
    put_tokens(m, p, n_vocab);
    HG_TRY(hg_token_each_merge(t, put_merge, &l, e));
    if (!l.has_head) hg_meta_array(m, "tokenizer.ggml.merges", GGUF_STRING, 0);
    hg_meta_bool(m, "tokenizer.ggml.add_space_prefix", p->add_prefix_space);
    return HG_OK;
}

/* What llama.cpp knows of SentencePiece's normalisation. */
typedef struct spaces {
    hg_bytes charsmap;
    bool one, prefix;
} spaces;

static bool takes_spaces(const hg_normal *st)
{
    return st->kind == HG_NORMAL_SPACES ||
           (st->kind == HG_NORMAL_REPLACE && st->is_pattern &&
            (strcmp(st->from, " {2,}") == 0 || strstr(st->from, "^ +") == st->from));
}

/* False when the tokenizer does something that llama.cpp does not. */
static bool describe_spaces(const hg_tokenizer *t, spaces *s)
{
    const hg_token_parts *p = hg_tokenizer_parts(t);
    bool to_sign = false;
    *s = (spaces){.charsmap = {"", 0}};
    for (size_t i = 0; i < p->n_normal; i++) {
        const hg_normal *st = &p->normal[i];
        if (st->kind == HG_NORMAL_CHARSMAP)
            s->charsmap = st->map;
        else if (takes_spaces(st) || (st->kind == HG_NORMAL_STRIP && s->charsmap.n > 0))
            s->one = true;
        else if (st->kind == HG_NORMAL_PREPEND && strcmp(st->to, HG_META) == 0)
            s->prefix = true;
        else if (st->kind == HG_NORMAL_REPLACE && strcmp(st->from, " ") == 0 &&
                 strcmp(st->to, HG_META) == 0)
            to_sign = true;
        else
            return false;
    }
    for (size_t i = 0; i < p->n_splits; i++) {
        const hg_split *split = &p->split[i];
        if (split->keep == HG_METASPACE && (!split->cut || hg_tokenizer_can_cut(t))) {
            to_sign = true;
            s->prefix = split->prepend != HG_PREPEND_NEVER;
        } else if (split->keep == HG_KEEP_GAPS && strcmp(split->pattern, "\\s+") == 0 &&
                   s->charsmap.n > 0) {
            s->one = true;
        } else {
            return false;
        }
    }
    return to_sign;
}

/* By the place of the first merge that makes it: the earlier, the higher. */
typedef struct scoring {
    const hg_tokenizer *t;
    float *score;
    size_t at;
} scoring;

static void score_merge(void *ctx, hg_bytes merge, size_t n)
{
    scoring *s = ctx;
    char both[2 * HG_MAX_TOKEN_BYTES];
    const char *gap = memchr(merge.p, ' ', merge.n);
    (void)n;
    s->at++;
    if (gap == NULL || merge.n > sizeof both) return;
    size_t left = (size_t)(gap - merge.p);
    memcpy(both, merge.p, left);
    memcpy(both + left, gap + 1, merge.n - left - 1);
    int32_t id = hg_tokenizer_find(s->t, (hg_bytes){both, merge.n - 1});
    if (id >= 0 && s->score[id] == 0.0F) s->score[id] = -(float)s->at;
}

static hg_status put_scores(hg_meta *m, const hg_tokenizer *t, size_t n_vocab, hg_err *e)
{
    const hg_token_parts *p = hg_tokenizer_parts(t);
    scoring s = {.t = t, .score = hg_alloc(n_vocab, sizeof(float))};
    if (s.score == NULL) return hg_fail(e, HG_E_NOMEM, "no room for %zu scores", n_vocab);
    for (size_t i = 0; i < p->n && p->score != NULL; i++) s.score[i] = (float)p->score[i];
    hg_status status =
        p->model == HG_TOKEN_MERGES ? hg_token_each_merge(t, score_merge, &s, e) : HG_OK;
    hg_meta_array(m, "tokenizer.ggml.scores", GGUF_F32, n_vocab);
    for (size_t i = 0; i < n_vocab; i++) {
        uint32_t bits;
        memcpy(&bits, &s.score[i], 4);
        hg_meta_put(m->b, bits, 4);
    }
    hg_free(s.score);
    return status;
}

/* "llama" and "t5": SentencePiece's BPE and unigram. */
static hg_status put_sentencepiece(hg_meta *m, const hg_tokenizer *t, size_t n_vocab, hg_err *e)
{
    const hg_token_parts *p = hg_tokenizer_parts(t);
    bool is_unigram = p->model == HG_TOKEN_UNIGRAM;
    spaces s;
    if (!describe_spaces(t, &s) || (!is_unigram && (s.one || s.charsmap.n > 0)))
        return hg_fail(e, HG_E_UNSUPPORTED,
                       "GGUF has no way to say how this tokenizer changes text before it looks for "
                       "tokens");
    hg_meta_text(m, "tokenizer.ggml.model", is_unigram ? "t5" : "llama");
    hg_meta_text(m, "tokenizer.ggml.pre", "default");
    put_tokens(m, p, n_vocab);
    HG_TRY(put_scores(m, t, n_vocab, e));
    if (p->unk >= 0) hg_meta_u32(m, "tokenizer.ggml.unknown_token_id", (uint32_t)p->unk);
    hg_meta_bool(m, "tokenizer.ggml.add_space_prefix", s.prefix);
    hg_meta_bool(m, "tokenizer.ggml.remove_extra_whitespaces", s.one);
    if (s.charsmap.n == 0) return HG_OK;
    hg_meta_array(m, "tokenizer.ggml.precompiled_charsmap", GGUF_U8, s.charsmap.n);
    hg_buf_put(m->b, s.charsmap.p, s.charsmap.n);
    return HG_OK;
}

static void put_id(hg_meta *m, const char *key, int32_t id)
{
    if (id >= 0) hg_meta_u32(m, key, (uint32_t)id);
}

hg_status hg_gguf_put_tokenizer(hg_meta *m, const hg_model *model, hg_err *e)
{
    const hg_model_config *c = &model->c;
    if (model->tokenizer == NULL) {
        hg_meta_text(m, "tokenizer.ggml.model", "none");
        return HG_OK;
    }
    const hg_token_parts *p = hg_tokenizer_parts(model->tokenizer);
    if (p->n > c->n_vocab)
        return hg_fail(e, HG_E_UNSUPPORTED,
                       "the tokenizer has %zu tokens and the model %u; GGUF needs as many", p->n,
                       c->n_vocab);
    HG_TRY(p->is_text ? put_sentencepiece(m, model->tokenizer, c->n_vocab, e)
                      : put_bpe(m, model->tokenizer, c->n_vocab, e));
    put_id(m, "tokenizer.ggml.bos_token_id", c->bos_id);
    put_id(m, "tokenizer.ggml.eos_token_id", c->eos_id);
    put_id(m, "tokenizer.ggml.padding_token_id", c->pad_id);
    const int32_t turn = hg_chat_end_id(model->tokenizer);
    int32_t third = hg_tokenizer_special(model->tokenizer, "<|eom_id|>");
    for (uint32_t i = 0; third < 0 && i < c->n_ends; i++)
        if (c->end_id[i] != turn) third = c->end_id[i];
    put_id(m, "tokenizer.ggml.eot_token_id", turn);
    put_id(m, "tokenizer.ggml.eom_token_id", third);
    hg_meta_bool(m, "tokenizer.ggml.add_bos_token", p->bos >= 0);
    hg_meta_bool(m, "tokenizer.ggml.add_eos_token", p->eos >= 0);
    if (model->chat_template != NULL)
        hg_meta_text(m, "tokenizer.chat_template", model->chat_template);
    return HG_OK;
}
