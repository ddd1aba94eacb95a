/* Shows a model's inside to scripts that compare it with other implementations.
 *
 *   model_dump new DIR key=value...        a random model: arch, layers, width, heads, kv, head,
 * ff, vocab, ctx, theta, local (theta), rot, window, experts, used, tie, scale (of the weights),
 * seed, type (f32, f16, bf16), tokenizer, llama3 and yarn (factor), long (context before it)
 *   model_dump logits MODEL FILE IDS [ADAPTER SCALE]   float32 logits of every id to FILE
 *   model_dump embed MODEL FILE IDS mean|last|cls      float32 vector, not normalised, to FILE
 *   model_dump greedy MODEL N IDS          N ids chosen greedily, printed
 *   model_dump grads MODEL DIR IDS TARGETS the mean loss, printed; gradients saved as a model
 *   model_dump acts MODEL FILE IDS         every shown activation: a line "name layer rows cols",
 *                                          then the values
 * IDS: numbers with commas between; '/' begins a new timeline. */
#include <higgins/infer.h>
#include "model/adapter.h"
#include "model/model.h"
#include "tensor/ops.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_IDS = 8192, MAX_SPANS = 64 };

static void die(const char *what, const hg_err *e)
{
    fprintf(stderr, "%s: %s\n", what, e->msg);
    exit(1);
}

typedef struct input {
    int32_t ids[MAX_IDS], pos[MAX_IDS];
    hg_span spans[MAX_SPANS];
    size_t n, n_spans;
} input;

static void read_ids(input *in, const char *text)
{
    memset(in, 0, sizeof *in);
    in->n_spans = 1;
    for (const char *p = text; *p != '\0';) {
        if (*p == '/') {
            in->spans[in->n_spans].row = in->n;
            in->n_spans++;
        }
        if (*p == '/' || *p == ',') {
            p++;
            continue;
        }
        char *end;
        in->ids[in->n] = (int32_t)strtol(p, &end, 10);
        in->pos[in->n] = (int32_t)in->spans[in->n_spans - 1].n++;
        in->n++;
        if (end == p || in->n == MAX_IDS) exit(2);
        p = end;
    }
}

static hg_batch batch_of(const input *in)
{
    return (hg_batch){.n = in->n,
                      .ids = in->ids,
                      .pos = in->pos,
                      .spans = in->spans,
                      .n_spans = in->n_spans,
                      .n_out = in->n};
}

static void save_f32(const char *path, const float *v, size_t n)
{
    FILE *f = fopen(path, "wb");
    if (f == NULL || fwrite(v, sizeof *v, n, f) != n || fclose(f) != 0) exit(1);
}

/* ---- commands ---- */

static const char *value_of(int n, char **args, const char *key, const char *usual)
{
    size_t len = strlen(key);
    for (int i = 0; i < n; i++)
        if (strncmp(args[i], key, len) == 0 && args[i][len] == '=') return args[i] + len + 1;
    return usual;
}

static uint32_t number_of(int n, char **args, const char *key, const char *usual)
{
    return (uint32_t)strtoul(value_of(n, args, key, usual), NULL, 10);
}

static void set_scaling(hg_model_config *c, int n, char **args)
{
    hg_rope_scaling *r = &c->rope_scaling;
    const float llama3 = (float)strtod(value_of(n, args, "llama3", "0"), NULL);
    const float yarn = (float)strtod(value_of(n, args, "yarn", "0"), NULL);
    const uint32_t long_from = number_of(n, args, "long", "0");
    if (llama3 > 0.0f)
        *r = (hg_rope_scaling){.kind = HG_ROPE_LLAMA3,
                               .factor = llama3,
                               .low_freq_factor = 1.0f,
                               .high_freq_factor = 4.0f,
                               .original_n_ctx = 32};
    if (yarn > 0.0f)
        *r = (hg_rope_scaling){.kind = HG_ROPE_YARN,
                               .factor = yarn,
                               .beta_fast = 32.0f,
                               .beta_slow = 1.0f,
                               .blends_exactly = strcmp(c->arch, "gpt-oss") == 0,
                               .original_n_ctx = 32};
    if (long_from == 0) return;
    *r = (hg_rope_scaling){.kind = HG_ROPE_LONG, .original_n_ctx = long_from};
    for (size_t i = 0; i < HG_MAX_ROPE_PAIRS; i++) {
        r->short_factor[i] = 1.0f + 0.1f * (float)i;
        r->long_factor[i] = 2.0f + (float)i;
    }
}

static int make(const char *dir, int n, char **args)
{
    hg_err e = {0};
    hg_model *m = NULL;
    hg_model_config c = {.bos_id = -1, .eos_id = -1, .pad_id = -1};
    snprintf(c.arch, sizeof c.arch, "%s", value_of(n, args, "arch", "llama"));
    c.n_layers = number_of(n, args, "layers", "2");
    c.d_model = number_of(n, args, "width", "48");
    c.n_heads = number_of(n, args, "heads", "4");
    c.n_kv_heads = number_of(n, args, "kv", "0");
    c.d_head = number_of(n, args, "head", "0");
    c.d_ff = number_of(n, args, "ff", "100");
    c.n_vocab = number_of(n, args, "vocab", "97");
    c.n_ctx = number_of(n, args, "ctx", "128");
    c.window = number_of(n, args, "window", "0");
    c.d_rot = number_of(n, args, "rot", "0");
    c.n_experts = number_of(n, args, "experts", "0");
    c.n_experts_used = number_of(n, args, "used", "0");
    c.rope_theta_local = (float)strtod(value_of(n, args, "local", "0"), NULL);
    c.rope_theta = (float)strtod(value_of(n, args, "theta", "10000"), NULL);
    c.tie_embeddings = number_of(n, args, "tie", "0") != 0;
    set_scaling(&c, n, args);
    double scale = strtod(value_of(n, args, "scale", "1"), NULL);
    if (hg_model_new(&m, &c, number_of(n, args, "seed", "1"), &e) != HG_OK) die("new", &e);
    for (size_t i = 0; i < m->n_params; i++) {
        /* Norms and biases too are moved off their first values, or a test would not see them. */
        hg_tensor *t = m->param[i];
        float *w = t->data;
        for (size_t j = 0; j < hg_tensor_count(t); j++)
            w[j] = t->n_dims == 2 ? (float)(w[j] * scale)
                                  : w[j] + 0.1f * (float)((int)((j * 7 + i * 3) % 11) - 5) / 5.0f;
    }
    const char *tokenizer = value_of(n, args, "tokenizer", NULL);
    hg_tokenizer *t = NULL;
    if (tokenizer != NULL) {
        if (hg_tokenizer_open(&t, tokenizer, &e) != HG_OK) die(tokenizer, &e);
        hg_model_set_tokenizer(m, t);
        if (hg_model_set_chat_template(m, hg_chat_template_default(), &e) != HG_OK)
            die("template", &e);
        int32_t end = hg_tokenizer_special(t, "<|endoftext|>");
        hg_model_set_ids(m, end, end, hg_tokenizer_special(t, "<|pad|>"));
    }
    const char *type = value_of(n, args, "type", "f32");
    hg_weights as = strcmp(type, "bf16") == 0  ? HG_WEIGHTS_BF16
                    : strcmp(type, "f16") == 0 ? HG_WEIGHTS_F16
                                               : HG_WEIGHTS_F32;
    if (hg_model_save(m, dir, as, "# A random model\n", &e) != HG_OK) die(dir, &e);
    hg_model_free(m);
    return 0;
}

static int logits(const char *model, const char *file, const char *ids, const char *adapter,
                  float scale)
{
    static input in;
    hg_adapter *a = NULL;
    hg_err e = {0};
    hg_runtime *rt = NULL;
    hg_model *m = NULL;
    hg_arena mem;
    hg_graph g;
    read_ids(&in, ids);
    if (hg_runtime_new(&rt, 2, HG_N_ISA, &e) != HG_OK) die("runtime", &e);
    if (hg_model_open(&m, model, HG_WEIGHTS_AS_STORED, rt, &e) != HG_OK) die(model, &e);
    hg_arena_init(&mem, 0);
    hg_graph_init(&g, rt, &mem, m->compute, false);
    if (adapter != NULL && hg_adapter_open(&a, adapter, m, rt, &e) != HG_OK) die(adapter, &e);
    const hg_lora_use use = {a != NULL ? &a->lora : NULL, scale};
    const hg_lora_rows rows = {0, in.n, &use, 1};
    const hg_lora_set set = {&rows, 1};
    if (a != NULL) g.lora = &set;
    hg_batch b = batch_of(&in);
    hg_tensor *y = hg_model_logits(&g, m, hg_model_forward(&g, m, &b));
    if (hg_graph_status(&g, &e) != HG_OK) die("forward", &e);
    save_f32(file, y->data, hg_tensor_count(y));
    hg_arena_free(&mem);
    hg_adapter_free(a);
    hg_model_free(m);
    hg_runtime_free(rt);
    return 0;
}

static int embed(const char *model, const char *file, const char *ids, const char *how)
{
    static input in;
    hg_err e = {0};
    hg_runtime *rt = NULL;
    hg_model *m = NULL;
    hg_session *s = NULL;
    const hg_session_options o = {.cache = HG_CACHE_F32};
    const hg_pooling pooling = strcmp(how, "mean") == 0   ? HG_POOL_MEAN
                               : strcmp(how, "last") == 0 ? HG_POOL_LAST
                                                          : HG_POOL_CLS;
    read_ids(&in, ids);
    if (hg_runtime_new(&rt, 2, HG_N_ISA, &e) != HG_OK) die("runtime", &e);
    if (hg_model_open(&m, model, HG_WEIGHTS_AS_STORED, rt, &e) != HG_OK) die(model, &e);
    if (hg_session_new(&s, m, rt, &o, &e) != HG_OK) die("session", &e);
    float *v = calloc(m->c.d_model, sizeof *v);
    if (v == NULL) return 1;
    if (hg_session_embed(s, in.ids, in.n, pooling, false, v, &e) != HG_OK) die("embed", &e);
    save_f32(file, v, m->c.d_model);
    free(v);
    hg_session_free(s);
    hg_model_free(m);
    hg_runtime_free(rt);
    return 0;
}

/* Without a cache, from the beginning for each token: slow and plain. */
static int greedy(const char *model, size_t n, const char *ids)
{
    static input in;
    hg_err e = {0};
    hg_runtime *rt = NULL;
    hg_model *m = NULL;
    hg_arena mem;
    read_ids(&in, ids);
    if (hg_runtime_new(&rt, 2, HG_N_ISA, &e) != HG_OK) die("runtime", &e);
    if (hg_model_open(&m, model, HG_WEIGHTS_AS_STORED, rt, &e) != HG_OK) die(model, &e);
    hg_arena_init(&mem, 0);
    for (size_t i = 0; i < n && in.n < MAX_IDS; i++) {
        hg_graph g;
        hg_graph_init(&g, rt, &mem, m->compute, false);
        hg_batch b = batch_of(&in);
        int32_t last = (int32_t)in.n - 1;
        b.out_rows = &last;
        b.n_out = 1;
        hg_tensor *y = hg_model_logits(&g, m, hg_model_forward(&g, m, &b));
        if (hg_graph_status(&g, &e) != HG_OK) die("forward", &e);
        const float *v = y->data;
        int32_t best = 0;
        for (int32_t j = 1; j < (int32_t)m->c.n_vocab; j++)
            if (v[j] > v[best]) best = j;
        printf("%s%d", i == 0 ? "" : ",", (int)best);
        in.ids[in.n] = best;
        in.pos[in.n] = (int32_t)in.n;
        in.n++;
        in.spans[0].n++;
        hg_arena_reset(&mem);
    }
    printf("\n");
    hg_arena_free(&mem);
    hg_model_free(m);
    hg_runtime_free(rt);
    return 0;
}

static int grads(const char *model, const char *dir, const char *ids, const char *targets)
{
    static input in, want;
    hg_err e = {0};
    hg_runtime *rt = NULL;
    hg_model *m = NULL;
    hg_arena mem;
    hg_graph g;
    read_ids(&in, ids);
    read_ids(&want, targets);
    if (want.n != in.n) return 2;
    if (hg_runtime_new(&rt, 2, HG_N_ISA, &e) != HG_OK) die("runtime", &e);
    if (hg_model_open_trainable(&m, model, &e) != HG_OK) die(model, &e);
    hg_arena_init(&mem, 0);
    hg_graph_init(&g, rt, &mem, HG_COMPUTE_F32, true);
    hg_batch b = batch_of(&in);
    hg_tensor *x = hg_model_forward(&g, m, &b);
    hg_tensor *loss =
        hg_op_linear_cross_entropy(&g, x, m->head, want.ids, NULL, m->c.soft_cap, NULL, NULL);
    if (hg_graph_status(&g, &e) != HG_OK) die("forward", &e);
    if (hg_graph_backward(&g, loss, 1.0f, &e) != HG_OK) die("backward", &e);
    printf("%.9g\n", (double)*(const float *)loss->data);
    for (size_t i = 0; i < m->n_params; i++) {
        hg_tensor *t = m->param[i];
        memcpy(t->data, t->grad, hg_tensor_count(t) * sizeof(float));
    }
    if (hg_model_save(m, dir, HG_WEIGHTS_F32, NULL, &e) != HG_OK) die(dir, &e);
    hg_arena_free(&mem);
    hg_model_free(m);
    hg_runtime_free(rt);
    return 0;
}

static void show(void *ctx, const char *name, int layer, hg_tensor *t)
{
    FILE *f = ctx;
    fprintf(f, "%s %d %zu %zu\n", name, layer, hg_tensor_rows(t), hg_tensor_cols(t));
    if (fwrite(t->data, sizeof(float), hg_tensor_count(t), f) != hg_tensor_count(t)) exit(1);
}

static int acts(const char *model, const char *file, const char *ids)
{
    static input in;
    hg_err e = {0};
    hg_runtime *rt = NULL;
    hg_model *m = NULL;
    hg_arena mem;
    hg_graph g;
    read_ids(&in, ids);
    if (hg_runtime_new(&rt, 2, HG_N_ISA, &e) != HG_OK) die("runtime", &e);
    if (hg_model_open(&m, model, HG_WEIGHTS_F32, rt, &e) != HG_OK) die(model, &e);
    FILE *f = fopen(file, "wb");
    if (f == NULL) return 1;
    hg_hooks hooks = {.show = show, .ctx = f};
    hg_arena_init(&mem, 0);
    hg_graph_init(&g, rt, &mem, m->compute, false);
    g.hooks = &hooks;
    hg_batch b = batch_of(&in);
    (void)hg_model_logits(&g, m, hg_model_forward(&g, m, &b));
    if (hg_graph_status(&g, &e) != HG_OK) die("forward", &e);
    hg_arena_free(&mem);
    hg_model_free(m);
    hg_runtime_free(rt);
    return fclose(f) == 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    if (strcmp(what, "new") == 0 && argc >= 3) return make(argv[2], argc - 3, argv + 3);
    if (strcmp(what, "logits") == 0 && argc == 5)
        return logits(argv[2], argv[3], argv[4], NULL, 0.0f);
    if (strcmp(what, "logits") == 0 && argc == 7)
        return logits(argv[2], argv[3], argv[4], argv[5], strtof(argv[6], NULL));
    if (strcmp(what, "embed") == 0 && argc == 6) return embed(argv[2], argv[3], argv[4], argv[5]);
    if (strcmp(what, "greedy") == 0 && argc == 5)
        return greedy(argv[2], strtoul(argv[3], NULL, 10), argv[4]);
    if (strcmp(what, "grads") == 0 && argc == 6) return grads(argv[2], argv[3], argv[4], argv[5]);
    if (strcmp(what, "acts") == 0 && argc == 5) return acts(argv[2], argv[3], argv[4]);
    fprintf(stderr, "model_dump: see the comment at the head of its source\n");
    return 2;
}
