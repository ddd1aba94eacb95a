/* Windows of a token shard as rows to learn from. */
#ifndef HG_TRAIN_WINDOWS_H
#define HG_TRAIN_WINDOWS_H

#include "data/tokens.h"
#include "train/source.h"

/* One side of the split: documents strung together to a stream of ids. */
typedef struct hg_stream {
    uint64_t *doc;   /* [n] where in the shard the document lies */
    uint64_t *start; /* [n + 1] where in the stream it begins */
    size_t n;
} hg_stream;

typedef struct hg_windows {
    hg_source source; /* first: a hg_source * is one of these */
    const hg_tokens *tokens;
    hg_stream part[2]; /* learnt from, held out */
} hg_windows;

/* Splits by document hash: about `val_share` of the documents are held out, the same ones whatever
 * else is in the corpus. Where documents are so few or so large that this would hold out none, or
 * more than twice as much as asked for, the end of each document is held out instead. Borrows
 * `tokens`. HG_E_ARG when there is nothing to learn from. */
hg_status hg_windows_init(hg_windows *w, const hg_tokens *tokens, size_t seq_len, double val_share,
                          hg_arena *mem, hg_err *e);

#endif
