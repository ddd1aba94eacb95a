/* From rows of a source to a batch: the order of a run, positions that restart with each document,
 * and one span a document, so that attention never looks across a border. */
#include "train/source.h"
#include "base/rng.h"
#include <string.h>

hg_status hg_rows_init(hg_rows *r, size_t max_rows, size_t seq_len, hg_arena *mem, hg_err *e)
{
    size_t n = 0;
    memset(r, 0, sizeof *r);
    r->seq_len = seq_len;
    if (!hg_mul(max_rows, seq_len, &n))
        return hg_fail(e, HG_E_LIMIT, "a batch of more tokens than fit");
    r->ids = HG_NEW(mem, int32_t, n);
    r->pos = HG_NEW(mem, int32_t, n);
    r->targets = HG_NEW(mem, int32_t, n);
    r->begins = HG_NEW(mem, uint8_t, n);
    r->spans = HG_NEW(mem, hg_span, n);
    r->weights = HG_NEW(mem, float, n);
    r->of = HG_NEW(mem, uint64_t, max_rows);
    if (r->ids == NULL || r->pos == NULL || r->targets == NULL || r->begins == NULL ||
        r->spans == NULL || r->weights == NULL || r->of == NULL)
        return hg_fail(e, HG_E_NOMEM, "no room for batches of %zu rows", max_rows);
    return HG_OK;
}

uint64_t hg_source_order(uint64_t n_rows, uint64_t seed, uint64_t position)
{
    uint64_t epoch = position / n_rows;
    hg_rng key;
    hg_rng_init(&key, seed, 0x6f72646572 + epoch); /* "order" */
    return hg_permute(position % n_rows, n_rows, hg_rng_u64(&key));
}

static void cut_spans(hg_rows *r)
{
    size_t n = r->n_rows * r->seq_len;
    r->n_spans = 0;
    r->n_targets = 0;
    r->weight = 0;
    for (size_t i = 0; i < n; i++) {
        if (r->begins[i] || i % r->seq_len == 0) r->spans[r->n_spans++] = (hg_span){.row = i};
        hg_span *s = &r->spans[r->n_spans - 1];
        r->pos[i] = (int32_t)s->n++;
        if (r->targets[i] < 0) continue;
        r->n_targets++;
        r->weight += r->is_weighted ? (double)r->weights[i] : 1;
    }
}

void hg_rows_fill(hg_rows *r, const hg_source *s, bool held_out, uint64_t seed, uint64_t position,
                  size_t n)
{
    r->n_rows = n;
    r->held_out = held_out;
    r->is_weighted = s->weights != NULL;
    for (size_t i = 0; i < n; i++) {
        uint64_t at_row = position + i, row = at_row;
        if (!held_out && !s->is_live) {
            row = hg_source_order(s->n_rows, seed, at_row);
            if (s->tells_epoch) row += at_row / s->n_rows * s->n_rows;
        }
        size_t at = i * r->seq_len;
        r->of[i] = row;
        s->row(s, held_out, row, r->ids + at, r->targets + at, r->begins + at);
        if (r->is_weighted) s->weights(s, held_out, row, r->weights + at);
    }
    cut_spans(r);
}
