/* The metadata of a model's files, for people: a GGUF's pairs, and the members of config.json and
 * its neighbours one a line ("rope_scaling.factor"). Texts and lists are shortened, and made
 * visible: what a file says must not move the reader's cursor. */
#include "model/inspect.h"
#include "text/json.h"
#include "text/utf8.h"
#include <stdio.h>
#include <string.h>

enum {
    MAX_KEYS = 1 << 17,
    MAX_TEXT = 200,  /* bytes shown of a text, */
    MAX_ITEM = 40,   /* of a text in a list, */
    MAX_ITEMS = 8,   /* items of a list */
    MAX_DEPTH = 4,   /* of objects that are taken apart; */
    MAX_MEMBERS = 64 /* larger ones are told by their size */
};

/* Where keys are added: those of one file. */
typedef struct list {
    hg_inspection *in;
    const char *file;
} list;

/* The first `max` bytes, to a whole character. */
static void put_short(hg_buf *b, hg_bytes s, size_t max)
{
    hg_bytes shown = {s.p, s.n < max ? s.n : max};
    if (shown.n < s.n) shown.n -= hg_utf8_cut(shown);
    hg_text_visible(b, shown, false);
    if (shown.n < s.n) hg_buf_puts(b, " ...");
}

static const char *keep(hg_inspection *in, const hg_buf *b)
{
    return b->failed ? NULL : hg_arena_strndup(&in->mem, b->p == NULL ? "" : b->p, b->n);
}

static hg_status make_room(hg_inspection *in, hg_err *e)
{
    size_t n = in->info.n_keys;
    if (n >= MAX_KEYS) return hg_fail(e, HG_E_LIMIT, "%s: more than %d keys", in->path, MAX_KEYS);
    HG_TRY(hg_grow(&in->key, &in->key_cap, n, sizeof *in->key, e));
    in->info.key = in->key;
    return HG_OK;
}

/* Adds a key whose value stands in `value`, which is cleared. */
static hg_status add(list *l, hg_bytes name, const char *type, uint64_t n, bool is_number,
                     hg_buf *value, hg_err *e)
{
    hg_buf key = {0};
    HG_TRY(make_room(l->in, e));
    put_short(&key, name, HG_MAX_NAME);
    hg_key_info k = {.file = l->file,
                     .key = keep(l->in, &key),
                     .type = type,
                     .value = keep(l->in, value),
                     .n = n,
                     .is_number = is_number};
    hg_buf_free(&key);
    hg_buf_clear(value);
    if (k.key == NULL || k.value == NULL || type == NULL)
        return hg_fail(e, HG_E_NOMEM, "no room for its keys");
    l->in->key[l->in->info.n_keys++] = k;
    return HG_OK;
}

/* ---- GGUF ---- */

static const char *const type_names[GGUF_N_TYPES] = {
    "u8", "i8", "u16", "i16", "u32", "i32", "f32", "bool", "string", "array", "u64", "i64", "f64"};

/* A number at p, as JSON writes it; floats to the digits that tell them apart. */
static bool put_number(hg_buf *b, hg_gguf_type type, const unsigned char *p)
{
    static const unsigned char bits[GGUF_N_TYPES] = {8, 8, 16, 16, 32, 32, 32, 8, 0, 0, 64, 64, 64};
    uint64_t v = 0;
    float f;
    double d;
    for (size_t i = bits[type] / 8; i-- > 0;) v = v << 8 | p[i];
    switch (type) {
    case GGUF_F32:
        memcpy(&f, p, 4);
        hg_buf_printf(b, "%.7g", (double)f);
        return f - f == 0.0F;
    case GGUF_F64:
        memcpy(&d, p, 8);
        hg_buf_printf(b, "%.17g", d);
        return d - d == 0.0;
    case GGUF_BOOL:
        hg_buf_puts(b, v != 0 ? "true" : "false");
        return true;
    case GGUF_I8:
    case GGUF_I16:
    case GGUF_I32:
    case GGUF_I64:
        if ((v >> (bits[type] - 1) & 1) != 0 && bits[type] < 64) v |= UINT64_MAX << bits[type];
        hg_buf_printf(b, "%lld", (long long)v);
        return true;
    default:
        hg_buf_printf(b, "%llu", (unsigned long long)v);
        return true;
    }
}

static void put_items(hg_buf *b, const hg_gguf_kv *kv)
{
    const unsigned char *p = kv->p;
    size_t size = kv->n == 0 || kv->item == GGUF_STRING ? 0 : kv->n_bytes / (size_t)kv->n;
    hg_buf_putc(b, '[');
    for (uint64_t i = 0; i < kv->n && i < MAX_ITEMS; i++) {
        if (i > 0) hg_buf_puts(b, ", ");
        if (kv->item != GGUF_STRING) {
            (void)put_number(b, kv->item, p);
            p += size;
            continue;
        }
        uint64_t n = 0; /* was held against the end of the file when the header was read */
        for (size_t k = 8; k-- > 0;) n = n << 8 | p[k];
        hg_buf_putc(b, '"');
        put_short(b, (hg_bytes){(const char *)p + 8, (size_t)n}, MAX_ITEM);
        hg_buf_putc(b, '"');
        p += 8 + n;
    }
    hg_buf_puts(b, kv->n > MAX_ITEMS ? ", ...]" : "]");
}

static hg_status add_pair(list *l, const hg_gguf_kv *kv, hg_buf *b, hg_err *e)
{
    if (kv->type == GGUF_ARRAY) {
        put_items(b, kv);
        const char *type = hg_arena_printf(&l->in->mem, "array of %s", type_names[kv->item]);
        return add(l, kv->key, type, kv->n, false, b, e);
    }
    if (kv->type == GGUF_STRING) {
        put_short(b, (hg_bytes){(const char *)kv->p + 8, kv->n_bytes - 8}, MAX_TEXT);
        return add(l, kv->key, "string", kv->n_bytes - 8, false, b, e);
    }
    bool is_finite = put_number(b, kv->type, kv->p);
    return add(l, kv->key, type_names[kv->type], 1, is_finite, b, e);
}

hg_status hg_inspect_gguf_keys(hg_inspection *in, hg_err *e)
{
    list l = {in, in->info.name};
    hg_buf b = {0};
    hg_status s = HG_OK;
    for (size_t i = 0; i < in->gguf.n_kv && s == HG_OK; i++)
        s = add_pair(&l, &in->gguf.kv[i], &b, e);
    hg_buf_free(&b);
    return s;
}

/* ---- JSON ---- */

static hg_status add_value(list *l, hg_bytes name, const json_t *v, hg_buf *b, hg_err *e)
{
    const char *type = json_is_number(v)    ? "number"
                       : json_is_boolean(v) ? "bool"
                       : json_is_string(v)  ? "string"
                       : json_is_array(v)   ? "list"
                       : json_is_object(v)  ? "object"
                                            : "null";
    uint64_t n = json_is_string(v)   ? json_string_length(v)
                 : json_is_array(v)  ? json_array_size(v)
                 : json_is_object(v) ? json_object_size(v)
                                     : 1;
    if (json_is_string(v)) {
        put_short(b, (hg_bytes){json_string_value(v), json_string_length(v)}, MAX_TEXT);
        return add(l, name, type, n, false, b, e);
    }
    hg_buf all = {0};
    hg_status s = hg_json_put_tree(&all, v, e);
    if (s == HG_OK) put_short(b, (hg_bytes){all.p, all.n}, MAX_TEXT);
    hg_buf_free(&all);
    return s == HG_OK ? add(l, name, type, n, json_is_number(v) || json_is_boolean(v), b, e) : s;
}

static hg_status add_members(list *l, hg_bytes prefix, json_t *o, int depth, hg_buf *b, hg_err *e)
{
    const char *name;
    json_t *v;
    json_object_foreach(o, name, v)
    {
        hg_buf path = {0};
        hg_buf_put(&path, prefix.p, prefix.n);
        if (prefix.n > 0) hg_buf_putc(&path, '.');
        hg_buf_puts(&path, name);
        hg_status s = hg_buf_status(&path, e);
        size_t n = json_object_size(v);
        hg_bytes whole = {path.p, path.n};
        if (s == HG_OK)
            s = n > 0 && n <= MAX_MEMBERS && depth < MAX_DEPTH
                    ? add_members(l, whole, v, depth + 1, b, e)
                    : add_value(l, whole, v, b, e);
        hg_buf_free(&path);
        HG_TRY(s);
    }
    return HG_OK;
}

static hg_status add_tree(hg_inspection *in, const char *file, json_t *o, hg_err *e)
{
    list l = {in, file};
    hg_buf b = {0};
    hg_status s = add_members(&l, (hg_bytes){"", 0}, o, 0, &b, e);
    hg_buf_free(&b);
    return s;
}

hg_status hg_inspect_json_keys(hg_inspection *in, const char *name, hg_err *e)
{
    json_t *o = NULL;
    char *path = hg_path_join(in->dir, name);
    hg_status s = path == NULL ? hg_fail(e, HG_E_NOMEM, "no room for a path") : HG_OK;
    if (s == HG_OK && hg_path_exists(path)) s = hg_json_read(&o, path, HG_MAX_CONFIG, e);
    if (s == HG_OK && o != NULL) s = add_tree(in, name, o, e);
    json_decref(o);
    hg_free(path);
    return s;
}

hg_status hg_inspect_header_keys(hg_inspection *in, const hg_store_file *f, hg_err *e)
{
    json_t *o = NULL;
    size_t begin = 0;
    HG_TRY(hg_safetensors_header(&o, &begin, f->map.p, f->map.n, f->path, e));
    json_t *metadata = json_object_get(o, "__metadata__");
    hg_status s = add_tree(in, hg_path_base(f->path), metadata, e);
    json_decref(o);
    return s;
}
