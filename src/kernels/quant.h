/* Between float32 and blocks of quantised weights (blocks.h). */
#ifndef HG_KERNELS_QUANT_H
#define HG_KERNELS_QUANT_H

#include "kernels/blocks.h"

extern const int8_t hg_iq4_values[16]; /* what q stands for in iq4_nl and iq4_xs */
extern const int8_t hg_fp4_values[16]; /* twice what q stands for in mxfp4 */

/* Of a run of a q2_k (16), q4_k or q5_k (8) block: what its d and dmin are multiplied by. */
void hg_k4_scales(const uint8_t scales[12], uint8_t sc[8], uint8_t mn[8]);
/* The sixteen scales of a q3_k block, -32 to 31. */
void hg_q3_k_scales(const uint8_t scales[12], int8_t sc[16]);

/* y[n] from blocks of type t, bit for bit what ggml makes of them. n is a multiple of the block; x
 * is aligned to 2 bytes. */
void hg_blocks_to_f32(float *y, const void *x, hg_type t, size_t n);

#endif
