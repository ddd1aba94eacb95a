/* JSON lines through the reader of files, as collect, tokenizers and training meet them. */
#include "data/reader.h"
#include "text/json.h"
#include "text/utf8.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The reader wants a path: a file in memory has one. */
static void read_as(const uint8_t *data, size_t size, bool is_shard)
{
    char path[64];
    hg_reader *r = NULL;
    hg_err e = {0};
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    if (fd < 0 || write(fd, data, size) != (ssize_t)size) abort();
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    hg_reader_options o = {.is_shard = is_shard};
    if (hg_reader_open(&r, path, &o, &e) == HG_OK) {
        for (;;) {
            hg_doc doc;
            bool has = false;
            hg_status s = hg_reader_next(r, &doc, &has, &e);
            if (s != HG_OK && e.msg[0] == '\0') abort();
            if (s != HG_OK && s != HG_E_FORMAT && s != HG_E_LIMIT) break;
            if (s == HG_OK && !has) break;
            if (s == HG_OK && hg_utf8_valid(doc.text) != doc.text.n) abort();
        }
    }
    hg_reader_close(r);
    (void)close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_t *v = NULL;
    hg_err e = {0};
    if (hg_json_parse(&v, (hg_bytes){(const char *)data, size}, 1 << 20, &e) == HG_OK) {
        hg_buf b = {0};
        if (hg_json_put_tree(&b, v, &e) != HG_OK) abort();
        hg_buf_free(&b);
    } else if (e.msg[0] == '\0') {
        abort();
    }
    json_decref(v);
    read_as(data, size, true);
    read_as(data, size, false);
    return 0;
}
