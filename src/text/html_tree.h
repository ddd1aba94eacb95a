/* Between the two halves of the HTML reader: html.c makes the tree and bounds it, html_text.c walks
 * it. */
#ifndef HG_TEXT_HTML_TREE_H
#define HG_TEXT_HTML_TREE_H

#include "text/html.h"
#include <gumbo.h>

hg_status hg_html_walk(hg_html *h, const GumboNode *root, hg_err *e);

#endif
