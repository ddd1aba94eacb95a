/* What each instruction set's file exports: a function that overwrites the table entries it does
 * better. Called for a set that the machine has only. */
#ifndef HG_KERNELS_TABLES_H
#define HG_KERNELS_TABLES_H

#include "kernels/kernels.h"

void hg_kernels_c(hg_kernels *k); /* every entry */
void hg_kernels_avx2(hg_kernels *k);
void hg_kernels_avx512(hg_kernels *k);
void hg_kernels_neon(hg_kernels *k);
/* The matrix products alone, in files of their own; the calls above use them. */
void hg_gemm_c(hg_kernels *k);
void hg_kv_c(hg_kernels *k); /* attention's */
void hg_gemm_avx2(hg_kernels *k);
void hg_gemm_avx512(hg_kernels *k);
void hg_gemm_avx512_floats(hg_kernels *k); /* the bf16 family by products of floats */
void hg_gemm_amx(hg_kernels *k);           /* the bf16 family; the rest is AVX-512's */
void hg_gemm_neon(hg_kernels *k);
void hg_qgemm_c(hg_kernels *k);
void hg_qgemm_avx2(hg_kernels *k);
void hg_qgemm_avx512(hg_kernels *k);
void hg_qgemm_neon(hg_kernels *k);

/* Whether vdpbf16ps takes longer than two products of floats: on Intel's processors, where it has
 * half their rate (uops.info; measured 165 and 280 GFLOP/s on Sapphire Rapids), unlike AMD's. Asked
 * of the processor's name, never of a clock: the same machine must give the same bits. */
bool hg_isa_has_slow_bf16(void);

#endif
