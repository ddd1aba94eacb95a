/* Timelines as files: a conversation that goes on tomorrow, or a long text that is read once.
 *
 *   char [8]   "HGSESSN\2", the last byte being the version
 *   uint64     hash of all that follows
 *   uint64     fingerprint of the model with the adapters in use
 *   uint32     type of the cache, layers, key heads, values of a head, positions n, ids m >= n, the
 *              first tile of layers with a window
 *   int32 [m]  ids; those behind the n-th were chosen and not yet run
 *   for each layer the tiles (kernels/kv.h), keys and values, that n positions have entered; of a
 *   layer with a window from that first one on, which the next position looks at or one that is
 *   HG_CACHE_SPARE before it
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
    N_FIELDS = 7,
    N_SHAPE = 4,
    MAX_AHEAD = 64,
    HEADER = N_MAGIC + 8 + 8 + 4 * N_FIELDS
};

static const char MAGIC[N_MAGIC] = {'H', 'G', 'S', 'E', 'S', 'S', 'N', 2};

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

/* Of a layer's tiles that the file has: `first` is that of layers with a window. */
static size_t from_tile(const hg_cache *c, size_t layer, size_t first)
{
    return c->m->layer[layer].window > 0 ? first : 0;
}

static uint64_t body_bytes(const hg_cache *c, size_t n, size_t n_ids, size_t first)
{
    uint64_t all = n_ids * sizeof(int32_t);
    for (size_t l = 0; l < c->n_layers; l++)
        all += (hg_cache_tiles(n) - from_tile(c, l, first)) * c->shape.tile_bytes;
    return all;
}

/* What a file of n positions may begin with in layers with a window: [*low, *high]. */
static void first_tiles(const hg_cache *c, size_t n, size_t *low, size_t *high)
{
    *low = *high = 0;
    for (size_t l = 0; l < c->n_layers; l++) {
        if (c->m->layer[l].window == 0) continue;
        *low = hg_cache_needs(c, l, n > HG_CACHE_SPARE ? n - HG_CACHE_SPARE : 0);
        *high = hg_cache_needs(c, l, n);
    }
}

static size_t first_saved(const hg_cache *c)
{
    size_t low, high;
    first_tiles(c, c->n, &low, &high);
    return low > c->first_tile ? low : c->first_tile;
}

static void put_header(const hg_cache *c, const hg_bytes *ahead, uint64_t print,
                       unsigned char out[HEADER])
{
    const uint64_t fields[N_FIELDS] = {
        (uint64_t)c->type, c->n_layers, c->shape.n_heads,
        c->shape.d,        c->n,        c->n + ahead->n / sizeof(int32_t),
        first_saved(c)};
    memcpy(out, MAGIC, N_MAGIC);
    put_u64(out + N_MAGIC + 8, print);
    for (size_t i = 0; i < N_FIELDS; i++)
        for (size_t b = 0; b < 4; b++)
            out[N_MAGIC + 16 + 4 * i + b] = (unsigned char)(fields[i] >> (8 * b));
    uint64_t h = hg_hash64(out + N_MAGIC + 8, HEADER - N_MAGIC - 8, 0);
    h = hg_hash64(c->ids, c->n * sizeof(int32_t), h);
    h = hg_hash64(ahead->p, ahead->n, h);
    for (size_t l = 0; l < c->n_layers; l++)
        for (size_t t = from_tile(c, l, first_saved(c)); t < hg_cache_tiles(c->n); t++)
            h = hg_hash64(hg_cache_tile(c, l, t), c->shape.tile_bytes, h);
    put_u64(out + N_MAGIC, h);
}

hg_status hg_cache_save(const hg_cache *c, const hg_model *m, const int32_t *ahead, size_t n_ahead,
                        const char *path, hg_err *e)
{
    const size_t first = first_saved(c);
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
    for (size_t l = 0; l < c->n_layers; l++)
        for (size_t t = from_tile(c, l, first); status == HG_OK && t < hg_cache_tiles(c->n); t++)
            status = hg_writer_put(w, hg_cache_tile(c, l, t), c->shape.tile_bytes, e);
    if (status == HG_OK) return hg_writer_commit(w, e);
    hg_writer_abort(w);
    return status;
}

static const unsigned char *bytes_of(const hg_bytes *f)
{
    return (const unsigned char *)f->p;
}

/* What a header says of its file. */
typedef struct header {
    size_t n, n_ids; /* positions, ids */
    size_t first;    /* tile of layers with a window */
} header;

/* The lengths against this cache and the file's size. */
static hg_status check_lengths(const hg_cache *c, const header *h, const hg_bytes *f, hg_err *e)
{
    size_t low, high;
    if (h->n > c->n_ctx)
        return hg_fail(e, HG_E_LIMIT, "holds %zu tokens; there is room for %zu", h->n, c->n_ctx);
    if (h->n_ids < h->n || h->n_ids - h->n > MAX_AHEAD)
        return hg_fail(e, HG_E_FORMAT, "damaged: %zu ids for %zu positions", h->n_ids, h->n);
    first_tiles(c, h->n, &low, &high);
    if (h->first < low || h->first > high)
        return hg_fail(e, HG_E_FORMAT,
                       "damaged: its windows begin with tile %zu; %zu to %zu can be", h->first, low,
                       high);
    const uint64_t whole = HEADER + body_bytes(c, h->n, h->n_ids, h->first);
    if (f->n == whole) return HG_OK;
    return hg_fail(e, HG_E_FORMAT, "damaged: %zu bytes where %zu tokens take %llu", f->n, h->n,
                   (unsigned long long)whole);
}

/* What the header says against what this cache is. */
static hg_status check_header(const hg_cache *c, const hg_model *m, const hg_bytes *f, header *out,
                              hg_err *e)
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
    out->n = (size_t)get_uint(fields + 4 * N_SHAPE, 4);
    out->n_ids = (size_t)get_uint(fields + 4 * (N_SHAPE + 1), 4);
    out->first = (size_t)get_uint(fields + 4 * (N_SHAPE + 2), 4);
    return check_lengths(c, out, f, e);
}

/* The hash of put_header, over the file. Its pieces are the same, for a hash depends on them. */
static hg_status check_hash(const hg_cache *c, const hg_bytes *f, const header *head, hg_err *e)
{
    const size_t n = head->n, n_ids = head->n_ids;
    const unsigned char *p = bytes_of(f) + HEADER;
    uint64_t h = hg_hash64(bytes_of(f) + N_MAGIC + 8, HEADER - N_MAGIC - 8, 0);
    h = hg_hash64(p, n * sizeof(int32_t), h);
    p += n * sizeof(int32_t);
    h = hg_hash64(p, (n_ids - n) * sizeof(int32_t), h);
    p += (n_ids - n) * sizeof(int32_t);
    for (; p < bytes_of(f) + f->n; p += c->shape.tile_bytes)
        h = hg_hash64(p, c->shape.tile_bytes, h);
    if (h == get_uint(bytes_of(f) + N_MAGIC, 8)) return HG_OK;
    return hg_fail(e, HG_E_FORMAT, "damaged: its hash differs");
}

hg_status hg_cache_parse(hg_cache *c, const hg_model *m, hg_bytes f, bool is_hashed, hg_ids *ids,
                         hg_err *e)
{
    header h = {0};
    (void)hg_cache_rewind(c, 0);
    HG_TRY(check_header(c, m, &f, &h, e));
    if (is_hashed) HG_TRY(check_hash(c, &f, &h, e));
    const unsigned char *p = bytes_of(&f) + HEADER;
    for (size_t i = 0; i < h.n_ids; i++, p += sizeof(int32_t)) {
        const int32_t id = (int32_t)(uint32_t)get_uint(p, 4);
        HG_TRY(hg_check_ids(m, &id, 1, e));
        if (i < h.n) c->ids[i] = id;
        if (ids != NULL) HG_TRY(hg_ids_push(ids, id, e));
    }
    for (size_t l = 0; l < c->n_layers; l++)
        for (size_t t = from_tile(c, l, h.first); t < hg_cache_tiles(h.n); t++) {
            memcpy(hg_cache_tile(c, l, t), p, c->shape.tile_bytes);
            p += c->shape.tile_bytes;
        }
    c->first_tile = h.first;
    if (c->peak < hg_cache_tiles(h.n)) c->peak = hg_cache_tiles(h.n);
    c->n = h.n;
    return HG_OK;
}

hg_status hg_cache_load(hg_cache *c, const hg_model *m, const char *path, hg_ids *ids, hg_err *e)
{
    hg_map f;
    hg_err why = {0};
    (void)hg_cache_rewind(c, 0);
    if (!hg_path_exists(path)) return hg_fail(e, HG_E_MISSING, "%s: no such file", path);
    HG_TRY(hg_map_open(&f, path, e));
    hg_status status = hg_cache_parse(c, m, (hg_bytes){(const char *)f.p, f.n}, true, ids, &why);
    hg_map_close(&f);
    return status == HG_OK ? HG_OK : hg_fail(e, status, "%s: %s", path, why.msg);
}
