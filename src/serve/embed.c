/* Embeddings: a text's vector is the mean of what the model makes of its tokens. Each text is
 * worked off in a session beside the engine, one at a time, in the time of the desk that asks. */
#include "serve/embed.h"
#include "serve/openai/openai.h"

#include <math.h>
#include <string.h>

/* A text alone, or an array of token ids alone. */
static bool is_single(const json_t *input)
{
    return json_is_string(input) || json_is_integer(json_array_get(input, 0));
}

static const json_t *text_at(const json_t *input, size_t i)
{
    return is_single(input) ? input : json_array_get(input, i);
}

static bool check_texts(const json_t *input, const char *param, hg_problem *p)
{
    const size_t n = is_single(input) ? 1 : json_array_size(input);

    if (n == 0 || n > HG_EMBED_MAX_TEXTS)
        return hg_refuse(p, 400, "invalid_value", param, "%s must be 1 to %d texts", param,
                         HG_EMBED_MAX_TEXTS);
    for (size_t i = 0; i < n; i++) {
        const json_t *t = text_at(input, i);
        if (json_string_length(t) == 0 && json_array_size(t) == 0)
            return hg_refuse(p, 400, "invalid_value", param,
                             "%s: text %zu must be a string or token ids, and not empty", param,
                             i + 1);
    }
    return true;
}

static void shorten(float *v, size_t d)
{
    double sum = 0;

    for (size_t i = 0; i < d; i++) sum += (double)v[i] * (double)v[i];
    const float scale = sum > 0 ? (float)(1 / sqrt(sum)) : 0;
    for (size_t i = 0; i < d; i++) v[i] *= scale;
}

static bool run(const hg_backend *m, const json_t *input, const char *param, hg_vectors *out,
                hg_problem *p)
{
    float *whole = hg_alloc(m->d_embed, sizeof *whole);
    hg_status s = whole != NULL ? HG_OK : HG_E_NOMEM;
    hg_err e = {.msg = "no room for a vector"};
    bool is_read = true;

    for (size_t i = 0; s == HG_OK && i < out->n; i++) {
        const json_t *t = text_at(input, i);
        hg_ids ids = {0};
        is_read = !json_is_array(t) || hg_openai_read_ids(&ids, t, m, param, p);
        if (!json_is_array(t))
            s = m->encode_whole(m->ctx, (hg_bytes){json_string_value(t), json_string_length(t)},
                                &ids, &e);
        if (is_read && s == HG_OK) s = m->embed(m->ctx, &ids, whole, &e);
        out->n_tokens += ids.n;
        hg_ids_free(&ids);
        if (!is_read || s != HG_OK) break;
        memcpy(out->v + i * out->d, whole, out->d * sizeof *whole);
        if (out->d < m->d_embed) shorten(out->v + i * out->d, out->d);
    }
    hg_free(whole);
    if (!is_read) return false;
    return s == HG_OK ||
           hg_refuse(p, s == HG_E_LIMIT || s == HG_E_ARG ? 400 : 500,
                     s == HG_E_LIMIT ? "context_length_exceeded" : NULL, param, "%s", e.msg);
}

static bool embed_with(const hg_backend *m, const json_t *input, int64_t dimensions,
                       const char *param, hg_vectors *out, hg_problem *p)
{
    if (m->embed == NULL)
        return hg_refuse(p, 400, "unsupported_parameter", "model", "%s makes no embeddings", m->id);
    if (dimensions < 0 || dimensions > (int64_t)m->d_embed)
        return hg_refuse(p, 400, "invalid_value", "dimensions",
                         "dimensions must be from 1 to the model's %u", m->d_embed);
    memcpy(out->model, m->id, sizeof out->model);
    out->n = is_single(input) ? 1 : json_array_size(input);
    out->d = dimensions > 0 ? (size_t)dimensions : m->d_embed;
    out->v = hg_alloc(out->n * out->d, sizeof *out->v);
    if (out->v == NULL) return hg_refuse(p, 500, NULL, NULL, "no room for the vectors");
    return run(m, input, param, out, p);
}

bool hg_embed(hg_server *s, hg_bytes model, const json_t *input, int64_t dimensions,
              const char *param, hg_vectors *out, hg_problem *p)
{
    memset(out, 0, sizeof *out);
    if (!check_texts(input, param, p)) return false;
    const hg_backend *m = hg_server_take(s, model, p);
    if (m == NULL) return false;
    const bool ok = embed_with(m, input, dimensions, param, out, p);
    hg_backend_release(m);
    return ok;
}

void hg_vectors_free(hg_vectors *v)
{
    hg_free(v->v);
    v->v = NULL;
}

void hg_put_vector(hg_json_out *o, const char *key, const hg_vectors *v, size_t i)
{
    hg_json_begin(o, key, '[');
    for (size_t k = 0; k < v->d; k++) hg_json_number(o, NULL, (double)v->v[i * v->d + k]);
    hg_json_end(o);
}
