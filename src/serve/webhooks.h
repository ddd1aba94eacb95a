/* Webhooks that are to be sent: an outbox in the store, so that none is lost when the server ends,
 * and threads that send. Each is signed as Svix and Replicate sign (HMAC-SHA256 over id, time and
 * body), with a secret that the store keeps. */
#ifndef HG_SERVE_WEBHOOKS_H
#define HG_SERVE_WEBHOOKS_H

#include "serve/data.h"

typedef struct hg_webhooks hg_webhooks;
/* Makes the secret where there is none. `d` must outlive it. */
hg_status hg_webhooks_new(hg_webhooks **out, hg_data *d, bool allows_private, hg_err *e);
hg_status hg_webhooks_start(hg_webhooks *w, hg_err *e);
/* What is being sent has some seconds; the rest stays in the outbox. */
void hg_webhooks_stop(hg_webhooks *w);
void hg_webhooks_free(hg_webhooks *w); /* NULL is fine */

/* What an owner's are signed with: "whsec_" and base64. Nobody can tell it from another's. */
enum { HG_WEBHOOK_KEY_ROOM = 64, HG_WEBHOOK_SIGNATURE_ROOM = 64 };
void hg_webhooks_key(const hg_webhooks *w, const char *owner, char out[HG_WEBHOOK_KEY_ROOM]);
/* Whether a URL may be called, as far as it says itself: a name is judged when a sender resolves
 * it, each time, so that nobody who asks waits for it. HG_E_ARG says why not. */
hg_status hg_webhooks_check(const hg_webhooks *w, const char *url, hg_err *e);
/* A POST of `body` (JSON), soon, signed for `owner`. `retries`: again, ever later, for about a
 * minute, while the receiver does not answer or answers 400 and above; else once. Of what one URL
 * has not been told yet the oldest goes when there is more than HG_WEBHOOKS_MOST_ONCE (of those
 * that are told once) or HG_WEBHOOKS_MOST. Any thread. */
enum { HG_WEBHOOKS_MOST_ONCE = 100, HG_WEBHOOKS_MOST = 1000 };
hg_status hg_webhooks_put(hg_webhooks *w, const char *owner, const char *url, hg_bytes body,
                          bool retries, hg_err *e);

/* "v1," and the signature; false: `key` is none. */
bool hg_webhook_sign(char out[HG_WEBHOOK_SIGNATURE_ROOM], const char *key, const char *id,
                     int64_t time, hg_bytes body);

#endif
