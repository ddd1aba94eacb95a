/* Evaluation sets from strangers: rows that are accepted are whole. */
#include "eval/eval.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_row(const hg_row *r)
{
    if (r->kind >= HG_N_ROW_KINDS) abort();
    if (r->kind != HG_ROW_NEXT && (r->n == 0 || r->gold >= r->n)) abort();
    if ((r->kind == HG_ROW_PAIR || r->kind == HG_ROW_CHOICE) && r->n < 2) abort();
    for (size_t i = 0; i < r->n; i++)
        if (r->kind != HG_ROW_FRAME && r->text[i].n == 0) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    hg_set *s = hg_alloc(1, sizeof *s);
    hg_err e = {0};
    bool yes;
    if (s == NULL) return 0;
    hg_arena_init(&s->mem, 4096);
    const hg_bytes in = {(const char *)data, size};
    if (hg_set_read(s, in, "rows", &e) != HG_OK && e.msg[0] == '\0') abort();
    for (size_t i = 0; i < s->n; i++) check_row(&s->row[i]);
    if (s->n > 3 && hg_set_sample(s, 1, 2, 7, &e) == HG_OK && s->n != 3) abort();
    (void)hg_answer_matches(in, (hg_bytes){in.p, size / 2}, &yes, &e);
    hg_set_free(s);
    return 0;
}
