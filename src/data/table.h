/* Tables as text: comma-separated (RFC 4180, with quotes) and tab-separated (cells as they are),
 * read row by row from memory. */
#ifndef HG_DATA_TABLE_H
#define HG_DATA_TABLE_H

#include "base/mem.h"

enum { HG_MAX_COLUMNS = 256 };

typedef struct hg_table {
    hg_bytes rest;
    char separator; /* ',', ';' or a tab */
    size_t line;    /* of the row that was read last, from 1 */
    size_t next_line;
    hg_buf text;
    size_t end[HG_MAX_COLUMNS]; /* of each cell in text */
    hg_bytes cell[HG_MAX_COLUMNS];
    size_t n; /* cells of the row */
} hg_table;

/* The separator is a tab where the first line has one, or is_tabs says so; else a comma, or a
 * semicolon where the first line has that and no comma. A byte order mark is passed over. `text`
 * must live as long. */
void hg_table_init(hg_table *t, hg_bytes text, bool is_tabs);
/* The next row that is not blank, until the next call; *has is false behind the last. HG_E_FORMAT:
 * a quote that never ends, text behind one; HG_E_LIMIT: too many columns; both name the line. */
hg_status hg_table_next(hg_table *t, bool *has, hg_err *e);
void hg_table_free(hg_table *t);

#endif
