/* Sorting, and what the filters that sort, group and choose share. */
#ifndef HG_JINJA_SORT_H
#define HG_JINJA_SORT_H

#include "jinja/inner.h"

/* Sorts items[n] by keys[n] (the same array may be both); stable, also when reversed. */
void hg_jv_sort(jrun *r, jv *items, jv *keys, size_t n, bool reverse);
/* A dict as a list of (key, value). */
jv hg_jv_pairs(jrun *r, const jv_dict *d);

#endif
