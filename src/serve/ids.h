/* Ids of what a server keeps: a word that says what it is, and letters that nobody guesses. */
#ifndef HG_SERVE_IDS_H
#define HG_SERVE_IDS_H

#include "base/mem.h"

/* `prefix` and n random letters and digits (5 bits each), cut off where there is no room. */
void hg_id_make(char *out, size_t size, const char *prefix, size_t n);
/* A path's rest is an id and what stands behind the slash after it, which is given back ("":
 * nothing). An id that is longer than there is room for is "", which is nobody's. */
const char *hg_id_split(hg_bytes rest, char *id, size_t size);

#endif
