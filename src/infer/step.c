/* A step: rows of several timelines through the one transformer. A session's step is one lane; the
 * engine's is one lane for each running request, so that weights are read once for all of them.
 * Rows never mix, and no row's result depends on how many others there are: not in a matrix
 * product, not in attention. So a timeline gets the same bits alone and in company, in one go and
 * token by token. */
#include "infer/step.h"

static const double STEP_BYTES = 48e6; /* of a prompt chunk's activations, roughly */

/* What one row keeps alive at the peak: the widest layer's activations and the residual stream. */
static double row_bytes(const hg_model *m)
{
    const double d = m->c.d_model, heads = m->c.d_head * (m->c.n_heads + 2.0 * m->c.n_kv_heads);
    return 4.0 * (8.0 * d + 3.0 * heads + 4.0 * m->c.d_ff);
}

size_t hg_stepper_rows(const hg_model *m)
{
    const double rows = STEP_BYTES / row_bytes(m);
    return rows < 16.0 ? 16 : rows > 512.0 ? 512 : (size_t)rows;
}

uint64_t hg_stepper_bytes(const hg_model *m, size_t max_rows, size_t max_lanes)
{
    const double lanes = (double)max_lanes * m->c.n_layers * sizeof(hg_kv_layer);
    const double logits = 4.0 * (double)max_lanes * m->c.n_vocab;
    return (uint64_t)((double)max_rows * (12.0 + row_bytes(m)) + lanes + logits);
}

hg_status hg_stepper_init(hg_stepper *s, const hg_model *m, hg_runtime *rt, size_t max_rows,
                          size_t max_lanes, hg_err *e)
{
    size_t n_kv = 0;
    *s = (hg_stepper){.m = m, .rt = rt, .max_rows = max_rows, .max_lanes = max_lanes};
    s->compute = m->compute;
    hg_arena_init(&s->own, 64 * 1024);
    hg_arena_init(&s->step, 0);
    s->ids = HG_NEW(&s->own, int32_t, max_rows);
    s->pos = HG_NEW(&s->own, int32_t, max_rows);
    s->out = HG_NEW(&s->own, int32_t, max_rows);
    s->spans = HG_NEW(&s->own, hg_span, s->max_lanes);
    s->cache_of = HG_NEW(&s->own, const hg_cache *, s->max_lanes);
    s->is_long = HG_NEW(&s->own, bool, s->max_lanes);
    s->use = HG_NEW(&s->own, hg_lora_use, max_lanes * HG_MAX_ADAPTERS);
    for (int i = 0; i < 2; i++) s->lora[i] = HG_NEW(&s->own, hg_lora_rows, max_lanes);
    if (hg_mul(s->max_lanes, m->c.n_layers, &n_kv)) s->kv = HG_NEW(&s->own, hg_kv_layer, n_kv);
    if (s->ids != NULL && s->pos != NULL && s->out != NULL && s->spans != NULL &&
        s->cache_of != NULL && s->is_long != NULL && s->kv != NULL && s->use != NULL &&
        s->lora[0] != NULL && s->lora[1] != NULL)
        return HG_OK;
    hg_stepper_free(s);
    return hg_fail(e, HG_E_NOMEM, "no room for a step of %zu tokens", max_rows);
}

void hg_stepper_free(hg_stepper *s)
{
    hg_arena_free(&s->own);
    hg_arena_free(&s->step);
    *s = (hg_stepper){0};
}

hg_status hg_check_ids(const hg_model *m, const int32_t *ids, size_t n, hg_err *e)
{
    for (size_t i = 0; i < n; i++)
        if (ids[i] < 0 || (uint32_t)ids[i] >= m->c.n_vocab)
            return hg_fail(e, HG_E_ARG, "token %d at place %zu is outside the vocabulary of %u",
                           ids[i], i, m->c.n_vocab);
    return HG_OK;
}

/* Lays one lane's rows behind those already in the batch. */
static void lay_lane(hg_stepper *s, hg_batch *b, const hg_lane *lane)
{
    const size_t past = lane->cache->n, first = b->n;
    hg_cache_enter(lane->cache, lane->n);
    for (size_t r = 0; r < lane->n; r++) {
        s->ids[first + r] = lane->ids[r];
        s->pos[first + r] = (int32_t)(past + r);
    }
    s->spans[b->n_spans] = (hg_span){.row = first, .n = lane->n, .pos0 = past};
    s->is_long[b->n_spans] = lane->cache->n_ctx > s->m->c.rope_scaling.original_n_ctx;
    s->cache_of[b->n_spans++] = lane->cache;
    if (lane->want == HG_WANT_LAST) s->out[b->n_out++] = (int32_t)(first + lane->n - 1);
    for (size_t r = 0; lane->want >= HG_WANT_ALL && r < lane->n; r++)
        s->out[b->n_out++] = (int32_t)(first + r);
    b->n += lane->n;
}

/* The rows that the last lane laid, whose adapters see them and no others. */
static void lay_adapters(hg_stepper *s, const hg_batch *b, const hg_lane *lane, size_t first_out)
{
    const size_t at = b->n_spans - 1, first = b->n - lane->n;
    hg_lora_use *use = s->use + at * HG_MAX_ADAPTERS;
    for (size_t i = 0; i < lane->n_adapters; i++)
        use[i] = (hg_lora_use){&lane->adapters[i].adapter->lora, lane->adapters[i].scale};
    s->lora[0][at] = (hg_lora_rows){first, lane->n, use, lane->n_adapters};
    s->lora[1][at] = (hg_lora_rows){first_out, b->n_out - first_out, use, lane->n_adapters};
    s->adapted = s->adapted || lane->n_adapters > 0;
}

static void lay_caches(hg_stepper *s, const hg_batch *b)
{
    for (size_t l = 0; l < s->m->c.n_layers; l++)
        for (size_t i = 0; i < b->n_spans; i++)
            s->kv[l * b->n_spans + i] = s->cache_of[i]->layer[l];
}

/* The model's pass over the laid rows: *logits, or *states when they are wanted (not NULL), are of
 * the rows asked for; nothing is set when no lane wants any. */
static hg_status forward(hg_stepper *s, hg_batch *b, float **logits, float **states, hg_err *e)
{
    const bool wanted = b->n_out > 0;
    const hg_lora_set inside = {s->lora[0], b->n_spans}, head = {s->lora[1], b->n_spans};
    hg_graph g;
    hg_arena_reset(&s->step);
    hg_graph_init(&g, s->rt, &s->step, s->compute, false);
    if (!wanted) s->out[b->n_out++] = (int32_t)(b->n - 1); /* one state: the least it computes */
    g.lora = s->adapted ? &inside : NULL;
    hg_tensor *x = hg_model_forward(&g, s->m, b);
    g.lora = s->adapted ? &head : NULL;
    if (wanted && states == NULL) x = hg_model_logits(&g, s->m, x);
    HG_TRY(hg_graph_status(&g, e));
    if (wanted) *(states != NULL ? states : logits) = x->data;
    return HG_OK;
}

hg_status hg_stepper_run(hg_stepper *s, hg_lane *lanes, size_t n_lanes, hg_err *e)
{
    hg_batch b = {.ids = s->ids,
                  .pos = s->pos,
                  .spans = s->spans,
                  .kv = s->kv,
                  .out_rows = s->out,
                  .is_long = s->is_long};
    float *logits = NULL, **states = lanes[0].want == HG_WANT_STATES ? &lanes[0].states : NULL;
    s->adapted = false;
    for (size_t i = 0; i < n_lanes; i++) {
        const size_t first_out = b.n_out;
        lanes[i].logits = lanes[i].states = NULL;
        lay_lane(s, &b, &lanes[i]);
        lay_adapters(s, &b, &lanes[i], first_out);
    }
    lay_caches(s, &b);
    HG_TRY(forward(s, &b, &logits, states, e));

    for (size_t i = 0; i < n_lanes; i++) {
        hg_cache_append(lanes[i].cache, lanes[i].ids, lanes[i].n);
        if (lanes[i].want != HG_WANT_LAST && lanes[i].want != HG_WANT_ALL) continue;
        lanes[i].logits = logits;
        logits += (lanes[i].want == HG_WANT_ALL ? lanes[i].n : 1) * s->m->c.n_vocab;
    }
    return HG_OK;
}
