/* Decoding one token reads every weight once, so its limit is the memory's read bandwidth. This
 * bench makes a random llama of 100M parameters in bfloat16 (once, kept in the system's folder for
 * temporary files), decodes behind a short prompt, and tells the bytes read a second as a share of
 * what plain reading reaches. The bandwidth of a shared host changes within minutes, so reading and
 * decoding take turns in one run and the median of the shares counts. */
#include <higgins/infer.h>

#include "base/clock.h"
#include "base/file.h"
#include "kernels/runtime.h"
#include "model/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROUNDS = 9, PROMPT = 16, DECODED = 64, READ_MIB = 512 };
static const double GOAL = 0.5;

static const hg_model_config SHAPE = {.arch = "llama",
                                      .n_layers = 12,
                                      .d_model = 768,
                                      .n_heads = 12,
                                      .n_kv_heads = 4,
                                      .d_head = 64,
                                      .d_ff = 2048,
                                      .n_vocab = 32000,
                                      .n_ctx = 1024,
                                      .norm_eps = 1e-5f,
                                      .rope_theta = 10000.0f,
                                      .tie_embeddings = true,
                                      .bos_id = -1,
                                      .eos_id = -1,
                                      .pad_id = -1};

/* The model's folder, made on first use. */
static hg_status model_path(char *path, size_t cap, hg_err *e)
{
    const char *tmp = getenv("TMPDIR");
    hg_model *m;
    (void)snprintf(path, cap, "%s/higgins-bench-100m-bf16-1", tmp != NULL ? tmp : "/tmp");
    if (hg_path_is_dir(path)) return HG_OK;
    fprintf(stderr, "making %s\n", path);
    HG_TRY(hg_model_new(&m, &SHAPE, 1, e));
    const hg_status s = hg_model_save(m, path, HG_WEIGHTS_BF16, NULL, e);
    hg_model_free(m);
    return s;
}

/* ---- the limit: plain reading ---- */
typedef struct reading {
    hg_runtime *rt;
    const float *p;
    float *sum; /* [chunks]: keeps the reads from being dropped */
} reading;

enum { READ_CHUNK = 1 << 16 };

static void read_some(void *ctx, size_t begin, size_t end, int thread)
{
    const reading *r = ctx;
    (void)thread;
    r->sum[begin / READ_CHUNK] = r->rt->k.sum_f32(r->p + begin, end - begin);
}

/* GB/s of all threads over a buffer far beyond the caches; the best of three passes, for a limit is
 * what can be reached. */
static double read_rate(reading *r)
{
    const size_t n = (size_t)READ_MIB * (1 << 20) / sizeof(float);
    double best = 0.0;
    for (int i = 0; i < 3; i++) {
        const double start = hg_seconds();
        hg_pool_run(r->rt->pool, n, READ_CHUNK, read_some, r);
        const double rate = (double)n * sizeof(float) / (hg_seconds() - start) / 1e9;
        if (rate > best) best = rate;
    }
    return best;
}

/* ---- decoding ---- */

/* Bytes of weights that a token reads: all but the norms, which are noise; a tied embedding is read
 * once, as the head. And the keys and values of the positions before it. */
static double bytes_per_token(const hg_model *m, double n_past)
{
    const hg_model_config *c = hg_model_get_config(m);
    return 2.0 * (double)hg_model_count(m) +
           2.0 * 2.0 * n_past * c->n_layers * c->n_kv_heads * c->d_head;
}

/* Seconds for a token, greedy over all logits as a user's would be. */
static hg_status decode(hg_session *s, uint32_t n_vocab, double *seconds, hg_err *e)
{
    int32_t prompt[PROMPT], id = 0;
    const float *logits;
    for (int i = 0; i < PROMPT; i++) prompt[i] = 100 + 7 * i;
    hg_session_rewind(s, 0);
    HG_TRY(hg_session_feed(s, prompt, PROMPT, &logits, e));
    const double start = hg_seconds();
    for (int i = 0; i < DECODED; i++) {
        id = 0;
        for (uint32_t v = 1; v < n_vocab; v++)
            if (logits[v] > logits[id]) id = (int32_t)v;
        HG_TRY(hg_session_feed(s, &id, 1, &logits, e));
    }
    *seconds = (hg_seconds() - start) / DECODED;
    return HG_OK;
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double median(double *v)
{
    qsort(v, ROUNDS, sizeof *v, by_value);
    return v[ROUNDS / 2];
}

static hg_status measure(hg_runtime *rt, const hg_model *m, hg_session *s, reading *r, hg_err *e)
{
    double share[ROUNDS], limit[ROUNDS], ours[ROUNDS], speed[ROUNDS], t;
    const double bytes = bytes_per_token(m, PROMPT + DECODED / 2.0);
    HG_TRY(decode(s, SHAPE.n_vocab, &t, e)); /* pages and arenas are made */
    (void)read_rate(r);
    printf("%-8s %14s %14s %10s %8s\n", "round", "reading GB/s", "decoding GB/s", "tokens/s",
           "share");
    for (int i = 0; i < ROUNDS; i++) {
        const double before = read_rate(r);
        HG_TRY(decode(s, SHAPE.n_vocab, &t, e));
        limit[i] = (before + read_rate(r)) / 2.0;
        ours[i] = bytes / t / 1e9;
        speed[i] = 1.0 / t;
        share[i] = ours[i] / limit[i];
        printf("%-8d %14.1f %14.1f %10.1f %8.3f\n", i + 1, limit[i], ours[i], speed[i], share[i]);
    }
    const double ratio = median(share);
    printf("%-8s %14.1f %14.1f %10.1f %8.3f   goal %.2f, %d threads, %s\n", "median", median(limit),
           median(ours), median(speed), ratio, GOAL, hg_runtime_threads(rt),
           hg_isa_name(hg_runtime_isa(rt)));
    printf("{\"bench\": \"decode\", \"results\": [{\"name\": \"100M bf16\", \"unit\": \"GB/s\", "
           "\"ours\": %.2f, \"peer\": null, \"limit\": %.2f, \"ratio\": %.3f, \"goal\": %.2f}]}\n",
           median(ours), median(limit), ratio, GOAL);
    return HG_OK;
}

int main(void)
{
    char path[4096];
    hg_err e = {0};
    hg_runtime *rt = NULL;
    hg_model *m = NULL;
    hg_session *s = NULL;
    hg_arena mem;
    reading r = {0};
    const size_t n = (size_t)READ_MIB * (1 << 20) / sizeof(float);

    hg_arena_init(&mem, 0);
    hg_status status = hg_runtime_new(&rt, 0, HG_N_ISA, &e);
    if (status == HG_OK) status = model_path(path, sizeof path, &e);
    if (status == HG_OK) status = hg_model_open(&m, path, HG_WEIGHTS_AS_STORED, rt, &e);
    if (status == HG_OK) status = hg_session_new(&s, m, rt, NULL, &e);
    if (status == HG_OK) {
        r = (reading){rt, HG_NEW(&mem, float, n), HG_NEW(&mem, float, n / READ_CHUNK)};
        if (r.p == NULL || r.sum == NULL)
            status = hg_fail(&e, HG_E_NOMEM, "no room for %d MiB to read", READ_MIB);
    }
    if (status == HG_OK) status = measure(rt, m, s, &r, &e);
    if (status != HG_OK) fprintf(stderr, "bench_decode: %s\n", e.msg);
    hg_session_free(s);
    hg_model_free(m);
    hg_arena_free(&mem);
    hg_runtime_free(rt);
    return status == HG_OK ? 0 : 1;
}
