/* A task's report: as JSON for programs, as a table for a terminal, and as a section of a page. */
#include "base/file.h"
#include "eval/preset.h"
#include "text/json.h"
#include "text/page.h"
#include "text/utf8.h"
#include <math.h>
#include <string.h>

enum { SAMPLES = 8, SAMPLE_BYTES = 600, SHOWN_LABELS = 12, VALUE = 32 };

/* ---- JSON ---- */
static void put_value(hg_json_out *o, const char *key, const hg_task_value *v)
{
    if (isnan(v->value)) return;
    hg_json_begin(o, key, '{');
    hg_json_number(o, "value", v->value);
    hg_json_number(o, "low", v->low);
    hg_json_number(o, "high", v->high);
    hg_json_end(o);
}

static void put_figures(hg_json_out *o, const hg_task_report *r)
{
    hg_json_begin(o, "figures", '[');
    for (size_t i = 0; i < r->n_figures; i++) {
        const hg_task_figure *f = &r->figure[i];
        hg_json_begin(o, NULL, '{');
        hg_json_text(o, "metric", f->metric);
        hg_json_text(o, "note", f->note);
        hg_json_bool(o, "is_share", f->is_share);
        hg_json_bool(o, "less_is_better", f->is_cost);
        put_value(o, "before", &f->before);
        put_value(o, isnan(f->before.value) ? "model" : "after", &f->after);
        put_value(o, "change", &f->change);
        hg_json_end(o);
    }
    hg_json_end(o);
}

static void put_table(hg_json_out *o, const char *key, const hg_answers *a)
{
    uint64_t cell[HG_MAX_LABELS * HG_MAX_LABELS];
    const size_t n = a->data->n_labels;
    hg_preset_table(a, cell);
    hg_json_begin(o, key, '[');
    for (size_t i = 0; i < n; i++) {
        hg_json_begin(o, NULL, '[');
        for (size_t k = 0; k < n; k++) hg_json_int(o, NULL, (int64_t)cell[i * n + k]);
        hg_json_end(o);
    }
    hg_json_end(o);
}

static void put_labels(hg_json_out *o, const hg_answers *before, const hg_answers *after)
{
    if (after->label == NULL) return;
    hg_json_begin(o, "labels", '[');
    for (size_t i = 0; i < after->data->n_labels; i++)
        hg_json_bytes(o, NULL, after->data->label[i]);
    hg_json_end(o);
    hg_json_number(o, "commonest_label", hg_preset_commonest(after));
    if (before != NULL) put_table(o, "confusion_before", before);
    put_table(o, before != NULL ? "confusion_after" : "confusion", after);
}

/* The beginning of a text, of whole characters. */
static hg_bytes head_of(hg_bytes t)
{
    if (t.n <= SAMPLE_BYTES) return t;
    t.n = SAMPLE_BYTES;
    t.n -= hg_utf8_cut(t);
    return t;
}

static void put_rows(hg_json_out *o, const hg_answers *before, const hg_answers *after)
{
    if (after->said == NULL) return;
    hg_json_begin(o, "rows", '[');
    for (size_t i = 0; i < after->n; i++) {
        const hg_preset_row *r = &after->data->row[after->row[i]];
        hg_json_begin(o, NULL, '{');
        hg_json_text(o, "file", r->file);
        hg_json_int(o, "line", (int64_t)r->line);
        hg_json_bytes(o, "input", head_of(r->input));
        hg_json_begin(o, "right", '[');
        for (size_t k = 0; k < r->n; k++) hg_json_bytes(o, NULL, r->answer[k]);
        hg_json_end(o);
        if (before != NULL) hg_json_bytes(o, "before", before->said[i]);
        hg_json_bytes(o, before != NULL ? "after" : "said", after->said[i]);
        hg_json_end(o);
    }
    hg_json_end(o);
}

static void put_json(hg_task_report *r, const hg_answers *before, const hg_answers *after)
{
    hg_json_out o;
    hg_json_out_init(&o, &r->json, 1);
    hg_json_begin(&o, NULL, '{');
    hg_json_text(&o, "higgins", HG_VERSION);
    hg_json_text(&o, "task", hg_preset_name(r->kind));
    hg_json_text(&o, "model", r->model);
    hg_json_text(&o, "data", r->data);
    hg_json_text(&o, "held_out", r->held_out);
    hg_json_int(&o, "n", (int64_t)after->n);
    hg_json_int(&o, "n_cut", (int64_t)after->n_cut);
    hg_json_text(&o, "prompt_form", after->form);
    hg_json_text(&o, "prompt_form_before", before != NULL ? before->form : NULL);
    hg_json_text(&o, "instruction", r->instruction);
    hg_json_text(&o, "decoding",
                 r->kind == HG_PRESET_SENTIMENT ? "the likeliest of the labels"
                 : r->kind == HG_PRESET_CHAT    ? "none: foretold"
                                                : "greedy");
    hg_json_int(&o, "answer_tokens", r->limit);
    hg_json_int(&o, "seed", (int64_t)r->seed);
    hg_json_text(&o, "interval",
                 "95%: Wilson for shares of rows, else the bootstrap over rows; of "
                 "a change: over the same rows of both");
    put_figures(&o, r);
    put_labels(&o, before, after);
    hg_json_number(&o, "seconds", after->seconds + (before != NULL ? before->seconds : 0));
    hg_json_number(&o, "joules", after->joules + (before != NULL ? before->joules : 0));
    hg_json_text(&o, "joules_source", after->joules_source);
    put_rows(&o, before, after);
    hg_json_end(&o);
    hg_buf_putc(&r->json, '\n');
}

/* ---- figures in words ---- */
static const char *show(char out[VALUE], const hg_task_figure *f, double v)
{
    if (!isfinite(v))
        (void)snprintf(out, VALUE, "-");
    else if (f->is_share)
        (void)snprintf(out, VALUE, "%.1f%%", 100 * v);
    else
        (void)snprintf(out, VALUE, "%.2f", v);
    return out;
}

static const char *show_change(char out[VALUE], const hg_task_figure *f, double v)
{
    char text[VALUE];
    if (!isfinite(v)) return show(out, f, v);
    (void)snprintf(out, VALUE, "%s%.30s", v < 0 ? "" : "+", show(text, f, v));
    return out;
}

/* "61.2% (55.1% to 66.9%)" */
static const char *with_range(char out[112], const hg_task_figure *f, const hg_task_value *v)
{
    char a[VALUE], b[VALUE], c[VALUE];
    (void)snprintf(out, 112, "%s (%s to %s)", show(a, f, v->value), show(b, f, v->low),
                   show(c, f, v->high));
    return out;
}

static const char *change_range(char out[112], const hg_task_figure *f)
{
    char a[VALUE], b[VALUE], c[VALUE];
    (void)snprintf(out, 112, "%s (%s to %s)", show_change(a, f, f->change.value),
                   show_change(b, f, f->change.low), show_change(c, f, f->change.high));
    return out;
}

static const char *how(const hg_task_report *r, char out[160])
{
    if (r->kind == HG_PRESET_SENTIMENT)
        (void)snprintf(out, 160, "the likeliest of the labels counts");
    else if (r->kind == HG_PRESET_CHAT)
        (void)snprintf(out, 160, "what the assistant says is foretold");
    else
        (void)snprintf(out, 160, "greedy answers of at most %u tokens", r->limit);
    return out;
}

/* ---- a terminal ---- */
static void text_table(hg_buf *b, const char *title, const hg_answers *a)
{
    uint64_t cell[HG_MAX_LABELS * HG_MAX_LABELS];
    const size_t n = a->data->n_labels;
    if (n > SHOWN_LABELS) return;
    hg_preset_table(a, cell);
    hg_buf_printf(b, "%-16s", title);
    for (size_t k = 0; k < n; k++)
        hg_buf_printf(b, " %10.*s", (int)(a->data->label[k].n < 10 ? a->data->label[k].n : 10),
                      a->data->label[k].p);
    hg_buf_puts(b, "   F1\n");
    for (size_t i = 0; i < n; i++) {
        hg_buf_printf(b, "%-16.*s", (int)(a->data->label[i].n < 16 ? a->data->label[i].n : 16),
                      a->data->label[i].p);
        for (size_t k = 0; k < n; k++)
            hg_buf_printf(b, " %10llu", (unsigned long long)cell[i * n + k]);
        hg_buf_printf(b, "   %.1f%%\n", 100 * hg_class_f1(cell, n, i));
    }
}

static void put_text(hg_task_report *r, const hg_answers *before, const hg_answers *after)
{
    char a[112], c[112], words[160];
    hg_buf *b = &r->text;
    hg_buf_printf(b, "%s, %zu rows held out (%s), %s\n", hg_preset_name(r->kind), after->n,
                  r->held_out, how(r, words));
    hg_buf_printf(b, "%-12s %-28s", "", before != NULL ? "before (95%)" : "value (95%)");
    hg_buf_printf(b, "%s\n", before != NULL ? " after (95%)                  change (95%)" : "");
    for (size_t i = 0; i < r->n_figures; i++) {
        const hg_task_figure *f = &r->figure[i];
        hg_buf_printf(b, "%-12s %-28s", f->metric,
                      with_range(a, f, before != NULL ? &f->before : &f->after));
        if (before != NULL)
            hg_buf_printf(b, " %-28s %s", with_range(c, f, &f->after), change_range(a, f));
        hg_buf_puts(b, "\n");
    }
    if (after->label != NULL) {
        hg_buf_printf(b, "the commonest label: %.1f%% of the rows\n",
                      100 * hg_preset_commonest(after));
        if (before != NULL) text_table(b, "right \\ before", before);
        text_table(b, before != NULL ? "right \\ after" : "right \\ said", after);
    }
    if (after->n_cut > 0)
        hg_buf_printf(b, "%llu rows were cut to fit the context\n",
                      (unsigned long long)after->n_cut);
}

/* ---- a page ---- */
static void page_figures(hg_buf *b, const hg_task_report *r, bool has_before)
{
    static const hg_page_column both[] = {{"figure", false},
                                          {"before (95%)", true},
                                          {"after (95%)", true},
                                          {"change (95%)", true},
                                          {"how", false}};
    static const hg_page_column one[] = {{"figure", false}, {"value (95%)", true}, {"how", false}};
    const hg_page_column *column = has_before ? both : one;
    const size_t n = has_before ? 5 : 3;
    hg_page_table_begin(b, NULL, column, n);
    for (size_t i = 0; i < r->n_figures; i++) {
        const hg_task_figure *f = &r->figure[i];
        char x[112], y[112], z[112];
        const char *pair[] = {f->metric, with_range(x, f, &f->before), with_range(y, f, &f->after),
                              change_range(z, f), f->note};
        const char *single[] = {f->metric, y, f->note};
        hg_page_row(b, column, has_before ? pair : single, n);
    }
    hg_page_table_end(b);
}

static void page_table(hg_buf *b, const char *title, const hg_answers *a)
{
    uint64_t cell[HG_MAX_LABELS * HG_MAX_LABELS];
    hg_page_column column[HG_MAX_LABELS + 2];
    const char *row[HG_MAX_LABELS + 2];
    char text[HG_MAX_LABELS + 1][24];
    const size_t n = a->data->n_labels;
    hg_preset_table(a, cell);
    column[0] = (hg_page_column){"right \\ said", false};
    for (size_t k = 0; k < n; k++) column[k + 1] = (hg_page_column){a->data->label[k].p, true};
    column[n + 1] = (hg_page_column){"F1", true};
    hg_page_table_begin(b, title, column, n + 2);
    for (size_t i = 0; i < n; i++) {
        row[0] = a->data->label[i].p;
        for (size_t k = 0; k < n; k++) {
            (void)snprintf(text[k], sizeof text[k], "%llu", (unsigned long long)cell[i * n + k]);
            row[k + 1] = text[k];
        }
        (void)snprintf(text[n], sizeof text[n], "%.1f%%", 100 * hg_class_f1(cell, n, i));
        row[n + 1] = text[n];
        hg_page_row(b, column, row, n + 2);
    }
    hg_page_table_end(b);
}

static const char *cut(hg_arena *mem, hg_bytes t)
{
    const hg_bytes head = head_of(t);
    const char *s = hg_arena_strndup(mem, head.p, head.n);
    return s != NULL ? s : "";
}

static void page_rows(hg_task_report *r, const hg_answers *before, const hg_answers *after)
{
    static const hg_page_column column[] = {
        {"input", false}, {"right", false}, {"before", false}, {"after", false}};
    hg_buf *b = &r->html;
    if (after->said == NULL || after->n == 0) return;
    hg_page_fold_begin(b, "Some rows", true);
    hg_page_table_begin(b, NULL, column, 4);
    for (size_t i = 0; i < after->n && i < SAMPLES; i++) {
        const hg_preset_row *of = &after->data->row[after->row[i]];
        const char *row[] = {cut(&r->mem, of->input), cut(&r->mem, of->answer[0]),
                             before != NULL ? cut(&r->mem, before->said[i]) : "-",
                             cut(&r->mem, after->said[i])};
        hg_page_row(b, column, row, 4);
    }
    hg_page_table_end(b);
    hg_page_fold_end(b);
}

static void put_page(hg_task_report *r, const hg_answers *before, const hg_answers *after)
{
    char words[160], title[80];
    hg_buf *b = &r->html;
    (void)snprintf(title, sizeof title, "Task: %s", hg_preset_name(r->kind));
    hg_page_heading(b, title);
    hg_page_text(b, "%zu rows, held out: %s; %s. Prompts are %s.", after->n, r->held_out,
                 how(r, words), after->form);
    page_figures(b, r, before != NULL);
    if (after->label != NULL) {
        hg_page_text(b, "The commonest label is right for %.1f%% of the rows.",
                     100 * hg_preset_commonest(after));
        if (before != NULL) page_table(b, "Before", before);
        page_table(b, before != NULL ? "After" : NULL, after);
    }
    if (after->n_cut > 0)
        hg_page_text(b, "%llu rows were cut to fit the context.", (unsigned long long)after->n_cut);
    page_rows(r, before, after);
}

hg_status hg_preset_report(hg_task_report *r, const hg_answers *before, const hg_answers *after,
                           hg_err *e)
{
    put_json(r, before, after);
    put_text(r, before, after);
    put_page(r, before, after);
    HG_TRY(hg_buf_status(&r->json, e));
    HG_TRY(hg_buf_status(&r->text, e));
    return hg_buf_status(&r->html, e);
}

/* ---- what others take ---- */
hg_bytes hg_task_text(const hg_task_report *r)
{
    return (hg_bytes){r->text.p, r->text.n};
}

hg_bytes hg_task_json(const hg_task_report *r)
{
    return (hg_bytes){r->json.p, r->json.n};
}

hg_status hg_task_write_json(const hg_task_report *r, const char *path, hg_err *e)
{
    return hg_file_write(path, r->json.p, r->json.n, e);
}

hg_status hg_task_write_html(const hg_task_report *r, const char *path, hg_err *e)
{
    hg_buf b = {0};
    hg_page_begin(&b, "Evaluation", r->model);
    hg_buf_put(&b, r->html.p, r->html.n);
    hg_page_end(&b, "Made by Higgins " HG_VERSION);
    hg_status s = hg_buf_status(&b, e);
    if (s == HG_OK) s = hg_file_write(path, b.p, b.n, e);
    hg_buf_free(&b);
    return s;
}
