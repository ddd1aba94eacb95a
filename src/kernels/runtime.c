/* The runtime: threads, kernels and the scratch of the matrix product. Made once by the program,
 * handed to every computing call, and free of any other state. */
#include "kernels/runtime.h"

hg_status hg_runtime_new(hg_runtime **out, int n_threads, hg_isa cap, hg_err *e)
{
    *out = NULL;
    hg_runtime *rt = hg_alloc(1, sizeof *rt);
    if (rt == NULL) return hg_fail(e, HG_E_NOMEM, "no memory for the runtime");
    hg_status s = hg_pool_new(&rt->pool, n_threads, e);
    if (s != HG_OK) goto fail;
    rt->n_threads = hg_pool_threads(rt->pool);
    rt->scratch = hg_alloc((size_t)rt->n_threads, sizeof *rt->scratch);
    if (rt->scratch == NULL) {
        s = hg_fail(e, HG_E_NOMEM, "no memory for the runtime of %d threads", rt->n_threads);
        goto fail;
    }
    hg_kernels_init(&rt->k, cap);
    *out = rt;
    return HG_OK;
fail:
    hg_runtime_free(rt);
    return s;
}

void hg_runtime_free(hg_runtime *rt)
{
    if (rt == NULL) return;
    hg_pool_free(rt->pool);
    for (int t = 0; rt->scratch != NULL && t < rt->n_threads; t++)
        hg_arena_free(&rt->scratch[t].mem);
    hg_free(rt->scratch);
    hg_arena_free(&rt->shared.mem);
    hg_free(rt);
}

int hg_runtime_threads(const hg_runtime *rt)
{
    return rt->n_threads;
}

hg_isa hg_runtime_isa(const hg_runtime *rt)
{
    return rt->k.isa;
}

/* An arena of one block, because arenas bring alignment and 2 MiB pages. A quarter more than asked
 * for keeps slowly growing shapes from taking new memory each time. */
void *hg_runtime_scratch(hg_runtime *rt, int t, size_t n)
{
    hg_scratch *s = t < 0 ? &rt->shared : &rt->scratch[t];
    if (s->p != NULL && n <= s->size) return s->p;
    size_t want = 0;
    if (!hg_add(n, n / 4, &want)) return NULL;
    hg_arena_free(&s->mem);
    s->p = hg_arena_raw(&s->mem, want, 1);
    s->size = s->p != NULL ? want : 0;
    return s->p;
}
