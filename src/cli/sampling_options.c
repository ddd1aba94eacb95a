/* How a model answers: from options to a request. */
#include "sampling_options.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    hg_weights as;
} dtypes[] = {
    {"stored", HG_WEIGHTS_AS_STORED},
    {"f32", HG_WEIGHTS_F32},
    {"f16", HG_WEIGHTS_F16},
    {"bf16", HG_WEIGHTS_BF16},
};
enum { N_DTYPES = sizeof dtypes / sizeof dtypes[0] };

/* 0.95f shown as a double would be 0.949999988: the defaults are told as people write them. */
static double plain(float x)
{
    return (double)(int64_t)((double)x * 1e6 + (x < 0 ? -0.5 : 0.5)) / 1e6;
}

void cli_sampling_init(cli_sampling *o)
{
    hg_sampling s;
    hg_sampling_init(&s);
    *o = (cli_sampling){.top_k = s.top_k,
                        .repeat_window = s.repeat_window,
                        .seed = (int64_t)s.seed,
                        .temperature = plain(s.temperature),
                        .top_p = plain(s.top_p),
                        .min_p = plain(s.min_p),
                        .repetition_penalty = plain(s.repetition_penalty),
                        .presence_penalty = plain(s.presence_penalty),
                        .frequency_penalty = plain(s.frequency_penalty),
                        .dtype = "stored",
                        .cache_type = "auto"};
}

bool cli_sampling_check(const cli_sampling *o)
{
    for (size_t i = 0; i < N_DTYPES; i++)
        if (strcmp(o->dtype, dtypes[i].name) == 0) return true;
    return false;
}

hg_weights cli_sampling_weights(const cli_sampling *o)
{
    for (size_t i = 0; i < N_DTYPES; i++)
        if (strcmp(o->dtype, dtypes[i].name) == 0) return dtypes[i].as;
    return HG_WEIGHTS_AS_STORED;
}

hg_request cli_sampling_request(const cli_sampling *o)
{
    hg_request r = {
        .max_tokens = (uint32_t)o->max_tokens, .stop = o->stop.item, .n_stop = o->stop.n};
    hg_sampling_init(&r.sampling);
    r.sampling.top_k = (uint32_t)o->top_k;
    r.sampling.repeat_window = (uint32_t)o->repeat_window;
    r.sampling.seed = (uint64_t)o->seed;
    r.sampling.temperature = (float)o->temperature;
    r.sampling.top_p = (float)o->top_p;
    r.sampling.min_p = (float)o->min_p;
    r.sampling.repetition_penalty = (float)o->repetition_penalty;
    r.sampling.presence_penalty = (float)o->presence_penalty;
    r.sampling.frequency_penalty = (float)o->frequency_penalty;
    return r;
}

/* The rows of the options, over a cli_sampling alone. */
typedef struct only_sampling {
    cli_sampling s;
} only_sampling;
static const cli_option rows[] = {
    CLI_SAMPLING_OPTIONS(only_sampling, s),
    {NULL, 0, CLI_FLAG, NULL, NULL, 0, 0, 0},
};

static const cli_option *find_row(const char *name)
{
    for (const cli_option *r = rows; r->name != NULL; r++)
        if (strcmp(r->name, name) == 0 && (r->kind == CLI_INT || r->kind == CLI_FLOAT) &&
            strcmp(name, "context") != 0)
            return r;
    return NULL;
}

bool cli_sampling_set(cli_sampling *o, const char *name, const char *value, hg_err *why)
{
    const cli_option *r = find_row(name);
    char *end = NULL;
    if (r == NULL) {
        (void)hg_fail(why, HG_E_ARG,
                      "nothing is called \"%s\" here; temperature, top-p, seed ... as in higgins "
                      "chat --help",
                      name);
        return false;
    }
    errno = 0;
    const double d = strtod(value, &end);
    const bool whole = r->kind != CLI_INT || d == (double)(int64_t)d;
    if (end == value || *end != '\0' || errno != 0 || !(d >= r->min && d <= r->max) || !whole) {
        (void)hg_fail(why, HG_E_ARG, "%s: \"%s\" is not a %snumber from %g to %g", name, value,
                      r->kind == CLI_INT ? "whole " : "", r->min, r->max);
        return false;
    }
    void *at = (char *)o + r->offset;
    if (r->kind == CLI_INT)
        *(int64_t *)at = (int64_t)d;
    else
        *(double *)at = d;
    return true;
}
