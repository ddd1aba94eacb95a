/* The models that a server offers: found in folders, loaded when somebody asks for them, and
 * unloaded, the one that was used longest ago first, so that they stay within a budget of memory.
 * An offer is known by its card before its weights are read; an adapter is offered as a model of
 * its own beside its base, whose weights it shares; an alias is another name. */
#ifndef HG_SERVE_MODELS_H
#define HG_SERVE_MODELS_H

#include "serve/server.h"

typedef struct hg_offer hg_offer;
struct hg_offer {
    hg_card card;
    char *path;              /* of its files; NULL: it came as a backend and stays for ever */
    char *about, *base_name; /* the card's description, what an adapter says its base is */
    bool is_adapter;
    hg_offer *base;      /* of an adapter */
    hg_offer *target;    /* of an alias */
    atomic_bool is_gone; /* deleted: nobody finds it any more */
    uint64_t n_bytes;    /* of its files */
    atomic_uint n_users;
    /* under the lock */
    hg_backend *loaded; /* NULL: not in memory */
    uint64_t taken;     /* bytes, while loaded */
    double last_used;   /* monotonic */
    hg_offer *gone;     /* of one that is gone and whose place is taken again: the next such */
};

typedef struct hg_models hg_models;
/* `o` must outlive it. */
hg_status hg_models_new(hg_models **out, const hg_server_options *o, hg_err *e);
/* Frees all backends; nobody may hold one. NULL is fine. */
void hg_models_free(hg_models *ms);
/* From now on waiting for a model ends at once (503). */
void hg_models_close(hg_models *ms);

size_t hg_models_count(const hg_models *ms);
hg_offer *hg_models_get(const hg_models *ms, size_t i);
/* By id, by "local/" and the id, or by "owner/" the id where the owner is the default one; NULL. */
hg_offer *hg_models_find(const hg_models *ms, hg_bytes id);
/* Copies *b; frees it on failure. */
hg_status hg_models_add_backend(hg_models *ms, const hg_backend *b, hg_err *e);
/* An empty offer of that name, which belongs to ms. Any thread. HG_E_ARG, HG_E_STATE, HG_E_LIMIT.
 */
hg_status hg_models_add(hg_models *ms, const char *id, hg_offer **out, hg_err *e);
/* Offers a model that was made while the server runs: whole before anybody finds it. `base`: of an
 * adapter, else NULL. HG_E_STATE: there is one of that name. */
hg_status hg_models_publish(hg_models *ms, const char *path, const char *id, hg_offer *base,
                            hg_err *e);
/* From now on nobody finds it; its memory is given back once nobody holds it. HG_E_STATE: somebody
 * does, or another stands on it; then nothing has changed. Its place in the table is free; the
 * offer itself stays until hg_models_free, for those who have just found it. */
hg_status hg_models_remove(hg_models *ms, hg_offer *o, hg_err *e);
/* How many more can be offered. */
size_t hg_models_room(hg_models *ms);
/* Another name for what `target` says. HG_E_MISSING when there is no such model. */
hg_status hg_models_alias(hg_models *ms, const char *id, const char *target, hg_err *e);
/* Offers what is at `path`: a model's folder, a .gguf, an adapter, or all of them below a folder.
 * `name` (may be NULL) is for a single one. Adapters look for their bases when all is found. What
 * cannot be served below a folder is told to `w` and passed over; at `path` itself it is a failure.
 * *n is raised by what was found. */
hg_status hg_models_discover(hg_models *ms, const char *path, const char *name, const hg_watch *w,
                             size_t *n, hg_err *e);
/* Finds the base of each adapter; those without one are told to `w` and answer to nobody. */
void hg_models_bind_adapters(hg_models *ms, const hg_watch *w);

/* The backend, in memory, held for the caller until hg_backend_release; waits while it is loaded.
 * NULL and *p: it cannot be loaded, there is no room, or too many wait already. */
const hg_backend *hg_models_take(hg_models *ms, hg_offer *o, hg_problem *p);
/* Memory for a training, out of the same budget: models that nobody holds are unloaded for it, the
 * one used longest ago first, but only where that makes room enough; it never waits.
 * HG_RESERVE_SOON: there will be room, but a model is on its way in or out just now.
 * HG_RESERVE_LATER: those at work leave no more than *left bytes.
 * HG_RESERVE_NEVER: the budget is less than that. */
typedef enum hg_reserve {
    HG_RESERVED,
    HG_RESERVE_SOON,
    HG_RESERVE_LATER,
    HG_RESERVE_NEVER
} hg_reserve;
hg_reserve hg_models_reserve(hg_models *ms, uint64_t n, uint64_t *left);
void hg_models_give_back(hg_models *ms, uint64_t n);
typedef struct hg_models_state {
    uint64_t memory, used; /* bytes: the budget, and what is taken */
    uint64_t reserved;     /* of used: by trainings */
    uint32_t n_loaded, n_loads, n_unloads;
    bool is_loading;
} hg_models_state;
void hg_models_look(hg_models *ms, hg_models_state *out);
/* Calls fn for each engine in memory, whose adapters are counted with it; no model comes or goes
 * meanwhile. */
typedef void hg_models_fn(void *ctx, const char *id, const hg_engine_state *state);
void hg_models_each(hg_models *ms, hg_models_fn *fn, void *ctx);
/* The same for their queues of texts that are to become vectors. */
typedef void hg_embedders_fn(void *ctx, const char *id, const hg_embedder_state *state);
void hg_models_each_embedder(hg_models *ms, hg_embedders_fn *fn, void *ctx);
/* Whether its weights are in memory (for a backend: always). */
bool hg_models_is_loaded(hg_models *ms, hg_offer *o);

#endif
