/* higgins eval: what a model can do, in figures that say how sure they are. */
#include "cli.h"

#include <higgins/eliza.h>
#include <higgins/eval.h>
#include <higgins/task.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct values {
    const char *suite, *data, *text, *out, *html, *task, *task_data, *columns, *instruction;
    int64_t limit, ctx, rounds, seed, answer_tokens;
    double text_kb;
    bool no_builtin;
} values;

static void init(void *at)
{
    values *v = at;
    v->suite = "quick";
    v->rounds = 1000;
    v->answer_tokens = 128;
}

static const cli_option options[] = {
    {"suite", 's', CLI_TEXT, "NAME", "quick (a sample of each set) or full (every row)",
     offsetof(values, suite), 0, 0},
    {"data", 'd', CLI_TEXT, "DIR",
     "a folder of more sets: BLiMP, HellaSwag, PIQA ... as JSON lines", offsetof(values, data), 0,
     0},
    {"text", 0, CLI_TEXT, "FILE", "held-out text for bits per byte: a file, a folder or a corpus",
     offsetof(values, text), 0, 0},
    {"limit", 'n', CLI_INT, "N", "at most N rows of a file, chosen by the seed; 0 is the suite's",
     offsetof(values, limit), 0, 1 << 20},
    {"text-kb", 0, CLI_FLOAT, "N", "at most N kilobytes of text; 0 is the suite's",
     offsetof(values, text_kb), 0, 1e9},
    {"context", 0, CLI_INT, "N", "tokens that the model sees at once; 0 is its own, 1024 at most",
     offsetof(values, ctx), 0, 1 << 22},
    {"rounds", 0, CLI_INT, "N", "rounds of the bootstrap", offsetof(values, rounds), 100, 1000000},
    {"seed", 0, CLI_INT, "N", "chooses rows and drives the bootstrap", offsetof(values, seed), 0,
     1e15},
    {"task", 0, CLI_TEXT, "NAME",
     "translation, summary, sentiment, qa or chat: measure the model on --task-data alone",
     offsetof(values, task), 0, 0},
    {"task-data", 0, CLI_TEXT, "FILE", "a table or pairs (docs/tasks.md), all of which are asked",
     offsetof(values, task_data), 0, 0},
    {"columns", 0, CLI_TEXT, "NAMES",
     "the task's columns INPUT,ANSWER (qa: CONTEXT,QUESTION,ANSWER), by name or number",
     offsetof(values, columns), 0, 0},
    {"instruction", 0, CLI_TEXT, "TEXT", "the words before the task's input",
     offsetof(values, instruction), 0, 0},
    {"answer-tokens", 0, CLI_INT, "N", "of a task's answer at the most",
     offsetof(values, answer_tokens), 1, 1 << 20},
    {"no-builtin", 0, CLI_FLAG, NULL, "leave out the sets that come with Higgins",
     offsetof(values, no_builtin), 0, 0},
    {"out", 'o', CLI_TEXT, "FILE", "write the JSON there too", offsetof(values, out), 0, 0},
    {"html", 0, CLI_TEXT, "FILE", "write a page to look at", offsetof(values, html), 0, 0},
    {NULL, 0, CLI_FLAG, NULL, NULL, 0, 0, 0}};

static void show(char out[24], const hg_eval_figure *f, double v)
{
    if (!isfinite(v))
        (void)snprintf(out, 24, "-");
    else if (f->is_share)
        (void)snprintf(out, 24, "%.1f%%", 100 * v);
    else
        (void)snprintf(out, 24, v < 100 ? "%.3f" : "%.1f", v);
}

/* How far a figure lies from guessing: the only thing a beginner must see at once. */
static const char *verdict(const hg_eval_figure *f)
{
    if (!f->is_share || !isfinite(f->chance)) return "";
    if (f->low > f->chance) return "better than guessing";
    return f->high < f->chance ? "worse than guessing" : "no better than guessing";
}

static void print_table(const hg_eval_report *r)
{
    printf("%-26s %-20s %9s  %-19s %8s %7s  %s\n", "set", "figure", "value", "95% interval",
           "guessing", "n", "");
    for (size_t i = 0; i < hg_eval_count(r); i++) {
        const hg_eval_figure *f = hg_eval_get(r, i);
        char value[24], low[24], high[24], chance[24], range[56];
        show(value, f, f->value);
        show(low, f, f->low);
        show(high, f, f->high);
        show(chance, f, f->chance);
        (void)snprintf(range, sizeof range, "%s to %s", low, high);
        printf("%-26.26s %-20.20s %9s  %-19s %8s %7llu  %s\n", f->set, f->metric, value, range,
               chance, (unsigned long long)f->n, verdict(f));
    }
}

static void print_sums(const hg_eval_report *r)
{
    double seconds = 0, joules = 0, tokens = 0;
    const hg_eval_figure *last = NULL;
    char a[32], b[32];
    for (size_t i = 0; i < hg_eval_count(r); i++) {
        const hg_eval_figure *f = hg_eval_get(r, i);
        /* Two figures of one set share its work. */
        if (last == NULL || strcmp(last->set, f->set) != 0) {
            seconds += f->seconds;
            joules += f->joules;
            tokens += (double)f->tokens;
        }
        last = f;
    }
    printf("\n%s tokens in %s", cli_count(a, tokens), cli_duration(b, seconds));
    if (seconds > 0) printf(", %s tokens/s", cli_count(a, tokens / seconds));
    printf(", %.0f J\n", joules);
}

static int finish(cli *c, const values *v, const hg_eval_report *r)
{
    hg_err e;
    hg_bytes json = hg_eval_json(r);
    if (v->out != NULL && hg_eval_write_json(r, v->out, &e) != HG_OK) return cli_fail(c, &e);
    if (v->html != NULL && hg_eval_write_html(r, v->html, &e) != HG_OK) return cli_fail(c, &e);
    if (c->json) {
        (void)fwrite(json.p, 1, json.n, stdout);
        return 0;
    }
    print_table(r);
    print_sums(r);
    return 0;
}

/* ---- a task ---- */

static int finish_task(cli *c, const values *v, const hg_task_report *r)
{
    hg_err e;
    const hg_bytes out = c->json ? hg_task_json(r) : hg_task_text(r);
    if (v->out != NULL && hg_task_write_json(r, v->out, &e) != HG_OK) return cli_fail(c, &e);
    if (v->html != NULL && hg_task_write_html(r, v->html, &e) != HG_OK) return cli_fail(c, &e);
    (void)fwrite(out.p, 1, out.n, stdout);
    return 0;
}

/* "a,b" in place; returns how many. */
static size_t split_names(char *text, const char **name, size_t most)
{
    size_t n = 0;
    for (char *p = text; p != NULL && n < most; p = strchr(p, ',')) {
        if (n > 0) *p++ = '\0';
        name[n++] = p;
    }
    return n;
}

static int run_task(cli *c, const values *v, const char *path)
{
    hg_runtime *rt = NULL;
    hg_model *m = NULL;
    hg_task_report *r = NULL;
    hg_task_options o;
    hg_err e;
    const char *name[4];
    char columns[512];
    hg_task_options_init(&o);
    if (v->task == NULL || v->task_data == NULL)
        return cli_misuse(c, "eval: --task NAME and --task-data FILE go together");
    if (!hg_preset_parse(v->task, &o.kind))
        return cli_misuse(c, "--task: translation, summary, sentiment, qa or chat is right");
    (void)snprintf(columns, sizeof columns, "%s", v->columns != NULL ? v->columns : "");
    o.data = v->task_data;
    o.columns = name;
    o.n_columns = v->columns != NULL ? split_names(columns, name, 4) : 0;
    o.instruction = v->instruction;
    o.rows = (uint32_t)v->limit;
    o.answer_tokens = (uint32_t)v->answer_tokens;
    o.n_ctx = (uint32_t)v->ctx;
    o.rounds = (uint32_t)v->rounds;
    o.seed = (uint64_t)v->seed;
    o.model = path;
    hg_status s = cli_runtime(c, &rt, &e);
    if (s == HG_OK) s = hg_model_open(&m, path, HG_WEIGHTS_AS_STORED, rt, &e);
    if (s == HG_OK) s = hg_task_eval(&r, m, rt, &o, &c->watch, &e);
    cli_progress_end(c);
    const int code = s == HG_OK ? finish_task(c, v, r) : cli_fail(c, &e);
    hg_task_free(r);
    hg_model_free(m);
    return code;
}

static int run(cli *c, void *at, int n_args, char **args)
{
    const values *v = at;
    hg_runtime *rt = NULL;
    hg_model *m = NULL;
    hg_eval_report *r = NULL;
    hg_eval_options o;
    hg_err e;
    (void)n_args;
    hg_eval_options_init(&o);
    o.suite = v->suite;
    o.data = v->data;
    o.text = v->text;
    o.limit = (uint32_t)v->limit;
    o.text_bytes = (uint64_t)(v->text_kb * 1000);
    o.n_ctx = (uint32_t)v->ctx;
    o.rounds = (uint32_t)v->rounds;
    o.seed = (uint64_t)v->seed;
    o.no_builtin = v->no_builtin;
    o.model = args[0];
    if (hg_eliza_is_name(args[0])) {
        (void)hg_fail(&e, HG_E_ARG,
                      "%s: the sets ask how likely a text is, and ELIZA has no probabilities; "
                      "higgins eliza --replay compares its replies with recorded ones",
                      args[0]);
        return cli_fail(c, &e);
    }
    if (v->task != NULL || v->task_data != NULL) return run_task(c, v, args[0]);
    hg_status s = cli_runtime(c, &rt, &e);
    if (s == HG_OK) s = hg_model_open(&m, args[0], HG_WEIGHTS_AS_STORED, rt, &e);
    if (s == HG_OK) s = hg_eval_run(&r, m, rt, &o, &c->watch, &e);
    cli_progress_end(c);
    int code = s == HG_OK ? finish(c, v, r) : cli_fail(c, &e);
    hg_eval_free(r);
    hg_model_free(m);
    return code;
}

static const char *const examples[] = {
    "higgins eval runs/first/model",
    "the sets that come with Higgins: grammar, everyday sense, short answers",
    "higgins eval runs/first/model --text held-out.txt --data evals/ -o eval.json --html eval.html",
    "also bits per byte on a text, and samples of the sets in a folder",
    "higgins eval model.gguf --suite full --data evals/blimp --no-builtin",
    "every row of BLiMP and nothing else",
    "higgins eval model.gguf --task translation --task-data pairs.tsv",
    "BLEU and chrF of the model's translations of a table's first column",
    NULL};

const cli_command cli_eval = {
    .name = "eval",
    .args = "MODEL",
    .summary = "measure what a model can do",
    .text =
        "MODEL is a model's folder or a GGUF file. Sets are JSON lines, plain or compressed, in\n"
        "the forms of the common sets: sentence_good and sentence_bad (BLiMP); ctx, endings and\n"
        "label (HellaSwag); query or question, choices and gold (PIQA, ARC, COPA ...);\n"
        "context_options and continuation (Winograd); context and continuation (LAMBADA);\n"
        "prompt or question and answer. Every figure comes with the interval that holds it 95\n"
        "times of 100, and with what guessing would give.",
    .examples = examples,
    .options = options,
    .values_size = sizeof(values),
    .init = init,
    .min_args = 1,
    .max_args = 1,
    .run = run};
