/* Training from each dense row's random weights, and further from weights that are there. */
#include "fixture.h"
#include "model/model.h"
#include <stdio.h>
#include <string.h>

static const char *assign(const char *key, const char *value)
{
    static char text[8][1200];
    static int at;
    at = (at + 1) % 8;
    (void)snprintf(text[at], sizeof text[at], "%s=%s", key, value);
    return text[at];
}

static hg_status further(const char *base, const char *out, bool resume, const hg_watch *w,
                         const char *const *more, hg_train_result *r, hg_err *e)
{
    const char *set[16] = {assign("base", base), assign("corpus", test_path("corpus.jsonl")),
                           assign("out", out),   "batch_size=4",
                           "seq_len=32",         "sample_tokens=0",
                           "val_share=0.2",      "steps=6"};
    size_t n = 8;
    for (; more != NULL && *more != NULL; more++) set[n++] = *more;
    hg_train_options o;
    hg_train_options_init(&o);
    o.set = set;
    o.n_set = n;
    o.resume = resume;
    hg_runtime *rt = fixture_runtime(2);
    hg_status s = hg_train_run(&o, rt, w, r, e);
    hg_runtime_free(rt);
    return s;
}

static const char *first_run(const char *name, const char *const *set, double *loss)
{
    hg_err e = {0};
    hg_train_result r;
    static char model[1200];
    hg_runtime *rt = fixture_runtime(2);
    (void)fixture_tokenizer(fixture_corpus());
    CHECK_OK(fixture_train(rt, NULL, false, test_path(name), set, &r, &e), e);
    hg_runtime_free(rt);
    *loss = r.val_loss;
    (void)snprintf(model, sizeof model, "%s/model", test_path(name));
    return model;
}

TEST(every_dense_row_trains_from_random_weights)
{
    for (size_t i = 0; hg_arch_at(i) != NULL; i++) {
        const hg_arch *a = hg_arch_at(i);
        double loss = 0;
        if (a->has_experts) continue;
        const char *const set[] = {assign("arch", a->name), "depth=4", "steps=2", "lr=1e-3", NULL};
        const char *path = first_run(a->name, set, &loss);
        hg_err e = {0};
        hg_model *m = NULL;
        CHECK(loss > 2 && loss < 7);
        CHECK_OK(hg_model_open_trainable(&m, path, &e), e);
        CHECK_STR(m->c.arch, a->name);
        CHECK_EQ(hg_layers_have(&m->c.no_rope, 3), a->no_rope_every > 0);
        hg_model_free(m);
    }
}

TEST(training_goes_on_from_a_model_with_its_shape_and_tokenizer)
{
    /* Whole documents are held out: ends of these short ones would tell nothing. */
    static const char *const some[] = {"steps=6", "val_share=0.2", NULL};
    static const char *const many[] = {"steps=80", "val_share=0.2", "save_type=f32", NULL};
    double random = 0, before = 0;
    hg_err e = {0};
    hg_train_result r;
    (void)first_run("random", some, &random);
    const char *base = first_run("base", many, &before);
    CHECK(before < random - 0.3);
    CHECK_OK(further(base, test_path("more"), false, NULL, NULL, &r, &e), e);
    CHECK_EQ(r.steps, 6);
    CHECK_NEAR(r.val_loss, before, 0.15);
    uint64_t step = 0;
    char out[1200];
    (void)snprintf(out, sizeof out, "%s", test_path("exported"));
    CHECK_OK(hg_train_export(test_path("more"), 0, out, HG_WEIGHTS_F32, false, NULL, &step, &e), e);
    CHECK_EQ(step, 6);
}

TEST(further_training_resumes_bit_for_bit_and_refuses_another_base)
{
    static const char *const set[] = {"steps=3", NULL}, *const other[] = {"steps=4", NULL};
    double loss = 0;
    hg_err e = {0};
    hg_train_result r;
    char one[1200], two[1200], a[1300], b[1300];
    (void)snprintf(one, sizeof one, "%s", first_run("one", set, &loss));
    (void)snprintf(two, sizeof two, "%s", first_run("two", other, &loss));
    CHECK_OK(further(one, test_path("whole"), false, NULL, NULL, &r, &e), e);
    CHECK_EQ(further(one, test_path("parts"), false, fixture_stop_after(2), NULL, &r, &e),
             HG_E_CANCELED);
    CHECK_EQ(further(two, test_path("parts"), true, NULL, NULL, &r, &e), HG_E_STATE);
    CHECK(strstr(e.msg, "the checkpoint was made with \"base: ") != NULL);
    CHECK_OK(further(one, test_path("parts"), true, NULL, NULL, &r, &e), e);
    (void)snprintf(a, sizeof a, "%s/model/model.safetensors", test_path("whole"));
    (void)snprintf(b, sizeof b, "%s/model/model.safetensors", test_path("parts"));
    CHECK(fixture_same_file(a, b));
}

TEST(a_base_brings_its_own_shape_and_tokenizer)
{
    static const char *const set[] = {"steps=1", NULL};
    static const char *const deep[] = {"depth=3", NULL}, *const text[] = {"tokenizer=x", NULL},
                             *const row[] = {"seq_len=300", NULL};
    double loss = 0;
    hg_err e = {0};
    hg_train_result r;
    char want[1500];
    const char *base = first_run("base", set, &loss);
    CHECK_EQ(further(base, test_path("a"), false, NULL, deep, &r, &e), HG_E_ARG);
    (void)snprintf(want, sizeof want,
                   "depth: %s brings its own; leave the key out, or leave out the base", base);
    CHECK_STR(e.msg, want);
    CHECK_EQ(further(base, test_path("a"), false, NULL, text, &r, &e), HG_E_ARG);
    CHECK_EQ(further(base, test_path("a"), false, NULL, row, &r, &e), HG_E_ARG);
    (void)snprintf(want, sizeof want, "seq_len: rows of 300 tokens, %s reads at most 32", base);
    CHECK_STR(e.msg, want);
}
