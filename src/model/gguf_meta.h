/* Metadata of a GGUF being written: pairs of a key and a value, one after the other in a buffer. In
 * a key a '#' at its beginning stands for the architecture ("#.block_count"). */
#ifndef HG_MODEL_GGUF_META_H
#define HG_MODEL_GGUF_META_H

#include "model/inner.h"

typedef struct hg_meta {
    hg_buf *b;
    uint64_t n_kv;
    const char *arch;
} hg_meta;

void hg_meta_put(hg_buf *b, uint64_t v, size_t n); /* n bytes, the lowest first */
void hg_meta_string(hg_buf *b, const char *p, size_t n);
void hg_meta_u32(hg_meta *m, const char *key, uint32_t v);
void hg_meta_f32(hg_meta *m, const char *key, float v);
void hg_meta_bool(hg_meta *m, const char *key, bool v);
void hg_meta_text(hg_meta *m, const char *key, const char *v);
/* The head of an array; its n items follow. */
void hg_meta_array(hg_meta *m, const char *key, hg_gguf_type item, uint64_t n);

/* The model's tokenizer, its template among it. */
hg_status hg_gguf_put_tokenizer(hg_meta *m, const hg_model *model, hg_err *e);

#endif
