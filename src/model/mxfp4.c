/* MXFP4 in safetensors, as gpt-oss publishes its experts: a tensor X is two of bytes, X_blocks
 * [experts][rows][cols / 32][16] with two values of four bits a byte, and X_scales
 * [experts][rows][cols / 32] with the power of two of each 32 values (OCP Microscaling Formats 1.0,
 * 2023). They are joined here into one tensor of GGUF's blocks, which are put together when a
 * parameter asks for its values: nothing is copied before. */
#include "model/inner.h"
#include <stdio.h>
#include <string.h>

enum { VALUES = 32, BYTES = VALUES / 2 };

/* The name without its ending; false when it has another. */
static bool stem_of(const char *name, const char *ending, char out[HG_MAX_NAME])
{
    size_t n = strlen(name), k = strlen(ending);
    if (n <= k || strcmp(name + n - k, ending) != 0) return false;
    memcpy(out, name, n - k);
    out[n - k] = '\0';
    return true;
}

static bool is_u8(const hg_entry *en)
{
    return strcmp(en->type_name, "u8") == 0;
}

static hg_status check_pair(const hg_entry *blocks, const hg_entry *scales, const char *stem,
                            hg_err *e)
{
    if (scales == NULL)
        return hg_fail(e, HG_E_FORMAT, "tensor %s has no tensor %s_scales beside it", blocks->name,
                       stem);
    bool same = blocks->n_dims >= 3 && scales->n_dims == blocks->n_dims - 1 && is_u8(scales);
    for (int d = 0; d < scales->n_dims && same; d++) same = scales->dim[d] == blocks->dim[d];
    if (!same || blocks->dim[blocks->n_dims - 1] != BYTES ||
        blocks->dim[blocks->n_dims - 2] > SIZE_MAX / (8 * VALUES))
        return hg_fail(
            e, HG_E_FORMAT,
            "tensors %s and %s do not belong together; a scale for each %d bytes is needed",
            blocks->name, scales->name, BYTES);
    return HG_OK;
}

/* Adds the tensor that entry i of the first n and its scales make. */
static hg_status join(hg_store *s, size_t n, size_t i, const char *stem, hg_err *e)
{
    char name[HG_MAX_NAME];
    hg_store sorted = *s; /* what is added behind these is not */
    sorted.n = n;
    if (snprintf(name, sizeof name, "%s_scales", stem) >= (int)sizeof name)
        return hg_fail(e, HG_E_FORMAT, "tensor %s has too long a name", s->entry[i].name);
    hg_entry *blocks = &s->entry[i], *scales = hg_store_find(&sorted, name);
    HG_TRY(check_pair(blocks, scales, stem, e));
    blocks->is_used = scales->is_used = true;
    hg_entry both = *blocks;
    both.type = HG_MXFP4;
    both.type_name = hg_type_name(HG_MXFP4);
    both.n_dims = scales->n_dims;
    both.dim[both.n_dims - 1] = scales->dim[both.n_dims - 1] * VALUES;
    both.scales = scales->p;
    both.is_used = false;
    return hg_store_add(s, stem, strlen(stem), &both, e);
}

hg_status hg_mxfp4_join(hg_store *s, const char *path, hg_err *e)
{
    char stem[HG_MAX_NAME];
    const size_t n = s->n;
    for (size_t i = 0; i < n; i++) {
        hg_err why = {0};
        if (!stem_of(s->entry[i].name, "_blocks", stem) || !is_u8(&s->entry[i])) continue;
        hg_status st = join(s, n, i, stem, &why);
        if (st != HG_OK) return hg_fail(e, st, "%s: %s", path, why.msg);
    }
    return s->n > n ? hg_store_sort(s, path, e) : HG_OK;
}

/* Value v of a block: two values lie in a byte, the first in its lower half. */
static unsigned value_of(const unsigned char *in, size_t v)
{
    return (unsigned)in[v / 2] >> (v % 2 * 4) & 15U;
}

void hg_mxfp4_block(unsigned char *out, unsigned char scale, const unsigned char *in)
{
    *out++ = scale;
    for (size_t i = 0; i < BYTES; i++) /* GGUF: values i and i + 16 in byte i */
        out[i] = (unsigned char)(value_of(in, i) | value_of(in, i + BYTES) << 4);
}
