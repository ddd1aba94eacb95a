/* Smaller models: weights in blocks of a few bits, and what tells which of them matter. */
#ifndef HIGGINS_QUANTIZE_H
#define HIGGINS_QUANTIZE_H

#include <higgins/model.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct hg_quantize_options {
    const char *type;       /* "q4_k_m": one of hg_quantize_types */
    bool pure;              /* the mix's main type for every matrix, the head and embedding too */
    bool again;             /* take weights that are quantised already */
    const char *importance; /* a file that hg_importance_measure or llama.cpp wrote, or NULL */
} hg_quantize_options;

typedef struct hg_quantize_report {
    uint64_t n_params, bytes_before, bytes_after; /* of tensors */
    size_t n_tensors, n_quantized, n_weighted;    /* ... with importance */
} hg_quantize_report;

HG_API void hg_quantize_options_init(hg_quantize_options *o); /* q4_k_m */
HG_API const char *hg_quantize_types(char buf[256]);          /* "q4_0, q4_1, ..." */

/* Writes `from`, a folder or a GGUF in float32, float16 or bfloat16, as a GGUF with quantised
 * weights. Norms, biases and the like stay float32. Threads are those of `rt`; the memory needed is
 * that of a few megabytes. `report` may be NULL. HG_E_ARG (an unknown type, quantised already, an
 * importance file of another model), HG_E_FORMAT (a weight that is no number), and what opening and
 * writing can meet. */
HG_API hg_status hg_model_quantize(const char *from, const char *to, const hg_quantize_options *o,
                                   hg_quantize_report *report, hg_runtime *rt, const hg_watch *w,
                                   hg_err *e);

/* ---- importance: how large what meets each column of a matrix is ---- */

typedef struct hg_importance_options {
    uint32_t n_ctx;      /* tokens of a piece of text; default 512 */
    uint64_t max_tokens; /* that are looked at; 0: all */
} hg_importance_options;

typedef struct hg_importance_report {
    uint64_t n_tokens, n_chunks;
    size_t n_tensors;
} hg_importance_report;

enum { HG_MAX_CALIBRATION = 256 << 20 }; /* bytes of text */

HG_API void hg_importance_options_init(hg_importance_options *o);
/* Runs the model over the text file and writes, for each matrix, the sum of squares of what came
 * into each of its columns, as the GGUF that llama.cpp's imatrix tool writes and reads. `report`
 * may be NULL. HG_E_ARG for a text of less than two tokens or a model without a tokenizer. */
HG_API hg_status hg_importance_measure(const char *model, const char *text, const char *out,
                                       const hg_importance_options *o, hg_importance_report *report,
                                       hg_runtime *rt, const hg_watch *w, hg_err *e);

#ifdef __cplusplus
}
#endif
#endif
