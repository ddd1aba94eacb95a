/* The objective of GRPO. A step's first round makes the answers; each round looks at them without
 * a record, for the tokens' probabilities by now, and then goes forward and back with the loss's
 * derivatives as weights. */
#include "train/grpo.h"
#include <math.h>
#include <string.h>

static hg_grpo *mine(hg_objective *o)
{
    return (hg_grpo *)(void *)o;
}

static void grpo_row(const hg_source *source, bool held_out, uint64_t i, int32_t *ids,
                     int32_t *targets, uint8_t *begins)
{
    const hg_grpo *g = (const hg_grpo *)(const void *)((const char *)(const void *)source -
                                                       offsetof(hg_grpo, source));
    size_t len = source->seq_len, at = (size_t)(i - g->position) * len;
    (void)held_out;
    memcpy(ids, g->ids + at, len * sizeof *ids);
    memcpy(targets, g->targets + at, len * sizeof *targets);
    memcpy(begins, g->begins + at, len);
}

typedef struct sums {
    double loss, kl, clipped, tokens, reward;
} sums;

/* Loss and weights of one answer, whose tokens count for as much together as any other's. */
static void judge(hg_grpo *g, const hg_rollout *o, sums *s)
{
    double n = (double)(o->n - o->n_prompt), share = n > 0 ? 1 / (n * (double)g->n) : 0;
    for (size_t t = o->at + o->n_prompt - 1; t + 1 < o->at + o->n; t++) {
        const hg_token_loss l =
            hg_token_loss_of(o->advantage, -(double)g->losses[t], -(double)g->old[t],
                             -(double)g->ref[t], g->r->clip_ratio, g->r->kl);
        s->loss += share * l.loss;
        s->kl += l.kl;
        s->clipped += l.is_clipped;
        g->weights[t] = (float)(-share * l.by);
    }
    s->tokens += n;
    s->reward += o->reward;
}

static void tell(hg_grpo *g, const sums *s)
{
    hg_step_result *r = &g->result;
    double n = (double)g->n, tokens = s->tokens > 0 ? s->tokens : 1;
    *r = (hg_step_result){.loss = s->loss};
    r->figure[r->n_figures++] = (hg_figure){"reward", s->reward / n};
    r->figure[r->n_figures++] = (hg_figure){"clip_share", s->clipped / tokens};
    r->figure[r->n_figures++] = (hg_figure){"answer_tokens", s->tokens / n};
    if (g->r->kl > 0) r->figure[r->n_figures++] = (hg_figure){"kl", s->kl / tokens};
    if (g->r->reward == HG_REWARD_PROGRAM)
        r->figure[r->n_figures++] = (hg_figure){"checker_failures", (double)g->n_failed};
}

static hg_status begin(hg_objective *o, hg_learner *s, uint64_t position, hg_step_result *out,
                       hg_err *e)
{
    hg_grpo *g = mine(o);
    sums sum = {0};
    size_t all = g->n * g->source.seq_len;
    if (o->round == 0) HG_TRY(hg_grpo_answer(g, position, s->seed, e));
    for (size_t at = 0; at < hg_learner_rows(s);) {
        at += hg_learner_fill(s, position, at);
        out->n_targets += s->rows.n_targets;
        if (s->rows.n_targets == 0) continue;
        const size_t row = (size_t)(s->rows.of[0] - g->position) * s->rows.seq_len;
        HG_TRY(hg_learner_look(s, s->model, g->losses + row, e));
        if (o->round == 0 && g->r->kl > 0)
            HG_TRY(hg_learner_look_at_base(s, g->reference, g->ref + row, e));
    }
    if (o->round == 0) {
        memcpy(g->old, g->losses, all * sizeof *g->old);
        if (!(g->r->kl > 0)) memcpy(g->ref, g->losses, all * sizeof *g->ref);
    }
    for (size_t i = 0; i < g->n; i++) judge(g, &g->rollout[i], &sum);
    tell(g, &sum);
    return HG_OK;
}

static double weight(const hg_objective *o, const hg_learner *s, const hg_step_result *out)
{
    (void)o, (void)out;
    return s->rows.n_targets > 0 ? 1 : 0;
}

static hg_tensor *loss(hg_objective *o, hg_learner *s, hg_graph *graph)
{
    hg_grpo *g = mine(o);
    size_t at = (size_t)(s->rows.of[0] - g->position) * s->rows.seq_len;
    return hg_op_linear_surprise(graph, hg_learner_states(s, graph), s->model->head,
                                 s->rows.targets, g->weights + at, s->model->c.soft_cap, NULL);
}

static void end(hg_objective *o, hg_step_result *out)
{
    const hg_step_result *r = &mine(o)->result;
    out->loss = r->loss;
    out->n_figures = r->n_figures;
    memcpy(out->figure, r->figure, sizeof r->figure);
}

/* Nothing is held out: the reward of new answers is the measure. */
static hg_status validate(hg_objective *o, hg_learner *s, uint64_t n_rows, hg_step_result *out,
                          hg_err *e)
{
    (void)o, (void)s, (void)n_rows, (void)e;
    out->loss = (double)NAN;
    return HG_OK;
}

static hg_status prepare(hg_objective *o, hg_learner *s, const char *folder, const hg_watch *w,
                         hg_err *e)
{
    (void)s, (void)folder, (void)e;
    mine(o)->watch = w;
    return HG_OK;
}

/* ---- tasks ---- */

static hg_status add_task(hg_grpo *g, const hg_chat *c, const hg_chat_format *f, const hg_watch *w,
                          hg_err *e)
{
    hg_err why = {0};
    const hg_chat_input in = {.m = c->message, .n = c->n, .open_answer = true};
    hg_task t = {.at = g->prompts.n,
                 .ask = {.prompt = c->message[c->n - 1].content, .expected = c->answer}};
    hg_status s = hg_reward_check(g->r, c->answer, &why);
    if (s == HG_OK) s = hg_chat_format_ids(f, &in, &g->prompts, NULL, &why);
    if (s != HG_OK) return hg_fail(e, s, "%s, line %zu: %s", c->file, c->line, why.msg);
    t.n = g->prompts.n - t.at;
    if (t.n + 2 <= g->source.seq_len) {
        g->task[g->n_tasks++] = t;
        return HG_OK;
    }
    hg_watch_log(w, HG_WARN,
                 "%s, line %zu: the prompt leaves no room for an answer; left out (a larger "
                 "seq_len would keep it)",
                 c->file, c->line);
    g->prompts.n = t.at;
    g->n_dropped++;
    return HG_OK;
}

static hg_status add_tasks(hg_grpo *g, const hg_chats *c, const hg_model *m, const hg_watch *w,
                           hg_err *e)
{
    hg_chat_format *f = NULL;
    hg_status s = hg_chat_format_new(&f, m->tokenizer, m->chat_template, e);
    for (size_t i = 0; s == HG_OK && i < c->n; i++) s = add_task(g, &c->chat[i], f, w, e);
    hg_chat_format_free(f);
    if (s != HG_OK || g->n_tasks > 0) return s;
    return hg_fail(e, HG_E_ARG, "%zu tasks, and none leaves room for an answer", c->n);
}

static hg_status make_rows(hg_grpo *g, hg_arena *mem, hg_err *e)
{
    size_t all = 0;
    if (!hg_mul(g->n, g->source.seq_len, &all))
        return hg_fail(e, HG_E_LIMIT, "a step of more tokens than fit");
    g->rollout = HG_NEW(mem, hg_rollout, g->n);
    g->ids = HG_NEW(mem, int32_t, all);
    g->targets = HG_NEW(mem, int32_t, all);
    g->begins = HG_NEW(mem, uint8_t, all);
    g->losses = HG_NEW(mem, float, all);
    g->old = HG_NEW(mem, float, all);
    g->ref = HG_NEW(mem, float, all);
    g->weights = HG_NEW(mem, float, all);
    if (g->rollout == NULL || g->ids == NULL || g->targets == NULL || g->begins == NULL ||
        g->losses == NULL || g->old == NULL || g->ref == NULL || g->weights == NULL)
        return hg_fail(e, HG_E_NOMEM, "no room for %zu answers a step", g->n);
    return HG_OK;
}

hg_status hg_grpo_init(hg_grpo *g, const hg_chats *tasks, const hg_model *m, const hg_recipe *r,
                       hg_runtime *rt, hg_arena *mem, const hg_watch *w, hg_err *e)
{
    size_t k = (size_t)r->group_size;
    *g = (hg_grpo){.r = r, .model = m, .rt = rt, .watch = w, .position = UINT64_MAX};
    g->objective = (hg_objective){.name = "GRPO",
                                  .rounds = (size_t)r->rounds,
                                  .prepare = prepare,
                                  .begin = begin,
                                  .weight = weight,
                                  .loss = loss,
                                  .end = end,
                                  .validate = validate};
    g->n = (size_t)r->batch_size * (size_t)r->accumulation * k;
    g->source = (hg_source){
        .seq_len = (size_t)r->seq_len, .is_live = true, .rows_a_unit = k, .row = grpo_row};
    g->task = HG_NEW(mem, hg_task, tasks->n);
    if (g->task == NULL) return hg_fail(e, HG_E_NOMEM, "no room for %zu tasks", tasks->n);
    HG_TRY(add_tasks(g, tasks, m, w, e));
    g->source.n_rows = g->n_tasks * k;
    g->source.hash = hg_chats_hash(tasks);
    return make_rows(g, mem, e);
}

void hg_grpo_free(hg_grpo *g)
{
    hg_ids_free(&g->prompts);
    memset(g, 0, sizeof *g);
}
