/* `higgins tune`: from a model and conversations to a model that answers. Reads and packs the
 * conversations, opens the base with weights that can be trained, and hands both to the trainer,
 * which knows nothing of conversations. */
#include "data/tokens.h"
#include "train/first_model.h"
#include "model/tuning.h"
#include "train/method.h"
#include <string.h>

enum { DEFAULT_SEQ_LEN = 1024 };

typedef struct run {
    hg_recipe recipe;
    hg_model *model;
    hg_chats chats;
    hg_packed packed;
    hg_tuning tuning;
    const hg_source *source; /* of packed conversations or of tasks */
    hg_arena mem;
    hg_memory_plan plan;
} run;

static void free_run(run *n)
{
    hg_method_free(&n->tuning);
    hg_packed_free(&n->packed);
    hg_chats_free(&n->chats);
    hg_model_free(n->model);
    hg_arena_free(&n->mem);
    hg_recipe_free(&n->recipe);
}

/* A model without a template of its own gets ours, which is only as good as its marks: without them
 * as single tokens, nothing tells where an answer ends. */
static hg_status check_chat_tokens(const hg_model *m, const char *base, hg_err *e)
{
    static const char *const marks[] = {"<|im_start|>", "<|im_end|>"};
    if (m->tokenizer == NULL) return hg_fail(e, HG_E_MISSING, "%s has no tokenizer.json", base);
    for (size_t i = 0; i < 2 && m->chat_template == NULL; i++)
        if (hg_tokenizer_special(m->tokenizer, marks[i]) < 0)
            return hg_fail(e, HG_E_ARG,
                           "%s has no chat template, and its tokenizer no special token %s, which "
                           "ours needs (tokenizers that `higgins tokenizer train` makes have it)",
                           base, marks[i]);
    return HG_OK;
}

static hg_status choose_template(hg_model *m, const hg_recipe *r, hg_err *e)
{
    HG_TRY(hg_method_template(m, r, e));
    return check_chat_tokens(m, r->base, e);
}

static hg_status choose_seq_len(hg_recipe *r, const hg_model_config *c, hg_err *e)
{
    if (r->seq_len == 0) r->seq_len = c->n_ctx < DEFAULT_SEQ_LEN ? c->n_ctx : DEFAULT_SEQ_LEN;
    if (r->seq_len <= (int64_t)c->n_ctx && r->seq_len >= 2) return HG_OK;
    return hg_fail(e, HG_E_ARG, "seq_len: %lld tokens, the model's context is %u",
                   (long long)r->seq_len, c->n_ctx);
}

static hg_status take_tasks(run *n, hg_runtime *rt, const hg_watch *w, hg_err *e)
{
    hg_grpo *g = &n->tuning.grpo;
    HG_TRY(hg_grpo_init(g, &n->chats, n->model, &n->recipe, rt, &n->mem, w, e));
    n->source = &g->source;
    hg_watch_log(w, HG_INFO, "%zu tasks: %zu learnt from, %zu left out; %zu answers a step",
                 n->chats.n, g->n_tasks, g->n_dropped, g->n);
    return HG_OK;
}

static hg_status pack(run *n, const hg_watch *w, hg_err *e)
{
    const hg_recipe *r = &n->recipe;
    HG_TRY(hg_packed_init(&n->packed, &n->chats, n->model->tokenizer, n->model->chat_template,
                          (size_t)r->seq_len, r->val_share, (uint64_t)r->seed, &n->mem, w, e));
    hg_watch_log(w, HG_INFO,
                 "%zu conversations: %zu learnt from or held out, %zu of them cut, %zu left out; "
                 "%llu tokens of answers "
                 "in %llu rows, %llu rows held out",
                 n->chats.n, n->packed.n_chats, n->packed.n_truncated, n->packed.n_dropped,
                 (unsigned long long)n->packed.n_targets,
                 (unsigned long long)n->packed.source.n_rows,
                 (unsigned long long)n->packed.source.n_val_rows);
    hg_chats_free(&n->chats);
    n->source = &n->packed.source;
    return HG_OK;
}

static uint64_t adapter_size(const hg_model *m)
{
    uint64_t size = 0;
    for (size_t i = 0; m->tuning != NULL && i < m->tuning->n_params; i++)
        size += hg_tensor_count(m->tuning->param[i]);
    return size;
}

static void say_beside(const hg_model *m, const hg_watch *w)
{
    char names[HG_TARGETS_SIZE];
    hg_tuning_beside(m, names);
    if (names[0] != '\0')
        hg_watch_log(w, HG_INFO,
                     "lora_targets: %s's files hold %s in one matrix with what is chosen: they are "
                     "trained too",
                     m->arch->name, names);
}

/* What the packed conversations have taken. */
static uint64_t taken(const hg_packed *p)
{
    return p->ids.n * (sizeof *p->ids.id + sizeof *p->mask.weight) +
           p->n_chats * (sizeof *p->chat + 3 * sizeof(size_t));
}

static hg_status run_tune(run *n, const hg_train_options *o, hg_runtime *rt, const hg_watch *w,
                          hg_train_result *result, hg_err *e)
{
    hg_recipe *r = &n->recipe;
    hg_compute compute = hg_precision_compute(r->precision, rt);
    hg_run_job job = {.recipe = r,
                      .rt = rt,
                      .watch = w,
                      .plan = &n->plan,
                      .compute = compute,
                      .resume = o->resume,
                      .started = hg_seconds()};
    n->plan.before = hg_memory_before();
    HG_TRY(hg_method_defaults(r, e));
    /* Of a task hg_task_tune has told what the files are. */
    HG_TRY(hg_method_load(r, &n->chats, r->task != HG_PRESET_NONE ? NULL : w, e));
    HG_TRY(hg_first_tuned(&n->model, r, false, e));
    say_beside(n->model, w);
    HG_TRY(choose_template(n->model, r, e));
    HG_TRY(choose_seq_len(r, &n->model->c, e));
    HG_TRY(r->method == HG_METHOD_GRPO ? take_tasks(n, rt, w, e) : pack(n, w, e));
    job.source = n->source;
    job.vocab_hash = hg_tokens_vocab_hash(n->model->tokenizer);
    HG_TRY(hg_method_teacher(&n->tuning, r, job.vocab_hash, rt, &n->mem, e));
    HG_TRY(hg_method_reference(&n->tuning, r, e));
    HG_TRY(hg_memory_plan_make(&n->plan, &n->model->c, adapter_size(n->model),
                               hg_model_bytes(n->model), n->model->tuning != NULL ? n->model : NULL,
                               taken(&n->packed), n->source, r, rt, compute, e));
    if (n->tuning.distilling.teacher != NULL)
        hg_memory_plan_teach(&n->plan, n->tuning.distilling.teacher, &n->model->c, n->source, r, rt,
                             compute);
    if (n->tuning.reference != NULL) hg_memory_plan_refer(&n->plan, n->tuning.reference);
    if (r->method == HG_METHOD_GRPO)
        hg_memory_plan_answer(&n->plan, n->model, hg_grpo_at_once(&n->tuning.grpo), n->source);
    hg_memory_plan_say(&n->plan, w);
    HG_TRY(hg_memory_plan_check(&n->plan, e));
    HG_TRY(hg_ranks_wait_for_all(r->ranks, e));
    hg_result_plan(result, r, &n->plan, n->source);
    if (o->plan_only) return HG_OK;
    if (n->model->chat_template == NULL)
        HG_TRY(hg_model_set_chat_template(n->model, hg_chat_template_default(), e));
    job.model = n->model;
    job.base_hash = hg_weights_hash(n->model);
    HG_TRY(hg_method_init(&n->tuning, &job, &n->packed, &n->mem, e));
    return hg_trainer_run(&job, result, e);
}

hg_status hg_tune_run(const hg_train_options *o, hg_runtime *rt, const hg_watch *w,
                      hg_train_result *result, hg_err *e)
{
    run n = {.model = NULL};
    hg_watch room;
    memset(result, 0, sizeof *result);
    hg_arena_init(&n.mem, 0);
    w = hg_ranks_watch(o->ranks, w, &room);
    hg_status s = hg_recipe_make(&n.recipe, HG_STAGE_TUNE, o, e);
    if (s == HG_OK) s = hg_recipe_check(&n.recipe, true, e);
    if (s == HG_OK) s = run_tune(&n, o, rt, w, result, e);
    free_run(&n);
    return s;
}

/* ---- --show-mask ---- */

/* Ids in runs of one kind each. */
static void show_ids(const hg_tokenizer *t, const hg_ids *ids, const hg_mask *mask, size_t line,
                     hg_tune_show_fn *fn, void *ctx)
{
    for (size_t i = 0; i < ids->n; i++) {
        hg_bytes piece = hg_tokenizer_piece(t, ids->id[i], true);
        if (piece.n > 0) fn(ctx, piece, mask->weight[i], line);
    }
    fn(ctx, (hg_bytes){"", 0}, 0, line);
}

/* A chat's timelines: of a pair both. */
static hg_status show_chat(const hg_chat *c, const hg_chat_look *l, const hg_tokenizer *t,
                           hg_tune_show_fn *fn, void *ctx, hg_err *e)
{
    hg_ids ids = {0};
    hg_mask mask = {0};
    hg_status s = HG_OK;
    for (int side = 0; s == HG_OK && side < (c->other != NULL ? 2 : 1); side++) {
        ids.n = mask.n = 0;
        s = hg_packed_render(c, side > 0, l, &ids, &mask, e);
        if (s == HG_OK) show_ids(t, &ids, &mask, c->line, fn, ctx);
    }
    hg_ids_free(&ids);
    hg_mask_free(&mask);
    return s;
}

static hg_status show_chats(run *n, const hg_tokenizer *t, const char *tmpl, size_t limit,
                            hg_tune_show_fn *fn, void *ctx, hg_err *e)
{
    hg_chat_look l = {0};
    hg_status s = hg_chat_look_open(&l, t, tmpl, e);
    for (size_t i = 0; s == HG_OK && i < n->chats.n && i < limit; i++)
        s = show_chat(&n->chats.chat[i], &l, t, fn, ctx, e);
    hg_chat_look_close(&l);
    return s;
}

hg_status hg_tune_show(const hg_train_options *o, size_t limit, hg_tune_show_fn *fn, void *ctx,
                       hg_err *e)
{
    run n = {.model = NULL};
    hg_arena_init(&n.mem, 0);
    hg_status s = hg_recipe_make(&n.recipe, HG_STAGE_TUNE, o, e);
    if (s == HG_OK) s = hg_recipe_check(&n.recipe, false, e);
    if (s == HG_OK) s = hg_method_defaults(&n.recipe, e);
    if (s == HG_OK) s = hg_method_load(&n.recipe, &n.chats, NULL, e);
    if (s == HG_OK) s = hg_model_open_frozen(&n.model, n.recipe.base, true, e);
    if (s == HG_OK) s = choose_template(n.model, &n.recipe, e);
    if (s == HG_OK)
        s = show_chats(&n, n.model->tokenizer, n.model->chat_template, limit, fn, ctx, e);
    free_run(&n);
    return s;
}
