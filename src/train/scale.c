/* Scaling rules: depth gives the shape (shape.c), the shape its parameters N, and N the rest.
 *
 *   tokens  D = 20 N, compute-optimal (Hoffmann et al. 2022), at most 4 passes over the corpus
 *   compute C = 6 N D
 *   batch   0.292 C^0.3271 tokens, learning rate 0.3118 C^-0.125 (DeepSeek-AI 2024: fits to runs
 *           from 1e17 to 2e19 FLOP, which agree with what small models are trained with)
 *
 * A run of few steps learns little whatever its batch is, so that the batch is cut until there are
 * at least MIN_STEPS. The rules are where to begin from, not the last word: every value may be
 * given. */
#include "train/scale.h"
#include <math.h>

enum { MIN_STEPS = 200, MIN_ROWS = 4, MAX_ROWS = 65536 };

int64_t hg_scale_seq_len(int64_t depth)
{
    return depth < 8 ? 256 : depth < 12 ? 512 : 1024;
}

uint32_t hg_scale_vocab(int64_t depth)
{
    return depth < 4 ? 2048 : depth < 8 ? 4096 : depth < 16 ? 16384 : 32768;
}

static double between(double x, double low, double high)
{
    return x < low ? low : x > high ? high : x;
}

static void choose_tokens(const hg_recipe *r, hg_scale *s)
{
    double most = (double)s->corpus_tokens * HG_SCALE_MAX_EPOCHS;
    s->wanted_tokens = (double)HG_SCALE_TOKENS_A_PARAM * (double)s->n_params;
    s->tokens = s->wanted_tokens;
    if (hg_recipe_given(r, "epochs")) most = (double)s->corpus_tokens * r->epochs;
    if (s->tokens <= most) return;
    s->tokens = most;
    s->limit = "the corpus";
}

void hg_scale_recipe(hg_recipe *r, uint64_t n_params, uint64_t corpus_tokens, hg_scale *s)
{
    *s = (hg_scale){.n_params = n_params, .corpus_tokens = corpus_tokens};
    double seq = (double)r->seq_len, accumulation = (double)r->accumulation;
    choose_tokens(r, s);
    s->flops = 6 * (double)n_params * s->tokens;
    s->batch_tokens = fmin(0.292 * pow(s->flops, 0.3271), s->tokens / MIN_STEPS);
    if (!hg_recipe_given(r, "batch_size"))
        r->batch_size = (int64_t)between(round(s->batch_tokens / seq / accumulation),
                                         MIN_ROWS / fmin(accumulation, MIN_ROWS), MAX_ROWS);
    s->batch_tokens = (double)r->batch_size * accumulation * seq;
    if (!hg_recipe_given(r, "lr")) /* two digits: a recipe should be readable */
        r->lr = round(0.3118 * pow(s->flops, -0.125) * 1e4) / 1e4;
    s->lr = r->lr;
    if (r->steps == 0 && r->max_minutes <= 0)
        r->steps = (int64_t)between(ceil(s->tokens / s->batch_tokens), 1, 1e12);
    s->steps = (uint64_t)r->steps;
    if (r->steps > 0) s->tokens = (double)r->steps * s->batch_tokens;
}

void hg_scale_say(const hg_scale *s, const hg_recipe *r, double seconds, const hg_watch *w)
{
    hg_watch_log(
        w, HG_INFO,
        "compute-optimal: %.3g tokens (%d a parameter); the corpus has %.3g to learn from%s",
        s->wanted_tokens, HG_SCALE_TOKENS_A_PARAM, (double)s->corpus_tokens,
        s->limit != NULL ? ", which limits the run; more text or a smaller depth would fit" : "");
    hg_watch_log(w, HG_INFO, "batch of %lld rows of %lld tokens, learning rate %g",
                 (long long)r->batch_size * (long long)r->accumulation, (long long)r->seq_len,
                 r->lr);
    if (s->steps == 0) return; /* as many as fit into max_minutes: said once they are measured */
    hg_watch_log(w, HG_INFO, "%llu steps, %.3g tokens, %.2f passes: about %.1f minutes",
                 (unsigned long long)s->steps, s->tokens, s->tokens / (double)s->corpus_tokens,
                 seconds / 60);
}
