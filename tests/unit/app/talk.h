/* What the tests of ELIZA share: rows of recorded conversations, and one reply as a C string. */
#ifndef HG_TESTS_TALK_H
#define HG_TESTS_TALK_H

#include "app/eliza_inner.h"
#include "harness/test.h"

/* Lines of a table with tabs between the columns, without those that begin with #. */
typedef struct rows {
    hg_buf text;
    char *cell[512][5]; /* NULL: no such column */
    size_t n;
} rows;
void rows_read(rows *r, const char *data_name);
/* \n, \r and \xNN as in C, in place; returns the length. */
size_t unescape(char *s);

typedef struct talk {
    hg_eliza_script *script;
    hg_eliza *el;
    char *said; /* the last reply */
} talk;
/* A conversation by a script of the test data; `o` may be NULL. */
void talk_open(talk *t, const char *data_name, const hg_eliza_options *o);
/* By this text. */
void talk_begin(talk *t, const char *script, const hg_eliza_options *o);
const char *talk_say(talk *t, const char *input);
void talk_close(talk *t);

#endif
