/* Replicate's protocol: predictions by model, version and deployment, which are waited for, polled,
 * streamed or told to webhooks, and what its clients read of models. Reference: Replicate's HTTP
 * API as its official clients for JavaScript and Python use it. */
#include "serve/replicate/replicate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- errors ---- */
static const char *title_of(int status)
{
    switch (status) {
    case 401:
        return "Unauthenticated";
    case 403:
        return "Forbidden";
    case 404:
        return "Not found";
    case 422:
        return "Input validation failed";
    case 429:
        return "Too many requests";
    default:
        return hg_http_reason(status);
    }
}

/* A line for each field that is wrong is told once more, for programs. */
static void put_fields(hg_json_out *o, const char *lines)
{
    hg_json_begin(o, "invalid_fields", '[');
    for (const char *at = lines; strncmp(at, "- input.", 8) == 0;) {
        const size_t line = strcspn(at, "\n"), name = strcspn(at + 8, ":\n");
        if (10 + name > line) break; /* the message was cut off here */
        hg_json_begin(o, NULL, '{');
        hg_json_bytes(o, "field", (hg_bytes){at + 2, 6 + name});
        hg_json_bytes(o, "description", (hg_bytes){at + 10 + name, line - name - 10});
        hg_json_end(o);
        at += line + (at[line] == '\n');
    }
    hg_json_end(o);
}

static void explain(hg_buf *out, const hg_problem *p)
{
    hg_json_out o;

    hg_json_out_init(&o, out, 0);
    hg_json_begin(&o, NULL, '{');
    hg_json_text(&o, "title", title_of(p->status));
    hg_json_text(&o, "detail", p->msg);
    hg_json_int(&o, "status", p->status);
    if (strncmp(p->msg, "- input.", 8) == 0) put_fields(&o, p->msg);
    hg_json_end(&o);
    hg_buf_putc(out, '\n');
}

void hg_replicate_refuse(hg_exchange *x, const hg_problem *p)
{
    hg_answer_problem(x, &hg_replicate, p);
}

void hg_replicate_reply(hg_exchange *x, int status, hg_buf *b)
{
    hg_problem p;

    if (b->failed) {
        (void)hg_refuse(&p, 500, NULL, NULL, "no room for the answer");
        hg_replicate_refuse(x, &p);
    } else {
        hg_exchange_reply(x, status, "application/json", (hg_bytes){b->p, b->n});
    }
    hg_buf_free(b);
}

/* ---- whose request is it ---- */
static bool ends_with(hg_bytes path, const char *end)
{
    const size_t n = strlen(end);

    return path.n >= n && memcmp(path.p + path.n - n, end, n) == 0;
}

/* /v1/models/... is shared with others: theirs have one segment, or a verb behind a colon, or a
 * header of their own. */
static bool is_of_a_model(const hg_exchange *x)
{
    static const char prefix[] = "/v1/models/";
    const char *path = hg_exchange_path(x), *method = hg_exchange_method(x);
    const char *rest = path + sizeof prefix - 1;

    if (strncmp(path, prefix, sizeof prefix - 1) != 0) return false;
    if (hg_exchange_header(x, "anthropic-version") != NULL ||
        hg_exchange_header(x, "x-goog-api-key") != NULL || hg_exchange_query(x, "key") != NULL)
        return false;
    if (strcmp(method, "POST") == 0)
        return ends_with((hg_bytes){path, strlen(path)}, "/predictions") ||
               ends_with((hg_bytes){path, strlen(path)}, "/trainings");
    return strchr(rest, '/') != NULL;
}

static bool claims(const hg_exchange *x)
{
    const char *agent = hg_exchange_header(x, "User-Agent");

    return (agent != NULL && strncasecmp(agent, "replicate", 9) == 0) || is_of_a_model(x);
}

/* ---- pieces ---- */
void hg_replicate_base(const hg_exchange *x, char out[320])
{
    const char *host = hg_exchange_header(x, "Host");
    const char *scheme = hg_exchange_header(x, "X-Forwarded-Proto");
    const bool is_tls = scheme != NULL && strcmp(scheme, "https") == 0;

    (void)snprintf(out, 320, "%s://%.255s", is_tls ? "https" : "http",
                   host != NULL ? host : "localhost");
}

static size_t split(hg_bytes rest, hg_segment *out, size_t max)
{
    size_t n = 0;

    while (n < max) {
        const char *slash = rest.n > 0 ? memchr(rest.p, '/', rest.n) : NULL;
        const size_t len = slash != NULL ? (size_t)(slash - rest.p) : rest.n;
        const hg_bytes part = hg_path_decode((hg_bytes){rest.p, len}, out[n], sizeof out[n] - 1);
        out[n][part.n] = '\0';
        if (part.n == 0 || part.n == sizeof out[n] - 1 || strlen(out[n]) != part.n) return 0;
        n++;
        if (slash == NULL) return n;
        rest = (hg_bytes){slash + 1, rest.n - len - 1};
    }
    return 0;
}

size_t hg_replicate_split(hg_bytes rest, hg_segment *out, size_t max)
{
    const size_t n = split(rest, out, max);

    for (size_t i = n; i < max; i++) out[i][0] = '\0'; /* nothing of what was refused is left */
    return n;
}

void hg_replicate_name(const char *id, char out[132])
{
    const bool has_owner = strchr(id, '/') != NULL;

    (void)snprintf(out, 132, "%s%s", has_owner ? "" : HG_DEFAULT_OWNER "/", id);
    if (has_owner) out[strcspn(out, ":")] = '\0'; /* a trained version */
}

const hg_offer *hg_replicate_named(hg_server *s, const hg_exchange *x, hg_bytes id)
{
    const hg_offer *o = hg_models_find(hg_server_models(s), id);
    char name[260];

    if (o == NULL && id.n < sizeof name) {
        (void)snprintf(name, sizeof name, "%.*s", (int)id.n, id.p);
        o = hg_replicate_trained(s, name, 0);
    }
    return o != NULL && hg_server_lets(s, hg_exchange_owner(x), o) ? o : NULL;
}

const hg_offer *hg_replicate_find(hg_server *s, const hg_exchange *x, const char *name,
                                  hg_problem *p)
{
    const hg_offer *o = hg_replicate_named(s, x, (hg_bytes){name, strlen(name)});

    if (o == NULL) (void)hg_no_model(p, s, (hg_bytes){name, strlen(name)});
    return o;
}

/* A letter for the direction, and the entry's name. */
bool hg_replicate_read_cursor(hg_cursor *c, const hg_exchange *x, hg_problem *p)
{
    const char *text = hg_exchange_query(x, "cursor");
    const size_t n = text != NULL ? strlen(text) : 0;

    memset(c, 0, sizeof *c);
    if (text == NULL) return true;
    if (n < 2 || n > sizeof c->at || (text[0] != 'n' && text[0] != 'p') ||
        strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-_") != n)
        return hg_refuse(p, 422, NULL, NULL,
                         "cursor is none of this server's; a page's links have them");
    c->is_back = text[0] == 'p';
    memcpy(c->at, text + 1, n);
    return true;
}

/* What the page was asked for goes on with its links, as it came. */
static void put_link(hg_json_out *o, const char *key, const hg_exchange *x, const char *path,
                     const hg_cursor *c)
{
    static const char *const filters[] = {"created_after", "created_before", "model"};
    char base[320];
    hg_buf b = {0};

    if (c == NULL) {
        hg_json_null(o, key);
        return;
    }
    hg_replicate_base(x, base);
    hg_buf_printf(&b, "%s%s?cursor=%c%s", base, path, c->is_back ? 'p' : 'n', c->at);
    for (size_t i = 0; i < sizeof filters / sizeof filters[0]; i++) {
        const char *v = hg_exchange_query(x, filters[i]);
        if (v != NULL) hg_buf_printf(&b, "&%s=%s", filters[i], v);
    }
    hg_json_text(o, key, b.failed ? NULL : b.p);
    hg_buf_free(&b);
}

void hg_replicate_put_links(hg_json_out *o, const hg_exchange *x, const char *path,
                            const hg_cursor *next, const hg_cursor *previous)
{
    put_link(o, "next", x, path, next);
    put_link(o, "previous", x, path, previous);
}

/* ---- predictions ---- */
void hg_prediction_answer(hg_exchange *x, int status, hg_prediction *p, bool waited)
{
    hg_buf b = {0};
    hg_json_out o;

    hg_json_out_init(&o, &b, 0);
    (void)pthread_mutex_lock(&p->lock);
    hg_prediction_put(&o, NULL, p, waited && !hg_prediction_is_over(p));
    (void)pthread_mutex_unlock(&p->lock);
    hg_replicate_reply(x, status, &b);
}

/* A number of n digits and what stands behind it, which may be the end. */
static bool take_digits(const char **at, int n, const char *behind, int min, int max, int *out)
{
    *out = 0;
    for (int i = 0; i < n; i++) {
        if ((*at)[i] < '0' || (*at)[i] > '9') return false;
        *out = 10 * *out + ((*at)[i] - '0');
    }
    *at += n;
    if (**at != '\0' && strchr(behind, **at) == NULL) return false;
    *at += **at != '\0' && **at != '.';
    return *out >= min && *out <= max;
}

/* 2026-01-31, 2026-01-31T12:00:00Z or 2026-01-31T12:00:00.123Z in unix milliseconds. */
static bool parse_time(const char *at, int64_t *out)
{
    int v[6] = {0};
    const bool has_day = take_digits(&at, 4, "-", 1970, 9999, &v[0]) &&
                         take_digits(&at, 2, "-", 1, 12, &v[1]) &&
                         take_digits(&at, 2, "Tt ", 1, 31, &v[2]);
    const bool ok = has_day && (*at == '\0' || (take_digits(&at, 2, ":", 0, 23, &v[3]) &&
                                                take_digits(&at, 2, ":", 0, 59, &v[4]) &&
                                                take_digits(&at, 2, ".Zz+", 0, 60, &v[5])));
    const int64_t m = v[1] > 2 ? v[1] - 3 : v[1] + 9, y = v[0] - (v[1] <= 2);
    const int64_t days = 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + v[2] - 719469;

    *out = ((days * 24 + v[3]) * 60 + v[4]) * 60000 + v[5] * 1000;
    if (*at == '.') *out += (int64_t)(strtod(at, NULL) * 1000 + 0.5);
    return ok;
}

/* *out 0: it is not given. False: it is no time. */
static bool read_time(const hg_exchange *x, const char *name, int64_t *out, hg_problem *p)
{
    char raw[96] = "";
    const char *text = hg_exchange_query(x, name);
    const size_t n = text != NULL ? strlen(text) : 0;

    *out = 0;
    if (n == 0) return true;
    if (n < sizeof raw) raw[hg_path_decode((hg_bytes){text, n}, raw, sizeof raw - 1).n] = '\0';
    return parse_time(raw, out) ||
           hg_refuse(p, 422, NULL, NULL, "%s is no time; 2026-01-31T12:00:00Z would be one", name);
}

/* Predictions are numbered as they are made. */
static bool read_place(const hg_exchange *x, hg_prediction_range *r, hg_problem *p)
{
    hg_cursor c;
    char *end;

    if (!hg_replicate_read_cursor(&c, x, p)) return false;
    if (c.at[0] == '\0') return true;
    const long long n = strtoll(c.at, &end, 16);
    if (*end != '\0' || strlen(c.at) > 15 || n <= 0)
        return hg_refuse(p, 422, NULL, NULL, "cursor is no place in a list of predictions");
    *(c.is_back ? &r->newer_than : &r->older_than) = n;
    return true;
}

static hg_cursor *name_place(hg_cursor *c, bool is_back, int64_t n)
{
    c->is_back = is_back;
    (void)snprintf(c->at, sizeof c->at, "%llx", (unsigned long long)n);
    return n > 0 ? c : NULL;
}

static void list_predictions(hg_server *s, hg_exchange *x, hg_bytes rest)
{
    hg_prediction_range range = {.model = hg_exchange_query(x, "model")};
    hg_prediction_places beside;
    hg_cursor next, previous;
    hg_buf b = {0};
    hg_json_out o;
    hg_problem p;

    (void)rest;
    if (!read_place(x, &range, &p) || !read_time(x, "created_after", &range.created_after, &p) ||
        !read_time(x, "created_before", &range.created_before, &p)) {
        hg_replicate_refuse(x, &p);
        return;
    }
    hg_json_out_init(&o, &b, 0);
    hg_json_begin(&o, NULL, '{');
    hg_predictions_put_page(hg_server_replicate(s)->predictions, &o, hg_exchange_owner(x), &range,
                            &beside);
    hg_replicate_put_links(&o, x, "/v1/predictions", name_place(&next, false, beside.older_than),
                           name_place(&previous, true, beside.newer_than));
    hg_json_end(&o);
    hg_replicate_reply(x, 200, &b);
}

static hg_prediction *find(hg_server *s, hg_exchange *x, const char *id)
{
    hg_prediction *p =
        hg_predictions_find(hg_server_replicate(s)->predictions, hg_exchange_owner(x), id);
    hg_problem why;

    if (p != NULL) return p;
    (void)hg_refuse(&why, 404, NULL, NULL, "there is no prediction %.40s", id);
    hg_replicate_refuse(x, &why);
    return NULL;
}

/* The one whose id is all of the rest of the path; NULL: x is answered. */
static hg_prediction *find_alone(hg_server *s, hg_exchange *x, hg_bytes rest)
{
    hg_segment part[1];

    return find(s, x, hg_replicate_split(rest, part, 1) == 1 ? part[0] : "");
}

static void get_prediction(hg_server *s, hg_exchange *x, hg_bytes rest)
{
    hg_prediction *p = find_alone(s, x, rest);

    if (p == NULL) return;
    hg_prediction_answer(x, 200, p, false);
    hg_prediction_release(p);
}

static void post_prediction(hg_server *s, hg_exchange *x, hg_bytes rest)
{
    hg_segment part[2];
    hg_problem why;
    hg_prediction *p;

    if (hg_replicate_split(rest, part, 2) != 2 || strcmp(part[1], "cancel") != 0) {
        (void)hg_refuse(&why, 404, NULL, NULL,
                        "a prediction is ended at /v1/predictions/ID/cancel");
        hg_replicate_refuse(x, &why);
        return;
    }
    p = find(s, x, part[0]);
    if (p == NULL) return;
    hg_predictions_cancel(hg_server_replicate(s)->predictions, p);
    hg_prediction_answer(x, 200, p, false);
    hg_prediction_release(p);
}

static void delete_prediction(hg_server *s, hg_exchange *x, hg_bytes rest)
{
    hg_prediction *p = find_alone(s, x, rest);
    hg_problem why;

    if (p == NULL) return;
    if (hg_predictions_delete(hg_server_replicate(s)->predictions, p)) {
        hg_exchange_reply(x, 204, NULL, (hg_bytes){"", 0});
    } else {
        (void)hg_refuse(&why, 409, NULL, NULL, "the prediction has not ended; cancel it first");
        hg_replicate_refuse(x, &why);
    }
    hg_prediction_release(p);
}

/* "1690212292:7": what the client has had. */
static size_t first_wanted(const hg_exchange *x)
{
    const char *last = hg_exchange_header(x, "Last-Event-ID");
    const char *colon = last != NULL ? strchr(last, ':') : NULL;
    const long long n = colon != NULL ? strtoll(colon + 1, NULL, 10) : -1;

    return n >= 0 ? (size_t)n + 1 : 0;
}

/* Whoever has the link may read: it holds a secret of 260 bits, since browsers' clients cannot show
 * a token with it. */
static void get_stream(hg_server *s, hg_exchange *x, hg_bytes rest)
{
    hg_segment part[1] = {""};
    hg_problem why;

    (void)hg_replicate_split(rest, part, 1);
    hg_prediction *p = hg_predictions_find(hg_server_replicate(s)->predictions, NULL, part[0]);
    if (p == NULL) {
        (void)hg_refuse(&why, 404, NULL, NULL, "there is no such stream");
        hg_replicate_refuse(x, &why);
        return;
    }
    hg_prediction_listen(p, x, first_wanted(x));
    hg_prediction_release(p);
}

static const hg_route routes[] = {
    {"POST", "/v1/predictions", hg_replicate_create, HG_NEEDS_RUN},
    {"GET", "/v1/predictions", list_predictions, HG_NEEDS_RUN},
    {"GET", "/v1/predictions/", get_prediction, HG_NEEDS_RUN},
    {"POST", "/v1/predictions/", post_prediction, HG_NEEDS_RUN},
    {"DELETE", "/v1/predictions/", delete_prediction, HG_NEEDS_RUN},
    {"GET", "/v1/streams/", get_stream, HG_ANYBODY},
    {"GET", "/v1/models", hg_replicate_list_models, HG_NEEDS_RUN},
    {"QUERY", "/v1/models", hg_replicate_search_models, HG_NEEDS_RUN},
    {"POST", "/v1/models", hg_replicate_make_model, HG_NEEDS_RUN},
    {"GET", "/v1/models/", hg_replicate_get_model, HG_NEEDS_RUN},
    {"POST", "/v1/models/", hg_replicate_post_model, HG_NEEDS_RUN},
    {"PATCH", "/v1/models/", hg_replicate_patch_model, HG_NEEDS_RUN},
    {"DELETE", "/v1/models/", hg_replicate_delete_model, HG_NEEDS_RUN},
    {"GET", "/v1/search", hg_replicate_search, HG_NEEDS_RUN},
    {"GET", "/v1/hardware", hg_replicate_hardware, HG_NEEDS_RUN},
    {"GET", "/v1/account", hg_replicate_account, HG_NEEDS_RUN},
    {"GET", "/v1/collections", hg_replicate_collections, HG_NEEDS_RUN},
    {"GET", "/v1/collections/", hg_replicate_collection, HG_NEEDS_RUN},
    {"GET", "/v1/webhooks/default/secret", hg_replicate_webhook_secret, HG_NEEDS_RUN},
    {"GET", "/v1/trainings", hg_replicate_list_trainings, HG_NEEDS_RUN},
    {"GET", "/v1/trainings/", hg_replicate_get_training, HG_NEEDS_RUN},
    {"POST", "/v1/trainings/", hg_replicate_post_training, HG_NEEDS_RUN},
    {"GET", "/v1/deployments", hg_replicate_list_deployments, HG_NEEDS_RUN},
    {"POST", "/v1/deployments", hg_replicate_make_deployment, HG_NEEDS_RUN},
    {"GET", "/v1/deployments/", hg_replicate_get_deployment, HG_NEEDS_RUN},
    {"PATCH", "/v1/deployments/", hg_replicate_patch_deployment, HG_NEEDS_RUN},
    {"DELETE", "/v1/deployments/", hg_replicate_delete_deployment, HG_NEEDS_RUN},
    {"POST", "/v1/deployments/", hg_replicate_post_deployment, HG_NEEDS_RUN},
    {NULL, NULL, NULL, HG_NEEDS_RUN}};
const hg_protocol hg_replicate = {.mounts = "replicate",
                                  .routes = routes,
                                  .explain = explain,
                                  .claims = claims,
                                  .error_type = "application/problem+json"};
