/* What the two files of `higgins inspect` share. */
#ifndef CMD_INSPECT_H
#define CMD_INSPECT_H

#include <higgins/inspect.h>

void inspect_print_json(const hg_model_info *info);

#endif
