/* Statements: tokens to a tree that is evaluated as it stands. The tree lives in the template's
 * arena and never changes, so that threads share it. After the first failure every part of the
 * parser still returns a node, and the loops end. */
#include "jinja/inner.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ---- what the two halves of the parser share ---- */
const jtoken *hg_jp_peek(const jparser *p)
{
    return &p->tokens.t[p->i];
}

const jtoken *hg_jp_next(jparser *p)
{
    const jtoken *t = &p->tokens.t[p->i];
    if (t->kind != T_END) p->i++;
    return t;
}

bool hg_jp_is_op(const jparser *p, uint16_t op)
{
    return hg_jp_peek(p)->kind == T_OP && hg_jp_peek(p)->op == op;
}

bool hg_jp_is_name(const jparser *p, const char *name)
{
    const jtoken *t = hg_jp_peek(p);
    return t->kind == T_NAME && t->n == strlen(name) &&
           memcmp(p->t->source.p + t->at, name, t->n) == 0;
}

bool hg_jp_take_op(jparser *p, uint16_t op)
{
    if (!hg_jp_is_op(p, op)) return false;
    (void)hg_jp_next(p);
    return true;
}

bool hg_jp_take_name(jparser *p, const char *name)
{
    if (!hg_jp_is_name(p, name)) return false;
    (void)hg_jp_next(p);
    return true;
}

void hg_jp_fail(jparser *p, size_t at, const char *fmt, ...)
{
    char what[300];
    va_list args;
    if (p->fail != HG_OK) return;
    va_start(args, fmt);
    (void)vsnprintf(what, sizeof what, fmt, args);
    va_end(args);
    p->fail = hg_jinja_fail_at(p->t->source, at, HG_E_FORMAT, p->e, "%s", what);
}

void hg_jp_unexpected(jparser *p, const char *wanted)
{
    const jtoken *t = hg_jp_peek(p);
    if (t->kind == T_END)
        hg_jp_fail(p, t->at, "the template ends where %s is expected", wanted);
    else if (t->kind == T_TEXT)
        hg_jp_fail(p, t->at, "text where %s is expected", wanted);
    else
        hg_jp_fail(p, t->at, "\"%.*s\" where %s is expected", (int)(t->n < 40 ? t->n : 40),
                   p->t->source.p + t->at, wanted);
}

void hg_jp_expect_op(jparser *p, uint16_t op, const char *what)
{
    if (!hg_jp_take_op(p, op)) hg_jp_unexpected(p, what);
}

void *hg_jp_room(jparser *p, size_t n, size_t size)
{
    void *room = hg_arena_alloc(&p->t->mem, n, size);
    if (room == NULL && p->fail == HG_OK)
        p->fail = hg_fail(p->e, HG_E_NOMEM, "no room for a template");
    return room;
}

jnode *hg_jp_node(jparser *p, jnode_kind kind, size_t at)
{
    jnode *n = hg_jp_room(p, 1, sizeof *n);
    if (n == NULL) return &p->spare;
    n->kind = kind;
    n->at = (uint32_t)at;
    n->index = NO_INDEX;
    return n;
}

bool hg_jp_enter(jparser *p)
{
    if (++p->depth <= HG_JINJA_MAX_NESTING) return true;
    if (p->fail == HG_OK)
        p->fail = hg_jinja_fail_at(p->t->source, hg_jp_peek(p)->at, HG_E_LIMIT, p->e,
                                   "over %d levels of nesting", HG_JINJA_MAX_NESTING);
    return false;
}

static size_t sym_bucket(const char *text, size_t n)
{
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < n; i++) h = (h ^ (unsigned char)text[i]) * 16777619u;
    return (h ^ h >> 16) % SYM_BUCKETS;
}

const jsym *hg_jinja_find_sym(const hg_jinja *t, const char *text, size_t n)
{
    for (const jsym *s = t->sym[sym_bucket(text, n)]; s != NULL; s = s->next)
        if (s->n == n && memcmp(s->text, text, n) == 0) return s;
    return NULL;
}

const jsym *hg_jinja_add_sym(hg_jinja *t, const char *text, size_t n)
{
    const jsym *known = hg_jinja_find_sym(t, text, n);
    if (known != NULL) return known;
    jsym *s = HG_NEW(&t->mem, jsym, 1);
    char *copy = hg_arena_strndup(&t->mem, text, n);
    if (s == NULL || copy == NULL) return NULL;
    size_t b = sym_bucket(text, n);
    *s = (jsym){t->sym[b], copy, n};
    t->sym[b] = s;
    return s;
}

const jsym *hg_jp_name(jparser *p, const char *what)
{
    static const jsym none = {NULL, "", 0};
    const jtoken *t = hg_jp_peek(p);
    if (t->kind != T_NAME) {
        hg_jp_unexpected(p, what);
        return &none;
    }
    (void)hg_jp_next(p);
    const jsym *s = hg_jinja_add_sym(p->t, p->t->source.p + t->at, t->n);
    if (s != NULL) return s;
    if (p->fail == HG_OK) p->fail = hg_fail(p->e, HG_E_NOMEM, "no room for a template");
    return &none;
}

void hg_jp_append(jparser *p, jlist *l, jnode *n)
{
    if (l->n == l->cap) {
        uint32_t cap = l->cap > 0 ? l->cap * 2 : 4;
        jnode **grown = hg_jp_room(p, cap, sizeof *grown);
        if (grown == NULL) return;
        if (l->n > 0) memcpy(grown, l->v, l->n * sizeof *grown);
        l->v = grown;
        l->cap = cap;
    }
    l->v[l->n++] = n;
}

/* ---- bodies ---- */
static void parse_statement(jparser *p, jlist *into);

static void end_block(jparser *p)
{
    if (hg_jp_peek(p)->kind != T_BLOCK_END)
        hg_jp_unexpected(p, "%}");
    else
        (void)hg_jp_next(p);
}

static jnode *text_node(jparser *p)
{
    const jtoken *t = hg_jp_next(p);
    jnode *n = hg_jp_node(p, N_TEXT, t->at);
    jv_str *s = hg_jp_room(p, 1, sizeof *s);
    if (s == NULL) return n;
    *s = (jv_str){.p = p->t->source.p + t->at, .n = t->n};
    n->value = (jv){JV_STRING, {.s = s}};
    return n;
}

/* True where one of the words in `ends` (with spaces between) begins the block at hand. */
static bool at_end(const jparser *p, const char *ends)
{
    const jtoken *t = hg_jp_peek(p);
    if (t->kind != T_BLOCK) return false;
    const jtoken *name = t + 1;
    for (const char *w = ends; *w != '\0';) {
        size_t n = strcspn(w, " ");
        if (name->kind == T_NAME && name->n == n && memcmp(p->t->source.p + name->at, w, n) == 0)
            return true;
        w += n + (w[n] == ' ');
    }
    return false;
}

/* Everything up to a block that begins with one of `ends`, whose {% and name are taken; the end of
 * the source when there are none. */
static jnode *parse_body(jparser *p, const char *ends, const jtoken **end)
{
    jlist l = {0};
    size_t at = hg_jp_peek(p)->at;
    bool in = hg_jp_enter(p);
    while (in && p->fail == HG_OK) {
        const jtoken *t = hg_jp_peek(p);
        if (t->kind == T_END || at_end(p, ends)) break;
        if (t->kind == T_TEXT) {
            hg_jp_append(p, &l, text_node(p));
        } else if (t->kind == T_PRINT) {
            (void)hg_jp_next(p);
            jnode *n = hg_jp_node(p, N_PRINT, t->at);
            n->a = hg_jp_tuple(p, true);
            hg_jp_append(p, &l, n);
            if (hg_jp_peek(p)->kind != T_PRINT_END) hg_jp_unexpected(p, "}}");
            (void)hg_jp_next(p);
        } else {
            parse_statement(p, &l);
        }
    }
    p->depth--;
    if (*ends != '\0' && p->fail == HG_OK) {
        if (hg_jp_peek(p)->kind == T_END)
            hg_jp_fail(p, at, "the block that begins before this is not ended by %s", ends);
        (void)hg_jp_next(p);
        *end = hg_jp_next(p);
    }
    jnode *n = hg_jp_node(p, N_BODY, at);
    n->list = l.v;
    n->n = l.n;
    return n;
}

static jnode *body_to(jparser *p, const char *end)
{
    const jtoken *t = NULL;
    end_block(p);
    jnode *n = parse_body(p, end, &t);
    return n;
}

static bool token_is(const jparser *p, const jtoken *t, const char *text)
{
    return t != NULL && t->n == strlen(text) && memcmp(p->t->source.p + t->at, text, t->n) == 0;
}

/* ---- statements ---- */
static jnode *parse_if(jparser *p, size_t at)
{
    jnode *n = hg_jp_node(p, N_IF, at);
    jlist l = {0};
    const jtoken *end = NULL;
    do {
        hg_jp_append(p, &l, hg_jp_tuple(p, true));
        end_block(p);
        hg_jp_append(p, &l, parse_body(p, "elif else endif", &end));
    } while (p->fail == HG_OK && token_is(p, end, "elif"));
    if (p->fail == HG_OK && token_is(p, end, "else")) n->c = body_to(p, "endif");
    n->list = l.v;
    n->n = l.n;
    return n;
}

static jnode *parse_for(jparser *p, size_t at)
{
    jnode *n = hg_jp_node(p, N_FOR, at);
    const jtoken *end = NULL;
    jlist l = {0};
    n->a = hg_jp_target(p, true);
    if (!hg_jp_take_name(p, "in")) hg_jp_unexpected(p, "in");
    n->b = hg_jp_tuple(p, false);
    if (hg_jp_take_name(p, "if")) n->c = hg_jp_expression(p, true);
    if (hg_jp_is_name(p, "recursive"))
        hg_jp_fail(p, hg_jp_peek(p)->at, "recursive loops are not supported; a macro can recurse");
    end_block(p);
    p->loops++;
    hg_jp_append(p, &l, parse_body(p, "else endfor", &end));
    p->loops--;
    if (p->fail == HG_OK && token_is(p, end, "else")) hg_jp_append(p, &l, body_to(p, "endfor"));
    n->list = l.v;
    n->n = l.n;
    return n;
}

static jnode *parse_set(jparser *p, size_t at)
{
    jnode *target = hg_jp_target(p, false);
    bool is_block = !hg_jp_take_op(p, '=');
    jnode *n = hg_jp_node(p, is_block ? N_SET_BLOCK : N_SET, at);
    n->a = target;
    if (!is_block) {
        n->b = hg_jp_tuple(p, true);
        return n;
    }
    n->b = hg_jp_node(p, N_HOLE, at);
    if (hg_jp_take_op(p, '|')) n->b = hg_jp_filters(p, n->b, true);
    n->c = body_to(p, "endset");
    return n;
}

static jnode *parse_with(jparser *p, size_t at)
{
    jnode *n = hg_jp_node(p, N_WITH, at);
    jlist l = {0};
    while (p->fail == HG_OK && hg_jp_peek(p)->kind != T_BLOCK_END) {
        hg_jp_append(p, &l, hg_jp_target(p, true));
        hg_jp_expect_op(p, '=', "= behind the name");
        hg_jp_append(p, &l, hg_jp_expression(p, true));
        if (!hg_jp_take_op(p, ',')) break;
    }
    n->list = l.v;
    n->n = l.n;
    n->c = body_to(p, "endwith");
    return n;
}

/* (a, b=1, ...); default values are in `preset`. */
static void parse_signature(jparser *p, jmacro *m)
{
    enum { MOST = 64 };
    const jsym *name[MOST];
    jnode *preset[MOST];
    hg_jp_expect_op(p, '(', "( before the macro's parameters");
    while (p->fail == HG_OK && !hg_jp_is_op(p, ')')) {
        if (m->n == MOST) hg_jp_unexpected(p, "at most 64 parameters");
        size_t k = m->n % MOST;
        name[k] = hg_jp_name(p, "a parameter's name");
        preset[k] = hg_jp_take_op(p, '=') ? hg_jp_expression(p, true) : NULL;
        m->n++;
        if (!hg_jp_take_op(p, ',')) break;
    }
    hg_jp_expect_op(p, ')', ") behind the parameters");
    if (p->fail != HG_OK || m->n == 0) return;
    m->param = hg_jp_room(p, m->n, sizeof *m->param);
    m->preset = hg_jp_room(p, m->n, sizeof *m->preset);
    if (m->param == NULL || m->preset == NULL) return;
    memcpy(m->param, name, m->n * sizeof *name);
    memcpy(m->preset, preset, m->n * sizeof *preset);
}

static void macro_body(jparser *p, jmacro *m, const char *end)
{
    int loops = p->loops;
    bool varargs = p->uses_varargs, kwargs = p->uses_kwargs;
    p->loops = 0;
    p->uses_varargs = p->uses_kwargs = false;
    m->body = body_to(p, end);
    m->uses_varargs = p->uses_varargs;
    m->uses_kwargs = p->uses_kwargs;
    p->loops = loops;
    p->uses_varargs = varargs;
    p->uses_kwargs = kwargs;
}

static jnode *parse_macro(jparser *p, size_t at)
{
    jnode *n = hg_jp_node(p, N_MACRO, at);
    jmacro *m = hg_jp_room(p, 1, sizeof *m);
    if (m == NULL) return n;
    m->name = hg_jp_name(p, "the macro's name");
    parse_signature(p, m);
    macro_body(p, m, "endmacro");
    n->macro = m;
    return n;
}

static jnode *parse_call_block(jparser *p, size_t at)
{
    jnode *n = hg_jp_node(p, N_CALLER, at);
    jmacro *m = hg_jp_room(p, 1, sizeof *m);
    if (m == NULL) return n;
    m->name = p->t->caller;
    if (hg_jp_is_op(p, '(')) parse_signature(p, m);
    n->a = hg_jp_expression(p, true);
    if (p->fail == HG_OK && n->a->kind != N_CALL)
        hg_jp_fail(p, at, "a call block needs a call, such as {%% call name() %%}");
    macro_body(p, m, "endcall");
    n->macro = m;
    return n;
}

static jnode *parse_filter_block(jparser *p, size_t at)
{
    jnode *n = hg_jp_node(p, N_FILTER_BLOCK, at);
    n->b = hg_jp_filters(p, hg_jp_node(p, N_HOLE, at), true);
    n->c = body_to(p, "endfilter");
    return n;
}

static jnode *parse_generation(jparser *p, size_t at)
{
    jnode *n = hg_jp_node(p, N_GENERATION, at);
    p->t->has_generation = true;
    n->c = body_to(p, "endgeneration");
    return n;
}

static jnode *parse_do(jparser *p, size_t at)
{
    jnode *n = hg_jp_node(p, N_DO, at);
    n->a = hg_jp_tuple(p, true);
    return n;
}

static jnode *parse_break(jparser *p, size_t at)
{
    if (p->loops == 0) hg_jp_fail(p, at, "break outside of a loop");
    return hg_jp_node(p, N_BREAK, at);
}

static jnode *parse_continue(jparser *p, size_t at)
{
    if (p->loops == 0) hg_jp_fail(p, at, "continue outside of a loop");
    return hg_jp_node(p, N_CONTINUE, at);
}

static void parse_statement(jparser *p, jlist *into)
{
    static const struct {
        const char *name;
        jnode *(*parse)(jparser *p, size_t at);
    } known[] = {{"if", parse_if},
                 {"for", parse_for},
                 {"set", parse_set},
                 {"with", parse_with},
                 {"macro", parse_macro},
                 {"call", parse_call_block},
                 {"filter", parse_filter_block},
                 {"generation", parse_generation},
                 {"do", parse_do},
                 {"break", parse_break},
                 {"continue", parse_continue}};
    size_t at = hg_jp_next(p)->at;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (!hg_jp_take_name(p, known[i].name)) continue;
        hg_jp_append(p, into, known[i].parse(p, at));
        end_block(p);
        return;
    }
    if (at_end(&(jparser){.t = p->t, .tokens = p->tokens, .i = p->i - 1},
               "elif else endif endfor endset endwith endmacro endcall endfilter endgeneration"))
        hg_jp_unexpected(p, "a block that is open");
    else
        hg_jp_unexpected(p, "a statement that Higgins knows (if, for, set, macro, call, filter, "
                            "with, do, break, continue, generation, raw)");
}

/* ---- a template ---- */
static hg_status known_names(hg_jinja *t, hg_err *e)
{
    t->loop = hg_jinja_add_sym(t, "loop", 4);
    t->caller = hg_jinja_add_sym(t, "caller", 6);
    t->varargs = hg_jinja_add_sym(t, "varargs", 7);
    t->kwargs = hg_jinja_add_sym(t, "kwargs", 6);
    if (t->loop != NULL && t->caller != NULL && t->varargs != NULL && t->kwargs != NULL)
        return HG_OK;
    return hg_fail(e, HG_E_NOMEM, "no room for a template");
}

static hg_status parse_all(hg_jinja *t, hg_err *e)
{
    jparser p = {.t = t, .e = e};
    const jtoken *end = NULL;
    hg_status s = hg_jinja_lex(t->source, &p.tokens, e);
    if (s == HG_OK) {
        t->body = parse_body(&p, "", &end);
        s = p.fail;
    }
    hg_free(p.tokens.t);
    return s;
}

hg_status hg_jinja_parse(hg_jinja **out, hg_bytes source, hg_err *e)
{
    *out = NULL;
    if (source.n > HG_JINJA_MAX_SOURCE)
        return hg_fail(e, HG_E_LIMIT, "a chat template of %zu bytes; at most %d allowed", source.n,
                       HG_JINJA_MAX_SOURCE);
    hg_jinja *t = hg_alloc(1, sizeof *t);
    if (t == NULL) return hg_fail(e, HG_E_NOMEM, "no room for a template");
    hg_arena_init(&t->mem, 1 << 16);
    char *copy = hg_arena_raw(&t->mem, source.n + 1, 1);
    hg_status s = copy != NULL ? HG_OK : hg_fail(e, HG_E_NOMEM, "no room for a template");
    if (s == HG_OK) s = hg_jinja_normalise(source, copy, &t->source.n);
    t->source.p = copy;
    if (s == HG_OK) s = known_names(t, e);
    if (s == HG_OK) s = parse_all(t, e);
    if (s != HG_OK) {
        hg_jinja_free(t);
        return s;
    }
    *out = t;
    return HG_OK;
}

void hg_jinja_free(hg_jinja *t)
{
    if (t == NULL) return;
    hg_arena_free(&t->mem);
    hg_free(t);
}

bool hg_jinja_has_generation(const hg_jinja *t)
{
    return t->has_generation;
}
