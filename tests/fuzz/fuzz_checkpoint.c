/* Checkpoints: any bytes give parts that lie within them, or one sentence. */
#include "train/checkpoint.h"

/* What was read ends here, so that the reads are not left out. */
static volatile unsigned checked;
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    hg_checkpoint c;
    hg_err e = {0};
    unsigned sum = 0;
    if (hg_checkpoint_parse(&c, data, size, "checkpoint", &e) != HG_OK) return 0;
    for (size_t i = 0; i < c.recipe.n; i++) sum += (unsigned char)c.recipe.p[i];
    for (uint64_t i = 0; i < c.n_moments * 4; i++) sum += (unsigned)c.weights[i] + c.m[i];
    for (uint64_t i = 0; i < c.n_seconds * 4; i++) sum += (unsigned)c.v[i];
    for (uint64_t i = 0; i < c.n_average * 4; i++) sum += (unsigned)c.average[i];
    checked = sum;
    return 0;
}
