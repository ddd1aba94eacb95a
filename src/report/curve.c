/* The reader of log.jsonl: one object a line, each with "step" and what was measured there. */
#include "report/curve.h"

#include "base/file.h"
#include "text/json.h"

#include <math.h>
#include <string.h>

enum { MAX_LOG = 1 << 30, MAX_LINE = 1 << 20 };

static hg_status put(hg_column *c, double x, const json_t *row, const char *key, hg_err *e)
{
    const json_t *v = json_object_get(row, key);
    if (!json_is_number(v) || !isfinite(x)) return HG_OK;
    HG_TRY(hg_grow(&c->x, &c->cap_x, c->n, sizeof *c->x, e));
    HG_TRY(hg_grow(&c->y, &c->cap_y, c->n, sizeof *c->y, e));
    c->x[c->n] = x;
    c->y[c->n++] = json_number_value(v);
    return HG_OK;
}

static hg_status put_sample(hg_curve *c, double step, const json_t *row, hg_err *e)
{
    const char *text = json_string_value(json_object_get(row, "sample"));
    const char *prompt = json_string_value(json_object_get(row, "prompt"));
    if (text == NULL) return HG_OK;
    HG_TRY(hg_grow(&c->sample, &c->cap_samples, c->n_samples, sizeof *c->sample, e));
    hg_sample *s = &c->sample[c->n_samples];
    *s = (hg_sample){step, hg_strdup(prompt != NULL ? prompt : ""), hg_strdup(text)};
    c->n_samples++;
    return s->prompt != NULL && s->text != NULL ? HG_OK
                                                : hg_fail(e, HG_E_NOMEM, "no memory for a sample");
}

static void keep_last(double *last, const json_t *row, const char *key)
{
    const json_t *v = json_object_get(row, key);
    if (json_is_number(v)) *last = json_number_value(v);
}

static hg_status put_row(hg_curve *c, const json_t *row, hg_err *e)
{
    const json_t *at = json_object_get(row, "step"), *time = json_object_get(row, "time");
    if (!json_is_number(at)) return hg_fail(e, HG_E_FORMAT, "no number \"step\" in the row");
    double step = json_number_value(at);
    HG_TRY(put(&c->loss, step, row, "loss", e));
    HG_TRY(put(&c->val_loss, step, row, "val_loss", e));
    double seconds = json_is_number(time) ? json_number_value(time) : (double)NAN;
    HG_TRY(put(&c->val_by_time, seconds, row, "val_loss", e));
    HG_TRY(put(&c->lr, step, row, "lr", e));
    HG_TRY(put(&c->rate, step, row, "tokens_per_s", e));
    HG_TRY(put_sample(c, step, row, e));
    keep_last(&c->seconds, row, "time");
    keep_last(&c->joules, row, "joules");
    keep_last(&c->tokens, row, "tokens");
    return HG_OK;
}

static hg_status put_line(hg_curve *c, hg_bytes line, const char *path, size_t number, hg_err *e)
{
    json_t *row = NULL;
    hg_err inner = {0};
    hg_status s = hg_json_parse(&row, line, MAX_LINE, &inner);
    if (s == HG_OK) s = put_row(c, row, &inner);
    json_decref(row);
    return s == HG_OK ? HG_OK : hg_fail(e, s, "%s line %zu: %s", path, number, inner.msg);
}

hg_status hg_curve_read(hg_curve *out, const char *path, hg_err *e)
{
    hg_buf b = {0};
    hg_status s = hg_file_read(&b, path, MAX_LOG, e);
    size_t number = 1;
    for (size_t at = 0; s == HG_OK && at < b.n; number++) {
        const char *end = memchr(b.p + at, '\n', b.n - at);
        if (end == NULL) break; /* cut short by a kill */
        size_t n = (size_t)(end - (b.p + at));
        if (n > 0) s = put_line(out, (hg_bytes){b.p + at, n}, path, number, e);
        at += n + 1;
    }
    hg_buf_free(&b);
    return s;
}

static void column_free(hg_column *c)
{
    hg_free(c->x);
    hg_free(c->y);
}

void hg_curve_free(hg_curve *c)
{
    column_free(&c->loss);
    column_free(&c->val_loss);
    column_free(&c->val_by_time);
    column_free(&c->lr);
    column_free(&c->rate);
    for (size_t i = 0; i < c->n_samples; i++) {
        hg_free(c->sample[i].prompt);
        hg_free(c->sample[i].text);
    }
    hg_free(c->sample);
    *c = (hg_curve){0};
}
