/* What the routes of Replicate's protocol share. */
#ifndef HG_SERVE_REPLICATE_REPLICATE_H
#define HG_SERVE_REPLICATE_REPLICATE_H

#include "serve/models.h"
#include "serve/replicate/fetching.h"
#include "serve/replicate/predictions.h"
#include "serve/versions.h"

/* What a server keeps for this protocol; server.c makes it. */
typedef struct hg_replicate_state {
    hg_predictions *predictions;
    hg_versions *versions;
    hg_webhooks *webhooks;
    hg_store *store;
    hg_fetching *fetching; /* data of trainings */
    pthread_mutex_t lock;  /* guards what was told of the training that runs */
    void *teller;          /* trainings.c's */
} hg_replicate_state;
hg_replicate_state *hg_server_replicate(const hg_server *s);

/* "http://host" as the client reached us; 300 bytes at the most. */
void hg_replicate_base(const hg_exchange *x, char out[320]);
/* Splits "a/b/c" at its slashes and decodes each part; the number of parts, 0 when there are more
 * than `max` or one is longer than 127 bytes or empty. Parts that are not there are "". */
typedef char hg_segment[128];
size_t hg_replicate_split(hg_bytes rest, hg_segment *out, size_t max);
/* "owner/name" of a model's id. */
void hg_replicate_name(const char *id, char out[132]);
/* By id, or the newest trained version of "owner/name"; NULL: there is none, or none that the
 * client may use. */
const hg_offer *hg_replicate_named(hg_server *s, const hg_exchange *x, hg_bytes id);
/* The same; *p (404) says so. */
const hg_offer *hg_replicate_find(hg_server *s, const hg_exchange *x, const char *name,
                                  hg_problem *p);
void hg_replicate_refuse(hg_exchange *x, const hg_problem *p);
/* A body of JSON with its status; the buffer is freed. */
void hg_replicate_reply(hg_exchange *x, int status, hg_buf *b);
/* Where a page begins: behind one entry of a list that goes from the newest to the oldest, or
 * (is_back) where it ends: before it. So nothing is told twice or left out while others come and
 * go, and a deep page costs what the first one does. `at` names the entry, "": the newest page. */
typedef struct hg_cursor {
    char at[48];
    bool is_back;
} hg_cursor;
/* Of the query. False and *p (422): it is none of ours. */
bool hg_replicate_read_cursor(hg_cursor *c, const hg_exchange *x, hg_problem *p);
/* The links of a page; NULL: there is no other. */
void hg_replicate_put_links(hg_json_out *o, const hg_exchange *x, const char *path,
                            const hg_cursor *next, const hg_cursor *previous);

/* ---- the routes ---- */
typedef void hg_replicate_route(hg_server *s, hg_exchange *x, hg_bytes rest);
/* creating.c */
hg_replicate_route hg_replicate_create;
/* Of the model `o`, asked for as `deployment` where that is not NULL. */
void hg_replicate_create_for(hg_server *s, hg_exchange *x, const hg_offer *o,
                             const char *deployment);
/* models.c */
hg_replicate_route hg_replicate_list_models, hg_replicate_search_models, hg_replicate_search,
    hg_replicate_get_model, hg_replicate_post_model, hg_replicate_make_model,
    hg_replicate_patch_model, hg_replicate_delete_model;
void hg_replicate_put_model(hg_json_out *o, const char *key, hg_server *s, hg_exchange *x,
                            const hg_offer *m);
/* The version `id` of a name: `m` (the model itself; may be NULL) or one that was trained; NULL:
 * none has it, or x must wait, as hg_version_of says. */
const hg_offer *hg_replicate_version(hg_server *s, hg_exchange *x, const char *name,
                                     const hg_offer *m, const char *id);
/* The i-th trained version of "owner/name", newest first; NULL behind the last. */
const hg_offer *hg_replicate_trained(hg_server *s, const char *name, size_t i);
/* trainings.c */
hg_replicate_route hg_replicate_list_trainings, hg_replicate_get_training,
    hg_replicate_post_training;
void hg_replicate_train(hg_server *s, hg_exchange *x, const hg_offer *base, const char *version);
/* creating.c: "webhook_events_filter". */
bool hg_replicate_read_filter(const json_t *list, unsigned *events, hg_problem *p);
/* catalogue.c */
hg_replicate_route hg_replicate_hardware, hg_replicate_account, hg_replicate_collections,
    hg_replicate_collection, hg_replicate_webhook_secret;
void hg_replicate_put_account(hg_json_out *o, const char *key, const hg_exchange *x);
/* deployments.c */
hg_replicate_route hg_replicate_list_deployments, hg_replicate_make_deployment,
    hg_replicate_get_deployment, hg_replicate_patch_deployment, hg_replicate_delete_deployment,
    hg_replicate_post_deployment;

#endif
