/* Importance files, a GGUF and the older list. */
#include "model/importance.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    hg_importance im;
    hg_err e = {0};
    hg_status s = hg_importance_parse(&im, data, size, "x", &e);
    if (s != HG_OK && e.msg[0] == '\0') abort();
    for (size_t i = 0; s == HG_OK && i < im.n; i++) {
        const hg_important *t = hg_importance_find(&im, im.tensor[i].name);
        if (t == NULL || t->n == 0) abort();
        for (size_t j = 0; j < t->n; j++)
            if (!(t->weight[j] >= 0)) abort();
    }
    hg_importance_free(&im);
    return 0;
}
