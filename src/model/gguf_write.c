/* A model as one GGUF file of version 3: header, metadata, the list of tensors, their values, each
 * at a multiple of 32 bytes. From another GGUF its metadata is taken over, but for what says how
 * the values are stored. */
#include "model/gguf_out.h"
#include "model/gguf_meta.h"
#include <stdio.h>
#include <string.h>

enum { ALIGNMENT = 32, VERSION = 3, BLOCKS_VERSION = 2 };

static uint64_t aligned(uint64_t n)
{
    return (n + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static uint64_t bytes_of(const hg_item *it)
{
    if (it->to == HG_N_TYPES) return it->entry->n_bytes;
    return (uint64_t)it->rows * hg_type_bytes(it->to, it->cols);
}

static void put_tensor(hg_buf *b, const hg_item *it, uint64_t offset)
{
    hg_meta_string(b, it->name, strlen(it->name));
    hg_meta_put(b, (uint64_t)it->n_dims, 4);
    for (int d = it->n_dims; d-- > 0;) hg_meta_put(b, it->dim[d], 8);
    hg_meta_put(b, it->to == HG_N_TYPES ? it->entry->number : hg_gguf_type_number(it->to), 4);
    hg_meta_put(b, offset, 8);
}

/* ---- metadata ---- */

static bool is_ours(hg_bytes key)
{
    static const char *const keys[] = {"general.file_type", "general.quantization_version",
                                       "general.alignment", "split.", "quantize.imatrix."};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        size_t n = strlen(keys[i]);
        bool is_prefix = keys[i][n - 1] == '.';
        if (key.n >= n && (is_prefix || key.n == n) && memcmp(key.p, keys[i], n) == 0) return true;
    }
    return false;
}

static void copy_metadata(hg_meta *m, const hg_gguf *g)
{
    for (size_t i = 0; i < g->n_kv; i++) {
        const hg_gguf_kv *kv = &g->kv[i];
        if (is_ours(kv->key)) continue;
        hg_meta_string(m->b, kv->key.p, kv->key.n);
        hg_meta_put(m->b, kv->type, 4);
        if (kv->type == GGUF_ARRAY) {
            hg_meta_put(m->b, kv->item, 4);
            hg_meta_put(m->b, kv->n, 8);
        }
        hg_buf_put(m->b, kv->p, kv->n_bytes);
        m->n_kv++;
    }
}

static hg_status put_metadata(hg_buf *b, uint64_t *n_kv, const hg_out *o, const hg_out_plan *p,
                              hg_err *e)
{
    hg_meta m = {.b = b, .arch = ""};
    bool has_blocks = false;
    if (o->model != NULL) {
        HG_TRY(hg_gguf_put_metadata(b, &m.n_kv, o->model, o->file_type, e));
    } else {
        copy_metadata(&m, &o->gguf);
        hg_meta_u32(&m, "general.file_type", o->file_type);
    }
    for (size_t i = 0; i < o->n; i++) has_blocks |= hg_type_is_block(o->item[i].to);
    if (has_blocks) hg_meta_u32(&m, "general.quantization_version", BLOCKS_VERSION);
    if (p->extra != NULL) hg_buf_put(b, p->extra->p, p->extra->n);
    *n_kv = m.n_kv + p->n_extra;
    return hg_buf_status(b, e);
}

static hg_status put_header(hg_buf *b, const hg_out *o, const hg_out_plan *p, hg_err *e)
{
    hg_buf metadata = {0};
    uint64_t n_kv = 0, offset = 0;
    hg_status s = put_metadata(&metadata, &n_kv, o, p, e);
    if (s == HG_OK) {
        hg_buf_puts(b, "GGUF");
        hg_meta_put(b, VERSION, 4);
        hg_meta_put(b, o->n, 8);
        hg_meta_put(b, n_kv, 8);
        hg_buf_put(b, metadata.p, metadata.n);
        for (size_t i = 0; i < o->n; i++) {
            put_tensor(b, &o->item[i], offset);
            offset += aligned(bytes_of(&o->item[i]));
        }
        s = hg_buf_status(b, e);
    }
    hg_buf_free(&metadata);
    return s;
}

/* ---- values ---- */

/* Rows of another plain type. */
static hg_status put_rows(hg_writer *w, const hg_out *o, const hg_item *it, hg_err *e)
{
    float *row = hg_alloc(it->cols, sizeof *row);
    void *to = hg_alloc(it->cols, sizeof *row);
    hg_status s = HG_OK;
    if (row == NULL || to == NULL) s = hg_fail(e, HG_E_NOMEM, "no room to write %s", it->name);
    for (size_t r = 0; r < it->rows && s == HG_OK; r++) {
        hg_item_row(o, it, r, row);
        hg_from_f32(&o->k, to, it->to, row, it->cols);
        s = hg_writer_put(w, to, hg_type_bytes(it->to, it->cols), e);
    }
    hg_free(row);
    hg_free(to);
    return s;
}

static hg_status put_item(hg_writer *w, const hg_out *o, const hg_item *it, const hg_out_plan *p,
                          hg_err *e)
{
    hg_fitting f = {.pool = p->pool};
    if (it->to == it->from && it->entry != NULL)
        return hg_writer_put(w, it->entry->p, (size_t)it->entry->n_bytes, e);
    if (it->st != NULL && (it->to == it->from || !hg_type_is_block(it->to)))
        return hg_stored_write(w, o->model, it->st, it->to, e);
    if (!hg_type_is_block(it->to)) return put_rows(w, o, it, e);
    if (p->weights != NULL && !p->weights(p->ctx, it, &f)) f.weight = NULL;
    return hg_item_fit(w, o, it, &f, e);
}

static hg_status pad(hg_writer *w, uint64_t written, hg_err *e)
{
    static const char zeros[ALIGNMENT];
    return hg_writer_put(w, zeros, (size_t)(aligned(written) - written), e);
}

static hg_status write_all(hg_writer *w, const hg_out *o, const hg_out_plan *p,
                           const hg_watch *watch, hg_err *e)
{
    hg_buf header = {0};
    uint64_t done = 0, total = 0;
    for (size_t i = 0; i < o->n; i++) total += bytes_of(&o->item[i]);
    hg_status s = put_header(&header, o, p, e);
    if (s == HG_OK) s = hg_writer_put(w, header.p, header.n, e);
    if (s == HG_OK) s = pad(w, header.n, e);
    for (size_t i = 0; i < o->n && s == HG_OK; i++) {
        hg_progress at = {.stage = "writing",
                          .unit = "bytes",
                          .note = o->item[i].name,
                          .done = (double)done,
                          .total = (double)total};
        hg_watch_progress(watch, &at);
        if (hg_watch_stopped(watch)) s = hg_fail(e, HG_E_CANCELED, "stopped; nothing was written");
        if (s == HG_OK) s = put_item(w, o, &o->item[i], p, e);
        if (s == HG_OK) s = pad(w, bytes_of(&o->item[i]), e);
        done += bytes_of(&o->item[i]);
    }
    hg_buf_free(&header);
    return s;
}

hg_status hg_out_write(const hg_out *o, const char *to, const hg_out_plan *p, const hg_watch *w,
                       hg_err *e)
{
    hg_writer *out = NULL;
    HG_TRY(hg_writer_open(&out, to, e));
    hg_status s = write_all(out, o, p, w, e);
    if (s == HG_OK) return hg_writer_commit(out, e);
    hg_writer_abort(out);
    return s;
}
