/* Text to ids: added tokens are found first, what lies between is normalised and cut into words,
 * each word is merged. Bytes that are not UTF-8 stand for themselves, so that any bytes go through
 * and come back. */
#include "token/inner.h"
#include <string.h>
#include <utf8proc.h>

enum { CACHE_SLOTS = 1 << 13, CACHE_BYTES = 24, CACHE_IDS = 6, CACHE_FROM = 1 << 14 };

/* A word of several tokens that was met before; text with few distinct words meets them often. */
typedef struct cached {
    uint8_t n_bytes, n_ids;
    char byte[CACHE_BYTES];
    int32_t id[CACHE_IDS];
} cached;

struct hg_encoder {
    const hg_tokenizer *t;
    hg_split_scratch *split;
    bpe_scratch bpe;
    hg_buf text;          /* of a piece that had to be changed before it is cut */
    utf8proc_int32_t *cp; /* while normalising */
    size_t cp_cap;
    cached *cache; /* [CACHE_SLOTS]; NULL until enough text came by to pay for it */
    size_t n_seen;
    hg_ids *out;
    hg_token_step_fn *step; /* NULL: nobody watches */
    void *step_ctx;
};

hg_status hg_encoder_new(hg_encoder **out, const hg_tokenizer *t, hg_err *e)
{
    hg_encoder *en = hg_alloc(1, sizeof *en);
    *out = NULL;
    if (en != NULL) en->split = hg_split_scratch_new();
    if (en == NULL || en->split == NULL) {
        hg_free(en);
        return hg_fail(e, HG_E_NOMEM, "no room to encode text");
    }
    en->t = t;
    *out = en;
    return HG_OK;
}

void hg_encoder_free(hg_encoder *en)
{
    if (en == NULL) return;
    hg_split_scratch_free(en->split);
    hg_bpe_scratch_free(&en->bpe);
    hg_buf_free(&en->text);
    hg_free(en->cp);
    hg_free(en->cache);
    hg_free(en);
}

/* ---- words ---- */

/* True when the merges make this token, and no other, of its own bytes: then the word need not be
 * merged at all. Some vocabularies hold tokens that merges never reach. */
static hg_status is_whole(hg_encoder *en, int32_t id, bool *yes, hg_err *e)
{
    const hg_tokenizer *t = en->t;
    uint8_t known = atomic_load_explicit(&t->whole[id], memory_order_relaxed);
    if (known == 0) {
        hg_ids made = {0};
        hg_status status = hg_bpe_word(t, &en->bpe, t->piece[id].p, t->piece[id].n, &made, e);
        known = made.n == 1 && made.id[0] == id ? 1 : 2;
        hg_ids_free(&made);
        HG_TRY(status);
        atomic_store_explicit(&t->whole[id], known, memory_order_relaxed);
    }
    *yes = known == 1;
    return HG_OK;
}

static size_t cache_place(const char *p, size_t n)
{
    uint64_t h = n;
    for (size_t i = 0; i < n; i++) h = (h ^ (unsigned char)p[i]) * 0x100000001B3u;
    return (size_t)(h ^ h >> 29) & (CACHE_SLOTS - 1);
}

static hg_status merge_word(hg_encoder *en, const char *p, size_t n, hg_err *e)
{
    if (en->cache == NULL && en->n_seen >= CACHE_FROM)
        en->cache = hg_alloc(CACHE_SLOTS, sizeof *en->cache); /* without one it only takes longer */
    if (en->cache == NULL || n > CACHE_BYTES) return hg_bpe_word(en->t, &en->bpe, p, n, en->out, e);
    cached *c = &en->cache[cache_place(p, n)];
    if (c->n_bytes == n && memcmp(c->byte, p, n) == 0) {
        for (size_t i = 0; i < c->n_ids; i++) HG_TRY(hg_ids_push(en->out, c->id[i], e));
        return HG_OK;
    }
    size_t before = en->out->n;
    HG_TRY(hg_bpe_word(en->t, &en->bpe, p, n, en->out, e));
    size_t made = en->out->n - before;
    if (made > CACHE_IDS) return HG_OK;
    c->n_bytes = (uint8_t)n;
    c->n_ids = (uint8_t)made;
    memcpy(c->byte, p, n);
    memcpy(c->id, en->out->id + before, made * sizeof c->id[0]);
    return HG_OK;
}

static hg_status encode_word(hg_encoder *en, const char *p, size_t n, hg_err *e)
{
    const hg_tokenizer *t = en->t;
    en->n_seen += n;
    int32_t id = hg_token_find(t, p, n);
    if (id >= 0 && !hg_tokenizer_is_special(t, id)) {
        bool whole = t->parts.ignore_merges || n == 1;
        if (!whole) HG_TRY(is_whole(en, id, &whole, e));
        if (whole) return hg_ids_push(en->out, id, e);
    }
    return merge_word(en, p, n, e);
}

/* ---- for those who watch ---- */

/* Tells that the ids from `before` on are what `text` became. */
static hg_status tell(hg_encoder *en, hg_token_step_kind kind, hg_bytes text, size_t before,
                      hg_err *e)
{
    if (en->step == NULL) return HG_OK;
    hg_token_step s = {
        .kind = kind, .text = text, .ids = en->out->id + before, .n_ids = en->out->n - before};
    return en->step(en->step_ctx, &s, e);
}

/* The merges of a word, found again one by one; slow and plain. A word that is a token without them
 * (ignore_merges), or is longer than anybody reads, has no steps to show. */
static hg_status tell_merges(hg_encoder *en, const char *p, size_t n, size_t before, hg_err *e)
{
    enum { READABLE = 256 };
    int32_t id[READABLE];
    if (en->step == NULL || n > READABLE ||
        (en->t->parts.ignore_merges && en->out->n == before + 1))
        return HG_OK;
    for (size_t i = 0; i < n; i++) id[i] = en->t->byte_id[(unsigned char)p[i]];
    while (n > 1) {
        const merge_slot *best = NULL;
        size_t at = 0;
        for (size_t i = 0; i + 1 < n; i++) {
            const merge_slot *m = hg_token_merge(en->t, id[i], id[i + 1]);
            if (m == NULL || (best != NULL && best->rank <= m->rank)) continue;
            best = m;
            at = i;
        }
        if (best == NULL) break;
        hg_token_step s = {.kind = HG_STEP_MERGE,
                           .left = id[at],
                           .right = id[at + 1],
                           .made = best->id,
                           .rank = best->rank};
        HG_TRY(en->step(en->step_ctx, &s, e));
        id[at] = best->id;
        n--;
        for (size_t i = at + 1; i < n; i++) id[i] = id[i + 1];
    }
    return HG_OK;
}

static hg_status on_word(void *ctx, const char *p, size_t n, hg_err *e)
{
    hg_encoder *en = ctx;
    size_t before = en->out->n;
    HG_TRY(encode_word(en, p, n, e));
    HG_TRY(tell_merges(en, p, n, before, e));
    return tell(en, HG_STEP_WORD, (hg_bytes){p, n}, before, e);
}

/* An added token at text[m->begin, m->end). */
static hg_status push_added(hg_encoder *en, hg_bytes text, const added_match *m, hg_err *e)
{
    hg_bytes found = {text.p + m->begin, m->end - m->begin};
    HG_TRY(hg_ids_push(en->out, m->id, e));
    return tell(en, HG_STEP_ADDED, found, en->out->n - 1, e);
}

/* ---- pieces between added tokens ---- */

static bool is_ascii(const char *p, size_t n)
{
    unsigned char all = 0;
    for (size_t i = 0; i < n; i++) all |= (unsigned char)p[i];
    return all < 0x80;
}

static hg_status normalise(hg_encoder *en, hg_bytes s, hg_err *e)
{
    static const int options[] = {
        [HG_NORMAL_NONE] = 0,
        [HG_NORMAL_NFC] = UTF8PROC_STABLE | UTF8PROC_COMPOSE,
        [HG_NORMAL_NFD] = UTF8PROC_STABLE | UTF8PROC_DECOMPOSE,
        [HG_NORMAL_NFKC] = UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_COMPAT,
        [HG_NORMAL_NFKD] = UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT};
    utf8proc_option_t o = (utf8proc_option_t)options[en->t->parts.normal];
    hg_buf_clear(&en->text);
    if (o == 0 || is_ascii(s.p, s.n)) {
        hg_buf_put(&en->text, s.p, s.n);
        return hg_buf_status(&en->text, e);
    }
    const utf8proc_uint8_t *p = (const utf8proc_uint8_t *)s.p;
    utf8proc_ssize_t n = utf8proc_decompose(p, (utf8proc_ssize_t)s.n, NULL, 0, o);
    if (n < 0) return hg_fail(e, HG_E_FORMAT, "text cannot be normalised");
    /* One more: reencode writes in place and ends with a NUL. */
    HG_TRY(hg_grow(&en->cp, &en->cp_cap, (size_t)n + 1, sizeof *en->cp, e));
    n = utf8proc_decompose(p, (utf8proc_ssize_t)s.n, en->cp, n, o);
    if (n >= 0) n = utf8proc_reencode(en->cp, n, o);
    if (n < 0) return hg_fail(e, HG_E_FORMAT, "text cannot be normalised");
    hg_buf_put(&en->text, en->cp, (size_t)n);
    return hg_buf_status(&en->text, e);
}

/* Words of a piece without added tokens. */
static hg_status cut_words(hg_encoder *en, const char *p, size_t n, hg_err *e)
{
    if (n == 0) return HG_OK;
    if (!en->t->parts.add_prefix_space || p[0] == ' ')
        return hg_splitter_run(en->t->splitter, en->split, p, n, on_word, en, e);
    hg_buf spaced = {0};
    hg_buf_putc(&spaced, ' ');
    hg_buf_put(&spaced, p, n);
    hg_status status = hg_buf_status(&spaced, e);
    if (status == HG_OK)
        status = hg_splitter_run(en->t->splitter, en->split, spaced.p, spaced.n, on_word, en, e);
    hg_buf_free(&spaced);
    return status;
}

/* Added tokens that are looked for in normalised text, and the pieces between. */
static hg_status encode_run(hg_encoder *en, hg_bytes s, bool special, hg_err *e)
{
    const hg_tokenizer *t = en->t;
    if (t->parts.normal != HG_NORMAL_NONE) {
        HG_TRY(normalise(en, s, e));
        s = (hg_bytes){en->text.p, en->text.n};
    }
    size_t at = 0;
    added_match m;
    while (hg_added_next(t, &t->added[1][special], s, at, &m)) {
        HG_TRY(cut_words(en, s.p + at, m.begin - at, e));
        HG_TRY(push_added(en, s, &m, e));
        at = m.end;
    }
    return cut_words(en, s.p + at, s.n - at, e);
}

static hg_status push_byte(hg_encoder *en, const char *p, hg_err *e)
{
    HG_TRY(hg_ids_push(en->out, en->t->byte_id[(unsigned char)*p], e));
    return tell(en, HG_STEP_WORD, (hg_bytes){p, 1}, en->out->n - 1, e);
}

/* The bytes from `at` on that are whole UTF-8 characters. */
static size_t valid_run(hg_bytes s, size_t at)
{
    size_t i = at, len;
    uint32_t cp;
    while (i < s.n) {
        while (i < s.n && (unsigned char)s.p[i] < 0x80) i++;
        if ((len = hg_token_utf8(s.p + i, s.n - i, &cp)) == 0) break;
        i += len;
    }
    return i - at;
}

static hg_status encode_piece(hg_encoder *en, hg_bytes s, bool special, hg_err *e)
{
    for (size_t at = 0; at < s.n;) {
        size_t n = valid_run(s, at);
        if (n > 0) HG_TRY(encode_run(en, (hg_bytes){s.p + at, n}, special, e));
        at += n;
        if (at < s.n) HG_TRY(push_byte(en, s.p + at++, e));
    }
    return HG_OK;
}

hg_status hg_encoder_run(hg_encoder *en, hg_bytes text, bool special, hg_ids *ids, hg_err *e)
{
    const hg_tokenizer *t = en->t;
    if (text.n > HG_MAX_ENCODE)
        return hg_fail(e, HG_E_LIMIT, "text of %zu bytes; at most %d in one piece", text.n,
                       HG_MAX_ENCODE);
    en->out = ids;
    size_t at = 0;
    added_match m;
    while (hg_added_next(t, &t->added[0][special], text, at, &m)) {
        HG_TRY(encode_piece(en, (hg_bytes){text.p + at, m.begin - at}, special, e));
        HG_TRY(push_added(en, text, &m, e));
        at = m.end;
    }
    return encode_piece(en, (hg_bytes){text.p + at, text.n - at}, special, e);
}

hg_status hg_tokenizer_encode(const hg_tokenizer *t, hg_bytes text, bool special, hg_ids *ids,
                              hg_err *e)
{
    hg_encoder *en = NULL;
    size_t before = ids->n;
    HG_TRY(hg_encoder_new(&en, t, e));
    hg_status status = hg_encoder_run(en, text, special, ids, e);
    hg_encoder_free(en);
    if (status != HG_OK) ids->n = before;
    return status;
}

hg_status hg_tokenizer_trace(const hg_tokenizer *t, hg_bytes text, bool special,
                             hg_token_step_fn *fn, void *ctx, hg_err *e)
{
    hg_encoder *en = NULL;
    hg_ids ids = {0};
    HG_TRY(hg_encoder_new(&en, t, e));
    en->step = fn;
    en->step_ctx = ctx;
    hg_status status = hg_encoder_run(en, text, special, &ids, e);
    hg_encoder_free(en);
    hg_ids_free(&ids);
    return status;
}

hg_status hg_ids_push(hg_ids *ids, int32_t id, hg_err *e)
{
    if (ids->n >= ids->cap) HG_TRY(hg_grow(&ids->id, &ids->cap, ids->n, sizeof *ids->id, e));
    ids->id[ids->n++] = id;
    return HG_OK;
}

void hg_ids_free(hg_ids *ids)
{
    hg_free(ids->id);
    *ids = (hg_ids){0};
}

void hg_mask_free(hg_mask *m)
{
    hg_free(m->on);
    *m = (hg_mask){0};
}
