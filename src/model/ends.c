/* What ends an answer. A text ends with one token, a turn with another, and before the answer of a
 * tool some models say a third; files name them in different places, and many files do not name
 * all. So an answer ends with any of those that config.json, generation_config.json or a GGUF name,
 * that the chat template puts behind an assistant's turn, or that are known by their names. */
#include "model/inner.h"
#include "text/json.h"
#include "token/token.h"

void hg_config_add_end(hg_model_config *c, int32_t id)
{
    if (id < 0 || (uint32_t)id >= c->n_vocab || id == c->eos_id || c->n_ends == HG_MAX_ENDS) return;
    for (uint32_t i = 0; i < c->n_ends; i++)
        if (c->end_id[i] == id) return;
    c->end_id[c->n_ends++] = id;
}

static void add_number(hg_model_config *c, const json_t *v)
{
    const json_int_t id = json_is_integer(v) ? json_integer_value(v) : -1;
    if (id < 0 || id >= HG_MAX_VOCAB) return;
    if (c->eos_id < 0 && id < (json_int_t)c->n_vocab)
        c->eos_id = (int32_t)id;
    else
        hg_config_add_end(c, (int32_t)id);
}

void hg_config_add_ends(hg_model_config *c, const json_t *o)
{
    const json_t *v = json_object_get(o, "eos_token_id"), *one;
    size_t i;
    if (!json_is_array(v)) add_number(c, v);
    json_array_foreach(v, i, one) add_number(c, one);
}

hg_status hg_config_add_generation(hg_model_config *c, const char *dir, hg_err *e)
{
    json_t *o = NULL;
    char *path = hg_path_join(dir, "generation_config.json");
    if (path == NULL) return hg_fail(e, HG_E_NOMEM, "no room for a path");
    hg_status s = hg_path_exists(path) ? hg_json_read(&o, path, HG_MAX_CONFIG, e) : HG_OK;
    if (s == HG_OK) hg_config_add_ends(c, o);
    json_decref(o);
    hg_free(path);
    return s;
}

/* ---- of a model ---- */
static size_t add(int32_t ids[HG_MAX_ENDS], size_t n, int32_t id)
{
    if (id < 0 || n == HG_MAX_ENDS) return n;
    for (size_t i = 0; i < n; i++)
        if (ids[i] == id) return n;
    ids[n] = id;
    return n + 1;
}

/* What the template puts behind an answer; -1 where it is broken, as whoever renders with it is
 * told. */
static int32_t template_end(const hg_model *m)
{
    hg_chat_format *f = NULL;
    hg_err e;
    if (m->chat_template == NULL) return -1;
    if (hg_chat_format_new(&f, m->tokenizer, m->chat_template, &e) != HG_OK) return -1;
    const int32_t id = hg_chat_format_end(f);
    hg_chat_format_free(f);
    return id;
}

size_t hg_model_ends(const hg_model *m, int32_t ids[HG_MAX_ENDS])
{
    int32_t known[HG_MAX_ENDS];
    size_t n = add(ids, 0, m->c.eos_id);
    for (uint32_t i = 0; i < m->c.n_ends; i++) n = add(ids, n, m->c.end_id[i]);
    if (m->tokenizer == NULL) return n;
    n = add(ids, n, template_end(m));
    const size_t n_known = hg_chat_end_ids(m->tokenizer, known);
    for (size_t i = 0; i < n_known; i++) n = add(ids, n, known[i]);
    return n;
}
