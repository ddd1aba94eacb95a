/* Opening a model: a Hugging Face folder or a GGUF, for one of three uses.
 *
 * For inference each matrix is packed once into the kernels' own layout and then read nowhere else;
 * vectors become float32; the embedding stays as stored, for its rows are looked up one by one. For
 * training everything becomes float32 with a gradient. For export nothing is taken from the mapped
 * files until it is written. */
#include "model/inner.h"
#include "kernels/quant.h"
#include "tensor/matmul.h"
#include "token/token.h"
#include <string.h>

enum { MAX_TEMPLATE = 1 << 20 };

typedef enum use { FOR_INFERENCE, FOR_TRAINING, FOR_TUNING, FOR_EXPORT } use;

/* ---- values ---- */

hg_type hg_param_type(const hg_model *m, const hg_tensor *t)
{
    return m->files != NULL ? m->files->source[t - m->tensors].entry->type : t->type;
}

hg_type hg_type_as(hg_type stored, hg_weights as)
{
    switch (as) {
    case HG_WEIGHTS_F32:
        return HG_F32;
    case HG_WEIGHTS_F16:
        return HG_F16;
    case HG_WEIGHTS_BF16:
        return HG_BF16;
    default:
        return stored;
    }
}

hg_type hg_type_plain(hg_type stored, hg_weights as)
{
    hg_type t = hg_type_as(stored, as);
    return hg_type_is_block(t) ? HG_F32 : t;
}

void hg_to_f32(const hg_kernels *k, float *to, const void *from, hg_type type, size_t n)
{
    if (type == HG_F16)
        k->f16_to_f32(to, from, n);
    else if (type == HG_BF16)
        k->bf16_to_f32(to, from, n);
    else if (hg_type_is_block(type))
        hg_blocks_to_f32(to, from, type, n);
    else
        memcpy(to, from, n * sizeof *to);
}

void hg_from_f32(const hg_kernels *k, void *to, hg_type type, const float *from, size_t n)
{
    if (type == HG_F16)
        k->f32_to_f16(to, from, n);
    else if (type == HG_BF16)
        k->f32_to_bf16(to, from, n);
    else
        memcpy(to, from, n * sizeof *from);
}

/* Values [begin, end) of a parameter, in its order, as float32. */
static void source_f32(const hg_source *s, const hg_kernels *k, size_t begin, size_t end,
                       float *out)
{
    uint16_t raw[1024]; /* a multiple of every block, none of whose types has more than 2 bytes */
    if (s->entry->type == HG_F32) {
        hg_source_copy(s, begin, end, out);
        for (size_t i = 0; i < end - begin && s->less > 0.0f; i++) out[i] += s->less;
        return;
    }
    while (begin < end) {
        size_t n = end - begin < 1024 ? end - begin : 1024;
        hg_source_copy(s, begin, begin + n, raw);
        hg_to_f32(k, out, raw, s->entry->type, n);
        for (size_t i = 0; i < n && s->less > 0.0f; i++) out[i] += s->less;
        begin += n;
        out += n;
    }
}

void hg_model_values(const hg_model *m, const hg_tensor *t, size_t begin, size_t end, float *out)
{
    if (m->files != NULL)
        source_f32(&m->files->source[t - m->tensors], &m->k, begin, end, out);
    else
        memcpy(out, (const float *)t->data + begin, (end - begin) * sizeof *out);
}

void hg_model_row(const hg_model *m, const hg_tensor *t, size_t r, float *out)
{
    const size_t n = hg_tensor_cols(t);
    hg_model_values(m, t, r * n, r * n + n, out);
}

/* Values [begin, end) of the parameter in the type wanted; multiples of the type's block. */
static void fill(const hg_model *m, const hg_tensor *t, hg_type want, size_t begin, size_t end,
                 void *out)
{
    const hg_source *s = &m->files->source[t - m->tensors];
    unsigned char *to = out;
    float part[1024];
    if (want == s->entry->type && !(s->less > 0.0f)) {
        hg_source_copy(s, begin, end, out);
        return;
    }
    for (size_t n; begin < end; begin += n) {
        n = end - begin < 1024 ? end - begin : 1024;
        source_f32(s, &m->k, begin, begin + n, part);
        hg_from_f32(&m->k, to, want, part, n);
        to += hg_type_bytes(want, n);
    }
}

/* ---- for inference ---- */

/* A mapped table is only read; tensors have no const values. */
static void *unconst(const void *p)
{
    return (void *)(uintptr_t)p;
}

static hg_status hold_rows(hg_model *m, hg_tensor *t, hg_type want, hg_err *e)
{
    const hg_source *s = &m->files->source[t - m->tensors];
    const void *direct = want == s->entry->type ? hg_source_direct(s) : NULL;
    t->type = want;
    if (direct != NULL) {
        t->data = unconst(direct);
        /* Of a tied table the head holds the bytes; looking up touches a few rows of the file. */
        if (t != m->head) m->n_bytes += s->entry->n_bytes;
        return HG_OK;
    }
    size_t size = hg_type_bytes(want, hg_tensor_count(t));
    t->data = hg_arena_raw(&m->mem, size, 1);
    if (t->data == NULL) return hg_fail(e, HG_E_NOMEM, "no room for %s", t->name);
    fill(m, t, want, 0, hg_tensor_count(t), t->data);
    m->n_bytes += size;
    return HG_OK;
}

/* A matrix whose values do not lie in the file as the model wants them. */
typedef struct unordered {
    const hg_model *m;
    const hg_tensor *t;
    hg_type want;
} unordered;

static void put_rows(const void *ctx, size_t row, size_t n, void *to)
{
    const unordered *u = ctx;
    const size_t cols = hg_tensor_cols(u->t);
    fill(u->m, u->t, u->want, row * cols, (row + n) * cols, to);
}

static hg_status pack(hg_model *m, hg_tensor *t, hg_type want, hg_runtime *rt, hg_err *e)
{
    const hg_source *s = &m->files->source[t - m->tensors];
    const void *direct = want == s->entry->type ? hg_source_direct(s) : NULL;
    const size_t size = hg_packed_size(rt, want, t->dim[0], t->dim[1]);
    t->type = want;
    t->packed = hg_arena_raw(&m->packed, size, 1);
    if (t->packed == NULL)
        return hg_fail(e, HG_E_NOMEM, "no room for %s: %zu bytes", t->name, size);
    if (direct != NULL) {
        const hg_matrix w = {direct, want, t->dim[1], 1};
        hg_pack_weight(rt, want, t->packed, &w, t->dim[0], t->dim[1]);
    } else {
        const unordered u = {m, t, want};
        HG_TRY(hg_pack_rows(rt, want, t->packed, put_rows, &u, t->dim[0], t->dim[1], e));
    }
    hg_map_release(s->entry->p, s->entry->n_bytes);
    m->n_bytes += size;
    return HG_OK;
}

static bool is_table(const hg_model *m, const hg_tensor *t)
{
    return t == m->embed || t == m->pos_embed;
}
static bool is_matrix(const hg_model *m, const hg_tensor *t)
{
    return t->n_dims == 2 && (t == m->head || !is_table(m, t));
}

/* Of the products that attention needs: each weight brings its own. */
static hg_compute family(const hg_model *m, hg_weights as)
{
    for (size_t i = 0; i < m->n_params; i++)
        if (is_matrix(m, m->param[i]) && hg_type_as(hg_param_type(m, m->param[i]), as) != HG_BF16)
            return HG_COMPUTE_F32;
    return HG_COMPUTE_BF16;
}

/* Bytes of all matrices once packed. */
static size_t packed_bytes(const hg_model *m, hg_weights as, const hg_runtime *rt)
{
    enum { ALIGNMENT = 64 };
    size_t n = 0;
    for (size_t i = 0; i < m->n_params; i++) {
        const hg_tensor *t = m->param[i];
        if (is_matrix(m, t))
            n += ALIGNMENT +
                 hg_packed_size(rt, hg_type_as(hg_param_type(m, t), as), t->dim[0], t->dim[1]);
    }
    return n;
}

static hg_status load_for_inference(hg_model *m, hg_weights as, hg_runtime *rt, hg_err *e)
{
    m->compute = family(m, as);
    hg_arena_init(&m->packed, packed_bytes(m, as, rt));
    for (size_t i = 0; i < m->n_params; i++) {
        hg_tensor *t = m->param[i];
        hg_type want = hg_type_as(hg_param_type(m, t), as);
        if (t->n_dims == 1) HG_TRY(hold_rows(m, t, HG_F32, e));
        if (is_table(m, t)) HG_TRY(hold_rows(m, t, want, e));
        if (is_matrix(m, t)) HG_TRY(pack(m, t, want, rt, e));
    }
    return HG_OK;
}

/* ---- for training ---- */

static hg_status load_for_training(hg_model *m, bool is_frozen, hg_err *e)
{
    HG_TRY(hg_model_make_trainable(m, is_frozen, e));
    for (size_t i = 0; i < m->n_params; i++)
        fill(m, m->param[i], HG_F32, 0, hg_tensor_count(m->param[i]), m->param[i]->data);
    hg_store_free(&m->files->store);
    hg_free(m->files);
    m->files = NULL; /* from now on the values in memory are the model */
    return HG_OK;
}

/* What stays as it is while an adapter is trained lies as the files have it: mapped where its rows
 * are in order, else copied. Vectors are floats. */
static hg_status load_for_tuning(hg_model *m, hg_err *e)
{
    for (size_t i = 0; i < m->n_params; i++) {
        hg_tensor *t = m->param[i];
        t->needs_grad = false;
        HG_TRY(hold_rows(m, t, t->n_dims == 1 ? HG_F32 : hg_param_type(m, t), e));
    }
    return HG_OK;
}

/* ---- files ---- */

/* Makes the model of a configuration and binds it to the files, which it takes over if all goes
 * well. */
static hg_status bind_model(hg_model **out, const hg_model_config *c, const hg_arch *row,
                            hg_files *f, hg_err *e)
{
    hg_model *m = NULL;
    HG_TRY(hg_model_make(&m, c, row, e));
    hg_status s = hg_files_bind(m, f, e);
    if (s != HG_OK) {
        hg_model_free(m);
        return s;
    }
    m->files = f;
    *out = m;
    return HG_OK;
}

static hg_status read_config(const char *dir, hg_model_config *c, hg_arch *row, hg_err *e)
{
    hg_buf text = {0};
    hg_err why = {0};
    char *path = hg_path_join(dir, "config.json");
    if (path == NULL) return hg_fail(e, HG_E_NOMEM, "no room for a path");
    hg_status s = hg_file_read(&text, path, HG_MAX_CONFIG, e);
    if (s == HG_OK) {
        s = hg_config_parse(c, row, (hg_bytes){text.p, text.n}, &why);
        if (s != HG_OK) (void)hg_fail(e, s, "%s: %s", path, why.msg);
    }
    if (s == HG_OK) s = hg_config_add_generation(c, dir, e);
    hg_buf_free(&text);
    hg_free(path);
    return s;
}

/* chat_template of tokenizer_config.json: a text, or a list of named ones. */
static const char *find_template(const json_t *config)
{
    const json_t *v = json_object_get(config, "chat_template");
    for (size_t i = 0; i < json_array_size(v); i++) {
        const json_t *item = json_array_get(v, i);
        const char *name = json_string_value(json_object_get(item, "name"));
        if (name != NULL && strcmp(name, "default") == 0)
            return json_string_value(json_object_get(item, "template"));
    }
    return json_string_value(v);
}

static hg_status copy_text(char **out, const char *text, hg_err *e)
{
    *out = text == NULL ? NULL : hg_strdup(text);
    if (text != NULL && *out == NULL) return hg_fail(e, HG_E_NOMEM, "no room for a chat template");
    return HG_OK;
}

hg_status hg_chat_template_of_folder(char **out, const char *dir, hg_err *e)
{
    char *own = hg_path_join(dir, "chat_template.jinja");
    char *config = hg_path_join(dir, "tokenizer_config.json");
    hg_buf text = {0};
    json_t *json = NULL;
    hg_status s = HG_OK;
    *out = NULL;
    if (own == NULL || config == NULL) {
        s = hg_fail(e, HG_E_NOMEM, "no room for a path");
    } else if (hg_path_exists(own)) {
        s = hg_file_read(&text, own, MAX_TEMPLATE, e);
        if (s == HG_OK) s = copy_text(out, text.p, e);
    } else if (hg_path_exists(config)) {
        s = hg_json_read(&json, config, HG_MAX_CONFIG, e);
        if (s == HG_OK) s = copy_text(out, find_template(json), e);
    }
    json_decref(json);
    hg_buf_free(&text);
    hg_free(own);
    hg_free(config);
    return s;
}

static hg_status read_tokenizer(hg_model *m, const char *dir, hg_err *e)
{
    HG_TRY(hg_tokenizer_of_folder(&m->tokenizer, dir, e));
    return hg_chat_template_of_folder(&m->chat_template, dir, e);
}

static hg_status open_folder(hg_model **out, const char *path, hg_files *f, hg_err *e)
{
    hg_model_config c;
    hg_arch row;
    f->format = HG_FORMAT_SAFETENSORS;
    HG_TRY(read_config(path, &c, &row, e));
    HG_TRY(hg_safetensors_open(&f->store, path, e));
    HG_TRY(hg_mxfp4_join(&f->store, path, e));
    hg_err why = {0};
    hg_status s = bind_model(out, &c, &row, f, &why);
    return s == HG_OK ? read_tokenizer(*out, path, e) : hg_fail(e, s, "%s: %s", path, why.msg);
}

/* What of a GGUF must outlive its header. */
static hg_status keep_of_gguf(hg_model *m, const hg_gguf *g, hg_err *e)
{
    hg_bytes text = {NULL, 0};
    HG_TRY(hg_gguf_text(g, "tokenizer.chat_template", &text, e));
    if (text.p != NULL) {
        m->chat_template = hg_strndup(text.p, text.n);
        if (m->chat_template == NULL) return hg_fail(e, HG_E_NOMEM, "no room for a template");
    }
    return hg_gguf_tokenizer(g, &m->tokenizer, e);
}

static hg_status build_of_gguf(hg_model **out, const hg_gguf *g, hg_files *f, hg_err *e)
{
    hg_model_config c;
    hg_arch row;
    HG_TRY(hg_gguf_config(g, &f->store, &c, &row, e));
    HG_TRY(bind_model(out, &c, &row, f, e));
    return keep_of_gguf(*out, g, e);
}

static hg_status open_gguf(hg_model **out, const char *path, hg_files *f, hg_err *e)
{
    hg_gguf g;
    hg_arena mem;
    hg_err why = {0};
    f->format = HG_FORMAT_GGUF;
    hg_arena_init(&mem, (size_t)1 << 16);
    hg_status s = hg_gguf_open(&g, &f->store, &mem, path, e);
    if (s == HG_OK) {
        s = build_of_gguf(out, &g, f, &why);
        if (s != HG_OK) (void)hg_fail(e, s, "%s: %s", path, why.msg);
    }
    hg_arena_free(&mem);
    return s;
}

static hg_status open_for(hg_model **out, const char *path, use u, hg_weights as, hg_runtime *rt,
                          hg_err *e)
{
    *out = NULL;
    hg_model *m = NULL;
    if (!hg_path_exists(path))
        return hg_fail(e, HG_E_MISSING,
                       "%s: no such folder or file; a folder with config.json or "
                       "a .gguf file is a model",
                       path);
    hg_files *f = hg_alloc(1, sizeof *f);
    if (f == NULL) return hg_fail(e, HG_E_NOMEM, "no room for a model");
    hg_store_init(&f->store);
    hg_status s = hg_path_is_dir(path) ? open_folder(&m, path, f, e) : open_gguf(&m, path, f, e);
    if (s == HG_OK && u == FOR_INFERENCE) s = load_for_inference(m, as, rt, e);
    if (s == HG_OK && u == FOR_TUNING && as == HG_WEIGHTS_AS_STORED) s = load_for_tuning(m, e);
    if (s == HG_OK && (u == FOR_TRAINING || (u == FOR_TUNING && as != HG_WEIGHTS_AS_STORED)))
        s = load_for_training(m, u == FOR_TUNING, e);
    if (s == HG_OK) {
        *out = m;
        return HG_OK;
    }
    if (m == NULL) { /* else the model owns the files, or has closed them */
        hg_store_free(&f->store);
        hg_free(f);
    }
    hg_model_free(m);
    return s;
}

hg_status hg_model_open(hg_model **out, const char *path, hg_weights as, hg_runtime *rt, hg_err *e)
{
    return open_for(out, path, FOR_INFERENCE, as, rt, e);
}

hg_status hg_model_open_trainable(hg_model **out, const char *path, hg_err *e)
{
    return open_for(out, path, FOR_TRAINING, HG_WEIGHTS_F32, NULL, e);
}

hg_status hg_model_open_frozen(hg_model **out, const char *path, bool as_stored, hg_err *e)
{
    const hg_weights as = as_stored ? HG_WEIGHTS_AS_STORED : HG_WEIGHTS_F32;
    return open_for(out, path, FOR_TUNING, as, NULL, e);
}

hg_status hg_model_open_stored(hg_model **out, const char *path, hg_err *e)
{
    return open_for(out, path, FOR_EXPORT, HG_WEIGHTS_AS_STORED, NULL, e);
}
