/* Mixtures. The rows of an epoch are numbered part by part and then shuffled as those of any source
 * (hg_source_order), so that a row follows from seed and position alone: a resumed run, and one of
 * another number of processes, sees the same ones. Within a part the epochs follow each other
 * without a gap, so that a part of which an epoch takes a tenth is seen whole after ten. */
#include "train/mixture.h"
#include "base/hash.h"
#include <math.h>
#include <string.h>

static size_t part_of(const hg_mixture *m, uint64_t i)
{
    size_t k = 0;
    while (k + 1 < m->n_parts && i >= m->first[k + 1]) k++;
    return k;
}

/* Held-out rows come from the parts in turn: the first few that are looked at are of all of them.
 */
static void held_out_row(const hg_mixture *m, uint64_t i, int32_t *ids, int32_t *targets,
                         uint8_t *begins)
{
    size_t with_rows = 0;
    for (size_t k = 0; k < m->n_parts; k++) with_rows += m->part[k]->n_val_rows > 0;
    size_t turn = (size_t)(i % with_rows), k = 0;
    for (;; k++) {
        if (m->part[k]->n_val_rows == 0) continue;
        if (turn == 0) break;
        turn--;
    }
    m->part[k]->row(m->part[k], true, i / with_rows % m->part[k]->n_val_rows, ids, targets, begins);
}

static void mixture_row(const hg_source *s, bool held_out, uint64_t i, int32_t *ids,
                        int32_t *targets, uint8_t *begins)
{
    const hg_mixture *m = (const hg_mixture *)(const void *)s;
    if (held_out) {
        held_out_row(m, i, ids, targets, begins);
        return;
    }
    uint64_t epoch = i / s->n_rows, within = i % s->n_rows;
    size_t k = part_of(m, within);
    uint64_t an_epoch = m->first[k + 1] - m->first[k];
    uint64_t row = (epoch * an_epoch + within - m->first[k]) % m->part[k]->n_rows;
    m->part[k]->row(m->part[k], false, row, ids, targets, begins);
}

static hg_status check(const hg_source *const *part, const double *weight, size_t n, double *sum,
                       hg_err *e)
{
    *sum = 0;
    for (size_t k = 0; k < n; k++) {
        if (part[k]->n_rows == 0 || part[k]->seq_len != part[0]->seq_len)
            return hg_fail(e, HG_E_ARG, "part %zu of the mixture has no rows of %zu tokens", k + 1,
                           part[0]->seq_len);
        if (!(weight[k] >= 0) || isinf(weight[k]))
            return hg_fail(e, HG_E_ARG, "weight %zu of the mixture is %g; 0 or more is needed",
                           k + 1, weight[k]);
        *sum += weight[k];
    }
    if (*sum > 0) return HG_OK;
    return hg_fail(e, HG_E_ARG, "no weight of the mixture is above 0");
}

hg_status hg_mixture_init(hg_mixture *m, const hg_source *const *part, const double *weight,
                          size_t n_parts, hg_arena *mem, hg_err *e)
{
    double sum = 0, share = 0, bytes = 0;
    uint64_t all = 0;
    memset(m, 0, sizeof *m);
    HG_TRY(check(part, weight, n_parts, &sum, e));
    m->part = part;
    m->n_parts = n_parts;
    m->first = HG_NEW(mem, uint64_t, n_parts + 1);
    if (m->first == NULL) return hg_fail(e, HG_E_NOMEM, "no room for a mixture");
    m->source = (hg_source){.seq_len = part[0]->seq_len, .row = mixture_row, .tells_epoch = true};
    for (size_t k = 0; k < n_parts; k++) all += part[k]->n_rows;
    for (size_t k = 0; k < n_parts; k++) {
        share += weight[k] / sum;
        m->first[k + 1] = k + 1 < n_parts ? (uint64_t)llround(share * (double)all) : all;
        m->source.n_val_rows += part[k]->n_val_rows;
        m->source.mapped_bytes += part[k]->mapped_bytes;
        bytes += part[k]->val_bytes_a_token;
        const uint64_t told[] = {part[k]->hash, m->first[k + 1]};
        m->source.hash = hg_hash64(told, sizeof told, m->source.hash);
    }
    m->source.n_rows = all;
    m->source.val_bytes_a_token = bytes / (double)n_parts;
    return HG_OK;
}
