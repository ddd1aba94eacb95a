/* Pre-training from a corpus and fine-tuning on conversations: one trainer, two sources of rows.
 *
 * A run lives in a folder: checkpoints/ (atomic, the last few), log.jsonl (one object a step),
 * report.html, and at the end model/ (a Hugging Face folder). Same recipe, seed, data and build
 * give the same bytes, on any number of threads and after a resume. */
#ifndef HIGGINS_TRAIN_H
#define HIGGINS_TRAIN_H

#include <higgins/model.h>
#include <higgins/ranks.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum hg_stage { HG_STAGE_TRAIN, HG_STAGE_TUNE } hg_stage;

/* What tuning may be for: each brings how its files are read, its prompt and its metrics
 * (docs/tasks.md). */
typedef enum hg_preset {
    HG_PRESET_NONE,
    HG_PRESET_TRANSLATION,
    HG_PRESET_SUMMARY,
    HG_PRESET_SENTIMENT,
    HG_PRESET_QA,
    HG_PRESET_CHAT,
    HG_N_PRESETS
} hg_preset;
/* "translation" ...; "none". */
HG_API const char *hg_preset_name(hg_preset p);
/* False when no preset is called that. */
HG_API bool hg_preset_parse(const char *name, hg_preset *out);

/* A key that takes a list, item by item: commas are part of an item. */
typedef struct hg_train_list {
    const char *key;
    const char *const *item;
    size_t n;
} hg_train_list;

typedef struct hg_train_options {
    const char *recipe;         /* a YAML file, or NULL: defaults and `set` */
    const hg_train_list *lists; /* over the recipe */
    size_t n_lists;
    const char *const *set; /* "key=value", in order, over the recipe and the lists */
    size_t n_set;
    bool lora;       /* tune an adapter, of rank HG_LORA_RANK where lora_rank gives none */
    bool resume;     /* go on from the newest checkpoint; without one, begin */
    hg_ranks *ranks; /* the others that train this run, borrowed; NULL: this process alone */
    bool plan_only;  /* fill in the result's plan and stop before anything is trained */
} hg_train_options;
enum { HG_LORA_RANK = 16 };
HG_API void hg_train_options_init(hg_train_options *o);

typedef struct hg_train_result {
    uint64_t steps, total_steps, params, tokens; /* tokens: of all steps */
    uint64_t train_rows, val_rows, skipped_steps;
    double plan_seconds;             /* said before the start, of runs with `auto`; NaN otherwise */
    double batch_tokens, lr;         /* as the recipe says or `auto` chose */
    uint64_t need_bytes, peak_bytes; /* said before the start; measured: the most in memory while it
                                        trained, less what was there before its data and model */
    double loss, val_loss;    /* nats a token, smoothed and held out; NaN where not measured */
    double val_bits_per_byte; /* NaN where the text's bytes are not known */
    double seconds, joules, tokens_per_s, flops_share;
    char joules_source[64];
    char out[1024],
        model[1024]; /* the run folder, and the finished model ("" when stopped early) */
    bool is_finished;
} hg_train_result;

/* Pre-trains as the recipe says. On the watch's stop the current step is ended, a checkpoint is
 * written and HG_E_CANCELED is returned with a sentence that says how to go on. HG_E_STATE: the
 * folder holds another run, or the checkpoint was made with another recipe, corpus or tokenizer.
 * HG_E_LIMIT: needs more memory than there is. */
HG_API hg_status hg_train_run(const hg_train_options *o, hg_runtime *rt, const hg_watch *w,
                              hg_train_result *result, hg_err *e);
/* Fine-tunes the recipe's `base` on its `data`: loss on what the assistant says only. The same,
 * otherwise. */
HG_API hg_status hg_tune_run(const hg_train_options *o, hg_runtime *rt, const hg_watch *w,
                             hg_train_result *result, hg_err *e);

/* Writes the model that the run in folder `run` had at checkpoint `step` (0: the newest; *of_step
 * says which) to `to`: a GGUF where the name ends in .gguf, else a Hugging Face folder. With `ema`
 * it has the averaged weights. HG_E_MISSING: no such checkpoint. HG_E_STATE: the tokenizer has
 * changed since. */
HG_API hg_status hg_train_export(const char *run, uint64_t step, const char *to, hg_weights as,
                                 bool merge, const hg_watch *w, uint64_t *of_step, hg_err *e);

/* Shows up to `limit` conversations as the model will see them: pieces of text, each with how much
 * it is learnt from (0: not), and a call with n 0 after each conversation. */
typedef void hg_tune_show_fn(void *ctx, hg_bytes piece, float weight, size_t line);
HG_API hg_status hg_tune_show(const hg_train_options *o, size_t limit, hg_tune_show_fn *fn,
                              void *ctx, hg_err *e);

/* Key i of recipes, or false behind the last: what `--keys` prints. The texts live for ever. */
typedef struct hg_train_key {
    const char *name, *type, *value, *range,
        *help;       /* value: the default; range: "" for any, static otherwise */
    double min, max; /* of numbers; both 0: any */
} hg_train_key;
HG_API bool hg_train_get_key(hg_stage stage, size_t i, hg_train_key *out);

#ifdef __cplusplus
}
#endif
#endif
