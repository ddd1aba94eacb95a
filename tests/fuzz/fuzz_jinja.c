/* Chat templates: any bytes are rendered within the limits, or refused in one sentence. */
#include "jinja/jinja.h"
#include "text/json.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void give(jrun *r)
{
    hg_err e;
    json_t *values = NULL;
    static const char text[] =
        "{\"messages\": [{\"role\": \"user\", \"content\": \"h\\u00e9 <|im_end|>\"}, {\"role\": "
        "\"assistant\", \"content\": null, \"tool_calls\": [{\"function\": {\"name\": \"f\", "
        "\"arguments\": {\"a\": [1, 2.5, true]}}}]}], \"n\": 3, \"s\": \"abc\", \"l\": [3, 1, 2]}";
    if (hg_json_parse(&values, (hg_bytes){text, sizeof text - 1}, 1 << 20, &e) != HG_OK) abort();
    const char *name;
    json_t *value;
    json_object_foreach(values, name, value)
        hg_jinja_set(r, name, hg_jv_from_json(r, value, JV_DATA));
    json_decref(values);
    hg_jinja_set_time(r, 1767225600);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    hg_jinja *t = NULL;
    jrun *r = NULL;
    hg_jinja_text out;
    hg_err e = {0};
    hg_jinja_limits limits;
    hg_jinja_limits_init(&limits);
    limits.max_steps = 20000;
    limits.max_memory = (size_t)16 << 20;
    limits.max_output = (size_t)1 << 20;
    if (hg_jinja_parse(&t, (hg_bytes){(const char *)data, size}, &e) != HG_OK) {
        if (e.msg[0] == '\0' || t != NULL) abort();
        return 0;
    }
    if (hg_jinja_run_new(&r, t, &limits, &e) != HG_OK) abort();
    give(r);
    hg_status s = hg_jinja_render(r, &out, &e);
    if (s != HG_OK && e.msg[0] == '\0') abort();
    for (size_t i = 0; s == HG_OK && i < out.text.n; i++)
        if ((out.mark[i] & JV_SOURCE) > JV_DATA) abort();
    hg_jinja_run_free(r);
    hg_jinja_free(t);
    return 0;
}
