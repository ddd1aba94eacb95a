/* Versions of models: 64 hexadecimal digits that follow from the bytes of weights, configuration
 * and tokenizer, so that the same files are the same version wherever they lie. */
#ifndef HG_SERVE_VERSIONS_H
#define HG_SERVE_VERSIONS_H

#include "serve/data.h"
#include "serve/models.h"

typedef struct hg_versions hg_versions;
hg_status hg_versions_new(hg_versions **out, hg_data *d, hg_err *e);
/* Ends its thread, amid a file. Requests that wait are not brought back any more. */
void hg_versions_stop(hg_versions *v);
void hg_versions_free(hg_versions *v); /* NULL is fine */
/* Of what an offer stands for. The first time its files are read, some seconds for a gigabyte;
 * later only when one has changed. Any thread. HG_E_IO.
 * For a request, whose handler runs on a desk, a thread of its own reads them: HG_E_STATE says that
 * it must wait. Then its handler is to have no effect any more: what it goes on to answer is not
 * told, and it is called again. `x` NULL: reads them in the calling thread's time. */
hg_status hg_version_of(hg_versions *v, hg_exchange *x, const hg_offer *o, char out[65], hg_err *e);
/* The same without reading; HG_E_STATE: it is not known. */
hg_status hg_version_known(hg_versions *v, const hg_offer *o, char out[65]);
/* To be called on the desk when the handler has returned. */
void hg_versions_after(hg_versions *v, hg_exchange *x);

#endif
