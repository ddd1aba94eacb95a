/* Where rows to learn from come from: windows of a token shard (pre-training) or packed
 * conversations (tuning). The trainer knows no more than this. */
#ifndef HG_TRAIN_SOURCE_H
#define HG_TRAIN_SOURCE_H

#include "tensor/ops.h"

typedef struct hg_source hg_source;
struct hg_source {
    size_t seq_len;
    uint64_t n_rows, n_val_rows;
    uint64_t hash;            /* of everything the rows are made from */
    double val_bytes_a_token; /* of text, to give bits a byte; 0: not known */
    uint64_t mapped_bytes;    /* of files that become resident as they are read */
    bool is_live;       /* row is asked for positions of the run: the rows are made as it goes */
    size_t rows_a_unit; /* batch_size counts units of so many rows; 0: of one */
    bool tells_epoch;   /* row is asked for i + epoch n_rows of rows to learn from */
    /* Row i: ids and targets [seq_len] (target -1: not counted), and begins[t] = 1 where a timeline
     * begins; the first of a row always does. Any thread. */
    void (*row)(const hg_source *s, bool held_out, uint64_t i, int32_t *ids, int32_t *targets,
                uint8_t *begins);
    /* How much each of row i's targets counts, 0 or more; NULL: all of them 1. */
    void (*weights)(const hg_source *s, bool held_out, uint64_t i, float *weights);
};

/* Rows in the form that the model takes. All arrays are [n_rows * seq_len] at the most. */
typedef struct hg_rows {
    size_t n_rows, seq_len;
    int32_t *ids, *pos, *targets;
    uint8_t *begins;
    hg_span *spans; /* rows are counted from the first row of the micro-batch they belong to */
    size_t n_spans, n_targets;
    float *weights; /* of the targets, where is_weighted */
    bool is_weighted;
    double weight; /* of all targets; n_targets where they have none of their own */
    uint64_t *of;  /* [n_rows] which rows of the source they are */
    bool held_out;
} hg_rows;
hg_status hg_rows_init(hg_rows *r, size_t max_rows, size_t seq_len, hg_arena *mem, hg_err *e);

/* Which row of the data the run's row number `position` is: every row once an epoch, in an order of
 * its own each epoch, from (seed, position) alone, so that a resumed run goes on where it was. */
uint64_t hg_source_order(uint64_t n_rows, uint64_t seed, uint64_t position);
/* Fills r with `n` rows: those of the run's positions [position, position + n), or held-out rows
 * [position, ...). */
void hg_rows_fill(hg_rows *r, const hg_source *s, bool held_out, uint64_t seed, uint64_t position,
                  size_t n);

#endif
