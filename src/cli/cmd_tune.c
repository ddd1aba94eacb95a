/* higgins tune: fine-tuning on conversations. */
#include "cmd_train.h"
#include "launch.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

typedef struct values {
    cli_list data, valid, set;
    const char *out, *recipe, *method, *mpi, *task, *columns, *instruction;
    double epochs, lr;
    int64_t batch, seq_len, show_mask;
    bool resume, plan, keys, lora;
} values;

#define AT(member) offsetof(values, member)
static const cli_option options[] = {
    {"data", 'd', CLI_LIST, "FILE", "conversations: JSON lines or a JSON array", AT(data), 0, 0},
    {"out", 'o', CLI_TEXT, "DIR", "the run folder", AT(out), 0, 0},
    {"recipe", 0, CLI_TEXT, "FILE", "a recipe in YAML; options override it", AT(recipe), 0, 0},
    {"method", 0, CLI_TEXT, "NAME",
     "sft, dpo, ipo, hinge, orpo, kto, grpo or distill (docs/training.md)", AT(method), 0, 0},
    {"task", 0, CLI_TEXT, "NAME",
     "translation, summary, sentiment, qa or chat: DATA are plain tables or pairs (docs/tasks.md)",
     AT(task), 0, 0},
    {"valid", 0, CLI_LIST, "FILE",
     "what is held out, in the form of the data; nothing: a share of them", AT(valid), 0, 0},
    {"columns", 0, CLI_TEXT, "NAMES",
     "of a task: the columns INPUT,ANSWER (qa: CONTEXT,QUESTION,ANSWER), by name or number",
     AT(columns), 0, 0},
    {"instruction", 0, CLI_TEXT, "TEXT", "of a task: the words before its input", AT(instruction),
     0, 0},
    {"epochs", 0, CLI_FLOAT, "N", "passes over the data; 0: as the recipe says (3)", AT(epochs), 0,
     1e6},
    {"lr", 0, CLI_FLOAT, "RATE", "highest learning rate; 0: as the recipe says (2e-4)", AT(lr), 0,
     10},
    {"batch", 0, CLI_INT, "ROWS", "rows a batch; 0: as the recipe says (8)", AT(batch), 0, 65536},
    {"seq-len", 0, CLI_INT, "TOKENS", "tokens of a row; 0: the model's context, at most 1024",
     AT(seq_len), 0, 1 << 20},
    {"lora", 'l', CLI_FLAG, NULL,
     "tune an adapter (of rank 16, unless lora_rank says otherwise) instead of the weights",
     AT(lora), 0, 0},
    {"set", 's', CLI_LIST, "KEY=VALUE", "sets a key of the recipe", AT(set), 0, 0},
    {"resume", 'r', CLI_FLAG, NULL, "go on from the newest checkpoint", AT(resume), 0, 0},
    {"show-mask", 0, CLI_INT, "N", "print N conversations, what is learnt from in green, and stop",
     AT(show_mask), 0, 1e9},
    CLI_MPI_OPTION(AT(mpi)),
    {"plan", 0, CLI_FLAG, NULL, "say what the run would need and stop", AT(plan), 0, 0},
    {"keys", 0, CLI_FLAG, NULL, "list the keys of recipes for tuning", AT(keys), 0, 0},
    {NULL, 0, CLI_FLAG, NULL, NULL, 0, 0, 0}};

static const char *const examples[] = {
    "higgins tune runs/base/model --data chat.jsonl -o runs/chat",
    "teaches the model to answer",
    "higgins tune runs/base/model --data chat.jsonl --show-mask 3",
    "what exactly is learnt from",
    "higgins tune runs/chat/model --method dpo --data pairs.jsonl -o runs/dpo",
    "learns which of two answers is better",
    "higgins tune model.gguf --data chat.jsonl --lora -o runs/lora",
    "tunes a small adapter on a model that stays as it is, of any type of file",
    "higgins tune model.gguf reviews.csv --task sentiment --lora -o runs/reviews",
    "learns labels from a table, and measures what came of it on rows that are held out",
    "higgins tune runs/base/model --data chat.jsonl -o runs/chat --resume",
    "goes on with a run that was stopped",
    NULL};

/* ---- --show-mask ---- */

/* What is learnt from is green on a terminal, yellow where its weight is below 1, and elsewhere in
 * [[double brackets]], with a weight below 1 as [0.5[this]]. */
typedef struct shower {
    bool colour, has_text, teaches;
    float weight; /* of what is printed */
} shower;

static void turn(shower *s, float weight)
{
    if (!(s->weight < weight || s->weight > weight)) return;
    if (s->weight > 0) fputs(s->colour ? "\033[0m" : "]]", stdout);
    if (weight > 0 && s->colour)
        fputs(weight < 1 ? "\033[33m" : "\033[32m", stdout);
    else if (weight > 0 && weight < 1)
        printf("[%g[", (double)weight);
    else if (weight > 0)
        fputs("[[", stdout);
    s->weight = weight;
}

static void show(void *ctx, hg_bytes piece, float weight, size_t line)
{
    shower *s = ctx;
    if (piece.n == 0) {
        turn(s, 0);
        printf("\n%s", s->teaches ? "" : "(nothing to learn: tuning leaves this line out)\n");
        s->has_text = s->teaches = false;
        return;
    }
    if (!s->has_text) printf("-- %zu\n", line);
    s->has_text = true;
    s->teaches = s->teaches || weight > 0;
    turn(s, weight);
    (void)fwrite(piece.p, 1, piece.n, stdout);
}

static int show_mask(cli *c, cli_sets *sets, hg_train_options *o, size_t n)
{
    hg_err e = {0};
    shower s = {.colour = cli_stdout_is_terminal()};
    cli_train_give(sets, o);
    hg_status status = hg_tune_show(o, n, show, &s, &e);
    cli_train_free(sets);
    return status == HG_OK ? 0 : cli_fail(c, &e);
}

/* ---- options to keys ---- */

static bool set_number(cli_sets *s, const char *key, double v)
{
    char text[40];
    if (v == 0) return true;
    (void)snprintf(text, sizeof text, "%.17g", v);
    return cli_train_set(s, key, text) != NULL;
}

static bool set_text(cli_sets *s, const char *key, const char *value)
{
    return value == NULL || cli_train_set(s, key, value) != NULL;
}

/* Data are what stands behind the base and what --data names; `item` keeps them. */
static bool set_data(cli_sets *s, const values *v, int n_args, char **args,
                     const char *item[CLI_MAX_FILES])
{
    size_t n = 0;
    if (n_args > 0 && (size_t)n_args + v->data.n > CLI_MAX_FILES) return false;
    for (int i = 1; i < n_args; i++) item[n++] = args[i];
    for (size_t i = 0; i < v->data.n; i++) item[n++] = v->data.item[i];
    cli_train_files(s, "data", item, n);
    cli_train_files(s, "val_data", v->valid.item, v->valid.n);
    return true;
}

static bool collect_sets(cli_sets *s, const values *v, int n_args, char **args)
{
    return set_text(s, "base", n_args > 0 ? args[0] : NULL) && set_text(s, "method", v->method) &&
           set_text(s, "task", v->task) && set_text(s, "columns", v->columns) &&
           set_text(s, "instruction", v->instruction) && set_number(s, "epochs", v->epochs) &&
           set_number(s, "lr", v->lr) && set_number(s, "batch_size", (double)v->batch) &&
           set_number(s, "seq_len", (double)v->seq_len) && cli_train_sets(s, &v->set, v->out);
}

static int run(cli *c, void *values_, int n_args, char **args)
{
    const values *v = values_;
    cli_sets sets = {.mpi = v->mpi};
    hg_train_options o;
    const char *data[CLI_MAX_FILES];
    hg_train_options_init(&o);
    if (v->keys) {
        cli_train_print_keys(HG_STAGE_TUNE);
        return 0;
    }
    if (n_args == 0 && v->recipe == NULL)
        return cli_misuse(c, "tune needs BASE, the model's folder; see higgins tune --help");
    o.recipe = v->recipe;
    o.resume = v->resume;
    o.plan_only = v->plan;
    o.lora = v->lora;
    if (!set_data(&sets, v, n_args, args, data) || !collect_sets(&sets, v, n_args, args)) {
        cli_train_free(&sets);
        return cli_misuse(c, "tune: too many values or too long ones");
    }
    if (v->show_mask > 0) return show_mask(c, &sets, &o, (size_t)v->show_mask);
    return cli_train_go(c, &sets, &o, HG_STAGE_TUNE);
}

const cli_command cli_tune = {
    .name = "tune",
    .args = "BASE [DATA...]",
    .summary = "fine-tune a model on conversations",
    .text = "Goes on training BASE on conversations, learning from what the assistant says only. "
            "Conversations are read as\n"
            "JSON lines (or one JSON array) with \"messages\", ShareGPT's \"conversations\" or "
            "Alpaca's \"instruction\";\n"
            "\"tools\", \"tool_calls\" and a \"weight\" of what the assistant says as OpenAI "
            "has them (docs/training.md).\n"
            "With --method dpo, ipo, hinge or orpo a line has \"prompt\", \"chosen\" and "
            "\"rejected\" (texts or lists of turns), with\n"
            "kto \"prompt\", \"completion\" and \"label\", with grpo \"prompt\" and \"answer\".\n"
            "With --task they are plain files: tables (CSV, TSV) or JSON lines of pairs, with the "
            "task's own prompt; what is\n"
            "held out is answered before and after, and both are measured.\n"
            "They are packed whole into rows and never see each other. What is cut or teaches "
            "nothing is said, with its\n"
            "line. Checkpoints, log, report and the finished model are written as `higgins train` "
            "writes them.",
    .examples = examples,
    .options = options,
    .values_size = sizeof(values),
    .min_args = 0,
    .max_args = 64,
    .run = run,
};
