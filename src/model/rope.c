/* Rotary frequencies (Su et al. 2021) and how models that were trained on short contexts stretch
 * them for long ones: position interpolation (Chen et al. 2023) and Llama 3's form, which leaves
 * short waves alone, stretches those longer than the first context, and blends between. */
#include "model/inner.h"
#include <math.h>

static const double two_pi = 6.283185307179586476925;

double hg_rope_plain(const hg_model_config *c, size_t i)
{
    return pow((double)c->rope_theta, -2.0 * (double)i / (double)c->d_head);
}

double hg_rope_scaled(const hg_model_config *c, double freq)
{
    const hg_rope_scaling *r = &c->rope_scaling;
    if (r->kind == HG_ROPE_LINEAR) return freq / (double)r->factor;
    if (r->kind != HG_ROPE_LLAMA3) return freq;
    double wave = two_pi / freq;
    double low = (double)r->low_freq_factor, high = (double)r->high_freq_factor;
    if (wave < r->original_n_ctx / high) return freq;
    if (wave > r->original_n_ctx / low) return freq / (double)r->factor;
    double smooth = (r->original_n_ctx / wave - low) / (high - low);
    return (1.0 - smooth) * freq / (double)r->factor + smooth * freq;
}

void hg_rope_fill(hg_model *m)
{
    float *inv_freq = m->rope_freq;
    for (size_t i = 0; i < m->c.d_head / 2; i++) {
        double f = hg_rope_scaled(&m->c, hg_rope_plain(&m->c, i));
        if (m->rope_factors != NULL) f /= (double)m->rope_factors[i];
        inv_freq[i] = (float)f;
    }
    m->rope = (hg_rope){.d_head = m->c.d_head,
                        .d_rot = m->c.d_head,
                        .is_interleaved = false,
                        .inv_freq = inv_freq,
                        .scale = 1.0f};
}
