/* Adapters by hand. */
#include "harness/adapters.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/rng.h"
#include "harness/test.h"
#include "model/gguf_meta.h"

#include <stdio.h>
#include <string.h>

enum { N_SITES = 3, N_PARTS = 2 };

static const struct {
    const char *hf, *gguf;
    size_t offset;
    bool is_turned; /* GGUF puts the two of a rotary pair beside each other */
} SITES[N_SITES] = {
    {"self_attn.q_proj", "attn_q", offsetof(hg_layer, q), true},
    {"self_attn.k_proj", "attn_k", offsetof(hg_layer, k), true},
    {"mlp.down_proj", "ffn_down", offsetof(hg_layer, mlp) + offsetof(hg_mlp, down), false}};

typedef struct part {
    size_t rows, cols;
    float *x;
} part;

static hg_tensor *site_of(const hg_model *m, size_t layer, size_t site)
{
    const char *base = (const char *)&m->layer[layer];
    return *(hg_tensor *const *)(const void *)(base + SITES[site].offset);
}

/* A (0) or B (1) of a site; the caller frees x. */
static part values(const hg_model *m, size_t layer, size_t site, size_t which, uint64_t seed)
{
    const hg_tensor *t = site_of(m, layer, site);
    part p = {which == 0 ? ADAPTER_RANK : t->dim[0], which == 0 ? t->dim[1] : ADAPTER_RANK, NULL};
    hg_rng r;
    hg_rng_init(&r, seed, (layer * N_SITES + site) * N_PARTS + which);
    p.x = hg_alloc(p.rows * p.cols, sizeof *p.x);
    CHECK(p.x != NULL);
    for (size_t i = 0; i < p.rows * p.cols; i++)
        p.x[i] = (float)hg_rng_below(&r, 2001) / 5000.0f - 0.2f;
    return p;
}

void adapter_merge(hg_model *m, uint64_t seed, double scale)
{
    for (size_t l = 0; l < m->c.n_layers; l++)
        for (size_t s = 0; s < N_SITES; s++) {
            const hg_tensor *t = site_of(m, l, s);
            part a = values(m, l, s, 0, seed), b = values(m, l, s, 1, seed);
            float *w = t->data;
            for (size_t i = 0; i < t->dim[0]; i++)
                for (size_t j = 0; j < t->dim[1]; j++) {
                    double sum = 0;
                    for (size_t k = 0; k < ADAPTER_RANK; k++)
                        sum += (double)b.x[i * ADAPTER_RANK + k] * (double)a.x[k * a.cols + j];
                    w[i * t->dim[1] + j] = (float)((double)w[i * t->dim[1] + j] + scale * sum);
                }
            hg_free(a.x);
            hg_free(b.x);
        }
}

/* ---- PEFT ---- */

static void write_at(const char *dir, const char *name, const hg_buf *b)
{
    hg_err e;
    char *path = hg_path_join(dir, name);
    CHECK_OK(hg_file_write(path, b->p, b->n, &e), e);
    hg_free(path);
}

static void put_values(hg_buf *header, hg_buf *body, const char *name, const part *p)
{
    hg_buf_printf(header,
                  "%s\"%s\": {\"dtype\": \"F32\", \"shape\": [%zu, %zu], \"data_offsets\": [%zu, "
                  "%zu]}",
                  body->n > 0 ? ", " : "", name, p->rows, p->cols, body->n,
                  body->n + p->rows * p->cols * sizeof(float));
    hg_buf_put(body, p->x, p->rows * p->cols * sizeof(float));
}

void adapter_write_peft(const char *dir, const hg_model *m, uint64_t seed, const char *members)
{
    hg_buf config = {0}, header = {0}, body = {0}, file = {0};
    char name[128];
    hg_err e;
    CHECK_OK(hg_mkdirs(dir, &e), e);
    hg_buf_printf(&config, "{\"peft_type\": \"LORA\", \"r\": %d, \"lora_alpha\": %g%s}",
                  ADAPTER_RANK, ADAPTER_ALPHA, members);
    hg_buf_putc(&header, '{');
    for (size_t l = 0; l < m->c.n_layers; l++)
        for (size_t s = 0; s < N_SITES; s++)
            for (size_t k = 0; k < N_PARTS; k++) {
                part p = values(m, l, s, k, seed);
                (void)snprintf(name, sizeof name,
                               "base_model.model.model.layers.%zu.%s.lora_%c.weight", l,
                               SITES[s].hf, k == 0 ? 'A' : 'B');
                put_values(&header, &body, name, &p);
                hg_free(p.x);
            }
    hg_buf_putc(&header, '}');
    hg_meta_put(&file, header.n, 8);
    hg_buf_put(&file, header.p, header.n);
    hg_buf_put(&file, body.p, body.n);
    write_at(dir, "adapter_config.json", &config);
    write_at(dir, "adapter_model.safetensors", &file);
    hg_buf_free(&config);
    hg_buf_free(&header);
    hg_buf_free(&body);
    hg_buf_free(&file);
}

/* ---- GGUF ---- */

static void put_row(hg_buf *body, const part *p, size_t row)
{
    hg_buf_put(body, p->x + row * p->cols, p->cols * sizeof(float));
}

static void put_tensor(hg_buf *head, hg_buf *body, const hg_model *m, const part *p, size_t layer,
                       size_t site, size_t which)
{
    char name[64];
    const size_t d = m->c.d_head;
    (void)snprintf(name, sizeof name, "blk.%zu.%s.weight.lora_%c", layer, SITES[site].gguf,
                   which == 0 ? 'a' : 'b');
    hg_meta_string(head, name, strlen(name));
    hg_meta_put(head, 2, 4);
    hg_meta_put(head, p->cols, 8);
    hg_meta_put(head, p->rows, 8);
    hg_meta_put(head, 0, 4); /* float32 */
    hg_meta_put(head, body->n, 8);
    for (size_t r = 0; r < p->rows; r++) {
        const bool turned = which == 1 && SITES[site].is_turned;
        put_row(body, p, turned ? r / d * d + r % 2 * (d / 2) + r % d / 2 : r);
    }
    while (body->n % 32 != 0) hg_buf_putc(body, 0);
}

void adapter_write_gguf(const char *path, const hg_model *m, uint64_t seed)
{
    hg_buf file = {0}, keys = {0}, head = {0}, body = {0};
    hg_meta meta = {.b = &keys, .arch = "llama"};
    hg_err e;
    hg_meta_text(&meta, "general.type", "adapter");
    hg_meta_text(&meta, "general.architecture", "llama");
    hg_meta_text(&meta, "adapter.type", "lora");
    hg_meta_f32(&meta, "adapter.lora.alpha", (float)ADAPTER_ALPHA);
    for (size_t l = 0; l < m->c.n_layers; l++)
        for (size_t s = 0; s < N_SITES; s++)
            for (size_t k = 0; k < N_PARTS; k++) {
                part p = values(m, l, s, k, seed);
                put_tensor(&head, &body, m, &p, l, s, k);
                hg_free(p.x);
            }
    hg_buf_puts(&file, "GGUF");
    hg_meta_put(&file, 3, 4);
    hg_meta_put(&file, m->c.n_layers * N_SITES * N_PARTS, 8);
    hg_meta_put(&file, meta.n_kv, 8);
    hg_buf_put(&file, keys.p, keys.n);
    hg_buf_put(&file, head.p, head.n);
    while (file.n % 32 != 0) hg_buf_putc(&file, 0);
    hg_buf_put(&file, body.p, body.n);
    CHECK_OK(hg_file_write(path, file.p, file.n, &e), e);
    hg_buf_free(&file);
    hg_buf_free(&keys);
    hg_buf_free(&head);
    hg_buf_free(&body);
}
