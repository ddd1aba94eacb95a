/* Files of tasks from strangers: tables and JSON lines of any task, with and without named columns;
 * rows that are accepted are whole. The metrics take any text. */
#include "eval/metrics.h"
#include "train/preset.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_rows(hg_preset_data *d)
{
    hg_err e = {0};
    for (size_t i = 0; i < d->n; i++) {
        const hg_preset_row *r = &d->row[i];
        hg_buf b = {0};
        if (r->input.n == 0 || r->n == 0 || r->line == 0) abort();
        for (size_t k = 0; k < r->n; k++)
            if (r->answer[k].n == 0) abort();
        if (hg_preset_prompt(d, r, hg_preset_text(r), &b, &e) != HG_OK) abort();
        hg_buf_free(&b);
    }
    hg_preset_split(d, 0.3);
    if (hg_preset_find_labels(d, &e) != HG_OK) return;
    for (size_t i = 0; d->kind == HG_PRESET_SENTIMENT && i < d->n; i++)
        if (d->row[i].label >= d->n_labels) abort();
}

static void check_metrics(hg_bytes said, hg_bytes right)
{
    hg_err e = {0};
    hg_bleu b;
    hg_chrf c;
    hg_rouge r;
    hg_squad s;
    if (said.n > 2000 || right.n > 2000) return;
    if (hg_bleu_count(&b, said, &right, 1, &e) != HG_OK || !(hg_bleu_score(&b) <= 100.0001))
        abort();
    if (hg_chrf_count(&c, said, &right, 1, &e) != HG_OK || !(hg_chrf_score(&c) <= 100.0001))
        abort();
    if (hg_rouge_score(&r, said, &right, 1, &e) != HG_OK || !(r.l <= 1.0001)) abort();
    if (hg_squad_score(&s, said, &right, 1, &e) != HG_OK || !(s.f1 <= 1.0001)) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const columns[] = {"a", "2"};
    const hg_bytes in = {(const char *)data, size};
    for (int kind = HG_PRESET_TRANSLATION; kind < HG_N_PRESETS; kind++)
        for (size_t n = 0; n <= 2; n += 2) {
            hg_preset_data d;
            hg_err e = {0};
            hg_preset_data_init(&d, (hg_preset)kind, NULL);
            const hg_status s = hg_preset_parse_text(&d, in, n > 0 ? "d.tsv" : "d.csv", columns, n,
                                                     false, NULL, &e);
            if (s != HG_OK && e.msg[0] == '\0') abort();
            check_rows(&d);
            hg_preset_data_free(&d);
        }
    check_metrics((hg_bytes){in.p, size / 2}, (hg_bytes){in.p + size / 2, size - size / 2});
    return 0;
}
