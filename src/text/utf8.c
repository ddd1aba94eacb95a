/* Unicode text at the door of the program: every document, wherever it came from, leaves here as
 * well-formed UTF-8 in NFC without the characters that carry layout and no meaning, so that the
 * same words always give the same bytes (and the same tokens). Normalisation is utf8proc's; since
 * all characters below U+0300 are stable under NFC (UAX 15, quick check), only lines that hold a
 * higher one pass through it. */
#include "text/utf8.h"
#include <string.h>
#include <utf8proc.h>

size_t hg_utf8_step(const char *p, const char *end, uint32_t *out)
{
    const unsigned char *s = (const unsigned char *)p;
    size_t left = (size_t)(end - p);
    uint32_t c = s[0];
    *out = HG_UTF8_BAD;
    if (c < 0x80) {
        *out = c;
        return 1;
    }
    size_t n = c < 0xC2 ? 0 : c < 0xE0 ? 2 : c < 0xF0 ? 3 : c < 0xF5 ? 4 : 0;
    if (n == 0 || left < n) return 1;
    c &= 0x7Fu >> n;
    for (size_t i = 1; i < n; i++) {
        if ((s[i] & 0xC0) != 0x80) return 1;
        c = c << 6 | (s[i] & 0x3F);
    }
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    if (c < least[n] || c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF)) return 1;
    *out = c;
    return n;
}

size_t hg_utf8_encode(uint32_t c, char out[4])
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = n - 1; i > 0; i--, c >>= 6) out[i] = (char)(0x80 | (c & 0x3F));
    out[0] = (char)((0xF00u >> n & 0xFF) | c);
    return n;
}

size_t hg_utf8_valid(hg_bytes s)
{
    size_t i = 0;
    while (i < s.n) {
        uint32_t c;
        if ((unsigned char)s.p[i] < 0x80) {
            i++;
            continue;
        }
        size_t n = hg_utf8_step(s.p + i, s.p + s.n, &c);
        if (c == HG_UTF8_BAD) return i;
        i += n;
    }
    return i;
}

size_t hg_utf8_cut(hg_bytes s)
{
    for (size_t k = 1; k <= 3 && k <= s.n; k++) {
        unsigned char c = (unsigned char)s.p[s.n - k];
        if ((c & 0xC0) == 0x80) continue;
        size_t need = c < 0xC2 ? 1 : c < 0xE0 ? 2 : c < 0xF0 ? 3 : c < 0xF5 ? 4 : 1;
        return need > k ? k : 0;
    }
    return 0;
}

size_t hg_utf8_count(hg_bytes s)
{
    size_t count = 0;
    for (size_t i = 0; i < s.n; count++) {
        uint32_t c;
        i += hg_utf8_step(s.p + i, s.p + s.n, &c);
    }
    return count;
}

bool hg_utf8_is_letter(uint32_t c)
{
    if (c < 0x80) return (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
    if (c > 0x10FFFF) return false;
    utf8proc_category_t k = utf8proc_category((utf8proc_int32_t)c);
    return k >= UTF8PROC_CATEGORY_LU && k <= UTF8PROC_CATEGORY_LO;
}

bool hg_utf8_is_space(uint32_t c)
{
    if (c < 0x80) return c == ' ' || (c >= '\t' && c <= '\r');
    if (c > 0x10FFFF) return false;
    utf8proc_category_t k = utf8proc_category((utf8proc_int32_t)c);
    return k == UTF8PROC_CATEGORY_ZS || k == UTF8PROC_CATEGORY_ZL || k == UTF8PROC_CATEGORY_ZP;
}

/* Soft hyphen, zero-width space, direction marks, isolates and embeddings, invisible operators,
 * byte order mark, annotation marks, tags. The two joiners U+200C and U+200D stay: in Persian,
 * Indic scripts and emoji they carry meaning. */
static bool is_invisible(uint32_t c)
{
    return c == 0xAD || c == 0x61C || c == 0x200B || c == 0x200E || c == 0x200F ||
           (c >= 0x202A && c <= 0x202E) || (c >= 0x2060 && c <= 0x206F) || c == 0xFEFF ||
           (c >= 0xFFF9 && c <= 0xFFFB) || (c >= 0xE0000 && c <= 0xE007F) || c == 0x180E;
}

static bool is_line_end(uint32_t c)
{
    return c == '\n' || c == '\r' || c == '\v' || c == '\f' || c == 0x85 || c == 0x2028 ||
           c == 0x2029;
}

/* Appends one character of a line that is being cleaned. */
static void put_char(hg_buf *line, uint32_t c, const char *p, size_t n)
{
    static const char *const ligature[] = {"ff", "fi", "fl", "ffi", "ffl", "st", "st"};
    if (c == HG_UTF8_BAD)
        hg_buf_puts(line, "\xef\xbf\xbd");
    else if (c == 0xA0 || c == 0x2007 || c == 0x202F)
        hg_buf_putc(line, ' ');
    else if (c >= 0xFB00 && c <= 0xFB06)
        hg_buf_puts(line, ligature[c - 0xFB00]);
    else if ((c >= 0x20 && c != 0x7F && !(c >= 0x80 && c < 0xA0) && !is_invisible(c)) || c == '\t')
        hg_buf_put(line, p, n);
}

/* Replaces the line by its NFC, through buffers of ours: utf8proc's own convenience calls would
 * take from the heap behind base's back. */
static hg_status compose(hg_buf *line, hg_buf *wide, hg_err *e)
{
    const utf8proc_option_t how = UTF8PROC_STABLE | UTF8PROC_COMPOSE;
    const utf8proc_uint8_t *in = (const utf8proc_uint8_t *)line->p;
    utf8proc_ssize_t n = utf8proc_decompose(in, (utf8proc_ssize_t)line->n, NULL, 0, how);
    if (n < 0) return hg_fail(e, HG_E_FORMAT, "text cannot be normalised: %s", utf8proc_errmsg(n));
    hg_buf_clear(wide);
    /* utf8proc_reencode wants one byte more than the characters take. */
    char *room = hg_buf_room(wide, (size_t)n * sizeof(utf8proc_int32_t) + 1);
    if (room == NULL) return hg_buf_status(wide, e);
    utf8proc_int32_t *c = (utf8proc_int32_t *)(void *)room;
    n = utf8proc_decompose(in, (utf8proc_ssize_t)line->n, c, n, how);
    if (n >= 0) n = utf8proc_reencode(c, n, how);
    if (n < 0) return hg_fail(e, HG_E_FORMAT, "text cannot be normalised: %s", utf8proc_errmsg(n));
    hg_buf_clear(line);
    hg_buf_put(line, room, (size_t)n);
    return HG_OK;
}

static void trim_end(hg_buf *b)
{
    while (b->n > 0 && (b->p[b->n - 1] == ' ' || b->p[b->n - 1] == '\t')) b->n--;
    if (b->p != NULL) b->p[b->n] = '\0';
}

/* Reads one line's characters into `line`; returns where the next line begins. *high: the line has
 * a character that NFC may change. */
static const char *clean_line(hg_buf *line, const char *p, const char *end, bool *high)
{
    *high = false;
    hg_buf_clear(line);
    while (p < end) {
        /* Most text is a run of printable ASCII: it is taken at once. */
        const char *run = p;
        while (p < end && *p >= 0x20 && *p < 0x7F) p++;
        if (p > run) hg_buf_put(line, run, (size_t)(p - run));
        if (p == end) break;
        uint32_t c;
        size_t n = hg_utf8_step(p, end, &c);
        p += n;
        if (is_line_end(c)) {
            if (c == '\r' && p < end && *p == '\n') p++;
            break;
        }
        put_char(line, c, p - n, n);
        *high = *high || (c >= 0x300 && c != HG_UTF8_BAD);
    }
    return p;
}

hg_status hg_text_clean(hg_buf *out, hg_bytes in, hg_err *e)
{
    const char *p = in.p, *end = in.n > 0 ? in.p + in.n : in.p;
    size_t empty = 0, begin = out->n;
    hg_status s = HG_OK;
    hg_buf line = {0}, wide = {0};
    while (p < end) {
        bool high;
        p = clean_line(&line, p, end, &high);
        if (high && line.n > 0) {
            s = compose(&line, &wide, e);
            if (s != HG_OK) goto done;
        }
        trim_end(&line);
        if (line.n == 0) {
            empty++;
            continue;
        }
        if (out->n > begin) hg_buf_puts(out, empty > 0 ? "\n\n" : "\n");
        hg_buf_put(out, line.p, line.n);
        empty = 0;
    }
    s = line.failed || wide.failed ? hg_fail(e, HG_E_NOMEM, "no room for a line of text")
                                   : hg_buf_status(out, e);
done:
    hg_buf_free(&line);
    hg_buf_free(&wide);
    return s;
}

void hg_text_visible(hg_buf *out, hg_bytes in, bool spaces)
{
    const char *p = in.p, *end = in.n > 0 ? in.p + in.n : in.p;
    while (p < end) {
        uint32_t c;
        size_t n = hg_utf8_step(p, end, &c);
        if (c == ' ' && spaces)
            hg_buf_puts(out, "\xC2\xB7"); /* a middle dot */
        else if (c == '\n')
            hg_buf_puts(out, "\xE2\x86\xB5"); /* an arrow that turns back */
        else if (c == '\t')
            hg_buf_puts(out, "\xE2\x87\xA5");
        else if (c == HG_UTF8_BAD || c < 0x20 || c == 0x7F)
            hg_buf_printf(out, "<%02X>", (unsigned char)*p);
        else if ((c >= 0x80 && c < 0xA0) || is_line_end(c) || is_invisible(c))
            hg_buf_printf(out, "<U+%04X>", (unsigned)c);
        else
            hg_buf_put(out, p, n);
        p += n;
    }
}
