/* The report as JSON, for programs and for the page of a model's life, and as a page of its own. */
#include "eval/eval.h"
#include "base/file.h"
#include "text/json.h"
#include "text/page.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

static void put_figure(hg_json_out *o, const hg_eval_figure *f)
{
    hg_json_begin(o, NULL, '{');
    hg_json_text(o, "task", f->set);
    hg_json_text(o, "metric", f->metric);
    hg_json_number(o, "value", f->value);
    hg_json_number(o, "low", f->low);
    hg_json_number(o, "high", f->high);
    hg_json_number(o, "chance", f->chance);
    hg_json_bool(o, "is_share", f->is_share);
    hg_json_int(o, "n", (int64_t)f->n);
    if (f->is_share) hg_json_int(o, "n_correct", (int64_t)f->n_correct);
    hg_json_int(o, "n_cut", (int64_t)f->n_cut);
    hg_json_int(o, "tokens", (int64_t)f->tokens);
    hg_json_number(o, "seconds", f->seconds);
    hg_json_number(o, "tokens_per_second", f->seconds > 0 ? (double)f->tokens / f->seconds : NAN);
    hg_json_number(o, "joules", f->joules);
    hg_json_text(o, "note", f->note);
    hg_json_end(o);
}

static void put_details(hg_json_out *o, const hg_eval_report *r, const hg_eval_block *b)
{
    if (b->n_parts + b->n_samples == 0) return;
    hg_json_begin(o, NULL, '{');
    hg_json_text(o, "task", r->figure[b->first].set);
    hg_json_begin(o, "parts", '[');
    for (size_t i = 0; i < b->n_parts; i++) {
        const hg_eval_part *p = &b->part[i];
        hg_interval w = hg_wilson(p->right, p->n);
        hg_json_begin(o, NULL, '{');
        hg_json_text(o, "name", p->name);
        hg_json_int(o, "n", (int64_t)p->n);
        hg_json_number(o, "value", (double)p->right / (double)p->n);
        hg_json_number(o, "low", w.low);
        hg_json_number(o, "high", w.high);
        hg_json_end(o);
    }
    hg_json_end(o);
    hg_json_begin(o, "samples", '[');
    for (size_t i = 0; i < b->n_samples; i++) {
        const hg_eval_sample *s = &b->sample[i];
        hg_json_begin(o, NULL, '{');
        hg_json_text(o, "prompt", s->prompt);
        hg_json_text(o, "want", s->want);
        hg_json_text(o, "said", s->said);
        hg_json_bool(o, "is_right", s->is_right);
        hg_json_end(o);
    }
    hg_json_end(o);
    hg_json_end(o);
}

hg_status hg_eval_make_json(hg_eval_report *r, hg_err *e)
{
    hg_json_out o;
    hg_json_out_init(&o, &r->json, 1);
    hg_json_begin(&o, NULL, '{');
    hg_json_text(&o, "higgins", HG_VERSION);
    hg_json_text(&o, "model", r->model);
    hg_json_text(&o, "arch", r->arch);
    hg_json_int(&o, "params", (int64_t)r->n_params);
    hg_json_text(&o, "suite", r->suite);
    hg_json_int(&o, "seed", (int64_t)r->seed);
    hg_json_int(&o, "n_ctx", r->n_ctx);
    hg_json_text(&o, "date", r->date);
    hg_json_number(&o, "seconds", r->seconds);
    hg_json_number(&o, "joules", r->joules);
    hg_json_text(&o, "joules_source", r->joules_source);
    hg_json_int(&o, "peak_bytes", (int64_t)hg_peak_rss());
    hg_json_text(&o, "interval", "95%: Wilson for shares of rows, bootstrap for text");
    hg_json_begin(&o, "results", '[');
    for (size_t i = 0; i < r->n_figures; i++) put_figure(&o, &r->figure[i]);
    hg_json_end(&o);
    hg_json_begin(&o, "details", '[');
    for (size_t i = 0; i < r->n_blocks; i++) put_details(&o, r, &r->block[i]);
    hg_json_end(&o);
    hg_json_end(&o);
    hg_buf_putc(&r->json, '\n');
    return hg_buf_status(&r->json, e);
}

hg_bytes hg_eval_json(const hg_eval_report *r)
{
    return (hg_bytes){r->json.p, r->json.n};
}

hg_status hg_eval_write_json(const hg_eval_report *r, const char *path, hg_err *e)
{
    return hg_file_write(path, r->json.p, r->json.n, e);
}

/* ---- the page ---- */

typedef struct cells {
    char text[6][40];
} cells;

static void show_value(char *out, size_t n, const hg_eval_figure *f, double v)
{
    if (!isfinite(v))
        (void)snprintf(out, n, "-");
    else if (f->is_share)
        (void)snprintf(out, n, "%.1f%%", 100 * v);
    else
        (void)snprintf(out, n, v < 100 ? "%.3f" : "%.1f", v);
}

static void put_row(hg_buf *b, const hg_page_column *column, const hg_eval_figure *f)
{
    cells c;
    char low[40], high[40];
    show_value(c.text[0], sizeof c.text[0], f, f->value);
    show_value(low, sizeof low, f, f->low);
    show_value(high, sizeof high, f, f->high);
    (void)snprintf(c.text[1], sizeof c.text[1], "%.17s to %.17s", low, high);
    show_value(c.text[2], sizeof c.text[2], f, f->chance);
    (void)snprintf(c.text[3], sizeof c.text[3], "%llu", (unsigned long long)f->n);
    (void)hg_page_duration(c.text[4], f->seconds);
    const char *row[] = {f->set, f->metric, c.text[0], c.text[1], c.text[2], c.text[3], c.text[4]};
    hg_page_row(b, column, row, 7);
}

static void put_table(hg_buf *b, const hg_eval_report *r)
{
    static const hg_page_column column[] = {{"set", false},        {"figure", false},
                                            {"value", true},       {"95% of the time", true},
                                            {"by guessing", true}, {"rows or documents", true},
                                            {"time", true}};
    hg_page_table_begin(b, NULL, column, 7);
    for (size_t i = 0; i < r->n_figures; i++) put_row(b, column, &r->figure[i]);
    hg_page_table_end(b);
}

static void put_parts(hg_buf *b, const hg_eval_block *k)
{
    static const hg_page_column column[] = {{"part", false}, {"right", true}, {"rows", true}};
    if (k->n_parts == 0) return;
    hg_page_fold_begin(b, "By part", false);
    hg_page_table_begin(b, NULL, column, 3);
    for (size_t i = 0; i < k->n_parts; i++) {
        char share[32], n[32];
        (void)snprintf(share, sizeof share, "%.1f%%",
                       100 * (double)k->part[i].right / (double)k->part[i].n);
        (void)snprintf(n, sizeof n, "%llu", (unsigned long long)k->part[i].n);
        const char *row[] = {k->part[i].name, share, n};
        hg_page_row(b, column, row, 3);
    }
    hg_page_table_end(b);
    hg_page_fold_end(b);
}

static void put_samples(hg_buf *b, const hg_eval_block *k)
{
    static const hg_page_column column[] = {
        {"prompt", false}, {"right answer", false}, {"the model", false}, {"ok", false}};
    if (k->n_samples == 0) return;
    hg_page_fold_begin(b, "Some answers", true);
    hg_page_table_begin(b, NULL, column, 4);
    for (size_t i = 0; i < k->n_samples; i++) {
        const hg_eval_sample *s = &k->sample[i];
        const char *row[] = {s->prompt, s->want, s->said, s->is_right ? "yes" : "no"};
        hg_page_row(b, column, row, 4);
    }
    hg_page_table_end(b);
    hg_page_fold_end(b);
}

static void put_blocks(hg_buf *b, const hg_eval_report *r)
{
    for (size_t i = 0; i < r->n_blocks; i++) {
        const hg_eval_block *k = &r->block[i];
        const hg_eval_figure *f = &r->figure[k->first];
        hg_page_subheading(b, f->set);
        hg_page_text(b, "%s: %s.", f->metric, f->note);
        if (f->n_cut > 0)
            hg_page_text(b, "In %llu rows the beginning did not fit the context of %u tokens.",
                         (unsigned long long)f->n_cut, r->n_ctx);
        put_parts(b, k);
        put_samples(b, k);
    }
}

hg_status hg_eval_write_html(const hg_eval_report *r, const char *path, hg_err *e)
{
    hg_buf b = {0};
    char params[32], time[32];
    hg_page_begin(&b, "Evaluation", r->model);
    hg_page_text(&b, "%s, %s parameters, suite %s, seed %llu, %s. It took %s and %.0f J (%s).",
                 r->arch, hg_page_count(params, (double)r->n_params), r->suite,
                 (unsigned long long)r->seed, r->date, hg_page_duration(time, r->seconds),
                 r->joules, r->joules_source);
    put_table(&b, r);
    hg_page_text(&b, "Where the range of a figure covers the column of guessing, the model has not "
                     "been shown to know anything.");
    hg_page_heading(&b, "How each was measured");
    put_blocks(&b, r);
    hg_page_end(&b, "Made by Higgins " HG_VERSION);
    hg_status s = hg_buf_status(&b, e);
    if (s == HG_OK) s = hg_file_write(path, b.p, b.n, e);
    hg_buf_free(&b);
    return s;
}
