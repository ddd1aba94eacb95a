/* What a model can do, in figures that say how sure they are: bits per byte on held-out text,
 * choices by likelihood, answers that must be right. */
#ifndef HIGGINS_EVAL_H
#define HIGGINS_EVAL_H

#include <higgins/infer.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct hg_eval_options {
    const char *suite; /* "quick": a sample of each set; "full": every row */
    const char *data;  /* a folder of more sets (JSON lines, plain or compressed), or NULL */
    const char *text;  /* held-out text: a file, a folder or a corpus, or NULL */
    /* Rows of each file at the most, chosen by the seed; 0: the suite's (quick: 20 of a file of
     * minimal pairs, 100 of the others). */
    uint32_t limit;
    uint64_t text_bytes; /* held-out text read at the most; 0: the suite's (quick: 256 KiB) */
    uint32_t n_ctx;      /* tokens that the model sees at once; 0: its own context, 1024 at most */
    uint32_t rounds;     /* of the bootstrap */
    uint64_t seed;
    bool no_builtin;   /* leave out the sets that ship with Higgins */
    const char *model; /* how the model is called in the report */
} hg_eval_options;
HG_API void hg_eval_options_init(hg_eval_options *o); /* quick, 1000 rounds, seed 0 */

/* One figure. The interval holds 95%: Wilson's for a share of rows, the bootstrap's over documents
 * for text. */
typedef struct hg_eval_figure {
    const char *set;    /* "blimp", "commonsense", "held-out text" */
    const char *metric; /* "accuracy", "accuracy by byte", "exact match", "bits per byte" ... */
    const char *note;   /* how it is measured, in a few words */
    double value, low, high;
    double chance;         /* what guessing gives; NaN where that makes no sense */
    bool is_share;         /* of rows: shown in percent */
    uint64_t n, n_correct; /* rows, or documents; n_correct 0 for text */
    uint64_t n_cut;        /* rows whose beginning did not fit the context */
    uint64_t tokens;       /* that the model worked through for the whole set */
    double seconds, joules;
} hg_eval_figure;

typedef struct hg_eval_report hg_eval_report;
/* Runs the suite. HG_E_MISSING (a folder or text that is not there, an unknown suite: HG_E_ARG),
 * HG_E_FORMAT (a malformed row: file and line), HG_E_STATE (the model has no tokenizer),
 * HG_E_CANCELED. */
HG_API hg_status hg_eval_run(hg_eval_report **out, const hg_model *m, hg_runtime *rt,
                             const hg_eval_options *o, const hg_watch *w, hg_err *e);
HG_API void hg_eval_free(hg_eval_report *r);
HG_API size_t hg_eval_count(const hg_eval_report *r);
HG_API const hg_eval_figure *hg_eval_get(const hg_eval_report *r, size_t i);
/* The whole report as one JSON document; lives as long as the report. */
HG_API hg_bytes hg_eval_json(const hg_eval_report *r);
/* Writes the JSON, or a self-contained HTML page. */
HG_API hg_status hg_eval_write_json(const hg_eval_report *r, const char *path, hg_err *e);
HG_API hg_status hg_eval_write_html(const hg_eval_report *r, const char *path, hg_err *e);

#ifdef __cplusplus
}
#endif
#endif
