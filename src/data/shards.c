/* The last step of `collect`: lines are compressed as they come and the SHA-256 of each file is
 * taken from the very bytes that are written, so that the card can vouch for them. Every shard is a
 * whole zstd frame: `zstdcat shard-*.zst` is the corpus. */
#include "data/shards.h"
#include "base/file.h"
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <zstd.h>

enum { LEVEL = 6, MAX_SHARDS = 100000 };

struct hg_shards {
    char *folder;
    uint64_t limit;
    ZSTD_CCtx *zstd;
    FILE *file;
    unsigned char *out; /* [out_size] */
    size_t out_size;
    crypto_hash_sha256_state sha;
    hg_shard *list;
    size_t n, cap;
};

hg_status hg_shards_open(hg_shards **out, const char *folder, uint64_t limit, hg_err *e)
{
    *out = NULL;
    hg_shards *s = hg_alloc(1, sizeof *s);
    if (s == NULL) return hg_fail(e, HG_E_NOMEM, "no room to write shards");
    s->limit = limit;
    s->folder = hg_strdup(folder);
    s->out_size = ZSTD_CStreamOutSize();
    s->out = hg_alloc(s->out_size, 1);
    s->zstd = ZSTD_createCCtx();
    if (s->folder == NULL || s->out == NULL || s->zstd == NULL) {
        hg_shards_free(s);
        return hg_fail(e, HG_E_NOMEM, "no room to write shards");
    }
    (void)ZSTD_CCtx_setParameter(s->zstd, ZSTD_c_compressionLevel, LEVEL);
    (void)ZSTD_CCtx_setParameter(s->zstd, ZSTD_c_checksumFlag, 1);
    *out = s;
    return HG_OK;
}

void hg_shards_free(hg_shards *s)
{
    if (s == NULL) return;
    if (s->file != NULL) (void)fclose(s->file);
    (void)ZSTD_freeCCtx(s->zstd);
    hg_free(s->out);
    hg_free(s->list);
    hg_free(s->folder);
    hg_free(s);
}

static hg_status not_written(const hg_shards *s, hg_err *e)
{
    return hg_fail(e, HG_E_IO, "cannot write %s/%s: %s", s->folder, s->list[s->n - 1].name,
                   hg_os_error());
}

static hg_status begin(hg_shards *s, hg_err *e)
{
    if (s->n >= MAX_SHARDS)
        return hg_fail(e, HG_E_LIMIT, "more than %d shards; give a larger shard size", MAX_SHARDS);
    HG_TRY(hg_grow(&s->list, &s->cap, s->n, sizeof *s->list, e));
    hg_shard *d = &s->list[s->n];
    *d = (hg_shard){0};
    (void)snprintf(d->name, sizeof d->name, "shard-%05u.jsonl.zst", (unsigned)s->n);
    char *path = hg_path_join(s->folder, d->name);
    if (path == NULL) return hg_fail(e, HG_E_NOMEM, "no room for a path");
    s->n++;
    s->file = fopen(path, "wbxe");
    hg_free(path);
    if (s->file == NULL) return not_written(s, e);
    (void)crypto_hash_sha256_init(&s->sha);
    return HG_OK;
}

static hg_status compress(hg_shards *s, hg_bytes in, ZSTD_EndDirective how, hg_err *e)
{
    ZSTD_inBuffer from = {in.p, in.n, 0};
    hg_shard *d = &s->list[s->n - 1];
    for (;;) {
        ZSTD_outBuffer to = {s->out, s->out_size, 0};
        size_t left = ZSTD_compressStream2(s->zstd, &to, &from, how);
        if (ZSTD_isError(left))
            return hg_fail(e, HG_E_NOMEM, "cannot compress: %s", ZSTD_getErrorName(left));
        (void)crypto_hash_sha256_update(&s->sha, s->out, to.pos);
        d->bytes += to.pos;
        if (fwrite(s->out, 1, to.pos, s->file) != to.pos) return not_written(s, e);
        if (how == ZSTD_e_end ? left == 0 : from.pos == from.size) return HG_OK;
    }
}

static hg_status end(hg_shards *s, hg_err *e)
{
    unsigned char sha[crypto_hash_sha256_BYTES];
    HG_TRY(compress(s, (hg_bytes){"", 0}, ZSTD_e_end, e));
    FILE *f = s->file;
    s->file = NULL;
    if (fclose(f) != 0) return not_written(s, e);
    (void)crypto_hash_sha256_final(&s->sha, sha);
    (void)sodium_bin2hex(s->list[s->n - 1].sha256, 65, sha, sizeof sha);
    return HG_OK;
}

hg_status hg_shards_put(hg_shards *s, hg_bytes line, hg_err *e)
{
    if (s->file == NULL) HG_TRY(begin(s, e));
    HG_TRY(compress(s, line, ZSTD_e_continue, e));
    s->list[s->n - 1].n_documents++;
    return s->list[s->n - 1].bytes >= s->limit ? end(s, e) : HG_OK;
}

hg_status hg_shards_finish(hg_shards *s, hg_err *e)
{
    return s->file != NULL ? end(s, e) : HG_OK;
}

const hg_shard *hg_shards_list(const hg_shards *s, size_t *n)
{
    *n = s->n;
    return s->list;
}
