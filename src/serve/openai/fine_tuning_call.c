/* A request for a fine-tuning job, member by member. Hyperparameters stand in the method, or (the
 * older form) beside it; each is a number or "auto". */
#include "serve/openai/fine_tuning.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MAX_METADATA = 16, MAX_KEY = 64, MAX_VALUE = 512, MAX_SUFFIX = 64 };

static bool wrong(hg_problem *p, const char *param, const char *must)
{
    return hg_refuse(p, 400, "invalid_value", param, "%s must be %s", param, must);
}

/* A text that may be missing or null; *out then stays. */
static bool read_text(const json_t *body, const char *key, const char **out, hg_problem *p)
{
    const json_t *v = json_object_get(body, key);

    if (v == NULL || json_is_null(v)) return true;
    if (!json_is_string(v) || strlen(json_string_value(v)) != json_string_length(v))
        return wrong(p, key, "text");
    *out = json_string_value(v);
    return true;
}

static bool need_text(const json_t *body, const char *key, const char **out, hg_problem *p)
{
    *out = NULL;
    if (!read_text(body, key, out, p)) return false;
    if (*out != NULL && (*out)[0] != '\0') return true;
    return hg_refuse(p, 400, "missing_required_parameter", key, "%s is missing", key);
}

/* ---- numbers ---- */
typedef struct place {
    const json_t *obj;
    const char *path; /* "hyperparameters" */
    hg_problem *p;
} place;

/* A number, or "auto": *out then stays. */
static bool read_number(const place *at, const char *key, double min, double max, bool is_whole,
                        double *out)
{
    const json_t *v = json_object_get(at->obj, key);
    char param[64], must[96];

    if (v == NULL || json_is_null(v)) return true;
    if (json_is_string(v) && strcmp(json_string_value(v), "auto") == 0) return true;
    const double n = json_is_number(v) ? json_number_value(v) : (double)NAN;
    if (n >= min && n <= max && !(is_whole && n != floor(n))) {
        *out = n;
        return true;
    }
    (void)snprintf(param, sizeof param, "%.36s.%.26s", at->path, key);
    (void)snprintf(must, sizeof must, "\"auto\" or a %snumber from %g to %g",
                   is_whole ? "whole " : "", min, max);
    return wrong(at->p, param, must);
}

static bool read_hyperparameters(hg_training_wish *w, const json_t *obj, const char *path,
                                 bool is_dpo, hg_problem *p)
{
    const place at = {obj, path, p};
    double batch = (double)w->batch_size, rank = (double)w->lora_rank;

    if (obj == NULL || json_is_null(obj)) return true;
    if (!json_is_object(obj)) return wrong(p, path, "an object");
    if (!read_number(&at, "n_epochs", 1, 1000, true, &w->n_epochs) ||
        !read_number(&at, "batch_size", 1, 256, true, &batch) ||
        !read_number(&at, "learning_rate_multiplier", 1e-6, 1000, false, &w->lr_multiplier) ||
        (is_dpo && !read_number(&at, "beta", 1e-6, 2, false, &w->beta)))
        return false;
    const json_t *given = json_object_get(obj, "lora_rank");
    if (!read_number(&at, "lora_rank", 0, 1024, true, &rank)) return false;
    w->batch_size = (int64_t)batch;
    /* A rank of 0 asks for all weights to be trained. */
    if (json_is_number(given)) w->lora_rank = rank > 0 ? (int64_t)rank : -1;
    return true;
}

static bool read_method(hg_training_wish *w, const json_t *body, hg_problem *p)
{
    const json_t *method = json_object_get(body, "method");
    const char *type = NULL;
    char path[48];

    if (!read_hyperparameters(w, json_object_get(body, "hyperparameters"), "hyperparameters", false,
                              p))
        return false;
    if (method == NULL || json_is_null(method)) return true;
    if (!json_is_object(method)) return wrong(p, "method", "an object");
    if (!read_text(method, "type", &type, p)) return false;
    if (type != NULL && strcmp(type, "reinforcement") == 0)
        return hg_refuse(p, 400, "unsupported_value", "method.type",
                         "reinforcement is not offered over the API; method.type must be "
                         "supervised or dpo (higgins tune --method grpo learns from rewards)");
    const bool is_dpo = type != NULL && strcmp(type, "dpo") == 0;
    if (!is_dpo && (type == NULL || strcmp(type, "supervised") != 0))
        return wrong(p, "method.type", "supervised or dpo");
    w->method = is_dpo ? HG_TRAINING_DPO : HG_TRAINING_SUPERVISED;
    const json_t *own = json_object_get(method, type);
    if (own != NULL && !json_is_null(own) && !json_is_object(own)) {
        (void)snprintf(path, sizeof path, "method.%s", type);
        return wrong(p, path, "an object");
    }
    (void)snprintf(path, sizeof path, "method.%s.hyperparameters", type);
    return read_hyperparameters(w, json_object_get(own, "hyperparameters"), path, is_dpo, p);
}

/* ---- the rest ---- */
static bool read_metadata(hg_training_ask *ask, const json_t *body, hg_arena *mem, hg_problem *p)
{
    json_t *v = json_object_get(body, "metadata"), *one;
    const char *key;
    hg_buf b = {0};

    if (v == NULL || json_is_null(v)) return true;
    if (!json_is_object(v) || json_object_size(v) > MAX_METADATA)
        return wrong(p, "metadata", "an object of 16 members at the most");
    json_object_foreach(v, key, one)
    {
        if (strlen(key) > MAX_KEY || !json_is_string(one) || json_string_length(one) > MAX_VALUE)
            return wrong(p, "metadata",
                         "an object of texts, keys of 64 and texts of 512 characters at the most");
    }
    if (hg_json_put_tree(&b, v, NULL) == HG_OK && !b.failed)
        ask->note = hg_arena_strndup(mem, b.p, b.n);
    hg_buf_free(&b);
    return ask->note != NULL || hg_refuse(p, 500, NULL, NULL, "no room for the metadata");
}

static bool read_seed(hg_training_wish *w, const json_t *body, hg_problem *p)
{
    const json_t *v = json_object_get(body, "seed");

    if (v == NULL || json_is_null(v)) return true;
    if (!json_is_integer(v) || json_integer_value(v) < 0 || json_integer_value(v) > INT32_MAX)
        return wrong(p, "seed", "a whole number from 0 to 2147483647");
    w->seed = json_integer_value(v);
    return true;
}

static bool read_suffix(hg_training_ask *ask, const json_t *body, hg_problem *p)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._ ";

    if (!read_text(body, "suffix", &ask->suffix, p)) return false;
    if (ask->suffix == NULL) return true;
    const size_t n = strlen(ask->suffix);
    if (n == 0 || n > MAX_SUFFIX || strspn(ask->suffix, allowed) != n)
        return wrong(p, "suffix", "1 to 64 letters, digits, spaces and - . _");
    return true;
}

static bool refuse_integrations(const json_t *body, hg_problem *p)
{
    if (json_array_size(json_object_get(body, "integrations")) == 0) return true;
    return hg_refuse(p, 400, "unsupported_value", "integrations",
                     "integrations are not offered: nothing leaves this machine");
}

bool hg_fine_tuning_read(hg_training_ask *ask, const json_t *body, hg_arena *mem, hg_problem *p)
{
    const char *model = NULL;

    *ask = (hg_training_ask){.face = HG_FINE_TUNING_FACE, .id_prefix = "ftjob-"};
    hg_training_wish_init(&ask->wish);
    if (!json_is_object(body))
        return hg_refuse(p, 400, "invalid_body", NULL, "the body must be a JSON object");
    if (!need_text(body, "model", &model, p) ||
        !need_text(body, "training_file", &ask->training_file, p) ||
        !read_text(body, "validation_file", &ask->validation_file, p) ||
        !read_suffix(ask, body, p) || !read_seed(&ask->wish, body, p) ||
        !read_method(&ask->wish, body, p) || !read_metadata(ask, body, mem, p))
        return false;
    ask->model = (hg_bytes){model, strlen(model)};
    return refuse_integrations(body, p);
}
