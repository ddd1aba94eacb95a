/* Models that came of trainings: their folders, their rows, and that they are offered again when
 * the server starts. */
#include "serve/jobs/trainings_impl.h"
#include "base/clock.h"
#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { LAST_N = 8 }; /* of a training's id, in its model's name */

/* What may stand in a model's name stays. */
static void put_part(char *out, size_t size, const char *text, size_t most)
{
    size_t n = strlen(out);

    for (size_t i = 0; text[i] != '\0' && i < most && n + 1 < size; i++) {
        const char c = text[i];
        const bool ok = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') ||
                        (c >= 'a' && c <= 'z') || strchr("-._", c) != NULL;
        out[n++] = ok ? c : '-';
    }
    out[n] = '\0';
}

static void put_raw(char *out, size_t size, const char *text)
{
    (void)snprintf(out + strlen(out), size - strlen(out), "%s", text);
}

void hg_made_name(const hg_training *one, uint64_t step, char out[128])
{
    const size_t n = strlen(one->id);
    const char *last = n > LAST_N ? one->id + n - LAST_N : one->id, *base = one->base;
    char at[40] = "";

    out[0] = '\0';
    if (step > 0) (void)snprintf(at, sizeof at, ":ckpt-step-%llu", (unsigned long long)step);
    if (one->name[0] != '\0') {
        (void)snprintf(out, 128, "%.87s", one->name);
        put_raw(out, 128, at);
        return;
    }
    put_raw(out, 128, "ft:");
    put_part(out, 128, strrchr(base, '/') != NULL ? strrchr(base, '/') + 1 : base, 36);
    put_raw(out, 128, ":");
    put_part(out, 128, one->owner, 20);
    put_raw(out, 128, ":");
    put_part(out, 128, one->suffix, 18);
    put_raw(out, 128, ":");
    put_raw(out, 128, last);
    put_raw(out, 128, at);
}

static hg_status insert(hg_trainings *t, const hg_training *one, const char *name,
                        const char *folder, bool is_adapter, hg_err *e)
{
    hg_query q;

    hg_query_open(&q, t->store,
                  "INSERT OR REPLACE INTO trained_models (name, owner, training, base, folder, "
                  "is_adapter, created) VALUES (?, ?, ?, ?, ?, ?, ?)");
    hg_query_text(&q, 1, name);
    hg_query_text(&q, 2, one->owner);
    hg_query_text(&q, 3, one->id);
    hg_query_text(&q, 4, one->base);
    hg_query_text(&q, 5, folder);
    hg_query_int(&q, 6, is_adapter);
    hg_query_int(&q, 7, hg_unix_time());
    return hg_query_close(&q, e);
}

static hg_status publish(hg_trainings *t, const char *name, const char *base, const char *folder,
                         bool is_adapter, hg_err *e)
{
    char path[4096];
    hg_offer *on = hg_models_find(t->models, (hg_bytes){base, strlen(base)});

    if (hg_models_find(t->models, (hg_bytes){name, strlen(name)}) != NULL) return HG_OK;
    if (on != NULL && on->target != NULL) on = on->target;
    if (is_adapter && on == NULL)
        return hg_fail(e, HG_E_MISSING, "%s stands on %s, which is not offered", name, base);
    (void)snprintf(path, sizeof path, "%s/models/%s", t->folder, folder);
    return hg_models_publish(t->models, path, name, is_adapter ? on : NULL, e);
}

static bool is_known(hg_trainings *t, const char *sql, const char *name)
{
    hg_query q;

    hg_query_open(&q, t->store, sql);
    hg_query_text(&q, 1, name);
    const bool is = hg_query_row(&q);
    return hg_query_close(&q, NULL) == HG_OK && is;
}

static void folder_of(const hg_training *one, uint64_t step, char out[96])
{
    (void)snprintf(out, 96, "%.47s-%llu", one->id, (unsigned long long)step);
}

/* The row comes when the folder is in its place. */
bool hg_made_is_kept(hg_trainings *t, const hg_training *one, uint64_t step)
{
    char folder[96];

    folder_of(one, step, folder);
    return is_known(t, "SELECT 1 FROM trained_models WHERE folder = ?", folder);
}

static hg_status move(hg_trainings *t, const char *from, const char *folder, hg_err *e)
{
    char above[4096], to[4200];

    (void)snprintf(above, sizeof above, "%s/models", t->folder);
    (void)snprintf(to, sizeof to, "%s/%s", above, folder);
    HG_TRY(hg_mkdirs(above, e));
    HG_TRY(hg_remove_tree(to, e)); /* of an earlier end that a kill has cut off */
    if (rename(from, to) == 0) return HG_OK;
    return hg_fail(e, hg_os_status(), "the model could not be kept: %s", hg_os_error());
}

hg_status hg_made_keep(hg_trainings *t, const hg_training *one, const char *from, uint64_t step,
                       const char *name, bool is_adapter, hg_err *e)
{
    char folder[96];

    folder_of(one, step, folder);
    if (!hg_made_is_kept(t, one, step)) {
        HG_TRY(move(t, from, folder, e));
        HG_TRY(insert(t, one, name, folder, is_adapter, e));
    }
    return publish(t, name, one->base, folder, is_adapter, e);
}

/* ---- the start ---- */
typedef struct row {
    char name[128], base[128], folder[96];
    bool is_adapter;
} row;

static bool next_row(hg_trainings *t, char after[128], row *out)
{
    hg_query q;

    hg_query_open(&q, t->store,
                  "SELECT name, base, folder, is_adapter FROM trained_models WHERE name > ? ORDER "
                  "BY name LIMIT 1");
    hg_query_text(&q, 1, after);
    const bool is_there = hg_query_row(&q);
    if (is_there) {
        (void)snprintf(out->name, sizeof out->name, "%s", hg_column_text(&q, 0));
        (void)snprintf(out->base, sizeof out->base, "%s", hg_column_text(&q, 1));
        (void)snprintf(out->folder, sizeof out->folder, "%s", hg_column_text(&q, 2));
        out->is_adapter = hg_column_int(&q, 3) != 0;
        memcpy(after, out->name, sizeof out->name);
    }
    return hg_query_close(&q, NULL) == HG_OK && is_there;
}

/* One whose base is not offered this time waits for a start when it is. */
void hg_made_offer_all(hg_trainings *t)
{
    char after[128] = "";
    row r;

    while (next_row(t, after, &r)) (void)publish(t, r.name, r.base, r.folder, r.is_adapter, NULL);
}

/* ---- what a kill has left ---- */
static bool is_left_training(hg_trainings *t, const char *name)
{
    return is_known(t, "SELECT 1 FROM trainings WHERE id = ? AND state >= 4", name);
}

/* "ID-STEP", of a training that is known, in no row of a model. */
static bool is_left_model(hg_trainings *t, const char *name)
{
    const char *dash = strrchr(name, '-');
    char id[96];

    if (dash == NULL || is_known(t, "SELECT 1 FROM trained_models WHERE folder = ?", name))
        return false;
    (void)snprintf(id, sizeof id, "%.*s", (int)(dash - name), name);
    return is_known(t, "SELECT 1 FROM trainings WHERE id = ?", id);
}

static void sweep(hg_trainings *t, const char *folder,
                  bool (*is_left)(hg_trainings *t, const char *name))
{
    char path[4096], one[4400];
    DIR *d;

    (void)snprintf(path, sizeof path, "%s/%s", t->folder, folder);
    d = opendir(path);
    for (struct dirent *at; d != NULL && (at = readdir(d)) != NULL;) {
        if (at->d_name[0] == '.' || !is_left(t, at->d_name)) continue;
        (void)snprintf(one, sizeof one, "%s/%.255s", path, at->d_name);
        (void)hg_remove_tree(one, NULL);
    }
    if (d != NULL) (void)closedir(d);
}

void hg_made_sweep(hg_trainings *t)
{
    sweep(t, "trainings", is_left_training);
    sweep(t, "models", is_left_model);
}

/* ---- deleting ---- */
static bool find_row(hg_trainings *t, const char *owner, const char *name, char folder[96],
                     bool *is_own)
{
    hg_query q;

    hg_query_open(&q, t->store, "SELECT folder, owner = ?2 FROM trained_models WHERE name = ?1");
    hg_query_text(&q, 1, name);
    hg_query_text(&q, 2, owner);
    const bool is_there = hg_query_row(&q);
    if (is_there) {
        (void)snprintf(folder, 96, "%s", hg_column_text(&q, 0));
        *is_own = hg_column_int(&q, 1) != 0;
    }
    return hg_query_close(&q, NULL) == HG_OK && is_there;
}

static hg_status delete_row(hg_trainings *t, const char *name, hg_err *e)
{
    hg_query q;

    hg_query_open(&q, t->store, "DELETE FROM trained_models WHERE name = ?");
    hg_query_text(&q, 1, name);
    HG_TRY(hg_query_close(&q, e));
    hg_query_open(&q, t->store, "DELETE FROM training_checkpoints WHERE model = ?");
    hg_query_text(&q, 1, name);
    return hg_query_close(&q, e);
}

bool hg_trainings_delete_model(hg_trainings *t, const char *owner, hg_bytes id, hg_problem *p)
{
    char name[128], folder[96], path[4200];
    bool is_own = false;
    hg_err e = {0};

    (void)snprintf(name, sizeof name, "%.*s", (int)(id.n < 127 ? id.n : 127), id.p);
    hg_offer *o = hg_models_find(t->models, id);
    const bool is_made = find_row(t, owner, name, folder, &is_own);
    if (!is_made && o == NULL)
        return hg_refuse(p, 404, "model_not_found", "model", "there is no model \"%s\"", name);
    if (!is_made || !is_own)
        return hg_refuse(p, 403, "permission_denied", "model",
                         "%s did not come of a training of yours, so it cannot be deleted here",
                         name);
    if (o != NULL && hg_models_remove(t->models, o, &e) != HG_OK)
        return hg_refuse(p, 409, "model_busy", "model", "%s", e.msg);
    (void)snprintf(path, sizeof path, "%s/models/%s", t->folder, folder);
    hg_status s = delete_row(t, name, &e);
    if (s == HG_OK) s = hg_remove_tree(path, &e);
    return s == HG_OK || hg_refuse(p, 500, NULL, "model", "%s", e.msg);
}
