/* A text as one vector: what the model makes of its tokens, pooled. Texts that mean alike lie near
 * each other by the angle between their vectors (Reimers and Gurevych 2019). */
#include "infer/session.h"

#include <math.h>
#include <string.h>

/* Adds what the chunk's rows contribute. */
static void pool(const hg_session *s, const float *states, size_t n, bool first, bool last,
                 hg_pooling pooling, float *out)
{
    const size_t d = s->m->c.d_model;
    for (size_t r = 0; r < n; r++) {
        const bool is_chosen = pooling == HG_POOL_MEAN ||
                               (pooling == HG_POOL_CLS && first && r == 0) ||
                               (pooling == HG_POOL_LAST && last && r == n - 1);
        if (is_chosen) s->step.rt->k.add_f32(out, out, states + r * d, d);
    }
}

hg_status hg_session_embed(hg_session *s, const int32_t *ids, size_t n, hg_pooling pooling,
                           bool normalise, float *out, hg_err *e)
{
    return hg_session_embed_until(s, ids, n, pooling, normalise, NULL, out, e);
}

static hg_status add_chunk(hg_session *s, hg_lane *lane, const atomic_bool *stop, hg_err *e)
{
    if (stop != NULL && atomic_load(stop)) return hg_fail(e, HG_E_CANCELED, "it was canceled");
    s->logits = NULL; /* the step's arena begins anew */
    return hg_stepper_run(&s->step, lane, 1, e);
}

hg_status hg_session_embed_until(hg_session *s, const int32_t *ids, size_t n, hg_pooling pooling,
                                 bool normalise, const atomic_bool *stop, float *out, hg_err *e)
{
    const size_t d = s->m->c.d_model;
    const hg_kernels *k = &s->step.rt->k;
    hg_session_rewind(s, 0);
    if (n == 0) return hg_fail(e, HG_E_ARG, "no tokens to make a vector of");
    HG_TRY(hg_session_check(s, ids, n, e));
    memset(out, 0, d * sizeof *out);
    for (size_t i = 0, rows; i < n; i += rows) {
        rows = n - i < s->chunk ? n - i : s->chunk;
        hg_lane lane = hg_session_lane(s, ids + i, rows, HG_WANT_STATES);
        const hg_status status = add_chunk(s, &lane, stop, e);
        if (status != HG_OK) {
            hg_session_rewind(s, 0);
            return status;
        }
        pool(s, lane.states, rows, i == 0, i + rows == n, pooling, out);
    }
    if (pooling == HG_POOL_MEAN) k->scale_f32(out, 1.0f / (float)n, out, d);
    const float length = sqrtf(k->dot_f32(out, out, d));
    if (normalise && length > 0) k->scale_f32(out, 1.0f / length, out, d);
    return HG_OK;
}
