/* `higgins train`: from a corpus to a model. Finds (or, with the one dial, makes) the tokenizer,
 * makes or reuses the token shard, draws a model of the recipe's shape, says what memory the run
 * needs, and hands all of it to the trainer. */
#include "data/corpus.h"
#include "base/hash.h"
#include "train/scale.h"
#include "train/shape.h"
#include "train/trainer.h"
#include "train/windows.h"
#include <math.h>
#include <string.h>

/* Everything of the run that must be freed. */
typedef struct run {
    hg_recipe recipe;
    hg_tokenizer *tokenizer; /* until the model has it */
    hg_tokens tokens;
    hg_windows windows;
    hg_model *model;
    hg_arena mem;
    hg_memory_plan plan;
} run;

void hg_train_options_init(hg_train_options *o)
{
    memset(o, 0, sizeof *o);
}

/* ---- tokenizer and tokens ---- */

/* With `auto`: the tokenizer of the run folder, made from the corpus when it is not there. */
static hg_status own_tokenizer(run *n, const hg_watch *w, hg_err *e)
{
    const hg_recipe *r = &n->recipe;
    hg_tokenizer_options o;
    const char *path = hg_arena_printf(&n->mem, "%s/tokenizer.json", r->out);
    if (path == NULL) return hg_fail(e, HG_E_NOMEM, "no room for a path");
    if (!hg_path_exists(path)) {
        hg_tokenizer_options_init(&o);
        o.n_vocab = hg_scale_vocab(r->depth);
        hg_watch_log(w, HG_INFO, "no tokenizer: making one of %u pieces from the corpus",
                     o.n_vocab);
        HG_TRY(hg_mkdirs(r->out, e));
        HG_TRY(hg_tokenizer_train(r->corpus.item, r->corpus.n, &o, path, w, NULL, e));
    }
    return hg_tokenizer_open(&n->tokenizer, path, e);
}

static hg_status open_tokenizer(run *n, const hg_watch *w, hg_err *e)
{
    const hg_recipe *r = &n->recipe;
    if (*r->tokenizer != '\0') return hg_tokenizer_open(&n->tokenizer, r->tokenizer, e);
    for (size_t i = 0; i < r->corpus.n; i++) {
        char *path = hg_arena_printf(&n->mem, "%s/tokenizer.json", r->corpus.item[i]);
        if (path == NULL) return hg_fail(e, HG_E_NOMEM, "no room for a path");
        if (hg_path_exists(path)) return hg_tokenizer_open(&n->tokenizer, path, e);
    }
    if (r->automatic) return own_tokenizer(n, w, e);
    return hg_fail(e, HG_E_ARG,
                   "train: no tokenizer; make one with `higgins tokenizer train CORPUS -o "
                   "tokenizer.json` and give its "
                   "path as the key \"tokenizer\"");
}

static hg_status put_documents(hg_corpus *c, hg_tokens_writer *t, const hg_watch *w, hg_err *e)
{
    hg_doc doc;
    bool has = false;
    for (uint64_t n = 0;; n++) {
        HG_TRY(hg_corpus_next(c, &doc, &has, e));
        if (!has) return HG_OK;
        HG_TRY(hg_tokens_put(t, doc.text, doc.part > 0 ? doc.source : doc.text, e));
        if (hg_watch_stopped(w))
            return hg_fail(e, HG_E_CANCELED, "stopped while the corpus was being encoded");
        const hg_progress p = {.stage = "encoding",
                               .unit = "bytes",
                               .done = (double)hg_corpus_bytes_done(c),
                               .total = (double)hg_corpus_bytes_total(c)};
        if (n % 16 == 0) hg_watch_progress(w, &p);
    }
}

static hg_status make_tokens(run *n, hg_corpus *c, const char *path, uint64_t corpus_hash,
                             const hg_watch *w, hg_err *e)
{
    hg_tokens_writer *t = NULL;
    HG_TRY(hg_tokens_create(&t, path, n->tokenizer, corpus_hash, e));
    hg_status s = put_documents(c, t, w, e);
    if (s != HG_OK) {
        hg_tokens_abort(t);
        return s;
    }
    return hg_tokens_commit(t, e);
}

/* The shard of this corpus and vocabulary: the one that is there, when it is that, or a new one. */
static hg_status open_tokens(run *n, const hg_watch *w, hg_err *e)
{
    const hg_recipe *r = &n->recipe;
    hg_corpus *c = NULL;
    char print[65];
    const char *path =
        *r->tokens != '\0' ? r->tokens : hg_arena_printf(&n->mem, "%s/tokens.hgt", r->out);
    if (path == NULL) return hg_fail(e, HG_E_NOMEM, "no room for a path");
    HG_TRY(hg_corpus_open(&c, r->corpus.item, r->corpus.n, e));
    hg_corpus_fingerprint(c, print);
    uint64_t corpus_hash = hg_hash64(print, 64, 0);
    hg_status s = hg_tokens_open(&n->tokens, path, NULL);
    bool fits = s == HG_OK && n->tokens.corpus_hash == corpus_hash &&
                n->tokens.vocab_hash == hg_tokens_vocab_hash(n->tokenizer);
    if (!fits) {
        hg_tokens_close(&n->tokens);
        s = make_tokens(n, c, path, corpus_hash, w, e);
        if (s == HG_OK) s = hg_tokens_open(&n->tokens, path, e);
    }
    hg_corpus_close(c);
    if (s == HG_OK)
        hg_watch_log(w, HG_INFO, "%s: %llu documents, %llu tokens%s", path,
                     (unsigned long long)n->tokens.n_docs, (unsigned long long)n->tokens.n_tokens,
                     fits ? " (made before)" : "");
    return s;
}

/* ---- the model ---- */

static hg_status new_model(run *n, const hg_model_config *c, hg_err *e)
{
    HG_TRY(hg_model_new(&n->model, c, (uint64_t)n->recipe.seed, e));
    hg_model_set_tokenizer(n->model, n->tokenizer);
    n->tokenizer = NULL;
    if (hg_tokenizer_special(n->model->tokenizer, "<|im_start|>") < 0) return HG_OK;
    return hg_model_set_chat_template(n->model, hg_chat_template_default(), e);
}

/* What training reaches of the rate of products alone, measured on a few shapes. */
#define TRAINING_SHARE 0.6

/* With `auto`: what the recipe leaves open, and how long it will take. */
static hg_status choose(run *n, const hg_model_config *c, hg_runtime *rt, hg_compute compute,
                        hg_train_result *result, const hg_watch *w, hg_err *e)
{
    hg_recipe *r = &n->recipe;
    hg_scale s;
    hg_arena mem;
    uint64_t n_params = 0;
    HG_TRY(hg_model_config_count(c, &n_params, e));
    hg_scale_recipe(r, n_params, n->windows.source.n_rows * (uint64_t)r->seq_len, &s);
    hg_arena_init(&mem, 0);
    double rate = TRAINING_SHARE * hg_product_rate(rt, compute, &mem);
    hg_arena_free(&mem);
    double a_token = 6 * (double)n_params + 12.0 * c->n_layers * c->d_model * (double)r->seq_len;
    result->plan_seconds = rate > 0 && s.steps > 0 ? s.tokens * a_token / rate : (double)NAN;
    hg_scale_say(&s, r, result->plan_seconds, w);
    return HG_OK;
}

static hg_status plan(run *n, hg_model_config *c, hg_runtime *rt, hg_compute compute,
                      hg_train_result *result, const hg_watch *w, hg_err *e)
{
    hg_recipe *r = &n->recipe;
    if (r->automatic && !hg_recipe_given(r, "seq_len")) r->seq_len = hg_scale_seq_len(r->depth);
    HG_TRY(hg_recipe_shape(r, hg_tokenizer_count(n->tokenizer), c, e));
    c->eos_id = hg_tokenizer_special(n->tokenizer, "<|endoftext|>");
    c->pad_id = hg_tokenizer_special(n->tokenizer, "<|pad|>");
    HG_TRY(hg_windows_init(&n->windows, &n->tokens, (size_t)r->seq_len, r->val_share, &n->mem, e));
    result->plan_seconds = (double)NAN;
    if (r->automatic) HG_TRY(choose(n, c, rt, compute, result, w, e));
    double seconds = result->plan_seconds;
    HG_TRY(hg_memory_plan_make(&n->plan, c, &n->windows.source, r, rt, compute, e));
    hg_result_plan(result, r, &n->plan, &n->windows.source);
    result->plan_seconds = seconds;
    hg_watch_log(
        w, HG_INFO,
        "%s: %u layers, width %u, %u heads, %llu parameters; %llu rows of %u tokens, %llu held out",
        c->arch, c->n_layers, c->d_model, c->n_heads, (unsigned long long)n->plan.n_params,
        (unsigned long long)n->windows.source.n_rows, c->n_ctx,
        (unsigned long long)n->windows.source.n_val_rows);
    hg_memory_plan_say(&n->plan, w);
    return hg_memory_plan_check(&n->plan, e);
}

static hg_status run_train(run *n, const hg_train_options *o, hg_runtime *rt, const hg_watch *w,
                           hg_train_result *result, hg_err *e)
{
    hg_model_config c;
    hg_compute compute = hg_precision_compute(n->recipe.precision, rt);
    hg_run_job job = {.recipe = &n->recipe,
                      .source = &n->windows.source,
                      .rt = rt,
                      .watch = w,
                      .plan = &n->plan,
                      .compute = compute,
                      .resume = o->resume,
                      .started = hg_seconds()};
    HG_TRY(open_tokenizer(n, w, e));
    HG_TRY(hg_mkdirs(n->recipe.out, e));
    HG_TRY(open_tokens(n, w, e));
    job.vocab_hash = n->tokens.vocab_hash;
    job.rss_at_start = hg_peak_rss();
    HG_TRY(plan(n, &c, rt, compute, result, w, e));
    if (o->plan_only) return HG_OK;
    HG_TRY(new_model(n, &c, e));
    job.model = n->model;
    return hg_trainer_run(&job, result, e);
}

hg_status hg_train_run(const hg_train_options *o, hg_runtime *rt, const hg_watch *w,
                       hg_train_result *result, hg_err *e)
{
    run n = {.model = NULL};
    memset(result, 0, sizeof *result);
    hg_arena_init(&n.mem, 0);
    hg_status s = hg_recipe_make(&n.recipe, HG_STAGE_TRAIN, o, e);
    if (s == HG_OK) s = hg_recipe_check(&n.recipe, true, e);
    if (s == HG_OK) s = run_train(&n, o, rt, w, result, e);
    hg_model_free(n.model);
    hg_tokenizer_free(n.tokenizer);
    hg_tokens_close(&n.tokens);
    hg_arena_free(&n.mem);
    hg_recipe_free(&n.recipe);
    return s;
}
