/* Tasks: what a model is asked and how it is judged, against a session that is fed token by token;
 * and tuning that must make it better. */
#include "eval/preset.h"
#include "fixture.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A base that can be tuned: two layers, a context of 64, trained for some steps on the fixture's
 * corpus. */
static const char *make_base(void)
{
    static const char *const set[] = {"steps=200", "lr=5e-3", "sample_tokens=0", "seq_len=96",
                                      NULL};
    hg_err e = {0};
    hg_train_result r;
    hg_runtime *rt = fixture_runtime(2);
    char out[1200];
    (void)fixture_tokenizer(fixture_corpus());
    (void)snprintf(out, sizeof out, "%s", test_path("base"));
    CHECK_OK(fixture_train(rt, NULL, false, out, set, &r, &e), e);
    hg_runtime_free(rt);
    return test_path("base/model");
}

/* Labels that follow from one word. */
static const char *put_labels(void)
{
    hg_buf b = {0};
    hg_buf_puts(&b, "text,label\n");
    for (int i = 0; i < 120; i++)
        hg_buf_printf(&b, "the %s %s number %d,%s\n", i % 3 ? "old" : "red", i % 2 ? "fox" : "hen",
                      i, i % 2 ? "sly" : "kind");
    const char *path = fixture_file("labels.csv", b.p);
    hg_buf_free(&b);
    return path;
}

typedef struct asked {
    hg_runtime *rt;
    hg_model *m;
    hg_preset_data d;
    hg_answers a;
    size_t *row;
} asked;

static void ask(asked *k, hg_preset kind, const char *path, size_t n)
{
    hg_err e = {0};
    char base[1200], data[1200];
    *k = (asked){.rt = NULL};
    (void)snprintf(data, sizeof data, "%s", path);
    (void)snprintf(base, sizeof base, "%s", make_base());
    k->rt = fixture_runtime(2);
    CHECK_OK(hg_model_open(&k->m, base, HG_WEIGHTS_AS_STORED, k->rt, &e), e);
    hg_preset_data_init(&k->d, kind, NULL);
    CHECK_OK(hg_preset_load(&k->d, data, NULL, 0, true, NULL, &e), e);
    CHECK_OK(hg_preset_find_labels(&k->d, &e), e);
    k->row = hg_alloc(n, sizeof *k->row);
    for (size_t i = 0; i < n; i++) k->row[i] = i;
    const hg_subject who = {.m = k->m, .rt = k->rt, .stage = "test", .limit = 12};
    CHECK_OK(hg_preset_ask(&k->a, &k->d, k->row, n, &who, &e), e);
}

static void done(asked *k)
{
    hg_answers_free(&k->a);
    hg_preset_data_free(&k->d);
    hg_free(k->row);
    hg_model_free(k->m);
    hg_runtime_free(k->rt);
}

static double log_p(const float *logits, size_t n, int32_t id)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += exp((double)logits[i]);
    return (double)logits[id] - log(sum);
}

/* log p of ids[from, n) by feeding one at a time. */
static double by_hand(const asked *k, const hg_ids *ids, const hg_mask *mask, size_t *n)
{
    hg_err e = {0};
    hg_session *s = NULL;
    const hg_session_options o = {.n_ctx = 96};
    const float *logits;
    double sum = 0;
    *n = 0;
    CHECK_OK(hg_session_new(&s, k->m, k->rt, &o, &e), e);
    for (size_t i = 0; i + 1 < ids->n; i++) {
        CHECK_OK(hg_session_feed(s, &ids->id[i], 1, &logits, &e), e);
        if (!(mask->weight[i + 1] > 0)) continue;
        sum += log_p(logits, hg_tokenizer_count(hg_model_tokenizer(k->m)), ids->id[i + 1]);
        ++*n;
    }
    hg_session_free(s);
    return sum;
}

TEST_SECONDS(a_label_is_chosen_by_its_likelihood, 120)
{
    asked k;
    hg_err e = {0};
    uint64_t cell[4];
    ask(&k, HG_PRESET_SENTIMENT, put_labels(), 12);
    CHECK_EQ(k.d.n_labels, 2);
    for (size_t i = 0; i < k.a.n; i++) {
        double nats[2];
        for (size_t j = 0; j < 2; j++) {
            hg_ids ids = {0};
            hg_mask mask = {0};
            hg_buf b = {0};
            size_t n;
            CHECK_OK(hg_preset_prompt(&k.d, &k.d.row[i], k.d.row[i].input, &b, &e), e);
            const hg_message m[] = {{"user", {b.p, b.n}}, {"assistant", k.d.label[j]}};
            CHECK_OK(hg_chat_render(hg_model_tokenizer(k.m), hg_model_chat_template(k.m), m, 2,
                                    false, &ids, &mask, &e),
                     e);
            nats[j] = by_hand(&k, &ids, &mask, &n);
            CHECK(n >= 2); /* the label and its end */
            hg_ids_free(&ids);
            hg_mask_free(&mask);
            hg_buf_free(&b);
        }
        CHECK_EQ(k.a.label[i], nats[1] > nats[0]);
    }
    hg_preset_table(&k.a, cell);
    CHECK_EQ(cell[0] + cell[1] + cell[2] + cell[3], 12);
    CHECK_EQ(cell[0] + cell[1], 6); /* the right ones of the first label */
    CHECK_NEAR(hg_preset_commonest(&k.a), 0.5, 1e-12);
    done(&k);
}

TEST_SECONDS(conversations_are_foretold_where_the_assistant_speaks, 120)
{
    asked k;
    hg_err e = {0};
    char chats[1200];
    (void)snprintf(chats, sizeof chats, "%s", fixture_chats());
    ask(&k, HG_PRESET_CHAT, chats, 10);
    for (size_t i = 0; i < 10; i++) {
        hg_ids ids = {0};
        hg_mask mask = {0};
        size_t n;
        CHECK_OK(hg_chat_render(hg_model_tokenizer(k.m), hg_model_chat_template(k.m),
                                k.d.chats.chat[i].message, k.d.chats.chat[i].n, false, &ids, &mask,
                                &e),
                 e);
        CHECK_NEAR(k.a.nats[i], -by_hand(&k, &ids, &mask, &n), 0.02);
        CHECK_NEAR(k.a.tokens[i], (double)n, 1e-12);
        hg_ids_free(&ids);
        hg_mask_free(&mask);
    }
    hg_task_figure f[HG_MAX_TASK_FIGURES];
    size_t n = 0;
    double nats = 0, tokens = 0;
    CHECK_OK(hg_preset_figures(f, &n, NULL, &k.a, 200, 1, &e), e);
    for (size_t i = 0; i < 10; i++) nats += k.a.nats[i], tokens += k.a.tokens[i];
    CHECK_EQ(n, 1);
    CHECK_STR(f[0].metric, "perplexity");
    CHECK_NEAR(f[0].after.value, exp(nats / tokens), 1e-9);
    CHECK(f[0].after.low < f[0].after.value && f[0].after.value < f[0].after.high);
    CHECK(isnan(f[0].before.value) && isnan(f[0].change.value));
    done(&k);
}

/* Greedy, by a session of its own. */
static void greedy(const asked *k, const hg_preset_row *row, hg_buf *said)
{
    hg_err e = {0};
    hg_session *s = NULL;
    hg_ids ids = {0};
    hg_buf b = {0};
    const hg_session_options o = {.n_ctx = 96};
    const float *logits;
    const hg_tokenizer *t = hg_model_tokenizer(k->m);
    CHECK_OK(hg_preset_prompt(&k->d, row, row->input, &b, &e), e);
    const hg_message m = {"user", {b.p, b.n}};
    CHECK_OK(hg_chat_render(t, hg_model_chat_template(k->m), &m, 1, true, &ids, NULL, &e), e);
    CHECK_OK(hg_session_new(&s, k->m, k->rt, &o, &e), e);
    CHECK_OK(hg_session_feed(s, ids.id, ids.n, &logits, &e), e);
    for (int i = 0; i < 12; i++) {
        int32_t best = 0;
        for (int32_t v = 1; v < (int32_t)hg_tokenizer_count(t); v++)
            if (logits[v] > logits[best]) best = v;
        if (hg_tokenizer_is_special(t, best)) break;
        const hg_bytes p = hg_tokenizer_piece(t, best, false);
        hg_buf_put(said, p.p, p.n);
        CHECK_OK(hg_session_feed(s, &best, 1, &logits, &e), e);
    }
    hg_session_free(s);
    hg_ids_free(&ids);
    hg_buf_free(&b);
}

TEST_SECONDS(answers_in_a_batch_are_the_greedy_ones_of_each_alone, 120)
{
    asked k;
    ask(&k, HG_PRESET_TRANSLATION,
        fixture_file("t.tsv", "the hen\tdie Henne\nthe old fox\tder Fuchs\nred\trot\nmoon\tMond\n"),
        4);
    for (size_t i = 0; i < 4; i++) {
        hg_buf said = {0};
        greedy(&k, &k.d.row[i], &said);
        const char *from = said.n > 0 ? said.p : "";
        while (*from == ' ' || *from == '\n') from++;
        while (said.n > 0 && (said.p[said.n - 1] == ' ' || said.p[said.n - 1] == '\n'))
            said.p[--said.n] = '\0';
        CHECK_STR(k.a.said[i].p, from);
        hg_buf_free(&said);
    }
    done(&k);
}

TEST_SECONDS(a_text_that_is_too_long_is_cut_and_counted, 120)
{
    asked k;
    hg_buf b = {0};
    for (int i = 0; i < 200; i++) hg_buf_puts(&b, "the hen sleeps ");
    hg_buf_puts(&b, "\ta hen\nshort\tone\n");
    ask(&k, HG_PRESET_SUMMARY, fixture_file("s.tsv", b.p), 2);
    CHECK_EQ(k.a.n_cut, 1);
    CHECK(k.a.rouge != NULL && k.a.bleu == NULL);
    hg_buf_free(&b);
    done(&k);
}

/* ---- tuning ---- */

static const hg_task_figure *tune(const char *const *more, hg_task_report **r, const char *out,
                                  hg_train_result *result)
{
    char set[4][1300], extra[9][1300];
    const char *item[14];
    size_t n = 0;
    hg_err e = {0};
    hg_train_options o;
    hg_runtime *rt = fixture_runtime(2);
    hg_train_options_init(&o);
    o.resume = true;
    (void)snprintf(set[0], sizeof set[0], "base=%s", test_path("base/model"));
    (void)snprintf(set[1], sizeof set[1], "data=%s", test_path("labels.csv"));
    (void)snprintf(set[2], sizeof set[2], "out=%s", out);
    for (; n < 3; n++) item[n] = set[n];
    for (size_t i = 0; more[i] != NULL; i++) {
        (void)snprintf(extra[i], sizeof extra[i], "%s", more[i]);
        item[n++] = extra[i];
    }
    o.set = item;
    o.n_set = n;
    CHECK_OK(hg_task_tune(r, result, &o, rt, NULL, &e), e);
    hg_runtime_free(rt);
    return *r != NULL ? hg_task_get(*r, 0) : NULL;
}

static size_t count_in(const char *path, const char *what)
{
    hg_buf b = {0};
    hg_err e = {0};
    size_t n = 0;
    CHECK_OK(hg_file_read(&b, path, 1 << 24, &e), e);
    for (const char *p = b.p; (p = strstr(p, what)) != NULL; p++) n++;
    hg_buf_free(&b);
    return n;
}

TEST_SECONDS(tuning_on_a_task_makes_it_better_and_says_so, 240)
{
    static const char *const set[] = {"task=sentiment",  "epochs=40",     "lr=5e-3", "batch_size=4",
                                      "sample_tokens=0", "val_share=0.2", NULL};
    hg_task_report *r = NULL;
    char out[1200], page[1300];
    (void)make_base();
    (void)put_labels();
    (void)snprintf(out, sizeof out, "%s", test_path("run"));
    (void)snprintf(page, sizeof page, "%s/report.html", out);
    hg_train_result result;
    const hg_task_figure *f = tune(set, &r, out, &result);
    const double after = f->after.value;
    CHECK_EQ(hg_task_count(r), 2);
    CHECK_STR(f->metric, "accuracy");
    CHECK(f->before.value < 0.8);
    CHECK(f->after.value > 0.9 && f->change.low > 0);
    CHECK_NEAR(f->change.value, f->after.value - f->before.value, 1e-12);
    CHECK_HAS(hg_task_text(r).p, "right \\ after");
    CHECK_HAS(hg_task_json(r).p, "\"confusion_before\"");
    CHECK_EQ(count_in(page, "<h2>Task: sentiment</h2>"), 1);
    CHECK_EQ(count_in(test_path("run/task.json"), "\"after\": \""),
             count_in(test_path("run/task.json"), "\"line\":"));
    CHECK(count_in(test_path("run/task.json"), "\"line\":") > 10);
    hg_task_free(r);
    /* Again, with nothing left to train: the same figures, and still one section. */
    (void)tune(set, &r, out, &result);
    CHECK_NEAR(hg_task_get(r, 0)->after.value, after, 1e-12);
    CHECK_EQ(count_in(page, "<h2>Task: sentiment</h2>"), 1);
    hg_task_free(r);
}

/* The trainer's own loss on what is held out must be the logarithm of the perplexity. */
TEST_SECONDS(an_adapter_is_measured_on_its_base_and_a_held_out_file_is_taken, 240)
{
    char data[1300], valid[1300], out[1200];
    hg_task_report *r = NULL;
    hg_train_result result;
    hg_buf b = {0};
    (void)make_base();
    (void)put_labels();
    (void)snprintf(data, sizeof data, "data=%s", fixture_chats());
    for (int i = 0; i < 12; i++)
        hg_buf_printf(&b, "{\"instruction\": \"fox %d?\", \"output\": \"the %s hen %d\"}\n", i + 40,
                      i % 2 ? "old" : "red", (i + 40) * 7 % 10);
    (void)snprintf(valid, sizeof valid, "val_data=%s", fixture_file("valid.jsonl", b.p));
    hg_buf_free(&b);
    const char *const set[] = {"task=chat", "epochs=10",     "lr=5e-3",      "lora_rank=8", data,
                               valid,       "precision=f32", "batch_size=4", NULL};
    (void)snprintf(out, sizeof out, "%s", test_path("lora"));
    const hg_task_figure *f = tune(set, &r, out, &result);
    CHECK(hg_path_is_dir(test_path("lora/adapter")));
    CHECK_HAS(hg_task_json(r).p, "\"n\": 12,");
    CHECK_HAS(hg_task_json(r).p, "valid.jsonl");
    CHECK_STR(f->metric, "perplexity");
    CHECK(f->is_cost && f->change.high < 0);
    CHECK_NEAR(f->after.value, exp(result.val_loss), 0.01 * f->after.value);
    hg_task_free(r);
}

TEST(what_belongs_to_tasks_only_is_refused_without_one)
{
    static const char *const without[] = {"columns=a,b", NULL}, *const wrong[] = {
                                                                    "task=qa", "method=dpo", NULL};
    hg_train_result r;
    hg_err e = {0};
    hg_runtime *rt = fixture_runtime(1);
    (void)fixture_chats();
    CHECK_EQ(fixture_tune(rt, NULL, false, "base", test_path("x"), without, &r, &e), HG_E_ARG);
    CHECK_STR(e.msg, "columns and instruction belong to a task; the key task says which");
    CHECK_EQ(fixture_tune(rt, NULL, false, "base", test_path("x"), wrong, &r, &e), HG_E_ARG);
    CHECK_STR(e.msg, "a task is learnt by method \"sft\" or \"distill\"");
    hg_runtime_free(rt);
}

/* The run's base without a chat template. */
static const char *bare_base(void)
{
    hg_err e = {0};
    hg_model *m = NULL;
    char base[1200];
    (void)snprintf(base, sizeof base, "%s", make_base());
    CHECK_OK(hg_model_open_trainable(&m, base, &e), e);
    hg_free(m->chat_template);
    m->chat_template = NULL;
    CHECK_OK(hg_model_save(m, test_path("bare"), HG_WEIGHTS_F32, NULL, &e), e);
    hg_model_free(m);
    return test_path("bare");
}

TEST(a_checkpoint_of_a_task_is_exported_with_the_template_it_was_tuned_through)
{
    hg_err e = {0};
    hg_train_result r;
    hg_model *m = NULL;
    uint64_t step = 0;
    char base[1200], data[1300], run[1200];
    hg_runtime *rt = fixture_runtime(2);
    (void)snprintf(base, sizeof base, "%s", bare_base());
    (void)snprintf(data, sizeof data, "data=%s", put_labels());
    (void)snprintf(run, sizeof run, "%s", test_path("run"));
    const char *const set[] = {data, "task=sentiment", "steps=2", "sample_tokens=0", NULL};
    CHECK_OK(fixture_tune(rt, NULL, false, base, run, set, &r, &e), e);
    CHECK_OK(hg_train_export(run, 0, test_path("out"), HG_WEIGHTS_F32, false, NULL, &step, &e), e);
    CHECK_OK(hg_model_open(&m, test_path("out"), HG_WEIGHTS_F32, rt, &e), e);
    CHECK_STR(m->chat_template, hg_preset_template());
    hg_model_free(m);
    hg_runtime_free(rt);
}
