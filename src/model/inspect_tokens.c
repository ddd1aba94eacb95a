/* Samples of a vocabulary, by which people see at a glance what a tokenizer is made of: its special
 * tokens, those that were added, the first ones, the longest, and some taken at random (always the
 * same ones). */
#include "model/inspect.h"
#include "base/rng.h"
#include "text/utf8.h"
#include "token/token.h"
#include <string.h>

enum { MAX_SPECIAL = 96, N_FIRST = 32, N_LONGEST = 24, N_RANDOM = 64, SHOWN = 64 };

typedef struct sampler {
    hg_inspection *in;
    const hg_tokenizer *t;
    const hg_token_parts *p;
    hg_token_info *token;
    size_t n, cap;
} sampler;

/* Room for `cap` tokens of one kind. */
static hg_status begin(sampler *s, size_t cap, hg_err *e)
{
    s->token = HG_NEW(&s->in->mem, hg_token_info, cap);
    s->n = 0;
    s->cap = cap;
    return s->token != NULL ? HG_OK : hg_fail(e, HG_E_NOMEM, "no room for samples of tokens");
}

static hg_status put(sampler *s, int32_t id, hg_err *e)
{
    hg_bytes piece = hg_tokenizer_piece(s->t, id, true);
    hg_bytes shown = {piece.p, piece.n < SHOWN ? piece.n : SHOWN};
    hg_buf b = {0};
    if (s->n == s->cap) return HG_OK;
    if (shown.n < piece.n) shown.n -= hg_utf8_cut(shown);
    hg_text_visible(&b, shown, true);
    if (shown.n < piece.n) hg_buf_printf(&b, "... (%zu bytes)", piece.n);
    const char *text = b.failed ? NULL : hg_arena_strndup(&s->in->mem, b.n > 0 ? b.p : "", b.n);
    hg_buf_free(&b);
    if (text == NULL) return hg_fail(e, HG_E_NOMEM, "no room for samples of tokens");
    s->token[s->n++] = (hg_token_info){id, text};
    return HG_OK;
}

static void end(sampler *s, size_t i, const char *kind, size_t n_all)
{
    s->in->info.sample[i] =
        (hg_token_sample){.kind = kind, .n_all = (uint32_t)n_all, .token = s->token, .n = s->n};
}

static bool is_byte(const sampler *s, size_t id)
{
    if (s->p->is_text)
        return s->p->byte_fallback && s->p->token[id].n == 6 &&
               memcmp(s->p->token[id].p, "<0x", 3) == 0;
    return hg_tokenizer_piece(s->t, (int32_t)id, true).n == 1;
}

static bool is_plain(const sampler *s, size_t id)
{
    return s->p->token[id].n > 0 && s->p->flags[id] == 0 && !is_byte(s, id);
}

/* Special tokens, or those that were added and are not. */
static hg_status take_added(sampler *s, size_t place, bool special, hg_err *e)
{
    size_t n_all = 0;
    HG_TRY(begin(s, MAX_SPECIAL, e));
    for (size_t i = 0; i < s->p->n; i++) {
        if ((s->p->flags[i] & HG_TOKEN_ADDED) == 0 ||
            ((s->p->flags[i] & HG_TOKEN_SPECIAL) != 0) != special)
            continue;
        n_all++;
        HG_TRY(put(s, (int32_t)i, e));
    }
    end(s, place, special ? "special" : "added", n_all);
    return HG_OK;
}

static hg_status take_first(sampler *s, size_t place, size_t *n_plain, hg_err *e)
{
    size_t n_all = 0;
    HG_TRY(begin(s, N_FIRST, e));
    for (size_t i = 0; i < s->p->n; i++) {
        if (!is_plain(s, i)) continue;
        n_all++;
        HG_TRY(put(s, (int32_t)i, e));
    }
    end(s, place, "first", n_all);
    *n_plain = n_all;
    return HG_OK;
}

static size_t length_of(const sampler *s, int32_t id)
{
    return hg_tokenizer_piece(s->t, id, true).n;
}

/* Kept sorted, the longest first; of the same length the first id. */
static hg_status take_longest(sampler *s, size_t place, size_t n_plain, hg_err *e)
{
    int32_t best[N_LONGEST];
    size_t n = 0;
    for (size_t i = 0; i < s->p->n; i++) {
        if (!is_plain(s, i)) continue;
        size_t length = length_of(s, (int32_t)i), k = n;
        while (k > 0 && length_of(s, best[k - 1]) < length) k--;
        if (k == N_LONGEST) continue;
        if (n < N_LONGEST) n++;
        memmove(best + k + 1, best + k, (n - 1 - k) * sizeof best[0]);
        best[k] = (int32_t)i;
    }
    HG_TRY(begin(s, N_LONGEST, e));
    for (size_t k = 0; k < n; k++) HG_TRY(put(s, best[k], e));
    end(s, place, "longest", n_plain);
    return HG_OK;
}

static hg_status take_random(sampler *s, size_t place, size_t n_plain, hg_err *e)
{
    HG_TRY(begin(s, N_RANDOM, e));
    for (size_t i = 0; i < s->p->n && s->n < s->cap; i++) {
        size_t id = (size_t)hg_permute(i, s->p->n, 1);
        if (is_plain(s, id)) HG_TRY(put(s, (int32_t)id, e));
    }
    end(s, place, "random", n_plain);
    return HG_OK;
}

hg_status hg_inspect_tokens(hg_inspection *in, hg_err *e)
{
    const hg_token_parts *p = hg_tokenizer_parts(in->tokenizer);
    sampler s = {.in = in, .t = in->tokenizer, .p = p};
    size_t n_plain = 0;
    in->info.n_tokens = hg_tokenizer_count(in->tokenizer);
    in->info.tokenizer = p->model == HG_TOKEN_UNIGRAM ? "SentencePiece unigram"
                         : p->is_text                 ? "SentencePiece BPE"
                                                      : "byte-level BPE";
    for (size_t i = 0; i < p->n; i++) {
        if (p->token[i].n == 0)
            in->info.n_unused_tokens++;
        else if ((p->flags[i] & HG_TOKEN_ADDED) == 0 && is_byte(&s, i))
            in->info.n_byte_tokens++;
    }
    HG_TRY(take_added(&s, 0, true, e));
    HG_TRY(take_added(&s, 1, false, e));
    HG_TRY(take_first(&s, 2, &n_plain, e));
    HG_TRY(take_longest(&s, 3, n_plain, e));
    return take_random(&s, 4, n_plain, e);
}
