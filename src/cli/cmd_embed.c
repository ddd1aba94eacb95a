/* higgins embed: texts as vectors, and how near they are to each other. */
#include "talk.h"

#include <higgins/infer.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct values {
    const char *pooling;
    bool raw;
    int64_t ctx;
} values;

static void init(void *at)
{
    ((values *)at)->pooling = "mean";
}

static const cli_option options[] = {
    {"pooling", 'p', CLI_TEXT, "HOW", "mean of all tokens, the last, or the first (cls)",
     offsetof(values, pooling), 0, 0},
    {"raw", 0, CLI_FLAG, NULL, "leave the vectors as long as they come out", offsetof(values, raw),
     0, 0},
    {"context", 'c', CLI_INT, "N", "tokens of a text at the most; 0 is the model's own limit",
     offsetof(values, ctx), 0, 4194304},
    {NULL, 0, CLI_FLAG, NULL, NULL, 0, 0, 0},
};

typedef struct job {
    hg_model *m;
    hg_session *session;
    size_t d;
    float *vector; /* [n][d] */
    size_t n;
} job;

static bool parse_pooling(const char *name, hg_pooling *out)
{
    static const char *const names[] = {"mean", "last", "cls"};
    for (int i = 0; i < 3; i++)
        if (strcmp(name, names[i]) == 0) {
            *out = (hg_pooling)i;
            return true;
        }
    return false;
}

static hg_status embed_one(job *j, const char *text, hg_pooling pooling, bool raw, float *out,
                           hg_err *e)
{
    const hg_tokenizer *t = hg_model_tokenizer(j->m);
    hg_ids ids = {0};
    hg_status s = HG_OK;
    if (hg_tokenizer_bos(t) >= 0) s = hg_ids_push(&ids, hg_tokenizer_bos(t), e);
    if (s == HG_OK) s = hg_tokenizer_encode(t, (hg_bytes){text, strlen(text)}, false, &ids, e);
    if (s == HG_OK && hg_tokenizer_eos(t) >= 0) s = hg_ids_push(&ids, hg_tokenizer_eos(t), e);
    if (s == HG_OK && ids.n == 0) s = hg_fail(e, HG_E_ARG, "a text is empty; give at least a word");
    if (s == HG_OK) s = hg_session_embed(j->session, ids.id, ids.n, pooling, !raw, out, e);
    hg_ids_free(&ids);
    return s;
}

static double dot(const float *a, const float *b, size_t n)
{
    double s = 0;
    for (size_t i = 0; i < n; i++) s += (double)a[i] * (double)b[i];
    return s;
}

static void print_json(const job *j, char **texts)
{
    printf("{\"dimensions\": %zu, \"embeddings\": [", j->d);
    for (size_t i = 0; i < j->n; i++) {
        printf("%s{\"text\": ", i > 0 ? ", " : "");
        cli_print_json_string(texts[i], strlen(texts[i]));
        printf(", \"vector\": [");
        for (size_t k = 0; k < j->d; k++)
            printf("%s%.9g", k > 0 ? "," : "", (double)j->vector[i * j->d + k]);
        printf("]}");
    }
    printf("]}\n");
}

/* The first numbers of each vector, and the cosine between all pairs. */
static void print_table(const job *j, char **texts)
{
    for (size_t i = 0; i < j->n; i++) {
        printf("%2zu  [", i + 1);
        for (size_t k = 0; k < j->d && k < 6; k++)
            printf("%s%.4f", k > 0 ? ", " : "", (double)j->vector[i * j->d + k]);
        printf("%s] of %zu  %.60s\n", j->d > 6 ? ", ..." : "", j->d, texts[i]);
    }
    if (j->n < 2) return;
    printf("\ncosine ");
    for (size_t i = 0; i < j->n; i++) printf(" %6zu", i + 1);
    printf("\n");
    for (size_t i = 0; i < j->n; i++) {
        const float *a = j->vector + i * j->d;
        printf("%6zu ", i + 1);
        for (size_t k = 0; k < j->n; k++) {
            const float *b = j->vector + k * j->d;
            const double aa = dot(a, a, j->d), bb = dot(b, b, j->d);
            printf(" %6.3f", aa > 0 && bb > 0 ? dot(a, b, j->d) / sqrt(aa * bb) : 0.0);
        }
        printf("\n");
    }
}

static int run(cli *c, void *at, int n_args, char **args)
{
    const values *v = at;
    job j = {.n = (size_t)n_args - 1};
    hg_runtime *rt = NULL;
    hg_pooling pooling;
    hg_err e = {0};
    int code = 0;
    hg_session_options o = {0};
    if (!parse_pooling(v->pooling, &pooling))
        return cli_misuse(c, "--pooling %s is not known; mean, last and cls are", v->pooling);
    hg_status s = cli_runtime(c, &rt, &e);
    if (s == HG_OK) s = hg_model_open(&j.m, args[0], HG_WEIGHTS_AS_STORED, rt, &e);
    if (s == HG_OK && hg_model_tokenizer(j.m) == NULL)
        s = hg_fail(&e, HG_E_MISSING, "%s: the model has no tokenizer", args[0]);
    if (s == HG_OK) o.n_ctx = cli_context(c, j.m, o.cache, 1, v->ctx);
    if (s == HG_OK) s = hg_session_new(&j.session, j.m, rt, &o, &e);
    if (s == HG_OK) {
        j.d = hg_model_get_config(j.m)->d_model;
        j.vector = calloc(j.n * j.d, sizeof *j.vector);
        if (j.vector == NULL) s = hg_fail(&e, HG_E_NOMEM, "no room for %zu vectors", j.n);
    }
    for (size_t i = 0; s == HG_OK && i < j.n; i++)
        s = embed_one(&j, args[i + 1], pooling, v->raw, j.vector + i * j.d, &e);
    if (s != HG_OK)
        code = cli_fail(c, &e);
    else if (c->json)
        print_json(&j, args + 1);
    else
        print_table(&j, args + 1);
    free(j.vector);
    hg_session_free(j.session);
    hg_model_free(j.m);
    return code;
}

static const char *const examples[] = {
    "higgins embed my-model \"the cat sat\" \"a cat was sitting\" \"interest rates rose\"",
    "how near the texts are to each other",
    "higgins embed model.gguf \"a question\" --pooling last --json",
    "the whole vector, for a program to read",
    NULL,
};

const cli_command cli_embed = {
    .name = "embed",
    .args = "MODEL TEXT...",
    .summary = "make vectors of texts",
    .text = "MODEL is a model's folder or a .gguf file. A text becomes the mean of what the model\n"
            "makes of its tokens, or what it makes of the last or the first, of length 1 unless\n"
            "--raw is given. Texts that mean alike have vectors whose cosine is near 1.",
    .examples = examples,
    .options = options,
    .values_size = sizeof(values),
    .init = init,
    .min_args = 2,
    .max_args = -1,
    .run = run,
};
