/* Conversations packed into rows: the data of tuning. */
#ifndef HG_TRAIN_PACKED_H
#define HG_TRAIN_PACKED_H

#include "token/calls.h"
#include "train/chats.h"

typedef struct hg_packed_chat {
    size_t at, n;   /* in ids and mask */
    size_t n_first; /* tokens of the first timeline; behind it a second one, or (n) nothing */
    bool is_good;   /* the chat's label */
    uint64_t hash;
    bool is_held;
} hg_packed_chat;

typedef struct hg_packed_side {
    size_t *chat;  /* [n_chats] indices, row by row */
    size_t *first; /* [n_rows + 1] into chat */
    size_t n_rows, n_chats;
} hg_packed_side;

typedef struct hg_packed {
    hg_source source; /* first: a hg_source * is one of these */
    hg_ids ids;
    hg_mask mask;
    size_t max_tokens; /* of a timeline */
    hg_packed_chat *chat;
    size_t n_chats, cap;
    hg_packed_side side[2]; /* learnt from, held out */
    size_t n_truncated, n_dropped;
    uint64_t n_targets;
} hg_packed;

/* How chats are rendered. */
typedef struct hg_chat_look {
    hg_chat_format *format;
    bool explains; /* the template knows no tools: a system message explains them in words */
} hg_chat_look;
hg_status hg_chat_look_open(hg_chat_look *l, const hg_tokenizer *t, const char *chat_template,
                            hg_err *e);
void hg_chat_look_close(hg_chat_look *l);

/* The chat's first (false) or second timeline, appended to ids and mask. Answers that its prompt
 * holds, and those of weight 0, are not learnt from. */
hg_status hg_packed_render(const hg_chat *chat, bool other, const hg_chat_look *l, hg_ids *ids,
                           hg_mask *mask, hg_err *e);
/* Renders and packs. `seq_len`: tokens of a timeline at the most; a row has as many, or twice where
 * chats have two timelines, which lie together. A conversation longer than that is cut; one with
 * nothing to learn from (no answer, or none before the cut) is left out: each of both is told to
 * the watch with its line. Every conversation is whole in one row and sees itself only. Where
 * some chats are held out already, `val_share` takes none. HG_E_ARG when nothing is left. */
hg_status hg_packed_init(hg_packed *p, const hg_chats *c, const hg_tokenizer *t,
                         const char *chat_template, size_t seq_len, double val_share, uint64_t seed,
                         hg_arena *mem, const hg_watch *w, hg_err *e);
void hg_packed_free(hg_packed *p);

#endif
