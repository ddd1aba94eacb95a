/* See mismatch.h. The lines are shuffled and each takes the answer of the next one that is not of
 * its own prompt, so that nearly every answer is taken once. Prompt and answer are put together as
 * ids: an answer begins with its first token that is learnt, and before that the template has
 * written the same for any. */
#include "train/mismatch.h"
#include "base/hash.h"
#include "base/rng.h"
#include <string.h>

/* Tokens before the answer. */
static size_t n_given(const hg_packed *p, const hg_packed_chat *c)
{
    size_t n = 1;
    while (n < c->n && !(p->mask.weight[c->at + n] > 0)) n++;
    return n;
}

static bool are_same(const int32_t *a, size_t n_a, const int32_t *b, size_t n_b)
{
    return n_a == n_b && memcmp(a, b, n_a * sizeof *a) == 0;
}

static bool has_same_prompt(const hg_packed *p, const hg_packed_chat *a, const hg_packed_chat *b)
{
    return are_same(p->ids.id + a->at, n_given(p, a), p->ids.id + b->at, n_given(p, b));
}

static bool has_same_answer(const hg_packed *p, const hg_packed_chat *a, const hg_packed_chat *b)
{
    const size_t i = n_given(p, a), k = n_given(p, b);
    return are_same(p->ids.id + a->at + i, a->n - i, p->ids.id + b->at + k, b->n - k);
}

/* The line whose answer the line at x->order[place] gets. */
static size_t choose(const hg_mismatch *x, const hg_packed *p, const size_t *lines, size_t n_lines,
                     size_t place)
{
    const hg_packed_chat *mine = &p->chat[lines[x->order[place]]];
    size_t second = n_lines;
    for (size_t d = 1; d < n_lines; d++) {
        const size_t i = x->order[(place + d) % n_lines];
        const hg_packed_chat *c = &p->chat[lines[i]];
        if (c == mine) continue;
        if (!has_same_prompt(p, mine, c)) return i;
        if (second == n_lines && !has_same_answer(p, mine, c)) second = i;
    }
    return second;
}

static hg_status make_room(hg_mismatch *x, size_t n_lines, size_t n_rows, hg_err *e)
{
    if (n_lines > x->cap_lines) {
        hg_free(x->from);
        hg_free(x->order);
        x->from = hg_alloc(n_lines, sizeof *x->from);
        x->order = hg_alloc(n_lines, sizeof *x->order);
        x->cap_lines = x->from != NULL && x->order != NULL ? n_lines : 0;
        if (x->cap_lines == 0) return hg_fail(e, HG_E_NOMEM, "no room for %zu answers", n_lines);
    }
    if (n_rows <= x->cap) return HG_OK;
    size_t n = 0;
    hg_free(x->ids);
    hg_free(x->targets);
    hg_free(x->begins);
    x->ids = x->targets = NULL;
    x->begins = NULL;
    x->cap = 0;
    if (!hg_mul(n_rows, x->source.seq_len, &n))
        return hg_fail(e, HG_E_LIMIT, "a batch of more tokens than fit");
    x->ids = hg_alloc(n, sizeof *x->ids);
    x->targets = hg_alloc(n, sizeof *x->targets);
    x->begins = hg_alloc(n, sizeof *x->begins);
    if (x->ids == NULL || x->targets == NULL || x->begins == NULL)
        return hg_fail(e, HG_E_NOMEM, "no room for %zu answers", n_lines);
    x->cap = n_rows;
    return HG_OK;
}

static size_t length_of(const hg_packed *p, const hg_packed_chat *prompt,
                        const hg_packed_chat *answer)
{
    const size_t n = n_given(p, prompt) + answer->n - n_given(p, answer);
    return n < p->max_tokens ? n : p->max_tokens;
}

/* One timeline of n tokens at `at` of the rows. */
static void put(hg_mismatch *x, const hg_packed *p, const hg_packed_chat *prompt,
                const hg_packed_chat *answer, size_t at, size_t n)
{
    const size_t first = n_given(p, prompt), other = n_given(p, answer);
    x->begins[at] = 1;
    if ((at + n) % x->source.seq_len > 0) x->begins[at + n] = 1; /* padding, or the next one */
    for (size_t t = 0; t < n; t++) {
        const size_t from = t < first ? prompt->at + t : answer->at + other + (t - first);
        const bool is_learnt = t >= first && p->mask.weight[from] > 0;
        x->ids[at + t] = p->ids.id[from];
        if (is_learnt) x->targets[at + t - 1] = p->ids.id[from];
    }
}

/* Rows that the pairs take, one behind the other; with `puts` they are filled in. */
static size_t lay_out(hg_mismatch *x, const hg_packed *p, const size_t *lines, size_t n_lines,
                      bool puts)
{
    const size_t len = x->source.seq_len;
    size_t row = 0, used = len;
    x->n = 0;
    for (size_t i = 0; i < n_lines; i++) {
        if (x->from[i] == n_lines) continue;
        const hg_packed_chat *prompt = &p->chat[lines[i]], *answer = &p->chat[lines[x->from[i]]];
        const size_t n = length_of(p, prompt, answer);
        if (used + n > len) {
            row++;
            used = 0;
        }
        if (puts) put(x, p, prompt, answer, (row - 1) * len + used, n);
        used += n;
        x->n++;
    }
    return row;
}

/* What is left of a row is padding: timelines that nobody looks at, none longer than the model
 * reads. */
static void pad(hg_mismatch *x, size_t max_tokens)
{
    const size_t len = x->source.seq_len, n = x->source.n_val_rows * len;
    memset(x->ids, 0, n * sizeof *x->ids);
    memset(x->begins, 0, n);
    for (size_t t = 0; t < n; t++) {
        x->targets[t] = -1;
        x->begins[t] = t % len % max_tokens == 0;
    }
}

static void mismatched_row(const hg_source *source, bool held_out, uint64_t i, int32_t *ids,
                           int32_t *targets, uint8_t *begins)
{
    const hg_mismatch *x = (const hg_mismatch *)(const void *)source;
    const size_t len = source->seq_len, at = (size_t)i * len;
    (void)held_out;
    memcpy(ids, x->ids + at, len * sizeof *ids);
    memcpy(targets, x->targets + at, len * sizeof *targets);
    memcpy(begins, x->begins + at, len);
}

hg_status hg_mismatch_make(hg_mismatch *x, const hg_packed *data, const size_t *lines,
                           size_t n_lines, uint64_t seed, uint64_t position, hg_err *e)
{
    const uint64_t of[] = {seed, position, n_lines};
    const uint64_t key = hg_hash64(of, sizeof of, 0x6b746f); /* "kto" */
    x->source = (hg_source){.seq_len = data->source.seq_len, .row = mismatched_row};
    HG_TRY(make_room(x, n_lines, 0, e));
    for (size_t i = 0; i < n_lines; i++) x->order[i] = (size_t)hg_permute(i, n_lines, key);
    for (size_t i = 0; i < n_lines; i++) x->from[x->order[i]] = choose(x, data, lines, n_lines, i);
    x->source.n_val_rows = lay_out(x, data, lines, n_lines, false);
    HG_TRY(make_room(x, n_lines, (size_t)x->source.n_val_rows, e));
    pad(x, data->max_tokens);
    (void)lay_out(x, data, lines, n_lines, true);
    return HG_OK;
}

void hg_mismatch_free(hg_mismatch *x)
{
    hg_free(x->ids);
    hg_free(x->targets);
    hg_free(x->begins);
    hg_free(x->from);
    hg_free(x->order);
    memset(x, 0, sizeof *x);
}
