/* A task from beginning to end: a model is asked a file; or the base is asked the held-out rows,
 * tuned on the others, and what came of it is asked again. */
#include "base/file.h"
#include "base/rng.h"
#include "eval/preset.h"
#include "text/page.h"
#include "train/method.h"
#include <string.h>

enum { ROUNDS = 1000, PATH = 4200 };

void hg_task_options_init(hg_task_options *o)
{
    *o = (hg_task_options){.answer_tokens = 128, .rounds = ROUNDS};
}

void hg_task_free(hg_task_report *r)
{
    if (r == NULL) return;
    hg_buf_free(&r->json);
    hg_buf_free(&r->text);
    hg_buf_free(&r->html);
    hg_arena_free(&r->mem);
    hg_free(r);
}

size_t hg_task_count(const hg_task_report *r)
{
    return r->n_figures;
}

const hg_task_figure *hg_task_get(const hg_task_report *r, size_t i)
{
    return i < r->n_figures ? &r->figure[i] : NULL;
}

static hg_status report_new(hg_task_report **out, hg_preset kind, hg_err *e)
{
    *out = hg_alloc(1, sizeof **out);
    if (*out == NULL) return hg_fail(e, HG_E_NOMEM, "no room for a report");
    hg_arena_init(&(*out)->mem, 0);
    (*out)->kind = kind;
    return HG_OK;
}

static const char *keep(hg_task_report *r, const char *s)
{
    const char *copy = hg_arena_strndup(&r->mem, s != NULL ? s : "", s != NULL ? strlen(s) : 0);
    return copy != NULL ? copy : "";
}

/* ---- the rows that are asked ---- */
static bool is_held_out(const hg_preset_data *d, size_t i)
{
    return d->kind == HG_PRESET_CHAT ? d->chats.chat[i].is_held : d->row[i].is_held_out;
}

/* Held-out rows, at most `limit` of them (0: all) chosen by the seed, in their order. */
static hg_status choose_rows(const hg_preset_data *d, uint32_t limit, uint64_t seed, hg_arena *mem,
                             size_t **out, size_t *n, hg_err *e)
{
    const size_t all = d->kind == HG_PRESET_CHAT ? d->chats.n : d->n;
    size_t n_held = 0, kept = 0;
    size_t *row = HG_NEW(mem, size_t, all + 1);
    uint8_t *is_kept = HG_NEW(mem, uint8_t, all + 1);
    if (row == NULL || is_kept == NULL) return hg_fail(e, HG_E_NOMEM, "no room for %zu rows", all);
    for (size_t i = 0; i < all; i++)
        if (is_held_out(d, i)) row[n_held++] = i;
    const size_t most = limit > 0 && limit < n_held ? limit : n_held;
    for (size_t i = 0; i < most; i++) is_kept[hg_permute(i, n_held, seed)] = 1;
    for (size_t i = 0; i < n_held; i++)
        if (is_kept[i]) row[kept++] = row[i];
    *out = row;
    *n = kept;
    return kept > 0 ? HG_OK : hg_fail(e, HG_E_ARG, "no rows are held out");
}

/* ---- a model alone ---- */
static hg_status check_options(const hg_task_options *o, hg_err *e)
{
    if (o->kind <= HG_PRESET_NONE || o->kind >= HG_N_PRESETS)
        return hg_fail(e, HG_E_ARG,
                       "no task; translation, summary, sentiment, qa or chat is right");
    if (o->rounds < 100 || o->rounds > 1000000)
        return hg_fail(e, HG_E_ARG, "%u rounds of the bootstrap; 100 to 1000000 allowed",
                       o->rounds);
    if (o->answer_tokens < 1) return hg_fail(e, HG_E_ARG, "answers of no tokens; 1 at the least");
    return HG_OK;
}

static hg_status eval_data(hg_task_report *r, const hg_preset_data *d, const hg_model *m,
                           hg_runtime *rt, const hg_task_options *o, const hg_watch *w, hg_err *e)
{
    hg_answers a = {.n = 0};
    size_t *row, n;
    const hg_subject who = {.m = m,
                            .rt = rt,
                            .w = w,
                            .stage = hg_preset_name(o->kind),
                            .n_ctx = o->n_ctx,
                            .limit = o->answer_tokens};
    HG_TRY(choose_rows(d, o->rows, o->seed, &r->mem, &row, &n, e));
    HG_TRY(hg_preset_ask(&a, d, row, n, &who, e));
    r->model = keep(r, o->model);
    r->data = r->held_out = keep(r, o->data);
    r->instruction = keep(r, o->instruction);
    r->limit = o->answer_tokens;
    r->seed = o->seed;
    hg_status s = hg_preset_figures(r->figure, &r->n_figures, NULL, &a, o->rounds, o->seed, e);
    if (s == HG_OK) s = hg_preset_report(r, NULL, &a, e);
    hg_answers_free(&a);
    return s;
}

hg_status hg_task_eval(hg_task_report **out, const hg_model *m, hg_runtime *rt,
                       const hg_task_options *o, const hg_watch *w, hg_err *e)
{
    hg_preset_data d;
    hg_task_report *r = NULL;
    *out = NULL;
    HG_TRY(check_options(o, e));
    hg_preset_data_init(&d, o->kind, o->instruction);
    hg_status s = hg_preset_load(&d, o->data, o->columns, o->n_columns, true, w, e);
    if (s == HG_OK) s = hg_preset_find_labels(&d, e);
    if (s == HG_OK) s = report_new(&r, o->kind, e);
    if (s == HG_OK) s = eval_data(r, &d, m, rt, o, w, e);
    hg_preset_data_free(&d);
    if (s == HG_OK)
        *out = r;
    else
        hg_task_free(r);
    return s;
}

/* ---- before and after tuning ---- */
typedef struct tuning {
    hg_recipe recipe;
    hg_preset_data data;
    hg_arena mem;
    size_t *row, n;
    hg_answers before, after;
    hg_runtime *rt;
    const hg_watch *w;
} tuning;

static void tuning_free(tuning *t)
{
    hg_answers_free(&t->before);
    hg_answers_free(&t->after);
    hg_preset_data_free(&t->data);
    hg_arena_free(&t->mem);
    hg_recipe_free(&t->recipe);
}

/* The model at `path`, or the base with the adapter there. */
static hg_status ask(tuning *t, const char *path, bool is_adapter, const char *stage,
                     hg_answers *out, hg_err *e)
{
    hg_model *m = NULL;
    hg_adapter *adapter = NULL;
    hg_adapter_use use = {.scale = 1};
    hg_status s =
        hg_model_open(&m, is_adapter ? t->recipe.base : path, HG_WEIGHTS_AS_STORED, t->rt, e);
    if (s == HG_OK && is_adapter) s = hg_adapter_open(&adapter, path, m, t->rt, e);
    use.adapter = adapter;
    const hg_subject who = {.m = m,
                            .rt = t->rt,
                            .use = is_adapter ? &use : NULL,
                            .w = t->w,
                            .stage = stage,
                            .limit = (uint32_t)t->recipe.answer_tokens};
    if (s == HG_OK) s = hg_preset_ask(out, &t->data, t->row, t->n, &who, e);
    hg_adapter_free(adapter);
    hg_model_free(m);
    return s;
}

static hg_status put_into_page(const tuning *t, const hg_task_report *r, hg_err *e)
{
    char path[PATH];
    hg_buf page = {0};
    (void)snprintf(path, sizeof path, "%.4000s/report.html", t->recipe.out);
    hg_status s = hg_file_read(&page, path, (size_t)256 << 20, e);
    if (s == HG_OK) s = hg_page_insert(&page, "task", (hg_bytes){r->html.p, r->html.n}, e);
    if (s == HG_OK) s = hg_file_write(path, page.p, page.n, e);
    hg_buf_free(&page);
    return s;
}

static hg_status write_report(tuning *t, hg_task_report *r, hg_err *e)
{
    char path[PATH], share[80];
    const hg_recipe *c = &t->recipe;
    (void)snprintf(share, sizeof share, "%g of the data, by a hash of the row", c->val_share);
    r->model = keep(r, c->base);
    r->data = keep(r, c->data.item[0]);
    r->held_out = keep(r, c->val_data.n > 0 ? c->val_data.item[0] : share);
    r->instruction = keep(r, c->instruction);
    r->limit = (uint32_t)c->answer_tokens;
    r->seed = (uint64_t)c->seed;
    HG_TRY(hg_preset_figures(r->figure, &r->n_figures, &t->before, &t->after, ROUNDS, r->seed, e));
    HG_TRY(hg_preset_report(r, &t->before, &t->after, e));
    (void)snprintf(path, sizeof path, "%.4000s/task.json", c->out);
    HG_TRY(hg_task_write_json(r, path, e));
    return put_into_page(t, r, e);
}

static hg_status prepare(tuning *t, hg_err *e)
{
    hg_recipe *r = &t->recipe;
    if (r->ranks != NULL && hg_ranks_n(r->ranks) > 1)
        return hg_fail(e, HG_E_UNSUPPORTED,
                       "a task is measured by one process; launch it without mpirun or srun");
    HG_TRY(hg_recipe_check(r, true, e));
    HG_TRY(hg_preset_read(&t->data, r, t->w, e));
    return choose_rows(&t->data, (uint32_t)r->task_rows, (uint64_t)r->seed, &t->mem, &t->row, &t->n,
                       e);
}

static hg_status tune_task(tuning *t, hg_task_report **out, hg_train_result *result,
                           const hg_train_options *o, hg_err *e)
{
    HG_TRY(prepare(t, e));
    if (!o->plan_only) {
        hg_watch_log(t->w, HG_INFO, "%s: the base answers %zu held-out rows",
                     hg_preset_name(t->data.kind), t->n);
        HG_TRY(ask(t, t->recipe.base, false, "before", &t->before, e));
    }
    HG_TRY(hg_tune_run(o, t->rt, t->w, result, e));
    if (o->plan_only) return HG_OK;
    HG_TRY(ask(t, result->model, t->recipe.lora_rank > 0, "after", &t->after, e));
    HG_TRY(report_new(out, t->data.kind, e));
    return write_report(t, *out, e);
}

hg_status hg_task_tune(hg_task_report **out, hg_train_result *result, const hg_train_options *o,
                       hg_runtime *rt, const hg_watch *w, hg_err *e)
{
    tuning t = {.rt = rt, .w = w};
    *out = NULL;
    memset(result, 0, sizeof *result);
    hg_arena_init(&t.mem, 0);
    hg_status s = hg_recipe_make(&t.recipe, HG_STAGE_TUNE, o, e);
    if (s == HG_OK) s = hg_method_defaults(&t.recipe, e);
    hg_preset_data_init(&t.data, s == HG_OK ? (hg_preset)t.recipe.task : HG_PRESET_NONE,
                        s == HG_OK ? t.recipe.instruction : NULL);
    if (s == HG_OK && t.recipe.task == HG_PRESET_NONE)
        s = hg_tune_run(o, rt, w, result, e);
    else if (s == HG_OK)
        s = tune_task(&t, out, result, o, e);
    tuning_free(&t);
    if (s != HG_OK) {
        hg_task_free(*out);
        *out = NULL;
    }
    return s;
}
