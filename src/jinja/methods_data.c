/* The methods of Python's lists, tuples and dicts. transformers forbids templates to change what
 * they were given; here a rendering owns its values, so that changing them harms nobody. */
#include "jinja/inner.h"
#include "jinja/sort.h"
#include "jinja/strings.h"
#include <string.h>

/* ---- lists ---- */
static bool is_open(jrun *r, jv self)
{
    if (self.kind == JV_LIST) return true;
    (void)hg_jr_fail(r, "a tuple does not change; a list does");
    return false;
}

static jv l_append(jrun *r, jv self, const jcall_args *a)
{
    if (is_open(r, self)) hg_jv_push(r, self, a->pos[0]);
    return hg_jv_none();
}

static jv l_extend(jrun *r, jv self, const jcall_args *a)
{
    const jv_list *l = hg_jv_items(r, a->pos[0]);
    size_t n = l != NULL ? l->n : 0; /* a list may be extended by itself */
    for (size_t i = 0; i < n && is_open(r, self); i++) hg_jv_push(r, self, l->v[i]);
    return hg_jv_none();
}

static size_t place(const jv_list *l, int64_t i)
{
    int64_t n = (int64_t)l->n;
    if (i < 0) i = i + n > 0 ? i + n : 0;
    return (size_t)(i < n ? i : n);
}

static jv l_insert(jrun *r, jv self, const jcall_args *a)
{
    int64_t where = hg_js_whole(r, a->pos[0], 0, "insert");
    if (r->failed != HG_OK || !is_open(r, self)) return hg_jv_none();
    size_t at = place(self.as.list, where);
    hg_jv_push(r, self, a->pos[1]);
    jv_list *l = self.as.list;
    if (r->failed != HG_OK || !hg_jr_step(r, l->n / 16)) return hg_jv_none();
    memmove(l->v + at + 1, l->v + at, (l->n - 1 - at) * sizeof *l->v);
    l->v[at] = a->pos[1];
    return hg_jv_none();
}

static void remove_at(jv_list *l, size_t at)
{
    memmove(l->v + at, l->v + at + 1, (l->n - at - 1) * sizeof *l->v);
    l->n--;
}

static jv l_pop(jrun *r, jv self, const jcall_args *a)
{
    int64_t where = hg_js_whole(r, a->pos[0], -1, "pop");
    if (r->failed != HG_OK || !is_open(r, self)) return hg_jv_none();
    jv_list *l = self.as.list;
    if (where < 0) where += (int64_t)l->n;
    if (where < 0 || (uint64_t)where >= l->n) return hg_jr_fail(r, "pop: there is no such item");
    jv v = l->v[where];
    if (hg_jr_step(r, l->n / 16)) remove_at(l, (size_t)where);
    return v;
}

/* The first place of an item, or l->n. */
static size_t find(jrun *r, const jv_list *l, jv item)
{
    size_t i = 0;
    while (i < l->n && hg_jr_step(r, 1) && !hg_jv_equal(r, l->v[i], item)) i++;
    return i;
}

static jv l_remove(jrun *r, jv self, const jcall_args *a)
{
    if (!is_open(r, self)) return hg_jv_none();
    size_t at = find(r, self.as.list, a->pos[0]);
    if (at == self.as.list->n) return hg_jr_fail(r, "remove: the item is not there");
    if (r->failed == HG_OK) remove_at(self.as.list, at);
    return hg_jv_none();
}

static jv l_index(jrun *r, jv self, const jcall_args *a)
{
    size_t at = find(r, self.as.list, a->pos[0]);
    if (at == self.as.list->n) return hg_jr_fail(r, "index: the item is not there");
    return hg_jv_int((int64_t)at);
}

static jv l_count(jrun *r, jv self, const jcall_args *a)
{
    int64_t n = 0;
    for (size_t i = 0; i < self.as.list->n && hg_jr_step(r, 1); i++)
        n += hg_jv_equal(r, self.as.list->v[i], a->pos[0]);
    return hg_jv_int(n);
}

static jv l_copy(jrun *r, jv self, const jcall_args *a)
{
    jv out = hg_jv_list(r, self.as.list->n);
    (void)a;
    for (size_t i = 0; i < self.as.list->n; i++) hg_jv_push(r, out, self.as.list->v[i]);
    return out;
}

static jv l_clear(jrun *r, jv self, const jcall_args *a)
{
    (void)a;
    if (is_open(r, self)) self.as.list->n = 0;
    return hg_jv_none();
}

static jv l_reverse(jrun *r, jv self, const jcall_args *a)
{
    (void)a;
    if (!is_open(r, self)) return hg_jv_none();
    jv_list *l = self.as.list;
    for (size_t i = 0; i < l->n / 2 && hg_jr_step(r, 1); i++) {
        jv v = l->v[i];
        l->v[i] = l->v[l->n - 1 - i];
        l->v[l->n - 1 - i] = v;
    }
    return hg_jv_none();
}

static jv l_sort(jrun *r, jv self, const jcall_args *a)
{
    bool reverse = !hg_jv_absent(a->pos[0]) && hg_jv_truth(a->pos[0]);
    if (is_open(r, self)) hg_jv_sort(r, self.as.list->v, self.as.list->v, self.as.list->n, reverse);
    return hg_jv_none();
}

/* ---- dicts ---- */
jv hg_jv_pairs(jrun *r, const jv_dict *d)
{
    jv out = hg_jv_list(r, d->n);
    for (size_t i = 0; i < d->n && hg_jr_step(r, 1); i++) {
        jv pair = hg_jv_tuple(r, 2);
        if (r->failed != HG_OK) break;
        hg_jv_push(r, pair, d->pair[i].key);
        hg_jv_push(r, pair, d->pair[i].value);
        hg_jv_push(r, out, pair);
    }
    return out;
}

static jv d_items(jrun *r, jv self, const jcall_args *a)
{
    (void)a;
    return hg_jv_pairs(r, self.as.dict);
}

static jv d_keys(jrun *r, jv self, const jcall_args *a)
{
    jv out = hg_jv_list(r, self.as.dict->n);
    (void)a;
    for (size_t i = 0; i < self.as.dict->n; i++) hg_jv_push(r, out, self.as.dict->pair[i].key);
    return out;
}

static jv d_values(jrun *r, jv self, const jcall_args *a)
{
    jv out = hg_jv_list(r, self.as.dict->n);
    (void)a;
    for (size_t i = 0; i < self.as.dict->n; i++) hg_jv_push(r, out, self.as.dict->pair[i].value);
    return out;
}

static jv d_get(jrun *r, jv self, const jcall_args *a)
{
    const jv *found = hg_jv_find(r, self.as.dict, a->pos[0]);
    if (found != NULL) return *found;
    return hg_jv_absent(a->pos[1]) ? hg_jv_none() : a->pos[1];
}

static jv d_setdefault(jrun *r, jv self, const jcall_args *a)
{
    const jv *found = hg_jv_find(r, self.as.dict, a->pos[0]);
    if (found != NULL) return *found;
    jv v = hg_jv_absent(a->pos[1]) ? hg_jv_none() : a->pos[1];
    hg_jv_put(r, self, a->pos[0], v);
    return v;
}

static jv take_pair(jv_dict *d, size_t at)
{
    jv v = d->pair[at].value;
    memmove(d->pair + at, d->pair + at + 1, (d->n - at - 1) * sizeof *d->pair);
    d->n--;
    return v;
}

static jv d_pop(jrun *r, jv self, const jcall_args *a)
{
    const jv *found = hg_jv_find(r, self.as.dict, a->pos[0]);
    jv_dict *d = self.as.dict;
    if (found == NULL)
        return hg_jv_absent(a->pos[1]) ? hg_jr_fail(r, "pop: the key is not there") : a->pos[1];
    for (size_t i = 0; i < d->n; i++)
        if (&d->pair[i].value == found) return take_pair(d, i);
    return hg_jv_none();
}

static jv d_update(jrun *r, jv self, const jcall_args *a)
{
    for (size_t i = 0; i < a->n_pos && r->failed == HG_OK; i++) {
        if (a->pos[i].kind != JV_DICT) return hg_jr_fail(r, "update takes a dict");
        const jv_dict *d = a->pos[i].as.dict;
        size_t n = d->n;
        for (size_t k = 0; k < n && r->failed == HG_OK; k++)
            hg_jv_put(r, self, d->pair[k].key, d->pair[k].value);
    }
    for (size_t i = 0; i < a->n_named && r->failed == HG_OK; i++)
        hg_jv_put(r, self, hg_jv_text(r, a->key[i]->text), a->named[i]);
    return hg_jv_none();
}

static jv d_copy(jrun *r, jv self, const jcall_args *a)
{
    jv out = hg_jv_dict(r, self.as.dict->n);
    (void)a;
    if (r->failed != HG_OK) return out;
    if (self.as.dict->n > 0)
        memcpy(out.as.dict->pair, self.as.dict->pair, self.as.dict->n * sizeof(jv_pair));
    out.as.dict->n = self.as.dict->n;
    return out;
}

static jv d_clear(jrun *r, jv self, const jcall_args *a)
{
    (void)r;
    (void)a;
    self.as.dict->n = 0;
    return hg_jv_none();
}

const jentry hg_jinja_list_methods[] = {
    {"append", l_append, "item"}, {"extend", l_extend, "items"}, {"insert", l_insert, "index item"},
    {"pop", l_pop, "?index"},     {"remove", l_remove, "item"},  {"index", l_index, "item"},
    {"count", l_count, "item"},   {"copy", l_copy, ""},          {"clear", l_clear, ""},
    {"reverse", l_reverse, ""},   {"sort", l_sort, "?reverse"},  {NULL, NULL, NULL}};

const jentry hg_jinja_dict_methods[] = {{"items", d_items, ""},
                                        {"keys", d_keys, ""},
                                        {"values", d_values, ""},
                                        {"get", d_get, "key ?default"},
                                        {"setdefault", d_setdefault, "key ?default"},
                                        {"pop", d_pop, "key ?default"},
                                        {"update", d_update, NULL},
                                        {"copy", d_copy, ""},
                                        {"clear", d_clear, ""},
                                        {NULL, NULL, NULL}};
