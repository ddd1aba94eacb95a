/* Recipes: YAML 1.1 as people write it by hand (nested maps, lists, scalars), read into a small
 * tree that remembers its lines, so that every complaint can say where. Anchors, aliases, tags and
 * several documents in one file are refused: a recipe needs none, and aliases can blow up. */
#ifndef HG_TEXT_YAML_H
#define HG_TEXT_YAML_H

#include "base/mem.h"

enum { HG_YAML_MAX_BYTES = 1 << 20, HG_YAML_MAX_DEPTH = 32, HG_YAML_MAX_NODES = 65536 };

typedef enum hg_yaml_kind { HG_YAML_MAP, HG_YAML_LIST, HG_YAML_SCALAR } hg_yaml_kind;

typedef struct hg_yaml {
    hg_yaml_kind kind;
    const char *file; /* for sentences */
    const char *key;  /* of a map's member; NULL otherwise */
    const char *text; /* of a scalar, without its quotes; NUL-terminated, no NUL inside */
    bool quoted;      /* a scalar in quotes is always text */
    bool used;        /* some getter asked for it */
    int line, column; /* from 1 */
    size_t n;         /* members */
    struct hg_yaml *first, *last, *next;
} hg_yaml;

/* The tree lives in `mem`. `file` is the name for sentences ("recipe.yaml"). An empty file is an
 * empty map. Keys must be plain text and may not be given twice. HG_E_FORMAT, HG_E_LIMIT,
 * HG_E_NOMEM; the sentence begins "recipe.yaml, line 12: ". */
hg_status hg_yaml_parse(hg_yaml **out, hg_arena *mem, const char *file, hg_bytes in, hg_err *e);
hg_status hg_yaml_read(hg_yaml **out, hg_arena *mem, const char *path, hg_err *e);

/* The member, or NULL when the map has none. NULL in, NULL out. */
hg_yaml *hg_yaml_find(hg_yaml *map, const char *key);

/* Optional members: *out stays as it is (the default) when the member is missing, null or ~. A
 * wrong type or a value out of range is a sentence. `map` may be NULL: nothing is there. Numbers
 * may be written 3e-4, 65_536, 64k, 10M, 1.5B (k, M, B and G: thousands, millions, billions). */
hg_status hg_yaml_text(hg_yaml *map, const char *key, const char **out, hg_err *e);
hg_status hg_yaml_int(hg_yaml *map, const char *key, int64_t min, int64_t max, int64_t *out,
                      hg_err *e);
hg_status hg_yaml_number(hg_yaml *map, const char *key, double min, double max, double *out,
                         hg_err *e);
hg_status hg_yaml_bool(hg_yaml *map, const char *key, bool *out, hg_err *e);
/* *out becomes the member, or NULL when there is none. */
hg_status hg_yaml_map(hg_yaml *map, const char *key, hg_yaml **out, hg_err *e);
hg_status hg_yaml_list(hg_yaml *map, const char *key, hg_yaml **out, hg_err *e);
/* One word of a NULL-terminated list; *out becomes its index. */
hg_status hg_yaml_choice(hg_yaml *map, const char *key, const char *const *words, int *out,
                         hg_err *e);
/* A scalar as a list of one, or a list of scalars, as texts in `mem`. */
hg_status hg_yaml_texts(hg_yaml *map, const char *key, hg_arena *mem, const char *const **out,
                        size_t *n, hg_err *e);

/* Fails when the map (and maps below it) has a member that no getter asked for: the typing mistake
 * that would silently give the default. The sentence names the nearest of `known` (NULL-terminated,
 * may be NULL). */
hg_status hg_yaml_no_others(const hg_yaml *map, const char *const *known, hg_err *e);

/* hg_fail with "file, line N: " of the node in front. */
hg_status hg_yaml_fail(const hg_yaml *node, hg_err *e, const char *fmt, ...) HG_PRINTF(3, 4);

#endif
