/* A session's inside, for the files that make it: session.c (feeding, scoring, saving), embed.c. */
#ifndef HG_INFER_SESSION_H
#define HG_INFER_SESSION_H

#include "infer/step.h"

struct hg_session {
    const hg_model *m;
    hg_stepper step;
    hg_cache cache;
    size_t n_owed;      /* ids behind cache.n that a rewind left to be read again */
    size_t chunk;       /* rows of a step */
    size_t score_chunk; /* rows of a step whose logits are all wanted */
    hg_adapter_use adapters[HG_MAX_ADAPTERS];
    size_t n_adapters;
    float *logits; /* of the last token, in the step's arena; NULL: not computed */
};

/* A lane of the session's next n ids. */
hg_lane hg_session_lane(hg_session *s, const int32_t *ids, size_t n, hg_want want);
/* Reads again what a rewind lost. */
hg_status hg_session_repay(hg_session *s, hg_err *e);
/* As hg_session_embed, but HG_E_CANCELED before the next chunk once *stop (may be NULL) is set. */
hg_status hg_session_embed_until(hg_session *s, const int32_t *ids, size_t n, hg_pooling pooling,
                                 bool normalise, const atomic_bool *stop, float *out, hg_err *e);
/* HG_E_ARG for an id outside the vocabulary, HG_E_LIMIT when n more do not fit. */
hg_status hg_session_check(const hg_session *s, const int32_t *ids, size_t n, hg_err *e);

#endif
