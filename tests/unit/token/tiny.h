/* A small tokenizer.json made in the test: 256 bytes, some merges, what the case asks for. */
#ifndef HG_TESTS_TOKEN_TINY_H
#define HG_TESTS_TOKEN_TINY_H

#include "harness/test.h"
#include "token/token.h"

/* JSON with the bytes as ids 0 to 255 in GPT-2's order, then `vocab` (`"he": 256, ...`), `merges`
 * (`"h e", ...`), and `more` members of the root (`"added_tokens": [...],` ...), each may be "".
 * `pre` NULL: ByteLevel with GPT-2's pattern. Lives until the case ends. */
hg_bytes tiny_json(const char *vocab, const char *merges, const char *pre, const char *more);
hg_tokenizer *tiny(const char *vocab, const char *merges, const char *pre, const char *more);
/* "1 2 3": the ids of a text. Lives until the next call. */
const char *tiny_ids(const hg_tokenizer *t, const char *text, size_t n, bool special);

#endif
