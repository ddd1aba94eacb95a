/* Text to ids: added tokens are found first, what lies between is normalised and cut into words,
 * each word is merged. Bytes that are not UTF-8 stand for themselves, so that any bytes go through
 * and come back. */
#include "token/inner.h"
#include <string.h>

enum { CACHE_BITS = 14, CACHE_BYTES = 15, CACHE_IDS = 3, CACHE_FROM = 1 << 12 };

/* A word that was met before: its bytes as two numbers, the length in the highest byte of the
 * second, so that a look costs one line of memory and no call. */
typedef struct cached {
    uint64_t key[2];
    int32_t id[CACHE_IDS];
    uint32_t n_ids;
} cached;

struct hg_encoder {
    const hg_tokenizer *t;
    hg_split_scratch *split;
    bpe_scratch bpe;
    uni_scratch uni;
    hg_normal_scratch normal;
    hg_buf mended; /* text that was no UTF-8 */
    cached *cache; /* [1 << CACHE_BITS]; NULL until enough text came by to pay for it */
    size_t n_seen;
    bool is_start; /* of the text: nothing of it was encoded yet */
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
    hg_free(en->uni.best);
    hg_normal_scratch_free(&en->normal);
    hg_buf_free(&en->mended);
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

static hg_status merge_word(hg_encoder *en, const char *p, size_t n, hg_err *e)
{
    const hg_tokenizer *t = en->t;
    if (t->trie != NULL) return hg_unigram_word(t, &en->uni, p, n, en->out, e);
    int32_t id = hg_token_find(t, p, n);
    if (id >= 0 && !hg_tokenizer_is_special(t, id)) {
        bool whole = t->parts.ignore_merges || n == 1;
        if (!whole) HG_TRY(is_whole(en, id, &whole, e));
        if (whole) return hg_ids_push(en->out, id, e);
    }
    return hg_bpe_word(t, &en->bpe, p, n, en->out, e);
}

/* The bytes of a word of at most CACHE_BYTES as a key. */
static inline void key_of(uint64_t key[2], const char *p, size_t n, size_t room)
{
    if (room >= 16) {
        memcpy(key, p, 16);
        if (n < 8) {
            key[0] &= ((uint64_t)1 << (8 * n)) - 1;
            key[1] = 0;
        } else {
            key[1] &= ((uint64_t)1 << (8 * (n - 8))) - 1;
        }
    } else {
        key[0] = key[1] = 0;
        memcpy(key, p, n);
    }
    key[1] |= (uint64_t)n << 56;
}

static inline size_t cache_place(const uint64_t key[2])
{
    uint64_t h = (key[0] ^ key[1] * 0x9E3779B97F4A7C15u) * 0xD6E8FEB86659FD93u;
    return (size_t)((h ^ h >> 32) * 0xD6E8FEB86659FD93u >> (64 - CACHE_BITS));
}

static hg_status remember(hg_encoder *en, cached *c, const uint64_t key[2], const char *p, size_t n,
                          hg_err *e)
{
    size_t before = en->out->n;
    HG_TRY(merge_word(en, p, n, e));
    size_t made = en->out->n - before;
    if (made > CACHE_IDS) return HG_OK;
    memcpy(c->key, key, sizeof c->key);
    memcpy(c->id, en->out->id + before, made * sizeof c->id[0]);
    c->n_ids = (uint32_t)made;
    return HG_OK;
}

static hg_status encode_word(hg_encoder *en, const char *p, size_t n, size_t room, hg_err *e)
{
    hg_ids *out = en->out;
    uint64_t key[2];
    if (en->cache == NULL || n > CACHE_BYTES) return merge_word(en, p, n, e);
    key_of(key, p, n, room);
    cached *c = &en->cache[cache_place(key)];
    if (c->key[0] != key[0] || c->key[1] != key[1]) return remember(en, c, key, p, n, e);
    if (out->cap - out->n < CACHE_IDS)
        HG_TRY(hg_grow(&out->id, &out->cap, out->n + CACHE_IDS, sizeof *out->id, e));
    memcpy(out->id + out->n, c->id, sizeof c->id);
    out->n += c->n_ids;
    return HG_OK;
}

/* A long text pays for the cache. */
static void expect(hg_encoder *en, size_t n)
{
    en->n_seen += n;
    if (en->cache == NULL && en->n_seen >= CACHE_FROM)
        en->cache = hg_alloc((size_t)1 << CACHE_BITS, sizeof *en->cache); /* or it takes longer */
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
    if (en->step == NULL || n > READABLE || en->t->merge == NULL || en->t->parts.is_text ||
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

static hg_status on_word(void *ctx, const char *p, size_t n, size_t room, hg_err *e)
{
    hg_encoder *en = ctx;
    size_t before = en->out->n;
    HG_TRY(encode_word(en, p, n, room, e));
    if (en->step == NULL) return HG_OK;
    HG_TRY(tell_merges(en, p, n, before, e));
    return tell(en, HG_STEP_WORD, (hg_bytes){p, n}, before, e);
}

/* An added token at text[m->begin, m->end). */
static hg_status push_added(hg_encoder *en, hg_bytes text, const added_match *m, hg_err *e)
{
    hg_bytes found = {text.p + m->begin, m->end - m->begin};
    en->is_start = false;
    HG_TRY(hg_ids_push(en->out, m->id, e));
    return tell(en, HG_STEP_ADDED, found, en->out->n - 1, e);
}

/* ---- pieces between added tokens ---- */

/* Words that end before each sign for a space. */
static hg_status cut_spaces(hg_encoder *en, const char *p, size_t n, hg_err *e)
{
    static const char sign[] = HG_META;
    for (size_t at = 0, i = 0; at < n; at = i) {
        while (n - i >= 3 && memcmp(p + i, sign, 3) == 0) i += 3;
        for (; i < n; i++) {
            const char *next = memchr(p + i, sign[0], n - i);
            i = next != NULL ? (size_t)(next - p) : n;
            if (n - i >= 3 && memcmp(p + i, sign, 3) == 0) break;
        }
        if (i > n) i = n;
        HG_TRY(on_word(en, p + at, i - at, n - at, e));
    }
    return HG_OK;
}

/* Words of a piece without added tokens. */
static hg_status cut_words(hg_encoder *en, const char *p, size_t n, hg_err *e)
{
    if (n == 0) return HG_OK;
    bool is_start = en->is_start;
    en->is_start = false;
    expect(en, n);
    if (en->t->cut_spaces) return cut_spaces(en, p, n, e);
    if (!en->t->parts.add_prefix_space || p[0] == ' ')
        return hg_splitter_run(en->t->splitter, en->split, p, n, is_start, on_word, en, e);
    hg_buf spaced = {0};
    hg_buf_putc(&spaced, ' ');
    hg_buf_put(&spaced, p, n);
    hg_status status = hg_buf_status(&spaced, e);
    if (status == HG_OK)
        status = hg_splitter_run(en->t->splitter, en->split, spaced.p, spaced.n, is_start, on_word,
                                 en, e);
    hg_buf_free(&spaced);
    return status;
}

/* Added tokens that are looked for in normalised text, and the pieces between. */
static hg_status encode_run(hg_encoder *en, hg_bytes s, bool special, hg_err *e)
{
    const hg_tokenizer *t = en->t;
    if (t->parts.n_normal > 0)
        HG_TRY(hg_normaliser_run(t->normaliser, &en->normal, en->split, s, &s, e));
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
        for (uint64_t eight; s.n - i >= 8; i += 8) {
            memcpy(&eight, s.p + i, 8);
            if ((eight & 0x8080808080808080u) != 0) break;
        }
        while (i < s.n && (unsigned char)s.p[i] < 0x80) i++;
        if ((len = hg_token_utf8(s.p + i, s.n - i, &cp)) == 0) break;
        i += len;
    }
    return i - at;
}

/* Text with U+FFFD in place of each byte that belongs to no character. */
static hg_status mend(hg_encoder *en, hg_bytes *s, hg_err *e)
{
    if (valid_run(*s, 0) == s->n) return HG_OK;
    hg_buf_clear(&en->mended);
    for (size_t at = 0; at < s->n; at++) {
        size_t n = valid_run(*s, at);
        hg_buf_put(&en->mended, s->p + at, n);
        at += n;
        if (at < s->n) hg_buf_puts(&en->mended, "\xEF\xBF\xBD");
    }
    *s = (hg_bytes){en->mended.p, en->mended.n};
    return hg_buf_status(&en->mended, e);
}

static hg_status encode_piece(hg_encoder *en, hg_bytes s, bool special, hg_err *e)
{
    if (s.n == 0) return HG_OK;
    if (en->t->parts.is_text) {
        if (!en->t->takes_broken) HG_TRY(mend(en, &s, e));
        return encode_run(en, s, special, e);
    }
    for (size_t at = 0; at < s.n;) {
        size_t n = valid_run(s, at);
        if (n > 0) HG_TRY(encode_run(en, (hg_bytes){s.p + at, n}, special, e));
        at += n;
        if (at < s.n) HG_TRY(push_byte(en, s.p + at++, e));
    }
    return HG_OK;
}

static hg_status run(hg_encoder *en, hg_bytes text, bool special, hg_ids *ids, hg_err *e)
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

hg_status hg_encoder_run(hg_encoder *en, hg_bytes text, bool special, hg_ids *ids, hg_err *e)
{
    en->is_start = true;
    return run(en, text, special, ids, e);
}

hg_status hg_encoder_go_on(hg_encoder *en, hg_bytes text, hg_ids *ids, hg_err *e)
{
    en->is_start = false;
    return run(en, text, false, ids, e);
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
    hg_free(m->weight);
    *m = (hg_mask){0};
}
