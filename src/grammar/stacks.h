/* Where a text may be in a grammar: a set of items, each a state and the frame of the call that it
 * is in. A frame holds the places to return to; all calls of one rule at one place in the text
 * share one frame, which makes the stacks a graph (Tomita 1986; Scott & Johnstone 2010, GLL). So
 * any grammar is followed in polynomial time, an ambiguous or left recursive one too. Frames only
 * grow at the end and never change once their byte is over, so that going back is forgetting. */
#ifndef HG_GRAMMAR_STACKS_H
#define HG_GRAMMAR_STACKS_H

#include "grammar/automaton.h"

typedef struct hg_item {
    uint32_t state, frame;
} hg_item;

typedef struct hg_items {
    hg_item *at;
    size_t n, cap;
} hg_items;

typedef struct hg_frame {
    uint32_t start;    /* of the rule that was called */
    uint32_t first;    /* its first return, or HG_NO_STATE */
    uint32_t distance; /* tokens to the end of the text behind the rule, at the most */
} hg_frame;

typedef struct hg_return {
    uint32_t to, frame, next;
} hg_return;

typedef struct hg_stacks {
    const hg_grammar *g;
    const uint32_t *distance; /* [n_states] tokens to the rule's end, or NULL */
    hg_frame *frames;         /* frame 0 is where the text begins: behind it nothing is known */
    size_t n_frames, frames_cap;
    hg_return *returns;
    size_t n_returns, returns_cap;
    hg_items out; /* of the last step */
    hg_item *work;
    size_t n_work, work_cap;
    uint64_t *seen; /* open addressing; those of this round have its stamp */
    uint32_t *stamp;
    size_t seen_mask, n_seen;
    uint32_t round;
    bool failed; /* memory ended: nothing that follows is to be believed */
} hg_stacks;

enum { HG_MAX_FRAMES = 1 << 26 };

hg_status hg_stacks_init(hg_stacks *s, const hg_grammar *g, const uint32_t *distance, hg_err *e);
void hg_stacks_free(hg_stacks *s);
/* Fills s->out with where `in` may be behind byte c; `in` must not be s->out's own. */
void hg_stacks_step(hg_stacks *s, const hg_item *in, size_t n, uint8_t c);
/* Forgets the frames made since the counts were n_frames and n_returns. */
void hg_stacks_cut(hg_stacks *s, size_t n_frames, size_t n_returns);
/* Whether the text may end here: a way back to frame 0 without a byte. */
bool hg_stacks_may_end(hg_stacks *s, const hg_item *in, size_t n);
/* Marks the bytes that may follow. */
void hg_stacks_bytes(hg_stacks *s, const hg_item *in, size_t n, bool can[256]);
/* Tokens to the end at the most. */
uint32_t hg_stacks_distance(const hg_stacks *s, const hg_item *in, size_t n);

/* Distances are added so that far stays far. */
#define HG_DISTANCE_FAR (1u << 24)
static inline uint32_t hg_distance_sum(uint32_t a, uint32_t b)
{
    return a + b > HG_DISTANCE_FAR ? HG_DISTANCE_FAR : a + b;
}

#endif
