/* The routes of files: OpenAI's and Replicate's faces of the same. */
#ifndef HG_SERVE_FILES_CALL_H
#define HG_SERVE_FILES_CALL_H

#include "serve/files/files.h"
#include "serve/server.h"

extern const hg_protocol hg_file_routes;

/* How long a body may be for a request of this head: more than the usual for POST .../v1/files,
 * 0 for all others. */
size_t hg_files_max_body(hg_bytes method, hg_bytes path);

/* ---- what both faces share ---- */
/* Status and param of what hg_files_* failed with. Returns false. */
bool hg_files_refuse(hg_problem *p, const hg_err *e, const char *param);
/* An argument of the query as a whole number; left alone when it is not there. False and *p. */
bool hg_query_number(const hg_exchange *x, const char *name, int64_t min, int64_t max, int64_t *out,
                     hg_problem *p);
/* The form of POST /v1/files, taken apart: the part of that name, or NULL. */
typedef struct hg_form_parts {
    struct hg_part *part;
    size_t n;
} hg_form_parts;
const struct hg_part *hg_form_part(const hg_form_parts *f, const char *name);

/* ---- OpenAI's (files_openai.c) ---- */
void hg_files_openai_create(hg_server *s, hg_exchange *x, const hg_form_parts *form);
void hg_files_openai_list(hg_server *s, hg_exchange *x);
void hg_files_openai_get(hg_server *s, hg_exchange *x, const char *id);
void hg_files_openai_delete(hg_server *s, hg_exchange *x, const char *id);

/* ---- Replicate's (files_replicate.c) ---- */
void hg_files_replicate_explain(hg_buf *out, const hg_problem *p);
void hg_files_replicate_create(hg_server *s, hg_exchange *x, const hg_form_parts *form);
void hg_files_replicate_list(hg_server *s, hg_exchange *x);
void hg_files_replicate_get(hg_server *s, hg_exchange *x, const char *id);
void hg_files_replicate_delete(hg_server *s, hg_exchange *x, const char *id);

#endif
