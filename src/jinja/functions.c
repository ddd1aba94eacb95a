/* How a built-in function gets its arguments, the functions that every template sees, and which
 * methods a value has. */
#include "jinja/inner.h"
#include "jinja/time.h"
#include <string.h>

const char hg_jinja_absent[] = "absent";

/* ---- arguments by name and by place ---- */
enum { MOST_PARAMS = 8 };

typedef struct params {
    const char *name[MOST_PARAMS];
    size_t len[MOST_PARAMS], n, n_required;
} params;

static params read_params(const char *text)
{
    params p = {.n_required = MOST_PARAMS};
    while (*text != '\0' && p.n < MOST_PARAMS) {
        size_t n = strcspn(text, " ");
        if (*text == '?') {
            p.n_required = p.n;
            text++;
            n--;
        }
        p.name[p.n] = text;
        p.len[p.n++] = n;
        text += n + (text[n] == ' ');
    }
    if (p.n_required > p.n) p.n_required = p.n;
    return p;
}

static bool bind_named(jrun *r, const char *fn, const params *p, const jsym *key, jv value,
                       jv *bound)
{
    for (size_t i = 0; i < p->n; i++) {
        if (p->len[i] != key->n || memcmp(p->name[i], key->text, key->n) != 0) continue;
        if (!hg_jv_absent(bound[i])) {
            (void)hg_jr_fail(r, "%s gets %s twice", fn, key->text);
            return false;
        }
        bound[i] = value;
        return true;
    }
    (void)hg_jr_fail(r, "%s has no argument %s", fn, key->text);
    return false;
}

jv hg_jr_apply(jrun *r, const jentry *entry, jv self, const jcall_args *a)
{
    jv bound[MOST_PARAMS];
    if (r->failed != HG_OK) return hg_jv_none();
    if (entry->params == NULL) return entry->fn(r, self, a);
    params p = read_params(entry->params);
    if (a->n_pos > p.n)
        return hg_jr_fail(r, "%s takes at most %zu arguments, not %zu", entry->name, p.n, a->n_pos);
    for (size_t i = 0; i < p.n; i++)
        bound[i] = i < a->n_pos ? a->pos[i] : hg_jv_undefined(hg_jinja_absent);
    for (size_t i = 0; i < a->n_named; i++)
        if (!bind_named(r, entry->name, &p, a->key[i], a->named[i], bound)) return hg_jv_none();
    for (size_t i = 0; i < p.n_required; i++)
        if (hg_jv_absent(bound[i]))
            return hg_jr_fail(r, "%s needs its argument %.*s", entry->name, (int)p.len[i],
                              p.name[i]);
    return entry->fn(r, self, &(jcall_args){.pos = bound, .n_pos = p.n});
}

/* ---- functions ---- */
static jv range_step(jrun *r, int64_t from, int64_t to, int64_t step)
{
    jv out = hg_jv_list(r, 0);
    if (step == 0) return hg_jr_fail(r, "range with a step of zero");
    for (int64_t i = from; (step > 0 ? i < to : i > to) && hg_jr_step(r, 1);) {
        hg_jv_push(r, out, hg_jv_int(i));
        if (__builtin_add_overflow(i, step, &i)) break;
    }
    return out;
}

static jv fn_range(jrun *r, jv self, const jcall_args *a)
{
    (void)self;
    for (size_t i = 0; i < 3; i++)
        if (!hg_jv_absent(a->pos[i]) && a->pos[i].kind != JV_INT && a->pos[i].kind != JV_BOOL)
            return hg_jr_fail(r, "range takes whole numbers, not %s", hg_jv_type(a->pos[i]));
    int64_t first = hg_jv_whole(a->pos[0]);
    if (hg_jv_absent(a->pos[1])) return range_step(r, 0, first, 1);
    return range_step(r, first, hg_jv_whole(a->pos[1]),
                      hg_jv_absent(a->pos[2]) ? 1 : hg_jv_whole(a->pos[2]));
}

static void put_all(jrun *r, jv to, jv from)
{
    if (from.kind == JV_DICT) {
        for (size_t i = 0; i < from.as.dict->n && r->failed == HG_OK; i++)
            hg_jv_put(r, to, from.as.dict->pair[i].key, from.as.dict->pair[i].value);
        return;
    }
    const jv_list *l = hg_jv_items(r, from);
    for (size_t i = 0; l != NULL && i < l->n && r->failed == HG_OK; i++) {
        const jv_list *pair = hg_jv_items(r, l->v[i]);
        if (pair == NULL || pair->n != 2)
            (void)hg_jr_fail(r, "a dict is made of pairs");
        else
            hg_jv_put(r, to, pair->v[0], pair->v[1]);
    }
}

static jv fn_dict(jrun *r, jv self, const jcall_args *a)
{
    jv d = hg_jv_dict(r, a->n_named);
    (void)self;
    if (r->failed == HG_OK && a->n_pos > 0) put_all(r, d, a->pos[0]);
    for (size_t i = 0; i < a->n_named && r->failed == HG_OK; i++)
        hg_jv_put(r, d, hg_jv_text(r, a->key[i]->text), a->named[i]);
    return d;
}

static jv fn_namespace(jrun *r, jv self, const jcall_args *a)
{
    jv d = fn_dict(r, self, a);
    if (d.kind == JV_DICT) d.kind = JV_NAMESPACE;
    return d;
}

static jv counting(jrun *r, jcall_kind kind, const char *name, jv self)
{
    jv_call *c = hg_jr_room(r, 1, sizeof *c);
    size_t *count = hg_jr_room(r, 1, sizeof *count);
    if (c == NULL || count == NULL) return hg_jv_none();
    *count = 0;
    *c = (jv_call){.kind = kind, .name = name, .self = self, .count = count};
    return (jv){JV_CALL, {.call = c}};
}

static jv fn_cycler(jrun *r, jv self, const jcall_args *a)
{
    jv items = hg_jv_tuple(r, a->n_pos);
    (void)self;
    if (a->n_pos == 0) return hg_jr_fail(r, "cycler needs at least one item");
    for (size_t i = 0; i < a->n_pos; i++) hg_jv_push(r, items, a->pos[i]);
    return counting(r, CALL_CYCLER, "cycler", items);
}

static jv fn_joiner(jrun *r, jv self, const jcall_args *a)
{
    (void)self;
    return counting(r, CALL_JOINER, "joiner",
                    hg_jv_absent(a->pos[0]) ? hg_jv_text(r, ", ") : a->pos[0]);
}

static jv fn_raise(jrun *r, jv self, const jcall_args *a)
{
    jv said = hg_jv_str(r, a->pos[0]);
    (void)self;
    if (r->failed != HG_OK) return hg_jv_none();
    (void)hg_jr_fail(r, "the template says: %.*s", (int)(said.as.s->n < 300 ? said.as.s->n : 300),
                     said.as.s->p);
    r->failed = HG_E_ARG; /* what it was given is wrong, not the template */
    return hg_jv_none();
}

static jv fn_strftime_now(jrun *r, jv self, const jcall_args *a)
{
    (void)self;
    if (a->pos[0].kind != JV_STRING)
        return hg_jr_fail(r, "strftime_now takes a format, such as \"%%Y-%%m-%%d\"");
    if (!r->has_time) return hg_jr_fail(r, "strftime_now: nobody said what time it is");
    jbuf b = {0};
    hg_jinja_strftime(r, &b, a->pos[0].as.s, r->time);
    return hg_jb_take(r, &b);
}

static const jentry globals[] = {{"range", fn_range, "start ?stop step"},
                                 {"namespace", fn_namespace, NULL},
                                 {"dict", fn_dict, NULL},
                                 {"cycler", fn_cycler, NULL},
                                 {"joiner", fn_joiner, "?sep"},
                                 {"raise_exception", fn_raise, "message"},
                                 {"strftime_now", fn_strftime_now, "format"},
                                 {NULL, NULL, NULL}};

/* ---- methods of loops and cyclers ---- */
static jv loop_cycle(jrun *r, jv self, const jcall_args *a)
{
    if (a->n_pos == 0) return hg_jr_fail(r, "loop.cycle needs at least one item");
    return a->pos[self.as.loop->i % a->n_pos];
}

static jv loop_changed(jrun *r, jv self, const jcall_args *a)
{
    jv_loop *l = self.as.loop;
    jv now = hg_jv_tuple(r, a->n_pos);
    for (size_t i = 0; i < a->n_pos; i++) hg_jv_push(r, now, a->pos[i]);
    bool has = !l->has_changed || !hg_jv_equal(r, l->changed, now);
    l->has_changed = true;
    l->changed = now;
    return hg_jv_bool(has);
}

static jv cycler_next(jrun *r, jv self, const jcall_args *a)
{
    const jv_call *c = self.as.call;
    (void)r;
    (void)a;
    return c->self.as.list->v[(*c->count)++ % c->self.as.list->n];
}

static jv cycler_reset(jrun *r, jv self, const jcall_args *a)
{
    (void)r;
    (void)a;
    *self.as.call->count = 0;
    return hg_jv_none();
}

static const jentry loop_methods[] = {
    {"cycle", loop_cycle, NULL}, {"changed", loop_changed, NULL}, {NULL, NULL, NULL}};
static const jentry cycler_methods[] = {
    {"next", cycler_next, ""}, {"reset", cycler_reset, ""}, {NULL, NULL, NULL}};

/* ---- finding ---- */
static const jentry *find(const jentry *table, const char *name, size_t n)
{
    for (; table->name != NULL; table++)
        if (strlen(table->name) == n && memcmp(table->name, name, n) == 0) return table;
    return NULL;
}

const jentry *hg_jinja_global(const char *name)
{
    return find(globals, name, strlen(name));
}

const jentry *hg_jinja_method(jv v, const char *name, size_t n)
{
    const jentry *m = NULL;
    switch (v.kind) {
    case JV_STRING:
        m = find(hg_jinja_text_methods, name, n);
        return m != NULL ? m : find(hg_jinja_shape_methods, name, n);
    case JV_LIST:
    case JV_TUPLE:
        return find(hg_jinja_list_methods, name, n);
    case JV_DICT:
        return find(hg_jinja_dict_methods, name, n);
    case JV_LOOP:
        return find(loop_methods, name, n);
    case JV_CALL:
        return v.as.call->kind == CALL_CYCLER ? find(cycler_methods, name, n) : NULL;
    default:
        return NULL;
    }
}

static const jentry *const filter_tables[] = {hg_jinja_text_filters, hg_jinja_list_filters,
                                              hg_jinja_value_filters};
enum { TABLE_ROOM = 256 };

uint32_t hg_jinja_filter_index(const char *name)
{
    for (uint32_t t = 0; t < sizeof filter_tables / sizeof *filter_tables; t++) {
        const jentry *found = find(filter_tables[t], name, strlen(name));
        if (found != NULL) return t * TABLE_ROOM + (uint32_t)(found - filter_tables[t]);
    }
    return NO_INDEX;
}

jv hg_jinja_apply_filter(jrun *r, uint32_t index, const char *name, jv self, const jcall_args *a)
{
    if (index == NO_INDEX) return hg_jr_fail(r, "there is no filter %s", name);
    return hg_jr_apply(r, &filter_tables[index / TABLE_ROOM][index % TABLE_ROOM], self, a);
}
