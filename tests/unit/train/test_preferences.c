/* Preferences: their data, their losses' gradients through the whole model, and runs that learn
 * them, stop and go on. */
#include "fixture.h"
#include "train/packed.h"
#include "train/pair_loss.h"
#include "train/preferences.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

static void put_pairs(const char *name, bool labels)
{
    hg_buf b = {0};
    for (int i = 0; i < 24; i++) {
        const char *word = i % 2 ? "old" : "red";
        if (labels)
            hg_buf_printf(
                &b, "{\"prompt\": \"fox %d?\", \"completion\": \"%s %s\", \"label\": %s}\n", i / 2,
                i % 2 ? "the moon sings" : "a hen", word, i % 2 ? "true" : "false");
        else
            hg_buf_printf(&b,
                          "{\"prompt\": \"fox %d?\", \"chosen\": \"the %s moon sings\", "
                          "\"rejected\": [{\"role\": \"assistant\", \"content\": \"a %s hen\"}]}\n",
                          i, word, word);
    }
    (void)fixture_file(name, b.p);
    hg_buf_free(&b);
}

/* ---- data ---- */

static hg_status parse(hg_chats *c, hg_chat_form form, const char *text, hg_err *e)
{
    memset(c, 0, sizeof *c);
    c->form = form;
    return hg_chats_parse(c, (hg_bytes){text, strlen(text)}, "p.jsonl", e);
}

TEST(pairs_are_read_in_all_their_forms)
{
    static const char text[] =
        "{\"prompt\":\"q\",\"chosen\":\"yes\",\"rejected\":\"no\"}\n"
        "{\"messages\":[{\"role\":\"system\",\"content\":\"s\"},{\"role\":\"user\",\"content\":"
        "\"q\"}],\"chosen\":[{\"role\":\"assistant\",\"content\":\"yes\"}],\"rejected\":\"no\"}\n"
        "{\"prompt\":\"q\",\"chosen\":[{\"role\":\"user\",\"content\":\"q\"},{\"role\":"
        "\"assistant\",\"content\":\"yes\"}],\"rejected\":[{\"role\":\"user\",\"content\":\"q\"},{"
        "\"role\":\"assistant\",\"content\":\"no\"}]}\n";
    static const size_t prompts[] = {1, 2, 1};
    hg_chats c;
    hg_err e = {0};
    CHECK_OK(parse(&c, HG_FORM_PAIR, text, &e), e);
    CHECK_EQ(c.n, 3);
    for (size_t i = 0; i < 3; i++) {
        const hg_chat *p = &c.chat[i];
        CHECK_EQ(p->n_prompt, prompts[i]);
        CHECK_EQ(p->n, prompts[i] + 1);
        CHECK_EQ(p->n_other, p->n);
        CHECK_STR(p->message[p->n - 1].content.p, "yes");
        CHECK_STR(p->other[p->n - 1].content.p, "no");
        CHECK_STR(p->other[p->n - 1].role, "assistant");
        CHECK_EQ(p->line, i + 1);
    }
    hg_chats_free(&c);
}

TEST(malformed_preferences_are_refused_with_their_line)
{
    static const struct {
        hg_chat_form form;
        const char *text, *words;
    } wrong[] = {
        {HG_FORM_PAIR, "{\"prompt\":\"q\",\"chosen\":\"a\"}",
         "\"chosen\" and \"rejected\" must be text or lists of turns"},
        {HG_FORM_PAIR, "{\"chosen\":\"a\",\"rejected\":\"b\"}",
         "an answer needs \"prompt\" or \"messages\" before it"},
        {HG_FORM_LABEL, "{\"prompt\":\"q\",\"completion\":\"a\"}",
         "\"label\" must be true or false"},
        {HG_FORM_LABEL, "{\"prompt\":\"q\",\"label\":true}",
         "\"completion\" must be text or a list of turns"},
        {HG_FORM_TASK, "{\"answer\":\"4\"}",
         "\"prompt\" must be text, or \"messages\" a list of turns"},
        {HG_FORM_TASK, "{\"prompt\":\"q\",\"answer\":[]}", "\"answer\" must be text or a number"}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char text[200], words[200];
        hg_chats c;
        hg_err e = {0};
        (void)snprintf(text, sizeof text, "\n%s\n", wrong[i].text);
        (void)snprintf(words, sizeof words, "p.jsonl, line 2: %s", wrong[i].words);
        CHECK_EQ(parse(&c, wrong[i].form, text, &e), HG_E_FORMAT);
        CHECK_STR(e.msg, words);
        hg_chats_free(&c);
    }
}

/* ---- gradients ---- */

typedef struct little {
    hg_runtime *rt;
    hg_tokenizer *t;
    hg_chats chats;
    hg_packed packed;
    hg_model *m;
    hg_recipe r;
    hg_arena mem;
    hg_preferences p;
    hg_learner s;
} little;

static void little_open(little *l, int64_t method)
{
    hg_err e = {0};
    memset(l, 0, sizeof *l);
    hg_arena_init(&l->mem, 0);
    (void)fixture_tokenizer(fixture_corpus());
    put_pairs("p.jsonl", method == HG_METHOD_KTO);
    l->rt = fixture_runtime(2);
    CHECK_OK(hg_recipe_init(&l->r, HG_STAGE_TUNE, &e), e);
    l->r.method = method;
    l->r.batch_size = 3;
    l->r.orpo_lambda = 0.7;
    l->r.label_smoothing = method == HG_METHOD_DPO ? 0.1 : 0;
    l->chats.form = method == HG_METHOD_KTO ? HG_FORM_LABEL : HG_FORM_PAIR;
    CHECK_OK(hg_tokenizer_open(&l->t, test_path("tokenizer.json"), &e), e);
    CHECK_OK(hg_chats_load(&l->chats, test_path("p.jsonl"), &e), e);
    CHECK_OK(hg_packed_init(&l->packed, &l->chats, l->t, NULL, 48, 0, 1, &l->mem, NULL, &e), e);
    const hg_model_config c = {.arch = "llama",
                               .n_layers = 2,
                               .d_model = 32,
                               .n_heads = 2,
                               .n_kv_heads = 2,
                               .d_head = 16,
                               .d_ff = 64,
                               .n_vocab = hg_tokenizer_count(l->t),
                               .n_ctx = 256,
                               .norm_eps = 1e-5f,
                               .rope_theta = 1e4f,
                               .tie_embeddings = true,
                               .bos_id = -1,
                               .eos_id = -1,
                               .pad_id = -1};
    CHECK_OK(hg_model_new(&l->m, &c, 3, &e), e);
    CHECK_OK(hg_preferences_init(&l->p, &l->packed, &l->r, 1, &l->mem, &e), e);
    CHECK_OK(hg_learner_init(&l->s, l->m, l->rt, HG_COMPUTE_F32, &l->packed.source, &l->r, 0,
                             &l->mem, &e),
             e);
    l->s.objective = &l->p.objective;
}

static void little_close(little *l)
{
    hg_learner_free(&l->s);
    hg_preferences_free(&l->p);
    hg_packed_free(&l->packed);
    hg_chats_free(&l->chats);
    hg_model_free(l->m);
    hg_tokenizer_free(l->t);
    hg_recipe_free(&l->r);
    hg_arena_free(&l->mem);
    hg_runtime_free(l->rt);
}

static double loss_at(little *l)
{
    hg_err e = {0};
    hg_step_result r;
    CHECK_OK(hg_learner_gradients(&l->s, 0, &r, &e), e);
    return r.loss;
}

/* The gradient of the whole objective by its own direction, against a difference of losses. */
static void gradient_is_right(int64_t method)
{
    little l;
    hg_err e = {0};
    little_open(&l, method);
    if (l.p.objective.prepare != NULL)
        CHECK_OK(l.p.objective.prepare(&l.p.objective, &l.s, test_path(""), NULL, &e), e);
    /* Away from the reference, where h is 0 and no pair differs from another. */
    for (size_t i = 0; i < l.packed.n_chats; i++)
        for (int k = 0; k < 2; k++) l.p.pair[i].ref[k] += 0.3 * ((double)(i % 5) - 2) - 0.2 * k;
    (void)loss_at(&l);
    hg_tensor *w = l.m->layer[1].q;
    size_t n = hg_tensor_count(w);
    double square = 0, step = 0;
    float *data = w->data, *grad = HG_NEW(&l.mem, float, n), *was = HG_NEW(&l.mem, float, n);
    memcpy(grad, w->grad, n * sizeof *grad);
    memcpy(was, data, n * sizeof *was);
    for (size_t i = 0; i < n; i++) square += (double)(grad[i] * grad[i]);
    CHECK(square > 1e-10);
    step = 2e-2 / sqrt(square);
    double loss[2];
    for (int sign = 0; sign < 2; sign++) {
        for (size_t i = 0; i < n; i++) data[i] = was[i] + (float)(sign ? step : -step) * grad[i];
        loss[sign] = loss_at(&l);
    }
    CHECK_NEAR((loss[1] - loss[0]) / (2 * step) / square, 1, 0.02);
    little_close(&l);
}

TEST(dpo_with_smoothing_has_its_gradient)
{
    gradient_is_right(HG_METHOD_DPO);
}
TEST(ipo_has_its_gradient)
{
    gradient_is_right(HG_METHOD_IPO);
}
TEST(the_hinge_has_its_gradient)
{
    gradient_is_right(HG_METHOD_HINGE);
}
TEST(orpo_has_its_gradient)
{
    gradient_is_right(HG_METHOD_ORPO);
}

TEST(kto_with_a_bound_that_is_fixed_has_its_gradient)
{
    /* z has no gradient: derivatives by differences of the formula with z held */
    const hg_pair_options o = {.method = HG_METHOD_KTO, .beta = 0.3, .kto_good = 1.5, .kto_bad = 2};
    for (int good = 0; good < 2; good++) {
        hg_pair p = {{-4, -3}, {-5, -2}, {3, 3}, good != 0}, q = p;
        p.logp[0] -= 1e-5;
        q.logp[0] += 1e-5;
        double d = (hg_pair_loss_of(&o, &q, 0.2).loss - hg_pair_loss_of(&o, &p, 0.2).loss) / 2e-5;
        CHECK_NEAR(hg_pair_loss_of(&o, &p, 0.2).by[0], d, 1e-5);
        CHECK(good ? d < 0 : d > 0);
    }
}

/* ---- KTO's other answers ---- */

/* Tokens of chat i before the first that is learnt. */
static size_t given_of(const hg_packed *p, size_t i)
{
    size_t n = 1;
    while (!(p->mask.weight[p->chat[i].at + n] > 0)) n++;
    CHECK(n < p->chat[i].n);
    return n;
}

static bool is_other_prompt(const hg_packed *p, size_t i, size_t k)
{
    const size_t n = given_of(p, i), m = given_of(p, k);
    return n != m ||
           memcmp(p->ids.id + p->chat[i].at, p->ids.id + p->chat[k].at, n * sizeof *p->ids.id) != 0;
}

TEST(kto_holds_the_prompts_of_a_batch_against_its_other_answers_anew_each_time)
{
    enum { N = 7 };
    static const size_t line[N] = {3, 4, 9, 11, 2, 20, 3};
    hg_mismatch x = {.cap = 0}, y = {.cap = 0};
    hg_err e = {0};
    little l;
    size_t first[N], n_changed = 0;
    little_open(&l, HG_METHOD_KTO);
    for (uint64_t position = 0; position < 8; position++) {
        size_t n_taken[N] = {0};
        CHECK_OK(hg_mismatch_make(&x, &l.packed, line, N, 1, position, &e), e);
        CHECK_OK(hg_mismatch_make(&y, &l.packed, line, N, 1, position, &e), e);
        CHECK_EQ(x.n, N);
        CHECK_EQ(memcmp(x.from, y.from, sizeof first), 0);
        for (size_t i = 0; i < N; i++) {
            CHECK(x.from[i] < N); /* of this batch */
            CHECK(line[x.from[i]] != line[i] &&
                  is_other_prompt(&l.packed, line[i], line[x.from[i]]));
            n_taken[x.from[i]]++;
            n_changed += position > 0 && x.from[i] != first[i];
            if (position == 0) first[i] = x.from[i];
        }
        for (size_t i = 0; i < N; i++) CHECK(n_taken[i] <= 3); /* a prompt occurs three times */
    }
    CHECK(n_changed > 7 * N / 2);
    hg_mismatch_free(&x);
    hg_mismatch_free(&y);
    little_close(&l);
}

TEST(kto_takes_another_answer_to_the_same_prompt_where_there_is_no_other_prompt)
{
    static const size_t twins[] = {6, 7}, lone[] = {6, 6};
    hg_mismatch x = {.cap = 0};
    hg_err e = {0};
    little l;
    little_open(&l, HG_METHOD_KTO);
    CHECK(!is_other_prompt(&l.packed, 6, 7));
    CHECK_OK(hg_mismatch_make(&x, &l.packed, twins, 2, 1, 0, &e), e);
    CHECK(x.n == 2 && x.from[0] == 1 && x.from[1] == 0);
    CHECK_OK(hg_mismatch_make(&x, &l.packed, lone, 2, 1, 0, &e), e);
    CHECK_EQ(x.n, 0);
    hg_mismatch_free(&x);
    little_close(&l);
}

/* One timeline alone in a row. */
typedef struct lone_row {
    hg_source source;
    int32_t ids[48], targets[48];
} lone_row;

static void lone(const hg_source *s, bool held_out, uint64_t i, int32_t *ids, int32_t *targets,
                 uint8_t *begins)
{
    const lone_row *x = (const lone_row *)(const void *)s;
    (void)held_out, (void)i;
    memcpy(ids, x->ids, sizeof x->ids);
    memcpy(targets, x->targets, sizeof x->targets);
    memset(begins, 0, 48);
    begins[0] = 1;
}

/* log p of chat b's answer behind chat a's prompt, by m. */
static double logp_of(little *l, hg_model *m, size_t a, size_t b)
{
    const hg_packed *p = &l->packed;
    const size_t n = given_of(p, a), from = given_of(p, b), n_answer = p->chat[b].n - from;
    lone_row row = {.source = {.seq_len = 48, .n_val_rows = 1, .row = lone}};
    float surprise[48];
    double sum = 0;
    hg_err e = {0};
    for (size_t t = 0; t < 48; t++) row.targets[t] = -1;
    for (size_t t = 0; t < n; t++) row.ids[t] = p->ids.id[p->chat[a].at + t];
    for (size_t t = 0; t < n_answer; t++) {
        row.ids[n + t] = p->ids.id[p->chat[b].at + from + t];
        if (p->mask.weight[p->chat[b].at + from + t] > 0) row.targets[n + t - 1] = row.ids[n + t];
    }
    hg_rows_fill(&l->s.rows, &row.source, true, 0, 0, 1);
    CHECK_OK(hg_learner_look(&l->s, m, surprise, &e), e);
    for (size_t t = 0; t < 48; t++)
        if (row.targets[t] >= 0) sum -= (double)surprise[t];
    return sum;
}

TEST(ktos_distance_is_the_mean_over_the_batchs_other_answers)
{
    hg_err e = {0};
    hg_step_result r;
    hg_model *other = NULL;
    little l;
    little_open(&l, HG_METHOD_KTO);
    CHECK_OK(hg_model_new(&other, &l.m->c, 4, &e), e);
    l.p.reference = other;
    double sum = 0, z[2];
    for (int swapped = 0; swapped < 2; swapped++) { /* one of both ways it is not below 0 */
        l.s.model = swapped ? other : l.m;
        l.p.reference = swapped ? l.m : other;
        CHECK_OK(l.p.objective.begin(&l.p.objective, &l.s, 6, &r, &e), e);
        z[swapped] = l.p.z;
    }
    for (size_t i = 0; i < l.p.n_seen; i++) {
        const size_t a = l.p.seen[i], b = l.p.seen[l.p.others.from[i]];
        sum += logp_of(&l, l.m, a, b) - logp_of(&l, other, a, b);
    }
    CHECK(l.p.n_seen >= 3);
    CHECK_NEAR(z[0] - z[1], sum / (double)l.p.n_seen, 1e-4);
    CHECK(z[0] * z[1] == 0 && z[0] + z[1] > 0.01);
    l.s.model = l.m;
    hg_model_free(other);
    little_close(&l);
}

/* ---- runs ---- */

static void tune(const char *method, const char *data, const char *out, bool resume,
                 const hg_watch *w, hg_status want)
{
    char set[4][1200];
    hg_train_result r;
    hg_err e = {0};
    hg_runtime *rt = fixture_runtime(resume ? 1 : 2);
    (void)snprintf(set[0], sizeof set[0], "method=%s", method);
    (void)snprintf(set[1], sizeof set[1], "data=%s", test_path(data));
    const char *const all[] = {set[0],          set[1],         "steps=20",
                               "lr=2e-3",       "val_every=5",  "seq_len=48",
                               "val_share=0.2", "batch_size=4", NULL};
    const hg_status s =
        fixture_tune(rt, w, resume, test_path("base/model"), test_path(out), all, &r, &e);
    if (want == HG_OK) CHECK_OK(s, e);
    CHECK_EQ(s, want);
    hg_runtime_free(rt);
}

static void make_base_of(const char *arch)
{
    char assign[64];
    (void)snprintf(assign, sizeof assign, "arch=%s", arch);
    const char *const set[] = {assign, "steps=3", "seq_len=48", NULL};
    hg_train_result r;
    hg_err e = {0};
    hg_runtime *rt = fixture_runtime(2);
    (void)fixture_tokenizer(fixture_corpus());
    CHECK_OK(fixture_train(rt, NULL, false, test_path("base"), set, &r, &e), e);
    hg_runtime_free(rt);
    put_pairs("pairs.jsonl", false);
    put_pairs("labels.jsonl", true);
}

static void make_base(void)
{
    make_base_of("llama");
}

/* The log's values of `key`: the first and the last. */
static void ends_of(const char *log_path, const char *key, double *first, double *last)
{
    hg_buf log = {0};
    hg_err e = {0};
    char name[64];
    CHECK_OK(hg_file_read(&log, test_path(log_path), 1 << 24, &e), e);
    (void)snprintf(name, sizeof name, "\"%s\":", key);
    *first = *last = (double)NAN;
    for (const char *at = log.p; (at = strstr(at, name)) != NULL;) {
        at += strlen(name);
        *last = strtod(at, NULL);
        if (isnan(*first)) *first = *last;
    }
    hg_buf_free(&log);
}

static void learns(const char *method, const char *data, bool has_reference)
{
    char log[100];
    double first, last;
    make_base();
    tune(method, data, method, false, NULL, HG_OK);
    (void)snprintf(log, sizeof log, "%s/log.jsonl", method);
    ends_of(log, "loss", &first, &last);
    CHECK(last < 0.9 * first);
    ends_of(log, "margin", &first, &last);
    if (has_reference) CHECK_NEAR(first, 0, 1e-6); /* the policy is the reference still */
    CHECK(last > first && last > 0);
    ends_of(log, "accuracy", &first, &last);
    CHECK(last > 0.9 && last >= first);
    ends_of(log, "val_accuracy", &first, &last);
    CHECK(last > 0.9);
    (void)snprintf(log, sizeof log, "%s/reference.hgr", method);
    CHECK_EQ(hg_path_exists(test_path(log)), strcmp(method, "orpo") != 0);
}

TEST(a_run_of_dpo_learns_which_answer_is_better)
{
    learns("dpo", "pairs.jsonl", true);
}
TEST(a_run_of_ipo_learns_which_answer_is_better)
{
    learns("ipo", "pairs.jsonl", true);
}
TEST(a_run_of_the_hinge_learns_which_answer_is_better)
{
    learns("hinge", "pairs.jsonl", true);
}
TEST(a_run_of_orpo_learns_which_answer_is_better)
{
    learns("orpo", "pairs.jsonl", false);
}
/* Rows of pairs are twice as long as what the model reads at once. */
TEST(preferences_are_learnt_by_a_model_of_learned_positions)
{
    static const char *const methods[] = {"dpo", "ipo", "hinge", "orpo", "kto"};
    make_base_of("gpt2");
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
        tune(methods[i], i == 4 ? "labels.jsonl" : "pairs.jsonl", methods[i], false, NULL, HG_OK);
}
TEST(a_run_of_kto_learns_which_answer_is_good)
{
    learns("kto", "labels.jsonl", true);
}

TEST(a_resumed_run_of_dpo_is_the_same_bit_for_bit_even_without_its_reference)
{
    make_base();
    tune("dpo", "pairs.jsonl", "whole", false, NULL, HG_OK);
    tune("dpo", "pairs.jsonl", "parts", false, fixture_stop_after(7), HG_E_CANCELED);
    tune("dpo", "pairs.jsonl", "again", false, fixture_stop_after(7), HG_E_CANCELED);
    CHECK_EQ(remove(test_path("again/reference.hgr")), 0);
    tune("dpo", "pairs.jsonl", "parts", true, NULL, HG_OK);
    tune("dpo", "pairs.jsonl", "again", true, NULL, HG_OK);
    char a[1200];
    (void)snprintf(a, sizeof a, "%s", test_path("whole/model/model.safetensors"));
    CHECK(fixture_same_file(a, test_path("parts/model/model.safetensors")));
    CHECK(fixture_same_file(a, test_path("again/model/model.safetensors")));
    (void)snprintf(a, sizeof a, "%s", test_path("whole/reference.hgr"));
    CHECK(fixture_same_file(a, test_path("again/reference.hgr")));
}

static void tune_kto(const char *out, bool lora, bool resume, const hg_watch *w, hg_status want)
{
    char data[1200];
    hg_train_result r;
    hg_err e = {0};
    hg_runtime *rt = fixture_runtime(resume ? 1 : 2);
    (void)snprintf(data, sizeof data, "data=%s", test_path("labels.jsonl"));
    const char *const set[] = {"method=kto",
                               data,
                               "steps=14",
                               "accumulation=2",
                               "lr=2e-3",
                               "val_every=5",
                               "seq_len=48",
                               "val_share=0.2",
                               "batch_size=2",
                               lora ? "lora_rank=4" : "lora_rank=0",
                               NULL};
    const hg_status s =
        fixture_tune(rt, w, resume, test_path("base/model"), test_path(out), set, &r, &e);
    if (want == HG_OK) CHECK_OK(s, e);
    CHECK_EQ(s, want);
    hg_runtime_free(rt);
}

TEST(a_resumed_run_of_kto_is_the_same_bit_for_bit)
{
    make_base();
    for (int lora = 0; lora < 2; lora++) {
        const char *file = lora ? "adapter/adapter_model.safetensors" : "model/model.safetensors";
        char whole[100], parts[100], a[1200], b[1200];
        (void)snprintf(whole, sizeof whole, "whole-%d", lora);
        (void)snprintf(parts, sizeof parts, "parts-%d", lora);
        tune_kto(whole, lora, false, NULL, HG_OK);
        tune_kto(parts, lora, false, fixture_stop_after(5), HG_E_CANCELED);
        tune_kto(parts, lora, true, fixture_stop_after(9), HG_E_CANCELED);
        tune_kto(parts, lora, true, NULL, HG_OK);
        (void)snprintf(a, sizeof a, "%s", test_path(whole));
        (void)snprintf(b, sizeof b, "%s", test_path(parts));
        (void)snprintf(a + strlen(a), sizeof a - strlen(a), "/%s", file);
        (void)snprintf(b + strlen(b), sizeof b - strlen(b), "/%s", file);
        CHECK(fixture_same_file(a, b));
    }
}

TEST(kto_is_validated_on_files_that_are_held_out)
{
    char data[1200], held[1200];
    double first, last;
    hg_train_result r;
    hg_err e = {0};
    hg_runtime *rt = fixture_runtime(2);
    make_base();
    put_pairs("held.jsonl", true);
    (void)snprintf(data, sizeof data, "data=%s", test_path("labels.jsonl"));
    (void)snprintf(held, sizeof held, "val_data=%s", test_path("held.jsonl"));
    const char *const set[] = {"method=kto", data, held, "steps=4", "seq_len=48", NULL};
    CHECK_OK(fixture_tune(rt, NULL, false, test_path("base/model"), test_path("run"), set, &r, &e),
             e);
    CHECK(r.val_rows > 0);
    ends_of("run/log.jsonl", "val_kl", &first, &last);
    CHECK(first >= 0 && last >= 0);
    hg_runtime_free(rt);
}

TEST_SECONDS(the_memory_said_before_kto_counts_the_base_a_second_time, 120)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    test_skip("a sanitizer's own memory is counted too");
#endif
    char base[1200], data[1200];
    hg_train_result r;
    hg_err e = {0};
    (void)fixture_tokenizer(fixture_corpus());
    put_pairs("labels.jsonl", true);
    (void)snprintf(base, sizeof base, "%s", test_path("base"));
    (void)snprintf(data, sizeof data, "data=%s", test_path("labels.jsonl"));
    fixture_model(base, 320, 8);
    const char *const set[] = {"method=kto", data, "steps=2", "seq_len=64", "batch_size=4", NULL};
    hg_runtime *rt = fixture_runtime(2);
    CHECK_OK(fixture_tune(rt, NULL, false, base, test_path("run"), set, &r, &e), e);
    fixture_check_plan(&r);
    hg_runtime_free(rt);
}

TEST(kto_refuses_what_leaves_no_other_answer)
{
    static const char *const one =
        "{\"prompt\":\"fox?\",\"completion\":\"a hen\",\"label\":true}\n";
    char data[1300];
    hg_train_result r;
    hg_err e = {0};
    hg_runtime *rt = fixture_runtime(1);
    make_base();
    (void)snprintf(data, sizeof data, "data=%s", test_path("labels.jsonl"));
    const char *const set[] = {"method=kto", data, "seq_len=48", "batch_size=1", NULL};
    CHECK_EQ(fixture_tune(rt, NULL, false, test_path("base/model"), test_path("x"), set, &r, &e),
             HG_E_ARG);
    CHECK_STR(e.msg, "kto holds a step's prompts against other lines' answers; batch_size times "
                     "accumulation must be 2 or more");
    (void)snprintf(data, sizeof data, "data=%s", fixture_file("one.jsonl", one));
    const char *const few[] = {"method=kto", data, "seq_len=48", "val_share=0", NULL};
    CHECK_EQ(fixture_tune(rt, NULL, false, test_path("base/model"), test_path("x"), few, &r, &e),
             HG_E_ARG);
    CHECK_STR(e.msg, "1 labelled answers to learn from; two at the least are needed");
    hg_runtime_free(rt);
}

TEST(a_damaged_reference_is_made_anew)
{
    char a[1200];
    make_base();
    tune("dpo", "pairs.jsonl", "whole", false, NULL, HG_OK);
    tune("dpo", "pairs.jsonl", "parts", false, fixture_stop_after(7), HG_E_CANCELED);
    hg_buf b = {0};
    hg_err e = {0};
    CHECK_OK(hg_file_read(&b, test_path("parts/reference.hgr"), 1 << 20, &e), e);
    b.p[b.n - 1] ^= 1;
    CHECK_OK(hg_file_write(test_path("parts/reference.hgr"), b.p, b.n, &e), e);
    hg_buf_free(&b);
    tune("dpo", "pairs.jsonl", "parts", true, NULL, HG_OK);
    (void)snprintf(a, sizeof a, "%s", test_path("whole/model/model.safetensors"));
    CHECK(fixture_same_file(a, test_path("parts/model/model.safetensors")));
}

typedef struct shown {
    char on[400];
    size_t n_lines;
} shown;

static void keep_shown(void *ctx, hg_bytes piece, float weight, size_t line)
{
    shown *s = ctx;
    (void)line;
    s->n_lines += piece.n == 0;
    if (weight > 0) (void)strncat(s->on, piece.p, piece.n);
}

TEST(the_mask_of_a_pair_is_shown_for_both_answers)
{
    shown s = {.n_lines = 0};
    char base[1200], data[1200];
    hg_train_options o;
    hg_err e = {0};
    make_base();
    hg_train_options_init(&o);
    (void)snprintf(base, sizeof base, "base=%s", test_path("base/model"));
    (void)snprintf(data, sizeof data, "data=%s", test_path("pairs.jsonl"));
    const char *const set[] = {base, data, "method=dpo"};
    o.set = set;
    o.n_set = 3;
    CHECK_OK(hg_tune_show(&o, 1, keep_shown, &s, &e), e);
    CHECK_EQ(s.n_lines, 2);
    CHECK(strstr(s.on, "the red moon sings") != NULL && strstr(s.on, "a red hen") != NULL);
    CHECK(strstr(s.on, "fox") == NULL);
}

TEST(label_smoothing_is_refused_where_it_would_do_nothing)
{
    static const char *const set[] = {"method=ipo", "label_smoothing=0.1", NULL};
    hg_train_result r;
    hg_err e = {0};
    hg_runtime *rt = fixture_runtime(1);
    (void)fixture_chats();
    CHECK_EQ(fixture_tune(rt, NULL, false, "base", test_path("x"), set, &r, &e), HG_E_ARG);
    CHECK_STR(e.msg, "label_smoothing is DPO's; method says otherwise");
    hg_runtime_free(rt);
}

/* ---- teachers ---- */

static hg_status taught(const char *out, bool resume, const hg_watch *w, const char *teacher,
                        hg_train_result *r, hg_err *e)
{
    char text[1300];
    (void)snprintf(text, sizeof text, "teacher=%s", teacher);
    const char *const set[] = {
        "method=distill", text,      "steps=20",    "teacher_share=0.9", "distill_temperature=2",
        "seq_len=48",     "lr=2e-3", "val_every=5", "val_share=0.2",     NULL};
    hg_runtime *rt = fixture_runtime(2);
    hg_status s = fixture_tune(rt, w, resume, test_path("base/model"), test_path(out), set, r, e);
    hg_runtime_free(rt);
    return s;
}

TEST(a_student_comes_to_say_what_its_teacher_says_and_resumes_bit_for_bit)
{
    static const char *const more[] = {"steps=30", "lr=3e-3", "seq_len=48", NULL};
    char teacher[1200], whole[1200];
    hg_train_result r;
    hg_err e = {0};
    double first, last;
    make_base();
    (void)fixture_chats();
    hg_runtime *rt = fixture_runtime(2);
    CHECK_OK(
        fixture_tune(rt, NULL, false, test_path("base/model"), test_path("teacher"), more, &r, &e),
        e);
    hg_runtime_free(rt);
    (void)snprintf(teacher, sizeof teacher, "%s", test_path("teacher/model"));
    CHECK_OK(taught("whole", false, NULL, teacher, &r, &e), e);
    ends_of("whole/log.jsonl", "teacher_kl", &first, &last);
    CHECK(first > 0 && last < 0.5 * first);
    ends_of("whole/log.jsonl", "val_teacher_kl", &first, &last);
    CHECK(last < first);
    CHECK_EQ(taught("parts", false, fixture_stop_after(7), teacher, &r, &e), HG_E_CANCELED);
    CHECK_OK(taught("parts", true, NULL, teacher, &r, &e), e);
    (void)snprintf(whole, sizeof whole, "%s", test_path("whole/model/model.safetensors"));
    CHECK(fixture_same_file(whole, test_path("parts/model/model.safetensors")));
}

TEST(distillation_needs_its_teacher)
{
    hg_train_result r;
    hg_err e = {0};
    (void)fixture_chats();
    CHECK_EQ(taught("x", false, NULL, "", &r, &e), HG_E_ARG);
    CHECK_STR(e.msg, "method \"distill\" and the key teacher go together");
}

TEST_SECONDS(the_memory_said_before_a_distillation_counts_its_teacher, 120)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    test_skip("a sanitizer's own memory is counted too");
#endif
    char base[1200], large[1200], teacher[1300];
    hg_train_result r;
    hg_err e = {0};
    (void)fixture_tokenizer(fixture_corpus());
    (void)fixture_chats();
    (void)snprintf(base, sizeof base, "%s", test_path("small"));
    (void)snprintf(large, sizeof large, "%s", test_path("large"));
    (void)snprintf(teacher, sizeof teacher, "teacher=%s", large);
    fixture_model(base, 192, 4);
    fixture_model(large, 768, 8);
    const char *const set[] = {"method=distill", teacher,         "steps=2", "seq_len=128",
                               "batch_size=8",   "precision=f32", NULL};
    hg_runtime *rt = fixture_runtime(2);
    CHECK_OK(fixture_tune(rt, NULL, false, base, test_path("run"), set, &r, &e), e);
    CHECK((double)r.need_bytes > 250e6); /* 75 million parameters of the teacher's own */
    fixture_check_plan(&r);
    hg_runtime_free(rt);
}
