/* Dropout (Srivastava et al. 2014): in training each value is zero with probability p, and what
 * stays is scaled so that the mean stays. Whether a value stays follows from a seed and its row
 * alone, so that the backward pass, another number of threads and a resumed run make the same
 * choice, and no mask is kept. */
#include "tensor/ops_impl.h"

#include "base/rng.h"

typedef struct dropout {
    uint64_t seed;
    float p;
} dropout;

typedef struct drop_job {
    const dropout *how;
    float *y;
    const float *x;
    size_t d;
    bool add;
} drop_job;

static void drop_chunk(void *ctx, size_t begin, size_t end, int thread)
{
    const drop_job *j = ctx;
    const float scale = 1.0f / (1.0f - j->how->p);
    const uint32_t limit = (uint32_t)(j->how->p * 0x1p32f);
    (void)thread;
    for (size_t r = begin; r < end; r++) {
        hg_rng rng;
        uint64_t bits = 0;
        hg_rng_init(&rng, j->how->seed, r);
        for (size_t i = 0; i < j->d; i++) {
            bits = i % 2 == 0 ? hg_rng_u64(&rng) : bits >> 32;
            const size_t at = r * j->d + i;
            const float v = (uint32_t)bits < limit ? 0.0f : scale * j->x[at];
            j->y[at] = j->add ? j->y[at] + v : v;
        }
    }
}

static void run(hg_graph *g, const dropout *how, float *y, const float *x, size_t n, size_t d,
                bool add)
{
    drop_job j = {how, y, x, d, add};
    hg_pool_run(g->rt->pool, n, hg_op_grain(2 * d * sizeof(float)), drop_chunk, &j);
}

static void dropout_back(hg_graph *g, hg_step *s)
{
    bool is_first = false;
    float *dx = hg_grad_open(g, s->in[0], &is_first);
    if (dx == NULL) return;
    run(g, s->saved, dx, s->out->grad, hg_tensor_rows(s->out), hg_tensor_cols(s->out), !is_first);
}

hg_tensor *hg_op_dropout(hg_graph *g, hg_tensor *x, float p, uint64_t seed)
{
    if (!hg_op_check(g, "dropout", "x", x)) return NULL;
    if (!(p >= 0.0f && p < 1.0f))
        return hg_graph_fail(g, HG_E_ARG, "dropout: a probability of %g; 0 to below 1 allowed",
                             (double)p);
    hg_tensor *y = hg_op_like(g, x);
    dropout *how = HG_NEW(g->mem, dropout, 1);
    if (how == NULL) return hg_graph_fail(g, HG_E_NOMEM, "no memory to record a dropout");
    if (y == NULL) return NULL;
    *how = (dropout){seed, p};
    run(g, how, y->data, x->data, hg_tensor_rows(x), hg_tensor_cols(x), false);
    if (!hg_op_recorded(g, x, NULL, NULL)) return y;
    return hg_op_record(g, dropout_back, (hg_tensor *[3]){x}, y, how) != NULL ? y : NULL;
}
