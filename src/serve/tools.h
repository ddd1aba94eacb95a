/* Tools that a request offers, the same for every protocol. */
#ifndef HG_SERVE_TOOLS_H
#define HG_SERVE_TOOLS_H

#include "serve/server.h"

/* What holds the calls of an answer to the tools' parameters: from its beginning (must_call, behind
 * the opening), or wherever it opens one. `only` NULL: any of the tools. Parameters that cannot be
 * held are an object of any kind, unless their tool is "strict". False and *p: refused. */
bool hg_tools_form(const hg_backend *m, const struct json_t *tools, const char *only,
                   bool must_call, hg_form **out, hg_problem *p);

#endif
