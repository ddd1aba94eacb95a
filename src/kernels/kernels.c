/* Fills the kernel table: plain C first, then each set up to the one that is asked for overwrites
 * what it does better. The only place that knows which sets exist. */
#include "kernels/tables.h"

void hg_kernels_init(hg_kernels *k, hg_isa isa)
{
    hg_isa have = hg_isa_detect();
    if (isa > have) isa = have;
    k->isa = HG_ISA_C;
    hg_kernels_c(k);
#if defined(__x86_64__)
    if (isa >= HG_ISA_AVX2) {
        k->isa = HG_ISA_AVX2;
        hg_kernels_avx2(k);
    }
    if (isa >= HG_ISA_AVX512) {
        k->isa = HG_ISA_AVX512;
        hg_kernels_avx512(k);
        if (hg_isa_has_slow_bf16()) hg_gemm_avx512_floats(k);
    }
    if (isa >= HG_ISA_AMX) {
        k->isa = HG_ISA_AMX;
        hg_gemm_amx(k);
    }
#elif defined(__aarch64__)
    if (isa >= HG_ISA_NEON) {
        k->isa = HG_ISA_NEON;
        hg_kernels_neon(k);
    }
#endif
}
