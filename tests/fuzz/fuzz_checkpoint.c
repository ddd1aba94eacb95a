/* Checkpoints: any bytes give parts that lie within them, or one sentence. */
#include "train/checkpoint.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    hg_checkpoint c;
    hg_err e = {0};
    volatile unsigned sum = 0;
    if (hg_checkpoint_parse(&c, data, size, "checkpoint", &e) != HG_OK) return 0;
    for (size_t i = 0; i < c.recipe.n; i++) sum += (unsigned char)c.recipe.p[i];
    for (uint64_t i = 0; i < c.n_moments * 4; i++) sum += (unsigned)c.weights[i] + c.m[i] + c.v[i];
    return 0;
}
