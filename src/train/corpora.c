/* From corpora to rows: each corpus is encoded once into a token shard beside the run, which is
 * found again by the hashes of corpus and vocabulary; the shards are cut into windows and, where
 * the recipe gives weights, mixed. */
#include "train/corpora.h"
#include "base/hash.h"
#include "data/corpus.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static hg_status put_documents(hg_corpus *c, hg_tokens_writer *t, const hg_watch *w, hg_err *e)
{
    hg_doc doc;
    bool has = false;
    for (uint64_t n = 0;; n++) {
        HG_TRY(hg_corpus_next(c, &doc, &has, e));
        if (!has) return HG_OK;
        HG_TRY(hg_tokens_put(t, doc.text, doc.part > 0 ? doc.source : doc.text, e));
        if (hg_watch_stopped(w))
            return hg_fail(e, HG_E_CANCELED, "stopped while the corpus was being encoded");
        const hg_progress p = {.stage = "encoding",
                               .unit = "bytes",
                               .done = (double)hg_corpus_bytes_done(c),
                               .total = (double)hg_corpus_bytes_total(c)};
        if (n % 16 == 0) hg_watch_progress(w, &p);
    }
}

static hg_status make_tokens(const hg_tokenizer *tokenizer, hg_corpus *c, const char *path,
                             uint64_t corpus_hash, const hg_watch *w, hg_err *e)
{
    hg_tokens_writer *t = NULL;
    HG_TRY(hg_tokens_create(&t, path, tokenizer, corpus_hash, e));
    hg_status s = put_documents(c, t, w, e);
    if (s != HG_OK) {
        hg_tokens_abort(t);
        return s;
    }
    return hg_tokens_commit(t, e);
}

/* The shard of these corpora and this vocabulary: the one that is there, when it is that, or a new
 * one. */
static hg_status open_shard(hg_tokens *out, const char *const *corpus, size_t n, const char *path,
                            const hg_tokenizer *t, const hg_watch *w, hg_err *e)
{
    hg_corpus *c = NULL;
    char print[65];
    HG_TRY(hg_corpus_open(&c, corpus, n, e));
    hg_corpus_fingerprint(c, print);
    uint64_t corpus_hash = hg_hash64(print, 64, 0);
    hg_status s = hg_tokens_open(out, path, NULL);
    bool fits =
        s == HG_OK && out->corpus_hash == corpus_hash && out->vocab_hash == hg_tokens_vocab_hash(t);
    if (!fits) {
        hg_tokens_close(out);
        s = make_tokens(t, c, path, corpus_hash, w, e);
        if (s == HG_OK) s = hg_tokens_open(out, path, e);
    }
    hg_corpus_close(c);
    if (s == HG_OK)
        hg_watch_log(w, HG_INFO, "%s: %llu documents, %llu tokens%s", path,
                     (unsigned long long)out->n_docs, (unsigned long long)out->n_tokens,
                     fits ? " (made before)" : "");
    return s;
}

/* "tokens.hgt", or in a mixture "tokens.hgt.1" for its first part. */
static const char *shard_path(const hg_recipe *r, size_t i, bool is_mixed, hg_arena *mem)
{
    const char *base =
        *r->tokens != '\0' ? r->tokens : hg_arena_printf(mem, "%s/tokens.hgt", r->out);
    return base == NULL || !is_mixed ? base : hg_arena_printf(mem, "%s.%zu", base, i + 1);
}

hg_status hg_corpora_open(hg_corpora *c, const hg_recipe *r, const hg_tokenizer *t, hg_arena *mem,
                          const hg_watch *w, hg_err *e)
{
    bool is_mixed = r->weights.n > 0;
    memset(c, 0, sizeof *c);
    if (is_mixed && r->weights.n != r->corpus.n)
        return hg_fail(e, HG_E_ARG, "weights: %zu of them for %zu corpora; one for each is needed",
                       r->weights.n, r->corpus.n);
    size_t n = is_mixed ? r->corpus.n : 1;
    c->tokens = HG_NEW(mem, hg_tokens, n);
    c->windows = HG_NEW(mem, hg_windows, n);
    if (c->tokens == NULL || c->windows == NULL)
        return hg_fail(e, HG_E_NOMEM, "no room for %zu corpora", n);
    for (c->n = 0; c->n < n; c->n++) {
        const char *path = shard_path(r, c->n, is_mixed, mem);
        if (path == NULL) return hg_fail(e, HG_E_NOMEM, "no room for a path");
        HG_TRY(open_shard(&c->tokens[c->n], r->corpus.item + c->n, is_mixed ? 1 : r->corpus.n, path,
                          t, w, e));
    }
    return HG_OK;
}

static hg_status mix(hg_corpora *c, const hg_recipe *r, hg_arena *mem, hg_err *e)
{
    double *weight = HG_NEW(mem, double, c->n);
    const hg_source **part = HG_NEW(mem, const hg_source *, c->n);
    if (weight == NULL || part == NULL) return hg_fail(e, HG_E_NOMEM, "no room for a mixture");
    for (size_t i = 0; i < c->n; i++) {
        char *end = NULL;
        const char *text = r->weights.item[i];
        weight[i] = strtod(text, &end);
        if (end == text || *end != '\0')
            return hg_fail(e, HG_E_ARG, "weights: \"%.40s\" is no number", text);
        part[i] = &c->windows[i].source;
    }
    HG_TRY(hg_mixture_init(&c->mixture, part, weight, c->n, mem, e));
    c->source = &c->mixture.source;
    return HG_OK;
}

hg_status hg_corpora_cut(hg_corpora *c, const hg_recipe *r, hg_arena *mem, hg_err *e)
{
    for (size_t i = 0; i < c->n; i++)
        HG_TRY(hg_windows_init(&c->windows[i], &c->tokens[i], (size_t)r->seq_len, r->val_share, mem,
                               e));
    c->source = &c->windows[0].source;
    return r->weights.n > 0 ? mix(c, r, mem, e) : HG_OK;
}

void hg_corpora_close(hg_corpora *c)
{
    for (size_t i = 0; i < c->n; i++) hg_tokens_close(&c->tokens[i]);
    c->n = 0;
}
