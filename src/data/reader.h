/* One file as a row of documents, whatever its form: the text of a text file (long ones in parts),
 * of a page, of each JSON line, of each mail. */
#ifndef HG_DATA_READER_H
#define HG_DATA_READER_H

#include "data/corpus.h"
#include "data/kind.h"

enum {
    HG_MAX_RECORD = 16 << 20 /* bytes of one JSON line, one mail; for a page HG_HTML_MAX_BYTES */
};

typedef struct hg_reader hg_reader;
typedef struct hg_reader_options {
    const char *text_field; /* of JSON lines; NULL: text, content or body, the first there is */
    hg_kind *kind;          /* gets what the file is, also when it is not read; may be NULL */
    bool is_shard;          /* of a corpus: JSON lines whatever the name, documents not cut again */
} hg_reader_options;

/* HG_E_UNSUPPORTED: a file that is not read, with the reason (binary; programs and data).
 * HG_E_MISSING, HG_E_IO, HG_E_FORMAT (damaged compressed data). */
hg_status hg_reader_open(hg_reader **out, const char *path, const hg_reader_options *o, hg_err *e);
void hg_reader_close(hg_reader *r);
/* HG_E_FORMAT or HG_E_LIMIT: this record cannot be used; the sentence names file and line, and the
 * next call goes on behind it (or ends when the file cannot be read any further). Other failures
 * end the file. */
hg_status hg_reader_next(hg_reader *r, hg_doc *doc, bool *has, hg_err *e);
hg_kind hg_reader_kind(const hg_reader *r);
uint64_t hg_reader_done(const hg_reader *r); /* bytes of the file taken in so far */

#endif
