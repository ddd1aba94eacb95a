/* The requests for embeddings of OpenAI, Ollama and Gemini. */
#include "serve/embed.h"
#include "base/clock.h"
#include "serve/gemini/gemini.h"
#include "serve/ollama/ollama.h"
#include "serve/openai/openai.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

/* What tell_openai and tell_gemini choose by. */
enum { AS_NUMBERS, AS_BASE64 };
enum { ONE_CONTENT, MANY_CONTENTS };

static bool read_wish(const json_t *body, hg_embed_wish *w, hg_problem *p)
{
    hg_bytes format = {"float", 5};
    hg_err e = {0};

    hg_status s = hg_json_get_text(body, "model", &w->model, &e);
    if (s == HG_OK) s = hg_json_opt_int(body, "dimensions", 1, 1 << 20, &w->dimensions, &e);
    if (s == HG_OK) s = hg_json_opt_text(body, "encoding_format", &format, &e);
    if (s != HG_OK) return hg_refuse(p, 400, "invalid_value", NULL, "%s", e.msg);
    w->input = json_object_get(body, w->param);
    const bool is_base64 = format.n == 6 && memcmp(format.p, "base64", 6) == 0;
    if (w->protocol == &hg_ollama) w->model = hg_ollama_name(w->model);
    if (w->takes_one && json_string_length(w->input) == 0)
        return hg_refuse(p, 400, "invalid_value", w->param, "%s must be a text that is not empty",
                         w->param);
    w->choice = is_base64 ? AS_BASE64 : AS_NUMBERS;
    if (!is_base64 && !(format.n == 5 && memcmp(format.p, "float", 5) == 0))
        return hg_refuse(p, 400, "invalid_value", "encoding_format",
                         "encoding_format must be float or base64");
    return true;
}

/* float32, little-endian, as both of our processors have it. */
static void put_base64(hg_json_out *o, const char *key, const hg_vectors *v, size_t i)
{
    const size_t n = v->d * sizeof *v->v;
    const size_t room = sodium_base64_ENCODED_LEN(n, sodium_base64_VARIANT_ORIGINAL);
    char *text = hg_alloc(room, 1);

    if (text == NULL) {
        o->b->failed = true;
        return;
    }
    (void)sodium_bin2base64(text, room, (const unsigned char *)(v->v + i * v->d), n,
                            sodium_base64_VARIANT_ORIGINAL);
    hg_json_text(o, key, text);
    hg_free(text);
}

static void tell_openai(hg_exchange *x, const hg_vectors *v)
{
    hg_buf b = {0};
    hg_json_out o;

    hg_json_out_init(&o, &b, 0);
    hg_json_begin(&o, NULL, '{');
    hg_json_text(&o, "object", "list");
    hg_json_text(&o, "model", v->model);
    hg_json_begin(&o, "data", '[');
    for (size_t i = 0; i < v->n; i++) {
        hg_json_begin(&o, NULL, '{');
        hg_json_text(&o, "object", "embedding");
        hg_json_int(&o, "index", (int64_t)i);
        if (v->choice == AS_BASE64)
            put_base64(&o, "embedding", v, i);
        else
            hg_put_vector(&o, "embedding", v, i);
        hg_json_end(&o);
    }
    hg_json_end(&o);
    hg_json_begin(&o, "usage", '{');
    hg_json_int(&o, "prompt_tokens", (int64_t)v->n_tokens);
    hg_json_int(&o, "total_tokens", (int64_t)v->n_tokens);
    hg_json_end(&o);
    hg_json_end(&o);
    hg_reply_json(x, &hg_openai, &b);
}

static void tell_ollama(hg_exchange *x, const hg_vectors *v)
{
    hg_buf b = {0};
    hg_json_out o;

    hg_json_out_init(&o, &b, 0);
    hg_json_begin(&o, NULL, '{');
    hg_json_text(&o, "model", v->model);
    hg_json_begin(&o, "embeddings", '[');
    for (size_t i = 0; i < v->n; i++) hg_put_vector(&o, NULL, v, i);
    hg_json_end(&o);
    hg_json_int(&o, "total_duration", (int64_t)((hg_seconds() - v->began) * 1e9));
    hg_json_int(&o, "load_duration", 0);
    hg_json_int(&o, "prompt_eval_count", (int64_t)v->n_tokens);
    hg_json_end(&o);
    hg_reply_json(x, &hg_ollama, &b);
}

/* What `embeddings` answered before `embed` was: one vector. */
static void tell_ollama_one(hg_exchange *x, const hg_vectors *v)
{
    hg_buf b = {0};
    hg_json_out o;

    hg_json_out_init(&o, &b, 0);
    hg_json_begin(&o, NULL, '{');
    hg_put_vector(&o, "embedding", v, 0);
    hg_json_end(&o);
    hg_reply_json(x, &hg_ollama, &b);
}

static void answer(hg_server *s, hg_exchange *x, hg_embed_wish *w)
{
    json_t *body = NULL;
    hg_problem p;
    const bool ok = hg_body_parse(&body, hg_exchange_body(x), &p) && read_wish(body, w, &p) &&
                    hg_embed(s, x, w, &p);

    if (!ok) hg_answer_problem(x, w->protocol, &p);
    json_decref(body);
}

void hg_openai_embeddings(hg_server *s, hg_exchange *x, hg_bytes rest)
{
    (void)rest;
    answer(s, x, &(hg_embed_wish){.param = "input", .protocol = &hg_openai, .tell = tell_openai});
}

void hg_ollama_embed(hg_server *s, hg_exchange *x, hg_bytes rest)
{
    (void)rest;
    answer(s, x, &(hg_embed_wish){.param = "input", .protocol = &hg_ollama, .tell = tell_ollama});
}

void hg_ollama_embed_one(hg_server *s, hg_exchange *x, hg_bytes rest)
{
    (void)rest;
    answer(
        s, x,
        &(hg_embed_wish){
            .param = "prompt", .takes_one = true, .protocol = &hg_ollama, .tell = tell_ollama_one});
}

/* ---- Gemini ---- */
/* The texts of a content's parts, joined. */
static bool add_content(json_t *texts, const json_t *content, hg_problem *p)
{
    const json_t *parts = json_object_get(content, "parts");
    hg_buf b = {0};
    bool ok = json_array_size(parts) > 0;

    for (size_t i = 0; ok && i < json_array_size(parts); i++) {
        const json_t *t = json_object_get(json_array_get(parts, i), "text");
        ok = json_is_string(t);
        if (ok) hg_buf_put(&b, json_string_value(t), json_string_length(t));
    }
    if (ok) ok = json_array_append_new(texts, json_stringn(b.n > 0 ? b.p : "", b.n)) == 0;
    hg_buf_free(&b);
    return ok || hg_refuse(p, 400, NULL, NULL, "content.parts must be parts of text");
}

static int64_t dimensions_of(const json_t *request)
{
    const json_t *v = json_object_get(request, "outputDimensionality");

    return json_is_integer(v) ? json_integer_value(v) : json_is_number(v) ? -1 : 0;
}

static bool read_gemini(const json_t *body, bool is_batch, json_t *texts, int64_t *dimensions,
                        hg_problem *p)
{
    const json_t *requests = json_object_get(body, "requests");

    if (!is_batch) {
        *dimensions = dimensions_of(body);
        return add_content(texts, json_object_get(body, "content"), p);
    }
    if (json_array_size(requests) == 0)
        return hg_refuse(p, 400, NULL, NULL, "requests must be an array of requests");
    for (size_t i = 0; i < json_array_size(requests); i++) {
        const json_t *r = json_array_get(requests, i);
        if (i > 0 && dimensions_of(r) != *dimensions)
            return hg_refuse(p, 400, NULL, NULL,
                             "requests[%zu].outputDimensionality: all must ask for the same", i);
        *dimensions = dimensions_of(r);
        if (!add_content(texts, json_object_get(r, "content"), p)) return false;
    }
    return true;
}

static void tell_gemini(hg_exchange *x, const hg_vectors *v)
{
    const bool is_batch = v->choice == MANY_CONTENTS;
    hg_buf b = {0};
    hg_json_out o;

    hg_json_out_init(&o, &b, 0);
    hg_json_begin(&o, NULL, '{');
    hg_json_begin(&o, is_batch ? "embeddings" : "embedding", is_batch ? '[' : '{');
    for (size_t i = 0; i < v->n; i++) {
        if (is_batch) hg_json_begin(&o, NULL, '{');
        hg_put_vector(&o, "values", v, i);
        if (is_batch) hg_json_end(&o);
    }
    hg_json_end(&o);
    hg_json_end(&o);
    hg_reply_json(x, &hg_gemini, &b);
}

bool hg_gemini_embed(hg_server *s, hg_exchange *x, hg_bytes model, bool is_batch, hg_problem *p)
{
    json_t *body = NULL, *texts = json_array();
    hg_embed_wish w = {.model = model,
                       .input = texts,
                       .param = "content",
                       .protocol = &hg_gemini,
                       .tell = tell_gemini,
                       .choice = is_batch ? MANY_CONTENTS : ONE_CONTENT};
    const bool ok = hg_body_parse(&body, hg_exchange_body(x), p) &&
                    read_gemini(body, is_batch, texts, &w.dimensions, p) && hg_embed(s, x, &w, p);

    json_decref(texts);
    json_decref(body);
    return ok;
}
