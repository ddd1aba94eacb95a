/* Outgoing HTTP, to addresses that strangers name. A host is resolved once a request, what it
 * resolves to is judged, and that address is connected to; redirects are not followed and proxies
 * not used. So nobody reaches a machine behind the server by a name of his own (server-side request
 * forgery). */
#ifndef HG_FETCH_FETCH_H
#define HG_FETCH_FETCH_H

#include "base/mem.h"

enum { HG_MAX_URL = 2048 };

/* Whether this program was built with libcurl; without it fetching fails (HG_E_UNSUPPORTED). */
bool hg_fetch_is_built(void);

/* Whether an address (in_addr or in6_addr, by `family`) is one of the public internet: not
 * loopback, private, link-local, shared, multicast, reserved, or an IPv4 one of these in IPv6. */
bool hg_address_is_public(int family, const void *address);
/* What can be said of `url` without asking anybody: http or https, no user and password, and where
 * its host is a number, or this machine by name, a public address unless `allows_private`. Waits
 * for nothing; other names are judged when they are resolved, by hg_fetch_run. HG_E_ARG says what
 * is wrong. */
hg_status hg_fetch_check(const char *url, bool allows_private, hg_err *e);

typedef struct hg_fetch {
    const char *url;
    bool allows_private;
    double seconds;             /* for all of it, names looked up, too */
    size_t max_body;            /* bytes of the answer; more is HG_E_LIMIT */
    const char *const *headers; /* "Name: value" [n_headers] */
    size_t n_headers;
    hg_bytes post; /* p NULL: GET */
    const atomic_bool
        *stop; /* set it to end the call within some seconds: HG_E_IO; NULL: nobody does */
} hg_fetch;
/* *status and *body (appended; may be NULL: it is thrown away) of the answer, whatever its status.
 * HG_E_ARG as above, also for what a name resolves to, HG_E_MISSING: nobody knows the host,
 * HG_E_IO: no answer, or none from a server of names, in time. */
hg_status hg_fetch_run(const hg_fetch *f, int *status, hg_buf *body, hg_err *e);

#endif
