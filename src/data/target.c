/* Care for what lies on the user's disk: a new corpus may take the place of an old one, never of
 * anything else, and never of its own sources. */
#include "data/target.h"
#include "base/file.h"
#include "data/card.h"
#include "text/json.h"
#include <dirent.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_CARD = 64 << 20 };

static bool is_empty_folder(const char *path)
{
    DIR *d = opendir(path);
    if (d == NULL) return false;
    size_t n = 0;
    while (readdir(d) != NULL) n++;
    (void)closedir(d);
    return n <= 2;
}

hg_status hg_target_check(const char *path, const char *options_key, bool force, hg_err *e)
{
    json_t *card = NULL;
    hg_bytes format = {"", 0}, key = {"", 0};
    if (!hg_path_exists(path) || is_empty_folder(path)) return HG_OK;
    if (!hg_path_is_dir(path))
        return hg_fail(e, HG_E_STATE, "%s is a file; name a folder for the corpus", path);
    char *card_path = hg_path_join(path, "card.json");
    if (card_path == NULL) return hg_fail(e, HG_E_NOMEM, "no room for a path");
    if (hg_json_read(&card, card_path, MAX_CARD, NULL) == HG_OK) {
        (void)hg_json_opt_text(card, "format", &format, NULL);
        (void)hg_json_opt_text(card, "options_key", &key, NULL);
    }
    hg_free(card_path);
    bool is_corpus = strcmp(format.p, HG_CARD_FORMAT) == 0,
         is_same = strcmp(key.p, options_key) == 0;
    json_decref(card);
    if (!is_corpus)
        return hg_fail(e, HG_E_STATE, "%s is there and is no corpus; name another folder", path);
    if (!is_same && !force)
        return hg_fail(e, HG_E_STATE,
                       "%s holds a corpus made from other sources or with other "
                       "options; --force replaces it",
                       path);
    return HG_OK;
}

/* The real path of something that need not be there yet: its folder's, with its name behind. */
static char *real_target(const char *path)
{
    char *copy = hg_strdup(path);
    if (copy == NULL) return NULL;
    size_t n = strlen(copy);
    while (n > 1 && copy[n - 1] == '/') copy[--n] = '\0';
    const char *base = hg_path_base(copy);
    char *parent = base == copy ? hg_strdup(".") : hg_strndup(copy, (size_t)(base - copy));
    char *real = parent != NULL ? realpath(parent, NULL) : NULL;
    char *out = real != NULL ? hg_path_join(real, base) : NULL;
    hg_free(real);
    hg_free(parent);
    hg_free(copy);
    return out;
}

/* What follows `outer` in `inner`, or NULL when it does not lie there. */
static const char *below(const char *outer, const char *inner)
{
    size_t n = strlen(outer);
    if (strcmp(outer, "/") == 0) return inner + 1;
    return strncmp(inner, outer, n) == 0 && (inner[n] == '/' || inner[n] == '\0') ? inner + n
                                                                                  : NULL;
}

hg_status hg_target_within(const char *source, const char *target, char **own, hg_err *e)
{
    *own = NULL;
    char *from = realpath(source, NULL), *to = real_target(target);
    hg_status s = HG_OK;
    if (from != NULL && to != NULL) {
        const char *rest = below(from, to);
        if (below(to, from) != NULL)
            s = hg_fail(e, HG_E_ARG, "%s lies in %s, which is to be replaced; name another folder",
                        source, target);
        else if (rest != NULL && (*own = hg_path_join(source, rest)) == NULL)
            s = hg_fail(e, HG_E_NOMEM, "no room for a path");
    }
    hg_free(from);
    hg_free(to);
    return s;
}
