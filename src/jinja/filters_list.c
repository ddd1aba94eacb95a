/* Filters on lists and dicts. What Python would give one by one comes here as a list. */
#include "jinja/sort.h"
#include "jinja/strings.h"
#include <string.h>

static bool given(jv v)
{
    return !hg_jv_absent(v) && v.kind != JV_NONE;
}

static bool yes(jv v)
{
    return !hg_jv_absent(v) && hg_jv_truth(v);
}

/* A value as sorting and grouping see it: its attribute, and text without its case. */
static jv key_of(jrun *r, jv v, jv attribute, bool case_sensitive)
{
    if (given(attribute)) v = hg_jv_path(r, v, attribute);
    return v.kind == JV_STRING && !case_sensitive ? hg_js_case(r, v.as.s, CASE_LOWER) : v;
}

/* ---- the whole ---- */
static jv f_length(jrun *r, jv self, const jcall_args *a)
{
    size_t n = 0;
    (void)a;
    if (hg_jv_length(self, &n)) return hg_jv_int((int64_t)n);
    return hg_jr_fail(r, "length of %s; text, a list or a dict has one", hg_jv_type(self));
}

static jv f_list(jrun *r, jv self, const jcall_args *a)
{
    const jv_list *l = hg_jv_items(r, self);
    jv out = hg_jv_list(r, l != NULL ? l->n : 0);
    (void)a;
    for (size_t i = 0; l != NULL && i < l->n; i++) hg_jv_push(r, out, l->v[i]);
    return out;
}

static jv f_first(jrun *r, jv self, const jcall_args *a)
{
    const jv_list *l = hg_jv_items(r, self);
    (void)a;
    return l != NULL && l->n > 0 ? l->v[0] : hg_jv_undefined("the first item of nothing");
}

static jv f_last(jrun *r, jv self, const jcall_args *a)
{
    const jv_list *l = hg_jv_items(r, self);
    (void)a;
    return l != NULL && l->n > 0 ? l->v[l->n - 1] : hg_jv_undefined("the last item of nothing");
}

static jv f_join(jrun *r, jv self, const jcall_args *a)
{
    const jv_list *l = hg_jv_items(r, self);
    jbuf b = {0};
    for (size_t i = 0; l != NULL && i < l->n && r->failed == HG_OK; i++) {
        if (i > 0 && !hg_jv_absent(a->pos[0])) hg_jv_show(r, &b, a->pos[0]);
        hg_jv_show(r, &b, given(a->pos[1]) ? hg_jv_path(r, l->v[i], a->pos[1]) : l->v[i]);
    }
    return hg_jb_take(r, &b);
}

static jv f_reverse(jrun *r, jv self, const jcall_args *a)
{
    jv none = hg_jv_none();
    (void)a;
    if (self.kind == JV_STRING) return hg_jv_slice(r, self, none, none, hg_jv_int(-1));
    const jv_list *l = hg_jv_items(r, self);
    jv out = hg_jv_list(r, l != NULL ? l->n : 0);
    for (size_t i = l != NULL ? l->n : 0; i-- > 0;) hg_jv_push(r, out, l->v[i]);
    return out;
}

static jv f_items(jrun *r, jv self, const jcall_args *a)
{
    (void)a;
    if (self.kind == JV_UNDEFINED) return hg_jv_list(r, 0);
    if (self.kind == JV_DICT) return hg_jv_pairs(r, self.as.dict);
    return hg_jr_fail(r, "items of %s; only a dict has some", hg_jv_type(self));
}

/* ---- sums and ends ---- */
static jv f_sum(jrun *r, jv self, const jcall_args *a)
{
    const jv_list *l = hg_jv_items(r, self);
    jv total = hg_jv_absent(a->pos[1]) ? hg_jv_int(0) : a->pos[1];
    for (size_t i = 0; l != NULL && i < l->n && r->failed == HG_OK; i++)
        total = hg_jv_binary(r, '+', total,
                             given(a->pos[0]) ? hg_jv_path(r, l->v[i], a->pos[0]) : l->v[i]);
    return total;
}

static jv extreme(jrun *r, jv self, const jcall_args *a, int sign)
{
    const jv_list *l = hg_jv_items(r, self);
    if (l == NULL || l->n == 0) return hg_jv_undefined("the extreme of nothing");
    size_t best = 0;
    jv best_key = key_of(r, l->v[0], a->pos[1], yes(a->pos[0]));
    for (size_t i = 1; i < l->n && r->failed == HG_OK; i++) {
        jv key = key_of(r, l->v[i], a->pos[1], yes(a->pos[0]));
        if (sign * hg_jv_compare(r, key, best_key) <= 0) continue;
        best = i;
        best_key = key;
    }
    return l->v[best];
}

static jv f_min(jrun *r, jv self, const jcall_args *a)
{
    return extreme(r, self, a, -1);
}

static jv f_max(jrun *r, jv self, const jcall_args *a)
{
    return extreme(r, self, a, 1);
}

/* ---- order ---- */
/* One key, or with "a,b" a tuple of them. */
static jv sort_key(jrun *r, jv v, jv attribute, bool case_sensitive)
{
    if (attribute.kind != JV_STRING || memchr(attribute.as.s->p, ',', attribute.as.s->n) == NULL)
        return key_of(r, v, attribute, case_sensitive);
    const jv_str *s = attribute.as.s;
    jv keys = hg_jv_tuple(r, 2);
    for (size_t at = 0; at <= s->n && r->failed == HG_OK;) {
        const char *comma = at < s->n ? memchr(s->p + at, ',', s->n - at) : NULL;
        size_t end = comma != NULL ? (size_t)(comma - s->p) : s->n;
        hg_jv_push(r, keys, key_of(r, v, hg_jv_part(r, s, at, end), case_sensitive));
        at = end + 1;
    }
    return keys;
}

static jv sorted(jrun *r, const jv_list *l, jv attribute, bool case_sensitive, bool reverse)
{
    jv out = hg_jv_list(r, l->n), keys = hg_jv_list(r, l->n);
    for (size_t i = 0; i < l->n && r->failed == HG_OK; i++) {
        hg_jv_push(r, keys, sort_key(r, l->v[i], attribute, case_sensitive));
        hg_jv_push(r, out, l->v[i]);
    }
    if (r->failed == HG_OK) hg_jv_sort(r, out.as.list->v, keys.as.list->v, l->n, reverse);
    return out;
}

static jv f_sort(jrun *r, jv self, const jcall_args *a)
{
    const jv_list *l = hg_jv_items(r, self);
    if (l == NULL) return hg_jv_none();
    return sorted(r, l, a->pos[2], yes(a->pos[1]), yes(a->pos[0]));
}

static jv f_dictsort(jrun *r, jv self, const jcall_args *a)
{
    if (self.kind != JV_DICT)
        return hg_jr_fail(r, "dictsort of %s; it takes a dict", hg_jv_type(self));
    jv pairs = hg_jv_pairs(r, self.as.dict);
    if (r->failed != HG_OK) return pairs;
    bool by_value = !hg_jv_absent(a->pos[1]) && hg_jv_is_text(a->pos[1], "value");
    return sorted(r, pairs.as.list, hg_jv_int(by_value), yes(a->pos[0]), yes(a->pos[2]));
}

static bool is_among(jrun *r, const jv_list *l, jv v)
{
    if (!hg_jr_step(r, l->n / 16)) return true;
    for (size_t i = 0; i < l->n; i++)
        if (hg_jv_equal(r, l->v[i], v)) return true;
    return false;
}

static jv f_unique(jrun *r, jv self, const jcall_args *a)
{
    const jv_list *l = hg_jv_items(r, self);
    jv out = hg_jv_list(r, 0), seen = hg_jv_list(r, 0);
    for (size_t i = 0; l != NULL && i < l->n && hg_jr_step(r, 1); i++) {
        jv key = key_of(r, l->v[i], a->pos[1], yes(a->pos[0]));
        if (r->failed != HG_OK || is_among(r, seen.as.list, key)) continue;
        hg_jv_push(r, seen, key);
        hg_jv_push(r, out, l->v[i]);
    }
    return out;
}

static jv f_groupby(jrun *r, jv self, const jcall_args *a)
{
    const jv_list *l = hg_jv_items(r, self);
    bool exact = yes(a->pos[2]);
    if (l == NULL) return hg_jv_none();
    jv in_order = sorted(r, l, a->pos[0], exact, false), out = hg_jv_list(r, 0);
    jv last = hg_jv_none(), group = hg_jv_none();
    for (size_t i = 0; r->failed == HG_OK && i < in_order.as.list->n; i++) {
        jv item = in_order.as.list->v[i], key = key_of(r, item, a->pos[0], exact);
        if (i == 0 || !hg_jv_equal(r, key, last)) {
            jv pair = hg_jv_tuple(r, 2);
            group = hg_jv_list(r, 0);
            if (r->failed != HG_OK) break;
            hg_jv_push(r, pair, hg_jv_path(r, item, a->pos[0]));
            hg_jv_push(r, pair, group);
            hg_jv_push(r, out, pair);
            last = key;
        }
        hg_jv_push(r, group, item);
    }
    return out;
}

/* ---- rows ---- */
static jv f_batch(jrun *r, jv self, const jcall_args *a)
{
    const jv_list *l = hg_jv_items(r, self);
    int64_t n = hg_js_whole(r, a->pos[0], 0, "batch");
    jv out = hg_jv_list(r, 0), row = hg_jv_none();
    if (n < 1) return hg_jr_fail(r, "batch needs a number of at least 1");
    for (size_t i = 0; l != NULL && i < l->n && r->failed == HG_OK; i++) {
        if (i % (uint64_t)n == 0) {
            row = hg_jv_list(r, 0);
            hg_jv_push(r, out, row);
        }
        hg_jv_push(r, row, l->v[i]);
    }
    while (r->failed == HG_OK && given(a->pos[1]) && row.kind == JV_LIST &&
           row.as.list->n < (uint64_t)n && hg_jr_step(r, 1))
        hg_jv_push(r, row, a->pos[1]);
    return out;
}

static jv f_slice(jrun *r, jv self, const jcall_args *a)
{
    const jv_list *l = hg_jv_items(r, self);
    int64_t n = hg_js_whole(r, a->pos[0], 0, "slice");
    jv out = hg_jv_list(r, 0);
    if (l == NULL || n < 1) return hg_jr_fail(r, "slice needs a number of at least 1");
    size_t each = l->n / (uint64_t)n, more = l->n % (uint64_t)n, at = 0;
    for (size_t k = 0; k < (uint64_t)n && hg_jr_step(r, 1); k++) {
        jv row = hg_jv_list(r, 0);
        size_t end = at + each + (k < more);
        while (at < end && r->failed == HG_OK) hg_jv_push(r, row, l->v[at++]);
        if (given(a->pos[1]) && k >= more) hg_jv_push(r, row, a->pos[1]);
        hg_jv_push(r, out, row);
    }
    return out;
}

const jentry hg_jinja_list_filters[] = {{"length", f_length, ""},
                                        {"count", f_length, ""},
                                        {"list", f_list, ""},
                                        {"first", f_first, ""},
                                        {"last", f_last, ""},
                                        {"join", f_join, "?d attribute"},
                                        {"reverse", f_reverse, ""},
                                        {"items", f_items, ""},
                                        {"sum", f_sum, "?attribute start"},
                                        {"min", f_min, "?case_sensitive attribute"},
                                        {"max", f_max, "?case_sensitive attribute"},
                                        {"sort", f_sort, "?reverse case_sensitive attribute"},
                                        {"dictsort", f_dictsort, "?case_sensitive by reverse"},
                                        {"unique", f_unique, "?case_sensitive attribute"},
                                        {"groupby", f_groupby, "attribute ?default case_sensitive"},
                                        {"batch", f_batch, "linecount ?fill_with"},
                                        {"slice", f_slice, "slices ?fill_with"},
                                        {NULL, NULL, NULL}};
