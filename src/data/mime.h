/* The small grammar of mail: header fields, transfer encodings, encoded words (RFC 2045, 2047). */
#ifndef HG_DATA_MIME_H
#define HG_DATA_MIME_H

#include "base/mem.h"

typedef enum hg_mime_encoding {
    HG_MIME_PLAIN,
    HG_MIME_QUOTED_PRINTABLE,
    HG_MIME_BASE64
} hg_mime_encoding;

/* What a part's header says; the bytes lie in the part. */
typedef struct hg_mime_header {
    bool is_text, is_html, is_attachment; /* is_html implies is_text */
    hg_mime_encoding encoding;
    hg_bytes charset, boundary; /* n 0: not given; boundary only for multipart types */
} hg_mime_header;

/* Reads the header at the beginning of `entity`; returns where the body begins. */
size_t hg_mime_read_header(hg_mime_header *h, hg_bytes entity);
/* The value of the first field of that name (lower case), folded lines still in it; n 0: none. */
hg_bytes hg_mime_field(hg_bytes entity, const char *name);
/* Appends the decoded bytes; what does not belong is passed over. */
void hg_mime_decode(hg_buf *out, hg_bytes body, hg_mime_encoding how);
/* Appends a header value in UTF-8, =?charset?B/Q?...?= decoded, folding undone, at most 1,000
 * bytes of it. */
void hg_mime_decode_words(hg_buf *out, hg_bytes value);

#endif
