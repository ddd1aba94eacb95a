/* Outgoing HTTP, to addresses that strangers name. A host is resolved once, what it resolves to is
 * judged, and that address is connected to; redirects are not followed and proxies not used. So
 * nobody reaches a machine behind the server by a name of his own (server-side request forgery). */
#ifndef HG_FETCH_FETCH_H
#define HG_FETCH_FETCH_H

#include "base/mem.h"

enum { HG_MAX_URL = 2048 };

/* Whether this program was built with libcurl; without it fetching fails (HG_E_UNSUPPORTED). */
bool hg_fetch_is_built(void);

/* Whether an address (in_addr or in6_addr, by `family`) is one of the public internet: not
 * loopback, private, link-local, shared, multicast, reserved, or an IPv4 one of these in IPv6. */
bool hg_address_is_public(int family, const void *address);
/* Whether `url` may be fetched: http or https, no user and password, a host that resolves, to
 * public addresses alone unless `allows_private`. HG_E_ARG says what is wrong. */
hg_status hg_fetch_check(const char *url, bool allows_private, hg_err *e);

typedef struct hg_fetch {
    const char *url;
    bool allows_private;
    double seconds;             /* for all of it */
    size_t max_body;            /* bytes of the answer; more is HG_E_LIMIT */
    const char *const *headers; /* "Name: value" [n_headers] */
    size_t n_headers;
    hg_bytes post; /* p NULL: GET */
} hg_fetch;
/* *status and *body (appended; may be NULL: it is thrown away) of the answer, whatever its status.
 * HG_E_ARG as above, HG_E_IO: no answer. */
hg_status hg_fetch_run(const hg_fetch *f, int *status, hg_buf *body, hg_err *e);

#endif
