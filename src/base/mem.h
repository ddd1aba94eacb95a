/* The only door to the heap. Everything in Higgins is taken from an arena (memory that ends
 * together) or, where one thing must grow or end alone, from hg_alloc. Sizes are multiplied with
 * overflow checks. */
#ifndef HG_BASE_MEM_H
#define HG_BASE_MEM_H

#include <higgins/base.h>

/* False when a * b (or a + b) does not fit a size_t. */
bool hg_mul(size_t a, size_t b, size_t *out);
bool hg_add(size_t a, size_t b, size_t *out);

/* n * size bytes, zeroed, 16-byte aligned; NULL when there is no room or the product overflows. n *
 * size of 0 gives a pointer that may be freed. */
void *hg_alloc(size_t n, size_t size);
/* Grows or shrinks; the new part is not zeroed. On failure NULL and `p` stays as it was. */
void *hg_realloc(void *p, size_t n, size_t size);
void hg_free(void *p);
char *hg_strdup(const char *s); /* NULL when there is no room */
char *hg_strndup(const char *s, size_t n);

/* A chain of blocks that are freed together. One thread at a time. */
typedef struct hg_arena_block hg_arena_block;
typedef struct hg_arena {
    hg_arena_block *first, *current;
    size_t block_size;
    size_t used, peak; /* bytes handed out, now and at the most */
} hg_arena;

typedef struct hg_arena_mark {
    hg_arena_block *block;
    size_t block_used, used;
} hg_arena_mark;

/* Takes nothing yet. block_size 0: 1 MiB; larger requests get a block of their own. */
void hg_arena_init(hg_arena *a, size_t block_size);
/* n * size bytes, 64-byte aligned; NULL when full. The first is zeroed, the second is not. */
void *hg_arena_alloc(hg_arena *a, size_t n, size_t size);
void *hg_arena_raw(hg_arena *a, size_t n, size_t size);
char *hg_arena_strndup(hg_arena *a, const char *s, size_t n);
char *hg_arena_printf(hg_arena *a, const char *fmt, ...) HG_PRINTF(2, 3);
/* Forgets everything handed out and keeps the blocks for the next round. */
void hg_arena_reset(hg_arena *a);
hg_arena_mark hg_arena_here(const hg_arena *a);
void hg_arena_rewind(hg_arena *a, hg_arena_mark m);
void hg_arena_free(hg_arena *a);
/* Bytes of memory that its blocks take once all that was handed out is touched. */
size_t hg_arena_held(const hg_arena *a);
/* The same of one request for which no block has room. */
size_t hg_arena_block_bytes(size_t n);
/* Gives what was freed back to the system, which the heap else keeps for later requests. */
void hg_heap_trim(void);

#define HG_NEW(arena, type, n) ((type *)hg_arena_alloc((arena), (n), sizeof(type)))
#define HG_NEW_RAW(arena, type, n) ((type *)hg_arena_raw((arena), (n), sizeof(type)))

/* Growing bytes. Starts as {0}; `p` is NUL-terminated once anything was put (the NUL is not
 * counted). A failed put marks the buffer `failed` and every later put does nothing, so that a
 * writer checks once, at the end. */
typedef struct hg_buf {
    char *p;
    size_t n, cap;
    bool failed;
} hg_buf;

void hg_buf_put(hg_buf *b, const void *p, size_t n);
void hg_buf_puts(hg_buf *b, const char *s);
void hg_buf_putc(hg_buf *b, char c);
void hg_buf_printf(hg_buf *b, const char *fmt, ...) HG_PRINTF(2, 3);
/* Makes room for n more bytes and returns where they go; NULL on failure. The caller adds to b->n.
 */
char *hg_buf_room(hg_buf *b, size_t n);
void hg_buf_clear(hg_buf *b); /* keeps the room */
void hg_buf_free(hg_buf *b);
hg_status hg_buf_status(const hg_buf *b, hg_err *e); /* HG_E_NOMEM after a failed put */

/* Makes room in a growing array of `size`-byte items for index n; doubles. `*items` may be NULL
 * with *cap 0. */
hg_status hg_grow(void *items, size_t *cap, size_t n, size_t size, hg_err *e);

#endif
