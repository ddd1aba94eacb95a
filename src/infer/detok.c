/* Detokenising a stream: tokens are pieces of bytes that may end inside a character, and a stop
 * string may begin in one token and end three later. Bytes wait here until they are a whole
 * character, and characters wait while they may still become a stop string, so what is shown is
 * never taken back. */
#include "infer/detok.h"

#include <string.h>

/* The first bytes of p[0..n) (n > 0): the length of a whole character, 0 when it is a beginning of
 * one, or minus the length of the broken part. Unicode 15, table 3-7. */
static int utf8_next(const unsigned char *p, size_t n)
{
    const unsigned char c = p[0];
    unsigned char low = 0x80, high = 0xbf;
    size_t len;
    if (c < 0x80) return 1;
    if (c < 0xc2 || c > 0xf4) return -1;
    len = c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
    if (c == 0xe0) low = 0xa0;
    if (c == 0xed) high = 0x9f;
    if (c == 0xf0) low = 0x90;
    if (c == 0xf4) high = 0x8f;
    for (size_t i = 1; i < len; i++) {
        if (i == n) return 0;
        if (p[i] < low || p[i] > high) return -(int)i;
        low = 0x80;
        high = 0xbf;
    }
    return (int)len;
}

static bool is_utf8(const char *s, size_t n)
{
    const unsigned char *p = (const unsigned char *)s;
    for (size_t i = 0; i < n;) {
        int len = utf8_next(p + i, n - i);
        if (len <= 0) return false;
        i += (size_t)len;
    }
    return true;
}

hg_status hg_stops_copy(hg_stops *out, const char *const *stop, size_t n, hg_err *e)
{
    *out = (hg_stops){0};
    if (n > HG_MAX_STOP)
        return hg_fail(e, HG_E_ARG, "%zu stop strings; at most %d allowed", n, HG_MAX_STOP);
    for (size_t i = 0; i < n; i++) {
        const size_t len = strnlen(stop[i], HG_MAX_STOP_BYTES + 1);
        if (len == 0 || len > HG_MAX_STOP_BYTES || !is_utf8(stop[i], len)) {
            hg_stops_free(out);
            return hg_fail(e, HG_E_ARG, "stop string %zu must be UTF-8 of 1 to %d bytes", i + 1,
                           HG_MAX_STOP_BYTES);
        }
        out->s[i] = hg_strndup(stop[i], len);
        out->len[i] = len;
        out->n = i + 1;
        if (out->s[i] == NULL) {
            hg_stops_free(out);
            return hg_fail(e, HG_E_NOMEM, "no room for the stop strings");
        }
    }
    return HG_OK;
}

void hg_stops_free(hg_stops *s)
{
    for (size_t i = 0; i < s->n; i++) hg_free(s->s[i]);
    *s = (hg_stops){0};
}

void hg_detok_begin(hg_detok *d, const hg_stops *stops)
{
    d->stops = stops;
    d->n_part = 0;
    d->n_given = 0;
    d->stopped = false;
    hg_buf_clear(&d->text);
}

void hg_detok_free(hg_detok *d)
{
    hg_buf_free(&d->text);
    *d = (hg_detok){0};
}

static void put_replacement(hg_buf *b)
{
    hg_buf_put(b, "\xef\xbf\xbd", 3);
}

/* Moves whole characters from d->part to the text; what may still become one stays. */
static void drain_part(hg_detok *d)
{
    while (d->n_part > 0) {
        const int len = utf8_next(d->part, d->n_part);
        const size_t used = (size_t)(len < 0 ? -len : len);
        if (len == 0) return;
        if (len > 0)
            hg_buf_put(&d->text, d->part, used);
        else
            put_replacement(&d->text);
        d->n_part -= used;
        memmove(d->part, d->part + used, d->n_part);
    }
}

/* Where the first stop string begins in the text, or its length. */
static size_t find_stop(const hg_detok *d)
{
    size_t first = d->text.n;
    for (size_t i = 0; d->stops != NULL && i < d->stops->n; i++) {
        const char *at =
            d->text.n == 0 ? NULL : memmem(d->text.p, d->text.n, d->stops->s[i], d->stops->len[i]);
        if (at != NULL && (size_t)(at - d->text.p) < first) first = (size_t)(at - d->text.p);
    }
    return first;
}

/* How much of the text's end is the beginning of a stop string. */
static size_t held_back(const hg_detok *d)
{
    size_t most = 0;
    for (size_t i = 0; d->stops != NULL && i < d->stops->n; i++) {
        size_t n = d->stops->len[i] - 1;
        if (n > d->text.n) n = d->text.n;
        for (; n > most; n--)
            if (memcmp(d->text.p + d->text.n - n, d->stops->s[i], n) == 0) most = n;
    }
    return most;
}

static void forget_given(hg_detok *d)
{
    if (d->n_given == 0) return;
    d->text.n -= d->n_given;
    memmove(d->text.p, d->text.p + d->n_given, d->text.n);
    d->n_given = 0;
}

/* Looks for stop strings and hands out what none can claim any more. */
static hg_status give(hg_detok *d, bool at_end, hg_bytes *ready, hg_err *e)
{
    HG_TRY(hg_buf_status(&d->text, e));
    const size_t stop = find_stop(d);
    if (stop < d->text.n) {
        d->stopped = true;
        d->text.n = stop;
    }
    d->n_given = d->stopped || at_end ? d->text.n : d->text.n - held_back(d);
    *ready = (hg_bytes){d->n_given == 0 ? "" : d->text.p, d->n_given};
    return HG_OK;
}

hg_status hg_detok_put(hg_detok *d, hg_bytes piece, hg_bytes *ready, hg_err *e)
{
    *ready = (hg_bytes){"", 0};
    forget_given(d);
    if (d->stopped) return HG_OK;
    for (size_t i = 0; i < piece.n; i++) {
        d->part[d->n_part++] = (unsigned char)piece.p[i];
        drain_part(d);
    }
    return give(d, false, ready, e);
}

hg_status hg_detok_end(hg_detok *d, hg_bytes *ready, hg_err *e)
{
    *ready = (hg_bytes){"", 0};
    forget_given(d);
    if (d->stopped) return HG_OK;
    if (d->n_part > 0) put_replacement(&d->text);
    d->n_part = 0;
    return give(d, true, ready, e);
}
