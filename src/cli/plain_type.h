/* --type of export and import. */
#ifndef CLI_PLAIN_TYPE_H
#define CLI_PLAIN_TYPE_H

#include <higgins/model.h>

/* "f32", "f16", "bf16"; NULL: as stored. False for another word. */
bool cli_plain_type(const char *text, hg_weights *out);

#endif
