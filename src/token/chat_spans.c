/* Which bytes of a rendered conversation the assistant generates. A template may say so itself, in
 * generation blocks. Where it does not, an answer begins where the prompt for it would have ended
 * (the template is asked: the messages before it, open for an answer, render as a prefix of the
 * whole), and ends with the token that ends a turn. */
#include "token/chat.h"
#include <string.h>

bool hg_chat_is_end(const hg_chat_format *f, int32_t id)
{
    int32_t known[HG_MAX_ENDS];
    if (id < 0) return false;
    if (id == f->end || id == f->eos) return true;
    if (id == hg_tokenizer_special(f->t, "<|end|>")) return true; /* of a part, too */
    for (size_t i = hg_chat_end_ids(f->t, known); i-- > 0;)
        if (known[i] == id) return true;
    return false;
}

/* ---- special tokens ---- */
/* Where the token itself begins in a match that may have taken white space. */
static size_t core_of(const hg_tokenizer *t, hg_bytes text, const added_match *m)
{
    hg_bytes piece = t->piece[m->id];
    for (size_t i = m->begin; i + piece.n <= m->end; i++)
        if (memcmp(text.p + i, piece.p, piece.n) == 0) return i;
    return m->begin;
}

static bool is_trusted(const hg_jinja_text *x, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++)
        if ((x->mark[i] & JV_SOURCE) != JV_TRUSTED) return false;
    return true;
}

/* Some tokenizers (DeepSeek's) write who speaks with added tokens that are not called special,
 * and are found in any text: <|...|>, with bars of either width. */
static bool is_control(hg_bytes piece)
{
    return piece.n > 2 && piece.p[0] == '<' &&
           (memchr(piece.p, '|', piece.n) != NULL ||
            memmem(piece.p, piece.n, "\xEF\xBD\x9C", 3) != NULL);
}

/* The next special token of one of the two sets that the template wrote, or the next place where
 * what somebody said must be cut, lest it becomes a token that says who speaks. */
static bool next_special(const hg_tokenizer *t, const hg_jinja_text *x, bool normalized,
                         size_t from, added_match *m)
{
    size_t at = from;
    while (hg_added_next(t, &t->added[normalized][1], x->text, at, m)) {
        size_t core = core_of(t, x->text, m), end = core + t->piece[m->id].n;
        if (m->begin >= from && hg_tokenizer_is_special(t, m->id) && is_trusted(x, core, end))
            return true;
        if (core >= from && !hg_tokenizer_is_special(t, m->id) && is_control(t->piece[m->id]) &&
            !is_trusted(x, core, end)) {
            *m = (added_match){.id = -1, .begin = core, .end = core + 1};
            return true;
        }
        at = core + 1;
    }
    return false;
}

hg_status hg_chat_find_specials(const hg_tokenizer *t, const hg_jinja_text *x, chat_specials *out,
                                hg_err *e)
{
    added_match m[2];
    bool there[2] = {next_special(t, x, false, 0, &m[0]), next_special(t, x, true, 0, &m[1])};
    while (there[0] || there[1]) {
        int k = !there[0] || (there[1] && m[1].begin < m[0].begin);
        size_t end = m[k].end;
        HG_TRY(hg_grow(&out->v, &out->cap, out->n, sizeof *out->v, e));
        out->v[out->n++] = (chat_special){m[k].begin, m[k].end, m[k].id};
        for (int i = 0; i < 2; i++)
            if (there[i] && m[i].begin < end) there[i] = next_special(t, x, i == 1, end, &m[i]);
    }
    return HG_OK;
}

/* ---- answers ---- */
typedef struct finder {
    const hg_chat_format *f;
    const chat_values *v;
    const hg_jinja_text *x;
    const chat_specials *specials;
    jrun *run;           /* for prefixes */
    size_t pos;          /* everything before is done */
    size_t special;      /* the first that may matter */
    size_t glue, n_glue; /* text that stood before an answer, at x->text.p + glue */
} finder;

static uint8_t mark_at(const finder *w, size_t i)
{
    return w->x->mark[i] & JV_SOURCE;
}

/* The first and behind the last byte of the answer with this mark; false when it left none. */
static bool find_answer(const finder *w, uint8_t mark, size_t *first, size_t *behind)
{
    size_t i = w->pos, n = w->x->text.n;
    while (i < n && mark_at(w, i) != mark) i++;
    *first = *behind = i;
    for (; i < n && (mark_at(w, i) <= JV_DATA || mark_at(w, i) == mark); i++)
        if (mark_at(w, i) == mark) *behind = i + 1;
    return *first < n;
}

static bool behind_glue(const finder *w, size_t at)
{
    return w->n_glue > 0 && at >= w->pos + w->n_glue && is_trusted(w->x, at - w->n_glue, at) &&
           memcmp(w->x->text.p + at - w->n_glue, w->x->text.p + w->glue, w->n_glue) == 0;
}

/* The length of the prompt for message i, when the whole text begins with it; else SIZE_MAX. A
 * template that refuses to be asked is no failure. */
static hg_status prompt_length(finder *w, size_t i, size_t *out, hg_err *e)
{
    hg_jinja_text prefix;
    hg_err inner = {0};
    *out = SIZE_MAX;
    hg_jinja_run_reset(w->run);
    hg_status s = hg_chat_text(w->f, w->run, w->v, i, true, &prefix, &inner);
    if (s == HG_E_NOMEM) return hg_fail(e, s, "%s", inner.msg);
    if (s != HG_OK || prefix.text.n < w->pos || prefix.text.n > w->x->text.n) return HG_OK;
    if (prefix.text.n > 0 && memcmp(prefix.text.p, w->x->text.p, prefix.text.n) != 0) return HG_OK;
    *out = prefix.text.n;
    return HG_OK;
}

static hg_status begin_of(finder *w, size_t i, bool found, size_t first, size_t *out, hg_err *e)
{
    *out = first;
    if (found && behind_glue(w, first)) return HG_OK;
    size_t prompt = 0;
    HG_TRY(prompt_length(w, i, &prompt, e));
    if (prompt != SIZE_MAX && (!found || prompt <= first)) {
        *out = prompt;
        w->n_glue = 0;
        if (found && prompt == first)
            while (w->n_glue < first && mark_at(w, first - w->n_glue - 1) == JV_TRUSTED)
                w->n_glue++;
        w->glue = first - w->n_glue;
        return HG_OK;
    }
    /* A single space before an answer is its own: models of SentencePiece begin with one. */
    if (found && first >= w->pos + 2 && is_trusted(w->x, first - 1, first) &&
        w->x->text.p[first - 1] == ' ' && strchr(" \t\r\n", w->x->text.p[first - 2]) == NULL)
        *out = first - 1;
    return HG_OK;
}

/* Behind the token that ends the turn, when only the template's text stands before it. */
static size_t end_of(finder *w, size_t behind)
{
    const chat_specials *s = w->specials;
    while (w->special < s->n && s->v[w->special].begin < behind) w->special++;
    for (size_t k = w->special, from = behind; k < s->n; k++) {
        if (!is_trusted(w->x, from, s->v[k].begin)) break;
        /* White space that the token takes is not said. */
        if (hg_chat_is_end(w->f, s->v[k].id)) return s->v[k].end;
        from = s->v[k].end;
    }
    return behind;
}

static void learn_span(uint16_t *learn, size_t begin, size_t end, size_t message)
{
    for (size_t i = begin; i < end; i++) learn[i] = (uint16_t)(message < 65535 ? message : 65535);
}

static hg_status find_all(finder *w, uint16_t *learn, hg_err *e)
{
    for (size_t i = 0, answers = 0; i < w->v->n; i++) {
        size_t first, behind, begin;
        if (!hg_chat_is_answer(w->v, i)) continue;
        bool found = find_answer(w, hg_chat_mark(answers++), &first, &behind);
        HG_TRY(begin_of(w, i, found, first, &begin, e));
        if (!found && begin >= w->x->text.n) continue;
        size_t end = end_of(w, found ? behind : begin);
        learn_span(learn, begin, end, answers);
        w->pos = end;
    }
    return HG_OK;
}

/* ---- generation blocks ---- */
/* The number of the message that generated bytes [from, to) begin with: `last`, or one behind it
 * with the mark that is found first. Where nobody's words are in them, the next: an answer may be
 * empty but for the token that ends it. */
static size_t message_at(const hg_jinja_text *x, size_t from, size_t to, size_t last)
{
    for (size_t i = from; i < to; i++) {
        const uint8_t mark = x->mark[i] & JV_SOURCE;
        if (mark <= JV_DATA) continue;
        size_t k = last > 0 ? last : 1;
        while (hg_chat_mark(k - 1) != mark) k++;
        return k;
    }
    return last + 1;
}

/* Behind the run of generated bytes, or where another message's words begin in it. */
static size_t run_end(const hg_jinja_text *x, size_t from)
{
    uint8_t mark = JV_DATA;
    size_t i = from;
    for (; i < x->text.n && (x->mark[i] & JV_GENERATED) != 0; i++) {
        const uint8_t here = x->mark[i] & JV_SOURCE;
        if (here <= JV_DATA) continue;
        if (mark > JV_DATA && here != mark) break;
        mark = here;
    }
    return i;
}

static void find_generated(const hg_jinja_text *x, uint16_t *learn)
{
    size_t last = 0;
    for (size_t i = 0; i < x->text.n;) {
        if ((x->mark[i] & JV_GENERATED) == 0) {
            i++;
            continue;
        }
        const size_t end = run_end(x, i);
        last = message_at(x, i, end, last);
        learn_span(learn, i, end, last);
        i = end;
    }
}

hg_status hg_chat_spans(const hg_chat_format *f, const chat_values *v, const hg_jinja_text *x,
                        const chat_specials *specials, uint16_t *learn, hg_err *e)
{
    memset(learn, 0, x->text.n * sizeof *learn);
    if (hg_jinja_has_generation(f->jinja)) {
        find_generated(x, learn);
        return HG_OK;
    }
    finder w = {.f = f, .v = v, .x = x, .specials = specials};
    HG_TRY(hg_jinja_run_new(&w.run, f->jinja, NULL, e));
    hg_status s = find_all(&w, learn, e);
    hg_jinja_run_free(w.run);
    return s;
}
