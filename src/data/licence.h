/* Under which licence does a document stand? Only what is stated somewhere counts. */
#ifndef HG_DATA_LICENCE_H
#define HG_DATA_LICENCE_H

#include "base/mem.h"

/* The expression behind "SPDX-License-Identifier:" in the first 4 KB of a text; n 0: none. */
hg_bytes hg_licence_spdx(hg_bytes text);

/* What /usr/share/doc/PACKAGE/copyright says, for files below that folder; the last package asked
 * for is remembered. Starts as {0}. */
typedef struct hg_licence_cache {
    hg_buf folder, licence;
} hg_licence_cache;
void hg_licence_cache_free(hg_licence_cache *c);
/* n 0: the path lies elsewhere, or the package states nothing we understand. Lives until the next
 * call. */
hg_bytes hg_licence_debian(hg_licence_cache *c, const char *path);

/* The licence of a machine-readable Debian copyright file (the stanza "Files: *", else the header,
 * else the first one), or the common licences that a free-form one refers to; appended. */
void hg_licence_parse_debian(hg_buf *out, hg_bytes copyright);

#endif
