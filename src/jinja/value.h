/* The values of the template language: Python's, as far as templates see them. Strings carry a mark
 * for each byte that says where it came from; every operation that moves bytes moves their marks
 * with them. Values belong to a run. Failures are sticky in the run: after the first, every
 * operation gives an empty value, and the rendering ends with that failure. */
#ifndef HG_JINJA_VALUE_H
#define HG_JINJA_VALUE_H

#include "base/mem.h"
#include <jansson.h>

/* Marks: the low bits name the source, JV_GENERATED is added inside of generation blocks. */
enum {
    JV_TRUSTED = 0, /* written by the template (or by the interpreter) */
    JV_DATA = 1,    /* said by somebody; larger numbers are the caller's to tell speakers apart */
    JV_SOURCE = 127,
    JV_GENERATED = 128
};

typedef struct jrun jrun;
typedef struct jv jv;

typedef enum jv_kind {
    JV_UNDEFINED,
    JV_NONE,
    JV_BOOL,
    JV_INT,
    JV_FLOAT,
    JV_STRING,
    JV_LIST,
    JV_TUPLE,
    JV_DICT,
    JV_NAMESPACE,
    JV_LOOP,
    JV_CALL /* a function, a macro, a method of a value, a cycler, a joiner */
} jv_kind;

typedef struct jv_str {
    const char *p;
    size_t n;
    const uint8_t *mark; /* [n]; NULL: all bytes have the mark `all` */
    uint8_t all;
} jv_str;

typedef struct jv_list {
    jv *v;
    size_t n, cap;
} jv_list;

typedef struct jv_pair jv_pair;
typedef struct jv_dict {
    jv_pair *pair; /* in the order of insertion */
    size_t n, cap;
} jv_dict;

typedef struct jv_loop jv_loop;
typedef struct jv_call jv_call;

struct jv {
    jv_kind kind;
    union {
        bool b;
        int64_t i;
        double f;
        const char *hint; /* undefined: what is not there, for errors; or NULL */
        const jv_str *s;
        jv_list *list; /* tuples too */
        jv_dict *dict; /* namespaces too */
        jv_loop *loop;
        const jv_call *call;
    } as;
};

struct jv_pair {
    jv key, value;
};

/* ---- making ---- */
jv hg_jv_undefined(const char *hint);
jv hg_jv_none(void);
jv hg_jv_bool(bool b);
jv hg_jv_int(int64_t i);
jv hg_jv_float(double f);
jv hg_jv_string(jrun *r, hg_bytes text, uint8_t mark); /* copied */
jv hg_jv_text(jrun *r, const char *text);              /* copied, trusted */
jv hg_jv_list(jrun *r, size_t cap);
jv hg_jv_tuple(jrun *r, size_t cap);
jv hg_jv_dict(jrun *r, size_t cap);
void hg_jv_push(jrun *r, jv list, jv item);
void hg_jv_put(jrun *r, jv dict, jv key, jv value);           /* replaces */
void hg_jv_put_text(jrun *r, jv dict, const char *key, jv v); /* a new member */
/* The strings of a tree, keys too, get `mark`. */
jv hg_jv_from_json(jrun *r, const json_t *tree, uint8_t mark);

#endif
