/* Against loops. The classic penalties look at single tokens. DRY ("don't repeat yourself") looks
 * at sequences: it finds what followed earlier occurrences of the text's last tokens and makes it
 * the less likely the longer the sequence was, so that a name may come again but a sentence may
 * not. Matches are found with the Z algorithm over the reversed timeline, in linear time (Gusfield
 * 1997, section 1.4). */
#include "infer/repeat.h"

#include <math.h>
#include <string.h>

/* Keskar et al. 2019: what was said lately becomes less likely, whatever the logit's sign. */
static void penalise_repetition(hg_choices *c, const hg_sampling *o, const hg_past *past)
{
    const float p = o->repetition_penalty;
    const size_t n = past->n, w = o->repeat_window < n ? o->repeat_window : n;
    if (p == 1.0f) return;
    for (size_t i = n - w; i < n; i++) {
        if (c->count[past->ids[i]]++ != 0) continue;
        const float x = c->x[past->ids[i]];
        hg_choices_set(c, past->ids[i], x > 0.0f ? x / p : x * p);
    }
    for (size_t i = n - w; i < n; i++) c->count[past->ids[i]] = 0;
}

/* OpenAI's: a fixed price for having been said in the answer, and one for each time. */
static void penalise_answer(hg_choices *c, const hg_sampling *o, const hg_past *past)
{
    const float presence = o->presence_penalty, frequency = o->frequency_penalty;
    if (presence == 0.0f && frequency == 0.0f) return;
    for (size_t i = past->n_prompt; i < past->n; i++) {
        float x = c->x[past->ids[i]];
        if (c->count[past->ids[i]]++ == 0) x -= presence;
        hg_choices_set(c, past->ids[i], x - frequency);
    }
    for (size_t i = past->n_prompt; i < past->n; i++) c->count[past->ids[i]] = 0;
}

void hg_penalise(hg_choices *c, const hg_sampling *o, const hg_past *past)
{
    const bool nothing = o->repetition_penalty == 1.0f && o->presence_penalty == 0.0f &&
                         o->frequency_penalty == 0.0f;
    if (nothing || past->n == 0) return;
    hg_choices_open(c);
    penalise_repetition(c, o, past);
    penalise_answer(c, o, past);
    hg_choices_close(c);
}

/* ---- DRY ---- */

/* The i-th last token. */
static int32_t back(const hg_past *past, size_t i)
{
    return past->ids[past->n - 1 - i];
}

static bool holds(hg_bytes text, const char *part, size_t n)
{
    return text.n >= n && memmem(text.p, text.n, part, n) != NULL;
}

/* Whether a breaker ends inside the i-th last token: looked for in its bytes and as many before it
 * as the breaker may have begun in. */
static bool breaks_at(const hg_past *past, size_t i, const char *breaker, size_t n)
{
    char text[2 * HG_MAX_BREAKER_BYTES];
    size_t held = 0;
    const hg_bytes last = hg_tokenizer_piece(past->tok, back(past, i), true);
    if (holds(last, breaker, n)) return true;
    if (n < 2 || last.n == 0) return false;
    /* The end of what comes before goes to the end of the first half, its beginning in front. */
    for (size_t j = i + 1; held < n - 1 && j < past->n; j++) {
        const hg_bytes p = hg_tokenizer_piece(past->tok, back(past, j), true);
        const size_t take = p.n < n - 1 - held ? p.n : n - 1 - held;
        if (take > 0) memcpy(text + HG_MAX_BREAKER_BYTES - held - take, p.p + p.n - take, take);
        held += take;
    }
    const size_t more = last.n < n - 1 ? last.n : n - 1;
    memcpy(text + HG_MAX_BREAKER_BYTES, last.p, more);
    return holds((hg_bytes){text + HG_MAX_BREAKER_BYTES - held, held + more}, breaker, n);
}

/* Tokens behind the last breaker, `most` at the most: no repetition is counted longer. */
static size_t since_breaker(const hg_sampling *o, const hg_past *past, size_t most)
{
    if (past->tok == NULL) return most;
    for (size_t i = 0; i < most; i++)
        for (size_t b = 0; b < o->n_dry_breakers; b++)
            if (breaks_at(past, i, o->dry_breakers[b], strlen(o->dry_breakers[b]))) return i;
    return most;
}

static bool holds_breaker(const hg_sampling *o, const hg_past *past, int32_t id)
{
    if (past->tok == NULL) return false;
    const hg_bytes piece = hg_tokenizer_piece(past->tok, id, true);
    for (size_t b = 0; b < o->n_dry_breakers; b++)
        if (holds(piece, o->dry_breakers[b], strlen(o->dry_breakers[b]))) return true;
    return false;
}

/* z[k]: how many of the last tokens also end k tokens earlier, within the last w. */
static void find_matches(const hg_past *past, size_t w, int32_t *z)
{
    size_t left = 0, right = 0; /* the match that reaches furthest is [left, right) */
    z[0] = (int32_t)w;
    for (size_t k = 1; k < w; k++) {
        size_t n = 0;
        if (k < right) {
            n = (size_t)z[k - left];
            if (n > right - k) n = right - k;
        }
        while (k + n < w && back(past, n) == back(past, k + n)) n++;
        z[k] = (int32_t)n;
        if (k + n > right) {
            left = k;
            right = k + n;
        }
    }
}

/* The longest repetition that each token would go on stands in c->count while this runs. */
static void apply_matches(hg_choices *c, const hg_sampling *o, const hg_past *past, size_t w,
                          size_t most)
{
    hg_choices_open(c);
    for (size_t k = 1; k < w; k++) {
        const size_t n = (size_t)c->match[k] < most ? (size_t)c->match[k] : most;
        uint32_t *longest = &c->count[back(past, k - 1)];
        if (n >= o->dry_length && n > 0 && n > *longest) *longest = (uint32_t)n;
    }
    for (size_t k = 1; k < w; k++) {
        const int32_t id = back(past, k - 1);
        const uint32_t n = c->count[id];
        if (n == 0) continue;
        c->count[id] = 0;
        if (holds_breaker(o, past, id)) continue;
        const double price =
            (double)o->dry_multiplier * pow((double)o->dry_base, n - o->dry_length);
        hg_choices_set(c, id, c->x[id] - (price < 1e30 ? (float)price : 1e30f));
    }
    hg_choices_close(c);
}

hg_status hg_penalise_dry(hg_choices *c, const hg_sampling *o, const hg_past *past, hg_err *e)
{
    size_t w = past->n;
    if (o->dry_window > 0 && o->dry_window < w) w = o->dry_window;
    if (o->dry_multiplier == 0.0f || w <= o->dry_length) return HG_OK;
    const size_t most = since_breaker(o, past, w);
    if (most < o->dry_length) return HG_OK;
    HG_TRY(hg_grow(&c->match, &c->match_cap, w, sizeof *c->match, e));
    find_matches(past, w, c->match);
    apply_matches(c, o, past, w, most);
    return HG_OK;
}
