/* Which type each tensor of a quantised model gets (mix.c). */
#ifndef HG_MODEL_MIX_H
#define HG_MODEL_MIX_H

#include "model/gguf_out.h"

typedef struct hg_mix hg_mix;

const hg_mix *hg_mix_find(const char *name); /* "q4_k_m"; NULL when unknown */
/* "q2_k, q3_k_s, ...": all names, into out. */
void hg_mix_names(char *out, size_t size);
/* Sets `to` of every item and the file type. Says by `w` where rows that are no multiple of 256
 * made another type needed. */
void hg_mix_apply(const hg_mix *m, hg_out *o, bool pure, const hg_watch *w);

#endif
