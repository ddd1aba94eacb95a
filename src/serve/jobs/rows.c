/* Trainings, their events and their checkpoints in the store. */
#include "serve/jobs/trainings_impl.h"
#include "base/clock.h"

#include <math.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ---- wishes as JSON ---- */
static json_t *wish_to_json(const hg_training_wish *w)
{
    return json_pack("{s:i,s:f,s:I,s:I,s:f,s:f,s:f,s:f,s:I,s:f,s:f,s:s?,s:f,s:I}", "method",
                     (int)w->method, "n_epochs", w->n_epochs, "n_steps", (json_int_t)w->n_steps,
                     "batch_size", (json_int_t)w->batch_size, "lr", w->lr, "lr_multiplier",
                     w->lr_multiplier, "warmup", w->warmup, "beta", w->beta, "lora_rank",
                     (json_int_t)w->lora_rank, "lora_alpha", w->lora_alpha, "lora_dropout",
                     w->lora_dropout, "lora_targets", w->lora_targets, "val_share", w->val_share,
                     "seed", (json_int_t)w->seed);
}

static void wish_from_json(const json_t *v, hg_training *out)
{
    hg_training_wish *w = &out->wish;
    const char *targets = json_string_value(json_object_get(v, "lora_targets"));

    w->method = (hg_training_method)json_integer_value(json_object_get(v, "method"));
    w->n_epochs = json_number_value(json_object_get(v, "n_epochs"));
    w->n_steps = json_integer_value(json_object_get(v, "n_steps"));
    w->batch_size = json_integer_value(json_object_get(v, "batch_size"));
    w->lr = json_number_value(json_object_get(v, "lr"));
    w->lr_multiplier = json_number_value(json_object_get(v, "lr_multiplier"));
    w->warmup = json_number_value(json_object_get(v, "warmup"));
    w->beta = json_number_value(json_object_get(v, "beta"));
    w->lora_rank = json_integer_value(json_object_get(v, "lora_rank"));
    w->lora_alpha = json_number_value(json_object_get(v, "lora_alpha"));
    w->lora_dropout = json_number_value(json_object_get(v, "lora_dropout"));
    w->val_share = json_number_value(json_object_get(v, "val_share"));
    w->seed = json_integer_value(json_object_get(v, "seed"));
    (void)snprintf(out->targets, sizeof out->targets, "%s", targets != NULL ? targets : "");
    w->lora_targets = out->targets[0] != '\0' ? out->targets : NULL;
}

/* Binds a tree as text; its reference is used up. */
static void bind_json(hg_query *q, int i, json_t *v)
{
    hg_buf b = {0};

    if (v != NULL && hg_json_put_tree(&b, v, NULL) == HG_OK && !b.failed) hg_query_text(q, i, b.p);
    json_decref(v);
    hg_buf_free(&b);
}

/* ---- trainings ---- */
static hg_status put_event(hg_trainings *t, const char *id, uint64_t step, const char *level,
                           const char *message, const char *data, hg_err *e);

static hg_status insert(hg_trainings *t, const hg_training_ask *a, const char *id, hg_err *e)
{
    hg_query q;
    char base[128];

    (void)snprintf(base, sizeof base, "%.*s", (int)a->model.n, a->model.p);
    hg_query_open(&q, t->store,
                  "INSERT INTO trainings (id, owner, face, base, training_file, validation_file, "
                  "suffix, name, note, wish, state, created) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, "
                  "?, ?)");
    hg_query_text(&q, 1, id);
    hg_query_text(&q, 2, a->owner);
    hg_query_text(&q, 3, a->face);
    hg_query_text(&q, 4, base);
    hg_query_text(&q, 5, a->training_file);
    hg_query_text(&q, 6, a->validation_file != NULL ? a->validation_file : "");
    hg_query_text(&q, 7, a->suffix != NULL ? a->suffix : "");
    hg_query_text(&q, 8, a->name != NULL ? a->name : "");
    hg_query_text(&q, 9, a->note != NULL ? a->note : "");
    bind_json(&q, 10, wish_to_json(&a->wish));
    hg_query_int(&q, 11, HG_TRAINING_CHECKING);
    hg_query_int(&q, 12, hg_unix_time());
    return hg_query_close(&q, e);
}

/* As one with its first event: its thread may have something to say at once. */
hg_status hg_training_insert(hg_trainings *t, const hg_training_ask *a, const char *id, hg_err *e)
{
    char text[96];

    (void)snprintf(text, sizeof text, "Created fine-tuning job: %.47s", id);
    HG_TRY(hg_store_begin(t->store, e));
    hg_status s = insert(t, a, id, e);
    if (s == HG_OK) s = put_event(t, id, 0, "info", text, NULL, e);
    return hg_store_end(t->store, s, e);
}

/* An owner's last turn says how long ago he was served. */
bool hg_training_next(hg_trainings *t, char id[HG_TRAINING_ID_ROOM], hg_training_state *state)
{
    hg_query q;

    hg_query_open(&q, t->store,
                  "SELECT id, state FROM trainings AS one WHERE state IN (0, 1, 2) ORDER BY CASE "
                  "state WHEN 0 THEN 0 WHEN 2 THEN 1 ELSE 2 END, (SELECT max(turn) FROM trainings "
                  "WHERE owner = one.owner), number LIMIT 1");
    const bool is_there = hg_query_row(&q);
    if (is_there) {
        (void)snprintf(id, HG_TRAINING_ID_ROOM, "%s", hg_column_text(&q, 0));
        *state = (hg_training_state)hg_column_int(&q, 1);
    }
    return hg_query_close(&q, NULL) == HG_OK && is_there;
}

static void take(const hg_query *q, int i, char *out, size_t size)
{
    const char *text = hg_column_text(q, i);

    (void)snprintf(out, size, "%s", text != NULL ? text : "");
}

static double number_or_nan(const json_t *v, const char *key)
{
    const json_t *n = json_object_get(v, key);

    return json_is_number(n) ? json_number_value(n) : (double)NAN;
}

static void take_json(const hg_query *q, hg_training *out)
{
    const hg_bytes wish = hg_column_bytes(q, 8), figures = hg_column_bytes(q, 17);
    json_t *v = NULL;

    if (hg_json_parse(&v, wish, 1 << 16, NULL) == HG_OK) wish_from_json(v, out);
    json_decref(v);
    v = NULL;
    if (figures.n > 0) (void)hg_json_parse(&v, figures, 1 << 16, NULL);
    out->loss = number_or_nan(v, "loss");
    out->lr = number_or_nan(v, "lr");
    out->tokens_per_s = number_or_nan(v, "tokens_per_s");
    out->eta_s = number_or_nan(v, "eta_s");
    json_decref(v);
}

#define COLUMNS                                                                                  \
    "id, owner, face, base, training_file, validation_file, suffix, note, wish, state, intent, " \
    "created, started, finished, step, n_steps, n_tokens, figures, n_examples, need, threads, "  \
    "model, result_file, error_code, error_param, error, name"

static bool read_row(const hg_query *q, hg_arena *mem, hg_training *out)
{
    const char *note = hg_column_text(q, 7);

    memset(out, 0, sizeof *out);
    take(q, 0, out->id, sizeof out->id);
    take(q, 1, out->owner, sizeof out->owner);
    take(q, 2, out->face, sizeof out->face);
    take(q, 3, out->base, sizeof out->base);
    take(q, 4, out->training_file, sizeof out->training_file);
    take(q, 5, out->validation_file, sizeof out->validation_file);
    take(q, 6, out->suffix, sizeof out->suffix);
    out->note = hg_arena_strndup(mem, note != NULL ? note : "", note != NULL ? strlen(note) : 0);
    take_json(q, out);
    out->state = (hg_training_state)hg_column_int(q, 9);
    out->is_stopping = hg_column_int(q, 10) != 0 && !hg_training_has_ended(out->state);
    out->created = hg_column_int(q, 11);
    out->started = hg_column_int(q, 12);
    out->finished = hg_column_int(q, 13);
    out->step = (uint64_t)hg_column_int(q, 14);
    out->n_steps = (uint64_t)hg_column_int(q, 15);
    out->n_tokens = (uint64_t)hg_column_int(q, 16);
    out->n_examples = (uint64_t)hg_column_int(q, 18);
    out->need_bytes = (uint64_t)hg_column_int(q, 19);
    out->n_threads = (int)hg_column_int(q, 20);
    take(q, 21, out->model, sizeof out->model);
    take(q, 22, out->result_file, sizeof out->result_file);
    take(q, 23, out->error_code, sizeof out->error_code);
    take(q, 24, out->error_param, sizeof out->error_param);
    take(q, 25, out->error, sizeof out->error);
    take(q, 26, out->name, sizeof out->name);
    return out->note != NULL;
}

bool hg_training_read(hg_trainings *t, const char *owner, const char *id, hg_arena *mem,
                      hg_training *out)
{
    hg_query q;

    hg_query_open(&q, t->store,
                  "SELECT " COLUMNS " FROM trainings WHERE id = ?1 AND (?2 IS NULL OR owner = ?2)");
    hg_query_text(&q, 1, id);
    hg_query_text(&q, 2, owner);
    const bool is_there = hg_query_row(&q) && read_row(&q, mem, out);
    return hg_query_close(&q, NULL) == HG_OK && is_there;
}

bool hg_trainings_list(hg_trainings *t, const char *owner, const char *face, const char *after,
                       hg_arena *mem, hg_training_fn *fn, void *ctx, hg_problem *p)
{
    int64_t from = INT64_MAX;
    hg_training one;
    hg_err e = {0};
    hg_query q;

    if (after != NULL) {
        hg_query_open(&q, t->store, "SELECT number FROM trainings WHERE id = ? AND owner = ?");
        hg_query_text(&q, 1, after);
        hg_query_text(&q, 2, owner);
        from = hg_query_row(&q) ? hg_column_int(&q, 0) : 0;
        (void)hg_query_close(&q, NULL);
        if (from == 0)
            return hg_refuse(p, 404, "not_found", "after", "there is no training %.60s", after);
    }
    hg_query_open(&q, t->store,
                  "SELECT " COLUMNS
                  " FROM trainings WHERE owner = ? AND face = ? AND number < ? ORDER BY number "
                  "DESC");
    hg_query_text(&q, 1, owner);
    hg_query_text(&q, 2, face);
    hg_query_int(&q, 3, from);
    while (hg_query_row(&q) && read_row(&q, mem, &one) && fn(ctx, &one)) continue;
    if (hg_query_close(&q, &e) != HG_OK) return hg_refuse(p, 500, NULL, NULL, "%s", e.msg);
    return true;
}

bool hg_training_name_is_open(hg_trainings *t, const char *name)
{
    hg_query q;

    hg_query_open(&q, t->store, "SELECT 1 FROM trainings WHERE name = ? AND state IN (0, 1, 2, 3)");
    hg_query_text(&q, 1, name);
    const bool is = hg_query_row(&q);
    return hg_query_close(&q, NULL) == HG_OK && is;
}

int64_t hg_training_count_open(hg_trainings *t, const char *owner)
{
    hg_query q;

    hg_query_open(&q, t->store,
                  "SELECT count(*) FROM trainings WHERE (?1 IS NULL OR owner = ?1) AND state IN "
                  "(0, 1, 2, 3)");
    hg_query_text(&q, 1, owner);
    const int64_t n = hg_query_row(&q) ? hg_column_int(&q, 0) : 0;
    return hg_query_close(&q, NULL) == HG_OK ? n : 0;
}

/* ---- changes ---- */
hg_status hg_training_set_state(hg_trainings *t, const char *id, hg_training_state s, hg_err *e)
{
    hg_query q;
    const int64_t now = hg_unix_time();

    hg_query_open(&q, t->store,
                  "UPDATE trainings SET state = ?2, intent = CASE WHEN ?2 >= 4 THEN 3 ELSE 0 END, "
                  "started = CASE WHEN ?2 = 2 AND "
                  "started = 0 THEN max(?3, created) ELSE started END, finished = CASE WHEN ?2 >= "
                  "4 THEN max(?3, created, started) ELSE 0 END, turn = CASE WHEN ?2 = 2 THEN "
                  "(SELECT max(turn) + 1 FROM trainings) ELSE turn END WHERE id = ?1");
    hg_query_text(&q, 1, id);
    hg_query_int(&q, 2, s);
    hg_query_int(&q, 3, now);
    return hg_query_close(&q, e);
}

intent hg_training_intent(hg_trainings *t, const char *id)
{
    hg_query q;

    hg_query_open(&q, t->store, "SELECT intent FROM trainings WHERE id = ?");
    hg_query_text(&q, 1, id);
    const intent i = hg_query_row(&q) ? (intent)hg_column_int(&q, 0) : INTENT_NONE;
    return hg_query_close(&q, NULL) == HG_OK ? i : INTENT_NONE;
}

hg_status hg_training_set_intent(hg_trainings *t, const char *id, intent i, hg_err *e)
{
    hg_query q;

    hg_query_open(&q, t->store, "UPDATE trainings SET intent = ?2 WHERE id = ?1");
    hg_query_text(&q, 1, id);
    hg_query_int(&q, 2, i);
    return hg_query_close(&q, e);
}

hg_status hg_training_set_wish(hg_trainings *t, const char *id, const hg_training_wish *w,
                               uint64_t n_examples, hg_err *e)
{
    hg_query q;

    hg_query_open(&q, t->store, "UPDATE trainings SET wish = ?2, n_examples = ?3 WHERE id = ?1");
    hg_query_text(&q, 1, id);
    bind_json(&q, 2, wish_to_json(w));
    hg_query_int(&q, 3, (int64_t)n_examples);
    return hg_query_close(&q, e);
}

hg_status hg_training_set_plan(hg_trainings *t, const char *id, uint64_t n_steps,
                               uint64_t need_bytes, int n_threads, hg_err *e)
{
    hg_query q;

    hg_query_open(&q, t->store,
                  "UPDATE trainings SET n_steps = ?2, need = ?3, threads = ?4 WHERE id = ?1");
    hg_query_text(&q, 1, id);
    hg_query_int(&q, 2, (int64_t)n_steps);
    hg_query_int(&q, 3, (int64_t)need_bytes);
    hg_query_int(&q, 4, n_threads);
    return hg_query_close(&q, e);
}

static void put_finite(json_t *v, const char *key, double n)
{
    if (isfinite(n)) (void)json_object_set_new(v, key, json_real(n));
}

hg_status hg_training_set_step(hg_trainings *t, const hg_training *now, hg_err *e)
{
    json_t *figures = json_object();
    hg_query q;

    put_finite(figures, "loss", now->loss);
    put_finite(figures, "lr", now->lr);
    put_finite(figures, "tokens_per_s", now->tokens_per_s);
    put_finite(figures, "eta_s", now->eta_s);
    hg_query_open(&q, t->store,
                  "UPDATE trainings SET step = ?2, n_tokens = ?3, figures = ?4 WHERE id = ?1");
    hg_query_text(&q, 1, now->id);
    hg_query_int(&q, 2, (int64_t)now->step);
    hg_query_int(&q, 3, (int64_t)now->n_tokens);
    bind_json(&q, 4, figures);
    return hg_query_close(&q, e);
}

bool hg_training_next_ended(hg_trainings *t, char id[HG_TRAINING_ID_ROOM])
{
    hg_query q;

    hg_query_open(&q, t->store, "SELECT id FROM trainings WHERE state >= 4 AND intent = 3 LIMIT 1");
    const bool is_there = hg_query_row(&q);
    if (is_there) (void)snprintf(id, HG_TRAINING_ID_ROOM, "%s", hg_column_text(&q, 0));
    return hg_query_close(&q, NULL) == HG_OK && is_there;
}

static hg_status write_failed(hg_trainings *t, const char *id, const char *code, const char *param,
                              const char *why, hg_err *e)
{
    char text[640];
    hg_query q;

    (void)snprintf(text, sizeof text, "The training failed: %.600s", why);
    HG_TRY(put_event(t, id, 0, "error", text, NULL, e));
    HG_TRY(hg_training_set_state(t, id, HG_TRAINING_FAILED, e));
    hg_query_open(
        &q, t->store,
        "UPDATE trainings SET error_code = ?2, error_param = ?3, error = ?4 WHERE id = ?1");
    hg_query_text(&q, 1, id);
    hg_query_text(&q, 2, code);
    hg_query_text(&q, 3, param != NULL ? param : "");
    hg_query_text(&q, 4, why);
    return hg_query_close(&q, e);
}

hg_status hg_training_set_failed(hg_trainings *t, const char *id, const char *code,
                                 const char *param, const char *why, hg_err *e)
{
    HG_TRY(hg_store_begin(t->store, e));
    return hg_store_end(t->store, write_failed(t, id, code, param, why, e), e);
}

static hg_status set_text(hg_trainings *t, const char *sql, const char *id, const char *text,
                          hg_err *e)
{
    hg_query q;

    hg_query_open(&q, t->store, sql);
    hg_query_text(&q, 1, id);
    hg_query_text(&q, 2, text);
    return hg_query_close(&q, e);
}

static hg_status write_told(hg_trainings *t, const char *id, hg_training_state s, const char *level,
                            const char *message, hg_err *e)
{
    HG_TRY(put_event(t, id, 0, level, message, NULL, e));
    return hg_training_set_state(t, id, s, e);
}

hg_status hg_training_set_told(hg_trainings *t, const char *id, hg_training_state s,
                               const char *level, const char *message, hg_err *e)
{
    HG_TRY(hg_store_begin(t->store, e));
    return hg_store_end(t->store, write_told(t, id, s, level, message, e), e);
}

static hg_status write_done(hg_trainings *t, const char *id, const char *model, hg_err *e)
{
    char text[200];

    (void)snprintf(text, sizeof text, "New fine-tuned model created: %.128s", model);
    HG_TRY(put_event(t, id, 0, "info", text, NULL, e));
    HG_TRY(put_event(t, id, 0, "info", "The job has successfully completed", NULL, e));
    HG_TRY(hg_training_set_state(t, id, HG_TRAINING_SUCCEEDED, e));
    return set_text(t, "UPDATE trainings SET model = ?2 WHERE id = ?1", id, model, e);
}

hg_status hg_training_set_done(hg_trainings *t, const char *id, const char *model, hg_err *e)
{
    HG_TRY(hg_store_begin(t->store, e));
    return hg_store_end(t->store, write_done(t, id, model, e), e);
}

hg_status hg_training_set_result(hg_trainings *t, const char *id, const char *file, hg_err *e)
{
    return set_text(t, "UPDATE trainings SET result_file = ?2 WHERE id = ?1", id, file, e);
}

/* ---- events ---- */
static hg_status put_event(hg_trainings *t, const char *id, uint64_t step, const char *level,
                           const char *message, const char *data, hg_err *e)
{
    hg_query q;

    hg_query_open(&q, t->store,
                  "INSERT OR IGNORE INTO training_events (training, step, created, level, message, "
                  "data) VALUES (?1, nullif(?2, 0), ?3, ?4, ?5, ?6)");
    hg_query_text(&q, 1, id);
    hg_query_int(&q, 2, (int64_t)step);
    hg_query_int(&q, 3, hg_unix_time());
    hg_query_text(&q, 4, level);
    hg_query_text(&q, 5, message);
    hg_query_text(&q, 6, data);
    return hg_query_close(&q, e);
}

void hg_training_say(hg_trainings *t, const char *id, const char *level, const char *fmt, ...)
{
    char text[640];
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    (void)put_event(t, id, 0, level, text, NULL, NULL);
}

hg_status hg_training_put_metrics(hg_trainings *t, const char *id, uint64_t step,
                                  const char *message, const char *data, hg_err *e)
{
    return put_event(t, id, step, "info", message, data, e);
}

json_t *hg_training_metrics(hg_trainings *t, const char *id, uint64_t step)
{
    json_t *v = NULL;
    hg_query q;

    hg_query_open(&q, t->store, "SELECT data FROM training_events WHERE training = ? AND step = ?");
    hg_query_text(&q, 1, id);
    hg_query_int(&q, 2, (int64_t)step);
    if (hg_query_row(&q)) (void)hg_json_parse(&v, hg_column_bytes(&q, 0), 1 << 16, NULL);
    (void)hg_query_close(&q, NULL);
    return v;
}

hg_status hg_training_add_metrics(hg_trainings *t, const char *id, uint64_t step, json_t *more,
                                  hg_err *e)
{
    json_t *v = hg_training_metrics(t, id, step);
    hg_query q;

    if (v == NULL) return HG_OK;
    (void)json_object_update(v, more);
    hg_query_open(&q, t->store,
                  "UPDATE training_events SET data = ?3 WHERE training = ?1 AND step = ?2");
    hg_query_text(&q, 1, id);
    hg_query_int(&q, 2, (int64_t)step);
    bind_json(&q, 3, v);
    return hg_query_close(&q, e);
}

hg_status hg_trainings_events(hg_trainings *t, const char *id, int64_t before,
                              hg_training_event_fn *fn, void *ctx, hg_err *e)
{
    hg_query q;
    bool goes_on = true;

    hg_query_open(&q, t->store,
                  "SELECT number, created, level, message, data FROM training_events WHERE "
                  "training = ? AND number < ? ORDER BY number DESC");
    hg_query_text(&q, 1, id);
    hg_query_int(&q, 2, before > 0 ? before : INT64_MAX);
    while (goes_on && hg_query_row(&q)) {
        hg_training_event ev = {.number = hg_column_int(&q, 0),
                                .created = hg_column_int(&q, 1),
                                .level = hg_column_text(&q, 2),
                                .message = hg_column_text(&q, 3),
                                .data = hg_column_text(&q, 4)};
        ev.kind = ev.data != NULL ? HG_EVENT_METRICS : HG_EVENT_MESSAGE;
        (void)snprintf(ev.id, sizeof ev.id, "ftevent-%lld", (long long)ev.number);
        goes_on = fn(ctx, &ev);
    }
    return hg_query_close(&q, e);
}

int64_t hg_trainings_event_number(hg_trainings *t, const char *id, const char *event)
{
    hg_query q;

    hg_query_open(&q, t->store,
                  "SELECT number FROM training_events WHERE training = ? AND 'ftevent-' || number "
                  "= ?");
    hg_query_text(&q, 1, id);
    hg_query_text(&q, 2, event);
    const int64_t n = hg_query_row(&q) ? hg_column_int(&q, 0) : 0;
    return hg_query_close(&q, NULL) == HG_OK ? n : 0;
}

/* ---- checkpoints ---- */
hg_status hg_training_put_checkpoint(hg_trainings *t, const char *id, uint64_t step,
                                     const char *model, const char *metrics, hg_err *e)
{
    hg_query q;

    hg_query_open(&q, t->store,
                  "INSERT OR REPLACE INTO training_checkpoints (training, step, created, model, "
                  "metrics) VALUES (?, ?, ?, ?, ?)");
    hg_query_text(&q, 1, id);
    hg_query_int(&q, 2, (int64_t)step);
    hg_query_int(&q, 3, hg_unix_time());
    hg_query_text(&q, 4, model);
    hg_query_text(&q, 5, metrics);
    return hg_query_close(&q, e);
}

hg_status hg_trainings_checkpoints(hg_trainings *t, const char *id, hg_training_checkpoint_fn *fn,
                                   void *ctx, hg_err *e)
{
    hg_query q;
    bool goes_on = true;

    hg_query_open(&q, t->store,
                  "SELECT number, step, created, model, metrics FROM training_checkpoints WHERE "
                  "training = ? ORDER BY step DESC");
    hg_query_text(&q, 1, id);
    while (goes_on && hg_query_row(&q)) {
        hg_training_checkpoint c = {.number = hg_column_int(&q, 0),
                                    .step = (uint64_t)hg_column_int(&q, 1),
                                    .created = hg_column_int(&q, 2),
                                    .metrics = hg_column_text(&q, 4)};
        take(&q, 3, c.model, sizeof c.model);
        (void)snprintf(c.id, sizeof c.id, "ftckpt_%lld", (long long)c.number);
        goes_on = fn(ctx, &c);
    }
    return hg_query_close(&q, e);
}
