/* The plain types of weights by their names. */
#include "plain_type.h"

#include <string.h>

bool cli_plain_type(const char *text, hg_weights *out)
{
    static const struct {
        const char *name;
        hg_weights as;
    } types[] = {{"f32", HG_WEIGHTS_F32}, {"f16", HG_WEIGHTS_F16}, {"bf16", HG_WEIGHTS_BF16}};
    *out = HG_WEIGHTS_AS_STORED;
    if (text == NULL) return true;
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (strcmp(types[i].name, text) == 0) {
            *out = types[i].as;
            return true;
        }
    return false;
}
