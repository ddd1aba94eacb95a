/* What a step of LoRA and QLoRA costs beside a whole step of the same model, in turns: same rows,
 * same optimiser. The base lies in bfloat16 (LoRA) or in blocks of eight bits (QLoRA), as
 * `higgins tune --lora` leaves it.
 *
 *   bench_lora [SHAPE] [--rank N] [--steps N] [--isa avx2|avx512|amx|...]
 *
 * A whole step is a forward pass, a backward pass twice as long, and the update. An adapter's step
 * has the forward pass and the half of the backward pass that goes on to x: its goal is 0.4 of a
 * whole step and the forward pass, which is timed beside it. */
#include "base/file.h"
#include "model/tuning.h"

#include "bench.h"
#include "shapes.h"

#include <higgins/quantize.h>

enum { MAX_STEPS = 64, STEP_BLOCK = 64 << 20 };
enum { FULL, FORWARD, LORA, QLORA, N_SIDES };

typedef struct setting {
    const shape *s;
    size_t n_steps, rank;
    hg_isa isa;
    char folder[64];
} setting;

/* A model and what trains it. */
typedef struct side {
    hg_model *m;
    hg_learner l;
    hg_recipe r;
    bool has_recipe, has_learner;
} side;

static hg_status begin(side *x, const setting *o, hg_runtime *rt, const hg_source *rows,
                       hg_arena *mem, hg_err *e)
{
    const hg_compute compute = hg_precision_compute(HG_PRECISION_AUTO, rt);
    HG_TRY(hg_recipe_init(&x->r, HG_STAGE_TUNE, e));
    x->has_recipe = true;
    x->r.batch_size = (int64_t)o->s->n_rows;
    HG_TRY(hg_learner_init(&x->l, x->m, rt, compute, rows, &x->r, STEP_BLOCK, mem, e));
    x->has_learner = true;
    return HG_OK;
}

static void end(side *x)
{
    if (x->has_learner) hg_learner_free(&x->l);
    if (x->has_recipe) hg_recipe_free(&x->r);
    hg_model_free(x->m);
}

static hg_status open_base(side *x, const setting *o, const char *path, hg_err *e)
{
    static const char *const target[] = {"all"};
    const hg_adapter_options a = {
        .rank = o->rank, .alpha = 2 * (double)o->rank, .target = target, .n_targets = 1, .seed = 1};
    HG_TRY(hg_model_open_frozen(&x->m, path, true, e));
    return hg_model_tune(x->m, &a, e);
}

/* The model in float32, and its files for the other sides. */
static hg_status make_models(side x[N_SIDES], const setting *o, hg_runtime *rt, hg_err *e)
{
    char half[96], blocks[96];
    const hg_model_config c = shape_config(o->s);
    hg_quantize_options q;
    hg_quantize_report report;
    (void)snprintf(half, sizeof half, "%s/bf16", o->folder);
    (void)snprintf(blocks, sizeof blocks, "%s/q8_0.gguf", o->folder);
    HG_TRY(hg_model_new(&x[FULL].m, &c, 1, e));
    HG_TRY(hg_model_save(x[FULL].m, half, HG_WEIGHTS_BF16, NULL, e));
    hg_quantize_options_init(&q);
    q.type = "q8_0";
    HG_TRY(hg_model_quantize(half, blocks, &q, &report, rt, NULL, e));
    HG_TRY(open_base(&x[LORA], o, half, e));
    return open_base(&x[QLORA], o, blocks, e);
}

static hg_status timed(side x[N_SIDES], int which, const setting *o, uint64_t at, double *seconds,
                       hg_err *e)
{
    hg_step_result out;
    const double start = hg_seconds();
    if (which == FORWARD)
        HG_TRY(hg_learner_validate(&x[FULL].l, o->s->n_rows, &out, e));
    else
        HG_TRY(hg_learner_step(&x[which].l, at, 1e-4, &out, e));
    *seconds = hg_seconds() - start;
    return HG_OK;
}

/* Medians over the turns; the first does not count: it takes the memory. */
static hg_status run_turns(side x[N_SIDES], const setting *o, double median[N_SIDES], hg_err *e)
{
    double took[N_SIDES][MAX_STEPS];
    for (size_t i = 0; i <= o->n_steps; i++) {
        const size_t at = i > 0 ? i - 1 : 0;
        for (int k = 0; k < N_SIDES; k++) HG_TRY(timed(x, k, o, i * o->s->n_rows, &took[k][at], e));
        fprintf(stderr, "turn %zu: whole %.3f s, forward %.3f, LoRA %.3f, QLoRA %.3f\n", i,
                took[FULL][at], took[FORWARD][at], took[LORA][at], took[QLORA][at]);
    }
    for (int k = 0; k < N_SIDES; k++) median[k] = bench_median(took[k], o->n_steps);
    return HG_OK;
}

static hg_status measure(const setting *o, hg_runtime *rt, double median[N_SIDES], hg_err *e)
{
    const noise n = noise_of(o->s);
    side x[N_SIDES] = {{.m = NULL}};
    hg_arena mem;
    hg_arena_init(&mem, 0);
    hg_status s = make_models(x, o, rt, e);
    for (int k = 0; k < N_SIDES && s == HG_OK; k++)
        if (k != FORWARD) s = begin(&x[k], o, rt, &n.source, &mem, e);
    if (s == HG_OK) s = run_turns(x, o, median, e);
    for (int k = 0; k < N_SIDES; k++) end(&x[k]);
    hg_arena_free(&mem);
    return s;
}

static void show(const setting *o, const double median[N_SIDES])
{
    static bench b = {.name = "lora"};
    const double tokens = (double)(o->s->n_rows * o->s->t);
    const double limit = tokens / (0.4 * median[FULL] + median[FORWARD]);
    printf("%s, rank %zu on all matrices: a whole step takes %.3f s, its forward pass %.2f of it\n",
           o->s->name, o->rank, median[FULL], median[FORWARD] / median[FULL]);
    bench_add(&b, (bench_row){"LoRA beside the whole step", "tokens/s", tokens / median[LORA],
                              tokens / median[FULL], limit, limit * median[FULL] / tokens});
    bench_add(&b, (bench_row){"QLoRA beside the whole step", "tokens/s", tokens / median[QLORA],
                              tokens / median[FULL], limit, limit * median[FULL] / tokens});
    printf("of a whole step: LoRA %.2f, QLoRA %.2f; the goal is %.2f\n",
           median[LORA] / median[FULL], median[QLORA] / median[FULL],
           0.4 + median[FORWARD] / median[FULL]);
    bench_end(&b);
}

static bool read_args(int argc, char **argv, setting *o)
{
    for (int i = 1; i < argc; i++) {
        const bool has_value = i + 1 < argc;
        if (strcmp(argv[i], "--rank") == 0 && has_value)
            o->rank = strtoul(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--steps") == 0 && has_value)
            o->n_steps = strtoul(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--isa") == 0 && has_value && hg_isa_parse(argv[i + 1], &o->isa))
            i++;
        else if ((o->s = shape_named(argv[i])) == NULL)
            return false;
    }
    return o->n_steps > 0 && o->n_steps <= MAX_STEPS && o->rank > 0;
}

int main(int argc, char **argv)
{
    setting o = {.s = &bench_shapes[0],
                 .n_steps = 6,
                 .rank = 16,
                 .isa = HG_N_ISA,
                 .folder = "/tmp/bench-lora-XXXXXX"};
    hg_err e = {0};
    hg_runtime *rt = NULL;
    double median[N_SIDES];
    if (!read_args(argc, argv, &o)) {
        fprintf(stderr,
                "bench_lora [14m|gpt2-4x256|gpt2-16x256] [--rank N] [--steps N] [--isa NAME]\n");
        return 2;
    }
    if (mkdtemp(o.folder) == NULL) {
        perror(o.folder);
        return 1;
    }
    hg_status s = hg_runtime_new(&rt, 0, o.isa, &e);
    if (s == HG_OK) s = measure(&o, rt, median, &e);
    hg_runtime_free(rt);
    (void)hg_remove_tree(o.folder, NULL);
    if (s != HG_OK) {
        fprintf(stderr, "bench_lora: %s\n", e.msg);
        return 1;
    }
    show(&o, median);
    return 0;
}
