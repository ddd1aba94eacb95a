/* The tensors of a model's files, sorted and summed up: by type, by layer, and those that differ in
 * a number of their name alone as one line. Names are all there is to go by, so that files of
 * models that Higgins cannot run are told about too. */
#include "model/inspect.h"
#include "kernels/quant.h"
#include "text/utf8.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_LAYER = 1000000, MAX_TYPES = 64 };

const char *hg_tensor_use_name(hg_tensor_use u)
{
    static const char *const names[HG_N_USES] = {
        "embedding", "attention", "feed-forward", "experts", "norms", "head", "other"};
    return (unsigned)u < HG_N_USES ? names[u] : "other";
}

/* ---- names ---- */

static bool has(const char *name, const char *part)
{
    return strstr(name, part) != NULL;
}

static hg_tensor_use use_of(const char *name)
{
    /* The first that is found counts: "attn_norm" is a norm, "attention.dense" attention. */
    static const struct {
        const char *part;
        hg_tensor_use use;
    } parts[] = {
        {"norm", HG_USE_NORM},
        {"ln_", HG_USE_NORM},
        {"exp", HG_USE_EXPERTS},
        {"attn", HG_USE_ATTENTION},
        {"attention", HG_USE_ATTENTION},
        {"mlp", HG_USE_FEED_FORWARD},
        {"ffn", HG_USE_FEED_FORWARD},
        {"feed_forward", HG_USE_FEED_FORWARD},
        {"block_sparse_moe", HG_USE_FEED_FORWARD},
        {"embed_out", HG_USE_HEAD},
        {"lm_head", HG_USE_HEAD},
        {"output", HG_USE_HEAD},
        {"emb", HG_USE_EMBEDDING},
        {"wte", HG_USE_EMBEDDING},
        {"wpe", HG_USE_EMBEDDING},
    };
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        if (has(name, parts[i].part)) return parts[i].use;
    return HG_USE_OTHER;
}

/* The end of the run of digits at p when it is a whole part between dots, else p. */
static const char *number_end(const char *name, const char *p)
{
    const char *q = p;
    if (p != name && p[-1] != '.') return p;
    while (*q >= '0' && *q <= '9') q++;
    return *q == '.' || *q == '\0' ? q : p;
}

/* The first number among the parts of a name: "blk.7.attn_q.weight" is of layer 7. */
static int layer_of(const char *name)
{
    for (const char *p = name; *p != '\0'; p++) {
        const char *end = number_end(name, p);
        long v = 0;
        if (end == p) continue;
        while (p < end && v <= MAX_LAYER) v = 10 * v + (*p++ - '0');
        return v <= MAX_LAYER ? (int)v : -1;
    }
    return -1;
}

/* The name with '#' for each number among its parts. */
static const char *pattern_of(hg_arena *mem, const char *name)
{
    char out[HG_MAX_NAME];
    size_t n = 0;
    for (const char *p = name; *p != '\0' && n + 1 < sizeof out;) {
        const char *end = number_end(name, p);
        out[n++] = end > p ? '#' : *p;
        p = end > p ? end : p + 1;
    }
    return hg_arena_strndup(mem, out, n);
}

/* Byte order, but runs of digits as numbers: layer 2 comes before layer 10. */
static int natural(const char *a, const char *b)
{
    while (*a != '\0' && *b != '\0') {
        size_t na = strspn(a, "0123456789"), nb = strspn(b, "0123456789");
        if (na > 0 && nb > 0) {
            if (na != nb) return na < nb ? -1 : 1;
            int d = memcmp(a, b, na);
            if (d != 0) return d;
            a += na;
            b += nb;
        } else {
            if (*a != *b) return (unsigned char)*a < (unsigned char)*b ? -1 : 1;
            a++;
            b++;
        }
    }
    return (*a != '\0') - (*b != '\0');
}

/* A tensor while the list is made. */
typedef struct item {
    hg_tensor_info t;
    const hg_entry *entry;
    const char *pattern;
    size_t place; /* in the finished list */
} item;

static int by_name(const void *a, const void *b)
{
    return natural(((const item *)a)->entry->name, ((const item *)b)->entry->name);
}

/* ---- files and tensors ---- */

static hg_file_info *list_files(hg_inspection *in)
{
    hg_file_info *file = HG_NEW(&in->mem, hg_file_info, in->store.n_files);
    for (size_t i = 0; file != NULL && i < in->store.n_files; i++)
        file[i] = (hg_file_info){.name = hg_path_base(in->store.file[i].path),
                                 .n_bytes = in->store.file[i].map.n};
    in->info.file = file;
    in->info.n_files = in->store.n_files;
    return file;
}

static const char *visible_name(hg_inspection *in, const char *name)
{
    hg_buf b = {0};
    hg_text_visible(&b, (hg_bytes){name, strlen(name)}, false);
    const char *kept = b.failed ? NULL : hg_arena_strndup(&in->mem, b.p, b.n);
    hg_buf_free(&b);
    return kept;
}

static bool describe(hg_inspection *in, const hg_entry *en, hg_file_info *file, item *out)
{
    hg_tensor_info *t = &out->t;
    out->entry = en;
    out->pattern = pattern_of(&in->mem, en->name);
    *t = (hg_tensor_info){.name = visible_name(in, en->name),
                          .type = en->type_name,
                          .n_dims = en->n_dims,
                          .n_values = 1,
                          .n_bytes = en->n_bytes,
                          .layer = layer_of(en->name),
                          .use = use_of(en->name)};
    memcpy(t->dim, en->dim, sizeof t->dim);
    for (int d = 0; d < en->n_dims; d++) t->n_values *= en->dim[d];
    for (size_t i = 0; i < in->store.n_files; i++) {
        const hg_map *map = &in->store.file[i].map;
        if (en->p < map->p || en->p > map->p + map->n) continue;
        t->file = i;
        t->offset = (uint64_t)(en->p - map->p);
    }
    file[t->file].n_tensors++;
    in->info.n_bytes += t->n_bytes;
    in->info.n_params += t->n_values;
    return t->name != NULL && out->pattern != NULL;
}

static bool list_tensors(hg_inspection *in, item *items, hg_file_info *file)
{
    size_t n = in->store.n;
    in->tensor = HG_NEW(&in->mem, hg_tensor_info, n);
    in->entry = HG_NEW(&in->mem, const hg_entry *, n);
    if (in->tensor == NULL || in->entry == NULL) return false;
    for (size_t i = 0; i < n; i++)
        if (!describe(in, &in->store.entry[i], file, &items[i])) return false;
    if (n > 0) qsort(items, n, sizeof *items, by_name);
    for (size_t i = 0; i < n; i++) {
        items[i].place = i;
        in->tensor[i] = items[i].t;
        in->entry[i] = items[i].entry;
    }
    in->info.tensor = in->tensor;
    in->info.n_tensors = n;
    return true;
}

/* ---- sums ---- */

static int by_pattern(const void *a, const void *b)
{
    const item *x = a, *y = b;
    int d = strcmp(x->pattern, y->pattern);
    if (d == 0) d = strcmp(x->t.type, y->t.type);
    if (d == 0) d = x->t.n_dims - y->t.n_dims;
    for (int k = 0; k < x->t.n_dims && d == 0; k++)
        d = (x->t.dim[k] > y->t.dim[k]) - (x->t.dim[k] < y->t.dim[k]);
    return d;
}
static int by_pattern_and_place(const void *a, const void *b)
{
    const item *x = a, *y = b;
    int d = by_pattern(a, b);
    return d != 0 ? d : (x->place > y->place) - (x->place < y->place);
}
static int by_first(const void *a, const void *b)
{
    const hg_tensor_group *x = a, *y = b;
    return (x->first > y->first) - (x->first < y->first);
}

/* Reorders the items. */
static bool sum_groups(hg_inspection *in, item *items)
{
    size_t n = in->info.n_tensors, n_groups = 0;
    hg_tensor_group *group = HG_NEW(&in->mem, hg_tensor_group, n);
    if (group == NULL) return false;
    if (n > 0) qsort(items, n, sizeof *items, by_pattern_and_place);
    for (size_t i = 0; i < n; i++) {
        if (i == 0 || by_pattern(&items[i - 1], &items[i]) != 0)
            group[n_groups++] = (hg_tensor_group){.name = visible_name(in, items[i].pattern),
                                                  .first = items[i].place};
        hg_tensor_group *g = &group[n_groups - 1];
        g->n++;
        g->n_bytes += items[i].t.n_bytes;
        if (g->name == NULL) return false;
    }
    for (size_t i = 0; i < n_groups; i++)
        if (group[i].n == 1) group[i].name = in->tensor[group[i].first].name;
    if (n_groups > 0) qsort(group, n_groups, sizeof *group, by_first);
    in->info.group = group;
    in->info.n_groups = n_groups;
    return true;
}

static int by_bytes(const void *a, const void *b)
{
    const hg_type_info *x = a, *y = b;
    if (x->n_bytes != y->n_bytes) return x->n_bytes > y->n_bytes ? -1 : 1;
    return strcmp(x->type, y->type);
}

static bool sum_types(hg_inspection *in)
{
    hg_type_info *type = HG_NEW(&in->mem, hg_type_info, MAX_TYPES);
    size_t n = 0;
    if (type == NULL) return false;
    for (size_t i = 0; i < in->info.n_tensors; i++) {
        const hg_tensor_info *t = &in->tensor[i];
        size_t k = 0;
        while (k < n && strcmp(type[k].type, t->type) != 0) k++;
        if (k == MAX_TYPES) continue; /* the formats have fewer */
        if (k == n) type[n++].type = t->type;
        type[k].n_tensors++;
        type[k].n_values += t->n_values;
        type[k].n_bytes += t->n_bytes;
    }
    if (n > 0) qsort(type, n, sizeof *type, by_bytes);
    in->info.type = type;
    in->info.n_types = n;
    return true;
}

static int by_layer(const void *a, const void *b)
{
    return ((const item *)a)->t.layer - ((const item *)b)->t.layer;
}

/* Reorders the items. */
static bool sum_layers(hg_inspection *in, item *items)
{
    size_t n = in->info.n_tensors, n_layers = 0;
    hg_layer_info *layer = HG_NEW(&in->mem, hg_layer_info, n);
    if (layer == NULL) return false;
    if (n > 0) qsort(items, n, sizeof *items, by_layer);
    for (size_t i = 0; i < n; i++) {
        const hg_tensor_info *t = &items[i].t;
        if (i == 0 || t->layer != items[i - 1].t.layer)
            layer[n_layers++] = (hg_layer_info){.layer = t->layer};
        hg_layer_info *l = &layer[n_layers - 1];
        l->n_tensors++;
        l->n_bytes += t->n_bytes;
        l->use[t->use] += t->n_bytes;
    }
    in->info.layer = layer;
    in->info.n_layers = n_layers;
    return true;
}

hg_status hg_inspect_tensors(hg_inspection *in, hg_err *e)
{
    hg_file_info *file = list_files(in);
    item *items = hg_alloc(in->store.n, sizeof *items);
    bool all = file != NULL && items != NULL && list_tensors(in, items, file) &&
               sum_groups(in, items) && sum_types(in) && sum_layers(in, items);
    hg_free(items);
    return all ? HG_OK : hg_fail(e, HG_E_NOMEM, "no room to list the tensors of %s", in->path);
}

/* ---- values ---- */

enum { PART = 4096 }; /* values at a time: a multiple of every block */

static void take(hg_values_info *v, const float *x, size_t n, uint64_t at, double *sum,
                 double *squares)
{
    for (size_t i = 0; i < n; i++) {
        if (!isfinite(x[i])) {
            if (v->n_nan + v->n_infinite == 0) v->first_bad = at + i;
            if (isnan(x[i]))
                v->n_nan++;
            else
                v->n_infinite++;
            continue;
        }
        if (x[i] < v->min) v->min = x[i];
        if (x[i] > v->max) v->max = x[i];
        *sum += (double)x[i];
        *squares += (double)x[i] * (double)x[i];
    }
}

static void read_values(const hg_kernels *k, const hg_entry *en, uint64_t n_values,
                        hg_values_info *v)
{
    float x[PART];
    unsigned char raw[PART * sizeof(float)]; /* aligned, as the mapping need not be */
    double sum = 0, squares = 0;
    v->is_read = true;
    v->min = INFINITY;
    v->max = -INFINITY;
    for (uint64_t at = 0; at < n_values; at += PART) {
        size_t n = n_values - at < PART ? (size_t)(n_values - at) : PART;
        memcpy(raw, en->p + hg_type_bytes(en->type, (size_t)at), hg_type_bytes(en->type, n));
        hg_to_f32(k, x, raw, en->type, n);
        take(v, x, n, at, &sum, &squares);
    }
    uint64_t n_good = n_values - v->n_nan - v->n_infinite;
    if (n_good == 0) {
        v->min = v->max = 0;
        return;
    }
    v->mean = sum / (double)n_good;
    v->rms = sqrt(squares / (double)n_good);
}

hg_status hg_inspect_values(hg_inspection *in, const hg_watch *w, hg_err *e)
{
    hg_kernels k;
    uint64_t done = 0;
    hg_kernels_init(&k, hg_isa_detect());
    for (size_t i = 0; i < in->info.n_tensors; i++) {
        hg_tensor_info *t = &in->tensor[i];
        const hg_entry *en = in->entry[i];
        hg_watch_progress(w, &(hg_progress){.stage = "reading",
                                            .unit = "bytes",
                                            .done = (double)done,
                                            .total = (double)in->info.n_bytes});
        if (hg_watch_stopped(w)) return hg_fail(e, HG_E_CANCELED, "stopped");
        if (en->type != HG_N_TYPES && en->type != HG_I32)
            read_values(&k, en, t->n_values, &t->values);
        if (t->values.n_nan + t->values.n_infinite > 0) in->info.n_bad++;
        hg_map_release(en->p, (size_t)en->n_bytes);
        done += t->n_bytes;
    }
    return HG_OK;
}

hg_status hg_model_info_verdict(const hg_model_info *info, hg_err *e)
{
    size_t i = 0;
    char others[64] = "";
    while (i < info->n_tensors &&
           info->tensor[i].values.n_nan + info->tensor[i].values.n_infinite == 0)
        i++;
    if (i == info->n_tensors) return HG_OK;
    const hg_tensor_info *t = &info->tensor[i];
    const hg_values_info *v = &t->values;
    if (info->n_bad > 1)
        (void)snprintf(others, sizeof others, "; so are values of %zu other tensors",
                       info->n_bad - 1);
    return hg_fail(e, HG_E_FORMAT,
                   "%s: tensor %s: %llu of its %llu values are NaN and %llu infinite, the first is "
                   "value %llu%s; weights are finite numbers",
                   info->file[t->file].name, t->name, (unsigned long long)v->n_nan,
                   (unsigned long long)t->n_values, (unsigned long long)v->n_infinite,
                   (unsigned long long)v->first_bad, others);
}
