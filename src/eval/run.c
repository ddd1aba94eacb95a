/* A suite from beginning to end: each set is scored row by row, and becomes figures with their
 * intervals, the figures of its parts, and some rows to look at. */
#include "eval/eval.h"
#include <math.h>
#include <string.h>

enum { MAX_SAMPLES = 12, SAMPLE_BYTES = 400 };

void hg_eval_options_init(hg_eval_options *o)
{
    *o = (hg_eval_options){.suite = "quick", .rounds = 1000};
}

static hg_status no_room(hg_err *e)
{
    return hg_fail(e, HG_E_NOMEM, "no room for the report");
}

static const char *keep(hg_eval_report *r, hg_bytes s)
{
    return hg_arena_strndup(&r->mem, s.p, s.n < SAMPLE_BYTES ? s.n : SAMPLE_BYTES);
}

static hg_status add_figure(hg_eval_report *r, const hg_eval_figure *f, hg_err *e)
{
    HG_TRY(hg_grow(&r->figure, &r->figure_cap, r->n_figures, sizeof *r->figure, e));
    r->figure[r->n_figures++] = *f;
    r->block[r->n_blocks - 1].n_figures++;
    return HG_OK;
}

static hg_status add_block(hg_eval_report *r, hg_err *e)
{
    HG_TRY(hg_grow(&r->block, &r->block_cap, r->n_blocks, sizeof *r->block, e));
    r->block[r->n_blocks++] = (hg_eval_block){.first = r->n_figures};
    return HG_OK;
}

/* ---- sets of rows ---- */

typedef struct tally {
    uint64_t right, right_byte, cut;
    double chance;
} tally;

static hg_status count_part(hg_eval_report *r, const hg_row *row, bool is_right, hg_err *e)
{
    hg_eval_block *b = &r->block[r->n_blocks - 1];
    if (row->part.n == 0) return HG_OK;
    for (size_t i = 0; i < b->n_parts; i++) {
        if (strlen(b->part[i].name) != row->part.n ||
            memcmp(b->part[i].name, row->part.p, row->part.n) != 0)
            continue;
        b->part[i].n++;
        b->part[i].right += is_right;
        return HG_OK;
    }
    HG_TRY(hg_grow(&b->part, &b->part_cap, b->n_parts, sizeof *b->part, e));
    const char *name = keep(r, row->part);
    if (name == NULL) return no_room(e);
    b->part[b->n_parts++] = (hg_eval_part){name, 1, is_right};
    return HG_OK;
}

static hg_status add_sample(hg_eval_report *r, const hg_row *row, const hg_verdict *v, hg_err *e)
{
    hg_eval_block *b = &r->block[r->n_blocks - 1];
    bool is_said = row->kind == HG_ROW_ANSWER || row->kind == HG_ROW_NEXT;
    if (!is_said || b->n_samples == MAX_SAMPLES) return HG_OK;
    HG_TRY(hg_grow(&b->sample, &b->sample_cap, b->n_samples, sizeof *b->sample, e));
    hg_eval_sample s = {
        keep(r, row->prompt), keep(r, row->kind == HG_ROW_NEXT ? row->continuation : row->text[0]),
        keep(r, (hg_bytes){v->said.p != NULL ? v->said.p : "", v->said.n}), v->is_right};
    if (s.prompt == NULL || s.want == NULL || s.said == NULL) return no_room(e);
    b->sample[b->n_samples++] = s;
    return HG_OK;
}

static hg_status take_row(hg_eval_report *r, hg_scorer *s, const hg_row *row, tally *t, hg_err *e)
{
    hg_verdict v;
    hg_status status = hg_score_row(s, row, &v, e);
    if (status == HG_OK) {
        t->right += v.is_right;
        t->right_byte += v.is_right_byte;
        t->cut += v.is_cut;
        t->chance +=
            row->kind == HG_ROW_ANSWER || row->kind == HG_ROW_NEXT ? NAN : 1 / (double)row->n;
        status = count_part(r, row, v.is_right, e);
    }
    if (status == HG_OK) status = add_sample(r, row, &v, e);
    hg_buf_free(&v.said);
    return status;
}

#define ANSWER_NOTE                                                                         \
    "the greedy answer begins with the right one; case, white space and outer punctuation " \
    "ignored"

static const char *note_of(hg_row_kind k)
{
    static const char *const notes[HG_N_ROW_KINDS] = {
        "the good sentence is likelier than the bad one",
        "the right continuation is likelier than every other",
        "the continuation is likelier behind the right context than behind any other",
        "greedy decoding gives every token of the continuation", ANSWER_NOTE};
    return notes[k];
}

static hg_status add_share(hg_eval_report *r, hg_eval_figure *f, const char *metric, uint64_t right,
                           hg_err *e)
{
    hg_interval i = hg_wilson(right, f->n);
    f->metric = metric;
    f->n_correct = right;
    f->value = f->n > 0 ? (double)right / (double)f->n : NAN;
    f->low = i.low;
    f->high = i.high;
    return add_figure(r, f, e);
}

static hg_status run_set(hg_eval_report *r, hg_scorer *s, const hg_set *set, const hg_watch *w,
                         hg_err *e)
{
    tally t = {0};
    hg_joules joules;
    double start = hg_seconds();
    uint64_t tokens = s->tokens;
    hg_progress p = {.stage = set->name, .unit = "rows", .total = (double)set->n};
    HG_TRY(add_block(r, e));
    hg_joules_start(&joules);
    for (size_t i = 0; i < set->n; i++) {
        HG_TRY(take_row(r, s, &set->row[i], &t, e));
        p.done = (double)(i + 1);
        hg_watch_progress(w, &p);
        if (hg_watch_stopped(w)) return hg_fail(e, HG_E_CANCELED, "stopped");
    }
    hg_eval_figure f = {.set = keep(r, (hg_bytes){set->name, strlen(set->name)}),
                        .note = note_of(set->kind),
                        .chance = t.chance / (double)set->n,
                        .is_share = true,
                        .n = set->n,
                        .n_cut = t.cut,
                        .tokens = s->tokens - tokens,
                        .seconds = hg_seconds() - start,
                        .joules = hg_joules_read(&joules)};
    if (f.set == NULL) return no_room(e);
    bool is_answer = set->kind == HG_ROW_ANSWER || set->kind == HG_ROW_NEXT;
    HG_TRY(add_share(r, &f, is_answer ? "exact match" : "accuracy", t.right, e));
    if (set->kind != HG_ROW_CHOICE || set->same_continuation) return HG_OK;
    f.note = "the same, with the log-likelihood divided by the continuation's bytes";
    return add_share(r, &f, "accuracy by byte", t.right_byte, e);
}

/* ---- held-out text ---- */

static hg_status ratio_interval(const hg_text_score *t, bool per_byte, const hg_eval_options *o,
                                hg_interval *out, hg_err *e)
{
    double *a = hg_alloc(t->n, sizeof *a), *b = hg_alloc(t->n, sizeof *b);
    hg_status s = HG_OK;
    if (a == NULL || b == NULL) s = no_room(e);
    for (size_t i = 0; s == HG_OK && i < t->n; i++) {
        a[i] = t->block[i].nats;
        b[i] = (double)(per_byte ? t->block[i].bytes : t->block[i].tokens);
    }
    if (s == HG_OK) s = hg_bootstrap_ratio(a, b, t->n, o->rounds, o->seed, out, e);
    hg_free(a);
    hg_free(b);
    return s;
}

static hg_status add_text(hg_eval_report *r, const hg_text_score *t, hg_eval_figure *f,
                          const hg_eval_options *o, hg_err *e)
{
    hg_interval i;
    HG_TRY(ratio_interval(t, true, o, &i, e));
    f->metric = "bits per byte";
    f->note = t->by_window ? "windows overlap by half; interval: bootstrap over windows"
                           : "windows overlap by half; interval: bootstrap over documents";
    f->value = t->nats / log(2) / (double)t->bytes;
    f->low = i.low / log(2);
    f->high = i.high / log(2);
    f->chance = 8; /* bits: every byte alike */
    HG_TRY(add_figure(r, f, e));
    HG_TRY(ratio_interval(t, false, o, &i, e));
    f->metric = "perplexity per token";
    f->value = exp(t->nats / (double)t->tokens);
    f->low = exp(i.low);
    f->high = exp(i.high);
    f->chance = NAN;
    return add_figure(r, f, e);
}

static hg_status run_text(hg_eval_report *r, hg_scorer *s, const hg_eval_options *o,
                          const hg_watch *w, hg_err *e)
{
    hg_text_score t;
    hg_joules joules;
    double start = hg_seconds();
    uint64_t tokens = s->tokens;
    hg_joules_start(&joules);
    HG_TRY(add_block(r, e));
    HG_TRY(hg_score_text(s, o, w, &t, e));
    hg_eval_figure f = {.set = "held-out text",
                        .n = t.n_documents,
                        .tokens = s->tokens - tokens,
                        .seconds = hg_seconds() - start,
                        .joules = hg_joules_read(&joules)};
    hg_status status = add_text(r, &t, &f, o, e);
    hg_text_score_free(&t);
    return status;
}

/* ---- the suite ---- */

static hg_status check_options(const hg_eval_options *o, hg_err *e)
{
    if (strcmp(o->suite, "quick") != 0 && strcmp(o->suite, "full") != 0)
        return hg_fail(e, HG_E_ARG, "no suite \"%.40s\"; there are quick and full", o->suite);
    if (o->rounds < 100 || o->rounds > 1000000)
        return hg_fail(e, HG_E_ARG, "%u rounds of the bootstrap; 100 to 1000000 allowed",
                       o->rounds);
    if (o->no_builtin && o->data == NULL && o->text == NULL)
        return hg_fail(e, HG_E_ARG, "nothing to evaluate: no sets and no text");
    return HG_OK;
}

static hg_status run_all(hg_eval_report *r, hg_scorer *s, const hg_sets *sets,
                         const hg_eval_options *o, const hg_watch *w, hg_err *e)
{
    hg_joules joules;
    double start = hg_seconds();
    hg_joules_start(&joules);
    if (o->text != NULL) HG_TRY(run_text(r, s, o, w, e));
    for (size_t i = 0; i < sets->n; i++)
        if (sets->set[i]->n > 0) HG_TRY(run_set(r, s, sets->set[i], w, e));
    r->seconds = hg_seconds() - start;
    r->joules = hg_joules_read(&joules);
    r->joules_source = hg_joules_source(&joules);
    return HG_OK;
}

static hg_status describe(hg_eval_report *r, const hg_model *m, const hg_scorer *s,
                          const hg_eval_options *o, hg_err *e)
{
    const char *name = o->model != NULL ? o->model : "model";
    char date[32];
    hg_iso_time(hg_unix_time(), date);
    r->model = keep(r, (hg_bytes){name, strlen(name)});
    r->suite = strcmp(o->suite, "full") == 0 ? "full" : "quick";
    r->arch =
        keep(r, (hg_bytes){hg_model_get_config(m)->arch, strlen(hg_model_get_config(m)->arch)});
    r->date = keep(r, (hg_bytes){date, strlen(date)});
    r->n_params = hg_model_count(m);
    r->seed = o->seed;
    r->n_ctx = s->n_ctx;
    return r->model != NULL && r->arch != NULL && r->date != NULL ? HG_OK : no_room(e);
}

hg_status hg_eval_run(hg_eval_report **out, const hg_model *m, hg_runtime *rt,
                      const hg_eval_options *o, const hg_watch *w, hg_err *e)
{
    hg_sets sets = {0};
    hg_scorer s = {0};
    *out = NULL;
    HG_TRY(check_options(o, e));
    hg_eval_report *r = hg_alloc(1, sizeof *r);
    if (r == NULL) return no_room(e);
    hg_arena_init(&r->mem, 0);
    hg_status status = hg_scorer_init(&s, m, rt, o->n_ctx, e);
    if (status == HG_OK) status = describe(r, m, &s, o, e);
    if (status == HG_OK && !o->no_builtin) status = hg_sets_builtin(&sets, o, e);
    if (status == HG_OK && o->data != NULL) status = hg_sets_folder(&sets, o, w, e);
    if (status == HG_OK) status = run_all(r, &s, &sets, o, w, e);
    if (status == HG_OK) status = hg_eval_make_json(r, e);
    hg_scorer_free(&s);
    hg_sets_free(&sets);
    if (status != HG_OK) {
        hg_eval_free(r);
        return status;
    }
    *out = r;
    return HG_OK;
}

void hg_eval_free(hg_eval_report *r)
{
    if (r == NULL) return;
    for (size_t i = 0; i < r->n_blocks; i++) {
        hg_free(r->block[i].part);
        hg_free(r->block[i].sample);
    }
    hg_free(r->block);
    hg_free(r->figure);
    hg_buf_free(&r->json);
    hg_arena_free(&r->mem);
    hg_free(r);
}

size_t hg_eval_count(const hg_eval_report *r)
{
    return r->n_figures;
}

const hg_eval_figure *hg_eval_get(const hg_eval_report *r, size_t i)
{
    return i < r->n_figures ? &r->figure[i] : NULL;
}
