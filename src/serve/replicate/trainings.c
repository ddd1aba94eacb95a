/* Trainings as Replicate has them: a version of a model is tuned, and what comes of it is a version
 * of another one, which had been made for it. A trained version is offered as "owner/name:TIME";
 * the name alone is its newest. */
#include "serve/replicate/made.h"
#include "serve/replicate/trainings.h"
#include "serve/openai/openai.h"
#include "base/clock.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { MOST_LINES = 200, MOST_TRIES = 5 };

/* ---- what is kept with a training, as JSON ---- */
static const char *note_text(const json_t *note, const char *key)
{
    const char *v = json_string_value(json_object_get(note, key));

    return v != NULL ? v : "";
}

static json_t *note_of(const hg_training *j)
{
    json_t *note = NULL;

    (void)hg_json_parse(&note, (hg_bytes){j->note, strlen(j->note)}, HG_TRAINING_MAX_NOTE, NULL);
    return note;
}

/* ---- telling ---- */
static const char *status_of(hg_training_state s)
{
    static const char *const words[] = {"starting",  "starting", "processing", "processing",
                                        "succeeded", "failed",   "canceled"};

    return words[s];
}

static void put_time(hg_json_out *o, const char *key, int64_t t)
{
    char text[40];

    hg_iso_ms(t * 1000, text);
    hg_json_text(o, key, t > 0 ? text : NULL);
}

typedef struct lines {
    char *line[MOST_LINES]; /* newest first */
    size_t n;
} lines;

static bool take_line(void *ctx, const hg_training_event *ev)
{
    lines *l = ctx;

    if (l->n == MOST_LINES) return false;
    l->line[l->n] = hg_strdup(ev->message);
    l->n += l->line[l->n] != NULL;
    return true;
}

/* What clients read progress from: " 76%|=======   | 7568/10000 [12.5 s left]". */
static void put_progress(hg_buf *b, const hg_training *j)
{
    if (j->n_steps == 0) return;
    const unsigned percent = (unsigned)(j->step * 100 / j->n_steps), tenths = percent / 10;

    hg_buf_printf(b, "%3u%%|", percent);
    for (unsigned i = 0; i < 10; i++) hg_buf_putc(b, i < tenths ? '=' : ' ');
    hg_buf_printf(b, "| %llu/%llu [", (unsigned long long)j->step, (unsigned long long)j->n_steps);
    if (isfinite(j->loss)) hg_buf_printf(b, "loss %.4f, ", j->loss);
    hg_buf_printf(b, "%.0f s left]\n", isfinite(j->eta_s) ? j->eta_s : 0);
}

static void put_logs(hg_json_out *o, hg_server *s, const hg_training *j)
{
    hg_buf b = {0};
    lines l = {.n = 0};

    (void)hg_trainings_events(hg_server_trainings(s), j->id, 0, take_line, &l, NULL);
    for (size_t i = l.n; i > 0; i--) {
        hg_buf_printf(&b, "%s\n", l.line[i - 1]);
        hg_free(l.line[i - 1]);
    }
    put_progress(&b, j);
    hg_json_bytes(o, "logs", (hg_bytes){b.n > 0 ? b.p : "", b.n});
    hg_buf_free(&b);
}

static void put_output(hg_json_out *o, hg_server *s, hg_exchange *x, const hg_training *j,
                       const json_t *note)
{
    char version[256], own[65];
    const hg_offer *m = hg_models_find(hg_server_models(s), (hg_bytes){j->model, strlen(j->model)});

    if (j->state != HG_TRAINING_SUCCEEDED || m == NULL ||
        hg_version_of(hg_server_replicate(s)->versions, x, m, own, NULL) != HG_OK) {
        hg_json_null(o, "output");
        return;
    }
    (void)snprintf(version, sizeof version, "%.131s:%s", note_text(note, "destination"), own);
    hg_json_begin(o, "output", '{');
    hg_json_text(o, "version", version);
    hg_json_null(o, "weights");
    hg_json_end(o);
}

static void put_metrics(hg_json_out *o, const hg_training *j)
{
    hg_json_begin(o, "metrics", '{');
    if (j->finished > 0 && j->started > 0)
        hg_json_number(o, "predict_time", (double)(j->finished - j->started));
    if (j->finished > 0) hg_json_number(o, "total_time", (double)(j->finished - j->created));
    if (isfinite(j->loss)) hg_json_number(o, "loss", j->loss);
    if (isfinite(j->tokens_per_s)) hg_json_number(o, "tokens_per_second", j->tokens_per_s);
    hg_json_end(o);
}

static void put_urls(hg_json_out *o, const hg_training *j, const json_t *note)
{
    const char *base = note_text(note, "base");
    char url[512];

    hg_json_begin(o, "urls", '{');
    (void)snprintf(url, sizeof url, "%.300s/v1/trainings/%s", base, j->id);
    hg_json_text(o, "get", url);
    (void)snprintf(url, sizeof url, "%.300s/v1/trainings/%s/cancel", base, j->id);
    hg_json_text(o, "cancel", url);
    (void)snprintf(url, sizeof url, "%.300s/#/train/%s", base, j->id);
    hg_json_text(o, "web", url);
    hg_json_end(o);
}

/* `x` NULL: nobody waits at a desk. */
static void put_training(hg_json_out *o, hg_server *s, hg_exchange *x, const hg_training *j)
{
    char model[132];
    hg_buf input = {0};
    json_t *note = note_of(j);
    const json_t *given = json_object_get(note, "input");

    hg_replicate_name(j->base, model);
    if (given == NULL || hg_json_put_tree(&input, given, NULL) != HG_OK) hg_buf_puts(&input, "{}");
    hg_json_begin(o, NULL, '{');
    hg_json_text(o, "id", j->id);
    hg_json_text(o, "model", model);
    hg_json_text(o, "version", note_text(note, "version"));
    hg_json_text(o, "destination", note_text(note, "destination"));
    hg_json_raw(o, "input", (hg_bytes){input.p, input.n});
    put_logs(o, s, j);
    put_output(o, s, x, j, note);
    hg_json_text(o, "error", j->error[0] != '\0' ? j->error : NULL);
    hg_json_text(o, "status", status_of(j->state));
    hg_json_text(o, "source", "api");
    put_time(o, "created_at", j->created);
    put_time(o, "started_at", j->started);
    put_time(o, "completed_at", j->finished);
    put_metrics(o, j);
    put_urls(o, j, note);
    hg_json_end(o);
    hg_buf_free(&input);
    json_decref(note);
}

static bool reply(hg_server *s, hg_exchange *x, int status, const char *id, hg_problem *p)
{
    hg_training one;
    hg_buf b = {0};
    hg_json_out o;

    if (!hg_trainings_get(hg_server_trainings(s), hg_exchange_owner(x), id, hg_exchange_memory(x),
                          &one, p))
        return false;
    hg_json_out_init(&o, &b, 0);
    put_training(&o, s, x, &one);
    hg_replicate_reply(x, status, &b);
    return true;
}

/* ---- making one ---- */
/* A data URI, which may be long, is told as the file that it has become. */
static void tell_as_file(json_t *input, const char *key, const char *base, const char *file)
{
    const char *given = json_string_value(json_object_get(input, key));
    char url[400];

    if (given == NULL || strncasecmp(given, "data:", 5) != 0) return;
    (void)snprintf(url, sizeof url, "%.300s/v1/files/%.48s", base, file);
    (void)json_object_set_new(input, key, json_string(url));
}

static char *make_note(const hg_exchange *x, const json_t *body, const hg_training_ask *ask,
                       const char *destination, const char *version, hg_arena *mem)
{
    char base[320];
    json_t *note = json_object(), *input = json_copy(json_object_get(body, "input"));
    hg_buf b = {0};
    char *text = NULL;

    hg_replicate_base(x, base);
    (void)json_object_set_new(note, "destination", json_string(destination));
    (void)json_object_set_new(note, "version", json_string(version));
    (void)json_object_set_new(note, "base", json_string(base));
    tell_as_file(input, "train_data", base, ask->training_file);
    tell_as_file(input, "eval_data", base, ask->validation_file);
    (void)json_object_set_new(note, "input", input);
    (void)json_object_set(note, "webhook", json_object_get(body, "webhook"));
    (void)json_object_set(note, "filter", json_object_get(body, "webhook_events_filter"));
    if (hg_json_put_tree(&b, note, NULL) == HG_OK) text = hg_arena_strndup(mem, b.p, b.n);
    hg_buf_free(&b);
    json_decref(note);
    return text;
}

static bool check_destination(hg_server *s, const hg_exchange *x, const char *name, hg_problem *p)
{
    if (name != NULL && hg_made_is_owned(hg_server_replicate(s)->store, name, hg_exchange_owner(x)))
        return true;
    return hg_refuse(p, 404, NULL, NULL, "The specified training destination does not exist");
}

/* Behind all that were begun for it, which its newest version is told by. */
static int64_t next_time(hg_store *store, const char *destination)
{
    int64_t now = hg_unix_ms(), last = 0;
    hg_query q;

    hg_query_open(&q, store,
                  "SELECT max(CAST(substr(name, length(?1) + 2) AS INTEGER)) FROM trainings WHERE "
                  "name > ?1 || ':' AND name < ?1 || ';'");
    hg_query_text(&q, 1, destination);
    if (hg_query_row(&q)) last = hg_column_int(&q, 0);
    (void)hg_query_close(&q, NULL);
    return now > last ? now : last + 1;
}

static bool create(hg_server *s, hg_exchange *x, const hg_offer *base, const char *version,
                   const json_t *body, hg_problem *p)
{
    hg_arena *mem = hg_exchange_memory(x);
    const char *destination = json_string_value(json_object_get(body, "destination"));
    const char *hook = json_string_value(json_object_get(body, "webhook"));
    char id[HG_TRAINING_ID_ROOM], own[65], name[128];
    hg_training_ask ask = {.owner = hg_exchange_owner(x),
                           .face = HG_REPLICATE_FACE,
                           .id_prefix = "",
                           .model = {base->card.id, strlen(base->card.id)},
                           .name = name};
    unsigned events;
    hg_err e = {0};

    if (hg_version_of(hg_server_replicate(s)->versions, x, base, own, &e) != HG_OK)
        return hg_refuse(p, 500, NULL, NULL, "%s", e.msg);
    if (strcmp(own, version) != 0)
        return hg_refuse(p, 404, NULL, NULL, "%s has no version %.64s", base->card.id, version);
    if (!check_destination(s, x, destination, p)) return false;
    if (hook != NULL && hg_webhooks_check(hg_server_replicate(s)->webhooks, hook, &e) != HG_OK)
        return hg_refuse(p, 422, NULL, NULL, "webhook: %s", e.msg);
    if (!hg_replicate_read_filter(json_object_get(body, "webhook_events_filter"), &events, p))
        return false;
    if (!hg_replicate_read_training(&ask, s, x, json_object_get(body, "input"), mem, p)) {
        hg_replicate_drop_data(&ask, s, x, json_object_get(body, "input"));
        return false;
    }
    ask.note = make_note(x, body, &ask, destination, own, mem);
    bool ok = ask.note != NULL || hg_refuse(p, 500, NULL, NULL, "no room for the training");
    for (int tries = 1; ok; tries++) {
        (void)snprintf(name, sizeof name, "%.90s:%013lld", destination,
                       (long long)next_time(hg_server_store(s), destination));
        ok = hg_trainings_create(hg_server_trainings(s), &ask, id, p);
        /* Another of the same destination may have taken that millisecond. */
        if (ok || p->status != 409 || tries == MOST_TRIES) break;
        ok = true;
    }
    if (!ok) hg_replicate_drop_data(&ask, s, x, json_object_get(body, "input"));
    return ok && reply(s, x, 201, id, p);
}

void hg_replicate_train(hg_server *s, hg_exchange *x, const hg_offer *base, const char *version)
{
    json_t *body = NULL;
    hg_problem p;

    if (!hg_body_parse(&body, hg_exchange_body(x), &p) || !create(s, x, base, version, body, &p))
        hg_replicate_refuse(x, &p);
    json_decref(body);
}

/* ---- reading and stopping ---- */

/* They are told once the store is free again: to tell a version may mean to read files, with a lock
 * under which others wait for the store. */
typedef struct page {
    hg_training *one; /* [HG_PAGE], newest first */
    size_t n;
    const hg_cursor *from;
    bool has_more; /* in the direction in which it is read */
    bool is_there; /* the one that the cursor names */
} page;

static bool take_older(page *g, const hg_training *one)
{
    g->has_more = g->n == HG_PAGE;
    if (!g->has_more) g->one[g->n++] = *one;
    return !g->has_more;
}

/* The last of those that come before the cursor's. */
static bool take_newer(page *g, const hg_training *one)
{
    g->is_there = strcmp(one->id, g->from->at) == 0;
    if (g->is_there) return false;
    if (g->n == HG_PAGE) {
        g->has_more = true;
        memmove(g->one, g->one + 1, --g->n * sizeof *g->one);
    }
    g->one[g->n++] = *one;
    return true;
}

static bool take_one(void *ctx, const hg_training *one)
{
    page *g = ctx;

    return g->from->is_back ? take_newer(g, one) : take_older(g, one);
}

static bool read_page(page *g, hg_server *s, hg_exchange *x, hg_problem *p)
{
    const char *after = !g->from->is_back && g->from->at[0] != '\0' ? g->from->at : NULL;
    hg_arena *mem = hg_exchange_memory(x);

    g->one = HG_NEW(mem, hg_training, HG_PAGE);
    if (g->one == NULL) return hg_refuse(p, 500, NULL, NULL, "no room for a list of trainings");
    if (!hg_trainings_list(hg_server_trainings(s), hg_exchange_owner(x), HG_REPLICATE_FACE, after,
                           mem, take_one, g, p))
        return false;
    return !g->from->is_back || g->is_there ||
           hg_refuse(p, 404, "not_found", NULL, "there is no training %.40s", g->from->at);
}

static hg_cursor *name_place(hg_cursor *c, bool is_back, bool is_there, const page *g, size_t i)
{
    c->is_back = is_back;
    (void)snprintf(c->at, sizeof c->at, "%s", i < g->n ? g->one[i].id : g->from->at);
    return is_there ? c : NULL;
}

static bool list(hg_server *s, hg_exchange *x, hg_problem *p)
{
    hg_cursor from, next, previous;
    page g = {.from = &from};
    hg_buf b = {0};
    hg_json_out o;

    if (!hg_replicate_read_cursor(&from, x, p) || !read_page(&g, s, x, p)) return false;
    const bool has_newer = from.is_back ? g.has_more : from.at[0] != '\0';
    hg_json_out_init(&o, &b, 0);
    hg_json_begin(&o, NULL, '{');
    hg_json_begin(&o, "results", '[');
    for (size_t i = 0; i < g.n; i++) put_training(&o, s, x, &g.one[i]);
    hg_json_end(&o);
    hg_replicate_put_links(
        &o, x, "/v1/trainings",
        name_place(&next, false, from.is_back || g.has_more, &g, g.n > 0 ? g.n - 1 : 0),
        name_place(&previous, true, has_newer, &g, 0));
    hg_json_end(&o);
    hg_replicate_reply(x, 200, &b);
    return true;
}

void hg_replicate_list_trainings(hg_server *s, hg_exchange *x, hg_bytes rest)
{
    hg_problem p;

    (void)rest;
    if (!list(s, x, &p)) hg_replicate_refuse(x, &p);
}

void hg_replicate_get_training(hg_server *s, hg_exchange *x, hg_bytes rest)
{
    hg_segment part[1] = {""};
    hg_problem p;

    (void)hg_replicate_split(rest, part, 1);
    if (!reply(s, x, 200, part[0], &p)) hg_replicate_refuse(x, &p);
}

/* Twice is once: what has ended stays as it is. */
void hg_replicate_post_training(hg_server *s, hg_exchange *x, hg_bytes rest)
{
    hg_segment part[2] = {""};
    hg_training one;
    hg_problem p;
    bool ok = hg_replicate_split(rest, part, 2) == 2 && strcmp(part[1], "cancel") == 0;

    if (!ok) (void)hg_refuse(&p, 404, NULL, NULL, "a training is ended at /v1/trainings/ID/cancel");
    if (ok)
        ok = hg_trainings_get(hg_server_trainings(s), hg_exchange_owner(x), part[0],
                              hg_exchange_memory(x), &one, &p);
    if (ok && !hg_training_has_ended(one.state))
        ok = hg_trainings_cancel(hg_server_trainings(s), hg_exchange_owner(x), part[0], &p) ||
             p.status == 400; /* it has ended meanwhile */
    if (!ok || !reply(s, x, 200, part[0], &p)) hg_replicate_refuse(x, &p);
}

/* ---- webhooks ---- */
/* One training runs at a time: what was told of it last. */
typedef struct teller {
    char id[HG_TRAINING_ID_ROOM], ended[HG_TRAINING_ID_ROOM];
    double told_s;
    bool start_is_told;
} teller;

static unsigned news_of(teller *t, const hg_training *j)
{
    const double now = hg_seconds();

    /* Also one that waits may be canceled while another runs; and one that is canceled while it is
     * told to rest would be told of twice. */
    if (hg_training_has_ended(j->state)) {
        if (strcmp(t->ended, j->id) == 0) return 0;
        (void)snprintf(t->ended, sizeof t->ended, "%s", j->id);
        return HG_ON_COMPLETED;
    }
    /* The files of others are checked while one runs: that is no news of it, nor of them. */
    if (j->state != HG_TRAINING_RUNNING) return 0;
    if (strcmp(t->id, j->id) != 0) {
        /* One that has made steps went on from a checkpoint; that it began was told then. */
        t->start_is_told = j->step > 0;
        t->told_s = 0;
        (void)snprintf(t->id, sizeof t->id, "%s", j->id);
    }
    if (!t->start_is_told) {
        t->start_is_told = true;
        t->told_s = now;
        return HG_ON_START;
    }
    if (now - t->told_s < 0.5) return 0;
    t->told_s = now;
    return HG_ON_LOGS;
}

static void tell(hg_server *s, const hg_training *j, unsigned news)
{
    json_t *note = note_of(j);
    const char *url = note_text(note, "webhook");
    unsigned wanted = HG_ON_ALL;
    hg_buf b = {0};
    hg_json_out o;
    hg_problem p;

    if (url[0] != '\0' && hg_replicate_read_filter(json_object_get(note, "filter"), &wanted, &p) &&
        (news & wanted) != 0) {
        hg_json_out_init(&o, &b, 0);
        put_training(&o, s, NULL, j);
        if (!b.failed)
            (void)hg_webhooks_put(hg_server_replicate(s)->webhooks, j->owner, url,
                                  (hg_bytes){b.p, b.n}, news == HG_ON_COMPLETED, NULL);
    }
    hg_buf_free(&b);
    json_decref(note);
}

static void on_change(void *ctx, const char *id)
{
    hg_server *s = ctx;
    hg_replicate_state *r = hg_server_replicate(s);
    hg_training one;
    hg_arena mem;
    hg_problem p;

    hg_arena_init(&mem, 4096);
    if (hg_trainings_get(hg_server_trainings(s), NULL, id, &mem, &one, &p) &&
        strcmp(one.face, HG_REPLICATE_FACE) == 0) {
        (void)pthread_mutex_lock(&r->lock);
        const unsigned news = news_of(r->teller, &one);
        (void)pthread_mutex_unlock(&r->lock);
        if (news != 0) tell(s, &one, news);
    }
    hg_arena_free(&mem);
}

void hg_replicate_watch_trainings(hg_server *s)
{
    hg_replicate_state *r = hg_server_replicate(s);

    r->teller = hg_alloc(1, sizeof(teller));
    (void)pthread_mutex_init(&r->lock, NULL);
    if (r->teller != NULL) hg_trainings_watch(hg_server_trainings(s), on_change, s);
}
