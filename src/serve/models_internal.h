/* What models.c and models_load.c share. */
#ifndef HG_SERVE_MODELS_INTERNAL_H
#define HG_SERVE_MODELS_INTERNAL_H

#include "serve/models.h"

#include <pthread.h>

struct hg_models {
    const hg_server_options *o;
    _Atomic(hg_offer *) offer[HG_SERVE_MAX_MODELS]; /* [n_offers]; filled before the count rises */
    atomic_size_t n_offers;
    pthread_mutex_t lock; /* guards what follows, the offers' loads, and who adds */
    pthread_cond_t changed;
    hg_offer *gone; /* those that have lost their places */
    bool loading, closing;
    int n_waiting;
    uint64_t memory, used, reserved; /* reserved: of used, by trainings */
    uint64_t leaving;                /* of used: of models that are being freed */
    uint32_t n_loads, n_unloads;
};

/* Frees what is loaded of an offer that nobody uses. */
void hg_offer_unload(hg_offer *o);

/* The same, out of the table and the sums; with the lock, which it gives up meanwhile. */
void hg_models_let_go(hg_models *ms, hg_offer *o);

/* Fills in what the files at `path` tell of it: path, card, whether it is an adapter. */
hg_status hg_offer_describe(hg_offer *o, const char *path, hg_err *e);
/* An adapter's base is found: its card tells the same. */
void hg_offer_stand_on(hg_offer *o, hg_offer *base);

#endif
