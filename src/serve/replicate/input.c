/* The table of inputs. Names and ranges are those of Replicate's models of Llama's kind, in both of
 * their spellings, so that programs written for them find what they set. Seeds are drawn when none
 * is given: who wants an answer again takes the seed from the logs. */
#include "serve/replicate/input.h"

#include <math.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

typedef enum kind { TEXT, WHOLE, REAL } kind;

typedef struct field {
    const char *name, *other; /* another spelling, or NULL */
    kind kind;
    bool is_required;
    const char *usual_text; /* NULL: none */
    double usual, min, max; /* of numbers; usual NAN: none */
    const char *title, *about;
} field;

enum {
    PROMPT,
    SYSTEM_PROMPT,
    MAX_TOKENS,
    MIN_TOKENS,
    TEMPERATURE,
    TOP_P,
    TOP_K,
    MIN_P,
    PRESENCE,
    FREQUENCY,
    REPETITION,
    STOP,
    SEED,
    TEMPLATE,
    N_FIELDS
};

#define NONE ((double)NAN)
static const field fields[N_FIELDS] = {
    [PROMPT] = {"prompt", NULL, TEXT, true, NULL, NONE, 0, 0, "Prompt", "What the model is told"},
    [SYSTEM_PROMPT] = {"system_prompt", NULL, TEXT, false, "", NONE, 0, 0, "System Prompt",
                       "Who the model is to be; it stands before the prompt"},
    [MAX_TOKENS] = {"max_tokens", "max_new_tokens", WHOLE, false, NULL, 512, 1, HG_MAX_CTX,
                    "Max Tokens", "The answer has no more tokens"},
    [MIN_TOKENS] = {"min_tokens", "min_new_tokens", WHOLE, false, NULL, 0, -1, HG_MAX_CTX,
                    "Min Tokens", "The answer does not end by itself before; 0 or -1: it may"},
    [TEMPERATURE] = {"temperature", NULL, REAL, false, NULL, 0.6, 0, 5, "Temperature",
                     "How freely tokens are drawn; 0 always takes the likeliest"},
    [TOP_P] = {"top_p", NULL, REAL, false, NULL, 0.9, 0, 1, "Top P",
               "Draw from the likeliest tokens that together have this probability; 0 or 1: all"},
    [TOP_K] = {"top_k", NULL, WHOLE, false, NULL, 50, -1, 1 << 20, "Top K",
               "Draw from so many of the likeliest tokens; 0 or -1: all"},
    [MIN_P] = {"min_p", NULL, REAL, false, NULL, 0, 0, 1, "Min P",
               "Leave out tokens less likely than this share of the likeliest"},
    [PRESENCE] = {"presence_penalty", NULL, REAL, false, NULL, 0, -2, 2, "Presence Penalty",
                  "Taken from the logit of a token that the answer has"},
    [FREQUENCY] = {"frequency_penalty", NULL, REAL, false, NULL, 0, -2, 2, "Frequency Penalty",
                   "Taken from the logit of a token each time that the answer has it"},
    [REPETITION] = {"repetition_penalty", NULL, REAL, false, NULL, 1, 0.1, 10, "Repetition Penalty",
                    "Logits of what stands in the text are divided by it"},
    [STOP] = {"stop_sequences", NULL, TEXT, false, "", NONE, 0, 0, "Stop Sequences",
              "Texts that end the answer and are cut off, with commas between"},
    [SEED] = {"seed", NULL, WHOLE, false, NULL, NONE, 0, 9007199254740991.0, "Seed",
              "The same seed, input and version give the same answer; none: a new one each time"},
    [TEMPLATE] = {"prompt_template", NULL, TEXT, false, "", NONE, 0, 0, "Prompt Template",
                  "What the model reads, with {prompt} and {system_prompt} in it; empty: as the "
                  "model's own template says. Special tokens in it are plain text"},
};

/* ---- reading ---- */
typedef struct values {
    hg_bytes text[N_FIELDS];
    double number[N_FIELDS];
} values;

static void add_line(hg_problem *p, const char *name, const char *what)
{
    const size_t n = strlen(p->msg);

    if (p->status == 0) (void)hg_refuse(p, 422, "invalid_input", name, "%s", "");
    (void)snprintf(p->msg + n, sizeof p->msg - n, "%s- input.%s: %s", n > 0 ? "\n" : "", name,
                   what);
}

static const json_t *given(const json_t *input, const field *f)
{
    const json_t *v = json_object_get(input, f->name);

    if ((v == NULL || json_is_null(v)) && f->other != NULL) v = json_object_get(input, f->other);
    return json_is_null(v) ? NULL : v;
}

static void read_text(values *to, const json_t *v, const field *f, size_t i, hg_problem *p)
{
    to->text[i] = (hg_bytes){f->usual_text != NULL ? f->usual_text : "",
                             f->usual_text != NULL ? strlen(f->usual_text) : 0};
    if (json_is_string(v))
        to->text[i] = (hg_bytes){json_string_value(v), json_string_length(v)};
    else if (v != NULL)
        add_line(p, f->name, "Invalid type. Expected: string");
    else if (f->is_required)
        add_line(p, f->name, "is required");
}

static void read_number(values *to, const json_t *v, const field *f, size_t i, hg_problem *p)
{
    char what[80];
    const double x = json_is_number(v) ? json_number_value(v) : f->usual;

    to->number[i] = x;
    if (v == NULL) return;
    if (!json_is_number(v) || (f->kind == WHOLE && floor(x) != x)) {
        (void)snprintf(what, sizeof what, "Invalid type. Expected: %s",
                       f->kind == WHOLE ? "integer" : "number");
        add_line(p, f->name, what);
    } else if (!(x >= f->min)) {
        (void)snprintf(what, sizeof what, "Must be greater than or equal to %.16g", f->min);
        add_line(p, f->name, what);
    } else if (!(x <= f->max)) {
        (void)snprintf(what, sizeof what, "Must be less than or equal to %.16g", f->max);
        add_line(p, f->name, what);
    }
}

static uint64_t any_seed(void)
{
    return (uint64_t)randombytes_random() & 0x7fffffffu;
}

static void fill(hg_input *out, const values *v)
{
    hg_sampling *s = &out->sampling;

    memset(out, 0, sizeof *out);
    hg_sampling_init(s);
    out->prompt = v->text[PROMPT];
    out->system_prompt = v->text[SYSTEM_PROMPT];
    out->prompt_template = v->text[TEMPLATE];
    out->stop_sequences = v->text[STOP];
    out->max_tokens = (uint32_t)v->number[MAX_TOKENS];
    out->min_tokens = v->number[MIN_TOKENS] > 0 ? (uint32_t)v->number[MIN_TOKENS] : 0;
    s->temperature = (float)v->number[TEMPERATURE];
    s->top_p = v->number[TOP_P] > 0 ? (float)v->number[TOP_P] : 1;
    s->top_k = v->number[TOP_K] > 0 ? (uint32_t)v->number[TOP_K] : 0;
    s->min_p = (float)v->number[MIN_P];
    s->presence_penalty = (float)v->number[PRESENCE];
    s->frequency_penalty = (float)v->number[FREQUENCY];
    s->repetition_penalty = (float)v->number[REPETITION];
    s->seed = isnan(v->number[SEED]) ? any_seed() : (uint64_t)v->number[SEED];
}

bool hg_input_read(hg_input *out, const json_t *input, hg_problem *p)
{
    values v = {0};

    memset(p, 0, sizeof *p);
    if (!json_is_object(input))
        return hg_refuse(p, 422, "invalid_input", "input",
                         "- input: Invalid type. Expected: object");
    for (size_t i = 0; i < N_FIELDS; i++) {
        const field *f = &fields[i];
        if (f->kind == TEXT)
            read_text(&v, given(input, f), f, i, p);
        else
            read_number(&v, given(input, f), f, i, p);
    }
    if (p->status == 0 && v.number[MIN_TOKENS] > v.number[MAX_TOKENS])
        add_line(p, "min_tokens", "Must be less than or equal to max_tokens");
    if (p->status != 0) return false;
    fill(out, &v);
    return true;
}

size_t hg_input_stops(hg_bytes text, const char *out[HG_MAX_STOP], hg_arena *mem)
{
    size_t n = 0;

    while (text.n > 0 && n < HG_MAX_STOP) {
        const char *comma = memchr(text.p, ',', text.n);
        const size_t len = comma != NULL ? (size_t)(comma - text.p) : text.n;
        const char *copy = len > 0 ? hg_arena_strndup(mem, text.p, len) : NULL;
        if (copy != NULL && strlen(copy) == len) out[n++] = copy;
        text.p += comma != NULL ? len + 1 : len;
        text.n -= comma != NULL ? len + 1 : len;
    }
    return n;
}

/* ---- the schema ---- */
static void put_field(hg_json_out *o, const field *f, size_t order)
{
    static const char *const types[] = {"string", "integer", "number"};

    hg_json_begin(o, f->name, '{');
    hg_json_text(o, "type", types[f->kind]);
    hg_json_text(o, "title", f->title);
    hg_json_text(o, "description", f->about);
    if (f->usual_text != NULL) hg_json_text(o, "default", f->usual_text);
    if (f->kind != TEXT && !isnan(f->usual)) hg_json_number(o, "default", f->usual);
    if (f->kind != TEXT) hg_json_number(o, "minimum", f->min);
    if (f->kind != TEXT) hg_json_number(o, "maximum", f->max);
    hg_json_int(o, "x-order", (int64_t)order);
    hg_json_end(o);
}

static void put_input(hg_json_out *o)
{
    hg_json_begin(o, "Input", '{');
    hg_json_text(o, "type", "object");
    hg_json_text(o, "title", "Input");
    hg_json_begin(o, "required", '[');
    for (size_t i = 0; i < N_FIELDS; i++)
        if (fields[i].is_required) hg_json_text(o, NULL, fields[i].name);
    hg_json_end(o);
    hg_json_begin(o, "properties", '{');
    for (size_t i = 0; i < N_FIELDS; i++) put_field(o, &fields[i], i);
    hg_json_end(o);
    hg_json_end(o);
}

static void put_output(hg_json_out *o)
{
    hg_json_begin(o, "Output", '{');
    hg_json_text(o, "type", "array");
    hg_json_text(o, "title", "Output");
    hg_json_begin(o, "items", '{');
    hg_json_text(o, "type", "string");
    hg_json_end(o);
    hg_json_text(o, "x-cog-array-type", "iterator");
    hg_json_text(o, "x-cog-array-display", "concatenate");
    hg_json_end(o);
}

void hg_input_put_schema(hg_json_out *o, const char *key)
{
    hg_json_begin(o, key, '{');
    hg_json_text(o, "openapi", "3.0.2");
    hg_json_begin(o, "info", '{');
    hg_json_text(o, "title", "Higgins");
    hg_json_text(o, "version", HG_VERSION);
    hg_json_end(o);
    hg_json_begin(o, "paths", '{');
    hg_json_end(o);
    hg_json_begin(o, "components", '{');
    hg_json_begin(o, "schemas", '{');
    put_input(o);
    put_output(o);
    hg_json_end(o);
    hg_json_end(o);
    hg_json_end(o);
}
