/* Documents in other encodings than UTF-8: old web pages, mail, text files of the nineties. UTF-8
 * and windows-1252 (what unmarked 8-bit text nearly always is) are done here; the rest is iconv's,
 * behind a list of names, since the label comes from the document. */
#include "text/charset.h"
#include "text/utf8.h"
#include <errno.h>
#include <iconv.h>
#include <string.h>
#include <strings.h>

enum { HEAD = 2048, HELD = 16 };

typedef struct alias {
    const char *label, *name;
} alias;

static const alias aliases[] = {{"utf-8", "UTF-8"},
                                {"utf8", "UTF-8"},
                                {"us-ascii", "WINDOWS-1252"},
                                {"ascii", "WINDOWS-1252"},
                                {"iso-8859-1", "WINDOWS-1252"},
                                {"iso8859-1", "WINDOWS-1252"},
                                {"latin1", "WINDOWS-1252"},
                                {"latin-1", "WINDOWS-1252"},
                                {"windows-1252", "WINDOWS-1252"},
                                {"cp1252", "WINDOWS-1252"},
                                {"iso-8859-2", "ISO-8859-2"},
                                {"latin2", "ISO-8859-2"},
                                {"iso-8859-3", "ISO-8859-3"},
                                {"iso-8859-4", "ISO-8859-4"},
                                {"iso-8859-5", "ISO-8859-5"},
                                {"iso-8859-6", "ISO-8859-6"},
                                {"iso-8859-7", "ISO-8859-7"},
                                {"iso-8859-8", "ISO-8859-8"},
                                {"iso-8859-9", "ISO-8859-9"},
                                {"iso-8859-10", "ISO-8859-10"},
                                {"iso-8859-13", "ISO-8859-13"},
                                {"iso-8859-14", "ISO-8859-14"},
                                {"iso-8859-15", "ISO-8859-15"},
                                {"latin-9", "ISO-8859-15"},
                                {"iso-8859-16", "ISO-8859-16"},
                                {"windows-1250", "CP1250"},
                                {"windows-1251", "CP1251"},
                                {"cp1251", "CP1251"},
                                {"windows-1253", "CP1253"},
                                {"windows-1254", "CP1254"},
                                {"windows-1255", "CP1255"},
                                {"windows-1256", "CP1256"},
                                {"windows-1257", "CP1257"},
                                {"windows-1258", "CP1258"},
                                {"koi8-r", "KOI8-R"},
                                {"koi8-u", "KOI8-U"},
                                {"gb2312", "GB18030"},
                                {"gbk", "GB18030"},
                                {"gb18030", "GB18030"},
                                {"big5", "BIG5-HKSCS"},
                                {"euc-jp", "EUC-JP"},
                                {"shift_jis", "CP932"},
                                {"shift-jis", "CP932"},
                                {"iso-2022-jp", "ISO-2022-JP"},
                                {"euc-kr", "CP949"},
                                {"ks_c_5601-1987", "CP949"},
                                {"tis-620", "TIS-620"},
                                {"utf-16", "UTF-16LE"},
                                {"utf-16le", "UTF-16LE"},
                                {"utf-16be", "UTF-16BE"}};

const char *hg_charset_find(hg_bytes label)
{
    for (size_t i = 0; i < sizeof aliases / sizeof *aliases; i++)
        if (strlen(aliases[i].label) == label.n &&
            strncasecmp(aliases[i].label, label.p, label.n) == 0)
            return aliases[i].name;
    return NULL;
}

/* The label behind `word` and an equals sign, with or without quotes. */
static const char *label_behind(hg_bytes head, const char *word)
{
    size_t n = strlen(word);
    for (size_t i = 0; i + n < head.n; i++) {
        if (strncasecmp(head.p + i, word, n) != 0) continue;
        size_t at = i + n;
        while (at < head.n && (head.p[at] == ' ' || head.p[at] == '=')) at++;
        if (at == i + n) continue;
        if (at < head.n && (head.p[at] == '"' || head.p[at] == '\'')) at++;
        size_t end = at;
        while (end < head.n && strchr("\"' ;>?/", head.p[end]) == NULL) end++;
        const char *name = hg_charset_find((hg_bytes){head.p + at, end - at});
        /* A page whose bytes can be searched for ASCII is not in UTF-16, whatever it says. */
        if (name != NULL) return strncmp(name, "UTF-16", 6) == 0 ? "UTF-8" : name;
    }
    return NULL;
}

const char *hg_charset_guess(hg_bytes head, bool is_html, size_t *skip)
{
    *skip = 0;
    if (head.n >= 3 && memcmp(head.p, "\xef\xbb\xbf", 3) == 0) {
        *skip = 3;
        return "UTF-8";
    }
    if (head.n >= 2 && (memcmp(head.p, "\xff\xfe", 2) == 0 || memcmp(head.p, "\xfe\xff", 2) == 0)) {
        *skip = 2;
        return head.p[0] == '\xff' ? "UTF-16LE" : "UTF-16BE";
    }
    if (is_html) {
        hg_bytes start = {head.p, head.n < HEAD ? head.n : HEAD};
        const char *name = label_behind(start, "charset");
        if (name == NULL && start.n > 5 && memcmp(start.p, "<?xml", 5) == 0)
            name = label_behind(start, "encoding");
        if (name != NULL) return name;
    }
    size_t valid = hg_utf8_valid(head);
    return valid + hg_utf8_cut(head) >= head.n ? "UTF-8" : "WINDOWS-1252";
}

struct hg_charset {
    enum { AS_IS, WESTERN, ICONV } how;
    iconv_t cd;
    char held[HELD]; /* the beginning of a character whose rest has not come yet */
    size_t n_held;
};

hg_status hg_charset_open(hg_charset **out, const char *name, hg_err *e)
{
    *out = NULL;
    hg_charset *c = hg_alloc(1, sizeof *c);
    if (c == NULL) return hg_fail(e, HG_E_NOMEM, "no room for a charset converter");
    c->how = strcmp(name, "UTF-8") == 0          ? AS_IS
             : strcmp(name, "WINDOWS-1252") == 0 ? WESTERN
                                                 : ICONV;
    if (c->how == ICONV) {
        c->cd = iconv_open("UTF-8", name);
        if (c->cd == (iconv_t)-1) {
            hg_free(c);
            return hg_fail(e, HG_E_UNSUPPORTED, "this system cannot convert from %s", name);
        }
    }
    *out = c;
    return HG_OK;
}

void hg_charset_free(hg_charset *c)
{
    if (c == NULL) return;
    if (c->how == ICONV) (void)iconv_close(c->cd);
    hg_free(c);
}

static void put_western(hg_bytes in, hg_buf *out)
{
    /* 0x80 to 0x9F of windows-1252; 0: not assigned. */
    static const uint16_t high[32] = {
        0x20AC, 0,      0x201A, 0x0192, 0x201E, 0x2026, 0x2020, 0x2021, 0x02C6, 0x2030, 0x0160,
        0x2039, 0x0152, 0,      0x017D, 0,      0,      0x2018, 0x2019, 0x201C, 0x201D, 0x2022,
        0x2013, 0x2014, 0x02DC, 0x2122, 0x0161, 0x203A, 0x0153, 0,      0x017E, 0x0178};
    const char *p = in.p, *end = in.p + in.n;
    while (p < end) {
        const char *run = p;
        while (p < end && (unsigned char)*p < 0x80) p++;
        hg_buf_put(out, run, (size_t)(p - run));
        if (p == end) break;
        uint32_t c = (unsigned char)*p++;
        if (c < 0xA0) c = high[c - 0x80] != 0 ? high[c - 0x80] : 0xFFFD;
        char bytes[4];
        hg_buf_put(out, bytes, hg_utf8_encode(c, bytes));
    }
}

/* Feeds [p, p + n) to iconv; returns how many bytes were left over at the end because their
 * character is not whole. */
static size_t put_iconv(hg_charset *c, char *p, size_t n, hg_buf *out)
{
    while (n > 0) {
        char *room = hg_buf_room(out, n * 2 + 16);
        if (room == NULL) return 0;
        size_t left = n * 2 + 16;
        char *to = room;
        size_t done = iconv(c->cd, &p, &n, &to, &left);
        out->n += (size_t)(to - room);
        out->p[out->n] = '\0';
        if (done != (size_t)-1) return 0;
        if (errno == EINVAL && n < HELD) return n;
        if (errno == E2BIG) continue;
        hg_buf_puts(out, "\xef\xbf\xbd");
        p++;
        n--;
    }
    return 0;
}

hg_status hg_charset_put(hg_charset *c, hg_bytes in, bool is_last, hg_buf *out, hg_err *e)
{
    if (c->how == AS_IS && in.n > 0) hg_buf_put(out, in.p, in.n);
    if (c->how == WESTERN && in.n > 0) put_western(in, out);
    if (c->how != ICONV) return hg_buf_status(out, e);
    hg_buf whole = {0}; /* iconv wants its input writable, and what was held in front of it */
    hg_buf_put(&whole, c->held, c->n_held);
    if (in.n > 0) hg_buf_put(&whole, in.p, in.n);
    hg_status s = hg_buf_status(&whole, e);
    if (s == HG_OK) {
        size_t left = put_iconv(c, whole.p, whole.n, out);
        memcpy(c->held, whole.p + (whole.n - left), left);
        c->n_held = left;
        if (is_last && left > 0) hg_buf_puts(out, "\xef\xbf\xbd");
        if (is_last) {
            c->n_held = 0;
            (void)iconv(c->cd, NULL, NULL, NULL, NULL);
        }
        s = hg_buf_status(out, e);
    }
    hg_buf_free(&whole);
    return s;
}

hg_status hg_charset_convert(const char *name, hg_bytes in, hg_buf *out, hg_err *e)
{
    hg_charset *c = NULL;
    HG_TRY(hg_charset_open(&c, name, e));
    hg_status s = hg_charset_put(c, in, true, out, e);
    hg_charset_free(c);
    return s;
}
