/* From a pre-training recipe to its model before the first step: tokenizer, shape, random weights,
 * chat template. Training begins here, and so does the export of a checkpoint, which puts its
 * weights in their place. */
#include "train/first_model.h"
#include "base/file.h"
#include "base/hash.h"
#include "data/corpus.h"
#include "model/tuning.h"
#include "train/checkpoint.h"
#include "train/scale.h"
#include "train/shape.h"
#include <stdio.h>
#include <string.h>

enum { PATH_SIZE = 4200 };

static hg_status print_of(const hg_recipe *r, char print[65], hg_err *e)
{
    hg_corpus *c = NULL;
    HG_TRY(hg_corpus_open(&c, r->corpus.item, r->corpus.n, e));
    hg_corpus_fingerprint(c, print);
    hg_corpus_close(c);
    return HG_OK;
}

/* Whether the folder's tokenizer was made from this corpus: beside it lies that one's fingerprint.
 */
static bool is_made_for(const char *path, const char *print)
{
    hg_buf b = {0};
    hg_err e;
    const bool same = hg_file_read(&b, path, 128, &e) == HG_OK && b.n == strlen(print) &&
                      memcmp(b.p, print, b.n) == 0;
    hg_buf_free(&b);
    return same;
}

static hg_status make_tokenizer(const hg_recipe *r, const char *path, const char *print_path,
                                const char *print, const hg_watch *w, hg_err *e)
{
    hg_tokenizer_options o;
    hg_tokenizer_options_init(&o);
    o.n_vocab = hg_scale_vocab(r->depth);
    hg_watch_log(w, HG_INFO, "no tokenizer: making one of %u pieces from the corpus", o.n_vocab);
    HG_TRY(hg_mkdirs(r->out, e));
    HG_TRY(hg_tokenizer_train(r->corpus.item, r->corpus.n, &o, path, w, NULL, e));
    return hg_file_write(print_path, print, strlen(print), e);
}

/* With `auto`: the tokenizer of the run folder, made anew when it was another corpus's. A run that
 * has begun keeps its own; that its corpus has changed is the trainer's to say. */
static hg_status own_tokenizer(hg_tokenizer **out, const hg_recipe *r, bool may_make,
                               const hg_watch *w, hg_err *e)
{
    char path[PATH_SIZE], print_path[PATH_SIZE], checkpoints[PATH_SIZE], newest[1100], print[65];
    (void)snprintf(path, sizeof path, "%s/tokenizer.json", r->out);
    (void)snprintf(print_path, sizeof print_path, "%s/tokenizer.corpus", r->out);
    (void)snprintf(checkpoints, sizeof checkpoints, "%.1000s/checkpoints", r->out);
    if (may_make && !hg_checkpoint_newest(checkpoints, newest)) {
        HG_TRY(print_of(r, print, e));
        if (!hg_path_exists(path) || !is_made_for(print_path, print))
            HG_TRY(make_tokenizer(r, path, print_path, print, w, e));
    }
    return hg_tokenizer_open(out, path, e);
}

hg_status hg_first_tokenizer(hg_tokenizer **out, const hg_recipe *r, bool may_make,
                             const hg_watch *w, hg_err *e)
{
    char path[PATH_SIZE];
    if (*r->tokenizer != '\0') return hg_tokenizer_open(out, r->tokenizer, e);
    for (size_t i = 0; i < r->corpus.n; i++) {
        int n = snprintf(path, sizeof path, "%s/tokenizer.json", r->corpus.item[i]);
        if (n < (int)sizeof path && hg_path_exists(path)) return hg_tokenizer_open(out, path, e);
    }
    if (r->automatic) return own_tokenizer(out, r, may_make, w, e);
    return hg_fail(e, HG_E_ARG,
                   "train: no tokenizer; make one with `higgins tokenizer train CORPUS -o "
                   "tokenizer.json` and give its "
                   "path as the key \"tokenizer\"");
}

hg_status hg_first_config(hg_model_config *c, const hg_recipe *r, const hg_tokenizer *t, hg_err *e)
{
    HG_TRY(hg_recipe_shape(r, hg_tokenizer_count(t), c, e));
    c->eos_id = hg_tokenizer_special(t, "<|endoftext|>");
    c->pad_id = hg_tokenizer_special(t, "<|pad|>");
    return HG_OK;
}

hg_status hg_first_model(hg_model **out, const hg_recipe *r, const hg_model_config *c,
                         hg_tokenizer *t, hg_err *e)
{
    hg_status s = hg_model_new(out, c, (uint64_t)r->seed, e);
    if (s != HG_OK) {
        hg_tokenizer_free(t);
        return s;
    }
    hg_model_set_tokenizer(*out, t);
    if (hg_tokenizer_special(t, "<|im_start|>") < 0) return HG_OK;
    return hg_model_set_chat_template(*out, hg_chat_template_default(), e);
}

static hg_status check_base(const hg_model *m, hg_recipe *r, hg_err *e)
{
    static const char *const own[] = {"arch",     "depth",          "params",    "d_model",
                                      "n_heads",  "n_kv_heads",     "d_ff",      "tokenizer",
                                      "norm_eps", "tie_embeddings", "rope_theta"};
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        if (hg_recipe_given(r, own[i]))
            return hg_fail(e, HG_E_ARG,
                           "%s: %s brings its own; leave the key out, or leave out the base",
                           own[i], r->base);
    if (m->tokenizer == NULL)
        return hg_fail(e, HG_E_MISSING, "%s has no tokenizer, and a corpus needs one", r->base);
    if (r->seq_len <= (int64_t)m->c.n_ctx) return HG_OK;
    if (hg_recipe_given(r, "seq_len"))
        return hg_fail(e, HG_E_ARG, "seq_len: rows of %lld tokens, %s reads at most %u",
                       (long long)r->seq_len, r->base, m->c.n_ctx);
    r->seq_len = m->c.n_ctx;
    return HG_OK;
}

hg_status hg_first_base(hg_model **out, hg_recipe *r, hg_err *e)
{
    HG_TRY(hg_model_open_trainable(out, r->base, e));
    if (r->automatic && !hg_recipe_given(r, "seq_len"))
        r->seq_len = hg_scale_seq_len((*out)->c.n_layers);
    hg_status s = check_base(*out, r, e);
    if (s == HG_OK) return HG_OK;
    hg_model_free(*out);
    *out = NULL;
    return s;
}

hg_status hg_first_tuned(hg_model **out, const hg_recipe *r, bool to_merge, hg_err *e)
{
    if (r->lora_rank == 0) return hg_model_open_trainable(out, r->base, e);
    const hg_adapter_options o = {.rank = (size_t)r->lora_rank,
                                  .alpha = r->lora_alpha,
                                  .dropout = r->lora_dropout,
                                  .target = r->lora_targets.item,
                                  .n_targets = r->lora_targets.n,
                                  .seed = (uint64_t)r->seed};
    HG_TRY(hg_model_open_frozen(out, r->base, !to_merge, e));
    hg_status s = hg_model_tune(*out, &o, e);
    if (s == HG_OK) return HG_OK;
    hg_model_free(*out);
    *out = NULL;
    return s;
}

uint64_t hg_weights_hash(const hg_model *m)
{
    uint64_t h = 0;
    for (size_t p = 0; p < m->n_params; p++)
        h = hg_hash64(m->param[p]->data,
                      hg_type_bytes(m->param[p]->type, hg_tensor_count(m->param[p])), h);
    return h;
}
