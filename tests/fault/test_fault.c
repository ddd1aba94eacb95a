/* The stages of a model's life with the 1st, 2nd, 3rd ... allocation failing. */
#include "fault.h"

#include "base/file.h"
#include "data/corpus.h"
#include "harness/test.h"
#include "model/model.h"
#include "text/page.h"

#include <higgins/collect.h>
#include <higgins/infer.h>
#include <higgins/report.h>
#include <higgins/tokenizer.h>

#include <stdio.h>
#include <string.h>

static const char page_text[] = "<html><head><title>On memory</title></head><body><p>A program "
                                "that is given no memory must say so in one sentence, give back "
                                "what it holds, and leave every file as it was. This page is long "
                                "enough to be kept by the rules of quality, and it says "
                                "something different in every sentence that it has.</p><p>Nothing "
                                "is lost, nothing is half written; the caller may try again "
                                "when there is room.</p></body></html>";

static void put(const char *path, const char *text)
{
    hg_err e = {0};
    CHECK_OK(hg_file_write(path, text, strlen(text), &e), e);
}

/* ---- collect ---- */

static hg_status collect(void *ctx, hg_err *e)
{
    (void)ctx;
    const char *source = test_path("in");
    hg_collect_options o;
    hg_collect_options_init(&o);
    o.min_chars = 50;
    hg_collect_stats stats;
    return hg_collect(&source, 1, &o, test_path("corpus"), NULL, &stats, e);
}

TEST_SECONDS(collecting_survives_any_failing_allocation, 240)
{
    hg_err e = {0};
    CHECK_OK(hg_mkdirs(test_path("in"), &e), e);
    put(test_path("in/a.html"), page_text);
    put(test_path("in/b.txt"), "A plain text that is long enough to be kept, with words that "
                               "differ from each other all the way.\n");
    put(test_path("in/c.jsonl"), "{\"text\": \"One record of JSON lines, long enough to be kept by "
                                 "the rules that drop short ones.\"}\n");
    CHECK(fault_run(collect, NULL, 1) > 20);
    const char *path = test_path("corpus");
    hg_corpus *c = NULL;
    CHECK_OK(hg_corpus_open(&c, &path, 1, &e), e);
    CHECK_EQ(hg_corpus_documents(c), 3);
    hg_corpus_close(c);
}

static hg_status read_corpus(void *ctx, hg_err *e)
{
    (void)ctx;
    const char *path = test_path("corpus");
    hg_corpus *c = NULL;
    HG_TRY(hg_corpus_open(&c, &path, 1, e));
    hg_status s = HG_OK;
    for (bool has = true; s == HG_OK && has;) {
        hg_doc doc;
        s = hg_corpus_next(c, &doc, &has, e);
    }
    hg_corpus_close(c);
    return s;
}

TEST(reading_a_corpus_survives_any_failing_allocation)
{
    hg_err e = {0};
    CHECK_OK(hg_mkdirs(test_path("in"), &e), e);
    put(test_path("in/a.html"), page_text);
    CHECK_OK(collect(NULL, &e), e);
    CHECK(fault_run(read_corpus, NULL, 1) > 3);
}

/* ---- tokenizer ---- */

static hg_status train_tokenizer(void *ctx, hg_err *e)
{
    const char *source = ctx;
    hg_tokenizer_options o;
    hg_tokenizer_options_init(&o);
    o.n_vocab = 300;
    hg_tokenizer_stats stats;
    return hg_tokenizer_train(&source, 1, &o, test_path("tokenizer.json"), NULL, &stats, e);
}

static hg_status use_tokenizer(void *ctx, hg_err *e)
{
    (void)ctx;
    hg_tokenizer *t = NULL;
    hg_ids ids = {0}, talk = {0};
    hg_mask mask = {0};
    const hg_message m[] = {{"user", {"Hello there", 11}},
                            {"assistant", {"Good day, and what can I do?", 28}}};
    hg_status s = hg_tokenizer_open(&t, test_path("tokenizer.json"), e);
    if (s == HG_OK)
        s = hg_tokenizer_encode(t, (hg_bytes){page_text, sizeof page_text - 1}, true, &ids, e);
    if (s == HG_OK) s = hg_chat_render(t, NULL, m, 2, false, &talk, &mask, e);
    hg_mask_free(&mask);
    hg_ids_free(&talk);
    hg_ids_free(&ids);
    hg_tokenizer_free(t);
    return s;
}

TEST_SECONDS(the_tokenizer_survives_any_failing_allocation, 240)
{
    hg_err e = {0};
    char *source = hg_strdup(test_path("text.txt"));
    put(source, page_text);
    CHECK(fault_run(train_tokenizer, source, 1) > 10);
    CHECK_OK(train_tokenizer(source, &e), e);
    CHECK(fault_run(use_tokenizer, NULL, 1) > 10);
    hg_free(source);
}

/* ---- model ---- */

static const hg_model_config config = {.arch = "llama",
                                       .n_layers = 2,
                                       .d_model = 32,
                                       .n_heads = 2,
                                       .n_kv_heads = 1,
                                       .d_head = 16,
                                       .d_ff = 48,
                                       .n_vocab = 300,
                                       .n_ctx = 64,
                                       .norm_eps = 1e-5f,
                                       .rope_theta = 10000,
                                       .tie_embeddings = true,
                                       .bos_id = -1,
                                       .eos_id = 0,
                                       .pad_id = -1};

static hg_status save_model(void *ctx, hg_err *e)
{
    (void)ctx;
    hg_model *m = NULL;
    hg_status s = hg_model_new(&m, &config, 1, e);
    if (s == HG_OK) s = hg_model_save(m, test_path("model"), HG_WEIGHTS_F32, NULL, e);
    hg_model_free(m);
    return s;
}

static hg_status export_model(void *ctx, hg_err *e)
{
    (void)ctx;
    return hg_model_export_gguf(test_path("model"), test_path("model.gguf"), HG_WEIGHTS_F16, NULL,
                                e);
}

static hg_status run_model(void *ctx, hg_err *e)
{
    hg_runtime *rt = NULL;
    hg_model *m = NULL;
    hg_session *session = NULL;
    static const int32_t ids[] = {1, 2, 3, 4, 5};
    const float *logits = NULL;
    hg_status s = hg_runtime_new(&rt, 2, HG_N_ISA, e);
    if (s == HG_OK) s = hg_model_open(&m, ctx, HG_WEIGHTS_AS_STORED, rt, e);
    if (s == HG_OK) s = hg_session_new(&session, m, rt, NULL, e);
    if (s == HG_OK) s = hg_session_feed(session, ids, 5, &logits, e);
    if (s == HG_OK) s = hg_session_feed(session, ids, 1, &logits, e);
    hg_session_free(session);
    hg_model_free(m);
    hg_runtime_free(rt);
    return s;
}

TEST_SECONDS(a_model_survives_any_failing_allocation, 240)
{
    hg_err e = {0};
    CHECK(fault_run(save_model, NULL, 1) > 10);
    CHECK_OK(save_model(NULL, &e), e);
    CHECK(fault_run(export_model, NULL, 1) > 10);
    char *folder = hg_strdup(test_path("model")), *gguf = hg_strdup(test_path("model.gguf"));
    CHECK(fault_run(run_model, folder, 1) > 10);
    CHECK(fault_run(run_model, gguf, 1) > 10);
    hg_free(folder);
    hg_free(gguf);
}

/* One training step: forward, loss, backward. */
static hg_status step(void *ctx, hg_err *e)
{
    (void)ctx;
    hg_runtime *rt = NULL;
    hg_model *m = NULL;
    hg_arena mem;
    hg_arena_init(&mem, 0);
    static const int32_t ids[] = {1, 2, 3, 4}, pos[] = {0, 1, 2, 3}, targets[] = {2, 3, 4, 5};
    const hg_span span = {.n = 4};
    const hg_batch b = {.n = 4, .ids = ids, .pos = pos, .spans = &span, .n_spans = 1};
    hg_status s = hg_runtime_new(&rt, 2, HG_N_ISA, e);
    if (s == HG_OK) s = hg_model_new(&m, &config, 1, e);
    if (s == HG_OK) {
        hg_graph g;
        hg_graph_init(&g, rt, &mem, HG_COMPUTE_F32, true);
        hg_tensor *x = hg_model_forward(&g, m, &b);
        hg_tensor *loss = hg_op_linear_cross_entropy(&g, x, m->head, targets, NULL, 0, NULL, NULL);
        s = hg_graph_status(&g, e);
        if (s == HG_OK) s = hg_graph_backward(&g, loss, 1, e);
    }
    hg_model_free(m);
    hg_arena_free(&mem);
    hg_runtime_free(rt);
    return s;
}

TEST(a_training_step_survives_any_failing_allocation)
{
    CHECK(fault_run(step, NULL, 1) > 10);
}

/* ---- report ---- */

static hg_status report(void *ctx, hg_err *e)
{
    (void)ctx;
    return hg_report_write(test_folder(), test_path("report.html"), e);
}

TEST(the_report_survives_any_failing_allocation)
{
    hg_err e = {0};
    CHECK_OK(hg_mkdirs(test_path("base"), &e), e);
    put(test_path("base/log.jsonl"),
        "{\"step\": 1, \"loss\": 3.5, \"lr\": 0.1, \"tokens\": 64, \"time\": 1, \"joules\": 5}\n"
        "{\"step\": 1, \"prompt\": \"Once\", \"sample\": \"Once upon\"}\n");
    put(test_path("base.json"), "{\"params\": 1000}");
    CHECK(fault_run(report, NULL, 1) > 10);
    CHECK(hg_path_exists(test_path("report.html")));
}
