/* How a process learns that it is one of several. Launchers tell by the environment, each in its
 * own words; how many they started is held against what MPI sees, since N processes that each
 * believe to be alone train N copies of one model and say nothing. */
#include "launch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef HG_LIBDIR
#define HG_LIBDIR "lib"
#endif

static const char *const kinds[] = {"openmpi", "mpich"};

typedef struct launch {
    const char *kind; /* of kinds, or NULL: none is told */
    int n_tasks;      /* 0: not told */
    int rank;
} launch;

static int number(const char *name)
{
    const char *text = getenv(name);
    long n = text != NULL ? strtol(text, NULL, 10) : 0;
    return n > 0 && n < 1 << 30 ? (int)n : 0;
}

static launch look(void)
{
    launch l = {.n_tasks = number("OMPI_COMM_WORLD_SIZE"), .rank = number("OMPI_COMM_WORLD_RANK")};
    if (l.n_tasks > 0) {
        l.kind = "openmpi";
    } else if (number("PMI_SIZE") > 0) { /* MPICH's mpirun, srun --mpi=pmi2 */
        l = (launch){.kind = "mpich", .n_tasks = number("PMI_SIZE"), .rank = number("PMI_RANK")};
    } else if (number("SLURM_STEP_NUM_TASKS") > 0) {
        l = (launch){.kind = getenv("PMIX_RANK") != NULL ? "openmpi" : NULL,
                     .n_tasks = number("SLURM_STEP_NUM_TASKS"),
                     .rank = number("SLURM_PROCID")};
    }
    return l;
}

/* Beside the program, or where `make install` puts it. */
static bool find_plugin(const char *kind, char path[1200])
{
    char program[1024];
    ssize_t n = readlink("/proc/self/exe", program, sizeof program - 1);
    program[n > 0 ? n : 0] = '\0';
    char *slash = strrchr(program, '/');
    if (slash != NULL) *slash = '\0';
    (void)snprintf(path, 1200, "%s/higgins-%s.so", program, kind);
    if (access(path, R_OK) == 0) return true;
    (void)snprintf(path, 1200, "%s/../" HG_LIBDIR "/higgins/higgins-%s.so", program, kind);
    return access(path, R_OK) == 0;
}

const char *cli_ranks_plugins(char out[64])
{
    char path[1200];
    out[0] = '\0';
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        size_t n = strlen(out);
        if (find_plugin(kinds[i], path))
            (void)snprintf(out + n, 64 - n, "%s%s", n > 0 ? " " : "", kinds[i]);
    }
    return out;
}

static hg_status choose_kind(const char *given, launch *l, hg_err *e)
{
    if (given == NULL || strcmp(given, "auto") == 0) {
        if (l->n_tasks < 2 || l->kind != NULL) return HG_OK;
        return hg_fail(e, HG_E_STATE,
                       "srun started %d tasks without MPI: each would train alone; give srun "
                       "--mpi=pmix (Open MPI) or --mpi=pmi2 (MPICH), or higgins --mpi none",
                       l->n_tasks);
    }
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(given, kinds[i]) == 0) {
            l->kind = kinds[i];
            return HG_OK;
        }
    return hg_fail(e, HG_E_ARG, "--mpi: \"%s\" is none of auto, none, openmpi, mpich", given);
}

hg_status cli_ranks_open(cli *c, const char *kind, hg_ranks **out, hg_err *e)
{
    char path[1200], have[64];
    launch l = look();
    hg_ranks_options o;
    *out = NULL;
    if (kind != NULL && strcmp(kind, "none") == 0) return HG_OK;
    HG_TRY(choose_kind(kind, &l, e));
    bool is_asked = kind != NULL && strcmp(kind, "auto") != 0;
    if (!is_asked && l.n_tasks < 2) return HG_OK;
    hg_ranks_options_init(&o);
    o.n_expected = l.n_tasks;
    o.plugin = path;
    o.stop = c->watch.stop;
    if (!find_plugin(l.kind, path))
        return hg_fail(e, HG_E_MISSING,
                       "one of %d tasks, but there is no plug-in for %s (there: %s); build with "
                       "its development package installed",
                       l.n_tasks, l.kind, *cli_ranks_plugins(have) != '\0' ? have : "none");
    HG_TRY(hg_ranks_open(out, &o, e));
    int share = hg_ranks_cores(*out);
    if (c->threads == 0 && hg_ranks_n(*out) > 1) c->threads = share;
    if (hg_ranks_me(*out) == 0)
        hg_watch_log(&c->watch, HG_INFO, "%d ranks over %s, %d on this machine, %d thread%s each",
                     hg_ranks_n(*out), hg_ranks_name(*out), hg_ranks_n_local(*out),
                     c->threads > 0 ? c->threads : share,
                     (c->threads > 0 ? c->threads : share) == 1 ? "" : "s");
    return HG_OK;
}

int cli_ranks_fail(cli *c, hg_ranks *r, const hg_err *e)
{
    int code = 1;
    if (e->status == HG_E_CANCELED) { /* all ranks have agreed on it */
        if (hg_ranks_me(r) == 0) code = cli_fail(c, e);
        return code;
    }
    hg_ranks_before_telling(r);
    if (r != NULL || look().rank == 0) code = cli_fail(c, e);
    hg_ranks_abort(r);
    return code;
}
