/* Reading a script: its tokens, and how a flaw is told. */
#ifndef HG_APP_ELIZA_READ_H
#define HG_APP_ELIZA_READ_H

#include "app/eliza_inner.h"

typedef enum token_kind {
    TOKEN_END,
    TOKEN_OPEN,
    TOKEN_CLOSE,
    TOKEN_NUMBER,
    TOKEN_SYMBOL
} token_kind;
typedef struct eliza_token {
    token_kind kind;
    uint32_t n;        /* the number, or the symbol */
    size_t begin, end; /* bytes of the script */
} eliza_token;

typedef struct eliza_reader {
    hg_eliza_script *s;
    size_t at, line; /* behind what was read, one token that was looked at ahead too */
    eliza_token ahead;
    bool has_ahead;
    hg_buf letters;
    int32_t keyword; /* symbol of the rule that is being read, or -1 */
    hg_eliza_flaw *flaw;
} eliza_reader;

hg_status eliza_next(eliza_reader *r, eliza_token *out, hg_err *e);
hg_status eliza_peek(eliza_reader *r, eliza_token *out, hg_err *e);
static inline bool eliza_is(const eliza_token *t, uint32_t symbol)
{
    return t->kind == TOKEN_SYMBOL && t->n == symbol;
}
/* Fails with "Script error on line N: ..." (without the line when it is 0) and fills in the flaw.
 */
hg_status eliza_flawed(eliza_reader *r, size_t line, const char *remedy, hg_err *e, const char *fmt,
                       ...) HG_PRINTF(5, 6);

#endif
