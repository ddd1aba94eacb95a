/* GGUF: header, metadata, configuration, tokenizer; every value of a model that is accepted is
 * read, and every key shown. */
#include "model/inspect.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_all(const hg_model *m)
{
    for (size_t i = 0; i < m->n_params; i++) {
        const hg_tensor *t = m->param[i];
        float *row = hg_alloc(hg_tensor_cols(t), sizeof *row);
        if (row == NULL) abort();
        for (size_t r = 0; r < hg_tensor_rows(t); r++) hg_model_row(m, t, r, row);
        hg_free(row);
    }
}

static hg_status bind_and_read(hg_files *f, const hg_model_config *c, const hg_arch *row, hg_err *e)
{
    hg_model *m = NULL;
    HG_TRY(hg_model_make(&m, c, row, e));
    hg_status s = hg_files_bind(m, f, e);
    if (s == HG_OK) {
        m->files = f;
        read_all(m);
        m->files = NULL;
    }
    hg_model_free(m);
    return s;
}

static void show_keys(const hg_gguf *g)
{
    hg_inspection in = {.info = {.name = "x"}, .gguf = *g, .path = "x"};
    hg_err e = {0};
    hg_arena_init(&in.mem, 4096);
    if (hg_inspect_gguf_keys(&in, &e) != HG_OK && e.msg[0] == '\0') abort();
    hg_free(in.key);
    hg_arena_free(&in.mem);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    hg_files f = {.format = HG_FORMAT_GGUF};
    hg_gguf g;
    hg_arena mem;
    hg_model_config c;
    hg_arch row;
    hg_err e = {0};
    hg_tokenizer *t = NULL;
    hg_store_init(&f.store);
    hg_arena_init(&mem, 4096);
    hg_status s = hg_gguf_parse(&g, &f.store, &mem, data, size, "x", &e);
    if (s == HG_OK) {
        show_keys(&g);
        s = hg_gguf_config(&g, &f.store, &c, &row, &e);
        if (s == HG_OK) s = bind_and_read(&f, &c, &row, &e);
        if (s != HG_OK && e.msg[0] == '\0') abort();
        s = hg_gguf_tokenizer(&g, &t, &e);
        hg_tokenizer_free(t);
    }
    if (s != HG_OK && e.msg[0] == '\0') abort();
    hg_arena_free(&mem);
    hg_store_free(&f.store);
    return 0;
}
