/* The folder in which a server keeps what outlives it: the store. */
#ifndef HG_SERVE_DATA_H
#define HG_SERVE_DATA_H

#include "store/store.h"

typedef struct hg_data hg_data;
/* `dir` is made when it is not there, for its owner alone; NULL: all is in memory and ends with it.
 * `alone`: for a server, of which a folder has one at a time (HG_E_STATE). */
hg_status hg_data_open(hg_data **out, const char *dir, bool alone, hg_err *e);
void hg_data_close(hg_data *d); /* NULL is fine */
/* What its owner should know: that the store's file cannot shrink. NULL: nothing. */
const char *hg_data_note(const hg_data *d);
hg_store *hg_data_store(const hg_data *d);
/* Where what is not rows is kept. With dir NULL a folder in /tmp that ends with the data. */
const char *hg_data_folder(const hg_data *d);

#endif
