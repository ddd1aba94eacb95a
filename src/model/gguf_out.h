/* What is written into a GGUF: tensors by their names there, from a folder's model or from another
 * GGUF, whose metadata and tensors are then taken over whatever their architecture is. */
#ifndef HG_MODEL_GGUF_OUT_H
#define HG_MODEL_GGUF_OUT_H

#include "model/inner.h"

typedef struct hg_item {
    const char *name;
    int n_dims;
    uint64_t dim[HG_MAX_DIMS]; /* the last is contiguous */
    size_t rows, cols;         /* all but the last dimension; the last */
    hg_type from, to;          /* HG_N_TYPES: one that is only copied */
    const hg_entry *entry;     /* in a GGUF, or */
    const hg_stored *st;       /* in a model; neither: its rotary factors */
} hg_item;

/* What a choice of types looks at. */
typedef struct hg_shape_facts {
    uint64_t n_layers, n_heads, n_kv_heads, n_experts;
    bool is_tied;
} hg_shape_facts;

typedef struct hg_out {
    const char *path; /* of the source */
    hg_item *item;
    size_t n;
    hg_shape_facts facts;
    uint32_t file_type; /* llama.cpp's number of a choice of types; set by who chooses */
    hg_kernels k;
    hg_model *model; /* a folder, or */
    hg_stored *list;
    hg_gguf gguf; /* another file */
    hg_store store;
    hg_arena mem;
} hg_out;

/* How a tensor whose values become blocks is written. */
typedef struct hg_fitting {
    hg_pool *pool;       /* NULL: the caller alone */
    const float *weight; /* [n_weights][cols] how much an error in a column matters, or NULL */
    size_t n_weights;    /* one for each of the rows' equal parts (experts), or one for all */
} hg_fitting;

/* gguf_source.c: lists what `from` holds, each `to` the type it has. */
hg_status hg_out_open(hg_out *o, const char *from, hg_err *e);
void hg_out_free(hg_out *o); /* {0} is fine */
/* Row r of an item as float32. */
void hg_item_row(const hg_out *o, const hg_item *it, size_t r, float *to);

/* gguf_write.c: writes them all. `extra` is pairs of metadata to add. */
typedef struct hg_out_plan {
    const hg_buf *extra;
    uint64_t n_extra;
    hg_pool *pool;
    /* Weights of an item; NULL or returning false: none. */
    bool (*weights)(void *ctx, const hg_item *it, hg_fitting *f);
    void *ctx;
} hg_out_plan;
hg_status hg_out_write(const hg_out *o, const char *to, const hg_out_plan *p, const hg_watch *w,
                       hg_err *e);

/* gguf_fit.c: writes an item's rows as blocks of it->to. HG_E_FORMAT when a value is no number. */
hg_status hg_item_fit(hg_writer *w, const hg_out *o, const hg_item *it, const hg_fitting *f,
                      hg_err *e);

#endif
