/* config.json: what is accepted makes a model's shape, and is read back the same when written. */
#include "model/inner.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void again(const hg_model *m)
{
    hg_buf b = {0};
    hg_model_config c;
    hg_arch row;
    hg_err e = {0};
    if (hg_config_write(&b, m, HG_WEIGHTS_F32, &e) != HG_OK) abort();
    if (hg_config_parse(&c, &row, (hg_bytes){b.p, b.n}, &e) != HG_OK) abort();
    if (c.n_layers != m->c.n_layers || c.d_head != m->c.d_head || c.n_ctx != m->c.n_ctx ||
        c.d_ff != m->c.d_ff || c.n_vocab != m->c.n_vocab || c.window != m->c.window ||
        c.norm_eps != m->c.norm_eps || c.rope_theta != m->c.rope_theta ||
        c.rope_scaling.kind != m->c.rope_scaling.kind || row.qkv_bias != m->arch->qkv_bias ||
        row.out_bias != m->arch->out_bias || row.act != m->arch->act)
        abort();
    hg_buf_free(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    hg_model_config c;
    hg_arch row;
    hg_err e = {0};
    hg_status s = hg_config_parse(&c, &row, (hg_bytes){(const char *)data, size}, &e);
    if (s != HG_OK) {
        if (e.msg[0] == '\0') abort();
        return 0;
    }
    hg_model *m = NULL;
    if (hg_model_make(&m, &c, &row, &e) != HG_OK) abort();
    again(m);
    hg_model_free(m);
    return 0;
}
