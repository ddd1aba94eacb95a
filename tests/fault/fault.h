/* Runs a scenario again and again, each time with one more allocation succeeding before one fails:
 * nothing may crash, nothing may leak (under AddressSanitizer the leak check at the end of the case
 * sees it), and the failure must come back as a sentence.
 *
 * The linker gives this program its own malloc, calloc, realloc and posix_memalign for everything
 * that is linked statically, libhiggins above all. */
#ifndef HG_TESTS_FAULT_H
#define HG_TESTS_FAULT_H

#include <higgins/base.h>

/* A scenario cleans up after itself whatever happens and returns how it ended. */
typedef hg_status fault_scenario(void *ctx, hg_err *e);

/* Fails the case when the scenario does anything but end with HG_OK or with a failure that has a
 * sentence. `step` > 1 tries every step-th allocation only, for scenarios with very many. Returns
 * how many failures were tried. */
long fault_run(fault_scenario *scenario, void *ctx, long step);

#endif
