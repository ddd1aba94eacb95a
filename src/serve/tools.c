/* From tools to the form of an answer. */
#include "serve/tools.h"
#include "text/json.h"

/* Whether a schema can be held; *e says why not. */
static bool can_hold(const json_t *schema, hg_err *e)
{
    hg_grammar *g = NULL;
    hg_buf text = {0};
    hg_status s = hg_json_put_tree(&text, schema, e);

    if (s == HG_OK) s = hg_grammar_from_json_schema(&g, (hg_bytes){text.p, text.n}, e);
    hg_grammar_free(g);
    hg_buf_free(&text);
    return s == HG_OK;
}

static bool find_loose(const json_t *tools, bool *is_loose, hg_problem *p)
{
    for (size_t i = 0; i < json_array_size(tools); i++) {
        const json_t *f = json_object_get(json_array_get(tools, i), "function");
        const json_t *parameters = json_object_get(f, "parameters");
        hg_err e = {0};

        is_loose[i] = parameters != NULL && !can_hold(parameters, &e);
        if (is_loose[i] && json_is_true(json_object_get(f, "strict")))
            return hg_refuse(p, 400, "invalid_value", "tools", "tools[%zu].function.parameters, %s",
                             i, e.msg);
    }
    return true;
}

bool hg_tools_form(const hg_backend *m, const json_t *tools, const char *only, bool must_call,
                   hg_form **out, hg_problem *p)
{
    bool is_loose[HG_MAX_TOOLS];
    hg_buf schema = {0};
    hg_err e = {0};

    *out = NULL;
    if (!find_loose(tools, is_loose, p)) return false;
    hg_status s = hg_calls_schema(m->call_style, tools, only, is_loose, &schema, &e);
    if (s == HG_OK)
        s = m->form(m->ctx, must_call ? HG_FORM_SCHEMA : HG_FORM_CALLS,
                    (hg_bytes){schema.p, schema.n}, out, &e);
    hg_buf_free(&schema);
    return s == HG_OK ||
           hg_refuse(p, s == HG_E_NOMEM ? 500 : 400, "invalid_value", "tools", "tools: %s", e.msg);
}
