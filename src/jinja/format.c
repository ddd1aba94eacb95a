/* Python's two ways to put values into text: "%s of %d" % values, and "{} of {}".format(...). */
#include "jinja/strings.h"
#include "text/utf8.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MAX_WIDTH = 10000, MAX_PRECISION = 100 };

/* What stands between % or { and the type. */
typedef struct spec {
    bool left, plus, space, zero, alt, comma, has_precision;
    char align, type;
    jv_str fill;
    int width, precision;
} spec;

static int read_number(const jv_str *s, size_t *i)
{
    int n = 0;
    for (; *i < s->n && s->p[*i] >= '0' && s->p[*i] <= '9'; (*i)++)
        n = n < MAX_WIDTH ? n * 10 + (s->p[*i] - '0') : n;
    return n;
}

static const jv_str space_fill = {" ", 1, NULL, JV_TRUSTED};

/* Puts thousands separators into the digits of `text`. */
static void separate(char *text, size_t room)
{
    char out[400];
    size_t sign = text[0] == '-' || text[0] == '+' || text[0] == ' ' ? 1 : 0;
    size_t digits = strspn(text + sign, "0123456789"), n = strlen(text), w = 0;
    if (n + digits / 3 >= sizeof out || n + digits / 3 >= room) return;
    for (size_t i = 0; i < n; i++) {
        size_t at = i - sign;
        if (i > sign && at < digits && (digits - at) % 3 == 0) out[w++] = ',';
        out[w++] = text[i];
    }
    memcpy(text, out, w);
    text[w] = '\0';
}

static bool whole_number(jrun *r, jv v, int64_t *out)
{
    if (v.kind == JV_FLOAT && fabs(v.as.f) < 9e18)
        *out = (int64_t)v.as.f;
    else if (v.kind == JV_INT || v.kind == JV_BOOL)
        *out = hg_jv_whole(v);
    else {
        (void)hg_jr_fail(r, "a format of a number got %s", hg_jv_type(v));
        return false;
    }
    return true;
}

static const char *sign_of(const spec *f, bool negative)
{
    return negative ? "-" : f->plus ? "+" : f->space ? " " : "";
}

static void format_whole(jrun *r, jv v, const spec *f, char *out, size_t room)
{
    int64_t i = 0;
    if (!whole_number(r, v, &i)) return;
    unsigned long long u = i < 0 ? 0 - (unsigned long long)i : (unsigned long long)i;
    const char *sign = sign_of(f, i < 0);
    const char *base = !f->alt          ? ""
                       : f->type == 'x' ? "0x"
                       : f->type == 'X' ? "0X"
                       : f->type == 'o' ? "0o"
                                        : "";
    const char *format = f->type == 'x'   ? "%s%s%llx"
                         : f->type == 'X' ? "%s%s%llX"
                         : f->type == 'o' ? "%s%s%llo"
                                          : "%s%s%llu";
    (void)snprintf(out, room, format, sign, base, u);
}

static void format_float(jrun *r, jv v, const spec *f, char *out, size_t room)
{
    int precision = f->has_precision ? f->precision : 6;
    if (!hg_jv_is_number(v)) {
        (void)hg_jr_fail(r, "a format of a number got %s", hg_jv_type(v));
        return;
    }
    double d = hg_jv_double(v);
    bool percent = f->type == '%';
    const char *sign = sign_of(f, signbit(d) && !isnan(d));
    d = fabs(percent ? d * 100 : d);
    switch (f->type) {
    case 'e':
        (void)snprintf(out, room, "%s%.*e", sign, precision, d);
        break;
    case 'E':
        (void)snprintf(out, room, "%s%.*E", sign, precision, d);
        break;
    case 'g':
    case 'G':
        (void)snprintf(out, room, "%s%.*g", sign, precision, d);
        break;
    default:
        (void)snprintf(out, room, "%s%.*f%s", sign, precision, d, percent ? "%" : "");
    }
}

static void put_number(jrun *r, jbuf *b, const char *text, const spec *f)
{
    size_t sign = text[0] == '-' || text[0] == '+' || text[0] == ' ' ? 1 : 0;
    int64_t rest = f->width - (int64_t)strlen(text);
    char align = f->align != '\0' ? f->align : f->left ? '<' : '>';
    bool zero = f->zero && f->align == '\0' && !f->left;
    if (zero || align == '=') {
        static const jv_str zeros = {"0", 1, NULL, JV_TRUSTED};
        hg_jb_put(r, b, text, sign, JV_TRUSTED);
        hg_js_put_fill(r, b, zero ? &zeros : &f->fill, rest);
        hg_jb_puts(r, b, text + sign);
        return;
    }
    int64_t before = rest <= 0 || align == '<' ? 0 : align == '>' ? rest : rest / 2;
    hg_js_put_fill(r, b, &f->fill, before);
    hg_jb_puts(r, b, text);
    hg_js_put_fill(r, b, &f->fill, rest - before);
}

static void put_text(jrun *r, jbuf *b, jv v, const spec *f)
{
    jv shown = f->type == 'r' ? hg_jv_none() : hg_jv_str(r, v);
    if (f->type == 'r') {
        jbuf repr = {0};
        hg_jv_repr(r, &repr, v);
        shown = hg_jb_take(r, &repr);
    }
    if (r->failed != HG_OK) return;
    const jv_str *s = shown.as.s;
    if (f->has_precision) s = hg_jv_part(r, s, 0, hg_jv_char_at(s, 0, (size_t)f->precision)).as.s;
    if (r->failed != HG_OK) return;
    int64_t rest = f->width - (int64_t)hg_jv_chars(s);
    int64_t before = rest <= 0 ? 0 : f->align == '>' ? rest : f->align == '^' ? rest / 2 : 0;
    hg_js_put_fill(r, b, &f->fill, before);
    hg_jb_put_str(r, b, s, 0, s->n);
    hg_js_put_fill(r, b, &f->fill, rest - before);
}

static void put_value(jrun *r, jbuf *b, jv v, const spec *f)
{
    char text[512] = "";
    if (f->type == 's' || f->type == 'r') {
        put_text(r, b, v, f);
        return;
    }
    if (f->type == 'c' && v.kind == JV_INT && v.as.i > 0 && v.as.i < 0x110000 &&
        !(v.as.i >= 0xD800 && v.as.i < 0xE000))
        text[hg_utf8_encode((uint32_t)v.as.i, text)] = '\0';
    else if (strchr("dixXouc", f->type) != NULL)
        format_whole(r, v, f, text, sizeof text);
    else
        format_float(r, v, f, text, sizeof text);
    if (f->comma) separate(text, sizeof text);
    if (r->failed == HG_OK) put_number(r, b, text, f);
}

/* ---- % ---- */
static jv next_value(jrun *r, jv values, size_t *used)
{
    if (values.kind != JV_TUPLE) {
        if ((*used)++ == 0) return values;
    } else if (*used < values.as.list->n) {
        return values.as.list->v[(*used)++];
    }
    return hg_jr_fail(r, "a format asks for more values than it gets");
}

static jv keyed_value(jrun *r, const jv_str *s, size_t *i, jv values)
{
    size_t from = ++*i;
    while (*i < s->n && s->p[*i] != ')') (*i)++;
    if (*i >= s->n || values.kind != JV_DICT)
        return hg_jr_fail(r, "%%(name) in a format takes a dict");
    jv v = hg_jv_item(r, values, hg_jv_part(r, s, from, *i));
    (*i)++;
    if (v.kind == JV_UNDEFINED)
        return hg_jr_fail(r, "a format's value %.*s is not there", (int)(*i - 1 - from),
                          s->p + from);
    return v;
}

static void percent_spec(jrun *r, const jv_str *s, size_t *i, spec *f, jv values, size_t *used)
{
    for (; *i < s->n; (*i)++) {
        char c = s->p[*i];
        if (c == '-')
            f->left = true;
        else if (c == '+')
            f->plus = true;
        else if (c == ' ')
            f->space = true;
        else if (c == '0')
            f->zero = true;
        else if (c == '#')
            f->alt = true;
        else
            break;
    }
    if (*i < s->n && s->p[*i] == '*') {
        int64_t width = hg_js_whole(r, next_value(r, values, used), 0, "a width");
        f->width = width > 0 && width < MAX_WIDTH ? (int)width : 0;
        (*i)++;
    } else {
        f->width = read_number(s, i);
    }
    if (*i < s->n && s->p[*i] == '.') {
        (*i)++;
        f->has_precision = true;
        f->precision = read_number(s, i);
        if (f->precision > MAX_PRECISION) f->precision = MAX_PRECISION;
    }
    f->type = *i < s->n ? s->p[*i] : '\0';
}

jv hg_jinja_percent(jrun *r, const jv_str *s, jv values)
{
    jbuf b = {0};
    size_t used = 0;
    for (size_t i = 0; i < s->n && hg_jr_step(r, 1); i++) {
        size_t next = i;
        while (next < s->n && s->p[next] != '%') next++;
        hg_jb_put_str(r, &b, s, i, next);
        i = next;
        if (i == s->n) break;
        i++;
        spec f = {.fill = space_fill};
        bool is_keyed = i < s->n && s->p[i] == '(';
        jv v = is_keyed ? keyed_value(r, s, &i, values) : hg_jv_none();
        percent_spec(r, s, &i, &f, values, &used);
        if (f.type == '%') {
            hg_jb_puts(r, &b, "%");
            continue;
        }
        if (f.type == '\0' || strchr("srdiuxXoeEfFgGca", f.type) == NULL) {
            (void)hg_jr_fail(r, "a format with a %% that says no type; %%%% writes it");
            break;
        }
        if (f.type == 'a') f.type = 'r';
        if (!is_keyed) v = next_value(r, values, &used);
        if (f.type == 's' || f.type == 'r') f.align = f.left ? '<' : '>';
        put_value(r, &b, v, &f);
    }
    if (values.kind == JV_TUPLE ? used < values.as.list->n
                                : used == 0 && values.kind != JV_DICT && values.kind != JV_LIST)
        (void)hg_jr_fail(r, "a format gets more values than it asks for");
    return hg_jb_take(r, &b);
}

/* ---- {} ---- */
static jv field_root(jrun *r, const jv_str *s, size_t from, size_t to, const jcall_args *a,
                     size_t *automatic)
{
    size_t i = from, index = 0;
    for (; i < to && s->p[i] >= '0' && s->p[i] <= '9' && index < 1000; i++)
        index = index * 10 + (size_t)(s->p[i] - '0');
    if (from == to) index = (*automatic)++;
    if (i == to) {
        if (index < a->n_pos) return a->pos[index];
        return hg_jr_fail(r, "format: there is no value %zu", index);
    }
    for (size_t k = 0; k < a->n_named; k++)
        if (a->key[k]->n == to - from && memcmp(a->key[k]->text, s->p + from, to - from) == 0)
            return a->named[k];
    return hg_jr_fail(r, "format: there is no value %.*s", (int)(to - from < 40 ? to - from : 40),
                      s->p + from);
}

/* name, then .attribute and [item], up to s[to]. */
static jv field_value(jrun *r, const jv_str *s, size_t from, size_t to, const jcall_args *a,
                      size_t *automatic)
{
    size_t i = from;
    while (i < to && s->p[i] != '.' && s->p[i] != '[') i++;
    jv v = field_root(r, s, from, i, a, automatic);
    while (i < to && r->failed == HG_OK) {
        bool is_item = s->p[i] == '[';
        size_t begin = ++i;
        while (i < to && (is_item ? s->p[i] != ']' : s->p[i] != '.' && s->p[i] != '[')) i++;
        v = hg_jv_path(r, v, hg_jv_part(r, s, begin, i));
        if (is_item) i++;
    }
    return v;
}

static void brace_spec(const jv_str *s, size_t i, size_t to, spec *f)
{
    size_t second = hg_jv_char_at(s, i, 1);
    if (second < to && strchr("<>^=", s->p[second]) != NULL) {
        f->fill = (jv_str){s->p + i, second - i, NULL, s->all};
        f->align = s->p[second];
        i = second + 1;
    } else if (i < to && strchr("<>^=", s->p[i]) != NULL) {
        f->align = s->p[i++];
    }
    if (i < to && (s->p[i] == '+' || s->p[i] == ' ' || s->p[i] == '-')) {
        f->plus = s->p[i] == '+';
        f->space = s->p[i++] == ' ';
    }
    if (i < to && s->p[i] == '#') f->alt = true, i++;
    if (i < to && s->p[i] == '0') f->zero = true, i++;
    f->width = read_number(s, &i);
    if (i < to && s->p[i] == ',') f->comma = true, i++;
    if (i < to && s->p[i] == '.') {
        i++;
        f->has_precision = true;
        f->precision = read_number(s, &i);
        if (f->precision > MAX_PRECISION) f->precision = MAX_PRECISION;
    }
    if (i < to) f->type = s->p[i];
}

static void brace_field(jrun *r, jbuf *b, const jv_str *s, size_t from, size_t to,
                        const jcall_args *a, size_t *automatic)
{
    size_t name = from;
    spec f = {.fill = space_fill};
    while (name < to && s->p[name] != ':' && s->p[name] != '!') name++;
    jv v = field_value(r, s, from, name, a, automatic);
    bool repr = name + 1 < to && s->p[name] == '!' && s->p[name + 1] == 'r';
    if (name < to && s->p[name] == '!') name += 2;
    if (name < to && s->p[name] == ':') brace_spec(s, name + 1, to, &f);
    if (repr) f.type = 'r';
    if (f.type == '\0')
        f.type = v.kind == JV_INT ? 'd' : v.kind == JV_FLOAT && f.has_precision ? 'g' : 's';
    if (strchr("sdixXoeEfFgGcr%", f.type) == NULL) {
        (void)hg_jr_fail(r, "format: there is no type %c", f.type);
        return;
    }
    if (f.type == 's' && hg_jv_is_number(v) && f.align == '\0') f.align = '>';
    put_value(r, b, v, &f);
}

jv hg_jinja_braces(jrun *r, const jv_str *s, const jcall_args *a)
{
    jbuf b = {0};
    size_t automatic = 0;
    for (size_t i = 0; i < s->n && hg_jr_step(r, 1); i++) {
        char c = s->p[i];
        if (c != '{' && c != '}') {
            hg_jb_put_str(r, &b, s, i, i + 1);
            continue;
        }
        if (i + 1 < s->n && s->p[i + 1] == c) {
            hg_jb_put_str(r, &b, s, i, i + 1);
            i++;
            continue;
        }
        const char *end = c == '{' ? memchr(s->p + i, '}', s->n - i) : NULL;
        if (end == NULL) {
            (void)hg_jr_fail(r, "format: a lone %c; it is written twice", c);
            break;
        }
        brace_field(r, &b, s, i + 1, (size_t)(end - s->p), a, &automatic);
        i = (size_t)(end - s->p);
    }
    return hg_jb_take(r, &b);
}
