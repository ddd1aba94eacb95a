/* What the files of an inspection share. */
#ifndef HG_MODEL_INSPECT_H
#define HG_MODEL_INSPECT_H

#include <higgins/inspect.h>
#include "model/inner.h"

typedef struct hg_inspection {
    hg_model_info info; /* first: the caller's pointer is to it */
    hg_arena mem;       /* all that info points at, but for what the members below own */
    hg_store store;
    hg_gguf gguf; /* of a GGUF */
    bool is_gguf;
    const char *path, *dir;  /* dir: NULL for a single file */
    hg_model *model;         /* NULL when it cannot be run */
    hg_tokenizer *tokenizer; /* the model's, or our own */
    char *chat_template;
    hg_key_info *key; /* what info.key points at */
    size_t key_cap;
    hg_tensor_info *tensor; /* what info.tensor points at, */
    const hg_entry **entry; /* and the store's entry of each */
} hg_inspection;

/* inspect_keys.c: info.key. */
hg_status hg_inspect_gguf_keys(hg_inspection *in, hg_err *e);
/* A JSON file beside the weights, when it is there. */
hg_status hg_inspect_json_keys(hg_inspection *in, const char *name, hg_err *e);
/* __metadata__ of a mapped safetensors file. */
hg_status hg_inspect_header_keys(hg_inspection *in, const hg_store_file *f, hg_err *e);

/* inspect_tensors.c: info.file, tensor, group, type and layer, of the store. */
hg_status hg_inspect_tensors(hg_inspection *in, hg_err *e);
/* Reads every value. */
hg_status hg_inspect_values(hg_inspection *in, const hg_watch *w, hg_err *e);

/* inspect_tokens.c: info.sample and the counts, of in->tokenizer. */
hg_status hg_inspect_tokens(hg_inspection *in, hg_err *e);

#endif
