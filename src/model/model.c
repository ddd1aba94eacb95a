/* A model as a handle: what others ask of it, and its end. */
#include "model/inner.h"
#include <string.h>

void hg_model_free(hg_model *m)
{
    if (m == NULL) return;
    if (m->files != NULL) {
        hg_store_free(&m->files->store);
        hg_free(m->files);
    }
    hg_tokenizer_free(m->tokenizer);
    hg_free(m->chat_template);
    hg_arena_free(&m->packed);
    hg_arena_free(&m->mem);
    hg_free(m);
}

const hg_model_config *hg_model_get_config(const hg_model *m)
{
    return &m->c;
}

const hg_tokenizer *hg_model_tokenizer(const hg_model *m)
{
    return m->tokenizer;
}

const char *hg_model_chat_template(const hg_model *m)
{
    return m->chat_template;
}

uint64_t hg_model_count(const hg_model *m)
{
    uint64_t n = 0;
    for (size_t i = 0; i < m->n_params; i++) n += hg_tensor_count(m->param[i]);
    return n;
}

uint64_t hg_model_bytes(const hg_model *m)
{
    return m->n_bytes;
}

void hg_model_set_tokenizer(hg_model *m, struct hg_tokenizer *t)
{
    if (m->tokenizer != t) hg_tokenizer_free(m->tokenizer);
    m->tokenizer = t;
}

hg_status hg_model_set_chat_template(hg_model *m, const char *text, hg_err *e)
{
    char *copy = NULL;
    if (text != NULL && (copy = hg_strdup(text)) == NULL)
        return hg_fail(e, HG_E_NOMEM, "no room for a chat template");
    hg_free(m->chat_template);
    m->chat_template = copy;
    return HG_OK;
}

static int32_t known_id(const hg_model *m, int32_t id)
{
    return id >= 0 && (uint32_t)id < m->c.n_vocab ? id : -1;
}

void hg_model_set_ids(hg_model *m, int32_t bos, int32_t eos, int32_t pad)
{
    m->c.bos_id = known_id(m, bos);
    m->c.eos_id = known_id(m, eos);
    m->c.pad_id = known_id(m, pad);
}
