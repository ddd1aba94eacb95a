/* See data.h. */
#include "data.h"
#include "kernels/scalar.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

void fill_random(float *x, size_t n, double range, hg_rng *r)
{
    for (size_t i = 0; i < n; i++) x[i] = (float)((2 * hg_rng_unit(r) - 1) * range);
}

float *random_floats(size_t n, double range, hg_rng *r)
{
    float *x = hg_alloc(n, sizeof *x);
    CHECK(x != NULL);
    fill_random(x, n, range, r);
    return x;
}

void *typed_copy(const float *x, size_t n, hg_type type)
{
    void *p = hg_alloc(n, hg_type_size(type));
    CHECK(p != NULL);
    for (size_t i = 0; i < n; i++) {
        if (type == HG_F32) ((float *)p)[i] = x[i];
        if (type == HG_F16) ((hg_f16 *)p)[i] = f16_of(x[i]);
        if (type == HG_BF16) ((hg_bf16 *)p)[i] = bf16_of(x[i]);
    }
    return p;
}

float typed_at(const void *p, hg_type type, size_t i)
{
    if (type == HG_F16) return f16_to_float(((const hg_f16 *)p)[i]);
    if (type == HG_BF16) return bf16_to_float(((const hg_bf16 *)p)[i]);
    return ((const float *)p)[i];
}

fenced fence(size_t n)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), room = (n + page - 1) / page * page;
    fenced f = {.n_map = room + page};
    f.map = mmap(NULL, f.n_map, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(f.map != MAP_FAILED);
    CHECK_EQ(mprotect((char *)f.map + room, page, PROT_NONE), 0);
    f.p = (char *)f.map + room - n;
    return f;
}

void unfence(fenced *f)
{
    (void)munmap(f->map, f->n_map);
    memset(f, 0, sizeof *f);
}

float rounded(hg_compute compute, float x)
{
    return compute == HG_COMPUTE_BF16 ? bf16_to_float(bf16_of(x)) : x;
}
