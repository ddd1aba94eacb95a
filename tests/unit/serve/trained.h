/* A server that trains, for the tests of its trainings: a model of random weights, "tiny", and a
 * file of two examples that is anna's. What fails here fails the case. */
#ifndef HG_TESTS_TRAINED_H
#define HG_TESTS_TRAINED_H

#include "serve/files/files.h"
#include "serve/jobs/trainings.h"

extern hg_server *trained_server;
extern hg_arena trained_memory; /* of the case: what trained_get returns points into it */
extern char trained_file[HG_FILE_ID_ROOM]; /* that was kept last */

void trained_begin(void);
void trained_begin_within(uint64_t memory); /* --memory, in bytes; 0: as the server chooses */
void trained_end(void);
void trained_keep_file(const char *owner, const char *text);

/* For one pass over that file, of the face "test". */
hg_training_ask trained_ask(void);
/* anna's; the next call overwrites it. */
hg_training *trained_get(const char *id);
hg_training *trained_wait(const char *id); /* for its end */

/* The first column of the first row, as a number; 0 where there is none. */
int64_t trained_number(const char *sql);
void trained_wait_for(const char *sql, int64_t n); /* until it is n */

#endif
