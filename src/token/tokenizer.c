/* A tokenizer from its description: the copy of it, what is asked of the handle. Everything that is
 * looked up while encoding is put into tables once (tables.c); after that the handle does not
 * change.
 */
#include "token/inner.h"
#include <string.h>

static hg_status no_room(hg_err *e)
{
    return hg_fail(e, HG_E_NOMEM, "no room for the tokenizer's tables");
}

/* ---- the copy of the description ---- */

static hg_status check_sizes(const hg_token_parts *p, hg_err *e)
{
    size_t least = p->is_text ? 1 : 256;
    if (p->n < least || p->n > HG_MAX_TOKENS)
        return hg_fail(e, p->n < least ? HG_E_FORMAT : HG_E_LIMIT,
                       "tokenizer: vocabulary of %zu tokens; %zu to %d allowed", p->n, least,
                       HG_MAX_TOKENS);
    if (p->n_merges > HG_MAX_MERGES)
        return hg_fail(e, HG_E_LIMIT, "tokenizer: %zu merges; at most %d allowed", p->n_merges,
                       HG_MAX_MERGES);
    if (p->n_splits > HG_MAX_SPLITS)
        return hg_fail(e, HG_E_LIMIT, "tokenizer: %zu pre-tokeniser stages; at most %d allowed",
                       p->n_splits, HG_MAX_SPLITS);
    if (p->model != HG_TOKEN_MERGES && p->score == NULL)
        return hg_fail(e, HG_E_FORMAT, "tokenizer: its tokens have no scores");
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

static const char *copy_text(hg_arena *mem, const char *s)
{
    return hg_arena_strndup(mem, s != NULL ? s : "", s != NULL ? strlen(s) : 0);
}

/* The steps before merging: normalisation and the pre-tokeniser's stages. */
static hg_status copy_steps(hg_tokenizer *t, const hg_token_parts *from, hg_err *e)
{
    hg_split *split = HG_NEW(&t->mem, hg_split, from->n_splits);
    hg_normal *normal = HG_NEW(&t->mem, hg_normal, from->n_normal);
    if (split == NULL || normal == NULL) return no_room(e);
    for (size_t i = 0; i < from->n_splits; i++) {
        split[i] = from->split[i];
        split[i].pattern = copy_text(&t->mem, split[i].pattern);
        if (split[i].pattern == NULL) return no_room(e);
    }
    for (size_t i = 0; i < from->n_normal; i++) {
        hg_normal *to = &normal[i];
        *to = from->normal[i];
        char *map = HG_NEW_RAW(&t->mem, char, to->map.n);
        to->from = copy_text(&t->mem, to->from);
        to->to = copy_text(&t->mem, to->to);
        if (to->from == NULL || to->to == NULL || map == NULL) return no_room(e);
        if (to->map.n > 0) memcpy(map, to->map.p, to->map.n);
        to->map.p = map;
    }
    t->parts.split = split;
    t->parts.normal = normal;
    return HG_OK;
}

static hg_status copy_parts(hg_tokenizer *t, const hg_token_parts *from, hg_err *e)
{
    hg_token_parts *p = &t->parts;
    *p = *from;
    p->token = copy_strings(&t->mem, from->token, from->n);
    p->merge = NULL; /* kept as pairs of ids */
    uint8_t *flags = HG_NEW(&t->mem, uint8_t, p->n);
    double *score = from->score != NULL ? HG_NEW_RAW(&t->mem, double, p->n) : NULL;
    t->whole = HG_NEW(&t->mem, _Atomic uint8_t, p->n);
    if (p->token == NULL || flags == NULL || t->whole == NULL ||
        (from->score != NULL && score == NULL))
        return no_room(e);
    if (from->flags != NULL) memcpy(flags, from->flags, p->n);
    if (score != NULL) memcpy(score, from->score, p->n * sizeof score[0]);
    p->flags = flags;
    p->score = score;
    return copy_steps(t, from, e);
}

static hg_status check_ids(const hg_tokenizer *t, hg_err *e)
{
    const hg_token_parts *p = &t->parts;
    if (p->bos >= (int32_t)p->n || p->eos >= (int32_t)p->n)
        return hg_fail(e, HG_E_FORMAT,
                       "tokenizer: the token put around a text has id %d, but the "
                       "vocabulary ends at %zu",
                       p->bos > p->eos ? p->bos : p->eos, p->n - 1);
    if (p->unk >= (int32_t)p->n)
        return hg_fail(e, HG_E_FORMAT,
                       "tokenizer: the unknown token has id %d, but the vocabulary ends at %zu",
                       p->unk, p->n - 1);
    for (size_t i = 0; i < p->n; i++)
        if ((p->flags[i] & HG_TOKEN_ADDED) != 0 && p->token[i].n == 0)
            return hg_fail(e, HG_E_FORMAT, "tokenizer: added token %zu is empty", i);
    return HG_OK;
}

/* True when broken UTF-8 may go through everything that stands before merging. */
static bool takes_broken(const hg_token_parts *p)
{
    if (p->n_normal > 0 && p->normal[0].kind == HG_NORMAL_CHARSMAP) return true; /* mends it */
    for (size_t i = 0; i < p->n_normal; i++)
        if (p->normal[i].kind != HG_NORMAL_PREPEND &&
            (p->normal[i].kind != HG_NORMAL_REPLACE || p->normal[i].is_pattern))
            return false;
    return p->raw_bytes && p->is_text && p->n_splits == 0;
}

static hg_status build(hg_tokenizer *t, const hg_token_parts *parts, hg_err *e)
{
    HG_TRY(copy_parts(t, parts, e));
    HG_TRY(check_ids(t, e));
    t->takes_broken = takes_broken(&t->parts);
    HG_TRY(hg_tables_build(t, parts->merge, e));
    HG_TRY(hg_added_build(t, e));
    HG_TRY(hg_normaliser_new(&t->normaliser, t->parts.normal, t->parts.n_normal, e));
    return hg_splitter_new(&t->splitter, t->parts.split, t->parts.n_splits, false, e);
}

void hg_token_parts_init(hg_token_parts *parts)
{
    *parts = (hg_token_parts){.unk = -1, .bos = -1, .eos = -1};
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
    hg_normaliser_free(t->normaliser);
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

int32_t hg_tokenizer_find(const hg_tokenizer *t, hg_bytes bytes)
{
    return bytes.n > 0 ? hg_token_find(t, bytes.p, bytes.n) : -1;
}

bool hg_tokenizer_can_cut(const hg_tokenizer *t)
{
    return t->can_cut;
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
    return t->shown[id];
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

bool hg_tokenizer_drops_space(const hg_tokenizer *t)
{
    return t->parts.drop_space;
}

int32_t hg_tokenizer_bos(const hg_tokenizer *t)
{
    return t->parts.bos;
}

int32_t hg_tokenizer_eos(const hg_tokenizer *t)
{
    return t->parts.eos;
}
