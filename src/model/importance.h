/* How much the columns of a model's matrices matter (importance.c reads it, importance_measure.c
 * makes it). */
#ifndef HG_MODEL_IMPORTANCE_H
#define HG_MODEL_IMPORTANCE_H

#include "model/inner.h"

enum { HG_MAX_IMPORTANCE = 1 << 30 }; /* bytes of such a file */

typedef struct hg_important {
    const char *name; /* of the tensor in a GGUF */
    float *weight; /* [n] means of squares, finite and not below 0; of one expert after another */
    size_t n;
} hg_important;

typedef struct hg_importance {
    hg_important *tensor; /* [n] in the order of their names */
    size_t n, cap;
    hg_arena mem;
} hg_importance;

/* A GGUF or the older format of llama.cpp's imatrix, from bytes. Free it in any case. */
hg_status hg_importance_parse(hg_importance *im, const unsigned char *p, size_t n, const char *path,
                              hg_err *e);
hg_status hg_importance_open(hg_importance *im, const char *path, hg_err *e);
void hg_importance_free(hg_importance *im);
const hg_important *hg_importance_find(const hg_importance *im, const char *name);

#endif
