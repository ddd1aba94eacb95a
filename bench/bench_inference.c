/* Inference against llama.cpp on the same files, side by side: a random model in the shape of
 * Llama-3.2-1B (1.24B parameters) and a small one of 15M, in each type.
 *
 *   bench_inference [--repeat N] [--only TEXT] [TYPE...]     bf16 q8_0 q4_0 q4_k_m when left out
 *
 * With --only, the rows whose name holds the text ("decode, 1 thread", "15M", "first token").
 * Ours and the peer take turns on each job, `repeat` times (5), and the medians count; the
 * machine's own limit is measured between them. The peer is tests/peer on the shared objects of
 * npm's node-llama-cpp, which also quantises the files. They are made once, in higgins-bench of the
 * system's folder for temporary files (about 3 GB, and 1 to 3 GB a type). */
#include <higgins/speed.h>

#include "bench.h"
#include "base/file.h"
#include "kernels/measure.h"
#include "model/model.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>

#include "peer.h"

enum { MAX_TYPES = 20, PROMPT = 512, DECODE = 48, BATCH = 32, FIRST_IDS = 16, CTX = 2048 };

typedef struct file_type {
    const char *name;
    int ftype; /* llama.cpp's number of the mix */
} file_type;

static const file_type file_types[] = {
    {"f16", 1},     {"bf16", 32}, {"q8_0", 7},    {"q4_0", 2},    {"q4_1", 3},
    {"q5_0", 8},    {"q5_1", 9},  {"q2_k", 10},   {"q3_k_m", 12}, {"q4_k_m", 15},
    {"q5_k_m", 17}, {"q6_k", 18}, {"iq4_nl", 25}, {"iq4_xs", 30},
};
enum { N_FILE_TYPES = sizeof file_types / sizeof file_types[0] };

static const hg_model_config BIG = {.arch = "llama",
                                    .n_layers = 16,
                                    .d_model = 2048,
                                    .n_heads = 32,
                                    .n_kv_heads = 8,
                                    .d_head = 64,
                                    .d_ff = 8192,
                                    .n_vocab = 128256,
                                    .n_ctx = 131072,
                                    .norm_eps = 1e-5f,
                                    .rope_theta = 500000.0f,
                                    .tie_embeddings = true,
                                    .bos_id = 128000,
                                    .eos_id = 128001,
                                    .pad_id = -1};
/* llama2.c's 15M shape. */
static const hg_model_config SMALL = {.arch = "llama",
                                      .n_layers = 6,
                                      .d_model = 288,
                                      .n_heads = 6,
                                      .n_kv_heads = 6,
                                      .d_head = 48,
                                      .d_ff = 768,
                                      .n_vocab = 32000,
                                      .n_ctx = 2048,
                                      .norm_eps = 1e-5f,
                                      .rope_theta = 10000.0f,
                                      .tie_embeddings = true,
                                      .bos_id = -1,
                                      .eos_id = -1,
                                      .pad_id = -1};

typedef struct setting {
    char folder[2048];
    const char *higgins, *tokenizer, *only; /* only: part of a row's name, or NULL */
    size_t repeats;
    hg_runtime *rt[2]; /* of one thread and of all */
    bench *b;
} setting;

/* ---- the files ---- */

static const char *path_of(const setting *s, char out[4096], const char *model, const char *type)
{
    (void)snprintf(out, 4096, "%s/%s-%s.gguf", s->folder, model, type);
    return out;
}

static bool exists(const char *path)
{
    return access(path, R_OK) == 0;
}

static hg_status make_bf16(const setting *s, const char *name, const hg_model_config *c, hg_err *e)
{
    char folder[4096], file[4096];
    hg_model *m = NULL;
    hg_tokenizer *t = NULL;
    if (exists(path_of(s, file, name, "bf16"))) return HG_OK;
    fprintf(stderr, "making %s\n", file);
    (void)snprintf(folder, sizeof folder, "%s/%s", s->folder, name);
    HG_TRY(hg_model_new(&m, c, 1, e));
    hg_status status = HG_OK;
    if (c == &BIG && s->tokenizer != NULL) {
        status = hg_tokenizer_open(&t, s->tokenizer, e);
        if (status == HG_OK) hg_model_set_tokenizer(m, t);
    }
    if (status == HG_OK) status = hg_model_save(m, folder, HG_WEIGHTS_BF16, NULL, e);
    hg_model_free(m);
    if (status == HG_OK) status = hg_model_export_gguf(folder, file, HG_WEIGHTS_AS_STORED, NULL, e);
    return status;
}

/* The file in that type; false when it cannot be made. */
static bool make_type(const setting *s, const char *name, const file_type *t)
{
    char from[4096], to[4096], number[16], threads[32];
    (void)path_of(s, from, name, "bf16");
    if (exists(path_of(s, to, name, t->name))) return true;
    if (peer_program() == NULL) return false;
    fprintf(stderr, "making %s\n", to);
    (void)snprintf(number, sizeof number, "%d", t->ftype);
    (void)snprintf(threads, sizeof threads, "threads=%d", hg_runtime_threads(s->rt[1]));
    const char *argv[] = {peer_program(), "quantize", from, to, number, threads, NULL};
    return !isnan(peer_whole(argv, NULL));
}

/* ---- jobs side by side ---- */

typedef struct pair {
    const char *name; /* of the row */
    hg_speed_job job;
    char line[64]; /* the same for the peer */
    double goal;
} pair;

/* What the machine would allow: the work over its rate, whichever of reading and multiplying takes
 * longer. Tokens a second. */
static double limit_of(hg_speed *s, hg_runtime *rt, hg_type type, const hg_speed_job *j)
{
    double gbs = 1, gflops = 1;
    if (hg_measure_read(rt, 0.1, &gbs, NULL) != HG_OK ||
        hg_measure_product(rt, type, 0.1, &gflops, NULL) != HG_OK)
        return (double)NAN;
    const double a = hg_speed_bytes(s, j) / gbs, b = hg_speed_flop(s, j) / gflops;
    return (double)j->n * j->sessions / ((a > b ? a : b) * 1e-9);
}

static hg_status measure(const setting *s, hg_speed *ours, hg_runtime *rt, peer *p, hg_type type,
                         const pair *what, hg_err *e)
{
    double a[BENCH_MAX_REPEATS], b[BENCH_MAX_REPEATS], limit[BENCH_MAX_REPEATS];
    const double tokens = (double)what->job.n * what->job.sessions;
    for (size_t i = 0; i <= s->repeats; i++) {
        const size_t at = i > 0 ? i - 1 : 0; /* the first turn does not count */
        double seconds;
        limit[at] = limit_of(ours, rt, type, &what->job);
        HG_TRY(hg_speed_time(ours, &what->job, &seconds, e));
        a[at] = tokens / seconds;
        b[at] = tokens / peer_time(p, what->line);
    }
    bench_add(s->b, (bench_row){what->name, "tokens/s", bench_median(a, s->repeats),
                                bench_median(b, s->repeats), bench_median(limit, s->repeats),
                                what->goal});
    return HG_OK;
}

/* Names of rows live as long as the bench. */
static const char *row_name(const char *model, const char *type, const char *what, int threads)
{
    static char names[BENCH_MAX_ROWS][64];
    static size_t n;
    char *out = names[n < BENCH_MAX_ROWS ? n++ : n - 1];
    (void)snprintf(out, sizeof names[0], "%s %s %s, %d thread%s", model, type, what, threads,
                   threads > 1 ? "s" : "");
    return out;
}

static bool is_wanted(const setting *s, const char *name)
{
    return s->only == NULL || strstr(name, s->only) != NULL;
}

static double prefill_goal(const char *type)
{
    return strcmp(type, "bf16") == 0 ? 1.1 : strcmp(type, "f16") == 0 ? (double)NAN : 2.5;
}

static hg_status run_pairs(const setting *s, const hg_model *m, hg_runtime *rt, const char *path,
                           const pair *pairs, size_t n, int seqs, hg_err *e)
{
    const hg_session_options o = {.n_ctx = CTX};
    hg_speed *ours = NULL;
    peer p;
    size_t n_wanted = 0;
    for (size_t i = 0; i < n; i++) n_wanted += is_wanted(s, pairs[i].name);
    if (n_wanted == 0) return HG_OK;
    HG_TRY(hg_speed_new(&ours, m, rt, &o, e));
    peer_open(&p, path, hg_runtime_threads(rt), seqs, seqs > 1 ? seqs * 128 : CTX);
    hg_status status = HG_OK;
    for (size_t i = 0; i < n && status == HG_OK; i++)
        if (is_wanted(s, pairs[i].name))
            status = measure(s, ours, rt, &p, m->layer[0].q->type, &pairs[i], e);
    peer_close(&p);
    hg_speed_free(ours);
    return status;
}

static pair prefill_of(const char *name, double goal)
{
    pair p = {.name = name, .job = {HG_SPEED_PREFILL, PROMPT, 0, 1}, .goal = goal};
    (void)snprintf(p.line, sizeof p.line, "prefill %d", PROMPT);
    return p;
}

static pair decode_of(const char *name, double goal)
{
    pair p = {.name = name, .job = {HG_SPEED_DECODE, DECODE, 16, 1}, .goal = goal};
    (void)snprintf(p.line, sizeof p.line, "decode %d 16", DECODE);
    return p;
}

static pair batch_of(const char *name, uint32_t sessions, double goal)
{
    pair p = {.name = name, .job = {HG_SPEED_BATCH, BATCH, 0, sessions}, .goal = goal};
    (void)snprintf(p.line, sizeof p.line, "batch %u %d", sessions, BATCH);
    return p;
}

static hg_status alone(const setting *s, const hg_model *m, const char *path, const char *model,
                       const char *type, hg_err *e)
{
    const bool small = strcmp(model, "15M") == 0;
    for (int t = 1; t >= 0; t--) {
        const int threads = hg_runtime_threads(s->rt[t]);
        if (t == 0 && threads == hg_runtime_threads(s->rt[1])) break;
        const pair pairs[] = {
            prefill_of(row_name(model, type, "prompt", threads),
                       small ? (double)NAN : prefill_goal(type)),
            decode_of(row_name(model, type, "decode", threads), small         ? 1.5
                                                                : threads > 1 ? 1.1
                                                                              : 1.3),
        };
        HG_TRY(run_pairs(s, m, s->rt[t], path, pairs, 2, 1, e));
    }
    return HG_OK;
}

static hg_status together(const setting *s, const hg_model *m, const char *path, const char *model,
                          const char *type, hg_err *e)
{
    const int threads = hg_runtime_threads(s->rt[1]);
    const pair eight = batch_of(row_name(model, type, "decode 8 at once", threads), 8, 2.5);
    const pair many = batch_of(row_name(model, type, "decode 32 at once", threads), 32, 2.5);
    HG_TRY(run_pairs(s, m, s->rt[1], path, &eight, 1, 8, e));
    return run_pairs(s, m, s->rt[1], path, &many, 1, 32, e);
}

/* From the start of the program to the first token, whole processes; and the memory that ours holds
 * beyond the file's bytes. */
static void first_token(const setting *s, const char *path, const char *type)
{
    double a[BENCH_MAX_REPEATS], b[BENCH_MAX_REPEATS], held[BENCH_MAX_REPEATS];
    const int threads = hg_runtime_threads(s->rt[1]);
    const char *name = row_name("1.24B", type, "start to first token", threads);
    char t[32];
    if (!is_wanted(s, name)) return;
    (void)snprintf(t, sizeof t, "threads=%d", threads);
    const char *ours[] = {
        s->higgins,
        "generate",
        path,
        "The miller and his daughter went down to the river in the evening, and there",
        "--max-tokens",
        "1",
        "--temperature",
        "0",
        "--context",
        "256",
        "--quiet",
        NULL};
    const char *theirs[] = {peer_program(),
                            "first",
                            path,
                            "100,107,114,121,128,135,142,149,156,163,170,177,184,191,198,205",
                            t,
                            "ctx=256",
                            NULL};
    FILE *f = fopen(path, "rb");
    double bytes = 0;
    if (f != NULL && fseek(f, 0, SEEK_END) == 0) bytes = (double)ftell(f);
    if (f != NULL) (void)fclose(f);
    for (size_t i = 0; i <= s->repeats; i++) {
        const size_t at = i > 0 ? i - 1 : 0;
        double peak = 0;
        a[at] = 1 / peer_whole(ours, &peak);
        b[at] = theirs[0] != NULL ? 1 / peer_whole(theirs, NULL) : (double)NAN;
        held[at] = (peak - bytes) / (1 << 20);
    }
    bench_add(s->b, (bench_row){name, "1/s", bench_median(a, s->repeats),
                                bench_median(b, s->repeats), (double)NAN, 2});
    printf("%-34s %-8s %9.1f\n", "  memory beyond the file", "MiB", bench_median(held, s->repeats));
}

static hg_status big_model(const setting *s, const file_type *t, hg_err *e)
{
    char path[4096];
    hg_model *m = NULL;
    if (!make_type(s, "1b", t)) {
        fprintf(stderr, "no 1.24B file of type %s: the peer that quantises it is missing\n",
                t->name);
        return HG_OK;
    }
    (void)path_of(s, path, "1b", t->name);
    if (s->tokenizer != NULL) first_token(s, path, t->name);
    HG_TRY(hg_model_open(&m, path, HG_WEIGHTS_AS_STORED, s->rt[1], e));
    hg_status status = alone(s, m, path, "1.24B", t->name, e);
    if (status == HG_OK && s->tokenizer != NULL) status = together(s, m, path, "1.24B", t->name, e);
    hg_model_free(m);
    return status;
}

static hg_status small_model(const setting *s, const file_type *t, hg_err *e)
{
    char path[4096];
    hg_model *m = NULL;
    if (!make_type(s, "15m", t)) return HG_OK;
    (void)path_of(s, path, "15m", t->name);
    HG_TRY(hg_model_open(&m, path, HG_WEIGHTS_AS_STORED, s->rt[1], e));
    hg_status status = alone(s, m, path, "15M", t->name, e);
    hg_model_free(m);
    return status;
}

/* ---- the frame ---- */

static const file_type *type_of(const char *name)
{
    for (size_t i = 0; i < N_FILE_TYPES; i++)
        if (strcmp(file_types[i].name, name) == 0) return &file_types[i];
    return NULL;
}

/* Options first, then types; the number of types, or -1. */
static int read_args(int argc, char **argv, setting *s, const file_type **types)
{
    static const char *const usual[] = {"bf16", "q8_0", "q4_0", "q4_k_m"};
    int n = 0;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--repeat") == 0 && i + 1 < argc) {
            s->repeats = strtoul(argv[++i], NULL, 10);
            if (s->repeats == 0 || s->repeats >= BENCH_MAX_REPEATS) return -1;
            continue;
        }
        if (strcmp(argv[i], "--only") == 0 && i + 1 < argc) {
            s->only = argv[++i];
            continue;
        }
        types[n] = type_of(argv[i]);
        if (types[n] == NULL || ++n == MAX_TYPES) return -1;
    }
    for (size_t i = 0; n == 0 && i < 4; i++) types[i] = type_of(usual[i]);
    return n == 0 ? 4 : n;
}

static hg_status run_all(setting *s, const file_type *const *types, int n, hg_err *e)
{
    const char *tmp = getenv("TMPDIR");
    (void)snprintf(s->folder, sizeof s->folder, "%s/higgins-bench", tmp != NULL ? tmp : "/tmp");
    (void)mkdir(s->folder, 0777);
    HG_TRY(hg_runtime_new(&s->rt[0], 1, HG_N_ISA, e));
    HG_TRY(hg_runtime_new(&s->rt[1], 0, HG_N_ISA, e));
    HG_TRY(make_bf16(s, "1b", &BIG, e));
    HG_TRY(make_bf16(s, "15m", &SMALL, e));
    for (int i = 0; i < n; i++) {
        HG_TRY(big_model(s, types[i], e));
        HG_TRY(small_model(s, types[i], e));
    }
    return HG_OK;
}

int main(int argc, char **argv)
{
    static bench b = {.name = "inference"};
    const file_type *types[MAX_TYPES];
    setting s = {.higgins = getenv("HG_BENCH_HIGGINS"), .repeats = 5, .b = &b};
    hg_err e = {0};
    const int n = read_args(argc, argv, &s, types);
    if (n < 0) {
        fprintf(stderr, "bench_inference [--repeat N] [--only TEXT] [TYPE...]; types:");
        for (size_t i = 0; i < N_FILE_TYPES; i++) fprintf(stderr, " %s", file_types[i].name);
        fprintf(stderr, "\n");
        return 2;
    }
    s.tokenizer = getenv("HG_BENCH_TOKENIZER");
    if (s.tokenizer != NULL && !exists(s.tokenizer)) s.tokenizer = NULL;
    if (peer_program() == NULL) fprintf(stderr, "llama.cpp is not there: no column of the peer\n");
    (void)signal(SIGPIPE, SIG_IGN);
    const hg_status status = run_all(&s, types, n, &e);
    if (status != HG_OK) fprintf(stderr, "bench_inference: %s\n", e.msg);
    bench_end(&b);
    hg_runtime_free(s.rt[0]);
    hg_runtime_free(s.rt[1]);
    return status == HG_OK ? 0 : 1;
}
