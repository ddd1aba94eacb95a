/* What is in a model's files, told without loading them. */
#include "model/inner.h"
#include <string.h>

struct inspection {
    hg_model_info info; /* first: the caller's pointer is to it */
    hg_model *model;
    hg_tensor_info *tensor;
};

static void describe(struct inspection *in)
{
    const hg_model *m = in->model;
    const hg_store *s = &m->files->store;
    hg_model_info *info = &in->info;
    info->config = m->c;
    info->format = m->files->format == HG_FORMAT_GGUF ? "gguf" : "safetensors";
    info->tokenizer = m->tokenizer == NULL ? NULL : "byte-level BPE";
    info->n_tokens = m->tokenizer == NULL ? 0 : hg_tokenizer_count(m->tokenizer);
    info->chat_template = m->chat_template;
    info->n_params = hg_model_count(m);
    info->n_tensors = s->n;
    info->tensor = in->tensor;
    for (size_t i = 0; i < s->n; i++) {
        const hg_entry *en = &s->entry[i];
        hg_tensor_info *t = &in->tensor[i];
        *t = (hg_tensor_info){
            .name = en->name, .type = en->type_name, .n_dims = en->n_dims, .n_bytes = en->n_bytes};
        memcpy(t->dim, en->dim, sizeof t->dim);
        info->n_bytes += en->n_bytes;
    }
}

hg_status hg_model_inspect(hg_model_info **out, const char *path, hg_err *e)
{
    *out = NULL;
    struct inspection *in = hg_alloc(1, sizeof *in);
    if (in == NULL) return hg_fail(e, HG_E_NOMEM, "no room to inspect %s", path);
    hg_status s = hg_model_open_stored(&in->model, path, e);
    if (s == HG_OK) {
        in->tensor = hg_alloc(in->model->files->store.n, sizeof *in->tensor);
        if (in->tensor == NULL) s = hg_fail(e, HG_E_NOMEM, "no room to inspect %s", path);
    }
    if (s != HG_OK) {
        hg_model_info_free(&in->info);
        return s;
    }
    describe(in);
    *out = &in->info;
    return HG_OK;
}

void hg_model_info_free(hg_model_info *info)
{
    struct inspection *in = (struct inspection *)(void *)info;
    if (in == NULL) return;
    hg_model_free(in->model);
    hg_free(in->tensor);
    hg_free(in);
}
