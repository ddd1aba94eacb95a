/* Adapters as files: PEFT's folder and llama.cpp's GGUF, two spellings of the same thing. For a
 * weight W [n_out][n_in] there are A [rank][n_in] and B [n_out][rank]; the tensors are named after
 * W's own. So an adapter is bound by the list that weights are bound by (stored.c), and B's rows
 * follow W's: several parameters in one tensor, GGUF's order of rotary pairs. */
#include "model/adapter.h"
#include "base/hash.h"
#include "model/inner.h"
#include "tensor/matmul.h"
#include "text/json.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

/* What is being opened. */
typedef struct opening {
    hg_adapter *a;
    hg_runtime *rt;
    hg_store store;
    hg_format format;
    double alpha; /* 0: the scale is 1 */
    bool is_rs;
} opening;

/* ---- one weight ---- */

static bool find_pair(const opening *o, const hg_stored *st, hg_entry **a, hg_entry **b)
{
    static const char *const forms[][2] = {{".lora_A.weight", ".lora_B.weight"},
                                           {".lora_A.default.weight", ".lora_B.default.weight"}};
    char name[2 * HG_MAX_NAME];
    const size_t n = strlen(st->name), tail = strlen(".weight");
    const bool is_weight = n > tail && strcmp(st->name + n - tail, ".weight") == 0;
    *a = *b = NULL;
    if (o->format == HG_FORMAT_GGUF) {
        (void)snprintf(name, sizeof name, "%s.lora_a", st->name);
        *a = hg_store_find(&o->store, name);
        name[strlen(name) - 1] = 'b';
        *b = hg_store_find(&o->store, name);
    }
    for (size_t i = 0; o->format != HG_FORMAT_GGUF && is_weight && i < 4; i++) {
        hg_entry **out = i % 2 == 0 ? a : b;
        (void)snprintf(name, sizeof name, "base_model.model.%.*s%s", (int)(n - tail), st->name,
                       forms[i / 2][i % 2]);
        if (*out == NULL) *out = hg_store_find(&o->store, name);
    }
    return *a != NULL || *b != NULL;
}

static hg_status check_shapes(const opening *o, const hg_stored *st, const hg_entry *a,
                              const hg_entry *b, hg_err *e)
{
    const hg_model *m = o->a->m;
    if (a == NULL || b == NULL)
        return hg_fail(e, HG_E_FORMAT, "%s has one of A and B without the other", st->name);
    const hg_tensor *t = st->part[0].t;
    if (st->cols == 0 || st->n_experts > 0 || t->n_dims != 2 || t == m->embed || t == m->pos_embed)
        return hg_fail(e, HG_E_UNSUPPORTED, "it changes %s; an adapter may change matrices",
                       st->name);
    if (a->n_dims != 2 || b->n_dims != 2 || a->dim[1] != st->cols || b->dim[0] != st->rows ||
        a->dim[0] != b->dim[1])
        return hg_fail(e, HG_E_FORMAT,
                       "A and B of %s do not fit a weight of %zu x %zu; it was made for another "
                       "model",
                       st->name, st->rows, st->cols);
    if (a->dim[0] < 1 || a->dim[0] > HG_MAX_ADAPTER_RANK)
        return hg_fail(e, HG_E_LIMIT, "a rank of %llu for %s; 1 to %d allowed",
                       (unsigned long long)a->dim[0], st->name, HG_MAX_ADAPTER_RANK);
    for (int i = 0; i < 2; i++) {
        const hg_entry *en = i == 0 ? a : b;
        if (en->type == HG_N_TYPES || en->type == HG_I32)
            return hg_fail(e, HG_E_UNSUPPORTED, "tensor %s is stored as %s, which is not read",
                           en->name, en->type_name);
    }
    return HG_OK;
}

/* Row r of a stored matrix as float32; HG_E_FORMAT when a value is no number. */
static hg_status read_row(const hg_model *m, const hg_entry *en, size_t r, float *out, hg_err *e)
{
    uint16_t raw[1024]; /* a multiple of every block, none of whose types has more than 2 bytes */
    const size_t n = (size_t)en->dim[1];
    const unsigned char *from = en->p + r * hg_type_bytes(en->type, n);
    for (size_t at = 0, k; at < n; at += k) {
        k = n - at < 1024 ? n - at : 1024;
        if (en->type == HG_F32) {
            memcpy(out + at, from + at * sizeof *out, k * sizeof *out);
            continue;
        }
        memcpy(raw, from + hg_type_bytes(en->type, at), hg_type_bytes(en->type, k));
        hg_to_f32(&m->k, out + at, raw, en->type, k);
    }
    for (size_t i = 0; i < n; i++)
        if (!isfinite(out[i]))
            return hg_fail(e, HG_E_FORMAT, "tensor %s has values that are no finite numbers",
                           en->name);
    return HG_OK;
}

/* All rows of A, or (with a part) those of B in the order of the part's. The caller frees. */
static hg_status read_all(const hg_model *m, const hg_entry *en, const hg_stored *st,
                          const hg_part *part, float **out, hg_err *e)
{
    const size_t rows = part != NULL ? part->t->dim[0] : (size_t)en->dim[0];
    const size_t cols = (size_t)en->dim[1];
    float *x = hg_alloc(rows, cols * sizeof *x);
    *out = x;
    if (x == NULL) return hg_fail(e, HG_E_NOMEM, "no room for %s", en->name);
    for (size_t r = 0; r < rows; r++)
        HG_TRY(read_row(m, en, part != NULL ? hg_stored_place(st, part, r) : r, x + r * cols, e));
    return HG_OK;
}

static const void *pack(opening *o, const float *x, size_t rows, size_t cols)
{
    void *to = hg_arena_raw(&o->a->mem, hg_packed_size(o->rt, HG_F32, rows, cols), 1);
    const hg_matrix w = {x, HG_F32, cols, 1};
    if (to != NULL) hg_pack_weight(o->rt, HG_F32, to, &w, rows, cols);
    return to;
}

static float scale_of(const opening *o, size_t rank)
{
    if (o->alpha <= 0) return 1.0f;
    return (float)(o->alpha / (o->is_rs ? sqrt((double)rank) : (double)rank));
}

/* What is added to one parameter of a stored tensor. */
static hg_status add_part(opening *o, const hg_stored *st, const hg_part *part, const hg_entry *en,
                          hg_lora_pair pair, hg_err *e)
{
    hg_lora *l = &o->a->lora;
    float *b = NULL;
    const hg_status s = read_all(o->a->m, en, st, part, &b, e);
    if (s == HG_OK) {
        const size_t n = part->t->dim[0] * pair.rank;
        pair.b = pack(o, b, part->t->dim[0], pair.rank);
        l->pair[part->t - l->w] = pair;
        l->key = hg_hash64(b, n * sizeof *b, l->key);
        o->a->n_matrices++;
    }
    hg_free(b);
    if (s == HG_OK && (pair.a == NULL || pair.b == NULL))
        return hg_fail(e, HG_E_NOMEM, "no room for what it adds to %s", st->name);
    return s;
}

/* The parameters of one stored tensor share A, and each has its rows of B. */
static hg_status bind_one(opening *o, const hg_stored *st, hg_err *e)
{
    hg_lora *l = &o->a->lora;
    hg_entry *ea, *eb;
    float *a = NULL;
    if (!find_pair(o, st, &ea, &eb)) return HG_OK;
    HG_TRY(check_shapes(o, st, ea, eb, e));
    ea->is_used = eb->is_used = true;
    const size_t rank = (size_t)ea->dim[0];
    hg_lora_pair pair = {.rank = rank, .scale = scale_of(o, rank)};
    hg_status s = read_all(o->a->m, ea, st, NULL, &a, e);
    if (s == HG_OK) {
        pair.a = pack(o, a, rank, st->cols);
        l->key = hg_hash64(st->name, strlen(st->name), l->key);
        l->key = hg_hash64(a, rank * st->cols * sizeof *a, l->key);
        l->key = hg_hash64(&pair.scale, sizeof pair.scale, l->key);
    }
    hg_free(a);
    for (size_t i = 0; i < st->n_parts && s == HG_OK; i++)
        s = add_part(o, st, &st->part[i], eb, pair, e);
    return s;
}

static hg_status bind(opening *o, hg_err *e)
{
    hg_stored *list = NULL;
    size_t n = 0;
    HG_TRY(hg_stored_list(o->a->m, o->format, &list, &n, e));
    hg_status s = HG_OK;
    for (size_t i = 0; i < n && s == HG_OK; i++) s = bind_one(o, &list[i], e);
    hg_free(list);
    HG_TRY(s);
    for (size_t i = 0; i < o->store.n; i++)
        if (!o->store.entry[i].is_used)
            return hg_fail(e, HG_E_FORMAT, "tensor %s belongs to no matrix of this %s",
                           o->store.entry[i].name, o->a->m->arch->name);
    if (o->a->n_matrices == 0) return hg_fail(e, HG_E_FORMAT, "it has no tensors");
    return HG_OK;
}

/* ---- the two formats ---- */

static bool is_text(hg_bytes b, const char *s)
{
    return strlen(s) == b.n && memcmp(b.p, s, b.n) == 0;
}

static hg_status read_metadata(opening *o, const hg_gguf *g, hg_err *e)
{
    hg_bytes what = {"", 0}, kind = {"", 0}, arch = {"", 0};
    HG_TRY(hg_gguf_text(g, "general.type", &what, e));
    HG_TRY(hg_gguf_text(g, "adapter.type", &kind, e));
    HG_TRY(hg_gguf_text(g, "general.architecture", &arch, e));
    if (!is_text(what, "adapter"))
        return hg_fail(e, HG_E_FORMAT, "general.type does not say that this is an adapter");
    if (!is_text(kind, "lora"))
        return hg_fail(e, HG_E_UNSUPPORTED, "adapter.type is \"%.*s\"; lora is known",
                       (int)(kind.n < 32 ? kind.n : 32), kind.p);
    if (!is_text(arch, o->a->m->arch->gguf))
        return hg_fail(e, HG_E_FORMAT, "it was made for \"%.*s\"; the model is \"%s\"",
                       (int)(arch.n < 32 ? arch.n : 32), arch.p, o->a->m->arch->gguf);
    if (hg_gguf_find(g, "adapter.alora.invocation_tokens") != NULL)
        return hg_fail(e, HG_E_UNSUPPORTED,
                       "it works behind certain tokens only; "
                       "adapters that always work are known");
    HG_TRY(hg_gguf_float(g, "adapter.lora.alpha", &o->alpha, e));
    if (!isfinite(o->alpha))
        return hg_fail(e, HG_E_FORMAT, "adapter.lora.alpha is no finite number");
    return HG_OK;
}

/* What PEFT can do beside adding to matrices. */
static hg_status refuse_more(const json_t *o, hg_err *e)
{
    static const char *const flags[] = {"use_dora", "lora_bias"};
    static const char *const lists[] = {"modules_to_save", "alpha_pattern", "layer_replication",
                                        "trainable_token_indices", "target_parameters"};
    hg_bytes bias = {"none", 4}, kind = {"LORA", 4};
    HG_TRY(hg_json_opt_text(o, "bias", &bias, e));
    HG_TRY(hg_json_opt_text(o, "peft_type", &kind, e));
    if (!is_text(kind, "LORA"))
        return hg_fail(e, HG_E_UNSUPPORTED, "peft_type is \"%.*s\"; LORA is known",
                       (int)(kind.n < 32 ? kind.n : 32), kind.p);
    if (!is_text(bias, "none"))
        return hg_fail(e, HG_E_UNSUPPORTED, "bias is \"%.*s\"; none is known",
                       (int)(bias.n < 32 ? bias.n : 32), bias.p);
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
        if (json_is_true(json_object_get(o, flags[i])))
            return hg_fail(e, HG_E_UNSUPPORTED, "%s is set, which is not known", flags[i]);
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        const json_t *v = json_object_get(o, lists[i]);
        if (json_array_size(v) > 0 || json_object_size(v) > 0)
            return hg_fail(e, HG_E_UNSUPPORTED, "%s is not empty, which is not known", lists[i]);
    }
    return HG_OK;
}

static hg_status read_members(hg_peft_config *c, const json_t *o, hg_err *e)
{
    if (!json_is_object(o)) return hg_fail(e, HG_E_FORMAT, "it is no JSON object");
    HG_TRY(hg_json_get_number(o, "r", 1, HG_MAX_ADAPTER_RANK, &c->rank, e));
    HG_TRY(hg_json_get_number(o, "lora_alpha", 1e-6, 1e9, &c->alpha, e));
    HG_TRY(hg_json_opt_bool(o, "use_rslora", &c->is_rs, e));
    return refuse_more(o, e);
}

hg_status hg_peft_config_parse(hg_peft_config *c, hg_bytes json, hg_err *e)
{
    json_t *o = NULL;
    memset(c, 0, sizeof *c);
    HG_TRY(hg_json_parse(&o, json, HG_MAX_CONFIG, e));
    const hg_status s = read_members(c, o, e);
    json_decref(o);
    return s;
}

static hg_status read_config(opening *o, const char *path, hg_err *e)
{
    hg_buf text = {0};
    hg_peft_config c;
    hg_err why = {0};
    HG_TRY(hg_file_read(&text, path, HG_MAX_CONFIG, e));
    const hg_status s = hg_peft_config_parse(&c, (hg_bytes){text.p, text.n}, &why);
    hg_buf_free(&text);
    if (s != HG_OK) return hg_fail(e, s, "adapter_config.json: %s", why.msg);
    o->alpha = c.alpha;
    o->is_rs = c.is_rs;
    return HG_OK;
}

static hg_status read_values(opening *o, const char *path, hg_err *e)
{
    hg_map map;
    HG_TRY(hg_store_map(&o->store, path, &map, e));
    HG_TRY(hg_safetensors_parse(&o->store, map.p, map.n, "adapter_model.safetensors", e));
    return hg_store_sort(&o->store, "adapter_model.safetensors", e);
}

static hg_status open_folder(opening *o, const char *dir, hg_err *e)
{
    char *config = hg_path_join(dir, "adapter_config.json");
    char *values = hg_path_join(dir, "adapter_model.safetensors");
    hg_status s = HG_OK;
    o->format = HG_FORMAT_SAFETENSORS;
    if (config == NULL || values == NULL)
        s = hg_fail(e, HG_E_NOMEM, "no room for a path");
    else if (!hg_path_exists(config) || !hg_path_exists(values))
        s = hg_fail(e, HG_E_MISSING,
                    "adapter_config.json and adapter_model.safetensors are not both there");
    if (s == HG_OK) s = read_config(o, config, e);
    if (s == HG_OK) s = read_values(o, values, e);
    hg_free(config);
    hg_free(values);
    return s;
}

static hg_status open_gguf(opening *o, const char *path, const hg_bytes *bytes, hg_err *e)
{
    hg_gguf g;
    hg_arena mem;
    o->format = HG_FORMAT_GGUF;
    hg_arena_init(&mem, 64 * 1024);
    hg_status s = path != NULL ? hg_gguf_open(&g, &o->store, &mem, path, e)
                               : hg_gguf_parse(&g, &o->store, &mem, (const unsigned char *)bytes->p,
                                               bytes->n, "adapter", e);
    if (s == HG_OK) s = read_metadata(o, &g, e);
    hg_arena_free(&mem);
    return s;
}

/* ---- opening ---- */

static hg_status begin(opening *o, const hg_model *m, hg_runtime *rt, hg_err *e)
{
    memset(o, 0, sizeof *o);
    o->rt = rt;
    hg_store_init(&o->store);
    o->a = hg_alloc(1, sizeof *o->a);
    if (o->a == NULL) return hg_fail(e, HG_E_NOMEM, "no room for an adapter");
    o->a->m = m;
    hg_arena_init(&o->a->mem, 0);
    o->a->lora.w = m->tensors;
    o->a->lora.n = m->n_params;
    o->a->lora.pair = HG_NEW(&o->a->mem, hg_lora_pair, m->n_params);
    return o->a->lora.pair != NULL ? HG_OK : hg_fail(e, HG_E_NOMEM, "no room for an adapter");
}

static hg_status finish(hg_adapter **out, opening *o, hg_status s)
{
    hg_store_free(&o->store);
    if (s == HG_OK)
        *out = o->a;
    else
        hg_adapter_free(o->a);
    return s;
}

hg_status hg_adapter_open(hg_adapter **out, const char *path, const hg_model *m, hg_runtime *rt,
                          hg_err *e)
{
    opening o;
    hg_err why = {0};
    *out = NULL;
    if (!hg_path_exists(path))
        return hg_fail(e, HG_E_MISSING,
                       "%s: no such folder or file; a folder with adapter_config.json or a .gguf "
                       "file is an adapter",
                       path);
    hg_status s = begin(&o, m, rt, &why);
    if (s == HG_OK)
        s = hg_path_is_dir(path) ? open_folder(&o, path, &why) : open_gguf(&o, path, NULL, &why);
    if (s == HG_OK) s = bind(&o, &why);
    if (s != HG_OK) {
        const size_t n = strlen(path); /* those who read files name them already */
        const bool is_named = strncmp(why.msg, path, n) == 0;
        (void)hg_fail(e, s, "%s%s%s", is_named ? "" : path, is_named ? "" : ": ", why.msg);
    }
    return finish(out, &o, s);
}

hg_status hg_adapter_parse_gguf(hg_adapter **out, hg_bytes file, const hg_model *m, hg_runtime *rt,
                                hg_err *e)
{
    opening o;
    *out = NULL;
    hg_status s = begin(&o, m, rt, e);
    if (s == HG_OK) s = open_gguf(&o, NULL, &file, e);
    if (s == HG_OK) s = bind(&o, e);
    return finish(out, &o, s);
}

void hg_adapter_free(hg_adapter *a)
{
    if (a == NULL) return;
    hg_arena_free(&a->mem);
    hg_free(a);
}

uint64_t hg_adapter_bytes(const hg_adapter *a)
{
    return sizeof *a + a->mem.used;
}

size_t hg_adapter_matrices(const hg_adapter *a)
{
    return a->n_matrices;
}

/* ---- in use ---- */

hg_status hg_adapters_check(const hg_model *m, const hg_adapter_use *use, size_t n, hg_err *e)
{
    if (n > HG_MAX_ADAPTERS)
        return hg_fail(e, HG_E_ARG, "%zu adapters; %d are the most", n, HG_MAX_ADAPTERS);
    for (size_t i = 0; i < n; i++) {
        if (use[i].adapter == NULL || use[i].adapter->m != m)
            return hg_fail(e, HG_E_ARG, "adapter %zu was opened for another model", i);
        if (!isfinite(use[i].scale))
            return hg_fail(e, HG_E_ARG, "the scale of adapter %zu is no finite number", i);
    }
    return HG_OK;
}

uint64_t hg_adapters_key(const hg_adapter_use *use, size_t n)
{
    uint64_t key = 0;
    for (size_t i = 0; i < n; i++) {
        key = hg_hash64(&use[i].adapter->lora.key, sizeof(uint64_t), key);
        key = hg_hash64(&use[i].scale, sizeof use[i].scale, key);
    }
    return n == 0 || key != 0 ? key : 1;
}
