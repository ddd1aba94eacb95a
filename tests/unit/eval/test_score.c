/* Scores that can be worked out by hand: a model whose logits are all alike knows nothing, so that
 * every token costs log(n_vocab) and every choice is a tie. */
#include "base/file.h"
#include "eval/eval.h"
#include "harness/test.h"
#include "model/model.h"
#include "token/train.h"

#include <jansson.h>
#include <math.h>
#include <string.h>

static hg_err e;
static hg_runtime *rt;

static hg_tokenizer *tokenizer(void)
{
    static const char text[] = "the cat sat on the mat and the dog sat on the cat ";
    hg_tokenizer_options o;
    hg_tokenizer_stats stats;
    hg_trainer *tr = NULL;
    hg_tokenizer *t = NULL;
    hg_tokenizer_options_init(&o);
    o.n_vocab = 270;
    CHECK_OK(hg_trainer_new(&tr, &o, &e), e);
    CHECK_OK(hg_trainer_add(tr, (hg_bytes){text, sizeof text - 1}, &e), e);
    CHECK_OK(hg_trainer_finish(tr, &t, &stats, NULL, &e), e);
    hg_trainer_free(tr);
    return t;
}

/* Saved as users have it and opened again; `is_flat`: the tied embedding is zero. */
static hg_model *model(bool is_flat)
{
    hg_model *made = NULL, *m = NULL;
    hg_tokenizer *t = tokenizer();
    hg_model_config c = {.arch = "llama",
                         .n_layers = 1,
                         .d_model = 32,
                         .n_heads = 2,
                         .d_ff = 64,
                         .n_vocab = hg_tokenizer_count(t),
                         .n_ctx = 32,
                         .tie_embeddings = true,
                         .bos_id = -1,
                         .eos_id = -1,
                         .pad_id = -1};
    CHECK_OK(hg_model_new(&made, &c, 5, &e), e);
    hg_model_set_tokenizer(made, t);
    if (is_flat) memset(made->embed->data, 0, (size_t)c.n_vocab * c.d_model * sizeof(float));
    const char *dir = test_path(is_flat ? "flat" : "random");
    CHECK_OK(hg_model_save(made, dir, HG_WEIGHTS_F32, NULL, &e), e);
    hg_model_free(made);
    if (rt == NULL) CHECK_OK(hg_runtime_new(&rt, 2, HG_N_ISA, &e), e);
    CHECK_OK(hg_model_open(&m, dir, HG_WEIGHTS_AS_STORED, rt, &e), e);
    return m;
}

static void end(hg_model *m)
{
    hg_model_free(m);
    hg_runtime_free(rt);
    rt = NULL;
}

static hg_row parse(const char *line, hg_arena *mem)
{
    hg_row r;
    CHECK_OK(hg_row_parse(&r, (hg_bytes){line, strlen(line)}, mem, &e), e);
    return r;
}

TEST(a_flat_model_costs_log_of_the_vocabulary_for_every_token)
{
    static const char text[] = "the cat sat on the mat, and then the dog sat on the cat. Why? "
                               "Nobody knows; not even the dog, who sat there all night long.";
    hg_model *m = model(true);
    hg_scorer s;
    hg_text_score score = {0};
    hg_ids ids = {0};
    CHECK_OK(hg_scorer_init(&s, m, rt, 0, &e), e);
    CHECK_EQ(s.n_ctx, 32);
    CHECK_OK(hg_tokenizer_encode(s.t, (hg_bytes){text, sizeof text - 1}, false, &ids, &e), e);
    CHECK(ids.n > 64); /* several windows */
    CHECK_OK(hg_score_document(&s, (hg_bytes){text, sizeof text - 1}, &score, &e), e);
    CHECK_EQ(score.bytes, sizeof text - 1);
    CHECK_EQ(score.tokens, ids.n);
    CHECK_NEAR(score.nats, (double)ids.n * log(270.0), 1e-4 * (double)ids.n);
    hg_text_score_free(&score);
    hg_scorer_free(&s);
    hg_ids_free(&ids);
    end(m);
}

/* Without a start token the first token has no past and is charged as a guess: the same here. */
TEST(the_first_token_is_charged_where_there_is_no_start_token)
{
    hg_model *m = model(true);
    hg_scorer s;
    hg_text_score score = {0};
    CHECK_OK(hg_scorer_init(&s, m, rt, 0, &e), e);
    CHECK(s.start >= 0);
    s.start = -1;
    CHECK_OK(hg_score_document(&s, (hg_bytes){"zq", 2}, &score, &e), e);
    CHECK_EQ(score.tokens, 2);
    CHECK_NEAR(score.nats, 2 * log(270.0), 1e-4);
    hg_text_score_free(&score);
    hg_scorer_free(&s);
    end(m);
}

TEST(a_tie_is_wrong_and_a_choice_is_judged_by_the_sum_of_its_tokens)
{
    hg_model *m = model(true);
    hg_scorer s;
    hg_arena mem = {0};
    hg_verdict v;
    CHECK_OK(hg_scorer_init(&s, m, rt, 0, &e), e);
    hg_row r = parse("{\"sentence_good\": \"zq\", \"sentence_bad\": \"qz\"}", &mem);
    CHECK_OK(hg_score_row(&s, &r, &v, &e), e);
    CHECK(!v.is_right); /* both cost two tokens */
    r = parse("{\"query\": \"q\", \"choices\": [\"qzqz\", \"z\", \"zqx\"], \"gold\": 1}", &mem);
    CHECK_OK(hg_score_row(&s, &r, &v, &e), e);
    CHECK(v.is_right);       /* a space and one byte; the others have more */
    CHECK(!v.is_right_byte); /* two tokens for one byte is the worst rate */
    r = parse("{\"query\": \"q\", \"choices\": [\"qzqz\", \"z\", \"zqx\"], \"gold\": 0}", &mem);
    CHECK_OK(hg_score_row(&s, &r, &v, &e), e);
    CHECK(!v.is_right && v.is_right_byte); /* five tokens for four bytes is the best rate */
    CHECK(!v.is_cut);
    hg_arena_free(&mem);
    hg_scorer_free(&s);
    end(m);
}

/* The likelihoods that a choice is judged by, against one pass over context and continuation. */
TEST(a_choice_is_scored_as_one_text)
{
    hg_model *m = model(false);
    hg_scorer s;
    hg_arena mem = {0};
    hg_ids ids = {0};
    double logprob[32], nats[2] = {0, 0};
    static const char *const texts[] = {"the cat sat on", "the cat knows"};
    CHECK_OK(hg_scorer_init(&s, m, rt, 0, &e), e);
    for (int k = 0; k < 2; k++) {
        ids.n = 0;
        CHECK_OK(hg_ids_push(&ids, s.start, &e), e);
        CHECK_OK(hg_tokenizer_encode(s.t, (hg_bytes){texts[k], strlen(texts[k])}, false, &ids, &e),
                 e);
        hg_session_rewind(s.session, 0);
        CHECK_OK(hg_session_score(s.session, ids.id, ids.n, logprob, &e), e);
        for (size_t i = 1; i < ids.n; i++) nats[k] += logprob[i];
    }
    hg_row r =
        parse("{\"query\": \"the cat\", \"choices\": [\"sat on\", \"knows\"], \"gold\": 0}", &mem);
    hg_verdict v;
    CHECK_OK(hg_score_row(&s, &r, &v, &e), e);
    CHECK_EQ(v.is_right, nats[0] > nats[1]);
    r.gold = 1;
    CHECK_OK(hg_score_row(&s, &r, &v, &e), e);
    CHECK_EQ(v.is_right, nats[1] > nats[0]);
    hg_ids_free(&ids);
    hg_arena_free(&mem);
    hg_scorer_free(&s);
    end(m);
}

TEST(a_context_that_does_not_fit_loses_its_beginning_and_says_so)
{
    hg_model *m = model(false);
    hg_scorer s;
    hg_arena mem = {0};
    hg_verdict v;
    CHECK_OK(hg_scorer_init(&s, m, rt, 16, &e), e);
    hg_row r = parse("{\"query\": \"xyzxyzxyzxyzxyzxyzxyzxyzxyz the cat\", \"choices\": [\"sat\", "
                     "\"zzzzzzzzzzzzzzzzzzzzzzzzz\"], \"gold\": 0}",
                     &mem);
    CHECK_OK(hg_score_row(&s, &r, &v, &e), e);
    CHECK(v.is_cut);
    r = parse("{\"prompt\": \"xyzxyzxyzxyzxyzxyzxyzxyzxyz\", \"answer\": \"cat\"}", &mem);
    CHECK_OK(hg_score_row(&s, &r, &v, &e), e);
    CHECK(v.is_cut);
    hg_buf_free(&v.said);
    hg_arena_free(&mem);
    hg_scorer_free(&s);
    end(m);
}

/* What greedy decoding says is, by definition, what NEXT accepts; and nothing else. */
TEST(next_words_are_right_when_they_are_the_greedy_ones)
{
    hg_model *m = model(false);
    hg_scorer s;
    hg_verdict v;
    hg_bytes prompt = {"a\n", 2};
    char letter[3] = "a\n";
    int proven = 0;
    CHECK_OK(hg_scorer_init(&s, m, rt, 0, &e), e);
    for (prompt.p = letter; letter[0] <= 'z'; letter[0]++) {
        hg_row r = {.kind = HG_ROW_NEXT, .prompt = prompt, .continuation = {"~", 1}};
        CHECK_OK(hg_score_row(&s, &r, &v, &e), e);
        CHECK(v.said.n > 0);
        hg_buf greedy = v.said;
        s.ids.n = 0;
        CHECK_OK(hg_tokenizer_encode(s.t, (hg_bytes){greedy.p, greedy.n}, false, &s.ids, &e), e);
        if (s.ids.n == 1 && greedy.p[0] != '~') { /* a text that stands for this one token */
            CHECK(!v.is_right);
            r.continuation = (hg_bytes){greedy.p, greedy.n};
            CHECK_OK(hg_score_row(&s, &r, &v, &e), e);
            CHECK(v.is_right);
            hg_buf_free(&v.said);
            proven++;
        }
        hg_buf_free(&greedy);
    }
    CHECK(proven > 0);
    hg_scorer_free(&s);
    end(m);
}

TEST(a_whole_run_gives_figures_json_and_a_page)
{
    hg_model *m = model(true);
    hg_eval_report *r = NULL;
    hg_eval_options o;
    hg_buf page = {0};
    CHECK_OK(hg_file_write(test_path("text.txt"),
                           "The cat sat on the mat. It was warm there, and so it stayed all day.\n",
                           69, &e),
             e);
    hg_eval_options_init(&o);
    o.text = test_path("text.txt");
    o.limit = 8;
    o.model = "flat <model>";
    CHECK_OK(hg_eval_run(&r, m, rt, &o, NULL, &e), e);
    CHECK_EQ(hg_eval_count(r), 6);
    const hg_eval_figure *f = hg_eval_get(r, 0);
    CHECK_STR(f->metric, "bits per byte");
    CHECK(f->value > 0 && f->low <= f->value && f->value <= f->high);
    f = hg_eval_get(r, 1);
    CHECK_STR(f->metric, "perplexity per token");
    CHECK_NEAR(f->value, 270, 0.5);
    for (size_t i = 2; i < 6; i++) CHECK_EQ(hg_eval_get(r, i)->n, 8);
    CHECK_NEAR(hg_eval_get(r, 2)->chance, 0.5, 1e-12);
    CHECK_NEAR(hg_eval_get(r, 3)->chance, 0.25, 1e-12);
    CHECK(isnan(hg_eval_get(r, 5)->chance));
    CHECK(hg_eval_get(r, 6) == NULL);
    json_t *root = json_loadb(hg_eval_json(r).p, hg_eval_json(r).n, 0, NULL);
    CHECK_EQ(json_array_size(json_object_get(root, "results")), 6);
    json_decref(root);
    CHECK_OK(hg_eval_write_html(r, test_path("page.html"), &e), e);
    CHECK_OK(hg_file_read(&page, test_path("page.html"), 1 << 20, &e), e);
    CHECK_HAS(page.p, "flat &lt;model&gt;");
    hg_buf_free(&page);
    hg_eval_free(r);
    end(m);
}

TEST(options_that_make_no_sense_are_refused)
{
    hg_model *m = model(true);
    hg_eval_report *r = NULL;
    hg_eval_options o;
    hg_eval_options_init(&o);
    o.suite = "huge";
    CHECK_EQ(hg_eval_run(&r, m, rt, &o, NULL, &e), HG_E_ARG);
    CHECK_STR(e.msg, "no suite \"huge\"; there are quick and full");
    hg_eval_options_init(&o);
    o.no_builtin = true;
    CHECK_EQ(hg_eval_run(&r, m, rt, &o, NULL, &e), HG_E_ARG);
    o.data = test_path("nowhere");
    CHECK_EQ(hg_eval_run(&r, m, rt, &o, NULL, &e), HG_E_MISSING);
    CHECK_HAS(e.msg, "no such folder of evaluation sets");
    CHECK(r == NULL);
    end(m);
}
