/* Text as a word list sees it: what only looks different is the same. */
#ifndef HG_TEXT_FOLD_H
#define HG_TEXT_FOLD_H

#include "base/mem.h"

/* Appends `in` in compatibility form (fullwidth, mathematical and circled letters are letters),
 * case folded, without marks and invisible characters, and with letters of Cyrillic and Greek that
 * look like Latin ones as those. Everything but letters, digits and the marks of sentences becomes
 * a space; apostrophes stay as '. Broken bytes become spaces. */
hg_status hg_text_fold(hg_buf *out, hg_bytes in, hg_err *e);

#endif
