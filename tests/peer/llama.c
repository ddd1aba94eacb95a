/* llama.cpp as a peer: what tests compare with and benches run beside ours. One model, one job:
 *
 *   llama logits MODEL IDS [key=value ...]   float32 [n][n_vocab] of the ids 1,2,3 on stdout
 *   llama embed MODEL IDS pooling=P [...]    float32 [n_embd] on stdout; P: mean, last or cls
 *   llama first MODEL IDS [...]              the greedy token behind the ids; timed from outside
 *   llama quantize IN OUT FTYPE [pure=1] [threads=N]   FTYPE: llama_ftype's number
 *   llama time MODEL [...]                   reads jobs, a line each, answers with seconds:
 *       prefill N            a prompt of N tokens into an empty context
 *       decode N PAST        N tokens, one by one, behind PAST of them
 *       batch S N            N tokens for each of S sequences, S at a time, behind short prompts
 *
 * Keys: threads (default 1), ctx, cache (f32, f16, bf16, q8_0; default f16), flash (0 or 1), mmap
 * (default 1), repack (default 1), lora (an adapter) and scale (of it, default 1). */
#include <llama.h>

#include <ggml-backend.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_IDS = 1 << 16, CHUNK = 512, SHORT_PROMPT = 32 };

typedef struct options {
    int threads, ctx, flash, mmap, repack, pure, seqs;
    const char *cache, *pooling, *lora;
    float scale;
} options;

static void say_nothing(enum ggml_log_level level, const char *text, void *ctx)
{
    (void)ctx;
    if (level == GGML_LOG_LEVEL_ERROR) fputs(text, stderr);
}

static int fail(const char *what)
{
    fprintf(stderr, "peer: %s\n", what);
    return 1;
}

static options read_options(int argc, char **argv, int from)
{
    options o = {
        .threads = 1, .flash = -1, .mmap = 1, .repack = 1, .seqs = 1, .cache = "f16", .scale = 1};
    for (int i = from; i < argc; i++) {
        const char *v = strchr(argv[i], '=');
        if (v == NULL) continue;
        v++;
        if (strncmp(argv[i], "threads=", 8) == 0) o.threads = atoi(v);
        if (strncmp(argv[i], "ctx=", 4) == 0) o.ctx = atoi(v);
        if (strncmp(argv[i], "flash=", 6) == 0) o.flash = atoi(v);
        if (strncmp(argv[i], "mmap=", 5) == 0) o.mmap = atoi(v);
        if (strncmp(argv[i], "repack=", 7) == 0) o.repack = atoi(v);
        if (strncmp(argv[i], "pure=", 5) == 0) o.pure = atoi(v);
        if (strncmp(argv[i], "seqs=", 5) == 0) o.seqs = atoi(v);
        if (strncmp(argv[i], "cache=", 6) == 0) o.cache = v;
        if (strncmp(argv[i], "pooling=", 8) == 0) o.pooling = v;
        if (strncmp(argv[i], "lora=", 5) == 0) o.lora = v;
        if (strncmp(argv[i], "scale=", 6) == 0) o.scale = strtof(v, NULL);
    }
    return o;
}

static enum ggml_type cache_type(const char *name)
{
    if (strcmp(name, "f32") == 0) return GGML_TYPE_F32;
    if (strcmp(name, "bf16") == 0) return GGML_TYPE_BF16;
    if (strcmp(name, "q8_0") == 0) return GGML_TYPE_Q8_0;
    return GGML_TYPE_F16;
}

static enum llama_pooling_type pooling_type(const char *name)
{
    if (name == NULL) return LLAMA_POOLING_TYPE_UNSPECIFIED;
    if (strcmp(name, "mean") == 0) return LLAMA_POOLING_TYPE_MEAN;
    return strcmp(name, "cls") == 0 ? LLAMA_POOLING_TYPE_CLS : LLAMA_POOLING_TYPE_LAST;
}

static int read_ids(const char *text, llama_token *ids)
{
    int n = 0;
    char *end = NULL;
    for (const char *p = text; *p != '\0' && n < MAX_IDS; p = *end == ',' ? end + 1 : end) {
        ids[n++] = (llama_token)strtol(p, &end, 10);
        if (end == p) return 0;
    }
    return n;
}

typedef struct peer {
    struct llama_model *m;
    struct llama_context *c;
    int n_vocab;
} peer;

static int open_peer(peer *p, const char *path, const options *o, int n_ctx)
{
    struct llama_model_params mp = llama_model_default_params();
    struct llama_context_params cp = llama_context_default_params();
    mp.load_mode = llama_load_mode_from_str(o->mmap ? "mmap" : "none");
    mp.use_extra_bufts = o->repack != 0;
    p->m = llama_model_load_from_file(path, mp);
    if (p->m == NULL) return fail("the model does not load");
    cp.n_ctx = (uint32_t)(o->ctx > 0 ? o->ctx : n_ctx);
    cp.n_batch = 2048;
    cp.n_ubatch = CHUNK;
    cp.n_seq_max = (uint32_t)o->seqs;
    cp.n_threads = cp.n_threads_batch = o->threads;
    cp.type_k = cp.type_v = cache_type(o->cache);
    cp.flash_attn_type = o->flash < 0 ? LLAMA_FLASH_ATTN_TYPE_AUTO
                         : o->flash   ? LLAMA_FLASH_ATTN_TYPE_ENABLED
                                      : LLAMA_FLASH_ATTN_TYPE_DISABLED;
    cp.swa_full = true;
    cp.kv_unified = o->seqs > 1;
    cp.embeddings = o->pooling != NULL;
    cp.pooling_type = pooling_type(o->pooling);
    p->c = llama_init_from_model(p->m, cp);
    if (p->c == NULL) return fail("no context");
    if (o->lora != NULL) {
        struct llama_adapter_lora *a = llama_adapter_lora_init(p->m, o->lora);
        float scale = o->scale;
        if (a == NULL) return fail("the adapter does not load");
        if (llama_set_adapters_lora(p->c, &a, 1, &scale) != 0) return fail("adapter not taken");
    }
    p->n_vocab = llama_vocab_n_tokens(llama_model_get_vocab(p->m));
    return 0;
}

/* Feeds ids[0..n) of sequence 0 at pos; the logits of all of them when `all`, else of the last. */
static int feed(peer *p, const llama_token *ids, int n, int pos, int all, FILE *out)
{
    for (int at = 0, m; at < n; at += m) {
        m = n - at < CHUNK ? n - at : CHUNK;
        struct llama_batch b = llama_batch_init(m, 0, 1);
        b.n_tokens = m;
        for (int i = 0; i < m; i++) {
            b.token[i] = ids[at + i];
            b.pos[i] = pos + at + i;
            b.n_seq_id[i] = 1;
            b.seq_id[i][0] = 0;
            b.logits[i] = (int8_t)(all || at + i == n - 1);
        }
        int rc = llama_decode(p->c, b);
        for (int i = 0; rc == 0 && out != NULL && i < m; i++)
            (void)fwrite(llama_get_logits_ith(p->c, i), sizeof(float), (size_t)p->n_vocab, out);
        llama_batch_free(b);
        if (rc != 0) return fail("decoding failed");
    }
    return 0;
}

static llama_token best_of(const float *x, int n)
{
    int best = 0;
    for (int i = 1; i < n; i++)
        if (x[i] > x[best]) best = i;
    return best;
}

/* ---- timing ---- */
static void empty(peer *p)
{
    llama_memory_clear(llama_get_memory(p->c), false);
}

static int run_prompt(peer *p, int n, int from)
{
    llama_token *ids = malloc((size_t)n * sizeof *ids);
    if (ids == NULL) return fail("no memory");
    for (int i = 0; i < n; i++) ids[i] = (100 + 7 * (from + i)) % p->n_vocab;
    int rc = feed(p, ids, n, from, 0, NULL);
    free(ids);
    return rc;
}

static int time_prefill(peer *p, int n)
{
    empty(p);
    const int64_t start = llama_time_us();
    if (run_prompt(p, n, 0) != 0) return 1;
    printf("%.9f\n", (double)(llama_time_us() - start) * 1e-6);
    return 0;
}

static int time_decode(peer *p, int n, int past)
{
    empty(p);
    if (past > 0 && run_prompt(p, past, 0) != 0) return 1;
    const int64_t start = llama_time_us();
    llama_token id = 100;
    for (int i = 0; i < n; i++) {
        if (feed(p, &id, 1, past + i, 0, NULL) != 0) return 1;
        id = best_of(llama_get_logits_ith(p->c, -1), p->n_vocab);
    }
    printf("%.9f\n", (double)(llama_time_us() - start) * 1e-6);
    return 0;
}

static int batch_step(peer *p, int seqs, int rows, int pos)
{
    struct llama_batch b = llama_batch_init(seqs * rows, 0, 1);
    for (int s = 0; s < seqs; s++)
        for (int r = 0; r < rows; r++) {
            int i = b.n_tokens++;
            b.token[i] = (100 + 7 * (pos + r) + 31 * s) % p->n_vocab;
            b.pos[i] = pos + r;
            b.n_seq_id[i] = 1;
            b.seq_id[i][0] = s;
            b.logits[i] = (int8_t)(r == rows - 1);
        }
    int rc = llama_decode(p->c, b);
    llama_batch_free(b);
    return rc == 0 ? 0 : fail("decoding failed");
}

static int time_batch(peer *p, int seqs, int n)
{
    empty(p);
    if (batch_step(p, seqs, SHORT_PROMPT, 0) != 0) return 1;
    const int64_t start = llama_time_us();
    for (int i = 0; i < n; i++)
        if (batch_step(p, seqs, 1, SHORT_PROMPT + i) != 0) return 1;
    printf("%.9f\n", (double)(llama_time_us() - start) * 1e-6);
    return 0;
}

static int time_jobs(peer *p)
{
    char line[128];
    int a, b, rc = 0;
    printf("ready\n");
    (void)fflush(stdout);
    while (rc == 0 && fgets(line, sizeof line, stdin) != NULL) {
        if (sscanf(line, "prefill %d", &a) == 1)
            rc = time_prefill(p, a);
        else if (sscanf(line, "decode %d %d", &a, &b) == 2)
            rc = time_decode(p, a, b);
        else if (sscanf(line, "batch %d %d", &a, &b) == 2)
            rc = time_batch(p, a, b);
        else
            rc = fail("no such job");
        (void)fflush(stdout);
    }
    return rc;
}

/* ---- quantising ---- */
static int quantize(const char *in, const char *out, int ftype, const options *o)
{
    struct llama_model_quantize_params q = llama_model_quantize_default_params();
    q.ftype = (enum llama_ftype)ftype;
    q.nthread = o->threads;
    q.pure = o->pure != 0;
    q.allow_requantize = true;
    return llama_model_quantize(in, out, &q) == 0 ? 0 : fail("not quantised");
}

int main(int argc, char **argv)
{
    static llama_token ids[MAX_IDS];
    peer p = {0};
    llama_log_set(say_nothing, NULL);
    ggml_backend_load_all_from_path(PEER_BACKENDS);
    if (argc > 4 && strcmp(argv[1], "quantize") == 0) {
        const options o = read_options(argc, argv, 5);
        return quantize(argv[2], argv[3], atoi(argv[4]), &o);
    }
    if (argc > 2 && strcmp(argv[1], "time") == 0) {
        const options o = read_options(argc, argv, 3);
        return open_peer(&p, argv[2], &o, 4096) != 0 ? 1 : time_jobs(&p);
    }
    if (argc > 3 && strcmp(argv[1], "embed") == 0) {
        const options o = read_options(argc, argv, 4);
        const int n = read_ids(argv[3], ids);
        if (n == 0 || n > CHUNK) return fail("1 to 512 ids"); /* pooled over one batch */
        if (open_peer(&p, argv[2], &o, n) != 0 || feed(&p, ids, n, 0, 1, NULL) != 0) return 1;
        const float *v = llama_get_embeddings_seq(p.c, 0);
        if (v == NULL) return fail("no embedding");
        (void)fwrite(v, sizeof *v, (size_t)llama_model_n_embd(p.m), stdout);
        return 0;
    }
    if (argc > 3 && (strcmp(argv[1], "logits") == 0 || strcmp(argv[1], "first") == 0)) {
        const options o = read_options(argc, argv, 4);
        const int n = read_ids(argv[3], ids), all = argv[1][0] == 'l';
        if (n == 0) return fail("no ids");
        if (open_peer(&p, argv[2], &o, n) != 0) return 1;
        if (feed(&p, ids, n, 0, all, all ? stdout : NULL) != 0) return 1;
        if (!all) printf("%d\n", best_of(llama_get_logits_ith(p.c, -1), p.n_vocab));
        return 0;
    }
    return fail("llama logits|embed|first|quantize|time ...; see tests/peer/llama.c");
}
