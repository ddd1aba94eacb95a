/* Rotary frequencies (Su et al. 2021) and how models that were trained on short contexts stretch
 * them for long ones: position interpolation (Chen et al. 2023) by one factor; Llama 3's form,
 * which leaves short waves alone, stretches those longer than the first context, and blends
 * between; YaRN (Peng et al. 2023), which blends by how often a wave turns within the first context
 * and makes scores larger; and factors of each frequency's own, which a search found (LongRoPE,
 * Ding et al. 2024). */
#include "model/inner.h"
#include <math.h>

static const double two_pi = 6.283185307179586476925;

double hg_rope_plain(const hg_model_config *c, double theta, size_t i)
{
    return pow(theta, -2.0 * (double)i / (double)c->d_rot);
}

static double llama3(const hg_rope_scaling *r, double freq)
{
    double wave = two_pi / freq;
    double low = (double)r->low_freq_factor, high = (double)r->high_freq_factor;
    if (wave < r->original_n_ctx / high) return freq;
    if (wave > r->original_n_ctx / low) return freq / (double)r->factor;
    double smooth = (r->original_n_ctx / wave - low) / (high - low);
    return (1.0 - smooth) * freq / (double)r->factor + smooth * freq;
}

/* The pair, as a real number, that turns `turns` times within the first context. */
static double pair_of_turns(const hg_model_config *c, double turns)
{
    double n = (double)c->rope_scaling.original_n_ctx;
    return c->d_rot * log(n / (turns * two_pi)) / (2.0 * log((double)c->rope_theta));
}

static double yarn(const hg_model_config *c, double freq, size_t i)
{
    const hg_rope_scaling *r = &c->rope_scaling;
    double low = pair_of_turns(c, (double)r->beta_fast),
           high = pair_of_turns(c, (double)r->beta_slow);
    if (!r->blends_exactly) low = floor(low), high = ceil(high);
    low = fmax(low, 0.0);
    high = fmin(high, c->d_rot - 1.0);
    double ramp = ((double)i - low) / fmax(high - low, 0.001);
    ramp = fmin(fmax(ramp, 0.0), 1.0);
    return (1.0 - ramp) * freq + ramp * freq / (double)r->factor;
}

double hg_rope_scaled(const hg_model_config *c, size_t i, bool is_long)
{
    const hg_rope_scaling *r = &c->rope_scaling;
    double freq = hg_rope_plain(c, (double)c->rope_theta, i);
    switch (r->kind) {
    case HG_ROPE_LINEAR:
        return freq / (double)r->factor;
    case HG_ROPE_LLAMA3:
        return llama3(r, freq);
    case HG_ROPE_YARN:
        return yarn(c, freq, i);
    case HG_ROPE_FACTORS:
        return freq / (double)r->short_factor[i];
    case HG_ROPE_LONG:
        return freq / (double)(is_long ? r->long_factor[i] : r->short_factor[i]);
    case HG_ROPE_PLAIN:
        break;
    }
    return freq;
}

double hg_rope_usual_attention(const hg_model_config *c)
{
    const hg_rope_scaling *r = &c->rope_scaling;
    if (r->kind == HG_ROPE_YARN && r->factor > 1.0f) return 0.1 * log((double)r->factor) + 1.0;
    if (r->kind != HG_ROPE_LONG || c->n_ctx <= r->original_n_ctx || r->original_n_ctx < 2)
        return 1.0;
    double longer = (double)c->n_ctx / (double)r->original_n_ctx;
    return sqrt(1.0 + log(longer) / log((double)r->original_n_ctx));
}

bool hg_rope_fill(hg_model *m)
{
    const hg_model_config *c = &m->c;
    const hg_rope_scaling *r = &c->rope_scaling;
    size_t n = c->d_rot / 2;
    bool has_long = r->kind == HG_ROPE_LONG;
    float *all = HG_NEW(&m->mem, float, n), *stretched = HG_NEW(&m->mem, float, n);
    float *local = HG_NEW(&m->mem, float, n);
    if (all == NULL || stretched == NULL || local == NULL) return false;
    for (size_t i = 0; i < n; i++) {
        all[i] = (float)hg_rope_scaled(c, i, false);
        if (has_long) stretched[i] = (float)hg_rope_scaled(c, i, true);
        if (c->rope_theta_local > 0.0f)
            local[i] = (float)hg_rope_plain(c, (double)c->rope_theta_local, i);
    }
    double scale =
        r->attention_factor > 0.0f ? (double)r->attention_factor : hg_rope_usual_attention(c);
    m->rope[HG_ROPE_GLOBAL] = (hg_rope){.d_head = c->d_head,
                                        .d_rot = c->d_rot,
                                        .inv_freq = all,
                                        .scale = (float)scale,
                                        .long_freq = has_long ? stretched : NULL};
    m->rope[HG_ROPE_LOCAL] =
        (hg_rope){.d_head = c->d_head, .d_rot = c->d_rot, .inv_freq = local, .scale = 1.0f};
    return true;
}
