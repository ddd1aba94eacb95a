/* A task's figures: of all rows asked, with the interval that holds them, and of two models on the
 * same rows the difference with its own. */
#include "eval/preset.h"
#include <math.h>

static double mean_of(const hg_answers *a, const size_t *pick, size_t n,
                      double (*of)(const hg_answers *a, size_t i))
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += of(a, pick[i]);
    return n > 0 ? sum / (double)n : 0;
}

/* ---- translation ---- */
static double bleu(const void *ctx, const size_t *pick, size_t n)
{
    const hg_answers *a = ctx;
    hg_bleu sum = {.said = 0};
    for (size_t i = 0; i < n; i++) {
        const hg_bleu *b = &a->bleu[pick[i]];
        for (size_t k = 0; k < 4; k++) {
            sum.match[k] += b->match[k];
            sum.total[k] += b->total[k];
        }
        sum.said += b->said;
        sum.right += b->right;
    }
    return hg_bleu_score(&sum);
}

static double chrf(const void *ctx, const size_t *pick, size_t n)
{
    const hg_answers *a = ctx;
    hg_chrf sum = {.said = {0}};
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < HG_CHRF_ORDER; k++) {
            sum.match[k] += a->chrf[pick[i]].match[k];
            sum.said[k] += a->chrf[pick[i]].said[k];
            sum.right[k] += a->chrf[pick[i]].right[k];
        }
    return hg_chrf_score(&sum);
}

/* ---- summaries ---- */
static double one_of(const hg_answers *a, size_t i)
{
    return a->rouge[i].one;
}

static double two_of(const hg_answers *a, size_t i)
{
    return a->rouge[i].two;
}

static double l_of(const hg_answers *a, size_t i)
{
    return a->rouge[i].l;
}

static double rouge_1(const void *a, const size_t *pick, size_t n)
{
    return mean_of(a, pick, n, one_of);
}

static double rouge_2(const void *a, const size_t *pick, size_t n)
{
    return mean_of(a, pick, n, two_of);
}

static double rouge_l(const void *a, const size_t *pick, size_t n)
{
    return mean_of(a, pick, n, l_of);
}

/* ---- labels ---- */
static size_t right_label(const hg_answers *a, size_t i)
{
    return a->data->row[a->row[i]].label;
}

static double is_right(const hg_answers *a, size_t i)
{
    return a->label[i] == right_label(a, i);
}

static double accuracy(const void *a, const size_t *pick, size_t n)
{
    return mean_of(a, pick, n, is_right);
}

static double macro_f1(const void *ctx, const size_t *pick, size_t n)
{
    const hg_answers *a = ctx;
    uint64_t cell[HG_MAX_LABELS * HG_MAX_LABELS] = {0};
    const size_t n_labels = a->data->n_labels;
    for (size_t i = 0; i < n; i++) cell[right_label(a, pick[i]) * n_labels + a->label[pick[i]]]++;
    return hg_macro_f1(cell, n_labels);
}

void hg_preset_table(const hg_answers *a, uint64_t *cell)
{
    for (size_t i = 0; i < a->data->n_labels * a->data->n_labels; i++) cell[i] = 0;
    for (size_t i = 0; i < a->n; i++) cell[right_label(a, i) * a->data->n_labels + a->label[i]]++;
}

double hg_preset_commonest(const hg_answers *a)
{
    uint64_t count[HG_MAX_LABELS] = {0}, most = 0;
    for (size_t i = 0; i < a->n; i++)
        if (++count[right_label(a, i)] > most) most = count[right_label(a, i)];
    return a->n > 0 ? (double)most / (double)a->n : 0;
}

/* ---- questions ---- */
static double exact_of(const hg_answers *a, size_t i)
{
    return a->squad[i].is_exact;
}

static double f1_of(const hg_answers *a, size_t i)
{
    return a->squad[i].f1;
}

static double exact(const void *a, const size_t *pick, size_t n)
{
    return mean_of(a, pick, n, exact_of);
}

static double token_f1(const void *a, const size_t *pick, size_t n)
{
    return mean_of(a, pick, n, f1_of);
}

/* ---- conversations ---- */
static double perplexity(const void *ctx, const size_t *pick, size_t n)
{
    const hg_answers *a = ctx;
    double nats = 0, tokens = 0;
    for (size_t i = 0; i < n; i++) {
        nats += a->nats[pick[i]];
        tokens += a->tokens[pick[i]];
    }
    return tokens > 0 ? exp(nats / tokens) : (double)NAN;
}

/* ---- the table ---- */
typedef struct metric {
    hg_preset kind;
    const char *name, *note;
    hg_metric_fn *fn;
    bool is_share, is_count, is_cost; /* is_count: a share of rows, with Wilson's interval */
} metric;

static const metric metrics[] = {
    {HG_PRESET_TRANSLATION, "BLEU",
     "sacrebleu's: case:mixed|eff:no|tok:13a|smooth:exp, of the whole corpus", bleu, false, false,
     false},
    {HG_PRESET_TRANSLATION, "chrF2",
     "sacrebleu's: case:mixed|eff:yes|nc:6|nw:0|space:no, of the whole corpus", chrf, false, false,
     false},
    {HG_PRESET_SUMMARY, "ROUGE-1", "F1 of words in small letters, not stemmed", rouge_1, true,
     false, false},
    {HG_PRESET_SUMMARY, "ROUGE-2", "F1 of pairs of words", rouge_2, true, false, false},
    {HG_PRESET_SUMMARY, "ROUGE-L", "F1 of the longest common subsequence of words", rouge_l, true,
     false, false},
    {HG_PRESET_SENTIMENT, "accuracy", "the likeliest of the labels is the right one", accuracy,
     true, true, false},
    {HG_PRESET_SENTIMENT, "macro-F1", "the mean of each label's F1", macro_f1, true, false, false},
    {HG_PRESET_QA, "exact match",
     "SQuAD's: but for case, punctuation and articles one of the right answers", exact, true, true,
     false},
    {HG_PRESET_QA, "F1", "SQuAD's, of words, against the closest right answer", token_f1, true,
     false, false},
    {HG_PRESET_CHAT, "perplexity", "of a token that the assistant says", perplexity, false, false,
     true}};

static hg_status value_of(hg_task_value *out, const metric *m, const hg_answers *a,
                          const size_t *all, uint32_t rounds, uint64_t seed, hg_err *e)
{
    hg_interval i;
    out->value = m->fn(a, all, a->n);
    if (m->is_count)
        i = hg_wilson((uint64_t)llround(out->value * (double)a->n), a->n);
    else
        HG_TRY(hg_bootstrap_metric(m->fn, a, NULL, a->n, rounds, seed, &i, e));
    out->low = i.low;
    out->high = i.high;
    return HG_OK;
}

static hg_status figure_of(hg_task_figure *f, const metric *m, const hg_answers *before,
                           const hg_answers *after, const size_t *all, uint32_t rounds,
                           uint64_t seed, hg_err *e)
{
    const hg_task_value none = {NAN, NAN, NAN};
    hg_interval i;
    *f = (hg_task_figure){.metric = m->name,
                          .note = m->note,
                          .is_share = m->is_share,
                          .is_cost = m->is_cost,
                          .before = none,
                          .change = none};
    HG_TRY(value_of(&f->after, m, after, all, rounds, seed, e));
    if (before == NULL) return HG_OK;
    HG_TRY(value_of(&f->before, m, before, all, rounds, seed, e));
    HG_TRY(hg_bootstrap_metric(m->fn, after, before, after->n, rounds, seed, &i, e));
    f->change = (hg_task_value){f->after.value - f->before.value, i.low, i.high};
    return HG_OK;
}

hg_status hg_preset_figures(hg_task_figure *out, size_t *n, const hg_answers *before,
                            const hg_answers *after, uint32_t rounds, uint64_t seed, hg_err *e)
{
    size_t *all = hg_alloc(after->n, sizeof *all);
    hg_status s = all != NULL ? HG_OK : hg_fail(e, HG_E_NOMEM, "no room for %zu rows", after->n);
    for (size_t i = 0; s == HG_OK && i < after->n; i++) all[i] = i;
    *n = 0;
    for (size_t i = 0; s == HG_OK && i < sizeof metrics / sizeof *metrics; i++)
        if (metrics[i].kind == after->data->kind)
            s = figure_of(&out[(*n)++], &metrics[i], before, after, all, rounds, seed, e);
    hg_free(all);
    return s;
}
