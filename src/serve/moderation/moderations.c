/* OpenAI's moderations: who judges, and how it is told. */
#include "serve/moderation/asked.h"
#include "serve/openai/openai.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

enum { MAX_TEXTS = 1024, MAX_ASKED = 32, MAX_BYTES = 1024 * 1024 };

/* ---- how it is told ---- */
void hg_moderation_begin(hg_json_out *o, const char *model)
{
    unsigned char r[12];
    char id[40] = "modr-";

    randombytes_buf(r, sizeof r);
    (void)sodium_bin2hex(id + 5, sizeof id - 5, r, sizeof r);
    hg_json_begin(o, NULL, '{');
    hg_json_text(o, "id", id);
    hg_json_text(o, "model", model);
    hg_json_begin(o, "results", '[');
}

void hg_moderation_put(hg_json_out *o, const double score[HG_N_HARMS])
{
    bool is_flagged = false;

    for (int h = 0; h < HG_N_HARMS; h++)
        is_flagged = is_flagged || score[h] >= hg_harm_threshold((hg_harm)h);
    hg_json_begin(o, NULL, '{');
    hg_json_bool(o, "flagged", is_flagged);
    hg_json_begin(o, "categories", '{');
    for (int h = 0; h < HG_N_HARMS; h++)
        hg_json_bool(o, hg_harm_name((hg_harm)h), score[h] >= hg_harm_threshold((hg_harm)h));
    hg_json_end(o);
    hg_json_begin(o, "category_scores", '{');
    for (int h = 0; h < HG_N_HARMS; h++) hg_json_number(o, hg_harm_name((hg_harm)h), score[h]);
    hg_json_end(o);
    hg_json_begin(o, "category_applied_input_types", '{');
    for (int h = 0; h < HG_N_HARMS; h++) {
        hg_json_begin(o, hg_harm_name((hg_harm)h), '[');
        hg_json_text(o, NULL, "text");
        hg_json_end(o);
    }
    hg_json_end(o);
    hg_json_end(o);
}

/* ---- what is asked ---- */
static bool bad_input(hg_problem *p, const char *what)
{
    return hg_refuse(p, 400, "invalid_value", "input", "input %s", what);
}

/* A text, or a part of that type. */
static bool add_text(json_t *texts, json_t *v, hg_problem *p)
{
    const char *type = json_string_value(json_object_get(v, "type"));
    json_t *text = json_is_string(v) ? v : json_object_get(v, "text");

    if (type != NULL && strcmp(type, "text") != 0)
        return bad_input(p, "may hold parts of type \"text\" only: this server cannot judge "
                            "pictures");
    if (!json_is_string(text) || (!json_is_string(v) && type == NULL))
        return bad_input(p, "must be a string, or an array of strings or of parts of text");
    return json_array_append(texts, text) == 0 ||
           hg_refuse(p, 500, NULL, NULL, "no room for the request");
}

static bool read_texts(json_t *texts, const json_t *body, hg_problem *p)
{
    json_t *input = json_object_get(body, "input"), *v;
    size_t i, n_bytes = 0;

    if (input == NULL || json_is_null(input))
        return hg_refuse(p, 400, "missing_required_parameter", "input",
                         "input must be a string, or an array of strings or of parts of text");
    if (!json_is_array(input)) {
        if (!add_text(texts, input, p)) return false;
    }
    if (json_array_size(input) > MAX_TEXTS) return bad_input(p, "has over 1024 texts");
    json_array_foreach(input, i, v)
    {
        if (!add_text(texts, v, p)) return false;
    }
    if (json_array_size(texts) == 0) return bad_input(p, "is empty");
    json_array_foreach(texts, i, v) n_bytes += json_string_length(v);
    return n_bytes <= MAX_BYTES || bad_input(p, "has over 1 MiB of text");
}

/* Who judges: the lexicon (NULL), or a model. OpenAI's own names mean what the owner has chosen. */
static bool read_judge(hg_server *s, const json_t *body, const char **model, hg_problem *p)
{
    const json_t *v = json_object_get(body, "model");
    const char *name = json_string_value(v);

    *model = hg_server_moderator(s);
    if (v == NULL || json_is_null(v)) return true;
    if (name == NULL)
        return hg_refuse(p, 400, "invalid_value", "model", "model must be the name of a model");
    if (strncmp(name, "omni-moderation-", 16) == 0 || strncmp(name, "text-moderation-", 16) == 0)
        return true;
    *model = NULL;
    if (strcmp(name, HG_LEXICON_NAME) == 0) return true;
    const hg_card *card = hg_server_find(s, (hg_bytes){name, json_string_length(v)});
    if (card == NULL) return hg_no_model(p, s, (hg_bytes){name, json_string_length(v)});
    *model = card->id;
    return true;
}

static bool judge_by_words(hg_exchange *x, const json_t *texts, hg_problem *p)
{
    double score[HG_N_HARMS];
    hg_buf b = {0};
    hg_json_out o;
    hg_err e;
    size_t i;
    json_t *v;

    hg_json_out_init(&o, &b, 0);
    hg_moderation_begin(&o, HG_LEXICON_NAME);
    json_array_foreach(texts, i, v)
    {
        const hg_bytes text = {json_string_value(v), json_string_length(v)};
        if (hg_lexicon_score(score, text, &e) != HG_OK) {
            hg_buf_free(&b);
            return hg_refuse(p, 500, NULL, NULL, "%s", e.msg);
        }
        hg_moderation_put(&o, score);
    }
    hg_json_end(&o);
    hg_json_end(&o);
    hg_reply_json(x, &hg_moderations, &b);
    return true;
}

static void create(hg_server *s, hg_exchange *x, hg_bytes rest)
{
    json_t *body = NULL, *texts = json_array();
    const char *model = NULL;
    hg_problem p;

    (void)rest;
    bool ok = hg_body_parse(&body, hg_exchange_body(x), &p);
    if (ok && !json_is_object(body))
        ok = hg_refuse(&p, 400, "invalid_json", NULL, "the body must be a JSON object");
    ok = ok && read_texts(texts, body, &p) && read_judge(s, body, &model, &p);
    if (ok && model != NULL && json_array_size(texts) > MAX_ASKED)
        ok = bad_input(&p, "has over 32 texts; a model judges no more at once");
    if (ok)
        ok = model != NULL ? hg_moderation_ask(s, x, model, texts, &p)
                           : judge_by_words(x, texts, &p);
    if (!ok) hg_answer_problem(x, &hg_moderations, &p);
    json_decref(texts);
    json_decref(body);
}

static void explain(hg_buf *out, const hg_problem *p)
{
    hg_openai.explain(out, p);
}

static const hg_route routes[] = {{"POST", "/v1/moderations", create, HG_NEEDS_RUN},
                                  {NULL, NULL, NULL, HG_NEEDS_RUN}};
const hg_protocol hg_moderations = {.mounts = "openai", .routes = routes, .explain = explain};
