/* The readable text of a web page: headings, paragraphs, lists, tables, preformatted text; without
 * scripts, navigation, forms, and blocks that are mostly links. */
#ifndef HG_TEXT_HTML_H
#define HG_TEXT_HTML_H

#include "base/mem.h"

enum {
    HG_HTML_MAX_BYTES = 16 << 20,
    HG_HTML_MAX_DEPTH = 512,        /* of elements in elements */
    HG_HTML_MAX_MEMORY = 512 << 20, /* for the tree of one page */
    HG_HTML_MAX_SECONDS = 20        /* of processor time for the tree of one page */
};

/* What a page says. Starts as {0}; reused from page to page; freed by hg_html_free. */
typedef struct hg_html {
    hg_buf text; /* blocks with an empty line between, list items and table rows one a line */
    hg_buf title, lang, licence, date; /* as stated; n 0: not stated */
    hg_arena mem;
} hg_html;

void hg_html_init(hg_html *h);
void hg_html_free(hg_html *h);

/* Reads one page of UTF-8 (broken bytes become U+FFFD). Whatever stands in it, the call ends:
 * HG_E_LIMIT when the page is over one of the limits above, HG_E_NOMEM. */
hg_status hg_html_read(hg_html *h, hg_bytes page, hg_err *e);

#endif
