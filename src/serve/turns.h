/* Who has had a turn when: of those that wait, the one that had it longest ago is next. What was
 * forgotten (there are few places) counts as one that had none. Under the caller's lock. */
#ifndef HG_SERVE_TURNS_H
#define HG_SERVE_TURNS_H

#include <stddef.h>
#include <stdint.h>

enum { HG_TURNS = 64 };
typedef struct hg_turns {
    struct {
        uint64_t key, at;
    } of[HG_TURNS];
    uint64_t now;
} hg_turns; /* all zero: nobody had one */

/* 0: none; larger: later. */
static inline uint64_t hg_turns_last(const hg_turns *t, uint64_t key)
{
    for (size_t i = 0; i < HG_TURNS; i++)
        if (t->of[i].at > 0 && t->of[i].key == key) return t->of[i].at;
    return 0;
}

static inline void hg_turns_take(hg_turns *t, uint64_t key)
{
    size_t at = 0;

    for (size_t i = 0; i < HG_TURNS; i++) {
        if (t->of[i].at < t->of[at].at) at = i;
        if (t->of[i].at > 0 && t->of[i].key == key) {
            at = i;
            break;
        }
    }
    t->of[at].key = key;
    t->of[at].at = ++t->now;
}

#endif
