/* The data of pre-training: the documents of each side of the split strung together and cut every
 * seq_len tokens, so that no token is lost and none is seen twice in an epoch. A window may begin
 * and end within a document; where documents meet inside one, a new timeline begins and the last
 * token of the old one has nothing to predict. */
#include "train/windows.h"
#include "base/hash.h"
#include <math.h>
#include <string.h>

/* The document of the stream that holds position `at`: the last whose start is not behind it. */
static size_t find_doc(const hg_stream *s, uint64_t at)
{
    size_t low = 0, high = s->n;
    while (high - low > 1) {
        size_t mid = low + (high - low) / 2;
        if (s->start[mid] <= at)
            low = mid;
        else
            high = mid;
    }
    return low;
}

/* Part of one document: n ids from `at` (in the shard), whose own end is `end`. */
static void put_piece(const hg_tokens *t, uint64_t at, size_t n, uint64_t end, int32_t *ids,
                      int32_t *targets, uint8_t *begins)
{
    hg_tokens_read(t, at, n, ids);
    memset(begins, 0, n);
    begins[0] = 1;
    memcpy(targets, ids + 1, (n - 1) * sizeof *ids);
    targets[n - 1] = -1;
    if (at + n < end) hg_tokens_read(t, at + n, 1, targets + n - 1);
}

static void window_row(const hg_source *source, bool held_out, uint64_t i, int32_t *ids,
                       int32_t *targets, uint8_t *begins)
{
    const hg_windows *w = (const hg_windows *)(const void *)source;
    const hg_stream *s = &w->part[held_out];
    size_t len = source->seq_len, done = 0;
    uint64_t at = i * len;

    for (size_t d = find_doc(s, at); done < len && d < s->n; d++) {
        uint64_t within = at - s->start[d], size = s->start[d + 1] - s->start[d];
        size_t n = size - within < len - done ? (size_t)(size - within) : len - done;
        if (n == 0) continue;
        put_piece(w->tokens, s->doc[d] + within, n, s->doc[d] + size, ids + done, targets + done,
                  begins + done);
        done += n;
        at += n;
    }
    /* Behind the last document: a timeline of its own that counts for nothing. */
    for (size_t t = done; t < len; t++) {
        ids[t] = 0;
        targets[t] = -1;
        begins[t] = t == done;
    }
}

static void add_doc(hg_stream *s, uint64_t from, uint64_t to)
{
    s->doc[s->n] = from;
    s->start[s->n + 1] = s->start[s->n] + (to - from);
    s->n++;
}

static hg_status stream_init(hg_stream *s, size_t max_docs, hg_arena *mem, hg_err *e)
{
    s->n = 0;
    s->doc = HG_NEW(mem, uint64_t, max_docs);
    s->start = HG_NEW(mem, uint64_t, max_docs + 1);
    if (s->doc == NULL || s->start == NULL)
        return hg_fail(e, HG_E_NOMEM, "no room for a table of %zu documents", max_docs);
    return HG_OK;
}

/* Tokens of documents whose hash is below the threshold. */
static uint64_t count_held_out(const hg_tokens *t, uint64_t threshold)
{
    uint64_t n = 0;
    for (uint64_t d = 0; d < t->n_docs; d++)
        if (hg_tokens_hash(t, d) < threshold)
            n += hg_tokens_start(t, d + 1) - hg_tokens_start(t, d);
    return n;
}

static void split_by_hash(hg_windows *w, uint64_t threshold)
{
    const hg_tokens *t = w->tokens;
    for (uint64_t d = 0; d < t->n_docs; d++)
        add_doc(&w->part[hg_tokens_hash(t, d) < threshold], hg_tokens_start(t, d),
                hg_tokens_start(t, d + 1));
}

/* The last `share` of each document; of one below 8 tokens, nothing. */
static void split_ends(hg_windows *w, double share)
{
    const hg_tokens *t = w->tokens;
    for (uint64_t d = 0; d < t->n_docs; d++) {
        uint64_t from = hg_tokens_start(t, d), to = hg_tokens_start(t, d + 1);
        uint64_t held =
            share > 0 && to - from >= 8 ? (uint64_t)ceil((double)(to - from) * share) : 0;
        if (held == 1) held = 2; /* one token predicts nothing */
        add_doc(&w->part[0], from, to - held);
        if (held > 0) add_doc(&w->part[1], to - held, to);
    }
}

static void split(hg_windows *w, double share)
{
    const hg_tokens *t = w->tokens;
    uint64_t threshold = (uint64_t)(share * 0x1p63) * 2;
    double held = (double)count_held_out(t, threshold), asked = share * (double)t->n_tokens;
    if (held >= asked / 2 && held <= asked * 2)
        split_by_hash(w, threshold);
    else
        split_ends(w, share);
}

static uint64_t count_rows(const hg_stream *s, size_t seq_len)
{
    return (s->start[s->n] + seq_len - 1) / seq_len;
}

hg_status hg_windows_init(hg_windows *w, const hg_tokens *t, size_t seq_len, double val_share,
                          hg_arena *mem, hg_err *e)
{
    memset(w, 0, sizeof *w);
    w->tokens = t;
    if (t->n_tokens < 2)
        return hg_fail(e, HG_E_ARG, "the corpus holds %llu tokens; there is nothing to learn from",
                       (unsigned long long)t->n_tokens);
    for (int i = 0; i < 2; i++) HG_TRY(stream_init(&w->part[i], (size_t)t->n_docs, mem, e));
    split(w, val_share);
    w->source = (hg_source){
        .seq_len = seq_len, .row = window_row, .mapped_bytes = t->n_tokens * t->id_bytes};
    w->source.n_rows = count_rows(&w->part[0], seq_len);
    w->source.n_val_rows = count_rows(&w->part[1], seq_len);
    w->source.hash = hg_hash64(&t->content_hash, sizeof t->content_hash, t->n_docs);
    w->source.val_bytes_a_token =
        t->n_tokens > t->n_docs ? (double)t->n_bytes / (double)(t->n_tokens - t->n_docs) : 0;
    return HG_OK;
}
