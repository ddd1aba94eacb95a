/* Self-contained HTML pages: the data card, the training and evaluation reports, a model's files. A
 * page is written from top to bottom into an hg_buf: begin, then any parts in any order, then end.
 * Everything given is escaped; there are no scripts and no outside requests; colours follow the
 * reader's light or dark setting; charts are inline SVG. Nothing fails on the way: check
 * hg_buf_status once, at the end. Strings are UTF-8; broken bytes become U+FFFD. NULL strings are
 * passed over. */
#ifndef HG_TEXT_PAGE_H
#define HG_TEXT_PAGE_H

#include "base/mem.h"

void hg_page_begin(hg_buf *b, const char *title, const char *subtitle);
/* `foot` is a small line at the bottom ("Made by Higgins 0.1.0"), or NULL. */
void hg_page_end(hg_buf *b, const char *foot);

/* Puts a section, made by the calls below, into a whole page before its foot, in place of the one
 * of this name that is there. HG_E_FORMAT: no page that hg_page_end ended. */
hg_status hg_page_insert(hg_buf *page, const char *name, hg_bytes section, hg_err *e);

void hg_page_heading(hg_buf *b, const char *text);                  /* a section */
void hg_page_subheading(hg_buf *b, const char *text);               /* within a section */
void hg_page_text(hg_buf *b, const char *fmt, ...) HG_PRINTF(2, 3); /* one paragraph */
void hg_page_pre(hg_buf *b, hg_bytes text); /* text as it is: samples; long lines wrap */
/* A program in Jinja, its tags, values, strings and comments in colours of their own. */
void hg_page_jinja(hg_buf *b, hg_bytes text);
/* Short texts side by side, each with a small note. */
typedef struct hg_page_chip {
    const char *text, *note;
} hg_page_chip;
void hg_page_chips(hg_buf *b, const hg_page_chip *chip, size_t n);
/* A note in a coloured frame: what the reader must not overlook. */
void hg_page_note(hg_buf *b, const char *fmt, ...) HG_PRINTF(2, 3);
/* What lies between the two calls can be folded away; it is open when `open` is set. */
void hg_page_fold_begin(hg_buf *b, const char *summary, bool open);
void hg_page_fold_end(hg_buf *b);

/* Large figures side by side: "1.2 M" over "documents kept", with a small note or NULL. */
typedef struct hg_page_tile {
    const char *value, *label, *note;
} hg_page_tile;
void hg_page_tiles(hg_buf *b, const hg_page_tile *tile, size_t n);

/* Keys and values, two columns: options, versions. */
typedef struct hg_page_pair {
    const char *key, *value;
} hg_page_pair;
void hg_page_pairs(hg_buf *b, const hg_page_pair *pair, size_t n);

/* A table: begin, rows of as many cells as there are columns, end. A numeric column is set flush
 * right. */
typedef struct hg_page_column {
    const char *name;
    bool numeric;
} hg_page_column;
void hg_page_table_begin(hg_buf *b, const char *caption, const hg_page_column *column, size_t n);
void hg_page_row(hg_buf *b, const hg_page_column *column, const char *const *cell, size_t n);
void hg_page_table_end(hg_buf *b);

/* A line chart. Points that are not finite (or not positive on a logarithmic axis) break the line.
 * Series of more than some thousand points are thinned (the least and the greatest of each piece
 * are kept). */
typedef struct hg_page_series {
    const char *name;
    const double *x, *y; /* [n]; x may be NULL: 0, 1, 2 ... */
    size_t n;
    bool dots; /* dots and no line: few, scattered values */
} hg_page_series;
typedef struct hg_page_chart {
    const char *title, *x_name, *y_name;
    bool x_log, y_log;
    const hg_page_series *series; /* 8 colours; more series repeat them */
    size_t n_series;
} hg_page_chart;
void hg_page_lines(hg_buf *b, const hg_page_chart *chart);

/* Upright bars under labels (a histogram when the labels are borders), from 0. */
typedef struct hg_page_bars {
    const char *title, *x_name, *y_name;
    const char *const *label; /* [n] */
    const double *value;      /* [n], not negative */
    size_t n;
} hg_page_bars;
void hg_page_bars_chart(hg_buf *b, const hg_page_bars *bars);

/* Upright bars of several parts in bytes: a model's layers. No member is NULL. */
typedef struct hg_page_stacks {
    const char *title, *x_name, *y_name;
    const char *const *label; /* [n] */
    const char *const *part;  /* [n_parts]; 8 colours, then again */
    const double *value;      /* [n][n_parts], not negative */
    size_t n, n_parts;
} hg_page_stacks;
void hg_page_stacks_chart(hg_buf *b, const hg_page_stacks *st);

/* Lying bars with their value beside them, for names: licences, scripts, reasons. `shown` is the
 * text of each value, or NULL for plain numbers. */
void hg_page_ranks(hg_buf *b, const char *title, const char *const *label, const double *value,
                   const char *const *shown, size_t n);

/* Text with & < > " ' replaced, for those who add HTML of their own. */
void hg_page_escape(hg_buf *b, hg_bytes text);

/* "12.3 MB", "1.24 M", "3 min 12 s" into buf, which is returned: figures as people read them. */
const char *hg_page_bytes(char buf[32], double bytes);
const char *hg_page_count(char buf[32], double n);
const char *hg_page_duration(char buf[32], double seconds);

#endif
