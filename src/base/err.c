/* Errors as one sentence, and the caller's watch over long work. Nothing here prints: the text goes
 * to whoever asked for it. */
#include <higgins/base.h>

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Cuts at the last whole UTF-8 character and turns newlines into spaces, so that a message stays
 * one line of text whatever a file put into it. */
static void tidy(char *s, size_t cap)
{
    size_t n = strnlen(s, cap - 1);
    if (n == cap - 1) {
        size_t i = n;
        while (i > 0 && ((unsigned char)s[i - 1] & 0xC0) == 0x80) i--;
        if (i > 0 && (unsigned char)s[i - 1] >= 0xC0) {
            unsigned char lead = (unsigned char)s[i - 1];
            size_t need = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
            if (n - (i - 1) < need) n = i - 1;
        }
    }
    s[n] = '\0';
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)s[i] < 0x20 || s[i] == 0x7F) s[i] = ' ';
}

hg_status hg_fail(hg_err *e, hg_status status, const char *fmt, ...)
{
    if (e == NULL) return status;
    /* Formatted beside the target: a caller may hand the old message in as an argument. */
    char text[sizeof e->msg];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    tidy(text, sizeof text);
    e->status = status;
    memcpy(e->msg, text, sizeof text);
    return status;
}

const char *hg_status_name(hg_status status)
{
    switch (status) {
    case HG_OK:
        return "ok";
    case HG_E_IO:
        return "io";
    case HG_E_FORMAT:
        return "format";
    case HG_E_LIMIT:
        return "limit";
    case HG_E_NOMEM:
        return "memory";
    case HG_E_ARG:
        return "argument";
    case HG_E_STATE:
        return "state";
    case HG_E_MISSING:
        return "missing";
    case HG_E_CANCELED:
        return "canceled";
    case HG_E_UNSUPPORTED:
        return "unsupported";
    case HG_E_FULL:
        return "full";
    }
    return "unknown";
}

void hg_watch_progress(const hg_watch *w, const hg_progress *p)
{
    if (w != NULL && w->progress != NULL) w->progress(w->ctx, p);
}

void hg_watch_log(const hg_watch *w, hg_level level, const char *fmt, ...)
{
    if (w == NULL || w->log == NULL) return;
    char line[1024];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    tidy(line, sizeof line);
    w->log(w->ctx, level, line);
}

bool hg_watch_stopped(const hg_watch *w)
{
    return w != NULL && w->stop != NULL && atomic_load(w->stop);
}
