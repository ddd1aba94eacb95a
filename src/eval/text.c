/* Bits per byte: how well a model foretells text, whatever its vocabulary. A document longer than
 * the context is read in windows; each begins with half a window that was scored before and serves
 * as past only, so that every byte counts once and none is foretold from nothing. */
#include "eval/eval.h"
#include "data/corpus.h"
#include "text/utf8.h"
#include <math.h>
#include <string.h>

enum { QUICK_BYTES = 256 << 10, ENOUGH_DOCUMENTS = 10 };

void hg_text_score_free(hg_text_score *t)
{
    hg_free(t->block);
    *t = (hg_text_score){0};
}

static hg_status add_block(hg_text_score *out, hg_text_block b, hg_err *e)
{
    HG_TRY(hg_grow(&out->block, &out->cap, out->n, sizeof *out->block, e));
    out->block[out->n++] = b;
    out->nats += b.nats;
    out->bytes += b.bytes;
    out->tokens += b.tokens;
    return HG_OK;
}

/* One window: `past` ids that only go before, then n that are scored. */
static hg_status score_window(hg_scorer *s, const int32_t *past, size_t n_past, const int32_t *ids,
                              size_t n, double *nats, hg_err *e)
{
    HG_TRY(hg_grow(&s->logprob, &s->logprob_cap, n, sizeof *s->logprob, e));
    hg_session_rewind(s->session, 0);
    HG_TRY(hg_session_feed(s->session, past, n_past, NULL, e));
    HG_TRY(hg_session_score(s->session, ids, n, s->logprob, e));
    s->tokens += n_past + n;
    *nats = 0;
    for (size_t i = 0; i < n; i++) *nats -= s->logprob[i];
    /* A first token without any past is charged as a guess among all. */
    if (n_past == 0) *nats += log((double)s->n_vocab);
    return HG_OK;
}

static uint64_t bytes_of(const hg_scorer *s, const int32_t *ids, size_t n)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < n; i++) bytes += hg_tokenizer_piece(s->t, ids[i], true).n;
    return bytes;
}

hg_status hg_score_document(hg_scorer *s, hg_bytes text, hg_text_score *out, hg_err *e)
{
    size_t half = s->n_ctx / 2, at = 0, first = out->n;
    uint64_t left = text.n;
    s->ids.n = 0;
    HG_TRY(hg_tokenizer_encode(s->t, text, false, &s->ids, e));
    const int32_t *id = s->ids.id;
    while (at < s->ids.n) {
        size_t n_past = at == 0 ? (s->start >= 0 ? 1 : 0) : half;
        const int32_t *past = at == 0 ? &s->start : id + at - half;
        size_t n = s->ids.n - at < s->n_ctx - n_past ? s->ids.n - at : s->n_ctx - n_past;
        hg_text_block b = {.tokens = n, .bytes = bytes_of(s, id + at, n)};
        HG_TRY(score_window(s, past, n_past, id + at, n, &b.nats, e));
        at += n;
        /* Where a normaliser changed the text, the pieces' bytes are not quite the text's. */
        if (b.bytes > left || at == s->ids.n) b.bytes = left;
        left -= b.bytes;
        HG_TRY(add_block(out, b, e));
    }
    if (out->n > first) out->n_documents++;
    return HG_OK;
}

/* The windows of the document just scored become one block. */
static void join(hg_text_score *t, size_t first)
{
    for (size_t i = first + 1; i < t->n; i++) {
        t->block[first].nats += t->block[i].nats;
        t->block[first].bytes += t->block[i].bytes;
        t->block[first].tokens += t->block[i].tokens;
    }
    if (t->n > first) t->n = first + 1;
}

/* The beginning of a text, of at most n bytes, in whole characters. */
static hg_bytes head_of(hg_bytes text, uint64_t n)
{
    if (text.n <= n) return text;
    text.n = (size_t)n;
    text.n -= hg_utf8_cut(text);
    return text;
}

static hg_status score_corpus(hg_scorer *s, hg_corpus *c, uint64_t limit, bool by_window,
                              const hg_watch *w, hg_text_score *out, hg_err *e)
{
    hg_doc doc;
    bool has;
    for (uint64_t left = limit; left > 0;) {
        HG_TRY(hg_corpus_next(c, &doc, &has, e));
        if (!has) break;
        hg_bytes text = head_of(doc.text, left);
        size_t first = out->n;
        if (text.n == 0) break;
        HG_TRY(hg_score_document(s, text, out, e));
        if (!by_window) join(out, first);
        left -= text.n;
        hg_progress p = {.stage = "held-out text",
                         .unit = "bytes",
                         .done = (double)(limit - left),
                         .total = limit < UINT64_MAX ? (double)limit : 0};
        hg_watch_progress(w, &p);
        if (hg_watch_stopped(w)) return hg_fail(e, HG_E_CANCELED, "stopped");
    }
    return HG_OK;
}

/* Few documents say little about their spread: then windows are drawn instead. */
static hg_status count_documents(hg_corpus *c, uint64_t limit, uint64_t *n, hg_err *e)
{
    hg_doc doc;
    bool has = true;
    *n = 0;
    for (uint64_t bytes = 0; has && *n < ENOUGH_DOCUMENTS && bytes < limit; bytes += doc.text.n) {
        HG_TRY(hg_corpus_next(c, &doc, &has, e));
        if (!has) break;
        *n += 1;
    }
    return hg_corpus_rewind(c, e);
}

hg_status hg_score_text(hg_scorer *s, const hg_eval_options *o, const hg_watch *w,
                        hg_text_score *out, hg_err *e)
{
    hg_corpus *c = NULL;
    bool is_full = strcmp(o->suite, "full") == 0;
    uint64_t n = 0, limit = o->text_bytes > 0 ? o->text_bytes : is_full ? UINT64_MAX : QUICK_BYTES;
    *out = (hg_text_score){0};
    hg_status status = hg_corpus_open(&c, &o->text, 1, e);
    if (status == HG_OK) status = count_documents(c, limit, &n, e);
    out->by_window = n < ENOUGH_DOCUMENTS;
    if (status == HG_OK) status = score_corpus(s, c, limit, out->by_window, w, out, e);
    hg_corpus_close(c);
    if (status == HG_OK && out->bytes == 0)
        status = hg_fail(e, HG_E_MISSING, "%s: no text to score", o->text);
    if (status != HG_OK) hg_text_score_free(out);
    return status;
}
