/* Charts for the pages of page.c, as inline SVG: lines (loss curves) and bars (histograms). The one
 * idea is an axis: a range, nice ticks (Heckbert 1990) and a map from values to the drawing's
 * units; linear and logarithmic axes differ in nothing else. */
#include "text/page.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { WIDTH = 620, HEIGHT = 290, LEFT = 62, RIGHT = 14, TOP = 12, BOTTOM = 44, MAX_POINTS = 1200 };

typedef struct axis {
    double lo, hi; /* in the scale's own units: log10 of the value on a logarithmic axis */
    bool is_log;
    double from, to; /* in the drawing */
} axis;

static bool usable(double v, bool is_log)
{
    return isfinite(v) && (!is_log || v > 0);
}

static double scale(const axis *a, double v)
{
    return a->is_log ? log10(v) : v;
}

static double place(const axis *a, double v)
{
    return a->from + (scale(a, v) - a->lo) / (a->hi - a->lo) * (a->to - a->from);
}

static void widen(axis *a, double v)
{
    if (!usable(v, a->is_log)) return;
    double s = scale(a, v);
    if (s < a->lo) a->lo = s;
    if (s > a->hi) a->hi = s;
}

/* An axis needs a range that is not empty and not beyond what doubles can step through. */
static void settle(axis *a)
{
    if (!(a->lo <= a->hi)) {
        a->lo = 0;
        a->hi = 1;
    }
    double least = fmax(fabs(a->lo), fabs(a->hi)) * 1e-9;
    if (a->hi - a->lo <= least) {
        double pad = a->is_log ? 0.5 : (a->lo == 0 ? 1 : fabs(a->lo) * 0.1);
        a->lo -= pad;
        a->hi += pad;
    }
}

/* 1, 2 or 5 times a power of ten, so that about `n` steps fill the range. */
static double nice_step(double range, int n)
{
    double rough = range / n, power = pow(10, floor(log10(rough))), f = rough / power;
    return (f <= 1.5 ? 1 : f <= 3.5 ? 2 : f <= 7.5 ? 5 : 10) * power;
}

/* "0.25", "5000", "20 k", "1.5 M". */
static const char *tick_text(char buf[32], double v, double step)
{
    static const char *const unit[] = {"", " k", " M", " B", " T"};
    int i = 0;
    if (fabs(v) < step * 1e-6) v = 0;
    if (fabs(v) >= 9999.5 && fabs(v) < 1e15)
        for (; i < 4 && fabs(v) >= 999.5; i++) v /= 1000;
    (void)snprintf(buf, 32, v != 0 && fabs(v) < 0.001 ? "%.2g%s" : "%.6g%s", v, unit[i]);
    return buf;
}

static void text_at(hg_buf *b, double x, double y, const char *anchor, const char *s)
{
    hg_buf_printf(b, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">", x, y, anchor);
    hg_page_escape(b, (hg_bytes){s, strlen(s)});
    hg_buf_puts(b, "</text>\n");
}

static void tick(hg_buf *b, const axis *a, bool upright, double v, double step)
{
    char label[32];
    if (!usable(v, a->is_log)) return; /* a power of ten that doubles do not reach */
    double at = place(a, v);
    (void)tick_text(label, v, step);
    if (upright) {
        hg_buf_printf(b, "<line class=\"grid\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/>", LEFT,
                      WIDTH - RIGHT, at, at);
        text_at(b, LEFT - 7, at + 4, "end", label);
    } else {
        hg_buf_printf(b, "<line class=\"grid\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%d\"/>", at,
                      at, TOP, HEIGHT - BOTTOM);
        text_at(b, at, HEIGHT - BOTTOM + 17, "middle", label);
    }
}

static void linear_ticks(hg_buf *b, const axis *a, bool upright)
{
    double step = nice_step(a->hi - a->lo, upright ? 5 : 7);
    double first = ceil(a->lo / step - 1e-9);
    for (int i = 0; i < 20 && (first + i) * step <= a->hi + step * 1e-9; i++)
        tick(b, a, upright, (first + i) * step, step);
}

/* Powers of ten; with fewer than two of them in sight also 2 and 5 times. */
static void log_ticks(hg_buf *b, const axis *a, bool upright)
{
    double range = a->hi - a->lo;
    if (range < 0.7) { /* within one decade round numbers serve better than 1-2-5 */
        double lo = pow(10, a->lo), hi = pow(10, a->hi), step = nice_step(hi - lo, upright ? 5 : 7);
        double first = ceil(lo / step - 1e-9);
        for (int i = 0; i < 20 && (first + i) * step <= hi * (1 + 1e-9); i++)
            if (first + i > 0) tick(b, a, upright, (first + i) * step, step);
        return;
    }
    int every = (int)ceil(range / 8);
    for (int p = (int)floor(a->lo), i = 0; p <= (int)ceil(a->hi) && i < 700; p++, i++) {
        static const double times[] = {1, 2, 5};
        if (every > 1 && p % every != 0) continue;
        for (size_t k = 0; k < (range < 2.5 ? 3 : 1); k++) {
            double at = p + log10(times[k]);
            if (at >= a->lo - 1e-9 && at <= a->hi + 1e-9)
                tick(b, a, upright, pow(10, p) * times[k], 0);
        }
    }
}

static void ticks(hg_buf *b, const axis *a, bool upright)
{
    if (a->is_log)
        log_ticks(b, a, upright);
    else
        linear_ticks(b, a, upright);
}

static void frame_begin(hg_buf *b, const char *title)
{
    hg_buf_puts(b, "<figure>");
    if (title != NULL) {
        hg_buf_puts(b, "<figcaption>");
        hg_page_escape(b, (hg_bytes){title, strlen(title)});
        hg_buf_puts(b, "</figcaption>");
    }
    hg_buf_puts(b, "\n");
}

static void drawing_begin(hg_buf *b, const char *label)
{
    hg_buf_printf(b, "<div class=\"plot\"><svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"",
                  WIDTH, HEIGHT);
    if (label != NULL) hg_page_escape(b, (hg_bytes){label, strlen(label)});
    hg_buf_puts(b, "\">\n");
}

static void drawing_end(hg_buf *b, const char *x_name, const char *y_name)
{
    hg_buf_printf(b, "<line class=\"axis\" x1=\"%d\" x2=\"%d\" y1=\"%d\" y2=\"%d\"/>\n", LEFT,
                  WIDTH - RIGHT, HEIGHT - BOTTOM, HEIGHT - BOTTOM);
    if (x_name != NULL) text_at(b, (LEFT + WIDTH - RIGHT) / 2.0, HEIGHT - 8, "middle", x_name);
    if (y_name != NULL) {
        hg_buf_printf(b, "<text transform=\"translate(13 %d) rotate(-90)\" text-anchor=\"middle\">",
                      (TOP + HEIGHT - BOTTOM) / 2);
        hg_page_escape(b, (hg_bytes){y_name, strlen(y_name)});
        hg_buf_puts(b, "</text>\n");
    }
    hg_buf_puts(b, "</svg></div></figure>\n");
}

static double x_of(const hg_page_series *s, size_t i)
{
    return s->x != NULL ? s->x[i] : (double)i;
}

/* The pen keeps whether a line is open, so that a gap in the values is a gap in the drawing. */
typedef struct pen {
    hg_buf *b;
    const axis *x, *y;
    size_t colour;
    bool down, dots;
} pen;

static void pen_up(pen *p)
{
    if (p->down) hg_buf_puts(p->b, "\"/>\n");
    p->down = false;
}

static void pen_point(pen *p, double x, double y)
{
    if (!usable(x, p->x->is_log) || !usable(y, p->y->is_log)) {
        pen_up(p);
        return;
    }
    double px = place(p->x, x), py = place(p->y, y);
    if (p->dots) {
        hg_buf_printf(p->b, "<circle class=\"d%zu\" r=\"3.2\" cx=\"%.1f\" cy=\"%.1f\"/>\n",
                      p->colour, px, py);
        return;
    }
    if (!p->down) hg_buf_printf(p->b, "<polyline class=\"s%zu\" points=\"", p->colour);
    hg_buf_printf(p->b, "%.1f,%.1f ", px, py);
    p->down = true;
}

/* Of each piece of a long series the least and the greatest value are drawn, in their order: the
 * envelope, and with it every spike, stays. */
static void draw_piece(pen *p, const hg_page_series *s, size_t begin, size_t end)
{
    size_t lo = end, hi = end;
    for (size_t i = begin; i < end; i++) {
        if (!usable(s->y[i], p->y->is_log)) {
            pen_up(p);
            continue;
        }
        if (lo == end || s->y[i] < s->y[lo]) lo = i;
        if (hi == end || s->y[i] > s->y[hi]) hi = i;
    }
    if (lo == end) return;
    size_t a = lo < hi ? lo : hi, z = lo < hi ? hi : lo;
    pen_point(p, x_of(s, a), s->y[a]);
    if (z != a) pen_point(p, x_of(s, z), s->y[z]);
}

static void draw_series(pen *p, const hg_page_series *s)
{
    size_t piece = s->n > MAX_POINTS ? (s->n + MAX_POINTS / 2 - 1) / (MAX_POINTS / 2) : 1;
    p->dots = s->dots || s->n == 1;
    for (size_t i = 0; i < s->n; i += piece) {
        size_t end = s->n - i < piece ? s->n : i + piece;
        if (piece == 1)
            pen_point(p, x_of(s, i), s->y[i]);
        else
            draw_piece(p, s, i, end);
    }
    pen_up(p);
}

static void legend(hg_buf *b, const hg_page_chart *c)
{
    hg_buf_puts(b, "<div class=\"legend\">");
    for (size_t i = 0; i < c->n_series; i++) {
        const char *name = c->series[i].name;
        if (name == NULL) continue;
        if (c->series[i].dots)
            hg_buf_printf(b,
                          "<span><svg viewBox=\"0 0 20 10\"><circle class=\"d%zu\" cx=\"10\" "
                          "cy=\"5\" r=\"4\"/></svg>",
                          i % 8);
        else
            hg_buf_printf(b,
                          "<span><svg viewBox=\"0 0 20 10\"><line class=\"s%zu\" x1=\"0\" "
                          "x2=\"20\" y1=\"5\" y2=\"5\" stroke-width=\"3\"/></svg>",
                          i % 8);
        hg_page_escape(b, (hg_bytes){name, strlen(name)});
        hg_buf_puts(b, "</span>");
    }
    hg_buf_puts(b, "</div>\n");
}

void hg_page_lines(hg_buf *b, const hg_page_chart *c)
{
    axis x = {INFINITY, -INFINITY, c->x_log, LEFT, WIDTH - RIGHT};
    axis y = {INFINITY, -INFINITY, c->y_log, HEIGHT - BOTTOM, TOP};
    for (size_t k = 0; k < c->n_series; k++) {
        const hg_page_series *s = &c->series[k];
        for (size_t i = 0; i < s->n; i++) {
            double at = x_of(s, i);
            if (!usable(at, x.is_log) || !usable(s->y[i], y.is_log)) continue;
            widen(&x, at);
            widen(&y, s->y[i]);
        }
    }
    settle(&x);
    settle(&y);
    double air = (y.hi - y.lo) * 0.04;
    y.lo -= air;
    y.hi += air;
    frame_begin(b, c->title);
    if (c->n_series > 1) legend(b, c);
    drawing_begin(b, c->title);
    ticks(b, &x, false);
    ticks(b, &y, true);
    for (size_t k = 0; k < c->n_series; k++)
        draw_series(&(pen){b, &x, &y, k % 8, false, false}, &c->series[k]);
    drawing_end(b, c->x_name, c->y_name);
}

void hg_page_bars_chart(hg_buf *b, const hg_page_bars *bars)
{
    axis y = {0, -INFINITY, false, HEIGHT - BOTTOM, TOP};
    for (size_t i = 0; i < bars->n; i++) widen(&y, bars->value[i]);
    if (!(y.hi > 0)) y.hi = 1;
    y.hi *= 1.04;
    frame_begin(b, bars->title);
    drawing_begin(b, bars->title);
    ticks(b, &y, true);
    double room = bars->n > 0 ? (double)(WIDTH - LEFT - RIGHT) / (double)bars->n : 0;
    /* Labels of about 45 units: where bars are narrower only every k-th is named. */
    size_t every = room > 0 ? (size_t)ceil(45 / room) : 1;
    for (size_t i = 0; i < bars->n; i++) {
        double v = usable(bars->value[i], false) && bars->value[i] > 0 ? bars->value[i] : 0;
        double at = LEFT + room * (double)i, top = place(&y, v);
        char shown[32];
        hg_buf_printf(b,
                      "<rect class=\"bar\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\">"
                      "<title>",
                      at + room * 0.1, top, room * 0.8, HEIGHT - BOTTOM - top);
        const char *label = bars->label[i] == NULL ? "" : bars->label[i];
        hg_page_escape(b, (hg_bytes){label, strlen(label)});
        hg_buf_printf(b, ": %s</title></rect>\n", hg_page_count(shown, v));
        if (i % every == 0) text_at(b, at + room / 2, HEIGHT - BOTTOM + 17, "middle", label);
    }
    drawing_end(b, bars->x_name, bars->y_name);
}

static double part_of(const hg_page_stacks *st, size_t i, size_t k)
{
    double v = st->value[i * st->n_parts + k];
    return usable(v, false) && v > 0 ? v : 0;
}

/* Squares in the colours of the parts that there are. */
static void stacked_legend(hg_buf *b, const hg_page_stacks *st)
{
    hg_buf_puts(b, "<div class=\"legend\">");
    for (size_t k = 0; k < st->n_parts; k++) {
        double sum = 0;
        for (size_t i = 0; i < st->n; i++) sum += part_of(st, i, k);
        if (!(sum > 0)) continue;
        hg_buf_printf(b,
                      "<span><svg viewBox=\"0 0 20 10\"><rect class=\"d%zu\" width=\"14\" "
                      "height=\"10\"/></svg>",
                      k % 8);
        hg_page_escape(b, (hg_bytes){st->part[k], strlen(st->part[k])});
        hg_buf_puts(b, "</span>");
    }
    hg_buf_puts(b, "</div>\n");
}

/* One bar, from the bottom up. */
static void stack(hg_buf *b, const hg_page_stacks *st, size_t i, const axis *y, double at,
                  double width)
{
    double sum = 0;
    for (size_t k = 0; k < st->n_parts; k++) {
        double v = part_of(st, i, k), low = place(y, sum), high = place(y, sum + v);
        char shown[32];
        sum += v;
        if (!(v > 0)) continue;
        hg_buf_printf(b,
                      "<rect class=\"d%zu\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" "
                      "height=\"%.1f\"><title>",
                      k % 8, at, high, width, low - high);
        hg_page_escape(b, (hg_bytes){st->label[i], strlen(st->label[i])});
        hg_buf_puts(b, ", ");
        hg_page_escape(b, (hg_bytes){st->part[k], strlen(st->part[k])});
        hg_buf_printf(b, ": %s</title></rect>\n", hg_page_bytes(shown, v));
    }
}

void hg_page_stacks_chart(hg_buf *b, const hg_page_stacks *st)
{
    axis y = {0, -INFINITY, false, HEIGHT - BOTTOM, TOP};
    for (size_t i = 0; i < st->n; i++) {
        double sum = 0;
        for (size_t k = 0; k < st->n_parts; k++) sum += part_of(st, i, k);
        widen(&y, sum);
    }
    if (!(y.hi > 0)) y.hi = 1;
    y.hi *= 1.04;
    frame_begin(b, st->title);
    stacked_legend(b, st);
    drawing_begin(b, st->title);
    ticks(b, &y, true);
    double room = st->n > 0 ? (double)(WIDTH - LEFT - RIGHT) / (double)st->n : 0;
    double width = fmin(room * 0.8, 46);
    size_t every = room > 0 ? (size_t)ceil(45 / room) : 1;
    for (size_t i = 0; i < st->n; i++) {
        double at = LEFT + room * ((double)i + 0.5);
        stack(b, st, i, &y, at - width / 2, width);
        if (i % every == 0) text_at(b, at, HEIGHT - BOTTOM + 17, "middle", st->label[i]);
    }
    drawing_end(b, st->x_name, st->y_name);
}
