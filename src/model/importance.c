/* Reading importance files: what llama.cpp's imatrix tool and higgins importance write, a GGUF with
 * a tensor of sums and one of counts for each matrix; and that tool's older format, a list of names
 * and values. */
#include "model/importance.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char SUMS[] = ".in_sum2", COUNTS[] = ".counts";

/* An entry with room for n values. */
static hg_status add(hg_importance *im, const char *name, size_t n_name, size_t n,
                     hg_important **out, hg_err *e)
{
    HG_TRY(hg_grow(&im->tensor, &im->cap, im->n, sizeof *im->tensor, e));
    hg_important *t = &im->tensor[im->n];
    *t = (hg_important){.name = hg_arena_strndup(&im->mem, name, n_name),
                        .weight = HG_NEW_RAW(&im->mem, float, n),
                        .n = n};
    if (t->name == NULL || t->weight == NULL)
        return hg_fail(e, HG_E_NOMEM, "no room for importance");
    im->n++;
    *out = t;
    return HG_OK;
}

static hg_status check(const hg_important *t, hg_err *e)
{
    for (size_t i = 0; i < t->n; i++)
        if (!isfinite(t->weight[i]) || t->weight[i] < 0)
            return hg_fail(e, HG_E_FORMAT, "%s: value %zu is %g; a mean of squares is needed",
                           t->name, i, (double)t->weight[i]);
    return HG_OK;
}

/* ---- GGUF ---- */

static hg_status from_entries(hg_importance *im, const hg_entry *sums, const hg_entry *counts,
                              size_t n_name, hg_err *e)
{
    size_t n = (size_t)(sums->n_bytes / sizeof(float));
    size_t n_matrices = (size_t)(counts->n_bytes / sizeof(float));
    hg_important *t = NULL;
    if (sums->type != HG_F32 || counts->type != HG_F32 || n % n_matrices != 0)
        return hg_fail(e, HG_E_FORMAT,
                       "%s: %zu sums and %zu counts; float32 and as many sums for each count are "
                       "needed",
                       sums->name, n, n_matrices);
    HG_TRY(add(im, sums->name, n_name, n, &t, e));
    size_t cols = n / n_matrices;
    for (size_t i = 0; i < n; i++) {
        float sum, count;
        memcpy(&sum, sums->p + i * sizeof sum, sizeof sum);
        memcpy(&count, counts->p + i / cols * sizeof count, sizeof count);
        t->weight[i] = count > 0 ? sum / count : 0; /* an expert that no token came to */
    }
    return check(t, e);
}

static hg_status from_store(hg_importance *im, const hg_store *s, hg_err *e)
{
    char counts[HG_MAX_NAME + sizeof COUNTS];
    for (size_t i = 0; i < s->n; i++) {
        const char *name = s->entry[i].name;
        size_t n = strlen(name), k = sizeof SUMS - 1;
        if (n <= k || strcmp(name + n - k, SUMS) != 0) continue;
        memcpy(counts, name, n - k);
        memcpy(counts + n - k, COUNTS, sizeof COUNTS);
        const hg_entry *c = hg_store_find(s, counts);
        if (c == NULL) return hg_fail(e, HG_E_FORMAT, "tensor %s is missing", counts);
        HG_TRY(from_entries(im, &s->entry[i], c, n - k, e));
    }
    return HG_OK;
}

static hg_status parse_gguf(hg_importance *im, const unsigned char *p, size_t n, const char *path,
                            hg_err *e)
{
    hg_gguf g;
    hg_store store;
    hg_err why = {0};
    hg_store_init(&store);
    hg_status s = hg_gguf_parse(&g, &store, &im->mem, p, n, path, e);
    if (s == HG_OK) {
        s = from_store(im, &store, &why);
        if (s != HG_OK) (void)hg_fail(e, s, "%s: %s", path, why.msg);
    }
    hg_store_free(&store);
    return s;
}

/* ---- the older format ---- */

typedef struct cursor {
    const unsigned char *p, *end;
} cursor;

static hg_status get_u32(cursor *c, const char *what, uint32_t *out, hg_err *e)
{
    if ((size_t)(c->end - c->p) < sizeof *out)
        return hg_fail(e, HG_E_FORMAT, "%s is cut off; it is no importance file", what);
    memcpy(out, c->p, sizeof *out);
    c->p += sizeof *out;
    return HG_OK;
}

/* How many things of `size` bytes follow. */
static hg_status get_count(cursor *c, size_t size, size_t max, const char *what, size_t *out,
                           hg_err *e)
{
    uint32_t v = 0;
    HG_TRY(get_u32(c, what, &v, e));
    if (v == 0 || v > max || v > (size_t)(c->end - c->p) / size)
        return hg_fail(e, HG_E_FORMAT, "%s is %u and %zu bytes follow; it is no importance file",
                       what, v, (size_t)(c->end - c->p));
    *out = v;
    return HG_OK;
}

static hg_status parse_entry(hg_importance *im, cursor *c, hg_err *e)
{
    size_t n_name = 0, n = 0;
    uint32_t calls = 0;
    hg_important *t = NULL;
    HG_TRY(get_count(c, 1, HG_MAX_NAME - 1, "the length of a name", &n_name, e));
    const char *name = (const char *)c->p;
    if (memchr(name, '\0', n_name) != NULL)
        return hg_fail(e, HG_E_FORMAT, "a name with a NUL in it; it is no importance file");
    c->p += n_name;
    HG_TRY(get_u32(c, "a number of calls", &calls, e));
    HG_TRY(get_count(c, sizeof(float), HG_MAX_IMPORTANCE, "the number of values", &n, e));
    HG_TRY(add(im, name, n_name, n, &t, e));
    for (size_t i = 0; i < n; i++, c->p += sizeof(float)) {
        memcpy(&t->weight[i], c->p, sizeof(float));
        t->weight[i] /= calls > 0 ? (float)calls : 1.0f;
    }
    return check(t, e);
}

static hg_status parse_list(hg_importance *im, const unsigned char *p, size_t n, hg_err *e)
{
    cursor c = {p, p + n};
    size_t n_entries = 0;
    HG_TRY(get_count(&c, 13, HG_MAX_STORED, "the number of entries", &n_entries, e));
    for (size_t i = 0; i < n_entries; i++) HG_TRY(parse_entry(im, &c, e));
    return HG_OK; /* the name of the text may follow */
}

/* ---- both ---- */

static int by_name(const void *a, const void *b)
{
    return strcmp(((const hg_important *)a)->name, ((const hg_important *)b)->name);
}

hg_status hg_importance_parse(hg_importance *im, const unsigned char *p, size_t n, const char *path,
                              hg_err *e)
{
    hg_err why = {0};
    memset(im, 0, sizeof *im);
    hg_arena_init(&im->mem, (size_t)1 << 16);
    if (n >= 4 && memcmp(p, "GGUF", 4) == 0) {
        HG_TRY(parse_gguf(im, p, n, path, e));
    } else {
        hg_status s = parse_list(im, p, n, &why);
        if (s != HG_OK) return hg_fail(e, s, "%s: %s", path, why.msg);
    }
    if (im->n == 0)
        return hg_fail(e, HG_E_FORMAT, "%s: holds no importance; higgins importance makes it",
                       path);
    qsort(im->tensor, im->n, sizeof *im->tensor, by_name);
    return HG_OK;
}

hg_status hg_importance_open(hg_importance *im, const char *path, hg_err *e)
{
    hg_map map;
    memset(im, 0, sizeof *im);
    HG_TRY(hg_map_open(&map, path, e));
    hg_status s = map.n > HG_MAX_IMPORTANCE
                      ? hg_fail(e, HG_E_LIMIT, "%s: %zu bytes; %d are the most", path, map.n,
                                HG_MAX_IMPORTANCE)
                      : hg_importance_parse(im, map.p, map.n, path, e);
    hg_map_close(&map);
    return s;
}

void hg_importance_free(hg_importance *im)
{
    hg_free(im->tensor);
    hg_arena_free(&im->mem);
    memset(im, 0, sizeof *im);
}

const hg_important *hg_importance_find(const hg_importance *im, const char *name)
{
    const hg_important key = {.name = name};
    return im->n == 0 ? NULL : bsearch(&key, im->tensor, im->n, sizeof key, by_name);
}
