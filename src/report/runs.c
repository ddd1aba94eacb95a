/* Several runs beside each other: what their folders say. The log is the source, since a run that
 * goes on has nothing else; run.json adds what only a stopped or finished run knows. */
#include "report/runs.h"

#include "base/file.h"
#include "text/json.h"

#include <dirent.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_JSON = 64 << 20 };

#define STAYS 0.95 /* of the smoothed loss, each step; as the trainer's */

/* ---- one run ---- */

static double number(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);
    return json_is_number(v) ? json_number_value(v) : (double)NAN;
}

static uint64_t whole(const json_t *o, const char *key)
{
    double v = number(o, key);
    return v > 0 && v < 9e18 ? (uint64_t)v : 0;
}

static double last(const hg_column *c)
{
    return c->n > 0 ? c->y[c->n - 1] : (double)NAN;
}

/* A column's x, each times `by`; NULL: no memory. */
static double *scaled(hg_runs *r, const hg_column *c, double by)
{
    double *x = HG_NEW(&r->mem, double, c->n);
    for (size_t i = 0; x != NULL && i < c->n; i++) x[i] = c->x[i] * by;
    return x;
}

/* Tokens for steps (a run's steps are alike long), and the losses smoothed. */
static hg_status make_curve(hg_runs *r, hg_run_read *run, hg_err *e)
{
    const hg_curve *c = &run->curve;
    const hg_column *loss = &c->loss;
    double sum = 0, weight = 0, steps = loss->n > 0 ? loss->x[loss->n - 1] : 0;
    const double tokens_a_step = c->tokens > 0 && steps > 0 ? c->tokens / steps : 1;
    run->x = scaled(r, loss, tokens_a_step);
    run->val_x = scaled(r, &c->val_loss, tokens_a_step);
    run->val_minute = scaled(r, &c->val_by_time, 1.0 / 60);
    run->smooth = HG_NEW(&r->mem, double, loss->n);
    if (run->x == NULL || run->val_x == NULL || run->val_minute == NULL || run->smooth == NULL)
        return hg_fail(e, HG_E_NOMEM, "no room for curves");
    for (size_t i = 0; i < loss->n; i++) {
        sum = STAYS * sum + (1 - STAYS) * loss->y[i];
        weight = STAYS * weight + (1 - STAYS);
        run->smooth[i] = sum / weight;
    }
    return HG_OK;
}

static void figures_of_log(hg_run_read *run)
{
    const hg_curve *c = &run->curve;
    hg_run_figures *f = &run->f;
    const double step = c->loss.n > 0 ? c->loss.x[c->loss.n - 1] : 0;
    f->steps = step > 0 && step < 1e18 ? (uint64_t)step : 0;
    f->tokens = c->tokens;
    f->loss = c->loss.n > 0 ? run->smooth[c->loss.n - 1] : (double)NAN;
    f->val_loss = last(&c->val_loss);
    f->val_bits_per_byte = (double)NAN;
    f->seconds = c->seconds;
    f->joules = c->joules;
    f->tokens_per_s = c->seconds > 0 ? c->tokens / c->seconds : (double)NAN;
}

/* Of a run that went on behind its run.json, only what does not change. */
static void figures_of_json(hg_run_figures *f, const json_t *o)
{
    f->params = whole(o, "params");
    f->total_steps = whole(o, "total_steps");
    if (whole(o, "steps") != f->steps) return;
    f->is_finished = json_is_true(json_object_get(o, "finished"));
    f->val_bits_per_byte = number(o, "val_bits_per_byte");
}

static hg_status read_run(hg_runs *r, const char *folder, hg_err *e)
{
    if (r->n == HG_MAX_RUNS)
        return hg_fail(e, HG_E_LIMIT, "%s: more than %d runs", folder, HG_MAX_RUNS);
    hg_run_read *run = &r->run[r->n++];
    json_t *o = NULL;
    const char *log = hg_arena_printf(&r->mem, "%s/log.jsonl", folder);
    const char *papers = hg_arena_printf(&r->mem, "%s/run.json", folder);
    run->f.name = hg_arena_strndup(&r->mem, folder, strlen(folder));
    if (log == NULL || papers == NULL || run->f.name == NULL)
        return hg_fail(e, HG_E_NOMEM, "no room for %s", folder);
    HG_TRY(hg_curve_read(&run->curve, log, e));
    HG_TRY(make_curve(r, run, e));
    figures_of_log(run);
    if (!hg_path_exists(papers)) return HG_OK;
    HG_TRY(hg_json_read(&o, papers, MAX_JSON, e));
    figures_of_json(&run->f, o);
    json_decref(o);
    return HG_OK;
}

/* ---- folders ---- */

static bool is_run(const char *folder)
{
    char path[4200];
    return snprintf(path, sizeof path, "%s/log.jsonl", folder) < (int)sizeof path &&
           hg_path_exists(path);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The runs within a folder, in the order of their names. */
static hg_status read_inner(hg_runs *r, const char *folder, hg_err *e)
{
    char *found[HG_MAX_RUNS];
    size_t n = 0, length = strlen(folder);
    DIR *d = opendir(folder);
    if (d == NULL) return hg_fail(e, HG_E_MISSING, "%s: %s", folder, hg_os_error());
    bool too_many = false;
    while (length > 1 && folder[length - 1] == '/') length--;
    for (const struct dirent *f = readdir(d); f != NULL && !too_many; f = readdir(d)) {
        if (f->d_name[0] == '.') continue;
        char *path = hg_arena_printf(&r->mem, "%.*s/%s", (int)length, folder, f->d_name);
        if (path == NULL || !is_run(path)) continue;
        too_many = n == HG_MAX_RUNS;
        if (!too_many) found[n++] = path;
    }
    (void)closedir(d);
    if (too_many)
        return hg_fail(e, HG_E_LIMIT, "%s: more than %d runs; name those to compare", folder,
                       HG_MAX_RUNS);
    qsort(found, n, sizeof *found, by_name);
    for (size_t i = 0; i < n; i++) HG_TRY(read_run(r, found[i], e));
    if (n > 0) return HG_OK;
    return hg_fail(e, HG_E_MISSING, "%s: no run in it (a run has a log.jsonl)", folder);
}

hg_status hg_runs_open(hg_runs **out, const char *const *folder, size_t n, hg_err *e)
{
    *out = NULL;
    hg_runs *r = hg_alloc(1, sizeof *r);
    if (r == NULL) return hg_fail(e, HG_E_NOMEM, "no room for runs");
    hg_arena_init(&r->mem, 0);
    r->run = HG_NEW(&r->mem, hg_run_read, HG_MAX_RUNS);
    hg_status s = r->run != NULL ? HG_OK : hg_fail(e, HG_E_NOMEM, "no room for runs");
    for (size_t i = 0; i < n && s == HG_OK; i++)
        s = is_run(folder[i]) ? read_run(r, folder[i], e) : read_inner(r, folder[i], e);
    if (s != HG_OK)
        hg_runs_free(r);
    else
        *out = r;
    return s;
}

size_t hg_runs_count(const hg_runs *r)
{
    return r->n;
}

void hg_runs_get(const hg_runs *r, size_t i, hg_run_figures *out)
{
    *out = r->run[i].f;
}

void hg_runs_free(hg_runs *r)
{
    if (r == NULL) return;
    for (size_t i = 0; i < r->n && r->run != NULL; i++) hg_curve_free(&r->run[i].curve);
    hg_buf_free(&r->plot);
    hg_arena_free(&r->mem);
    hg_free(r);
}
