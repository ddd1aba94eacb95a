/* The state of one prediction and how it is told: as JSON, as events of a stream. */
#include "serve/replicate/prediction.h"
#include "base/clock.h"
#include "serve/replicate/predictions.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

static const char *const words[HG_N_STATUS] = {"starting", "processing", "succeeded",
                                               "failed",   "canceled",   "aborted"};
const char *const hg_webhook_events[5] = {"start", "output", "logs", "completed", NULL};

/* In the exchange's memory: it may hear of its client's end when the prediction is long gone. */
struct hg_listener {
    hg_listener *next;
    struct hg_predictions *all;
    hg_prediction *p; /* the table's lock guards it; NULL: it has been let go */
    hg_exchange *x;   /* held */
    size_t from;      /* events before it are known */
};

const char *hg_prediction_word(hg_prediction_status s)
{
    return words[s];
}

bool hg_prediction_parse_status(const char *word, hg_prediction_status *out)
{
    for (int i = 0; i < HG_N_STATUS; i++) {
        if (strcmp(words[i], word) != 0) continue;
        *out = (hg_prediction_status)i;
        return true;
    }
    return false;
}

void hg_iso_ms(int64_t ms, char out[40])
{
    char whole[32];

    hg_iso_time(ms / 1000, whole);
    whole[strcspn(whole, "Z")] = '\0';
    (void)snprintf(out, 40, "%s.%03dZ", whole, (int)(ms % 1000));
}

/* ---- life ---- */
hg_prediction *hg_prediction_new(struct hg_predictions *all)
{
    hg_prediction *p = hg_alloc(1, sizeof *p);

    if (p == NULL) return NULL;
    p->all = all;
    p->source = "api";
    atomic_init(&p->n_holders, 1);
    (void)pthread_mutex_init(&p->lock, NULL);
    return p;
}

void hg_prediction_hold(hg_prediction *p)
{
    (void)atomic_fetch_add_explicit(&p->n_holders, 1, memory_order_relaxed);
}

void hg_prediction_release(hg_prediction *p)
{
    if (p == NULL || atomic_fetch_sub_explicit(&p->n_holders, 1, memory_order_acq_rel) != 1) return;
    hg_free(p->input);
    hg_free(p->base);
    hg_free(p->deployment);
    hg_free(p->webhook);
    hg_free(p->event);
    hg_free(p->error);
    hg_free(p->metrics);
    hg_buf_free(&p->text);
    (void)pthread_mutex_destroy(&p->lock);
    hg_free(p);
}

/* ---- streams ---- */
/* A line for each line of the text: what stands behind a line's end would else be lost. */
static void put_data(hg_buf *b, hg_bytes text)
{
    hg_buf_puts(b, "data: ");
    for (size_t i = 0; i < text.n; i++) {
        const bool is_end = text.p[i] == '\n' || text.p[i] == '\r';
        if (text.p[i] == '\r' && i + 1 < text.n && text.p[i + 1] == '\n') i++;
        if (is_end)
            hg_buf_puts(b, "\ndata: ");
        else
            hg_buf_putc(b, text.p[i]);
    }
    hg_buf_puts(b, "\n\n");
}

static void put_head(hg_buf *b, const hg_prediction *p, const char *event, size_t i)
{
    hg_buf_printf(b, "event: %s\nid: %lld:%zu\n", event, (long long)(p->created / 1000), i);
}

static void put_event(hg_buf *b, const hg_prediction *p, size_t i)
{
    const hg_prediction_event *ev = &p->event[i];

    put_head(b, p, ev->kind == 'o' ? "output" : "logs", i);
    put_data(b, (hg_bytes){p->text.p + ev->at, ev->n});
}

static void put_end(hg_buf *b, const hg_prediction *p)
{
    if (p->status == HG_FAILED) {
        const char *why = p->error != NULL ? p->error : "";
        put_head(b, p, "error", p->n_events);
        put_data(b, (hg_bytes){why, strlen(why)});
    }
    put_head(b, p, "done", p->n_events + (p->status == HG_FAILED));
    hg_buf_puts(b, p->status == HG_SUCCEEDED ? "data: {}\n\n"
                   : p->status == HG_FAILED  ? "data: {\"reason\": \"error\"}\n\n"
                                             : "data: {\"reason\": \"canceled\"}\n\n");
}

static void tell(const hg_listener *l, const hg_buf *b)
{
    if (b->n > 0 && !b->failed) (void)hg_exchange_put(l->x, (hg_bytes){b->p, b->n});
}

/* It will hear no more. The lock is not held. */
static void let_go(hg_listener *l)
{
    hg_prediction *p;

    hg_predictions_lock(l->all);
    p = l->p;
    l->p = NULL;
    hg_predictions_unlock(l->all);
    if (p == NULL) return;
    hg_exchange_release(l->x);
    hg_prediction_release(p);
}

static void on_gone(void *ctx)
{
    hg_listener *l = ctx;
    hg_prediction *p;

    hg_predictions_lock(l->all);
    p = l->p;
    if (p != NULL) hg_prediction_hold(p);
    hg_predictions_unlock(l->all);
    if (p == NULL) return;
    (void)pthread_mutex_lock(&p->lock);
    hg_listener **at = &p->listeners;
    while (*at != NULL && *at != l) at = &(*at)->next;
    const bool was_there = *at == l;
    if (was_there) *at = l->next;
    (void)pthread_mutex_unlock(&p->lock);
    if (was_there) let_go(l);
    hg_prediction_release(p);
}

void hg_prediction_listen(hg_prediction *p, hg_exchange *x, size_t from)
{
    hg_listener *l = HG_NEW(hg_exchange_memory(x), hg_listener, 1);
    hg_buf b = {0};
    hg_problem why;

    if (l == NULL) {
        (void)hg_refuse(&why, 500, NULL, NULL, "no room for a stream");
        hg_answer_problem(x, &hg_replicate, &why);
        return;
    }
    *l = (hg_listener){.all = p->all, .p = p, .x = x, .from = from};
    hg_prediction_hold(p);
    hg_exchange_hold(x);
    (void)hg_exchange_stream(x, HG_STREAM_EVENTS);
    (void)pthread_mutex_lock(&p->lock);
    for (size_t i = from; i < p->n_events; i++) put_event(&b, p, i);
    const bool ended = hg_prediction_is_over(p);
    if (ended) put_end(&b, p);
    hg_exchange_allow(x, b.n); /* all that there has been, at once */
    tell(l, &b);
    if (!ended) {
        l->next = p->listeners;
        p->listeners = l;
    }
    (void)pthread_mutex_unlock(&p->lock);
    hg_buf_free(&b);
    if (ended) {
        hg_exchange_end(x);
        let_go(l);
    } else {
        hg_exchange_set_watch(x, &(hg_exchange_watch){on_gone, NULL, l});
    }
}

/* ---- what happens to it ---- */
void hg_prediction_add(hg_prediction *p, char kind, hg_bytes text)
{
    hg_buf b = {0};

    if (text.n == 0 ||
        hg_grow(&p->event, &p->cap_events, p->n_events, sizeof *p->event, NULL) != HG_OK)
        return;
    const size_t at = p->text.n;
    hg_buf_put(&p->text, text.p, text.n);
    if (p->text.failed) return;
    p->event[p->n_events] = (hg_prediction_event){kind, at, text.n};
    if (p->listeners != NULL) put_event(&b, p, p->n_events);
    p->n_events++;
    for (hg_listener *l = p->listeners; l != NULL; l = l->next) tell(l, &b);
    hg_buf_free(&b);
}

static bool begins(hg_bytes text, const char *with)
{
    const size_t n = strlen(with);

    return text.n >= n && memcmp(text.p, with, n) == 0;
}

void hg_prediction_say(hg_prediction *p, hg_bytes text)
{
    if (begins(text, "https:") || begins(text, "http:") || begins(text, "data:")) {
        hg_prediction_add(p, 'o', (hg_bytes){text.p, 1});
        text = (hg_bytes){text.p + 1, text.n - 1};
    }
    hg_prediction_add(p, 'o', text);
}

int64_t hg_prediction_now(const hg_prediction *p)
{
    const int64_t now = hg_unix_ms(), least = p->started > p->created ? p->started : p->created;

    return now > least ? now : least;
}

void hg_prediction_end(hg_prediction *p, hg_prediction_status status, const char *error)
{
    if (hg_prediction_has_ended(p)) return;
    p->status = status;
    p->completed = hg_prediction_now(p);
    if (error != NULL && error[0] != '\0') p->error = hg_strdup(error);
}

void hg_prediction_tell_end(hg_prediction *p)
{
    hg_buf b = {0};

    put_end(&b, p);
    hg_listener *l = p->listeners;
    p->listeners = NULL;
    while (l != NULL) {
        hg_listener *next = l->next;
        tell(l, &b);
        hg_exchange_end(l->x);
        /* The table's lock is taken below ours here only, and by nobody who then takes ours. */
        let_go(l);
        l = next;
    }
    hg_buf_free(&b);
}

void hg_prediction_take_back(hg_prediction *p)
{
    (void)pthread_mutex_lock(&p->lock);
    p->status = HG_STARTING;
    p->started = 0;
    p->running_on = NULL;
    if (p->n_events > 1) p->n_events = 1; /* its seed, which was told */
    p->text.n = p->n_events > 0 ? p->event[0].n : 0;
    (void)pthread_mutex_unlock(&p->lock);
}

/* ---- as JSON ---- */
static void put_time(hg_json_out *o, const char *key, int64_t ms)
{
    char text[40];

    hg_iso_ms(ms, text);
    hg_json_text(o, key, ms != 0 ? text : NULL);
}

/* One that has ended and is not kept yet still goes on. */
static hg_prediction_status shown_status(const hg_prediction *p, bool waiting)
{
    if (waiting) return HG_STARTING;
    if (!hg_prediction_has_ended(p) || hg_prediction_is_over(p)) return p->status;
    return p->started != 0 ? HG_PROCESSING : HG_STARTING;
}

static void put_output(hg_json_out *o, const hg_prediction *p, bool waiting)
{
    size_t n = 0;

    for (size_t i = 0; i < p->n_events; i++) n += p->event[i].kind == 'o';
    if (waiting || p->is_removed || (n == 0 && shown_status(p, waiting) != HG_SUCCEEDED)) {
        hg_json_null(o, "output");
        return;
    }
    hg_json_begin(o, "output", '[');
    for (size_t i = 0; i < p->n_events; i++)
        if (p->event[i].kind == 'o')
            hg_json_bytes(o, NULL, (hg_bytes){p->text.p + p->event[i].at, p->event[i].n});
    hg_json_end(o);
}

static void put_logs(hg_json_out *o, const hg_prediction *p, bool waiting)
{
    hg_buf b = {0};

    for (size_t i = 0; i < p->n_events && !waiting; i++)
        if (p->event[i].kind == 'l') hg_buf_put(&b, p->text.p + p->event[i].at, p->event[i].n);
    hg_json_bytes(o, "logs", (hg_bytes){b.n > 0 ? b.p : "", b.n});
    hg_buf_free(&b);
}

static void put_urls(hg_json_out *o, const hg_prediction *p)
{
    char url[512];

    hg_json_begin(o, "urls", '{');
    (void)snprintf(url, sizeof url, "%.300s/v1/predictions/%s", p->base, p->id);
    hg_json_text(o, "get", url);
    (void)snprintf(url, sizeof url, "%.300s/v1/predictions/%s/cancel", p->base, p->id);
    hg_json_text(o, "cancel", url);
    (void)snprintf(url, sizeof url, "%.300s/v1/streams/%s", p->base, p->secret);
    hg_json_text(o, "stream", url);
    (void)snprintf(url, sizeof url, "%.300s/#/p/%s", p->base, p->id);
    hg_json_text(o, "web", url);
    hg_json_end(o);
}

static void put_extras(hg_json_out *o, const hg_prediction *p)
{
    if (p->deployment != NULL) hg_json_text(o, "deployment", p->deployment);
    if (p->deadline != 0) put_time(o, "deadline", p->deadline);
    if (p->webhook == NULL) return;
    hg_json_text(o, "webhook", p->webhook);
    hg_json_begin(o, "webhook_events_filter", '[');
    for (size_t i = 0; hg_webhook_events[i] != NULL; i++)
        if ((p->webhook_events >> i & 1u) != 0) hg_json_text(o, NULL, hg_webhook_events[i]);
    hg_json_end(o);
}

void hg_prediction_put(hg_json_out *o, const char *key, const hg_prediction *p, bool waiting)
{
    const char *input = p->is_removed || p->input == NULL ? "{}" : p->input;
    const bool is_over = !waiting && hg_prediction_is_over(p);
    const char *metrics = is_over && p->metrics != NULL ? p->metrics : "{}";

    hg_json_begin(o, key, '{');
    hg_json_text(o, "id", p->id);
    hg_json_text(o, "model", p->model);
    hg_json_text(o, "version", p->version);
    hg_json_raw(o, "input", (hg_bytes){input, strlen(input)});
    put_logs(o, p, waiting);
    put_output(o, p, waiting);
    hg_json_text(o, "error", is_over ? p->error : NULL);
    hg_json_text(o, "status", words[shown_status(p, waiting)]);
    put_time(o, "created_at", p->created);
    put_time(o, "started_at", waiting ? 0 : p->started);
    put_time(o, "completed_at", is_over ? p->completed : 0);
    hg_json_bool(o, "data_removed", p->is_removed);
    hg_json_text(o, "source", p->source);
    hg_json_raw(o, "metrics", (hg_bytes){metrics, strlen(metrics)});
    put_urls(o, p);
    put_extras(o, p);
    hg_json_end(o);
}

/* ---- as it is kept ---- */
void hg_prediction_put_events(hg_buf *b, const hg_prediction *p)
{
    hg_json_out o;

    hg_json_out_init(&o, b, 0);
    hg_json_begin(&o, NULL, '[');
    for (size_t i = 0; i < p->n_events; i++) {
        hg_json_begin(&o, NULL, '[');
        hg_json_text(&o, NULL, p->event[i].kind == 'o' ? "o" : "l");
        hg_json_bytes(&o, NULL, (hg_bytes){p->text.p + p->event[i].at, p->event[i].n});
        hg_json_end(&o);
    }
    hg_json_end(&o);
}

bool hg_prediction_read_events(hg_prediction *p, const char *json)
{
    json_t *all = NULL;
    const bool ok = hg_json_parse(&all, (hg_bytes){json, strlen(json)}, SIZE_MAX, NULL) == HG_OK;

    for (size_t i = 0; ok && i < json_array_size(all); i++) {
        const json_t *one = json_array_get(all, i), *text = json_array_get(one, 1);
        const char *kind = json_string_value(json_array_get(one, 0));
        if (kind != NULL)
            hg_prediction_add(p, kind[0],
                              (hg_bytes){json_string_value(text), json_string_length(text)});
    }
    json_decref(all);
    return ok;
}
