/* Looking names up within a time. */
#ifndef HG_FETCH_NAMES_H
#define HG_FETCH_NAMES_H

#include "base/mem.h"

struct addrinfo;
/* What `host` (a name or a number) resolves to for a stream to `port`; *out is the caller's until
 * freeaddrinfo. HG_E_MISSING: nobody knows it; HG_E_IO: that was not found out within `seconds`. A
 * look-up that is given up goes on in a thread of its own until the system's resolver ends it. */
hg_status hg_name_look_up(struct addrinfo **out, const char *host, const char *port, double seconds,
                          hg_err *e);

#endif
