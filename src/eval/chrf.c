/* chrF2: n-grams of characters, white space left out, so that what is nearly the right word counts.
 */
#include "eval/grams.h"
#include "eval/metrics.h"
#include "text/utf8.h"
#include <string.h>

/* The text without white space. */
static void squeeze(hg_buf *out, hg_bytes text)
{
    const char *p = text.p, *end = text.n > 0 ? p + text.n : p;
    while (p < end) {
        uint32_t c;
        const size_t n = hg_utf8_step(p, end, &c);
        if (!hg_utf8_is_space(c)) hg_buf_put(out, p, n);
        p += n;
    }
}

static hg_status count_order(hg_chrf *out, size_t i, hg_bytes said, hg_bytes right, hg_err *e)
{
    hg_grams a = {0}, b = {0};
    hg_status s = hg_grams_chars(&a, said, i + 1, e);
    if (s == HG_OK) s = hg_grams_chars(&b, right, i + 1, e);
    if (s == HG_OK) {
        out->said[i] = b.n > 0 ? (double)a.n : 0; /* as sacrebleu has it */
        out->right[i] = (double)b.n;
        out->match[i] = (double)hg_grams_match(&a, &b, 1);
    }
    hg_grams_free(&a);
    hg_grams_free(&b);
    return s;
}

static hg_status count_one(hg_chrf *out, hg_bytes said, hg_bytes right, hg_err *e)
{
    hg_buf a = {0}, b = {0};
    *out = (hg_chrf){.said = {0}};
    squeeze(&a, said);
    squeeze(&b, right);
    hg_status s = hg_buf_status(&a, e);
    if (s == HG_OK) s = hg_buf_status(&b, e);
    const hg_bytes x = {a.p != NULL ? a.p : "", a.n}, y = {b.p != NULL ? b.p : "", b.n};
    for (size_t i = 0; s == HG_OK && i < HG_CHRF_ORDER; i++) s = count_order(out, i, x, y, e);
    hg_buf_free(&a);
    hg_buf_free(&b);
    return s;
}

/* Precision and recall are averaged over the orders that both texts have, then
 * F = (1 + 4) P R / (4 P + R). */
double hg_chrf_score(const hg_chrf *sum)
{
    double precision = 0, recall = 0, n = 0;
    for (size_t i = 0; i < HG_CHRF_ORDER; i++) {
        if (!(sum->said[i] > 0 && sum->right[i] > 0)) continue;
        precision += sum->match[i] / sum->said[i];
        recall += sum->match[i] / sum->right[i];
        n++;
    }
    if (!(precision + recall > 0)) return 0;
    precision /= n;
    recall /= n;
    return 100 * 5 * precision * recall / (4 * precision + recall);
}

/* Of several references the one that this row alone fares best with. */
hg_status hg_chrf_count(hg_chrf *out, hg_bytes said, const hg_bytes *right, size_t n, hg_err *e)
{
    double best = -1;
    for (size_t i = 0; i < n; i++) {
        hg_chrf one;
        HG_TRY(count_one(&one, said, right[i], e));
        const double f = hg_chrf_score(&one);
        if (f > best) {
            best = f;
            *out = one;
        }
    }
    return HG_OK;
}
