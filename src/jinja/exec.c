/* Statements: what a template does. Names live in scopes as in Jinja2: the body of a loop, a macro,
 * a block that is captured and `with` have one of their own, `if` has none, and what is set inside
 * is forgotten outside. */
#include "jinja/inner.h"
#include <string.h>

static jscope *push_scope(jrun *r)
{
    jscope *s = hg_jr_room(r, 1, sizeof *s);
    if (s == NULL) return NULL;
    *s = (jscope){.up = r->scope};
    r->scope = s;
    return s;
}

/* ---- assignment ---- */
static void assign(jrun *r, const jnode *target, jv value);

static void unpack(jrun *r, const jnode *target, jv value)
{
    const jv_list *l = hg_jv_items(r, value);
    if (l == NULL) return;
    if (l->n != target->n) {
        (void)hg_jr_fail(r, "%zu values for %u names", l->n, target->n);
        return;
    }
    for (uint32_t i = 0; i < target->n; i++) assign(r, target->list[i], l->v[i]);
}

static void assign(jrun *r, const jnode *target, jv value)
{
    if (r->failed != HG_OK) return;
    r->at = target->at;
    if (target->kind == N_NAME) {
        hg_jr_let(r, r->scope, target->name, value);
    } else if (target->kind == N_TUPLE) {
        unpack(r, target, value);
    } else {
        jv space = hg_jr_eval(r, target->a);
        r->at = target->at;
        if (space.kind != JV_NAMESPACE) {
            (void)hg_jr_fail(r, "%s takes no attributes; only a namespace() does",
                             hg_jv_type(space));
            return;
        }
        jv key = hg_jv_string(r, (hg_bytes){target->name->text, target->name->n}, JV_TRUSTED);
        hg_jv_put(r, space, key, value);
    }
}

/* ---- captures ---- */
static jv capture(jrun *r, const jnode *body)
{
    jbuf text = {0}, *out = r->out;
    jscope *scope = r->scope;
    r->out = &text;
    if (push_scope(r) != NULL) hg_jr_exec(r, body);
    r->out = out;
    r->scope = scope;
    return hg_jb_take(r, &text);
}

static jv capture_through(jrun *r, const jnode *body, const jnode *filters)
{
    jv before = r->hole, text = capture(r, body);
    r->hole = text;
    jv v = hg_jr_eval(r, filters);
    r->hole = before;
    return v;
}

/* ---- macros ---- */
static jv make_macro(jrun *r, const jmacro *m)
{
    jv_call *c = hg_jr_room(r, 1, sizeof *c);
    if (c == NULL) return hg_jv_none();
    *c = (jv_call){.kind = CALL_MACRO, .name = m->name->text, .macro = m, .scope = r->scope};
    r->n_closures++;
    return (jv){JV_CALL, {.call = c}};
}

static const jv *named_arg(const jcall_args *a, const jsym *name)
{
    for (size_t i = 0; i < a->n_named; i++)
        if (a->key[i] == name) return &a->named[i];
    return NULL;
}

static bool is_param(const jmacro *m, const jsym *name)
{
    for (uint32_t i = 0; i < m->n; i++)
        if (m->param[i] == name) return true;
    return false;
}

/* What no parameter takes: caller, and varargs and kwargs where the macro asks for them. */
static void bind_rest(jrun *r, const jmacro *m, const jcall_args *a)
{
    const hg_jinja *t = r->t;
    if (a->n_pos > m->n && !m->uses_varargs) {
        (void)hg_jr_fail(r, "the macro %s takes at most %u arguments, not %zu", m->name->text, m->n,
                         a->n_pos);
        return;
    }
    if (m->uses_varargs) {
        jv rest = hg_jv_tuple(r, 0);
        for (size_t i = m->n; i < a->n_pos; i++) hg_jv_push(r, rest, a->pos[i]);
        hg_jr_let(r, r->scope, t->varargs, rest);
    }
    jv kwargs = m->uses_kwargs ? hg_jv_dict(r, 0) : hg_jv_none();
    for (size_t i = 0; i < a->n_named && r->failed == HG_OK; i++) {
        const jsym *name = a->key[i];
        if (is_param(m, name)) continue;
        if (name == t->caller)
            hg_jr_let(r, r->scope, name, a->named[i]);
        else if (m->uses_kwargs)
            hg_jv_put(r, kwargs, hg_jv_text(r, name->text), a->named[i]);
        else
            (void)hg_jr_fail(r, "the macro %s has no parameter %s", m->name->text, name->text);
    }
    if (m->uses_kwargs) hg_jr_let(r, r->scope, t->kwargs, kwargs);
}

static void bind_params(jrun *r, const jmacro *m, const jcall_args *a)
{
    for (uint32_t i = 0; i < m->n && r->failed == HG_OK; i++) {
        const jv *named = named_arg(a, m->param[i]);
        if (named != NULL && i < a->n_pos) {
            (void)hg_jr_fail(r, "the macro %s gets its parameter %s twice", m->name->text,
                             m->param[i]->text);
            return;
        }
        jv v = i < a->n_pos           ? a->pos[i]
               : named != NULL        ? *named
               : m->preset[i] != NULL ? hg_jr_eval(r, m->preset[i])
                                      : hg_jv_undefined(m->param[i]->text);
        hg_jr_let(r, r->scope, m->param[i], v);
    }
}

jv hg_jr_macro(jrun *r, const jv_call *c, const jcall_args *a)
{
    jscope *before = r->scope;
    jbuf text = {0}, *out = r->out;
    r->scope = c->scope;
    r->out = &text;
    if (push_scope(r) != NULL) {
        bind_params(r, c->macro, a);
        bind_rest(r, c->macro, a);
        if (r->failed == HG_OK) hg_jr_exec(r, c->macro->body);
    }
    r->out = out;
    r->scope = before;
    return hg_jb_take(r, &text);
}

/* ---- loops ---- */
/* The items that pass the loop's condition. */
static const jv_list *chosen(jrun *r, const jnode *n, const jv_list *all)
{
    jscope *before = r->scope;
    jv out = hg_jv_list(r, 0);
    for (size_t i = 0; i < all->n && r->failed == HG_OK; i++) {
        if (push_scope(r) == NULL) break;
        assign(r, n->a, all->v[i]);
        if (hg_jv_truth(hg_jr_eval(r, n->c))) hg_jv_push(r, out, all->v[i]);
        r->scope = before;
    }
    r->scope = before;
    return r->failed == HG_OK ? out.as.list : NULL;
}

static void run_loop(jrun *r, const jnode *n, jv_loop *loop)
{
    jscope *before = r->scope;
    jscope *s = push_scope(r);
    size_t closures = r->n_closures;
    jv self = {JV_LOOP, {.loop = loop}};
    for (; s != NULL && loop->i < loop->items->n && hg_jr_step(r, 1); loop->i++) {
        if (r->n_closures != closures) { /* a macro of the last round still sees its names */
            r->scope = before;
            if ((s = push_scope(r)) == NULL) break;
            closures = r->n_closures;
        }
        s->n = 0;
        assign(r, n->a, loop->items->v[loop->i]);
        hg_jr_let(r, s, r->t->loop, self);
        hg_jr_exec(r, n->list[0]);
        jflow flow = r->flow;
        r->flow = FLOW_ON;
        if (flow == FLOW_BREAK) break;
    }
    r->scope = before;
}

static void exec_for(jrun *r, const jnode *n)
{
    jv over = hg_jr_eval(r, n->b);
    r->at = n->at;
    const jv_list *items = hg_jv_items(r, over);
    if (items != NULL && n->c != NULL) items = chosen(r, n, items);
    jv_loop *loop = items != NULL ? hg_jr_room(r, 1, sizeof *loop) : NULL;
    if (loop == NULL) return;
    if (items->n == 0) {
        if (n->n < 2) return;
        jscope *before = r->scope;
        if (push_scope(r) != NULL) hg_jr_exec(r, n->list[1]);
        r->scope = before;
        return;
    }
    *loop = (jv_loop){.items = items, .depth = ++r->n_loops};
    run_loop(r, n, loop);
    r->n_loops--;
}

/* ---- the other statements ---- */
static void exec_if(jrun *r, const jnode *n)
{
    for (uint32_t i = 0; i + 1 < n->n && r->failed == HG_OK; i += 2)
        if (hg_jv_truth(hg_jr_eval(r, n->list[i]))) {
            hg_jr_exec(r, n->list[i + 1]);
            return;
        }
    if (n->c != NULL) hg_jr_exec(r, n->c);
}

static void exec_with(jrun *r, const jnode *n)
{
    jscope *before = r->scope;
    jv value[16];
    uint32_t n_values = n->n / 2;
    if (n_values > 16) {
        (void)hg_jr_fail(r, "over 16 names in one with");
        return;
    }
    for (uint32_t i = 0; i < n_values; i++) value[i] = hg_jr_eval(r, n->list[2 * i + 1]);
    if (push_scope(r) != NULL) {
        for (uint32_t i = 0; i < n_values; i++) assign(r, n->list[2 * i], value[i]);
        hg_jr_exec(r, n->c);
    }
    r->scope = before;
}

static void exec_generation(jrun *r, const jnode *n)
{
    jscope *before = r->scope;
    jbuf *out = r->out;
    size_t from = out->mark.n;
    if (push_scope(r) != NULL) hg_jr_exec(r, n->c);
    for (size_t i = from; i < out->mark.n; i++)
        out->mark.p[i] = (char)((unsigned char)out->mark.p[i] | JV_GENERATED);
    r->scope = before;
}

static void exec_body(jrun *r, const jnode *n)
{
    for (uint32_t i = 0; i < n->n && r->failed == HG_OK && r->flow == FLOW_ON; i++)
        hg_jr_exec(r, n->list[i]);
}

static void dispatch(jrun *r, const jnode *n)
{
    switch (n->kind) {
    case N_TEXT:
        hg_jb_put_str(r, r->out, n->value.as.s, 0, n->value.as.s->n);
        break;
    case N_PRINT:
        hg_jv_show(r, r->out, hg_jr_eval(r, n->a));
        break;
    case N_BODY:
        exec_body(r, n);
        break;
    case N_IF:
        exec_if(r, n);
        break;
    case N_FOR:
        exec_for(r, n);
        break;
    case N_SET:
        assign(r, n->a, hg_jr_eval(r, n->b));
        break;
    case N_SET_BLOCK:
        assign(r, n->a, capture_through(r, n->c, n->b));
        break;
    case N_WITH:
        exec_with(r, n);
        break;
    case N_MACRO:
        hg_jr_let(r, r->scope, n->macro->name, make_macro(r, n->macro));
        break;
    case N_CALLER:
        hg_jv_show(r, r->out, hg_jr_call_with(r, n->a, r->t->caller, make_macro(r, n->macro)));
        break;
    case N_FILTER_BLOCK:
        hg_jv_show(r, r->out, capture_through(r, n->c, n->b));
        break;
    case N_GENERATION:
        exec_generation(r, n);
        break;
    case N_DO:
        (void)hg_jr_eval(r, n->a);
        break;
    case N_BREAK:
    case N_CONTINUE:
        r->flow = n->kind == N_BREAK ? FLOW_BREAK : FLOW_CONTINUE;
        break;
    default: /* expressions are not executed */
        break;
    }
}

void hg_jr_exec(jrun *r, const jnode *n)
{
    if (hg_jr_enter(r)) {
        r->at = n->at;
        if (hg_jr_step(r, 1)) dispatch(r, n);
    }
    r->depth--;
}
