/* Masks ahead of need. A mask that many tokens pass takes milliseconds to make, which an answer
 * would wait for where it first comes by; while the model reads a prompt there is time to make
 * them. A thread that does so is nice to those who compute. */
#include "base/clock.h"
#include "grammar/masks.h"

#include <signal.h>
#include <sys/resource.h>

hg_status hg_masks_warm(hg_masks *m, double seconds, hg_err *e)
{
    const hg_grammar *g = m->g;
    const double end = hg_seconds() + seconds;
    hg_mask_scratch w = {0};
    hg_mask_node *node;
    hg_status s = HG_OK;
    for (uint32_t q = 0; q < g->n_states && s == HG_OK && hg_seconds() < end; q++) {
        const uint32_t state = (uint32_t)((g->root + (uint64_t)q) % g->n_states);
        if (atomic_load(&m->closing)) break;
        if (g->states[state].distance == HG_FAR || g->states[state].is_end) continue;
        s = hg_masks_get(m, &w, NULL, state, &node, e);
        if (s != HG_OK || node->kept) continue;
        hg_mask_drop(node); /* no room for more */
        break;
    }
    hg_mask_scratch_free(&w);
    return s;
}

enum { NICE = 10 };

static void *warm(void *p)
{
    hg_masks *m = p;
    hg_err e;
    sigset_t all;
    /* Signals are for the program's own threads, which know what to do with them. */
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_BLOCK, &all, NULL);
    (void)setpriority(PRIO_PROCESS, 0, NICE); /* of this thread alone, on Linux */
    (void)hg_masks_warm(m, m->warm_s, &e);
    return NULL;
}

void hg_masks_warm_begin(hg_masks *m, double seconds)
{
    if (m->is_warming) return;
    m->warm_s = seconds;
    m->is_warming = pthread_create(&m->warmer, NULL, warm, m) == 0;
}

void hg_masks_warm_end(hg_masks *m)
{
    if (!m->is_warming) return;
    atomic_store(&m->closing, true);
    (void)pthread_join(m->warmer, NULL);
    m->is_warming = false;
}
