/* higgins import: a GGUF, or another folder, as a Hugging Face folder. */
#include "model/inner.h"

hg_status hg_model_import(const char *from, const char *to, hg_weights as, hg_err *e)
{
    hg_model *m = NULL;
    HG_TRY(hg_model_open_stored(&m, from, e));
    hg_status s = hg_model_save(m, to, as, NULL, e);
    hg_model_free(m);
    return s;
}
