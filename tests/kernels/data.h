/* Numbers to test kernels with: random, of any type, in pieces of memory that end exactly where the
 * kernel must stop reading, so that AddressSanitizer sees one step too far. */
#ifndef HG_TESTS_KERNELS_DATA_H
#define HG_TESTS_KERNELS_DATA_H

#include "base/mem.h"
#include "base/rng.h"
#include "harness/test.h"
#include "kernels/kernels.h"

#define U32 0x1p-24 /* half an ulp of 1 in float32 */

/* Uniform in [-range, range]. */
void fill_random(float *x, size_t n, double range, hg_rng *r);
float *random_floats(size_t n, double range, hg_rng *r);
/* A copy of x in another type (HG_F16 or HG_BF16: rounded), and its elements as they are then. */
void *typed_copy(const float *x, size_t n, hg_type type);
float typed_at(const void *p, hg_type type, size_t i);
/* n bytes that end where a page begins which cannot be touched: one step
 * too far ends the program, sanitizer or not. */
typedef struct fenced {
    void *p;
    void *map;
    size_t n_map;
} fenced;
fenced fence(size_t n);
void unfence(fenced *f);
/* The value that the family multiplies with. */
float rounded(hg_compute compute, float x);

/* Runs `body` with `k` filled for each instruction set of this machine. */
#define EACH_ISA(k)                                                 \
    for (int isa_ = HG_ISA_C; isa_ <= (int)hg_isa_detect(); isa_++) \
        if (hg_kernels_init(&(k), (hg_isa)isa_), (int)(k).isa == isa_)

#endif
