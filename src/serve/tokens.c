/* Tokens in the store, and the server's copy of them. The copy is read again when another process
 * (higgins token) has written, which SQLite tells without a look at the tables. A token has 240
 * random bits, so that a plain digest keeps it: there is nothing to guess. */
#include "serve/tokens.h"
#include "base/clock.h"

#include <pthread.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

enum { N_RANDOM = 30, READS_A_WRITE = 5 };

typedef struct token {
    unsigned char digest[crypto_hash_sha256_BYTES];
    hg_token_card info;
    double left[2], filled; /* requests that may come at once: others, creating ones; and when */
    int64_t told;           /* when its use was last written */
} token;

struct hg_tokens {
    hg_store *store;
    pthread_mutex_t lock; /* guards what follows */
    token *token;         /* [n] */
    size_t n, cap;
    int64_t version, own_version;
};

/* ---- in the store ---- */
static const struct {
    const char *word;
    unsigned scope;
} words[] = {{"run", HG_MAY_RUN}, {"metrics", HG_MAY_METRICS}};
enum { N_WORDS = sizeof words / sizeof words[0] };

const char *hg_scope_word(size_t i, unsigned *scope)
{
    if (i >= N_WORDS) return NULL;
    *scope = words[i].scope;
    return words[i].word;
}

static hg_status check_name(const char *name, hg_err *e)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._";
    const size_t n = strlen(name);

    if (n > 0 && n < sizeof((hg_token_card *)0)->name && strspn(name, allowed) == n) return HG_OK;
    return hg_fail(e, HG_E_ARG,
                   "\"%.80s\" cannot name a token; use 1 to %zu letters, digits and - . _", name,
                   sizeof((hg_token_card *)0)->name - 1);
}

hg_status hg_token_add(hg_data *d, const char *name, unsigned scopes, uint32_t rate,
                       char secret[HG_TOKEN_ROOM], hg_err *e)
{
    unsigned char r[N_RANDOM], digest[crypto_hash_sha256_BYTES];
    hg_query q;
    hg_err why;

    HG_TRY(check_name(name, e));
    randombytes_buf(r, sizeof r);
    memcpy(secret, "hg_", 3);
    (void)sodium_bin2base64(secret + 3, HG_TOKEN_ROOM - 3, r, sizeof r,
                            sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    (void)crypto_hash_sha256(digest, (const unsigned char *)secret, strlen(secret));
    hg_query_open(
        &q, hg_data_store(d),
        "INSERT INTO tokens (name, sha256, scopes, rate, created) VALUES (?, ?, ?, ?, ?)");
    hg_query_text(&q, 1, name);
    hg_query_blob(&q, 2, (hg_bytes){(const char *)digest, sizeof digest});
    hg_query_int(&q, 3, scopes);
    hg_query_int(&q, 4, rate);
    hg_query_int(&q, 5, hg_unix_time());
    const hg_status s = hg_query_close(&q, &why);
    sodium_memzero(r, sizeof r);
    if (s == HG_OK) return s;
    sodium_memzero(secret, HG_TOKEN_ROOM);
    return s == HG_E_STATE
               ? hg_fail(e, s, "there is a token %s; revoke it, or take another name", name)
               : hg_fail(e, s, "%s", why.msg);
}

static hg_status with_folder(const char *dir, hg_data **d, hg_err *e)
{
    if (sodium_init() < 0) return hg_fail(e, HG_E_IO, "the system gives no random numbers");
    return hg_data_open(d, dir, false, e);
}

hg_status hg_tokens_add(const char *dir, const char *name, unsigned scopes, uint32_t rate,
                        char secret[HG_TOKEN_ROOM], hg_err *e)
{
    hg_data *d = NULL;

    HG_TRY(with_folder(dir, &d, e));
    const hg_status s = hg_token_add(d, name, scopes, rate, secret, e);
    hg_data_close(d);
    return s;
}

hg_status hg_tokens_revoke(const char *dir, const char *name, hg_err *e)
{
    hg_data *d = NULL;
    hg_query q;

    HG_TRY(with_folder(dir, &d, e));
    hg_query_open(&q, hg_data_store(d), "DELETE FROM tokens WHERE name = ?");
    hg_query_text(&q, 1, name);
    hg_status s = hg_query_close(&q, e);
    if (s == HG_OK && hg_store_changes(hg_data_store(d)) == 0)
        s = hg_fail(e, HG_E_MISSING, "there is no token %.80s; higgins token list shows them",
                    name);
    hg_data_close(d);
    return s;
}

static void read_row(const hg_query *q, token *t)
{
    const hg_bytes digest = hg_column_bytes(q, 1);
    const char *name = hg_column_text(q, 0);

    memset(t, 0, sizeof *t);
    (void)snprintf(t->info.name, sizeof t->info.name, "%s", name != NULL ? name : "");
    if (digest.n == sizeof t->digest) memcpy(t->digest, digest.p, digest.n);
    t->info.scopes = (unsigned)hg_column_int(q, 2);
    t->info.rate = (uint32_t)hg_column_int(q, 3);
    t->info.created = hg_column_int(q, 4);
    t->info.used = hg_column_int(q, 5);
}

static const char all_tokens[] =
    "SELECT name, sha256, scopes, rate, created, used FROM tokens ORDER BY created, name";

hg_status hg_tokens_list(const char *dir, hg_token_fn *fn, void *ctx, hg_err *e)
{
    hg_data *d = NULL;
    hg_query q;
    token t;

    HG_TRY(with_folder(dir, &d, e));
    hg_query_open(&q, hg_data_store(d), all_tokens);
    while (hg_query_row(&q)) {
        read_row(&q, &t);
        fn(ctx, &t.info);
    }
    const hg_status s = hg_query_close(&q, e);
    hg_data_close(d);
    return s;
}

/* ---- the server's copy ---- */
hg_status hg_tokens_new(hg_tokens **out, hg_data *d, hg_err *e)
{
    hg_tokens *t = hg_alloc(1, sizeof *t);

    *out = NULL;
    if (t == NULL) return hg_fail(e, HG_E_NOMEM, "no room for the tokens");
    t->store = hg_data_store(d);
    t->version = -1;
    (void)pthread_mutex_init(&t->lock, NULL);
    *out = t;
    return HG_OK;
}

void hg_tokens_free(hg_tokens *t)
{
    if (t == NULL) return;
    (void)pthread_mutex_destroy(&t->lock);
    hg_free(t->token);
    hg_free(t);
}

/* What is left of a token's rate stays when the table is read again. */
static void keep_rate(const token *old, size_t n, token *t)
{
    t->left[0] = READS_A_WRITE * (double)t->info.rate;
    t->left[1] = t->info.rate;
    t->filled = hg_seconds();
    for (size_t i = 0; i < n; i++) {
        if (memcmp(old[i].digest, t->digest, sizeof t->digest) != 0) continue;
        memcpy(t->left, old[i].left, sizeof t->left);
        t->filled = old[i].filled;
        t->told = old[i].told;
    }
}

static void read_all(hg_tokens *t)
{
    token *list = NULL, one;
    size_t n = 0, cap = 0;
    hg_query q;
    bool ok = true;

    hg_query_open(&q, t->store, all_tokens);
    while (ok && hg_query_row(&q)) {
        read_row(&q, &one);
        keep_rate(t->token, t->n, &one);
        ok = hg_grow(&list, &cap, n, sizeof *list, NULL) == HG_OK;
        if (ok) list[n++] = one;
    }
    if (hg_query_close(&q, NULL) != HG_OK || !ok) {
        hg_free(list); /* the old ones count on */
        return;
    }
    hg_free(t->token);
    t->token = list;
    t->n = n;
}

static void refresh(hg_tokens *t)
{
    const int64_t version = hg_store_foreign_changes(t->store);

    if (t->version == version) return;
    read_all(t);
    t->version = version;
}

void hg_tokens_reread(hg_tokens *t)
{
    (void)pthread_mutex_lock(&t->lock);
    t->version = -1;
    (void)pthread_mutex_unlock(&t->lock);
}

static void spend(token *t, bool creates, hg_guest *g)
{
    const double rate[2] = {READS_A_WRITE * (double)t->info.rate, t->info.rate};
    const double now = hg_seconds(), passed = now - t->filled;

    g->is_limited = t->info.rate > 0;
    if (!g->is_limited) return;
    for (int i = 0; i < 2; i++) {
        t->left[i] += passed * rate[i] / 60;
        if (t->left[i] > rate[i]) t->left[i] = rate[i];
    }
    t->filled = now;
    g->is_refused = t->left[creates] < 1;
    if (!g->is_refused) t->left[creates] -= 1;
    const double missing = 1 - t->left[creates];
    g->n_left = t->left[creates] > 0 ? (uint32_t)t->left[creates] : 0;
    g->wait_s = missing > 0 ? (uint32_t)(missing * 60 / rate[creates]) + 1 : 0;
}

static void note_use(hg_tokens *t, token *one)
{
    const int64_t now = hg_unix_time();
    hg_query q;

    if (now >= one->told && now - one->told < 60) return;
    one->told = now;
    hg_query_open(&q, t->store, "UPDATE tokens SET used = ? WHERE name = ?");
    hg_query_int(&q, 1, now);
    hg_query_text(&q, 2, one->info.name);
    (void)hg_query_close(&q, NULL);
}

/* With the lock. Compares with all, in the same time whichever it is. */
static token *find(hg_tokens *t, hg_bytes secret)
{
    unsigned char digest[crypto_hash_sha256_BYTES];
    token *found = NULL;

    (void)crypto_hash_sha256(digest, (const unsigned char *)secret.p, secret.n);
    refresh(t);
    for (size_t i = 0; i < t->n; i++)
        if (sodium_memcmp(digest, t->token[i].digest, sizeof digest) == 0) found = &t->token[i];
    return found;
}

bool hg_tokens_know(hg_tokens *t, hg_bytes secret, unsigned scope, char owner[64])
{
    (void)pthread_mutex_lock(&t->lock);
    const token *found = find(t, secret);
    const bool ok = found != NULL && (found->info.scopes & scope) != 0;
    if (ok) (void)snprintf(owner, 64, "%s", found->info.name);
    (void)pthread_mutex_unlock(&t->lock);
    return ok;
}

bool hg_tokens_admit(hg_tokens *t, hg_bytes secret, bool creates, hg_guest *out)
{
    memset(out, 0, sizeof *out);
    (void)pthread_mutex_lock(&t->lock);
    token *found = find(t, secret);
    if (found != NULL) {
        memcpy(out->owner, found->info.name, sizeof out->owner);
        out->scopes = found->info.scopes;
        spend(found, creates, out);
        note_use(t, found);
    }
    (void)pthread_mutex_unlock(&t->lock);
    return found != NULL;
}
