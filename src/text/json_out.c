/* JSON out: appended to a buffer as it is made, without a tree between. Streams to clients, log
 * lines and cards are written here; whatever bytes come in, valid UTF-8 goes out, so that one
 * broken document cannot make a whole shard unreadable. */
#include "text/json.h"
#include "text/utf8.h"
#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void put_escape(hg_buf *b, unsigned char c)
{
    static const char letter[] = "btnvfr"; /* 8 to 13; JSON has no \v */
    if (c >= 8 && c <= 13 && c != 11)
        hg_buf_put(b, (char[]){'\\', letter[c - 8]}, 2);
    else if (c == '"' || c == '\\')
        hg_buf_put(b, (char[]){'\\', (char)c}, 2);
    else
        hg_buf_printf(b, "\\u%04x", c);
}

void hg_json_put_string(hg_buf *b, hg_bytes s)
{
    const char *p = s.p, *end = s.n > 0 ? s.p + s.n : s.p, *plain = p;
    hg_buf_putc(b, '"');
    while (p < end) {
        unsigned char c = (unsigned char)*p;
        uint32_t wide = c;
        size_t n = c < 0x80 ? 1 : hg_utf8_step(p, end, &wide);
        if (wide == HG_UTF8_BAD || c < 0x20 || c == '"' || c == '\\' || c == 0x7F) {
            hg_buf_put(b, plain, (size_t)(p - plain));
            if (wide == HG_UTF8_BAD)
                hg_buf_puts(b, "\xef\xbf\xbd");
            else
                put_escape(b, c);
            plain = p + n;
        }
        p += n;
    }
    if (p > plain) hg_buf_put(b, plain, (size_t)(p - plain));
    hg_buf_putc(b, '"');
}

void hg_json_put_number(hg_buf *b, double v)
{
    char text[40];
    if (!isfinite(v)) {
        hg_buf_puts(b, "null");
        return;
    }
    for (int digits = 6; digits <= 17; digits++) {
        (void)snprintf(text, sizeof text, "%.*g", digits, v);
        if (strtod(text, NULL) == v) break;
    }
    hg_buf_puts(b, text);
}

static int put_chunk(const char *p, size_t n, void *ctx)
{
    hg_buf *b = ctx;
    hg_buf_put(b, p, n);
    return b->failed ? -1 : 0;
}

hg_status hg_json_put_tree(hg_buf *b, const json_t *v, hg_err *e)
{
    if (json_dump_callback(v, put_chunk, b, JSON_COMPACT | JSON_ENCODE_ANY) != 0 && !b->failed)
        return hg_fail(e, HG_E_FORMAT, "a value cannot be written as JSON");
    return hg_buf_status(b, e);
}

void hg_json_out_init(hg_json_out *o, hg_buf *b, int indent)
{
    *o = (hg_json_out){.b = b, .indent = indent};
}

static void new_line(hg_json_out *o)
{
    if (o->indent <= 0) return;
    hg_buf_putc(o->b, '\n');
    for (int i = 0; i < o->depth * o->indent; i++) hg_buf_putc(o->b, ' ');
}

/* The comma and the key before a value. */
static void before(hg_json_out *o, const char *key)
{
    uint64_t bit = (uint64_t)1 << o->depth;
    if (o->has_items & bit) hg_buf_putc(o->b, ',');
    o->has_items |= bit;
    if (o->depth > 0) new_line(o);
    if (key != NULL) {
        hg_json_put_string(o->b, (hg_bytes){key, strlen(key)});
        hg_buf_puts(o->b, o->indent > 0 ? ": " : ":");
    }
}

void hg_json_begin(hg_json_out *o, const char *key, char open)
{
    assert(o->depth < 62 && (open == '{' || open == '['));
    before(o, key);
    hg_buf_putc(o->b, open);
    o->depth++;
    uint64_t bit = (uint64_t)1 << o->depth;
    o->has_items &= ~bit;
    o->is_array = open == '[' ? o->is_array | bit : o->is_array & ~bit;
}

void hg_json_end(hg_json_out *o)
{
    assert(o->depth > 0);
    uint64_t bit = (uint64_t)1 << o->depth;
    o->depth--;
    if (o->has_items & bit) new_line(o);
    hg_buf_putc(o->b, o->is_array & bit ? ']' : '}');
}

void hg_json_bytes(hg_json_out *o, const char *key, hg_bytes v)
{
    before(o, key);
    hg_json_put_string(o->b, v);
}

void hg_json_text(hg_json_out *o, const char *key, const char *v)
{
    if (v == NULL)
        hg_json_null(o, key);
    else
        hg_json_bytes(o, key, (hg_bytes){v, strlen(v)});
}

void hg_json_int(hg_json_out *o, const char *key, int64_t v)
{
    before(o, key);
    hg_buf_printf(o->b, "%lld", (long long)v);
}

void hg_json_number(hg_json_out *o, const char *key, double v)
{
    before(o, key);
    hg_json_put_number(o->b, v);
}

void hg_json_bool(hg_json_out *o, const char *key, bool v)
{
    before(o, key);
    hg_buf_puts(o->b, v ? "true" : "false");
}

void hg_json_null(hg_json_out *o, const char *key)
{
    before(o, key);
    hg_buf_puts(o->b, "null");
}

void hg_json_raw(hg_json_out *o, const char *key, hg_bytes json)
{
    before(o, key);
    hg_buf_put(o->b, json.p, json.n);
}
