/* GGUF, the file of llama.cpp: metadata (typed key-value pairs), the list of tensors, their values.
 * This file reads the container of versions 2 and 3; what the metadata means is read in
 * gguf_model.c.  https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
 *
 * The bytes are anybody's: they are walked with a cursor that knows the end, and every count is
 * held against what could still follow it before it is used. */
#include "model/inner.h"
#include <stdio.h>
#include <string.h>

enum { MAX_KV = 1 << 16, MAX_KEY = 65535, MAX_ALIGNMENT = 1 << 20 };

typedef struct cursor {
    const unsigned char *p, *end, *begin;
    const char *path;
} cursor;

/* A value of each type takes this many bytes; 0: as many as it says. */
static const size_t sizes[GGUF_N_TYPES] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};

/* Types of tensors in ggml's numbering: elements and bytes of a block. Those that Higgins does not
 * compute with (HG_N_TYPES) are named and passed by. */
typedef struct tensor_type {
    const char *name;
    uint32_t block, bytes;
    hg_type type;
} tensor_type;

static const tensor_type tensor_types[] = {
    [0] = {"f32", 1, 4, HG_F32},
    [1] = {"f16", 1, 2, HG_F16},
    [2] = {"q4_0", 32, 18, HG_Q4_0},
    [3] = {"q4_1", 32, 20, HG_Q4_1},
    [6] = {"q5_0", 32, 22, HG_Q5_0},
    [7] = {"q5_1", 32, 24, HG_Q5_1},
    [8] = {"q8_0", 32, 34, HG_Q8_0},
    [9] = {"q8_1", 32, 36, HG_N_TYPES},
    [10] = {"q2_k", 256, 84, HG_Q2_K},
    [11] = {"q3_k", 256, 110, HG_Q3_K},
    [12] = {"q4_k", 256, 144, HG_Q4_K},
    [13] = {"q5_k", 256, 176, HG_Q5_K},
    [14] = {"q6_k", 256, 210, HG_Q6_K},
    [15] = {"q8_k", 256, 292, HG_N_TYPES},
    [16] = {"iq2_xxs", 256, 66, HG_N_TYPES},
    [17] = {"iq2_xs", 256, 74, HG_N_TYPES},
    [18] = {"iq3_xxs", 256, 98, HG_N_TYPES},
    [19] = {"iq1_s", 256, 50, HG_N_TYPES},
    [20] = {"iq4_nl", 32, 18, HG_IQ4_NL},
    [21] = {"iq3_s", 256, 110, HG_N_TYPES},
    [22] = {"iq2_s", 256, 82, HG_N_TYPES},
    [23] = {"iq4_xs", 256, 136, HG_IQ4_XS},
    [24] = {"i8", 1, 1, HG_N_TYPES},
    [25] = {"i16", 1, 2, HG_N_TYPES},
    [26] = {"i32", 1, 4, HG_I32},
    [27] = {"i64", 1, 8, HG_N_TYPES},
    [28] = {"f64", 1, 8, HG_N_TYPES},
    [29] = {"iq1_m", 256, 56, HG_N_TYPES},
    [30] = {"bf16", 1, 2, HG_BF16},
    [34] = {"tq1_0", 256, 54, HG_N_TYPES},
    [35] = {"tq2_0", 256, 66, HG_N_TYPES},
    [39] = {"mxfp4", 32, 17, HG_MXFP4},
};
enum { N_TENSOR_TYPES = sizeof tensor_types / sizeof tensor_types[0] };

uint32_t hg_gguf_type_number(hg_type t)
{
    uint32_t n = 0;
    while (n + 1 < N_TENSOR_TYPES && !(tensor_types[n].name != NULL && tensor_types[n].type == t))
        n++;
    return n;
}

static size_t left(const cursor *c)
{
    return (size_t)(c->end - c->p);
}

static hg_status cut_off(const cursor *c, const char *what, hg_err *e)
{
    return hg_fail(e, HG_E_FORMAT, "%s: at byte %zu: %s is cut off", c->path,
                   (size_t)(c->p - c->begin), what);
}

static uint64_t peek(const unsigned char *p, size_t n)
{
    uint64_t v = 0;
    for (size_t i = n; i-- > 0;) v = v << 8 | p[i];
    return v;
}

static hg_status get(cursor *c, size_t n, const char *what, uint64_t *out, hg_err *e)
{
    if (left(c) < n) return cut_off(c, what, e);
    *out = peek(c->p, n);
    c->p += n;
    return HG_OK;
}

static hg_status get_string(cursor *c, const char *what, uint64_t max, hg_bytes *out, hg_err *e)
{
    uint64_t n = 0;
    HG_TRY(get(c, 8, what, &n, e));
    if (n > left(c)) return cut_off(c, what, e);
    if (n > max)
        return hg_fail(e, HG_E_LIMIT, "%s: at byte %zu: %s of %llu bytes; %llu are the most",
                       c->path, (size_t)(c->p - c->begin), what, (unsigned long long)n,
                       (unsigned long long)max);
    *out = (hg_bytes){(const char *)c->p, (size_t)n};
    c->p += n;
    return HG_OK;
}

/* Passes over n values of a type. */
static hg_status skip(cursor *c, hg_gguf_type type, uint64_t n, hg_err *e)
{
    size_t size = sizes[type];
    if (size > 0) {
        if (n > left(c) / size) return cut_off(c, "a value", e);
        c->p += n * size;
        return HG_OK;
    }
    if (n > left(c) / 8) return cut_off(c, "an array", e); /* a string has a length at the least */
    hg_bytes s;
    for (uint64_t i = 0; i < n; i++) HG_TRY(get_string(c, "a string", SIZE_MAX, &s, e));
    return HG_OK;
}

static hg_status get_type(cursor *c, hg_gguf_type *out, hg_err *e)
{
    uint64_t type = 0;
    HG_TRY(get(c, 4, "a type", &type, e));
    if (type >= GGUF_N_TYPES)
        return hg_fail(e, HG_E_FORMAT, "%s: at byte %zu: %llu is no type of a value", c->path,
                       (size_t)(c->p - c->begin) - 4, (unsigned long long)type);
    *out = (hg_gguf_type)type;
    return HG_OK;
}

static hg_status get_kv(cursor *c, hg_gguf_kv *kv, hg_err *e)
{
    HG_TRY(get_string(c, "a key", MAX_KEY, &kv->key, e));
    HG_TRY(get_type(c, &kv->type, e));
    kv->item = kv->type;
    kv->n = 1;
    if (kv->type == GGUF_ARRAY) {
        HG_TRY(get_type(c, &kv->item, e));
        HG_TRY(get(c, 8, "an array", &kv->n, e));
        if (kv->item == GGUF_ARRAY)
            return hg_fail(e, HG_E_UNSUPPORTED, "%s: %.*s is an array of arrays", c->path,
                           (int)(kv->key.n < 64 ? kv->key.n : 64), kv->key.p);
    }
    kv->p = c->p;
    HG_TRY(skip(c, kv->item, kv->n, e));
    kv->n_bytes = (size_t)(c->p - kv->p);
    return HG_OK;
}

/* Type and bytes of a tensor whose shape is known. A block does not go over the end of a row. */
static hg_status set_type(const cursor *c, uint64_t number, size_t n, hg_entry *en, hg_bytes name,
                          hg_err *e)
{
    if (number >= N_TENSOR_TYPES || tensor_types[number].name == NULL)
        return hg_fail(e, HG_E_UNSUPPORTED, "%s: tensor %.*s has type %llu, which is not known",
                       c->path, (int)name.n, name.p, (unsigned long long)number);
    const tensor_type *t = &tensor_types[number];
    size_t row = (size_t)en->dim[en->n_dims - 1], n_bytes = 0;
    if (row % t->block != 0)
        return hg_fail(e, HG_E_FORMAT,
                       "%s: tensor %.*s has rows of %zu; type %s needs a multiple of %u", c->path,
                       (int)name.n, name.p, row, t->name, t->block);
    if (!hg_mul(n / t->block, t->bytes, &n_bytes))
        return hg_fail(e, HG_E_FORMAT, "%s: tensor %.*s has an impossible size", c->path,
                       (int)name.n, name.p);
    en->number = (uint32_t)number;
    en->type = t->type;
    en->type_name = t->name;
    en->n_bytes = n_bytes;
    return HG_OK;
}

/* The shape: GGUF counts dimensions from the contiguous one. */
static hg_status get_dims(cursor *c, hg_bytes name, hg_entry *en, uint64_t *n_values, hg_err *e)
{
    uint64_t n_dims = 0;
    HG_TRY(get(c, 4, "a tensor", &n_dims, e));
    if (n_dims < 1 || n_dims > HG_MAX_DIMS)
        return hg_fail(e, HG_E_FORMAT, "%s: tensor %.*s has %llu dimensions; 1 to %d allowed",
                       c->path, (int)name.n, name.p, (unsigned long long)n_dims, HG_MAX_DIMS);
    size_t n = 1;
    en->n_dims = (int)n_dims;
    for (size_t d = (size_t)n_dims; d-- > 0;) {
        HG_TRY(get(c, 8, "a tensor", &en->dim[d], e));
        if (en->dim[d] == 0 || en->dim[d] > SIZE_MAX / 8 || !hg_mul(n, (size_t)en->dim[d], &n))
            return hg_fail(e, HG_E_FORMAT, "%s: tensor %.*s has an impossible size", c->path,
                           (int)name.n, name.p);
    }
    *n_values = n;
    return HG_OK;
}

static hg_status get_tensor(cursor *c, hg_store *s, hg_err *e)
{
    hg_entry en = {0};
    hg_bytes name;
    uint64_t type = 0, offset = 0, n = 0;
    HG_TRY(get_string(c, "a tensor's name", HG_MAX_NAME - 1, &name, e));
    HG_TRY(get_dims(c, name, &en, &n, e));
    HG_TRY(get(c, 4, "a tensor", &type, e));
    HG_TRY(get(c, 8, "a tensor", &offset, e));
    HG_TRY(set_type(c, type, (size_t)n, &en, name, e));
    en.offset = offset;
    hg_err why = {0};
    hg_status st = hg_store_add(s, name.p, name.n, &en, &why);
    return st == HG_OK ? HG_OK : hg_fail(e, st, "%s: %s", c->path, why.msg);
}

/* Offsets count from the first aligned byte behind the header. */
static hg_status place_tensors(const cursor *c, const hg_gguf *g, hg_store *s, size_t first,
                               hg_err *e)
{
    uint64_t align = 32;
    hg_err why = {0};
    hg_status st = hg_gguf_uint(g, "general.alignment", MAX_ALIGNMENT, &align, &why);
    if (st != HG_OK) return hg_fail(e, st, "%s: %s", c->path, why.msg);
    if (align == 0 || (align & (align - 1)) != 0)
        return hg_fail(e, HG_E_FORMAT, "%s: general.alignment of %llu; a power of two is needed",
                       c->path, (unsigned long long)align);
    size_t at = (size_t)(c->p - c->begin), size = (size_t)(c->end - c->begin);
    size_t data = (at + (size_t)align - 1) & ~((size_t)align - 1);
    size_t n_data = data < size ? size - data : 0;
    for (size_t i = first; i < s->n; i++) {
        hg_entry *en = &s->entry[i];
        if (en->offset % align != 0)
            return hg_fail(e, HG_E_FORMAT, "%s: tensor %s lies at %llu, no multiple of %llu",
                           c->path, en->name, (unsigned long long)en->offset,
                           (unsigned long long)align);
        if (en->offset > n_data || en->n_bytes > n_data - en->offset)
            return hg_fail(e, HG_E_FORMAT,
                           "%s: tensor %s ends %llu bytes behind %llu; the file has %zu for values",
                           c->path, en->name, (unsigned long long)en->n_bytes,
                           (unsigned long long)en->offset, n_data);
        en->p = c->begin + data + en->offset;
    }
    return HG_OK;
}

static hg_status get_head(cursor *c, uint64_t *n_tensors, uint64_t *n_kv, hg_err *e)
{
    uint64_t version = 0;
    if (left(c) < 4 || memcmp(c->p, "GGUF", 4) != 0)
        return hg_fail(e, HG_E_FORMAT, "%s: does not begin with GGUF", c->path);
    c->p += 4;
    HG_TRY(get(c, 4, "the version", &version, e));
    if (version != 2 && version != 3)
        return hg_fail(e, HG_E_UNSUPPORTED, "%s: GGUF version %llu%s; 2 and 3 are read", c->path,
                       (unsigned long long)version, version > 0xffff ? " (big-endian)" : "");
    HG_TRY(get(c, 8, "the number of tensors", n_tensors, e));
    HG_TRY(get(c, 8, "the number of keys", n_kv, e));
    if (*n_tensors > HG_MAX_STORED || *n_kv > MAX_KV)
        return hg_fail(e, HG_E_LIMIT, "%s: %llu tensors and %llu keys; %d and %d are the most",
                       c->path, (unsigned long long)*n_tensors, (unsigned long long)*n_kv,
                       HG_MAX_STORED, MAX_KV);
    /* A tensor takes 32 bytes of the header at the least, a key 13. */
    if (*n_tensors > left(c) / 32 || *n_kv > left(c) / 13)
        return hg_fail(e, HG_E_FORMAT, "%s: %llu tensors and %llu keys in %zu bytes; it is cut off",
                       c->path, (unsigned long long)*n_tensors, (unsigned long long)*n_kv, left(c));
    return HG_OK;
}

hg_status hg_gguf_parse(hg_gguf *g, hg_store *s, hg_arena *mem, const unsigned char *p, size_t n,
                        const char *path, hg_err *e)
{
    cursor c = {p, p + n, p, path};
    uint64_t n_tensors = 0, n_kv = 0;
    size_t first = s->n;
    memset(g, 0, sizeof *g);
    HG_TRY(get_head(&c, &n_tensors, &n_kv, e));
    g->kv = HG_NEW(mem, hg_gguf_kv, (size_t)n_kv);
    if (g->kv == NULL) return hg_fail(e, HG_E_NOMEM, "%s: no room for its keys", path);
    while (g->n_kv < n_kv) {
        HG_TRY(get_kv(&c, &g->kv[g->n_kv], e));
        g->n_kv++;
    }
    for (uint64_t i = 0; i < n_tensors; i++) HG_TRY(get_tensor(&c, s, e));
    HG_TRY(place_tensors(&c, g, s, first, e));
    HG_TRY(hg_store_part(s, first, path, e));
    return hg_store_sort(s, path, e);
}

/* ---- looking things up ---- */

const hg_gguf_kv *hg_gguf_find(const hg_gguf *g, const char *key)
{
    size_t n = strlen(key);
    for (size_t i = 0; i < g->n_kv; i++)
        if (g->kv[i].key.n == n && memcmp(g->kv[i].key.p, key, n) == 0) return &g->kv[i];
    return NULL;
}

static hg_status wrong_type(const char *key, const char *want, hg_err *e)
{
    return hg_fail(e, HG_E_FORMAT, "%s is no %s", key, want);
}

hg_status hg_gguf_uint(const hg_gguf *g, const char *key, uint64_t max, uint64_t *out, hg_err *e)
{
    const hg_gguf_kv *kv = hg_gguf_find(g, key);
    if (kv == NULL) return HG_OK;
    bool is_signed =
        kv->type == GGUF_I8 || kv->type == GGUF_I16 || kv->type == GGUF_I32 || kv->type == GGUF_I64;
    bool is_unsigned =
        kv->type == GGUF_U8 || kv->type == GGUF_U16 || kv->type == GGUF_U32 || kv->type == GGUF_U64;
    if (!is_signed && !is_unsigned) return wrong_type(key, "whole number", e);
    uint64_t v = peek(kv->p, kv->n_bytes);
    if (is_signed && (v >> (8 * kv->n_bytes - 1) & 1) != 0)
        return hg_fail(e, HG_E_FORMAT, "%s is below 0", key);
    if (v > max)
        return hg_fail(e, HG_E_LIMIT, "%s of %llu; %llu is the most", key, (unsigned long long)v,
                       (unsigned long long)max);
    *out = v;
    return HG_OK;
}

hg_status hg_gguf_float(const hg_gguf *g, const char *key, double *out, hg_err *e)
{
    const hg_gguf_kv *kv = hg_gguf_find(g, key);
    if (kv == NULL) return HG_OK;
    if (kv->type == GGUF_F32) {
        float f;
        memcpy(&f, kv->p, sizeof f);
        *out = (double)f;
    } else if (kv->type == GGUF_F64) {
        memcpy(out, kv->p, sizeof *out);
    } else {
        return wrong_type(key, "floating-point number", e);
    }
    return HG_OK;
}

hg_status hg_gguf_bool(const hg_gguf *g, const char *key, bool *out, hg_err *e)
{
    const hg_gguf_kv *kv = hg_gguf_find(g, key);
    if (kv == NULL) return HG_OK;
    if (kv->type != GGUF_BOOL) return wrong_type(key, "boolean", e);
    *out = kv->p[0] != 0;
    return HG_OK;
}

hg_status hg_gguf_text(const hg_gguf *g, const char *key, hg_bytes *out, hg_err *e)
{
    const hg_gguf_kv *kv = hg_gguf_find(g, key);
    if (kv == NULL) return HG_OK;
    if (kv->type != GGUF_STRING) return wrong_type(key, "string", e);
    *out = (hg_bytes){(const char *)kv->p + 8, kv->n_bytes - 8};
    return HG_OK;
}

hg_status hg_gguf_strings(const hg_gguf *g, const char *key, size_t max, hg_arena *mem,
                          hg_bytes **out, size_t *n, hg_err *e)
{
    const hg_gguf_kv *kv = hg_gguf_find(g, key);
    *out = NULL;
    *n = 0;
    if (kv == NULL) return HG_OK;
    if (kv->type != GGUF_ARRAY || kv->item != GGUF_STRING)
        return wrong_type(key, "array of strings", e);
    if (kv->n > max)
        return hg_fail(e, HG_E_LIMIT, "%s has %llu items; %zu are the most", key,
                       (unsigned long long)kv->n, max);
    *out = HG_NEW(mem, hg_bytes, (size_t)kv->n + 1);
    if (*out == NULL) return hg_fail(e, HG_E_NOMEM, "no room for %s", key);
    const unsigned char *p = kv->p;
    for (; *n < kv->n; (*n)++) { /* lengths were checked when the array was passed over */
        size_t len = (size_t)peek(p, 8);
        (*out)[*n] = (hg_bytes){(const char *)p + 8, len};
        p += 8 + len;
    }
    return HG_OK;
}
