/* The model at a checkpoint: what a run has come to, as a folder or a GGUF that others open, while
 * it runs or long after. The checkpoint holds the recipe, and with it how the model began; its
 * weights, or their running average where the run kept one, take the places of the first ones. */
#include "base/hash.h"
#include "data/tokens.h"
#include "model/tuning.h"
#include "train/checkpoint.h"
#include "train/first_model.h"
#include "train/method.h"
#include <string.h>

/* The recipe from the text of its fixed keys. */
static hg_status read_recipe(hg_recipe *r, hg_bytes text, const char *run, hg_err *e)
{
    static const char base[] = "base:";
    bool is_tune = text.n > sizeof base - 1 && memcmp(text.p, base, sizeof base - 1) == 0;
    HG_TRY(hg_recipe_init(r, is_tune ? HG_STAGE_TUNE : HG_STAGE_TRAIN, e));
    HG_TRY(hg_recipe_parse(r, text, run, e));
    r->out = run;
    return HG_OK;
}

/* What a tuning begins with; with lora_rank, its base and an adapter. */
static hg_status first_tuned(hg_model **out, const hg_recipe *r, hg_err *e)
{
    HG_TRY(hg_first_tuned(out, r, true, e));
    HG_TRY(hg_method_template(*out, r, e));
    if ((*out)->chat_template != NULL) return HG_OK;
    return hg_model_set_chat_template(*out, hg_chat_template_default(), e);
}

static hg_status first_model(hg_model **out, const hg_recipe *r, hg_err *e)
{
    hg_model_config c;
    hg_tokenizer *t = NULL;
    if (r->stage == HG_STAGE_TUNE) return first_tuned(out, r, e);
    if (*r->base != '\0') return hg_model_open_trainable(out, r->base, e);
    HG_TRY(hg_first_tokenizer(&t, r, false, NULL, e));
    hg_status s = hg_first_config(&c, r, t, e);
    if (s == HG_OK) return hg_first_model(out, r, &c, t, e);
    hg_tokenizer_free(t);
    return s;
}

static hg_status put_weights(hg_model *m, const hg_checkpoint *c, const char *path, hg_err *e)
{
    const unsigned char *w = c->n_average > 0 ? c->average : c->weights;
    size_t n = 0, n_values = 0;
    hg_tensor *const *param = hg_model_trainables(m, &n);
    for (size_t i = 0; i < n; i++) n_values += hg_tensor_count(param[i]);
    if (n_values != c->n_moments)
        return hg_fail(e, HG_E_FORMAT, "%s: holds %llu parameters, its recipe's model has %zu",
                       path, (unsigned long long)c->n_moments, n_values);
    if (m->tokenizer == NULL || hg_tokens_vocab_hash(m->tokenizer) != c->state.vocab_hash)
        return hg_fail(e, HG_E_STATE,
                       "%s was made with another tokenizer; put it back where the recipe has it",
                       path);
    for (size_t i = 0; i < n; i++) {
        size_t bytes = hg_tensor_count(param[i]) * sizeof(float);
        memcpy(param[i]->data, w, bytes);
        w += bytes;
    }
    return HG_OK;
}

/* An adapter is merged into the base that it was trained on and into no other. The hash is that of
 * the weights as the files store them. */
static hg_status check_base(const hg_recipe *r, const hg_checkpoint *c, const char *path, hg_err *e)
{
    hg_model *m = NULL;
    HG_TRY(hg_first_tuned(&m, r, false, e));
    const bool is_same = hg_weights_hash(m) == c->state.base_hash;
    hg_model_free(m);
    if (is_same) return HG_OK;
    return hg_fail(e, HG_E_STATE,
                   "%s was made with another base model; put it back where the recipe has it (%s)",
                   path, r->base);
}

/* `r` is filled in, and the caller's to free. */
static hg_status open_model(hg_model **out, hg_recipe *r, const char *run, const char *path,
                            bool merge, uint64_t *step, hg_err *e)
{
    hg_checkpoint c;
    HG_TRY(hg_checkpoint_open(&c, path, e));
    *step = c.state.step;
    hg_status s = read_recipe(r, c.recipe, run, e);
    if (s == HG_OK && merge && r->lora_rank > 0) s = check_base(r, &c, path, e);
    if (s == HG_OK) s = first_model(out, r, e);
    if (s == HG_OK) s = put_weights(*out, &c, path, e);
    hg_checkpoint_close(&c);
    return s;
}

/* As a GGUF: through a folder of its own that is gone afterwards. */
static hg_status save_gguf(const hg_model *m, const char *to, hg_weights as, const hg_watch *w,
                           hg_err *e)
{
    hg_dir *d = NULL;
    hg_status s = HG_OK;
    char place[1100];
    if (strlen(to) > 1000) return hg_fail(e, HG_E_ARG, "%s: a path of over 1000 bytes", to);
    (void)snprintf(place, sizeof place, "%s.model", to);
    HG_TRY(hg_dir_open(&d, place, e));
    char *folder = hg_path_join(hg_dir_path(d), "model");
    if (folder == NULL) s = hg_fail(e, HG_E_NOMEM, "no room for a path");
    if (s == HG_OK)
        s = hg_model_save(m, folder, as == HG_WEIGHTS_AS_STORED ? HG_WEIGHTS_BF16 : as, NULL, e);
    if (s == HG_OK) s = hg_model_export_gguf(folder, to, as, w, e);
    hg_free(folder);
    hg_dir_abort(d);
    return s;
}

/* An adapter stays one unless it is to be merged. */
static hg_status save_adapter(const hg_model *m, const char *to, const char *base, hg_err *e)
{
    return hg_path_ends(to, ".gguf") ? hg_tuning_save_gguf(m, to, e)
                                     : hg_tuning_save(m, to, base, e);
}

static hg_status save(hg_model *m, const char *run, const char *to, hg_weights as, uint64_t step,
                      const hg_watch *w, hg_err *e)
{
    char card[256];
    (void)snprintf(card, sizeof card, "# %.100s, step %llu\n\nTrained with Higgins %s.\n",
                   hg_path_base(run), (unsigned long long)step, HG_VERSION);
    if (hg_path_ends(to, ".gguf")) return save_gguf(m, to, as, w, e);
    return hg_model_save(m, to, as == HG_WEIGHTS_AS_STORED ? HG_WEIGHTS_BF16 : as, card, e);
}

hg_status hg_train_export(const char *run, uint64_t step, const char *to, hg_weights as, bool merge,
                          const hg_watch *w, uint64_t *of_step, hg_err *e)
{
    char folder[1100], path[1200];
    hg_model *m = NULL;
    hg_recipe r;
    memset(&r, 0, sizeof r);
    if (strlen(run) > 1000) return hg_fail(e, HG_E_ARG, "%s: a path of over 1000 bytes", run);
    (void)snprintf(folder, sizeof folder, "%s/checkpoints", run);
    if (step > 0)
        (void)snprintf(path, sizeof path, "%s/step-%09llu.hgc", folder, (unsigned long long)step);
    else if (!hg_checkpoint_newest(folder, path))
        return hg_fail(e, HG_E_MISSING, "%s: no checkpoint in it", folder);
    hg_status s = open_model(&m, &r, run, path, merge, of_step, e);
    if (s == HG_OK && m->tuning != NULL && !merge)
        s = save_adapter(m, to, r.base, e);
    else if (s == HG_OK) {
        if (m->tuning != NULL) hg_tuning_merge(m);
        s = save(m, run, to, as, *of_step, w, e);
    }
    hg_model_free(m);
    hg_recipe_free(&r);
    return s;
}
