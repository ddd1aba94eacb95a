/* Training files as people upload them, brought into the form that the trainer reads. */
#ifndef HG_SERVE_JOBS_EXAMPLES_H
#define HG_SERVE_JOBS_EXAMPLES_H

#include "serve/jobs/trainings.h"

/* Writes the JSON lines of `in` to `path`, line by line, so that a line keeps its number. A line is
 * {"messages": [...]} as OpenAI has it (tools, weights), {"prompt", "completion"} (a question and
 * its answer) or {"text"} (all of it is learnt); of preferences {"input": {"messages"},
 * "preferred_output", "non_preferred_output"}, or {"prompt", "chosen", "rejected"}. Then reads all
 * as the trainer will. *n: examples. HG_E_FORMAT, with "line 7: ..."; HG_E_ARG: none is in it;
 * HG_E_FULL, HG_E_IO: the disk is full (or fails). */
hg_status hg_examples_write(hg_bytes in, hg_training_method method, const char *path, uint64_t *n,
                            hg_err *e);
/* One line, appended to `out` without its end. For hg_examples_write and tests. */
hg_status hg_example_convert(hg_bytes line, hg_training_method method, hg_buf *out, hg_err *e);

#endif
