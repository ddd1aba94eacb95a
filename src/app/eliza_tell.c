/* The events of a reply as lines that people read. One telling serves the terminal and the page: it
 * says what each bit of a line is (a label, a keyword, the third piece of a match), and the caller
 * chooses the ink. */
#include "app/eliza_inner.h"

#include <stdio.h>
#include <string.h>

typedef struct teller {
    hg_eliza_ink_fn *put;
    void *ctx;
} teller;

static void put(const teller *t, hg_eliza_ink ink, hg_bytes text)
{
    t->put(t->ctx, ink, 0, text);
}

static void say(const teller *t, hg_eliza_ink ink, const char *text)
{
    put(t, ink, (hg_bytes){text, strlen(text)});
}

static void label(const teller *t, const char *text)
{
    say(t, HG_ELIZA_INK_LABEL, text);
}

static void note(const teller *t, const char *fmt, uint32_t a, uint32_t b)
{
    char text[160];
    (void)snprintf(text, sizeof text, fmt, a, b);
    say(t, HG_ELIZA_INK_NOTE, text);
}

static void put_piece(const teller *t, uint32_t piece, hg_bytes text)
{
    t->put(t->ctx, HG_ELIZA_INK_PIECE, piece, text);
}

/* Items of a pattern stand between spaces, lists within brackets. */
static size_t item_length(hg_bytes text, size_t at)
{
    size_t i = at;
    int depth = 0;
    for (; i < text.n && (text.p[i] != ' ' || depth > 0); i++)
        depth += text.p[i] == '(' ? 1 : text.p[i] == ')' ? -1 : 0;
    return i - at;
}

static void tell_pattern(const teller *t, const hg_eliza_event *ev)
{
    label(t, "fits");
    size_t at = 0;
    for (uint32_t i = 1; at < ev->text.n; i++) {
        const size_t n = item_length(ev->text, at);
        if (i > 1) say(t, HG_ELIZA_INK_TEXT, " ");
        put_piece(t, i, (hg_bytes){ev->text.p + at, n});
        at += n + 1;
    }
    note(t, "decomposition %u of %u", ev->n, ev->of);
    label(t, "pieces");
    for (uint32_t i = 0; i < ev->n_parts; i++) {
        char number[16];
        (void)snprintf(number, sizeof number, "%s%u ", i > 0 ? "  " : "", i + 1);
        say(t, HG_ELIZA_INK_TEXT, number);
        put_piece(t, i + 1, ev->part[i].n > 0 ? ev->part[i] : (hg_bytes){"-", 1});
    }
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* A reassembly's numbers are pieces, the rest is text. */
static void tell_reassembly(const teller *t, const hg_eliza_event *ev)
{
    const hg_bytes s = ev->text;
    label(t, "uses");
    for (size_t i = 0; i < s.n;) {
        size_t n = i;
        const bool is_number = is_digit(s.p[i]);
        uint32_t piece = 0;
        while (n < s.n && is_digit(s.p[n]) == is_number) {
            if (is_number && piece < 1000) piece = 10 * piece + (uint32_t)(s.p[n] - '0');
            n++;
        }
        if (is_number)
            put_piece(t, piece, (hg_bytes){s.p + i, n - i});
        else
            put(t, HG_ELIZA_INK_TEXT, (hg_bytes){s.p + i, n - i});
        i = n;
    }
    if (s.n == 0) say(t, HG_ELIZA_INK_TEXT, "()");
    note(t, "reassembly %u of %u", ev->n, ev->of);
}

static void tell_parts(const teller *t, const hg_eliza_event *ev, hg_eliza_ink ink,
                       const char *between)
{
    for (size_t i = 0; i < ev->n_parts; i++) {
        if (i > 0) say(t, HG_ELIZA_INK_TEXT, between);
        put(t, ink, ev->part[i]);
    }
}

/* What was found in the sentence. */
static void tell_scan(const teller *t, const hg_eliza_event *ev)
{
    switch (ev->kind) {
    case HG_ELIZA_READ:
        label(t, "reads");
        put(t, HG_ELIZA_INK_WORD, ev->text);
        note(t, "LIMIT is %u of %u", ev->n, 4);
        break;
    case HG_ELIZA_QUEUE:
        if (ev->n_parts == 0) break;
        label(t, "memory");
        tell_parts(t, ev, HG_ELIZA_INK_MEMORY, " / ");
        break;
    case HG_ELIZA_DISCARD:
        if (ev->text.n == 0) break;
        label(t, "drops");
        put(t, HG_ELIZA_INK_GONE, ev->text);
        say(t, HG_ELIZA_INK_NOTE, "at");
        put(t, HG_ELIZA_INK_WORD, ev->other);
        break;
    case HG_ELIZA_KEYWORD:
        label(t, "keyword");
        put(t, HG_ELIZA_INK_KEY, ev->text);
        note(t,
             ev->is_top   ? "rank %u, the highest so far: to the top of the stack"
             : ev->n == 0 ? "rank %u: to the bottom of the stack"
                          : "rank %u, not the highest: to the bottom of the stack",
             ev->n, 0);
        break;
    case HG_ELIZA_SUBSTITUTE:
        label(t, "turns");
        put(t, HG_ELIZA_INK_GONE, ev->text);
        say(t, HG_ELIZA_INK_TEXT, " into ");
        put(t, HG_ELIZA_INK_WORD, ev->other);
        break;
    default:
        label(t, "sentence");
        put(t, HG_ELIZA_INK_WORD, ev->text);
        label(t, "keystack");
        if (ev->n_parts == 0) say(t, HG_ELIZA_INK_NOTE, "empty");
        tell_parts(t, ev, HG_ELIZA_INK_KEY, " > ");
        break;
    }
}

static void tell_memory(const teller *t, const hg_eliza_event *ev)
{
    if (ev->kind == HG_ELIZA_RECALL) {
        label(t, "recalls");
        put(t, HG_ELIZA_INK_MEMORY, ev->text);
        say(t, HG_ELIZA_INK_NOTE, "no keyword, and LIMIT is 4");
    } else if (ev->kind == HG_ELIZA_REMEMBER) {
        label(t, "remembers");
        put(t, HG_ELIZA_INK_MEMORY, ev->text);
        note(t, "form %u of %u, by the hash of", ev->n, N_MEMORY_FORMS);
        put(t, HG_ELIZA_INK_WORD, ev->other);
    } else {
        label(t, "remembers");
        note(t, "nothing: form %u of %u does not fit", ev->n, N_MEMORY_FORMS);
    }
}

/* What rules did. */
static void tell_rule(const teller *t, const hg_eliza_event *ev)
{
    switch (ev->kind) {
    case HG_ELIZA_TRY:
        label(t, "takes");
        put(t, HG_ELIZA_INK_KEY, ev->text);
        break;
    case HG_ELIZA_NO_MATCH:
        if (ev->n == 0) break; /* it has a link alone */
        label(t, "fits");
        note(t, "none of its %u decompositions", ev->n, 0);
        break;
    case HG_ELIZA_LINK:
        label(t, "links to");
        put(t, HG_ELIZA_INK_KEY, ev->text);
        break;
    case HG_ELIZA_PRE:
        label(t, "rewrites");
        put(t, HG_ELIZA_INK_WORD, ev->text);
        say(t, HG_ELIZA_INK_NOTE, "and goes on with");
        put(t, HG_ELIZA_INK_KEY, ev->other);
        break;
    case HG_ELIZA_NEWKEY:
        label(t, "newkey");
        say(t, HG_ELIZA_INK_NOTE,
            ev->is_top ? "this keyword gives up, and the stack is empty"
                       : "this keyword gives up for the next on the stack");
        break;
    case HG_ELIZA_NONE:
        label(t, "none");
        say(t, HG_ELIZA_INK_NOTE, "no keyword is left: the NONE rule answers");
        break;
    case HG_ELIZA_STUCK:
        label(t, "stuck");
        note(t, "no rule fits: the fixed message of LIMIT %u", ev->n, 0);
        break;
    default:
        label(t, "more");
        note(t, "%u further steps are not shown", ev->n, 0);
        break;
    }
}

static void tell(const teller *t, const hg_eliza_event *ev)
{
    switch (ev->kind) {
    case HG_ELIZA_READ:
    case HG_ELIZA_QUEUE:
    case HG_ELIZA_DISCARD:
    case HG_ELIZA_KEYWORD:
    case HG_ELIZA_SUBSTITUTE:
    case HG_ELIZA_STACK:
        tell_scan(t, ev);
        break;
    case HG_ELIZA_MATCH:
        tell_pattern(t, ev);
        break;
    case HG_ELIZA_REASSEMBLE:
        tell_reassembly(t, ev);
        break;
    case HG_ELIZA_REMEMBER:
    case HG_ELIZA_NO_MEMORY:
    case HG_ELIZA_RECALL:
        tell_memory(t, ev);
        break;
    case HG_ELIZA_REPLY:
        label(t, "replies");
        put(t, HG_ELIZA_INK_REPLY, ev->text);
        break;
    default:
        tell_rule(t, ev);
        break;
    }
}

void hg_eliza_tell(const hg_eliza *el, hg_eliza_ink_fn *ink, void *ctx)
{
    size_t n;
    const teller t = {ink, ctx};
    const hg_eliza_event *ev = hg_eliza_events(el, &n);
    for (size_t i = 0; i < n; i++) tell(&t, &ev[i]);
}
