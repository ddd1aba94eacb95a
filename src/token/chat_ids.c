/* A rendered conversation as ids. Special tokens are those that the template wrote; the text
 * between is encoded without any. Where the assistant begins and ends the text is cut, because that
 * is how a model meets it when it answers: its first token must not depend on the line break before
 * it. SentencePiece's kinds are not cut (a space belongs to the word behind it); there an answer
 * begins with the first token that differs from the prompt's. */
#include "token/chat.h"
#include <string.h>

typedef struct writer {
    const hg_tokenizer *t;
    hg_encoder *en;
    hg_bytes text;
    const hg_chat_input *in; /* weights */
    const uint16_t *learn;
    hg_ids *ids, prompt; /* prompt: of a text up to a cut */
    hg_mask *mask;
} writer;

static float weight_of(const writer *w, uint16_t message)
{
    if (message == 0) return 0;
    return message <= w->in->n_weights ? w->in->weights[message - 1] : 1;
}

/* The mask follows the ids: what was added since is said by this message. */
static hg_status mark(writer *w, uint16_t message, hg_err *e)
{
    if (w->mask == NULL) return HG_OK;
    while (w->mask->n < w->ids->n) {
        HG_TRY(hg_grow(&w->mask->weight, &w->mask->cap, w->mask->n, sizeof(float), e));
        w->mask->weight[w->mask->n++] = weight_of(w, message);
    }
    return HG_OK;
}

static hg_status encode(writer *w, size_t from, size_t to, hg_ids *ids, hg_err *e)
{
    hg_bytes part = {w->text.p + from, to - from};
    return from == 0 ? hg_encoder_run(w->en, part, false, ids, e)
                     : hg_encoder_go_on(w->en, part, ids, e);
}

/* The next place in (from, to) where an answer begins or ends, or `to`. */
static size_t next_cut(const writer *w, size_t from, size_t to)
{
    size_t i = from + 1;
    while (i < to && w->learn[i] == w->learn[from]) i++;
    return i < to ? i : to;
}

static hg_status plain_cut(writer *w, size_t from, size_t to, hg_err *e)
{
    while (from < to) {
        size_t cut = next_cut(w, from, to);
        HG_TRY(encode(w, from, cut, w->ids, e));
        HG_TRY(mark(w, w->learn[from], e));
        from = cut;
    }
    return HG_OK;
}

static hg_status plain_whole(writer *w, size_t from, size_t to, hg_err *e)
{
    size_t begin = w->ids->n, cut = from;
    HG_TRY(encode(w, from, to, w->ids, e));
    HG_TRY(mark(w, w->learn[from], e));
    while (w->mask != NULL && (cut = next_cut(w, cut, to)) < to) {
        size_t same = 0, n = w->ids->n - begin;
        w->prompt.n = 0;
        HG_TRY(encode(w, from, cut, &w->prompt, e));
        while (same < n && same < w->prompt.n && w->prompt.id[same] == w->ids->id[begin + same])
            same++;
        for (; same < n; same++) w->mask->weight[begin + same] = weight_of(w, w->learn[cut]);
    }
    return HG_OK;
}

static hg_status plain(writer *w, size_t from, size_t to, hg_err *e)
{
    if (from >= to) return HG_OK;
    return w->t->parts.is_text ? plain_whole(w, from, to, e) : plain_cut(w, from, to, e);
}

static hg_status write_all(writer *w, const chat_specials *s, hg_err *e)
{
    size_t at = 0;
    for (size_t i = 0; i < s->n; i++) {
        HG_TRY(plain(w, at, s->v[i].id < 0 ? s->v[i].end : s->v[i].begin, e));
        at = s->v[i].end;
        if (s->v[i].id < 0) continue;
        HG_TRY(hg_ids_push(w->ids, s->v[i].id, e));
        HG_TRY(mark(w, w->learn[s->v[i].begin], e));
    }
    return plain(w, at, w->text.n, e);
}

hg_status hg_chat_encode(const hg_tokenizer *t, const hg_chat_input *in, hg_bytes text,
                         const chat_specials *s, const uint16_t *learn, hg_ids *ids, hg_mask *mask,
                         hg_err *e)
{
    writer w = {.t = t, .in = in, .text = text, .learn = learn, .ids = ids, .mask = mask};
    if (text.n > HG_MAX_ENCODE)
        return hg_fail(e, HG_E_LIMIT, "a conversation of %zu bytes; at most %d allowed", text.n,
                       HG_MAX_ENCODE);
    HG_TRY(hg_encoder_new(&w.en, t, e));
    hg_status status = write_all(&w, s, e);
    hg_encoder_free(w.en);
    hg_ids_free(&w.prompt);
    return status;
}
