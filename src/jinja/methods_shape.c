/* The methods of str that ask what kind of characters it has, or lay it out. */
#include "jinja/strings.h"
#include "text/utf8.h"
#include <string.h>
#include <utf8proc.h>

/* ---- is... ---- */
static bool is_alpha(uint32_t c)
{
    utf8proc_category_t k = utf8proc_category((utf8proc_int32_t)c);
    return k >= UTF8PROC_CATEGORY_LU && k <= UTF8PROC_CATEGORY_LO;
}

static bool is_decimal(uint32_t c)
{
    return utf8proc_category((utf8proc_int32_t)c) == UTF8PROC_CATEGORY_ND;
}

/* Superscripts and circled digits are digits to Python, though no decimals. */
static bool is_digit(uint32_t c)
{
    return is_decimal(c) || c == 0xB2 || c == 0xB3 || c == 0xB9 || (c >= 0x2070 && c <= 0x2089) ||
           (c >= 0x2460 && c <= 0x2468);
}

static bool is_numeric(uint32_t c)
{
    utf8proc_category_t k = utf8proc_category((utf8proc_int32_t)c);
    return k == UTF8PROC_CATEGORY_ND || k == UTF8PROC_CATEGORY_NL || k == UTF8PROC_CATEGORY_NO;
}

static bool is_alnum(uint32_t c)
{
    return is_alpha(c) || is_numeric(c);
}

static jv all_are(const jv_str *s, bool (*is)(uint32_t))
{
    for (size_t i = 0; i < s->n;) {
        uint32_t c;
        i += hg_utf8_step(s->p + i, s->p + s->n, &c);
        if (c == HG_UTF8_BAD || !is(c)) return hg_jv_bool(false);
    }
    return hg_jv_bool(s->n > 0);
}

static jv m_isalpha(jrun *r, jv self, const jcall_args *a)
{
    (void)r, (void)a;
    return all_are(self.as.s, is_alpha);
}

static jv m_isalnum(jrun *r, jv self, const jcall_args *a)
{
    (void)r, (void)a;
    return all_are(self.as.s, is_alnum);
}

static jv m_isdigit(jrun *r, jv self, const jcall_args *a)
{
    (void)r, (void)a;
    return all_are(self.as.s, is_digit);
}

static jv m_isdecimal(jrun *r, jv self, const jcall_args *a)
{
    (void)r, (void)a;
    return all_are(self.as.s, is_decimal);
}

static jv m_isnumeric(jrun *r, jv self, const jcall_args *a)
{
    (void)r, (void)a;
    return all_are(self.as.s, is_numeric);
}

static jv m_isspace(jrun *r, jv self, const jcall_args *a)
{
    (void)r, (void)a;
    return all_are(self.as.s, hg_js_is_space);
}

static jv m_islower(jrun *r, jv self, const jcall_args *a)
{
    (void)r, (void)a;
    return hg_jv_bool(hg_js_is_lower(self.as.s));
}

static jv m_isupper(jrun *r, jv self, const jcall_args *a)
{
    (void)r, (void)a;
    return hg_jv_bool(hg_js_is_upper(self.as.s));
}

/* ---- width ---- */
static jv align(jrun *r, jv self, const jcall_args *a, char how)
{
    static const jv_str space = {" ", 1, NULL, JV_TRUSTED};
    int64_t width = hg_js_whole(r, a->pos[0], 0, "a width");
    const jv_str *fill = hg_jv_absent(a->pos[1]) ? &space : hg_js_text(r, a->pos[1], "a fill");
    if (r->failed != HG_OK) return hg_jv_none();
    if (hg_jv_chars(fill) != 1) return hg_jr_fail(r, "a fill is one character");
    return hg_js_align(r, self.as.s, width, fill, how);
}

static jv m_ljust(jrun *r, jv self, const jcall_args *a)
{
    return align(r, self, a, '<');
}

static jv m_rjust(jrun *r, jv self, const jcall_args *a)
{
    return align(r, self, a, '>');
}

static jv m_center(jrun *r, jv self, const jcall_args *a)
{
    return align(r, self, a, '^');
}

static jv m_zfill(jrun *r, jv self, const jcall_args *a)
{
    static const jv_str zero = {"0", 1, NULL, JV_TRUSTED};
    const jv_str *s = self.as.s;
    int64_t rest = hg_js_whole(r, a->pos[0], 0, "zfill") - (int64_t)hg_jv_chars(s);
    size_t sign = s->n > 0 && (s->p[0] == '-' || s->p[0] == '+') ? 1 : 0;
    jbuf b = {0};
    hg_jb_put_str(r, &b, s, 0, sign);
    hg_js_put_fill(r, &b, &zero, rest);
    hg_jb_put_str(r, &b, s, sign, s->n);
    return hg_jb_take(r, &b);
}

static jv m_format(jrun *r, jv self, const jcall_args *a)
{
    return hg_jinja_braces(r, self.as.s, a);
}

const jentry hg_jinja_shape_methods[] = {{"isalpha", m_isalpha, ""},
                                         {"isalnum", m_isalnum, ""},
                                         {"isdigit", m_isdigit, ""},
                                         {"isdecimal", m_isdecimal, ""},
                                         {"isnumeric", m_isnumeric, ""},
                                         {"isspace", m_isspace, ""},
                                         {"islower", m_islower, ""},
                                         {"isupper", m_isupper, ""},
                                         {"ljust", m_ljust, "width ?fillchar"},
                                         {"rjust", m_rjust, "width ?fillchar"},
                                         {"center", m_center, "width ?fillchar"},
                                         {"zfill", m_zfill, "width"},
                                         {"format", m_format, NULL},
                                         {NULL, NULL, NULL}};
