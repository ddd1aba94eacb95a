/* The guard. Keys and tokens are compared as digests, in constant time; tokens are counted against
 * their rate before anything of a request is read but its head. */
#include "serve/guard.h"

#include <arpa/inet.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

struct hg_guard {
    const hg_server_options *o;
    bool is_loopback, has_key;
    unsigned char key[crypto_hash_sha256_BYTES];
    hg_tokens *tokens;
};

/* ---- places ---- */
/* "localhost", "127.x.x.x" or "::1", without its port; `own` is what --host said. */
static bool is_loopback_name(hg_bytes h, const char *own)
{
    char name[256];
    struct in_addr a4;
    const char *colon = h.n > 0 ? memchr(h.p, ':', h.n) : NULL;

    if (h.n > 0 && h.p[0] == '[') {
        const char *end = memchr(h.p, ']', h.n);
        return end != NULL && end - h.p == 4 && memcmp(h.p, "[::1]", 5) == 0;
    }
    size_t n = colon != NULL ? (size_t)(colon - h.p) : h.n;
    if (n == 0 || n >= sizeof name) return false;
    memcpy(name, h.p, n);
    name[n] = 0;
    if (strcasecmp(name, "localhost") == 0 || strcasecmp(name, own) == 0) return true;
    return inet_pton(AF_INET, name, &a4) == 1 && (ntohl(a4.s_addr) >> 24) == 127;
}

static bool check_origin(const hg_exchange *x, hg_problem *p)
{
    const char *host = hg_exchange_header(x, "Host");
    const char *origin = hg_exchange_header(x, "Origin");
    const char *sep = origin != NULL ? strstr(origin, "://") : NULL;

    if (origin == NULL || (sep != NULL && host != NULL && strcasecmp(sep + 3, host) == 0))
        return true;
    return hg_refuse(p, 403, "foreign_origin", NULL,
                     "a page of another site may not use this server; its own page is at /");
}

/* Names with commas between; a port in the Host is left out. */
static bool is_listed(const char *names, const char *host)
{
    const size_t n = strcspn(host, ":");

    while (names != NULL && *names != '\0') {
        const size_t len = strcspn(names, ",");
        if (len == n && strncasecmp(names, host, n) == 0) return true;
        names += len + (names[len] == ',');
    }
    return false;
}

bool hg_guard_place(const hg_guard *g, const hg_exchange *x, hg_problem *p)
{
    const char *host = hg_exchange_header(x, "Host");

    if (g->is_loopback && host != NULL &&
        !is_loopback_name((hg_bytes){host, strlen(host)}, g->o->host) &&
        !is_listed(g->o->hosts, host))
        return hg_refuse(p, 403, "foreign_host", NULL,
                         "this server answers for localhost only, not for the Host \"%.200s\"; "
                         "--allow-host names others, behind a proxy",
                         host);
    return check_origin(x, p);
}

/* ---- guests ---- */
/* Where the clients of the protocols put it; NULL: nowhere. */
static const char *given_key(const hg_exchange *x)
{
    const char *given = hg_exchange_header(x, "Authorization");

    if (given != NULL && strncasecmp(given, "Bearer ", 7) == 0) return given + 7;
    if (given != NULL && strncasecmp(given, "Token ", 6) == 0) return given + 6;
    given = hg_exchange_header(x, "x-api-key");
    if (given == NULL) given = hg_exchange_header(x, "x-goog-api-key");
    return given != NULL ? given : hg_exchange_query(x, "key");
}

/* What the one key, or a server that asks for none, allows. */
static void be_owner(hg_guest *guest)
{
    *guest = (hg_guest){.owner = HG_DEFAULT_OWNER, .scopes = HG_MAY_ALL};
}

static bool admit(hg_guard *g, const hg_exchange *x, hg_guest *guest, hg_problem *p)
{
    const char *given = given_key(x), *method = hg_exchange_method(x);
    unsigned char digest[crypto_hash_sha256_BYTES];

    be_owner(guest);
    if (!g->has_key && !g->o->asks_token) return true;
    if (given == NULL)
        return hg_refuse(p, 401, "invalid_api_key", NULL,
                         g->o->asks_token
                             ? "this server asks for a token: Authorization: Bearer "
                               "TOKEN (higgins token add NAME makes one)"
                             : "this server asks for its key: Authorization: Bearer KEY");
    (void)crypto_hash_sha256(digest, (const unsigned char *)given, strlen(given));
    if (g->has_key && sodium_memcmp(digest, g->key, sizeof digest) == 0) return true;
    if (g->o->asks_token && hg_tokens_admit(g->tokens, (hg_bytes){given, strlen(given)},
                                            strcmp(method, "POST") == 0, guest))
        return true;
    return hg_refuse(p, 401, "invalid_api_key", NULL,
                     g->o->asks_token ? "the token is not one of this server's"
                                      : "the key is not this server's");
}

static void tell_rate(hg_exchange *x, const hg_guest *guest)
{
    char text[16];

    if (!guest->is_limited) return;
    (void)snprintf(text, sizeof text, "%u", guest->n_left);
    hg_exchange_add_header(x, "ratelimit-remaining", text);
    (void)snprintf(text, sizeof text, "%u", guest->wait_s);
    hg_exchange_add_header(x, "ratelimit-reset", text);
    if (guest->is_refused) hg_exchange_add_header(x, "Retry-After", text);
}

bool hg_guard_guest(hg_guard *g, hg_exchange *x, hg_who who, hg_problem *p)
{
    static const struct {
        unsigned scope;
        const char *word;
    } needs[] = {
        [HG_NEEDS_RUN] = {HG_MAY_RUN, "run"}, [HG_NEEDS_METRICS] = {HG_MAY_METRICS, "metrics"}};
    hg_guest guest;

    if (who == HG_ANYBODY) return true;
    if (!admit(g, x, &guest, p)) return false;
    hg_exchange_set_owner(x, guest.owner);
    tell_rate(x, &guest);
    if (guest.is_refused)
        return hg_refuse(p, 429, "rate_limit_exceeded", NULL,
                         "Request was throttled. Your rate limit resets in ~%us.", guest.wait_s);
    if ((guest.scopes & needs[who].scope) == 0)
        return hg_refuse(p, 403, "insufficient_scope", NULL,
                         "the token %s may not do this; it needs the scope %s", guest.owner,
                         needs[who].word);
    return true;
}

/* Whose it is; false: nobody's. */
static bool know(hg_guard *g, const char *given, char owner[64])
{
    unsigned char digest[crypto_hash_sha256_BYTES];

    (void)snprintf(owner, 64, "%s", HG_DEFAULT_OWNER);
    (void)crypto_hash_sha256(digest, (const unsigned char *)given, strlen(given));
    if (g->has_key && sodium_memcmp(digest, g->key, sizeof digest) == 0) return true;
    return g->o->asks_token &&
           hg_tokens_know(g->tokens, (hg_bytes){given, strlen(given)}, HG_MAY_RUN, owner);
}

bool hg_guard_trusts(hg_guard *g, hg_exchange *x)
{
    const char *given = given_key(x);
    char owner[64];
    hg_problem p;

    if (!hg_guard_place(g, x, &p)) return false;
    if (!g->has_key && !g->o->asks_token) return true;
    if (given == NULL || !know(g, given, owner)) return false;
    if (g->o->asks_token) hg_exchange_set_owner(x, owner);
    return true;
}

void hg_guard_reread(hg_guard *g)
{
    hg_tokens_reread(g->tokens);
}

/* ---- life ---- */
bool hg_host_is_loopback(const char *host)
{
    return strcmp(host, "::1") == 0 ||
           is_loopback_name((hg_bytes){host, strlen(host)}, "localhost");
}

hg_status hg_guard_new(hg_guard **out, const hg_server_options *o, hg_data *d, hg_err *e)
{
    hg_guard *g = hg_alloc(1, sizeof *g);

    *out = NULL;
    if (g == NULL) return hg_fail(e, HG_E_NOMEM, "no room for the server");
    g->o = o;
    g->is_loopback = hg_host_is_loopback(o->host);
    g->has_key = o->api_key != NULL;
    if (g->has_key)
        (void)crypto_hash_sha256(g->key, (const unsigned char *)o->api_key, strlen(o->api_key));
    *out = g;
    return hg_tokens_new(&g->tokens, d, e);
}

void hg_guard_free(hg_guard *g)
{
    if (g == NULL) return;
    hg_tokens_free(g->tokens);
    sodium_memzero(g->key, sizeof g->key);
    hg_free(g);
}
