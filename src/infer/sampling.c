/* The options of sampling: their defaults, their limits, and the order of the stages by name. */
#include <higgins/infer.h>

#include <math.h>
#include <string.h>

static const char *const BREAKERS[] = {"\n", ":", "\"", "*"};
enum { N_BREAKERS = sizeof BREAKERS / sizeof BREAKERS[0] };

void hg_sampling_init(hg_sampling *s)
{
    *s = (hg_sampling){.repetition_penalty = 1.1f,
                       .repeat_window = 64,
                       .dry_base = 1.75f,
                       .dry_length = 2,
                       .dry_breakers = BREAKERS,
                       .n_dry_breakers = N_BREAKERS,
                       .top_k = 40,
                       .typical_p = 1.0f,
                       .top_p = 0.95f,
                       .min_p = 0.05f,
                       .xtc_share = 0.1f,
                       .temperature = 0.8f,
                       .mirostat_eta = 0.1f};
    for (int i = 1; i < HG_SAMPLE_STAGES; i++) s->order[i - 1] = (uint8_t)i;
}

/* Written so that NaN fails. */
static hg_status check_range(const char *name, float v, float low, float high, hg_err *e)
{
    if (v >= low && v <= high) return HG_OK;
    return hg_fail(e, HG_E_ARG, "%s is %g; it must be from %g to %g", name, (double)v, (double)low,
                   (double)high);
}

static hg_status check_breakers(const hg_sampling *s, hg_err *e)
{
    if (s->n_dry_breakers > HG_MAX_BREAKERS)
        return hg_fail(e, HG_E_ARG, "%zu DRY breakers; at most %d allowed", s->n_dry_breakers,
                       HG_MAX_BREAKERS);
    for (size_t i = 0; i < s->n_dry_breakers; i++) {
        const size_t n = strnlen(s->dry_breakers[i], HG_MAX_BREAKER_BYTES + 1);
        if (n == 0 || n > HG_MAX_BREAKER_BYTES)
            return hg_fail(e, HG_E_ARG, "DRY breaker %zu must have 1 to %d bytes", i + 1,
                           HG_MAX_BREAKER_BYTES);
    }
    return HG_OK;
}

static hg_status check_bias(const hg_sampling *s, hg_err *e)
{
    if (s->n_bias > HG_MAX_BIAS)
        return hg_fail(e, HG_E_ARG, "%zu tokens with a bias; at most %d allowed", s->n_bias,
                       HG_MAX_BIAS);
    for (size_t i = 0; i < s->n_bias; i++) {
        const hg_logit_bias *b = &s->bias[i];
        if (b->id < 0 || !(fabsf(b->bias) <= 100.0f))
            return hg_fail(e, HG_E_ARG,
                           "the bias of token %d is %g; tokens are not negative and a bias is from "
                           "-100 to 100",
                           b->id, (double)b->bias);
    }
    return HG_OK;
}

static hg_status check_order(const hg_sampling *s, hg_err *e)
{
    unsigned seen = 0;
    for (size_t i = 0; s->order[i] != HG_SAMPLE_END; i++) {
        if (i + 1 == HG_SAMPLE_STAGES || s->order[i] >= HG_SAMPLE_STAGES ||
            (seen >> s->order[i] & 1) != 0)
            return hg_fail(e, HG_E_ARG,
                           "the order of the samplers names one twice or none that exists");
        seen |= 1u << s->order[i];
    }
    return HG_OK;
}

hg_status hg_sampling_check(const hg_sampling *s, hg_err *e)
{
    HG_TRY(check_range("repetition penalty", s->repetition_penalty, 0.1f, 10.0f, e));
    HG_TRY(check_range("presence penalty", s->presence_penalty, -10.0f, 10.0f, e));
    HG_TRY(check_range("frequency penalty", s->frequency_penalty, -10.0f, 10.0f, e));
    HG_TRY(check_range("DRY multiplier", s->dry_multiplier, 0.0f, 100.0f, e));
    HG_TRY(check_range("DRY base", s->dry_base, 1.0f, 100.0f, e));
    HG_TRY(check_range("typical-p", s->typical_p, 0.0f, 1.0f, e));
    HG_TRY(check_range("temperature", s->temperature, 0.0f, 100.0f, e));
    HG_TRY(check_range("top-p", s->top_p, 0.0f, 1.0f, e));
    HG_TRY(check_range("min-p", s->min_p, 0.0f, 1.0f, e));
    HG_TRY(check_range("XTC chance", s->xtc_chance, 0.0f, 1.0f, e));
    HG_TRY(check_range("XTC share", s->xtc_share, 0.0f, 1.0f, e));
    HG_TRY(check_range("Mirostat tau", s->mirostat_tau, 0.0f, 100.0f, e));
    HG_TRY(check_range("Mirostat eta", s->mirostat_eta, 0.0f, 10.0f, e));
    HG_TRY(check_bias(s, e));
    HG_TRY(check_breakers(s, e));
    return check_order(s, e);
}

const char *hg_sample_stage_name(hg_sample_stage stage)
{
    switch (stage) {
    case HG_SAMPLE_PENALTIES:
        return "penalties";
    case HG_SAMPLE_DRY:
        return "dry";
    case HG_SAMPLE_TOP_K:
        return "top-k";
    case HG_SAMPLE_TYPICAL:
        return "typical";
    case HG_SAMPLE_TOP_P:
        return "top-p";
    case HG_SAMPLE_MIN_P:
        return "min-p";
    case HG_SAMPLE_XTC:
        return "xtc";
    case HG_SAMPLE_TEMPERATURE:
        return "temperature";
    case HG_SAMPLE_END:
    case HG_SAMPLE_STAGES:
        break;
    }
    return NULL;
}

static hg_sample_stage find_stage(const char *word, size_t n)
{
    for (int i = 1; i < HG_SAMPLE_STAGES; i++) {
        const char *name = hg_sample_stage_name((hg_sample_stage)i);
        if (strlen(name) == n && memcmp(name, word, n) == 0) return (hg_sample_stage)i;
    }
    return HG_SAMPLE_END;
}

hg_status hg_sampling_set_order(hg_sampling *s, const char *names, hg_err *e)
{
    uint8_t order[HG_SAMPLE_STAGES] = {0};
    size_t n = 0;
    for (const char *p = names; *p != '\0';) {
        const size_t len = strcspn(p, ",;");
        const hg_sample_stage stage = find_stage(p, len);
        if (stage == HG_SAMPLE_END)
            return hg_fail(e, HG_E_ARG,
                           "\"%.*s\" is no sampler; penalties, dry, top-k, typical, top-p, min-p, "
                           "xtc and temperature are",
                           (int)(len < 40 ? len : 40), p);
        if (memchr(order, (int)stage, n) != NULL)
            return hg_fail(e, HG_E_ARG, "the sampler %s comes twice; once is enough",
                           hg_sample_stage_name(stage));
        order[n++] = (uint8_t)stage;
        p += len;
        if (*p != '\0') p++;
    }
    memcpy(s->order, order, sizeof order);
    return HG_OK;
}
