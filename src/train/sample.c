/* Samples as it goes: what the model makes of a prompt, read by people who want to see a model
 * learn to write. The live weights run through the same session as a finished model's. Seeds come
 * from the step, so a resumed run writes the same samples. */
#include "infer/sampler.h"
#include "train/trainer.h"
#include <higgins/infer.h>
#include <string.h>

/* What the model is shown: the prompt itself, or when tuning the prompt as a user's message. */
static hg_status render(const hg_trainer *t, const char *prompt, hg_ids *ids, hg_err *e)
{
    const hg_model *m = t->job->model;
    if (t->job->recipe->stage == HG_STAGE_TUNE) {
        const hg_message said = {"user", {prompt, strlen(prompt)}};
        return hg_chat_render(m->tokenizer, m->chat_template, &said, 1, true, ids, NULL, e);
    }
    return hg_tokenizer_encode(m->tokenizer, (hg_bytes){prompt, strlen(prompt)}, false, ids, e);
}

static hg_status continue_ids(hg_session *s, hg_sampler *sampler, hg_choices *room, hg_ids *ids,
                              size_t n_tokens, hg_buf *text, hg_err *e)
{
    const float *logits = NULL;
    const hg_tokenizer *tok = sampler->tok;
    size_t n_prompt = ids->n;
    int32_t chat_end = hg_chat_end_id(tok), id = 0;
    HG_TRY(hg_session_feed(s, ids->id, ids->n, &logits, e));
    for (size_t i = 0; i < n_tokens; i++) {
        HG_TRY(hg_sampler_next(sampler, room, logits, ids->id, ids->n, n_prompt, &id, e));
        if (id == chat_end || hg_tokenizer_is_special(tok, id)) break;
        hg_bytes piece = hg_tokenizer_piece(tok, id, false);
        hg_buf_put(text, piece.p, piece.n);
        HG_TRY(hg_ids_push(ids, id, e));
        if (i + 1 < n_tokens) HG_TRY(hg_session_feed(s, &id, 1, &logits, e));
    }
    return hg_buf_status(text, e);
}

static hg_status tell(hg_trainer *t, const char *prompt, const hg_buf *text, hg_err *e)
{
    hg_bytes shown = {text->p != NULL ? text->p : "", text->n};
    hg_runlog_begin(&t->log, t->state.step);
    hg_json_text(&t->log.out, "prompt", prompt);
    hg_json_bytes(&t->log.out, "sample", shown);
    hg_watch_log(t->job->watch, HG_INFO, "step %llu: %s|%.*s", (unsigned long long)t->state.step,
                 prompt, (int)(shown.n < 400 ? shown.n : 400), shown.p);
    return hg_runlog_end(&t->log, e);
}

static hg_status one_sample(hg_trainer *t, hg_choices *room, size_t which, hg_err *e)
{
    const hg_recipe *r = t->job->recipe;
    const char *prompt = r->sample_prompts.item[which];
    hg_session *session = NULL;
    hg_ids ids = {0};
    hg_buf text = {0};
    hg_sampler sampler;
    hg_sampling o;
    hg_sampling_init(&o);
    o.temperature = (float)r->sample_temperature;
    o.seed = (uint64_t)r->seed * 1000003 + t->state.step * 101 + which;
    hg_status s = render(t, prompt, &ids, e);
    if (s != HG_OK || ids.n == 0) goto done;
    const hg_session_options so = {.n_ctx = (uint32_t)(ids.n + (size_t)r->sample_tokens),
                                   .cache = HG_CACHE_F32};
    if (so.n_ctx > t->job->model->c.n_ctx)
        goto done; /* a prompt that does not fit gives no sample */
    s = hg_session_new(&session, t->job->model, t->job->rt, &so, e);
    if (s != HG_OK) goto done;
    hg_sampler_begin(&sampler, &o, t->job->model->tokenizer);
    s = continue_ids(session, &sampler, room, &ids, (size_t)r->sample_tokens, &text, e);
    if (s == HG_OK) s = tell(t, prompt, &text, e);
done:
    hg_session_free(session);
    hg_ids_free(&ids);
    hg_buf_free(&text);
    return s;
}

hg_status hg_trainer_sample(hg_trainer *t, hg_err *e)
{
    const hg_recipe *r = t->job->recipe;
    const hg_model *m = t->job->model;
    hg_choices room = {0};
    if (m->tokenizer == NULL || r->sample_tokens == 0 || r->sample_prompts.n == 0) return HG_OK;
    hg_status s = hg_choices_init(&room, m->c.n_vocab, &t->job->rt->k, e);
    size_t n = hg_ranks_me(t->ranks) == 0 ? r->sample_prompts.n : 0;
    if (s == HG_OK) s = hg_optim_swap(&t->learner.optim, e);
    for (size_t i = 0; s == HG_OK && i < n; i++) {
        if (hg_ranks_n(t->ranks) > 1 && hg_watch_stopped(t->job->watch))
            break; /* the others wait */
        s = one_sample(t, &room, i, e);
    }
    if (s == HG_OK) s = hg_optim_swap(&t->learner.optim, e);
    hg_choices_free(&room);
    return s;
}
