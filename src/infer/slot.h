/* A place in the engine's batch: one cache that outlives its requests, and the request that uses it
 * now. */
#ifndef HG_INFER_SLOT_H
#define HG_INFER_SLOT_H

#include "infer/detok.h"
#include "infer/guess.h"
#include "infer/logprob.h"
#include "infer/lookup.h"
#include "infer/sampler.h"
#include "infer/step.h"

/* Tokens that end an answer. */
typedef struct hg_ends {
    size_t n;
    int32_t id[HG_MAX_ENDS + 1];
} hg_ends;

/* What hg_engine_run waits on. */
typedef struct hg_waiter hg_waiter;

typedef struct hg_work hg_work;
struct hg_work {
    hg_work *next; /* in the queue */
    hg_job id;
    hg_arena mem;    /* the copies of what r points at */
    int32_t *prompt; /* [r.n_prompt], or of the context's size when it shifts: what is to be read */
    size_t n_given;  /* of the timeline, before the answer */
    hg_stops stops;
    hg_constraint *constraint; /* a copy of its own, until the slot has it */
    hg_request r;              /* its stop and constraint are not to be used */
    uint64_t adapters;         /* hg_adapters_key of r's */
    uint64_t turn;             /* the queue is in the order of turns */
    hg_waiter *waiter;
    atomic_bool canceled;
    double submitted_s, started_s, answering_s;
    hg_usage usage;
};

typedef struct hg_slot {
    hg_cache cache; /* made on first use: n_ctx 0 until then */
    uint64_t owner; /* of the timeline in it */
    hg_cache draft; /* the draft model's of the same timeline, likewise */
    const hg_tokenizer *tok;
    const hg_ends *ends; /* the engine's */
    hg_sampler sampler;
    hg_constraint *constraint; /* the answer's own, or NULL */
    hg_detok detok;
    hg_work *work; /* NULL: free */
    size_t n_fed;  /* of the prompt, cached tokens too */

    /* ahead[0] was chosen and, while is_ahead, not yet run; guesses follow it. */
    int32_t ahead[1 + HG_MAX_GUESS];
    size_t n_ahead;
    bool is_ahead;
    bool looked_up; /* the guesses, not drafted */
    hg_lookup lookup;
    hg_guess_rate rate_lookup, rate_draft;

    /* Of this step. */
    float *logits;                      /* [n_logits][n_vocab] or NULL: still reading the prompt */
    size_t n_logits;                    /* 1, or one for each of ahead */
    int32_t drawn[1 + HG_MAX_GUESS];    /* what the draws chose... */
    size_t n_drawn;                     /* ...until a guess was wrong or the answer ended */
    size_t n_before;                    /* positions of the cache before the first of these rows */
    bool is_done;                       /* the constraint lets nothing follow */
    hg_logprobs told[1 + HG_MAX_GUESS]; /* when the request wants reports */
    hg_status status;                   /* of the draws */
    hg_err err;

    uint64_t used_at; /* the engine's clock of requests: the oldest cache is given up first */
} hg_slot;

/* Bytes that the caches of slots will still take as their timelines grow. */
uint64_t hg_slots_untouched(const hg_slot *slots, size_t n_slots);
void hg_slot_free(hg_slot *s);

/* Where a prompt should go: the free slot to use (NULL when all are busy), and the slot, perhaps
 * the same or a busy one, whose timeline is the owner's and begins with *shared of its tokens (NULL
 * when none does). The last token is never counted: it is fed for its logits. Caches of other
 * timelines are kept as long as an older one can be given up instead. With made_only slots whose
 * cache is not there are none. */
hg_slot *hg_slots_choose(hg_slot *slots, size_t n_slots, bool made_only, const hg_work *w,
                         const hg_slot **source, size_t *shared);
/* Begins w in a free slot whose cache is there, with the first `shared` positions of source. Fails
 * for want of room, and the slot stays free. */
hg_status hg_slot_begin(hg_slot *s, hg_work *w, const hg_slot *source, size_t shared, hg_err *e);
/* Whether the context is full and the answer is to go on even so; then the older half of what is
 * behind the first tokens goes, and the rest is a prompt to be read. */
static inline bool hg_slot_is_full(const hg_slot *s)
{
    return s->work != NULL && s->work->r.shifts && s->cache.n == s->cache.n_ctx;
}
void hg_slot_shift(hg_slot *s);
/* Frees the slot for other work; the timeline stays. */
void hg_slot_release(hg_slot *s);

static inline bool hg_slot_reads(const hg_slot *s)
{
    return s->n_fed < s->work->r.n_prompt;
}
static inline bool hg_slot_ends(const hg_slot *s, int32_t id)
{
    for (size_t i = 0; i < s->ends->n; i++)
        if (s->ends->id[i] == id) return true;
    return false;
}
/* How many guesses the answer has room for. */
size_t hg_slot_guess_room(const hg_slot *s);
/* Guesses behind ahead[0] by lookup, `most` at the most. */
void hg_slot_look_up(hg_slot *s, size_t most);

/* What the slot adds to the next step: its token and guesses, or a piece of its prompt of `budget`
 * tokens at the most; false when the budget is 0 and it still reads. */
bool hg_slot_lane(hg_slot *s, size_t budget, hg_lane *lane);
/* Chooses the next token from s->logits, and the ones behind it as long as guesses come true; what
 * was guessed wrong leaves the cache. On a pool's thread. */
void hg_slot_draw(hg_slot *s, hg_choices *room);
/* Of the step's rows, those that the first n drawn tokens stand behind; the others are forgotten.
 */
void hg_slot_keep(hg_slot *s, size_t n);

#endif
