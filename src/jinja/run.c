/* A rendering's bounds and its strings under way. Everything that a template can make larger is
 * paid for here: steps for work, the arena for memory, the buffer for output. */
#include "jinja/inner.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void hg_jinja_limits_init(hg_jinja_limits *l)
{
    *l = (hg_jinja_limits){
        .max_steps = 20000000, .max_memory = (size_t)512 << 20, .max_output = (size_t)64 << 20};
}

hg_status hg_jinja_run_new(jrun **out, const hg_jinja *t, const hg_jinja_limits *limits, hg_err *e)
{
    *out = NULL;
    jrun *r = hg_alloc(1, sizeof *r);
    if (r == NULL) return hg_fail(e, HG_E_NOMEM, "no room to render a template");
    r->t = t;
    if (limits != NULL)
        r->limits = *limits;
    else
        hg_jinja_limits_init(&r->limits);
    hg_arena_init(&r->mem, 1 << 16);
    hg_jinja_run_reset(r);
    *out = r;
    return HG_OK;
}

void hg_jinja_run_free(jrun *r)
{
    if (r == NULL) return;
    hg_jb_free(&r->main);
    hg_arena_free(&r->mem);
    hg_free(r);
}

void hg_jinja_run_reset(jrun *r)
{
    jrun fresh = {.t = r->t, .limits = r->limits, .mem = r->mem, .main = r->main};
    fresh.steps = r->limits.max_steps;
    hg_buf_clear(&fresh.main.text);
    hg_buf_clear(&fresh.main.mark);
    *r = fresh;
    hg_arena_reset(&r->mem);
    r->scope = &r->root;
    r->out = &r->main;
}

void hg_jinja_set(jrun *r, const char *name, jv value)
{
    const jsym *s = hg_jinja_find_sym(r->t, name, strlen(name));
    if (s != NULL) hg_jr_let(r, &r->root, s, value);
}

void hg_jinja_set_time(jrun *r, int64_t seconds)
{
    r->has_time = true;
    r->time = seconds;
}

/* ---- failures ---- */
static jv fail_with(jrun *r, hg_status status, const char *fmt, va_list args)
{
    char what[400];
    if (r->failed == HG_OK) {
        (void)vsnprintf(what, sizeof what, fmt, args);
        r->failed = hg_jinja_fail_at(r->t->source, r->at, status, &r->err, "%s", what);
    }
    return hg_jv_none();
}

jv hg_jr_fail(jrun *r, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    jv v = fail_with(r, HG_E_FORMAT, fmt, args);
    va_end(args);
    return v;
}

jv hg_jr_limit(jrun *r, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    jv v = fail_with(r, HG_E_LIMIT, fmt, args);
    va_end(args);
    return v;
}

bool hg_jr_step(jrun *r, size_t cost)
{
    if (r->failed != HG_OK) return false;
    if (cost > r->steps) {
        (void)hg_jr_limit(r, "the template does not end: it was stopped after %llu steps",
                          (unsigned long long)r->limits.max_steps);
        return false;
    }
    r->steps -= cost;
    return true;
}

bool hg_jr_enter(jrun *r)
{
    r->depth++;
    if (r->depth > HG_JINJA_MAX_CALLS)
        (void)hg_jr_limit(r,
                          "calls and expressions are over %d levels deep: a macro that calls "
                          "itself must end",
                          HG_JINJA_MAX_CALLS);
    return r->failed == HG_OK;
}

void *hg_jr_room(jrun *r, size_t n, size_t size)
{
    size_t bytes = 0;
    if (r->failed != HG_OK) return NULL;
    if (!hg_mul(n, size, &bytes) || bytes > r->limits.max_memory ||
        r->mem.used > r->limits.max_memory - bytes) {
        (void)hg_jr_limit(r, "the template needs over %zu MiB of memory",
                          r->limits.max_memory >> 20);
        return NULL;
    }
    if (!hg_jr_step(r, bytes / 64)) return NULL;
    void *room = hg_arena_raw(&r->mem, bytes, 1);
    if (room == NULL && r->failed == HG_OK)
        r->failed = hg_fail(&r->err, HG_E_NOMEM, "no room to render a template");
    return room;
}

/* ---- strings under way ---- */
static bool may_grow(jrun *r, const jbuf *b, size_t n)
{
    if (!hg_jr_step(r, n / 64)) return false;
    if (n <= r->limits.max_output && b->text.n <= r->limits.max_output - n) return true;
    (void)hg_jr_limit(r, "the template writes over %zu MiB", r->limits.max_output >> 20);
    return false;
}

static void check_room(jrun *r, const jbuf *b)
{
    if ((b->text.failed || b->mark.failed) && r->failed == HG_OK)
        r->failed = hg_fail(&r->err, HG_E_NOMEM, "no room to render a template");
}

void hg_jb_put(jrun *r, jbuf *b, const char *p, size_t n, uint8_t mark)
{
    if (n == 0 || !may_grow(r, b, n)) return;
    hg_buf_put(&b->text, p, n);
    char *m = hg_buf_room(&b->mark, n);
    if (m != NULL) {
        memset(m, mark, n);
        b->mark.n += n;
    }
    check_room(r, b);
}

void hg_jb_put_str(jrun *r, jbuf *b, const jv_str *s, size_t from, size_t to)
{
    if (from >= to) return;
    if (s->mark == NULL) {
        hg_jb_put(r, b, s->p + from, to - from, s->all);
        return;
    }
    if (!may_grow(r, b, to - from)) return;
    hg_buf_put(&b->text, s->p + from, to - from);
    hg_buf_put(&b->mark, s->mark + from, to - from);
    check_room(r, b);
}

void hg_jb_puts(jrun *r, jbuf *b, const char *text)
{
    hg_jb_put(r, b, text, strlen(text), JV_TRUSTED);
}

jv hg_jb_take(jrun *r, jbuf *b)
{
    size_t n = b->text.n;
    jv_str *s = hg_jr_room(r, 1, sizeof *s);
    char *p = hg_jr_room(r, n > 0 ? n : 1, 2);
    jv out = hg_jv_none();
    if (s != NULL && p != NULL) {
        if (n > 0) memcpy(p, b->text.p, n);
        if (n > 0) memcpy(p + n, b->mark.p, n);
        const uint8_t *mark = (const uint8_t *)p + n;
        bool is_even = true;
        for (size_t i = 1; i < n && is_even; i++) is_even = mark[i] == mark[0];
        *s = (jv_str){p, n, is_even ? NULL : mark, n > 0 && is_even ? mark[0] : JV_TRUSTED};
        out = (jv){JV_STRING, {.s = s}};
    }
    hg_jb_free(b);
    return out;
}

void hg_jb_free(jbuf *b)
{
    hg_buf_free(&b->text);
    hg_buf_free(&b->mark);
}

/* ---- the whole ---- */
hg_status hg_jinja_render(jrun *r, hg_jinja_text *out, hg_err *e)
{
    *out = (hg_jinja_text){{"", 0}, NULL};
    hg_jr_exec(r, r->t->body);
    if (r->failed != HG_OK) return hg_fail(e, r->failed, "%s", r->err.msg);
    if (r->main.text.n == 0) return HG_OK;
    *out = (hg_jinja_text){{r->main.text.p, r->main.text.n}, (const uint8_t *)r->main.mark.p};
    return HG_OK;
}
