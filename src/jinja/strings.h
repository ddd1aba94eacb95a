/* Work on text that filters and methods share. Positions are bytes. */
#ifndef HG_JINJA_STRINGS_H
#define HG_JINJA_STRINGS_H

#include "jinja/inner.h"

bool hg_js_is_space(uint32_t c); /* Python's str.isspace */
/* An argument that must be text; fails and returns NULL otherwise. */
const jv_str *hg_js_text(jrun *r, jv v, const char *who);
/* An argument that must be a whole number; `otherwise` when it is absent or none. */
int64_t hg_js_whole(jrun *r, jv v, int64_t otherwise, const char *who);
/* Without white space (chars NULL), or without any of the characters of `chars`. */
jv hg_js_strip(jrun *r, const jv_str *s, const jv_str *chars, bool left, bool right);
jv hg_js_replace(jrun *r, const jv_str *s, const jv_str *from, const jv_str *to, int64_t most);
/* The first place of `what` in s[from, to), or the last one; SIZE_MAX: none. */
size_t hg_js_find(const jv_str *s, const jv_str *what, size_t from, size_t to, bool last);

typedef enum js_case { CASE_UPPER, CASE_LOWER, CASE_SWAP } js_case;
/* Appends s[from, to) in another case. */
void hg_js_put_case(jrun *r, jbuf *b, const jv_str *s, size_t from, size_t to, js_case to_case);
jv hg_js_case(jrun *r, const jv_str *s, js_case to_case);
jv hg_js_capitalize(jrun *r, const jv_str *s);
/* Appends `n` times `fill`. */
void hg_js_put_fill(jrun *r, jbuf *b, const jv_str *fill, int64_t n);
/* The text in `width` characters; align '<', '>', '^' (as str.center) . */
jv hg_js_align(jrun *r, const jv_str *s, int64_t width, const jv_str *fill, char align);
bool hg_js_is_lower(const jv_str *s);
bool hg_js_is_upper(const jv_str *s);

#endif
