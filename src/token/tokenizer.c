/* A tokenizer from its description. Everything that is asked while encoding is put into tables
 * here, once: the bytes of each token, a hash from bytes to id, a hash from a pair of ids to the
 * token it makes, the compiled pre-tokeniser. After that the handle does not change. */
#include "token/inner.h"
#include "base/hash.h"
#include <string.h>

int32_t hg_token_find(const hg_tokenizer *t, const char *p, size_t n)
{
    if (n > t->longest) return -1;
    for (size_t i = (size_t)hg_hash64(p, n, 0);; i++) {
        int32_t id = t->word[i & t->word_mask];
        if (id < 0) return -1;
        if (t->piece[id].n == n && memcmp(t->piece[id].p, p, n) == 0) return id;
    }
}

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

/* A table is at most half full, so that a search ends soon. */
static size_t table_size(size_t n)
{
    size_t size = 16;
    while (size < 2 * n) size *= 2;
    return size;
}

static hg_status no_room(hg_err *e)
{
    return hg_fail(e, HG_E_NOMEM, "no room for the tokenizer's tables");
}

/* ---- the copy of the description ---- */

static hg_status check_sizes(const hg_token_parts *p, hg_err *e)
{
    if (p->n < 256 || p->n > HG_MAX_TOKENS)
        return hg_fail(e, p->n < 256 ? HG_E_FORMAT : HG_E_LIMIT,
                       "tokenizer: vocabulary of %zu tokens; 256 to %d allowed", p->n,
                       HG_MAX_TOKENS);
    if (p->n_merges > HG_MAX_MERGES)
        return hg_fail(e, HG_E_LIMIT, "tokenizer: %zu merges; at most %d allowed", p->n_merges,
                       HG_MAX_MERGES);
    if (p->n_splits > HG_MAX_SPLITS)
        return hg_fail(e, HG_E_LIMIT, "tokenizer: %zu pre-tokeniser stages; at most %d allowed",
                       p->n_splits, HG_MAX_SPLITS);
    for (size_t i = 0; i < p->n; i++)
        if (p->token[i].n > HG_MAX_TOKEN_BYTES)
            return hg_fail(e, HG_E_LIMIT, "tokenizer: token %zu has %zu bytes; at most %d allowed",
                           i, p->token[i].n, HG_MAX_TOKEN_BYTES);
    return HG_OK;
}

/* All the strings in one block, one after the other. */
static const hg_bytes *copy_strings(hg_arena *mem, const hg_bytes *from, size_t n)
{
    size_t total = 0;
    for (size_t i = 0; i < n; i++) total += from[i].n;
    hg_bytes *to = HG_NEW(mem, hg_bytes, n);
    char *text = HG_NEW_RAW(mem, char, total);
    if (to == NULL || text == NULL) return NULL;
    for (size_t i = 0; i < n; i++) {
        to[i] = (hg_bytes){text, from[i].n};
        if (from[i].n > 0) memcpy(text, from[i].p, from[i].n);
        text += from[i].n;
    }
    return to;
}

static hg_status copy_parts(hg_tokenizer *t, const hg_token_parts *from, hg_err *e)
{
    hg_token_parts *p = &t->parts;
    *p = *from;
    p->token = copy_strings(&t->mem, from->token, from->n);
    p->merge = copy_strings(&t->mem, from->merge, from->n_merges);
    uint8_t *flags = HG_NEW(&t->mem, uint8_t, p->n);
    hg_split *split = HG_NEW(&t->mem, hg_split, p->n_splits);
    t->whole = HG_NEW(&t->mem, _Atomic uint8_t, p->n);
    if (p->token == NULL || p->merge == NULL || flags == NULL || split == NULL || t->whole == NULL)
        return no_room(e);
    if (from->flags != NULL) memcpy(flags, from->flags, p->n);
    for (size_t i = 0; i < p->n_splits; i++) {
        const char *pattern = from->split[i].pattern;
        split[i] = from->split[i];
        split[i].pattern = hg_arena_strndup(&t->mem, pattern, strlen(pattern));
        if (split[i].pattern == NULL) return no_room(e);
    }
    p->flags = flags;
    p->split = split;
    return HG_OK;
}

/* ---- the tables ---- */

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
        if (!added && hg_token_unshow(p->token[i].p, p->token[i].n, room, &n)) {
            t->piece[i] = (hg_bytes){room, n};
            room += n;
            (*is_plain)[i] = 1;
        } else {
            t->piece[i] = p->token[i];
        }
        if (t->piece[i].n > t->longest) t->longest = t->piece[i].n;
    }
    return HG_OK;
}

static hg_status build_words(hg_tokenizer *t, const uint8_t *is_plain, hg_err *e)
{
    size_t size = table_size(t->parts.n);
    t->word = HG_NEW_RAW(&t->mem, int32_t, size);
    if (t->word == NULL) return no_room(e);
    t->word_mask = size - 1;
    for (size_t i = 0; i < size; i++) t->word[i] = -1;
    /* Added tokens come last: where an ordinary token has the same bytes, merges make that one. */
    for (int pass = 0; pass < 2; pass++) {
        for (size_t id = 0; id < t->parts.n; id++) {
            hg_bytes b = t->piece[id];
            bool added = (t->parts.flags[id] & HG_TOKEN_ADDED) != 0;
            if (b.n == 0 || added != (pass == 1) || (!added && !is_plain[id])) continue;
            if (hg_token_find(t, b.p, b.n) >= 0) {
                if (added) continue;
                return hg_fail(e, HG_E_FORMAT, "tokenizer: token %zu is there twice", id);
            }
            size_t at = (size_t)hg_hash64(b.p, b.n, 0);
            while (t->word[at & t->word_mask] >= 0) at++;
            t->word[at & t->word_mask] = (int32_t)id;
        }
    }
    return HG_OK;
}

/* Every byte should have a token. Some published vocabularies lack a few that their training text
 * did not hold (Falcon has no 0x03): such a byte is read as a question mark, where the reference
 * drops it silently. What lacks plain ASCII is no byte-level vocabulary. */
static hg_status build_bytes(hg_tokenizer *t, hg_err *e)
{
    for (unsigned b = 0; b < 256; b++) {
        char c = (char)(unsigned char)b;
        t->byte_id[b] = hg_token_find(t, &c, 1);
        if (t->byte_id[b] >= 0 || b < 0x20 || b > 0x7E) continue;
        return hg_fail(e, HG_E_UNSUPPORTED,
                       "tokenizer: byte 0x%02X has no token; Higgins reads byte-level BPE, where "
                       "every byte has one",
                       b);
    }
    for (unsigned b = 0; b < 256; b++)
        if (t->byte_id[b] < 0) t->byte_id[b] = t->byte_id['?'];
    return HG_OK;
}

/* Splits "left right"; the space of a token itself is written otherwise in the byte form. */
static bool merge_sides(hg_bytes m, hg_bytes *left, hg_bytes *right)
{
    const char *gap = m.n > 2 ? memchr(m.p + 1, ' ', m.n - 2) : NULL;
    if (gap == NULL) return false;
    *left = (hg_bytes){m.p, (size_t)(gap - m.p)};
    *right = (hg_bytes){gap + 1, m.n - left->n - 1};
    return true;
}

static int32_t find_shown(const hg_tokenizer *t, hg_bytes s, char *bytes, size_t *n)
{
    if (!hg_token_unshow(s.p, s.n, bytes, n)) return -1;
    return hg_token_find(t, bytes, *n);
}

/* The two tokens of a merge and the one they make, or the sentence that says what is wrong. */
static hg_status read_merge(const hg_tokenizer *t, size_t i, char *room, int32_t id[3], hg_err *e)
{
    hg_bytes m = t->parts.merge[i], left, right;
    size_t n_left = 0, n_right = 0;
    if (m.n > 2 * HG_MAX_TOKEN_BYTES || !merge_sides(m, &left, &right))
        return hg_fail(e, HG_E_FORMAT,
                       "tokenizer: merge %zu is not two tokens with a space between", i);
    id[0] = find_shown(t, left, room, &n_left);
    id[1] = find_shown(t, right, room + n_left, &n_right);
    id[2] = id[0] >= 0 && id[1] >= 0 ? hg_token_find(t, room, n_left + n_right) : -1;
    if (id[2] < 0)
        return hg_fail(e, HG_E_FORMAT,
                       "tokenizer: merge %zu (%.*s) names a token that is not in "
                       "the vocabulary",
                       i, (int)(m.n < 60 ? m.n : 60), m.p);
    return HG_OK;
}

static hg_status build_merges(hg_tokenizer *t, hg_err *e)
{
    size_t size = table_size(t->parts.n_merges);
    t->merge = HG_NEW_RAW(&t->mem, merge_slot, size);
    char *room = hg_alloc(2 * HG_MAX_TOKEN_BYTES + 1, 1);
    hg_status status = t->merge != NULL && room != NULL ? HG_OK : no_room(e);
    t->merge_mask = size - 1;
    for (size_t i = 0; status == HG_OK && i < size; i++) t->merge[i].key = NO_PAIR;
    for (size_t i = 0; status == HG_OK && i < t->parts.n_merges; i++) {
        int32_t id[3] = {-1, -1, -1};
        status = read_merge(t, i, room, id, e);
        /* What people write never becomes a special token, not by merges either. */
        if (status != HG_OK || hg_tokenizer_is_special(t, id[2])) continue;
        uint64_t key = pair_of(id[0], id[1]);
        size_t at = pair_place(key);
        while (t->merge[at & t->merge_mask].key != NO_PAIR &&
               t->merge[at & t->merge_mask].key != key)
            at++;
        t->merge[at & t->merge_mask] = (merge_slot){key, (uint32_t)i, id[2]};
    }
    hg_free(room);
    return status;
}

static hg_status check_ids(const hg_tokenizer *t, hg_err *e)
{
    const hg_token_parts *p = &t->parts;
    if (p->bos >= (int32_t)p->n || p->eos >= (int32_t)p->n)
        return hg_fail(e, HG_E_FORMAT,
                       "tokenizer: the token put around a text has id %d, but the "
                       "vocabulary ends at %zu",
                       p->bos > p->eos ? p->bos : p->eos, p->n - 1);
    for (size_t i = 0; i < p->n; i++)
        if ((p->flags[i] & HG_TOKEN_ADDED) != 0 && p->token[i].n == 0)
            return hg_fail(e, HG_E_FORMAT, "tokenizer: added token %zu is empty", i);
    return HG_OK;
}

static hg_status build(hg_tokenizer *t, const hg_token_parts *parts, hg_err *e)
{
    uint8_t *is_plain = NULL;
    HG_TRY(copy_parts(t, parts, e));
    HG_TRY(check_ids(t, e));
    hg_status status = build_pieces(t, &is_plain, e);
    if (status == HG_OK) status = build_words(t, is_plain, e);
    hg_free(is_plain);
    HG_TRY(status);
    HG_TRY(build_bytes(t, e));
    HG_TRY(build_merges(t, e));
    HG_TRY(hg_added_build(t, e));
    return hg_splitter_new(&t->splitter, t->parts.split, t->parts.n_splits, false, e);
}

hg_status hg_tokenizer_from_parts(hg_tokenizer **out, const hg_token_parts *parts, hg_err *e)
{
    *out = NULL;
    HG_TRY(check_sizes(parts, e));
    hg_tokenizer *t = hg_alloc(1, sizeof *t);
    if (t == NULL) return no_room(e);
    hg_arena_init(&t->mem, 0);
    hg_status status = build(t, parts, e);
    if (status != HG_OK) {
        hg_tokenizer_free(t);
        return status;
    }
    *out = t;
    return HG_OK;
}

void hg_tokenizer_free(hg_tokenizer *t)
{
    if (t == NULL) return;
    hg_splitter_free(t->splitter);
    hg_arena_free(&t->mem);
    hg_free(t);
}

/* ---- what it is asked ---- */

const hg_token_parts *hg_tokenizer_parts(const hg_tokenizer *t)
{
    return &t->parts;
}

uint32_t hg_tokenizer_count(const hg_tokenizer *t)
{
    return (uint32_t)t->parts.n;
}

static bool is_id(const hg_tokenizer *t, int32_t id)
{
    return id >= 0 && (size_t)id < t->parts.n;
}

bool hg_tokenizer_is_special(const hg_tokenizer *t, int32_t id)
{
    return is_id(t, id) && (t->parts.flags[id] & HG_TOKEN_SPECIAL) != 0;
}

hg_bytes hg_tokenizer_piece(const hg_tokenizer *t, int32_t id, bool special)
{
    if (!is_id(t, id) || (!special && hg_tokenizer_is_special(t, id))) return (hg_bytes){"", 0};
    return t->piece[id];
}

int32_t hg_tokenizer_special(const hg_tokenizer *t, const char *text)
{
    const added_set *sets[2] = {&t->added[0][1], &t->added[1][1]};
    size_t n = strlen(text);
    if (n == 0) return -1;
    for (int k = 0; k < 2; k++) {
        unsigned c = (unsigned char)text[0];
        for (size_t i = sets[k]->first[c]; i < sets[k]->first[c + 1]; i++) {
            int32_t id = sets[k]->id[i];
            if (t->piece[id].n == n && memcmp(t->piece[id].p, text, n) == 0 &&
                hg_tokenizer_is_special(t, id))
                return id;
        }
    }
    return -1;
}

int32_t hg_tokenizer_bos(const hg_tokenizer *t)
{
    return t->parts.bos;
}

int32_t hg_tokenizer_eos(const hg_tokenizer *t)
{
    return t->parts.eos;
}
