/* The tests behind `is`. */
#include "jinja/strings.h"
#include <string.h>

static jv t_defined(jrun *r, jv v, const jcall_args *a)
{
    (void)r, (void)a;
    return hg_jv_bool(v.kind != JV_UNDEFINED);
}

static jv t_undefined(jrun *r, jv v, const jcall_args *a)
{
    (void)r, (void)a;
    return hg_jv_bool(v.kind == JV_UNDEFINED);
}

static jv t_none(jrun *r, jv v, const jcall_args *a)
{
    (void)r, (void)a;
    return hg_jv_bool(v.kind == JV_NONE);
}

static jv t_boolean(jrun *r, jv v, const jcall_args *a)
{
    (void)r, (void)a;
    return hg_jv_bool(v.kind == JV_BOOL);
}

static jv t_true(jrun *r, jv v, const jcall_args *a)
{
    (void)r, (void)a;
    return hg_jv_bool(v.kind == JV_BOOL && v.as.b);
}

static jv t_false(jrun *r, jv v, const jcall_args *a)
{
    (void)r, (void)a;
    return hg_jv_bool(v.kind == JV_BOOL && !v.as.b);
}

static jv t_string(jrun *r, jv v, const jcall_args *a)
{
    (void)r, (void)a;
    return hg_jv_bool(v.kind == JV_STRING);
}

static jv t_integer(jrun *r, jv v, const jcall_args *a)
{
    (void)r, (void)a;
    return hg_jv_bool(v.kind == JV_INT);
}

static jv t_float(jrun *r, jv v, const jcall_args *a)
{
    (void)r, (void)a;
    return hg_jv_bool(v.kind == JV_FLOAT);
}

static jv t_number(jrun *r, jv v, const jcall_args *a)
{
    (void)r, (void)a;
    return hg_jv_bool(hg_jv_is_number(v));
}

static jv t_mapping(jrun *r, jv v, const jcall_args *a)
{
    (void)r, (void)a;
    return hg_jv_bool(v.kind == JV_DICT);
}

/* What has a length and items: to Jinja2 text and dicts too, and even what is undefined. */
static jv t_sequence(jrun *r, jv v, const jcall_args *a)
{
    size_t n;
    (void)r, (void)a;
    return hg_jv_bool(hg_jv_length(v, &n));
}

static jv t_callable(jrun *r, jv v, const jcall_args *a)
{
    (void)r, (void)a;
    return hg_jv_bool(v.kind == JV_UNDEFINED ||
                      (v.kind == JV_CALL && v.as.call->kind != CALL_CYCLER));
}

static jv t_lower(jrun *r, jv v, const jcall_args *a)
{
    jv s = hg_jv_str(r, v);
    (void)a;
    return hg_jv_bool(s.kind == JV_STRING && hg_js_is_lower(s.as.s));
}

static jv t_upper(jrun *r, jv v, const jcall_args *a)
{
    jv s = hg_jv_str(r, v);
    (void)a;
    return hg_jv_bool(s.kind == JV_STRING && hg_js_is_upper(s.as.s));
}

/* ---- numbers ---- */
static jv t_divisibleby(jrun *r, jv v, const jcall_args *a)
{
    jv rest = hg_jv_binary(r, '%', v, a->pos[0]);
    return hg_jv_bool(hg_jv_is_number(rest) && !hg_jv_truth(rest));
}

static jv t_even(jrun *r, jv v, const jcall_args *a)
{
    jv rest = hg_jv_binary(r, '%', v, hg_jv_int(2));
    (void)a;
    return hg_jv_bool(hg_jv_is_number(rest) && !hg_jv_truth(rest));
}

static jv t_odd(jrun *r, jv v, const jcall_args *a)
{
    jv rest = hg_jv_binary(r, '%', v, hg_jv_int(2));
    (void)a;
    return hg_jv_bool(hg_jv_is_number(rest) && hg_jv_double(rest) == 1);
}

/* ---- two values ---- */
static jv t_eq(jrun *r, jv v, const jcall_args *a)
{
    return hg_jv_bool(hg_jv_equal(r, v, a->pos[0]));
}

static jv t_ne(jrun *r, jv v, const jcall_args *a)
{
    return hg_jv_bool(!hg_jv_equal(r, v, a->pos[0]));
}

static jv t_lt(jrun *r, jv v, const jcall_args *a)
{
    return hg_jv_bool(hg_jv_compare(r, v, a->pos[0]) < 0);
}

static jv t_le(jrun *r, jv v, const jcall_args *a)
{
    return hg_jv_bool(hg_jv_compare(r, v, a->pos[0]) <= 0);
}

static jv t_gt(jrun *r, jv v, const jcall_args *a)
{
    return hg_jv_bool(hg_jv_compare(r, v, a->pos[0]) > 0);
}

static jv t_ge(jrun *r, jv v, const jcall_args *a)
{
    return hg_jv_bool(hg_jv_compare(r, v, a->pos[0]) >= 0);
}

static jv t_in(jrun *r, jv v, const jcall_args *a)
{
    return hg_jv_contains(r, v, a->pos[0]);
}

static jv t_sameas(jrun *r, jv v, const jcall_args *a)
{
    jv o = a->pos[0];
    if (v.kind != o.kind) return hg_jv_bool(false);
    return hg_jv_bool(v.kind < JV_STRING ? hg_jv_equal(r, v, o) : v.as.dict == o.as.dict);
}

static bool known_name(jv v, uint32_t (*index)(const char *))
{
    char name[64];
    if (v.kind != JV_STRING || v.as.s->n >= sizeof name) return false;
    memcpy(name, v.as.s->p, v.as.s->n);
    name[v.as.s->n] = '\0';
    return index(name) != NO_INDEX;
}

static jv t_filter(jrun *r, jv v, const jcall_args *a)
{
    (void)r, (void)a;
    return hg_jv_bool(known_name(v, hg_jinja_filter_index));
}

static jv t_test(jrun *r, jv v, const jcall_args *a)
{
    (void)r, (void)a;
    return hg_jv_bool(known_name(v, hg_jinja_test_index));
}

static const jentry tests[] = {{"defined", t_defined, ""},
                               {"undefined", t_undefined, ""},
                               {"none", t_none, ""},
                               {"boolean", t_boolean, ""},
                               {"true", t_true, ""},
                               {"false", t_false, ""},
                               {"string", t_string, ""},
                               {"integer", t_integer, ""},
                               {"float", t_float, ""},
                               {"number", t_number, ""},
                               {"mapping", t_mapping, ""},
                               {"sequence", t_sequence, ""},
                               {"iterable", t_sequence, ""},
                               {"callable", t_callable, ""},
                               {"lower", t_lower, ""},
                               {"upper", t_upper, ""},
                               {"divisibleby", t_divisibleby, "num"},
                               {"even", t_even, ""},
                               {"odd", t_odd, ""},
                               {"eq", t_eq, "other"},
                               {"equalto", t_eq, "other"},
                               {"==", t_eq, "other"},
                               {"ne", t_ne, "other"},
                               {"!=", t_ne, "other"},
                               {"lt", t_lt, "other"},
                               {"lessthan", t_lt, "other"},
                               {"<", t_lt, "other"},
                               {"le", t_le, "other"},
                               {"<=", t_le, "other"},
                               {"gt", t_gt, "other"},
                               {"greaterthan", t_gt, "other"},
                               {">", t_gt, "other"},
                               {"ge", t_ge, "other"},
                               {">=", t_ge, "other"},
                               {"in", t_in, "seq"},
                               {"sameas", t_sameas, "other"},
                               {"filter", t_filter, ""},
                               {"test", t_test, ""},
                               {NULL, NULL, NULL}};

uint32_t hg_jinja_test_index(const char *name)
{
    for (uint32_t i = 0; tests[i].name != NULL; i++)
        if (strcmp(tests[i].name, name) == 0) return i;
    return NO_INDEX;
}

jv hg_jinja_apply_test(jrun *r, uint32_t index, const char *name, jv self, const jcall_args *a)
{
    if (index == NO_INDEX) return hg_jr_fail(r, "there is no test %s", name);
    return hg_jr_apply(r, &tests[index], self, a);
}
