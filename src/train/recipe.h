/* The recipe of a run: every option of training and tuning, from YAML and `--set key=value`. */
#ifndef HG_TRAIN_RECIPE_H
#define HG_TRAIN_RECIPE_H

#include <higgins/train.h>
#include "base/mem.h"
#include "ranks/ranks.h"

typedef struct hg_text_list {
    const char **item;
    size_t n;
} hg_text_list;

typedef enum hg_precision { HG_PRECISION_AUTO, HG_PRECISION_BF16, HG_PRECISION_F32 } hg_precision;
typedef enum hg_decay {
    HG_DECAY_COSINE,
    HG_DECAY_WSD,
    HG_DECAY_LINEAR,
    HG_DECAY_CONSTANT
} hg_decay;
typedef enum hg_optimizer { HG_OPTIMIZER_ADAMW, HG_OPTIMIZER_MUON } hg_optimizer;
typedef enum hg_on_spike { HG_SPIKE_NONE, HG_SPIKE_SKIP, HG_SPIKE_REWIND } hg_on_spike;
typedef enum hg_save { HG_SAVE_BF16, HG_SAVE_F16, HG_SAVE_F32 } hg_save;

typedef enum hg_method {
    HG_METHOD_SFT,
    HG_METHOD_DPO,
    HG_METHOD_IPO,
    HG_METHOD_HINGE,
    HG_METHOD_ORPO,
    HG_METHOD_KTO,
    HG_METHOD_GRPO,
    HG_METHOD_DISTILL
} hg_method;

typedef enum hg_reward_kind {
    HG_REWARD_EXACT,
    HG_REWARD_NUMBER,
    HG_REWARD_JSON,
    HG_REWARD_REGEX,
    HG_REWARD_PROGRAM
} hg_reward_kind;

enum { HG_RECIPE_GIVEN = 4 };

typedef struct hg_recipe {
    hg_stage stage;
    hg_text_list corpus, weights, data, val_data, sample_prompts, lora_targets;
    int64_t lora_rank; /* 0: all weights are tuned */
    double lora_alpha, lora_dropout;
    const char *tokenizer, *tokens, *base, *out, *arch;
    int64_t depth, params, d_model, n_heads, n_kv_heads, d_ff, seq_len;
    bool tie_embeddings, recompute, automatic, tensorboard;
    double rope_theta, norm_eps;
    int64_t batch_size, micro_batch, accumulation, steps, seed;
    double epochs, max_minutes;
    int64_t schedule, precision, save_type; /* hg_decay, hg_precision, hg_save */
    int64_t optimizer, on_spike, wire;      /* hg_optimizer, hg_on_spike, hg_wire */
    double lr, warmup, min_lr, decay, beta1, beta2, eps, weight_decay, clip;
    double momentum, table_decay, vector_decay, ema, spike;
    int64_t method, task, task_rows; /* hg_method, hg_preset */
    hg_text_list columns;
    const char *instruction;
    int64_t reward, group_size, answer_tokens, rounds; /* hg_reward_kind */
    hg_text_list checker;
    double checker_seconds, checker_mb, answer_temperature, clip_ratio, kl;
    bool scale_rewards;
    const char *teacher;
    double teacher_share, distill_temperature;
    double beta, label_smoothing, orpo_lambda, kto_good, kto_bad;
    double val_share, sample_temperature, checkpoint_minutes;
    int64_t val_every, val_rows, sample_every, sample_tokens, checkpoint_every, keep, keep_every;
    uint64_t given[HG_RECIPE_GIVEN]; /* bit i: key i of the table was set by the user */
    hg_ranks *ranks; /* those who train together, borrowed; NULL: this process alone */
    hg_arena mem;
} hg_recipe;

/* The defaults of the stage. */
hg_status hg_recipe_init(hg_recipe *r, hg_stage stage, hg_err *e);
void hg_recipe_free(hg_recipe *r);
/* Reads YAML; `name` is what errors call it. HG_E_FORMAT, HG_E_ARG with "name:line: ...". */
hg_status hg_recipe_parse(hg_recipe *r, hg_bytes yaml, const char *name, hg_err *e);
hg_status hg_recipe_load(hg_recipe *r, const char *path, hg_err *e);
/* "key=value"; a list is given as comma-separated items. */
hg_status hg_recipe_set(hg_recipe *r, const char *assignment, hg_err *e);
bool hg_recipe_given(const hg_recipe *r, const char *key);
/* All of the above, from the options of a run. Free r in any case. */
hg_status hg_recipe_make(hg_recipe *r, hg_stage stage, const hg_train_options *o, hg_err *e);
/* What keys require of each other and which have no default. */
hg_status hg_recipe_check(const hg_recipe *r, bool needs_out, hg_err *e);

/* "key: value" a line, in the table's order, as hg_recipe_parse reads it. `fixed_only`: those that
 * a resumed run must not change. */
hg_status hg_recipe_text(const hg_recipe *r, bool fixed_only, hg_buf *out, hg_err *e);
/* HG_OK when both texts of fixed keys are the same, or HG_E_STATE and a sentence that names the
 * first that differs. */
hg_status hg_recipe_compare(const char *checkpoint, const char *now, hg_err *e);

#endif
