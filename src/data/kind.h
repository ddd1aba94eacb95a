/* What a file is: by its name where the name says, else by its first bytes. */
#ifndef HG_DATA_KIND_H
#define HG_DATA_KIND_H

#include "base/mem.h"

typedef enum hg_kind {
    HG_KIND_TEXT, /* plain text, Markdown, reStructuredText ... */
    HG_KIND_HTML,
    HG_KIND_JSONL,
    HG_KIND_MBOX,
    HG_KIND_MAIL,  /* one message */
    HG_KIND_OTHER, /* text, but not for reading: programs, data, markup of other kinds */
    HG_KIND_BINARY
} hg_kind;

/* `head`: the first bytes (some KB), decompressed. Endings .gz and .zst of the name are passed
 * over. */
hg_kind hg_kind_guess(const char *path, hg_bytes head);
const char *
hg_kind_name(hg_kind k); /* "text", "html", "jsonl", "mbox", "mail", "other", "binary" */

#endif
