/* Measuring importance: a text goes through the model, and for each matrix the squares of what
 * comes into its columns are summed. An error in a column of weights is multiplied by what meets
 * it, so that the mean square says how much the error matters (as in llama.cpp's imatrix; the
 * diagonal of what Optimal Brain Surgeon, Hassibi and Stork 1993, looks at). */
#include "model/importance.h"
#include "model/gguf_meta.h"
#include "kernels/runtime.h"
#include <higgins/quantize.h>
#include <stdio.h>
#include <string.h>

typedef struct sums {
    double *square; /* [n_in] */
    uint64_t rows;
} sums;

typedef struct measuring {
    hg_model *m;
    sums *sums; /* [n_params] */
    bool failed;
} measuring;

static void see(void *ctx, const hg_tensor *w, const hg_tensor *x)
{
    measuring *me = ctx;
    size_t i = (size_t)(w - me->m->tensors), cols = hg_tensor_cols(x);
    if (i >= me->m->n_params) return;
    sums *s = &me->sums[i];
    if (s->square == NULL) s->square = HG_NEW(&me->m->mem, double, cols);
    if (s->square == NULL) {
        me->failed = true;
        return;
    }
    const float *at = x->data;
    for (size_t r = 0; r < hg_tensor_rows(x); r++, at += cols)
        for (size_t c = 0; c < cols; c++) s->square[c] += (double)at[c] * (double)at[c];
    s->rows += hg_tensor_rows(x);
}

/* ---- the text ---- */

static hg_status run_chunk(measuring *me, hg_runtime *rt, hg_arena *mem, const int32_t *ids,
                           const int32_t *pos, size_t n, hg_err *e)
{
    const int32_t last = (int32_t)n - 1;
    const hg_span span = {.row = 0, .n = n};
    const hg_batch b = {.n = n,
                        .ids = ids,
                        .pos = pos,
                        .spans = &span,
                        .n_spans = 1,
                        .out_rows = &last,
                        .n_out = 1};
    const hg_hooks hooks = {.input = see, .ctx = me};
    hg_graph g;
    hg_arena_reset(mem);
    hg_graph_init(&g, rt, mem, me->m->compute, false);
    g.hooks = &hooks;
    (void)hg_model_forward(&g, me->m, &b);
    HG_TRY(hg_graph_status(&g, e));
    return me->failed ? hg_fail(e, HG_E_NOMEM, "no room for sums") : HG_OK;
}

/* Pieces of n_ctx tokens, each a text of its own that begins as the model's texts do. */
static hg_status run_text(measuring *me, hg_runtime *rt, const hg_ids *text, uint64_t n_text,
                          size_t n_ctx, hg_importance_report *r, const hg_watch *w, hg_err *e)
{
    hg_arena mem;
    const int32_t bos = hg_tokenizer_bos(me->m->tokenizer);
    const size_t first = bos >= 0 ? 1 : 0;
    int32_t *ids = hg_alloc(n_ctx, sizeof *ids), *pos = hg_alloc(n_ctx, sizeof *pos);
    hg_status s = ids == NULL || pos == NULL ? hg_fail(e, HG_E_NOMEM, "no room for a text") : HG_OK;
    hg_arena_init(&mem, 0);
    for (size_t i = 0; i < n_ctx && s == HG_OK; i++) pos[i] = (int32_t)i;
    for (size_t at = 0; at < n_text && s == HG_OK;) {
        size_t n = n_text - at < n_ctx - first ? (size_t)n_text - at : n_ctx - first;
        hg_progress p = {
            .stage = "measuring", .unit = "tokens", .done = (double)at, .total = (double)n_text};
        hg_watch_progress(w, &p);
        if (hg_watch_stopped(w)) s = hg_fail(e, HG_E_CANCELED, "stopped; nothing was written");
        if (first > 0) ids[0] = bos;
        memcpy(ids + first, text->id + at, n * sizeof *ids);
        if (s == HG_OK) s = run_chunk(me, rt, &mem, ids, pos, n + first, e);
        at += n;
        r->n_chunks++;
        r->n_tokens += n;
    }
    hg_arena_free(&mem);
    hg_free(ids);
    hg_free(pos);
    return s;
}

static hg_status encode(const hg_model *m, const char *path, hg_ids *out, hg_err *e)
{
    hg_buf text = {0};
    if (m->tokenizer == NULL)
        return hg_fail(e, HG_E_ARG, "the model has no tokenizer; its text cannot be read");
    hg_status s = hg_file_read(&text, path, HG_MAX_CALIBRATION, e);
    if (s == HG_OK)
        s = hg_tokenizer_encode(m->tokenizer, (hg_bytes){text.p, text.n}, false, out, e);
    hg_buf_free(&text);
    if (s == HG_OK && out->n < 2)
        return hg_fail(e, HG_E_ARG, "%s: %zu tokens; some thousands are needed", path, out->n);
    return s;
}

/* ---- the file ---- */

/* One tensor of the model's GGUF: its sums, one a matrix. */
typedef struct measured {
    const hg_stored *st;
    size_t n_matrices, cols;
} measured;

static const sums *sums_of(const measuring *me, const measured *x, size_t matrix)
{
    return &me->sums[x->st->part[matrix].t - me->m->tensors];
}

/* Parameters that lie in one tensor have one input together, but experts, who have their own. */
static size_t list_measured(const measuring *me, const hg_stored *list, size_t n, measured *out)
{
    size_t k = 0;
    for (size_t i = 0; i < n; i++) {
        measured x = {.st = &list[i], .n_matrices = 1, .cols = list[i].cols};
        if (strstr(list[i].name, "_exps.") != NULL) x.n_matrices = list[i].n_parts;
        bool is_seen = false;
        for (size_t j = 0; j < x.n_matrices; j++) is_seen |= sums_of(me, &x, j)->square != NULL;
        if (x.cols > 0 && is_seen) out[k++] = x;
    }
    return k;
}

static void put_info(hg_buf *b, const measured *x, const char *end, size_t cols, uint64_t *offset)
{
    char name[HG_MAX_NAME + 16];
    (void)snprintf(name, sizeof name, "%s%s", x->st->name, end);
    hg_meta_string(b, name, strlen(name));
    hg_meta_put(b, 2, 4);
    hg_meta_put(b, cols, 8);
    hg_meta_put(b, x->n_matrices, 8);
    hg_meta_put(b, hg_gguf_type_number(HG_F32), 4);
    hg_meta_put(b, *offset, 8);
    *offset += (x->n_matrices * cols * sizeof(float) + 31) / 32 * 32;
}

static void put_padding(hg_buf *b)
{
    while (b->n % 32 != 0 && !b->failed) hg_buf_putc(b, '\0');
}

static void put_values(hg_buf *b, const measuring *me, const measured *x)
{
    for (size_t j = 0; j < x->n_matrices; j++) {
        const sums *s = sums_of(me, x, j);
        for (size_t c = 0; c < x->cols; c++) {
            float v = s->square == NULL ? 0.0f : (float)s->square[c];
            hg_buf_put(b, &v, sizeof v);
        }
    }
    put_padding(b);
    for (size_t j = 0; j < x->n_matrices; j++) {
        float v = (float)sums_of(me, x, j)->rows;
        hg_buf_put(b, &v, sizeof v);
    }
    put_padding(b);
}

static void put_file(hg_buf *b, const measuring *me, const measured *x, size_t n, const char *text,
                     const hg_importance_report *r, uint32_t n_ctx)
{
    hg_meta meta = {.b = b, .arch = ""};
    uint64_t offset = 0;
    hg_buf_puts(b, "GGUF");
    hg_meta_put(b, 3, 4);
    hg_meta_put(b, 2 * n, 8);
    hg_meta_put(b, 4, 8);
    hg_meta_text(&meta, "general.type", "imatrix");
    hg_meta_array(&meta, "imatrix.datasets", GGUF_STRING, 1);
    hg_meta_string(b, text, strlen(text));
    hg_meta_u32(&meta, "imatrix.chunk_count", (uint32_t)r->n_chunks);
    hg_meta_u32(&meta, "imatrix.chunk_size", n_ctx);
    for (size_t i = 0; i < n; i++) {
        put_info(b, &x[i], ".in_sum2", x[i].cols, &offset);
        put_info(b, &x[i], ".counts", 1, &offset);
    }
    put_padding(b);
    for (size_t i = 0; i < n; i++) put_values(b, me, &x[i]);
}

static hg_status write(const measuring *me, const char *out, const char *text, uint32_t n_ctx,
                       hg_importance_report *r, hg_err *e)
{
    hg_stored *list = NULL;
    hg_buf b = {0};
    size_t n = 0;
    HG_TRY(hg_stored_list(me->m, HG_FORMAT_GGUF, &list, &n, e));
    measured *x = hg_alloc(n, sizeof *x);
    hg_status s = x == NULL ? hg_fail(e, HG_E_NOMEM, "no room for a list of tensors") : HG_OK;
    if (s == HG_OK) {
        r->n_tensors = list_measured(me, list, n, x);
        put_file(&b, me, x, r->n_tensors, hg_path_base(text), r, n_ctx);
        s = hg_buf_status(&b, e);
    }
    if (s == HG_OK) s = hg_file_write(out, b.p, b.n, e);
    hg_buf_free(&b);
    hg_free(x);
    hg_free(list);
    return s;
}

void hg_importance_options_init(hg_importance_options *o)
{
    *o = (hg_importance_options){.n_ctx = 512};
}

hg_status hg_importance_measure(const char *model, const char *text, const char *out,
                                const hg_importance_options *o, hg_importance_report *report,
                                hg_runtime *rt, const hg_watch *w, hg_err *e)
{
    hg_importance_report own;
    measuring me = {0};
    hg_ids ids = {0};
    if (report == NULL) report = &own;
    memset(report, 0, sizeof *report);
    HG_TRY(hg_model_open(&me.m, model, HG_WEIGHTS_AS_STORED, rt, e));
    uint32_t n_ctx = o->n_ctx < me.m->c.n_ctx ? o->n_ctx : me.m->c.n_ctx;
    if (n_ctx < 2) n_ctx = 2;
    hg_status s = encode(me.m, text, &ids, e);
    if (s == HG_OK) {
        me.sums = HG_NEW(&me.m->mem, sums, me.m->n_params);
        if (me.sums == NULL) s = hg_fail(e, HG_E_NOMEM, "no room for sums");
    }
    uint64_t n = o->max_tokens > 0 && o->max_tokens < ids.n ? o->max_tokens : ids.n;
    if (s == HG_OK) s = run_text(&me, rt, &ids, n, n_ctx, report, w, e);
    if (s == HG_OK) s = write(&me, out, text, n_ctx, report, e);
    hg_ids_free(&ids);
    hg_model_free(me.m);
    return s;
}
