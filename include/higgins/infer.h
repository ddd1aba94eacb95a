/* Running a model: sessions, sampling, and the engine that serves many sessions in one batch. */
#ifndef HIGGINS_INFER_H
#define HIGGINS_INFER_H

#include <higgins/adapter.h>
#include <higgins/grammar.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- sampling ---- */

/* From logits to one token. First a logit bias and a constraint (what may come at all), then the
 * stages of `order`, then one draw from what they left; docs/sampling.md has the formulas. A stage
 * whose value is the neutral one below does nothing. */
typedef enum hg_sample_stage {
    HG_SAMPLE_END,
    HG_SAMPLE_PENALTIES, /* repetition, presence, frequency */
    HG_SAMPLE_DRY,
    HG_SAMPLE_TOP_K,
    HG_SAMPLE_TYPICAL,
    HG_SAMPLE_TOP_P,
    HG_SAMPLE_MIN_P,
    HG_SAMPLE_XTC,
    HG_SAMPLE_TEMPERATURE,
    HG_SAMPLE_STAGES
} hg_sample_stage;

typedef struct hg_logit_bias {
    int32_t id;
    float bias; /* added to its logit; -100 to 100 */
} hg_logit_bias;

typedef struct hg_sampling {
    const hg_logit_bias *bias;
    size_t n_bias; /* HG_MAX_BIAS at the most */

    /* Repetition looks at the end of the timeline, presence and frequency at the answer alone. */
    float repetition_penalty; /* 1: none */
    uint32_t repeat_window;
    float presence_penalty, frequency_penalty; /* 0: none */

    /* A token that would go on a repetition of n >= dry_length tokens loses
     * dry_multiplier * dry_base^(n - dry_length). Repetitions do not reach over a breaker. */
    float dry_multiplier; /* 0: none */
    float dry_base;
    uint32_t dry_length, dry_window; /* window 0: the whole timeline */
    const char *const *dry_breakers;
    size_t n_dry_breakers; /* HG_MAX_BREAKERS at the most, each of 1 to HG_MAX_BREAKER_BYTES */

    uint32_t top_k;    /* 0: all */
    float typical_p;   /* 1: all */
    float top_p;       /* 1: all */
    float min_p;       /* 0: all */
    float xtc_chance;  /* 0: never */
    float xtc_share;   /* tokens above it are dropped but the least likely of them */
    float temperature; /* 0: greedy */

    /* Mirostat 2: the surprise of an answer is kept at tau bits a token. It replaces the cuts from
     * top-k to XTC. */
    float mirostat_tau; /* 0: off */
    float mirostat_eta;

    uint64_t seed;
    uint8_t order[HG_SAMPLE_STAGES]; /* of hg_sample_stage, each once at the most; ends with 0 */
} hg_sampling;
enum { HG_MAX_BIAS = 1024, HG_MAX_BREAKERS = 16, HG_MAX_BREAKER_BYTES = 40 };
/* Penalties 1.1 over 64, 0 and 0; DRY off (0, 1.75, 2, all; newline, colon, quote, asterisk); top-k
 * 40, typical 1, top-p 0.95, min-p 0.05, XTC off (0, 0.1), temperature 0.8; Mirostat off (0, 0.1);
 * seed 0; in the order of hg_sample_stage. */
HG_API void hg_sampling_init(hg_sampling *s);
HG_API hg_status hg_sampling_check(const hg_sampling *s, hg_err *e);
/* "penalties", "dry", "top-k", "typical", "top-p", "min-p", "xtc", "temperature"; NULL behind. */
HG_API const char *hg_sample_stage_name(hg_sample_stage stage);
/* Sets the order from such names with commas (or semicolons) between; stages not named do not run.
 * HG_E_ARG, naming the word, for a word that is none or comes twice. */
HG_API hg_status hg_sampling_set_order(hg_sampling *s, const char *names, hg_err *e);

/* What an answer must look like; NULL: anything. */
typedef struct hg_constraint hg_constraint;
/* From a place in a grammar's masks, its beginning; the masks must outlive it and its copies. */
HG_API hg_status hg_constraint_new(hg_constraint **out, hg_masks *m, hg_err *e);
/* Free text in which calls of tools keep to the masks: what stands behind each `opening` (text or a
 * special token, 32 bytes at the most), or, where that is "", an answer that begins with a brace.
 * HG_E_MISSING without a tokenizer. */
HG_API hg_status hg_constraint_calls(hg_constraint **out, hg_masks *m, const hg_model *model,
                                     const char *opening, hg_err *e);
HG_API void hg_constraint_free(hg_constraint *c);
/* The model's tokens, for masks; its ends are those that end an engine's answers. HG_E_MISSING
 * without a tokenizer. */
HG_API hg_status hg_model_vocab(hg_vocab **out, const hg_model *m, hg_err *e);

/* ---- a session: one timeline and its cache; one thread at a time ---- */
typedef struct hg_session hg_session;
/* How keys and values are held. Q8_0: 8 bits and a scale for 32 of them; heads must be a multiple
 * of 32 wide (HG_E_ARG). */
typedef enum hg_cache_type {
    HG_CACHE_AUTO, /* bfloat16 where the weights are, else float16 */
    HG_CACHE_F32,
    HG_CACHE_F16,
    HG_CACHE_BF16,
    HG_CACHE_Q8_0
} hg_cache_type;
/* "auto", "f32", "f16", "bf16", "q8_0"; false when `name` is none of them. */
HG_API bool hg_cache_type_parse(const char *name, hg_cache_type *out);
typedef struct hg_session_options {
    uint32_t n_ctx; /* 0: the model's */
    hg_cache_type cache;
} hg_session_options;
/* A context for which the memory that is free holds so many sessions, with a quarter left over: the
 * model's where it does. A short one is no use, so that fewer sessions are counted on before it is
 * less than 8192; 0 when memory does not hold one session. */
HG_API uint32_t hg_context_fit(const hg_model *m, hg_cache_type cache, uint32_t sessions);
/* HG_E_NOMEM, with what is needed, what is free and what would fit, when the memory that is free
 * does not hold hg_session_bytes. */
HG_API hg_status hg_session_new(hg_session **out, const hg_model *m, hg_runtime *rt,
                                const hg_session_options *o, hg_err *e);
HG_API void hg_session_free(hg_session *s);
HG_API uint64_t hg_session_bytes(const hg_model *m,
                                 const hg_session_options *o); /* what new will take */
HG_API size_t hg_session_length(const hg_session *s);
/* Forgets what is behind the first `length` tokens. Layers with a window keep only what a few
 * tokens less look at; a session that is rewound further reads its tokens again with the next call.
 */
HG_API void hg_session_rewind(hg_session *s, size_t length);
/* Makes room in a full context: keeps the first n_keep tokens and drops the older half of those
 * behind them. What stays is read again with the next call, so that the session is as good as a
 * fresh one that was fed with it. HG_E_ARG: there is nothing to drop. */
HG_API hg_status hg_session_shift(hg_session *s, size_t n_keep, hg_err *e);
/* Appends ids; *logits (may be NULL) gets [n_vocab] of the last one, valid until the next call.
 * HG_E_LIMIT when the context is full: nothing was appended. */
HG_API hg_status hg_session_feed(hg_session *s, const int32_t *ids, size_t n, const float **logits,
                                 hg_err *e);
/* log p(ids[i] | what came before) in nats for each of the n ids given what the session holds; the
 * ids are appended. The first of an empty session has no past: 0. */
HG_API hg_status hg_session_score(hg_session *s, const int32_t *ids, size_t n, double *logprob,
                                  hg_err *e);
/* One vector [d_model] for a text: the mean of the final norm's outputs over its tokens, or that of
 * the last or the first token, made of length 1 when `normalise`. The session holds ids and nothing
 * else afterwards. HG_E_ARG for no ids. */
typedef enum hg_pooling { HG_POOL_MEAN, HG_POOL_LAST, HG_POOL_CLS } hg_pooling;
HG_API hg_status hg_session_embed(hg_session *s, const int32_t *ids, size_t n, hg_pooling pooling,
                                  bool normalise, float *out, hg_err *e);
/* Writes the timeline (ids, keys and values) to a file, whole or not at all. */
HG_API hg_status hg_session_save(hg_session *s, const char *path, hg_err *e);
/* Makes the saved timeline this session's; on failure the session is empty. HG_E_FORMAT: no such
 * file, damaged, of another model, other adapters or another type of cache; HG_E_LIMIT: longer than
 * the session's context; HG_E_MISSING. */
HG_API hg_status hg_session_load(hg_session *s, const char *path, hg_err *e);
/* What the session's next tokens are computed with; n 0: the bare model. They must live until other
 * ones are set or the session is freed. Tokens that the session holds are forgotten, for what is
 * kept of them was made with others, unless the list says the same as before. HG_E_ARG: more than
 * HG_MAX_ADAPTERS, of another model, no finite scale. */
HG_API hg_status hg_session_set_adapters(hg_session *s, const hg_adapter_use *use, size_t n,
                                         hg_err *e);
/* The tokens that the session holds, [hg_session_length], until the next call. */
HG_API const int32_t *hg_session_ids(const hg_session *s);

/* ---- the engine: many requests, one batch a step, on a thread of its own ---- */
typedef struct hg_engine hg_engine;
typedef struct hg_engine_options {
    uint32_t max_sessions;  /* at a time; more wait in a queue */
    uint32_t max_queue;     /* more are refused: HG_E_STATE */
    uint32_t n_ctx;         /* a session's; 0: the model's */
    uint32_t prefill_chunk; /* tokens of prompts a step works off, so that decoding goes on beside a
                               long prompt; HG_MAX_PREFILL_CHUNK at the most */
    hg_cache_type cache;    /* as a session's */
    const char *chat_template; /* what it ends a turn with ends an answer; NULL: the model's. Read
                                  by hg_engine_new only */
    const hg_model *draft; /* a smaller model that guesses ahead, of the same tokenizer; NULL: none.
                              Opened for the same runtime; must outlive the engine */
} hg_engine_options;
enum { HG_MAX_SESSIONS = 1024, HG_MAX_PREFILL_CHUNK = 8192 };
HG_API void hg_engine_options_init(hg_engine_options *o); /* 8, 64, 0, 256, AUTO, NULL */
/* The runtime computes for the engine alone until hg_engine_free. HG_E_MISSING when the model has
 * no tokenizer; HG_E_ARG when the draft model's tokenizer is another one; HG_E_NOMEM, with what
 * would fit, when the memory that is free does not hold one session. Caches are made as sessions
 * need them; where memory ends before max_sessions does, further requests wait. */
HG_API hg_status hg_engine_new(hg_engine **out, const hg_model *m, hg_runtime *rt,
                               const hg_engine_options *o, hg_err *e);
/* Ends what runs and what waits with HG_FINISH_CANCELED. No other call may be under way. */
HG_API void hg_engine_free(hg_engine *en);

typedef enum hg_finish {
    HG_FINISH_NONE,
    HG_FINISH_STOP,
    HG_FINISH_LENGTH,
    HG_FINISH_CANCELED,
    HG_FINISH_ERROR
} hg_finish;

typedef struct hg_usage {
    uint32_t prompt_tokens, completion_tokens, cached_tokens;
    uint32_t drafted_tokens, accepted_tokens; /* guessed ahead, and of them come true */
    double prefill_s, decode_s, queue_s;
    hg_status status; /* of what ended with HG_FINISH_ERROR; HG_E_NOMEM may pass */
    bool has_end;     /* of HG_FINISH_STOP: a token of the model's ended it, and no stop string */
    int32_t end_id;   /* that token */
} hg_usage; /* cached: of the prompt, taken from an earlier request's cache; the end token is not
               counted */

/* How tokens are guessed ahead of the model, which then checks several in one pass. Guesses never
 * show in an answer: it is the same, token for token, without them. */
enum {
    HG_SPECULATE_LOOKUP = 1, /* what followed the text's last tokens where they stood before */
    HG_SPECULATE_DRAFT = 2   /* what the engine's draft model says, where lookup finds nothing */
};

/* A token and what the model made of it: natural logarithms of probabilities as the logits give
 * them, before bias, constraint and sampling. */
typedef struct hg_likely {
    int32_t id;
    float logprob;
} hg_likely;
typedef struct hg_token_report {
    int32_t id;
    hg_bytes text;  /* its bytes, perhaps part of a character; "" for a special token */
    bool of_prompt; /* one that was given, not chosen */
    bool has_past;  /* false for a prompt's first token: nothing says how likely it is */
    float logprob;
    size_t n_top; /* the likeliest at that place, best first, the token itself among them or not */
    const hg_likely *top;
} hg_token_report;
enum { HG_MAX_TOP = 20 };

typedef struct hg_request {
    const int32_t *prompt; /* copied */
    size_t n_prompt;       /* 1 at the least */
    /* Whose request it is; 0: nobody's in particular. Owners take turns where requests wait, and
     * what was read for one is not gone on with for another: nobody can tell by the clock what
     * others ask. */
    uint64_t owner;
    uint32_t max_tokens; /* 0: what the context leaves, or no limit when it shifts */
    uint32_t min_tokens; /* no end token among the first so many; with a constraint the form says
                            when an answer may end, and this has no meaning */
    /* When the answer has filled the context, do as hg_session_shift does and go on; else it ends
     * with HG_FINISH_LENGTH. A prompt that is too long is refused all the same. */
    bool shifts;
    uint32_t n_keep; /* half of the context at the most; HG_E_ARG */
    hg_sampling sampling;
    const hg_adapter_use *adapters; /* copied; the adapters must live until the request has ended */
    size_t n_adapters;              /* HG_MAX_ADAPTERS at the most; 0: the bare model */
    const char *const *stop;        /* strings that end the answer and are cut off; copied */
    size_t n_stop;                  /* HG_MAX_STOP at the most */
    /* Whole UTF-8 characters as they come (text that may begin a stop string is held back), then
     * once with a finish other than NONE and the error's sentence or "". Called on the engine's
     * thread: must not block and must not call the engine. */
    void (*on_text)(void *ctx, hg_bytes text, hg_finish finish, const hg_usage *usage,
                    const char *error);
    /* When not NULL, each token of the answer before its text may be shown, but the one that ends
     * it; where a stop string cuts the text its tokens are told too. With `echo` the prompt's
     * tokens come first, read anew even if a cache knows them. Called as on_text is. */
    void (*on_token)(void *ctx, const hg_token_report *t);
    uint32_t n_top; /* likeliest tokens in a report; HG_MAX_TOP at the most */
    bool echo;
    unsigned speculate;              /* HG_SPECULATE_*, or'ed */
    const hg_constraint *constraint; /* copied; NULL: none */
    void *ctx;
    const atomic_bool *cancel; /* may be NULL; once set (from on_text too) as hg_engine_cancel */
} hg_request;
enum { HG_MAX_STOP = 16 };
typedef uint64_t hg_job;
/* HG_E_LIMIT: the prompt leaves no room in the context. HG_E_STATE: the queue is full. HG_E_ARG: no
 * prompt, an id outside the vocabulary, sampling or stop strings that make no sense. HG_E_MISSING:
 * drafts are asked for and the engine has no draft model. */
HG_API hg_status hg_engine_submit(hg_engine *en, const hg_request *r, hg_job *out, hg_err *e);
HG_API void
hg_engine_cancel(hg_engine *en,
                 hg_job job); /* ends it within one token; the final on_text still comes */
typedef struct hg_engine_state {
    uint32_t n_running, n_waiting;
    uint64_t n_done, n_prompt_tokens, n_completion_tokens;
    uint64_t n_steps, n_rows; /* passes of the model, and tokens that went through them */
    uint64_t n_drafted, n_accepted;
} hg_engine_state;
HG_API void hg_engine_look(hg_engine *en, hg_engine_state *out);
/* Saves the timeline of the request that ended last, in hg_session_save's form; HG_E_STATE while
 * requests run or wait, and before the first has ended. */
HG_API hg_status hg_engine_save(hg_engine *en, const char *path, hg_err *e);
/* Makes a saved timeline one of the engine's, so that a prompt that begins with its tokens need not
 * be read again; they are appended to ids (may be NULL), with the answer's last one. `use` are the
 * adapters that it was made with. Fails as hg_session_load, and with HG_E_STATE while requests run
 * or wait. */
HG_API hg_status hg_engine_load(hg_engine *en, const char *path, const hg_adapter_use *use,
                                size_t n_use, hg_ids *ids, hg_err *e);

/* Submit and wait, in the calling thread's time: for programs that hold one conversation. on_text
 * (may be NULL) comes on the engine's thread. Setting *stop (may be NULL, as may finish and usage)
 * ends it within one token: HG_OK and HG_FINISH_CANCELED. Fails where submit does, or with the
 * error that ended the answer. */
HG_API hg_status hg_engine_run(hg_engine *en, const hg_request *r, const atomic_bool *stop,
                               hg_finish *finish, hg_usage *usage, hg_err *e);

#ifdef __cplusplus
}
#endif
#endif
