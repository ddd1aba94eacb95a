/* What is looked up while encoding, put into tables once: the bytes of each token, a hash from
 * bytes to id, a hash from a pair of ids to the token it makes, the order in which scored tokens
 * are made. A vocabulary of 200,000 tokens and as many merges is read before the first word is
 * said, so the hashes keep a part of the hash value beside the id, and merges look their tokens up
 * in blocks whose memory is asked for beforehand. */
#include "base/hash.h"
#include "token/inner.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static hg_status no_room(hg_err *e)
{
    return hg_fail(e, HG_E_NOMEM, "no room for the tokenizer's tables");
}

/* A table is at most half full, so that a search ends soon. */
static size_t table_size(size_t n)
{
    size_t size = 16;
    while (size < 2 * n) size *= 2;
    return size;
}

/* ---- tokens by their bytes ---- */

static int32_t find_hashed(const hg_tokenizer *t, const char *p, size_t n, uint64_t hash)
{
    for (size_t i = (size_t)hash;; i++) {
        word_slot w = t->word[i & t->word_mask];
        if (w.id < 0) return -1;
        if (w.tag == (uint32_t)(hash >> 32) && t->piece[w.id].n == n &&
            memcmp(t->piece[w.id].p, p, n) == 0)
            return w.id;
    }
}

int32_t hg_token_find(const hg_tokenizer *t, const char *p, size_t n)
{
    return n > t->longest ? -1 : find_hashed(t, p, n, hg_hash64(p, n, 0));
}

/* "<0x41>" is 0x41; -1 for other tokens. */
static int byte_of(hg_bytes s)
{
    int v = 0;
    if (s.n != 6 || memcmp(s.p, "<0x", 3) != 0 || s.p[5] != '>') return -1;
    for (size_t i = 3; i < 5; i++) {
        const char *digits = "0123456789ABCDEF", *at = strchr(digits, s.p[i]);
        if (s.p[i] == '\0' || at == NULL) return -1;
        v = 16 * v + (int)(at - digits);
    }
    return v;
}

bool hg_token_is_byte(const hg_tokenizer *t, int32_t id)
{
    int b = t->parts.byte_fallback ? byte_of(t->parts.token[id]) : -1;
    return b >= 0 && t->fallback[b] == id;
}

/* The bytes of each token. One that is no byte form at all ("<|im_start|>" is, by chance, but a
 * token with a real space is not) stands for its text, and no merge can reach it. */
static hg_status build_pieces(hg_tokenizer *t, uint8_t **is_plain, hg_err *e)
{
    const hg_token_parts *p = &t->parts;
    size_t total = 0;
    for (size_t i = 0; i < p->n; i++) total += p->token[i].n;
    t->piece = HG_NEW(&t->mem, hg_bytes, p->n);
    *is_plain = hg_alloc(p->n, 1);
    char *room = HG_NEW_RAW(&t->mem, char, total);
    if (t->piece == NULL || room == NULL || *is_plain == NULL) return no_room(e);
    for (size_t i = 0; i < p->n; i++) {
        size_t n = 0;
        bool added = (p->flags[i] & HG_TOKEN_ADDED) != 0;
        t->piece[i] = p->token[i];
        if (p->is_text) {
            (*is_plain)[i] = 1;
        } else if (!added && hg_token_unshow(p->token[i].p, p->token[i].n, room, &n)) {
            t->piece[i] = (hg_bytes){room, n};
            room += n;
            (*is_plain)[i] = 1;
        }
        if (t->piece[i].n > t->longest) t->longest = t->piece[i].n;
    }
    return HG_OK;
}

/* The token with the same bytes as `id` when there is one already; else id goes in. */
static int32_t enter(hg_tokenizer *t, int32_t id)
{
    hg_bytes b = t->piece[id];
    uint64_t hash = hg_hash64(b.p, b.n, 0);
    for (size_t i = (size_t)hash;; i++) {
        word_slot *w = &t->word[i & t->word_mask];
        if (w->id < 0) {
            *w = (word_slot){(uint32_t)(hash >> 32), id};
            return id;
        }
        if (w->tag == (uint32_t)(hash >> 32) && t->piece[w->id].n == b.n &&
            memcmp(t->piece[w->id].p, b.p, b.n) == 0)
            return w->id;
    }
}

static hg_status build_words(hg_tokenizer *t, const uint8_t *is_plain, hg_err *e)
{
    size_t size = table_size(t->parts.n);
    t->word = HG_NEW_RAW(&t->mem, word_slot, size);
    if (t->word == NULL) return no_room(e);
    t->word_mask = size - 1;
    for (size_t i = 0; i < size; i++) t->word[i].id = -1;
    /* Added tokens come last: where an ordinary token has the same bytes, merges make that one. */
    for (int pass = 0; pass < 2; pass++) {
        for (size_t id = 0; id < t->parts.n; id++) {
            bool added = (t->parts.flags[id] & HG_TOKEN_ADDED) != 0;
            if (t->piece[id].n == 0 || added != (pass == 1) || (!added && !is_plain[id])) continue;
            if (enter(t, (int32_t)id) != (int32_t)id && !added)
                return hg_fail(e, HG_E_FORMAT, "tokenizer: token %zu is there twice", id);
        }
    }
    return HG_OK;
}

/* What people read of each token. */
static hg_status build_shown(hg_tokenizer *t, hg_err *e)
{
    const hg_token_parts *p = &t->parts;
    size_t total = 256;
    t->shown = t->piece;
    if (!p->is_text) return HG_OK;
    for (size_t i = 0; i < p->n; i++) total += p->token[i].n;
    t->shown = HG_NEW(&t->mem, hg_bytes, p->n);
    char *room = HG_NEW_RAW(&t->mem, char, total), *one = room;
    if (t->shown == NULL || room == NULL) return no_room(e);
    for (size_t i = 0; i < 256; i++) *room++ = (char)(unsigned char)i;
    for (size_t id = 0; id < p->n; id++) {
        hg_bytes s = t->piece[id];
        bool added = (p->flags[id] & HG_TOKEN_ADDED) != 0;
        if (!added && hg_token_is_byte(t, (int32_t)id)) {
            t->shown[id] = (hg_bytes){one + byte_of(p->token[id]), 1};
            continue;
        }
        t->shown[id] = s;
        if (!p->meta_is_space || s.n < 3 || memmem(s.p, s.n, HG_META, 3) == NULL) continue;
        t->shown[id].p = room;
        for (size_t i = 0; i < s.n;) {
            bool sign = s.n - i >= 3 && memcmp(s.p + i, HG_META, 3) == 0;
            *room++ = sign ? ' ' : s.p[i];
            i += sign ? 3 : 1;
        }
        t->shown[id].n = (size_t)(room - t->shown[id].p);
    }
    return HG_OK;
}

/* ---- bytes ---- */

/* Every byte should have a token. Some published vocabularies lack a few that their training text
 * did not hold (Falcon has no 0x03): such a byte is read as a question mark, where the reference
 * drops it silently. What lacks plain ASCII is no byte-level vocabulary. */
static hg_status build_bytes(hg_tokenizer *t, hg_err *e)
{
    for (unsigned b = 0; b < 256; b++) {
        char c = (char)(unsigned char)b;
        t->byte_id[b] = hg_token_find(t, &c, 1);
        if (t->parts.is_text && hg_tokenizer_is_special(t, t->byte_id[b])) t->byte_id[b] = -1;
        if (t->parts.is_text || t->byte_id[b] >= 0 || b < 0x20 || b > 0x7E) continue;
        return hg_fail(e, HG_E_UNSUPPORTED,
                       "tokenizer: byte 0x%02X has no token; in byte-level BPE every byte has one",
                       b);
    }
    for (unsigned b = 0; b < 256 && !t->parts.is_text; b++)
        if (t->byte_id[b] < 0) t->byte_id[b] = t->byte_id['?'];
    return HG_OK;
}

static void build_fallback(hg_tokenizer *t)
{
    for (size_t i = 0; i < 256; i++) t->fallback[i] = -1;
    if (!t->parts.byte_fallback) return;
    for (size_t id = 0; id < t->parts.n; id++) {
        int b = byte_of(t->parts.token[id]);
        if (b >= 0 && t->fallback[b] < 0) t->fallback[b] = (int32_t)id;
    }
    t->has_fallback = true;
    for (size_t i = 0; i < 256; i++) t->has_fallback = t->has_fallback && t->fallback[i] >= 0;
}

hg_status hg_token_unknown(const hg_tokenizer *t, const char *p, size_t n, bool backwards,
                           bool follows, hg_ids *out, hg_err *e)
{
    if (t->has_fallback) {
        for (size_t i = 0; i < n; i++)
            HG_TRY(hg_ids_push(out, t->fallback[(unsigned char)p[backwards ? n - 1 - i : i]], e));
        return HG_OK;
    }
    if (t->parts.unk < 0 || (follows && t->parts.fuse_unk)) return HG_OK;
    return hg_ids_push(out, t->parts.unk, e);
}

/* ---- merges ---- */

static uint64_t pair_of(int32_t left, int32_t right)
{
    return (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
}

static size_t pair_place(uint64_t key)
{
    key *= 0x9E3779B97F4A7C15u; /* Fibonacci hashing: the high bits are the mixed ones */
    return (size_t)(key >> 32 ^ key >> 15);
}

const merge_slot *hg_token_merge(const hg_tokenizer *t, int32_t left, int32_t right)
{
    uint64_t key = pair_of(left, right);
    for (size_t i = pair_place(key);; i++) {
        const merge_slot *m = &t->merge[i & t->merge_mask];
        if (m->key == key) return m;
        if (m->key == NO_PAIR) return NULL;
    }
}

/* Splits "left right"; the space of a token itself is written otherwise. */
static bool merge_sides(hg_bytes m, hg_bytes *left, hg_bytes *right)
{
    const char *gap = m.n > 2 ? memchr(m.p + 1, ' ', m.n - 2) : NULL;
    if (gap == NULL) return false;
    *left = (hg_bytes){m.p, (size_t)(gap - m.p)};
    *right = (hg_bytes){gap + 1, m.n - left->n - 1};
    return true;
}

/* A merge on its way into the table: its sides, both together, and their hashes. Every step of the
 * way waits for memory, so that a block of merges takes each step together and asks for what the
 * next one reads. */
typedef struct entering {
    const char *text; /* the left side and behind it the right one, as bytes */
    size_t n_left, n;
    uint64_t hash[3];
    int32_t id[3];
} entering;
enum { BLOCK = 64 };

/* The bytes of a side, appended to *room; false when it is in no byte form. */
static bool take_side(const hg_tokenizer *t, hg_bytes s, char **room)
{
    size_t n = s.n;
    if (t->parts.is_text)
        memcpy(*room, s.p, n);
    else if (!hg_token_unshow(s.p, s.n, *room, &n))
        return false;
    *room += n;
    return true;
}

static hg_status read_merge(const hg_tokenizer *t, hg_bytes merge, size_t i, entering *m,
                            char **room, hg_err *e)
{
    hg_bytes left, right;
    if (merge.n > 2 * HG_MAX_TOKEN_BYTES || !merge_sides(merge, &left, &right))
        return hg_fail(e, HG_E_FORMAT,
                       "tokenizer: merge %zu is not two tokens with a space between", i);
    *m = (entering){.text = *room};
    if (!take_side(t, left, room)) return HG_OK; /* no token has no bytes: it is said below */
    m->n_left = (size_t)(*room - m->text);
    if (!take_side(t, right, room)) return HG_OK;
    m->n = (size_t)(*room - m->text);
    m->hash[0] = hg_hash64(m->text, m->n_left, 0);
    m->hash[1] = hg_hash64(m->text + m->n_left, m->n - m->n_left, 0);
    m->hash[2] = hg_hash64(m->text, m->n, 0);
    for (size_t k = 0; k < 3; k++) __builtin_prefetch(&t->word[m->hash[k] & t->word_mask]);
    return HG_OK;
}

/* Asks for the first token that has the hash's tag; nearly always it is the one. */
static void foresee_pieces(const hg_tokenizer *t, entering *m)
{
    for (size_t k = 0; k < 3; k++) {
        size_t i = (size_t)m->hash[k];
        uint32_t tag = (uint32_t)(m->hash[k] >> 32);
        while (t->word[i & t->word_mask].id >= 0 && t->word[i & t->word_mask].tag != tag) i++;
        m->id[k] = t->word[i & t->word_mask].id;
        if (m->id[k] >= 0) __builtin_prefetch(&t->piece[m->id[k]]);
    }
}

static void foresee_texts(const hg_tokenizer *t, const entering *m)
{
    for (size_t k = 0; k < 3; k++)
        if (m->id[k] >= 0) __builtin_prefetch(t->piece[m->id[k]].p);
}

static hg_status find_tokens(const hg_tokenizer *t, hg_bytes merge, size_t i, entering *m,
                             hg_err *e)
{
    for (size_t k = 0; k < 3; k++) m->id[k] = -1;
    if (m->n > 0) {
        m->id[0] = find_hashed(t, m->text, m->n_left, m->hash[0]);
        m->id[1] = find_hashed(t, m->text + m->n_left, m->n - m->n_left, m->hash[1]);
        m->id[2] = find_hashed(t, m->text, m->n, m->hash[2]);
    }
    if (m->id[0] < 0 || m->id[1] < 0 || m->id[2] < 0)
        return hg_fail(e, HG_E_FORMAT,
                       "tokenizer: merge %zu (%.*s) names a token that is not in the vocabulary", i,
                       (int)(merge.n < 60 ? merge.n : 60), merge.p);
    __builtin_prefetch(&t->merge[pair_place(pair_of(m->id[0], m->id[1])) & t->merge_mask], 1);
    return HG_OK;
}

static void enter_merge(hg_tokenizer *t, size_t i, const entering *m)
{
    uint64_t key = pair_of(m->id[0], m->id[1]);
    size_t at = pair_place(key);
    t->pair[i] = (hg_token_pair){m->id[0], m->id[1]};
    /* What people write never becomes a special token, not by merges either. */
    if (hg_tokenizer_is_special(t, m->id[2])) return;
    while (t->merge[at & t->merge_mask].key != NO_PAIR && t->merge[at & t->merge_mask].key != key)
        at++;
    t->merge[at & t->merge_mask] = (merge_slot){key, (uint32_t)i, m->id[2]};
}

/* Merges `from` to `to`, whose sides find room at `room`. */
static hg_status enter_block(hg_tokenizer *t, const hg_bytes *merge, size_t from, size_t to,
                             char *room, hg_err *e)
{
    entering block[BLOCK];
    for (size_t i = from; i < to; i++)
        HG_TRY(read_merge(t, merge[i], i, &block[i - from], &room, e));
    for (size_t k = 0; k < to - from; k++) foresee_pieces(t, &block[k]);
    for (size_t k = 0; k < to - from; k++) foresee_texts(t, &block[k]);
    for (size_t i = from; i < to; i++) HG_TRY(find_tokens(t, merge[i], i, &block[i - from], e));
    for (size_t i = from; i < to; i++) enter_merge(t, i, &block[i - from]);
    return HG_OK;
}

static hg_status build_merges(hg_tokenizer *t, const hg_bytes *merge, hg_err *e)
{
    size_t n = t->parts.n_merges, size = table_size(n), most = 0;
    for (size_t i = 0; i < n; i++)
        if (merge[i].n > most) most = merge[i].n;
    if (most > 2 * HG_MAX_TOKEN_BYTES) most = 2 * HG_MAX_TOKEN_BYTES;
    t->merge = HG_NEW_RAW(&t->mem, merge_slot, size);
    t->pair = HG_NEW_RAW(&t->mem, hg_token_pair, n);
    char *room = hg_alloc(BLOCK, most + 1);
    hg_status status = t->merge != NULL && t->pair != NULL && room != NULL ? HG_OK : no_room(e);
    t->merge_mask = size - 1;
    for (size_t i = 0; status == HG_OK && i < size; i++) t->merge[i].key = NO_PAIR;
    for (size_t from = 0; status == HG_OK && from < n; from += BLOCK)
        status = enter_block(t, merge, from, n - from < BLOCK ? n : from + BLOCK, room, e);
    hg_free(room);
    return status;
}

/* ---- scores ---- */

/* A float as a number that is lower the higher it is. */
static uint32_t order_of(double score)
{
    float f = (float)score + 0.0F; /* -0 is 0 */
    uint32_t bits;
    memcpy(&bits, &f, 4);
    return bits >> 31 != 0 ? bits & 0x7FFFFFFF : ~bits & 0x7FFFFFFF;
}

static hg_status build_ranks(hg_tokenizer *t, hg_err *e)
{
    const hg_token_parts *p = &t->parts;
    t->rank = HG_NEW_RAW(&t->mem, uint32_t, p->n);
    if (t->rank == NULL) return no_room(e);
    for (size_t i = 0; i < p->n; i++) {
        bool is_made = (p->flags[i] & HG_TOKEN_ADDED) == 0 && !hg_token_is_byte(t, (int32_t)i) &&
                       (int32_t)i != p->unk;
        /* Below zero is behind all from zero on. */
        uint32_t order = order_of(p->score[i]);
        t->rank[i] = is_made ? (p->score[i] < 0 ? order | 1u << 31 : order) : UINT32_MAX;
    }
    return HG_OK;
}

/* Words of text may end at every sign for a space when no token holds one behind something else:
 * then nothing can join what stands before the sign to it. */
static bool can_cut_spaces(const hg_tokenizer *t)
{
    for (size_t i = 0; i < t->parts.n; i++) {
        hg_bytes s = t->piece[i];
        if ((t->parts.flags[i] & HG_TOKEN_ADDED) != 0) continue;
        while (s.n >= 3 && memcmp(s.p, HG_META, 3) == 0) s = (hg_bytes){s.p + 3, s.n - 3};
        if (s.n > 3 && memmem(s.p, s.n, HG_META, 3) != NULL) return false;
    }
    return true;
}

static hg_status check_scores(const hg_tokenizer *t, hg_err *e)
{
    for (size_t i = 0; t->parts.model != HG_TOKEN_MERGES && i < t->parts.n; i++)
        if (!(fabs(t->parts.score[i]) <= 1e30))
            return hg_fail(e, HG_E_FORMAT, "tokenizer: token %zu has the score %g", i,
                           t->parts.score[i]);
    return HG_OK;
}

hg_status hg_tables_build(hg_tokenizer *t, const hg_bytes *merge, hg_err *e)
{
    uint8_t *is_plain = NULL;
    HG_TRY(check_scores(t, e));
    hg_status status = build_pieces(t, &is_plain, e);
    if (status == HG_OK) status = build_words(t, is_plain, e);
    hg_free(is_plain);
    HG_TRY(status);
    HG_TRY(build_bytes(t, e));
    build_fallback(t);
    HG_TRY(build_shown(t, e));
    t->can_cut = t->parts.is_text && can_cut_spaces(t);
    t->cut_spaces = t->can_cut && t->parts.n_splits == 0 && t->parts.model != HG_TOKEN_UNIGRAM;
    switch (t->parts.model) {
    case HG_TOKEN_MERGES:
        return build_merges(t, merge, e);
    case HG_TOKEN_SCORES:
        return build_ranks(t, e);
    case HG_TOKEN_UNIGRAM:
        return hg_trie_build(t, e);
    }
    return HG_OK;
}
