/* What protocols and the server see of each other. A protocol is a table of routes and a way to
 * write errors; a model is a backend: a few calls, so that what answers may be an engine, or
 * something without weights, or a test. */
#ifndef HG_SERVE_SERVER_H
#define HG_SERVE_SERVER_H

#include "serve/embedder.h"
#include "serve/forms.h"
#include "http/http.h"
#include "text/json.h"
#include "token/calls.h"
#include <higgins/serve.h>

/* ---- refusals ---- */
/* Why a request is refused: status, and what the bodies of the protocols show of it. */
typedef struct hg_problem {
    int status;
    const char *code; /* "model_not_found", or NULL */
    char param[64];   /* "temperature", "messages[2].role", or "" */
    char msg[512];
} hg_problem;
/* Fills *p and returns false, so that checks read `return hg_refuse(p, ...)`. */
bool hg_refuse(hg_problem *p, int status, const char *code, const char *param, const char *fmt, ...)
    HG_PRINTF(5, 6);

/* Whom a route is for. The first two are false and true: whether a route is open to all. */
typedef enum hg_who { HG_NEEDS_RUN = 0, HG_ANYBODY = 1, HG_NEEDS_METRICS } hg_who;

/* ---- models ---- */
/* What is told of a model, in memory or not. It does not change once the server has started. */
typedef struct hg_card {
    char id[128];            /* "tiny", or "owner/name" */
    const char *description; /* "" */
    int64_t created;
    uint32_t n_ctx, n_vocab;
    bool can_call, can_embed, tells_tokens;
    atomic_bool is_unlisted; /* the one that changes: true once it is deleted */
} hg_card;
#define HG_DEFAULT_OWNER "local" /* of models whose id names none */
/* Of a token's name, for the engines. */
uint64_t hg_owner_key(const char *owner);

/* A model in memory. */
typedef struct hg_backend {
    char id[128];
    int64_t created;
    uint32_t n_ctx, n_vocab;
    bool is_unlisted;  /* answers to its name, but /v1/models does not tell it */
    bool has_template; /* for conversations; without one it goes on with text */
    /* Text without special tokens, as a document begins. */
    hg_status (*encode)(void *ctx, hg_bytes text, hg_ids *out, hg_err *e);
    /* A conversation, open for the assistant's answer. */
    hg_status (*render)(void *ctx, const hg_message *m, size_t n, hg_ids *out, hg_err *e);
    /* A conversation in which tools may be called and what they said is told: OpenAI's messages and
     * tools (NULL: none are offered). With must_call the calls' opening comes last. NULL: it cannot
     * call tools. */
    hg_status (*converse)(void *ctx, const struct json_t *messages, const struct json_t *tools,
                          bool must_call, hg_ids *out, hg_err *e);
    hg_call_style call_style;
    /* The beginning of the assistant's answer, behind what render or converse gave. NULL: an answer
     * cannot be begun for it. */
    hg_status (*append)(void *ctx, hg_bytes text, hg_ids *out, hg_err *e);
    /* As hg_engine_submit, hg_engine_cancel, hg_engine_look, hg_engine_free. */
    hg_status (*submit)(void *ctx, const hg_request *r, hg_job *out, hg_err *e);
    /* As hg_forms_get; NULL: answers cannot be held to a form. */
    hg_status (*form)(void *ctx, hg_form_kind kind, hg_bytes schema, hg_form **out, hg_err *e);
    /* A whole text, as a document begins and ends; and one vector [d_embed] of length 1 for each
     * text of a job, as hg_embedder_submit, hg_embedder_cancel and hg_embedder_look. All NULL: it
     * makes none. */
    hg_status (*encode_whole)(void *ctx, hg_bytes text, hg_ids *out, hg_err *e);
    hg_status (*embed)(void *ctx, hg_embed_job *job, hg_err *e);
    void (*cancel_embed)(void *ctx, hg_embed_job *job);
    void (*look_embed)(void *ctx, hg_embedder_state *out);
    uint32_t d_embed;
    /* A token's bytes, a special one's too; NULL: what answers tells no probabilities. */
    hg_bytes (*piece)(void *ctx, int32_t id);
    void (*cancel)(void *ctx, hg_job job);
    void (*look)(void *ctx, hg_engine_state *out); /* NULL: nothing is counted */
    void (*free)(void *ctx);
    void *ctx;
    /* What its requests are computed with beside the weights; use.adapter NULL: nothing. */
    hg_adapter_use use;
    atomic_uint *n_users; /* set by the table of models */
} hg_backend;
/* Opens what is at `path`, with an engine; `room` bounds the bytes that weights and caches take
 * where o->n_ctx does not say how long the context is; *taken gets what it may take. It is not in
 * any table. b->free ends it. */
hg_status hg_backend_open(hg_backend *b, uint64_t *taken, const char *path,
                          const hg_server_options *o, uint64_t room, hg_err *e);
/* The same engine with an adapter; `base` must outlive it. hg_backend_unadapt ends it. */
hg_status hg_backend_adapt(hg_backend *b, uint64_t *taken, const hg_backend *base, const char *path,
                           hg_err *e);
void hg_backend_unadapt(hg_backend *b);
/* Whoever holds a backend may hand another hold on. It stays in memory while somebody does. */
void hg_backend_hold(const hg_backend *b);
void hg_backend_release(const hg_backend *b); /* NULL is fine */

/* Copies *b; the server calls b->free in the end, also when this fails. */
hg_status hg_server_add_backend(hg_server *s, const hg_backend *b, hg_err *e);
/* NULL: no such model. */
const hg_card *hg_server_find(const hg_server *s, hg_bytes id);
/* The model in memory, held for the caller; waits while it is loaded. NULL and *p: there is none,
 * or it cannot be loaded. */
const hg_backend *hg_server_take(hg_server *s, hg_bytes id, hg_problem *p);
/* The same for a client's request: another owner's private model is none. */
const hg_backend *hg_server_take_for(hg_server *s, const char *owner, hg_bytes id, hg_problem *p);
struct hg_offer;
/* Whether the owner may use it: all but versions of others' private models. */
bool hg_server_lets(const hg_server *s, const char *owner, const struct hg_offer *o);
const hg_server_options *hg_server_get_options(const hg_server *s);
size_t hg_server_count(const hg_server *s);
const hg_card *hg_server_model(const hg_server *s, size_t i);
struct hg_models;
struct hg_models *hg_server_models(const hg_server *s);
struct hg_files *hg_server_files(const hg_server *s);
struct hg_trainings *hg_server_trainings(const hg_server *s);
/* Asks for token, scope and rate, for a route that is open to all but not with every path. */
bool hg_server_admit(hg_server *s, hg_exchange *x, hg_who who, hg_problem *p);
/* Requests that are open. */
uint32_t hg_server_open_requests(const hg_server *s);
/* What is kept in its data folder. */
struct hg_store;
struct hg_store *hg_server_store(const hg_server *s);
/* A request of its own, as hg_http_ask: it passes routes and handlers as one of `q->owner`. */
hg_status hg_server_ask(hg_server *s, const hg_inside *q, hg_exchange **out, hg_err *e);
/* What it keeps of answers. */
struct hg_keeper;
struct hg_keeper *hg_server_keeper(const hg_server *s);
struct hg_batches *hg_server_batches(const hg_server *s);
/* The model that judges texts where a request names none; NULL: the lexicon does. */
const char *hg_server_moderator(const hg_server *s);
void hg_server_set_moderator(hg_server *s, const char *id); /* before it starts; copied */
/* What it has cost since it was made. */
typedef struct hg_server_costs {
    double up_s, cpu_s, joules;
    const char *joules_source; /* as hg_joules_source */
    uint64_t rss;              /* bytes in memory now */
} hg_server_costs;
void hg_server_get_costs(hg_server *s, hg_server_costs *out);
/* The same server with other limits for HTTP (NULL: the defaults); for tests. */
hg_status hg_server_start_with(hg_server *s, const hg_http_options *http, hg_err *e);

/* ---- protocols ---- */
typedef struct hg_route {
    const char *method,
        *path; /* a path that ends with a slash takes one more, raw segment or more */
    void (*run)(hg_server *s, hg_exchange *x, hg_bytes rest);
    hg_who who;
} hg_route;
typedef struct hg_protocol {
    const hg_route *routes; /* ends with a NULL method */
    /* Names under which all its paths are found once more, where no other protocol's are: "openai"
     * is /openai/v1/... NULL: none. Several have spaces between. */
    const char *mounts;
    void (*explain)(hg_buf *out, const hg_problem *p);
    /* Whether a client of this protocol asks, as far as headers or the path tell. NULL: they do
     * not. */
    bool (*claims)(const hg_exchange *x);
    const char *error_type; /* of its errors' bodies; NULL: application/json */
    const char *id_header;  /* that tells the request's id; NULL: none but x-request-id */
} hg_protocol;
extern const hg_protocol hg_openai;      /* openai.c */
extern const hg_protocol hg_responses;   /* responses.c: the other half of OpenAI's */
extern const hg_protocol hg_moderations; /* moderations.c */
extern const hg_protocol hg_kept;        /* kept_calls.c: answers that were kept */
extern const hg_protocol hg_anthropic;   /* anthropic.c */
extern const hg_protocol hg_gemini;      /* gemini.c */
extern const hg_protocol hg_ollama;      /* ollama.c */
extern const hg_protocol hg_replicate;   /* replicate.c */
extern const hg_protocol hg_pages;       /* pages.c: the page's files */
extern const hg_protocol hg_app;         /* page/app.c: what the page asks for beside the others */
extern const hg_protocol hg_fine_tuning; /* fine_tuning.c: trainings, as OpenAI has them */
extern const hg_protocol hg_file_routes; /* files_call.c: OpenAI's and Replicate's files */
extern const hg_protocol hg_upkeep;      /* upkeep.c: for who keeps the server running */

/* The i-th of those that a server speaks; NULL past the last. */
const hg_protocol *hg_server_protocol(size_t i);

/* Answers with a problem in the protocol's own form. */
void hg_answer_problem(hg_exchange *x, const hg_protocol *protocol, const hg_problem *p);
/* A body of JSON, which is freed; a problem where there was no room for it. */
void hg_reply_json(hg_exchange *x, const hg_protocol *protocol, hg_buf *b);
/* 404; false. */
bool hg_no_model(hg_problem *p, const hg_server *s, hg_bytes id);
/* How a protocol tells a model, as a member of an array or a whole answer. */
typedef void hg_put_model(hg_json_out *o, const hg_card *m);
/* The models that are listed, as the array `key`. */
void hg_put_models(hg_json_out *o, const char *key, const hg_server *s, hg_put_model *put);
/* Answers with the model of a path's last segment, or 404. */
void hg_reply_model(const hg_server *s, hg_exchange *x, hg_bytes raw, const hg_protocol *protocol,
                    hg_put_model *put);
/* Percent-decodes a path's segment into `out`; clients send a/b as a%2Fb. */
hg_bytes hg_path_decode(hg_bytes raw, char *out, size_t size);

#endif
