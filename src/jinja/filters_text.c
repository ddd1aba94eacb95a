/* Filters on text. What is no text is shown first, as Jinja2's filters do. */
#include "jinja/strings.h"
#include "text/utf8.h"
#include <stdio.h>
#include <string.h>

/* The filtered value as text; NULL when the run failed. */
static const jv_str *shown(jrun *r, jv v)
{
    jv s = hg_jv_str(r, v);
    return r->failed == HG_OK ? s.as.s : NULL;
}

static jv f_upper(jrun *r, jv self, const jcall_args *a)
{
    const jv_str *s = shown(r, self);
    (void)a;
    return s != NULL ? hg_js_case(r, s, CASE_UPPER) : hg_jv_none();
}

static jv f_lower(jrun *r, jv self, const jcall_args *a)
{
    const jv_str *s = shown(r, self);
    (void)a;
    return s != NULL ? hg_js_case(r, s, CASE_LOWER) : hg_jv_none();
}

static jv f_capitalize(jrun *r, jv self, const jcall_args *a)
{
    const jv_str *s = shown(r, self);
    (void)a;
    return s != NULL ? hg_js_capitalize(r, s) : hg_jv_none();
}

/* Words begin behind white space and - ( { [ <. */
static jv f_title(jrun *r, jv self, const jcall_args *a)
{
    const jv_str *s = shown(r, self);
    jbuf b = {0};
    bool begins = true;
    (void)a;
    for (size_t i = 0; s != NULL && i < s->n && r->failed == HG_OK;) {
        uint32_t c;
        size_t n = hg_utf8_step(s->p + i, s->p + s->n, &c);
        hg_js_put_case(r, &b, s, i, i + n, begins ? CASE_UPPER : CASE_LOWER);
        begins = hg_js_is_space(c) || (c > 0 && c < 0x80 && strchr("-({[<", (int)c) != NULL);
        i += n;
    }
    return hg_jb_take(r, &b);
}

static jv f_trim(jrun *r, jv self, const jcall_args *a)
{
    const jv_str *s = shown(r, self), *chars = NULL;
    if (!hg_jv_absent(a->pos[0]) && a->pos[0].kind != JV_NONE)
        chars = hg_js_text(r, a->pos[0], "trim");
    return s != NULL ? hg_js_strip(r, s, chars, true, true) : hg_jv_none();
}

static jv f_replace(jrun *r, jv self, const jcall_args *a)
{
    const jv_str *s = shown(r, self), *from = shown(r, a->pos[0]), *to = shown(r, a->pos[1]);
    int64_t most = hg_js_whole(r, a->pos[2], -1, "replace");
    return r->failed == HG_OK ? hg_js_replace(r, s, from, to, most) : hg_jv_none();
}

static jv f_string(jrun *r, jv self, const jcall_args *a)
{
    (void)a;
    return hg_jv_str(r, self);
}

static jv f_escape(jrun *r, jv self, const jcall_args *a)
{
    static const char chars[] = "&<>'\"";
    static const char *const names[] = {"&amp;", "&lt;", "&gt;", "&#39;", "&#34;"};
    const jv_str *s = shown(r, self);
    jbuf b = {0};
    (void)a;
    for (size_t i = 0; s != NULL && i < s->n && r->failed == HG_OK; i++) {
        const char *at = s->p[i] != '\0' ? strchr(chars, s->p[i]) : NULL;
        if (at == NULL)
            hg_jb_put_str(r, &b, s, i, i + 1);
        else
            hg_jb_put(r, &b, names[at - chars], strlen(names[at - chars]),
                      s->mark != NULL ? s->mark[i] : s->all);
    }
    return hg_jb_take(r, &b);
}

/* ---- lines and width ---- */
static jv f_indent(jrun *r, jv self, const jcall_args *a)
{
    static const jv_str space = {" ", 1, NULL, JV_TRUSTED};
    const jv_str *s = shown(r, self);
    const jv_str *by = a->pos[0].kind == JV_STRING ? a->pos[0].as.s : &space;
    int64_t n = a->pos[0].kind == JV_STRING ? 1 : hg_js_whole(r, a->pos[0], 4, "indent");
    bool first = !hg_jv_absent(a->pos[1]) && hg_jv_truth(a->pos[1]);
    bool blank = !hg_jv_absent(a->pos[2]) && hg_jv_truth(a->pos[2]);
    jbuf b = {0};
    for (size_t i = 0, line = 0; s != NULL && r->failed == HG_OK; line++) {
        const char *eol = i < s->n ? memchr(s->p + i, '\n', s->n - i) : NULL;
        size_t end = eol != NULL ? (size_t)(eol - s->p) : s->n;
        if (line == 0 ? first : blank || end > i) hg_js_put_fill(r, &b, by, n);
        hg_jb_put_str(r, &b, s, i, end + (eol != NULL));
        if (eol == NULL) break;
        i = end + 1;
    }
    return hg_jb_take(r, &b);
}

static jv f_center(jrun *r, jv self, const jcall_args *a)
{
    static const jv_str space = {" ", 1, NULL, JV_TRUSTED};
    const jv_str *s = shown(r, self);
    int64_t width = hg_js_whole(r, a->pos[0], 80, "center");
    return r->failed == HG_OK ? hg_js_align(r, s, width, &space, '^') : hg_jv_none();
}

static jv f_truncate(jrun *r, jv self, const jcall_args *a)
{
    static const jv_str dots = {"...", 3, NULL, JV_TRUSTED}, space = {" ", 1, NULL, 0};
    const jv_str *s = shown(r, self);
    int64_t length = hg_js_whole(r, a->pos[0], 255, "truncate");
    bool kill = !hg_jv_absent(a->pos[1]) && hg_jv_truth(a->pos[1]);
    const jv_str *end = hg_jv_absent(a->pos[2]) ? &dots : hg_js_text(r, a->pos[2], "truncate");
    int64_t leeway = hg_js_whole(r, a->pos[3], 5, "truncate");
    if (r->failed != HG_OK) return hg_jv_none();
    int64_t rest = length - (int64_t)hg_jv_chars(end);
    if (rest < 0 || leeway < 0)
        return hg_jr_fail(r, "truncate to fewer characters than its end has");
    int64_t chars = (int64_t)hg_jv_chars(s);
    if (chars <= length || chars - length <= leeway) return (jv){JV_STRING, {.s = s}};
    size_t cut = hg_jv_char_at(s, 0, (size_t)rest);
    size_t word = kill ? SIZE_MAX : hg_js_find(s, &space, 0, cut, true);
    jbuf b = {0};
    hg_jb_put_str(r, &b, s, 0, word != SIZE_MAX ? word : cut);
    hg_jb_put_str(r, &b, end, 0, end->n);
    return hg_jb_take(r, &b);
}

static bool is_word(uint32_t c)
{
    return c == '_' || (c >= '0' && c <= '9') || hg_utf8_is_letter(c);
}

static jv f_wordcount(jrun *r, jv self, const jcall_args *a)
{
    const jv_str *s = shown(r, self);
    int64_t n = 0;
    bool inside = false;
    (void)a;
    for (size_t i = 0; s != NULL && i < s->n;) {
        uint32_t c;
        i += hg_utf8_step(s->p + i, s->p + s->n, &c);
        bool now = c != HG_UTF8_BAD && is_word(c);
        n += now && !inside;
        inside = now;
    }
    return hg_jv_int(n);
}

/* ---- other forms ---- */
static void put_url(jrun *r, jbuf *b, const jv_str *s, bool keep_slash)
{
    for (size_t i = 0; i < s->n && r->failed == HG_OK; i++) {
        unsigned char c = (unsigned char)s->p[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     (c > 0 && strchr("_.-~", c) != NULL) || (c == '/' && keep_slash);
        char text[8];
        (void)snprintf(text, sizeof text, "%%%02X", (unsigned)c);
        if (plain)
            hg_jb_put_str(r, b, s, i, i + 1);
        else
            hg_jb_put(r, b, text, 3, s->mark != NULL ? s->mark[i] : s->all);
    }
}

static jv f_urlencode(jrun *r, jv self, const jcall_args *a)
{
    jbuf b = {0};
    (void)a;
    if (self.kind == JV_DICT) {
        for (size_t i = 0; i < self.as.dict->n && r->failed == HG_OK; i++) {
            const jv_str *key = shown(r, self.as.dict->pair[i].key);
            const jv_str *value = shown(r, self.as.dict->pair[i].value);
            if (r->failed != HG_OK) break;
            if (i > 0) hg_jb_puts(r, &b, "&");
            put_url(r, &b, key, false);
            hg_jb_puts(r, &b, "=");
            put_url(r, &b, value, false);
        }
    } else {
        const jv_str *s = shown(r, self);
        if (s != NULL) put_url(r, &b, s, true);
    }
    return hg_jb_take(r, &b);
}

static jv f_format(jrun *r, jv self, const jcall_args *a)
{
    const jv_str *s = shown(r, self);
    if (s == NULL) return hg_jv_none();
    jv values = a->n_named > 0 ? hg_jv_dict(r, a->n_named) : hg_jv_tuple(r, a->n_pos);
    for (size_t i = 0; i < a->n_named && r->failed == HG_OK; i++)
        hg_jv_put_text(r, values, a->key[i]->text, a->named[i]);
    for (size_t i = 0; i < a->n_pos && a->n_named == 0; i++) hg_jv_push(r, values, a->pos[i]);
    return hg_jinja_percent(r, s, values);
}

const jentry hg_jinja_text_filters[] = {{"upper", f_upper, ""},
                                        {"lower", f_lower, ""},
                                        {"capitalize", f_capitalize, ""},
                                        {"title", f_title, ""},
                                        {"trim", f_trim, "?chars"},
                                        {"replace", f_replace, "old new ?count"},
                                        {"string", f_string, ""},
                                        {"safe", f_string, ""},
                                        {"e", f_escape, ""},
                                        {"escape", f_escape, ""},
                                        {"forceescape", f_escape, ""},
                                        {"indent", f_indent, "?width first blank"},
                                        {"center", f_center, "?width"},
                                        {"truncate", f_truncate, "?length killwords end leeway"},
                                        {"wordcount", f_wordcount, ""},
                                        {"urlencode", f_urlencode, ""},
                                        {"format", f_format, NULL},
                                        {NULL, NULL, NULL}};
