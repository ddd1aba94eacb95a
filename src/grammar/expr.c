/* Expressions: the constructors keep them small (a sequence of one is that one, an alternative that
 * never matches is left out), so that front ends may write what they mean. */
#include "grammar/expr.h"
#include "text/utf8.h"

#include <stdlib.h>
#include <string.h>

void hg_build_init(hg_build *b)
{
    *b = (hg_build){0};
    hg_arena_init(&b->mem, 1 << 16);
}

void hg_build_free(hg_build *b)
{
    hg_arena_free(&b->mem);
    hg_free(b->rules);
    *b = (hg_build){0};
}

hg_status hg_build_check(const hg_build *b, hg_err *e)
{
    if (b->n_nodes > HG_MAX_NODES || b->n_rules >= HG_MAX_RULES)
        return hg_fail(e, HG_E_LIMIT, "the grammar has over %d parts or %d rules; make it smaller",
                       HG_MAX_NODES, HG_MAX_RULES);
    if (b->is_too_deep)
        return hg_fail(e, HG_E_LIMIT, "the grammar is nested over %d deep; make it flatter",
                       HG_MAX_X_DEPTH);
    if (b->failed) return hg_fail(e, HG_E_NOMEM, "no room for the grammar");
    return HG_OK;
}

static hg_x *make(hg_build *b, hg_x_kind kind)
{
    hg_x *x = NULL;
    if (++b->n_nodes <= HG_MAX_NODES) x = HG_NEW(&b->mem, hg_x, 1);
    if (x == NULL)
        b->failed = true;
    else
        *x = (hg_x){.kind = kind, .weight = 1};
    return x;
}

/* What is above `kid` is one deeper. False: too deep. */
static bool deepen(hg_build *b, hg_x *x, const hg_x *kid)
{
    if (kid->depth + 1 > x->depth) x->depth = kid->depth + 1;
    if (x->depth <= HG_MAX_X_DEPTH) return true;
    b->failed = b->is_too_deep = true;
    return false;
}

static uint32_t heavier(uint32_t a, uint64_t b)
{
    return a + b > UINT32_MAX / 2 ? UINT32_MAX / 2 : (uint32_t)(a + b);
}

hg_x *hg_x_never(hg_build *b)
{
    return make(b, HG_X_NEVER);
}

hg_x *hg_x_empty(hg_build *b)
{
    return make(b, HG_X_EMPTY);
}

hg_x *hg_x_bytes(hg_build *b, const char *p, size_t n)
{
    if (n == 0) return hg_x_empty(b);
    hg_x *x = make(b, HG_X_BYTES);
    char *copy = x == NULL ? NULL : hg_arena_strndup(&b->mem, p, n);
    if (copy == NULL) {
        b->failed = true;
        return NULL;
    }
    x->u.bytes = copy;
    x->n = (uint32_t)n;
    x->weight = (uint32_t)n;
    return x;
}

hg_x *hg_x_text(hg_build *b, const char *s)
{
    return hg_x_bytes(b, s, strlen(s));
}

hg_x *hg_x_set(hg_build *b, const hg_range *ranges, size_t n)
{
    static const hg_range surrogates = {0xD800, 0xDFFF};
    hg_range *r = HG_NEW_RAW(&b->mem, hg_range, 2 * n + 2);
    size_t kept = 0;
    if (r == NULL) {
        b->failed = true;
        return NULL;
    }
    for (size_t i = 0; i < n; i++) {
        hg_range in = ranges[i];
        if (in.hi > HG_MAX_CHAR) in.hi = HG_MAX_CHAR;
        if (in.lo < surrogates.lo && in.hi > surrogates.hi)
            r[kept++] = (hg_range){in.lo, surrogates.lo - 1};
        if (in.lo >= surrogates.lo && in.lo <= surrogates.hi) in.lo = surrogates.hi + 1;
        if (in.hi >= surrogates.lo && in.hi <= surrogates.hi) in.hi = surrogates.lo - 1;
        if (in.lo < surrogates.lo && in.hi > surrogates.hi) in.lo = surrogates.hi + 1;
        if (in.lo <= in.hi) r[kept++] = in;
    }
    kept = hg_ranges_join(r, kept);
    if (kept == 0) return hg_x_never(b);
    hg_x *x = make(b, HG_X_SET);
    if (x == NULL) return NULL;
    x->u.ranges = r;
    x->n = (uint32_t)kept;
    if (r[kept - 1].hi >= 0x80) x->weight = heavier(1, 6 * kept);
    return x;
}

static hg_x *group(hg_build *b, hg_x_kind kind, hg_x *const *kids, size_t n)
{
    hg_x *x = make(b, kind);
    hg_x **copy = HG_NEW_RAW(&b->mem, hg_x *, n + 1);
    if (x == NULL || copy == NULL) {
        b->failed = true;
        return NULL;
    }
    for (size_t i = 0; i < n; i++) {
        copy[i] = kids[i];
        if (!deepen(b, x, kids[i])) return NULL;
        x->weight = heavier(x->weight, kids[i]->weight);
        x->has_rules |= kids[i]->has_rules;
    }
    x->u.kids = copy;
    x->n = (uint32_t)n;
    return x;
}

static bool any_null(hg_x *const *kids, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (kids[i] == NULL) return true;
    return false;
}

hg_x *hg_x_seq(hg_build *b, hg_x *const *kids, size_t n)
{
    size_t n_real = 0;
    hg_x *last = NULL;
    if (any_null(kids, n)) return NULL;
    for (size_t i = 0; i < n; i++) {
        if (kids[i]->kind == HG_X_NEVER) return kids[i];
        if (kids[i]->kind == HG_X_EMPTY) continue;
        n_real++;
        last = kids[i];
    }
    if (n_real == 0) return hg_x_empty(b);
    return n_real == 1 ? last : group(b, HG_X_SEQ, kids, n);
}

hg_x *hg_x_alt(hg_build *b, hg_x *const *kids, size_t n)
{
    size_t n_real = 0;
    hg_x *last = NULL;
    if (any_null(kids, n)) return NULL;
    for (size_t i = 0; i < n; i++) {
        if (kids[i]->kind == HG_X_NEVER) continue;
        n_real++;
        last = kids[i];
    }
    if (n_real == 0) return hg_x_never(b);
    return n_real == 1 ? last : group(b, HG_X_ALT, kids, n);
}

hg_x *hg_x_seq2(hg_build *b, hg_x *first, hg_x *second)
{
    return hg_x_seq(b, (hg_x *[]){first, second}, 2);
}

hg_x *hg_x_seq3(hg_build *b, hg_x *first, hg_x *second, hg_x *third)
{
    return hg_x_seq(b, (hg_x *[]){first, second, third}, 3);
}

hg_x *hg_x_alt2(hg_build *b, hg_x *first, hg_x *second)
{
    return hg_x_alt(b, (hg_x *[]){first, second}, 2);
}

hg_x *hg_x_repeat(hg_build *b, hg_x *kid, uint32_t min, uint32_t max)
{
    if (kid == NULL) return NULL;
    if (max == 0 || kid->kind == HG_X_EMPTY) return hg_x_empty(b);
    if (kid->kind == HG_X_NEVER) return min == 0 ? hg_x_empty(b) : kid;
    if (min == 1 && max == 1) return kid;
    hg_x *x = group(b, HG_X_REPEAT, &kid, 1);
    if (x == NULL) return NULL;
    x->min = min;
    x->max = max;
    const uint64_t times = max == HG_X_FOREVER ? (uint64_t)min + 1 : max;
    x->weight = heavier(1, times * kid->weight);
    return x;
}

hg_x *hg_x_rule(hg_build *b, uint32_t rule)
{
    hg_x *x = make(b, HG_X_RULE);
    if (x == NULL) return NULL;
    x->rule = rule;
    x->has_rules = true;
    return x;
}

hg_x *hg_x_list(hg_build *b, const hg_x_element *elements, size_t n, hg_x *separator, uint32_t min,
                uint32_t max)
{
    hg_x *x = make(b, HG_X_LIST);
    hg_x_element *copy = HG_NEW_RAW(&b->mem, hg_x_element, n + 1);
    if (x == NULL || copy == NULL || separator == NULL) {
        b->failed = true;
        return NULL;
    }
    for (size_t i = 0; i < n; i++) {
        if (elements[i].x == NULL) return NULL;
        copy[i] = elements[i];
        if (!deepen(b, x, elements[i].x)) return NULL;
        x->weight = heavier(x->weight, elements[i].x->weight);
        x->has_rules |= elements[i].x->has_rules;
    }
    x->has_rules |= separator->has_rules;
    x->separator = separator;
    x->u.elements = copy;
    x->n = (uint32_t)n;
    x->min = min;
    x->max = max;
    return x;
}

hg_x *hg_x_and(hg_build *b, hg_x *first, hg_x *second)
{
    if (first == NULL || second == NULL) return NULL;
    if (first->kind == HG_X_NEVER) return first;
    if (second->kind == HG_X_NEVER) return second;
    return group(b, HG_X_AND, (hg_x *[]){first, second}, 2);
}

hg_x *hg_x_minus(hg_build *b, hg_x *first, hg_x *second)
{
    if (first == NULL || second == NULL) return NULL;
    if (first->kind == HG_X_NEVER || second->kind == HG_X_NEVER) return first;
    return group(b, HG_X_MINUS, (hg_x *[]){first, second}, 2);
}

hg_x *hg_x_modulo(hg_build *b, uint32_t divisor)
{
    hg_x *x = make(b, HG_X_MODULO);
    if (x == NULL) return NULL;
    x->min = divisor;
    x->weight = divisor;
    return x;
}

uint32_t hg_rule_new(hg_build *b, const char *name, size_t n)
{
    char *copy = hg_arena_strndup(&b->mem, name, n);
    if (copy == NULL || b->n_rules >= HG_MAX_RULES ||
        hg_grow(&b->rules, &b->rules_cap, b->n_rules, sizeof *b->rules, NULL) != HG_OK) {
        b->failed = true;
        return HG_MAX_RULES;
    }
    b->rules[b->n_rules] = (hg_rule){.name = copy};
    return (uint32_t)b->n_rules++;
}

void hg_rule_set(hg_build *b, uint32_t rule, hg_x *x)
{
    if (rule < b->n_rules) b->rules[rule].x = x;
}

/* ---- sets of characters ---- */
static int by_lo(const void *a, const void *b)
{
    const hg_range *x = a, *y = b;
    return x->lo < y->lo ? -1 : x->lo > y->lo;
}

size_t hg_ranges_join(hg_range *r, size_t n)
{
    size_t kept = 0;
    if (n == 0) return 0;
    qsort(r, n, sizeof *r, by_lo);
    for (size_t i = 1; i < n; i++) {
        if (r[i].lo <= r[kept].hi || r[i].lo == r[kept].hi + 1) {
            if (r[i].hi > r[kept].hi) r[kept].hi = r[i].hi;
        } else {
            r[++kept] = r[i];
        }
    }
    return kept + 1;
}

size_t hg_ranges_invert(const hg_range *r, size_t n, hg_range *out)
{
    size_t made = 0;
    uint32_t next = 0;
    for (size_t i = 0; i < n; i++) {
        if (r[i].lo > next) out[made++] = (hg_range){next, r[i].lo - 1};
        next = r[i].hi + 1;
    }
    if (next <= HG_MAX_CHAR) out[made++] = (hg_range){next, HG_MAX_CHAR};
    return made;
}

/* ---- UTF-8 ---- */
/* Splits until both ends differ only where every byte behind runs through all of 80 to BF. */
static void split(uint32_t lo, uint32_t hi, size_t n, hg_utf8_fn *fn, void *ctx)
{
    char a[4], b[4];
    uint8_t range[4][2];
    for (size_t i = 1; i < n; i++) {
        const uint32_t m = (1u << (6 * i)) - 1;
        if ((lo & ~m) == (hi & ~m)) continue;
        if ((lo & m) != 0) {
            split(lo, lo | m, n, fn, ctx);
            split((lo | m) + 1, hi, n, fn, ctx);
            return;
        }
        if ((hi & m) != m) {
            split(lo, (hi & ~m) - 1, n, fn, ctx);
            split(hi & ~m, hi, n, fn, ctx);
            return;
        }
    }
    (void)hg_utf8_encode(lo, a);
    (void)hg_utf8_encode(hi, b);
    for (size_t i = 0; i < n; i++) {
        range[i][0] = (uint8_t)a[i];
        range[i][1] = (uint8_t)b[i];
    }
    fn(ctx, (const uint8_t(*)[2])range, n);
}

void hg_utf8_ranges(uint32_t lo, uint32_t hi, hg_utf8_fn *fn, void *ctx)
{
    static const uint32_t last[] = {0x7F, 0x7FF, 0xFFFF, HG_MAX_CHAR};
    for (size_t n = 1; n <= 4 && lo <= hi; n++) {
        const uint32_t top = hi < last[n - 1] ? hi : last[n - 1];
        if (lo > top) continue;
        split(lo, top, n, fn, ctx);
        lo = top + 1;
    }
}
