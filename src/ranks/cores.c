/* Which processors a rank works on. Open MPI binds each rank to one core unless told otherwise,
 * which would leave all threads but one of a rank without a core of their own. */
#include "base/pool.h"
#include "ranks/ranks.h"
#include <sched.h>
#include <string.h>

int hg_ranks_cores(const hg_ranks *r)
{
    int bound = hg_cores(), n = hg_ranks_n_local(r);
    cpu_set_t was, all;
    if (n == 1 || sched_getaffinity(0, sizeof was, &was) != 0) return bound;
    memset(&all, 0xff, sizeof all); /* the system keeps to those that this process may use */
    (void)sched_setaffinity(0, sizeof all, &all);
    int share = hg_cores() / n;
    if (share < 1) share = 1;
    if (bound < share) return share;
    (void)sched_setaffinity(0, sizeof was, &was); /* the binding takes nothing away */
    return share < bound ? share : bound;
}
