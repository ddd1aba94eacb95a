/* The page's files, which web/build.sh bundles into a C file. */
#ifndef HG_SERVE_PAGE_FILES_H
#define HG_SERVE_PAGE_FILES_H

#include <stddef.h>

typedef struct hg_page_file {
    const char *path;           /* "/" is the page, others lie below "/assets/" and never change */
    const char *type, *tag;     /* of Content-Type and ETag */
    const unsigned char *bytes; /* [n] */
    size_t n, n_plain; /* n_plain: when they are compressed (gzip), what they were; else 0 */
} hg_page_file;
extern const hg_page_file hg_page_files[];
extern const size_t hg_n_page_files; /* 0: the server was built without its page */

#endif
