/* The files of a training read through and made one that the trainer takes; what its wish leaves
 * open follows from them. */
#include "serve/jobs/examples.h"
#include "serve/jobs/trainings_impl.h"
#include "base/file.h"

#include <stdio.h>

enum { AUTO_EPOCHS = 3, AUTO_RANK = 16, EXAMPLES_A_ROW = 500, MOST_AUTO_BATCH = 16 };

static hg_status take_file(hg_trainings *t, const hg_training *one, const char *file,
                           const char *folder, const char *name, uint64_t *n, hg_err *e)
{
    hg_map map = {0};
    char path[4200];

    HG_TRY(hg_files_map(t->files, one->owner, file, &map, e));
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    const hg_status s =
        hg_examples_write((hg_bytes){(const char *)map.p, map.n}, one->wish.method, path, n, e);
    if (map.n > 0) hg_map_close(&map);
    return s;
}

static hg_status take_files(hg_trainings *t, const hg_training *one, uint64_t *n,
                            const char **param, hg_err *e)
{
    uint64_t n_held = 0;
    char *folder = hg_training_folder(t, one->id, e);

    *param = "training_file";
    if (folder == NULL) return e->status;
    hg_status s = take_file(t, one, one->training_file, folder, "train.jsonl", n, e);
    if (s == HG_OK && one->validation_file[0] != '\0') {
        *param = "validation_file";
        s = take_file(t, one, one->validation_file, folder, "valid.jsonl", &n_held, e);
    }
    hg_free(folder);
    return s;
}

static void make_whole(hg_training_wish *w, uint64_t n)
{
    const double usual = w->method == HG_TRAINING_DPO ? 2e-5 : 2e-4;
    const int64_t rows = (int64_t)(n / EXAMPLES_A_ROW);

    if (!(w->n_epochs > 0)) w->n_epochs = AUTO_EPOCHS;
    if (w->batch_size == 0)
        w->batch_size = rows < 1 ? 1 : rows > MOST_AUTO_BATCH ? MOST_AUTO_BATCH : rows;
    if (!(w->lr_multiplier > 0)) w->lr_multiplier = 1;
    if (!(w->lr > 0)) w->lr = usual;
    if (!(w->beta > 0)) w->beta = 0.1;
    if (w->lora_rank == 0) w->lora_rank = AUTO_RANK;
    if (!(w->lora_alpha > 0)) w->lora_alpha = 32;
}

/* What was asked for while the files were read comes first. */
static void queue(hg_trainings *t, const hg_training *one, uint64_t n)
{
    hg_training_wish w = one->wish;
    char text[80];

    (void)snprintf(text, sizeof text, "Files are validated: %llu examples", (unsigned long long)n);
    make_whole(&w, n);
    (void)pthread_mutex_lock(&t->lock);
    const intent i = hg_training_intent(t, one->id);
    (void)hg_training_set_wish(t, one->id, &w, n, NULL);
    (void)hg_training_set_told(t, one->id,
                               i == INTENT_CANCEL  ? HG_TRAINING_CANCELED
                               : i == INTENT_PAUSE ? HG_TRAINING_PAUSED
                                                   : HG_TRAINING_QUEUED,
                               "info", text, NULL);
    (void)pthread_mutex_unlock(&t->lock);
    if (i == INTENT_CANCEL)
        (void)hg_training_wind_up(t, one->id);
    else
        hg_training_tell(t, one->id);
}

void hg_training_check(hg_trainings *t, const char *id)
{
    const char *param = NULL;
    hg_training one;
    hg_arena mem;
    hg_err e = {0};
    uint64_t n = 0;

    hg_arena_init(&mem, 4096);
    if (hg_training_read(t, NULL, id, &mem, &one)) {
        hg_training_say(t, id, "info", "Validating training file: %s", one.training_file);
        if (take_files(t, &one, &n, &param, &e) == HG_OK)
            queue(t, &one, n);
        else
            hg_training_fail(t, &one,
                             e.status == HG_E_IO || e.status == HG_E_FULL ? "storage_full"
                                                                          : "invalid_training_file",
                             param, e.msg);
    }
    hg_arena_free(&mem);
}
