/* Values: how they are made, compared, walked and cut. Text is counted in characters, as Python
 * does; a byte that is no UTF-8 counts as one. */
#include "jinja/inner.h"
#include "text/utf8.h"
#include <math.h>
#include <string.h>

/* ---- making ---- */
jv hg_jv_undefined(const char *hint)
{
    return (jv){JV_UNDEFINED, {.hint = hint}};
}

jv hg_jv_none(void)
{
    return (jv){JV_NONE, {.i = 0}};
}

jv hg_jv_bool(bool b)
{
    return (jv){JV_BOOL, {.b = b}};
}

jv hg_jv_int(int64_t i)
{
    return (jv){JV_INT, {.i = i}};
}

jv hg_jv_float(double f)
{
    return (jv){JV_FLOAT, {.f = f}};
}

jv hg_jv_string(jrun *r, hg_bytes text, uint8_t mark)
{
    char *p = hg_jr_room(r, sizeof(jv_str) + text.n, 1);
    if (p == NULL) return hg_jv_none();
    if (text.n > 0) memcpy(p + sizeof(jv_str), text.p, text.n);
    jv_str *s = (jv_str *)(void *)p;
    *s = (jv_str){p + sizeof(jv_str), text.n, NULL, mark};
    return (jv){JV_STRING, {.s = s}};
}

jv hg_jv_text(jrun *r, const char *text)
{
    return hg_jv_string(r, (hg_bytes){text, strlen(text)}, JV_TRUSTED);
}

static jv new_list(jrun *r, jv_kind kind, size_t cap)
{
    jv_list *l = hg_jr_room(r, 1, sizeof *l);
    jv *v = cap > 0 ? hg_jr_room(r, cap, sizeof *v) : NULL;
    if (l == NULL || (cap > 0 && v == NULL)) return hg_jv_none();
    *l = (jv_list){v, 0, cap};
    return (jv){kind, {.list = l}};
}

jv hg_jv_list(jrun *r, size_t cap)
{
    return new_list(r, JV_LIST, cap);
}

jv hg_jv_tuple(jrun *r, size_t cap)
{
    return new_list(r, JV_TUPLE, cap);
}

jv hg_jv_dict(jrun *r, size_t cap)
{
    jv_dict *d = hg_jr_room(r, 1, sizeof *d);
    jv_pair *pair = cap > 0 ? hg_jr_room(r, cap, sizeof *pair) : NULL;
    if (d == NULL || (cap > 0 && pair == NULL)) return hg_jv_none();
    *d = (jv_dict){pair, 0, cap};
    return (jv){JV_DICT, {.dict = d}};
}

void hg_jv_push(jrun *r, jv list, jv item)
{
    if (r->failed != HG_OK) return;
    jv_list *l = list.as.list;
    if (l->n == l->cap) {
        size_t cap = l->cap > 0 ? l->cap * 2 : 4;
        jv *grown = hg_jr_room(r, cap, sizeof *grown);
        if (grown == NULL) return;
        if (l->n > 0) memcpy(grown, l->v, l->n * sizeof *grown);
        l->v = grown;
        l->cap = cap;
    }
    l->v[l->n++] = item;
}

static void append_pair(jrun *r, jv_dict *d, jv key, jv value)
{
    if (d->n == d->cap) {
        size_t cap = d->cap > 0 ? d->cap * 2 : 4;
        jv_pair *grown = hg_jr_room(r, cap, sizeof *grown);
        if (grown == NULL) return;
        if (d->n > 0) memcpy(grown, d->pair, d->n * sizeof *grown);
        d->pair = grown;
        d->cap = cap;
    }
    d->pair[d->n++] = (jv_pair){key, value};
}

void hg_jv_put(jrun *r, jv dict, jv key, jv value)
{
    if (r->failed != HG_OK) return;
    jv_dict *d = dict.as.dict;
    if (key.kind >= JV_LIST && key.kind != JV_TUPLE) {
        (void)hg_jr_fail(r, "a %s cannot be a key; text or a number can", hg_jv_type(key));
        return;
    }
    if (!hg_jr_step(r, d->n / 16)) return;
    for (size_t i = 0; i < d->n; i++)
        if (hg_jv_equal(r, d->pair[i].key, key)) {
            d->pair[i].value = value;
            return;
        }
    append_pair(r, d, key, value);
}

void hg_jv_put_text(jrun *r, jv dict, const char *key, jv v)
{
    jv k = hg_jv_text(r, key);
    if (r->failed == HG_OK) append_pair(r, dict.as.dict, k, v);
}

static jv from_object(jrun *r, const json_t *tree, uint8_t mark)
{
    jv d = hg_jv_dict(r, json_object_size(tree));
    void *o = (void *)(uintptr_t)tree; /* jansson's iterators take it unqualified, and only read */
    for (void *it = json_object_iter(o); it != NULL && r->failed == HG_OK;
         it = json_object_iter_next(o, it)) {
        hg_bytes key = {json_object_iter_key(it), strlen(json_object_iter_key(it))};
        jv k = hg_jv_string(r, key, mark), v = hg_jv_from_json(r, json_object_iter_value(it), mark);
        if (r->failed == HG_OK) append_pair(r, d.as.dict, k, v);
    }
    return d;
}

jv hg_jv_from_json(jrun *r, const json_t *tree, uint8_t mark)
{
    if (tree == NULL || !hg_jr_step(r, 1)) return hg_jv_none();
    switch (json_typeof(tree)) {
    case JSON_OBJECT:
        return from_object(r, tree, mark);
    case JSON_ARRAY: {
        jv l = hg_jv_list(r, json_array_size(tree));
        for (size_t i = 0; i < json_array_size(tree) && r->failed == HG_OK; i++)
            hg_jv_push(r, l, hg_jv_from_json(r, json_array_get(tree, i), mark));
        return l;
    }
    case JSON_STRING:
        return hg_jv_string(r, (hg_bytes){json_string_value(tree), json_string_length(tree)}, mark);
    case JSON_INTEGER:
        return hg_jv_int(json_integer_value(tree));
    case JSON_REAL:
        return hg_jv_float(json_real_value(tree));
    case JSON_TRUE:
    case JSON_FALSE:
        return hg_jv_bool(json_is_true(tree));
    case JSON_NULL:
        break;
    }
    return hg_jv_none();
}

/* ---- kinds ---- */
const char *hg_jv_type(jv v)
{
    static const char *const names[] = {
        "undefined value", "None", "bool",      "int",  "float",   "str", "list",
        "tuple",           "dict", "namespace", "loop", "function"};
    return names[v.kind];
}

bool hg_jv_truth(jv v)
{
    switch (v.kind) {
    case JV_UNDEFINED:
    case JV_NONE:
        return false;
    case JV_BOOL:
        return v.as.b;
    case JV_INT:
        return v.as.i != 0;
    case JV_FLOAT:
        return v.as.f != 0;
    case JV_STRING:
        return v.as.s->n > 0;
    case JV_LIST:
    case JV_TUPLE:
        return v.as.list->n > 0;
    case JV_DICT:
        return v.as.dict->n > 0;
    case JV_NAMESPACE:
    case JV_LOOP:
    case JV_CALL:
        break;
    }
    return true;
}

bool hg_jv_is_number(jv v)
{
    return v.kind == JV_BOOL || v.kind == JV_INT || v.kind == JV_FLOAT;
}

double hg_jv_double(jv v)
{
    return v.kind == JV_FLOAT ? v.as.f : (double)hg_jv_whole(v);
}

int64_t hg_jv_whole(jv v)
{
    return v.kind == JV_BOOL ? (int64_t)v.as.b : v.as.i;
}

bool hg_jv_is_text(jv v, const char *text)
{
    return v.kind == JV_STRING && v.as.s->n == strlen(text) &&
           memcmp(v.as.s->p, text, v.as.s->n) == 0;
}

/* ---- comparing ---- */
static int compare_numbers(jv a, jv b)
{
    if (a.kind != JV_FLOAT && b.kind != JV_FLOAT) {
        int64_t x = hg_jv_whole(a), y = hg_jv_whole(b);
        return (x > y) - (x < y);
    }
    double x = hg_jv_double(a), y = hg_jv_double(b);
    return (x > y) - (x < y);
}

static bool equal_lists(jrun *r, const jv_list *a, const jv_list *b)
{
    if (a == b) return true;
    if (a->n != b->n) return false;
    for (size_t i = 0; i < a->n; i++)
        if (!hg_jv_equal(r, a->v[i], b->v[i])) return false;
    return true;
}

static bool equal_dicts(jrun *r, const jv_dict *a, const jv_dict *b)
{
    if (a == b) return true;
    if (a->n != b->n) return false;
    for (size_t i = 0; i < a->n; i++) {
        const jv *other = hg_jv_find(r, b, a->pair[i].key);
        if (other == NULL || !hg_jv_equal(r, a->pair[i].value, *other)) return false;
    }
    return true;
}

static bool equal_deep(jrun *r, jv a, jv b)
{
    bool same = false;
    if (hg_jr_enter(r) && hg_jr_step(r, 1))
        same = a.kind == JV_DICT ? equal_dicts(r, a.as.dict, b.as.dict)
                                 : equal_lists(r, a.as.list, b.as.list);
    r->depth--;
    return same;
}

bool hg_jv_equal(jrun *r, jv a, jv b)
{
    if (hg_jv_is_number(a) && hg_jv_is_number(b)) {
        if (a.kind == JV_FLOAT || b.kind == JV_FLOAT)
            return !(hg_jv_double(a) < hg_jv_double(b)) && !(hg_jv_double(a) > hg_jv_double(b)) &&
                   !isnan(hg_jv_double(a)) && !isnan(hg_jv_double(b));
        return hg_jv_whole(a) == hg_jv_whole(b);
    }
    if (a.kind != b.kind) return false;
    switch (a.kind) {
    case JV_STRING:
        return hg_jr_step(r, a.as.s->n / 64) && a.as.s->n == b.as.s->n &&
               memcmp(a.as.s->p, b.as.s->p, a.as.s->n) == 0;
    case JV_LIST:
    case JV_TUPLE:
    case JV_DICT:
        return equal_deep(r, a, b);
    case JV_UNDEFINED:
    case JV_NONE:
        return true;
    default:
        return a.as.dict == b.as.dict; /* the same object */
    }
}

static int compare_text(const jv_str *a, const jv_str *b)
{
    size_t n = a->n < b->n ? a->n : b->n;
    int d = n > 0 ? memcmp(a->p, b->p, n) : 0;
    return d != 0 ? (d > 0) - (d < 0) : (a->n > b->n) - (a->n < b->n);
}

static int compare_lists(jrun *r, const jv_list *a, const jv_list *b)
{
    size_t n = a->n < b->n ? a->n : b->n;
    for (size_t i = 0; i < n; i++)
        if (!hg_jv_equal(r, a->v[i], b->v[i])) return hg_jv_compare(r, a->v[i], b->v[i]);
    return (a->n > b->n) - (a->n < b->n);
}

int hg_jv_compare(jrun *r, jv a, jv b)
{
    int d = 0;
    if (hg_jv_is_number(a) && hg_jv_is_number(b)) return compare_numbers(a, b);
    if (a.kind == JV_STRING && b.kind == JV_STRING)
        return hg_jr_step(r, a.as.s->n / 64) ? compare_text(a.as.s, b.as.s) : 0;
    if (a.kind != b.kind || (a.kind != JV_LIST && a.kind != JV_TUPLE)) {
        (void)hg_jr_fail(r, "%s and %s have no order; two numbers or two texts do", hg_jv_type(a),
                         hg_jv_type(b));
        return 0;
    }
    if (hg_jr_enter(r) && hg_jr_step(r, 1)) d = compare_lists(r, a.as.list, b.as.list);
    r->depth--;
    return d;
}

/* ---- finding and walking ---- */
const jv *hg_jv_find(jrun *r, const jv_dict *d, jv key)
{
    if (!hg_jr_step(r, 1 + d->n / 16)) return NULL;
    for (size_t i = 0; i < d->n; i++)
        if (hg_jv_equal(r, d->pair[i].key, key)) return &d->pair[i].value;
    return NULL;
}

const jv *hg_jv_find_text(const jv_dict *d, const char *key, size_t n)
{
    for (size_t i = 0; i < d->n; i++) {
        jv k = d->pair[i].key;
        if (k.kind == JV_STRING && k.as.s->n == n && memcmp(k.as.s->p, key, n) == 0)
            return &d->pair[i].value;
    }
    return NULL;
}

static jv chars_of(jrun *r, const jv_str *s)
{
    jv l = hg_jv_list(r, hg_jv_chars(s));
    for (size_t i = 0; i < s->n && r->failed == HG_OK;) {
        size_t next = hg_jv_char_at(s, i, 1);
        hg_jv_push(r, l, hg_jv_part(r, s, i, next));
        i = next;
    }
    return l;
}

const jv_list *hg_jv_items(jrun *r, jv v)
{
    static const jv_list none = {NULL, 0, 0};
    jv l = hg_jv_none();
    switch (v.kind) {
    case JV_UNDEFINED:
        return &none;
    case JV_LIST:
    case JV_TUPLE:
        return v.as.list;
    case JV_STRING:
        l = chars_of(r, v.as.s);
        break;
    case JV_DICT:
        l = hg_jv_list(r, v.as.dict->n);
        for (size_t i = 0; i < v.as.dict->n; i++) hg_jv_push(r, l, v.as.dict->pair[i].key);
        break;
    default:
        (void)hg_jr_fail(r, "%s cannot be walked through; a list, a dict or text can",
                         hg_jv_type(v));
    }
    return r->failed == HG_OK ? l.as.list : NULL;
}

bool hg_jv_length(jv v, size_t *out)
{
    switch (v.kind) {
    case JV_UNDEFINED:
        *out = 0;
        return true;
    case JV_STRING:
        *out = hg_jv_chars(v.as.s);
        return true;
    case JV_LIST:
    case JV_TUPLE:
        *out = v.as.list->n;
        return true;
    case JV_DICT:
        *out = v.as.dict->n;
        return true;
    default:
        return false;
    }
}

/* ---- text ---- */
size_t hg_jv_chars(const jv_str *s)
{
    return hg_utf8_count((hg_bytes){s->p, s->n});
}

size_t hg_jv_char_at(const jv_str *s, size_t from, size_t chars)
{
    uint32_t c;
    while (chars-- > 0 && from < s->n) from += hg_utf8_step(s->p + from, s->p + s->n, &c);
    return from;
}

jv hg_jv_part(jrun *r, const jv_str *s, size_t from, size_t to)
{
    jv_str *part = hg_jr_room(r, 1, sizeof *part);
    if (part == NULL) return hg_jv_none();
    if (from > to) from = to;
    *part = (jv_str){s->p + from, to - from, s->mark != NULL ? s->mark + from : NULL, s->all};
    return (jv){JV_STRING, {.s = part}};
}

static void put_marks(uint8_t *to, const jv_str *s)
{
    if (s->n == 0) return;
    if (s->mark != NULL)
        memcpy(to, s->mark, s->n);
    else
        memset(to, s->all, s->n);
}

jv hg_jv_join(jrun *r, const jv_str *a, const jv_str *b)
{
    bool is_even =
        a->mark == NULL && b->mark == NULL && (a->all == b->all || a->n == 0 || b->n == 0);
    size_t n = a->n + b->n;
    jv_str *s = hg_jr_room(r, 1, sizeof *s);
    char *p = hg_jr_room(r, n > 0 ? n : 1, is_even ? 1 : 2);
    if (s == NULL || p == NULL) return hg_jv_none();
    if (a->n > 0) memcpy(p, a->p, a->n);
    if (b->n > 0) memcpy(p + a->n, b->p, b->n);
    *s = (jv_str){p, n, NULL, a->n > 0 ? a->all : b->all};
    if (!is_even) {
        uint8_t *mark = (uint8_t *)p + n;
        put_marks(mark, a);
        put_marks(mark + a->n, b);
        s->mark = mark;
    }
    return (jv){JV_STRING, {.s = s}};
}
