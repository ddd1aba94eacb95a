/* Where a corpus is to be put: what may be replaced, and what must not be read as a source. */
#ifndef HG_DATA_TARGET_H
#define HG_DATA_TARGET_H

#include "base/mem.h"

/* OK when nothing is at `path`, an empty folder, or a corpus whose card has this options_key (any
 * corpus with `force`); else HG_E_STATE with what would be right. */
hg_status hg_target_check(const char *path, const char *options_key, bool force, hg_err *e);

/* When `target` lies below the folder `source`, *own becomes the path under which a walk of the
 * source would meet it (freed by the caller); else NULL. HG_E_ARG when the source is the target or
 * lies in it: it would be gone afterwards. */
hg_status hg_target_within(const char *source, const char *target, char **own, hg_err *e);

#endif
