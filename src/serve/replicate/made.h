/* Models that owners have made: names, for the versions that their trainings make. */
#ifndef HG_SERVE_REPLICATE_MADE_H
#define HG_SERVE_REPLICATE_MADE_H

#include "serve/replicate/replicate.h"

typedef struct hg_made {
    char owner[64];  /* the token's name */
    bool is_private; /* for its owner alone */
    const char *description, *github_url, *paper_url, *license_url, *cover_url; /* NULL: none */
} hg_made;
/* False: there is none of that name, "owner/name". The texts live in `mem`. */
bool hg_made_load(hg_store *store, const char *name, hg_arena *mem, hg_made *out);
/* Whether the owner may see and run what is at that name: all but others' private ones. */
bool hg_made_is_open(hg_store *store, const char *name, const char *owner);
/* Whether it is that owner's. */
bool hg_made_is_owned(hg_store *store, const char *name, const char *owner);
/* Names of public ones and of the owner's, by name: *n of them. */
char **hg_made_names(hg_store *store, const char *owner, hg_arena *mem, size_t *n);
hg_status hg_made_insert(hg_store *store, const char *name, const char *owner, const json_t *body,
                         hg_err *e);
/* Sets what the body has of description and links. */
hg_status hg_made_change(hg_store *store, const char *name, const json_t *body, hg_err *e);
hg_status hg_made_delete(hg_store *store, const char *name, hg_err *e);

#endif
