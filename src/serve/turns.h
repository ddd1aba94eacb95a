/* Who has had a turn when: of those that wait, the one that had it longest ago is next. What was
 * forgotten counts as one that had none, so that of more than there are places for the last would
 * starve: there are as many as batches that are looked at together. Under the caller's lock. */
#ifndef HG_SERVE_TURNS_H
#define HG_SERVE_TURNS_H

#include <stddef.h>
#include <stdint.h>

enum { HG_TURNS = 1024 };
typedef struct hg_turns {
    struct {
        uint64_t key, at;
    } of[HG_TURNS];
    size_t n;
    uint64_t now;
} hg_turns; /* all zero: nobody had one */

/* 0: none; larger: later. */
static inline uint64_t hg_turns_last(const hg_turns *t, uint64_t key)
{
    for (size_t i = 0; i < t->n; i++)
        if (t->of[i].key == key) return t->of[i].at;
    return 0;
}

static inline void hg_turns_take(hg_turns *t, uint64_t key)
{
    size_t at = 0, oldest = 0;

    while (at < t->n && t->of[at].key != key) {
        if (t->of[at].at < t->of[oldest].at) oldest = at;
        at++;
    }
    if (at == HG_TURNS)
        at = oldest;
    else if (at == t->n)
        t->n++;
    t->of[at].key = key;
    t->of[at].at = ++t->now;
}

#endif
