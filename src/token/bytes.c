/* Bytes as characters. Byte-level BPE works on bytes, but vocabularies are JSON, which holds
 * characters: GPT-2 (Radford et al. 2019) therefore writes each byte as one printable character.
 * Bytes that are printable in Latin-1 stand for themselves, the other 68 for U+0100 onwards in
 * their order, so that a space is written as U+0120. Also here: the strict UTF-8 reader that tells
 * text from raw bytes. */
#include "token/token.h"

enum { N_PRINTABLE = 188 };

static bool is_printable(unsigned b)
{
    return (b >= 33 && b <= 126) || (b >= 161 && b != 173);
}

static uint32_t shown(unsigned b)
{
    if (is_printable(b)) return b;
    if (b < 33) return 256 + b;
    return b == 173 ? 323 : 289 + b - 127;
}

static int unshown(uint32_t cp)
{
    if (cp < 256) return is_printable(cp) ? (int)cp : -1;
    if (cp < 289) return (int)cp - 256;
    if (cp < 323) return (int)cp - 289 + 127;
    return cp == 323 ? 173 : -1;
}

unsigned hg_token_rank(unsigned char byte)
{
    if (!is_printable(byte)) return N_PRINTABLE + shown(byte) - 256;
    if (byte <= 126) return byte - 33u;
    return byte < 173 ? byte - 161u + 94 : byte - 174u + 106;
}

unsigned char hg_token_byte(unsigned rank)
{
    if (rank < 94) return (unsigned char)(rank + 33);
    if (rank < 106) return (unsigned char)(rank - 94 + 161);
    if (rank < N_PRINTABLE) return (unsigned char)(rank - 106 + 174);
    return (unsigned char)unshown(rank - N_PRINTABLE + 256);
}

void hg_token_show(hg_buf *out, const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t cp = shown((unsigned char)p[i]);
        if (cp < 128) {
            hg_buf_putc(out, (char)cp);
        } else {
            hg_buf_putc(out, (char)(0xC0 | cp >> 6));
            hg_buf_putc(out, (char)(0x80 | (cp & 63)));
        }
    }
}

bool hg_token_unshow(const char *p, size_t n, char *out, size_t *n_out)
{
    size_t k = 0;
    for (size_t i = 0; i < n;) {
        uint32_t cp;
        size_t len = hg_token_utf8(p + i, n - i, &cp);
        int b = len > 0 ? unshown(cp) : -1;
        if (b < 0) return false;
        out[k++] = (char)(unsigned char)b;
        i += len;
    }
    *n_out = k;
    return true;
}

size_t hg_token_utf8(const char *p, size_t n, uint32_t *cp)
{
    const unsigned char *u = (const unsigned char *)p;
    if (n == 0) return 0;
    if (u[0] < 0x80) {
        *cp = u[0];
        return 1;
    }
    size_t len = u[0] >= 0xF0 ? 4 : u[0] >= 0xE0 ? 3 : 2;
    if (u[0] < 0xC2 || u[0] > 0xF4 || n < len) return 0;
    uint32_t c = u[0] & (0xFFu >> (len + 1));
    for (size_t i = 1; i < len; i++) {
        if ((u[i] & 0xC0) != 0x80) return 0;
        c = c << 6 | (u[i] & 0x3Fu);
    }
    if (len == 3 && (c < 0x800 || (c >= 0xD800 && c <= 0xDFFF))) return 0;
    if (len == 4 && (c < 0x10000 || c > 0x10FFFF)) return 0;
    *cp = c;
    return len;
}

bool hg_token_is_space(uint32_t cp)
{
    return (cp >= 9 && cp <= 13) || cp == 32 || cp == 0x85 || cp == 0xA0 || cp == 0x1680 ||
           (cp >= 0x2000 && cp <= 0x200A) || cp == 0x2028 || cp == 0x2029 || cp == 0x202F ||
           cp == 0x205F || cp == 0x3000;
}
