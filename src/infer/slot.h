/* A place in the engine's batch: one cache that outlives its requests, and the request that uses it
 * now. */
#ifndef HG_INFER_SLOT_H
#define HG_INFER_SLOT_H

#include "infer/detok.h"
#include "infer/sampler.h"
#include "infer/step.h"

/* What hg_engine_run waits on. */
typedef struct hg_waiter hg_waiter;

typedef struct hg_work hg_work;
struct hg_work {
    hg_work *next; /* in the queue */
    hg_job id;
    hg_arena mem;    /* the copies of what r points at */
    int32_t *prompt; /* [r.n_prompt] */
    hg_stops stops;
    hg_request r; /* its stop is not to be used */
    hg_waiter *waiter;
    atomic_bool canceled;
    double submitted_s, started_s, answering_s;
    hg_usage usage;
};

typedef struct hg_slot {
    hg_cache cache; /* made on first use: n_ctx 0 until then */
    const hg_tokenizer *tok;
    hg_sampler sampler;
    hg_detok detok;
    hg_work *work; /* NULL: free */
    size_t n_fed;  /* of the prompt, cached tokens too */
    int32_t token; /* chosen and, while is_ahead, not yet fed */
    bool is_ahead;
    int32_t chosen;   /* by the last draw */
    float *logits;    /* of this step, or NULL: still reading the prompt */
    hg_status drawn;  /* how the last draw went */
    uint64_t used_at; /* the engine's clock of requests: the oldest cache is given up first */
    hg_err err;
} hg_slot;

/* Makes the slot's room unless it is there. */
hg_status hg_slot_new(hg_slot *s, const hg_model *m, size_t n_ctx, hg_type type, hg_err *e);
void hg_slot_free(hg_slot *s);

/* Where a prompt should go: the free slot to use (NULL when all are busy), and the slot, perhaps
 * the same or a busy one, whose timeline begins with *shared of its tokens (NULL when none does).
 * The last token is never counted: it is fed for its logits. Caches of other timelines are kept as
 * long as an older one can be given up instead. */
hg_slot *hg_slots_choose(hg_slot *slots, size_t n_slots, const hg_work *w, const hg_slot **source,
                         size_t *shared);
/* Begins w in a free slot whose cache is there, with the first `shared` positions of source. */
void hg_slot_begin(hg_slot *s, hg_work *w, const hg_slot *source, size_t shared);

/* What the slot adds to the next step: its token, or a piece of its prompt of `budget` tokens at
 * the most; false when the budget is 0 and it still reads. */
bool hg_slot_lane(hg_slot *s, size_t budget, hg_lane *lane);
/* Chooses the next token from s->logits; on a pool's thread. */
void hg_slot_draw(hg_slot *s, hg_choices *room);

#endif
