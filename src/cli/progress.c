/* Progress on the terminal: one line that rewrites itself, with rate and time left; nothing when
 * stderr is not a terminal. And numbers as people read them. */
#include "frame.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

typedef struct line {
    cli *c;
    bool is_terminal, is_open;
    char stage[48];
    double stage_start, last_draw;
    double first_done;
} line;

/* The program's own terminal line; there is one terminal. */
static line the_line;

static double now(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

const char *cli_bytes(char buf[32], double bytes)
{
    static const char *const unit[] = {"B", "kB", "MB", "GB", "TB"};
    int u = 0;
    while (bytes >= 1000 && u < 4) {
        bytes /= 1000;
        u++;
    }
    (void)snprintf(buf, 32,
                   u == 0 || bytes >= 100 ? "%.0f %s"
                   : bytes >= 10          ? "%.1f %s"
                                          : "%.2f %s",
                   bytes, unit[u]);
    return buf;
}

const char *cli_count(char buf[32], double n)
{
    static const char *const unit[] = {"", " k", " M", " B", " T"};
    int u = 0;
    while (n >= 1000 && u < 4) {
        n /= 1000;
        u++;
    }
    (void)snprintf(buf, 32,
                   u == 0 && n == floor(n) ? "%.0f%s"
                   : n >= 100              ? "%.0f%s"
                   : n >= 10               ? "%.1f%s"
                                           : "%.2f%s",
                   n, unit[u]);
    return buf;
}

const char *cli_duration(char buf[32], double s)
{
    if (s < 0 || !isfinite(s)) s = 0;
    if (s < 60)
        (void)snprintf(buf, 32, "%.0f s", s);
    else if (s < 3600)
        (void)snprintf(buf, 32, "%d min %02d s", (int)(s / 60), (int)fmod(s, 60));
    else
        (void)snprintf(buf, 32, "%d h %02d min", (int)(s / 3600), (int)fmod(s / 60, 60));
    return buf;
}

static int columns(void)
{
    struct winsize w;
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col > 20 ? w.ws_col : 80;
}

static const char *amount(char buf[32], double n, const char *unit)
{
    return unit != NULL && strcmp(unit, "bytes") == 0 ? cli_bytes(buf, n) : cli_count(buf, n);
}

/* What a line leaves out when it is too long for the terminal: the rate, and the share as well;
 * what the stage says of itself (the note) is what people look at. */
typedef enum detail { ALL, NO_RATE, NO_SHARE } detail;

/* `per_s`: 0 where it is not known yet. */
static int compose(char text[512], const hg_progress *p, double per_s, detail d)
{
    enum { SIZE = 512 };
    char done[32], total[32], rate[32], left[32];
    const char *unit = p->unit != NULL ? p->unit : "";
    const char *shown_unit = strcmp(unit, "bytes") == 0 ? "" : unit;
    int n = snprintf(text, SIZE, "%s  %s", p->stage, amount(done, p->done, unit));
    if (p->total > 0)
        n += snprintf(text + n, SIZE - (size_t)n, " of %s", amount(total, p->total, unit));
    n += snprintf(text + n, SIZE - (size_t)n, "%s%s", *shown_unit != '\0' ? " " : "", shown_unit);
    if (p->total > 0 && d < NO_SHARE)
        n += snprintf(text + n, SIZE - (size_t)n, "  %.0f%%", 100 * p->done / p->total);
    if (per_s > 0 && d < NO_RATE)
        n += snprintf(text + n, SIZE - (size_t)n, "  %s/s", amount(rate, per_s, unit));
    if (per_s > 0 && p->total > p->done)
        n += snprintf(text + n, SIZE - (size_t)n, "  %s left",
                      cli_duration(left, (p->total - p->done) / per_s));
    if (p->note != NULL && p->note[0] != '\0')
        n += snprintf(text + n, SIZE - (size_t)n, "  %s", p->note);
    return n;
}

static void draw(line *l, const hg_progress *p, double t)
{
    char text[512];
    const double elapsed = t - l->stage_start;
    const double per_s = elapsed > 0.2 ? (p->done - l->first_done) / elapsed : 0;
    const int room = columns() - 1;
    for (detail d = ALL; d <= NO_SHARE && compose(text, p, per_s, d) > room; d++) {
    }
    fprintf(stderr, "\r\033[K%.*s", room, text);
    (void)fflush(stderr);
    l->is_open = true;
    l->last_draw = t;
}

static void on_progress(void *ctx, const hg_progress *p)
{
    line *l = ctx;
    if (!l->is_terminal || l->c->quiet) return;
    double t = now();
    const char *stage = p->stage != NULL ? p->stage : "";
    if (strncmp(l->stage, stage, sizeof l->stage - 1) != 0) {
        cli_progress_end(l->c);
        (void)snprintf(l->stage, sizeof l->stage, "%s", stage);
        l->stage_start = t;
        l->first_done = p->done;
        l->last_draw = 0;
    }
    bool is_last = p->total > 0 && p->done >= p->total;
    if (t - l->last_draw >= 0.1 || is_last) draw(l, p, t);
}

static void on_log(void *ctx, hg_level level, const char *text)
{
    line *l = ctx;
    if (level == HG_DEBUG && !l->c->verbose) return;
    if (level == HG_INFO && l->c->quiet) return;
    if (l->is_open) fprintf(stderr, "\r\033[K");
    fprintf(stderr, "%s%s\n", level == HG_WARN ? "higgins: " : "", text);
    l->is_open = false;
}

void cli_progress_open(cli *c)
{
    the_line = (line){.c = c, .is_terminal = isatty(STDERR_FILENO) == 1};
    c->watch.progress = on_progress;
    c->watch.log = on_log;
    c->watch.ctx = &the_line;
}

void cli_progress_end(cli *c)
{
    line *l = &the_line;
    if (l->c == c && l->is_open) {
        fputc('\n', stderr);
        l->is_open = false;
    }
}

bool cli_stdout_is_terminal(void)
{
    return isatty(STDOUT_FILENO) == 1;
}
