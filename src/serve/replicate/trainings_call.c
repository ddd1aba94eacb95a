/* The input of a training, in the words of Replicate's trainers of Llama's kind. */
#include "serve/replicate/trainings.h"

#include <math.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { MAX_DATA = 128 * 1024 * 1024, MOST_ROWS = 256 /* of a step */ };
static const double FETCH_S = 60;

static bool wrong(hg_problem *p, const char *key, const char *what)
{
    return hg_refuse(p, 422, "invalid_input", key, "- input.%s: %s", key, what);
}

static bool read_number(const json_t *input, const char *key, double min, double max, double *out,
                        hg_problem *p)
{
    const json_t *v = json_object_get(input, key);
    char what[80];

    if (v == NULL || json_is_null(v)) return true;
    const double x = json_is_number(v) ? json_number_value(v) : (double)NAN;
    (void)snprintf(what, sizeof what, "Must be a number from %g to %g", min, max);
    if (!(x >= min && x <= max)) return wrong(p, key, what);
    *out = x;
    return true;
}

static bool read_whole(const json_t *input, const char *key, double min, double max, int64_t *out,
                       hg_problem *p)
{
    double x = (double)*out;

    if (!read_number(input, key, min, max, &x, p)) return false;
    if (x != floor(x)) return wrong(p, key, "Invalid type. Expected: integer");
    *out = (int64_t)x;
    return true;
}

/* "q_proj,v_proj" is "q,v" here, each once. */
static bool read_targets(hg_training_wish *w, const json_t *input, hg_arena *mem, hg_problem *p)
{
    static const char *const known[] = {"q", "k", "v", "o", "gate", "up", "down"};
    enum { N_KNOWN = sizeof known / sizeof known[0] };
    const json_t *v = json_object_get(input, "lora_target_modules");
    const char *at = json_string_value(v);
    bool is_wanted[N_KNOWN] = {false};
    char out[64] = "";

    if (v == NULL || json_is_null(v)) return true;
    if (at == NULL) return wrong(p, "lora_target_modules", "Invalid type. Expected: string");
    for (size_t n, i; *at != '\0'; at += n + (at[n] == ',')) {
        while (*at == ' ') at++;
        n = strcspn(at, ",");
        size_t own = n;
        while (own > 0 && at[own - 1] == ' ') own--;
        if (own > 5 && strncmp(at + own - 5, "_proj", 5) == 0) own -= 5;
        for (i = 0; i < N_KNOWN; i++)
            if (strlen(known[i]) == own && strncmp(known[i], at, own) == 0) break;
        if (i == N_KNOWN)
            return wrong(p, "lora_target_modules",
                         "Must be some of q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj and "
                         "down_proj");
        is_wanted[i] = true;
    }
    for (size_t i = 0; i < N_KNOWN; i++) {
        const size_t n = strlen(out);
        if (is_wanted[i])
            (void)snprintf(out + n, sizeof out - n, "%s%s", n > 0 ? "," : "", known[i]);
    }
    w->lora_targets = hg_arena_strndup(mem, out, strlen(out));
    return w->lora_targets != NULL || hg_refuse(p, 500, NULL, NULL, "no room for the training");
}

static bool read_numbers(hg_training_wish *w, const json_t *input, hg_problem *p)
{
    int64_t accumulation = 1, steps = -1;
    double split = 1;
    const bool ok =
        read_whole(input, "train_batch_size", 1, MOST_ROWS, &w->batch_size, p) &&
        read_whole(input, "gradient_accumulation_steps", 1, MOST_ROWS, &accumulation, p) &&
        read_number(input, "learning_rate", 1e-8, 1, &w->lr, p) &&
        read_number(input, "warmup_ratio", 0, 1, &w->warmup, p) &&
        read_number(input, "num_train_epochs", 0.01, 1000, &w->n_epochs, p) &&
        read_whole(input, "max_steps", -1, 1e9, &steps, p) &&
        read_whole(input, "lora_rank", 1, 256, &w->lora_rank, p) &&
        read_number(input, "lora_alpha", 0.1, 1e4, &w->lora_alpha, p) &&
        read_number(input, "lora_dropout", 0, 0.9, &w->lora_dropout, p) &&
        read_number(input, "train_eval_split", 0.5, 1, &split, p) &&
        read_whole(input, "seed", 0, 9e15, &w->seed, p);

    if (ok && accumulation > 1 && w->batch_size == 0)
        return wrong(p, "gradient_accumulation_steps", "Needs train_batch_size beside it");
    if (ok && w->batch_size * accumulation > MOST_ROWS)
        return wrong(p, "gradient_accumulation_steps",
                     "Times train_batch_size it may be 256 at the most");
    if (w->batch_size > 0) w->batch_size *= accumulation;
    if (steps > 0) w->n_steps = steps;
    w->val_share = 1 - split;
    return ok;
}

/* ---- data ---- */
static bool keep(hg_server *s, const char *owner, hg_bytes bytes, const char *key, hg_arena *mem,
                 const char **id, hg_problem *p)
{
    const hg_file_ask ask = {.owner = owner,
                             .id_prefix = "file-",
                             .name = "train_data.jsonl",
                             .type = "application/jsonl",
                             .purpose = "fine-tune"};
    char made[HG_FILE_ID_ROOM];
    hg_err e = {0};

    if (hg_files_put(hg_server_files(s), &ask, bytes, made, &e) != HG_OK)
        return hg_refuse(p, e.status == HG_E_LIMIT ? 413 : 507, NULL, key, "- input.%s: %s", key,
                         e.msg);
    *id = hg_arena_strndup(mem, made, strlen(made));
    return *id != NULL || hg_refuse(p, 500, NULL, NULL, "no room for the training");
}

/* A link to a file of this server: its id is between /v1/files/ and what follows. */
static const char *own_file(const hg_exchange *x, const char *url, hg_arena *mem)
{
    char base[320];

    hg_replicate_base(x, base);
    const size_t n = strlen(base);
    if (strncmp(url, base, n) != 0 || strncmp(url + n, "/v1/files/", 10) != 0) return NULL;
    return hg_arena_strndup(mem, url + n + 10, strcspn(url + n + 10, "/?"));
}

static bool take_data_uri(hg_server *s, const char *owner, const char *uri, const char *key,
                          hg_arena *mem, const char **id, hg_problem *p)
{
    const char *comma = strchr(uri, ',');
    const size_t n = comma != NULL ? strlen(comma + 1) : 0;
    const bool is_base64 =
        comma != NULL && comma - uri >= 7 && strncmp(comma - 7, ";base64", 7) == 0;
    unsigned char *out = HG_NEW(mem, unsigned char, n + 1);
    size_t n_out = 0;

    if (comma == NULL) return wrong(p, key, "a data URI has a comma before its data");
    if (out == NULL) return hg_refuse(p, 500, NULL, NULL, "no room for the training data");
    if (!is_base64)
        n_out = hg_path_decode((hg_bytes){comma + 1, n}, (char *)out, n).n;
    else if (sodium_base642bin(out, n, comma + 1, n, "\r\n ", &n_out, NULL,
                               sodium_base64_VARIANT_ORIGINAL) != 0)
        return wrong(p, key, "what stands in the data URI is no base64");
    return keep(s, owner, (hg_bytes){(char *)out, n_out}, key, mem, id, p);
}

/* Once it is there; before, x is withheld and handled again (HG_E_STATE), and what is refused is
 * told to nobody. */
static bool fetch_data(hg_server *s, hg_exchange *x, const char *url, const char *key,
                       hg_arena *mem, const char **id, hg_problem *p)
{
    const hg_fetch f = {.url = url,
                        .allows_private = hg_server_get_options(s)->allows_private_urls,
                        .seconds = FETCH_S,
                        .max_body = MAX_DATA};
    hg_bytes body;
    hg_err e = {0};
    int status = 0;

    const hg_status got =
        hg_fetching_get(hg_server_replicate(s)->fetching, x, &f, &status, &body, &e);
    if (got == HG_E_STATE || got == HG_E_NOMEM) return hg_refuse(p, 503, NULL, NULL, "%s", e.msg);
    if (got != HG_OK) return hg_refuse(p, 422, "invalid_input", key, "- input.%s: %s", key, e.msg);
    if (status != 200)
        return hg_refuse(p, 422, "invalid_input", key, "- input.%s: the server there answers %d",
                         key, status);
    return keep(s, hg_exchange_owner(x), body, key, mem, id, p);
}

static bool read_data(hg_server *s, hg_exchange *x, const json_t *input, const char *key,
                      hg_arena *mem, const char **id, hg_problem *p)
{
    const json_t *v = json_object_get(input, key);
    const char *text = json_string_value(v);

    *id = NULL;
    if (v == NULL || json_is_null(v)) return true;
    if (text == NULL) return wrong(p, key, "Invalid type. Expected: string");
    if (strncasecmp(text, "data:", 5) == 0)
        return take_data_uri(s, hg_exchange_owner(x), text, key, mem, id, p);
    *id = own_file(x, text, mem);
    if (*id != NULL) return true;
    if (strstr(text, "://") != NULL) return fetch_data(s, x, text, key, mem, id, p);
    *id = text; /* the id of a file */
    return true;
}

static void drop(hg_server *s, const hg_exchange *x, const json_t *input, const char *key,
                 const char *id)
{
    const char *given = json_string_value(json_object_get(input, key));

    if (id == NULL || given == NULL || strcmp(given, id) == 0) return;
    if (strncasecmp(given, "data:", 5) != 0 && strstr(given, id) != NULL) return; /* its own */
    (void)hg_files_delete(hg_server_files(s), hg_exchange_owner(x), id, NULL);
}

void hg_replicate_drop_data(const hg_training_ask *ask, hg_server *s, const hg_exchange *x,
                            const json_t *input)
{
    drop(s, x, input, "train_data", ask->training_file);
    drop(s, x, input, "eval_data", ask->validation_file);
}

bool hg_replicate_read_training(hg_training_ask *ask, hg_server *s, hg_exchange *x,
                                const json_t *input, hg_arena *mem, hg_problem *p)
{
    hg_training_wish_init(&ask->wish);
    if (!json_is_object(input)) return wrong(p, "train_data", "is required");
    if (!read_numbers(&ask->wish, input, p) || !read_targets(&ask->wish, input, mem, p) ||
        !read_data(s, x, input, "train_data", mem, &ask->training_file, p) ||
        !read_data(s, x, input, "eval_data", mem, &ask->validation_file, p))
        return false;
    if (ask->validation_file != NULL) ask->wish.val_share = 0;
    return ask->training_file != NULL || wrong(p, "train_data", "is required");
}
