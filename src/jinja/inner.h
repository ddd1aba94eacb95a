/* What the files of this folder share: tokens, the tree of a template, and a running rendering. */
#ifndef HG_JINJA_INNER_H
#define HG_JINJA_INNER_H

#include "jinja/jinja.h"

/* ---- lex.c: source to tokens ---- */
typedef enum jtoken_kind {
    T_END, /* of the source */
    T_TEXT,
    T_PRINT, /* {{ */
    T_PRINT_END,
    T_BLOCK, /* {% */
    T_BLOCK_END,
    T_NAME,
    T_STRING, /* with its quotes */
    T_INT,
    T_FLOAT,
    T_OP
} jtoken_kind;

/* Operators of two characters are their characters, the first one shifted. */
#define OP2(a, b) ((uint16_t)((a) << 8 | (b)))

typedef struct jtoken {
    jtoken_kind kind;
    uint16_t op;
    uint32_t at, n; /* in the source */
} jtoken;

typedef struct jtokens {
    jtoken *t;
    size_t n, cap;
} jtokens;

/* Line breaks as \n and no last one, as Jinja2 reads a template. */
hg_status hg_jinja_normalise(hg_bytes in, char *out, size_t *n_out);
hg_status hg_jinja_lex(hg_bytes source, jtokens *out, hg_err *e);
/* "line L, column C: " and the sentence. */
hg_status hg_jinja_fail_at(hg_bytes source, size_t at, hg_status status, hg_err *e, const char *fmt,
                           ...) HG_PRINTF(5, 6);

/* ---- the tree ---- */
typedef enum jnode_kind {
    /* expressions */
    N_CONST, /* value */
    N_NAME,
    N_HOLE, /* what a filter block or a set block captured */
    N_LIST,
    N_TUPLE,
    N_DICT,  /* list: key, value, key, value ... */
    N_ATTR,  /* a.name */
    N_ITEM,  /* a[b] */
    N_SLICE, /* a[list[0]:list[1]:list[2]], absent ones NULL */
    N_CALL,  /* a(args) */
    N_FILTER,
    N_TEST,
    N_NOT,
    N_NEGATE,
    N_PLUS,
    N_BINARY, /* a op b */
    N_AND,
    N_OR,
    N_COMPARE, /* a ops[0] list[0] ops[1] list[1] ... */
    N_CONCAT,
    N_IF_ELSE, /* b if a else c */
    /* statements */
    N_TEXT, /* value */
    N_PRINT,
    N_BODY,
    N_IF,  /* list: condition, body, condition, body ...; c: else */
    N_FOR, /* for a in b if c: list[0], else list[1] */
    N_SET, /* a = b */
    N_SET_BLOCK,
    N_WITH,   /* list: target, value ...; c: body */
    N_MACRO,  /* macro */
    N_CALLER, /* call block: macro is what caller() calls, a the call */
    N_FILTER_BLOCK,
    N_GENERATION,
    N_DO,
    N_BREAK,
    N_CONTINUE
} jnode_kind;

typedef struct jsym jsym; /* a name of the template; the same name is the same pointer */
struct jsym {
    jsym *next;
    const char *text; /* NUL-terminated, of n bytes */
    size_t n;
};

typedef struct jnode jnode;

typedef struct jargs {
    jnode **pos; /* [n_pos] */
    const jsym **key;
    jnode **named; /* [n_named], with key */
    uint32_t n_pos, n_named;
    jnode *star, *star_star; /* *list and **dict, or NULL */
} jargs;

typedef struct jmacro {
    const jsym *name;
    const jsym **param; /* [n] */
    jnode **preset;     /* [n], NULL: no default */
    jnode *body;
    uint32_t n;
    bool uses_varargs, uses_kwargs;
} jmacro;

struct jnode {
    jnode_kind kind;
    uint16_t op;    /* of N_BINARY; N_TEST: 1 when negated */
    uint32_t at;    /* in the source */
    uint32_t index; /* of a filter or a test in its table, NO_INDEX: none has this name */
    uint32_t n;     /* of list */
    const jsym *name;
    jnode *a, *b, *c;
    jnode **list;
    uint16_t *ops;
    jargs *args;
    const jmacro *macro;
    jv value;
};
#define NO_INDEX UINT32_MAX

enum { SYM_BUCKETS = 256 };
struct hg_jinja {
    hg_arena mem;
    hg_bytes source;
    jsym *sym[SYM_BUCKETS];
    jnode *body;
    const jsym *loop, *caller, *varargs, *kwargs;
    bool has_generation;
};

/* ---- parse.c (statements) and parse_expr.c (expressions) ---- */
typedef struct jparser {
    hg_jinja *t;
    jtokens tokens;
    size_t i;
    int depth;
    int loops;                      /* that a break may leave */
    bool uses_varargs, uses_kwargs; /* in the macro at hand */
    hg_status fail;                 /* the first failure */
    hg_err *e;
    jnode spare; /* what a parser without memory, which has failed, goes on with */
    jargs no_args;
} jparser;

const jtoken *hg_jp_peek(const jparser *p);
const jtoken *hg_jp_next(jparser *p);
bool hg_jp_is_op(const jparser *p, uint16_t op);
bool hg_jp_is_name(const jparser *p, const char *name);
bool hg_jp_take_op(jparser *p, uint16_t op);
bool hg_jp_take_name(jparser *p, const char *name);
void hg_jp_expect_op(jparser *p, uint16_t op, const char *what);
const jsym *hg_jp_name(jparser *p, const char *what);
jnode *hg_jp_node(jparser *p, jnode_kind kind, size_t at);
void *hg_jp_room(jparser *p, size_t n, size_t size);
void hg_jp_fail(jparser *p, size_t at, const char *fmt, ...) HG_PRINTF(3, 4);
void hg_jp_unexpected(jparser *p, const char *wanted);
bool hg_jp_enter(jparser *p); /* false when nested too deep; leave with depth-- in either case */
const jsym *hg_jinja_find_sym(const hg_jinja *t, const char *text, size_t n); /* or NULL */
const jsym *hg_jinja_add_sym(hg_jinja *t, const char *text, size_t n);        /* NULL: no room */

/* A list of nodes that grows in the parser's arena. */
typedef struct jlist {
    jnode **v;
    uint32_t n, cap;
} jlist;
void hg_jp_append(jparser *p, jlist *l, jnode *n);

jnode *hg_jp_expression(jparser *p, bool with_condition);
/* One expression, or several with commas as a tuple; ends before `in` for targets. */
jnode *hg_jp_tuple(jparser *p, bool with_condition);
jnode *hg_jp_target(jparser *p, bool for_loop);
jnode *hg_jp_postfix(jparser *p, jnode *n);
jnode *hg_jp_primary(jparser *p);
jnode *hg_jp_filters(jparser *p, jnode *n, bool first_is_bare);
jargs *hg_jp_args(jparser *p);

/* ---- a rendering ---- */
typedef struct jvar {
    const jsym *name;
    jv value;
} jvar;

typedef struct jscope {
    struct jscope *up;
    jvar *var;
    uint32_t n, cap;
} jscope;

typedef enum jflow { FLOW_ON, FLOW_BREAK, FLOW_CONTINUE } jflow;

/* Bytes and their marks, growing. */
typedef struct jbuf {
    hg_buf text, mark;
} jbuf;

struct jrun {
    const hg_jinja *t;
    hg_jinja_limits limits;
    hg_arena mem;
    uint64_t steps; /* left */
    jbuf *out;
    jbuf main;
    jscope root, *scope;
    int depth, n_loops;
    size_t n_closures; /* macros made so far */
    jflow flow;
    bool has_time;
    int64_t time;
    jv hole;
    size_t at;        /* the node at work, in the source */
    hg_status failed; /* the first failure, with its sentence in err */
    hg_err err;
};

struct jv_loop {
    const jv_list *items;
    size_t i;
    int depth;
    jv changed; /* what changed() saw last */
    bool has_changed;
};

/* Bound arguments of a call. */
typedef struct jcall_args {
    const jv *pos;
    size_t n_pos;
    const jsym *const *key; /* texts of the names */
    const jv *named;
    size_t n_named;
} jcall_args;

typedef jv jfunction(jrun *r, jv self, const jcall_args *a);
typedef enum jcall_kind { CALL_FUNCTION, CALL_MACRO, CALL_CYCLER, CALL_JOINER } jcall_kind;
typedef struct jentry jentry;
struct jv_call {
    jcall_kind kind;
    const char *name;
    const jentry *entry; /* of a function or a method */
    jv self;
    const jmacro *macro;
    jscope *scope; /* in which the macro was written */
    size_t *count; /* of a cycler or joiner */
};

/* ---- run.c: limits, failures, strings under way ---- */
bool hg_jr_step(jrun *r, size_t cost); /* false when the run has failed or is out of steps */
void *hg_jr_room(jrun *r, size_t n, size_t size); /* NULL when it failed */
jv hg_jr_fail(jrun *r, const char *fmt, ...) HG_PRINTF(2, 3);
jv hg_jr_limit(jrun *r, const char *fmt, ...) HG_PRINTF(2, 3);
bool hg_jr_enter(jrun *r); /* a level deeper; leave with r->depth-- in either case */

void hg_jb_put(jrun *r, jbuf *b, const char *p, size_t n, uint8_t mark);
void hg_jb_put_str(jrun *r, jbuf *b, const jv_str *s, size_t from, size_t to);
void hg_jb_puts(jrun *r, jbuf *b, const char *text);
jv hg_jb_take(jrun *r, jbuf *b); /* as a string; the buffer ends */
void hg_jb_free(jbuf *b);

/* ---- value.c ---- */
const char *hg_jv_type(jv v); /* Python's name of the type */
bool hg_jv_truth(jv v);
bool hg_jv_equal(jrun *r, jv a, jv b);
/* -1, 0 or 1; fails for values that Python does not order. */
int hg_jv_compare(jrun *r, jv a, jv b);
bool hg_jv_is_number(jv v); /* bool too */
double hg_jv_double(jv v);  /* of a number */
int64_t hg_jv_whole(jv v);  /* of a bool or an int */
bool hg_jv_is_text(jv v, const char *text);
const jv *hg_jv_find(jrun *r, const jv_dict *d, jv key);
const jv *hg_jv_find_text(const jv_dict *d, const char *key, size_t n);
jv hg_jv_part(jrun *r, const jv_str *s, size_t from, size_t to); /* bytes */
jv hg_jv_join(jrun *r, const jv_str *a, const jv_str *b);
/* What a for loop sees: the list itself, a string's characters, a dict's keys. NULL when `v` cannot
 * be walked (or the run failed); `what` names the user in the sentence. */
const jv_list *hg_jv_items(jrun *r, jv v);
/* Characters. */
size_t hg_jv_chars(const jv_str *s);
size_t hg_jv_char_at(const jv_str *s, size_t from, size_t chars); /* byte behind `chars` more */
bool hg_jv_length(jv v, size_t *out);

/* ---- show.c ---- */
jv hg_jv_str(jrun *r, jv v);             /* Python's str() */
void hg_jv_show(jrun *r, jbuf *b, jv v); /* str(), appended */
void hg_jv_repr(jrun *r, jbuf *b, jv v); /* repr(), appended */
void hg_jv_put_float(jrun *r, jbuf *b, double f);
/* json.dumps; indent < 0: none. */
typedef struct jjson {
    bool ascii, sort;
    jv indent; /* a string, or undefined */
    jv item, key;
} jjson;
jv hg_jv_tojson(jrun *r, jv v, const jjson *o);

/* ---- ops.c ---- */
jv hg_jv_binary(jrun *r, uint16_t op, jv a, jv b);
jv hg_jv_contains(jrun *r, jv item, jv box);
jv hg_jv_attr(jrun *r, jv v, const char *name, size_t n);
jv hg_jv_item(jrun *r, jv v, jv key);
jv hg_jv_slice(jrun *r, jv v, jv start, jv stop, jv step);
/* "a.b.0" of map(attribute=...): each part an item. */
jv hg_jv_path(jrun *r, jv v, jv path);

/* ---- format.c: text % values, and "{}".format(...) ---- */
jv hg_jinja_percent(jrun *r, const jv_str *format, jv values);
jv hg_jinja_braces(jrun *r, const jv_str *format, const jcall_args *a);

/* ---- eval.c, exec.c ---- */
jv hg_jr_eval(jrun *r, const jnode *n);
jv hg_jr_call(jrun *r, jv fn, const jcall_args *a);
/* The call that `n` is, with one more named argument. */
jv hg_jr_call_with(jrun *r, const jnode *n, const jsym *name, jv value);
void hg_jr_exec(jrun *r, const jnode *n);
jv hg_jr_macro(jrun *r, const jv_call *c, const jcall_args *a);
void hg_jr_let(jrun *r, jscope *s, const jsym *name, jv value);

/* ---- tables: names to functions ---- */
struct jentry {
    const char *name;
    jfunction *fn;
    const char *params; /* names with spaces, "?" before the first that may be missing; NULL: any
                           arguments, handed on as they are */
};

/* Arguments by the entry's parameters: [n], JV_UNDEFINED with ABSENT for what is missing. */
extern const char hg_jinja_absent[];
static inline bool hg_jv_absent(jv v)
{
    return v.kind == JV_UNDEFINED && v.as.hint == hg_jinja_absent;
}
jv hg_jr_apply(jrun *r, const jentry *entry, jv self, const jcall_args *a);
uint32_t hg_jinja_filter_index(const char *name);
uint32_t hg_jinja_test_index(const char *name);
jv hg_jinja_apply_filter(jrun *r, uint32_t index, const char *name, jv self, const jcall_args *a);
jv hg_jinja_apply_test(jrun *r, uint32_t index, const char *name, jv self, const jcall_args *a);
const jentry *hg_jinja_global(const char *name);
/* A method of a string, list or dict, or NULL. */
const jentry *hg_jinja_method(jv v, const char *name, size_t n);
extern const jentry hg_jinja_text_filters[], hg_jinja_list_filters[], hg_jinja_value_filters[],
    hg_jinja_text_methods[], hg_jinja_shape_methods[], hg_jinja_list_methods[],
    hg_jinja_dict_methods[];

#endif
