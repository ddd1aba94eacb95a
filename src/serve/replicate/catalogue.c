/* The small routes: hardware, account, collections, the webhooks' secret. */
#include "serve/replicate/replicate.h"

#include <string.h>

void hg_replicate_hardware(hg_server *s, hg_exchange *x, hg_bytes rest)
{
    hg_buf b = {0};
    hg_json_out o;

    (void)s;
    (void)rest;
    hg_json_out_init(&o, &b, 0);
    hg_json_begin(&o, NULL, '[');
    hg_json_begin(&o, NULL, '{');
    hg_json_text(&o, "sku", "cpu");
    hg_json_text(&o, "name", "CPU");
    hg_json_end(&o);
    hg_json_end(&o);
    hg_replicate_reply(x, 200, &b);
}

void hg_replicate_put_account(hg_json_out *o, const char *key, const hg_exchange *x)
{
    hg_json_begin(o, key, '{');
    hg_json_text(o, "type", "user");
    hg_json_text(o, "username", hg_exchange_owner(x));
    hg_json_text(o, "name", hg_exchange_owner(x));
    hg_json_null(o, "github_url");
    hg_json_null(o, "avatar_url");
    hg_json_end(o);
}

void hg_replicate_account(hg_server *s, hg_exchange *x, hg_bytes rest)
{
    hg_buf b = {0};
    hg_json_out o;

    (void)s;
    (void)rest;
    hg_json_out_init(&o, &b, 0);
    hg_replicate_put_account(&o, NULL, x);
    hg_replicate_reply(x, 200, &b);
}

/* ---- collections: what can be done with the models at hand ---- */
typedef struct collection {
    const char *name, *slug, *description;
    bool (*has)(const hg_card *c);
} collection;

static bool has_all(const hg_card *c)
{
    return !c->is_unlisted;
}

static bool has_calls(const hg_card *c)
{
    return !c->is_unlisted && c->can_call;
}

static bool has_vectors(const hg_card *c)
{
    return !c->is_unlisted && c->can_embed;
}

static const collection collections[] = {
    {"Language models", "language-models", "Models that go on with text and talk", has_all},
    {"Tool use", "tool-use", "Models that can be offered tools to call", has_calls},
    {"Embeddings", "embedding-models", "Models that make vectors of texts", has_vectors}};
enum { N_COLLECTIONS = sizeof collections / sizeof collections[0] };

static void put_collection(hg_json_out *o, const collection *c)
{
    hg_json_text(o, "name", c->name);
    hg_json_text(o, "slug", c->slug);
    hg_json_text(o, "description", c->description);
    hg_json_text(o, "full_description", c->description);
}

void hg_replicate_collections(hg_server *s, hg_exchange *x, hg_bytes rest)
{
    hg_buf b = {0};
    hg_json_out o;

    (void)s;
    (void)rest;
    hg_json_out_init(&o, &b, 0);
    hg_json_begin(&o, NULL, '{');
    hg_json_begin(&o, "results", '[');
    for (size_t i = 0; i < N_COLLECTIONS; i++) {
        hg_json_begin(&o, NULL, '{');
        put_collection(&o, &collections[i]);
        hg_json_end(&o);
    }
    hg_json_end(&o);
    hg_replicate_put_links(&o, x, "/v1/collections", NULL, NULL);
    hg_json_end(&o);
    hg_replicate_reply(x, 200, &b);
}

static const collection *find_collection(const char *slug)
{
    for (size_t i = 0; i < N_COLLECTIONS; i++)
        if (strcmp(collections[i].slug, slug) == 0) return &collections[i];
    return NULL;
}

void hg_replicate_collection(hg_server *s, hg_exchange *x, hg_bytes rest)
{
    hg_models *ms = hg_server_models(s);
    hg_segment part[1] = {""};
    hg_buf b = {0};
    hg_json_out o;
    hg_problem p;

    (void)hg_replicate_split(rest, part, 1);
    const collection *c = find_collection(part[0]);
    if (c == NULL) {
        (void)hg_refuse(&p, 404, NULL, NULL, "there is no collection %.64s", part[0]);
        hg_replicate_refuse(x, &p);
        return;
    }
    hg_json_out_init(&o, &b, 0);
    hg_json_begin(&o, NULL, '{');
    put_collection(&o, c);
    hg_json_begin(&o, "models", '[');
    for (size_t i = 0; i < hg_models_count(ms); i++)
        if (c->has(&hg_models_get(ms, i)->card))
            hg_replicate_put_model(&o, NULL, s, x, hg_models_get(ms, i));
    hg_json_end(&o);
    hg_json_end(&o);
    hg_replicate_reply(x, 200, &b);
}

void hg_replicate_webhook_secret(hg_server *s, hg_exchange *x, hg_bytes rest)
{
    char key[HG_WEBHOOK_KEY_ROOM];
    hg_buf b = {0};
    hg_json_out o;

    (void)rest;
    hg_json_out_init(&o, &b, 0);
    hg_json_begin(&o, NULL, '{');
    hg_webhooks_key(hg_server_replicate(s)->webhooks, hg_exchange_owner(x), key);
    hg_json_text(&o, "key", key);
    hg_json_end(&o);
    hg_replicate_reply(x, 200, &b);
}
