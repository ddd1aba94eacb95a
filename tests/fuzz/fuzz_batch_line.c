/* Lines of a batch's input: what is accepted is a request with its name, what is refused says why.
 */
#include "serve/batches/batches.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    hg_batch_line l = {0};
    json_t *tree = NULL, *again = NULL;
    hg_buf text = {0};
    hg_problem p;
    hg_err e;

    const bool ok = hg_batch_line_read(&l, &tree, &text, (hg_bytes){(const char *)data, size},
                                       "/v1/embeddings", &p);
    if (!ok && (p.status < 400 || p.msg[0] == 0)) abort();
    if (ok && (l.custom_id.n == 0 || hg_json_parse(&again, l.body, l.body.n, &e) != HG_OK)) abort();
    json_decref(again);
    json_decref(tree);
    hg_buf_free(&text);
    return 0;
}
