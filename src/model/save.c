/* Writing a model as a Hugging Face folder, whole or not at all: config.json,
 * generation_config.json, model.safetensors, tokenizer.json, tokenizer_config.json, the chat
 * template, a card. What other programs need in order to open it is all there. */
#include "model/inner.h"
#include "text/json.h"
#include "token/token.h"
#include <string.h>

/* ---- values ---- */

/* Converts and writes n values. */
static hg_status put_values(hg_writer *w, const hg_kernels *k, const float *v, size_t n,
                            hg_type type, hg_err *e)
{
    uint16_t half[1024];
    if (type == HG_F32) return hg_writer_put(w, v, n * sizeof *v, e);
    for (size_t at = 0; at < n; at += 1024) {
        size_t part = n - at < 1024 ? n - at : 1024;
        hg_from_f32(k, half, type, v + at, part);
        HG_TRY(hg_writer_put(w, half, part * sizeof *half, e));
    }
    return HG_OK;
}

/* Rows of blocks as the files have them. */
static hg_status write_blocks(hg_writer *w, const hg_model *m, const hg_stored *st, void *row,
                              hg_err *e)
{
    const hg_part *p = NULL;
    for (size_t i = 0, r; i < st->rows; i++) {
        p = hg_stored_part(st, i, p, &r);
        hg_source_copy(&m->files->source[p->t - m->tensors], r * st->cols, (r + 1) * st->cols, row);
        HG_TRY(hg_writer_put(w, row, hg_type_bytes(hg_param_type(m, p->t), st->cols), e));
    }
    return HG_OK;
}

static hg_status write_rows(hg_writer *w, const hg_model *m, const hg_stored *st, hg_type type,
                            float *row, hg_err *e)
{
    const hg_part *p = NULL;
    for (size_t i = 0, r; i < st->rows; i++) {
        p = hg_stored_part(st, i, p, &r);
        hg_model_row(m, p->t, r, row);
        HG_TRY(put_values(w, &m->k, row, st->cols, type, e));
    }
    return HG_OK;
}

/* `line` has room for all of it, `all` for one part. */
static hg_status write_vector(hg_writer *w, const hg_model *m, const hg_stored *st, hg_type type,
                              float *all, float *line, hg_err *e)
{
    for (size_t i = 0; i < st->n_parts; i++) {
        const hg_part *p = &st->part[i];
        hg_model_row(m, p->t, 0, all);
        for (size_t r = 0; r < p->t->dim[0]; r++)
            line[hg_stored_place(st, p, r)] = all[r] - st->less;
    }
    return put_values(w, &m->k, line, st->rows, type, e);
}

/* Matrix after matrix, if there are several; `all` has room for one. */
static hg_status write_transposed(hg_writer *w, const hg_model *m, const hg_stored *st,
                                  hg_type type, float *all, float *line, hg_err *e)
{
    size_t n = st->n_experts > 0 ? st->rows / st->n_experts : st->rows;
    const hg_part *p = NULL;
    for (size_t from = 0; from < st->rows; from += n) {
        for (size_t i = 0, r; i < n; i++) {
            p = hg_stored_part(st, from + i, p, &r);
            hg_model_row(m, p->t, r, all + i * st->cols);
        }
        for (size_t c = 0; c < st->cols; c++) {
            for (size_t i = 0; i < n; i++) line[i] = all[i * st->cols + c];
            HG_TRY(put_values(w, &m->k, line, n, type, e));
        }
    }
    return HG_OK;
}

hg_status hg_stored_write(hg_writer *w, const hg_model *m, const hg_stored *st, hg_type type,
                          hg_err *e)
{
    size_t cols = st->cols > 0 ? st->cols : 1;
    size_t longest = st->rows > cols ? st->rows : cols;
    size_t rows = st->n_experts > 0 ? st->rows / st->n_experts : st->rows;
    bool is_whole = st->cols == 0 || st->is_transposed;
    float *line = hg_alloc(longest, sizeof *line), *all = NULL;
    if (is_whole) all = hg_alloc(rows, cols * sizeof *all);
    hg_status s;
    if (line == NULL || (is_whole && all == NULL))
        s = hg_fail(e, HG_E_NOMEM, "no room to write %s", st->name);
    else if (st->cols == 0)
        s = write_vector(w, m, st, type, all, line, e);
    else if (hg_type_is_block(type))
        s = write_blocks(w, m, st, line, e);
    else if (st->is_transposed)
        s = write_transposed(w, m, st, type, all, line, e);
    else
        s = write_rows(w, m, st, type, line, e);
    hg_free(line);
    hg_free(all);
    return s;
}

/* ---- the files beside the weights ---- */

static void put_id(hg_json_out *o, const char *key, int32_t id)
{
    if (id >= 0) hg_json_int(o, key, id);
}

/* A text ends with its own token, an answer with that of its turn or another one. */
static void put_ends(hg_json_out *o, const hg_model *m)
{
    hg_model_config c = m->c; /* its own end, and the others */
    const int32_t turn = m->tokenizer == NULL ? -1 : hg_chat_end_id(m->tokenizer);
    if (c.eos_id < 0) c.eos_id = turn;
    if (c.eos_id < 0) return;
    hg_config_add_end(&c, turn);
    if (c.n_ends == 0) {
        hg_json_int(o, "eos_token_id", c.eos_id);
        return;
    }
    hg_json_begin(o, "eos_token_id", '[');
    hg_json_int(o, NULL, c.eos_id);
    for (uint32_t i = 0; i < c.n_ends; i++) hg_json_int(o, NULL, c.end_id[i]);
    hg_json_end(o);
}

static hg_status put_generation_config(hg_buf *b, const hg_model *m, hg_err *e)
{
    hg_json_out o;
    hg_json_out_init(&o, b, 2);
    hg_json_begin(&o, NULL, '{');
    put_id(&o, "bos_token_id", m->c.bos_id);
    put_ends(&o, m);
    put_id(&o, "pad_token_id", m->c.pad_id);
    hg_json_end(&o);
    hg_buf_putc(b, '\n');
    return hg_buf_status(b, e);
}

static void put_token(hg_json_out *o, const hg_model *m, const char *key, int32_t id)
{
    hg_bytes piece = hg_tokenizer_piece(m->tokenizer, id, true);
    if (id >= 0 && piece.n > 0) hg_json_bytes(o, key, piece);
}

static hg_status put_tokenizer_config(hg_buf *b, const hg_model *m, hg_err *e)
{
    hg_json_out o;
    hg_json_out_init(&o, b, 2);
    hg_json_begin(&o, NULL, '{');
    hg_json_text(&o, "tokenizer_class", "PreTrainedTokenizerFast");
    put_token(&o, m, "bos_token", m->c.bos_id);
    put_token(&o, m, "eos_token", m->c.eos_id);
    put_token(&o, m, "pad_token", m->c.pad_id);
    hg_json_int(&o, "model_max_length", m->c.n_ctx);
    hg_json_bool(&o, "clean_up_tokenization_spaces", false);
    hg_json_bool(&o, "add_prefix_space", hg_tokenizer_parts(m->tokenizer)->add_prefix_space);
    if (m->chat_template != NULL) hg_json_text(&o, "chat_template", m->chat_template);
    hg_json_end(&o);
    hg_buf_putc(b, '\n');
    return hg_buf_status(b, e);
}

/* One file of the folder from the buffer, which it empties. */
static hg_status put_file(const hg_dir *d, const char *name, hg_buf *b, hg_err *e)
{
    char *path = hg_path_join(hg_dir_path(d), name);
    hg_status s = path == NULL ? hg_fail(e, HG_E_NOMEM, "no room for a path")
                               : hg_file_write(path, b->p == NULL ? "" : b->p, b->n, e);
    hg_free(path);
    hg_buf_clear(b);
    return s;
}

static hg_status put_tokenizer(const hg_dir *d, const hg_model *m, hg_buf *b, hg_err *e)
{
    if (m->tokenizer == NULL) return HG_OK;
    HG_TRY(hg_tokenizer_write(m->tokenizer, b, e));
    HG_TRY(put_file(d, "tokenizer.json", b, e));
    HG_TRY(put_tokenizer_config(b, m, e));
    HG_TRY(put_file(d, "tokenizer_config.json", b, e));
    if (m->chat_template == NULL) return HG_OK;
    hg_buf_puts(b, m->chat_template); /* where transformers of today looks for it first */
    HG_TRY(hg_buf_status(b, e));
    return put_file(d, "chat_template.jinja", b, e);
}

static hg_status put_weights(const hg_dir *d, const hg_model *m, hg_weights as, hg_err *e)
{
    char *path = hg_path_join(hg_dir_path(d), "model.safetensors");
    hg_status s = path == NULL ? hg_fail(e, HG_E_NOMEM, "no room for a path")
                               : hg_safetensors_write(path, m, as, e);
    hg_free(path);
    return s;
}

static hg_status put_all(const hg_dir *d, const hg_model *m, hg_weights as, const char *card,
                         hg_buf *b, hg_err *e)
{
    HG_TRY(hg_config_write(b, m, as, e));
    HG_TRY(put_file(d, "config.json", b, e));
    HG_TRY(put_generation_config(b, m, e));
    HG_TRY(put_file(d, "generation_config.json", b, e));
    HG_TRY(put_tokenizer(d, m, b, e));
    if (card != NULL) {
        hg_buf_puts(b, card);
        HG_TRY(hg_buf_status(b, e));
        HG_TRY(put_file(d, "README.md", b, e));
    }
    return put_weights(d, m, as, e);
}

hg_status hg_model_save(const hg_model *m, const char *dir, hg_weights as, const char *card,
                        hg_err *e)
{
    hg_dir *d = NULL;
    hg_buf b = {0};
    HG_TRY(hg_dir_open(&d, dir, e));
    hg_status s = put_all(d, m, as, card, &b, e);
    hg_buf_free(&b);
    if (s == HG_OK) return hg_dir_commit(d, e);
    hg_dir_abort(d);
    return s;
}
