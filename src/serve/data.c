/* The folder and the tables in it. A migration, once released, is never changed: what comes later
 * is a further one. */
#include "serve/data.h"
#include "base/file.h"
#include "serve/batches/batches.h"
#include "serve/openai/kept.h"
#include "serve/page/talks.h"
#include "serve/replicate/predictions.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const migrations[] = {
    "CREATE TABLE tokens (name TEXT PRIMARY KEY, sha256 BLOB NOT NULL UNIQUE, scopes INTEGER NOT "
    "NULL, rate INTEGER NOT NULL, created INTEGER NOT NULL, used INTEGER) STRICT;",
    hg_talks_tables,
    "CREATE TABLE files (number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, owner "
    "TEXT NOT NULL, name TEXT NOT NULL, type TEXT NOT NULL, purpose TEXT NOT NULL, metadata TEXT "
    "NOT NULL, sha256 TEXT NOT NULL, n_bytes INTEGER NOT NULL, created INTEGER NOT NULL, expires "
    "INTEGER NOT NULL) STRICT;"
    "CREATE INDEX files_by_owner ON files (owner, number);"
    "CREATE INDEX files_by_bytes ON files (sha256);"
    "CREATE TABLE file_key (one INTEGER PRIMARY KEY CHECK (one = 1), value BLOB NOT NULL) STRICT;",
    hg_replicate_tables,
    hg_kept_tables,
    "CREATE TABLE trainings (number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, "
    "owner TEXT NOT NULL, face TEXT NOT NULL, base TEXT NOT NULL, training_file TEXT NOT NULL, "
    "validation_file TEXT NOT NULL, suffix TEXT NOT NULL, name TEXT NOT NULL, note TEXT NOT NULL, "
    "wish TEXT NOT NULL, state INTEGER NOT NULL, intent INTEGER NOT NULL DEFAULT 0, created "
    "INTEGER NOT NULL, started INTEGER NOT NULL DEFAULT 0, finished INTEGER NOT NULL DEFAULT 0, "
    "step INTEGER NOT NULL DEFAULT 0, n_steps INTEGER NOT NULL DEFAULT 0, n_tokens INTEGER NOT "
    "NULL DEFAULT 0, n_examples INTEGER NOT NULL DEFAULT 0, need INTEGER NOT NULL DEFAULT 0, "
    "threads INTEGER NOT NULL DEFAULT 0, figures TEXT NOT NULL DEFAULT '', model TEXT NOT NULL "
    "DEFAULT '', result_file TEXT NOT NULL DEFAULT '', error_code TEXT NOT NULL DEFAULT '', "
    "error_param TEXT NOT NULL DEFAULT '', error TEXT NOT NULL DEFAULT '') STRICT;"
    "CREATE INDEX trainings_by_owner ON trainings (owner, face, number);"
    "CREATE INDEX trainings_by_state ON trainings (state);"
    "CREATE TABLE training_events (number INTEGER PRIMARY KEY AUTOINCREMENT, training TEXT NOT "
    "NULL, step INTEGER, created INTEGER NOT NULL, level TEXT NOT NULL, message TEXT NOT NULL, "
    "data TEXT, UNIQUE (training, step)) STRICT;"
    "CREATE INDEX training_events_in_order ON training_events (training, number);"
    "CREATE TABLE training_checkpoints (number INTEGER PRIMARY KEY AUTOINCREMENT, training TEXT "
    "NOT NULL, step INTEGER NOT NULL, created INTEGER NOT NULL, model TEXT NOT NULL, metrics TEXT "
    "NOT NULL, UNIQUE (training, step)) STRICT;"
    "CREATE TABLE trained_models (name TEXT PRIMARY KEY, owner TEXT NOT NULL, training TEXT NOT "
    "NULL, base TEXT NOT NULL, folder TEXT NOT NULL, is_adapter INTEGER NOT NULL, created INTEGER "
    "NOT NULL) STRICT;",
    hg_batch_tables,
    hg_replicate_order,
    "ALTER TABLE trainings ADD COLUMN turn INTEGER NOT NULL DEFAULT 0;"
    "CREATE INDEX trainings_by_turn ON trainings (owner, turn);",
    hg_replicate_letters,
    hg_kept_sizes,
    hg_replicate_inodes,
};

struct hg_data {
    hg_store *store;
    char *dir;
    char temporary[32]; /* the folder of a server that keeps nothing; "": none */
    char note[512];
    int lock; /* -1: none */
};

static hg_status take_folder(hg_data *d, hg_err *e)
{
    char *path = hg_path_join(d->dir, "lock");

    if (path == NULL) return hg_fail(e, HG_E_NOMEM, "no room for a path");
    d->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    hg_free(path);
    if (d->lock < 0) return hg_fail(e, HG_E_IO, "cannot write in %s: %s", d->dir, hg_os_error());
    if (flock(d->lock, LOCK_EX | LOCK_NB) == 0) return HG_OK;
    return hg_fail(e, HG_E_STATE,
                   "another server uses %s; give this one a folder of its own (--data)", d->dir);
}

static hg_status open_folder(hg_data *d, const char *dir, bool alone, hg_err *e)
{
    d->dir = hg_strdup(dir);
    if (d->dir == NULL) return hg_fail(e, HG_E_NOMEM, "no room for a path");
    if (!hg_path_is_dir(dir)) {
        HG_TRY(hg_mkdirs(dir, e));
        (void)chmod(dir, 0700);
    }
    return alone ? take_folder(d, e) : HG_OK;
}

static hg_status open_store(hg_data *d, bool alone, hg_err *e)
{
    const size_t n = sizeof migrations / sizeof migrations[0];
    char *path = d->dir != NULL ? hg_path_join(d->dir, "higgins.db") : NULL;

    if (path == NULL && d->dir != NULL) return hg_fail(e, HG_E_NOMEM, "no room for a path");
    const hg_status s = hg_store_open(&d->store, path, migrations, n, e);
    hg_err why;
    if (s == HG_OK && alone && hg_store_repack(d->store, path, &why) != HG_OK)
        (void)snprintf(d->note, sizeof d->note, "%s", why.msg);
    hg_free(path);
    return s;
}

/* What keeps nothing still needs a place for what is too large for memory. */
static hg_status open_temporary(hg_data *d, hg_err *e)
{
    (void)snprintf(d->temporary, sizeof d->temporary, "/tmp/higgins-XXXXXX");
    if (mkdtemp(d->temporary) != NULL) return HG_OK;
    d->temporary[0] = '\0';
    return hg_fail(e, HG_E_IO, "cannot make a folder in /tmp: %s", hg_os_error());
}

hg_status hg_data_open(hg_data **out, const char *dir, bool alone, hg_err *e)
{
    hg_data *d = hg_alloc(1, sizeof *d);

    *out = NULL;
    if (d == NULL) return hg_fail(e, HG_E_NOMEM, "no room for the store");
    d->lock = -1;
    hg_status s = dir != NULL ? open_folder(d, dir, alone, e) : open_temporary(d, e);
    if (s == HG_OK) s = open_store(d, alone, e);
    if (s != HG_OK) {
        hg_data_close(d);
        return s;
    }
    *out = d;
    return HG_OK;
}

void hg_data_close(hg_data *d)
{
    if (d == NULL) return;
    hg_store_close(d->store);
    if (d->temporary[0] != '\0') (void)hg_remove_tree(d->temporary, NULL);
    if (d->lock >= 0) (void)close(d->lock);
    hg_free(d->dir);
    hg_free(d);
}

const char *hg_data_note(const hg_data *d)
{
    return d->note[0] != '\0' ? d->note : NULL;
}

hg_store *hg_data_store(const hg_data *d)
{
    return d->store;
}

const char *hg_data_folder(const hg_data *d)
{
    return d->dir != NULL ? d->dir : d->temporary;
}
