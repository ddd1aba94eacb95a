/* See reward.h. */
#include "train/reward.h"
#include "text/json.h"
#include <higgins/grammar.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { JSON_LIMIT = 1 << 20, NUMBER_LIMIT = 64 };

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static hg_bytes trimmed(hg_bytes b)
{
    while (b.n > 0 && is_space(b.p[0])) b.p++, b.n--;
    while (b.n > 0 && is_space(b.p[b.n - 1])) b.n--;
    return b;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Whether the comma at i stands before thousands: three digits and no more. */
static bool is_thousands(hg_bytes b, size_t i)
{
    size_t n = 0;
    while (n < 4 && i + 1 + n < b.n && is_digit(b.p[i + 1 + n])) n++;
    return n == 3;
}

/* The number that begins at p, with commas between thousands left out; how long it is, or 0. */
static size_t number_at(hg_bytes b, size_t at, double *value)
{
    char text[NUMBER_LIMIT + 1];
    size_t i = at, n = 0;
    if (b.p[i] == '-') text[n++] = b.p[i++];
    if (i >= b.n || !is_digit(b.p[i])) return 0;
    for (bool point = false; i < b.n && n < NUMBER_LIMIT; i++) {
        bool goes_on = i + 1 < b.n && is_digit(b.p[i + 1]);
        if (b.p[i] == ',' && !point && is_thousands(b, i)) continue;
        if (b.p[i] == '.' && goes_on && !point)
            point = true;
        else if (!is_digit(b.p[i]))
            break;
        text[n++] = b.p[i];
    }
    text[n] = '\0';
    *value = strtod(text, NULL);
    return i - at;
}

/* A minus sign that follows a digit subtracts. */
static bool last_number(hg_bytes b, double *value)
{
    bool found = false;
    for (size_t i = 0; i < b.n;) {
        bool subtracts = b.p[i] == '-' && i > 0 && is_digit(b.p[i - 1]);
        size_t n = subtracts ? 0 : number_at(b, i, value);
        found = found || n > 0;
        i += n > 0 ? n : 1;
    }
    return found;
}

static hg_status by_number(const hg_answer *a, double *value, hg_err *e)
{
    double want = 0, got = 0;
    if (!last_number(a->expected, &want))
        return hg_fail(e, HG_E_FORMAT, "reward: the answer \"%.*s\" of a task holds no number",
                       (int)(a->expected.n < 80 ? a->expected.n : 80), a->expected.p);
    bool found = last_number(a->text, &got);
    *value = found && fabs(got - want) <= 1e-9 * fmax(1, fabs(want));
    return HG_OK;
}

static hg_status by_json(const hg_answer *a, double *value, hg_err *e)
{
    json_t *got = NULL, *want = NULL;
    hg_err inner = {0};
    hg_status s = HG_OK;
    if (a->expected.n > 0 && hg_json_parse(&want, a->expected, JSON_LIMIT, &inner) != HG_OK)
        return hg_fail(e, HG_E_FORMAT, "reward: the answer of a task is not JSON: %s", inner.msg);
    bool valid = hg_json_parse(&got, trimmed(a->text), JSON_LIMIT, &inner) == HG_OK;
    *value = valid && (want == NULL || json_equal(got, want));
    json_decref(got);
    json_decref(want);
    return s;
}

static hg_status by_regex(const hg_answer *a, double *value, hg_err *e)
{
    hg_grammar *g = NULL;
    bool yes = false;
    HG_TRY(hg_grammar_from_regex(&g, a->expected, e));
    hg_status s = hg_grammar_accepts(g, trimmed(a->text), &yes, e);
    hg_grammar_free(g);
    *value = yes;
    return s;
}

static bool is_same(hg_bytes a, hg_bytes b)
{
    return a.n == b.n && memcmp(a.p, b.p, a.n) == 0;
}

hg_status hg_reward_of(const hg_recipe *r, const hg_answer *a, hg_reward *out, hg_err *e)
{
    *out = (hg_reward){.value = 0};
    switch ((hg_reward_kind)r->reward) {
    case HG_REWARD_EXACT:
        out->value = is_same(trimmed(a->text), trimmed(a->expected));
        return HG_OK;
    case HG_REWARD_NUMBER:
        return by_number(a, &out->value, e);
    case HG_REWARD_JSON:
        return by_json(a, &out->value, e);
    case HG_REWARD_REGEX:
        return by_regex(a, &out->value, e);
    case HG_REWARD_PROGRAM:
        break;
    }
    out->failed = !hg_checker_run(r->checker.item, r->checker.n, a, r->checker_seconds,
                                  r->checker_mb, &out->value, &out->why);
    return HG_OK;
}

hg_status hg_reward_check(const hg_recipe *r, hg_bytes expected, hg_err *e)
{
    hg_reward none;
    const hg_answer a = {.prompt = {"", 0}, .text = {"", 0}, .expected = expected};
    return r->reward == HG_REWARD_PROGRAM ? HG_OK : hg_reward_of(r, &a, &none, e);
}
