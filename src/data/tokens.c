/* Token shards: what stands between a corpus and pre-training. The text is encoded once; training
 * then maps the file and reads windows of it in any order, so memory does not grow with the corpus.
 * Document borders and hashes lie behind the ids: the borders keep packed documents apart, the
 * hashes decide which documents are held out. */
#include "data/tokens.h"
#include "base/hash.h"
#include <string.h>

static const char magic[8] = "HGTOKENS";

static uint64_t get_u64(const unsigned char *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static uint32_t get_u32(const unsigned char *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

/* ---- reading ---- */

static hg_status check_starts(const hg_tokens *t, const char *name, hg_err *e)
{
    uint64_t before = 0;
    for (uint64_t d = 0; d <= t->n_docs; d++) {
        uint64_t at = hg_tokens_start(t, d);
        if (at < before || at > t->n_tokens || (d == 0 && at != 0))
            return hg_fail(
                e, HG_E_FORMAT,
                "%s: document %llu starts at token %llu, out of order; make the shard anew", name,
                (unsigned long long)d, (unsigned long long)at);
        before = at;
    }
    if (before != t->n_tokens)
        return hg_fail(e, HG_E_FORMAT,
                       "%s: the documents end at token %llu of %llu; make the shard anew", name,
                       (unsigned long long)before, (unsigned long long)t->n_tokens);
    return HG_OK;
}

static void get_header(hg_tokens *t, const unsigned char *p)
{
    t->id_bytes = get_u32(p + 12);
    t->n_vocab = get_u32(p + 16);
    t->n_tokens = get_u64(p + 24);
    t->n_docs = get_u64(p + 32);
    t->n_bytes = get_u64(p + 40);
    t->vocab_hash = get_u64(p + 48);
    t->corpus_hash = get_u64(p + 56);
    t->content_hash = get_u64(p + 64);
}

hg_status hg_tokens_parse(hg_tokens *t, const unsigned char *p, size_t n, const char *name,
                          hg_err *e)
{
    memset(t, 0, sizeof *t);
    if (n < HG_TOKENS_HEADER || memcmp(p, magic, sizeof magic) != 0)
        return hg_fail(e, HG_E_FORMAT, "%s: not a token shard of Higgins", name);
    if (get_u32(p + 8) != HG_TOKENS_VERSION)
        return hg_fail(e, HG_E_FORMAT,
                       "%s: a token shard of version %u; this program reads version %d", name,
                       get_u32(p + 8), HG_TOKENS_VERSION);
    get_header(t, p);
    if (t->n_vocab == 0 || t->n_vocab > 1u << 24 || t->id_bytes != (t->n_vocab <= 65536 ? 2u : 4u))
        return hg_fail(e, HG_E_FORMAT, "%s: %u bytes an id for a vocabulary of %u", name,
                       t->id_bytes, t->n_vocab);
    /* No count may exceed the file before it is multiplied. */
    if (t->n_tokens > n || t->n_docs > n || t->n_docs > t->n_tokens)
        return hg_fail(e, HG_E_FORMAT,
                       "%s: claims %llu tokens in %zu bytes; it is cut off or damaged", name,
                       (unsigned long long)t->n_tokens, n);
    size_t ids = HG_TOKENS_HEADER + ((size_t)t->n_tokens * t->id_bytes + 7) / 8 * 8;
    size_t need = ids + ((size_t)t->n_docs * 2 + 1) * 8;
    if (need != n)
        return hg_fail(e, HG_E_FORMAT,
                       "%s: %zu bytes long, its header asks for %zu; it is cut off or damaged",
                       name, n, need);
    t->ids = p + HG_TOKENS_HEADER;
    t->starts = p + ids;
    t->hashes = t->starts + ((size_t)t->n_docs + 1) * 8;
    return check_starts(t, name, e);
}

hg_status hg_tokens_open(hg_tokens *out, const char *path, hg_err *e)
{
    hg_map map = {0};
    memset(out, 0, sizeof *out);
    HG_TRY(hg_map_open(&map, path, e));
    hg_status s = hg_tokens_parse(out, map.p, map.n, path, e);
    out->map = map;
    if (s != HG_OK) hg_tokens_close(out);
    return s;
}

void hg_tokens_close(hg_tokens *t)
{
    if (t->map.p != NULL) hg_map_close(&t->map);
    memset(t, 0, sizeof *t);
}

uint64_t hg_tokens_start(const hg_tokens *t, uint64_t doc)
{
    return get_u64(t->starts + doc * 8);
}

uint64_t hg_tokens_hash(const hg_tokens *t, uint64_t doc)
{
    return get_u64(t->hashes + doc * 8);
}

void hg_tokens_read(const hg_tokens *t, uint64_t at, size_t n, int32_t *out)
{
    for (size_t i = 0; i < n; i++) {
        uint16_t id16;
        uint32_t id;
        if (t->id_bytes == 2) {
            memcpy(&id16, t->ids + (at + i) * 2, 2);
            id = id16;
        } else {
            id = get_u32(t->ids + (at + i) * 4);
        }
        out[i] = id < t->n_vocab ? (int32_t)id : 0;
    }
}

/* ---- the vocabulary's fingerprint ---- */

uint64_t hg_tokens_vocab_hash(const hg_tokenizer *t)
{
    uint32_t n = hg_tokenizer_count(t);
    uint64_t h = n;
    for (uint32_t id = 0; id < n; id++) {
        hg_bytes piece = hg_tokenizer_piece(t, (int32_t)id, true);
        h = hg_hash64(piece.p, piece.n, h);
    }
    return h;
}

/* ---- writing ---- */

struct hg_tokens_writer {
    hg_writer *file;
    const hg_tokenizer *tokenizer;
    hg_ids ids;
    uint16_t *narrow;
    size_t narrow_cap;
    uint64_t *starts, *hashes; /* [n_docs], kept until the end */
    size_t starts_cap, hashes_cap;
    hg_tokens t; /* the header's numbers, growing */
    int32_t end_id;
};

static hg_status put_header(hg_tokens_writer *w, hg_err *e)
{
    unsigned char h[HG_TOKENS_HEADER] = {0};
    const uint32_t version = HG_TOKENS_VERSION;
    memcpy(h, magic, sizeof magic);
    memcpy(h + 8, &version, 4);
    memcpy(h + 12, &w->t.id_bytes, 4);
    memcpy(h + 16, &w->t.n_vocab, 4);
    memcpy(h + 24, &w->t.n_tokens, 8);
    memcpy(h + 32, &w->t.n_docs, 8);
    memcpy(h + 40, &w->t.n_bytes, 8);
    memcpy(h + 48, &w->t.vocab_hash, 8);
    memcpy(h + 56, &w->t.corpus_hash, 8);
    memcpy(h + 64, &w->t.content_hash, 8);
    HG_TRY(hg_writer_seek(w->file, 0, e));
    return hg_writer_put(w->file, h, sizeof h, e);
}

hg_status hg_tokens_create(hg_tokens_writer **out, const char *path, const hg_tokenizer *t,
                           uint64_t corpus_hash, hg_err *e)
{
    *out = NULL;
    hg_tokens_writer *w = hg_alloc(1, sizeof *w);
    if (w == NULL) return hg_fail(e, HG_E_NOMEM, "no room to write %s", path);
    w->tokenizer = t;
    w->t.n_vocab = hg_tokenizer_count(t);
    w->t.id_bytes = w->t.n_vocab <= 65536 ? 2 : 4;
    w->t.vocab_hash = hg_tokens_vocab_hash(t);
    w->t.corpus_hash = corpus_hash;
    w->end_id = hg_tokenizer_special(t, "<|endoftext|>");
    if (w->end_id < 0) w->end_id = hg_chat_end_id(t);
    hg_status s =
        w->end_id < 0
            ? hg_fail(e, HG_E_ARG,
                      "the tokenizer has no <|endoftext|> to end documents with; train one with "
                      "`higgins tokenizer train`")
            : hg_writer_open(&w->file, path, e);
    if (s == HG_OK) s = put_header(w, e);
    if (s != HG_OK)
        hg_tokens_abort(w);
    else
        *out = w;
    return s;
}

static hg_status put_ids(hg_tokens_writer *w, hg_err *e)
{
    const void *bytes = w->ids.id;
    if (w->t.id_bytes == 2) {
        HG_TRY(hg_grow(&w->narrow, &w->narrow_cap, w->ids.n, sizeof *w->narrow, e));
        for (size_t i = 0; i < w->ids.n; i++) w->narrow[i] = (uint16_t)w->ids.id[i];
        bytes = w->narrow;
    }
    size_t n = w->ids.n * w->t.id_bytes;
    w->t.content_hash = hg_hash64(bytes, n, w->t.content_hash);
    w->t.n_tokens += w->ids.n;
    return hg_writer_put(w->file, bytes, n, e);
}

hg_status hg_tokens_put(hg_tokens_writer *w, hg_bytes text, hg_bytes key, hg_err *e)
{
    size_t d = (size_t)w->t.n_docs;
    HG_TRY(hg_grow(&w->starts, &w->starts_cap, d + 1, sizeof *w->starts, e));
    HG_TRY(hg_grow(&w->hashes, &w->hashes_cap, d, sizeof *w->hashes, e));
    w->starts[d] = w->t.n_tokens;
    w->hashes[d] = hg_hash64(key.p, key.n, 0);
    w->ids.n = 0;
    HG_TRY(hg_tokenizer_encode(w->tokenizer, text, false, &w->ids, e));
    HG_TRY(hg_ids_push(&w->ids, w->end_id, e));
    HG_TRY(put_ids(w, e));
    w->t.n_docs++;
    w->t.n_bytes += text.n;
    return HG_OK;
}

static hg_status put_tables(hg_tokens_writer *w, hg_err *e)
{
    static const unsigned char zero[8] = {0};
    size_t n = (size_t)w->t.n_docs, over = (size_t)(w->t.n_tokens * w->t.id_bytes % 8);
    HG_TRY(hg_grow(&w->starts, &w->starts_cap, n, sizeof *w->starts, e));
    w->starts[n] = w->t.n_tokens;
    if (over > 0) HG_TRY(hg_writer_put(w->file, zero, 8 - over, e));
    HG_TRY(hg_writer_put(w->file, w->starts, (n + 1) * 8, e));
    if (n > 0) HG_TRY(hg_writer_put(w->file, w->hashes, n * 8, e));
    return put_header(w, e);
}

static void free_writer(hg_tokens_writer *w)
{
    hg_ids_free(&w->ids);
    hg_free(w->narrow);
    hg_free(w->starts);
    hg_free(w->hashes);
    hg_free(w);
}

hg_status hg_tokens_commit(hg_tokens_writer *w, hg_err *e)
{
    hg_status s = put_tables(w, e);
    if (s != HG_OK) {
        hg_tokens_abort(w);
        return s;
    }
    s = hg_writer_commit(w->file, e);
    free_writer(w);
    return s;
}

void hg_tokens_abort(hg_tokens_writer *w)
{
    if (w == NULL) return;
    if (w->file != NULL) hg_writer_abort(w->file);
    free_writer(w);
}
