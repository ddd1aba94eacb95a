/* Timelines as files: a conversation that goes on tomorrow, or a long text that is read once.
 *
 *   char [8]   "HGSESSN\1", the last byte being the version
 *   uint64     hash of all that follows
 *   uint64     fingerprint of the model with the adapters in use
 *   uint32     type of the cache, layers, key heads, values of a head, positions n, ids m >= n
 *   int32 [m]  ids; those behind the n-th were chosen and not yet run
 *   for each layer the tiles that n positions have entered (kernels/kv.h), keys and values
 *
 * Little-endian. Tiles are the same for every instruction set, so that a file may go to another
 * machine; it is of use to the same weights only, and the fingerprint says whether they are. */
#include "infer/cache.h"
#include "infer/step.h"
#include "base/file.h"
#include "base/hash.h"

#include <string.h>

enum {
    N_MAGIC = 8,
    N_FIELDS = 6,
    N_SHAPE = 4,
    MAX_AHEAD = 64,
    HEADER = N_MAGIC + 8 + 8 + 4 * N_FIELDS
};

static const char MAGIC[N_MAGIC] = {'H', 'G', 'S', 'E', 'S', 'S', 'N', 1};

static void put_u64(unsigned char *to, uint64_t v)
{
    for (size_t i = 0; i < 8; i++) to[i] = (unsigned char)(v >> (8 * i));
}

static uint64_t get_uint(const unsigned char *p, size_t n)
{
    uint64_t v = 0;
    for (size_t i = 0; i < n; i++) v |= (uint64_t)p[i] << (8 * i);
    return v;
}

/* Of the shape, the types, some rows of the embedding and the last norm: weights that differ
 * anywhere differ there, unless only a few layers were changed by hand. */
static hg_status fingerprint(const hg_model *m, uint64_t *out, hg_err *e)
{
    const hg_model_config *c = &m->c;
    const uint32_t shape[] = {c->n_layers,
                              c->d_model,
                              c->n_heads,
                              c->n_kv_heads,
                              c->d_head,
                              c->d_ff,
                              c->n_vocab,
                              (uint32_t)m->embed->type,
                              (uint32_t)m->layer[0].q->type};
    float *row = hg_alloc(c->d_model, sizeof *row);
    if (row == NULL) return hg_fail(e, HG_E_NOMEM, "no room for a fingerprint");
    uint64_t h = hg_hash64(shape, sizeof shape, 0);
    for (uint32_t i = 0; i < 16; i++) {
        hg_model_row(m, m->embed, (size_t)((uint64_t)i * (c->n_vocab - 1) / 15), row);
        h = hg_hash64(row, c->d_model * sizeof *row, h);
    }
    hg_free(row);
    *out = hg_hash64(m->final_norm->data, c->d_model * sizeof(float), h);
    return HG_OK;
}

/* Bytes of a layer's tiles that n positions have entered; a ring keeps its own number. */
static size_t tiles_bytes(const hg_cache *c, size_t layer, size_t n)
{
    const size_t tiles = (n + HG_KV_TILE - 1) / HG_KV_TILE, kept = c->layer[layer].n_tiles;
    return (tiles < kept ? tiles : kept) * c->shape.tile_bytes;
}

static uint64_t body_bytes(const hg_cache *c, size_t n, size_t n_ids)
{
    uint64_t all = n_ids * sizeof(int32_t);
    for (size_t l = 0; l < c->n_layers; l++) all += tiles_bytes(c, l, n);
    return all;
}

static void put_header(const hg_cache *c, const hg_bytes *ahead, uint64_t print,
                       unsigned char out[HEADER])
{
    const uint64_t fields[N_FIELDS] = {
        (uint64_t)c->type, c->n_layers, c->shape.n_heads,
        c->shape.d,        c->n,        c->n + ahead->n / sizeof(int32_t)};
    memcpy(out, MAGIC, N_MAGIC);
    put_u64(out + N_MAGIC + 8, print);
    for (size_t i = 0; i < N_FIELDS; i++)
        for (size_t b = 0; b < 4; b++)
            out[N_MAGIC + 16 + 4 * i + b] = (unsigned char)(fields[i] >> (8 * b));
    uint64_t h = hg_hash64(out + N_MAGIC + 8, HEADER - N_MAGIC - 8, 0);
    h = hg_hash64(c->ids, c->n * sizeof(int32_t), h);
    h = hg_hash64(ahead->p, ahead->n, h);
    for (size_t l = 0; l < c->n_layers; l++)
        h = hg_hash64(c->layer[l].tiles, tiles_bytes(c, l, c->n), h);
    put_u64(out + N_MAGIC, h);
}

hg_status hg_cache_save(const hg_cache *c, const hg_model *m, const int32_t *ahead, size_t n_ahead,
                        const char *path, hg_err *e)
{
    const hg_bytes behind = {(const char *)ahead, n_ahead * sizeof *ahead};
    unsigned char header[HEADER];
    uint64_t print = 0;
    hg_writer *w = NULL;
    HG_TRY(fingerprint(m, &print, e));
    print ^= c->adapters;
    put_header(c, &behind, print, header);
    HG_TRY(hg_writer_open(&w, path, e));
    hg_status status = hg_writer_put(w, header, HEADER, e);
    if (status == HG_OK) status = hg_writer_put(w, c->ids, c->n * sizeof(int32_t), e);
    if (status == HG_OK) status = hg_writer_put(w, behind.p, behind.n, e);
    for (size_t l = 0; status == HG_OK && l < c->n_layers; l++)
        status = hg_writer_put(w, c->layer[l].tiles, tiles_bytes(c, l, c->n), e);
    if (status == HG_OK) return hg_writer_commit(w, e);
    hg_writer_abort(w);
    return status;
}

static const unsigned char *bytes_of(const hg_bytes *f)
{
    return (const unsigned char *)f->p;
}

/* What the header says against what this cache is; *n gets the positions and *n_ids the ids. */
static hg_status check_header(const hg_cache *c, const hg_model *m, const hg_bytes *f, size_t *n,
                              size_t *n_ids, hg_err *e)
{
    static const char *const names[N_SHAPE] = {"type of cache", "number of layers",
                                               "number of key heads", "width of a head"};
    const uint64_t ours[N_SHAPE] = {(uint64_t)c->type, c->n_layers, c->shape.n_heads, c->shape.d};
    const unsigned char *fields = bytes_of(f) + N_MAGIC + 16;
    uint64_t print = 0;
    if (f->n < HEADER || memcmp(bytes_of(f), MAGIC, N_MAGIC - 1) != 0)
        return hg_fail(e, HG_E_FORMAT, "no saved session");
    if (bytes_of(f)[N_MAGIC - 1] != MAGIC[N_MAGIC - 1])
        return hg_fail(e, HG_E_FORMAT, "a session of version %u; this program reads %u",
                       bytes_of(f)[N_MAGIC - 1], MAGIC[N_MAGIC - 1]);
    for (size_t i = 0; i < N_SHAPE; i++)
        if (get_uint(fields + 4 * i, 4) != ours[i])
            return hg_fail(e, HG_E_FORMAT, "saved with another %s; open it as it was saved",
                           names[i]);
    HG_TRY(fingerprint(m, &print, e));
    if (get_uint(bytes_of(f) + N_MAGIC + 8, 8) != (print ^ c->adapters))
        return hg_fail(e, HG_E_FORMAT, "saved from another model or with other adapters");
    *n = (size_t)get_uint(fields + 4 * N_SHAPE, 4);
    *n_ids = (size_t)get_uint(fields + 4 * (N_SHAPE + 1), 4);
    if (*n > c->n_ctx)
        return hg_fail(e, HG_E_LIMIT, "holds %zu tokens; there is room for %zu", *n, c->n_ctx);
    if (*n_ids < *n || *n_ids - *n > MAX_AHEAD)
        return hg_fail(e, HG_E_FORMAT, "damaged: %zu ids for %zu positions", *n_ids, *n);
    if (f->n - HEADER != body_bytes(c, *n, *n_ids))
        return hg_fail(e, HG_E_FORMAT, "damaged: %zu bytes where %zu tokens take %llu", f->n, *n,
                       (unsigned long long)(HEADER + body_bytes(c, *n, *n_ids)));
    return HG_OK;
}

/* The hash of put_header, over the file. Its pieces are the same, for a hash depends on them. */
static hg_status check_hash(const hg_cache *c, const hg_bytes *f, size_t n, size_t n_ids, hg_err *e)
{
    const unsigned char *p = bytes_of(f) + HEADER;
    uint64_t h = hg_hash64(bytes_of(f) + N_MAGIC + 8, HEADER - N_MAGIC - 8, 0);
    h = hg_hash64(p, n * sizeof(int32_t), h);
    p += n * sizeof(int32_t);
    h = hg_hash64(p, (n_ids - n) * sizeof(int32_t), h);
    p += (n_ids - n) * sizeof(int32_t);
    for (size_t l = 0; l < c->n_layers; l++) {
        h = hg_hash64(p, tiles_bytes(c, l, n), h);
        p += tiles_bytes(c, l, n);
    }
    if (h == get_uint(bytes_of(f) + N_MAGIC, 8)) return HG_OK;
    return hg_fail(e, HG_E_FORMAT, "damaged: its hash differs");
}

hg_status hg_cache_parse(hg_cache *c, const hg_model *m, hg_bytes f, bool is_hashed, hg_ids *ids,
                         hg_err *e)
{
    size_t n = 0, n_ids = 0;
    hg_cache_rewind(c, 0);
    HG_TRY(check_header(c, m, &f, &n, &n_ids, e));
    if (is_hashed) HG_TRY(check_hash(c, &f, n, n_ids, e));
    const unsigned char *p = bytes_of(&f) + HEADER;
    for (size_t i = 0; i < n_ids; i++, p += sizeof(int32_t)) {
        const int32_t id = (int32_t)(uint32_t)get_uint(p, 4);
        HG_TRY(hg_check_ids(m, &id, 1, e));
        if (i < n) c->ids[i] = id;
        if (ids != NULL) HG_TRY(hg_ids_push(ids, id, e));
    }
    for (size_t l = 0; l < c->n_layers; l++) {
        memcpy(c->layer[l].tiles, p, tiles_bytes(c, l, n));
        p += tiles_bytes(c, l, n);
    }
    c->n = n;
    return HG_OK;
}

hg_status hg_cache_load(hg_cache *c, const hg_model *m, const char *path, hg_ids *ids, hg_err *e)
{
    hg_map f;
    hg_err why = {0};
    hg_cache_rewind(c, 0);
    if (!hg_path_exists(path)) return hg_fail(e, HG_E_MISSING, "%s: no such file", path);
    HG_TRY(hg_map_open(&f, path, e));
    hg_status status = hg_cache_parse(c, m, (hg_bytes){(const char *)f.p, f.n}, true, ids, &why);
    hg_map_close(&f);
    return status == HG_OK ? HG_OK : hg_fail(e, status, "%s: %s", path, why.msg);
}
