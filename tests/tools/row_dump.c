/* The rows that a pre-training run learns from, in its order, for scripts that train the same model
 * with another program.
 *
 *   row_dump TOKENIZER N_ROWS FILE KEY=VALUE...
 *
 * Writes the run's first N_ROWS rows and then its held-out rows (val_rows of them at the most),
 * each as int32 ids, targets and begins [seq_len]; prints both numbers. The keys are a recipe's. */
#include "train/corpora.h"

#include <stdio.h>
#include <stdlib.h>

static bool put(FILE *out, const int32_t *v, size_t n)
{
    return fwrite(v, sizeof *v, n, out) == n;
}

static hg_status put_rows(FILE *out, hg_rows *rows, const hg_source *s, bool held_out,
                          uint64_t seed, uint64_t n, hg_err *e)
{
    for (uint64_t i = 0; i < n; i++) {
        hg_rows_fill(rows, s, held_out, seed, i, 1);
        bool ok = put(out, rows->ids, s->seq_len) && put(out, rows->targets, s->seq_len);
        for (size_t t = 0; t < s->seq_len && ok; t++) {
            const int32_t begins = rows->begins[t];
            ok = put(out, &begins, 1);
        }
        if (!ok) return hg_fail(e, HG_E_IO, "cannot write");
    }
    return HG_OK;
}

static hg_status dump(const hg_recipe *r, const hg_tokenizer *t, uint64_t n, FILE *out,
                      hg_arena *mem, hg_err *e)
{
    hg_corpora c;
    hg_rows rows;
    hg_status s = hg_corpora_open(&c, r, t, mem, NULL, e);
    if (s == HG_OK) s = hg_corpora_cut(&c, r, mem, e);
    if (s == HG_OK) s = hg_rows_init(&rows, 1, c.source->seq_len, mem, e);
    if (s == HG_OK) s = put_rows(out, &rows, c.source, false, (uint64_t)r->seed, n, e);
    if (s == HG_OK) {
        uint64_t held = (uint64_t)r->val_rows;
        if (held > c.source->n_val_rows) held = c.source->n_val_rows;
        s = put_rows(out, &rows, c.source, true, 0, held, e);
        if (s == HG_OK) printf("%llu %llu\n", (unsigned long long)n, (unsigned long long)held);
    }
    hg_corpora_close(&c);
    return s;
}

int main(int argc, char **argv)
{
    hg_err e = {0};
    hg_recipe r;
    hg_arena mem;
    hg_tokenizer *t = NULL;
    if (argc < 5) {
        (void)fprintf(stderr, "row_dump TOKENIZER N_ROWS FILE KEY=VALUE...\n");
        return 2;
    }
    hg_arena_init(&mem, 0);
    FILE *out = fopen(argv[3], "wb");
    hg_status s = hg_recipe_init(&r, HG_STAGE_TRAIN, &e);
    if (out == NULL) s = hg_fail(&e, HG_E_IO, "cannot write %s", argv[3]);
    for (int i = 4; i < argc && s == HG_OK; i++) s = hg_recipe_set(&r, argv[i], &e);
    if (s == HG_OK) s = hg_tokenizer_open(&t, argv[1], &e);
    if (s == HG_OK) s = dump(&r, t, strtoull(argv[2], NULL, 10), out, &mem, &e);
    if (out != NULL && fclose(out) != 0 && s == HG_OK) s = hg_fail(&e, HG_E_IO, "cannot write");
    if (s != HG_OK) (void)fprintf(stderr, "row_dump: %s\n", e.msg);
    hg_tokenizer_free(t);
    hg_recipe_free(&r);
    hg_arena_free(&mem);
    return s == HG_OK ? 0 : 1;
}
