/* From tokens to text as it streams: whole characters only, and never the beginning of a stop
 * string. */
#ifndef HG_INFER_DETOK_H
#define HG_INFER_DETOK_H

#include <higgins/infer.h>
#include "base/mem.h"

enum { HG_MAX_STOP_BYTES = 1024 };

/* Copies of a request's stop strings. */
typedef struct hg_stops {
    size_t n;
    char *s[HG_MAX_STOP];
    size_t len[HG_MAX_STOP];
} hg_stops;
/* HG_E_ARG: too many, empty, too long, or not UTF-8. */
hg_status hg_stops_copy(hg_stops *out, const char *const *stop, size_t n, hg_err *e);
void hg_stops_free(hg_stops *s);

typedef struct hg_detok {
    const hg_stops *stops; /* the caller's; NULL: none */
    unsigned char part[4]; /* an unfinished character */
    size_t n_part;
    hg_buf text;    /* whole characters not yet handed out, behind n_given that were */
    size_t n_given; /* handed out by the last call; forgotten by the next */
    bool stopped;   /* a stop string came; the text ends before it */
} hg_detok;

/* Starts an answer; d was zeroed once. Keeps the room of the last. */
void hg_detok_begin(hg_detok *d, const hg_stops *stops);
void hg_detok_free(hg_detok *d);
/* Takes a token's bytes; *ready gets what may be shown now (perhaps nothing), valid until the next
 * call. Bytes that are not UTF-8 become U+FFFD, one for each maximal broken part (Unicode 15,
 * section 3.9). */
hg_status hg_detok_put(hg_detok *d, hg_bytes piece, hg_bytes *ready, hg_err *e);
/* The rest at the end of the answer. */
hg_status hg_detok_end(hg_detok *d, hg_bytes *ready, hg_err *e);

#endif
