/* Who may come in: the Host must be ours when we are bound to loopback, a web page's Origin must be
 * our own page, and whoever is not asked for health or a page shows a token (or the one key). */
#ifndef HG_SERVE_GUARD_H
#define HG_SERVE_GUARD_H

#include "serve/server.h"
#include "serve/tokens.h"

typedef struct hg_guard hg_guard;
/* `o` must outlive it. */
hg_status hg_guard_new(hg_guard **out, const hg_server_options *o, hg_data *d, hg_err *e);
void hg_guard_free(hg_guard *g); /* NULL is fine */
/* Host and Origin. False and *p. */
bool hg_guard_place(const hg_guard *g, const hg_exchange *x, hg_problem *p);
/* Token (its name becomes the exchange's owner), its scope for `who` and its rate. False and *p;
 * headers about the rate are added to the answer either way. */
bool hg_guard_guest(hg_guard *g, hg_exchange *x, hg_who who, hg_problem *p);
/* Whether it would be let in to run models, without counting it: on the door's thread, before a
 * large body is read. Where there are tokens it sets the exchange's owner. */
bool hg_guard_trusts(hg_guard *g, hg_exchange *x);
/* A token made now counts with the next request. */
void hg_guard_reread(hg_guard *g);

#endif
