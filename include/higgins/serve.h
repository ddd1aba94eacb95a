/* The server: models behind the protocols that programs speak (OpenAI's, Anthropic's, Gemini's,
 * Ollama's), and a page for people.
 */
#ifndef HIGGINS_SERVE_H
#define HIGGINS_SERVE_H

#include <higgins/infer.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    HG_SERVE_MAX_MODELS = 1024,
    HG_SERVE_MAX_CHOICES = 32,    /* n times the number of prompts of one request */
    HG_SERVE_MAX_MESSAGES = 4096, /* of one conversation */
    HG_SERVE_MAX_BODY = 8 * 1024 * 1024
};

typedef struct hg_server hg_server;

typedef struct hg_request_record {
    const char *id, *owner, *method;
    const char *path;  /* without its query; secrets in it are left out */
    const char *model; /* "": none answered */
    int status;        /* 0: the client was gone before there was one */
    bool is_cut_off;   /* gone before the answer's end */
    double seconds;
    uint64_t n_prompt_tokens, n_completion_tokens;
    hg_bytes body;
} hg_request_record;

typedef struct hg_server_options {
    const char *host;    /* "127.0.0.1". On a loopback address only requests for a loopback Host are
                            answered, so that no web page can reach the server through a name of its
                            own (DNS rebinding) */
    uint16_t port;       /* 0: any free one */
    const char *hosts;   /* other names than loopback's that it answers for, with commas between:
                            of a proxy's; NULL: none */
    const char *api_key; /* lets in whoever shows it; NULL: there is none */
    bool asks_token;     /* everything but /health and the page is for those who show a token (or
                            the key); false without a key: everybody may come */
    const char *data_dir; /* of tokens, predictions, files: a folder that one server uses at a time;
                             NULL: in memory */
    uint32_t n_ctx;       /* of a request, prompt and answer; 0: the model's */
    uint32_t parallel;    /* requests that are worked on at a time; more wait */
    uint32_t max_queue;   /* requests that may wait; more are refused (503) */
    const char *chat_template; /* of conversations (Jinja); NULL: the model's */
    /* When a request has been answered, on one of the server's threads: must not block. NULL:
     * nobody is told. `body` is what the client sent, where tells_bodies is set; else it is empty,
     * and no word of a prompt or an answer is in the record. */
    void (*on_request)(void *ctx, const hg_request_record *r);
    void *on_request_ctx;
    bool tells_bodies;
    double retention_s; /* predictions that programs made lose input and output so long after their
                           end; 0: never */
    bool allows_private_urls; /* webhooks may be on this machine and in private networks */
    uint64_t memory; /* bytes that models which are loaded on demand may take, weights and caches;
                        0: four fifths of what is free when the server is made */
    int threads;     /* of each model that is loaded on demand; 0: one for each core */
    hg_isa isa;      /* bounds their instruction set from above */
} hg_server_options;
HG_API void hg_server_options_init(
    hg_server_options *o); /* 127.0.0.1, 8080, NULL, NULL, false, NULL, 0, 4, 64, NULL,
                              NULL, NULL, false, 3600, false, 0, 0, HG_N_ISA */

/* ---- tokens ---- */
enum { HG_MAY_RUN = 1, HG_MAY_METRICS = 2, HG_MAY_ALL = 3 };
enum { HG_TOKEN_ROOM = 64, HG_DEFAULT_RATE = 600 };
/* Scope i and its word, NULL behind the last: "run" (ask models), "metrics" (read /metrics). */
HG_API const char *hg_scope_word(size_t i, unsigned *scope);
typedef struct hg_token_card {
    char name[64];
    unsigned scopes;
    uint32_t rate; /* creating requests a minute, five times as many others; 0: any number */
    int64_t created, used; /* unix time; used 0: never */
} hg_token_card;
/* A new token in the data folder `dir`: shown in `secret` once, kept as its SHA-256. A running
 * server takes it at once. HG_E_ARG: what cannot be a name; HG_E_STATE: there is one of that name.
 */
HG_API hg_status hg_tokens_add(const char *dir, const char *name, unsigned scopes, uint32_t rate,
                               char secret[HG_TOKEN_ROOM], hg_err *e);
typedef void hg_token_fn(void *ctx, const hg_token_card *t);
HG_API hg_status hg_tokens_list(const char *dir, hg_token_fn *fn, void *ctx, hg_err *e);
HG_API hg_status hg_tokens_revoke(const char *dir, const char *name, hg_err *e); /* HG_E_MISSING */
/* Whether a server at `host` can be reached from this machine alone. */
HG_API bool hg_host_is_loopback(const char *host);

/* ---- the server ---- */
/* A server that does not listen yet. Strings of `o` are copied. */
HG_API hg_status hg_server_new(hg_server **out, const hg_server_options *o, hg_err *e);
/* Offers ELIZA by the script of `name` ("eliza:fr", as hg_eliza_script_open). When it is not listed
 * /v1/models does not tell it. */
HG_API hg_status hg_server_add_eliza(hg_server *s, const char *id, const char *name, bool is_listed,
                                     hg_err *e);
/* Offers what is at `path`, to be loaded when it is first asked for: a model's folder, a .gguf
 * file, an adapter (PEFT's folder), or all of them below a folder, where folders between give owner
 * and name; a run's folder counts for the model in it. `name` (may be NULL) is for a single one. *n
 * is raised by what was found; what is below a folder and cannot be served is told to `w`. */
HG_API hg_status hg_server_offer(hg_server *s, const char *path, const char *name,
                                 const hg_watch *w, size_t *n, hg_err *e);
/* Once all is offered: lets adapters find their bases, and reads the YAML file at `path` (NULL:
 * none) with aliases and descriptions; docs/serving.md has its keys. */
HG_API hg_status hg_server_configure(hg_server *s, const char *path, const hg_watch *w, hg_err *e);
/* Loads a model now, so that what is wrong with it is told now. */
HG_API hg_status hg_server_preload(hg_server *s, const char *id, hg_err *e);
/* The i-th model that is offered, NULL behind the last. */
HG_API const char *hg_server_model_id(const hg_server *s, size_t i);
HG_API uint64_t hg_server_memory(const hg_server *s); /* bytes that models may take */
/* Makes the token "first", of all scopes, where there is none yet; else secret is "". */
HG_API hg_status hg_server_first_token(hg_server *s, char secret[HG_TOKEN_ROOM], hg_err *e);
/* Listens and answers, on threads of its own, when it returns. HG_E_IO: the address is taken. */
HG_API hg_status hg_server_start(hg_server *s, hg_err *e);
HG_API const char *hg_server_url(const hg_server *s); /* "http://127.0.0.1:8080" */
/* Lets nobody new in and waits until every open answer is finished, at most grace_s seconds, or
 * until *hurry is set (may be NULL). Returns how many were cut off. */
HG_API uint32_t hg_server_drain(hg_server *s, double grace_s, const atomic_bool *hurry);
HG_API void hg_server_free(hg_server *s); /* cuts off what is open; NULL is fine */

#ifdef __cplusplus
}
#endif
#endif
