/* Fills the kernel table: plain C first, then each set up to the one that is asked for overwrites
 * what it does better. The only place that knows which sets exist. */
#include "kernels/tables.h"

size_t hg_type_size(hg_type t)
{
    static const size_t size[HG_N_TYPES] = {4, 2, 2, 4};
    return (unsigned)t < HG_N_TYPES ? size[t] : 0;
}

const char *hg_type_name(hg_type t)
{
    static const char *const name[HG_N_TYPES] = {"f32", "f16", "bf16", "i32"};
    return (unsigned)t < HG_N_TYPES ? name[t] : "unknown";
}

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
    }
#endif
}
