/* A mail message (RFC 5322, MIME) and what a reader would see of it. */
#ifndef HG_DATA_MAIL_H
#define HG_DATA_MAIL_H

#include "text/html.h"

enum { HG_MAIL_MAX_DEPTH = 8, HG_MAIL_MAX_PARTS = 256 };

/* Starts as {0} with hg_mail_init; reused from message to message. All in UTF-8. */
typedef struct hg_mail {
    hg_buf text;    /* of the text/plain parts, or of the text/html ones where there are none */
    hg_buf subject; /* encoded words decoded */
    hg_buf id;      /* Message-ID without its brackets */
    int64_t date;   /* seconds since 1970; -1: not given or not understood */
    hg_html html;   /* scratch of the HTML parts */
} hg_mail;

void hg_mail_init(hg_mail *m);
void hg_mail_free(hg_mail *m);
/* Attachments are passed over. Parts beyond the limits are not read. HG_E_LIMIT (an HTML part over
 * its own limits), HG_E_NOMEM. */
hg_status hg_mail_read(hg_mail *m, hg_bytes message, hg_err *e);

/* "Tue, 24 Nov 2026 00:01:02 +0100" -> seconds since 1970, or -1. */
int64_t hg_mail_date(hg_bytes s);

#endif
