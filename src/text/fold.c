/* See fold.h. Normalisation is utf8proc's, a character at a time, in room of ours. */
#include "text/fold.h"
#include "text/utf8.h"

#include <string.h>
#include <utf8proc.h>

enum { MAX_PARTS = 32 /* that one character decomposes into; U+FDFA has 18 */ };

/* Looks like a Latin letter. Folded already, so small letters alone. */
static const struct {
    uint32_t c;
    char latin;
} alike[] = {{0x430, 'a'}, {0x435, 'e'}, {0x43e, 'o'}, {0x440, 'p'}, {0x441, 'c'}, {0x443, 'y'},
             {0x445, 'x'}, {0x456, 'i'}, {0x458, 'j'}, {0x455, 's'}, {0x43a, 'k'}, {0x43c, 'm'},
             {0x442, 't'}, {0x4bb, 'h'}, {0x501, 'd'}, {0x51b, 'q'}, {0x51d, 'w'}, {0x3b1, 'a'},
             {0x3b5, 'e'}, {0x3b9, 'i'}, {0x3ba, 'k'}, {0x3bd, 'v'}, {0x3bf, 'o'}, {0x3c1, 'p'},
             {0x3c4, 't'}, {0x3c5, 'u'}, {0x3c7, 'x'}, {0x261, 'g'}, {0x131, 'i'}, {0x153, 'o'}};

static uint32_t look_of(uint32_t c)
{
    for (size_t i = 0; i < sizeof alike / sizeof *alike; i++)
        if (alike[i].c == c) return (uint32_t)(unsigned char)alike[i].latin;
    return c;
}

static bool ends_sentence(uint32_t c)
{
    return c == '.' || c == '!' || c == '?' || c == ';' || c == '\n' || c == 0x3002;
}

static void put(hg_buf *out, uint32_t c)
{
    char b[4];

    if (c == 0x2019 || c == '\'' || c == '`')
        hg_buf_putc(out, '\'');
    else if (ends_sentence(c))
        hg_buf_putc(out, c == 0x3002 ? '.' : (char)c);
    else if (c == '@' || c == '$' || c == '-' || c == '*' || c == '_')
        hg_buf_putc(out, (char)c); /* they stand for letters, or between them */
    else if (hg_utf8_is_letter(c) || (c >= '0' && c <= '9'))
        hg_buf_put(out, b, hg_utf8_encode(c, b));
    else
        hg_buf_putc(out, ' ');
}

hg_status hg_text_fold(hg_buf *out, hg_bytes in, hg_err *e)
{
    const utf8proc_option_t how = UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT | UTF8PROC_CASEFOLD |
                                  UTF8PROC_STRIPMARK | UTF8PROC_IGNORE;
    const char *p = in.p, *end = in.p + in.n;
    utf8proc_int32_t part[MAX_PARTS];
    uint32_t c;

    while (p < end) {
        int last = 0;
        p += hg_utf8_step(p, end, &c);
        if (c == HG_UTF8_BAD) {
            hg_buf_putc(out, ' ');
            continue;
        }
        const utf8proc_ssize_t n =
            utf8proc_decompose_char((utf8proc_int32_t)c, part, MAX_PARTS, how, &last);
        for (utf8proc_ssize_t i = 0; i < n && i < MAX_PARTS; i++)
            put(out, look_of((uint32_t)part[i]));
    }
    return hg_buf_status(out, e);
}
