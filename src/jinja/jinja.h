/* Chat templates are programs: Hugging Face's models carry them in Jinja, as transformers runs it
 * (trim_blocks and lstrip_blocks on, loop controls, tojson without HTML escapes, generation
 * blocks). This is an interpreter for them that is bounded in steps, memory and output, touches
 * nothing but the values that it is given, and remembers of every byte of its output where it came
 * from.
 *
 * What is there: for with else, filter, unpacking and all of loop.* but recursion; break and
 * continue; if; set, set blocks, attributes of namespaces; macro, call, filter and with blocks;
 * raw; comments; do; generation; every operator, slice, test and nearly every filter of Jinja2 3.1;
 * the methods of Python's strings, lists and dicts; range, namespace, dict, cycler, joiner,
 * raise_exception, strftime_now. What is not: extends, include, import, block,
 * translations, autoescape, whole numbers over 63 bits. */
#ifndef HG_JINJA_JINJA_H
#define HG_JINJA_JINJA_H

#include "jinja/value.h"

/* Limits on a template; over them HG_E_LIMIT. */
enum {
    HG_JINJA_MAX_SOURCE = 1 << 20, /* bytes */
    HG_JINJA_MAX_NESTING = 240,    /* of expressions and blocks in one another */
    HG_JINJA_MAX_CALLS = 1000      /* depth of evaluation, macros that call macros among it */
};

/* A template, parsed. Never changes; may be shared by threads. */
typedef struct hg_jinja hg_jinja;

/* Parses `source` (copied). HG_E_FORMAT with line and column ("line 3, column 7: ..."), HG_E_LIMIT,
 * HG_E_NOMEM. */
hg_status hg_jinja_parse(hg_jinja **out, hg_bytes source, hg_err *e);
void hg_jinja_free(hg_jinja *t);
/* Whether the template says itself, in generation blocks, what the assistant generates. */
bool hg_jinja_has_generation(const hg_jinja *t);

/* What one rendering may take. */
typedef struct hg_jinja_limits {
    uint64_t max_steps; /* default 20 million; one for each node, and for each 64 bytes copied */
    size_t max_memory;  /* default 512 MiB, freed when the rendering ends */
    size_t max_output;  /* default 64 MiB */
} hg_jinja_limits;
void hg_jinja_limits_init(hg_jinja_limits *l);

/* One rendering: values are made in it, given names, and rendered; they end with it. One thread. */
hg_status hg_jinja_run_new(jrun **out, const hg_jinja *t, const hg_jinja_limits *limits, hg_err *e);
void hg_jinja_run_free(jrun *r);
/* Makes a run ready for another rendering; its memory is kept. */
void hg_jinja_run_reset(jrun *r);
/* Gives a variable; `name` is copied where the template knows it. */
void hg_jinja_set(jrun *r, const char *name, jv value);
/* The time that strftime_now shows, in seconds since 1970 (UTC); without it, strftime_now fails. */
void hg_jinja_set_time(jrun *r, int64_t seconds);

/* The text, and for each byte its mark (value.h). They live as long as the run, or until it is
 * reset. HG_E_FORMAT: the template failed (or raised an exception), HG_E_LIMIT, HG_E_NOMEM. */
typedef struct hg_jinja_text {
    hg_bytes text;
    const uint8_t *mark; /* [text.n] */
} hg_jinja_text;
hg_status hg_jinja_render(jrun *r, hg_jinja_text *out, hg_err *e);

#endif
