/* The framing check: is the head of a request one that every HTTP implementation reads alike? A
 * pure function over bytes. */
#ifndef HG_HTTP_HEAD_H
#define HG_HTTP_HEAD_H

#include <higgins/base.h>

enum {
    HG_HEAD_MAX = 16 * 1024,   /* bytes of a head, its last empty line included: 431 */
    HG_HEAD_MAX_FIELDS = 100,  /* 431 */
    HG_HEAD_MAX_TARGET = 8192, /* 414 */
    HG_HEAD_MAX_METHOD = 32
};

typedef struct hg_head {
    size_t n;                 /* bytes of the head */
    hg_bytes method, target;  /* the target as it was sent, never decoded */
    hg_bytes host;            /* n 0: none (HTTP/1.0 only) */
    bool has_length, chunked; /* at most one of them */
    uint64_t length;
    uint32_t n_fields;
} hg_head;

/* Judges what has arrived so far. 0: so far faultless, but not whole; 200: whole, and *out is
 * filled (it points into `in`); else the status of the refusal (400, 414, 431, 501, 505) and e->msg
 * says what is wrong. Refused are: lines that do not end in CR LF, control characters, folded
 * lines, names that are no tokens, a space before the colon, Transfer-Encoding together with
 * Content-Length, either of them twice, any transfer coding but chunked, a length that is not
 * decimal digits, no Host or two, and targets that do not begin with a slash. */
int hg_head_check(hg_bytes in, hg_head *out, hg_err *e);

#endif
