/* Filters on single values, and those that apply another filter or a test to each item. */
#include "jinja/strings.h"
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- default, numbers ---- */
static jv f_default(jrun *r, jv self, const jcall_args *a)
{
    bool falsy_too = !hg_jv_absent(a->pos[1]) && hg_jv_truth(a->pos[1]);
    if (self.kind != JV_UNDEFINED && !(falsy_too && !hg_jv_truth(self))) return self;
    return hg_jv_absent(a->pos[0]) ? hg_jv_text(r, "") : a->pos[0];
}

/* Text of a number without white space around it and _ between its digits; false when it is too
 * long to be one. */
static bool number_text(jrun *r, const jv_str *s, char *out, size_t room)
{
    jv plain = hg_js_strip(r, s, NULL, true, true);
    size_t n = 0;
    if (r->failed != HG_OK || plain.as.s->n == 0 || plain.as.s->n >= room) return false;
    for (size_t i = 0; i < plain.as.s->n; i++) {
        char c = plain.as.s->p[i];
        if (c == '\0') return false;
        if (c != '_' || i == 0 || i + 1 == plain.as.s->n) out[n++] = c;
    }
    out[n] = '\0';
    return true;
}

/* Python's float() of text; strtod alone would also read hexadecimal. */
static bool text_float(jrun *r, const jv_str *s, double *out)
{
    char text[400], *end = NULL;
    if (!number_text(r, s, text, sizeof text) || strpbrk(text, "xXpP(") != NULL) return false;
    *out = strtod(text, &end);
    return end != text && *end == '\0';
}

static bool text_int(jrun *r, const jv_str *s, int base, int64_t *out)
{
    char text[80], *end = NULL;
    if (!number_text(r, s, text, sizeof text)) return false;
    const char *digits = text + (text[0] == '-' || text[0] == '+');
    if (base == 10 && (digits[0] < '0' || digits[0] > '9')) return false;
    if (digits[0] == '0' &&
        ((base == 2 && (digits[1] | 32) == 'b') || (base == 8 && (digits[1] | 32) == 'o'))) {
        if (digits != text) return false;
        digits += 2;
    }
    errno = 0;
    *out = strtoll(base == 2 || base == 8 ? digits : text, &end, base);
    return errno == 0 && *end == '\0' && end != text;
}

static jv float_to_int(double f, jv otherwise)
{
    if (isnan(f) || f >= 9223372036854775808.0 || f < -9223372036854775808.0) return otherwise;
    return hg_jv_int((int64_t)f);
}

static jv f_int(jrun *r, jv self, const jcall_args *a)
{
    jv otherwise = hg_jv_absent(a->pos[0]) ? hg_jv_int(0) : a->pos[0];
    int64_t base = hg_js_whole(r, a->pos[1], 10, "int"), whole = 0;
    double f = 0;
    if (base < 2 || base > 36) return hg_jr_fail(r, "int to a base of 2 to 36");
    if (self.kind == JV_FLOAT) return float_to_int(self.as.f, otherwise);
    if (hg_jv_is_number(self)) return hg_jv_int(hg_jv_whole(self));
    if (self.kind != JV_STRING) return otherwise;
    if (text_int(r, self.as.s, (int)base, &whole)) return hg_jv_int(whole);
    return text_float(r, self.as.s, &f) ? float_to_int(f, otherwise) : otherwise;
}

static jv f_float(jrun *r, jv self, const jcall_args *a)
{
    double f = 0;
    if (hg_jv_is_number(self)) return hg_jv_float(hg_jv_double(self));
    if (self.kind == JV_STRING && text_float(r, self.as.s, &f)) return hg_jv_float(f);
    return hg_jv_absent(a->pos[0]) ? hg_jv_float(0) : a->pos[0];
}

static jv f_abs(jrun *r, jv self, const jcall_args *a)
{
    (void)a;
    if (self.kind == JV_FLOAT) return hg_jv_float(fabs(self.as.f));
    if (!hg_jv_is_number(self)) return hg_jr_fail(r, "abs of %s", hg_jv_type(self));
    return hg_jv_whole(self) < 0 ? hg_jv_binary(r, '-', hg_jv_int(0), self)
                                 : hg_jv_int(hg_jv_whole(self));
}

/* Python rounds the decimal that stands for the double, half to even; long double has the digits to
 * do so for the precisions that templates use. */
static double round_at(double f, int64_t digits, int how)
{
    long double scale = powl(10.0L, (long double)digits), x = (long double)f * scale;
    if (digits > 22 || digits < -300 || !isfinite((double)x)) return f;
    long double y = how < 0 ? floorl(x) : how > 0 ? ceill(x) : rintl(x);
    return (double)(y / scale);
}

static jv f_round(jrun *r, jv self, const jcall_args *a)
{
    int64_t digits = hg_js_whole(r, a->pos[0], 0, "round");
    jv how = a->pos[1];
    if (!hg_jv_is_number(self)) return hg_jr_fail(r, "round of %s", hg_jv_type(self));
    bool is_common = hg_jv_absent(how) || hg_jv_is_text(how, "common");
    if (!is_common && !hg_jv_is_text(how, "ceil") && !hg_jv_is_text(how, "floor"))
        return hg_jr_fail(r, "round by common, ceil or floor");
    if (is_common && self.kind != JV_FLOAT && digits >= 0) return hg_jv_int(hg_jv_whole(self));
    double f = hg_jv_double(self);
    return hg_jv_float(round_at(f, digits, is_common ? 0 : hg_jv_is_text(how, "ceil") ? 1 : -1));
}

/* ---- JSON, attributes ---- */
static jv spaces(jrun *r, int64_t n)
{
    jbuf b = {0};
    for (int64_t i = 0; i < n && hg_jr_step(r, 1); i++) hg_jb_puts(r, &b, " ");
    return hg_jb_take(r, &b);
}

static jv f_tojson(jrun *r, jv self, const jcall_args *a)
{
    jjson o = {.ascii = !hg_jv_absent(a->pos[0]) && hg_jv_truth(a->pos[0]),
               .sort = !hg_jv_absent(a->pos[3]) && hg_jv_truth(a->pos[3]),
               .indent = hg_jv_none()};
    jv indent = a->pos[1], separators = a->pos[2];
    bool has_indent = !hg_jv_absent(indent) && indent.kind != JV_NONE;
    if (has_indent)
        o.indent =
            indent.kind == JV_STRING ? indent : spaces(r, hg_js_whole(r, indent, 0, "tojson"));
    o.item = hg_jv_text(r, has_indent ? "," : ", ");
    o.key = hg_jv_text(r, ": ");
    if (!hg_jv_absent(separators) && separators.kind != JV_NONE) {
        const jv_list *l = hg_jv_items(r, separators);
        if (l == NULL || l->n != 2 || l->v[0].kind != JV_STRING || l->v[1].kind != JV_STRING)
            return hg_jr_fail(r, "tojson: separators are two texts, such as (\",\", \":\")");
        o.item = l->v[0];
        o.key = l->v[1];
    }
    return r->failed == HG_OK ? hg_jv_tojson(r, self, &o) : hg_jv_none();
}

static jv f_attr(jrun *r, jv self, const jcall_args *a)
{
    const jv_str *name = hg_js_text(r, a->pos[0], "attr");
    if (name == NULL) return hg_jv_none();
    return self.kind == JV_DICT && hg_jinja_method(self, name->p, name->n) == NULL
               ? hg_jv_undefined("an attribute")
               : hg_jv_attr(r, self, name->p, name->n);
}

/* ---- map, select ---- */
/* The filter or test named by the first of `a`, from `skip` on; its own arguments in *rest. */
static const char *named(jrun *r, const jcall_args *a, size_t skip, jcall_args *rest,
                         const char *who)
{
    if (a->n_pos <= skip) return NULL;
    *rest = (jcall_args){a->pos + skip + 1, a->n_pos - skip - 1, a->key, a->named, a->n_named};
    if (a->pos[skip].kind != JV_STRING) {
        (void)hg_jr_fail(r, "%s takes a name, not %s", who, hg_jv_type(a->pos[skip]));
        return NULL;
    }
    const jv_str *s = a->pos[skip].as.s;
    char *name = hg_jr_room(r, s->n + 1, 1);
    if (name == NULL) return NULL;
    memcpy(name, s->p, s->n);
    name[s->n] = '\0';
    return name;
}

static const jv *option(const jcall_args *a, const char *name)
{
    for (size_t i = 0; i < a->n_named; i++)
        if (strcmp(a->key[i]->text, name) == 0) return &a->named[i];
    return NULL;
}

/* What map and select walk through: nothing where Jinja2 takes a value for false, even none. */
static const jv_list *items_or_none(jrun *r, jv self)
{
    return hg_jv_items(r, hg_jv_truth(self) ? self : hg_jv_list(r, 0));
}

static jv f_map(jrun *r, jv self, const jcall_args *a)
{
    const jv_list *l = items_or_none(r, self);
    jv out = hg_jv_list(r, l != NULL ? l->n : 0);
    const jv *attribute = option(a, "attribute"), *preset = option(a, "default");
    jcall_args rest = {0};
    const char *name = attribute == NULL ? named(r, a, 0, &rest, "map") : NULL;
    if (attribute == NULL && name == NULL) return hg_jr_fail(r, "map needs a filter's name");
    uint32_t index = name != NULL ? hg_jinja_filter_index(name) : NO_INDEX;
    for (size_t i = 0; l != NULL && i < l->n && hg_jr_step(r, 1); i++) {
        jv v = attribute != NULL ? hg_jv_path(r, l->v[i], *attribute)
                                 : hg_jinja_apply_filter(r, index, name, l->v[i], &rest);
        if (attribute != NULL && preset != NULL && v.kind == JV_UNDEFINED) v = *preset;
        hg_jv_push(r, out, v);
    }
    return out;
}

/* The items whose value (or attribute) passes the test, or does not. */
static jv choose(jrun *r, jv self, const jcall_args *a, bool by_attribute, bool wanted)
{
    const jv_list *l = items_or_none(r, self);
    jv out = hg_jv_list(r, 0);
    jcall_args rest = {0};
    if (by_attribute && a->n_pos == 0) return hg_jr_fail(r, "selectattr needs an attribute's name");
    const char *name = named(r, a, by_attribute ? 1 : 0, &rest, "select");
    uint32_t index = name != NULL ? hg_jinja_test_index(name) : NO_INDEX;
    for (size_t i = 0; l != NULL && i < l->n && hg_jr_step(r, 1); i++) {
        jv v = by_attribute ? hg_jv_path(r, l->v[i], a->pos[0]) : l->v[i];
        if (name != NULL) v = hg_jinja_apply_test(r, index, name, v, &rest);
        if (hg_jv_truth(v) == wanted) hg_jv_push(r, out, l->v[i]);
    }
    return out;
}

static jv f_select(jrun *r, jv self, const jcall_args *a)
{
    return choose(r, self, a, false, true);
}

static jv f_reject(jrun *r, jv self, const jcall_args *a)
{
    return choose(r, self, a, false, false);
}

static jv f_selectattr(jrun *r, jv self, const jcall_args *a)
{
    return choose(r, self, a, true, true);
}

static jv f_rejectattr(jrun *r, jv self, const jcall_args *a)
{
    return choose(r, self, a, true, false);
}

const jentry hg_jinja_value_filters[] = {
    {"default", f_default, "?default_value boolean"},
    {"d", f_default, "?default_value boolean"},
    {"int", f_int, "?default base"},
    {"float", f_float, "?default"},
    {"abs", f_abs, ""},
    {"round", f_round, "?precision method"},
    {"tojson", f_tojson, "?ensure_ascii indent separators sort_keys"},
    {"attr", f_attr, "name"},
    {"map", f_map, NULL},
    {"select", f_select, NULL},
    {"reject", f_reject, NULL},
    {"selectattr", f_selectattr, NULL},
    {"rejectattr", f_rejectattr, NULL},
    {NULL, NULL, NULL}};
