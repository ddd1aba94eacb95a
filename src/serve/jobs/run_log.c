/* See run_log.h. */
#include "serve/jobs/run_log.h"
#include "serve/jobs/trainings_impl.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MAX_LINE = 1 << 16 };

void hg_run_log_init(hg_run_log *l, const char *run)
{
    *l = (hg_run_log){.at = 0};
    (void)snprintf(l->path, sizeof l->path, "%s/log.jsonl", run);
}

static void copy(json_t *to, const char *as, const json_t *from, const char *key)
{
    const json_t *v = json_object_get(from, key);

    if (json_is_number(v)) (void)json_object_set_new(to, as, json_real(json_number_value(v)));
}

/* OpenAI's names, and ours beside them. */
static json_t *metrics_of(const json_t *line, const hg_training *one, uint64_t step)
{
    json_t *m = json_object();

    (void)json_object_set_new(m, "step", json_integer((json_int_t)step));
    (void)json_object_set_new(m, "total_steps", json_integer((json_int_t)one->n_steps));
    copy(m, "train_loss", line, "loss");
    copy(m, "learning_rate", line, "lr");
    copy(m, "tokens_per_s", line, "tokens_per_s");
    copy(m, "train_accuracy", line, "accuracy");
    copy(m, "train_margin", line, "margin");
    return m;
}

static void take_step(hg_trainings *t, hg_training *one, const json_t *line, uint64_t step)
{
    json_t *m = metrics_of(line, one, step);
    const double time = json_number_value(json_object_get(line, "time"));
    char said[128];
    hg_buf b = {0};

    one->step = step;
    one->n_tokens = (uint64_t)json_integer_value(json_object_get(line, "tokens"));
    one->loss = json_number_value(json_object_get(line, "loss"));
    one->lr = json_number_value(json_object_get(line, "lr"));
    one->tokens_per_s = json_number_value(json_object_get(line, "tokens_per_s"));
    one->eta_s = one->n_steps > step ? time / (double)step * (double)(one->n_steps - step) : 0;
    (void)snprintf(said, sizeof said, "Step %llu/%llu: training loss=%.4f",
                   (unsigned long long)step, (unsigned long long)one->n_steps, one->loss);
    if (hg_json_put_tree(&b, m, NULL) == HG_OK && !b.failed)
        (void)hg_training_put_metrics(t, one->id, step, said, b.p, NULL);
    hg_buf_free(&b);
    json_decref(m);
}

static void take_validation(hg_trainings *t, const hg_training *one, const json_t *line,
                            uint64_t step)
{
    json_t *more = json_object();

    copy(more, "valid_loss", line, "val_loss");
    copy(more, "valid_accuracy", line, "val_accuracy");
    (void)hg_training_add_metrics(t, one->id, step, more, NULL);
    json_decref(more);
}

static bool take_line(hg_trainings *t, hg_training *one, hg_bytes text)
{
    json_t *line = NULL;

    if (hg_json_parse(&line, text, MAX_LINE, NULL) != HG_OK) return false;
    const uint64_t step = (uint64_t)json_integer_value(json_object_get(line, "step"));
    const bool is_step = json_is_number(json_object_get(line, "loss"));
    if (step > 0 && is_step) take_step(t, one, line, step);
    if (step > 0 && json_is_number(json_object_get(line, "val_loss")))
        take_validation(t, one, line, step);
    json_decref(line);
    return is_step;
}

size_t hg_run_log_read(hg_run_log *l, hg_trainings *t, hg_training *one)
{
    char text[MAX_LINE];
    size_t n_steps = 0;
    FILE *f = fopen(l->path, "rbe");

    if (f == NULL) return 0;
    if (fseek(f, (long)l->at, SEEK_SET) == 0) {
        while (fgets(text, sizeof text, f) != NULL) {
            const size_t n = strlen(text);
            if (n == 0 || text[n - 1] != '\n') break; /* not whole yet */
            l->at += (int64_t)n;
            n_steps += take_line(t, one, (hg_bytes){text, n - 1});
        }
    }
    (void)fclose(f);
    if (n_steps > 0) (void)hg_training_set_step(t, one, NULL);
    return n_steps;
}

hg_status hg_run_log_keep_checkpoint(hg_trainings *t, const hg_training *one, uint64_t step,
                                     const char *model, hg_err *e)
{
    json_t *m = hg_training_metrics(t, one->id, step);
    hg_buf b = {0};

    if (m == NULL) m = json_pack("{s:I}", "step", (json_int_t)step);
    (void)json_object_del(m, "total_steps");
    hg_status s = hg_json_put_tree(&b, m, e);
    if (s == HG_OK) s = hg_training_put_checkpoint(t, one->id, step, model, b.p, e);
    json_decref(m);
    hg_buf_free(&b);
    return s;
}

/* ---- the table ---- */
static const char *const columns[] = {"step",       "train_loss",     "train_accuracy",
                                      "valid_loss", "valid_accuracy", "learning_rate"};
enum { N_COLUMNS = sizeof columns / sizeof columns[0] };

static void put_row(hg_buf *b, const json_t *m)
{
    for (size_t i = 0; i < N_COLUMNS; i++) {
        const json_t *v = json_object_get(m, columns[i]);
        if (i > 0) hg_buf_putc(b, ',');
        if (json_is_integer(v))
            hg_buf_printf(b, "%lld", (long long)json_integer_value(v));
        else if (json_is_number(v))
            hg_json_put_number(b, json_number_value(v));
    }
    hg_buf_putc(b, '\n');
}

hg_status hg_run_log_keep_file(hg_trainings *t, const hg_training *one, hg_err *e)
{
    char id[HG_FILE_ID_ROOM], note[96];
    const hg_file_ask ask = {.owner = one->owner,
                             .id_prefix = "file-",
                             .name = "step_metrics.csv",
                             .type = "text/csv",
                             .purpose = "fine-tune-results",
                             .metadata = note};
    hg_buf b = {0};

    (void)snprintf(note, sizeof note, "{\"training\":\"%s\"}", one->id);

    for (size_t i = 0; i < N_COLUMNS; i++)
        hg_buf_printf(&b, "%s%s", columns[i], i + 1 < N_COLUMNS ? "," : "\n");
    for (uint64_t step = 1; step <= one->n_steps; step++) {
        json_t *m = hg_training_metrics(t, one->id, step);
        if (m != NULL) put_row(&b, m);
        json_decref(m);
    }
    hg_status s = hg_buf_status(&b, e);
    /* Of an earlier end that a kill has cut off. */
    if (s == HG_OK) s = hg_files_delete_made(t->files, &ask, e);
    if (s == HG_OK) s = hg_files_put(t->files, &ask, (hg_bytes){b.p, b.n}, id, e);
    if (s == HG_OK) s = hg_training_set_result(t, one->id, id, e);
    hg_buf_free(&b);
    return s;
}
