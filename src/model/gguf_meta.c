/* Writing the pairs of a GGUF's metadata. */
#include "model/gguf_meta.h"
#include <stdio.h>
#include <string.h>

void hg_meta_put(hg_buf *b, uint64_t v, size_t n)
{
    for (size_t i = 0; i < n; i++) hg_buf_putc(b, (char)(unsigned char)(v >> (8 * i)));
}

void hg_meta_string(hg_buf *b, const char *p, size_t n)
{
    hg_meta_put(b, n, 8);
    hg_buf_put(b, p, n);
}

/* A key; '#' at its beginning stands for the architecture. */
static void put_key(hg_meta *m, const char *key, hg_gguf_type type)
{
    char full[128];
    if (key[0] == '#')
        (void)snprintf(full, sizeof full, "%s%s", m->arch, key + 1);
    else
        (void)snprintf(full, sizeof full, "%s", key);
    hg_meta_string(m->b, full, strlen(full));
    hg_meta_put(m->b, type, 4);
    m->n_kv++;
}

void hg_meta_u32(hg_meta *m, const char *key, uint32_t v)
{
    put_key(m, key, GGUF_U32);
    hg_meta_put(m->b, v, 4);
}

void hg_meta_f32(hg_meta *m, const char *key, float v)
{
    uint32_t bits;
    memcpy(&bits, &v, 4);
    put_key(m, key, GGUF_F32);
    hg_meta_put(m->b, bits, 4);
}

void hg_meta_bool(hg_meta *m, const char *key, bool v)
{
    put_key(m, key, GGUF_BOOL);
    hg_meta_put(m->b, v, 1);
}

void hg_meta_text(hg_meta *m, const char *key, const char *v)
{
    put_key(m, key, GGUF_STRING);
    hg_meta_string(m->b, v, strlen(v));
}

void hg_meta_array(hg_meta *m, const char *key, hg_gguf_type item, uint64_t n)
{
    put_key(m, key, GGUF_ARRAY);
    hg_meta_put(m->b, item, 4);
    hg_meta_put(m->b, n, 8);
}
