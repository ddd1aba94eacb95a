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

/* Whether hg_f32_to_blocks makes blocks of the type. */
bool hg_can_quantize(hg_type t);
/* n finite values, a multiple of the block, to blocks whose values are near in the sense of
 *
 *   sum of weight[i] (x[i] - value[i])^2
 *
 * weight[n] (how much an error there matters, not below 0) may be NULL: all matter the same. */
void hg_f32_to_blocks(void *y, const float *x, const float *weight, hg_type t, size_t n);
/* The same for one super-block of 256 with weights; quantize.c's calls do more. */
void hg_fit_q2_k(hg_block_q2_k *y, const float *x, const float *w);
void hg_fit_q3_k(hg_block_q3_k *y, const float *x, const float *w);
void hg_fit_q4_k(hg_block_q4_k *y, const float *x, const float *w);
void hg_fit_q5_k(hg_block_q5_k *y, const float *x, const float *w);
void hg_fit_q6_k(hg_block_q6_k *y, const float *x, const float *w);

#endif
