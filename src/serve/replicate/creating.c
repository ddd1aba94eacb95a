/* How a prediction comes to be: what is asked of which model, how long the client waits for it,
 * when its time is over, who is told. */
#include "base/clock.h"
#include "serve/ids.h"
#include "serve/replicate/input.h"
#include "serve/openai/openai.h"
#include "serve/replicate/replicate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- headers ---- */
/* "wait" or "wait=5"; false: it is not asked for. */
static bool wants_wait(const hg_exchange *x, double *seconds)
{
    const char *prefer = hg_exchange_header(x, "Prefer");

    if (prefer == NULL || strncmp(prefer, "wait", 4) != 0) return false;
    const long n = prefer[4] == '=' ? strtol(prefer + 5, NULL, 10) : 60;
    *seconds = n >= 1 && n <= 60 ? (double)n : 60;
    return prefer[4] == '\0' || prefer[4] == '=';
}

/* "30s", "1m", "1h30m": in seconds, 0: none. False: it is no duration. */
static bool read_duration(const char *text, double *seconds)
{
    *seconds = 0;
    while (text != NULL && *text != '\0') {
        char *end;
        const double n = strtod(text, &end);
        const double unit = *end == 's' ? 1 : *end == 'm' ? 60 : *end == 'h' ? 3600 : 0;
        if (end == text || unit == 0 || !(n >= 0) || n > 1e6) return false;
        *seconds += n * unit;
        text = end + 1;
    }
    return true;
}

static bool set_deadline(hg_prediction *one, const hg_exchange *x, hg_problem *p)
{
    const char *text = hg_exchange_header(x, "Cancel-After");
    double seconds;

    if (text == NULL) return true;
    if (!read_duration(text, &seconds) || seconds < 1)
        return hg_refuse(p, 422, NULL, NULL,
                         "Cancel-After: \"%.40s\" is no duration of a second or more; 90s, 5m or "
                         "1h30m would be",
                         text);
    one->deadline = one->created + (int64_t)(seconds * 1000);
    one->deadline_s = hg_seconds() + seconds;
    return true;
}

/* ---- the body ---- */
bool hg_replicate_read_filter(const json_t *list, unsigned *events, hg_problem *p)
{
    *events = HG_ON_ALL;
    if (list == NULL || json_is_null(list)) return true;
    if (!json_is_array(list))
        return hg_refuse(p, 422, NULL, NULL, "webhook_events_filter must be an array of events");
    if (json_array_size(list) > 0) *events = 0;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *word = json_string_value(json_array_get(list, i));
        size_t k = 0;
        while (hg_webhook_events[k] != NULL && (word == NULL || strcmp(word, hg_webhook_events[k])))
            k++;
        if (hg_webhook_events[k] == NULL)
            return hg_refuse(p, 422, NULL, NULL,
                             "webhook_events_filter: an event is start, output, logs or completed");
        *events |= 1u << k;
    }
    return true;
}

static bool read_webhook(hg_prediction *one, const json_t *body, const hg_webhooks *hooks,
                         hg_problem *p)
{
    const json_t *url = json_object_get(body, "webhook");
    hg_err e = {0};

    if (url == NULL || json_is_null(url)) return true;
    if (!json_is_string(url)) return hg_refuse(p, 422, NULL, NULL, "webhook must be a URL");
    if (hg_webhooks_check(hooks, json_string_value(url), &e) != HG_OK)
        return hg_refuse(p, 422, NULL, NULL, "webhook: %s", e.msg);
    one->webhook = hg_strdup(json_string_value(url));
    if (one->webhook == NULL) return hg_refuse(p, 500, NULL, NULL, "no room for the webhook");
    return hg_replicate_read_filter(json_object_get(body, "webhook_events_filter"),
                                    &one->webhook_events, p);
}

static bool read_input(hg_prediction *one, const json_t *body, hg_problem *p)
{
    const json_t *input = json_object_get(body, "input");
    hg_buf b = {0};
    hg_input in;

    if (input == NULL) return hg_refuse(p, 422, NULL, NULL, "- input: is required");
    if (!hg_input_read(&in, input, p)) return false;
    if (hg_json_put_tree(&b, input, NULL) == HG_OK && b.n <= HG_MAX_PREDICTION_INPUT)
        one->input = hg_strndup(b.p, b.n);
    const bool is_long = b.n > HG_MAX_PREDICTION_INPUT;
    hg_buf_free(&b);
    if (is_long)
        return hg_refuse(p, 413, NULL, NULL, "input is longer than %d bytes",
                         HG_MAX_PREDICTION_INPUT);
    return one->input != NULL || hg_refuse(p, 500, NULL, NULL, "no room for the input");
}

/* ---- which model ---- */
static bool is_version(const char *text)
{
    return strlen(text) == 64 && strspn(text, "0123456789abcdef") == 64;
}

static const hg_offer *search_version(hg_server *s, hg_exchange *x, const char *version, bool reads)
{
    hg_versions *v = hg_server_replicate(s)->versions;
    hg_models *ms = hg_server_models(s);

    for (size_t i = 0; i < hg_models_count(ms); i++) {
        const hg_offer *o = hg_models_get(ms, i);
        char own[65];
        if (o->card.is_unlisted && o->path != NULL) continue;
        const hg_status known =
            reads ? hg_version_of(v, x, o, own, NULL) : hg_version_known(v, o, own);
        if (known == HG_OK && strcmp(own, version) == 0 &&
            hg_server_lets(s, hg_exchange_owner(x), o))
            return o;
        if (reads && known == HG_E_STATE) break; /* x must wait */
    }
    return NULL;
}

/* Who asks for one that is known does not wait for the others. */
static const hg_offer *find_version(hg_server *s, hg_exchange *x, const char *version)
{
    const hg_offer *o = search_version(s, x, version, false);

    return o != NULL ? o : search_version(s, x, version, true);
}

static const hg_offer *no_version(const char *text, hg_problem *p)
{
    (void)hg_refuse(p, 422, NULL, NULL,
                    "Invalid version or not permitted: there is no version \"%.140s\" here", text);
    return NULL;
}

/* A version alone, "owner/name", or "owner/name:version". */
static const hg_offer *model_of(hg_server *s, hg_exchange *x, const char *text, hg_problem *p)
{
    const char *colon = strrchr(text, ':');
    char own[65];

    if (is_version(text)) {
        const hg_offer *o = find_version(s, x, text);
        return o != NULL ? o : no_version(text, p);
    }
    const bool has_version = colon != NULL && is_version(colon + 1);
    const size_t n = has_version ? (size_t)(colon - text) : strlen(text);
    const hg_offer *o = hg_replicate_named(s, x, (hg_bytes){text, n});
    if (o == NULL) return no_version(text, p);
    if (!has_version) return o;
    const hg_status known = hg_version_of(hg_server_replicate(s)->versions, x, o, own, NULL);
    if (known == HG_OK && strcmp(own, colon + 1) == 0) return o;
    o = known != HG_E_STATE ? find_version(s, x, colon + 1) : NULL;
    return o != NULL ? o : no_version(text, p);
}

/* ---- all of it ---- */
static bool fill(hg_prediction *one, hg_server *s, hg_exchange *x, const hg_offer *o,
                 const char *deployment, const json_t *body, hg_problem *p)
{
    hg_replicate_state *r = hg_server_replicate(s);
    char base[320];
    hg_err e = {0};

    hg_id_make(one->id, sizeof one->id, "", 26);
    hg_id_make(one->secret, sizeof one->secret, "", 52);
    (void)snprintf(one->owner, sizeof one->owner, "%s", hg_exchange_owner(x));
    one->owner_key = hg_owner_key(one->owner);
    (void)snprintf(one->backend, sizeof one->backend, "%s", o->card.id);
    hg_replicate_name(o->card.id, one->model);
    one->created = hg_unix_ms();
    one->created_s = hg_seconds();
    one->source =
        strcmp(hg_exchange_query(x, "source") != NULL ? hg_exchange_query(x, "source") : "",
               "web") == 0
            ? "web"
            : "api";
    hg_replicate_base(x, base);
    one->base = hg_strdup(base);
    if (deployment != NULL) one->deployment = hg_strdup(deployment);
    if (one->base == NULL) return hg_refuse(p, 500, NULL, NULL, "no room for the prediction");
    if (!read_input(one, body, p) || !read_webhook(one, body, r->webhooks, p) ||
        !set_deadline(one, x, p))
        return false;
    return hg_version_of(r->versions, x, o, one->version, &e) == HG_OK ||
           hg_refuse(p, 500, NULL, NULL, "%s", e.msg);
}

static void reply(hg_predictions *all, hg_exchange *x, hg_prediction *one)
{
    double seconds;

    if (wants_wait(x, &seconds)) {
        hg_exchange_add_header(x, "Preference-Applied", "wait");
        /* Clients give up half a second after their time. */
        hg_predictions_wait(all, one, x, seconds - 0.2);
    } else {
        hg_prediction_answer(x, 201, one, false);
    }
}

static bool create(hg_server *s, hg_exchange *x, const hg_offer *o, const char *deployment,
                   const json_t *body, hg_problem *p)
{
    hg_predictions *all = hg_server_replicate(s)->predictions;
    hg_prediction *one = hg_prediction_new(all);
    const bool ok =
        one != NULL && fill(one, s, x, o, deployment, body, p) && hg_predictions_add(all, one, p);

    if (ok) hg_exchange_note(x, o->card.id, 0, 0);
    if (ok) reply(all, x, one);
    if (one == NULL) (void)hg_refuse(p, 500, NULL, NULL, "no room for the prediction");
    hg_prediction_release(one);
    return ok;
}

static bool read_body(const hg_exchange *x, json_t **body, hg_problem *p)
{
    *body = NULL;
    return hg_body_parse(body, hg_exchange_body(x), p) &&
           (json_is_object(*body) ||
            hg_refuse(p, 422, NULL, NULL, "the body must be a JSON object"));
}

void hg_replicate_create_for(hg_server *s, hg_exchange *x, const hg_offer *o,
                             const char *deployment)
{
    json_t *body;
    hg_problem p;

    if (!read_body(x, &body, &p) || !create(s, x, o, deployment, body, &p))
        hg_replicate_refuse(x, &p);
    json_decref(body);
}

void hg_replicate_create(hg_server *s, hg_exchange *x, hg_bytes rest)
{
    json_t *body;
    hg_problem p;
    const hg_offer *o = NULL;

    (void)rest;
    bool ok = read_body(x, &body, &p);
    if (ok) {
        const char *version = json_string_value(json_object_get(body, "version"));
        ok = version != NULL || hg_refuse(&p, 422, NULL, NULL, "- version: is required");
        if (ok) o = model_of(s, x, version, &p);
    }
    if (o == NULL || !create(s, x, o, NULL, body, &p)) hg_replicate_refuse(x, &p);
    json_decref(body);
}
