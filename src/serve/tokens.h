/* Tokens: who may come in, and what for. The store has their digests alone. */
#ifndef HG_SERVE_TOKENS_H
#define HG_SERVE_TOKENS_H

#include "serve/data.h"

#include <higgins/serve.h>

typedef struct hg_tokens hg_tokens; /* a server's view of them; threads may share it */
hg_status hg_tokens_new(hg_tokens **out, hg_data *d, hg_err *e);
void hg_tokens_free(hg_tokens *t);
/* Before the next request the table is read again. */
void hg_tokens_reread(hg_tokens *t);

typedef struct hg_guest {
    char owner[64]; /* the token's name */
    unsigned scopes;
    /* when the rate is limited: requests that are left at once, and seconds until one more is */
    bool is_limited, is_refused;
    uint32_t n_left, wait_s;
} hg_guest;
/* Whether `secret` is a token's, whose requests it counts: creating ones at the token's rate,
 * others at five times that. Compares with all tokens, in the same time whichever it is. */
bool hg_tokens_admit(hg_tokens *t, hg_bytes secret, bool creates, hg_guest *out);

/* The same without counting: whether it is a token's that may do what `scope` says, and whose. */
bool hg_tokens_know(hg_tokens *t, hg_bytes secret, unsigned scope, char owner[64]);

hg_status hg_token_add(hg_data *d, const char *name, unsigned scopes, uint32_t rate,
                       char secret[HG_TOKEN_ROOM], hg_err *e);

#endif
