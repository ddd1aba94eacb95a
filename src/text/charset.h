/* Old encodings in: bytes of a named or guessed charset become UTF-8. */
#ifndef HG_TEXT_CHARSET_H
#define HG_TEXT_CHARSET_H

#include "base/mem.h"

/* The name under which a charset label ("latin1", "UTF8", "cp1252") is known here, or NULL. Labels
 * come from documents: only names of a fixed list reach the converter. ISO 8859-1 and ASCII are
 * read as windows-1252, as browsers do. */
const char *hg_charset_find(hg_bytes label);

/* What a document's first bytes say: a byte order mark, an XML declaration or an HTML meta element
 * (these two when is_html); else UTF-8 when the bytes are valid (a character cut off at the end is
 * no fault), else windows-1252. *skip: bytes of the mark. */
const char *hg_charset_guess(hg_bytes head, bool is_html, size_t *skip);

/* Turns a stream of bytes into UTF-8, piece by piece. */
typedef struct hg_charset hg_charset;
hg_status hg_charset_open(hg_charset **out, const char *name,
                          hg_err *e); /* from one of the above */
/* Appends; bytes of an unfinished character are kept for the next call unless `is_last`. What
 * cannot be converted becomes U+FFFD. */
hg_status hg_charset_put(hg_charset *c, hg_bytes in, bool is_last, hg_buf *out, hg_err *e);
void hg_charset_free(hg_charset *c);

/* All at once. */
hg_status hg_charset_convert(const char *name, hg_bytes in, hg_buf *out, hg_err *e);

#endif
