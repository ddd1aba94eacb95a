/* The heap, arenas and growing buffers. Arenas are chains of blocks; big blocks ask the kernel for
 * 2 MiB pages, which is worth 5 to 10 percent of the read bandwidth on weights, but for their ends:
 * a matrix of 2.25 MiB would else hold 4. */
#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

bool hg_mul(size_t a, size_t b, size_t *out)
{
    return !__builtin_mul_overflow(a, b, out);
}

bool hg_add(size_t a, size_t b, size_t *out)
{
    return !__builtin_add_overflow(a, b, out);
}

void *hg_alloc(size_t n, size_t size)
{
    size_t bytes = 0;
    if (!hg_mul(n, size, &bytes)) return NULL;
    return calloc(1, bytes > 0 ? bytes : 1);
}

void *hg_realloc(void *p, size_t n, size_t size)
{
    size_t bytes = 0;
    if (!hg_mul(n, size, &bytes)) return NULL;
    return realloc(p, bytes > 0 ? bytes : 1);
}

void hg_free(void *p)
{
    free(p);
}

char *hg_strndup(const char *s, size_t n)
{
    if (n == SIZE_MAX) return NULL;
    char *d = malloc(n + 1);
    if (d == NULL) return NULL;
    if (n > 0) memcpy(d, s, n);
    d[n] = '\0';
    return d;
}

char *hg_strdup(const char *s)
{
    return hg_strndup(s, strlen(s));
}

/* ---- arenas ---- */

enum { ALIGN = 64, PAGE = 4096, HUGE_PAGE = 2 << 20 };

struct hg_arena_block {
    hg_arena_block *next;
    size_t size, used; /* of the bytes behind the header */
    char pad[ALIGN - 3 * sizeof(size_t)];
};
_Static_assert(sizeof(hg_arena_block) == ALIGN, "the bytes behind the header must be aligned");

static char *bytes_of(hg_arena_block *b)
{
    return (char *)b + sizeof *b;
}

/* Header and n bytes in whole pages, or lines where there are few; false on overflow. */
static bool block_total(size_t n, size_t *total)
{
    if (!hg_add(n, sizeof(hg_arena_block), total)) return false;
    const size_t step = *total >= HUGE_PAGE ? PAGE : ALIGN;
    if (!hg_add(*total, step - 1, total)) return false;
    *total &= ~(step - 1);
    return true;
}

static hg_arena_block *block_new(size_t size)
{
    size_t total = 0;
    void *at = NULL;
    if (!block_total(size, &total)) return NULL;
    const bool is_big = total >= HUGE_PAGE;
    if (posix_memalign(&at, is_big ? HUGE_PAGE : ALIGN, total) != 0) return NULL;
    hg_arena_block *b = at;
    if (is_big) (void)madvise(b, total & ~((size_t)HUGE_PAGE - 1), MADV_HUGEPAGE);
    b->next = NULL;
    b->size = total - sizeof *b;
    b->used = 0;
    return b;
}

void hg_arena_init(hg_arena *a, size_t block_size)
{
    *a = (hg_arena){.block_size = block_size > 0 ? block_size : (size_t)1 << 20};
}

/* The block that has room for n bytes: the current one, a later one kept from an earlier round, or
 * a new one. */
static hg_arena_block *block_for(hg_arena *a, size_t n)
{
    hg_arena_block *last = NULL;
    for (hg_arena_block *b = a->current; b != NULL; b = b->next) {
        if (b != a->current) b->used = 0;
        if (b->size - b->used >= n) return b;
        last = b;
    }
    hg_arena_block *b = block_new(n > a->block_size ? n : a->block_size);
    if (b == NULL) return NULL;
    if (last != NULL)
        last->next = b;
    else
        a->first = b;
    return b;
}

void *hg_arena_raw(hg_arena *a, size_t n, size_t size)
{
    size_t bytes = 0;
    if (!hg_mul(n, size, &bytes) || !hg_add(bytes, ALIGN - 1, &bytes)) return NULL;
    bytes &= ~(size_t)(ALIGN - 1);
    if (bytes == 0) bytes = ALIGN;
    hg_arena_block *b = block_for(a, bytes);
    if (b == NULL) return NULL;
    a->current = b;
    void *p = bytes_of(b) + b->used;
    b->used += bytes;
    a->used += bytes;
    if (a->used > a->peak) a->peak = a->used;
    return p;
}

void *hg_arena_alloc(hg_arena *a, size_t n, size_t size)
{
    void *p = hg_arena_raw(a, n, size);
    if (p != NULL) memset(p, 0, n * size);
    return p;
}

char *hg_arena_strndup(hg_arena *a, const char *s, size_t n)
{
    if (n == SIZE_MAX) return NULL;
    char *d = hg_arena_raw(a, n + 1, 1);
    if (d == NULL) return NULL;
    if (n > 0) memcpy(d, s, n);
    d[n] = '\0';
    return d;
}

char *hg_arena_printf(hg_arena *a, const char *fmt, ...)
{
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    char *d = n < 0 ? NULL : hg_arena_raw(a, (size_t)n + 1, 1);
    if (d != NULL) (void)vsnprintf(d, (size_t)n + 1, fmt, again);
    va_end(again);
    return d;
}

void hg_arena_reset(hg_arena *a)
{
    a->current = a->first;
    if (a->first != NULL) a->first->used = 0;
    a->used = 0;
}

hg_arena_mark hg_arena_here(const hg_arena *a)
{
    return (hg_arena_mark){a->current, a->current != NULL ? a->current->used : 0, a->used};
}

void hg_arena_rewind(hg_arena *a, hg_arena_mark m)
{
    if (m.block == NULL) {
        hg_arena_reset(a);
        return;
    }
    a->current = m.block;
    a->current->used = m.block_used;
    a->used = m.used;
}

void hg_arena_free(hg_arena *a)
{
    hg_arena_block *b = a->first;
    while (b != NULL) {
        hg_arena_block *next = b->next;
        free(b);
        b = next;
    }
    hg_arena_init(a, a->block_size);
}

size_t hg_arena_held(const hg_arena *a)
{
    size_t n = 0;
    for (const hg_arena_block *b = a->first; b != NULL; b = b->next)
        n += hg_arena_block_bytes(b->used);
    return n;
}

size_t hg_arena_block_bytes(size_t n)
{
    size_t total = 0;
    return block_total(n, &total) ? total : SIZE_MAX;
}

void hg_heap_trim(void)
{
#ifdef __GLIBC__
    (void)malloc_trim(0);
#endif
}

/* ---- growing bytes ---- */

char *hg_buf_room(hg_buf *b, size_t n)
{
    size_t need = 0;
    if (b->failed || !hg_add(b->n, n, &need) || !hg_add(need, 1, &need)) {
        b->failed = true;
        return NULL;
    }
    if (need > b->cap) {
        size_t cap = b->cap < 64 ? 64 : b->cap;
        while (cap < need) cap = cap > SIZE_MAX / 2 ? need : cap * 2;
        char *p = realloc(b->p, cap);
        if (p == NULL) {
            b->failed = true;
            return NULL;
        }
        b->p = p;
        b->cap = cap;
    }
    b->p[b->n + n] = '\0';
    return b->p + b->n;
}

void hg_buf_put(hg_buf *b, const void *p, size_t n)
{
    char *d = hg_buf_room(b, n);
    if (d == NULL) return;
    if (n > 0) memcpy(d, p, n);
    b->n += n;
}

void hg_buf_puts(hg_buf *b, const char *s)
{
    hg_buf_put(b, s, strlen(s));
}

void hg_buf_putc(hg_buf *b, char c)
{
    hg_buf_put(b, &c, 1);
}

void hg_buf_printf(hg_buf *b, const char *fmt, ...)
{
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    char *d = n < 0 ? NULL : hg_buf_room(b, (size_t)n);
    if (d != NULL) {
        (void)vsnprintf(d, (size_t)n + 1, fmt, again);
        b->n += (size_t)n;
    } else {
        b->failed = true;
    }
    va_end(again);
}

void hg_buf_clear(hg_buf *b)
{
    b->n = 0;
    if (b->p != NULL) b->p[0] = '\0';
}

void hg_buf_free(hg_buf *b)
{
    free(b->p);
    *b = (hg_buf){0};
}

hg_status hg_buf_status(const hg_buf *b, hg_err *e)
{
    return b->failed ? hg_fail(e, HG_E_NOMEM, "no memory for a buffer of more than %zu bytes", b->n)
                     : HG_OK;
}

hg_status hg_grow(void *items, size_t *cap, size_t n, size_t size, hg_err *e)
{
    if (n < *cap) return HG_OK;
    size_t want = *cap < 8 ? 8 : *cap;
    while (want <= n) {
        if (want > SIZE_MAX / 2) return hg_fail(e, HG_E_NOMEM, "no memory for %zu items", n);
        want *= 2;
    }
    void *old = NULL;
    memcpy(&old, items, sizeof old); /* `items` is the address of a pointer of any type */
    void *p = hg_realloc(old, want, size);
    if (p == NULL)
        return hg_fail(e, HG_E_NOMEM, "no memory for %zu items of %zu bytes", want, size);
    memcpy(items, &p, sizeof p);
    *cap = want;
    return HG_OK;
}
