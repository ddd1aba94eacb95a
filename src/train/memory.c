/* What a run will take. Moments are counted; the rest is measured: small models of the run's own
 * widths (2 and 3 layers, a vocabulary of 32) go forward and back over one row and over two, and
 * what their arenas held gives the bytes a layer and a row, of weights and gradients with what is
 * lost between them; the loss over the real vocabulary is measured for itself. Where an adapter is
 * trained the first layers of the model itself do, with the adapter on them. So the figure stays
 * right whatever the ops save. What the probes freed is given back, else it would stay beside the
 * run. */
#include "train/memory.h"
#include "base/clock.h"
#include "infer/cache.h"
#include "infer/step.h"
#include "model/tuning.h"
#include "tensor/matmul.h"
#include "tensor/thin.h"
#include "train/learner.h"
#include "train/shape.h"
#include <stdio.h>
#include <string.h>

enum {
    PROBE_VOCAB = 32,
    PROBE_WIDTH = 16,
    LOSS_ROWS = 1024,
    SPARE = 16,              /* one part of so many for what the heap loses between blocks */
    PROGRAM_BYTES = 8 << 20, /* code and tables that come in as they are used */
    TOKEN_BYTES = 256        /* of a tokenizer, for each of its tokens */
};

typedef struct probe {
    hg_model_config c;
    hg_runtime *rt;
    hg_compute compute;
    size_t seq_len;
    bool again;
    hg_model *tuned; /* with an adapter, or NULL */
} probe;

/* What a step's arena holds: behind the forward pass, and at the most in the backward pass; and
 * what the model's own holds. */
typedef struct held {
    double forward, backward, model;
} held;

/* A timeline a row, or as long ones as the model reads: the row of a pair is twice as long. */
static size_t cut_spans(const probe *p, size_t n_rows, hg_rows *r)
{
    const size_t most = p->seq_len < p->c.n_ctx ? p->seq_len : p->c.n_ctx;
    size_t n = 0;
    for (size_t i = 0; i < n_rows * p->seq_len; i++) {
        const size_t at = i % p->seq_len % most;
        if (at == 0) r->spans[n++] = (hg_span){.row = i};
        r->spans[n - 1].n++;
        r->pos[i] = (int32_t)at;
    }
    return n;
}

static hg_status run_model(const probe *p, hg_model *m, hg_tensor *head, size_t n_rows,
                           hg_arena *mem, hg_arena *step, held *out, hg_err *e)
{
    hg_rows r;
    hg_graph g;
    size_t n = n_rows * p->seq_len;
    HG_TRY(hg_rows_init(&r, n_rows, p->seq_len, mem, e));
    const size_t n_spans = cut_spans(p, n_rows, &r);
    hg_batch b = {.n = n, .ids = r.ids, .pos = r.pos, .spans = r.spans, .n_spans = n_spans};
    hg_graph_init(&g, p->rt, step, p->compute, true);
    g.loss_scale = 1.0f;
    g.again = p->again;
    hg_tensor *x = hg_model_forward(&g, m, &b);
    hg_tensor *loss =
        hg_op_linear_cross_entropy(&g, x, head, r.targets, NULL, m->c.soft_cap, NULL, NULL);
    HG_TRY(hg_graph_status(&g, e));
    out->forward = (double)step->used;
    HG_TRY(hg_graph_backward(&g, loss, 1.0f, e));
    out->backward = (double)step->peak;
    return HG_OK;
}

static hg_status measure_new(const probe *p, uint32_t n_layers, size_t n_rows, hg_arena *mem,
                             hg_arena *step, held *out, hg_err *e)
{
    hg_model *m = NULL;
    hg_model_config c = p->c;
    c.n_layers = n_layers;
    c.n_vocab = PROBE_VOCAB;
    HG_TRY(hg_model_new(&m, &c, 0, e));
    const hg_status s = run_model(p, m, m->head, n_rows, mem, step, out, e);
    out->model = (double)hg_arena_held(&m->mem);
    hg_model_free(m);
    return s;
}

static hg_status measure_tuned(const probe *p, uint32_t n_layers, size_t n_rows, hg_arena *mem,
                               hg_arena *step, held *out, hg_err *e)
{
    hg_model *m = p->tuned;
    const uint32_t all = m->c.n_layers;
    hg_tensor head = {.type = HG_F32, .n_dims = 2, .dim = {PROBE_VOCAB, m->c.d_model}};
    float *w = HG_NEW(mem, float, (size_t)PROBE_VOCAB * m->c.d_model);
    if (w == NULL) return hg_fail(e, HG_E_NOMEM, "no room to measure a step");
    head.data = w;
    m->c.n_layers = n_layers;
    const hg_status s = run_model(p, m, &head, n_rows, mem, step, out, e);
    m->c.n_layers = all;
    for (size_t i = 0; i < m->tuning->n_params; i++) {
        const hg_tensor *t = m->tuning->param[i];
        memset(t->grad, 0, hg_tensor_count(t) * sizeof *t->grad);
    }
    return s;
}

static hg_status measure(const probe *p, uint32_t n_layers, size_t n_rows, held *out, hg_err *e)
{
    hg_arena mem, step;
    *out = (held){.model = 0};
    hg_arena_init(&mem, 0);
    hg_arena_init(&step, 0);
    const hg_status s = p->tuned != NULL ? measure_tuned(p, n_layers, n_rows, &mem, &step, out, e)
                                         : measure_new(p, n_layers, n_rows, &mem, &step, out, e);
    hg_arena_free(&step);
    hg_arena_free(&mem);
    return s;
}

/* What the loss holds beside the activations while it works: chunks of logits. */
static hg_status measure_loss(const probe *p, double *bytes, hg_err *e)
{
    hg_arena mem;
    hg_graph g;
    hg_arena_init(&mem, 0);
    hg_graph_init(&g, p->rt, &mem, p->compute, false);
    float *w = HG_NEW(&mem, float, (size_t)p->c.n_vocab *PROBE_WIDTH);
    float *x = HG_NEW(&mem, float, (size_t)LOSS_ROWS *PROBE_WIDTH);
    int32_t *targets = HG_NEW(&mem, int32_t, LOSS_ROWS);
    hg_tensor head = {.type = HG_F32, .n_dims = 2, .dim = {p->c.n_vocab, PROBE_WIDTH}, .data = w};
    hg_tensor rows = {.type = HG_F32, .n_dims = 2, .dim = {LOSS_ROWS, PROBE_WIDTH}, .data = x};
    if (w == NULL || x == NULL || targets == NULL) {
        hg_arena_free(&mem);
        return hg_fail(e, HG_E_NOMEM, "no room to measure the loss");
    }
    size_t before = mem.used;
    (void)hg_op_linear_cross_entropy(&g, &rows, &head, targets, NULL, 0, NULL, NULL);
    *bytes = (double)(mem.peak - before) + 2.0 * LOSS_ROWS * p->c.d_model * sizeof(float);
    hg_arena_free(&mem);
    return hg_graph_status(&g, e);
}

/* a + b layers + rows (c + d layers), through four points. */
static double extrapolate(double two1, double three1, double two2, double three2, double layers,
                          double rows)
{
    double d = three2 - two2 - (three1 - two1), c = two2 - two1 - 2 * d;
    double b = three1 - two1 - d, a = two1 - 2 * b - c - 2 * d;
    return a + b * layers + rows * (c + d * layers);
}

/* Weights and gradients of the whole model: those of its layers, and its tables in blocks of their
 * own. */
static uint64_t model_bytes(const probe *p, const held *two, const held *three)
{
    const double layer = three->model - two->model;
    const size_t table = (size_t)p->c.n_vocab * p->c.d_model * sizeof(float);
    const double tables = (p->c.tie_embeddings ? 2.0 : 4.0) * (double)hg_arena_block_bytes(table);
    return (uint64_t)(two->model + layer * ((double)p->c.n_layers - 2) + tables);
}

typedef struct measured {
    uint64_t activations, model; /* model: 0 of one that stays as it is */
} measured;

static hg_status measure_all(const probe *p, size_t n_rows, measured *out, hg_err *e)
{
    held two1, two2, three1, three2;
    double loss = 0, layers = (double)p->c.n_layers, rows = (double)n_rows;
    HG_TRY(measure(p, 2, 1, &two1, e));
    HG_TRY(measure(p, 3, 1, &three1, e));
    HG_TRY(measure(p, 2, 2, &two2, e));
    HG_TRY(measure(p, 3, 2, &three2, e));
    HG_TRY(measure_loss(p, &loss, e));
    double forward =
        extrapolate(two1.forward, three1.forward, two2.forward, three2.forward, layers, rows) +
        loss;
    double backward =
        extrapolate(two1.backward, three1.backward, two2.backward, three2.backward, layers, rows);
    double most = forward > backward ? forward : backward;
    out->activations = most > 0 ? (uint64_t)most : 0;
    out->model = p->tuned == NULL ? model_bytes(p, &two1, &three1) : 0;
    return HG_OK;
}

/* Of matrix products: the most that is packed at a time (of the head's weight, or of a batch's
 * widest activations for the gradient of a weight), and what each thread holds already after the
 * probes. */
static uint64_t scratch(const hg_runtime *rt, hg_compute compute, const hg_model_config *c,
                        size_t tokens)
{
    size_t wide = c->d_ff > c->d_model ? c->d_ff : c->d_model;
    uint64_t head = hg_matmul_b_room(rt, compute, c->n_vocab, c->d_model);
    uint64_t rows = hg_matmul_b_room(rt, compute, wide, tokens), n = head > rows ? head : rows;
    for (int t = 0; t < rt->n_threads; t++) n += rt->scratch[t].size;
    return n;
}

/* First moments; second ones but of what Muon takes; the average; Muon's scratch. Each is one
 * block. */
static hg_status moments(const hg_recipe *r, const hg_model_config *c, uint64_t n_params,
                         uint64_t *bytes, hg_err *e)
{
    hg_model_config one = *c, two = *c;
    uint64_t a = 0, b = 0, wide = (uint64_t)c->d_ff > c->d_model ? c->d_ff : c->d_model;
    one.n_layers = 1;
    two.n_layers = 2;
    const uint64_t each = hg_arena_block_bytes(4 * (size_t)n_params);
    *bytes = (r->ema > 0 ? 3 : 2) * each;
    if (r->optimizer != HG_OPTIMIZER_MUON) return HG_OK;
    HG_TRY(hg_model_config_count(&one, &a, e));
    HG_TRY(hg_model_config_count(&two, &b, e));
    *bytes -= 4 * (b - a) * c->n_layers;
    *bytes += 4 * (hg_muon_room((size_t)wide, c->d_model) + wide * c->d_model);
    return HG_OK;
}

/* What an adapter's products keep of each token, in each block whose insides are kept: a thin row
 * for each, and what a dropout left of the input. */
static uint64_t adapter_activations(const hg_model_config *c, const hg_recipe *r, uint64_t tokens)
{
    enum { MATRICES = 7 };
    const uint64_t in = r->lora_dropout > 0 ? 6 * (uint64_t)c->d_model + c->d_ff : 0;
    const uint64_t blocks = r->recompute ? 1 : c->n_layers;
    return tokens * blocks * 4 * (in + MATRICES * hg_thin_width((size_t)r->lora_rank));
}

/* Weights in blocks are not kept packed, but made floats, of the largest some rows at a time. */
static uint64_t slice_bytes(const hg_model_config *c)
{
    const uint64_t rows = c->n_vocab > c->d_ff ? c->n_vocab : c->d_ff, all = 4 * rows * c->d_model;
    return all < HG_SLICE_BYTES ? all : HG_SLICE_BYTES;
}

hg_status hg_memory_plan_make(hg_memory_plan *p, const hg_model_config *c, uint64_t adapter,
                              uint64_t stored, hg_model *tuned, uint64_t taken,
                              const hg_source *source, const hg_recipe *r, hg_runtime *rt,
                              hg_compute compute, hg_err *e)
{
    enum { LAYERS_MEASURED = 3 };
    const hg_arch *a = hg_arch_find(c->arch);
    measured is = {.model = 0};
    *p = (hg_memory_plan){.before = p->before};
    if (a == NULL) return hg_fail(e, HG_E_ARG, "there is no architecture \"%s\"", c->arch);
    const probe pr = {.c = *c,
                      .rt = rt,
                      .compute = compute,
                      .seq_len = source->seq_len,
                      .again = r->recompute,
                      .tuned = tuned != NULL && c->n_layers >= LAYERS_MEASURED ? tuned : NULL};
    size_t rows = hg_micro_rows(r, source->seq_len, c->d_model, rt, compute);
    uint64_t tokens = (uint64_t)rows * source->seq_len;
    p->n_params = hg_arch_count(a, c);
    p->weights = p->gradients = 4 * p->n_params;
    HG_TRY(moments(r, c, p->n_params, &p->moments, e));
    if (adapter > 0) {
        p->weights = stored + 4 * adapter;
        p->gradients = 4 * adapter;
        p->moments = (r->ema > 0 ? 12 : 8) * adapter;
    }
    if (r->wire == HG_WIRE_BF16 && r->ranks != NULL) /* exact weights of what is trained */
        p->moments += 4 * (adapter > 0 ? adapter : p->n_params);
    p->moments /= (uint64_t)hg_ranks_n(r->ranks);
    p->data = tokens * (3 * sizeof(int32_t) + 1 + sizeof(hg_span)) + source->mapped_bytes + taken +
              PROGRAM_BYTES + (uint64_t)TOKEN_BYTES * c->n_vocab;
    p->total = p->weights + p->gradients + p->moments + p->data;
    p->shared = source->mapped_bytes + (adapter > 0 ? stored : 0);
    p->n_local = hg_ranks_n_local(r->ranks);
    HG_TRY(hg_memory_plan_check(p, e));
    HG_TRY(measure_all(&pr, rows, &is, e));
    hg_heap_trim();
    p->activations = is.activations;
    if (adapter > 0 && pr.tuned == NULL) p->activations += adapter_activations(c, r, tokens);
    if (adapter == 0) p->weights = p->gradients = is.model / 2;
    const uint64_t units = (uint64_t)r->batch_size * (uint64_t)r->accumulation;
    const uint64_t step_rows = units * (source->rows_a_unit > 0 ? source->rows_a_unit : 1) /
                               (uint64_t)hg_ranks_n(r->ranks);
    const bool is_blocks = adapter > 0 && stored < 3 * p->n_params / 2;
    p->scratch = scratch(rt, compute, c, (size_t)tokens) + (is_blocks ? slice_bytes(c) : 0);
    if (!is_blocks)
        p->scratch +=
            hg_panel_bytes(rt, compute, p->n_params, (size_t)((step_rows + rows - 1) / rows));
    p->total = p->weights + p->gradients + p->moments + p->data + p->activations + p->scratch;
    p->scratch += p->total / SPARE;
    p->total += p->total / SPARE;
    return HG_OK;
}

/* What one block keeps of each token without a record: the stream, its norm, what attention reads
 * and makes, the wide rows of the other half. */
static uint64_t block_activations(const hg_model_config *c, uint64_t tokens)
{
    const uint64_t q = (uint64_t)c->n_heads * c->d_head, kv = (uint64_t)c->n_kv_heads * c->d_head;
    return tokens * 4 * (4 * (uint64_t)c->d_model + 2 * q + 4 * kv + 3 * (uint64_t)c->d_ff);
}

/* The teacher reads a lot before the student does and leaves its states, so that of the two passes
 * the larger counts. */
void hg_memory_plan_teach(hg_memory_plan *p, const hg_model *teacher, const hg_model_config *c,
                          const hg_source *source, const hg_recipe *r, hg_runtime *rt,
                          hg_compute compute)
{
    const uint64_t tokens =
        (uint64_t)hg_micro_rows(r, source->seq_len, c->d_model, rt, compute) * source->seq_len;
    const uint64_t states = tokens * 4 * teacher->c.d_model;
    const uint64_t pass = block_activations(&teacher->c, tokens);
    const uint64_t before = p->activations,
                   student = before + hg_distill_room(tokens, c->n_vocab, teacher->c.d_model);
    p->teacher = hg_model_bytes(teacher);
    p->activations = states + (student > pass ? student : pass);
    p->total += p->teacher + p->activations - before;
}

void hg_memory_plan_refer(hg_memory_plan *p, const hg_model *reference)
{
    p->reference = hg_model_bytes(reference);
    p->total += p->reference;
}

void hg_memory_plan_answer(hg_memory_plan *p, const hg_model *m, uint64_t n_at_once,
                           const hg_source *source)
{
    const size_t rows = hg_stepper_rows(m);
    p->answers = n_at_once * hg_cache_bytes(m, source->seq_len, rows, HG_F32) +
                 hg_stepper_bytes(m, rows, (size_t)n_at_once);
    p->answers += p->answers / SPARE; /* each has blocks of its own */
    p->total += p->answers;
}

uint64_t hg_memory_before(void)
{
    hg_heap_trim();
    return hg_rss();
}

void hg_memory_plan_say(const hg_memory_plan *p, const hg_watch *w)
{
    const struct {
        const char *name;
        uint64_t bytes;
    } beside[] = {{"teacher", p->teacher}, {"reference", p->reference}, {"answers", p->answers}};
    char more[120] = "";
    for (size_t i = 0, n = 0; i < sizeof beside / sizeof *beside; i++)
        if (beside[i].bytes > 0)
            n += (size_t)snprintf(more + n, sizeof more - n, ", %s %.0f", beside[i].name,
                                  (double)beside[i].bytes / 1e6);
    hg_watch_log(w, HG_INFO,
                 "memory: %.0f MB in all: weights %.0f, gradients %.0f, optimiser %.0f, "
                 "activations %.0f, scratch %.0f, "
                 "data %.0f%s",
                 (double)p->total / 1e6, (double)p->weights / 1e6, (double)p->gradients / 1e6,
                 (double)p->moments / 1e6, (double)p->activations / 1e6, (double)p->scratch / 1e6,
                 (double)p->data / 1e6, more);
}

hg_status hg_memory_plan_check(const hg_memory_plan *p, hg_err *e)
{
    hg_machine_info info;
    char who[48] = "the run needs";
    const uint64_t others = (uint64_t)(p->n_local > 1 ? p->n_local - 1 : 0), own = hg_rss_own();
    const uint64_t need = p->total + others * (p->total - p->shared);
    const uint64_t taken = (own > p->before ? own - p->before : 0) * (others + 1);
    hg_machine_describe(&info);
    if (info.memory_free == 0 || need <= info.memory_free + taken) return HG_OK;
    if (others > 0) (void)snprintf(who, sizeof who, "%d ranks on this machine need", p->n_local);
    return hg_fail(e, HG_E_LIMIT,
                   "%s %.1f GB of memory and %.1f GB are free; a smaller micro_batch, seq_len or "
                   "depth needs less",
                   who, (double)need / 1e9, (double)(info.memory_free + taken) / 1e9);
}
