/* higgins export and higgins quantize: a model to one GGUF, its matrices in another type. */
#include "model/mix.h"
#include "model/gguf_meta.h"
#include "model/importance.h"
#include "kernels/quant.h"
#include "kernels/runtime.h"
#include <higgins/quantize.h>
#include <string.h>

/* ---- export: plain types ---- */

/* llama.cpp's number for a file whose matrices are of one plain type. */
static uint32_t plain_file_type(hg_type t)
{
    return t == HG_F16 ? 1 : t == HG_BF16 ? 32 : 0;
}

static void choose_plain(hg_out *o, hg_weights as)
{
    if (o->model != NULL)
        o->file_type =
            plain_file_type(hg_type_as(hg_param_type(o->model, o->model->layer[0].q), as));
    if (as == HG_WEIGHTS_AS_STORED) return;
    o->file_type = plain_file_type(hg_type_as(HG_F32, as));
    for (size_t i = 0; i < o->n; i++) {
        hg_item *it = &o->item[i];
        if (it->from == HG_N_TYPES || it->from == HG_I32 || (it->st == NULL && it->entry == NULL))
            continue;
        bool is_matrix = it->n_dims > 1 && strcmp(it->name, "position_embd.weight") != 0;
        it->to = is_matrix ? hg_type_as(it->from, as) : HG_F32;
    }
}

hg_status hg_model_export_gguf(const char *from, const char *to, hg_weights as, const hg_watch *w,
                               hg_err *e)
{
    hg_out o;
    hg_out_plan plan = {0};
    HG_TRY(hg_out_open(&o, from, e));
    choose_plain(&o, as);
    hg_status s = hg_out_write(&o, to, &plan, w, e);
    hg_out_free(&o);
    return s;
}

/* ---- quantize ---- */

void hg_quantize_options_init(hg_quantize_options *o)
{
    *o = (hg_quantize_options){.type = "q4_k_m"};
}

const char *hg_quantize_types(char buf[256])
{
    hg_mix_names(buf, 256);
    return buf;
}

/* Rounding twice loses more than rounding once to the same number of bits. */
static hg_status refuse_blocks(const hg_out *o, hg_err *e)
{
    for (size_t i = 0; i < o->n; i++) {
        const hg_item *it = &o->item[i];
        bool is_foreign = it->from == HG_N_TYPES && it->n_dims > 1;
        if (hg_type_is_block(it->from) || is_foreign)
            return hg_fail(e, HG_E_ARG,
                           "%s: tensor %s is quantised already (%s); start from float32, "
                           "float16 or bfloat16, or ask for it again",
                           o->path, it->name, it->entry->type_name);
    }
    return HG_OK;
}

static void count(const hg_out *o, hg_quantize_report *r)
{
    *r = (hg_quantize_report){.n_tensors = o->n};
    for (size_t i = 0; i < o->n; i++) {
        const hg_item *it = &o->item[i];
        uint64_t before =
            it->entry != NULL ? it->entry->n_bytes : it->rows * hg_type_bytes(it->from, it->cols);
        r->n_params += it->rows * it->cols;
        r->bytes_before += before;
        r->bytes_after +=
            it->to == HG_N_TYPES ? before : it->rows * hg_type_bytes(it->to, it->cols);
        if (hg_type_is_block(it->to)) r->n_quantized++;
    }
}

/* ---- with importance ---- */

static bool find_weights(void *ctx, const hg_item *it, hg_fitting *f)
{
    const hg_important *t = hg_importance_find(ctx, it->name);
    if (t == NULL) return false;
    f->weight = t->weight;
    f->n_weights = t->n / it->cols;
    return true;
}

/* Of every matrix that the file speaks of it must have all columns, of experts those of each. */
static hg_status check_importance(const hg_importance *im, const hg_out *o, const char *path,
                                  size_t *n_weighted, hg_err *e)
{
    for (size_t i = 0; i < o->n; i++) {
        const hg_item *it = &o->item[i];
        const hg_important *t = hg_importance_find(im, it->name);
        if (t == NULL || !hg_type_is_block(it->to)) continue;
        size_t n_matrices = it->n_dims > 2 ? (size_t)it->dim[0] : 1;
        if (t->n != it->cols && t->n != n_matrices * it->cols)
            return hg_fail(e, HG_E_ARG,
                           "%s: has %zu values for %s, whose rows are of %zu; it is of another "
                           "model",
                           path, t->n, it->name, it->cols);
        ++*n_weighted;
    }
    if (*n_weighted > 0) return HG_OK;
    return hg_fail(e, HG_E_ARG, "%s: knows none of the model's matrices; it is of another model",
                   path);
}

/* llama.cpp's keys for it. */
static void put_origin(hg_meta *m, const char *path, const hg_importance *im)
{
    hg_meta_text(m, "quantize.imatrix.file", hg_path_base(path));
    hg_meta_u32(m, "quantize.imatrix.entries_count", (uint32_t)im->n);
}

static hg_status write_weighted(const hg_out *o, const char *to, const char *importance,
                                hg_quantize_report *r, hg_runtime *rt, const hg_watch *w, hg_err *e)
{
    hg_importance im;
    hg_buf extra = {0};
    hg_meta m = {.b = &extra, .arch = ""};
    hg_status s = hg_importance_open(&im, importance, e);
    if (s == HG_OK) s = check_importance(&im, o, importance, &r->n_weighted, e);
    if (s == HG_OK) {
        put_origin(&m, importance, &im);
        s = hg_buf_status(&extra, e);
    }
    if (s == HG_OK) {
        const hg_out_plan plan = {.extra = &extra,
                                  .n_extra = m.n_kv,
                                  .pool = rt->pool,
                                  .weights = find_weights,
                                  .ctx = &im};
        s = hg_out_write(o, to, &plan, w, e);
    }
    hg_buf_free(&extra);
    hg_importance_free(&im);
    return s;
}

hg_status hg_model_quantize(const char *from, const char *to, const hg_quantize_options *opt,
                            hg_quantize_report *report, hg_runtime *rt, const hg_watch *w,
                            hg_err *e)
{
    char names[256];
    hg_quantize_report own;
    hg_out o;
    const hg_out_plan plan = {.pool = rt->pool};
    const hg_mix *mix = hg_mix_find(opt->type);
    if (report == NULL) report = &own;
    memset(report, 0, sizeof *report);
    if (mix == NULL)
        return hg_fail(e, HG_E_ARG, "type %.32s is not known; %s are", opt->type,
                       hg_quantize_types(names));
    HG_TRY(hg_out_open(&o, from, e));
    hg_status s = HG_OK;
    if (o.n == 0)
        s = hg_fail(e, HG_E_FORMAT, "%s: holds no tensors; give a model with weights", from);
    else if (!opt->again)
        s = refuse_blocks(&o, e);
    if (s == HG_OK) {
        hg_mix_apply(mix, &o, opt->pure, w);
        count(&o, report);
        s = opt->importance != NULL ? write_weighted(&o, to, opt->importance, report, rt, w, e)
                                    : hg_out_write(&o, to, &plan, w, e);
    }
    hg_out_free(&o);
    return s;
}
