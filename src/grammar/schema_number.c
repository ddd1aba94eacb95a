/* Numbers within bounds: decimals are compared digit by digit, which a regular expression can do.
 * What is below one bound and above the other is an intersection. A number with bounds is written
 * without an exponent. */
#include "grammar/schema.h"

#include <string.h>

enum { MAX_DIGITS = 400 };

/* A bound without its sign: digits before the point (no leading zeros but a single one) and behind
 * it (no trailing zeros). */
typedef struct decimal {
    char whole[MAX_DIGITS], part[MAX_DIGITS];
    size_t n_whole, n_part;
    bool negative;
} decimal;

static bool is_zero(const decimal *d)
{
    return d->n_part == 0 && d->n_whole == 1 && d->whole[0] == '0';
}

/* From the shortest text of a number, its exponent worked in. */
static bool decimal_of(hg_schema *s, const json_t *v, const char *key, decimal *d,
                       const hg_schema_path *at)
{
    char digits[64];
    size_t n = 0;
    long point = -1, exponent = 0;
    hg_buf text = {0};
    *d = (decimal){.n_whole = 0};
    if (!json_is_number(v)) {
        (void)hg_schema_fail(s, at, HG_E_FORMAT, "\"%s\" must be a number", key);
        return false;
    }
    if (json_is_integer(v))
        hg_buf_printf(&text, "%lld", (long long)json_integer_value(v));
    else
        hg_json_put_number(&text, json_real_value(v));
    for (size_t i = 0; !text.failed && i < text.n && n < sizeof digits; i++) {
        const char c = text.p[i];
        if (c == '-') d->negative = true;
        if (c == '.') point = (long)n;
        if (c >= '0' && c <= '9') digits[n++] = c;
        if (c != 'e' && c != 'E') continue;
        const bool down = text.p[i + 1] == '-';
        for (i++; i < text.n; i++)
            if (text.p[i] >= '0' && text.p[i] <= '9') exponent = exponent * 10 + (text.p[i] - '0');
        if (down) exponent = -exponent;
    }
    const bool failed = text.failed;
    hg_buf_free(&text);
    if (failed) {
        s->b->failed = true;
        return false;
    }
    point = (point < 0 ? (long)n : point) + exponent;
    const long first = point < 0 ? point : 0, last = point > (long)n ? point : (long)n;
    for (long i = first; i < last; i++) {
        const char c = i >= 0 && i < (long)n ? digits[i] : '0';
        if (i >= point)
            d->part[d->n_part++] = c;
        else if (d->n_whole > 0 || c != '0')
            d->whole[d->n_whole++] = c;
    }
    while (d->n_part > 0 && d->part[d->n_part - 1] == '0') d->n_part--;
    if (d->n_whole == 0) d->whole[d->n_whole++] = '0';
    return true;
}

/* ---- pieces ---- */
static hg_x *digit(hg_build *b, int lo, int hi)
{
    if (lo > hi) return hg_x_never(b);
    return hg_x_set(b, &(hg_range){(uint32_t)('0' + lo), (uint32_t)('0' + hi)}, 1);
}

static hg_x *some_digits(hg_build *b, size_t min, uint32_t max)
{
    return hg_x_repeat(b, digit(b, 0, 9), (uint32_t)min, max);
}

static hg_x *maybe_part(hg_build *b)
{
    hg_x *part = hg_x_seq2(b, hg_x_text(b, "."), some_digits(b, 1, HG_X_FOREVER));
    return hg_x_repeat(b, part, 0, 1);
}

/* Numbers whose digits before the point differ from d's: above it or below. */
static hg_x *other_whole(hg_build *b, const decimal *d, bool above)
{
    hg_x *x = hg_x_never(b), *more = maybe_part(b);
    for (size_t i = 0; i < d->n_whole; i++) {
        const int at = d->whole[i] - '0', least = i == 0 && d->n_whole > 1 ? 1 : 0;
        hg_x *other = above ? digit(b, at + 1, 9) : digit(b, least, at - 1);
        const size_t rest = d->n_whole - i - 1;
        other =
            hg_x_seq3(b, hg_x_bytes(b, d->whole, i), other, some_digits(b, rest, (uint32_t)rest));
        x = hg_x_alt2(b, x, hg_x_seq2(b, other, more));
    }
    if (above) {
        hg_x *longer = hg_x_seq2(b, digit(b, 1, 9), some_digits(b, d->n_whole, HG_X_FOREVER));
        return hg_x_alt2(b, x, hg_x_seq2(b, longer, more));
    }
    if (d->n_whole == 1) return x;
    hg_x *shorter = hg_x_seq2(b, digit(b, 1, 9), some_digits(b, 0, (uint32_t)(d->n_whole - 2)));
    shorter = hg_x_alt2(b, hg_x_text(b, "0"), shorter);
    return hg_x_alt2(b, x, hg_x_seq2(b, shorter, more));
}

/* What stands behind equal digits before the point. */
static hg_x *other_part(hg_build *b, const decimal *d, bool above, bool equal)
{
    hg_x *x = hg_x_never(b), *any = some_digits(b, 0, HG_X_FOREVER);
    hg_x *zeros = hg_x_repeat(b, hg_x_text(b, "0"), 0, HG_X_FOREVER);
    for (size_t i = 0; i < d->n_part; i++) {
        const int at = d->part[i] - '0';
        hg_x *before = hg_x_bytes(b, d->part, i);
        x = hg_x_alt2(b, x,
                      hg_x_seq3(b, before, above ? digit(b, at + 1, 9) : digit(b, 0, at - 1), any));
        if (!above && i > 0) x = hg_x_alt2(b, x, before);
    }
    hg_x *same = hg_x_bytes(b, d->part, d->n_part);
    if (above) x = hg_x_alt2(b, x, hg_x_seq2(b, same, hg_x_seq3(b, zeros, digit(b, 1, 9), any)));
    if (equal && d->n_part > 0) x = hg_x_alt2(b, x, hg_x_seq2(b, same, zeros));
    if (equal && d->n_part == 0)
        x = hg_x_alt2(b, x, hg_x_repeat(b, hg_x_text(b, "0"), 1, HG_X_FOREVER));
    hg_x *part = hg_x_seq2(b, hg_x_text(b, "."), x);
    const bool none = d->n_part == 0 ? equal : !above; /* no digits behind the point */
    return none ? hg_x_repeat(b, part, 0, 1) : part;
}

/* Numbers without a sign that are above (or below) d, or equal to it. */
static hg_x *beyond(hg_build *b, const decimal *d, bool above, bool equal)
{
    hg_x *same = hg_x_seq2(b, hg_x_bytes(b, d->whole, d->n_whole), other_part(b, d, above, equal));
    return hg_x_alt2(b, other_whole(b, d, above), same);
}

static hg_x *unsigned_any(hg_build *b)
{
    hg_x *whole = hg_x_seq2(b, digit(b, 1, 9), some_digits(b, 0, HG_X_FOREVER));
    return hg_x_seq2(b, hg_x_alt2(b, hg_x_text(b, "0"), whole), maybe_part(b));
}

static hg_x *bounded(hg_build *b, const decimal *d, bool from, bool equal)
{
    hg_x *minus = hg_x_text(b, "-");
    const bool negative = d->negative && !is_zero(d);
    if (from == negative) { /* both signs */
        hg_x *rest = beyond(b, d, false, equal), *free = unsigned_any(b);
        return from ? hg_x_alt2(b, hg_x_seq2(b, minus, rest), free)
                    : hg_x_alt2(b, rest, hg_x_seq2(b, minus, free));
    }
    hg_x *x = beyond(b, d, true, equal);
    return from ? x : hg_x_seq2(b, minus, x);
}

/* Multiples: whole ones by their remainder, powers of a tenth by their digits. */
static hg_x *multiples(hg_schema *s, const json_t *v, const hg_schema_path *at)
{
    decimal d;
    hg_build *b = s->b;
    uint32_t n = 0;
    if (!decimal_of(s, v, "multipleOf", &d, at)) return NULL;
    hg_x *minus = hg_x_repeat(b, hg_x_text(b, "-"), 0, 1);
    for (size_t i = 0; d.n_part == 0 && i < d.n_whole && n < 100000; i++)
        n = n * 10 + (uint32_t)(d.whole[i] - '0');
    if (!d.negative && n > 0 && n <= 10000) return hg_x_seq2(b, minus, hg_x_modulo(b, n));
    bool tenth = !d.negative && d.n_part > 0 && d.whole[0] == '0' && d.part[d.n_part - 1] == '1';
    for (size_t i = 0; i + 1 < d.n_part; i++) tenth = tenth && d.part[i] == '0';
    if (!tenth)
        return hg_schema_fail(s, at, HG_E_UNSUPPORTED,
                              "multipleOf is held for whole numbers from 1 to 10000, 0.1, 0.01 "
                              "and so on");
    hg_x *part = hg_x_seq2(b, hg_x_text(b, "."), some_digits(b, 1, (uint32_t)d.n_part));
    return hg_x_seq3(b, minus, some_digits(b, 1, HG_X_FOREVER), hg_x_repeat(b, part, 0, 1));
}

static hg_x *plain(hg_build *b, bool whole, bool free, hg_err *e)
{
    const char *p = whole ? "-?(0|[1-9][0-9]*)" : "-?(0|[1-9][0-9]*)(\\.[0-9]+)?";
    if (free) p = whole ? HG_JSON_INTEGER : HG_JSON_NUMBER;
    return hg_regex_read(b, (hg_bytes){p, strlen(p)}, false, true, e);
}

hg_x *hg_schema_number(hg_schema *s, json_t *schema, bool whole, const hg_schema_path *at)
{
    static const struct {
        const char *key;
        bool from, equal;
    } bounds[] = {{"minimum", true, true},
                  {"exclusiveMinimum", true, false},
                  {"maximum", false, true},
                  {"exclusiveMaximum", false, false}};
    const json_t *multiple = json_object_get(schema, "multipleOf");
    bool free = multiple == NULL;
    decimal d;
    for (size_t i = 0; i < 4; i++) free = free && json_object_get(schema, bounds[i].key) == NULL;
    hg_x *x = plain(s->b, whole, free, s->e);
    for (size_t i = 0; i < 4 && x != NULL; i++) {
        const json_t *v = json_object_get(schema, bounds[i].key);
        if (v == NULL) continue;
        if (!decimal_of(s, v, bounds[i].key, &d, at)) return NULL;
        x = hg_x_and(s->b, x, bounded(s->b, &d, bounds[i].from, bounds[i].equal));
    }
    if (multiple == NULL || x == NULL) return x;
    hg_x *m = multiples(s, multiple, at);
    return m == NULL ? NULL : hg_x_and(s->b, x, m);
}
