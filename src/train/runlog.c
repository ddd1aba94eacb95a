/* The log of a run. Lines are handed to the system whole, one a step, so that a kill tears at most
 * the last. */
#include "train/runlog.h"
#include <stdlib.h>
#include <string.h>

#define LOG_LIMIT ((size_t)4 << 30)

static const char prefix[] = "{\"step\":";

/* Lines of steps up to `step`, in order; a line of another shape or without its end is dropped. */
static void keep_lines(hg_buf *kept, hg_bytes text, uint64_t step)
{
    const char *p = text.p, *end = text.p + text.n, *eol = NULL;
    while (p < end && (eol = memchr(p, '\n', (size_t)(end - p))) != NULL) {
        size_t n = (size_t)(eol - p) + 1;
        if (n > sizeof prefix && memcmp(p, prefix, sizeof prefix - 1) == 0 &&
            strtoull(p + sizeof prefix - 1, NULL, 10) <= step)
            hg_buf_put(kept, p, n);
        p = eol + 1;
    }
}

static hg_status cut(const char *path, uint64_t step, bool keep, hg_err *e)
{
    hg_buf text = {0}, kept = {0};
    hg_status s = HG_OK;
    if (keep && hg_path_exists(path)) s = hg_file_read(&text, path, LOG_LIMIT, e);
    if (s == HG_OK && text.n > 0) keep_lines(&kept, (hg_bytes){text.p, text.n}, step);
    if (s == HG_OK) s = hg_buf_status(&kept, e);
    if (s == HG_OK) s = hg_file_write(path, kept.p != NULL ? kept.p : "", kept.n, e);
    hg_buf_free(&text);
    hg_buf_free(&kept);
    return s;
}

hg_status hg_runlog_open(hg_runlog *l, const char *path, uint64_t step, bool keep, hg_err *e)
{
    memset(l, 0, sizeof *l);
    (void)snprintf(l->path, sizeof l->path, "%s", path);
    HG_TRY(cut(path, step, keep, e));
    l->file = fopen(path, "ae");
    if (l->file == NULL)
        return hg_fail(e, hg_os_status(), "cannot write %s: %s", path, hg_os_error());
    return HG_OK;
}

void hg_runlog_close(hg_runlog *l)
{
    if (l->file != NULL) (void)fclose(l->file);
    hg_buf_free(&l->line);
    l->file = NULL;
}

void hg_runlog_begin(hg_runlog *l, uint64_t step)
{
    hg_buf_clear(&l->line);
    hg_json_out_init(&l->out, &l->line, 0);
    hg_json_begin(&l->out, NULL, '{');
    hg_json_int(&l->out, "step", (int64_t)step);
}

hg_status hg_runlog_end(hg_runlog *l, hg_err *e)
{
    hg_json_end(&l->out);
    hg_buf_putc(&l->line, '\n');
    HG_TRY(hg_buf_status(&l->line, e));
    if (l->file == NULL) return HG_OK;
    if (fwrite(l->line.p, 1, l->line.n, l->file) != l->line.n || fflush(l->file) != 0)
        return hg_fail(e, hg_os_status(), "cannot write %s: %s", l->path, hg_os_error());
    return HG_OK;
}
