/* What the files of evaluation share: rows, sets, the scorer, statistics, and the report. */
#ifndef HG_EVAL_EVAL_H
#define HG_EVAL_EVAL_H

#include <higgins/eval.h>
#include "base/clock.h"
#include "base/mem.h"

enum {
    HG_MAX_ROW_BYTES = 1 << 20,
    HG_MAX_ROWS = 1 << 20,
    HG_MAX_CHOICES = 32,
    HG_MAX_ANSWERS = 32
};

/* ---- rows.c: one line of a set ---- */
typedef enum hg_row_kind {
    HG_ROW_PAIR,   /* two sentences: the good one must be likelier */
    HG_ROW_CHOICE, /* one context, several continuations */
    HG_ROW_FRAME,  /* several contexts, one continuation (Winograd's kind) */
    HG_ROW_NEXT,   /* a context and the words that must follow it, token by token */
    HG_ROW_ANSWER, /* a prompt and what the answer must begin with */
    HG_N_ROW_KINDS
} hg_row_kind;

typedef struct hg_row {
    hg_row_kind kind;
    hg_bytes prompt; /* context, prompt or question; empty for pairs and frames */
    bool is_question;
    hg_bytes *text;        /* [n] sentences, continuations, contexts, or accepted answers */
    size_t n, gold;        /* gold: of text; 0 for pairs (the good one comes first) */
    hg_bytes continuation; /* of frames and NEXT */
    hg_bytes part;         /* the phenomenon, or empty */
} hg_row;

/* Reads one line of JSON; the strings are copied into mem. HG_E_FORMAT says what the row lacks. */
hg_status hg_row_parse(hg_row *out, hg_bytes line, hg_arena *mem, hg_err *e);

/* ---- sets.c: files of rows ---- */
typedef struct hg_set {
    char name[64];
    hg_row_kind kind; /* of every row */
    hg_row *row;
    size_t n, cap;
    uint64_t n_there;       /* rows in the files, before sampling */
    bool same_continuation; /* by-byte normalisation would change nothing */
    hg_arena mem;
} hg_set;
void hg_set_free(hg_set *s);
/* Rows from JSON lines in memory; `where` names the file in sentences. */
hg_status hg_set_read(hg_set *s, hg_bytes lines, const char *where, hg_err *e);
/* A file: JSON lines or HellaSwag's six lines, plain or compressed. */
hg_status hg_set_open(hg_set *s, const char *path, hg_err *e);
/* Keeps at most `limit` of the rows from `from` on, chosen by `seed`, in their order; 0: all. */
hg_status hg_set_sample(hg_set *s, size_t from, uint32_t limit, uint64_t seed, hg_err *e);

typedef struct hg_sets {
    hg_set **set;
    size_t n, cap;
} hg_sets;
hg_status hg_sets_builtin(hg_sets *s, const hg_eval_options *o, hg_err *e);
hg_status hg_sets_folder(hg_sets *s, const hg_eval_options *o, const hg_watch *w, hg_err *e);
void hg_sets_free(hg_sets *s);

/* ---- score.c: what a model says about text ---- */
typedef struct hg_scorer {
    const hg_tokenizer *t;
    hg_session *session;
    uint32_t n_ctx, n_vocab;
    int32_t start; /* put before every text, or -1 */
    bool is_chat;  /* questions are asked through the chat template */
    hg_chat_format *format;
    uint64_t tokens; /* worked through */
    hg_ids context, ids;
    double *logprob;
    size_t logprob_cap;
} hg_scorer;
hg_status hg_scorer_init(hg_scorer *s, const hg_model *m, hg_runtime *rt, uint32_t n_ctx,
                         hg_err *e);
void hg_scorer_free(hg_scorer *s);

typedef struct hg_verdict {
    bool is_right;      /* strictly likelier than every other; or the answer matches */
    bool is_right_byte; /* the same with log-likelihood per byte */
    bool is_cut;        /* the context was shortened from the left */
    hg_buf said;        /* what was generated, for answers; the caller frees it */
} hg_verdict;
hg_status hg_score_row(hg_scorer *s, const hg_row *row, hg_verdict *out, hg_err *e);
/* What an answer is compared by: lower case, one space for white space, no punctuation around. */
hg_status hg_answer_normal(hg_buf *out, hg_bytes text, hg_err *e);
/* True when `said`, normalised, begins with `answer`, normalised, and ends there or at a border. */
hg_status hg_answer_matches(hg_bytes said, hg_bytes answer, bool *yes, hg_err *e);

/* ---- text.c: bits per byte ---- */
typedef struct hg_text_block {
    double nats;
    uint64_t bytes, tokens;
} hg_text_block;
typedef struct hg_text_score {
    hg_text_block *block; /* documents; windows when there are few documents */
    size_t n, cap;
    uint64_t n_documents, bytes, tokens;
    double nats;
    bool by_window;
} hg_text_score;
hg_status hg_score_text(hg_scorer *s, const hg_eval_options *o, const hg_watch *w,
                        hg_text_score *out, hg_err *e);
/* One document, in windows that overlap by half; every byte is counted once. */
hg_status hg_score_document(hg_scorer *s, hg_bytes text, hg_text_score *out, hg_err *e);
void hg_text_score_free(hg_text_score *t);

/* ---- stats.c ---- */
typedef struct hg_interval {
    double low, high;
} hg_interval;
/* Wilson's score interval (1927), 95%. */
hg_interval hg_wilson(uint64_t right, uint64_t n);
/* 95% of sum(a) / sum(b) over units drawn with replacement (Efron 1979): percentiles. */
hg_status hg_bootstrap_ratio(const double *a, const double *b, size_t n, uint32_t rounds,
                             uint64_t seed, hg_interval *out, hg_err *e);

/* ---- the report ---- */
typedef struct hg_eval_part {
    const char *name;
    uint64_t n, right;
} hg_eval_part;
typedef struct hg_eval_sample {
    const char *prompt, *want, *said;
    bool is_right;
} hg_eval_sample;
/* A set's figures and what lies behind them. */
typedef struct hg_eval_block {
    size_t first, n_figures; /* of the report's figures */
    hg_eval_part *part;
    size_t n_parts, part_cap;
    hg_eval_sample *sample;
    size_t n_samples, sample_cap;
} hg_eval_block;

struct hg_eval_report {
    hg_arena mem;
    hg_eval_figure *figure;
    size_t n_figures, figure_cap;
    hg_eval_block *block;
    size_t n_blocks, block_cap;
    const char *model, *suite, *arch, *date, *joules_source;
    uint64_t n_params, seed;
    uint32_t n_ctx;
    double seconds, joules;
    hg_buf json;
};
hg_status hg_eval_make_json(hg_eval_report *r, hg_err *e);
const char *hg_row_kind_name(hg_row_kind k);

#endif
