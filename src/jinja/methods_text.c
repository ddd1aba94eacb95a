/* The methods of Python's str. */
#include "jinja/strings.h"
#include "text/utf8.h"
#include <string.h>
#include <utf8proc.h>

/* ---- case, white space ---- */
static jv m_upper(jrun *r, jv self, const jcall_args *a)
{
    (void)a;
    return hg_js_case(r, self.as.s, CASE_UPPER);
}

static jv m_lower(jrun *r, jv self, const jcall_args *a)
{
    (void)a;
    return hg_js_case(r, self.as.s, CASE_LOWER);
}

static jv m_swapcase(jrun *r, jv self, const jcall_args *a)
{
    (void)a;
    return hg_js_case(r, self.as.s, CASE_SWAP);
}

static jv m_capitalize(jrun *r, jv self, const jcall_args *a)
{
    (void)a;
    return hg_js_capitalize(r, self.as.s);
}

static bool is_cased(const jv_str *s, size_t at, size_t end)
{
    uint32_t c;
    (void)hg_utf8_step(s->p + at, s->p + end, &c);
    if (c == HG_UTF8_BAD) return false;
    utf8proc_int32_t p = (utf8proc_int32_t)c;
    return utf8proc_toupper(p) != p || utf8proc_tolower(p) != p || c == 0xDF;
}

/* A letter behind what is none is large, every other one small. */
static jv m_title(jrun *r, jv self, const jcall_args *a)
{
    const jv_str *s = self.as.s;
    jbuf b = {0};
    bool behind_letter = false;
    (void)a;
    for (size_t i = 0; i < s->n && r->failed == HG_OK;) {
        size_t next = hg_jv_char_at(s, i, 1);
        hg_js_put_case(r, &b, s, i, next, behind_letter ? CASE_LOWER : CASE_UPPER);
        behind_letter = is_cased(s, i, next);
        i = next;
    }
    return hg_jb_take(r, &b);
}

static jv strip(jrun *r, jv self, const jcall_args *a, bool left, bool right)
{
    const jv_str *chars = NULL;
    if (!hg_jv_absent(a->pos[0]) && a->pos[0].kind != JV_NONE)
        chars = hg_js_text(r, a->pos[0], "strip");
    return hg_js_strip(r, self.as.s, chars, left, right);
}

static jv m_strip(jrun *r, jv self, const jcall_args *a)
{
    return strip(r, self, a, true, true);
}

static jv m_lstrip(jrun *r, jv self, const jcall_args *a)
{
    return strip(r, self, a, true, false);
}

static jv m_rstrip(jrun *r, jv self, const jcall_args *a)
{
    return strip(r, self, a, false, true);
}

static jv m_removeprefix(jrun *r, jv self, const jcall_args *a)
{
    const jv_str *s = self.as.s, *x = hg_js_text(r, a->pos[0], "removeprefix");
    if (x == NULL || x->n > s->n || memcmp(s->p, x->p, x->n) != 0) return self;
    return hg_jv_part(r, s, x->n, s->n);
}

static jv m_removesuffix(jrun *r, jv self, const jcall_args *a)
{
    const jv_str *s = self.as.s, *x = hg_js_text(r, a->pos[0], "removesuffix");
    if (x == NULL || x->n > s->n || memcmp(s->p + s->n - x->n, x->p, x->n) != 0) return self;
    return hg_jv_part(r, s, 0, s->n - x->n);
}

/* ---- cutting ---- */
static void push_part(jrun *r, jv out, const jv_str *s, size_t from, size_t to)
{
    jv part = hg_jv_part(r, s, from, to);
    hg_jv_push(r, out, part);
}

/* At white space; runs of it count once, and none is left at the ends but behind the last cut. */
static jv split_space(jrun *r, const jv_str *s, int64_t most)
{
    jv out = hg_jv_list(r, 0);
    size_t i = 0;
    uint32_t c;
    while (hg_jr_step(r, 1)) {
        size_t n = 0, from;
        while (i < s->n && hg_js_is_space((n = hg_utf8_step(s->p + i, s->p + s->n, &c), c))) i += n;
        if (i >= s->n) break;
        from = i;
        if (most-- == 0) {
            push_part(r, out, s, from, s->n);
            break;
        }
        while (i < s->n && !hg_js_is_space((n = hg_utf8_step(s->p + i, s->p + s->n, &c), c)))
            i += n;
        push_part(r, out, s, from, i);
    }
    return out;
}

static jv reversed(jrun *r, jv list)
{
    if (r->failed != HG_OK) return list;
    jv_list *l = list.as.list;
    for (size_t i = 0; i < l->n / 2; i++) {
        jv v = l->v[i];
        l->v[i] = l->v[l->n - 1 - i];
        l->v[l->n - 1 - i] = v;
    }
    return list;
}

/* From the right, at white space. */
static jv rsplit_space(jrun *r, const jv_str *s, int64_t most)
{
    jv words = split_space(r, s, -1);
    if (r->failed != HG_OK || most < 0 || words.as.list->n <= (uint64_t)most) return words;
    size_t keep = words.as.list->n - (size_t)most;
    jv out = hg_jv_list(r, 0);
    const jv_str *last = words.as.list->v[keep - 1].as.s;
    jv all = hg_jv_part(r, s, 0, (size_t)(last->p - s->p) + last->n);
    if (r->failed == HG_OK) hg_jv_push(r, out, hg_js_strip(r, all.as.s, NULL, true, false));
    for (size_t i = keep; i < words.as.list->n; i++) hg_jv_push(r, out, words.as.list->v[i]);
    return out;
}

static jv split_at(jrun *r, const jv_str *s, const jv_str *sep, int64_t most, bool last)
{
    jv out = hg_jv_list(r, 0);
    size_t from = 0, to = s->n, found;
    if (most < 0) most = INT64_MAX;
    while (most-- > 0 && hg_jr_step(r, 1) &&
           (found = hg_js_find(s, sep, from, to, last)) != SIZE_MAX) {
        if (last)
            push_part(r, out, s, found + sep->n, to), to = found;
        else
            push_part(r, out, s, from, found), from = found + sep->n;
    }
    push_part(r, out, s, from, to);
    return last ? reversed(r, out) : out;
}

static jv split(jrun *r, jv self, const jcall_args *a, bool last)
{
    int64_t most = hg_js_whole(r, a->pos[1], -1, "split");
    if (hg_jv_absent(a->pos[0]) || a->pos[0].kind == JV_NONE)
        return last ? rsplit_space(r, self.as.s, most) : split_space(r, self.as.s, most);
    const jv_str *sep = hg_js_text(r, a->pos[0], "split");
    if (sep != NULL && sep->n == 0) return hg_jr_fail(r, "split at empty text");
    return sep != NULL ? split_at(r, self.as.s, sep, most, last) : hg_jv_none();
}

static jv m_split(jrun *r, jv self, const jcall_args *a)
{
    return split(r, self, a, false);
}

static jv m_rsplit(jrun *r, jv self, const jcall_args *a)
{
    return split(r, self, a, true);
}

static jv partition(jrun *r, jv self, const jcall_args *a, bool last)
{
    const jv_str *s = self.as.s, *sep = hg_js_text(r, a->pos[0], "partition");
    jv out = hg_jv_tuple(r, 3);
    if (sep == NULL || r->failed != HG_OK) return out;
    if (sep->n == 0) return hg_jr_fail(r, "partition at empty text");
    size_t at = hg_js_find(s, sep, 0, s->n, last);
    bool found = at != SIZE_MAX;
    size_t first = found ? at : last ? 0 : s->n, second = found ? at + sep->n : first;
    push_part(r, out, s, 0, first);
    push_part(r, out, s, first, second);
    push_part(r, out, s, second, s->n);
    return out;
}

static jv m_partition(jrun *r, jv self, const jcall_args *a)
{
    return partition(r, self, a, false);
}

static jv m_rpartition(jrun *r, jv self, const jcall_args *a)
{
    return partition(r, self, a, true);
}

static jv m_splitlines(jrun *r, jv self, const jcall_args *a)
{
    const jv_str *s = self.as.s;
    bool keep = !hg_jv_absent(a->pos[0]) && hg_jv_truth(a->pos[0]);
    jv out = hg_jv_list(r, 0);
    for (size_t i = 0; i < s->n && hg_jr_step(r, 1);) {
        size_t from = i;
        while (i < s->n && s->p[i] != '\n' && s->p[i] != '\r') i++;
        size_t end = i;
        if (i < s->n) i += s->p[i] == '\r' && i + 1 < s->n && s->p[i + 1] == '\n' ? 2 : 1;
        push_part(r, out, s, from, keep ? i : end);
    }
    return out;
}

static jv m_join(jrun *r, jv self, const jcall_args *a)
{
    const jv_list *l = hg_jv_items(r, a->pos[0]);
    jbuf b = {0};
    for (size_t i = 0; l != NULL && i < l->n && r->failed == HG_OK; i++) {
        if (i > 0) hg_jb_put_str(r, &b, self.as.s, 0, self.as.s->n);
        const jv_str *s = hg_js_text(r, l->v[i], "join");
        if (s != NULL) hg_jb_put_str(r, &b, s, 0, s->n);
    }
    return hg_jb_take(r, &b);
}

static jv m_replace(jrun *r, jv self, const jcall_args *a)
{
    const jv_str *from = hg_js_text(r, a->pos[0], "replace");
    const jv_str *to = hg_js_text(r, a->pos[1], "replace");
    int64_t most = hg_js_whole(r, a->pos[2], -1, "replace");
    if (r->failed != HG_OK) return hg_jv_none();
    return hg_js_replace(r, self.as.s, from, to, most);
}

/* ---- finding ---- */
/* The bytes of the characters that Python's start and end mean; false when they cross. */
static bool bounds(jrun *r, const jv_str *s, jv start, jv end, size_t *from, size_t *to)
{
    int64_t n = (int64_t)hg_jv_chars(s);
    int64_t a = hg_js_whole(r, start, 0, "start"), b = hg_js_whole(r, end, n, "end");
    if (a < 0) a = a + n > 0 ? a + n : 0;
    if (b < 0) b = b + n > 0 ? b + n : 0;
    if (b > n) b = n;
    if (r->failed != HG_OK || a > b) return false;
    *from = hg_jv_char_at(s, 0, (size_t)a);
    *to = hg_jv_char_at(s, *from, (size_t)(b - a));
    return true;
}

static int64_t find(jrun *r, jv self, const jcall_args *a, bool last)
{
    const jv_str *s = self.as.s, *what = hg_js_text(r, a->pos[0], "find");
    size_t from, to;
    if (what == NULL || !bounds(r, s, a->pos[1], a->pos[2], &from, &to)) return -1;
    size_t at = hg_js_find(s, what, from, to, last);
    return at == SIZE_MAX ? -1 : (int64_t)hg_utf8_count((hg_bytes){s->p, at});
}

static jv m_find(jrun *r, jv self, const jcall_args *a)
{
    return hg_jv_int(find(r, self, a, false));
}

static jv m_rfind(jrun *r, jv self, const jcall_args *a)
{
    return hg_jv_int(find(r, self, a, true));
}

static jv m_index(jrun *r, jv self, const jcall_args *a)
{
    int64_t at = find(r, self, a, false);
    return at >= 0 ? hg_jv_int(at) : hg_jr_fail(r, "index: the text is not there");
}

static jv m_rindex(jrun *r, jv self, const jcall_args *a)
{
    int64_t at = find(r, self, a, true);
    return at >= 0 ? hg_jv_int(at) : hg_jr_fail(r, "rindex: the text is not there");
}

static jv m_count(jrun *r, jv self, const jcall_args *a)
{
    const jv_str *s = self.as.s, *what = hg_js_text(r, a->pos[0], "count");
    size_t from, to, found;
    int64_t n = 0;
    if (what == NULL || !bounds(r, s, a->pos[1], a->pos[2], &from, &to)) return hg_jv_int(0);
    if (what->n == 0)
        return hg_jv_int((int64_t)hg_utf8_count((hg_bytes){s->p + from, to - from}) + 1);
    for (; hg_jr_step(r, 1) && (found = hg_js_find(s, what, from, to, false)) != SIZE_MAX; n++)
        from = found + what->n;
    return hg_jv_int(n);
}

static bool touches(const jv_str *s, size_t from, size_t to, const jv_str *x, bool at_end)
{
    return x->n <= to - from && memcmp(at_end ? s->p + to - x->n : s->p + from, x->p, x->n) == 0;
}

static jv starts_or_ends(jrun *r, jv self, const jcall_args *a, bool at_end)
{
    const char *who = at_end ? "endswith" : "startswith";
    size_t from, to;
    bool found = false;
    if (!bounds(r, self.as.s, a->pos[1], a->pos[2], &from, &to)) return hg_jv_bool(false);
    if (a->pos[0].kind == JV_TUPLE) {
        const jv_list *l = a->pos[0].as.list;
        for (size_t i = 0; i < l->n && !found; i++) {
            const jv_str *x = hg_js_text(r, l->v[i], who);
            found = x != NULL && touches(self.as.s, from, to, x, at_end);
        }
        return hg_jv_bool(found);
    }
    const jv_str *x = hg_js_text(r, a->pos[0], who);
    return hg_jv_bool(x != NULL && touches(self.as.s, from, to, x, at_end));
}

static jv m_startswith(jrun *r, jv self, const jcall_args *a)
{
    return starts_or_ends(r, self, a, false);
}

static jv m_endswith(jrun *r, jv self, const jcall_args *a)
{
    return starts_or_ends(r, self, a, true);
}

const jentry hg_jinja_text_methods[] = {{"upper", m_upper, ""},
                                        {"lower", m_lower, ""},
                                        {"casefold", m_lower, ""},
                                        {"swapcase", m_swapcase, ""},
                                        {"capitalize", m_capitalize, ""},
                                        {"title", m_title, ""},
                                        {"strip", m_strip, "?chars"},
                                        {"lstrip", m_lstrip, "?chars"},
                                        {"rstrip", m_rstrip, "?chars"},
                                        {"removeprefix", m_removeprefix, "prefix"},
                                        {"removesuffix", m_removesuffix, "suffix"},
                                        {"split", m_split, "?sep maxsplit"},
                                        {"rsplit", m_rsplit, "?sep maxsplit"},
                                        {"partition", m_partition, "sep"},
                                        {"rpartition", m_rpartition, "sep"},
                                        {"splitlines", m_splitlines, "?keepends"},
                                        {"join", m_join, "iterable"},
                                        {"replace", m_replace, "old new ?count"},
                                        {"find", m_find, "sub ?start end"},
                                        {"rfind", m_rfind, "sub ?start end"},
                                        {"index", m_index, "sub ?start end"},
                                        {"rindex", m_rindex, "sub ?start end"},
                                        {"count", m_count, "sub ?start end"},
                                        {"startswith", m_startswith, "prefix ?start end"},
                                        {"endswith", m_endswith, "suffix ?start end"},
                                        {NULL, NULL, NULL}};
