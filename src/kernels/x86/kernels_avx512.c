/* Vector kernels with AVX-512. */
#include "kernels/tables.h"

#include <immintrin.h>

static void add_f32(float *y, const float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i += 16) {
        __mmask16 m = n - i >= 16 ? (__mmask16)-1 : (__mmask16)((1u << (n - i)) - 1);
        __m512 s = _mm512_add_ps(_mm512_maskz_loadu_ps(m, a + i), _mm512_maskz_loadu_ps(m, b + i));
        _mm512_mask_storeu_ps(y + i, m, s);
    }
}

void hg_kernels_avx512(hg_kernels *k)
{
    hg_gemm_avx512(k);
    k->add_f32 = add_f32;
}
