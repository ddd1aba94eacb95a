/* Versions of models: 64 hexadecimal digits that follow from the bytes of weights, configuration
 * and tokenizer, so that the same files are the same version wherever they lie. */
#ifndef HG_SERVE_VERSIONS_H
#define HG_SERVE_VERSIONS_H

#include "serve/data.h"
#include "serve/models.h"

typedef struct hg_versions hg_versions;
hg_status hg_versions_new(hg_versions **out, hg_data *d, hg_err *e);
void hg_versions_free(hg_versions *v); /* NULL is fine */
/* Of what an offer stands for. The first time its files are read, which takes a second for a
 * gigabyte or two; later only when one has changed. Any thread. HG_E_IO. */
hg_status hg_version_of(hg_versions *v, const hg_offer *o, char out[65], hg_err *e);

#endif
