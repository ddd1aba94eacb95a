/* Dropout (Srivastava et al. 2014): in training each value is zero with probability p, and what
 * stays is scaled so that the mean stays. Whether a value stays follows from a seed and its row's
 * number alone, so that the backward pass, another number of threads, lots of another size and a
 * resumed run make the same choice, and no mask is kept. */
#include "tensor/ops_impl.h"

#include "base/rng.h"
#include "kernels/scalar.h"

typedef struct dropout {
    uint64_t seed, first_row;
    float p;
} dropout;

typedef struct drop_job {
    const hg_kernels *k;
    const dropout *how;
    float *y;
    const void *x;
    hg_type type; /* of x: F32 or BF16 */
    size_t d;
    bool rounds, add; /* rounds: floats of x; add: to y, which then is not x's copy */
} drop_job;

/* Row r as floats: where it lies, or rounded in its place in y. A pass that keeps x rounded and one
 * that does not (a block to be run again) must give the same bits. */
static const float *row_of(const drop_job *j, size_t r)
{
    const float *x = (const float *)j->x + r * j->d;
    float *y = j->y + r * j->d;
    if (j->type == HG_BF16) {
        j->k->bf16_to_f32(y, (const hg_bf16 *)j->x + r * j->d, j->d);
        return y;
    }
    if (!j->rounds) return x;
    for (size_t i = 0; i < j->d; i++) y[i] = bf16_to_float(bf16_of(x[i]));
    return y;
}

static void drop_chunk(void *ctx, size_t begin, size_t end, int thread)
{
    const drop_job *j = ctx;
    const float scale = 1.0f / (1.0f - j->how->p);
    const uint32_t limit = (uint32_t)(j->how->p * 0x1p32f);
    (void)thread;
    for (size_t r = begin; r < end; r++) {
        const float *x = row_of(j, r);
        hg_rng rng;
        uint64_t bits = 0;
        hg_rng_init(&rng, j->how->seed, j->how->first_row + r);
        for (size_t i = 0; i < j->d; i++) {
            bits = i % 2 == 0 ? hg_rng_u64(&rng) : bits >> 32;
            const size_t at = r * j->d + i;
            const float v = (uint32_t)bits < limit ? 0.0f : scale * x[i];
            j->y[at] = j->add ? j->y[at] + v : v;
        }
    }
}

static void run(hg_graph *g, const drop_job *j, size_t n)
{
    drop_job all = *j;
    all.k = &g->rt->k;
    hg_pool_run(g->rt->pool, n, hg_op_grain(2 * j->d * sizeof(float)), drop_chunk, &all);
}

static void dropout_back(hg_graph *g, hg_step *s)
{
    bool is_first = false;
    float *dx = hg_grad_open(g, s->in[0], &is_first);
    if (dx == NULL) return;
    const drop_job j = {.how = s->saved,
                        .y = dx,
                        .x = s->out->grad,
                        .type = HG_F32,
                        .d = hg_tensor_cols(s->out),
                        .add = !is_first};
    run(g, &j, hg_tensor_rows(s->out));
}

hg_tensor *hg_op_dropout(hg_graph *g, hg_tensor *x, float p, uint64_t seed, uint64_t first_row)
{
    bool is_rounded = g->status == HG_OK && x != NULL && x->type == HG_BF16 && x->data != NULL;
    if (!is_rounded && !hg_op_check(g, "dropout", "x", x)) return NULL;
    if (!(p >= 0.0f && p < 1.0f))
        return hg_graph_fail(g, HG_E_ARG, "dropout: a probability of %g; 0 to below 1 allowed",
                             (double)p);
    hg_tensor *y = hg_op_like(g, x);
    dropout *how = HG_NEW(g->mem, dropout, 1);
    if (how == NULL) return hg_graph_fail(g, HG_E_NOMEM, "no memory to record a dropout");
    if (y == NULL) return NULL;
    *how = (dropout){seed, first_row, p};
    const drop_job j = {.how = how,
                        .y = y->data,
                        .x = x->data,
                        .type = x->type,
                        .d = hg_tensor_cols(x),
                        .rounds = g->compute == HG_COMPUTE_BF16};
    run(g, &j, hg_tensor_rows(x));
    if (!hg_op_recorded(g, x, NULL, NULL)) return y;
    return hg_op_record(g, dropout_back, (hg_tensor *[3]){x}, y, how) != NULL ? y : NULL;
}
