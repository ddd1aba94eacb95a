/* Small files that options name: templates, tools, messages. */
#include "cli.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_TEXT = 64 << 20 };

static hg_status read_all(FILE *in, const char *path, char **out, hg_err *e)
{
    size_t n = 0, total = 0;
    char block[4096];
    FILE *all = open_memstream(out, &n);
    if (all == NULL) return hg_fail(e, HG_E_NOMEM, "no room for %s", path);
    bool fits = true;
    for (size_t got; fits && (got = fread(block, 1, sizeof block, in)) > 0;) {
        total += got;
        fits = fwrite(block, 1, got, all) == got && total <= MAX_TEXT;
    }
    int why = ferror(in) != 0 ? errno : 0;
    if (fclose(all) != 0) return hg_fail(e, HG_E_NOMEM, "no room for %s", path);
    if (why != 0) return hg_fail(e, HG_E_IO, "cannot read %s: %s", path, strerror(why));
    if (!fits) return hg_fail(e, HG_E_LIMIT, "%s: over %d MiB", path, MAX_TEXT >> 20);
    if (memchr(*out, 0, n) != NULL)
        return hg_fail(e, HG_E_FORMAT, "%s: a NUL byte; a text is right", path);
    return HG_OK;
}

hg_status cli_read_text(const char *path, char **out, hg_err *e)
{
    *out = NULL;
    if (path == NULL) return HG_OK;
    FILE *in = fopen(path, "rb");
    if (in == NULL) return hg_fail(e, HG_E_IO, "cannot read %s: %s", path, strerror(errno));
    hg_status s = read_all(in, path, out, e);
    (void)fclose(in);
    if (s == HG_OK) return HG_OK;
    free(*out);
    *out = NULL;
    return s;
}
