/* See fixture.h. */
#include "fixture.h"
#include "base/rng.h"
#include <stdio.h>
#include <string.h>

const char *fixture_file(const char *name, const char *text)
{
    hg_err e = {0};
    const char *path = test_path(name);
    CHECK_OK(hg_file_write(path, text, strlen(text), &e), e);
    return path;
}

static const char *word(hg_rng *r)
{
    static const char *const words[] = {"the",   "fox", "hen",  "runs",   "sleeps", "under", "a",
                                        "hill",  "and", "sees", "old",    "red",    "barn",  "moon",
                                        "sings", "to",  "his",  "friend", "river",  "house"};
    return words[hg_rng_below(r, sizeof words / sizeof *words)];
}

const char *fixture_corpus(void)
{
    hg_rng r;
    hg_buf b = {0};
    hg_rng_init(&r, 7, 0);
    for (int d = 0; d < 40; d++) {
        hg_buf_printf(&b, "{\"text\": \"Story %d.", d);
        for (int s = 0; s < 12; s++) {
            for (int i = 0; i < 8; i++) hg_buf_printf(&b, " %s", word(&r));
            hg_buf_putc(&b, '.');
        }
        hg_buf_puts(&b, "\"}\n");
    }
    const char *path = fixture_file("corpus.jsonl", b.p);
    hg_buf_free(&b);
    return path;
}

const char *fixture_tokenizer(const char *corpus)
{
    hg_err e = {0};
    hg_tokenizer_options o;
    hg_tokenizer_options_init(&o);
    o.n_vocab = 320;
    const char *path = test_path("tokenizer.json");
    CHECK_OK(hg_tokenizer_train(&corpus, 1, &o, path, NULL, NULL, &e), e);
    return path;
}

const char *fixture_chats(void)
{
    hg_buf b = {0};
    for (int i = 0; i < 30; i++)
        hg_buf_printf(&b,
                      "{\"messages\": [{\"role\": \"user\", \"content\": \"fox %d?\"}, {\"role\": "
                      "\"assistant\", "
                      "\"content\": \"the %s hen %d\"}]}\n",
                      i, i % 2 ? "old" : "red", i * 7 % 10);
    const char *path = fixture_file("chats.jsonl", b.p);
    hg_buf_free(&b);
    return path;
}

hg_runtime *fixture_runtime(int n_threads)
{
    hg_err e = {0};
    hg_runtime *rt = NULL;
    CHECK_OK(hg_runtime_new(&rt, n_threads, HG_N_ISA, &e), e);
    return rt;
}

enum { MAX_SETS = 40 };

typedef struct sets {
    const char *item[MAX_SETS];
    char text[MAX_SETS][1200];
    size_t n;
} sets;

static void add(sets *s, const char *key, const char *value)
{
    (void)snprintf(s->text[s->n], sizeof s->text[0], "%s=%s", key, value);
    s->item[s->n] = s->text[s->n];
    s->n++;
}

static void add_all(sets *s, const char *const *more)
{
    for (; more != NULL && *more != NULL; more++) s->item[s->n++] = *more;
}

hg_status fixture_train(hg_runtime *rt, const hg_watch *w, bool resume, const char *out,
                        const char *const *set, hg_train_result *r, hg_err *e)
{
    return fixture_train_ranks(rt, NULL, w, resume, out, set, r, e);
}

hg_status fixture_train_ranks(hg_runtime *rt, hg_ranks *ranks, const hg_watch *w, bool resume,
                              const char *out, const char *const *set, hg_train_result *r,
                              hg_err *e)
{
    static const char *const shape[] = {
        "depth=2",     "d_model=32", "n_heads=2",       "seq_len=32",      "batch_size=4",
        "val_every=5", "val_rows=4", "sample_every=10", "sample_tokens=8", NULL};
    sets s = {.n = 0};
    hg_train_options o;
    hg_train_options_init(&o);
    add(&s, "corpus", test_path("corpus.jsonl"));
    add(&s, "tokenizer", test_path("tokenizer.json"));
    add(&s, "out", out);
    add_all(&s, shape);
    add_all(&s, set);
    o.set = s.item;
    o.n_set = s.n;
    o.resume = resume;
    o.ranks = ranks;
    return hg_train_run(&o, rt, w, r, e);
}

hg_status fixture_tune(hg_runtime *rt, const hg_watch *w, bool resume, const char *base,
                       const char *out, const char *const *set, hg_train_result *r, hg_err *e)
{
    sets s = {.n = 0};
    hg_train_options o;
    hg_train_options_init(&o);
    add(&s, "base", base);
    add(&s, "data", test_path("chats.jsonl"));
    add(&s, "out", out);
    add(&s, "batch_size", "2");
    add(&s, "sample_tokens", "6");
    add_all(&s, set);
    o.set = s.item;
    o.n_set = s.n;
    o.resume = resume;
    return hg_tune_run(&o, rt, w, r, e);
}

/* ---- watches; one of each a case, and a case is a process ---- */

static atomic_bool stop;
static int steps_left;

static void count_down(void *ctx, const hg_progress *p)
{
    (void)ctx;
    if (strcmp(p->stage, "training") == 0 && --steps_left == 0) atomic_store(&stop, true);
}

hg_watch *fixture_stop_after(int steps)
{
    static hg_watch w = {.progress = count_down, .stop = &stop};
    steps_left = steps;
    atomic_store(&stop, false);
    return &w;
}

static void keep_line(void *ctx, hg_level level, const char *line)
{
    (void)level;
    hg_buf_puts(ctx, line);
    hg_buf_putc(ctx, '\n');
}

hg_watch *fixture_listen(hg_buf *lines)
{
    static hg_watch w = {.log = keep_line};
    w.ctx = lines;
    return &w;
}

bool fixture_same_file(const char *a, const char *b)
{
    hg_err e = {0};
    hg_map ma, mb;
    CHECK_OK(hg_map_open(&ma, a, &e), e);
    CHECK_OK(hg_map_open(&mb, b, &e), e);
    bool same = ma.n == mb.n && memcmp(ma.p, mb.p, ma.n) == 0;
    hg_map_close(&ma);
    hg_map_close(&mb);
    return same;
}

void fixture_model(const char *out, uint32_t width, uint32_t n_layers)
{
    hg_err e = {0};
    hg_model *m = NULL;
    const hg_model_config c = {.arch = "llama",
                               .n_layers = n_layers,
                               .d_model = width,
                               .n_heads = width / 64,
                               .d_ff = 4 * width,
                               .n_vocab = 320,
                               .n_ctx = 256,
                               .tie_embeddings = true,
                               .bos_id = -1,
                               .eos_id = -1,
                               .pad_id = -1};
    CHECK_OK(hg_model_new(&m, &c, 3, &e), e);
    CHECK_OK(hg_tokenizer_open(&m->tokenizer, test_path("tokenizer.json"), &e), e);
    CHECK_OK(hg_model_save(m, out, HG_WEIGHTS_F32, NULL, &e), e);
    hg_model_free(m);
}

void fixture_check_plan(const hg_train_result *r)
{
    const double plan = (double)r->need_bytes / 1e6, peak = (double)r->peak_bytes / 1e6;
    CHECK_NEAR(plan, 1.075 * peak, 0.125 * peak);
}
