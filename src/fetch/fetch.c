/* Fetching with libcurl, which is handed the one address that was judged. Without libcurl the same
 * calls say that it is missing. */
#include "fetch/fetch.h"
#include "base/clock.h"
#include "fetch/names.h"

#if defined(HG_HAS_CURL)
#include <curl/curl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <arpa/inet.h>

bool hg_fetch_is_built(void)
{
    return true;
}

typedef struct target {
    char host[256], port[8];
    char address[INET6_ADDRSTRLEN + 2]; /* IPv6 in brackets */
} target;

static void part(CURLU *u, CURLUPart what, unsigned flags, char *out, size_t size)
{
    char *text = NULL;

    out[0] = '\0';
    if (curl_url_get(u, what, &text, flags) == CURLUE_OK && text != NULL && strlen(text) < size)
        memcpy(out, text, strlen(text) + 1);
    curl_free(text);
}

static hg_status split(const char *url, target *t, hg_err *e)
{
    char scheme[16], host[256];
    CURLU *u = curl_url();

    if (u == NULL) return hg_fail(e, HG_E_NOMEM, "no room for a URL");
    const bool ok = strlen(url) <= HG_MAX_URL &&
                    curl_url_set(u, CURLUPART_URL, url, CURLU_NON_SUPPORT_SCHEME) == CURLUE_OK;
    part(u, CURLUPART_SCHEME, 0, scheme, sizeof scheme);
    part(u, CURLUPART_HOST, 0, host, sizeof host);
    part(u, CURLUPART_PORT, CURLU_DEFAULT_PORT, t->port, sizeof t->port);
    char *given = NULL;
    const bool has_user = curl_url_get(u, CURLUPART_USER, &given, 0) == CURLUE_OK;
    curl_free(given);
    curl_url_cleanup(u);
    if (!ok || host[0] == '\0')
        return hg_fail(e, HG_E_ARG, "\"%.200s\" is no URL; https://host/path would be one", url);
    if (strcasecmp(scheme, "http") != 0 && strcasecmp(scheme, "https") != 0)
        return hg_fail(e, HG_E_ARG, "%.200s: only http and https are fetched", url);
    if (has_user) return hg_fail(e, HG_E_ARG, "%.200s: a URL with a user is not fetched", url);
    const size_t n = strlen(host);
    const bool is_v6 = host[0] == '[' && host[n - 1] == ']';
    (void)snprintf(t->host, sizeof t->host, "%.*s", (int)(is_v6 ? n - 2 : n), host + is_v6);
    return HG_OK;
}

static const void *address_of(const struct addrinfo *a)
{
    return a->ai_family == AF_INET6
               ? (const void *)&((const struct sockaddr_in6 *)(const void *)a->ai_addr)->sin6_addr
               : (const void *)&((const struct sockaddr_in *)(const void *)a->ai_addr)->sin_addr;
}

static hg_status is_inside(const target *t, hg_err *e)
{
    return hg_fail(e, HG_E_ARG,
                   "%.200s is an address of this machine or of a private network, which is not "
                   "fetched from; --allow-private-urls opens it",
                   t->host);
}

/* All that was found must be allowed; the first is taken. */
static hg_status judge(target *t, const struct addrinfo *found, bool allows_private, hg_err *e)
{
    char text[INET6_ADDRSTRLEN];
    bool ok = true;

    for (const struct addrinfo *a = found; a != NULL && ok && !allows_private; a = a->ai_next)
        ok = hg_address_is_public(a->ai_family, address_of(a));
    (void)inet_ntop(found->ai_family, address_of(found), text, sizeof text);
    (void)snprintf(t->address, sizeof t->address, found->ai_family == AF_INET6 ? "[%s]" : "%s",
                   text);
    return ok ? HG_OK : is_inside(t, e);
}

static hg_status resolve(target *t, bool allows_private, double seconds, hg_err *e)
{
    struct addrinfo *found = NULL;

    HG_TRY(hg_name_look_up(&found, t->host, t->port, seconds, e));
    const hg_status s = judge(t, found, allows_private, e);
    freeaddrinfo(found);
    return s;
}

/* "localhost", and what ends with ".localhost", which resolvers answer themselves (RFC 6761). */
static bool is_local(const char *host)
{
    static const char name[] = "localhost";
    const size_t len = strlen(host), n = len > 0 && host[len - 1] == '.' ? len - 1 : len;
    const size_t n_name = sizeof name - 1;

    return n >= n_name && strncasecmp(host + n - n_name, name, n_name) == 0 &&
           (n == n_name || host[n - n_name - 1] == '.');
}

hg_status hg_fetch_check(const char *url, bool allows_private, hg_err *e)
{
    const struct addrinfo want = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST};
    struct addrinfo *found = NULL;
    target t;

    HG_TRY(split(url, &t, e));
    if (!allows_private && is_local(t.host)) return is_inside(&t, e);
    if (getaddrinfo(t.host, t.port, &want, &found) != 0 || found == NULL) return HG_OK; /* a name */
    const hg_status s = judge(&t, found, allows_private, e);
    freeaddrinfo(found);
    return s;
}

typedef struct taken {
    hg_buf *body;
    size_t n, max;
} taken;

static size_t take(char *p, size_t size, size_t n, void *ctx)
{
    taken *t = ctx;

    (void)size;
    t->n += n;
    if (t->n > t->max) return 0;
    if (t->body != NULL) hg_buf_put(t->body, p, n);
    return t->body != NULL && t->body->failed ? 0 : n;
}

static int is_stopped(void *ctx, curl_off_t down, curl_off_t so_far, curl_off_t up, curl_off_t sent)
{
    const hg_fetch *f = ctx;

    (void)down;
    (void)so_far;
    (void)up;
    (void)sent;
    return f->stop != NULL && atomic_load(f->stop);
}

static struct curl_slist *headers_of(const hg_fetch *f)
{
    struct curl_slist *list = curl_slist_append(NULL, "Expect:");

    for (size_t i = 0; i < f->n_headers && list != NULL; i++) {
        struct curl_slist *longer = curl_slist_append(list, f->headers[i]);
        if (longer == NULL) curl_slist_free_all(list);
        list = longer;
    }
    return list;
}

static void set_up(CURL *c, const hg_fetch *f, double seconds, struct curl_slist *to,
                   struct curl_slist *headers, taken *t)
{
    (void)curl_easy_setopt(c, CURLOPT_URL, f->url);
    (void)curl_easy_setopt(c, CURLOPT_CONNECT_TO, to);
    (void)curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
    (void)curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L);
    (void)curl_easy_setopt(c, CURLOPT_PROXY, "");
    (void)curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, (long)(seconds * 1000));
    (void)curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers);
    (void)curl_easy_setopt(c, CURLOPT_USERAGENT, "higgins/" HG_VERSION);
    (void)curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, take);
    (void)curl_easy_setopt(c, CURLOPT_WRITEDATA, t);
    (void)curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L);
    (void)curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, is_stopped);
    (void)curl_easy_setopt(c, CURLOPT_XFERINFODATA, f);
    if (f->post.p == NULL) return;
    (void)curl_easy_setopt(c, CURLOPT_POST, 1L);
    (void)curl_easy_setopt(c, CURLOPT_POSTFIELDS, f->post.p);
    (void)curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)f->post.n);
}

static hg_status run(CURL *c, const hg_fetch *f, const taken *t, int *status, hg_err *e)
{
    long code = 0;
    const CURLcode r = curl_easy_perform(c);

    if (t->n > t->max)
        return hg_fail(e, HG_E_LIMIT, "%.200s: longer than the %zu bytes that are read", f->url,
                       t->max);
    if (r != CURLE_OK) return hg_fail(e, HG_E_IO, "%.200s: %s", f->url, curl_easy_strerror(r));
    (void)curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &code);
    *status = (int)code;
    return HG_OK;
}

hg_status hg_fetch_run(const hg_fetch *f, int *status, hg_buf *body, hg_err *e)
{
    const double until = hg_seconds() + f->seconds;
    target t;
    char to[640];
    taken got = {body, 0, f->max_body};

    HG_TRY(split(f->url, &t, e));
    HG_TRY(resolve(&t, f->allows_private, f->seconds, e));
    /* "HOST:PORT:ADDRESS:PORT" with the first two empty: whatever the URL says, there. */
    (void)snprintf(to, sizeof to, "::%s:%s", t.address, t.port);
    struct curl_slist *where = curl_slist_append(NULL, to), *headers = headers_of(f);
    CURL *c = curl_easy_init();
    hg_status s = where == NULL || headers == NULL || c == NULL
                      ? hg_fail(e, HG_E_NOMEM, "no room for a request")
                      : HG_OK;
    if (s == HG_OK) {
        const double left = until - hg_seconds(); /* curl takes 0 for no limit */
        set_up(c, f, left > 0.001 ? left : 0.001, where, headers, &got);
        s = run(c, f, &got, status, e);
    }
    curl_easy_cleanup(c);
    curl_slist_free_all(headers);
    curl_slist_free_all(where);
    return s;
}

#else

bool hg_fetch_is_built(void)
{
    return false;
}

static hg_status missing(hg_err *e)
{
    return hg_fail(e, HG_E_UNSUPPORTED,
                   "this Higgins was built without libcurl and fetches nothing");
}

hg_status hg_fetch_check(const char *url, bool allows_private, hg_err *e)
{
    (void)url;
    (void)allows_private;
    return missing(e);
}

hg_status hg_fetch_run(const hg_fetch *f, int *status, hg_buf *body, hg_err *e)
{
    (void)f;
    (void)status;
    (void)body;
    return missing(e);
}

#endif
