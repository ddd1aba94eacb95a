/* The tensors that a GGUF is made of, listed from a model's folder or from another GGUF. */
#include "model/gguf_out.h"
#include <stdio.h>
#include <string.h>

static void set_shape(hg_item *it)
{
    it->rows = 1;
    for (int d = 0; d + 1 < it->n_dims; d++) it->rows *= (size_t)it->dim[d];
    it->cols = (size_t)it->dim[it->n_dims - 1];
}

/* ---- from a folder ---- */

/* What each rotary frequency is divided by goes into a GGUF as a tensor: one, or one for short and
 * one for long timelines. Returns how many and their names. */
static size_t factor_tensors(const hg_model *m, const char *names[2])
{
    hg_rope_kind kind = m->c.rope_scaling.kind;
    bool is_long = kind == HG_ROPE_LONG;
    names[0] = is_long ? "rope_factors_long.weight" : "rope_freqs.weight";
    names[1] = "rope_factors_short.weight";
    return is_long ? 2 : kind == HG_ROPE_LLAMA3 || kind == HG_ROPE_FACTORS ? 1 : 0;
}

static float factor(const hg_model *m, const hg_item *it, size_t i)
{
    bool is_long = strcmp(it->name, "rope_factors_long.weight") == 0;
    return (float)(hg_rope_plain(&m->c, (double)m->c.rope_theta, i) /
                   hg_rope_scaled(&m->c, i, is_long));
}

static void list_stored(hg_out *o, const hg_stored *st)
{
    hg_item *it = &o->item[o->n++];
    *it = (hg_item){.name = st->name, .st = st};
    it->n_dims = hg_stored_shape(st, it->dim);
    it->from = hg_param_type(o->model, st->part[0].t);
    it->to = it->from;
    /* llama.cpp's own converter has these in float32 whatever the type of the matrices. */
    if (st->cols == 0 || st->part[0].t == o->model->pos_embed) it->to = HG_F32;
    set_shape(it);
}

static hg_status list_model(hg_out *o, const char *from, hg_err *e)
{
    const char *factors[2];
    size_t n = 0;
    HG_TRY(hg_model_open_stored(&o->model, from, e));
    const hg_model *m = o->model;
    if (m->arch->act != hg_arch_find(m->arch->name)->act)
        return hg_fail(e, HG_E_UNSUPPORTED, "GGUF cannot say that this %s has another activation",
                       m->arch->name);
    HG_TRY(hg_stored_list(m, HG_FORMAT_GGUF, &o->list, &n, e));
    o->item = HG_NEW(&o->mem, hg_item, n + 2);
    if (o->item == NULL) return hg_fail(e, HG_E_NOMEM, "no room for a list of tensors");
    for (size_t i = 0, n_factors = factor_tensors(m, factors); i < n_factors; i++) {
        hg_item *it = &o->item[o->n++];
        *it = (hg_item){.name = factors[i], .n_dims = 1, .dim = {m->c.d_rot / 2}};
        set_shape(it);
    }
    for (size_t i = 0; i < n; i++) list_stored(o, &o->list[i]);
    o->facts = (hg_shape_facts){.n_layers = m->c.n_layers,
                                .n_heads = m->c.n_heads,
                                .n_kv_heads = m->c.n_kv_heads,
                                .n_experts = m->c.n_experts,
                                .is_tied = m->head == m->embed};
    return HG_OK;
}

/* ---- from a GGUF ---- */

/* A size of the architecture, or `fallback`; arrays of one a layer are not asked. */
static uint64_t fact(const hg_gguf *g, const char *name, uint64_t fallback)
{
    char key[128];
    hg_bytes arch = {"", 0};
    uint64_t v = fallback;
    if (hg_gguf_text(g, "general.architecture", &arch, NULL) != HG_OK || arch.n > 64) return v;
    (void)snprintf(key, sizeof key, "%.*s.%s", (int)arch.n, arch.p, name);
    (void)hg_gguf_uint(g, key, 1 << 20, &v, NULL);
    return v;
}

static hg_status list_gguf(hg_out *o, const char *from, hg_err *e)
{
    uint64_t file_type = 0;
    HG_TRY(hg_gguf_open(&o->gguf, &o->store, &o->mem, from, e));
    o->item = HG_NEW(&o->mem, hg_item, o->store.n);
    if (o->item == NULL) return hg_fail(e, HG_E_NOMEM, "no room for a list of tensors");
    for (; o->n < o->store.n; o->n++) {
        const hg_entry *en = &o->store.entry[o->n];
        hg_item *it = &o->item[o->n];
        *it = (hg_item){
            .name = en->name, .entry = en, .n_dims = en->n_dims, .from = en->type, .to = en->type};
        memcpy(it->dim, en->dim, sizeof it->dim);
        set_shape(it);
    }
    uint64_t n_heads = fact(&o->gguf, "attention.head_count", 1);
    o->facts = (hg_shape_facts){.n_layers = fact(&o->gguf, "block_count", 1),
                                .n_heads = n_heads,
                                .n_kv_heads = fact(&o->gguf, "attention.head_count_kv", n_heads),
                                .n_experts = fact(&o->gguf, "expert_count", 0),
                                .is_tied = hg_store_find(&o->store, "output.weight") == NULL};
    (void)hg_gguf_uint(&o->gguf, "general.file_type", UINT32_MAX, &file_type, NULL);
    o->file_type = (uint32_t)file_type;
    return HG_OK;
}

hg_status hg_out_open(hg_out *o, const char *from, hg_err *e)
{
    memset(o, 0, sizeof *o);
    o->path = from;
    hg_store_init(&o->store);
    hg_arena_init(&o->mem, (size_t)1 << 16);
    hg_kernels_init(&o->k, HG_N_ISA);
    bool is_gguf = hg_path_exists(from) && !hg_path_is_dir(from);
    hg_status s = is_gguf ? list_gguf(o, from, e) : list_model(o, from, e);
    if (s != HG_OK) hg_out_free(o);
    return s;
}

void hg_out_free(hg_out *o)
{
    hg_free(o->list);
    hg_model_free(o->model);
    hg_store_free(&o->store);
    hg_arena_free(&o->mem);
    memset(o, 0, sizeof *o);
}

/* ---- rows ---- */

/* A row of a stored tensor, counted over all its parts and experts; of vectors, `cols` values. */
static void stored_row(const hg_model *m, const hg_stored *st, size_t r, size_t cols, float *to)
{
    const hg_part *part = NULL;
    size_t at = 0;
    if (st->cols > 0) {
        part = hg_stored_part(st, r, NULL, &at);
        if (part != NULL) hg_model_values(m, part->t, at * cols, at * cols + cols, to);
        return;
    }
    for (size_t i = 0; i < cols; i++) {
        part = hg_stored_part(st, r * cols + i, part, &at);
        if (part != NULL) hg_model_values(m, part->t, at, at + 1, to + i);
    }
}

void hg_item_row(const hg_out *o, const hg_item *it, size_t r, float *to)
{
    uint16_t raw[1024];
    if (it->st != NULL) {
        stored_row(o->model, it->st, r, it->cols, to);
        return;
    }
    if (it->entry == NULL) {
        for (size_t i = 0; i < it->cols; i++) to[i] = factor(o->model, it, i);
        return;
    }
    const unsigned char *from = it->entry->p + r * hg_type_bytes(it->from, it->cols);
    if (it->from == HG_F32) {
        memcpy(to, from, it->cols * sizeof *to);
        return;
    }
    for (size_t at = 0; at < it->cols; at += 1024) { /* in pieces, for the file aligns nothing */
        size_t n = it->cols - at < 1024 ? it->cols - at : 1024;
        memcpy(raw, from + hg_type_bytes(it->from, at), hg_type_bytes(it->from, n));
        hg_to_f32(&o->k, to + at, raw, it->from, n);
    }
}
