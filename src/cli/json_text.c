/* A string as JSON on stdout. */
#include "cli.h"

#include <stdio.h>

/* Length of the well-formed UTF-8 character at p, 0 when it is broken. */
static size_t whole(const unsigned char *p, size_t n)
{
    size_t len = p[0] < 0x80 ? 1 : p[0] < 0xC2 ? 0 : p[0] < 0xE0 ? 2 : p[0] < 0xF0 ? 3 : 4;
    if (len == 0 || p[0] > 0xF4 || len > n) return 0;
    for (size_t i = 1; i < len; i++)
        if ((p[i] & 0xC0) != 0x80) return 0;
    if (p[0] == 0xE0 && p[1] < 0xA0) return 0;
    if (p[0] == 0xED && p[1] > 0x9F) return 0;
    if (p[0] == 0xF0 && p[1] < 0x90) return 0;
    if (p[0] == 0xF4 && p[1] > 0x8F) return 0;
    return len;
}

size_t cli_utf8_length(const char *p, size_t n)
{
    return n == 0 ? 0 : whole((const unsigned char *)p, n);
}

void cli_print_json_string(const char *p, size_t n)
{
    (void)putchar('"');
    for (size_t i = 0; i < n;) {
        size_t len = cli_utf8_length(p + i, n - i);
        unsigned char c = (unsigned char)p[i];
        if (len == 0)
            (void)fputs("\\ufffd", stdout);
        else if (c == '"' || c == '\\')
            printf("\\%c", c);
        else if (c < 0x20 || c == 0x7F)
            printf("\\u%04x", c);
        else
            (void)fwrite(p + i, 1, len, stdout);
        i += len > 0 ? len : 1;
    }
    (void)putchar('"');
}
