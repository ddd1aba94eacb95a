/* Several processes that train one model together. A launcher (mpirun, srun) starts them; each
 * opens its rank and hands it to hg_train_run. Without, or with NULL, a process is alone. */
#ifndef HIGGINS_RANKS_H
#define HIGGINS_RANKS_H

#include <higgins/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct hg_ranks hg_ranks;

typedef struct hg_ranks_options {
    const char *plugin; /* the shared object that speaks MPI */
    int n_expected;     /* tasks that the launcher says it started; 0: it says nothing */
    /* How long another rank may give no sign of life before it counts as lost; a thread of each
     * gives one each second, whatever else it computes. */
    double patience_s;
    /* Set when this process is asked to end, as launchers do when a rank is lost; NULL: never. From
     * then on the patience is hasty_s. */
    const atomic_bool *stop;
    double hasty_s;
} hg_ranks_options;
HG_API void hg_ranks_options_init(hg_ranks_options *o);

/* Joins the others. HG_E_MISSING: the plug-in cannot be loaded. HG_E_STATE: the communicator has
 * another size than the launcher started tasks (each would train a lone copy), or has more than
 * HG_MAX_RANKS. One thread at a time may use *out. */
enum { HG_MAX_RANKS = 4096 };
HG_API hg_status hg_ranks_open(hg_ranks **out, const hg_ranks_options *o, hg_err *e);
/* Waits for the others where the launcher wants it; NULL is fine. */
HG_API void hg_ranks_close(hg_ranks *r);
/* Ends all ranks; with MPI it does not return. Rank 0 ends them at once, any other a second later,
 * so that of a fault that all have only rank 0 tells. */
HG_API void hg_ranks_abort(hg_ranks *r);
/* Waits that second (rank 0 and NULL do not): whoever returns is to tell what went wrong. */
HG_API void hg_ranks_before_telling(const hg_ranks *r);

HG_API int hg_ranks_me(const hg_ranks *r);      /* 0 .. n-1; NULL: 0 */
HG_API int hg_ranks_n(const hg_ranks *r);       /* NULL: 1 */
HG_API int hg_ranks_n_local(const hg_ranks *r); /* on this machine; NULL: 1 */
/* Processors for this rank: those of the machine shared out among its ranks there. Undoes a binding
 * by the launcher that leaves the rank fewer; call it before threads are made. */
HG_API int hg_ranks_cores(const hg_ranks *r);
HG_API const char *hg_ranks_name(const hg_ranks *r); /* "Open MPI 4.1.4"; NULL: "" */

#ifdef __cplusplus
}
#endif
#endif
