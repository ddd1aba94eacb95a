/* The two papers that a run leaves beside its log: run.json (options, hashes, version, figures) for
 * programs and report.html (curves, samples, configuration) for people. Both are made from the
 * state and from log.jsonl, so a resumed run reports its whole life. */
#include "text/page.h"
#include "train/trainer.h"
#include <math.h>
#include <string.h>

#define LOG_LIMIT ((size_t)4 << 30)

/* ---- the log, read back ---- */

typedef struct curve {
    double *x, *y;
    size_t n, x_cap, y_cap;
} curve;

typedef struct sample {
    uint64_t step;
    hg_bytes prompt, text;
} sample;

typedef struct history {
    curve loss, smooth, val, lr, speed, norm;
    sample *samples;
    size_t n_samples, samples_cap;
    double smooth_sum, smooth_weight;
    hg_arena mem;
} history;

static hg_status add_point(curve *c, double x, double y, hg_err *e)
{
    HG_TRY(hg_grow(&c->x, &c->x_cap, c->n, sizeof *c->x, e));
    HG_TRY(hg_grow(&c->y, &c->y_cap, c->n, sizeof *c->y, e));
    c->x[c->n] = x;
    c->y[c->n++] = y;
    return HG_OK;
}

static double number(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);
    return json_is_number(v) ? json_number_value(v) : (double)NAN;
}

static hg_status add_step(history *h, const json_t *o, double step, hg_err *e)
{
    double loss = number(o, "loss");
    if (isfinite(loss)) {
        h->smooth_sum = 0.95 * h->smooth_sum + 0.05 * loss;
        h->smooth_weight = 0.95 * h->smooth_weight + 0.05;
    }
    HG_TRY(add_point(&h->loss, step, loss, e));
    HG_TRY(add_point(&h->smooth, step,
                     h->smooth_weight > 0 ? h->smooth_sum / h->smooth_weight : (double)NAN, e));
    HG_TRY(add_point(&h->lr, step, number(o, "lr"), e));
    HG_TRY(add_point(&h->norm, step, number(o, "grad_norm"), e));
    return add_point(&h->speed, step, number(o, "tokens_per_s"), e);
}

static hg_status copy_member(history *h, const json_t *o, const char *key, hg_bytes *out, hg_err *e)
{
    HG_TRY(hg_json_get_text(o, key, out, e));
    out->p = hg_arena_strndup(&h->mem, out->p, out->n);
    return out->p != NULL ? HG_OK : hg_fail(e, HG_E_NOMEM, "no room for the report");
}

static hg_status add_sample(history *h, const json_t *o, double step, hg_err *e)
{
    HG_TRY(hg_grow(&h->samples, &h->samples_cap, h->n_samples, sizeof *h->samples, e));
    sample *s = &h->samples[h->n_samples];
    s->step = (uint64_t)step;
    HG_TRY(copy_member(h, o, "prompt", &s->prompt, e));
    HG_TRY(copy_member(h, o, "sample", &s->text, e));
    h->n_samples++;
    return HG_OK;
}

static hg_status add_line(history *h, hg_bytes line, hg_err *e)
{
    json_t *o = NULL;
    hg_status s = HG_OK;
    HG_TRY(hg_json_parse(&o, line, 1 << 20, e));
    double step = number(o, "step");
    if (json_object_get(o, "loss") != NULL)
        s = add_step(h, o, step, e);
    else if (json_object_get(o, "val_loss") != NULL)
        s = add_point(&h->val, step, number(o, "val_loss"), e);
    else if (json_object_get(o, "sample") != NULL)
        s = add_sample(h, o, step, e);
    json_decref(o);
    return s;
}

static hg_status read_history(history *h, const char *path, hg_err *e)
{
    hg_buf text = {0};
    hg_arena_init(&h->mem, 0);
    hg_status s = hg_file_read(&text, path, LOG_LIMIT, e);
    const char *p = text.p, *end = text.p + text.n;
    while (s == HG_OK && p < end) {
        const char *eol = memchr(p, '\n', (size_t)(end - p));
        if (eol == NULL) break;
        s = add_line(h, (hg_bytes){p, (size_t)(eol - p)}, e);
        p = eol + 1;
    }
    hg_buf_free(&text);
    return s;
}

static void free_history(history *h)
{
    curve *all[] = {&h->loss, &h->smooth, &h->val, &h->lr, &h->speed, &h->norm};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        hg_free(all[i]->x);
        hg_free(all[i]->y);
    }
    hg_free(h->samples);
    hg_arena_free(&h->mem);
}

/* ---- report.html ---- */

static hg_page_series series(const char *name, const curve *c)
{
    return (hg_page_series){.name = name, .x = c->x, .y = c->y, .n = c->n};
}

static void put_tiles(hg_buf *b, const hg_train_result *r)
{
    char steps[32], tokens[32], params[32], loss[32], val[48], time[32], joules[32], bytes[32],
        bits[48];
    (void)snprintf(steps, sizeof steps, "%llu of %llu", (unsigned long long)r->steps,
                   (unsigned long long)r->total_steps);
    (void)snprintf(loss, sizeof loss, "%.3f", r->loss);
    (void)snprintf(val, sizeof val, isfinite(r->val_loss) ? "%.3f" : "none", r->val_loss);
    (void)snprintf(bits, sizeof bits,
                   isfinite(r->val_bits_per_byte) ? "%.3f bits a byte" : "nats a token",
                   r->val_bits_per_byte);
    (void)snprintf(joules, sizeof joules, "%.0f J", r->joules);
    const hg_page_tile tiles[] = {
        {hg_page_count(params, (double)r->params), "parameters", NULL},
        {steps, "steps", r->skipped_steps > 0 ? "some were skipped: see log.jsonl" : NULL},
        {hg_page_count(tokens, (double)r->tokens), "tokens", NULL},
        {loss, "loss", "smoothed, nats a token"},
        {val, "held-out loss", bits},
        {hg_page_duration(time, r->seconds), "time", NULL},
        {joules, "energy", r->joules_source},
        {hg_page_bytes(bytes, (double)r->peak_bytes), "memory", "peak, above the start"},
    };
    hg_page_tiles(b, tiles, sizeof tiles / sizeof *tiles);
}

static void put_charts(hg_buf *b, const history *h)
{
    const hg_page_series loss[] = {series("training", &h->loss), series("smoothed", &h->smooth),
                                   series("held out", &h->val)};
    const hg_page_series lr = series("learning rate", &h->lr),
                         norm = series("gradient norm", &h->norm),
                         speed = series("tokens a second", &h->speed);
    const hg_page_chart charts[] = {
        {.title = "Loss",
         .x_name = "step",
         .y_name = "nats a token",
         .series = loss,
         .n_series = h->val.n > 0 ? 3 : 2},
        {.title = "Learning rate",
         .x_name = "step",
         .y_name = "rate",
         .series = &lr,
         .n_series = 1},
        {.title = "Norm of the gradient",
         .x_name = "step",
         .y_name = "norm",
         .y_log = true,
         .series = &norm,
         .n_series = 1},
        {.title = "Speed", .x_name = "step", .y_name = "tokens/s", .series = &speed, .n_series = 1},
    };
    for (size_t i = 0; i < sizeof charts / sizeof *charts; i++) hg_page_lines(b, &charts[i]);
}

static void put_samples(hg_buf *b, const history *h)
{
    if (h->n_samples == 0) return;
    hg_page_heading(b, "Samples as it learnt");
    for (size_t i = 0; i < h->n_samples; i++) {
        const sample *s = &h->samples[i];
        hg_page_text(b, "Step %llu, \"%.*s\":", (unsigned long long)s->step, (int)s->prompt.n,
                     s->prompt.p);
        hg_page_pre(b, s->text);
    }
}

static void put_configuration(hg_buf *b, const hg_trainer *t, const hg_buf *recipe)
{
    char shape[256];
    const hg_model_config *c = &t->job->model->c;
    (void)snprintf(
        shape, sizeof shape,
        "%s: %u layers, width %u, %u query and %u key heads of %u, feed-forward %u, vocabulary %u",
        c->arch, c->n_layers, c->d_model, c->n_heads, c->n_kv_heads, c->d_head, c->d_ff,
        c->n_vocab);
    hg_page_heading(b, "Configuration");
    hg_page_text(b, "%s. Matrix products in %s on %s, %d threads.", shape,
                 t->job->compute == HG_COMPUTE_BF16
                     ? "bfloat16 with float32 sums and master weights"
                     : "float32",
                 hg_isa_name(hg_runtime_isa(t->job->rt)), hg_runtime_threads(t->job->rt));
    hg_page_pre(b, (hg_bytes){recipe->p, recipe->n});
}

static void put_page(hg_buf *b, const hg_trainer *t, const hg_train_result *r, const history *h,
                     const hg_buf *recipe)
{
    bool tune = t->job->recipe->stage == HG_STAGE_TUNE;
    hg_page_begin(b, tune ? "Fine-tuning" : "Pre-training", r->out);
    if (!r->is_finished)
        hg_page_note(
            b, "This run was stopped before its end; `higgins %s` with --resume goes on with it.",
            tune ? "tune" : "train");
    put_tiles(b, r);
    hg_page_heading(b, "Curves");
    put_charts(b, h);
    put_samples(b, h);
    put_configuration(b, t, recipe);
    hg_page_text(b,
                 "%.0f tokens a second over the whole run, validation and saving included: %.0f%% "
                 "of the machine's "
                 "matrix-product rate at 6 N + 12 L C T operations a token. Memory stated before "
                 "the start: %.0f MB.",
                 r->tokens_per_s, 100 * r->flops_share, (double)r->need_bytes / 1e6);
    hg_page_end(b, "Made by Higgins " HG_VERSION);
}

/* ---- run.json ---- */

static void put_hash(hg_json_out *o, const char *key, uint64_t hash)
{
    char hex[17];
    (void)snprintf(hex, sizeof hex, "%016llx", (unsigned long long)hash);
    hg_json_text(o, key, hex);
}

static void put_run(hg_buf *b, const hg_trainer *t, const hg_train_result *r, const hg_buf *recipe)
{
    hg_json_out o;
    hg_json_out_init(&o, b, 2);
    hg_json_begin(&o, NULL, '{');
    hg_json_text(&o, "version", HG_VERSION);
    hg_json_text(&o, "stage", t->job->recipe->stage == HG_STAGE_TUNE ? "tune" : "train");
    hg_json_bool(&o, "finished", r->is_finished);
    hg_json_int(&o, "params", (int64_t)r->params);
    hg_json_int(&o, "steps", (int64_t)r->steps);
    hg_json_int(&o, "total_steps", (int64_t)r->total_steps);
    hg_json_int(&o, "tokens", (int64_t)r->tokens);
    hg_json_number(&o, "loss", r->loss);
    hg_json_number(&o, "val_loss", r->val_loss);
    hg_json_number(&o, "val_bits_per_byte", r->val_bits_per_byte);
    hg_json_number(&o, "seconds", r->seconds);
    hg_json_number(&o, "joules", r->joules);
    hg_json_text(&o, "joules_source", r->joules_source);
    hg_json_int(&o, "need_bytes", (int64_t)r->need_bytes);
    hg_json_int(&o, "peak_bytes", (int64_t)r->peak_bytes);
    put_hash(&o, "data_hash", t->state.data_hash);
    put_hash(&o, "vocabulary_hash", t->state.vocab_hash);
    put_hash(&o, "base_hash", t->state.base_hash);
    hg_json_bytes(&o, "recipe", (hg_bytes){recipe->p, recipe->n});
    hg_json_end(&o);
    hg_buf_putc(b, '\n');
}

static hg_status write_beside(const hg_trainer *t, const char *name, const hg_buf *b, hg_err *e)
{
    char path[1100];
    HG_TRY(hg_buf_status(b, e));
    (void)snprintf(path, sizeof path, "%.1000s/%s", t->job->recipe->out, name);
    return hg_file_write(path, b->p, b->n, e);
}

hg_status hg_trainer_report(hg_trainer *t, const hg_train_result *r, hg_err *e)
{
    hg_buf page = {0}, run = {0}, recipe = {0};
    history h;
    memset(&h, 0, sizeof h);
    hg_status s = hg_recipe_text(t->job->recipe, false, &recipe, e);
    if (s == HG_OK) s = read_history(&h, t->log.path, e);
    if (s == HG_OK) {
        put_page(&page, t, r, &h, &recipe);
        put_run(&run, t, r, &recipe);
        s = write_beside(t, "report.html", &page, e);
    }
    if (s == HG_OK) s = write_beside(t, "run.json", &run, e);
    free_history(&h);
    hg_buf_free(&page);
    hg_buf_free(&run);
    hg_buf_free(&recipe);
    return s;
}
