/* `higgins tokenizer train`: documents from a corpus to a tokenizer.json. Of a corpus larger than
 * max_bytes documents are taken evenly over its whole length, so that what stands last counts as
 * much as what stands first; which ones depends on nothing but the corpus. */
#include "token/train.h"
#include "base/clock.h"
#include "base/file.h"
#include "data/corpus.h"

/* A document is taken while less was taken than the share of what was seen so far. */
typedef struct sample {
    uint64_t limit, total; /* bytes wanted, bytes there; total 0: take everything */
    uint64_t seen, taken;
} sample;

static bool is_wanted(sample *s, size_t n)
{
    s->seen += n;
    if (s->total > s->limit &&
        (double)s->taken * (double)s->total >= (double)s->limit * (double)s->seen)
        return false;
    s->taken += n;
    return true;
}

static hg_status report(const hg_corpus *c, const hg_watch *w, const char *stage, hg_err *e)
{
    hg_progress p = {.stage = stage,
                     .unit = "bytes",
                     .done = (double)hg_corpus_bytes_done(c),
                     .total = (double)hg_corpus_bytes_total(c)};
    hg_watch_progress(w, &p);
    return hg_watch_stopped(w) ? hg_fail(e, HG_E_CANCELED, "stopped while reading") : HG_OK;
}

/* The bytes of text in the corpus: from its card, or by reading it once. A corpus that cannot reach
 * the limit even if it is well compressed need not be measured. */
static hg_status measure(hg_corpus *c, uint64_t limit, const hg_watch *w, uint64_t *total,
                         hg_err *e)
{
    enum { MOST_COMPRESSED = 20 };
    hg_doc doc;
    bool has;
    *total = hg_corpus_text_bytes(c);
    if (*total > 0 || hg_corpus_bytes_total(c) < limit / MOST_COMPRESSED) return HG_OK;
    for (;;) {
        HG_TRY(hg_corpus_next(c, &doc, &has, e));
        if (!has) return hg_corpus_rewind(c, e);
        *total += doc.text.n;
        HG_TRY(report(c, w, "measuring", e));
    }
}

static hg_status read_all(hg_trainer *tr, hg_corpus *c, sample *s, const hg_watch *w, hg_err *e)
{
    hg_doc doc;
    bool has;
    for (;;) {
        HG_TRY(hg_corpus_next(c, &doc, &has, e));
        if (!has) return HG_OK;
        if (is_wanted(s, doc.text.n)) HG_TRY(hg_trainer_add(tr, doc.text, e));
        HG_TRY(report(c, w, "counting words", e));
    }
}

static hg_status write_file(const hg_tokenizer *t, const char *path, hg_err *e)
{
    hg_buf json = {0};
    hg_status s = hg_tokenizer_write(t, &json, e);
    if (s == HG_OK) s = hg_file_write(path, json.p, json.n, e);
    hg_buf_free(&json);
    return s;
}

hg_status hg_tokenizer_train(const char *const *sources, size_t n_sources,
                             const hg_tokenizer_options *o, const char *path, const hg_watch *w,
                             hg_tokenizer_stats *stats, hg_err *e)
{
    hg_trainer *tr = NULL;
    hg_corpus *c = NULL;
    hg_tokenizer *t = NULL;
    sample s = {.limit = o->max_bytes};
    hg_joules joules;
    double start = hg_seconds();
    hg_joules_start(&joules);
    hg_status status = hg_trainer_new(&tr, o, e);
    if (status == HG_OK) status = hg_corpus_open(&c, sources, n_sources, e);
    if (status == HG_OK) status = measure(c, s.limit, w, &s.total, e);
    if (status == HG_OK) status = read_all(tr, c, &s, w, e);
    if (status == HG_OK && s.taken == 0)
        status = hg_fail(e, HG_E_MISSING, "%s: no text to train a tokenizer on", sources[0]);
    if (status == HG_OK) status = hg_trainer_finish(tr, &t, stats, w, e);
    if (status == HG_OK) status = write_file(t, path, e);
    if (status == HG_OK && stats != NULL) {
        stats->seconds = hg_seconds() - start;
        stats->joules = hg_joules_read(&joules);
        stats->peak_bytes = hg_peak_rss();
    }
    hg_tokenizer_free(t);
    hg_corpus_close(c);
    hg_trainer_free(tr);
    return status;
}
