/* Whether a launcher (mpirun, srun) started this process as one of several. */
#ifndef CLI_LAUNCH_H
#define CLI_LAUNCH_H

#include <higgins/ranks.h>
#include "cli.h"

#define CLI_MPI_OPTION(at)                                                                 \
    {                                                                                      \
        "mpi", 0, CLI_TEXT, "KIND",                                                        \
            "how to join other processes: auto (as the launcher started this one), none, " \
            "openmpi, mpich",                                                              \
            (at), 0, 0                                                                     \
    }

/* Joins the others, or leaves *out NULL when this process is alone; `kind` is --mpi's value or
 * NULL. Takes the processors that a launcher's binding keeps back, and sets c->threads where the
 * user has not. */
hg_status cli_ranks_open(cli *c, const char *kind, hg_ranks **out, hg_err *e);
/* Tells of a failure once: rank 0's word counts, or else that of the rank that has seen it. */
int cli_ranks_fail(cli *c, hg_ranks *r, const hg_err *e);
/* "openmpi mpich": the plug-ins that are there. */
const char *cli_ranks_plugins(char out[64]);

#endif
