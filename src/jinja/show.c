/* Values as text: Python's str(), repr() and json.dumps(). */
#include "jinja/sort.h"
#include "text/utf8.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

/* The shortest decimal that reads back as f, laid out as Python does: an exponent below 1e-4 and
 * from 1e16 on, and always a point or an exponent. */
void hg_jv_put_float(jrun *r, jbuf *b, double f)
{
    char digits[40], out[64];
    int precision = 0;
    if (isnan(f) || isinf(f)) {
        hg_jb_puts(r, b, isnan(f) ? "nan" : f < 0 ? "-inf" : "inf");
        return;
    }
    do {
        (void)snprintf(digits, sizeof digits, "%.*e", precision, f);
    } while (strtod(digits, NULL) != f && ++precision < 17);
    const char *e = strchr(digits, 'e');
    int exponent = e != NULL ? (int)strtol(e + 1, NULL, 10) : 0;
    if (exponent < -4 || exponent >= 16) {
        (void)snprintf(out, sizeof out, "%.*se%c%02d", (int)(e - digits), digits,
                       exponent < 0 ? '-' : '+', abs(exponent));
    } else {
        int places = precision - exponent;
        (void)snprintf(out, sizeof out, "%.*f", places > 0 ? places : 1, f);
    }
    hg_jb_puts(r, b, out);
}

static void put_scalar(jrun *r, jbuf *b, jv v)
{
    char text[32];
    switch (v.kind) {
    case JV_NONE:
        hg_jb_puts(r, b, "None");
        break;
    case JV_BOOL:
        hg_jb_puts(r, b, v.as.b ? "True" : "False");
        break;
    case JV_INT:
        (void)snprintf(text, sizeof text, "%lld", (long long)v.as.i);
        hg_jb_puts(r, b, text);
        break;
    case JV_FLOAT:
        hg_jv_put_float(r, b, v.as.f);
        break;
    case JV_LOOP:
        (void)snprintf(text, sizeof text, "<LoopContext %zu/%zu>", v.as.loop->i + 1,
                       v.as.loop->items->n);
        hg_jb_puts(r, b, text);
        break;
    case JV_CALL:
        hg_jb_puts(r, b, v.as.call->kind == CALL_MACRO ? "<Macro '" : "<function '");
        hg_jb_puts(r, b, v.as.call->name);
        hg_jb_puts(r, b, "'>");
        break;
    default: /* undefined */
        break;
    }
}

/* Whether Python shows the character as it is. */
static bool is_printable(uint32_t c)
{
    if (c < 0x7F) return c >= 0x20;
    utf8proc_category_t k = utf8proc_category((utf8proc_int32_t)c);
    return !(k == UTF8PROC_CATEGORY_CC || k == UTF8PROC_CATEGORY_CF || k == UTF8PROC_CATEGORY_CS ||
             k == UTF8PROC_CATEGORY_CO || k == UTF8PROC_CATEGORY_CN || k == UTF8PROC_CATEGORY_ZL ||
             k == UTF8PROC_CATEGORY_ZP || k == UTF8PROC_CATEGORY_ZS);
}

/* One character of a repr; `mark` is its bytes'. */
static void repr_char(jrun *r, jbuf *b, const jv_str *s, size_t at, size_t n, uint32_t c,
                      char quote)
{
    uint8_t mark = s->mark != NULL ? s->mark[at] : s->all;
    char text[16];
    if (c == (uint32_t)quote || c == '\\')
        (void)snprintf(text, sizeof text, "\\%c", (char)c);
    else if (c == '\n' || c == '\r' || c == '\t')
        (void)snprintf(text, sizeof text, "\\%c", c == '\n' ? 'n' : c == '\r' ? 'r' : 't');
    else if (c == HG_UTF8_BAD || is_printable(c)) {
        hg_jb_put_str(r, b, s, at, at + n);
        return;
    } else
        (void)snprintf(text, sizeof text,
                       c < 0x100     ? "\\x%02x"
                       : c < 0x10000 ? "\\u%04x"
                                     : "\\U%08x",
                       (unsigned)c);
    hg_jb_put(r, b, text, strlen(text), mark);
}

static void repr_text(jrun *r, jbuf *b, const jv_str *s)
{
    bool has_single = s->n > 0 && memchr(s->p, '\'', s->n) != NULL;
    bool has_double = s->n > 0 && memchr(s->p, '"', s->n) != NULL;
    char quote = has_single && !has_double ? '"' : '\'';
    hg_jb_put(r, b, &quote, 1, JV_TRUSTED);
    for (size_t i = 0; i < s->n && r->failed == HG_OK;) {
        uint32_t c;
        size_t n = hg_utf8_step(s->p + i, s->p + s->n, &c);
        repr_char(r, b, s, i, n, c, quote);
        i += n;
    }
    hg_jb_put(r, b, &quote, 1, JV_TRUSTED);
}

static void repr_list(jrun *r, jbuf *b, jv v)
{
    const jv_list *l = v.as.list;
    bool is_tuple = v.kind == JV_TUPLE;
    hg_jb_puts(r, b, is_tuple ? "(" : "[");
    for (size_t i = 0; i < l->n && r->failed == HG_OK; i++) {
        if (i > 0) hg_jb_puts(r, b, ", ");
        hg_jv_repr(r, b, l->v[i]);
    }
    hg_jb_puts(r, b, is_tuple ? l->n == 1 ? ",)" : ")" : "]");
}

static void repr_dict(jrun *r, jbuf *b, const jv_dict *d)
{
    hg_jb_puts(r, b, "{");
    for (size_t i = 0; i < d->n && r->failed == HG_OK; i++) {
        if (i > 0) hg_jb_puts(r, b, ", ");
        hg_jv_repr(r, b, d->pair[i].key);
        hg_jb_puts(r, b, ": ");
        hg_jv_repr(r, b, d->pair[i].value);
    }
    hg_jb_puts(r, b, "}");
}

void hg_jv_repr(jrun *r, jbuf *b, jv v)
{
    if (hg_jr_enter(r) && hg_jr_step(r, 1)) {
        if (v.kind == JV_STRING) {
            repr_text(r, b, v.as.s);
        } else if (v.kind == JV_LIST || v.kind == JV_TUPLE) {
            repr_list(r, b, v);
        } else if (v.kind == JV_DICT) {
            repr_dict(r, b, v.as.dict);
        } else if (v.kind == JV_NAMESPACE) {
            hg_jb_puts(r, b, "<Namespace ");
            repr_dict(r, b, v.as.dict);
            hg_jb_puts(r, b, ">");
        } else if (v.kind == JV_UNDEFINED) {
            hg_jb_puts(r, b, "Undefined");
        } else {
            put_scalar(r, b, v);
        }
    }
    r->depth--;
}

void hg_jv_show(jrun *r, jbuf *b, jv v)
{
    if (v.kind == JV_STRING)
        hg_jb_put_str(r, b, v.as.s, 0, v.as.s->n);
    else if (v.kind != JV_UNDEFINED)
        hg_jv_repr(r, b, v);
}

jv hg_jv_str(jrun *r, jv v)
{
    jbuf b = {0};
    if (v.kind == JV_STRING) return v;
    hg_jv_show(r, &b, v);
    return hg_jb_take(r, &b);
}

/* ---- JSON ---- */
static void json_escape(jrun *r, jbuf *b, uint32_t c, uint8_t mark)
{
    static const char from[] = "\"\\\n\r\t\b\f", to[] = "\"\\nrtbf";
    char text[16];
    const char *at = c != 0 && c < 0x80 ? strchr(from, (int)c) : NULL;
    if (at != NULL)
        (void)snprintf(text, sizeof text, "\\%c", to[at - from]);
    else if (c < 0x10000)
        (void)snprintf(text, sizeof text, "\\u%04x", (unsigned)c);
    else
        (void)snprintf(text, sizeof text, "\\u%04x\\u%04x", (unsigned)(0xD7C0 + (c >> 10)),
                       (unsigned)(0xDC00 + (c & 0x3FF)));
    hg_jb_put(r, b, text, strlen(text), mark);
}

static void json_text(jrun *r, jbuf *b, const jv_str *s, bool ascii)
{
    size_t plain = 0;
    hg_jb_puts(r, b, "\"");
    for (size_t i = 0; i < s->n && r->failed == HG_OK;) {
        uint32_t c;
        size_t n = hg_utf8_step(s->p + i, s->p + s->n, &c);
        if (c == '"' || c == '\\' || c < 0x20 || (ascii && c >= 0x7F && c != HG_UTF8_BAD)) {
            hg_jb_put_str(r, b, s, plain, i);
            json_escape(r, b, c, s->mark != NULL ? s->mark[i] : s->all);
            plain = i + n;
        }
        i += n;
    }
    hg_jb_put_str(r, b, s, plain, s->n);
    hg_jb_puts(r, b, "\"");
}

static void json_number(jrun *r, jbuf *b, double f)
{
    if (isnan(f) || isinf(f))
        hg_jb_puts(r, b, isnan(f) ? "NaN" : f < 0 ? "-Infinity" : "Infinity");
    else
        hg_jv_put_float(r, b, f);
}

static void json_line(jrun *r, jbuf *b, const jjson *o, size_t level)
{
    if (o->indent.kind != JV_STRING) return;
    hg_jb_puts(r, b, "\n");
    for (size_t i = 0; i < level && r->failed == HG_OK; i++) hg_jv_show(r, b, o->indent);
}

static void json_value(jrun *r, jbuf *b, jv v, const jjson *o, size_t level);

static void json_key(jrun *r, jbuf *b, jv key, const jjson *o)
{
    if (key.kind == JV_STRING) {
        json_text(r, b, key.as.s, o->ascii);
        return;
    }
    if (key.kind > JV_FLOAT || key.kind == JV_UNDEFINED) {
        (void)hg_jr_fail(r, "tojson: a key that is a %s; text or a number can be one",
                         hg_jv_type(key));
        return;
    }
    hg_jb_puts(r, b, "\"");
    json_value(r, b, key, o, 0);
    hg_jb_puts(r, b, "\"");
}

/* The pairs in the order of their keys. */
static const jv_pair *sorted_pairs(jrun *r, const jv_dict *d)
{
    jv *key = hg_jr_room(r, d->n > 0 ? d->n : 1, 2 * sizeof *key), *value = key + d->n;
    jv_pair *p = hg_jr_room(r, d->n > 0 ? d->n : 1, sizeof *p);
    if (key == NULL || p == NULL) return NULL;
    for (size_t i = 0; i < d->n; i++) {
        /* What is sorted carries the place where its pair stands. */
        key[i] = d->pair[i].key;
        value[i] = hg_jv_int((int64_t)i);
    }
    hg_jv_sort(r, value, key, d->n, false);
    for (size_t i = 0; i < d->n; i++) p[i] = d->pair[value[i].as.i];
    return p;
}

static void json_dict(jrun *r, jbuf *b, const jv_dict *d, const jjson *o, size_t level)
{
    const jv_pair *pair = o->sort ? sorted_pairs(r, d) : d->pair;
    hg_jb_puts(r, b, "{");
    for (size_t i = 0; i < d->n && r->failed == HG_OK; i++) {
        if (i > 0) hg_jv_show(r, b, o->item);
        json_line(r, b, o, level + 1);
        json_key(r, b, pair[i].key, o);
        hg_jv_show(r, b, o->key);
        json_value(r, b, pair[i].value, o, level + 1);
    }
    if (d->n > 0) json_line(r, b, o, level);
    hg_jb_puts(r, b, "}");
}

static void json_list(jrun *r, jbuf *b, const jv_list *l, const jjson *o, size_t level)
{
    hg_jb_puts(r, b, "[");
    for (size_t i = 0; i < l->n && r->failed == HG_OK; i++) {
        if (i > 0) hg_jv_show(r, b, o->item);
        json_line(r, b, o, level + 1);
        json_value(r, b, l->v[i], o, level + 1);
    }
    if (l->n > 0) json_line(r, b, o, level);
    hg_jb_puts(r, b, "]");
}

static void json_value(jrun *r, jbuf *b, jv v, const jjson *o, size_t level)
{
    if (hg_jr_enter(r) && hg_jr_step(r, 1)) {
        if (v.kind == JV_STRING)
            json_text(r, b, v.as.s, o->ascii);
        else if (v.kind == JV_LIST || v.kind == JV_TUPLE)
            json_list(r, b, v.as.list, o, level);
        else if (v.kind == JV_DICT)
            json_dict(r, b, v.as.dict, o, level);
        else if (v.kind == JV_FLOAT)
            json_number(r, b, v.as.f);
        else if (v.kind == JV_NONE)
            hg_jb_puts(r, b, "null");
        else if (v.kind == JV_BOOL)
            hg_jb_puts(r, b, v.as.b ? "true" : "false");
        else if (v.kind == JV_INT)
            put_scalar(r, b, v);
        else
            (void)hg_jr_fail(r, "tojson: %s%s%s cannot be written as JSON", hg_jv_type(v),
                             v.kind == JV_UNDEFINED && v.as.hint != NULL ? " " : "",
                             v.kind == JV_UNDEFINED && v.as.hint != NULL ? v.as.hint : "");
    }
    r->depth--;
}

jv hg_jv_tojson(jrun *r, jv v, const jjson *o)
{
    jbuf b = {0};
    json_value(r, &b, v, o, 0);
    return hg_jb_take(r, &b);
}
