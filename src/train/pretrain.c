/* `higgins train`: from a corpus to a model. Finds (or, with the one dial, makes) the tokenizer,
 * makes or reuses the token shard, draws a model of the recipe's shape (or opens the one it is to
 * go on from), says what memory the run needs, and hands all of it to the trainer. */
#include "train/corpora.h"
#include "train/first_model.h"
#include "train/scale.h"
#include "train/trainer.h"
#include <math.h>
#include <string.h>

/* Everything of the run that must be freed. */
typedef struct run {
    hg_recipe recipe;
    hg_tokenizer *tokenizer; /* until the model has it; NULL: the base's */
    hg_corpora corpora;
    hg_model *model;
    hg_arena mem;
    hg_memory_plan plan;
} run;

void hg_train_options_init(hg_train_options *o)
{
    memset(o, 0, sizeof *o);
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
    hg_scale_recipe(r, n_params, n->corpora.source->n_rows * (uint64_t)r->seq_len, &s);
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
    if (n->model == NULL && r->automatic && !hg_recipe_given(r, "seq_len"))
        r->seq_len = hg_scale_seq_len(r->depth);
    if (n->model != NULL)
        *c = n->model->c;
    else
        HG_TRY(hg_first_config(c, r, n->tokenizer, e));
    HG_TRY(hg_corpora_cut(&n->corpora, r, &n->mem, e));
    result->plan_seconds = (double)NAN;
    if (r->automatic) HG_TRY(choose(n, c, rt, compute, result, w, e));
    double seconds = result->plan_seconds;
    HG_TRY(hg_memory_plan_make(&n->plan, c, 0, 0, NULL, 0, n->corpora.source, r, rt, compute, e));
    hg_result_plan(result, r, &n->plan, n->corpora.source);
    result->plan_seconds = seconds;
    hg_watch_log(w, HG_INFO,
                 "%s: %u layers, width %u, %u heads, %llu parameters; %llu rows of %lld tokens, "
                 "%llu held out",
                 c->arch, c->n_layers, c->d_model, c->n_heads, (unsigned long long)n->plan.n_params,
                 (unsigned long long)n->corpora.source->n_rows, (long long)r->seq_len,
                 (unsigned long long)n->corpora.source->n_val_rows);
    hg_memory_plan_say(&n->plan, w);
    HG_TRY(hg_memory_plan_check(&n->plan, e));
    return hg_ranks_wait_for_all(r->ranks, e);
}

/* Rank 0 comes first: what it makes (a tokenizer, token shards) the others find. */
static hg_status open_data(run *n, const hg_watch *w, hg_err *e)
{
    hg_recipe *r = &n->recipe;
    if (hg_ranks_me(r->ranks) != 0) HG_TRY(hg_ranks_wait_for_all(r->ranks, e));
    if (n->model == NULL) HG_TRY(hg_first_tokenizer(&n->tokenizer, r, true, w, e));
    const hg_tokenizer *t = n->model != NULL ? n->model->tokenizer : n->tokenizer;
    HG_TRY(hg_mkdirs(r->out, e));
    HG_TRY(hg_corpora_open(&n->corpora, r, t, &n->mem, w, e));
    return hg_ranks_me(r->ranks) == 0 ? hg_ranks_wait_for_all(r->ranks, e) : HG_OK;
}

static hg_status run_train(run *n, const hg_train_options *o, hg_runtime *rt, const hg_watch *w,
                           hg_train_result *result, hg_err *e)
{
    hg_model_config c;
    hg_compute compute = hg_precision_compute(n->recipe.precision, rt);
    hg_run_job job = {.recipe = &n->recipe,
                      .rt = rt,
                      .watch = w,
                      .plan = &n->plan,
                      .compute = compute,
                      .resume = o->resume,
                      .started = hg_seconds()};
    n->plan.before = hg_memory_before();
    if (*n->recipe.base != '\0') HG_TRY(hg_first_base(&n->model, &n->recipe, e));
    HG_TRY(open_data(n, w, e));
    const hg_tokenizer *t = n->model != NULL ? n->model->tokenizer : n->tokenizer;
    job.vocab_hash = hg_tokens_vocab_hash(t);
    HG_TRY(plan(n, &c, rt, compute, result, w, e));
    if (o->plan_only) return HG_OK;
    if (n->model != NULL) {
        job.base_hash = hg_weights_hash(n->model);
    } else {
        hg_tokenizer *own = n->tokenizer;
        n->tokenizer = NULL;
        HG_TRY(hg_first_model(&n->model, &n->recipe, &c, own, e));
    }
    job.model = n->model;
    job.source = n->corpora.source;
    return hg_trainer_run(&job, result, e);
}

hg_status hg_train_run(const hg_train_options *o, hg_runtime *rt, const hg_watch *w,
                       hg_train_result *result, hg_err *e)
{
    run n = {.model = NULL};
    hg_watch room;
    memset(result, 0, sizeof *result);
    hg_arena_init(&n.mem, 0);
    w = hg_ranks_watch(o->ranks, w, &room);
    hg_status s = hg_recipe_make(&n.recipe, HG_STAGE_TRAIN, o, e);
    if (s == HG_OK) s = hg_recipe_check(&n.recipe, true, e);
    if (s == HG_OK) s = run_train(&n, o, rt, w, result, e);
    hg_model_free(n.model);
    hg_tokenizer_free(n.tokenizer);
    hg_corpora_close(&n.corpora);
    hg_arena_free(&n.mem);
    hg_recipe_free(&n.recipe);
    return s;
}
