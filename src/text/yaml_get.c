/* Asking a recipe's tree for values: types, ranges and the sentences when they do not fit. A getter
 * marks what it was asked for, so that hg_yaml_no_others can tell what nobody wanted. */
#include "text/yaml.h"
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

hg_yaml *hg_yaml_find(hg_yaml *map, const char *key)
{
    if (map == NULL || map->kind != HG_YAML_MAP) return NULL;
    for (hg_yaml *v = map->first; v != NULL; v = v->next) {
        if (strcmp(v->key, key) != 0) continue;
        v->used = true;
        return v;
    }
    return NULL;
}

static bool is_null(const hg_yaml *v)
{
    return v->kind == HG_YAML_SCALAR && !v->quoted &&
           (v->text[0] == '\0' || strcmp(v->text, "~") == 0 || strcasecmp(v->text, "null") == 0);
}

/* The member when it is there and not null. */
static hg_yaml *given(hg_yaml *map, const char *key)
{
    hg_yaml *v = hg_yaml_find(map, key);
    return v == NULL || is_null(v) ? NULL : v;
}

static hg_status wrong(const hg_yaml *v, const char *wanted, hg_err *e)
{
    static const char *const is[] = {"a map", "a list", ""};
    if (v->kind != HG_YAML_SCALAR)
        return hg_yaml_fail(v, e, "\"%.60s\" is %s; it should be %s",
                            v->key != NULL ? v->key : "item", is[v->kind], wanted);
    return hg_yaml_fail(v, e, "\"%.60s\" is \"%.60s\"; it should be %s",
                        v->key != NULL ? v->key : "item", v->text, wanted);
}

hg_status hg_yaml_text(hg_yaml *map, const char *key, const char **out, hg_err *e)
{
    const hg_yaml *v = given(map, key);
    if (v == NULL) return HG_OK;
    if (v->kind != HG_YAML_SCALAR) return wrong(v, "text", e);
    *out = v->text;
    return HG_OK;
}

static double suffix(char c)
{
    switch (c) {
    case 'k':
    case 'K':
        return 1e3;
    case 'M':
        return 1e6;
    case 'B':
    case 'G':
        return 1e9;
    default:
        return 0;
    }
}

/* 12, -3, 3e-4, 65_536, 64k, 1.5B; false when it is none of these. */
static bool parse_number(const char *s, double *out)
{
    char plain[64];
    size_t n = 0;
    for (; *s != '\0'; s++) {
        if (*s == '_' && n > 0) continue;
        if (n + 1 >= sizeof plain) return false;
        plain[n++] = *s;
    }
    plain[n] = '\0';
    /* strtod would also take "inf", "nan" and hexadecimal, which no recipe means. */
    if (n == 0 || strspn(plain, "+-.0123456789eEkKMBG") != n) return false;
    char *rest = NULL;
    double v = strtod(plain, &rest);
    if (rest == plain || !isfinite(v)) return false;
    if (*rest != '\0') {
        if (suffix(*rest) == 0 || rest[1] != '\0') return false;
        v *= suffix(*rest);
    }
    *out = v;
    return true;
}

hg_status hg_yaml_number(hg_yaml *map, const char *key, double min, double max, double *out,
                         hg_err *e)
{
    const hg_yaml *v = given(map, key);
    double n = 0;
    if (v == NULL) return HG_OK;
    if (v->kind != HG_YAML_SCALAR || v->quoted || !parse_number(v->text, &n))
        return wrong(v, "a number", e);
    if (!(n >= min && n <= max))
        return hg_yaml_fail(v, e, "\"%s\" is %s; %g to %g allowed", key, v->text, min, max);
    *out = n;
    return HG_OK;
}

/* Digits only: exact beyond the 53 bits that a double holds (seeds). */
static bool parse_exact(const char *s, int64_t *out)
{
    char *rest = NULL;
    errno = 0;
    long long v = strtoll(s, &rest, 10);
    if (rest == s || *rest != '\0' || errno != 0) return false;
    *out = v;
    return true;
}

hg_status hg_yaml_int(hg_yaml *map, const char *key, int64_t min, int64_t max, int64_t *out,
                      hg_err *e)
{
    const hg_yaml *v = given(map, key);
    int64_t n = 0;
    double real = 0;
    if (v == NULL) return HG_OK;
    if (v->kind != HG_YAML_SCALAR || v->quoted) return wrong(v, "a whole number", e);
    if (!parse_exact(v->text, &n)) {
        if (!parse_number(v->text, &real) || real != floor(real) || fabs(real) >= 9e18)
            return wrong(v, "a whole number", e);
        n = (int64_t)real;
    }
    if (n < min || n > max)
        return hg_yaml_fail(v, e, "\"%s\" is %s; %lld to %lld allowed", key, v->text,
                            (long long)min, (long long)max);
    *out = n;
    return HG_OK;
}

hg_status hg_yaml_bool(hg_yaml *map, const char *key, bool *out, hg_err *e)
{
    static const char *const yes[] = {"true", "yes", "on"}, *const no[] = {"false", "no", "off"};
    const hg_yaml *v = given(map, key);
    if (v == NULL) return HG_OK;
    for (size_t i = 0; i < 3 && v->kind == HG_YAML_SCALAR && !v->quoted; i++) {
        bool is_yes = strcasecmp(v->text, yes[i]) == 0;
        if (!is_yes && strcasecmp(v->text, no[i]) != 0) continue;
        *out = is_yes;
        return HG_OK;
    }
    return wrong(v, "true or false", e);
}

static hg_status branch(hg_yaml *map, const char *key, hg_yaml_kind kind, hg_yaml **out, hg_err *e)
{
    hg_yaml *v = given(map, key);
    *out = NULL;
    if (v == NULL) return HG_OK;
    if (v->kind != kind) return wrong(v, kind == HG_YAML_MAP ? "a map" : "a list", e);
    *out = v;
    return HG_OK;
}

hg_status hg_yaml_map(hg_yaml *map, const char *key, hg_yaml **out, hg_err *e)
{
    return branch(map, key, HG_YAML_MAP, out, e);
}

hg_status hg_yaml_list(hg_yaml *map, const char *key, hg_yaml **out, hg_err *e)
{
    return branch(map, key, HG_YAML_LIST, out, e);
}

/* "a, b or c" of a NULL-terminated list. */
static void list_words(hg_buf *b, const char *const *words)
{
    for (size_t i = 0; words[i] != NULL; i++) {
        if (i > 0) hg_buf_puts(b, words[i + 1] == NULL ? " or " : ", ");
        hg_buf_puts(b, words[i]);
    }
}

hg_status hg_yaml_choice(hg_yaml *map, const char *key, const char *const *words, int *out,
                         hg_err *e)
{
    const hg_yaml *v = given(map, key);
    if (v == NULL) return HG_OK;
    for (int i = 0; words[i] != NULL && v->kind == HG_YAML_SCALAR; i++) {
        if (strcmp(v->text, words[i]) != 0) continue;
        *out = i;
        return HG_OK;
    }
    hg_buf all = {0};
    list_words(&all, words);
    hg_status s = wrong(v, all.failed || all.p == NULL ? "another word" : all.p, e);
    hg_buf_free(&all);
    return s;
}

hg_status hg_yaml_texts(hg_yaml *map, const char *key, hg_arena *mem, const char *const **out,
                        size_t *n, hg_err *e)
{
    hg_yaml *v = given(map, key);
    if (v == NULL) return HG_OK;
    if (v->kind == HG_YAML_MAP) return wrong(v, "text or a list of texts", e);
    size_t count = v->kind == HG_YAML_LIST ? v->n : 1;
    const char **item = HG_NEW(mem, const char *, count);
    if (item == NULL) return hg_fail(e, HG_E_NOMEM, "no room for %zu texts", count);
    hg_yaml *at = v->kind == HG_YAML_LIST ? v->first : v;
    for (size_t i = 0; i < count; i++, at = at->next) {
        if (at->kind != HG_YAML_SCALAR) return wrong(at, "text", e);
        at->used = true;
        item[i] = at->text;
    }
    *out = item;
    *n = count;
    return HG_OK;
}

/* Edits between two words (Levenshtein), 99 for words too long to be one key. */
static size_t distance(const char *a, const char *b)
{
    enum { MOST = 40 };
    size_t n = strlen(a), m = strlen(b), row[MOST + 1];
    if (n > MOST || m > MOST) return 99;
    for (size_t j = 0; j <= m; j++) row[j] = j;
    for (size_t i = 1; i <= n; i++) {
        size_t corner = row[0];
        row[0] = i;
        for (size_t j = 1; j <= m; j++) {
            size_t change = corner + (a[i - 1] != b[j - 1]);
            size_t insert = row[j - 1] + 1, drop = row[j] + 1;
            corner = row[j];
            row[j] = change < insert ? change : insert;
            if (drop < row[j]) row[j] = drop;
        }
    }
    return row[m];
}

static const char *nearest(const char *const *known, const char *key)
{
    const char *best = NULL;
    size_t least = strlen(key) / 3 + 2;
    for (size_t i = 0; known != NULL && known[i] != NULL; i++) {
        size_t d = distance(known[i], key);
        if (d >= least) continue;
        least = d;
        best = known[i];
    }
    return best;
}

hg_status hg_yaml_no_others(const hg_yaml *map, const char *const *known, hg_err *e)
{
    if (map == NULL || map->kind != HG_YAML_MAP) return HG_OK;
    for (const hg_yaml *v = map->first; v != NULL; v = v->next) {
        if (v->used && v->kind == HG_YAML_MAP) HG_TRY(hg_yaml_no_others(v, known, e));
        if (v->used) continue;
        const char *near = nearest(known, v->key);
        if (near != NULL)
            return hg_yaml_fail(v, e, "unknown key \"%.60s\"; did you mean \"%s\"?", v->key, near);
        if (known == NULL || known[0] == NULL)
            return hg_yaml_fail(v, e, "unknown key \"%.60s\"; nothing here is called so", v->key);
        hg_buf all = {0};
        list_words(&all, known);
        hg_status s = hg_yaml_fail(v, e, "unknown key \"%.60s\"; known are %s", v->key,
                                   all.failed ? known[0] : all.p);
        hg_buf_free(&all);
        return s;
    }
    return HG_OK;
}
