/* The keys and values of one timeline, and the tokens that they stand for. */
#ifndef HG_INFER_CACHE_H
#define HG_INFER_CACHE_H

#include "model/model.h"

typedef struct hg_cache {
    hg_type type;
    size_t n_layers, n_ctx;
    size_t row_bytes;   /* keys (or values) of one position in one layer */
    hg_kv_layer *layer; /* [n_layers], each k and v [n_ctx][n_kv_heads][d_head] */
    int32_t *ids;       /* [n_ctx] tokens held */
    size_t n;           /* positions held */
    size_t n_wide;      /* of them, from the first on, were run in wide spans (see step.h) */
    hg_arena mem;
} hg_cache;

/* float32 when asked for, else bfloat16 where the weights are, else float16. */
hg_type hg_cache_type(const hg_model *m, bool f32);
/* n_ctx as asked for, the model's when 0; HG_E_LIMIT when the model's positions end before. */
hg_status hg_cache_context(const hg_model *m, uint32_t asked, size_t *n_ctx, hg_err *e);
/* Bytes that hg_cache_new takes; UINT64_MAX when they cannot be counted. */
uint64_t hg_cache_bytes(const hg_model *m, size_t n_ctx, hg_type type);

/* `c` starts as zeros. The room is reserved at once and touched as the timeline grows. */
hg_status hg_cache_new(hg_cache *c, const hg_model *m, size_t n_ctx, hg_type type, hg_err *e);
void hg_cache_free(hg_cache *c);

/* Forgets all behind the first n positions. */
void hg_cache_rewind(hg_cache *c, size_t n);
/* How many of ids[0..n) the timeline begins with. */
size_t hg_cache_shared(const hg_cache *c, const int32_t *ids, size_t n);
/* Makes dst's timeline the first n positions of src's; both are of one model and type. */
void hg_cache_copy(hg_cache *dst, const hg_cache *src, size_t n);

#endif
