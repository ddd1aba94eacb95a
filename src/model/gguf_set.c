/* A GGUF as one file or as a set of them, name-00001-of-00003.gguf and so on: the first carries the
 * metadata, each its own tensors. */
#include "model/inner.h"
#include <stdio.h>
#include <string.h>

typedef struct part {
    uint64_t no, count, n_tensors; /* of the set, as the file says */
} part;

static hg_status read_part(const hg_gguf *g, const char *path, part *p, hg_err *e)
{
    hg_err why = {0};
    *p = (part){0, 1, 0};
    hg_status s = hg_gguf_uint(g, "split.count", HG_MAX_SHARDS, &p->count, &why);
    if (s == HG_OK) s = hg_gguf_uint(g, "split.no", HG_MAX_SHARDS, &p->no, &why);
    if (s == HG_OK) s = hg_gguf_uint(g, "split.tensors.count", HG_MAX_STORED, &p->n_tensors, &why);
    return s == HG_OK ? HG_OK : hg_fail(e, s, "%s: %s", path, why.msg);
}

/* Part i of the set that `first` begins, into `out`; false when the name does not say so. */
static bool name_part(hg_buf *out, const char *first, size_t i, size_t count)
{
    char end[40];
    size_t n = strlen(first);
    (void)snprintf(end, sizeof end, "-00001-of-%05zu.gguf", count);
    if (n < strlen(end) || strcmp(first + n - strlen(end), end) != 0) return false;
    hg_buf_clear(out);
    hg_buf_put(out, first, n - strlen(end));
    hg_buf_printf(out, "-%05zu-of-%05zu.gguf", i + 1, count);
    return true;
}

static hg_status open_part(hg_gguf *g, hg_store *s, hg_arena *mem, const char *path, hg_err *e)
{
    hg_map map;
    HG_TRY(hg_store_map(s, path, &map, e));
    return hg_gguf_parse(g, s, mem, map.p, map.n, path, e);
}

static hg_status open_next(hg_store *s, hg_arena *mem, const char *path, size_t i, size_t count,
                           hg_err *e)
{
    hg_gguf g;
    part p;
    if (!hg_path_exists(path))
        return hg_fail(e, HG_E_MISSING, "%s: part %zu of a model in %zu files is missing", path,
                       i + 1, count);
    HG_TRY(open_part(&g, s, mem, path, e));
    HG_TRY(read_part(&g, path, &p, e));
    if (p.no == i && p.count == count) return HG_OK;
    return hg_fail(e, HG_E_FORMAT, "%s: says it is part %llu of %llu; part %zu of %zu is needed",
                   path, (unsigned long long)p.no + 1, (unsigned long long)p.count, i + 1, count);
}

hg_status hg_gguf_open(hg_gguf *g, hg_store *s, hg_arena *mem, const char *path, hg_err *e)
{
    part p;
    hg_buf name = {0};
    HG_TRY(open_part(g, s, mem, path, e));
    HG_TRY(read_part(g, path, &p, e));
    if (p.count <= 1) return HG_OK;
    if (p.no != 0)
        return hg_fail(e, HG_E_ARG, "%s: part %llu of a model in %llu files; open the first", path,
                       (unsigned long long)p.no + 1, (unsigned long long)p.count);
    hg_status st = HG_OK;
    for (size_t i = 1; i < p.count && st == HG_OK; i++) {
        if (!name_part(&name, path, i, (size_t)p.count))
            st = hg_fail(e, HG_E_FORMAT,
                         "%s: the first of %llu files; its name must end in "
                         "-00001-of-%05llu.gguf",
                         path, (unsigned long long)p.count, (unsigned long long)p.count);
        if (st == HG_OK) st = hg_buf_status(&name, e);
        if (st == HG_OK) st = open_next(s, mem, name.p, i, (size_t)p.count, e);
    }
    hg_buf_free(&name);
    if (st == HG_OK && p.n_tensors != s->n)
        st = hg_fail(e, HG_E_FORMAT, "%s: its files hold %zu tensors; it says %llu", path, s->n,
                     (unsigned long long)p.n_tensors);
    return st;
}
