/* How fast a model runs on this machine, and how close that is to what the machine can do. */
#ifndef HIGGINS_SPEED_H
#define HIGGINS_SPEED_H

#include <higgins/infer.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum hg_speed_kind {
    HG_SPEED_PREFILL, /* a prompt of n tokens into an empty context */
    HG_SPEED_DECODE,  /* n tokens one by one behind `past` others */
    HG_SPEED_BATCH    /* n tokens for each of `sessions` at once, behind prompts of 32 */
} hg_speed_kind;

typedef struct hg_speed_job {
    hg_speed_kind kind;
    uint32_t n, past, sessions;
} hg_speed_job;

/* A model and what it takes to time it, one job after the other. */
typedef struct hg_speed hg_speed;
/* `o` as a session's; its context must hold every job. */
HG_API hg_status hg_speed_new(hg_speed **out, const hg_model *m, hg_runtime *rt,
                              const hg_session_options *o, hg_err *e);
HG_API void hg_speed_free(hg_speed *s);
/* Seconds that the job's tokens took; making ready (the `past`, the prompts of a batch) does not
 * count. HG_E_LIMIT when the context is too short, HG_E_ARG for a job without tokens; a batch runs
 * through the engine and needs a tokenizer (HG_E_MISSING). */
HG_API hg_status hg_speed_time(hg_speed *s, const hg_speed_job *j, double *seconds, hg_err *e);
/* What the job must do at the least, all its steps together: bytes of weights and cache read from
 * memory (weights once a step, as the file stores them), and FLOP of products and attention. Where
 * experts are chosen, those of one token are counted. */
HG_API double hg_speed_bytes(const hg_speed *s, const hg_speed_job *j);
HG_API double hg_speed_flop(const hg_speed *s, const hg_speed_job *j);

typedef struct hg_speed_options {
    uint32_t prompt, decode; /* tokens of a prompt and of an answer */
    uint32_t repeats;        /* of each job, of which the median counts */
    const uint32_t *depths;  /* [n_depths] tokens before the answer */
    size_t n_depths;
    const uint32_t *sessions; /* [n_sessions] how many answer at once */
    size_t n_sessions;
    hg_session_options session; /* n_ctx 0: what the jobs need */
} hg_speed_options;
HG_API void hg_speed_options_init(hg_speed_options *o); /* 512, 64, 5, {0}, {8} */

enum { HG_SPEED_MAX_ROWS = 32 };
typedef struct hg_speed_row {
    hg_speed_job job;
    double tokens_s;        /* median over the repeats, as are the following */
    double joules;          /* a token */
    double rate, limit;     /* GB/s of memory, or GOP/s of products, whichever binds the job; and
                               what the machine gave beside it */
    double share;           /* rate / limit, pair by pair */
    bool is_bound_by_reads; /* rate is GB/s */
} hg_speed_row;
typedef struct hg_speed_report {
    hg_speed_row row[HG_SPEED_MAX_ROWS];
    size_t n;
} hg_speed_report;
/* Every job of the options, each beside a measure of the machine. HG_E_CANCELED when the watch
 * stops it. */
HG_API hg_status hg_speed_run(hg_speed_report *out, const hg_model *m, hg_runtime *rt,
                              const hg_speed_options *o, const hg_watch *w, hg_err *e);

#ifdef __cplusplus
}
#endif
#endif
