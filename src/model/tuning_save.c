/* A trained adapter as files that others open: PEFT's folder and llama.cpp's GGUF. adapter.c reads
 * both. B's rows follow their weight's: several parameters in one tensor, GGUF's order of rotary
 * pairs. */
#include "model/tuning.h"
#include "base/file.h"
#include "model/gguf_meta.h"
#include "model/inner.h"
#include <stdio.h>
#include <string.h>

enum { ALIGNMENT = 32, GGUF_VERSION = 3 };

typedef struct saving {
    const hg_model *m;
    hg_stored *list;
    size_t n;
    hg_format format;
} saving;

static const hg_tensor *a_of(const saving *s, const hg_stored *st)
{
    return s->m->tuning->lora.a[st->part[0].t - s->m->tensors];
}

static hg_status open_list(saving *s, const hg_model *m, hg_format f, hg_err *e)
{
    *s = (saving){.m = m, .format = f};
    HG_TRY(hg_stored_list(m, f, &s->list, &s->n, e));
    for (size_t i = 0; i < s->n; i++)
        for (size_t p = 1; p < s->list[i].n_parts; p++)
            if (m->tuning->lora.a[s->list[i].part[p].t - m->tensors] != a_of(s, &s->list[i])) {
                hg_free(s->list);
                return hg_fail(e, HG_E_UNSUPPORTED,
                               "%s: its parts do not share A, which this format needs",
                               s->list[i].name);
            }
    return HG_OK;
}

/* "base_model.model.X.lora_A.weight", or "X.weight.lora_a". */
static void name_of(const saving *s, const hg_stored *st, bool is_b, char out[2 * HG_MAX_NAME])
{
    const size_t n = strlen(st->name), tail = strlen(".weight");
    const bool is_weight = n > tail && strcmp(st->name + n - tail, ".weight") == 0;
    if (s->format == HG_FORMAT_GGUF)
        (void)snprintf(out, 2 * HG_MAX_NAME, "%s.lora_%c", st->name, is_b ? 'b' : 'a');
    else
        (void)snprintf(out, 2 * HG_MAX_NAME, "base_model.model.%.*s.lora_%c.weight",
                       (int)(is_weight ? n - tail : n), st->name, is_b ? 'B' : 'A');
}

static hg_status put_a(hg_writer *w, const saving *s, const hg_stored *st, hg_err *e)
{
    const hg_tensor *a = a_of(s, st);
    return hg_writer_put(w, a->data, hg_tensor_count(a) * sizeof(float), e);
}

static hg_status put_b(hg_writer *w, const saving *s, const hg_stored *st, hg_err *e)
{
    const size_t rank = s->m->tuning->rank;
    const hg_part *p = NULL;
    for (size_t i = 0, r; i < st->rows; i++) {
        p = hg_stored_part(st, i, p, &r);
        const hg_tensor *b = s->m->tuning->lora.b[p->t - s->m->tensors];
        HG_TRY(hg_writer_put(w, (const float *)b->data + r * rank, rank * sizeof(float), e));
    }
    return HG_OK;
}

/* ---- PEFT ---- */

static void put_tensor(hg_json_out *o, const char *name, size_t rows, size_t cols, size_t *at)
{
    const size_t bytes = rows * cols * sizeof(float);
    hg_json_begin(o, name, '{');
    hg_json_text(o, "dtype", "F32");
    hg_json_begin(o, "shape", '[');
    hg_json_int(o, NULL, (int64_t)rows);
    hg_json_int(o, NULL, (int64_t)cols);
    hg_json_end(o);
    hg_json_begin(o, "data_offsets", '[');
    hg_json_int(o, NULL, (int64_t)*at);
    hg_json_int(o, NULL, (int64_t)(*at + bytes));
    hg_json_end(o);
    hg_json_end(o);
    *at += bytes;
}

static void put_header(hg_buf *b, const saving *s)
{
    char name[2 * HG_MAX_NAME];
    const size_t rank = s->m->tuning->rank;
    size_t at = 0;
    hg_json_out o;
    hg_json_out_init(&o, b, 0);
    hg_json_begin(&o, NULL, '{');
    hg_json_begin(&o, "__metadata__", '{');
    hg_json_text(&o, "format", "pt");
    hg_json_end(&o);
    for (size_t i = 0; i < s->n; i++) {
        const hg_stored *st = &s->list[i];
        if (a_of(s, st) == NULL) continue;
        name_of(s, st, false, name);
        put_tensor(&o, name, rank, st->cols, &at);
        name_of(s, st, true, name);
        put_tensor(&o, name, st->rows, rank, &at);
    }
    hg_json_end(&o);
    while (b->n % 8 != 0) hg_buf_putc(b, ' ');
}

static hg_status put_pairs(hg_writer *w, const saving *s, hg_err *e)
{
    for (size_t i = 0; i < s->n; i++) {
        if (a_of(s, &s->list[i]) == NULL) continue;
        HG_TRY(put_a(w, s, &s->list[i], e));
        HG_TRY(put_b(w, s, &s->list[i], e));
    }
    return HG_OK;
}

static hg_status write_safetensors(const saving *s, const char *path, hg_err *e)
{
    hg_buf header = {0};
    hg_writer *w = NULL;
    unsigned char length[8];
    put_header(&header, s);
    hg_status status = hg_buf_status(&header, e);
    for (int i = 0; i < 8; i++) length[i] = (unsigned char)((uint64_t)header.n >> (8 * i));
    if (status == HG_OK) status = hg_writer_open(&w, path, e);
    if (status == HG_OK) status = hg_writer_put(w, length, sizeof length, e);
    if (status == HG_OK) status = hg_writer_put(w, header.p, header.n, e);
    if (status == HG_OK) status = put_pairs(w, s, e);
    hg_buf_free(&header);
    if (status == HG_OK) return hg_writer_commit(w, e);
    hg_writer_abort(w);
    return status;
}

/* The last word of each module's name, once. */
static void put_targets(hg_json_out *o, const saving *s)
{
    hg_buf seen = {0};
    hg_json_begin(o, "target_modules", '[');
    for (size_t i = 0; i < s->n; i++) {
        char name[HG_MAX_NAME + 2];
        if (a_of(s, &s->list[i]) == NULL) continue;
        (void)snprintf(name, sizeof name, "%s", s->list[i].name);
        char *end = strstr(name, ".weight");
        if (end != NULL) *end = '\0';
        const char *dot = strrchr(name, '.'), *word = dot != NULL ? dot + 1 : name;
        char mark[HG_MAX_NAME + 4];
        (void)snprintf(mark, sizeof mark, " %s ", word);
        if (seen.n > 0 && strstr(seen.p, mark) != NULL) continue;
        hg_buf_puts(&seen, mark);
        hg_json_text(o, NULL, word);
    }
    hg_json_end(o);
    hg_buf_free(&seen);
}

static hg_status write_config(const saving *s, const char *path, const char *base, hg_err *e)
{
    const hg_adapter_tuning *u = s->m->tuning;
    hg_buf b = {0};
    hg_json_out o;
    bool is_transposed = false;
    for (size_t i = 0; i < s->n; i++)
        is_transposed = is_transposed || (a_of(s, &s->list[i]) != NULL && s->list[i].is_transposed);
    hg_json_out_init(&o, &b, 2);
    hg_json_begin(&o, NULL, '{');
    hg_json_text(&o, "peft_type", "LORA");
    hg_json_text(&o, "task_type", "CAUSAL_LM");
    hg_json_text(&o, "base_model_name_or_path", base);
    hg_json_int(&o, "r", (int64_t)u->rank);
    hg_json_number(&o, "lora_alpha", u->alpha);
    hg_json_number(&o, "lora_dropout", (double)u->lora.dropout);
    hg_json_text(&o, "bias", "none");
    hg_json_bool(&o, "fan_in_fan_out", is_transposed);
    hg_json_bool(&o, "inference_mode", true);
    put_targets(&o, s);
    hg_json_end(&o);
    hg_buf_putc(&b, '\n');
    hg_status status = hg_buf_status(&b, e);
    if (status == HG_OK) status = hg_file_write(path, b.p, b.n, e);
    hg_buf_free(&b);
    return status;
}

static hg_status write_folder(const saving *s, const hg_dir *d, const char *base, hg_err *e)
{
    char *config = hg_path_join(hg_dir_path(d), "adapter_config.json");
    char *values = hg_path_join(hg_dir_path(d), "adapter_model.safetensors");
    hg_status status = HG_OK;
    if (config == NULL || values == NULL) status = hg_fail(e, HG_E_NOMEM, "no room for a path");
    if (status == HG_OK) status = write_config(s, config, base, e);
    if (status == HG_OK) status = write_safetensors(s, values, e);
    hg_free(config);
    hg_free(values);
    return status;
}

hg_status hg_tuning_save(const hg_model *m, const char *dir, const char *base, hg_err *e)
{
    saving s;
    hg_dir *d = NULL;
    HG_TRY(open_list(&s, m, HG_FORMAT_SAFETENSORS, e));
    hg_status status = hg_dir_open(&d, dir, e);
    if (status == HG_OK) status = write_folder(&s, d, base, e);
    hg_free(s.list);
    if (status == HG_OK) return hg_dir_commit(d, e);
    hg_dir_abort(d);
    return status;
}

/* ---- GGUF ---- */

static size_t aligned(size_t n)
{
    return (n + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static void put_info(hg_buf *b, const char *name, size_t rows, size_t cols, size_t *offset)
{
    hg_meta_string(b, name, strlen(name));
    hg_meta_put(b, 2, 4);
    hg_meta_put(b, cols, 8);
    hg_meta_put(b, rows, 8);
    hg_meta_put(b, hg_gguf_type_number(HG_F32), 4);
    hg_meta_put(b, *offset, 8);
    *offset += aligned(rows * cols * sizeof(float));
}

static void put_gguf_header(hg_buf *b, const saving *s)
{
    char name[2 * HG_MAX_NAME];
    hg_buf meta = {0}, infos = {0};
    hg_meta m = {.b = &meta, .arch = ""};
    const size_t rank = s->m->tuning->rank;
    size_t offset = 0, n = 0;
    hg_meta_text(&m, "general.architecture", s->m->arch->gguf);
    hg_meta_text(&m, "general.type", "adapter");
    hg_meta_text(&m, "adapter.type", "lora");
    hg_meta_f32(&m, "adapter.lora.alpha", (float)s->m->tuning->alpha);
    for (size_t i = 0; i < s->n; i++) {
        const hg_stored *st = &s->list[i];
        if (a_of(s, st) == NULL) continue;
        name_of(s, st, false, name);
        put_info(&infos, name, rank, st->cols, &offset);
        name_of(s, st, true, name);
        put_info(&infos, name, st->rows, rank, &offset);
        n += 2;
    }
    hg_buf_puts(b, "GGUF");
    hg_meta_put(b, GGUF_VERSION, 4);
    hg_meta_put(b, n, 8);
    hg_meta_put(b, m.n_kv, 8);
    if (meta.failed || infos.failed) b->failed = true;
    if (!b->failed) hg_buf_put(b, meta.p, meta.n);
    if (!b->failed) hg_buf_put(b, infos.p, infos.n);
    while (!b->failed && b->n % ALIGNMENT != 0) hg_buf_putc(b, '\0');
    hg_buf_free(&meta);
    hg_buf_free(&infos);
}

static hg_status pad(hg_writer *w, size_t bytes, hg_err *e)
{
    static const char zeros[ALIGNMENT];
    return hg_writer_put(w, zeros, aligned(bytes) - bytes, e);
}

static hg_status put_gguf_pairs(hg_writer *w, const saving *s, hg_err *e)
{
    const size_t rank = s->m->tuning->rank;
    for (size_t i = 0; i < s->n; i++) {
        const hg_stored *st = &s->list[i];
        if (a_of(s, st) == NULL) continue;
        HG_TRY(put_a(w, s, st, e));
        HG_TRY(pad(w, rank * st->cols * sizeof(float), e));
        HG_TRY(put_b(w, s, st, e));
        HG_TRY(pad(w, st->rows * rank * sizeof(float), e));
    }
    return HG_OK;
}

hg_status hg_tuning_save_gguf(const hg_model *m, const char *path, hg_err *e)
{
    saving s;
    hg_buf header = {0};
    hg_writer *w = NULL;
    HG_TRY(open_list(&s, m, HG_FORMAT_GGUF, e));
    put_gguf_header(&header, &s);
    hg_status status = hg_buf_status(&header, e);
    if (status == HG_OK) status = hg_writer_open(&w, path, e);
    if (status == HG_OK) status = hg_writer_put(w, header.p, header.n, e);
    if (status == HG_OK) status = put_gguf_pairs(w, &s, e);
    hg_buf_free(&header);
    hg_free(s.list);
    if (status == HG_OK) return hg_writer_commit(w, e);
    hg_writer_abort(w);
    return status;
}
