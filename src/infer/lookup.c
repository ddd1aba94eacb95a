/* Prompt lookup (Saxena 2023; Yang et al. 2023, "Inference with Reference"): summaries, rewritten
 * code and quotations say again what stands in the prompt, so the continuation of an earlier
 * occurrence of the last tokens is a guess that costs nothing. Occurrences of the last pair are
 * found through a hash and a chain; of those looked at, the one that agrees with most of the text
 * before it is taken, the latest of equals. Where the last pair is new, a word was changed in what
 * is being said again: then the text is believed to go on near the place where guesses were read
 * before. */
#include "infer/lookup.h"

#include <string.h>

enum {
    NEAR = 6,       /* tokens between where the text should go on and where it does */
    LOOKED_AT = 32, /* occurrences, the latest first */
    AGREE_MOST = 32 /* tokens: more makes a guess no better */
};

hg_status hg_lookup_begin(hg_lookup *l, size_t n_ctx, hg_err *e)
{
    if (l->n_ctx < n_ctx) {
        hg_lookup_free(l);
        l->bits = 8;
        while (l->bits < 24 && ((size_t)1 << l->bits) < n_ctx) l->bits++;
        l->ids = hg_alloc(n_ctx, sizeof *l->ids);
        l->prev = hg_alloc(n_ctx, sizeof *l->prev);
        l->last = hg_alloc((size_t)1 << l->bits, sizeof *l->last);
        if (l->ids == NULL || l->prev == NULL || l->last == NULL) {
            hg_lookup_free(l);
            return hg_fail(e, HG_E_NOMEM, "no room to look up guesses in %zu tokens", n_ctx);
        }
        l->n_ctx = n_ctx;
    }
    l->n = l->behind = 0;
    memset(l->last, 0xff, sizeof *l->last << l->bits);
    return HG_OK;
}

void hg_lookup_free(hg_lookup *l)
{
    hg_free(l->ids);
    hg_free(l->prev);
    hg_free(l->last);
    *l = (hg_lookup){0};
}

/* Of the pair that ends at `at`. */
static size_t hash_at(const hg_lookup *l, size_t at)
{
    const uint64_t pair = (uint64_t)(uint32_t)l->ids[at - 1] << 32 | (uint32_t)l->ids[at];
    return (size_t)(pair * 0x9E3779B97F4A7C15u >> (64 - l->bits));
}

void hg_lookup_put(hg_lookup *l, int32_t id)
{
    if (l->n == l->n_ctx) return;
    const size_t at = l->n++;
    l->ids[at] = id;
    l->prev[at] = -1;
    if (at == 0) return;
    int32_t *last = &l->last[hash_at(l, at)];
    l->prev[at] = *last;
    *last = (int32_t)at;
}

/* How many tokens that end at `at` are the text's last ones too. */
static size_t agree(const hg_lookup *l, size_t at)
{
    size_t n = 0;
    while (n <= at && n < AGREE_MOST && l->ids[at - n] == l->ids[l->n - 1 - n]) n++;
    return n;
}

/* The place behind the text's last token near where it should stand if the text goes on with what
 * it said again before; 0 when it stands nowhere near. */
static size_t near_before(const hg_lookup *l)
{
    const int32_t id = l->ids[l->n - 1];
    if (l->behind == 0 || l->behind > l->n) return 0;
    const size_t at = l->n - l->behind; /* where the next token should stand */
    for (size_t d = 0; d <= NEAR; d++) {
        if (at + d < l->n && at + d > 0 && l->ids[at + d - 1] == id) return at + d;
        if (at > d && l->ids[at - d - 1] == id) return at - d;
    }
    return 0;
}

size_t hg_lookup_guess(hg_lookup *l, size_t most, int32_t *guess)
{
    size_t best = 1, from = 0, n = 0;
    if (l->n < 3) return 0;
    int32_t at = l->prev[l->n - 1];
    for (int i = 0; at >= 0 && i < LOOKED_AT && best < AGREE_MOST; i++, at = l->prev[at]) {
        const size_t length = agree(l, (size_t)at);
        if (length <= best) continue;
        best = length;
        from = (size_t)at + 1;
    }
    if (best < 2) from = near_before(l);
    if (from == 0) return 0;
    l->behind = l->n - from;
    /* Behind the text's end a repetition goes on with what was just guessed. */
    for (; n < most; n++) guess[n] = from + n < l->n ? l->ids[from + n] : guess[from + n - l->n];
    return n;
}
