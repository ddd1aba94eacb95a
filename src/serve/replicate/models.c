/* Models as Replicate tells them: what the server offers, and names that were made for what is to
 * be trained. A model's page, its versions and its schema are read by clients and by our own pages.
 */
#include "serve/openai/openai.h"
#include "serve/jobs/trainings.h"
#include "serve/replicate/input.h"
#include "serve/replicate/made.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- telling ---- */
static void put_time(hg_json_out *o, const char *key, int64_t seconds)
{
    char text[40];

    hg_iso_ms(seconds * 1000, text);
    hg_json_text(o, key, text);
}

static void put_version(hg_json_out *o, const char *key, hg_server *s, hg_exchange *x,
                        const hg_offer *m)
{
    char id[65];

    if (hg_version_of(hg_server_replicate(s)->versions, x, m, id, NULL) != HG_OK) {
        hg_json_null(o, key);
        return;
    }
    const char *made = strchr(m->card.id, '/') != NULL ? strchr(m->card.id, ':') : NULL;
    const long long ms = made != NULL ? strtoll(made + 1, NULL, 10) : 0; /* of a trained version */

    hg_json_begin(o, key, '{');
    hg_json_text(o, "id", id);
    put_time(o, "created_at", ms > 0 ? ms / 1000 : m->card.created);
    hg_json_text(o, "cog_version", HG_VERSION);
    hg_input_put_schema(o, "openapi_schema");
    hg_json_end(o);
}

/* What a made name and an offer have in common. */
typedef struct page {
    char name[132]; /* owner/name */
    const char *description, *visibility, *github_url, *paper_url, *license_url, *cover_url;
    int64_t runs;
    bool is_official; /* one of the server's own */
} page;

static void put_page(hg_json_out *o, const char *key, hg_server *s, hg_exchange *x, const page *g,
                     const hg_offer *m)
{
    char base[320], url[512];
    const char *slash = strchr(g->name, '/');

    hg_replicate_base(x, base);
    (void)snprintf(url, sizeof url, "%s/#/m/%s", base, g->name);
    hg_json_begin(o, key, '{');
    if (m != NULL) { /* what clients of GPT read of it: they may ask with a plain slash too */
        hg_json_text(o, "id", m->card.id);
        hg_json_text(o, "object", "model");
        hg_json_int(o, "created", m->card.created);
        hg_json_bytes(o, "owned_by", (hg_bytes){g->name, (size_t)(slash - g->name)});
    }
    hg_json_text(o, "url", url);
    hg_json_bytes(o, "owner", (hg_bytes){g->name, (size_t)(slash - g->name)});
    hg_json_text(o, "name", slash + 1);
    hg_json_text(o, "description", g->description);
    hg_json_text(o, "visibility", g->visibility);
    hg_json_bool(o, "is_official", g->is_official);
    hg_json_text(o, "github_url", g->github_url);
    hg_json_text(o, "paper_url", g->paper_url);
    hg_json_text(o, "license_url", g->license_url);
    hg_json_int(o, "run_count", g->runs);
    hg_json_text(o, "cover_image_url", g->cover_url);
    hg_json_null(o, "default_example");
    if (m != NULL)
        put_version(o, "latest_version", s, x, m);
    else
        hg_json_null(o, "latest_version");
    hg_json_end(o);
}

void hg_replicate_put_model(hg_json_out *o, const char *key, hg_server *s, hg_exchange *x,
                            const hg_offer *m)
{
    page g = {.description = m->card.description, .visibility = "public", .is_official = true};

    hg_replicate_name(m->card.id, g.name);
    g.runs = hg_predictions_count(hg_server_replicate(s)->predictions, g.name);
    put_page(o, key, s, x, &g, m);
}

/* "owner/name:TIME"; the times have one length, so that the newest is the last by its letters. */
const hg_offer *hg_replicate_trained(hg_server *s, const char *name, size_t i)
{
    hg_models *ms = hg_server_models(s);
    const size_t n = strlen(name);
    const hg_offer *found = NULL;

    for (size_t k = 0; k <= i; k++) {
        const hg_offer *best = NULL;
        for (size_t j = 0; j < hg_models_count(ms); j++) {
            const hg_offer *o = hg_models_get(ms, j);
            const char *id = o->card.id;
            if (strncmp(id, name, n) != 0 || id[n] != ':' || atomic_load(&o->is_gone)) continue;
            if (strchr(id + n + 1, ':') != NULL) continue; /* a checkpoint on the way */
            if (found != NULL && strcmp(id, found->card.id) >= 0) continue;
            if (best == NULL || strcmp(id, best->card.id) > 0) best = o;
        }
        found = best;
        if (found == NULL) return NULL;
    }
    return found;
}

/* A trained version is told with the name that it belongs to. */
static bool is_listed(const hg_offer *m)
{
    if (atomic_load(&m->is_gone)) return false;
    if (strchr(m->card.id, '/') != NULL && strchr(m->card.id, ':') != NULL) return false;
    return !m->card.is_unlisted || m->path == NULL; /* ELIZA is found by who looks for it */
}

/* ---- searching ---- */
static bool has_word(const char *text, hg_bytes word)
{
    for (; text != NULL && *text != '\0'; text++)
        if (strncasecmp(text, word.p, word.n) == 0) return true;
    return false;
}

/* How many of the words the name or the description has; 0 where one is missing. */
static int score_of(const hg_offer *m, hg_bytes query)
{
    int score = 0;

    while (query.n > 0) {
        size_t n = 0;
        while (n < query.n && query.p[n] != ' ') n++;
        const hg_bytes word = {query.p, n};
        const int here = 2 * has_word(m->card.id, word) + has_word(m->card.description, word);
        if (n > 0 && here == 0) return 0;
        if (n > 0) score += here;
        query.p += n + (n < query.n);
        query.n -= n + (n < query.n);
    }
    return score > 0 ? score : 1;
}

/* A JSON string, or the bare text. */
static hg_bytes query_of(hg_bytes body, json_t **tree)
{
    *tree = NULL;
    if (body.n > 0 && body.p[0] == '"' &&
        hg_json_parse(tree, body, HG_SERVE_MAX_BODY, NULL) == HG_OK && json_is_string(*tree))
        return (hg_bytes){json_string_value(*tree), json_string_length(*tree)};
    return body;
}

void hg_replicate_search_models(hg_server *s, hg_exchange *x, hg_bytes rest)
{
    hg_models *ms = hg_server_models(s);
    json_t *tree;
    const hg_bytes query = query_of(hg_exchange_body(x), &tree);
    hg_buf b = {0};
    hg_json_out o;

    (void)rest;
    hg_json_out_init(&o, &b, 0);
    hg_json_begin(&o, NULL, '{');
    hg_json_begin(&o, "results", '[');
    for (size_t i = 0; i < hg_models_count(ms); i++)
        if (is_listed(hg_models_get(ms, i)) && score_of(hg_models_get(ms, i), query) > 0)
            hg_replicate_put_model(&o, NULL, s, x, hg_models_get(ms, i));
    hg_json_end(&o);
    hg_replicate_put_links(&o, x, "/v1/models", NULL, NULL);
    hg_json_end(&o);
    json_decref(tree);
    hg_replicate_reply(x, 200, &b);
}

static void put_found(hg_json_out *o, hg_server *s, hg_exchange *x, const hg_offer *m, int score)
{
    hg_json_begin(o, NULL, '{');
    hg_replicate_put_model(o, "model", s, x, m);
    hg_json_begin(o, "metadata", '{');
    hg_json_number(o, "score", score);
    hg_json_begin(o, "tags", '[');
    hg_json_end(o);
    hg_json_end(o);
    hg_json_end(o);
}

void hg_replicate_search(hg_server *s, hg_exchange *x, hg_bytes rest)
{
    hg_models *ms = hg_server_models(s);
    const char *raw = hg_exchange_query(x, "query");
    char text[256];
    hg_buf b = {0};
    hg_json_out o;

    (void)rest;
    const hg_bytes query = hg_path_decode((hg_bytes){raw != NULL ? raw : "", raw ? strlen(raw) : 0},
                                          text, sizeof text);
    hg_json_out_init(&o, &b, 0);
    hg_json_begin(&o, NULL, '{');
    hg_json_bytes(&o, "query", query);
    hg_json_begin(&o, "models", '[');
    for (size_t i = 0; i < hg_models_count(ms); i++) {
        const hg_offer *m = hg_models_get(ms, i);
        const int score = is_listed(m) ? score_of(m, query) : 0;
        if (score > 0) put_found(&o, s, x, m, score);
    }
    hg_json_end(&o);
    hg_json_begin(&o, "collections", '[');
    hg_json_end(&o);
    hg_json_begin(&o, "pages", '[');
    hg_json_end(&o);
    hg_json_end(&o);
    hg_replicate_reply(x, 200, &b);
}

/* ---- names that were made ---- */

/* The store is let go before anything is told: to tell a version may mean to read files, with a
 * lock under which others wait for the store. */
static bool put_made(hg_json_out *o, hg_server *s, hg_exchange *x, const char *name)
{
    hg_replicate_state *r = hg_server_replicate(s);
    page g = {.runs = hg_predictions_count(r->predictions, name)};
    hg_made made;

    if (!hg_made_load(r->store, name, hg_exchange_memory(x), &made) ||
        (made.is_private && strcmp(made.owner, hg_exchange_owner(x)) != 0))
        return false;
    (void)snprintf(g.name, sizeof g.name, "%s", name);
    g.description = made.description;
    g.visibility = made.is_private ? "private" : "public";
    g.github_url = made.github_url;
    g.paper_url = made.paper_url;
    g.license_url = made.license_url;
    g.cover_url = made.cover_url;
    put_page(o, NULL, s, x, &g, hg_replicate_trained(s, name, 0));
    return true;
}

void hg_replicate_list_models(hg_server *s, hg_exchange *x, hg_bytes rest)
{
    hg_models *ms = hg_server_models(s);
    hg_buf b = {0};
    hg_json_out o;

    (void)rest;
    hg_json_out_init(&o, &b, 0);
    hg_json_begin(&o, NULL, '{');
    hg_json_begin(&o, "results", '[');
    for (size_t i = 0; i < hg_models_count(ms); i++)
        if (is_listed(hg_models_get(ms, i)))
            hg_replicate_put_model(&o, NULL, s, x, hg_models_get(ms, i));
    size_t n;
    char **made = hg_made_names(hg_server_replicate(s)->store, hg_exchange_owner(x),
                                hg_exchange_memory(x), &n);
    for (size_t i = 0; i < n; i++) (void)put_made(&o, s, x, made[i]);
    hg_json_end(&o);
    hg_replicate_put_links(&o, x, "/v1/models", NULL, NULL);
    hg_json_end(&o);
    hg_replicate_reply(x, 200, &b);
}

static bool is_name(const char *text)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789-._";
    const size_t n = text != NULL ? strlen(text) : 0;

    return n > 0 && n < 60 && strspn(text, allowed) == n && text[0] != '.' && text[0] != '-';
}

static bool make(hg_server *s, const hg_exchange *x, const json_t *body, char name[132],
                 hg_problem *p)
{
    const char *owner = json_string_value(json_object_get(body, "owner"));
    const char *own = json_string_value(json_object_get(body, "name"));
    const char *visibility = json_string_value(json_object_get(body, "visibility"));

    if (!is_name(owner) || !is_name(own))
        return hg_refuse(p, 422, NULL, NULL,
                         "owner and name are needed: small letters, digits and - . _");
    if (visibility == NULL ||
        (strcmp(visibility, "public") != 0 && strcmp(visibility, "private") != 0))
        return hg_refuse(p, 422, NULL, NULL, "visibility must be public or private");
    (void)snprintf(name, 132, "%s/%s", owner, own);
    if (hg_models_find(hg_server_models(s), (hg_bytes){name, strlen(name)}) != NULL)
        return hg_refuse(p, 409, NULL, NULL, "there is a model %s already", name);
    const hg_status r =
        hg_made_insert(hg_server_replicate(s)->store, name, hg_exchange_owner(x), body, NULL);
    return r == HG_OK || hg_refuse(p, r == HG_E_STATE ? 409 : 500, NULL, NULL,
                                   r == HG_E_STATE ? "there is a model %s already"
                                                   : "the model %s cannot be kept",
                                   name);
}

/* False: there is none, or it is another's and private. */
static bool answer_made(hg_server *s, hg_exchange *x, int status, const char *name)
{
    hg_buf b = {0};
    hg_json_out o;

    hg_json_out_init(&o, &b, 0);
    const bool is = put_made(&o, s, x, name);
    if (is)
        hg_replicate_reply(x, status, &b);
    else
        hg_buf_free(&b);
    return is;
}

void hg_replicate_make_model(hg_server *s, hg_exchange *x, hg_bytes rest)
{
    json_t *body = NULL;
    char name[132];
    hg_problem p;

    (void)rest;
    if (!hg_body_parse(&body, hg_exchange_body(x), &p) || !make(s, x, body, name, &p) ||
        (!answer_made(s, x, 201, name) && !hg_refuse(&p, 500, NULL, NULL, "%s is gone", name)))
        hg_replicate_refuse(x, &p);
    json_decref(body);
}

/* ---- /v1/models/OWNER/NAME... ---- */
static void answer_versions(hg_server *s, hg_exchange *x, const char *name, const hg_offer *m)
{
    hg_buf b = {0};
    hg_json_out o;

    hg_json_out_init(&o, &b, 0);
    hg_json_begin(&o, NULL, '{');
    hg_json_begin(&o, "results", '[');
    const hg_offer *t = name != NULL ? hg_replicate_trained(s, name, 0) : NULL;
    if (m != NULL && t == NULL) put_version(&o, NULL, s, x, m);
    for (size_t i = 0; t != NULL; t = hg_replicate_trained(s, name, ++i))
        put_version(&o, NULL, s, x, t);
    hg_json_end(&o);
    hg_json_null(&o, "next");
    hg_json_null(&o, "previous");
    hg_json_end(&o);
    hg_replicate_reply(x, 200, &b);
}

/* `x` NULL: among those that are known. NULL, too, when x must wait. */
static const hg_offer *version_of(hg_server *s, hg_exchange *x, const char *name, const hg_offer *m,
                                  const char *id)
{
    hg_versions *v = hg_server_replicate(s)->versions;
    const hg_offer *at = m != NULL ? m : hg_replicate_trained(s, name, 0);
    char own[65];

    for (size_t i = m == NULL; at != NULL; at = hg_replicate_trained(s, name, i++)) {
        const hg_status known =
            x != NULL ? hg_version_of(v, x, at, own, NULL) : hg_version_known(v, at, own);
        if (known == HG_OK && strcmp(own, id) == 0) return at;
        if (x != NULL && known == HG_E_STATE) return NULL;
    }
    return NULL;
}

const hg_offer *hg_replicate_version(hg_server *s, hg_exchange *x, const char *name,
                                     const hg_offer *m, const char *id)
{
    const hg_offer *found = version_of(s, NULL, name, m, id);

    return found != NULL ? found : version_of(s, x, name, m, id);
}

static bool answer_version(hg_server *s, hg_exchange *x, const char *name, const hg_offer *m,
                           const char *id, hg_problem *p)
{
    hg_buf b = {0};
    hg_json_out o;

    m = hg_replicate_version(s, x, name, m, id);
    if (m == NULL) return hg_refuse(p, 404, NULL, NULL, "%s has no version %.64s", name, id);
    hg_json_out_init(&o, &b, 0);
    put_version(&o, NULL, s, x, m);
    hg_replicate_reply(x, 200, &b);
    return true;
}

static void answer_model(hg_server *s, hg_exchange *x, const hg_offer *m)
{
    hg_buf b = {0};
    hg_json_out o;

    hg_json_out_init(&o, &b, 0);
    hg_replicate_put_model(&o, NULL, s, x, m);
    hg_replicate_reply(x, 200, &b);
}

static void answer_readme(hg_exchange *x, const hg_offer *m)
{
    hg_buf b = {0};

    hg_buf_printf(&b, "# %s\n\n%s\n", m->card.id, m->card.description);
    hg_exchange_reply(x, 200, "text/plain; charset=utf-8", (hg_bytes){b.p, b.n});
    hg_buf_free(&b);
}

static bool get_part(hg_server *s, hg_exchange *x, const char *name, const hg_offer *m,
                     hg_segment *part, size_t n, hg_problem *p)
{
    if (n == 3 && strcmp(part[2], "versions") == 0)
        answer_versions(s, x, name, m);
    else if (n == 4 && strcmp(part[2], "versions") == 0)
        return answer_version(s, x, name, m, part[3], p);
    else if (n == 3 && strcmp(part[2], "readme") == 0)
        answer_readme(x, m);
    else if (n == 3 && strcmp(part[2], "examples") == 0)
        answer_versions(s, x, NULL, NULL); /* an empty page */
    else if (n == 2)
        answer_model(s, x, m);
    else
        return hg_refuse(p, 404, NULL, NULL,
                         "a model has versions, versions/ID, readme, examples and predictions");
    return true;
}

/* "owner/name" of a path and what may follow it: the number of parts, 0 (and *p, 404) for what no
 * model's path looks like. */
static size_t read_path(hg_bytes rest, hg_segment *part, size_t max, char name[260], hg_problem *p)
{
    const size_t n = hg_replicate_split(rest, part, max);

    if (n < 2) {
        (void)hg_refuse(p, 404, NULL, NULL, "a model is /v1/models/OWNER/NAME");
        return 0;
    }
    (void)snprintf(name, 260, "%.127s/%.127s", part[0], part[1]);
    return n;
}

static bool get_model(hg_server *s, hg_exchange *x, hg_bytes rest, hg_problem *p)
{
    hg_segment part[4] = {""};
    char name[260];
    const size_t n = read_path(rest, part, 4, name, p);

    if (n == 0) return false;
    if (n == 2 && answer_made(s, x, 200, name)) return true;
    const hg_offer *m = hg_replicate_find(s, x, name, p);
    if (m != NULL) return get_part(s, x, name, m, part, n, p);
    if (n != 3 || strcmp(part[2], "versions") != 0 ||
        !hg_made_is_owned(hg_server_replicate(s)->store, name, hg_exchange_owner(x)))
        return false;
    answer_versions(s, x, NULL, NULL); /* none has been trained yet */
    return true;
}

void hg_replicate_get_model(hg_server *s, hg_exchange *x, hg_bytes rest)
{
    hg_problem p;

    if (!get_model(s, x, rest, &p)) hg_replicate_refuse(x, &p);
}

static bool post_model(hg_server *s, hg_exchange *x, hg_bytes rest, hg_problem *p)
{
    hg_segment part[5];
    char name[260];
    const size_t n = read_path(rest, part, 5, name, p);
    const hg_offer *m = n > 0 ? hg_replicate_find(s, x, name, p) : NULL;

    if (m == NULL) return false;
    if (n == 3 && strcmp(part[2], "predictions") == 0) {
        hg_replicate_create_for(s, x, m, NULL);
        return true;
    }
    if (n != 5 || strcmp(part[2], "versions") != 0 || strcmp(part[4], "trainings") != 0)
        return hg_refuse(p, 404, NULL, NULL,
                         "nothing is posted here but .../predictions and "
                         ".../versions/ID/trainings");
    m = hg_replicate_version(s, x, name, m, part[3]);
    if (m == NULL) return hg_refuse(p, 404, NULL, NULL, "%s has no version %.64s", name, part[3]);
    hg_replicate_train(s, x, m, part[3]);
    return true;
}

void hg_replicate_post_model(hg_server *s, hg_exchange *x, hg_bytes rest)
{
    hg_problem p;

    if (!post_model(s, x, rest, &p)) hg_replicate_refuse(x, &p);
}

/* Who has made a name may change it and take it away; what the server was given nobody may. */
static bool is_own(hg_server *s, hg_exchange *x, const char *name, hg_problem *p)
{
    hg_store *store = hg_server_replicate(s)->store;
    hg_made made;

    if (hg_made_is_owned(store, name, hg_exchange_owner(x))) return true;
    const bool is_seen =
        (hg_made_load(store, name, hg_exchange_memory(x), &made) && !made.is_private) ||
        hg_replicate_find(s, x, name, p) != NULL;
    if (!is_seen) return hg_no_model(p, s, (hg_bytes){name, strlen(name)});
    return hg_refuse(p, 403, NULL, NULL, "%s is not yours, and is not changed from here", name);
}

static bool patch_model(hg_server *s, hg_exchange *x, hg_bytes rest, json_t **body, hg_problem *p)
{
    hg_segment part[2] = {""};
    char name[260];

    if (read_path(rest, part, 2, name, p) == 0 || !is_own(s, x, name, p) ||
        !hg_body_parse(body, hg_exchange_body(x), p))
        return false;
    if (hg_made_change(hg_server_replicate(s)->store, name, *body, NULL) != HG_OK)
        return hg_refuse(p, 500, NULL, NULL, "the change cannot be kept");
    return answer_made(s, x, 200, name) || hg_refuse(p, 404, NULL, NULL, "%s is gone", name);
}

void hg_replicate_patch_model(hg_server *s, hg_exchange *x, hg_bytes rest)
{
    json_t *body = NULL;
    hg_problem p;

    if (!patch_model(s, x, rest, &body, &p)) hg_replicate_refuse(x, &p);
    json_decref(body);
}

/* What was trained under that name: a version, or a checkpoint on the way to one; NULL: none is
 * left. */
static const hg_offer *below(hg_server *s, const char *name)
{
    hg_models *ms = hg_server_models(s);
    const size_t n = strlen(name);

    for (size_t i = 0; i < hg_models_count(ms); i++) {
        const hg_offer *o = hg_models_get(ms, i);
        if (strncmp(o->card.id, name, n) == 0 && o->card.id[n] == ':' && !atomic_load(&o->is_gone))
            return o;
    }
    return NULL;
}

static bool delete_offer(hg_server *s, hg_exchange *x, const char *id, hg_problem *p)
{
    return hg_trainings_delete_model(hg_server_trainings(s), hg_exchange_owner(x),
                                     (hg_bytes){id, strlen(id)}, p);
}

static bool delete_below(hg_server *s, hg_exchange *x, const char *name, hg_problem *p)
{
    const hg_offer *o;

    while ((o = below(s, name)) != NULL)
        if (!delete_offer(s, x, o->card.id, p)) return false;
    return true;
}

static bool delete_version(hg_server *s, hg_exchange *x, const char *name, const char *id,
                           hg_problem *p)
{
    char own[128];
    const hg_offer *m = hg_replicate_version(s, x, name, NULL, id);

    if (m == NULL) return hg_refuse(p, 404, NULL, NULL, "%s has no version %.64s", name, id);
    (void)snprintf(own, sizeof own, "%s", m->card.id);
    return delete_below(s, x, own, p) && delete_offer(s, x, own, p);
}

static bool delete_model(hg_server *s, hg_exchange *x, hg_bytes rest, int *status, hg_problem *p)
{
    hg_segment part[4] = {""};
    char name[260];
    const size_t n = read_path(rest, part, 4, name, p);

    if (n == 0 || !is_own(s, x, name, p)) return false;
    *status = n == 2 ? 204 : 202;
    if (n == 4 && strcmp(part[2], "versions") == 0) return delete_version(s, x, name, part[3], p);
    if (n != 2)
        return hg_refuse(p, 404, NULL, NULL, "what is deleted is a model or .../versions/ID");
    return delete_below(s, x, name, p) &&
           (hg_made_delete(hg_server_replicate(s)->store, name, NULL) == HG_OK ||
            hg_refuse(p, 500, NULL, NULL, "%s cannot be deleted", name));
}

void hg_replicate_delete_model(hg_server *s, hg_exchange *x, hg_bytes rest)
{
    int status;
    hg_problem p;

    if (delete_model(s, x, rest, &status, &p))
        hg_exchange_reply(x, status, NULL, (hg_bytes){"", 0});
    else
        hg_replicate_refuse(x, &p);
}
