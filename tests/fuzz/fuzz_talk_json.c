/* Conversations that a browser or a file gives: what is kept is given back, and can be kept again;
 * what is refused says why. */
#include "serve/data.h"
#include "serve/page/talks.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool keep(hg_data *d, const char *id, hg_bytes json, hg_problem *p)
{
    hg_arena mem;
    hg_talk t;

    hg_arena_init(&mem, 16 * 1024);
    const bool ok =
        hg_talk_read(&t, json, &mem, p) && hg_talk_put(hg_data_store(d), "o", id, &t, p);
    hg_talk_free(&t);
    hg_arena_free(&mem);
    return ok;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    hg_data *d = NULL;
    hg_buf b = {0}, list = {0};
    hg_json_out o;
    hg_problem p = {0};

    if (hg_data_open(&d, NULL, false, NULL) != HG_OK) abort();
    const bool ok = keep(d, "a", (hg_bytes){(const char *)data, size}, &p);
    if (!ok && (p.status < 400 || p.msg[0] == 0)) abort();
    hg_json_out_init(&o, &b, 0);
    if (ok && !hg_talk_get(hg_data_store(d), "o", "a", &o, &p)) abort();
    if (ok && !keep(d, "b", (hg_bytes){b.p, b.n}, &p)) abort();
    /* The same bytes as words that are looked for. */
    char *words = calloc(1, size + 1);
    if (words == NULL) abort();
    if (size > 0) memcpy(words, data, size);
    hg_json_out_init(&o, &list, 0);
    if (!hg_talk_list(hg_data_store(d), "o", &(hg_talk_page){.search = words, .limit = 5}, &o, &p))
        abort();
    free(words);
    hg_buf_free(&list);
    hg_buf_free(&b);
    hg_data_close(d);
    return 0;
}
