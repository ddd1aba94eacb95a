/* Training steps beside PyTorch's, in turns, and as a share of the machine's rate of products. A
 * step is what `higgins train` does: rows filled, forward, backward, norm of the gradient, AdamW.
 *
 *   bench_train [SHAPE] [--steps N] [--lot ROWS] [--bf16] [--no-peer]
 *
 * SHAPE is 14m (6 layers, width 384, vocabulary 8192, llama; 32 rows of 256 tokens), gpt2-4x256 or
 * gpt2-16x256 (GPT-2's 124 M parameters). FLOP of a token: 6 N + 12 L C T, where N are all
 * parameters but tables that are only looked up, L layers, C the width of the heads, T the row. The
 * rate of products is measured between the steps: on a shared machine only their ratio means
 * something. The peer, bench/peer_train.py, needs /usr/bin/python3 with torch, and takes a step in
 * float32 and one with BF16 autocast after each of ours. So does llm.c, a step of GPT-2, when
 * HG_LLMC names a checkout of it (tests/peer/llmc.c). */
#include "base/clock.h"
#include "bench.h"
#include "peer.h"
#include "shapes.h"
#include "train/memory.h"

#include <signal.h>

enum { MAX_STEPS = 64 };

typedef struct setting {
    const shape *s;
    size_t n_steps, lot;
    int64_t precision;
    bool no_peer;
} setting;

/* ---- the peer ---- */

/* Starts a program with `before` and the shape's sizes as its arguments. */
static void open_peer(peer *p, const setting *o, const char *const before[3])
{
    int to[2], from[2];
    char n[5][24];
    const char *argv[9] = {0};
    const size_t v[] = {o->s->n_layers, o->s->d, o->s->n_vocab, o->s->n_rows, o->s->t};
    size_t k = 0;
    *p = (peer){0};
    if (o->no_peer || before[0] == NULL || pipe(to) != 0 || pipe(from) != 0) return;
    while (k < 3 && before[k] != NULL) argv[k] = before[k], k++;
    for (size_t i = 0; i < 5; i++) {
        (void)snprintf(n[i], sizeof n[i], "%zu", v[i]);
        argv[k++] = n[i];
    }
    (void)fcntl(to[1], F_SETFD, FD_CLOEXEC); /* the child must not hold its own input open */
    (void)fcntl(from[0], F_SETFD, FD_CLOEXEC);
    p->pid = peer_spawn(argv, to[0], from[1]);
    (void)close(to[0]);
    (void)close(from[1]);
    p->to = fdopen(to[1], "w");
    p->from = fdopen(from[0], "r");
}

/* ---- the steps ---- */

enum { OURS, TORCH_F32, TORCH_BF16, LLMC, N_SIDES };

typedef struct peers {
    peer torch, llmc;
} peers;

static void open_peers(peers *p, const setting *o)
{
    open_peer(&p->torch, o,
              (const char *const[3]){"/usr/bin/python3", "bench/peer_train.py", o->s->arch});
    open_peer(&p->llmc, o, (const char *const[3]){getenv("HG_PEER_LLMC"), NULL, NULL});
}

typedef struct figures {
    double rate[N_SIDES]; /* tokens a second */
    double gflops, limit, share, peak_gb, params;
} figures;

/* One turn; seconds of each. */
static hg_status turn(hg_learner *l, const setting *o, peers *p, size_t i, double seconds[N_SIDES],
                      double *limit, hg_err *e)
{
    hg_machine_rates r;
    hg_step_result out;
    HG_TRY(hg_machine_measure(l->rt, 0.6, &r, e));
    *limit = l->compute == HG_COMPUTE_BF16 ? r.bf16_gflops : r.f32_gflops;
    const double start = hg_seconds();
    HG_TRY(hg_learner_step(l, i * o->s->n_rows, 1e-3, &out, e));
    seconds[OURS] = hg_seconds() - start;
    seconds[TORCH_F32] = peer_time(&p->torch, "f32");
    /* Where nothing multiplies BF16 torch takes minutes for a step. */
    seconds[TORCH_BF16] =
        l->compute == HG_COMPUTE_BF16 ? peer_time(&p->torch, "bf16") : (double)NAN;
    seconds[LLMC] = peer_time(&p->llmc, "step");
    return HG_OK;
}

/* Medians over the turns. A step of ours before them takes the memory, while nothing else is
 * measured in this process; the peers take theirs in a turn that does not count. */
static hg_status run_turns(hg_learner *l, const setting *o, peers *p, figures *f, hg_err *e)
{
    double took[N_SIDES][MAX_STEPS], limits[MAX_STEPS], shares[MAX_STEPS];
    const double tokens = (double)(o->s->n_rows * o->s->t);
    const double flop = tokens * hg_flops_a_token(l->model, o->s->t);
    hg_step_result first;
    HG_TRY(hg_learner_step(l, 0, 1e-3, &first, e));
    f->peak_gb = (double)hg_peak_rss() / 1e9;
    for (size_t i = 0; i <= o->n_steps; i++) {
        const size_t at = i > 0 ? i - 1 : 0;
        double seconds[N_SIDES];
        HG_TRY(turn(l, o, p, i, seconds, &limits[at], e));
        for (int k = 0; k < N_SIDES; k++) took[k][at] = seconds[k];
        shares[at] = flop / seconds[OURS] / 1e9 / limits[at];
        fprintf(stderr,
                "turn %zu: %.3f s, %.0f of %.0f GFLOP/s; torch %.3f and %.3f s, llm.c %.3f s\n", i,
                seconds[OURS], flop / seconds[OURS] / 1e9, limits[at], seconds[TORCH_F32],
                seconds[TORCH_BF16], seconds[LLMC]);
    }
    for (int k = 0; k < N_SIDES; k++) f->rate[k] = tokens / bench_median(took[k], o->n_steps);
    f->gflops = f->rate[OURS] * flop / tokens / 1e9;
    f->limit = bench_median(limits, o->n_steps);
    f->share = bench_median(shares, o->n_steps);
    return HG_OK;
}

static hg_status measure(const setting *o, hg_runtime *rt, figures *f, hg_err *e)
{
    noise n = noise_of(o->s);
    const hg_model_config c = shape_config(o->s);
    const hg_compute compute = hg_precision_compute(o->precision, rt);
    hg_model *m = NULL;
    hg_memory_plan plan = {0};
    hg_learner l;
    hg_recipe r;
    hg_arena mem;
    peers p;
    hg_arena_init(&mem, 0);
    memset(&l, 0, sizeof l);
    open_peers(&p, o);
    hg_status status = hg_recipe_init(&r, HG_STAGE_TRAIN, e);
    r.batch_size = (int64_t)o->s->n_rows;
    r.micro_batch = (int64_t)o->lot;
    if (status == HG_OK) status = hg_model_new(&m, &c, 1, e);
    if (status == HG_OK)
        status = hg_memory_plan_make(&plan, &c, 0, 0, NULL, 0, &n.source, &r, rt, compute, e);
    if (status == HG_OK)
        status =
            hg_learner_init(&l, m, rt, compute, &n.source, &r, (size_t)plan.activations, &mem, e);
    if (status == HG_OK) status = run_turns(&l, o, &p, f, e);
    if (status == HG_OK) f->params = (double)hg_model_count(m);
    peer_close(&p.torch);
    peer_close(&p.llmc);
    hg_learner_free(&l);
    hg_model_free(m);
    hg_recipe_free(&r);
    hg_arena_free(&mem);
    return status;
}

static void show(const setting *o, const figures *f)
{
    static bench b = {.name = "train"};
    printf("%s: %.1f M parameters, %zu rows of %zu tokens\n", o->s->name, f->params / 1e6,
           o->s->n_rows, o->s->t);
    bench_add(&b, (bench_row){"products", "GFLOP/s", f->gflops, (double)NAN, f->limit, o->s->goal});
    bench_add(&b, (bench_row){"beside torch in float32", "tokens/s", f->rate[OURS],
                              f->rate[TORCH_F32], (double)NAN, 1});
    bench_add(&b, (bench_row){"beside torch in BF16", "tokens/s", f->rate[OURS],
                              f->rate[TORCH_BF16], (double)NAN, 1});
    bench_add(
        &b, (bench_row){"beside llm.c", "tokens/s", f->rate[OURS], f->rate[LLMC], (double)NAN, 1});
    bench_add(&b, (bench_row){"memory at the most", "GB", f->peak_gb, (double)NAN, (double)NAN,
                              (double)NAN});
    printf("share of the products' rate, turn by turn: %.3f\n", f->share);
    bench_end(&b);
}

static bool read_args(int argc, char **argv, setting *o)
{
    for (int i = 1; i < argc; i++) {
        const bool has_value = i + 1 < argc;
        if (strcmp(argv[i], "--no-peer") == 0) {
            o->no_peer = true;
        } else if (strcmp(argv[i], "--bf16") == 0) {
            o->precision = HG_PRECISION_BF16;
        } else if (strcmp(argv[i], "--steps") == 0 && has_value) {
            o->n_steps = strtoul(argv[++i], NULL, 10);
        } else if (strcmp(argv[i], "--lot") == 0 && has_value) {
            o->lot = strtoul(argv[++i], NULL, 10);
        } else {
            o->s = shape_named(argv[i]);
            if (o->s == NULL) return false;
        }
    }
    return o->n_steps > 0 && o->n_steps <= MAX_STEPS;
}

int main(int argc, char **argv)
{
    setting o = {.s = &bench_shapes[0], .n_steps = 6, .precision = HG_PRECISION_AUTO};
    hg_err e = {0};
    hg_runtime *rt = NULL;
    figures f = {0};
    if (!read_args(argc, argv, &o)) {
        fprintf(stderr, "bench_train [14m|gpt2-4x256|gpt2-16x256] [--steps N] [--lot ROWS] "
                        "[--bf16] [--no-peer]\n");
        return 2;
    }
    (void)signal(SIGPIPE, SIG_IGN);
    hg_status status = hg_runtime_new(&rt, 0, HG_N_ISA, &e);
    if (status == HG_OK) status = measure(&o, rt, &f, &e);
    hg_runtime_free(rt);
    if (status != HG_OK) {
        fprintf(stderr, "bench_train: %s\n", e.msg);
        return 1;
    }
    show(&o, &f);
    return 0;
}
