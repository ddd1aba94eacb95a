/* Deployments: names of one's own for a model and a version, whose releases are counted. On one
 * machine they are a name that programs keep while the model behind it changes; numbers of
 * instances are kept and told, and one engine serves them all. */
#include "serve/openai/openai.h"
#include "serve/replicate/replicate.h"

#include <stdio.h>
#include <string.h>

typedef struct release {
    char name[132]; /* owner/name */
    char model[132], version[65], hardware[32], created_by[64];
    int64_t number, created, min, max;
} release;

/* ---- the table ---- */
static void copy_text(char *to, size_t size, const hg_query *q, int i)
{
    const char *v = hg_column_text(q, i);

    (void)snprintf(to, size, "%s", v != NULL ? v : "");
}

#define COLUMNS "name, model, version, hardware, token, number, created, min, max "

static void read_row(release *r, const hg_query *q)
{
    copy_text(r->name, sizeof r->name, q, 0);
    copy_text(r->model, sizeof r->model, q, 1);
    copy_text(r->version, sizeof r->version, q, 2);
    copy_text(r->hardware, sizeof r->hardware, q, 3);
    copy_text(r->created_by, sizeof r->created_by, q, 4);
    r->number = hg_column_int(q, 5);
    r->created = hg_column_int(q, 6);
    r->min = hg_column_int(q, 7);
    r->max = hg_column_int(q, 8);
}

static bool load(hg_server *s, const hg_exchange *x, const char *name, release *r, hg_problem *p)
{
    bool found = false;
    hg_query q;

    hg_query_open(&q, hg_server_replicate(s)->store,
                  "SELECT " COLUMNS "FROM deployments WHERE name = ? AND token = ?");
    hg_query_text(&q, 1, name);
    hg_query_text(&q, 2, hg_exchange_owner(x));
    if (hg_query_row(&q)) {
        read_row(r, &q);
        found = true;
    }
    (void)hg_query_close(&q, NULL);
    return found || hg_refuse(p, 404, NULL, NULL, "there is no deployment %.130s", name);
}

static bool save(hg_server *s, const release *r, bool is_new, hg_problem *p)
{
    hg_query q;

    hg_query_open(&q, hg_server_replicate(s)->store,
                  is_new
                      ? "INSERT INTO deployments (model, version, hardware, number, created, min, "
                        "max, name, token) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
                      : "UPDATE deployments SET model = ?, version = ?, hardware = ?, number = ?, "
                        "created = ?, min = ?, max = ? WHERE name = ? AND token = ?");
    hg_query_text(&q, 1, r->model);
    hg_query_text(&q, 2, r->version);
    hg_query_text(&q, 3, r->hardware);
    hg_query_int(&q, 4, r->number);
    hg_query_int(&q, 5, r->created);
    hg_query_int(&q, 6, r->min);
    hg_query_int(&q, 7, r->max);
    hg_query_text(&q, 8, r->name);
    hg_query_text(&q, 9, r->created_by);
    const hg_status e = hg_query_close(&q, NULL);
    return e == HG_OK || hg_refuse(p, e == HG_E_STATE ? 409 : 500, NULL, NULL,
                                   e == HG_E_STATE ? "there is a deployment %s already"
                                                   : "the deployment %s cannot be kept",
                                   r->name);
}

/* ---- telling ---- */
static void put(hg_json_out *o, const hg_exchange *x, const release *r)
{
    const char *slash = strchr(r->name, '/');
    char created[40];

    hg_iso_ms(r->created, created);
    hg_json_begin(o, NULL, '{');
    hg_json_bytes(o, "owner", (hg_bytes){r->name, (size_t)(slash - r->name)});
    hg_json_text(o, "name", slash + 1);
    hg_json_begin(o, "current_release", '{');
    hg_json_int(o, "number", r->number);
    hg_json_text(o, "model", r->model);
    hg_json_text(o, "version", r->version);
    hg_json_text(o, "created_at", created);
    hg_replicate_put_account(o, "created_by", x);
    hg_json_begin(o, "configuration", '{');
    hg_json_text(o, "hardware", r->hardware);
    hg_json_int(o, "min_instances", r->min);
    hg_json_int(o, "max_instances", r->max);
    hg_json_end(o);
    hg_json_end(o);
    hg_json_end(o);
}

static void answer(hg_exchange *x, int status, const release *r)
{
    hg_buf b = {0};
    hg_json_out o;

    hg_json_out_init(&o, &b, 0);
    put(&o, x, r);
    hg_replicate_reply(x, status, &b);
}

void hg_replicate_list_deployments(hg_server *s, hg_exchange *x, hg_bytes rest)
{
    hg_buf b = {0};
    hg_json_out o;
    hg_query q;

    (void)rest;
    hg_json_out_init(&o, &b, 0);
    hg_json_begin(&o, NULL, '{');
    hg_json_begin(&o, "results", '[');
    hg_query_open(&q, hg_server_replicate(s)->store,
                  "SELECT " COLUMNS "FROM deployments WHERE token = ? ORDER BY name");
    hg_query_text(&q, 1, hg_exchange_owner(x));
    while (hg_query_row(&q)) {
        release r;
        read_row(&r, &q);
        put(&o, x, &r);
    }
    (void)hg_query_close(&q, NULL);
    hg_json_end(&o);
    hg_replicate_put_links(&o, x, "/v1/deployments", NULL, NULL);
    hg_json_end(&o);
    hg_replicate_reply(x, 200, &b);
}

/* ---- changing ---- */
static bool take_number(const json_t *body, const char *key, int64_t *out, hg_problem *p)
{
    hg_err e = {0};

    return hg_json_opt_int(body, key, 0, 1000, out, &e) == HG_OK ||
           hg_refuse(p, 422, NULL, NULL, "%s", e.msg);
}

/* What the body sets; the rest stays. */
static bool take(release *r, hg_server *s, hg_exchange *x, const json_t *body, hg_problem *p)
{
    const char *model = json_string_value(json_object_get(body, "model"));
    const char *hardware = json_string_value(json_object_get(body, "hardware"));
    const char *wanted = json_string_value(json_object_get(body, "version"));
    hg_err e = {0};

    if (hardware != NULL && strcmp(hardware, "cpu") != 0)
        return hg_refuse(p, 422, NULL, NULL, "hardware: \"%.40s\" is not here; cpu is", hardware);
    if (hardware != NULL) (void)snprintf(r->hardware, sizeof r->hardware, "%s", hardware);
    if (!take_number(body, "min_instances", &r->min, p) ||
        !take_number(body, "max_instances", &r->max, p))
        return false;
    if (r->min > r->max)
        return hg_refuse(p, 422, NULL, NULL, "min_instances is more than max_instances");
    if (model != NULL) (void)snprintf(r->model, sizeof r->model, "%.131s", model);
    const hg_offer *o = hg_replicate_find(s, x, r->model, p);
    if (o == NULL) return false;
    if (wanted != NULL) o = hg_replicate_version(s, x, r->model, o, wanted);
    if (o == NULL)
        return hg_refuse(p, 422, NULL, NULL, "%s has no version %.64s", r->model, wanted);
    return hg_version_of(hg_server_replicate(s)->versions, x, o, r->version, &e) == HG_OK ||
           hg_refuse(p, 500, NULL, NULL, "%s", e.msg);
}

static bool make(hg_server *s, hg_exchange *x, const json_t *body, release *r, hg_problem *p)
{
    const char *name = json_string_value(json_object_get(body, "name"));

    if (name == NULL || strlen(name) > 60 || strchr(name, '/') != NULL || name[0] == '\0')
        return hg_refuse(p, 422, NULL, NULL, "name is needed: at most 60 characters, no slash");
    (void)snprintf(r->name, sizeof r->name, "%s/%s", hg_exchange_owner(x), name);
    (void)snprintf(r->created_by, sizeof r->created_by, "%s", hg_exchange_owner(x));
    return take(r, s, x, body, p) && save(s, r, true, p);
}

void hg_replicate_make_deployment(hg_server *s, hg_exchange *x, hg_bytes rest)
{
    release r = {.hardware = "cpu", .number = 1, .max = 1, .created = hg_unix_ms()};
    json_t *body = NULL;
    hg_problem p;

    (void)rest;
    if (hg_body_parse(&body, hg_exchange_body(x), &p) && make(s, x, body, &r, &p))
        answer(x, 201, &r);
    else
        hg_replicate_refuse(x, &p);
    json_decref(body);
}

/* The deployment that "owner/name" of a path says, and what follows it, `n_parts` in all. */
static bool find(hg_server *s, const hg_exchange *x, hg_bytes rest, size_t n_parts,
                 hg_segment part[3], release *r, hg_problem *p)
{
    char name[512];

    if (hg_replicate_split(rest, part, 3) != n_parts)
        return hg_refuse(p, 404, NULL, NULL,
                         "a deployment is /v1/deployments/OWNER/NAME, and is asked at "
                         ".../predictions");
    (void)snprintf(name, sizeof name, "%s/%s", part[0], part[1]);
    return load(s, x, name, r, p);
}

void hg_replicate_get_deployment(hg_server *s, hg_exchange *x, hg_bytes rest)
{
    hg_segment part[3] = {""};
    release r;
    hg_problem p;

    if (find(s, x, rest, 2, part, &r, &p))
        answer(x, 200, &r);
    else
        hg_replicate_refuse(x, &p);
}

void hg_replicate_patch_deployment(hg_server *s, hg_exchange *x, hg_bytes rest)
{
    hg_segment part[3] = {""};
    json_t *body = NULL;
    release r;
    hg_problem p;

    bool ok = find(s, x, rest, 2, part, &r, &p) && hg_body_parse(&body, hg_exchange_body(x), &p) &&
              take(&r, s, x, body, &p);
    if (ok) {
        r.number++;
        r.created = hg_unix_ms();
        ok = save(s, &r, false, &p);
    }
    if (ok)
        answer(x, 200, &r);
    else
        hg_replicate_refuse(x, &p);
    json_decref(body);
}

void hg_replicate_delete_deployment(hg_server *s, hg_exchange *x, hg_bytes rest)
{
    hg_segment part[3] = {""};
    release r;
    hg_problem p;
    hg_query q;

    if (!find(s, x, rest, 2, part, &r, &p)) {
        hg_replicate_refuse(x, &p);
        return;
    }
    hg_query_open(&q, hg_server_replicate(s)->store,
                  "DELETE FROM deployments WHERE name = ? AND token = ?");
    hg_query_text(&q, 1, r.name);
    hg_query_text(&q, 2, hg_exchange_owner(x));
    (void)hg_query_close(&q, NULL);
    hg_exchange_reply(x, 204, NULL, (hg_bytes){"", 0});
}

/* The version that its release tells, also when the model has newer ones. */
static bool post_deployment(hg_server *s, hg_exchange *x, hg_bytes rest, hg_problem *p)
{
    hg_segment part[3] = {""};
    release r;

    if (!find(s, x, rest, 3, part, &r, p)) return false;
    if (strcmp(part[2], "predictions") != 0)
        return hg_refuse(p, 404, NULL, NULL, "nothing is posted to a deployment but predictions");
    const hg_offer *o = hg_replicate_find(s, x, r.model, p);
    if (o == NULL) return false;
    o = hg_replicate_version(s, x, r.model, o, r.version);
    if (o == NULL)
        return hg_refuse(p, 404, NULL, NULL,
                         "%s has no version %.64s any more; set another in the deployment", r.model,
                         r.version);
    hg_replicate_create_for(s, x, o, r.name);
    return true;
}

void hg_replicate_post_deployment(hg_server *s, hg_exchange *x, hg_bytes rest)
{
    hg_problem p;

    if (!post_deployment(s, x, rest, &p)) hg_replicate_refuse(x, &p);
}
