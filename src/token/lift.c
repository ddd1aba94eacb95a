/* A reader of JSON for the two long parts of a tokenizer.json. It walks to model.vocab and
 * model.merges, reads these, and copies everything else for the JSON library. */
#include "token/lift.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_DEPTH = 64 };

typedef struct cursor {
    const char *begin, *p, *end;
    hg_arena *mem;
    char *room; /* for texts that are not in the file as they are; twice the file: a merge's sides
                 * and both together */
    bool no_memory;
} cursor;

static char *take_room(cursor *c)
{
    if (c->room == NULL) c->room = HG_NEW_RAW(c->mem, char, 2 * (size_t)(c->end - c->begin) + 2);
    if (c->room == NULL) c->no_memory = true;
    return c->room;
}

static void skip_space(cursor *c)
{
    while (c->p < c->end && (*c->p == ' ' || *c->p == '\n' || *c->p == '\r' || *c->p == '\t'))
        c->p++;
}

/* The next character that is no space, without taking it; 0 at the end. */
static char peek(cursor *c)
{
    skip_space(c);
    return c->p < c->end ? *c->p : '\0';
}

static bool take(cursor *c, char ch)
{
    if (peek(c) != ch || ch == '\0') return false;
    c->p++;
    return true;
}

/* ---- strings ---- */

static int hex4(const char *p, const char *end)
{
    int v = 0;
    if (end - p < 4) return -1;
    for (int i = 0; i < 4; i++) {
        char ch = p[i];
        int d = ch >= '0' && ch <= '9'   ? ch - '0'
                : ch >= 'a' && ch <= 'f' ? ch - 'a' + 10
                : ch >= 'A' && ch <= 'F' ? ch - 'A' + 10
                                         : -1;
        if (d < 0) return -1;
        v = 16 * v + d;
    }
    return v;
}

static size_t put_utf8(char *out, uint32_t cp)
{
    if (cp < 0x80) {
        out[0] = (char)cp;
        return 1;
    }
    size_t len = cp < 0x800 ? 2 : cp < 0x10000 ? 3 : 4;
    for (size_t i = len - 1; i > 0; i--, cp >>= 6) out[i] = (char)(0x80 | (cp & 0x3F));
    out[0] = (char)((0xF00 >> len & 0xFF) | cp);
    return len;
}

/* What follows a backslash, into `out`; 0 when it is nothing JSON knows. */
static size_t escape(cursor *c, char *out)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    if (c->p == c->end) return 0;
    char ch = *c->p++;
    const char *at = ch != '\0' ? strchr(from, ch) : NULL;
    if (at != NULL) {
        out[0] = to[at - from];
        return 1;
    }
    int high = ch == 'u' ? hex4(c->p, c->end) : -1, low = -1;
    if (high < 0) return 0;
    c->p += 4;
    if (high >= 0xDC00 && high <= 0xDFFF) return 0;
    if (high < 0xD800 || high > 0xDBFF) return put_utf8(out, (uint32_t)high);
    if (c->end - c->p < 6 || c->p[0] != '\\' || c->p[1] != 'u') return 0;
    low = hex4(c->p + 2, c->end);
    if (low < 0xDC00 || low > 0xDFFF) return 0;
    c->p += 6;
    return put_utf8(out, 0x10000 + ((uint32_t)(high - 0xD800) << 10) + (uint32_t)(low - 0xDC00));
}

/* Over the characters of a string that stand for themselves; false when they are no UTF-8. */
static bool plain_run(cursor *c)
{
    uint32_t cp;
    while (c->p < c->end && *c->p != '"' && *c->p != '\\') {
        size_t len = 1;
        if ((unsigned char)*c->p < 0x20) return false;
        if ((unsigned char)*c->p >= 0x80) len = hg_token_utf8(c->p, (size_t)(c->end - c->p), &cp);
        if (len == 0) return false;
        c->p += len;
    }
    return c->p < c->end;
}

static bool string(cursor *c, hg_bytes *out)
{
    if (!take(c, '"')) return false;
    const char *from = c->p;
    if (!plain_run(c)) return false;
    if (*c->p == '"') {
        *out = (hg_bytes){from, (size_t)(c->p++ - from)};
        return true;
    }
    char *to = take_room(c), *start = to;
    if (to == NULL) return false;
    for (;;) {
        memcpy(to, from, (size_t)(c->p - from));
        to += c->p - from;
        if (*c->p++ == '"') break;
        size_t n = escape(c, to);
        if (n == 0) return false;
        to += n;
        from = c->p;
        if (!plain_run(c)) return false;
    }
    *out = (hg_bytes){start, (size_t)(to - start)};
    c->room = to;
    return true;
}

/* ---- other values ---- */

static bool number(cursor *c, double *v, bool *is_whole)
{
    char text[64];
    size_t n = 0;
    skip_space(c);
    *is_whole = true;
    while (c->p < c->end && n + 1 < sizeof text && *c->p != '\0' &&
           strchr("+-.0123456789eE", *c->p) != NULL) {
        if (*c->p == '.' || *c->p == 'e' || *c->p == 'E') *is_whole = false;
        text[n++] = *c->p++;
    }
    text[n] = '\0';
    char *end;
    if (n == 0 || (text[0] != '-' && (text[0] < '0' || text[0] > '9'))) return false;
    *v = strtod(text, &end);
    return *end == '\0';
}

/* A small whole number, which is what nearly all ids are; false: it is something else. */
static bool small_number(cursor *c, int64_t *v)
{
    const char *p = c->p;
    while (p < c->end && *p == ' ') p++;
    int64_t sum = 0;
    size_t n = 0;
    for (; p < c->end && n < 10 && *p >= '0' && *p <= '9'; n++) sum = 10 * sum + (*p++ - '0');
    if (n == 0 || n == 10 || p == c->end || strchr(",}] \r\n\t", *p) == NULL || *p == '\0')
        return false;
    c->p = p;
    *v = sum;
    return true;
}

/* Over any value; the JSON library reads it later and is the one to be strict. */
static bool skip(cursor *c)
{
    size_t depth = 0;
    do {
        char ch = peek(c);
        if (ch == '\0') return false;
        if (ch == '"') {
            for (c->p++; c->p < c->end && *c->p != '"'; c->p++)
                if (*c->p == '\\' && c->end - c->p > 1) c->p++;
            if (c->p == c->end) return false;
            c->p++;
        } else if (ch == '{' || ch == '[') {
            if (++depth > MAX_DEPTH) return false;
            c->p++;
        } else if (ch == '}' || ch == ']') {
            if (depth-- == 0) return false;
            c->p++;
        } else if (ch == ',' || ch == ':') {
            if (depth == 0) return false;
            c->p++;
        } else {
            while (c->p < c->end && *c->p != '\0' && strchr(" \r\n\t,:{}[]\"", *c->p) == NULL)
                c->p++;
        }
    } while (depth > 0);
    return true;
}

/* ---- the long parts ---- */

static hg_status add_token(hg_lifted *l, hg_lifted_token t, hg_err *e)
{
    if (l->n_tokens > HG_MAX_TOKENS)
        return hg_fail(e, HG_E_LIMIT, "model.vocab: more than %d tokens", HG_MAX_TOKENS);
    HG_TRY(hg_grow(&l->token, &l->token_cap, l->n_tokens, sizeof *l->token, e));
    l->token[l->n_tokens++] = t;
    return HG_OK;
}

static hg_status no_json(bool *is_syntax, hg_err *e)
{
    *is_syntax = true;
    return hg_fail(e, HG_E_FORMAT, "not JSON");
}

/* {"token": id, ...} */
static hg_status vocab_map(cursor *c, hg_lifted *l, bool *is_syntax, hg_err *e)
{
    (void)take(c, '{');
    if (take(c, '}')) return HG_OK;
    do {
        hg_lifted_token t = {.text = {"", 0}};
        double v = 0.0;
        bool is_whole;
        if (!string(c, &t.text) || !take(c, ':')) return no_json(is_syntax, e);
        if (!small_number(c, &t.id)) {
            const char *at = (skip_space(c), c->p);
            if (!number(c, &v, &is_whole)) {
                c->p = at;
                if (!skip(c)) return no_json(is_syntax, e);
                is_whole = false;
            }
            if (!is_whole || v < 0.0)
                return hg_fail(e, HG_E_FORMAT, "model.vocab: an id must be a whole number from 0");
            t.id = v < 1e15 ? (int64_t)v : (int64_t)1e15;
        }
        HG_TRY(add_token(l, t, e));
    } while (take(c, ','));
    return take(c, '}') ? HG_OK : no_json(is_syntax, e);
}

/* [["token", score], ...] */
static hg_status vocab_list(cursor *c, hg_lifted *l, bool *is_syntax, hg_err *e)
{
    l->is_list = true;
    (void)take(c, '[');
    if (take(c, ']')) return HG_OK;
    do {
        hg_lifted_token t = {.text = {"", 0}, .id = (int64_t)l->n_tokens};
        bool is_whole;
        if (!take(c, '[') || !string(c, &t.text) || !take(c, ',') ||
            !number(c, &t.score, &is_whole) || !take(c, ']'))
            return hg_fail(e, HG_E_FORMAT, "model.vocab: token %zu is no [\"text\", score]",
                           l->n_tokens);
        HG_TRY(add_token(l, t, e));
    } while (take(c, ','));
    return take(c, ']') ? HG_OK : no_json(is_syntax, e);
}

static hg_status bad_merge(size_t i, hg_err *e)
{
    return hg_fail(e, HG_E_FORMAT,
                   "model.merges: merge %zu is neither \"left right\" nor a pair of strings", i);
}

/* ["left", "right"], as older files write it: with a space between. */
static hg_status merge_pair(cursor *c, size_t i, hg_bytes *out, hg_err *e)
{
    hg_bytes side[2];
    (void)take(c, '[');
    if (!string(c, &side[0]) || !take(c, ',') || !string(c, &side[1]) || !take(c, ']'))
        return bad_merge(i, e);
    if (memchr(side[0].p, ' ', side[0].n) != NULL)
        return hg_fail(e, HG_E_UNSUPPORTED, "model.merges: the left side of merge %zu has a space",
                       i);
    char *to = take_room(c);
    if (to == NULL) return HG_OK;
    /* Both together are shorter than what the file has for them. */
    out->p = to;
    out->n = side[0].n + 1 + side[1].n;
    memmove(to, side[0].p, side[0].n);
    to[side[0].n] = ' ';
    memmove(to + side[0].n + 1, side[1].p, side[1].n);
    c->room = to + out->n;
    return HG_OK;
}

static hg_status merges(cursor *c, hg_lifted *l, bool *is_syntax, hg_err *e)
{
    (void)take(c, '[');
    if (take(c, ']')) return HG_OK;
    do {
        hg_bytes m = {"", 0};
        char ch = peek(c);
        if (l->n_merges >= HG_MAX_MERGES)
            return hg_fail(e, HG_E_LIMIT, "model.merges: more than %d merges", HG_MAX_MERGES);
        if (ch == '[') {
            HG_TRY(merge_pair(c, l->n_merges, &m, e));
        } else if (ch != '"') {
            return bad_merge(l->n_merges, e);
        } else if (!string(c, &m)) {
            return no_json(is_syntax, e);
        }
        HG_TRY(hg_grow(&l->merge, &l->merge_cap, l->n_merges, sizeof *l->merge, e));
        l->merge[l->n_merges++] = m;
    } while (take(c, ','));
    return take(c, ']') ? HG_OK : no_json(is_syntax, e);
}

/* ---- the way there ---- */

/* Copies what was passed over and leaves the value from `at` on out. */
static void leave_out(cursor *c, hg_lifted *l, const char **copied, const char *at, const char *by)
{
    hg_buf_put(&l->rest, *copied, (size_t)(at - *copied));
    hg_buf_puts(&l->rest, by);
    *copied = c->p;
}

static bool is_key(hg_bytes key, const char *name)
{
    return key.n == strlen(name) && memcmp(key.p, name, key.n) == 0;
}

static hg_status member(cursor *c, hg_lifted *l, hg_bytes key, const char **copied, bool *is_syntax,
                        hg_err *e)
{
    char ch = peek(c);
    const char *at = c->p;
    if (is_key(key, "vocab") && (ch == '{' || ch == '[') && !l->has_vocab) {
        l->has_vocab = true;
        HG_TRY(ch == '{' ? vocab_map(c, l, is_syntax, e) : vocab_list(c, l, is_syntax, e));
        leave_out(c, l, copied, at, ch == '{' ? "{}" : "[]");
    } else if (is_key(key, "merges") && ch == '[' && !l->has_merges) {
        l->has_merges = true;
        HG_TRY(merges(c, l, is_syntax, e));
        leave_out(c, l, copied, at, "[]");
    } else if (!skip(c)) {
        return no_json(is_syntax, e);
    }
    return HG_OK;
}

static hg_status object(cursor *c, hg_lifted *l, bool is_model, const char **copied,
                        bool *is_syntax, hg_err *e)
{
    if (!take(c, '{')) return no_json(is_syntax, e);
    if (take(c, '}')) return HG_OK;
    do {
        hg_bytes key;
        if (!string(c, &key) || !take(c, ':')) return no_json(is_syntax, e);
        if (is_model)
            HG_TRY(member(c, l, key, copied, is_syntax, e));
        else if (is_key(key, "model") && peek(c) == '{')
            HG_TRY(object(c, l, true, copied, is_syntax, e));
        else if (!skip(c))
            return no_json(is_syntax, e);
    } while (take(c, ','));
    return take(c, '}') ? HG_OK : no_json(is_syntax, e);
}

hg_status hg_lift(hg_lifted *out, hg_bytes json, hg_arena *mem, bool *is_syntax, hg_err *e)
{
    cursor c = {.begin = json.p, .p = json.p, .end = json.p + json.n, .mem = mem};
    const char *copied = json.p;
    *out = (hg_lifted){0};
    *is_syntax = false;
    hg_status status = object(&c, out, false, &copied, is_syntax, e);
    if (c.no_memory) return hg_fail(e, HG_E_NOMEM, "no room to read the tokenizer");
    HG_TRY(status);
    hg_buf_put(&out->rest, copied, (size_t)(c.end - copied));
    return hg_buf_status(&out->rest, e);
}

void hg_lifted_free(hg_lifted *l)
{
    hg_free(l->token);
    hg_free(l->merge);
    hg_buf_free(&l->rest);
    *l = (hg_lifted){0};
}
