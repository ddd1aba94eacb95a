/* From text to words: pre-tokenisation. Merges never cross a word's border, so the pattern decides
 * what can become a token; a tokenizer.json states it as regular expressions, one stage after the
 * other, each cutting the pieces of the one before. PCRE2 runs them with its compiler to machine
 * code, unless words.c has the pattern as code of ours. Patterns come from files of others, so the
 * steps of one match are bounded. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "token/words.h"
#include <pcre2.h>
#include <string.h>

enum { MAX_STEPS = 10000000, MAX_HEAP_KIB = 65536 };

typedef struct stage {
    hg_word_length *length; /* or NULL */
    pcre2_code *code;       /* NULL with a length, and of METASPACE */
    hg_split_keep keep;
    bool has_jit, invert;
    bool cut; /* of METASPACE, with what follows */
    hg_prepend prepend;
    char sign[8];
    size_t sign_n;
} stage;

struct hg_splitter {
    stage stage[HG_MAX_SPLITS];
    size_t n;
};

struct hg_split_scratch {
    pcre2_general_context *mem;
    pcre2_match_context *match;
    pcre2_match_data *data;
    hg_buf meta; /* a piece whose spaces became signs */
};

static void *take(size_t n, void *ctx)
{
    (void)ctx;
    return hg_realloc(NULL, n, 1);
}

static void give(void *p, void *ctx)
{
    (void)ctx;
    hg_free(p);
}

/* PCRE2's \s knows U+180E, which Unicode took from White_Space in 6.3 and which the tokenizers'
 * reference does not count; the property says what is meant (and is faster). Its \w leaves marks
 * and connecting punctuation out. */
static void translate(hg_buf *out, const char *pattern)
{
    bool in_class = false;
    for (const char *p = pattern; *p != '\0'; p++) {
        if (p[0] != '\\' || p[1] == '\0') {
            if (*p == '[') in_class = true;
            if (*p == ']') in_class = false;
            hg_buf_putc(out, *p);
            continue;
        }
        p++;
        if (*p == 's') {
            hg_buf_puts(out, "\\p{White_Space}");
        } else if (*p == 'S') {
            hg_buf_puts(out, "\\P{White_Space}");
        } else if (*p == 'w') {
            hg_buf_printf(out, in_class ? "%s" : "[%s]", "\\p{L}\\p{M}\\p{Nd}\\p{Nl}\\p{Pc}");
        } else {
            hg_buf_putc(out, '\\');
            hg_buf_putc(out, *p);
        }
    }
}

static hg_status compile_stage(stage *st, const hg_split *s, hg_err *e)
{
    hg_buf pattern = {0};
    int code = 0;
    PCRE2_SIZE at = 0;
    uint32_t options = PCRE2_UTF | PCRE2_NEVER_BACKSLASH_C | PCRE2_DOLLAR_ENDONLY;

    if (strlen(s->pattern) > HG_MAX_PATTERN)
        return hg_fail(e, HG_E_LIMIT, "pre-tokeniser: a pattern of %zu bytes; at most %d allowed",
                       strlen(s->pattern), HG_MAX_PATTERN);
    if (s->is_literal) {
        hg_buf_puts(&pattern, s->pattern);
        options = PCRE2_UTF | PCRE2_LITERAL;
    } else {
        translate(&pattern, s->pattern);
        options |= PCRE2_UCP;
    }
    hg_status status = hg_buf_status(&pattern, e);
    if (status != HG_OK) goto done;
    st->code = pcre2_compile((PCRE2_SPTR)pattern.p, pattern.n, options, &code, &at, NULL);
    if (st->code == NULL) {
        PCRE2_UCHAR why[128];
        (void)pcre2_get_error_message(code, why, sizeof why);
        status = hg_fail(e, HG_E_UNSUPPORTED, "pre-tokeniser: pattern %.80s%s: %s", s->pattern,
                         strlen(s->pattern) > 80 ? "..." : "", (char *)why);
        goto done;
    }
    st->has_jit = pcre2_jit_compile(st->code, PCRE2_JIT_COMPLETE) == 0;
done:
    hg_buf_free(&pattern);
    return status;
}

static hg_status prepare_stage(stage *st, const hg_split *s, bool by_pattern, hg_err *e)
{
    st->keep = s->keep;
    st->invert = s->invert;
    if (s->keep == HG_METASPACE) {
        st->sign_n = strlen(s->pattern);
        if (st->sign_n == 0 || st->sign_n >= sizeof st->sign)
            return hg_fail(e, HG_E_FORMAT,
                           "pre-tokeniser: a Metaspace whose replacement is not one character");
        memcpy(st->sign, s->pattern, st->sign_n);
        st->prepend = s->prepend;
        st->cut = s->cut;
        return HG_OK;
    }
    if (!by_pattern && !s->is_literal && (s->keep == HG_KEEP_ALL || s->keep == HG_KEEP_MATCHES)) {
        st->length = hg_words_find(s->pattern);
        if (st->length != NULL) return HG_OK;
    }
    return compile_stage(st, s, e);
}

hg_status hg_splitter_new(hg_splitter **out, const hg_split *split, size_t n, bool by_pattern,
                          hg_err *e)
{
    *out = NULL;
    if (n > HG_MAX_SPLITS)
        return hg_fail(e, HG_E_LIMIT, "pre-tokeniser: %zu stages; at most %d allowed", n,
                       HG_MAX_SPLITS);
    hg_splitter *s = hg_alloc(1, sizeof *s);
    if (s == NULL) return hg_fail(e, HG_E_NOMEM, "no room for a pre-tokeniser");
    for (s->n = 0; s->n < n; s->n++) {
        hg_status status = prepare_stage(&s->stage[s->n], &split[s->n], by_pattern, e);
        if (status != HG_OK) {
            hg_splitter_free(s);
            return status;
        }
    }
    *out = s;
    return HG_OK;
}

void hg_splitter_free(hg_splitter *s)
{
    if (s == NULL) return;
    for (size_t i = 0; i < s->n; i++) pcre2_code_free(s->stage[i].code); /* NULL is fine */
    hg_free(s);
}

hg_split_scratch *hg_split_scratch_new(void)
{
    hg_split_scratch *sc = hg_alloc(1, sizeof *sc);
    if (sc == NULL) return NULL;
    sc->mem = pcre2_general_context_create(take, give, NULL);
    sc->match = sc->mem != NULL ? pcre2_match_context_create(sc->mem) : NULL;
    /* Only the whole match is asked for: one pair of offsets. */
    sc->data = sc->match != NULL ? pcre2_match_data_create(1, sc->mem) : NULL;
    if (sc->data == NULL) {
        hg_split_scratch_free(sc);
        return NULL;
    }
    (void)pcre2_set_match_limit(sc->match, MAX_STEPS);
    (void)pcre2_set_heap_limit(sc->match, MAX_HEAP_KIB);
    return sc;
}

void hg_split_scratch_free(hg_split_scratch *sc)
{
    if (sc == NULL) return;
    pcre2_match_data_free(sc->data);
    pcre2_match_context_free(sc->match);
    pcre2_general_context_free(sc->mem);
    hg_buf_free(&sc->meta);
    hg_free(sc);
}

/* The next match at or behind `from`: 1, 0 when there is none, negative when PCRE2 gave up. */
static int next_match(const stage *st, hg_split_scratch *sc, const char *p, size_t n, size_t from,
                      size_t *begin, size_t *end)
{
    PCRE2_SPTR text = (PCRE2_SPTR)p;
    int rc = PCRE2_ERROR_JIT_STACKLIMIT;
    if (st->has_jit) rc = pcre2_jit_match(st->code, text, n, from, 0, sc->data, sc->match);
    /* A deep pattern may need more stack than compiled code has; the interpreter uses the heap. */
    if (rc == PCRE2_ERROR_JIT_STACKLIMIT)
        rc = pcre2_match(st->code, text, n, from, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, sc->data,
                         sc->match);
    if (rc == PCRE2_ERROR_NOMATCH) return 0;
    if (rc < 0) return rc;
    const PCRE2_SIZE *o = pcre2_get_ovector_pointer(sc->data);
    *begin = o[0];
    *end = o[1];
    return 1;
}

typedef struct run {
    const hg_splitter *s;
    hg_split_scratch *sc;
    const char *start; /* of the whole text, or NULL: it is somewhere before */
    const char *end;   /* of what may be read behind a piece */
    hg_word_fn *fn;
    void *ctx;
    hg_err *e;
} run;

static hg_status cut(run *r, size_t k, const char *p, size_t n);

static hg_status hand_on(run *r, size_t k, const char *p, size_t n)
{
    if (n == 0) return HG_OK;
    return k == r->s->n ? r->fn(r->ctx, p, n, (size_t)(r->end - p), r->e) : cut(r, k, p, n);
}

/* A pattern that we have code for leaves nothing between two words. */
static hg_status cut_by_length(run *r, size_t k, const char *p, size_t n)
{
    hg_word_length *length = r->s->stage[k].length;
    bool is_last = k + 1 == r->s->n;
    for (size_t at = 0; at < n;) {
        size_t len = length((const unsigned char *)p + at, n - at);
        HG_TRY(is_last ? r->fn(r->ctx, p + at, len, (size_t)(r->end - p) - at, r->e)
                       : cut(r, k + 1, p + at, len));
        at += len;
    }
    return HG_OK;
}

/* ---- METASPACE ---- */

static hg_status cut_at_signs(run *r, const stage *st, size_t k, const char *p, size_t n)
{
    size_t at = 0;
    while (st->cut && at < n) {
        size_t from = at + 1;
        const char *sign = n - at > 1 ? memmem(p + from, n - from, st->sign, st->sign_n) : NULL;
        if (sign == NULL) break;
        HG_TRY(hand_on(r, k + 1, p + at, (size_t)(sign - p) - at));
        at = (size_t)(sign - p);
    }
    return hand_on(r, k + 1, p + at, n - at);
}

/* The piece is changed, so that what follows works on a copy; a splitter has one such stage. */
static hg_status cut_meta(run *r, size_t k, const char *p, size_t n)
{
    const stage *st = &r->s->stage[k];
    hg_buf *b = &r->sc->meta;
    bool has_sign = p[0] == ' ' || (n >= st->sign_n && memcmp(p, st->sign, st->sign_n) == 0);
    bool prepend =
        st->prepend == HG_PREPEND_ALWAYS || (st->prepend == HG_PREPEND_FIRST && p == r->start);
    hg_buf_clear(b);
    if (prepend && !has_sign) hg_buf_put(b, st->sign, st->sign_n);
    for (size_t i = 0; i < n;) {
        const char *space = memchr(p + i, ' ', n - i);
        size_t len = space != NULL ? (size_t)(space - p) - i : n - i;
        hg_buf_put(b, p + i, len);
        if (space != NULL) hg_buf_put(b, st->sign, st->sign_n);
        i += len + 1;
    }
    HG_TRY(hg_buf_status(b, r->e));
    run inner = *r;
    inner.start = NULL;
    inner.end = b->p + b->n;
    return cut_at_signs(&inner, st, k, b->p, b->n);
}

/* ---- patterns ---- */

/* What a stage has found and not yet handed on, because it may grow. */
typedef struct held {
    size_t begin, end;
    bool was_match;
} held;

/* The next segment, a match or a gap; says whether it joins the one that is held. */
static bool joins(const stage *st, const held *h, bool is_match)
{
    switch (st->keep) {
    case HG_KEEP_WITH_PREVIOUS:
        return is_match && !h->was_match;
    case HG_KEEP_WITH_NEXT:
        return !is_match && h->was_match;
    case HG_KEEP_RUNS:
        return is_match && h->was_match;
    default:
        return false;
    }
}

static hg_status segment(run *r, size_t k, const char *p, held *h, size_t end, bool is_match)
{
    const stage *st = &r->s->stage[k];
    size_t begin = h->end;
    if (begin == end) return HG_OK;
    if (st->invert) is_match = !is_match;
    if (st->keep == HG_KEEP_GAPS || st->keep == HG_KEEP_MATCHES) {
        h->begin = h->end = end;
        return is_match == (st->keep == HG_KEEP_MATCHES) ? hand_on(r, k + 1, p + begin, end - begin)
                                                         : HG_OK;
    }
    if (h->begin == h->end || joins(st, h, is_match)) {
        h->end = end;
    } else {
        HG_TRY(hand_on(r, k + 1, p + h->begin, h->end - h->begin));
        h->begin = begin;
        h->end = end;
    }
    h->was_match = is_match;
    return HG_OK;
}

/* Cuts one piece by stage k; the depth is the number of stages. */
static hg_status cut(run *r, size_t k, const char *p, size_t n)
{
    const stage *st = &r->s->stage[k];
    if (st->length != NULL) return cut_by_length(r, k, p, n);
    if (st->keep == HG_METASPACE) return cut_meta(r, k, p, n);
    held h = {0};
    size_t from = 0, begin, end;
    while (from <= n) {
        int rc = next_match(st, r->sc, p, n, from, &begin, &end);
        if (rc < 0)
            return hg_fail(r->e, rc == PCRE2_ERROR_NOMEMORY ? HG_E_NOMEM : HG_E_LIMIT,
                           "the pre-tokeniser's pattern takes too many steps on this text");
        if (rc == 0) break;
        if (end <= begin || begin < h.end) { /* an empty match cuts: step over a character */
            if (end == begin && begin > h.end && st->keep == HG_KEEP_ALL)
                HG_TRY(segment(r, k, p, &h, begin, false));
            from = (end > from ? end : from) + 1;
            while (from < n && ((unsigned char)p[from] & 0xC0) == 0x80) from++;
            continue;
        }
        HG_TRY(segment(r, k, p, &h, begin, false));
        HG_TRY(segment(r, k, p, &h, end, true));
        from = end;
    }
    HG_TRY(segment(r, k, p, &h, n, false));
    return hand_on(r, k + 1, p + h.begin, h.end - h.begin);
}

hg_status hg_splitter_run(const hg_splitter *s, hg_split_scratch *sc, const char *text, size_t n,
                          bool is_start, hg_word_fn *fn, void *ctx, hg_err *e)
{
    run r = {s, sc, is_start ? text : NULL, text + n, fn, ctx, e};
    return hand_on(&r, 0, text, n);
}
