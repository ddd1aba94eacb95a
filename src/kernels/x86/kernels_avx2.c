/* Vector kernels with AVX2, FMA and F16C. */
#include "kernels/scalar.h"
#include "kernels/tables.h"

#include <immintrin.h>

static void f16_to_f32(float *y, const hg_f16 *x, size_t n)
{
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        _mm256_storeu_ps(y + i, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(x + i))));
    for (; i < n; i++) y[i] = f16_to_float(x[i]);
}

void hg_kernels_avx2(hg_kernels *k)
{
    k->f16_to_f32 = f16_to_f32;
}
