/* A GGUF made by hand, so that a test can say of each byte what it wants it to be. */
#ifndef TESTS_MODEL_GGUF_FILE_H
#define TESTS_MODEL_GGUF_FILE_H

#include "model/gguf_meta.h"

typedef struct gguf_file {
    hg_meta meta; /* of b: add keys with hg_meta_... */
    hg_buf keys, tensors, data;
    uint64_t n_tensors;
} gguf_file;

void gguf_file_init(gguf_file *f);
/* Dimensions in GGUF's order: the contiguous one first. Returns the tensor's offset. */
uint64_t gguf_file_tensor(gguf_file *f, const char *name, uint32_t type, const uint64_t *dim,
                          uint32_t n_dims, const void *values, size_t n_bytes);
/* The same with an offset of the test's own and without values. */
void gguf_file_head(gguf_file *f, const char *name, uint32_t type, const uint64_t *dim,
                    uint32_t n_dims, uint64_t offset);
/* n values of float32 as a vector. */
uint64_t gguf_file_vector(gguf_file *f, const char *name, const float *x, uint64_t n);
/* Puts it together into out (appended) or into a file; f is empty after. */
void gguf_file_end(gguf_file *f, hg_buf *out);
void gguf_file_write(gguf_file *f, const char *path);

#endif
