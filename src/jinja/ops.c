/* Operators, attributes, items and slices, with Python's meaning. */
#include "jinja/inner.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- arithmetic ---- */
static const char *op_text(uint16_t op, char out[3])
{
    size_t n = 0;
    if (op > 0xFF) out[n++] = (char)(op >> 8);
    out[n++] = (char)(op & 0xFF);
    out[n] = '\0';
    return out;
}

static jv misfit(jrun *r, uint16_t op, jv a, jv b)
{
    char text[3];
    const jv *missing = a.kind == JV_UNDEFINED ? &a : b.kind == JV_UNDEFINED ? &b : NULL;
    if (missing != NULL && missing->as.hint != NULL)
        return hg_jr_fail(r, "'%s' is undefined, so %s cannot be applied to it", missing->as.hint,
                          op_text(op, text));
    return hg_jr_fail(r, "%s does not go with %s and %s", op_text(op, text), hg_jv_type(a),
                      hg_jv_type(b));
}

static jv too_large(jrun *r)
{
    return hg_jr_fail(r, "a whole number over 63 bits");
}

static jv power(jrun *r, int64_t base, int64_t exponent)
{
    int64_t out = 1;
    while (exponent > 0) {
        if ((exponent & 1) != 0 && __builtin_mul_overflow(out, base, &out)) return too_large(r);
        exponent >>= 1;
        if (exponent > 0 && __builtin_mul_overflow(base, base, &base)) return too_large(r);
    }
    return hg_jv_int(out);
}

static jv whole_binary(jrun *r, uint16_t op, int64_t a, int64_t b)
{
    int64_t out = 0;
    if ((op == '/' || op == '%' || op == OP2('/', '/')) && b == 0)
        return hg_jr_fail(r, "division by zero");
    switch (op) {
    case '+':
        return __builtin_add_overflow(a, b, &out) ? too_large(r) : hg_jv_int(out);
    case '-':
        return __builtin_sub_overflow(a, b, &out) ? too_large(r) : hg_jv_int(out);
    case '*':
        return __builtin_mul_overflow(a, b, &out) ? too_large(r) : hg_jv_int(out);
    case '/':
        return hg_jv_float((double)a / (double)b);
    case '%':
        if (b == -1) return hg_jv_int(0);
        out = a % b;
        return hg_jv_int(out != 0 && (out < 0) != (b < 0) ? out + b : out);
    case OP2('/', '/'):
        if (b == -1) return a == INT64_MIN ? too_large(r) : hg_jv_int(-a);
        return hg_jv_int(a / b - (a % b != 0 && (a < 0) != (b < 0)));
    default: /* ** */
        if (b < 0 && a == 0) return hg_jr_fail(r, "zero to a negative power");
        return b < 0 ? hg_jv_float(pow((double)a, (double)b)) : power(r, a, b);
    }
}

static jv float_binary(jrun *r, uint16_t op, double a, double b)
{
    double m;
    if ((op == '/' || op == '%' || op == OP2('/', '/')) && b == 0)
        return hg_jr_fail(r, "division by zero");
    switch (op) {
    case '+':
        return hg_jv_float(a + b);
    case '-':
        return hg_jv_float(a - b);
    case '*':
        return hg_jv_float(a * b);
    case '/':
        return hg_jv_float(a / b);
    case '%':
    case OP2('/', '/'):
        m = fmod(a, b);
        if (m != 0 && (m < 0) != (b < 0)) m += b;
        return hg_jv_float(op == '%' ? (m == 0 ? copysign(0, b) : m) : floor((a - m) / b + 0.5));
    default:
        if (a < 0 && b != floor(b)) return hg_jr_fail(r, "a negative number to a broken power");
        return hg_jv_float(pow(a, b));
    }
}

static jv repeat_text(jrun *r, const jv_str *s, int64_t n)
{
    jbuf b = {0};
    for (int64_t i = 0; i < n && s->n > 0 && hg_jr_step(r, 1); i++)
        hg_jb_put_str(r, &b, s, 0, s->n);
    return hg_jb_take(r, &b);
}

static jv repeat_list(jrun *r, jv v, int64_t n)
{
    jv out = v.kind == JV_LIST ? hg_jv_list(r, 0) : hg_jv_tuple(r, 0);
    for (int64_t i = 0; i < n && v.as.list->n > 0 && hg_jr_step(r, 1); i++)
        for (size_t k = 0; k < v.as.list->n && r->failed == HG_OK; k++)
            hg_jv_push(r, out, v.as.list->v[k]);
    return out;
}

static jv join_lists(jrun *r, jv a, jv b)
{
    size_t n = a.as.list->n + b.as.list->n;
    jv out = a.kind == JV_LIST ? hg_jv_list(r, n) : hg_jv_tuple(r, n);
    for (size_t i = 0; i < a.as.list->n; i++) hg_jv_push(r, out, a.as.list->v[i]);
    for (size_t i = 0; i < b.as.list->n; i++) hg_jv_push(r, out, b.as.list->v[i]);
    return out;
}

static bool is_list(jv v)
{
    return v.kind == JV_LIST || v.kind == JV_TUPLE;
}

static bool is_whole(jv v)
{
    return v.kind == JV_INT || v.kind == JV_BOOL;
}

jv hg_jv_binary(jrun *r, uint16_t op, jv a, jv b)
{
    if (r->failed != HG_OK) return hg_jv_none();
    if (is_whole(a) && is_whole(b)) return whole_binary(r, op, hg_jv_whole(a), hg_jv_whole(b));
    if (hg_jv_is_number(a) && hg_jv_is_number(b))
        return float_binary(r, op, hg_jv_double(a), hg_jv_double(b));
    if (op == '+' && a.kind == JV_STRING && b.kind == JV_STRING)
        return hg_jv_join(r, a.as.s, b.as.s);
    if (op == '+' && is_list(a) && a.kind == b.kind) return join_lists(r, a, b);
    if (op == '%' && a.kind == JV_STRING) return hg_jinja_percent(r, a.as.s, b);
    if (op == '*' && a.kind == JV_STRING && is_whole(b))
        return repeat_text(r, a.as.s, hg_jv_whole(b));
    if (op == '*' && is_whole(a) && b.kind == JV_STRING)
        return repeat_text(r, b.as.s, hg_jv_whole(a));
    if (op == '*' && is_list(a) && is_whole(b)) return repeat_list(r, a, hg_jv_whole(b));
    if (op == '*' && is_whole(a) && is_list(b)) return repeat_list(r, b, hg_jv_whole(a));
    return misfit(r, op, a, b);
}

/* ---- in ---- */
jv hg_jv_contains(jrun *r, jv item, jv box)
{
    if (box.kind == JV_STRING) {
        if (item.kind != JV_STRING)
            return hg_jr_fail(r, "\"in\" looks for text in text, not for %s", hg_jv_type(item));
        if (!hg_jr_step(r, box.as.s->n / 64)) return hg_jv_bool(false);
        return hg_jv_bool(item.as.s->n == 0 ||
                          (box.as.s->n >= item.as.s->n &&
                           memmem(box.as.s->p, box.as.s->n, item.as.s->p, item.as.s->n) != NULL));
    }
    if (box.kind == JV_DICT) return hg_jv_bool(hg_jv_find(r, box.as.dict, item) != NULL);
    const jv_list *l = hg_jv_items(r, box);
    if (l == NULL || !hg_jr_step(r, l->n / 16)) return hg_jv_bool(false);
    for (size_t i = 0; i < l->n; i++)
        if (hg_jv_equal(r, l->v[i], item)) return hg_jv_bool(true);
    return hg_jv_bool(false);
}

/* ---- attributes ---- */
static jv method(jrun *r, jv self, const jentry *m)
{
    jv_call *c = hg_jr_room(r, 1, sizeof *c);
    if (c == NULL) return hg_jv_none();
    *c = (jv_call){.kind = CALL_FUNCTION, .name = m->name, .self = self, .entry = m};
    return (jv){JV_CALL, {.call = c}};
}

static jv undefined_named(jrun *r, const char *name, size_t n)
{
    char *copy = hg_jr_room(r, n + 1, 1);
    if (copy == NULL) return hg_jv_none();
    memcpy(copy, name, n);
    copy[n] = '\0';
    return hg_jv_undefined(copy);
}

static jv loop_attr(jrun *r, jv v, const char *name, size_t n)
{
    const jv_loop *l = v.as.loop;
    int64_t i = (int64_t)l->i, length = (int64_t)l->items->n;
    const struct {
        const char *name;
        jv value;
    } known[] = {
        {"index", hg_jv_int(i + 1)},
        {"index0", hg_jv_int(i)},
        {"first", hg_jv_bool(i == 0)},
        {"last", hg_jv_bool(i + 1 == length)},
        {"length", hg_jv_int(length)},
        {"revindex", hg_jv_int(length - i)},
        {"revindex0", hg_jv_int(length - i - 1)},
        {"depth", hg_jv_int(l->depth)},
        {"depth0", hg_jv_int(l->depth - 1)},
        {"previtem", i > 0 ? l->items->v[i - 1] : hg_jv_undefined("loop.previtem")},
        {"nextitem", i + 1 < length ? l->items->v[i + 1] : hg_jv_undefined("loop.nextitem")}};
    for (size_t k = 0; k < sizeof known / sizeof *known; k++)
        if (strlen(known[k].name) == n && memcmp(known[k].name, name, n) == 0)
            return known[k].value;
    const jentry *m = hg_jinja_method(v, name, n);
    return m != NULL ? method(r, v, m) : undefined_named(r, name, n);
}

static jv missing(jrun *r, jv v, const char *what, const char *name, size_t n)
{
    return hg_jr_fail(r, "'%s' is undefined, so it has no %s %.*s",
                      v.as.hint != NULL ? v.as.hint : "it", what, (int)(n < 60 ? n : 60), name);
}

jv hg_jv_attr(jrun *r, jv v, const char *name, size_t n)
{
    if (r->failed != HG_OK) return hg_jv_none();
    if (v.kind == JV_UNDEFINED) return missing(r, v, "attribute", name, n);
    if (v.kind == JV_LOOP) return loop_attr(r, v, name, n);
    const jentry *m = hg_jinja_method(v, name, n);
    if (m != NULL) return method(r, v, m);
    if (v.kind == JV_DICT || v.kind == JV_NAMESPACE) {
        const jv *found = hg_jv_find_text(v.as.dict, name, n);
        if (!hg_jr_step(r, v.as.dict->n / 16)) return hg_jv_none();
        if (found != NULL) return *found;
    }
    if (v.kind == JV_CALL && n == 4 && memcmp(name, "name", 4) == 0)
        return hg_jv_text(r, v.as.call->name);
    return undefined_named(r, name, n);
}

/* ---- items ---- */
static bool place(int64_t i, size_t n, size_t *out)
{
    if (i < 0) i += (int64_t)n;
    *out = (size_t)i;
    return i >= 0 && (uint64_t)i < n;
}

jv hg_jv_item(jrun *r, jv v, jv key)
{
    size_t i;
    if (r->failed != HG_OK) return hg_jv_none();
    if (v.kind == JV_UNDEFINED)
        return missing(r, v, "item", key.kind == JV_STRING ? key.as.s->p : "",
                       key.kind == JV_STRING ? key.as.s->n : 0);
    if (v.kind == JV_DICT) {
        const jv *found = hg_jv_find(r, v.as.dict, key);
        if (found != NULL) return *found;
    }
    if (is_whole(key) && is_list(v))
        return place(hg_jv_whole(key), v.as.list->n, &i) ? v.as.list->v[i]
                                                         : hg_jv_undefined("an item out of range");
    if (is_whole(key) && v.kind == JV_STRING) {
        const jv_str *s = v.as.s;
        if (!hg_jr_step(r, s->n / 16)) return hg_jv_none();
        if (!place(hg_jv_whole(key), hg_jv_chars(s), &i))
            return hg_jv_undefined("an item out of range");
        size_t from = hg_jv_char_at(s, 0, i);
        return hg_jv_part(r, s, from, hg_jv_char_at(s, from, 1));
    }
    if (key.kind == JV_STRING) return hg_jv_attr(r, v, key.as.s->p, key.as.s->n);
    return hg_jv_undefined("an item that is not there");
}

/* ---- slices ---- */
static int64_t clamp(int64_t i, int64_t low, int64_t high)
{
    return i < low ? low : i > high ? high : i;
}

typedef struct range {
    int64_t from, to, step;
} range;

static bool slice_part(jrun *r, jv v, int64_t *out)
{
    if (v.kind == JV_NONE) return false;
    if (!is_whole(v)) {
        (void)hg_jr_fail(r, "a slice needs whole numbers, not %s", hg_jv_type(v));
        return false;
    }
    *out = hg_jv_whole(v);
    return true;
}

static range slice_range(jrun *r, size_t length, jv start, jv stop, jv step)
{
    range g = {0, 0, 1};
    int64_t n = (int64_t)length, v = 0;
    if (slice_part(r, step, &v)) g.step = v;
    if (g.step == 0) (void)hg_jr_fail(r, "a slice with a step of zero");
    int64_t low = g.step < 0 ? -1 : 0, high = g.step < 0 ? n - 1 : n;
    g.from = slice_part(r, start, &v) ? clamp(v < 0 ? v + n : v, low, high)
             : g.step < 0             ? high
                                      : low;
    g.to = slice_part(r, stop, &v) ? clamp(v < 0 ? v + n : v, low, high) : g.step < 0 ? low : high;
    return g;
}

static bool in_range(const range *g, int64_t i)
{
    return g->step > 0 ? i < g->to : i > g->to;
}

static jv slice_text(jrun *r, const jv_str *s, jv start, jv stop, jv step)
{
    range g = slice_range(r, hg_jv_chars(s), start, stop, step);
    if (r->failed != HG_OK || !hg_jr_step(r, s->n / 16)) return hg_jv_none();
    if (g.step == 1) {
        size_t from = hg_jv_char_at(s, 0, (size_t)g.from);
        size_t count = g.to > g.from ? (size_t)(g.to - g.from) : 0;
        return hg_jv_part(r, s, from, hg_jv_char_at(s, from, count));
    }
    const jv_list *chars = hg_jv_items(r, (jv){JV_STRING, {.s = s}});
    jbuf b = {0};
    if (chars == NULL) return hg_jv_none();
    for (int64_t i = g.from; in_range(&g, i) && r->failed == HG_OK; i += g.step) {
        hg_jv_show(r, &b, chars->v[i]);
        if (g.step > (int64_t)chars->n || -g.step > (int64_t)chars->n) break;
    }
    return hg_jb_take(r, &b);
}

jv hg_jv_slice(jrun *r, jv v, jv start, jv stop, jv step)
{
    if (r->failed != HG_OK) return hg_jv_none();
    if (v.kind == JV_UNDEFINED) return missing(r, v, "slice", "", 0);
    if (v.kind == JV_STRING) return slice_text(r, v.as.s, start, stop, step);
    if (!is_list(v)) return hg_jv_undefined("a slice of what has none");
    range g = slice_range(r, v.as.list->n, start, stop, step);
    jv out = v.kind == JV_LIST ? hg_jv_list(r, 0) : hg_jv_tuple(r, 0);
    if (r->failed != HG_OK) return out;
    int64_t n = (int64_t)v.as.list->n;
    for (int64_t i = g.from; in_range(&g, i) && hg_jr_step(r, 1); i += g.step) {
        hg_jv_push(r, out, v.as.list->v[i]);
        if (g.step > n || -g.step > n) break;
    }
    return out;
}

/* ---- attribute paths of filters ---- */
jv hg_jv_path(jrun *r, jv v, jv path)
{
    if (path.kind != JV_STRING) return hg_jv_item(r, v, path);
    const jv_str *s = path.as.s;
    for (size_t at = 0; at <= s->n && r->failed == HG_OK;) {
        const char *dot = at < s->n ? memchr(s->p + at, '.', s->n - at) : NULL;
        size_t end = dot != NULL ? (size_t)(dot - s->p) : s->n;
        int64_t number = 0;
        bool is_number = end > at && end - at < 18;
        for (size_t i = at; i < end; i++) {
            if (s->p[i] < '0' || s->p[i] > '9') is_number = false;
            number = is_number ? number * 10 + (s->p[i] - '0') : 0;
        }
        v = hg_jv_item(r, v, is_number ? hg_jv_int(number) : hg_jv_part(r, s, at, end));
        at = end + 1;
    }
    return v;
}
