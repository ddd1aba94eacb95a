/* Answers of models that may call tools: what is read is a call of a tool, and no beginning of an
 * answer shows more than the whole says. The first byte chooses the style and whether it is opened.
 */
#include "text/json.h"
#include "token/calls.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0 || size > 4096) return 0;
    const hg_call_style style = (hg_call_style)(data[0] % 4);
    const bool opened = (data[0] & 4) != 0;
    const hg_bytes text = {(const char *)data + 1, size - 1};
    json_t *tools =
        json_loads("[{\"function\":{\"name\":\"f\"}},{\"function\":{\"name\":\"g\"}}]", 0, NULL);
    json_t *calls = NULL, *call;
    size_t n_words, i;
    hg_err e;
    if (hg_calls_read(style, tools, opened, text, &calls, &n_words, &e) != HG_OK) abort();
    if (n_words > text.n) abort();
    json_array_foreach(calls, i, call)
    {
        const json_t *name = json_object_get(call, "name");
        if (hg_calls_find(tools, (hg_bytes){json_string_value(name), json_string_length(name)}) ==
            NULL)
            abort();
    }
    for (size_t n = 0; n <= text.n; n++)
        if (hg_calls_words(style, opened, (hg_bytes){text.p, n}) > n) abort();
    json_decref(calls);
    json_decref(tools);
    return 0;
}
