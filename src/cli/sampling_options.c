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
                        .typical_p = plain(s.typical_p),
                        .xtc_chance = plain(s.xtc_chance),
                        .xtc_share = plain(s.xtc_share),
                        .dry_multiplier = plain(s.dry_multiplier),
                        .dry_base = plain(s.dry_base),
                        .dry_length = s.dry_length,
                        .dry_window = s.dry_window,
                        .mirostat_tau = plain(s.mirostat_tau),
                        .mirostat_eta = plain(s.mirostat_eta),
                        .repetition_penalty = plain(s.repetition_penalty),
                        .presence_penalty = plain(s.presence_penalty),
                        .frequency_penalty = plain(s.frequency_penalty),
                        .keep = 4, /* where much of attention goes (Xiao et al. 2023) */
                        .dtype = "stored",
                        .cache_type = "auto"};
}

static bool is_dtype(const char *name)
{
    for (size_t i = 0; i < N_DTYPES; i++)
        if (strcmp(name, dtypes[i].name) == 0) return true;
    return false;
}

/* "ID:BIAS" */
static hg_status parse_bias(const char *text, hg_logit_bias *out, hg_err *e)
{
    char *end = NULL, *end_bias = NULL;
    errno = 0;
    const long id = strtol(text, &end, 10);
    const bool has_id = end != text && *end == ':' && errno == 0 && id >= 0 && id <= INT32_MAX;
    const char *value = has_id ? end + 1 : text;
    const float bias = strtof(value, &end_bias);
    if (!has_id || end_bias == value || *end_bias != '\0')
        return hg_fail(e, HG_E_ARG,
                       "--logit-bias: \"%s\" is not a token's number, a colon and a bias, as in "
                       "318:-5",
                       text);
    *out = (hg_logit_bias){(int32_t)id, bias};
    return HG_OK;
}

static hg_status parse_biases(cli_sampling *o, hg_err *e)
{
    if (o->bias_text.n > HG_MAX_BIAS)
        return hg_fail(e, HG_E_ARG, "--logit-bias comes %zu times; at most %d allowed",
                       o->bias_text.n, HG_MAX_BIAS);
    for (size_t i = 0; i < o->bias_text.n; i++)
        HG_TRY(parse_bias(o->bias_text.item[i], &o->bias[i], e));
    return HG_OK;
}

static hg_status parse_order(cli_sampling *o, hg_err *e)
{
    hg_sampling s;
    hg_sampling_init(&s);
    if (o->samplers != NULL) {
        hg_err why;
        if (hg_sampling_set_order(&s, o->samplers, &why) != HG_OK)
            return hg_fail(e, HG_E_ARG, "--samplers: %s", why.msg);
    }
    memcpy(o->order, s.order, sizeof o->order);
    return HG_OK;
}

static hg_status check(cli_sampling *o, hg_err *e)
{
    hg_cache_type cache;
    if (!is_dtype(o->dtype))
        return hg_fail(e, HG_E_ARG, "--dtype: \"%s\" is no type; stored, f32, f16 or bf16 allowed",
                       o->dtype);
    if (!hg_cache_type_parse(o->cache_type, &cache))
        return hg_fail(e, HG_E_ARG,
                       "--cache-type: \"%s\" is no type; auto, f32, f16, bf16 or q8_0 allowed",
                       o->cache_type);
    HG_TRY(parse_biases(o, e));
    HG_TRY(parse_order(o, e));
    const hg_request r = cli_sampling_request(o);
    return hg_sampling_check(&r.sampling, e);
}

bool cli_sampling_check(cli_sampling *o, hg_err *why)
{
    return check(o, why) == HG_OK;
}

hg_weights cli_sampling_weights(const cli_sampling *o)
{
    for (size_t i = 0; i < N_DTYPES; i++)
        if (strcmp(o->dtype, dtypes[i].name) == 0) return dtypes[i].as;
    return HG_WEIGHTS_AS_STORED;
}

hg_request cli_sampling_request(const cli_sampling *o)
{
    hg_request r = {.max_tokens = (uint32_t)o->max_tokens,
                    .shifts = o->context_shift,
                    .n_keep = (uint32_t)o->keep,
                    .stop = o->stop.item,
                    .n_stop = o->stop.n};
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
    r.sampling.typical_p = (float)o->typical_p;
    r.sampling.xtc_chance = (float)o->xtc_chance;
    r.sampling.xtc_share = (float)o->xtc_share;
    r.sampling.dry_multiplier = (float)o->dry_multiplier;
    r.sampling.dry_base = (float)o->dry_base;
    r.sampling.dry_length = (uint32_t)o->dry_length;
    r.sampling.dry_window = (uint32_t)o->dry_window;
    if (o->dry_breakers.n > 0) {
        r.sampling.dry_breakers = o->dry_breakers.item;
        r.sampling.n_dry_breakers = o->dry_breakers.n;
    }
    r.sampling.mirostat_tau = (float)o->mirostat_tau;
    r.sampling.mirostat_eta = (float)o->mirostat_eta;
    r.sampling.bias = o->bias;
    r.sampling.n_bias = o->bias_text.n;
    memcpy(r.sampling.order, o->order, sizeof o->order);
    if (o->lookup) r.speculate |= HG_SPECULATE_LOOKUP;
    if (o->draft != NULL) r.speculate |= HG_SPECULATE_DRAFT;
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
