/* What the readers of grammars share: a place in a text, and where it is for people. */
#ifndef HG_GRAMMAR_SCAN_H
#define HG_GRAMMAR_SCAN_H

#include "grammar/automaton.h"

typedef struct hg_scan {
    hg_build *b;
    const char *begin, *p, *end;
    unsigned depth;
} hg_scan;

/* "line 3, column 7: ..." of where the scan is. */
hg_status hg_scan_fail(const hg_scan *s, hg_err *e, hg_status status, const char *what);
/* n digits of base 16. */
bool hg_scan_hex(hg_scan *s, size_t n, uint32_t *out);
/* A character, which must be UTF-8. */
hg_status hg_scan_char(hg_scan *s, uint32_t *out, hg_err *e);
/* {m}, {m,} or {m,n} behind its brace. Spaces are skipped with `spaces`. */
hg_status hg_scan_bounds(hg_scan *s, bool spaces, uint32_t *min, uint32_t *max, hg_err *e);
enum { HG_MAX_REPEAT = 100000 };

/* The expression of a regular expression's language. With `json` each character is written as in a
 * JSON string; with `whole` the pattern must match all of the text, else any part of it. */
hg_x *hg_regex_read(hg_build *b, hg_bytes pattern, bool json, bool whole, hg_err *e);
/* One character of a set as a JSON string writes it: itself where it may. */
hg_x *hg_json_chars(hg_build *b, const hg_range *r, size_t n);

hg_hash128 hg_grammar_id(const char *kind, hg_bytes text);

#endif
