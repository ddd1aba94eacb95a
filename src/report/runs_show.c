/* Several runs drawn: as text for a terminal, and as a page. */
#include "report/runs.h"

#include "base/file.h"
#include "text/page.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { LEFT = 9 /* characters of a label */, MIN_COLUMNS = 20, MIN_ROWS = 4 };

char hg_runs_sign(size_t i)
{
    static const char signs[] = "123456789abcdefghijklmnopqrstuvwxyz";
    return signs[i % (sizeof signs - 1)];
}

/* ---- text ---- */

typedef struct frame {
    double x_most, low, high;
    size_t columns, rows; /* of the drawing, without labels */
    char *cell;           /* [rows][columns] */
} frame;

static void find_range(frame *f, const hg_runs *r)
{
    f->low = (double)INFINITY;
    f->high = -(double)INFINITY;
    for (size_t i = 0; i < r->n; i++)
        for (size_t k = 0; k < r->run[i].curve.loss.n; k++) {
            double y = r->run[i].smooth[k], x = r->run[i].x[k];
            if (!isfinite(y) || !isfinite(x)) continue;
            f->low = fmin(f->low, y);
            f->high = fmax(f->high, y);
            f->x_most = fmax(f->x_most, x);
        }
}

static size_t place(double v, size_t n)
{
    double at = floor(v * (double)n);
    if (!(at > 0)) return 0; /* what a damaged log makes of it too: no number */
    return at >= (double)n ? n - 1 : (size_t)at;
}

static void draw(frame *f, const hg_run_read *run, char sign)
{
    double height = f->high > f->low ? f->high - f->low : 1;
    for (size_t k = 0; k < run->curve.loss.n; k++) {
        if (!isfinite(run->smooth[k]) || !isfinite(run->x[k])) continue;
        size_t column = place(run->x[k] / f->x_most, f->columns);
        size_t row = place((f->high - run->smooth[k]) / height, f->rows);
        f->cell[row * f->columns + column] = sign;
    }
}

static void put_frame(hg_buf *b, const frame *f)
{
    char tokens[32];
    for (size_t row = 0; row < f->rows; row++) {
        double y = f->high - (f->high - f->low) * ((double)row + 0.5) / (double)f->rows;
        size_t n = f->columns;
        while (n > 0 && f->cell[row * f->columns + n - 1] == ' ') n--;
        hg_buf_printf(b, "%*.3f |%.*s\n", LEFT - 2, y, (int)n, f->cell + row * f->columns);
    }
    hg_buf_printf(b, "%*s+", LEFT - 1, "");
    for (size_t i = 0; i < f->columns; i++) hg_buf_putc(b, '-');
    hg_buf_printf(b, "\n%*s0%*s tokens\n", LEFT, "", (int)f->columns - 8,
                  hg_page_count(tokens, f->x_most));
}

const char *hg_runs_plot(hg_runs *r, size_t columns, size_t rows)
{
    frame f = {.columns = columns > LEFT + MIN_COLUMNS ? columns - LEFT : MIN_COLUMNS,
               .rows = rows > MIN_ROWS ? rows : MIN_ROWS};
    hg_buf_clear(&r->plot);
    find_range(&f, r);
    if (!(f.low <= f.high) || !(f.x_most > 0)) return NULL;
    f.cell = hg_alloc(f.rows, f.columns);
    if (f.cell == NULL) return NULL;
    memset(f.cell, ' ', f.rows * f.columns);
    for (size_t i = 0; i < r->n; i++) draw(&f, &r->run[i], hg_runs_sign(i));
    put_frame(&r->plot, &f);
    hg_free(f.cell);
    return hg_buf_status(&r->plot, NULL) == HG_OK ? r->plot.p : NULL;
}

/* ---- a page ---- */

static const hg_page_column columns[] = {
    {"run", false},     {"parameters", true},  {"steps", true},    {"tokens", true}, {"loss", true},
    {"held out", true}, {"bits a byte", true}, {"tokens/s", true}, {"time", true},   {"kJ", true}};
enum { N_COLUMNS = sizeof columns / sizeof *columns };

static const char *decimal(char out[32], double v, int digits)
{
    if (!isfinite(v)) return "-";
    (void)snprintf(out, 32, "%.*f", digits, v);
    return out;
}

static void put_row(hg_buf *b, const hg_run_figures *f)
{
    char text[N_COLUMNS][32], steps[48];
    (void)snprintf(steps, sizeof steps, "%llu%s", (unsigned long long)f->steps,
                   f->is_finished ? "" : " so far");
    const char *const cell[N_COLUMNS] = {f->name,
                                         hg_page_count(text[1], (double)f->params),
                                         steps,
                                         hg_page_count(text[3], f->tokens),
                                         decimal(text[4], f->loss, 4),
                                         decimal(text[5], f->val_loss, 4),
                                         decimal(text[6], f->val_bits_per_byte, 4),
                                         decimal(text[7], f->tokens_per_s, 0),
                                         hg_page_duration(text[8], f->seconds),
                                         decimal(text[9], f->joules / 1000, 1)};
    hg_page_row(b, columns, cell, N_COLUMNS);
}

/* The held-out losses over the clock show what a faster run gains. */
static void put_charts(hg_buf *b, const hg_runs *r)
{
    hg_page_series loss[HG_MAX_RUNS], val[HG_MAX_RUNS], clock[HG_MAX_RUNS];
    size_t n_val = 0;
    for (size_t i = 0; i < r->n; i++) {
        const hg_run_read *k = &r->run[i];
        const hg_curve *c = &k->curve;
        const char *name = k->f.name;
        loss[i] = (hg_page_series){.name = name, .x = k->x, .y = k->smooth, .n = c->loss.n};
        val[i] = (hg_page_series){name, k->val_x, c->val_loss.y, c->val_loss.n, false};
        clock[i] = (hg_page_series){name, k->val_minute, c->val_by_time.y, c->val_by_time.n, false};
        n_val += c->val_loss.n;
    }
    const hg_page_chart charts[] = {
        {"Loss, smoothed", "tokens", "nats a token", false, false, loss, r->n},
        {"Held-out loss", "tokens", "nats a token", false, false, val, r->n},
        {"Held-out loss over time", "minutes", "nats a token", false, false, clock, r->n}};
    for (size_t i = 0; i < (n_val > 0 ? 3 : 1); i++) hg_page_lines(b, &charts[i]);
}

hg_status hg_runs_write(const hg_runs *r, const char *path, hg_err *e)
{
    hg_buf b = {0};
    hg_page_begin(&b, "Runs", NULL);
    put_charts(&b, r);
    hg_page_table_begin(&b, "What each has come to", columns, N_COLUMNS);
    for (size_t i = 0; i < r->n; i++) put_row(&b, &r->run[i].f);
    hg_page_table_end(&b);
    hg_page_end(&b, "Made by Higgins " HG_VERSION);
    hg_status s = hg_buf_status(&b, e);
    if (s == HG_OK) s = hg_file_write(path, b.p, b.n, e);
    hg_buf_free(&b);
    return s;
}
