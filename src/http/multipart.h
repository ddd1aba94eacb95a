/* multipart/form-data (RFC 7578), strictly: a pure function over the bytes of a body. */
#ifndef HG_HTTP_MULTIPART_H
#define HG_HTTP_MULTIPART_H

#include <higgins/base.h>

enum {
    HG_MULTIPART_MAX_PARTS = 64,
    HG_MULTIPART_MAX_HEAD = 4096, /* bytes of the header lines of a part */
    HG_MULTIPART_NAME_ROOM = 64,
    HG_MULTIPART_FILE_ROOM = 256,
    HG_MULTIPART_TYPE_ROOM = 128
};

typedef struct hg_part {
    char name[HG_MULTIPART_NAME_ROOM];
    char filename[HG_MULTIPART_FILE_ROOM]; /* as it was sent, folders and all; "": none */
    bool has_filename;
    char type[HG_MULTIPART_TYPE_ROOM]; /* of its Content-Type; "": none */
    hg_bytes body;                     /* within the parsed bytes */
} hg_part;

/* Splits `body` at the boundary that `content_type` (a header's value; NULL: there was none) names.
 * Names are unescaped as browsers escape them (%22, %0D, %0A; \" too) and hold no control
 * characters. Text before the first boundary and behind the last is passed over. HG_E_FORMAT: it is
 * no multipart/form-data, a line does not end in CR LF, a part has no name, the last boundary is
 * missing; HG_E_LIMIT: over what is allowed above; each with the number of the part. */
hg_status hg_multipart_parse(hg_bytes body, const char *content_type,
                             hg_part part[HG_MULTIPART_MAX_PARTS], size_t *n, hg_err *e);

#endif
