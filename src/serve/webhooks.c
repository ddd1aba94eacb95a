/* The outbox and its senders. A row is due at a time; whoever takes it moves that time on, so that
 * nobody else takes it meanwhile, and deletes it when it has arrived or has been tried often
 * enough. A host that is being called is not called by a second sender: one that hangs holds up
 * nobody but itself, and what it gets comes in order. */
#include "serve/webhooks.h"
#include "base/clock.h"
#include "fetch/fetch.h"

#include <pthread.h>
#include <sodium.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

enum { N_SENDERS = 4, MAX_TRIES = 7, KEY_BYTES = 24, HOST_ROOM = 256 };
static const double SECONDS_EACH = 10;
static const int64_t TAKEN_MS = 60 * 1000; /* a row that was taken and not seen to is due again */
static const int64_t FAR_MS = 180 * 1000; /* nothing is due so far ahead, unless the day's clock was
                                             set back: then it is due now */

struct hg_webhooks {
    hg_store *store;
    bool allows_private;
    char key[HG_WEBHOOK_KEY_ROOM];
    pthread_t sender[N_SENDERS];
    int n_senders;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t wake;
    char busy[N_SENDERS][HOST_ROOM]; /* hosts that are being called */
    bool is_ending;
};

/* ---- signing ---- */
bool hg_webhook_sign(char out[HG_WEBHOOK_SIGNATURE_ROOM], const char *key, const char *id,
                     int64_t at, hg_bytes body)
{
    unsigned char secret[64], mac[crypto_auth_hmacsha256_BYTES];
    crypto_auth_hmacsha256_state state;
    char head[160];
    size_t n = 0;

    if (strncmp(key, "whsec_", 6) != 0 ||
        sodium_base642bin(secret, sizeof secret, key + 6, strlen(key + 6), NULL, &n, NULL,
                          sodium_base64_VARIANT_ORIGINAL) != 0)
        return false;
    (void)snprintf(head, sizeof head, "%.100s.%lld.", id, (long long)at);
    (void)crypto_auth_hmacsha256_init(&state, secret, n);
    (void)crypto_auth_hmacsha256_update(&state, (const unsigned char *)head, strlen(head));
    (void)crypto_auth_hmacsha256_update(&state, (const unsigned char *)body.p, body.n);
    (void)crypto_auth_hmacsha256_final(&state, mac);
    memcpy(out, "v1,", 3);
    (void)sodium_bin2base64(out + 3, HG_WEBHOOK_SIGNATURE_ROOM - 3, mac, sizeof mac,
                            sodium_base64_VARIANT_ORIGINAL);
    sodium_memzero(secret, sizeof secret);
    return true;
}

/* ---- the outbox ---- */
typedef struct letter {
    char id[40], owner[64], *url, *body;
    int64_t tries, due; /* tries before this one; due: before it was taken */
    bool retries;
    int place; /* in busy */
} letter;

static void make_name(char out[40])
{
    unsigned char r[16];

    randombytes_buf(r, sizeof r);
    memcpy(out, "msg_", 4);
    (void)sodium_bin2hex(out + 4, 36, r, sizeof r);
}

/* In small letters, as a row keeps it. */
static void host_of(const char *url, char out[HOST_ROOM])
{
    const char *host = strstr(url, "://");

    host = host != NULL ? host + 3 : url;
    (void)snprintf(out, HOST_ROOM, "%.*s", (int)strcspn(host, "/?#"), host);
    for (char *p = out; *p != '\0'; p++)
        if (*p >= 'A' && *p <= 'Z') *p = (char)(*p - 'A' + 'a');
}

/* A receiver that hangs does not fill the disk. */
static hg_status drop_oldest(hg_webhooks *w, const char *url, bool retries, int64_t most, hg_err *e)
{
    hg_query q;

    hg_query_open(&q, w->store,
                  "DELETE FROM webhooks WHERE rowid IN (SELECT rowid FROM webhooks WHERE url = ? "
                  "AND retries = ? ORDER BY rowid DESC LIMIT -1 OFFSET ?)");
    hg_query_text(&q, 1, url);
    hg_query_int(&q, 2, retries);
    hg_query_int(&q, 3, most);
    return hg_query_close(&q, e);
}

hg_status hg_webhooks_put(hg_webhooks *w, const char *owner, const char *url, hg_bytes body,
                          bool retries, hg_err *e)
{
    char id[40], host[HOST_ROOM];
    hg_query q;

    make_name(id);
    host_of(url, host);
    hg_query_open(&q, w->store,
                  "INSERT INTO webhooks (id, url, body, retries, tries, due, owner, host) VALUES "
                  "(?, ?, ?, ?, 0, ?, ?, ?)");
    hg_query_text(&q, 1, id);
    hg_query_text(&q, 2, url);
    hg_query_blob(&q, 3, body);
    hg_query_int(&q, 4, retries);
    hg_query_int(&q, 5, hg_unix_ms());
    hg_query_text(&q, 6, owner);
    hg_query_text(&q, 7, host);
    HG_TRY(hg_query_close(&q, e));
    HG_TRY(drop_oldest(w, url, retries, retries ? HG_WEBHOOKS_MOST : HG_WEBHOOKS_MOST_ONCE, e));
    (void)pthread_mutex_lock(&w->lock);
    (void)pthread_cond_signal(&w->wake);
    (void)pthread_mutex_unlock(&w->lock);
    return HG_OK;
}

/* Claims the host of `url`; -1: it is being called. */
static int claim(hg_webhooks *w, const char *url)
{
    char host[HOST_ROOM];
    int place = -1;

    host_of(url, host);
    (void)pthread_mutex_lock(&w->lock);
    for (int i = 0; i < N_SENDERS; i++) {
        if (strcmp(w->busy[i], host) == 0) {
            place = -1;
            break;
        }
        if (w->busy[i][0] == '\0' && place < 0) place = i;
    }
    if (place >= 0) memcpy(w->busy[place], host, sizeof host);
    (void)pthread_mutex_unlock(&w->lock);
    return place;
}

static void unclaim(hg_webhooks *w, int place)
{
    (void)pthread_mutex_lock(&w->lock);
    w->busy[place][0] = '\0';
    (void)pthread_mutex_unlock(&w->lock);
}

static bool copy_row(letter *l, const hg_query *q)
{
    const char *id = hg_column_text(q, 0), *url = hg_column_text(q, 1);
    const hg_bytes body = hg_column_bytes(q, 2);

    (void)snprintf(l->id, sizeof l->id, "%s", id);
    l->url = hg_strdup(url);
    l->body = hg_strndup(body.p, body.n);
    l->retries = hg_column_int(q, 3) != 0;
    l->tries = hg_column_int(q, 4);
    (void)snprintf(l->owner, sizeof l->owner, "%s", hg_column_text(q, 5));
    return l->url != NULL && l->body != NULL;
}

static void set_due(hg_webhooks *w, const letter *l, int64_t due)
{
    hg_query q;

    hg_query_open(&q, w->store, "UPDATE webhooks SET tries = ?, due = ? WHERE id = ?");
    hg_query_int(&q, 1, l->tries);
    hg_query_int(&q, 2, due);
    hg_query_text(&q, 3, l->id);
    (void)hg_query_close(&q, NULL);
}

static void forget(hg_webhooks *w, const letter *l)
{
    hg_query q;

    hg_query_open(&q, w->store, "DELETE FROM webhooks WHERE id = ?");
    hg_query_text(&q, 1, l->id);
    (void)hg_query_close(&q, NULL);
}

static void free_letter(letter *l)
{
    hg_free(l->url);
    hg_free(l->body);
}

/* Binds the hosts that are being called to the query's parameters from i on. */
static void bind_busy(hg_webhooks *w, hg_query *q, int i)
{
    (void)pthread_mutex_lock(&w->lock);
    for (int k = 0; k < N_SENDERS; k++)
        hg_query_text(q, i + k, w->busy[k][0] != '\0' ? w->busy[k] : "-");
    (void)pthread_mutex_unlock(&w->lock);
}

/* The first that is due and whose host nobody calls. */
static bool take(hg_webhooks *w, letter *l)
{
    bool found = false;
    hg_query q;

    memset(l, 0, sizeof *l);
    if (hg_store_begin(w->store, NULL) != HG_OK) return false;
    hg_query_open(
        &q, w->store,
        "SELECT id, url, body, retries, tries, owner FROM webhooks WHERE (due <= ? OR due "
        "> ?) AND host NOT IN (?, ?, ?, ?) ORDER BY due, rowid LIMIT 1");
    hg_query_int(&q, 1, hg_unix_ms());
    hg_query_int(&q, 2, hg_unix_ms() + FAR_MS);
    bind_busy(w, &q, 3);
    if (hg_query_row(&q) && (l->place = claim(w, hg_column_text(&q, 1))) >= 0) {
        found = copy_row(l, &q);
        if (!found) {
            unclaim(w, l->place);
            free_letter(l);
        }
    }
    (void)hg_query_close(&q, NULL);
    if (found) set_due(w, l, hg_unix_ms() + TAKEN_MS);
    (void)hg_store_end(w->store, HG_OK, NULL);
    return found;
}

/* ---- sending ---- */
static bool send(const hg_webhooks *w, const letter *l)
{
    char id[64], at[64], signature[32 + HG_WEBHOOK_SIGNATURE_ROOM], sum[HG_WEBHOOK_SIGNATURE_ROOM];
    char key[HG_WEBHOOK_KEY_ROOM];
    const int64_t now = hg_unix_time();
    const hg_bytes body = {l->body, strlen(l->body)};
    int status = 0;

    (void)snprintf(id, sizeof id, "webhook-id: %s", l->id);
    (void)snprintf(at, sizeof at, "webhook-timestamp: %lld", (long long)now);
    hg_webhooks_key(w, l->owner, key);
    if (!hg_webhook_sign(sum, key, l->id, now, body)) return false;
    (void)snprintf(signature, sizeof signature, "webhook-signature: %s", sum);
    const char *const headers[] = {"Content-Type: application/json", id, at, signature};
    const hg_fetch f = {.url = l->url,
                        .allows_private = w->allows_private,
                        .seconds = SECONDS_EACH,
                        .max_body = (size_t)1 << 20,
                        .headers = headers,
                        .n_headers = 4,
                        .post = body};
    return hg_fetch_run(&f, &status, NULL, NULL) == HG_OK && status < 400;
}

/* 1, 2, 4 ... 32 seconds after the tries before. */
static void see_to(hg_webhooks *w, letter *l)
{
    const bool arrived = send(w, l);

    l->tries++;
    if (arrived || !l->retries || l->tries >= MAX_TRIES)
        forget(w, l);
    else
        set_due(w, l, hg_unix_ms() + ((int64_t)1000 << (l->tries - 1)));
    unclaim(w, l->place);
    free_letter(l);
}

static bool wait_a_little(hg_webhooks *w)
{
    struct timespec until;

    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += 250 * 1000 * 1000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    (void)pthread_mutex_lock(&w->lock);
    if (!w->is_ending) (void)pthread_cond_timedwait(&w->wake, &w->lock, &until);
    const bool goes_on = !w->is_ending;
    (void)pthread_mutex_unlock(&w->lock);
    return goes_on;
}

static bool is_ending(hg_webhooks *w)
{
    (void)pthread_mutex_lock(&w->lock);
    const bool is = w->is_ending;
    (void)pthread_mutex_unlock(&w->lock);
    return is;
}

static void *run_sender(void *ctx)
{
    hg_webhooks *w = ctx;
    letter l;

    do {
        while (!is_ending(w) && take(w, &l)) see_to(w, &l);
    } while (wait_a_little(w));
    return NULL;
}

/* ---- life ---- */
static hg_status make_key(hg_webhooks *w, hg_err *e)
{
    unsigned char r[KEY_BYTES];
    hg_query q;

    randombytes_buf(r, sizeof r);
    memcpy(w->key, "whsec_", 6);
    (void)sodium_bin2base64(w->key + 6, sizeof w->key - 6, r, sizeof r,
                            sodium_base64_VARIANT_ORIGINAL);
    hg_query_open(&q, w->store, "INSERT INTO settings (key, value) VALUES ('webhook_key', ?)");
    hg_query_text(&q, 1, w->key);
    return hg_query_close(&q, e);
}

static hg_status find_key(hg_webhooks *w, hg_err *e)
{
    hg_query q;

    hg_query_open(&q, w->store, "SELECT value FROM settings WHERE key = 'webhook_key'");
    if (hg_query_row(&q)) (void)snprintf(w->key, sizeof w->key, "%s", hg_column_text(&q, 0));
    HG_TRY(hg_query_close(&q, e));
    return w->key[0] != '\0' ? HG_OK : make_key(w, e);
}

hg_status hg_webhooks_new(hg_webhooks **out, hg_data *d, bool allows_private, hg_err *e)
{
    pthread_condattr_t by;
    hg_webhooks *w = hg_alloc(1, sizeof *w);

    *out = NULL;
    if (w == NULL) return hg_fail(e, HG_E_NOMEM, "no room for webhooks");
    w->store = hg_data_store(d);
    w->allows_private = allows_private;
    (void)pthread_mutex_init(&w->lock, NULL);
    (void)pthread_condattr_init(&by);
    (void)pthread_condattr_setclock(&by, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&w->wake, &by);
    (void)pthread_condattr_destroy(&by);
    *out = w;
    return find_key(w, e);
}

/* What was being sent when the server was killed is due at once: to be told twice is no harm, the
 * id says so. */
hg_status hg_webhooks_start(hg_webhooks *w, hg_err *e)
{
    hg_query q;

    /* Letters of an earlier program have no host: they are told one after another. */
    hg_query_open(&q, w->store, "UPDATE webhooks SET due = ? WHERE due > ?");
    hg_query_int(&q, 1, hg_unix_ms());
    hg_query_int(&q, 2, hg_unix_ms() + TAKEN_MS / 2);
    HG_TRY(hg_query_close(&q, e));
    for (; w->n_senders < N_SENDERS; w->n_senders++)
        if (pthread_create(&w->sender[w->n_senders], NULL, run_sender, w) != 0)
            return hg_fail(e, HG_E_NOMEM, "no room for the threads of webhooks");
    return HG_OK;
}

void hg_webhooks_stop(hg_webhooks *w)
{
    if (w == NULL) return;
    (void)pthread_mutex_lock(&w->lock);
    w->is_ending = true;
    (void)pthread_cond_broadcast(&w->wake);
    (void)pthread_mutex_unlock(&w->lock);
    for (; w->n_senders > 0; w->n_senders--) (void)pthread_join(w->sender[w->n_senders - 1], NULL);
}

void hg_webhooks_free(hg_webhooks *w)
{
    if (w == NULL) return;
    hg_webhooks_stop(w);
    (void)pthread_cond_destroy(&w->wake);
    (void)pthread_mutex_destroy(&w->lock);
    sodium_memzero(w->key, sizeof w->key);
    hg_free(w);
}

/* An owner's key is made of the server's, which nobody is told. */
void hg_webhooks_key(const hg_webhooks *w, const char *owner, char out[HG_WEBHOOK_KEY_ROOM])
{
    unsigned char mac[crypto_auth_hmacsha256_BYTES];
    crypto_auth_hmacsha256_state state;

    (void)crypto_auth_hmacsha256_init(&state, (const unsigned char *)w->key, strlen(w->key));
    (void)crypto_auth_hmacsha256_update(&state, (const unsigned char *)owner, strlen(owner));
    (void)crypto_auth_hmacsha256_final(&state, mac);
    memcpy(out, "whsec_", 6);
    (void)sodium_bin2base64(out + 6, HG_WEBHOOK_KEY_ROOM - 6, mac, KEY_BYTES,
                            sodium_base64_VARIANT_ORIGINAL);
    sodium_memzero(mac, sizeof mac);
}

hg_status hg_webhooks_check(const hg_webhooks *w, const char *url, hg_err *e)
{
    return hg_fetch_check(url, w->allows_private, e);
}
