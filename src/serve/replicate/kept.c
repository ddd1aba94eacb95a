/* Predictions in the store. */
#include "base/clock.h"
#include "serve/replicate/predictions_impl.h"

#include <stdio.h>
#include <string.h>

/* Times are unix milliseconds. */
const char hg_replicate_tables[] =
    "CREATE TABLE settings (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;"
    "CREATE TABLE webhooks (id TEXT PRIMARY KEY, url TEXT NOT NULL, body BLOB NOT NULL, "
    "retries INTEGER NOT NULL, tries INTEGER NOT NULL, due INTEGER NOT NULL) STRICT;"
    "CREATE INDEX webhooks_due ON webhooks (due);"
    "CREATE TABLE digests (path TEXT PRIMARY KEY, size INTEGER NOT NULL, changed INTEGER NOT "
    "NULL, sha256 TEXT NOT NULL) STRICT;"
    "CREATE TABLE predictions (id TEXT PRIMARY KEY, secret TEXT NOT NULL UNIQUE, owner TEXT "
    "NOT NULL, model TEXT NOT NULL, version TEXT NOT NULL, backend TEXT NOT NULL, source TEXT "
    "NOT NULL, base TEXT NOT NULL, deployment TEXT, webhook TEXT, webhook_events INTEGER NOT "
    "NULL, input TEXT, events TEXT, status TEXT NOT NULL, error TEXT, metrics TEXT, created "
    "INTEGER NOT NULL, started INTEGER NOT NULL DEFAULT 0, completed INTEGER NOT NULL DEFAULT "
    "0, deadline INTEGER NOT NULL, removed INTEGER NOT NULL DEFAULT 0) STRICT;"
    "CREATE INDEX predictions_by_owner ON predictions (owner, created);"
    "CREATE INDEX predictions_by_model ON predictions (model);"
    "CREATE INDEX predictions_by_status ON predictions (status);"
    "CREATE TABLE made_models (name TEXT PRIMARY KEY, owner TEXT NOT NULL, description TEXT, "
    "visibility TEXT NOT NULL, github_url TEXT, paper_url TEXT, license_url TEXT, cover_url "
    "TEXT, created INTEGER NOT NULL) STRICT;"
    "CREATE TABLE deployments (name TEXT NOT NULL, token TEXT NOT NULL, model TEXT NOT NULL, "
    "version TEXT NOT NULL, hardware TEXT NOT NULL, number INTEGER NOT NULL, created INTEGER "
    "NOT NULL, min INTEGER NOT NULL, max INTEGER NOT NULL, PRIMARY KEY (name, token)) STRICT;";

/* In the order of their making, whatever the day's clock says. */
const char hg_replicate_order[] = "CREATE INDEX predictions_in_order ON predictions (owner);"
                                  "DROP INDEX predictions_by_owner;";

const char hg_replicate_letters[] =
    "ALTER TABLE webhooks ADD COLUMN owner TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE webhooks ADD COLUMN host TEXT NOT NULL DEFAULT '';"
    "CREATE INDEX webhooks_by_url ON webhooks (url, retries);"
    "CREATE INDEX predictions_to_sweep ON predictions (completed) WHERE source = 'api' AND removed "
    "= 0;";

/* A file that was put in another's place is another, whatever time and size it says. */
const char hg_replicate_inodes[] =
    "ALTER TABLE digests ADD COLUMN inode INTEGER NOT NULL DEFAULT 0;";

hg_status hg_prediction_insert(hg_predictions *all, const hg_prediction *p, hg_err *e)
{
    hg_query q;

    hg_query_open(
        &q, all->store,
        "INSERT INTO predictions (id, secret, owner, model, version, backend, source, base, "
        "deployment, webhook, webhook_events, input, status, created, deadline) VALUES (?, "
        "?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
    const char *const text[] = {p->id,      p->secret, p->owner, p->model,      p->version,
                                p->backend, p->source, p->base,  p->deployment, p->webhook};
    for (int i = 0; i < 10; i++) hg_query_text(&q, i + 1, text[i]);
    hg_query_int(&q, 11, p->webhook_events);
    hg_query_text(&q, 12, p->input);
    hg_query_text(&q, 13, hg_prediction_word(HG_STARTING));
    hg_query_int(&q, 14, p->created);
    hg_query_int(&q, 15, p->deadline);
    return hg_query_close(&q, e);
}

hg_status hg_prediction_update(hg_predictions *all, const hg_prediction *p, hg_err *e)
{
    hg_buf events = {0};
    hg_query q;

    hg_prediction_put_events(&events, p);
    hg_query_open(
        &q, all->store,
        "UPDATE predictions SET status = ?, events = ?, error = ?, metrics = ?, started = "
        "?, completed = ? WHERE id = ?");
    hg_query_text(&q, 1, hg_prediction_word(p->status));
    hg_query_text(&q, 2, events.failed ? "[]" : events.p);
    hg_query_text(&q, 3, p->error);
    hg_query_text(&q, 4, p->metrics);
    hg_query_int(&q, 5, p->started);
    hg_query_int(&q, 6, p->completed);
    hg_query_text(&q, 7, p->id);
    const hg_status s = hg_query_close(&q, e);
    hg_buf_free(&events);
    return s;
}

/* ---- reading ---- */
#define COLUMNS                                                                           \
    "id, secret, owner, model, version, backend, source, base, deployment, webhook, "     \
    "webhook_events, input, status, created, deadline, events, error, metrics, started, " \
    "completed, removed"
enum { N_COLUMNS = 21 };

static void copy_text(char *to, size_t size, const hg_query *q, int column)
{
    const char *v = hg_column_text(q, column);

    (void)snprintf(to, size, "%s", v != NULL ? v : "");
}

static char *dup_text(const hg_query *q, int column)
{
    const char *v = hg_column_text(q, column);

    return v != NULL ? hg_strdup(v) : NULL;
}

static hg_prediction *read_row(hg_predictions *all, const hg_query *q)
{
    hg_prediction *p = hg_prediction_new(all);

    if (p == NULL) return NULL;
    copy_text(p->id, sizeof p->id, q, 0);
    copy_text(p->secret, sizeof p->secret, q, 1);
    copy_text(p->owner, sizeof p->owner, q, 2);
    p->owner_key = hg_owner_key(p->owner);
    copy_text(p->model, sizeof p->model, q, 3);
    copy_text(p->version, sizeof p->version, q, 4);
    copy_text(p->backend, sizeof p->backend, q, 5);
    p->source = strcmp(hg_column_text(q, 6), "web") == 0 ? "web" : "api";
    p->base = dup_text(q, 7);
    p->deployment = dup_text(q, 8);
    p->webhook = dup_text(q, 9);
    p->webhook_events = (unsigned)hg_column_int(q, 10);
    p->input = dup_text(q, 11);
    (void)hg_prediction_parse_status(hg_column_text(q, 12), &p->status);
    p->created = hg_column_int(q, 13);
    p->deadline = hg_column_int(q, 14);
    if (hg_column_text(q, 15) != NULL) (void)hg_prediction_read_events(p, hg_column_text(q, 15));
    p->error = dup_text(q, 16);
    p->metrics = dup_text(q, 17);
    p->started = hg_column_int(q, 18);
    p->completed = hg_column_int(q, 19);
    p->is_removed = hg_column_int(q, 20) != 0;
    p->is_saved = true;
    if (p->base != NULL) return p;
    hg_prediction_release(p);
    return NULL;
}

hg_prediction *hg_prediction_load(hg_predictions *all, const char *owner, const char *id)
{
    hg_prediction *p = NULL;
    hg_query q;

    if (owner == NULL) {
        hg_query_open(&q, all->store, "SELECT " COLUMNS " FROM predictions WHERE secret = ?");
    } else {
        hg_query_open(&q, all->store,
                      "SELECT " COLUMNS " FROM predictions WHERE id = ? AND owner = ?");
        hg_query_text(&q, 2, owner);
    }
    hg_query_text(&q, 1, id);
    if (hg_query_row(&q)) p = read_row(all, &q);
    (void)hg_query_close(&q, NULL);
    return p;
}

static double created_s(const hg_prediction *p)
{
    const int64_t age = hg_unix_ms() - p->created;

    return hg_seconds() - (double)(age > 0 ? age : 0) / 1000;
}

/* When its time is over, by the clock that nobody sets. */
static double deadline_s(const hg_prediction *p)
{
    int64_t left = p->deadline - hg_unix_ms();

    /* A clock that was set back gives no more time than was asked for. */
    if (left > p->deadline - p->created) left = p->deadline - p->created;
    return hg_seconds() + (double)left / 1000;
}

hg_prediction *hg_prediction_load_open(hg_predictions *all, hg_prediction_status status,
                                       int64_t *number)
{
    hg_prediction *p = NULL;
    hg_query q;

    hg_query_open(&q, all->store,
                  "SELECT " COLUMNS ", rowid FROM predictions WHERE status = ? AND rowid > ? ORDER "
                  "BY rowid LIMIT 1");
    hg_query_text(&q, 1, hg_prediction_word(status));
    hg_query_int(&q, 2, *number);
    if (hg_query_row(&q)) {
        p = read_row(all, &q);
        *number = hg_column_int(&q, N_COLUMNS);
    }
    (void)hg_query_close(&q, NULL);
    if (p == NULL) return NULL;
    p->is_saved = false;
    p->deadline_s = deadline_s(p);
    p->created_s = created_s(p);
    return p;
}

/* Takes from what ended before `at` what it said and was told; *n: from how many. */
static hg_status remove_old(hg_predictions *all, int64_t at, int64_t *n, hg_err *e)
{
    hg_query q;

    HG_TRY(hg_store_begin(all->store, e)); /* so that the count is of this statement */
    hg_query_open(&q, all->store,
                  "UPDATE predictions SET input = NULL, events = NULL, removed = 1 WHERE source = "
                  "'api' AND removed = 0 AND completed > 0 AND completed < ?");
    hg_query_int(&q, 1, at);
    const hg_status s = hg_query_close(&q, e);
    *n = s == HG_OK ? hg_store_changes(all->store) : 0;
    return hg_store_end(all->store, s, e);
}

void hg_predictions_sweep(hg_predictions *all)
{
    int64_t n = 0;

    if (all->retention_s <= 0) return;
    const int64_t at = hg_patient_ms(&all->clock) - (int64_t)(all->retention_s * 1000);
    if (remove_old(all, at, &n, NULL) == HG_OK && n > 0) (void)hg_store_settle(all->store, NULL);
}

bool hg_predictions_delete(hg_predictions *all, hg_prediction *one)
{
    hg_query q;

    (void)pthread_mutex_lock(&one->lock);
    const bool ok = one->is_saved;
    (void)pthread_mutex_unlock(&one->lock);
    if (!ok) return false;
    hg_query_open(&q, all->store, "DELETE FROM predictions WHERE id = ?");
    hg_query_text(&q, 1, one->id);
    return hg_query_close(&q, NULL) == HG_OK;
}

/* ---- pages ---- */
/* Those that are open are told as they are now. */
static void put_one(hg_predictions *all, hg_json_out *o, const char *owner, hg_prediction *kept)
{
    hg_prediction *p =
        hg_prediction_has_ended(kept) ? NULL : hg_predictions_find(all, owner, kept->id);

    if (p == NULL) {
        hg_prediction_put(o, NULL, kept, false);
        return;
    }
    (void)pthread_mutex_lock(&p->lock);
    hg_prediction_put(o, NULL, p, false);
    (void)pthread_mutex_unlock(&p->lock);
    hg_prediction_release(p);
}

#define OF_OWNER                                                                            \
    " FROM predictions WHERE owner = ?1 AND created > ?2 AND (?3 = 0 OR created < ?3) AND " \
    "(?4 IS NULL OR model = ?4) AND "

typedef struct rows {
    hg_prediction *one[HG_PAGE]; /* newest first */
    int64_t number[HG_PAGE];
    size_t n;
    bool has_more; /* in the direction in which it was read */
} rows;

static void turn_round(rows *r)
{
    for (size_t i = 0; i < r->n / 2; i++) {
        const size_t k = r->n - 1 - i;
        hg_prediction *one = r->one[i];
        const int64_t number = r->number[i];
        r->one[i] = r->one[k];
        r->number[i] = r->number[k];
        r->one[k] = one;
        r->number[k] = number;
    }
}

/* The row's number is the place in the list: nothing that is made or deleted meanwhile moves it. */
static void read_page(rows *r, hg_predictions *all, const char *owner,
                      const hg_prediction_range *range)
{
    const bool is_back = range->newer_than > 0;
    hg_query q;

    r->n = 0;
    r->has_more = false;
    hg_query_open(
        &q, all->store,
        is_back ? "SELECT " COLUMNS ", rowid" OF_OWNER "rowid > ?5 ORDER BY rowid LIMIT ?6"
                : "SELECT " COLUMNS ", rowid" OF_OWNER "rowid < ?5 ORDER BY rowid DESC LIMIT ?6");
    hg_query_text(&q, 1, owner);
    hg_query_int(&q, 2, range->created_after);
    hg_query_int(&q, 3, range->created_before);
    hg_query_text(&q, 4, range->model);
    hg_query_int(&q, 5,
                 is_back                 ? range->newer_than
                 : range->older_than > 0 ? range->older_than
                                         : INT64_MAX);
    hg_query_int(&q, 6, HG_PAGE + 1);
    while (!r->has_more && hg_query_row(&q)) {
        r->has_more = r->n == HG_PAGE;
        hg_prediction *p = r->has_more ? NULL : read_row(all, &q);
        if (p == NULL) continue;
        r->number[r->n] = hg_column_int(&q, N_COLUMNS);
        r->one[r->n++] = p;
    }
    (void)hg_query_close(&q, NULL);
    if (is_back) turn_round(r);
}

/* Where one came from there is a page, though what was on it may be gone. */
static void look_beside(hg_prediction_places *out, const rows *r, const hg_prediction_range *range)
{
    const bool is_back = range->newer_than > 0, is_first = !is_back && range->older_than == 0;
    const int64_t newest = r->n > 0 ? r->number[0] : range->older_than - 1;
    const int64_t oldest = r->n > 0 ? r->number[r->n - 1] : range->newer_than + 1;

    out->newer_than = (is_back ? r->has_more : !is_first) ? newest : 0;
    out->older_than = (is_back || r->has_more) ? oldest : 0;
}

void hg_predictions_put_page(hg_predictions *all, hg_json_out *o, const char *owner,
                             const hg_prediction_range *range, hg_prediction_places *beside)
{
    rows r;

    read_page(&r, all, owner, range);
    look_beside(beside, &r, range);
    /* Without the store, which the keeper takes with a prediction in its hands. */
    hg_json_begin(o, "results", '[');
    for (size_t i = 0; i < r.n; i++) {
        put_one(all, o, owner, r.one[i]);
        hg_prediction_release(r.one[i]);
    }
    hg_json_end(o);
}

int64_t hg_predictions_count(hg_predictions *all, const char *model)
{
    int64_t n = 0;
    hg_query q;

    hg_query_open(&q, all->store, "SELECT count(*) FROM predictions WHERE model = ?");
    hg_query_text(&q, 1, model);
    if (hg_query_row(&q)) n = hg_column_int(&q, 0);
    (void)hg_query_close(&q, NULL);
    return n;
}
