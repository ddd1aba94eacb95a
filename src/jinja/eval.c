/* Expressions: the tree, walked. A failed run gives empty values until the walk ends. */
#include "jinja/inner.h"
#include <string.h>

enum { FEW_ARGS = 8 };

/* ---- names ---- */
static jv look_up(jrun *r, const jsym *name)
{
    for (const jscope *s = r->scope; s != NULL; s = s->up)
        for (uint32_t i = s->n; i-- > 0;)
            if (s->var[i].name == name) return s->var[i].value;
    const jentry *g = hg_jinja_global(name->text);
    if (g == NULL) return hg_jv_undefined(name->text);
    jv_call *c = hg_jr_room(r, 1, sizeof *c);
    if (c == NULL) return hg_jv_none();
    *c = (jv_call){.kind = CALL_FUNCTION, .name = g->name, .entry = g};
    return (jv){JV_CALL, {.call = c}};
}

void hg_jr_let(jrun *r, jscope *s, const jsym *name, jv value)
{
    for (uint32_t i = 0; i < s->n; i++)
        if (s->var[i].name == name) {
            s->var[i].value = value;
            return;
        }
    if (s->n == s->cap) {
        uint32_t cap = s->cap > 0 ? s->cap * 2 : 4;
        jvar *grown = hg_jr_room(r, cap, sizeof *grown);
        if (grown == NULL) return;
        if (s->n > 0) memcpy(grown, s->var, s->n * sizeof *grown);
        s->var = grown;
        s->cap = cap;
    }
    s->var[s->n++] = (jvar){name, value};
}

/* ---- calls ---- */
/* Evaluated arguments. Most calls have few and need no memory of their own. */
typedef struct call_room {
    jv pos[FEW_ARGS], named[FEW_ARGS];
    const jsym *key[FEW_ARGS];
} call_room;

static void spread_list(jrun *r, const jnode *star, jv *pos, size_t *n, size_t cap)
{
    const jv_list *l = star != NULL ? hg_jv_items(r, hg_jr_eval(r, star)) : NULL;
    for (size_t i = 0; l != NULL && i < l->n; i++) {
        if (*n == cap) {
            (void)hg_jr_fail(r, "over 64 arguments in a call");
            return;
        }
        pos[(*n)++] = l->v[i];
    }
}

static void spread_dict(jrun *r, const jnode *star, jv *named, const jsym **key, size_t *n,
                        size_t cap)
{
    jv d = star != NULL ? hg_jr_eval(r, star) : hg_jv_none();
    if (d.kind != JV_DICT) return;
    for (size_t i = 0; i < d.as.dict->n && r->failed == HG_OK; i++) {
        jv k = d.as.dict->pair[i].key;
        const jsym *s = k.kind == JV_STRING ? hg_jinja_find_sym(r->t, k.as.s->p, k.as.s->n) : NULL;
        if (s == NULL || *n == cap) {
            (void)hg_jr_fail(r, "an argument from ** that the call does not know");
            return;
        }
        key[*n] = s;
        named[(*n)++] = d.as.dict->pair[i].value;
    }
}

static bool eval_args(jrun *r, const jargs *from, call_room *few, jcall_args *out)
{
    enum { MOST = 64 };
    *out = (jcall_args){0};
    if (from == NULL) return r->failed == HG_OK;
    bool spreads = from->star != NULL || from->star_star != NULL;
    size_t cap = spreads ? MOST
                 : from->n_pos > FEW_ARGS || from->n_named > FEW_ARGS
                     ? (size_t)from->n_pos + from->n_named
                     : FEW_ARGS;
    jv *pos = few->pos, *named = few->named;
    const jsym **key = few->key;
    size_t n_pos = 0, n_named = 0;
    if (from->n_pos > MOST || from->n_named > MOST) {
        (void)hg_jr_fail(r, "over 64 arguments in a call");
        return false;
    }
    if (cap > FEW_ARGS) {
        pos = hg_jr_room(r, cap, sizeof *pos);
        named = hg_jr_room(r, cap, sizeof *named);
        key = hg_jr_room(r, cap, sizeof(const jsym *));
        if (pos == NULL || named == NULL || key == NULL) return false;
    }
    for (uint32_t i = 0; i < from->n_pos; i++) pos[n_pos++] = hg_jr_eval(r, from->pos[i]);
    for (uint32_t i = 0; i < from->n_named; i++) {
        key[n_named] = from->key[i];
        named[n_named++] = hg_jr_eval(r, from->named[i]);
    }
    if (spreads) {
        spread_list(r, from->star, pos, &n_pos, cap);
        spread_dict(r, from->star_star, named, key, &n_named, cap);
    }
    *out = (jcall_args){pos, n_pos, key, named, n_named};
    return r->failed == HG_OK;
}

jv hg_jr_call(jrun *r, jv fn, const jcall_args *a)
{
    jv out = hg_jv_none();
    if (fn.kind == JV_UNDEFINED)
        return hg_jr_fail(r, "'%s' is undefined, so it cannot be called",
                          fn.as.hint != NULL ? fn.as.hint : "it");
    if (fn.kind != JV_CALL || fn.as.call->kind == CALL_CYCLER)
        return hg_jr_fail(r, "%s cannot be called; a function or a macro can", hg_jv_type(fn));
    const jv_call *c = fn.as.call;
    if (!hg_jr_enter(r))
        ;
    else if (c->kind == CALL_MACRO)
        out = hg_jr_macro(r, c, a);
    else if (c->kind == CALL_FUNCTION)
        out = hg_jr_apply(r, c->entry, c->self, a);
    else
        out = (*c->count)++ == 0 ? hg_jv_text(r, "") : c->self; /* a joiner */
    r->depth--;
    return out;
}

static jv eval_call(jrun *r, const jnode *n)
{
    call_room few;
    jcall_args args;
    jv fn = hg_jr_eval(r, n->a);
    if (!eval_args(r, n->args, &few, &args)) return hg_jv_none();
    r->at = n->a->at;
    return hg_jr_call(r, fn, &args);
}

jv hg_jr_call_with(jrun *r, const jnode *n, const jsym *name, jv value)
{
    call_room few;
    jcall_args args;
    jv fn = hg_jr_eval(r, n->a);
    if (!eval_args(r, n->args, &few, &args)) return hg_jv_none();
    size_t k = args.n_named;
    jv *named = hg_jr_room(r, k + 1, sizeof *named);
    const jsym **key = hg_jr_room(r, k + 1, sizeof(const jsym *));
    if (named == NULL || key == NULL) return hg_jv_none();
    for (size_t i = 0; i < k; i++) {
        named[i] = args.named[i];
        key[i] = args.key[i];
    }
    named[k] = value;
    key[k] = name;
    args = (jcall_args){args.pos, args.n_pos, key, named, k + 1};
    r->at = n->at;
    return hg_jr_call(r, fn, &args);
}

static jv eval_filter(jrun *r, const jnode *n)
{
    call_room few;
    jcall_args args;
    jv self = hg_jr_eval(r, n->a);
    if (!eval_args(r, n->args, &few, &args)) return hg_jv_none();
    r->at = n->at;
    return hg_jinja_apply_filter(r, n->index, n->name->text, self, &args);
}

static jv eval_test(jrun *r, const jnode *n)
{
    call_room few;
    jcall_args args;
    jv self = hg_jr_eval(r, n->a);
    if (!eval_args(r, n->args, &few, &args)) return hg_jv_none();
    r->at = n->at;
    bool is_so = hg_jv_truth(hg_jinja_apply_test(r, n->index, n->name->text, self, &args));
    return hg_jv_bool(is_so != (n->op != 0));
}

/* ---- containers ---- */
static jv eval_list(jrun *r, const jnode *n)
{
    jv l = n->kind == N_LIST ? hg_jv_list(r, n->n) : hg_jv_tuple(r, n->n);
    for (uint32_t i = 0; i < n->n && r->failed == HG_OK; i++)
        hg_jv_push(r, l, hg_jr_eval(r, n->list[i]));
    return l;
}

static jv eval_dict(jrun *r, const jnode *n)
{
    jv d = hg_jv_dict(r, n->n / 2);
    for (uint32_t i = 0; i + 1 < n->n && r->failed == HG_OK; i += 2) {
        jv k = hg_jr_eval(r, n->list[i]), v = hg_jr_eval(r, n->list[i + 1]);
        hg_jv_put(r, d, k, v);
    }
    return d;
}

static jv eval_slice(jrun *r, const jnode *n)
{
    jv part[3], of = hg_jr_eval(r, n->a);
    for (size_t i = 0; i < 3; i++)
        part[i] = n->list[i] != NULL ? hg_jr_eval(r, n->list[i]) : hg_jv_none();
    r->at = n->at;
    return hg_jv_slice(r, of, part[0], part[1], part[2]);
}

/* ---- operators ---- */
static bool holds(jrun *r, uint16_t op, jv a, jv b)
{
    switch (op) {
    case OP2('=', '='):
        return hg_jv_equal(r, a, b);
    case OP2('!', '='):
        return !hg_jv_equal(r, a, b);
    case 'i':
    case 'n':
        return hg_jv_truth(hg_jv_contains(r, a, b)) == (op == 'i');
    default:
        break;
    }
    if ((a.kind == JV_FLOAT && a.as.f != a.as.f) || (b.kind == JV_FLOAT && b.as.f != b.as.f))
        return false;
    int d = hg_jv_compare(r, a, b);
    return op == '<' ? d < 0 : op == '>' ? d > 0 : op == OP2('<', '=') ? d <= 0 : d >= 0;
}

static jv eval_compare(jrun *r, const jnode *n)
{
    jv left = hg_jr_eval(r, n->a);
    for (uint32_t i = 0; i < n->n && r->failed == HG_OK; i++) {
        jv right = hg_jr_eval(r, n->list[i]);
        r->at = n->at;
        if (!holds(r, n->ops[i], left, right)) return hg_jv_bool(false);
        left = right;
    }
    return hg_jv_bool(true);
}

static jv eval_concat(jrun *r, const jnode *n)
{
    jbuf b = {0};
    for (uint32_t i = 0; i < n->n && r->failed == HG_OK; i++)
        hg_jv_show(r, &b, hg_jr_eval(r, n->list[i]));
    return hg_jb_take(r, &b);
}

static jv eval_sign(jrun *r, const jnode *n)
{
    jv v = hg_jr_eval(r, n->a);
    r->at = n->at;
    if (v.kind == JV_FLOAT) return n->kind == N_PLUS ? v : hg_jv_float(-v.as.f);
    if (v.kind == JV_INT || v.kind == JV_BOOL)
        return n->kind == N_PLUS ? hg_jv_int(hg_jv_whole(v))
                                 : hg_jv_binary(r, '-', hg_jv_int(0), v);
    return hg_jr_fail(r, "a sign before %s; only a number has one", hg_jv_type(v));
}

static jv eval_binary(jrun *r, const jnode *n)
{
    jv a = hg_jr_eval(r, n->a), b = hg_jr_eval(r, n->b);
    r->at = n->at;
    return hg_jv_binary(r, n->op, a, b);
}

static jv eval_word(jrun *r, const jnode *n)
{
    jv a = hg_jr_eval(r, n->a);
    bool is_true = hg_jv_truth(a);
    if (n->kind == N_NOT) return hg_jv_bool(!is_true);
    if (n->kind == N_IF_ELSE)
        return is_true        ? hg_jr_eval(r, n->b)
               : n->c != NULL ? hg_jr_eval(r, n->c)
                              : hg_jv_undefined("the inline if without else");
    return is_true == (n->kind == N_AND) ? hg_jr_eval(r, n->b) : a;
}

static jv eval_member(jrun *r, const jnode *n)
{
    jv a = hg_jr_eval(r, n->a);
    jv key = n->kind == N_ITEM ? hg_jr_eval(r, n->b) : hg_jv_none();
    r->at = n->at;
    return n->kind == N_ITEM ? hg_jv_item(r, a, key) : hg_jv_attr(r, a, n->name->text, n->name->n);
}

static jv dispatch(jrun *r, const jnode *n)
{
    switch (n->kind) {
    case N_CONST:
        return n->value;
    case N_NAME:
        return look_up(r, n->name);
    case N_HOLE:
        return r->hole;
    case N_LIST:
    case N_TUPLE:
        return eval_list(r, n);
    case N_DICT:
        return eval_dict(r, n);
    case N_ATTR:
    case N_ITEM:
        return eval_member(r, n);
    case N_SLICE:
        return eval_slice(r, n);
    case N_CALL:
        return eval_call(r, n);
    case N_FILTER:
        return eval_filter(r, n);
    case N_TEST:
        return eval_test(r, n);
    case N_NEGATE:
    case N_PLUS:
        return eval_sign(r, n);
    case N_BINARY:
        return eval_binary(r, n);
    case N_NOT:
    case N_AND:
    case N_OR:
    case N_IF_ELSE:
        return eval_word(r, n);
    case N_COMPARE:
        return eval_compare(r, n);
    case N_CONCAT:
        return eval_concat(r, n);
    default:
        return hg_jv_none(); /* statements are not evaluated */
    }
}

jv hg_jr_eval(jrun *r, const jnode *n)
{
    jv v = hg_jv_none();
    if (hg_jr_enter(r)) {
        r->at = n->at;
        if (hg_jr_step(r, 1)) v = dispatch(r, n);
    }
    r->depth--;
    return r->failed == HG_OK ? v : hg_jv_none();
}
