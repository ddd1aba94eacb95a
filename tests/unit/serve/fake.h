/* A model without weights for the server's tests: it says the prompt back, a character a token, on
 * a thread of its own that serves all jobs in turn as an engine's does. Ids are bytes. A prompt
 * that begins with a word below does what the word says. */
#ifndef HG_TESTS_FAKE_H
#define HG_TESTS_FAKE_H

#include "serve/server.h"

/* FAIL     ends in an error before the first character
 * STARVE   the same, for want of memory
 * BREAK    ends in an error after three
 * FOREVER  says x until it is cancelled
 * FLOOD    says 4 KB at a time until it is cancelled
 * REFUSE   is refused as if the queue were full */
typedef struct fake fake;
fake *fake_new(void);
void fake_add(fake *f, hg_server *s, const char *id, uint32_t n_ctx);
uint32_t fake_running(fake *f);
uint32_t fake_canceled(fake *f);
uint32_t fake_refused(fake *f); /* by REFUSE */
hg_sampling fake_last_sampling(fake *f);
void fake_last_prompt(fake *f, char *out, size_t size);
void fake_set_delay(fake *f, int us); /* between rounds; 500 at first */

/* ---- a raw client ---- */
int raw_connect(const hg_server *s);
void raw_send(int fd, const char *text, size_t n);
/* Reads until the end (or `seconds`); NUL-terminated, in a buffer of the case that is never freed.
 */
char *raw_read(int fd, double seconds);
/* Connects, sends, reads to the end, closes. */
char *raw_ask(const hg_server *s, const char *request);
/* "POST path" with a JSON body. */
char *raw_post(const hg_server *s, const char *path, const char *json);
int raw_status(const char *answer); /* of "HTTP/1.1 200 OK..."; 0: none */
const char *raw_body(const char *answer);
hg_server *fake_server(fake *f, const hg_http_options *http); /* "parrot", 256 tokens, started */

#endif
