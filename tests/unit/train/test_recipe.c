/* Recipes: keys, ranges, the words of their errors, shapes. */
#include "fixture.h"
#include "train/shape.h"
#include <string.h>

static hg_status parse(hg_recipe *r, const char *yaml, hg_err *e)
{
    hg_status s = hg_recipe_init(r, HG_STAGE_TRAIN, e);
    return s == HG_OK ? hg_recipe_parse(r, (hg_bytes){yaml, strlen(yaml)}, "r.yaml", e) : s;
}

TEST(a_recipe_is_read_with_numbers_lists_and_words)
{
    hg_recipe r;
    hg_err e = {0};
    CHECK_OK(
        parse(
            &r,
            "corpus: [a, b]\nparams: 10M\nlr: 3e-4\nschedule: wsd\ntie_embeddings: no\nsteps: 2k\n",
            &e),
        e);
    CHECK_EQ(r.corpus.n, 2);
    CHECK_STR(r.corpus.item[1], "b");
    CHECK_EQ(r.params, 10000000);
    CHECK_NEAR(r.lr, 3e-4, 1e-12);
    CHECK_EQ(r.schedule, HG_DECAY_WSD);
    CHECK(!r.tie_embeddings);
    CHECK_EQ(r.steps, 2000);
    CHECK(hg_recipe_given(&r, "lr") && !hg_recipe_given(&r, "clip"));
    hg_recipe_free(&r);
}

TEST(an_unknown_key_is_refused_with_the_nearest_one)
{
    hg_recipe r;
    hg_err e = {0};
    CHECK_EQ(parse(&r, "lr: 1\ndeph: 6\n", &e), HG_E_ARG);
    CHECK_STR(e.msg, "r.yaml, line 2: there is no key \"deph\"; did you mean \"depth\"?");
    hg_recipe_free(&r);
    CHECK_EQ(parse(&r, "learning_rate: 1\n", &e), HG_E_ARG);
    CHECK_STR(e.msg, "r.yaml, line 1: there is no key \"learning_rate\"; did you mean \"lr\"?");
    hg_recipe_free(&r);
    CHECK_EQ(parse(&r, "xyzzyplugh: 1\n", &e), HG_E_ARG);
    CHECK_STR(
        e.msg,
        "r.yaml, line 1: there is no key \"xyzzyplugh\"; `higgins train --keys` lists them all");
    hg_recipe_free(&r);
}

TEST(a_value_out_of_range_is_refused_with_its_line_and_range)
{
    hg_recipe r;
    hg_err e = {0};
    CHECK_EQ(parse(&r, "# a comment\ndepth: 0\n", &e), HG_E_ARG);
    CHECK_STR(e.msg, "r.yaml, line 2: depth is \"0\"; a whole number from 1 to 512 is meant");
    hg_recipe_free(&r);
    CHECK_EQ(parse(&r, "depth: 2.5\n", &e), HG_E_ARG);
    CHECK_HAS(e.msg, "a whole number");
    hg_recipe_free(&r);
    CHECK_EQ(parse(&r, "lr: nan\n", &e), HG_E_ARG);
    CHECK_HAS(e.msg, "lr is \"nan\"");
    hg_recipe_free(&r);
    CHECK_EQ(parse(&r, "schedule: cosin\n", &e), HG_E_ARG);
    CHECK_STR(e.msg,
              "r.yaml, line 1: schedule is \"cosin\"; one of cosine|wsd|linear|constant is meant");
    hg_recipe_free(&r);
    CHECK_EQ(parse(&r, "depth: [1, 2]\n", &e), HG_E_ARG);
    CHECK_HAS(e.msg, "one value is meant");
    hg_recipe_free(&r);
    CHECK_EQ(parse(&r, "model:\n  depth: 3\n", &e), HG_E_ARG);
    hg_recipe_free(&r);
}

TEST(set_overrides_and_names_itself_in_errors)
{
    hg_recipe r;
    hg_err e = {0};
    CHECK_OK(parse(&r, "lr: 1e-3\n", &e), e);
    CHECK_OK(hg_recipe_set(&r, "lr=2e-3", &e), e);
    CHECK_NEAR(r.lr, 2e-3, 1e-12);
    CHECK_OK(hg_recipe_set(&r, "corpus=x,y,z", &e), e);
    CHECK_EQ(r.corpus.n, 3);
    CHECK_EQ(hg_recipe_set(&r, "lr", &e), HG_E_ARG);
    CHECK_STR(e.msg, "--set: \"lr\"; key=value is meant, such as lr=1e-3");
    CHECK_EQ(hg_recipe_set(&r, "data=x", &e), HG_E_ARG); /* a key of tuning only */
    hg_recipe_free(&r);
}

TEST(every_key_is_documented_and_its_default_is_accepted)
{
    hg_train_key k;
    for (int stage = HG_STAGE_TRAIN; stage <= HG_STAGE_TUNE; stage++) {
        size_t n = 0;
        for (; hg_train_get_key((hg_stage)stage, n, &k); n++)
            CHECK(strlen(k.help) > 3 && strlen(k.type) > 2);
        CHECK(n > 25);
    }
}

TEST(a_recipe_can_be_read_back_from_its_text)
{
    const char yaml[] = "corpus: [\"a, b\", c]\nsample_prompts: [\"Once, upon\\na time\", \"\"]\n"
                        "lr: 3e-3\ntokenizer: \"x: y # z\"\n";
    hg_recipe r, again;
    hg_err e = {0};
    hg_buf text = {0}, second = {0};
    CHECK_EQ(hg_recipe_init(&r, HG_STAGE_TRAIN, &e), HG_OK);
    CHECK_EQ(hg_recipe_init(&again, HG_STAGE_TRAIN, &e), HG_OK);
    CHECK_EQ(hg_recipe_parse(&r, (hg_bytes){yaml, sizeof yaml - 1}, "r.yaml", &e), HG_OK);
    CHECK_EQ(hg_recipe_text(&r, true, &text, &e), HG_OK);
    CHECK_EQ(hg_recipe_parse(&again, (hg_bytes){text.p, text.n}, "text", &e), HG_OK);
    CHECK_EQ(again.corpus.n, (size_t)2);
    CHECK_STR(again.corpus.item[0], "a, b");
    CHECK_EQ(again.sample_prompts.n, (size_t)2);
    CHECK_STR(again.sample_prompts.item[0], "Once, upon\na time");
    CHECK_STR(again.tokenizer, "x: y # z");
    CHECK_EQ(hg_recipe_text(&again, true, &second, &e), HG_OK);
    CHECK_STR(second.p, text.p);
    hg_buf_free(&text);
    hg_buf_free(&second);
    hg_recipe_free(&r);
    hg_recipe_free(&again);
}

TEST(a_changed_key_is_named_on_resume)
{
    hg_err e = {0};
    CHECK_EQ(hg_recipe_compare("lr: 1\nclip: 1\n", "lr: 1\nclip: 1\n", &e), HG_OK);
    CHECK_EQ(hg_recipe_compare("lr: 1\nclip: 1\n", "lr: 1\nclip: 2\n", &e), HG_E_STATE);
    CHECK_STR(e.msg, "the checkpoint was made with \"clip: 1\", the recipe now says \"clip: 2\"; "
                     "put it back, or begin a "
                     "new run with another out");
}

TEST(depth_gives_the_shape_and_params_the_depth)
{
    hg_recipe r;
    hg_model_config c;
    hg_err e = {0};
    CHECK_OK(parse(&r, "depth: 6\n", &e), e);
    CHECK_OK(hg_recipe_shape(&r, 8192, &c, &e), e);
    CHECK_EQ(c.d_model, 384);
    CHECK_EQ(c.n_heads, 6);
    CHECK_EQ(c.d_ff, 1024);
    hg_recipe_free(&r);
    CHECK_OK(parse(&r, "params: 13M\n", &e), e);
    CHECK_OK(hg_recipe_shape(&r, 8192, &c, &e), e);
    CHECK_EQ(c.n_layers, 6);
    hg_recipe_free(&r);
    CHECK_OK(parse(&r, "d_model: 100\nn_heads: 3\n", &e), e);
    CHECK_EQ(hg_recipe_shape(&r, 8192, &c, &e), HG_E_ARG);
    CHECK_HAS(e.msg, "3 heads cannot share a d_model of 100");
    hg_recipe_free(&r);
}

TEST(parameters_are_counted_as_the_model_counts_them)
{
    static const char *const archs[] = {"llama", "gpt2", "qwen2"};
    for (size_t i = 0; i < 3; i++) {
        for (int tied = 0; tied < 2; tied++) {
            hg_model *m = NULL;
            hg_err e = {0};
            const hg_arch *a = hg_arch_find(archs[i]);
            if (a == NULL) continue;
            hg_model_config c = {.n_layers = 2,
                                 .d_model = 32,
                                 .n_heads = 4,
                                 .n_kv_heads = a->keys->n_kv_heads == NULL ? 4 : 2,
                                 .d_head = 8,
                                 .d_rot = 8,
                                 .d_ff = 48,
                                 .n_vocab = 70,
                                 .n_ctx = 16,
                                 .norm_eps = 1e-5f,
                                 .rope_theta = 1e4f,
                                 .bos_id = -1,
                                 .eos_id = -1,
                                 .pad_id = -1,
                                 .tie_embeddings = tied != 0};
            memcpy(c.arch, archs[i], strlen(archs[i]) + 1);
            CHECK_OK(hg_model_new(&m, &c, 1, &e), e);
            CHECK_EQ(hg_arch_count(a, &c), hg_model_count(m));
            hg_model_free(m);
        }
    }
}

TEST(one_dial_refuses_params_where_depth_decides)
{
    static const char *const set[] = {"auto=true", "params=100k", NULL};
    hg_recipe r;
    hg_err e = {0};
    CHECK_OK(hg_recipe_init(&r, HG_STAGE_TRAIN, &e), e);
    CHECK_OK(hg_recipe_set(&r, "corpus=c", &e), e);
    CHECK_OK(hg_recipe_set(&r, "out=o", &e), e);
    for (size_t i = 0; set[i] != NULL; i++) CHECK_OK(hg_recipe_set(&r, set[i], &e), e);
    CHECK_EQ(hg_recipe_check(&r, true, &e), HG_E_ARG);
    CHECK_STR(e.msg, "train: with auto, row length and vocabulary follow from depth; give depth "
                     "instead of params, or seq_len and tokenizer too");
    hg_recipe_free(&r);
}

TEST(lists_are_given_as_lists_and_a_comma_stays_within_its_item)
{
    static const char *const files[] = {"a,b.jsonl", "c"};
    static const char *const set[] = {"corpus=d,e,f"};
    const hg_train_list list = {"corpus", files, 2};
    hg_recipe r;
    hg_err e = {0};
    hg_train_options o;
    hg_train_options_init(&o);
    o.lists = &list;
    o.n_lists = 1;
    CHECK_OK(hg_recipe_make(&r, HG_STAGE_TRAIN, &o, &e), e);
    CHECK_EQ(r.corpus.n, 2);
    CHECK_STR(r.corpus.item[0], "a,b.jsonl");
    CHECK(hg_recipe_given(&r, "corpus"));
    hg_recipe_free(&r);
    o.set = set; /* which comes later */
    o.n_set = 1;
    CHECK_OK(hg_recipe_make(&r, HG_STAGE_TRAIN, &o, &e), e);
    CHECK_EQ(r.corpus.n, 3);
    hg_recipe_free(&r);
}
