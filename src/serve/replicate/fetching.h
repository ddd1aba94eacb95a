/* Data that requests name by links, fetched without a desk. */
#ifndef HG_SERVE_REPLICATE_FETCHING_H
#define HG_SERVE_REPLICATE_FETCHING_H

#include "fetch/fetch.h"
#include "http/http.h"

typedef struct hg_fetching hg_fetching;
hg_status hg_fetching_new(hg_fetching **out, hg_err *e);
/* Ends what is being fetched; requests that wait are not brought back any more. */
void hg_fetching_stop(hg_fetching *f);
void hg_fetching_free(hg_fetching *f); /* NULL is fine */
/* What hg_fetch_run gives, for the request x; *body lives until its handler returns. HG_E_STATE: x
 * waits for it. Then its handler is to have no effect any more: what it goes on to answer is not
 * told, and it is called again. HG_E_NOMEM: too much is being fetched, in all or for its owner. */
hg_status hg_fetching_get(hg_fetching *f, hg_exchange *x, const hg_fetch *ask, int *status,
                          hg_bytes *body, hg_err *e);
/* To be called on the desk when the handler has returned. */
void hg_fetching_after(hg_fetching *f, hg_exchange *x);

#endif
