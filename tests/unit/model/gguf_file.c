#include "gguf_file.h"
#include "harness/test.h"
#include <string.h>

void gguf_file_init(gguf_file *f)
{
    memset(f, 0, sizeof *f);
    f->meta.b = &f->keys;
    f->meta.arch = "llama";
}

void gguf_file_head(gguf_file *f, const char *name, uint32_t type, const uint64_t *dim,
                    uint32_t n_dims, uint64_t offset)
{
    hg_meta_string(&f->tensors, name, strlen(name));
    hg_meta_put(&f->tensors, n_dims, 4);
    for (uint32_t d = 0; d < n_dims; d++) hg_meta_put(&f->tensors, dim[d], 8);
    hg_meta_put(&f->tensors, type, 4);
    hg_meta_put(&f->tensors, offset, 8);
    f->n_tensors++;
}

uint64_t gguf_file_tensor(gguf_file *f, const char *name, uint32_t type, const uint64_t *dim,
                          uint32_t n_dims, const void *values, size_t n_bytes)
{
    while (f->data.n % 32 != 0) hg_buf_putc(&f->data, 0);
    uint64_t offset = f->data.n;
    gguf_file_head(f, name, type, dim, n_dims, offset);
    hg_buf_put(&f->data, values, n_bytes);
    return offset;
}

uint64_t gguf_file_vector(gguf_file *f, const char *name, const float *x, uint64_t n)
{
    return gguf_file_tensor(f, name, 0, &n, 1, x, (size_t)n * sizeof *x);
}

void gguf_file_end(gguf_file *f, hg_buf *out)
{
    hg_buf_put(out, "GGUF\3\0\0\0", 8);
    hg_meta_put(out, f->n_tensors, 8);
    hg_meta_put(out, f->meta.n_kv, 8);
    hg_buf_put(out, f->keys.p, f->keys.n);
    hg_buf_put(out, f->tensors.p, f->tensors.n);
    while (f->data.n > 0 && out->n % 32 != 0) hg_buf_putc(out, 0);
    hg_buf_put(out, f->data.p, f->data.n);
    CHECK(!out->failed);
    hg_buf_free(&f->keys);
    hg_buf_free(&f->tensors);
    hg_buf_free(&f->data);
}

void gguf_file_write(gguf_file *f, const char *path)
{
    hg_err e = {0};
    hg_buf b = {0};
    gguf_file_end(f, &b);
    CHECK_OK(hg_file_write(path, b.p, b.n, &e), e);
    hg_buf_free(&b);
}
