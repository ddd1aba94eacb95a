/* safetensors: Hugging Face's format of weights. Eight bytes of length, a JSON header with each
 * tensor's type, shape and place, then the values, little-endian. Read through a mapping; large
 * models come in shards that an index names.  https://github.com/huggingface/safetensors */
#include "model/inner.h"
#include <stdio.h>
#include <string.h>

static const struct {
    const char *name, *own;
    hg_type type;
    size_t size;
} types[] = {
    {"F32", "f32", HG_F32, 4},
    {"F16", "f16", HG_F16, 2},
    {"BF16", "bf16", HG_BF16, 2},
    {"I32", "i32", HG_I32, 4},
    {"F64", "f64", HG_N_TYPES, 8},
    {"I64", "i64", HG_N_TYPES, 8},
    {"U64", "u64", HG_N_TYPES, 8},
    {"U32", "u32", HG_N_TYPES, 4},
    {"I16", "i16", HG_N_TYPES, 2},
    {"U16", "u16", HG_N_TYPES, 2},
    {"I8", "i8", HG_N_TYPES, 1},
    {"U8", "u8", HG_N_TYPES, 1},
    {"BOOL", "bool", HG_N_TYPES, 1},
    {"F8_E4M3", "f8_e4m3", HG_N_TYPES, 1},
    {"F8_E5M2", "f8_e5m2", HG_N_TYPES, 1},
};
enum { N_TYPES = sizeof types / sizeof types[0] };

static uint64_t get_u64(const unsigned char *p)
{
    uint64_t v = 0;
    for (int i = 7; i >= 0; i--) v = v << 8 | p[i];
    return v;
}

/* dtype and shape of one tensor: fills the entry, *n_bytes is what they make. */
static hg_status parse_shape(const json_t *v, hg_entry *en, size_t *n_bytes, hg_err *e)
{
    hg_bytes dtype;
    json_t *shape = NULL;
    HG_TRY(hg_json_get_text(v, "dtype", &dtype, e));
    HG_TRY(hg_json_get_array(v, "shape", &shape, e));
    size_t k = 0;
    while (k < N_TYPES &&
           !(strlen(types[k].name) == dtype.n && memcmp(types[k].name, dtype.p, dtype.n) == 0))
        k++;
    if (k == N_TYPES)
        return hg_fail(e, HG_E_UNSUPPORTED, "type %.*s is not known",
                       (int)(dtype.n < 32 ? dtype.n : 32), dtype.p);
    en->type = types[k].type;
    en->type_name = types[k].own;
    if (json_array_size(shape) > HG_MAX_DIMS)
        return hg_fail(e, HG_E_LIMIT, "%zu dimensions; %d are the most", json_array_size(shape),
                       HG_MAX_DIMS);
    *n_bytes = types[k].size;
    for (size_t d = 0; d < json_array_size(shape); d++) {
        const json_t *x = json_array_get(shape, d);
        if (!json_is_integer(x) || json_integer_value(x) < 0 ||
            !hg_mul(*n_bytes, (size_t)json_integer_value(x), n_bytes))
            return hg_fail(e, HG_E_FORMAT, "its shape is no list of sizes");
        en->dim[d] = (uint64_t)json_integer_value(x);
    }
    en->n_dims = (int)json_array_size(shape);
    return HG_OK;
}

static hg_status parse_tensor(const json_t *v, const unsigned char *data, size_t n_data,
                              hg_entry *en, hg_err *e)
{
    size_t n_bytes = 0;
    json_t *range = NULL;
    if (!json_is_object(v)) return hg_fail(e, HG_E_FORMAT, "it is no object");
    HG_TRY(parse_shape(v, en, &n_bytes, e));
    HG_TRY(hg_json_get_array(v, "data_offsets", &range, e));
    const json_t *from = json_array_get(range, 0), *to = json_array_get(range, 1);
    if (json_array_size(range) != 2 || !json_is_integer(from) || !json_is_integer(to))
        return hg_fail(e, HG_E_FORMAT, "its data_offsets are not two numbers");
    json_int_t begin = json_integer_value(from), end = json_integer_value(to);
    if (begin < 0 || end < begin || (uint64_t)end > n_data)
        return hg_fail(e, HG_E_FORMAT, "its values lie at %lld to %lld of %zu bytes",
                       (long long)begin, (long long)end, n_data);
    if ((uint64_t)(end - begin) != n_bytes)
        return hg_fail(e, HG_E_FORMAT, "its shape needs %zu bytes and its place has %lld", n_bytes,
                       (long long)(end - begin));
    en->p = data + begin;
    en->n_bytes = n_bytes;
    return HG_OK;
}

static hg_status parse_header(hg_store *s, json_t *header, const unsigned char *data, size_t n_data,
                              const char *path, hg_err *e)
{
    const char *name;
    json_t *v;
    size_t first = s->n;
    if (!json_is_object(header))
        return hg_fail(e, HG_E_FORMAT, "%s: the header is no JSON object", path);
    json_object_foreach(header, name, v)
    {
        hg_entry en = {0};
        hg_err why = {0};
        if (strcmp(name, "__metadata__") == 0) continue;
        hg_status st = parse_tensor(v, data, n_data, &en, &why);
        if (st == HG_OK) st = hg_store_add(s, name, strlen(name), &en, &why);
        if (st != HG_OK) return hg_fail(e, st, "%s: tensor %.200s: %s", path, name, why.msg);
    }
    return hg_store_part(s, first, path, e);
}

hg_status hg_safetensors_header(json_t **out, size_t *begin, const unsigned char *p, size_t n,
                                const char *path, hg_err *e)
{
    *out = NULL;
    if (n < 8)
        return hg_fail(e, HG_E_FORMAT, "%s: %zu bytes; a safetensors file has 8 at the least", path,
                       n);
    uint64_t n_header = get_u64(p);
    if (n_header > HG_MAX_HEADER)
        return hg_fail(e, HG_E_LIMIT, "%s: a header of %llu bytes; %d are the most", path,
                       (unsigned long long)n_header, HG_MAX_HEADER);
    if (n_header > n - 8)
        return hg_fail(e, HG_E_FORMAT, "%s: a header of %llu bytes in a file of %zu; it is cut off",
                       path, (unsigned long long)n_header, n);
    hg_err why = {0};
    *begin = 8 + (size_t)n_header;
    hg_status st =
        hg_json_parse(out, (hg_bytes){(const char *)p + 8, (size_t)n_header}, HG_MAX_HEADER, &why);
    return st == HG_OK ? HG_OK : hg_fail(e, st, "%s: the header: %s", path, why.msg);
}

hg_status hg_safetensors_parse(hg_store *s, const unsigned char *p, size_t n, const char *path,
                               hg_err *e)
{
    json_t *header = NULL;
    size_t begin = 0;
    HG_TRY(hg_safetensors_header(&header, &begin, p, n, path, e));
    hg_status st = parse_header(s, header, p + begin, n - begin, path, e);
    json_decref(header);
    return st;
}

static hg_status open_file(hg_store *s, const char *dir, const char *name, hg_err *e)
{
    hg_map map;
    char *path = hg_path_join(dir, name);
    if (path == NULL) return hg_fail(e, HG_E_NOMEM, "no room for a path");
    hg_status st = hg_store_map(s, path, &map, e);
    if (st == HG_OK) st = hg_safetensors_parse(s, map.p, map.n, path, e);
    hg_free(path);
    return st;
}

/* The shards' names, each once; the index names one for each tensor. */
static hg_status open_shards(hg_store *s, const char *dir, const json_t *index, const char *path,
                             hg_err *e)
{
    json_t *map = NULL, *seen = json_object(), *v;
    const char *key;
    hg_status st = seen == NULL ? hg_fail(e, HG_E_NOMEM, "no room for the index") : HG_OK;
    if (st == HG_OK) st = hg_json_get_object(index, "weight_map", &map, e);
    if (st != HG_OK) goto done;
    json_object_foreach(map, key, v)
    {
        const char *name = json_string_value(v);
        if (name == NULL || name[0] == '.' || strchr(name, '/') != NULL) {
            st = hg_fail(e, HG_E_FORMAT, "%s: the place of %.200s is no name of a file beside it",
                         path, key);
            goto done;
        }
        if (json_object_get(seen, name) != NULL) continue;
        if (json_object_size(seen) >= HG_MAX_SHARDS) {
            st = hg_fail(e, HG_E_LIMIT, "%s: more than %d shards", path, HG_MAX_SHARDS);
            goto done;
        }
        st = json_object_set_new(seen, name, json_true()) == 0
                 ? open_file(s, dir, name, e)
                 : hg_fail(e, HG_E_NOMEM, "no room for the index");
        if (st != HG_OK) goto done;
    }
done:
    json_decref(seen);
    return st;
}

hg_status hg_safetensors_open(hg_store *s, const char *dir, hg_err *e)
{
    char *single = hg_path_join(dir, "model.safetensors");
    char *index = hg_path_join(dir, "model.safetensors.index.json");
    json_t *json = NULL;
    hg_status st = HG_OK;
    if (single == NULL || index == NULL)
        st = hg_fail(e, HG_E_NOMEM, "no room for a path");
    else if (hg_path_exists(single))
        st = open_file(s, dir, "model.safetensors", e);
    else if (!hg_path_exists(index))
        st = hg_fail(e, HG_E_MISSING, "%s: neither model.safetensors nor its index is there", dir);
    else if ((st = hg_json_read(&json, index, HG_MAX_HEADER, e)) == HG_OK)
        st = open_shards(s, dir, json, index, e);
    if (st == HG_OK) st = hg_store_sort(s, dir, e);
    json_decref(json);
    hg_free(single);
    hg_free(index);
    return st;
}

/* ---- writing ---- */

static const char *type_name(hg_type t)
{
    for (size_t k = 0; k < N_TYPES; k++)
        if (types[k].type == t) return types[k].name;
    return "F32";
}

static size_t count_of(const hg_stored *st)
{
    return st->rows * (st->cols > 0 ? st->cols : 1);
}

static void put_header(hg_buf *b, const hg_model *m, const hg_stored *list, size_t n, hg_weights as)
{
    hg_json_out o;
    uint64_t at = 0;
    hg_json_out_init(&o, b, 0);
    hg_json_begin(&o, NULL, '{');
    hg_json_begin(&o, "__metadata__", '{');
    hg_json_text(&o, "format", "pt");
    hg_json_end(&o);
    for (size_t i = 0; i < n; i++) {
        const hg_stored *st = &list[i];
        hg_type type = hg_type_plain(hg_param_type(m, st->part[0].t), as);
        hg_json_begin(&o, st->name, '{');
        hg_json_text(&o, "dtype", type_name(type));
        hg_json_begin(&o, "shape", '[');
        uint64_t dim[HG_MAX_DIMS];
        for (int d = 0, n_dims = hg_stored_shape(st, dim); d < n_dims; d++)
            hg_json_int(&o, NULL, (int64_t)dim[d]);
        hg_json_end(&o);
        hg_json_begin(&o, "data_offsets", '[');
        hg_json_int(&o, NULL, (int64_t)at);
        at += count_of(st) * hg_type_size(type);
        hg_json_int(&o, NULL, (int64_t)at);
        hg_json_end(&o);
        hg_json_end(&o);
    }
    hg_json_end(&o);
    while (b->n % 8 != 0 && !b->failed) hg_buf_putc(b, ' '); /* values begin aligned */
}

hg_status hg_safetensors_write(const char *path, const hg_model *m, hg_weights as, hg_err *e)
{
    hg_stored *list = NULL;
    size_t n = 0;
    hg_buf header = {0};
    hg_writer *w = NULL;
    unsigned char length[8];
    HG_TRY(hg_stored_list(m, HG_FORMAT_SAFETENSORS, &list, &n, e));
    put_header(&header, m, list, n, as);
    hg_status s = hg_buf_status(&header, e);
    for (int i = 0; i < 8; i++) length[i] = (unsigned char)((uint64_t)header.n >> (8 * i));
    if (s == HG_OK) s = hg_writer_open(&w, path, e);
    if (s == HG_OK) s = hg_writer_put(w, length, sizeof length, e);
    if (s == HG_OK) s = hg_writer_put(w, header.p, header.n, e);
    for (size_t i = 0; i < n && s == HG_OK; i++)
        s = hg_stored_write(w, m, &list[i], hg_type_plain(hg_param_type(m, list[i].part[0].t), as),
                            e);
    hg_buf_free(&header);
    hg_free(list);
    if (s == HG_OK) return hg_writer_commit(w, e);
    hg_writer_abort(w);
    return s;
}
