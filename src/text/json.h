/* The door over jansson: JSON in with limits and one-sentence errors, typed members, and a writer
 * that appends to an hg_buf without a tree between (streams, JSON lines, cards). */
#ifndef HG_TEXT_JSON_H
#define HG_TEXT_JSON_H

#include "base/mem.h"
#include <jansson.h>

enum { HG_JSON_MAX_DEPTH = 128 };

/* Parses exactly one JSON value. `limit` bounds in.n. The value is the caller's until json_decref.
 * Strings may hold NULs (use json_string_length). Duplicate members: the last counts. Whole numbers
 * over 63 bits are read as doubles. HG_E_LIMIT (too long, too deep), HG_E_FORMAT ("line 3, column
 * 7:
 * ..."), HG_E_NOMEM. */
hg_status hg_json_parse(json_t **out, hg_bytes in, size_t limit, hg_err *e);
/* A whole file; the sentence begins with the path. */
hg_status hg_json_read(json_t **out, const char *path, size_t limit, hg_err *e);

/* Members of an object. The getters fail (HG_E_FORMAT) when the member is missing or of another
 * type; the _opt_ forms leave *out alone when it is missing or null and fail only on another type.
 * What they give lives as long as the object. */
hg_status hg_json_get(const json_t *obj, const char *key, json_t **out, hg_err *e);
hg_status hg_json_get_object(const json_t *obj, const char *key, json_t **out, hg_err *e);
hg_status hg_json_get_array(const json_t *obj, const char *key, json_t **out, hg_err *e);
hg_status hg_json_get_text(const json_t *obj, const char *key, hg_bytes *out, hg_err *e);
hg_status hg_json_get_int(const json_t *obj, const char *key, int64_t min, int64_t max,
                          int64_t *out, hg_err *e);
hg_status hg_json_get_number(const json_t *obj, const char *key, double min, double max,
                             double *out, hg_err *e);
hg_status hg_json_get_bool(const json_t *obj, const char *key, bool *out, hg_err *e);
hg_status hg_json_opt_object(const json_t *obj, const char *key, json_t **out, hg_err *e);
hg_status hg_json_opt_array(const json_t *obj, const char *key, json_t **out, hg_err *e);
hg_status hg_json_opt_text(const json_t *obj, const char *key, hg_bytes *out, hg_err *e);
hg_status hg_json_opt_int(const json_t *obj, const char *key, int64_t min, int64_t max,
                          int64_t *out, hg_err *e);
hg_status hg_json_opt_number(const json_t *obj, const char *key, double min, double max,
                             double *out, hg_err *e);
hg_status hg_json_opt_bool(const json_t *obj, const char *key, bool *out, hg_err *e);
/* "an object", "a string", "null" ... for sentences; "nothing" for NULL. */
const char *hg_json_type_name(const json_t *v);

/* Appends `s` as a JSON string with its quotes. The output is valid UTF-8 and ASCII controls are
 * escaped; each broken byte becomes U+FFFD. */
void hg_json_put_string(hg_buf *b, hg_bytes s);
/* Appends the shortest decimal that reads back as the same double; null when it is not finite. */
void hg_json_put_number(hg_buf *b, double v);
/* Appends a tree, compact, members in their order. */
hg_status hg_json_put_tree(hg_buf *b, const json_t *v, hg_err *e);

/* A writer that sets the commas. With `indent` each member stands on a line of its own. Key may be
 * NULL inside arrays and for the outermost value.
 *
 *   hg_json_out o; hg_json_out_init(&o, b, 0);
 *   hg_json_begin(&o, NULL, '{'); hg_json_int(&o, "n", 3); hg_json_end(&o);      {"n":3}
 */
typedef struct hg_json_out {
    hg_buf *b;
    int indent, depth;
    uint64_t has_items; /* bit i: something was written at depth i */
    uint64_t is_array;  /* bit i: depth i is an array */
} hg_json_out;
void hg_json_out_init(hg_json_out *o, hg_buf *b, int indent);
void hg_json_begin(hg_json_out *o, const char *key, char open); /* '{' or '[' */
void hg_json_end(hg_json_out *o);
void hg_json_bytes(hg_json_out *o, const char *key, hg_bytes v);
void hg_json_text(hg_json_out *o, const char *key, const char *v); /* NULL: null */
void hg_json_int(hg_json_out *o, const char *key, int64_t v);
void hg_json_number(hg_json_out *o, const char *key, double v);
void hg_json_bool(hg_json_out *o, const char *key, bool v);
void hg_json_null(hg_json_out *o, const char *key);
void hg_json_raw(hg_json_out *o, const char *key, hg_bytes json); /* a value already in JSON */

#endif
