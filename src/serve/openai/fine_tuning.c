/* OpenAI's fine-tuning jobs over the server's trainings: made, listed, watched, stopped; and the
 * deletion of the models that came of them. */
#include "serve/openai/fine_tuning.h"
#include "serve/ids.h"
#include "serve/files/files_call.h"
#include "serve/models.h"
#include "serve/openai/openai.h"
#include "base/clock.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { JOBS = 20, EVENTS = 20, CHECKPOINTS = 10, MOST = 100 };

/* ---- a job ---- */
static const char *status_of(const hg_training *j)
{
    static const char *const words[] = {"validating_files", "queued", "running",  "paused",
                                        "succeeded",        "failed", "cancelled"};

    return words[j->state];
}

static void put_or_auto(hg_json_out *o, const char *key, double v)
{
    if (v > 0)
        hg_json_number(o, key, v);
    else
        hg_json_text(o, key, "auto");
}

static void put_hyperparameters(hg_json_out *o, const hg_training_wish *w)
{
    hg_json_begin(o, "hyperparameters", '{');
    put_or_auto(o, "n_epochs", w->n_epochs);
    put_or_auto(o, "batch_size", (double)w->batch_size);
    put_or_auto(o, "learning_rate_multiplier", w->lr_multiplier);
    if (w->method == HG_TRAINING_DPO) put_or_auto(o, "beta", w->beta);
    if (w->lora_rank < 0)
        hg_json_int(o, "lora_rank", 0);
    else
        put_or_auto(o, "lora_rank", (double)w->lora_rank);
    hg_json_end(o);
}

static void put_method(hg_json_out *o, const hg_training_wish *w)
{
    const char *type = w->method == HG_TRAINING_DPO ? "dpo" : "supervised";

    hg_json_begin(o, "method", '{');
    hg_json_text(o, "type", type);
    hg_json_begin(o, type, '{');
    put_hyperparameters(o, w);
    hg_json_end(o);
    hg_json_end(o);
}

static void put_time(hg_json_out *o, const char *key, int64_t t)
{
    if (t > 0)
        hg_json_int(o, key, t);
    else
        hg_json_null(o, key);
}

static void put_error(hg_json_out *o, const hg_training *j)
{
    if (j->state != HG_TRAINING_FAILED) {
        hg_json_null(o, "error");
        return;
    }
    hg_json_begin(o, "error", '{');
    hg_json_text(o, "code", j->error_code);
    hg_json_text(o, "message", j->error);
    hg_json_text(o, "param", j->error_param[0] != '\0' ? j->error_param : NULL);
    hg_json_end(o);
}

static void put_outcome(hg_json_out *o, const hg_training *j)
{
    const bool is_done = j->state == HG_TRAINING_SUCCEEDED;

    hg_json_text(o, "fine_tuned_model", j->model[0] != '\0' ? j->model : NULL);
    hg_json_begin(o, "result_files", '[');
    if (j->result_file[0] != '\0') hg_json_text(o, NULL, j->result_file);
    hg_json_end(o);
    if (is_done)
        hg_json_int(o, "trained_tokens", (int64_t)j->n_tokens);
    else
        hg_json_null(o, "trained_tokens");
    if (j->state == HG_TRAINING_RUNNING && isfinite(j->eta_s))
        hg_json_int(o, "estimated_finish", hg_unix_time() + (int64_t)ceil(j->eta_s));
    else
        hg_json_null(o, "estimated_finish");
}

static void put_job(hg_json_out *o, const hg_training *j)
{
    hg_json_begin(o, NULL, '{');
    hg_json_text(o, "object", "fine_tuning.job");
    hg_json_text(o, "id", j->id);
    hg_json_text(o, "model", j->base);
    hg_json_int(o, "created_at", j->created);
    put_time(o, "finished_at", j->finished);
    hg_json_text(o, "organization_id", j->owner);
    hg_json_text(o, "status", status_of(j));
    put_error(o, j);
    put_outcome(o, j);
    hg_json_text(o, "training_file", j->training_file);
    hg_json_text(o, "validation_file", j->validation_file[0] != '\0' ? j->validation_file : NULL);
    put_hyperparameters(o, &j->wish);
    put_method(o, &j->wish);
    hg_json_int(o, "seed", j->wish.seed);
    hg_json_text(o, "user_provided_suffix", j->suffix[0] != '\0' ? j->suffix : NULL);
    if (j->note[0] != '\0')
        hg_json_raw(o, "metadata", (hg_bytes){j->note, strlen(j->note)});
    else
        hg_json_null(o, "metadata");
    hg_json_begin(o, "integrations", '[');
    hg_json_end(o);
    hg_json_end(o);
}

static bool reply_job(hg_server *s, hg_exchange *x, const char *id, hg_problem *p)
{
    hg_buf b = {0};
    hg_json_out o;
    hg_training one;

    if (!hg_trainings_get(hg_server_trainings(s), hg_exchange_owner(x), id, hg_exchange_memory(x),
                          &one, p))
        return false;
    hg_json_out_init(&o, &b, 0);
    put_job(&o, &one);
    hg_reply_json(x, &hg_openai, &b);
    return true;
}

/* ---- making one ---- */
static bool check_purpose(hg_server *s, hg_exchange *x, const char *id, const char *param,
                          hg_problem *p)
{
    hg_file file;
    hg_err e = {0};

    if (id == NULL) return true;
    if (hg_files_get(hg_server_files(s), hg_exchange_owner(x), id, hg_exchange_memory(x), &file,
                     &e) != HG_OK)
        return hg_files_refuse(p, &e, param);
    if (strcmp(file.purpose, "fine-tune") == 0) return true;
    return hg_refuse(p, 400, "invalid_file_purpose", param,
                     "%s was uploaded for %s; a file of purpose fine-tune is needed", file.id,
                     file.purpose);
}

static bool make(hg_server *s, hg_exchange *x, const json_t *body, hg_problem *p)
{
    char id[HG_TRAINING_ID_ROOM];
    hg_training_ask ask;

    if (!hg_fine_tuning_read(&ask, body, hg_exchange_memory(x), p)) return false;
    ask.owner = hg_exchange_owner(x);
    const hg_offer *base = hg_models_find(hg_server_models(s), ask.model);
    if (base != NULL && !hg_server_lets(s, ask.owner, base)) return hg_no_model(p, s, ask.model);
    if (!check_purpose(s, x, ask.training_file, "training_file", p) ||
        !check_purpose(s, x, ask.validation_file, "validation_file", p))
        return false;
    return hg_trainings_create(hg_server_trainings(s), &ask, id, p) && reply_job(s, x, id, p);
}

static void create(hg_server *s, hg_exchange *x, hg_bytes rest)
{
    json_t *body = NULL;
    hg_problem p;

    (void)rest;
    const bool ok = hg_body_parse(&body, hg_exchange_body(x), &p) && make(s, x, body, &p);
    json_decref(body);
    if (!ok) hg_answer_problem(x, &hg_openai, &p);
}

/* ---- lists ---- */
typedef struct listing {
    hg_buf b;
    hg_json_out o;
    int64_t left;
    bool has_more;
    char first[48], last[48];
} listing;

static void begin_list(listing *l, int64_t limit)
{
    *l = (listing){.left = limit};
    hg_json_out_init(&l->o, &l->b, 0);
    hg_json_begin(&l->o, NULL, '{');
    hg_json_text(&l->o, "object", "list");
    hg_json_begin(&l->o, "data", '[');
}

/* Whether there is room for one more. */
static bool take_one(listing *l, const char *id)
{
    l->has_more = l->left-- == 0;
    if (l->has_more) return false;
    (void)snprintf(l->last, sizeof l->last, "%s", id);
    if (l->first[0] == '\0') memcpy(l->first, l->last, sizeof l->first);
    return true;
}

static void end_list(hg_exchange *x, listing *l)
{
    hg_json_end(&l->o);
    hg_json_text(&l->o, "first_id", l->first[0] != '\0' ? l->first : NULL);
    hg_json_text(&l->o, "last_id", l->last[0] != '\0' ? l->last : NULL);
    hg_json_bool(&l->o, "has_more", l->has_more);
    hg_json_end(&l->o);
    hg_reply_json(x, &hg_openai, &l->b);
}

static bool list_job(void *ctx, const hg_training *one)
{
    listing *l = ctx;

    if (!take_one(l, one->id)) return false;
    put_job(&l->o, one);
    return true;
}

static void list(hg_server *s, hg_exchange *x, hg_bytes rest)
{
    int64_t limit = JOBS;
    listing l;
    hg_problem p;

    (void)rest;
    bool ok = hg_query_number(x, "limit", 1, MOST, &limit, &p);
    begin_list(&l, limit);
    ok = ok &&
         hg_trainings_list(hg_server_trainings(s), hg_exchange_owner(x), HG_FINE_TUNING_FACE,
                           hg_exchange_query(x, "after"), hg_exchange_memory(x), list_job, &l, &p);
    if (ok) {
        end_list(x, &l);
        return;
    }
    hg_buf_free(&l.b);
    hg_answer_problem(x, &hg_openai, &p);
}

static bool list_event(void *ctx, const hg_training_event *ev)
{
    listing *l = ctx;
    hg_json_out *o = &l->o;

    if (!take_one(l, ev->id)) return false;
    hg_json_begin(o, NULL, '{');
    hg_json_text(o, "object", "fine_tuning.job.event");
    hg_json_text(o, "id", ev->id);
    hg_json_int(o, "created_at", ev->created);
    hg_json_text(o, "level", ev->level);
    hg_json_text(o, "message", ev->message);
    hg_json_text(o, "type", ev->kind == HG_EVENT_METRICS ? "metrics" : "message");
    if (ev->data != NULL)
        hg_json_raw(o, "data", (hg_bytes){ev->data, strlen(ev->data)});
    else
        hg_json_null(o, "data");
    hg_json_end(o);
    return true;
}

static bool reply_events(hg_server *s, hg_exchange *x, const char *id, hg_problem *p)
{
    hg_trainings *t = hg_server_trainings(s);
    const char *after = hg_exchange_query(x, "after");
    int64_t limit = EVENTS, before = 0;
    listing l;
    hg_err e = {0};

    if (!hg_query_number(x, "limit", 1, MOST, &limit, p)) return false;
    if (after != NULL && (before = hg_trainings_event_number(t, id, after)) == 0)
        return hg_refuse(p, 404, "not_found", "after", "there is no event %.60s", after);
    begin_list(&l, limit);
    if (hg_trainings_events(t, id, before, list_event, &l, &e) != HG_OK) {
        hg_buf_free(&l.b);
        return hg_refuse(p, 500, NULL, NULL, "%s", e.msg);
    }
    end_list(x, &l);
    return true;
}

typedef struct checkpoints {
    listing l;
    const char *job, *after;
    bool is_behind; /* the one named `after` */
} checkpoints;

static bool list_checkpoint(void *ctx, const hg_training_checkpoint *c)
{
    checkpoints *k = ctx;
    hg_json_out *o = &k->l.o;

    if (!k->is_behind) {
        k->is_behind = strcmp(c->id, k->after) == 0;
        return true;
    }
    if (!take_one(&k->l, c->id)) return false;
    hg_json_begin(o, NULL, '{');
    hg_json_text(o, "object", "fine_tuning.job.checkpoint");
    hg_json_text(o, "id", c->id);
    hg_json_int(o, "created_at", c->created);
    hg_json_text(o, "fine_tuned_model_checkpoint", c->model);
    hg_json_text(o, "fine_tuning_job_id", k->job);
    hg_json_int(o, "step_number", (int64_t)c->step);
    hg_json_raw(o, "metrics", (hg_bytes){c->metrics, strlen(c->metrics)});
    hg_json_end(o);
    return true;
}

static bool reply_checkpoints(hg_server *s, hg_exchange *x, const char *id, hg_problem *p)
{
    const char *after = hg_exchange_query(x, "after");
    checkpoints k = {.job = id, .after = after, .is_behind = after == NULL};
    int64_t limit = CHECKPOINTS;
    hg_err e = {0};

    if (!hg_query_number(x, "limit", 1, MOST, &limit, p)) return false;
    begin_list(&k.l, limit);
    bool ok =
        hg_trainings_checkpoints(hg_server_trainings(s), id, list_checkpoint, &k, &e) == HG_OK ||
        hg_refuse(p, 500, NULL, NULL, "%s", e.msg);
    if (ok && !k.is_behind)
        ok = hg_refuse(p, 404, "not_found", "after", "there is no checkpoint %.60s", after);
    if (ok)
        end_list(x, &k.l);
    else
        hg_buf_free(&k.l.b);
    return ok;
}

/* ---- one job ---- */
static bool is_job(hg_server *s, hg_exchange *x, const char *id, hg_problem *p)
{
    hg_training one;

    return hg_trainings_get(hg_server_trainings(s), hg_exchange_owner(x), id, hg_exchange_memory(x),
                            &one, p);
}

static bool unknown(hg_problem *p, const char *what)
{
    return hg_refuse(p, 404, "not_found", NULL, "a fine-tuning job has no %.60s", what);
}

static void get(hg_server *s, hg_exchange *x, hg_bytes rest)
{
    char id[HG_TRAINING_ID_ROOM];
    const char *what = hg_id_split(rest, id, sizeof id);
    hg_problem p;
    bool ok = is_job(s, x, id, &p);

    if (ok && what[0] == '\0')
        ok = reply_job(s, x, id, &p);
    else if (ok && strcmp(what, "events") == 0)
        ok = reply_events(s, x, id, &p);
    else if (ok && strcmp(what, "checkpoints") == 0)
        ok = reply_checkpoints(s, x, id, &p);
    else if (ok)
        ok = unknown(&p, what);
    if (!ok) hg_answer_problem(x, &hg_openai, &p);
}

static void act(hg_server *s, hg_exchange *x, hg_bytes rest)
{
    char id[HG_TRAINING_ID_ROOM];
    const char *what = hg_id_split(rest, id, sizeof id), *owner = hg_exchange_owner(x);
    hg_trainings *t = hg_server_trainings(s);
    hg_problem p;
    bool ok = is_job(s, x, id, &p);

    if (ok && strcmp(what, "cancel") == 0)
        ok = hg_trainings_cancel(t, owner, id, &p);
    else if (ok && strcmp(what, "pause") == 0)
        ok = hg_trainings_pause(t, owner, id, &p);
    else if (ok && strcmp(what, "resume") == 0)
        ok = hg_trainings_resume(t, owner, id, &p);
    else if (ok)
        ok = unknown(&p, what);
    if (ok) ok = reply_job(s, x, id, &p);
    if (!ok) hg_answer_problem(x, &hg_openai, &p);
}

static void delete_model(hg_server *s, hg_exchange *x, hg_bytes rest)
{
    char name[128];
    const hg_bytes id = hg_path_decode(rest, name, sizeof name);
    hg_buf b = {0};
    hg_json_out o;
    hg_problem p;

    if (!hg_trainings_delete_model(hg_server_trainings(s), hg_exchange_owner(x), id, &p)) {
        hg_answer_problem(x, &hg_openai, &p);
        return;
    }
    hg_json_out_init(&o, &b, 0);
    hg_json_begin(&o, NULL, '{');
    hg_json_bytes(&o, "id", id);
    hg_json_text(&o, "object", "model");
    hg_json_bool(&o, "deleted", true);
    hg_json_end(&o);
    hg_reply_json(x, &hg_openai, &b);
}

static void explain(hg_buf *out, const hg_problem *p)
{
    hg_openai.explain(out, p);
}

static const hg_route routes[] = {{"POST", "/v1/fine_tuning/jobs", create, HG_NEEDS_RUN},
                                  {"GET", "/v1/fine_tuning/jobs", list, HG_NEEDS_RUN},
                                  {"GET", "/v1/fine_tuning/jobs/", get, HG_NEEDS_RUN},
                                  {"POST", "/v1/fine_tuning/jobs/", act, HG_NEEDS_RUN},
                                  {"DELETE", "/v1/models/", delete_model, HG_NEEDS_RUN},
                                  {NULL, NULL, NULL, HG_NEEDS_RUN}};
const hg_protocol hg_fine_tuning = {.mounts = "openai", .routes = routes, .explain = explain};
