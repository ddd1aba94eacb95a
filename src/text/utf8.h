/* Unicode text: decoding, validation, and the cleaning that every document passes. */
#ifndef HG_TEXT_UTF8_H
#define HG_TEXT_UTF8_H

#include "base/mem.h"

#define HG_UTF8_BAD 0xFFFFFFFFu

/* Decodes one character of [p, end), p < end; returns its length, 1 to 4. A byte that begins no
 * well-formed character (overlong, surrogate, over U+10FFFF, cut off) is HG_UTF8_BAD of length 1.
 */
size_t hg_utf8_step(const char *p, const char *end, uint32_t *out);
/* The bytes of one character; returns their number. c must not be a surrogate. */
size_t hg_utf8_encode(uint32_t c, char out[4]);
/* Length of the longest valid prefix; n when all is well. */
size_t hg_utf8_valid(hg_bytes s);
/* Bytes at the end of `s` that begin a character and lack its rest: 0 to 3. */
size_t hg_utf8_cut(hg_bytes s);
/* Characters; a broken byte counts as one. */
size_t hg_utf8_count(hg_bytes s);

bool hg_utf8_is_letter(uint32_t c); /* Unicode L* */
bool hg_utf8_is_space(uint32_t c);  /* ASCII white space and Unicode Z* */

/* Appends `in` as clean text: NFC; line ends as \n; control, invisible and direction characters,
 * soft hyphens and byte order marks removed; no-break spaces as spaces; the presentation ligatures
 * of typeset pages (U+FB00 to FB06) as letters; no spaces at line ends; no more than one empty line
 * in a row; none at the start and the end. Broken bytes become U+FFFD. Cleaning clean text changes
 * nothing. */
hg_status hg_text_clean(hg_buf *out, hg_bytes in, hg_err *e);

/* Appends `in` as text that neither a terminal nor a page can be spoilt with: a line end as an
 * arrow, controls and broken bytes as <0A>, invisible and direction characters as <U+202E>; with
 * `spaces` a space is a dot. */
void hg_text_visible(hg_buf *out, hg_bytes in, bool spaces);

#endif
