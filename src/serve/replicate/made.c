/* The table of made models. */
#include "serve/replicate/made.h"
#include "base/clock.h"

#include <stdio.h>
#include <string.h>

static const char *copy(const hg_query *q, int column, hg_arena *mem)
{
    const char *v = hg_column_text(q, column);

    return v != NULL ? hg_arena_strndup(mem, v, strlen(v)) : NULL;
}

bool hg_made_load(hg_store *store, const char *name, hg_arena *mem, hg_made *out)
{
    hg_query q;

    memset(out, 0, sizeof *out);
    hg_query_open(&q, store,
                  "SELECT owner, visibility, description, github_url, paper_url, license_url, "
                  "cover_url FROM made_models WHERE name = ?");
    hg_query_text(&q, 1, name);
    const bool found = hg_query_row(&q);
    if (found) {
        const char **const text[] = {&out->description, &out->github_url, &out->paper_url,
                                     &out->license_url, &out->cover_url};
        (void)snprintf(out->owner, sizeof out->owner, "%s", hg_column_text(&q, 0));
        out->is_private = strcmp(hg_column_text(&q, 1), "public") != 0;
        for (int i = 0; i < 5; i++) *text[i] = copy(&q, i + 2, mem);
    }
    (void)hg_query_close(&q, NULL);
    return found;
}

/* Rows of the table with that name and what else is asked for. */
static bool is_there(hg_store *store, const char *sql, const char *name, const char *owner)
{
    hg_query q;

    hg_query_open(&q, store, sql);
    hg_query_text(&q, 1, name);
    hg_query_text(&q, 2, owner);
    const bool is = hg_query_row(&q);
    (void)hg_query_close(&q, NULL);
    return is;
}

bool hg_made_is_open(hg_store *store, const char *name, const char *owner)
{
    return !is_there(store,
                     "SELECT 1 FROM made_models WHERE name = ? AND visibility <> 'public' AND "
                     "owner <> ?",
                     name, owner);
}

bool hg_made_is_owned(hg_store *store, const char *name, const char *owner)
{
    return is_there(store, "SELECT 1 FROM made_models WHERE name = ? AND owner = ?", name, owner);
}

char **hg_made_names(hg_store *store, const char *owner, hg_arena *mem, size_t *n)
{
    enum { MOST = 1000 };
    char **names = HG_NEW(mem, char *, MOST);
    hg_query q;

    *n = 0;
    if (names == NULL) return NULL;
    hg_query_open(&q, store,
                  "SELECT name FROM made_models WHERE visibility = 'public' OR owner = ? ORDER BY "
                  "name LIMIT ?");
    hg_query_text(&q, 1, owner);
    hg_query_int(&q, 2, MOST);
    while (hg_query_row(&q)) {
        const char *v = hg_column_text(&q, 0);
        names[*n] = hg_arena_strndup(mem, v, strlen(v));
        *n += names[*n] != NULL;
    }
    (void)hg_query_close(&q, NULL);
    return names;
}

hg_status hg_made_insert(hg_store *store, const char *name, const char *owner, const json_t *body,
                         hg_err *e)
{
    static const char *const keys[] = {"description", "visibility",  "github_url",
                                       "paper_url",   "license_url", "cover_image_url"};
    hg_query q;

    hg_query_open(&q, store,
                  "INSERT INTO made_models (name, owner, description, visibility, github_url, "
                  "paper_url, license_url, cover_url, created) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)");
    hg_query_text(&q, 1, name);
    hg_query_text(&q, 2, owner);
    for (int i = 0; i < 6; i++)
        hg_query_text(&q, i + 3, json_string_value(json_object_get(body, keys[i])));
    hg_query_int(&q, 9, hg_unix_ms());
    return hg_query_close(&q, e);
}

hg_status hg_made_change(hg_store *store, const char *name, const json_t *body, hg_err *e)
{
    static const struct {
        const char *key, *sql;
    } keys[] = {{"description", "UPDATE made_models SET description = ? WHERE name = ?"},
                {"github_url", "UPDATE made_models SET github_url = ? WHERE name = ?"},
                {"paper_url", "UPDATE made_models SET paper_url = ? WHERE name = ?"},
                {"license_url", "UPDATE made_models SET license_url = ? WHERE name = ?"},
                {"cover_image_url", "UPDATE made_models SET cover_url = ? WHERE name = ?"}};

    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        const char *v = json_string_value(json_object_get(body, keys[i].key));
        hg_query q;
        if (v == NULL) continue;
        hg_query_open(&q, store, keys[i].sql);
        hg_query_text(&q, 1, v);
        hg_query_text(&q, 2, name);
        HG_TRY(hg_query_close(&q, e));
    }
    return HG_OK;
}

hg_status hg_made_delete(hg_store *store, const char *name, hg_err *e)
{
    hg_query q;

    hg_query_open(&q, store, "DELETE FROM made_models WHERE name = ?");
    hg_query_text(&q, 1, name);
    return hg_query_close(&q, e);
}
