/* See method.h. */
#include "train/method.h"
#include "base/hash.h"
#include "train/preset.h"
#include <string.h>

/* Preferences want smaller steps than answers to be learnt: the loss sees whole answers at once. */
#define PREFERENCE_LR 2e-5
/* Of a task's rows, when nothing says how many are held out: enough to measure on. */
#define TASK_SHARE 0.1

static bool is_preference(const hg_recipe *r)
{
    return r->method >= HG_METHOD_DPO && r->method <= HG_METHOD_KTO;
}

/* Told before anything is measured or written. */
static hg_status check_ranks(const hg_recipe *r, hg_err *e)
{
    static const char *const names[] = {"sft",  "dpo", "ipo",  "hinge",
                                        "orpo", "kto", "grpo", "distill"};
    if (r->ranks == NULL || r->method == HG_METHOD_SFT) return HG_OK;
    return hg_fail(e, HG_E_UNSUPPORTED,
                   "method \"%s\" is learnt by one process; launch it without mpirun or srun",
                   names[r->method]);
}

static hg_status check_adapter(const hg_recipe *r, hg_err *e)
{
    static const char *const keys[] = {"lora_alpha", "lora_dropout", "lora_targets"};
    for (size_t i = 0; r->lora_rank == 0 && i < sizeof keys / sizeof *keys; i++)
        if (hg_recipe_given(r, keys[i]))
            return hg_fail(e, HG_E_ARG,
                           "%s is for adapters; give lora_rank (or --lora) too, or leave it out",
                           keys[i]);
    return HG_OK;
}

hg_status hg_method_defaults(hg_recipe *r, hg_err *e)
{
    HG_TRY(check_ranks(r, e));
    HG_TRY(check_adapter(r, e));
    if (r->method != HG_METHOD_SFT && r->method != HG_METHOD_DISTILL && !hg_recipe_given(r, "lr"))
        r->lr = PREFERENCE_LR;
    if (r->lora_dropout > 0 && r->method != HG_METHOD_SFT && r->method != HG_METHOD_DISTILL)
        return hg_fail(
            e, HG_E_ARG,
            "lora_dropout is for method \"sft\" and \"distill\"; the others look at each "
            "answer twice and must see the same");
    if (r->label_smoothing > 0 && r->method != HG_METHOD_DPO)
        return hg_fail(e, HG_E_ARG, "label_smoothing is DPO's; method says otherwise");
    if (r->task != HG_PRESET_NONE && r->method != HG_METHOD_SFT && r->method != HG_METHOD_DISTILL)
        return hg_fail(e, HG_E_ARG, "a task is learnt by method \"sft\" or \"distill\"");
    if (r->task == HG_PRESET_NONE && (r->columns.n > 0 || *r->instruction != '\0'))
        return hg_fail(e, HG_E_ARG,
                       "columns and instruction belong to a task; the key task "
                       "says which");
    if (r->task != HG_PRESET_NONE && !hg_recipe_given(r, "val_share")) r->val_share = TASK_SHARE;
    if (r->method == HG_METHOD_GRPO && (r->reward == HG_REWARD_PROGRAM) != (r->checker.n > 0))
        return hg_fail(e, HG_E_ARG, "reward \"program\" and the key checker go together");
    if (r->val_data.n > 0 && r->method == HG_METHOD_GRPO)
        return hg_fail(e, HG_E_ARG, "val_data is not for method \"grpo\"");
    if ((r->method == HG_METHOD_DISTILL) != (*r->teacher != '\0'))
        return hg_fail(e, HG_E_ARG, "method \"distill\" and the key teacher go together");
    return HG_OK;
}

hg_status hg_method_template(hg_model *m, const hg_recipe *r, hg_err *e)
{
    const bool is_plain = r->task != HG_PRESET_NONE && r->task != HG_PRESET_CHAT;
    if (m->tokenizer == NULL || m->chat_template != NULL || !is_plain) return HG_OK;
    return hg_model_set_chat_template(m, hg_preset_template(), e);
}

hg_chat_form hg_method_form(const hg_recipe *r)
{
    if (r->method == HG_METHOD_KTO) return HG_FORM_LABEL;
    if (r->method == HG_METHOD_GRPO) return HG_FORM_TASK;
    return is_preference(r) ? HG_FORM_PAIR : HG_FORM_CHAT;
}

static hg_status load_task(const hg_recipe *r, hg_chats *c, const hg_watch *w, hg_err *e)
{
    hg_preset_data d;
    hg_preset_data_init(&d, (hg_preset)r->task, r->instruction);
    hg_status s = hg_preset_read(&d, r, w, e);
    if (s == HG_OK) s = hg_preset_chats(&d, c, e);
    hg_preset_data_free(&d);
    return s;
}

hg_status hg_method_load(const hg_recipe *r, hg_chats *c, const hg_watch *w, hg_err *e)
{
    if (r->task != HG_PRESET_NONE) return load_task(r, c, w, e);
    c->form = hg_method_form(r);
    for (size_t i = 0; i < r->data.n; i++) HG_TRY(hg_chats_load(c, r->data.item[i], e));
    if (c->n == 0) return hg_fail(e, HG_E_ARG, "%s: no conversations in it", r->data.item[0]);
    const size_t n_learnt = c->n;
    for (size_t i = 0; i < r->val_data.n; i++) HG_TRY(hg_chats_load(c, r->val_data.item[i], e));
    for (size_t i = n_learnt; i < c->n; i++) c->chat[i].is_held = true;
    return HG_OK;
}

hg_status hg_method_teacher(hg_tuning *t, const hg_recipe *r, uint64_t vocab_hash, hg_runtime *rt,
                            hg_arena *mem, hg_err *e)
{
    if (r->method != HG_METHOD_DISTILL) return HG_OK;
    return hg_distilling_init(&t->distilling, r, vocab_hash, rt, mem, e);
}

hg_status hg_method_reference(hg_tuning *t, const hg_recipe *r, hg_err *e)
{
    const bool asks = r->method == HG_METHOD_KTO || (r->method == HG_METHOD_GRPO && r->kl > 0);
    if (!asks || r->lora_rank > 0) return HG_OK;
    return hg_model_open_frozen(&t->reference, r->base, true, e);
}

hg_status hg_method_init(hg_tuning *t, hg_run_job *job, const hg_packed *data, hg_arena *mem,
                         hg_err *e)
{
    const uint64_t of[] = {data->source.hash, job->base_hash, job->compute};
    if (job->recipe->method == HG_METHOD_GRPO) {
        t->grpo.reference = t->reference;
        job->objective = &t->grpo.objective;
    }
    if (job->recipe->method == HG_METHOD_DISTILL) job->objective = &t->distilling.objective;
    if (!is_preference(job->recipe)) return HG_OK;
    HG_TRY(hg_preferences_init(&t->preferences, data, job->recipe, hg_hash64(of, sizeof of, 2), mem,
                               e));
    t->preferences.reference = t->reference;
    job->objective = &t->preferences.objective;
    return HG_OK;
}

void hg_method_free(hg_tuning *t)
{
    hg_preferences_free(&t->preferences);
    hg_grpo_free(&t->grpo);
    hg_distilling_free(&t->distilling);
    hg_model_free(t->reference);
    t->reference = NULL;
}
