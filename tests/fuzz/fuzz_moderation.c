/* Texts that are judged: any bytes have scores from 0 to 1. */
#include "serve/moderation/moderation.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    double score[HG_N_HARMS];
    hg_err e;

    if (hg_lexicon_score(score, (hg_bytes){(const char *)data, size}, &e) != HG_OK) abort();
    for (int h = 0; h < HG_N_HARMS; h++)
        if (!(score[h] >= 0 && score[h] <= 1)) abort();
    return 0;
}
