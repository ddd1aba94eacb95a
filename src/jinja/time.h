/* Python's strftime over a time that is given, in English whatever the locale. */
#ifndef HG_JINJA_TIME_H
#define HG_JINJA_TIME_H

#include "jinja/inner.h"

/* Appends; a directive that is not known stays as it is written. */
void hg_jinja_strftime(jrun *r, jbuf *out, const jv_str *format, int64_t seconds);

#endif
