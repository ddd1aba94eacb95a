/* The steps of normalisation. Unicode's forms are the costly ones; ASCII has one form only and
 * begins afresh, so that just the other characters, each run with the ASCII character before it, go
 * through utf8proc. */
#include "token/normal.h"
#include <string.h>
#include <utf8proc.h>

struct hg_normaliser {
    const hg_normal *step;
    size_t n;
    hg_splitter *pattern[HG_MAX_NORMALS]; /* of REPLACE by a regular expression */
};

hg_status hg_normaliser_new(hg_normaliser **out, const hg_normal *step, size_t n, hg_err *e)
{
    *out = NULL;
    if (n > HG_MAX_NORMALS)
        return hg_fail(e, HG_E_LIMIT, "normalizer: %zu steps; at most %d allowed", n,
                       HG_MAX_NORMALS);
    hg_normaliser *nm = hg_alloc(1, sizeof *nm);
    if (nm == NULL) return hg_fail(e, HG_E_NOMEM, "no room for a normaliser");
    nm->step = step;
    nm->n = n;
    hg_status status = HG_OK;
    for (size_t i = 0; i < n && status == HG_OK; i++) {
        const hg_split find = {.pattern = step[i].from, .keep = HG_KEEP_MATCHES};
        if (step[i].kind == HG_NORMAL_CHARSMAP && !hg_charsmap_is_good(step[i].map))
            status = hg_fail(e, HG_E_FORMAT,
                             "normalizer: its charsmap of %zu bytes is cut off or no charsmap",
                             step[i].map.n);
        if (step[i].kind == HG_NORMAL_REPLACE && step[i].is_pattern)
            status = hg_splitter_new(&nm->pattern[i], &find, 1, true, e);
    }
    if (status == HG_OK)
        *out = nm;
    else
        hg_normaliser_free(nm);
    return status;
}

void hg_normaliser_free(hg_normaliser *nm)
{
    if (nm == NULL) return;
    for (size_t i = 0; i < nm->n; i++) hg_splitter_free(nm->pattern[i]);
    hg_free(nm);
}

void hg_normal_scratch_free(hg_normal_scratch *sc)
{
    hg_buf_free(&sc->a);
    hg_buf_free(&sc->b);
    hg_free(sc->cp);
    *sc = (hg_normal_scratch){0};
}

/* ---- Unicode's forms ---- */

/* True when every form leaves all characters as they are: ASCII, and for the composed forms Latin
 * letters below U+0300, of which compatibility replaces some. */
static size_t skip_same(hg_normal_kind kind, const char *p, size_t n, size_t i)
{
    for (; i < n; i++) {
        unsigned char c = (unsigned char)p[i];
        if (c < 0x80) continue;
        if (kind != HG_NORMAL_NFC) break;
        /* U+0080 to U+02FF, and the quotes and dashes of U+2010 to U+2027 */
        if (c >= 0xC2 && c <= 0xCB) {
            i++;
        } else if (c == 0xE2 && n - i >= 3 && (unsigned char)p[i + 1] == 0x80 &&
                   (unsigned char)p[i + 2] >= 0x90 && (unsigned char)p[i + 2] <= 0xA7) {
            i += 2;
        } else {
            break;
        }
    }
    return i;
}

static hg_status put_form(hg_buf *out, hg_normal_scratch *sc, utf8proc_option_t o, const char *s,
                          size_t len, hg_err *e)
{
    const utf8proc_uint8_t *p = (const utf8proc_uint8_t *)s;
    utf8proc_ssize_t n = utf8proc_decompose(p, (utf8proc_ssize_t)len, NULL, 0, o);
    if (n < 0) return hg_fail(e, HG_E_FORMAT, "text cannot be normalised");
    /* One more: reencode writes in place and ends with a NUL. */
    HG_TRY(hg_grow(&sc->cp, &sc->cp_cap, (size_t)n + 1, sizeof *sc->cp, e));
    n = utf8proc_decompose(p, (utf8proc_ssize_t)len, sc->cp, n, o);
    if (n >= 0) n = utf8proc_reencode(sc->cp, n, o);
    if (n < 0) return hg_fail(e, HG_E_FORMAT, "text cannot be normalised");
    hg_buf_put(out, sc->cp, (size_t)n);
    return HG_OK;
}

static hg_status unicode_form(hg_normal_kind kind, hg_buf *out, hg_normal_scratch *sc, hg_bytes s,
                              hg_err *e)
{
    static const int options[] = {
        [HG_NORMAL_NFC] = UTF8PROC_STABLE | UTF8PROC_COMPOSE,
        [HG_NORMAL_NFD] = UTF8PROC_STABLE | UTF8PROC_DECOMPOSE,
        [HG_NORMAL_NFKC] = UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_COMPAT,
        [HG_NORMAL_NFKD] = UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT};
    for (size_t at = 0; at < s.n;) {
        size_t from = skip_same(kind, s.p, s.n, at), to;
        if (from < s.n && from > at) { /* a mark may join the character before it */
            do from--;
            while (from > at && ((unsigned char)s.p[from] & 0xC0) == 0x80);
        }
        hg_buf_put(out, s.p + at, from - at);
        if (from == s.n) break;
        to = from + ((unsigned char)s.p[from] < 0x80 ? 1 : 0);
        while (to < s.n && (unsigned char)s.p[to] >= 0x80) to++;
        HG_TRY(put_form(out, sc, (utf8proc_option_t)options[kind], s.p + from, to - from, e));
        at = to;
    }
    return HG_OK;
}

/* ---- character by character ---- */

static void put_cp(hg_buf *out, uint32_t cp)
{
    utf8proc_uint8_t u[4];
    hg_buf_put(out, u, (size_t)utf8proc_encode_char((utf8proc_int32_t)cp, u));
}

static bool is_mark(uint32_t cp)
{
    utf8proc_category_t c = utf8proc_category((utf8proc_int32_t)cp);
    return c == UTF8PROC_CATEGORY_MN || c == UTF8PROC_CATEGORY_MC || c == UTF8PROC_CATEGORY_ME;
}

/* SentencePiece's NMT rule: 0 for what is dropped, a space for what is like one. */
static uint32_t nmt(uint32_t cp)
{
    if ((cp >= 1 && cp <= 8) || cp == 0xB || (cp >= 0xE && cp <= 0x1F) || cp == 0x7F ||
        cp == 0x8F || cp == 0x9F)
        return 0;
    if (cp == 9 || cp == 10 || cp == 12 || cp == 13 || cp == 0x1680 ||
        (cp >= 0x200B && cp <= 0x200F) || cp == 0x2028 || cp == 0x2029 || cp == 0x2581 ||
        cp == 0xFEFF || cp == 0xFFFD)
        return ' ';
    return cp;
}

static void each_char(hg_normal_kind kind, hg_buf *out, hg_bytes s)
{
    uint32_t cp = 0;
    for (size_t i = 0, len; i < s.n; i += len) {
        len = hg_token_utf8(s.p + i, s.n - i, &cp);
        uint32_t to = cp;
        if (kind == HG_NORMAL_LOWER) {
            to = (uint32_t)utf8proc_tolower((utf8proc_int32_t)cp);
            if (cp == 0x130) { /* I with a dot: two characters in lower case */
                hg_buf_puts(out, "i\xCC\x87");
                continue;
            }
        } else if (kind == HG_NORMAL_NMT) {
            if ((to = nmt(cp)) == 0 && cp != 0) continue;
        } else if (is_mark(cp)) {
            continue;
        }
        if (to == cp)
            hg_buf_put(out, s.p + i, len);
        else
            put_cp(out, to);
    }
}

/* ---- the others ---- */

static void replace(hg_buf *out, hg_bytes s, const char *from, const char *to)
{
    size_t n_from = strlen(from), n_to = strlen(to), i = 0;
    while (n_from > 0 && i < s.n) {
        const char *at = n_from == 1 ? memchr(s.p + i, from[0], s.n - i)
                                     : memmem(s.p + i, s.n - i, from, n_from);
        if (at == NULL) break;
        hg_buf_put(out, s.p + i, (size_t)(at - s.p) - i);
        hg_buf_put(out, to, n_to);
        i = (size_t)(at - s.p) + n_from;
    }
    hg_buf_put(out, s.p + i, s.n - i);
}

typedef struct replacing {
    hg_buf *out;
    const char *at; /* copied up to here */
    const char *to;
} replacing;

static hg_status on_match(void *ctx, const char *p, size_t n, size_t room, hg_err *e)
{
    replacing *r = ctx;
    (void)room;
    (void)e;
    hg_buf_put(r->out, r->at, (size_t)(p - r->at));
    hg_buf_puts(r->out, r->to);
    r->at = p + n;
    return HG_OK;
}

static hg_status replace_pattern(const hg_splitter *find, hg_split_scratch *split, hg_buf *out,
                                 hg_bytes s, const char *to, hg_err *e)
{
    replacing r = {out, s.p, to};
    HG_TRY(hg_splitter_run(find, split, s.p, s.n, true, on_match, &r, e));
    hg_buf_put(out, r.at, s.n - (size_t)(r.at - s.p));
    return HG_OK;
}

static hg_bytes strip(hg_bytes s, bool left, bool right)
{
    uint32_t cp = 0;
    size_t len, begin = 0, end = s.n;
    while (left && begin < end && (len = hg_token_utf8(s.p + begin, end - begin, &cp)) > 0 &&
           hg_token_is_space(cp))
        begin += len;
    while (right && end > begin) {
        size_t last = end - 1;
        while (last > begin && ((unsigned char)s.p[last] & 0xC0) == 0x80) last--;
        if (hg_token_utf8(s.p + last, end - last, &cp) == 0 || !hg_token_is_space(cp)) break;
        end = last;
    }
    return (hg_bytes){s.p + begin, end - begin};
}

/* SentencePiece takes the sign for a space at the end too, whoever wrote it. */
static void one_space(hg_buf *out, hg_bytes s)
{
    for (;;) {
        if (s.n > 0 && s.p[s.n - 1] == ' ')
            s.n--;
        else if (s.n >= 3 && memcmp(s.p + s.n - 3, HG_META, 3) == 0)
            s.n -= 3;
        else
            break;
    }
    bool was_space = true;
    for (size_t i = 0; i < s.n; i++) {
        if (!(s.p[i] == ' ' && was_space)) hg_buf_putc(out, s.p[i]);
        was_space = s.p[i] == ' ';
    }
}

static void by_map(hg_buf *out, hg_bytes map, hg_bytes s)
{
    uint32_t cp = 0;
    for (size_t i = 0, len; i < s.n; i += len) {
        hg_bytes by = {"", 0};
        len = hg_charsmap_find(map, s.p + i, s.n - i, &by);
        if (len > 0) {
            hg_buf_put(out, by.p, by.n);
            continue;
        }
        len = hg_token_utf8(s.p + i, s.n - i, &cp);
        if (len > 0) {
            hg_buf_put(out, s.p + i, len);
        } else { /* broken: it does not go through the map, as U+FFFD itself would */
            hg_buf_puts(out, "\xEF\xBF\xBD");
            len = 1;
        }
    }
}

static hg_status run_step(const hg_normaliser *nm, size_t k, hg_normal_scratch *sc,
                          hg_split_scratch *split, hg_buf *out, hg_bytes s, hg_err *e)
{
    const hg_normal *st = &nm->step[k];
    hg_bytes part;
    switch (st->kind) {
    case HG_NORMAL_NFC:
    case HG_NORMAL_NFD:
    case HG_NORMAL_NFKC:
    case HG_NORMAL_NFKD:
        return unicode_form(st->kind, out, sc, s, e);
    case HG_NORMAL_LOWER:
    case HG_NORMAL_ACCENTS:
    case HG_NORMAL_NMT:
        each_char(st->kind, out, s);
        return HG_OK;
    case HG_NORMAL_PREPEND:
        if (s.n > 0) hg_buf_puts(out, st->to);
        hg_buf_put(out, s.p, s.n);
        return HG_OK;
    case HG_NORMAL_REPLACE:
        if (st->is_pattern) return replace_pattern(nm->pattern[k], split, out, s, st->to, e);
        replace(out, s, st->from, st->to);
        return HG_OK;
    case HG_NORMAL_STRIP:
        part = strip(s, st->left, st->right);
        hg_buf_put(out, part.p, part.n);
        return HG_OK;
    case HG_NORMAL_SPACES:
        one_space(out, s);
        return HG_OK;
    case HG_NORMAL_CHARSMAP:
        by_map(out, st->map, s);
        return HG_OK;
    }
    return HG_OK;
}

hg_status hg_normaliser_run(const hg_normaliser *nm, hg_normal_scratch *sc, hg_split_scratch *split,
                            hg_bytes text, hg_bytes *out, hg_err *e)
{
    *out = text;
    for (size_t k = 0; k < nm->n; k++) {
        hg_normal_kind kind = nm->step[k].kind;
        if (kind <= HG_NORMAL_NFKD && skip_same(kind, out->p, out->n, 0) == out->n) continue;
        hg_buf *to = out->p == sc->a.p ? &sc->b : &sc->a;
        hg_buf_clear(to);
        HG_TRY(run_step(nm, k, sc, split, to, *out, e));
        HG_TRY(hg_buf_status(to, e));
        *out = (hg_bytes){to->n > 0 ? to->p : "", to->n};
    }
    return HG_OK;
}
