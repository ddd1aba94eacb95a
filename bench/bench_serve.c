/* The server under load, on a model of about 14 M parameters with random weights:
 *
 *   streams     256 answers at once: what fails, the longest silence within one, memory
 *   cost        the processor's time for a token of 32 long answers, against the engine without a
 * server clients     32 answers at once, against llama.cpp's llama-server on the same file, in
 * turns first       the first token behind a prompt of 512 tokens, alone and while two prompts of
 * 1,500 are read flat        memory after 1,000 and after 10,000 requests
 *
 *   bench_serve [--repeat N] [PART...]
 *
 * HG_BENCH_HIGGINS names our program (bench/run.sh does). HG_LLAMA_BINS names a folder with
 * llama-server, built from the release that npm's node-llama-cpp brings; without one there is no
 * column of the peer. */
#include "bench.h"
#include "base/file.h"
#include "load.h"
#include "model/model.h"
#include <higgins/infer.h>
#include "peer.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>

enum {
    STREAMS = 256,
    CLIENTS = 32,
    TOKENS = 64,
    LONG = 400,
    CTX = 2048,
    FLAT = 10000,
    MAX_BODY = 60000
};

static const char KEY[] = "bench", PROMPT[] = "Once upon a time there was a model";

typedef struct server {
    pid_t pid;
    int port;
} server;

typedef struct setting {
    char folder[2048], model[4096];
    const char *higgins, *llama; /* llama: the peer's program, or NULL */
    size_t repeats;
    hg_runtime *rt;
    bench *b;
    load_client client[STREAMS];
} setting;

/* ---- the model ---- */

/* A vocabulary from the project's own pages, which are at hand. */
static hg_status make_tokenizer(const char *to, hg_tokenizer **t, hg_err *e)
{
    hg_tokenizer_options o;
    const char *sources[] = {"docs"}; /* bench/run.sh goes to the project's folder */
    hg_tokenizer_options_init(&o);
    o.n_vocab = 8192;
    HG_TRY(hg_tokenizer_train(sources, 1, &o, to, NULL, NULL, e));
    return hg_tokenizer_open(t, to, e);
}

static hg_status make_model(const setting *s, hg_err *e)
{
    char folder[4096], vocabulary[4096];
    hg_model *m = NULL;
    hg_tokenizer *t = NULL;
    if (access(s->model, R_OK) == 0) return HG_OK;
    (void)snprintf(folder, sizeof folder, "%s/served", s->folder);
    (void)snprintf(vocabulary, sizeof vocabulary, "%s/served.tokenizer.json", s->folder);
    HG_TRY(make_tokenizer(vocabulary, &t, e));
    const hg_model_config c = {.arch = "llama",
                               .n_layers = 6,
                               .d_model = 384,
                               .n_heads = 6,
                               .n_kv_heads = 6,
                               .d_head = 64,
                               .d_ff = 1024,
                               .n_vocab = hg_tokenizer_count(t),
                               .n_ctx = CTX,
                               .norm_eps = 1e-5f,
                               .rope_theta = 1e4f,
                               .tie_embeddings = true,
                               .bos_id = -1,
                               .eos_id = hg_tokenizer_special(t, "<|endoftext|>"),
                               .pad_id = -1};
    hg_status status = hg_model_new(&m, &c, 1, e);
    if (status != HG_OK) {
        hg_tokenizer_free(t);
        return status;
    }
    hg_model_set_tokenizer(m, t);
    status = hg_model_save(m, folder, HG_WEIGHTS_BF16, NULL, e);
    hg_model_free(m);
    return status == HG_OK ? hg_model_export_gguf(folder, s->model, HG_WEIGHTS_AS_STORED, NULL, e)
                           : status;
}

/* ---- servers ---- */

static bool wait_for(server *sv)
{
    for (int i = 0; i < 300; i++) {
        const int fd = load_connect(sv->port);
        if (fd >= 0) {
            static const char ask[] =
                "GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n";
            char line[64] = "";
            const bool sent = write(fd, ask, sizeof ask - 1) == (ssize_t)sizeof ask - 1;
            const ssize_t n = sent ? read(fd, line, sizeof line - 1) : 0;
            (void)close(fd);
            if (n > 12 && memcmp(line + 8, " 200", 4) == 0) return true;
        }
        (void)usleep(100000);
    }
    return false;
}

static int free_port(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof a;
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    int port = 0;
    if (fd >= 0 && bind(fd, (const struct sockaddr *)(const void *)&a, sizeof a) == 0 &&
        getsockname(fd, (struct sockaddr *)(void *)&a, &size) == 0)
        port = ntohs(a.sin_port);
    if (fd >= 0) (void)close(fd);
    return port;
}

static bool start(server *sv, const char *const *argv, int port)
{
    const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    sv->port = port;
    sv->pid = peer_spawn(argv, null, null);
    (void)close(null);
    if (sv->pid > 0 && wait_for(sv)) return true;
    fprintf(stderr, "bench_serve: %s does not answer\n", argv[0]);
    return false;
}

static void stop(server *sv)
{
    if (sv->pid <= 0) return;
    (void)kill(sv->pid, SIGTERM);
    (void)waitpid(sv->pid, NULL, 0);
    sv->pid = 0;
}

static bool start_ours(const setting *s, server *sv, int parallel, int ctx)
{
    char port[16], many[16], context[16], data[2112];
    const int at = free_port();
    (void)snprintf(port, sizeof port, "%d", at);
    (void)snprintf(many, sizeof many, "%d", parallel);
    (void)snprintf(context, sizeof context, "%d", ctx);
    (void)snprintf(data, sizeof data, "%s/data", s->folder); /* not the user's own */
    const char *argv[] = {s->higgins,  "serve",     s->model, "--port",     port, "--name",  "m",
                          "--quiet",   "--api-key", KEY,      "--parallel", many, "--queue", "512",
                          "--context", context,     "--data", data,         NULL};
    return start(sv, argv, at);
}

/* The peer's slots share its context. */
static bool start_llama(const setting *s, server *sv, int parallel, int ctx)
{
    char port[16], many[16], context[16], threads[16];
    const int at = free_port();
    (void)snprintf(port, sizeof port, "%d", at);
    (void)snprintf(many, sizeof many, "%d", parallel);
    (void)snprintf(context, sizeof context, "%d", ctx * parallel);
    (void)snprintf(threads, sizeof threads, "%d", hg_runtime_threads(s->rt));
    const char *argv[] = {s->llama, "-m",   s->model,        "--port", port,    "-np",
                          many,     "-c",   context,         "-t",     threads, "--api-key",
                          KEY,      "-kvu", "--log-disable", NULL};
    return start(sv, argv, at);
}

static double megabytes(const server *sv)
{
    char path[64], line[256];
    double kb = 0;
    (void)snprintf(path, sizeof path, "/proc/%d/status", (int)sv->pid);
    FILE *f = fopen(path, "r");
    while (f != NULL && fgets(line, sizeof line, f) != NULL)
        if (strncmp(line, "VmRSS:", 6) == 0) kb = strtod(line + 6, NULL);
    if (f != NULL) (void)fclose(f);
    return kb / 1024;
}

/* ---- loads ---- */

static const char *body_of(const char *prompt, size_t i, int tokens)
{
    static char body[MAX_BODY];
    (void)snprintf(body, sizeof body,
                   "{\"model\":\"m\",\"prompt\":\"%zu %s\",\"max_tokens\":%d,\"stream\":true,"
                   "\"temperature\":1,\"seed\":%zu}",
                   i, prompt, tokens, i);
    return body;
}

/* A prompt of about that many tokens. */
static const char *words(size_t tokens)
{
    static char text[2][MAX_BODY - 1000];
    static int at;
    size_t n = 0;
    at = !at;
    for (size_t i = 0; i < tokens && n + 8 < sizeof text[0]; i++)
        n += (size_t)snprintf(text[at] + n, sizeof text[0] - n, "%s", i % 2 ? " the" : " a");
    return text[at];
}

static double tokens_of(const load_client *c, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += c[i].events;
    return sum;
}

static size_t failures(const load_client *c, size_t n)
{
    size_t bad = 0;
    for (size_t i = 0; i < n; i++) bad += !c[i].ok;
    return bad;
}

/* Tokens a second of n answers at once; NAN when one of them failed. */
static double together(setting *s, const server *sv, size_t n, int tokens, size_t seed)
{
    const double begun = hg_seconds();
    for (size_t i = 0; i < n; i++)
        load_begin(&s->client[i], sv->port, KEY, body_of(PROMPT, seed + i, tokens));
    load_wait(s->client, n, 120);
    const double took = hg_seconds() - begun;
    if (failures(s->client, n) == 0) return tokens_of(s->client, n) / took;
    fprintf(stderr, "bench_serve: %zu of %zu answers failed (%.60s)\n", failures(s->client, n), n,
            s->client[0].head);
    return (double)NAN;
}

/* ---- parts ---- */

static void streams(setting *s)
{
    server sv;
    double longest = 0;
    if (!start_ours(s, &sv, STREAMS, 512)) return;
    const double rate = together(s, &sv, STREAMS, TOKENS, 1), memory = megabytes(&sv);
    for (size_t i = 0; i < STREAMS; i++)
        if (s->client[i].longest > longest) longest = s->client[i].longest;
    stop(&sv);
    bench_add(s->b,
              (bench_row){"256 streams", "tokens/s", rate, (double)NAN, (double)NAN, (double)NAN});
    bench_add(s->b, (bench_row){"256 streams, failed", "answers",
                                (double)failures(s->client, STREAMS), (double)NAN, (double)NAN, 0});
    bench_add(s->b, (bench_row){"256 streams, longest silence", "s", longest, (double)NAN, 2, 1});
    bench_add(s->b, (bench_row){"256 streams, memory", "MB", memory, (double)NAN, (double)NAN,
                                (double)NAN});
}

/* Seconds that the process has had of the processor. */
static double cpu_of(pid_t pid)
{
    char path[64], text[1024] = "";
    unsigned long user = 0, system = 0;
    (void)snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *f = fopen(path, "r");
    const size_t n = f != NULL ? fread(text, 1, sizeof text - 1, f) : 0;
    if (f != NULL) (void)fclose(f);
    text[n] = '\0';
    const char *at = strrchr(text, ')'); /* the name before it may hold anything */
    for (int i = 0; at != NULL && i < 12; i++) at = strchr(at + 1, ' ');
    if (at == NULL) return (double)NAN;
    char *end = NULL;
    user = strtoul(at, &end, 10);
    system = strtoul(end, NULL, 10);
    return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

/* The same answers by the engine alone, without HTTP, JSON and events. */
typedef struct waiting {
    atomic_uint left;
    hg_engine *engine;
} waiting;

static void count_end(void *ctx, hg_bytes text, hg_finish finish, const hg_usage *usage,
                      const char *error)
{
    waiting *w = ctx;
    (void)text;
    (void)usage;
    (void)error;
    if (finish != HG_FINISH_NONE) atomic_fetch_sub(&w->left, 1);
}

static hg_status submit(waiting *w, const hg_model *m, size_t i, size_t seed, hg_err *e)
{
    char prompt[256];
    hg_ids ids = {0};
    hg_job job;
    hg_request r = {.max_tokens = LONG, .on_text = count_end, .ctx = w};
    (void)snprintf(prompt, sizeof prompt, "%zu %s", seed + i, PROMPT);
    hg_sampling_init(&r.sampling);
    r.sampling.temperature = 1;
    r.sampling.seed = seed + i;
    hg_status status =
        hg_tokenizer_encode(m->tokenizer, (hg_bytes){prompt, strlen(prompt)}, false, &ids, e);
    r.prompt = ids.id;
    r.n_prompt = ids.n;
    if (status == HG_OK) status = hg_engine_submit(w->engine, &r, &job, e);
    hg_ids_free(&ids);
    return status;
}

static hg_status engine_cpu(waiting *w, const hg_model *m, size_t seed, double *cpu, hg_err *e)
{
    const double before = cpu_of(getpid());
    atomic_store(&w->left, CLIENTS);
    for (size_t i = 0; i < CLIENTS; i++) HG_TRY(submit(w, m, i, seed, e));
    while (atomic_load(&w->left) > 0) (void)usleep(1000);
    *cpu = cpu_of(getpid()) - before;
    return HG_OK;
}

static hg_status cost_turns(setting *s, const server *sv, waiting *w, const hg_model *m, hg_err *e)
{
    double ours[BENCH_MAX_REPEATS], engine[BENCH_MAX_REPEATS];
    for (size_t i = 0; i <= s->repeats; i++) {
        const size_t at = i > 0 ? i - 1 : 0, seed = 100 * i;
        const double before = cpu_of(sv->pid);
        (void)together(s, sv, CLIENTS, LONG, seed);
        ours[at] = (cpu_of(sv->pid) - before) / (CLIENTS * LONG) * 1e6;
        HG_TRY(engine_cpu(w, m, seed, &engine[at], e));
        engine[at] *= 1e6 / (CLIENTS * LONG);
    }
    bench_add(s->b,
              (bench_row){"processor for a token, 32 clients", "us", bench_median(ours, s->repeats),
                          (double)NAN, bench_median(engine, s->repeats), 1.05});
    return HG_OK;
}

static hg_status cost(setting *s, hg_err *e)
{
    server sv;
    waiting w = {.engine = NULL};
    hg_model *m = NULL;
    hg_engine_options o;
    hg_engine_options_init(&o);
    o.max_sessions = CLIENTS;
    o.n_ctx = 512;
    if (!start_ours(s, &sv, CLIENTS, 512)) return HG_OK;
    hg_status status = hg_model_open(&m, s->model, HG_WEIGHTS_AS_STORED, s->rt, e);
    if (status == HG_OK) status = hg_engine_new(&w.engine, m, s->rt, &o, e);
    if (status == HG_OK) status = cost_turns(s, &sv, &w, m, e);
    hg_engine_free(w.engine);
    hg_model_free(m);
    stop(&sv);
    return status;
}

static void clients(setting *s)
{
    double ours[BENCH_MAX_REPEATS], theirs[BENCH_MAX_REPEATS];
    server sv, llama = {0};
    if (!start_ours(s, &sv, CLIENTS, 512)) return;
    const bool has_peer = s->llama != NULL && start_llama(s, &llama, CLIENTS, 512);
    for (size_t i = 0; i <= s->repeats; i++) {
        ours[i > 0 ? i - 1 : 0] = together(s, &sv, CLIENTS, TOKENS, 100 * i);
        theirs[i > 0 ? i - 1 : 0] =
            has_peer ? together(s, &llama, CLIENTS, TOKENS, 100 * i) : (double)NAN;
    }
    stop(&sv);
    stop(&llama);
    bench_add(s->b, (bench_row){"32 clients", "tokens/s", bench_median(ours, s->repeats),
                                has_peer ? bench_median(theirs, s->repeats) : (double)NAN,
                                (double)NAN, 1.2});
}

/* Seconds to the first token of client `at`, behind those before it. */
static double first_of(setting *s, const server *sv, size_t n_before, size_t seed)
{
    for (size_t i = 0; i < n_before; i++)
        load_begin(&s->client[i], sv->port, KEY, body_of(words(1500), seed + i, 1));
    if (n_before > 0) (void)usleep(20000);
    load_begin(&s->client[n_before], sv->port, KEY, body_of(words(512), seed + 50, 1));
    load_wait(s->client, n_before + 1, 60);
    return s->client[n_before].first;
}

static void first(setting *s)
{
    double alone[BENCH_MAX_REPEATS], beside[BENCH_MAX_REPEATS];
    server sv;
    if (!start_ours(s, &sv, 8, CTX)) return;
    for (size_t i = 0; i <= s->repeats; i++) {
        alone[i > 0 ? i - 1 : 0] = 1e3 * first_of(s, &sv, 0, 1000 * i + 1);
        beside[i > 0 ? i - 1 : 0] = 1e3 * first_of(s, &sv, 2, 1000 * i + 500);
    }
    stop(&sv);
    bench_add(s->b,
              (bench_row){"first token beside two prompts", "ms", bench_median(beside, s->repeats),
                          (double)NAN, bench_median(alone, s->repeats), 3});
}

static void flat(setting *s)
{
    server sv;
    double early = 0, late = 0;
    size_t bad = 0;
    if (!start_ours(s, &sv, CLIENTS, 512)) return;
    for (size_t done = 0; done < FLAT; done += CLIENTS) {
        for (size_t i = 0; i < CLIENTS; i++)
            load_begin(&s->client[i], sv.port, KEY, body_of("Say", done + i, 2));
        load_wait(s->client, CLIENTS, 60);
        bad += failures(s->client, CLIENTS);
        if (done / 1000 == 0) early = megabytes(&sv);
    }
    late = megabytes(&sv);
    stop(&sv);
    bench_add(s->b,
              (bench_row){"memory after 10,000 requests", "MB", late, (double)NAN, early, 1.02});
    bench_add(s->b, (bench_row){"10,000 requests, failed", "answers", (double)bad, (double)NAN,
                                (double)NAN, 0});
}

static hg_status run(setting *s, const char *const *part, int n, hg_err *e)
{
    static const char *const all[] = {"streams", "cost", "clients", "first", "flat"};
    const char *tmp = getenv("TMPDIR");
    if (n == 0) part = all, n = 5;
    (void)snprintf(s->folder, sizeof s->folder, "%s/higgins-bench", tmp != NULL ? tmp : "/tmp");
    (void)mkdir(s->folder, 0777);
    (void)snprintf(s->model, sizeof s->model, "%s/served.gguf", s->folder);
    HG_TRY(hg_runtime_new(&s->rt, 0, HG_N_ISA, e));
    HG_TRY(make_model(s, e));
    for (int i = 0; i < n; i++) {
        if (strcmp(part[i], "streams") == 0)
            streams(s);
        else if (strcmp(part[i], "cost") == 0)
            HG_TRY(cost(s, e));
        else if (strcmp(part[i], "clients") == 0)
            clients(s);
        else if (strcmp(part[i], "first") == 0)
            first(s);
        else if (strcmp(part[i], "flat") == 0)
            flat(s);
        else
            return hg_fail(e, HG_E_ARG, "no part \"%s\"; streams, cost, clients, first, flat",
                           part[i]);
    }
    return HG_OK;
}

int main(int argc, char **argv)
{
    static bench b = {.name = "serve"};
    static setting s;
    static char llama[4200];
    hg_err e = {0};
    int at = 1;
    const char *bins = getenv("HG_LLAMA_BINS");
    s.b = &b;
    s.repeats = 5;
    s.higgins = getenv("HG_BENCH_HIGGINS");
    if (bins != NULL) (void)snprintf(llama, sizeof llama, "%s/llama-server", bins);
    if (bins != NULL && access(llama, X_OK) == 0) s.llama = llama;
    if (s.llama == NULL) fprintf(stderr, "llama-server is not there: no column of the peer\n");
    if (argc > 2 && strcmp(argv[1], "--repeat") == 0) {
        s.repeats = strtoul(argv[2], NULL, 10);
        at = 3;
    }
    if (s.repeats == 0 || s.repeats >= BENCH_MAX_REPEATS || s.higgins == NULL) {
        fprintf(stderr, "bench_serve [--repeat N] [PART...], with HG_BENCH_HIGGINS\n");
        return 2;
    }
    (void)signal(SIGPIPE, SIG_IGN);
    const hg_status status = run(&s, (const char *const *)argv + at, argc - at, &e);
    if (status != HG_OK) fprintf(stderr, "bench_serve: %s\n", e.msg);
    bench_end(&b);
    hg_runtime_free(s.rt);
    return status == HG_OK ? 0 : 1;
}
