/* A model as one GGUF file of version 3: header, metadata, the list of tensors, their values, each
 * at a multiple of 32 bytes. Vectors and learned positions are float32 whatever the type of the
 * matrices, as llama.cpp's own converter has it. */
#include "model/inner.h"
#include <stdio.h>
#include <string.h>

enum { ALIGNMENT = 32, VERSION = 3 };

static void put(hg_buf *b, uint64_t v, size_t n)
{
    for (size_t i = 0; i < n; i++) hg_buf_putc(b, (char)(unsigned char)(v >> (8 * i)));
}

static hg_type type_of(const hg_model *m, const hg_stored *st, hg_weights as)
{
    if (st->cols == 0 || st->part[0] == m->pos_embed) return HG_F32;
    return hg_type_as(hg_param_type(m, st->part[0]), as);
}

static uint64_t aligned(uint64_t n)
{
    return (n + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static uint64_t bytes_of(const hg_stored *st, hg_type type)
{
    return hg_type_bytes(type, st->rows * (st->cols > 0 ? st->cols : 1));
}

static void put_tensor(hg_buf *b, const char *name, size_t rows, size_t cols, hg_type type,
                       uint64_t offset)
{
    put(b, strlen(name), 8);
    hg_buf_puts(b, name);
    put(b, cols > 0 ? 2 : 1, 4);
    if (cols > 0) put(b, cols, 8);
    put(b, rows, 8);
    put(b, hg_gguf_type_number(type), 4);
    put(b, offset, 8);
}

/* Llama 3's scaled frequencies go into a GGUF as what each one is divided by. */
static bool has_factors(const hg_model *m)
{
    return m->c.rope_scaling.kind == HG_ROPE_LLAMA3 || m->rope_factors != NULL;
}

static float factor(const hg_model *m, size_t i)
{
    if (m->rope_factors != NULL) return m->rope_factors[i];
    double f = hg_rope_plain(&m->c, i);
    return (float)(f / hg_rope_scaled(&m->c, f));
}

static hg_status put_header(hg_buf *b, const hg_model *m, const hg_stored *list, size_t n,
                            hg_weights as, hg_err *e)
{
    hg_buf metadata = {0};
    uint64_t n_kv = 0, offset = 0;
    hg_status s = hg_gguf_put_metadata(&metadata, &n_kv, m, as, e);
    if (s == HG_OK) {
        hg_buf_puts(b, "GGUF");
        put(b, VERSION, 4);
        put(b, n + (has_factors(m) ? 1 : 0), 8);
        put(b, n_kv, 8);
        hg_buf_put(b, metadata.p, metadata.n);
        if (has_factors(m)) {
            put_tensor(b, "rope_freqs.weight", m->c.d_head / 2, 0, HG_F32, 0);
            offset = aligned(m->c.d_head / 2 * sizeof(float));
        }
        for (size_t i = 0; i < n; i++) {
            hg_type type = type_of(m, &list[i], as);
            put_tensor(b, list[i].name, list[i].rows, list[i].cols, type, offset);
            offset += aligned(bytes_of(&list[i], type));
        }
        s = hg_buf_status(b, e);
    }
    hg_buf_free(&metadata);
    return s;
}

static hg_status pad(hg_writer *w, uint64_t written, hg_err *e)
{
    static const char zeros[ALIGNMENT];
    return hg_writer_put(w, zeros, (size_t)(aligned(written) - written), e);
}

static hg_status put_factors(hg_writer *w, const hg_model *m, hg_err *e)
{
    size_t n = m->c.d_head / 2;
    for (size_t i = 0; i < n; i++) {
        float f = factor(m, i);
        HG_TRY(hg_writer_put(w, &f, sizeof f, e));
    }
    return pad(w, n * sizeof(float), e);
}

static hg_status write_all(hg_writer *w, const hg_model *m, const hg_stored *list, size_t n,
                           hg_weights as, const hg_watch *watch, hg_err *e)
{
    hg_buf header = {0};
    hg_status s = put_header(&header, m, list, n, as, e);
    if (s == HG_OK) s = hg_writer_put(w, header.p, header.n, e);
    if (s == HG_OK) s = pad(w, header.n, e);
    if (s == HG_OK && has_factors(m)) s = put_factors(w, m, e);
    for (size_t i = 0; i < n && s == HG_OK; i++) {
        hg_type type = type_of(m, &list[i], as);
        hg_progress p = {.stage = "writing",
                         .unit = "tensors",
                         .note = list[i].name,
                         .done = (double)i,
                         .total = (double)n};
        hg_watch_progress(watch, &p);
        if (hg_watch_stopped(watch)) s = hg_fail(e, HG_E_CANCELED, "stopped; nothing was written");
        if (s == HG_OK) s = hg_stored_write(w, m, &list[i], type, e);
        if (s == HG_OK) s = pad(w, bytes_of(&list[i], type), e);
    }
    hg_buf_free(&header);
    return s;
}

hg_status hg_model_export_gguf(const char *from, const char *to, hg_weights as, const hg_watch *w,
                               hg_err *e)
{
    hg_model *m = NULL;
    hg_stored *list = NULL;
    size_t n = 0;
    hg_writer *out = NULL;
    hg_status s = hg_model_open_stored(&m, from, e);
    if (s == HG_OK && m->arch->act != hg_arch_find(m->arch->name)->act)
        s = hg_fail(e, HG_E_UNSUPPORTED, "GGUF cannot say that this %s has another activation",
                    m->arch->name);
    if (s == HG_OK) s = hg_stored_list(m, HG_FORMAT_GGUF, &list, &n, e);
    if (s == HG_OK) s = hg_writer_open(&out, to, e);
    if (s == HG_OK) {
        s = write_all(out, m, list, n, as, w, e);
        if (s == HG_OK)
            s = hg_writer_commit(out, e);
        else
            hg_writer_abort(out);
    }
    hg_free(list);
    hg_model_free(m);
    return s;
}
