/* What ELIZA thought of the last input, as events with texts of their own, until the next input. A
 * script may go through a million steps for one reply: what is kept is bounded, the rest counted.
 */
#include "app/eliza_inner.h"

enum { MAX_BYTES = 4 << 20, N_SPARE = 2 /* the reply and the count of what is missing */ };

void eliza_trace_begin(eliza_trace *t)
{
    hg_arena_reset(&t->mem);
    t->n = t->n_cut = t->n_bytes = 0;
    t->event = t->is_on ? HG_NEW_RAW(&t->mem, hg_eliza_event, HG_ELIZA_MAX_EVENTS + N_SPARE) : NULL;
}

hg_bytes eliza_trace_copy(eliza_trace *t, hg_bytes text)
{
    char *p = text.n > 0 ? hg_arena_strndup(&t->mem, text.p, text.n) : NULL;
    t->n_bytes += text.n;
    return p != NULL ? (hg_bytes){p, text.n} : (hg_bytes){"", 0};
}

static bool has_room(eliza_trace *t, hg_eliza_kind kind)
{
    if (t->event == NULL) return false;
    if (kind == HG_ELIZA_REPLY || kind == HG_ELIZA_CUT) return t->n < HG_ELIZA_MAX_EVENTS + N_SPARE;
    if (t->n < HG_ELIZA_MAX_EVENTS && t->n_bytes < MAX_BYTES) return true;
    t->n_cut++;
    return false;
}

hg_eliza_event *eliza_trace_add(eliza_trace *t, hg_eliza_kind kind, hg_bytes text, hg_bytes other)
{
    if (!has_room(t, kind)) return NULL;
    hg_eliza_event *ev = &t->event[t->n++];
    *ev = (hg_eliza_event){
        .kind = kind, .text = eliza_trace_copy(t, text), .other = eliza_trace_copy(t, other)};
    return ev;
}

hg_bytes *eliza_trace_parts(eliza_trace *t, hg_eliza_event *ev, size_t n)
{
    hg_bytes *part = n > 0 ? HG_NEW(&t->mem, hg_bytes, n) : NULL;
    if (part == NULL) return NULL;
    for (size_t i = 0; i < n; i++) part[i] = (hg_bytes){"", 0};
    ev->part = part;
    ev->n_parts = n;
    t->n_bytes += n * sizeof *part;
    return part;
}

static hg_bytes scratch(eliza_trace *t)
{
    return t->scratch.n > 0 && !t->scratch.failed ? (hg_bytes){t->scratch.p, t->scratch.n}
                                                  : (hg_bytes){"", 0};
}

hg_bytes eliza_trace_words(eliza_trace *t, const eliza_word *w, size_t n)
{
    hg_buf_clear(&t->scratch);
    eliza_put_words(&t->scratch, w, n, false);
    return scratch(t);
}

hg_bytes eliza_trace_items(eliza_trace *t, const hg_eliza_script *s, eliza_range items)
{
    hg_buf_clear(&t->scratch);
    eliza_put_items(&t->scratch, s, items);
    return scratch(t);
}

void eliza_trace_free(eliza_trace *t)
{
    hg_arena_free(&t->mem);
    hg_buf_free(&t->scratch);
}

const char *hg_eliza_kind_name(hg_eliza_kind kind)
{
    static const char *const name[] = {
        [HG_ELIZA_READ] = "read",
        [HG_ELIZA_QUEUE] = "memories",
        [HG_ELIZA_DISCARD] = "discard",
        [HG_ELIZA_KEYWORD] = "keyword",
        [HG_ELIZA_SUBSTITUTE] = "substitute",
        [HG_ELIZA_STACK] = "keystack",
        [HG_ELIZA_TRY] = "try",
        [HG_ELIZA_MATCH] = "match",
        [HG_ELIZA_NO_MATCH] = "no_match",
        [HG_ELIZA_REASSEMBLE] = "reassemble",
        [HG_ELIZA_LINK] = "link",
        [HG_ELIZA_PRE] = "pre",
        [HG_ELIZA_NEWKEY] = "newkey",
        [HG_ELIZA_REMEMBER] = "remember",
        [HG_ELIZA_NO_MEMORY] = "no_memory",
        [HG_ELIZA_RECALL] = "recall",
        [HG_ELIZA_NONE] = "none",
        [HG_ELIZA_STUCK] = "stuck",
        [HG_ELIZA_REPLY] = "reply",
        [HG_ELIZA_CUT] = "cut",
    };
    return name[kind];
}
