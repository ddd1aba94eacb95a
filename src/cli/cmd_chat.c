/* higgins chat: a conversation with a model in the terminal, or line by line from a script. */
#include "chat_history.h"
#include "chat_input.h"
#include "form_options.h"
#include "talk.h"

#include <jansson.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

typedef struct chat_values {
    cli_sampling sampling;
    cli_form form;
    const char *system, *chat_template;
    cli_list lora;
} chat_values;

typedef struct answer answer;
typedef struct chat {
    cli *c;
    chat_values *v;
    cli_talk talk;
    hg_chat_format *format;
    /* Lets whoever talks here answer what was said; the answer comes through on_text. */
    hg_status (*speak)(struct chat *ch, answer *a, hg_err *e);
    chat_history said;
    bool is_terminal;      /* somebody types */
    int64_t n_answers;     /* each answer is drawn with a seed of its own */
    bool warned_interrupt; /* Ctrl-C came at an empty prompt */
    bool failed, quit;
    json_t *turns; /* with --json */
} chat;

static void init(void *values)
{
    chat_values *v = values;
    cli_sampling_init(&v->sampling);
}

/* What is not an answer goes to stderr. */
static void note(const char *text)
{
    fprintf(stderr, "%s\n", text);
}

static void told(chat *ch, const hg_err *e)
{
    (void)cli_fail(ch->c, e);
    ch->failed = true;
}

static void no_room(chat *ch)
{
    hg_err e;
    (void)hg_fail(&e, HG_E_NOMEM, "no room for the conversation");
    told(ch, &e);
}

/* ---- one answer ---- */
struct answer {
    const chat *ch;
    FILE *gathered;
    bool show, is_terminal;
    /* Written by the engine's thread before `ended`, read by the main thread behind it. */
    hg_finish finish;
    hg_usage usage;
    hg_err err;
    atomic_bool ended;
    atomic_bool cancel; /* Ctrl-C, or nobody reads any more */
};

static void on_text(void *ctx, hg_bytes text, hg_finish finish, const hg_usage *usage,
                    const char *error)
{
    answer *a = ctx;
    (void)fwrite(text.p, 1, text.n, a->gathered);
    if (a->show && text.n > 0) {
        cli_talk_write(stdout, text, a->is_terminal);
        if (fflush(stdout) != 0) atomic_store(&a->cancel, true);
    }
    if (finish == HG_FINISH_NONE) return;
    a->finish = finish;
    a->usage = *usage;
    if (finish == HG_FINISH_ERROR) (void)hg_fail(&a->err, HG_E_STATE, "%s", error);
    atomic_store(&a->ended, true);
}

/* A Ctrl-C that came within `wait`, on a terminal. SIGINT is blocked in every thread there and
 * taken here, so that it never ends the program. */
static bool interrupted(struct timespec wait)
{
    sigset_t interrupt;
    (void)sigemptyset(&interrupt);
    (void)sigaddset(&interrupt, SIGINT);
    return sigtimedwait(&interrupt, NULL, &wait) == SIGINT;
}

/* Waits for the end; Ctrl-C stops the answer. A script's is the frame's business. */
static void wait_for_end(answer *a)
{
    const struct timespec moment = {0, 10 * 1000 * 1000};
    while (!atomic_load(&a->ended)) {
        if (!a->ch->is_terminal) (void)nanosleep(&moment, NULL);
        if ((a->ch->is_terminal && interrupted(moment)) || hg_watch_stopped(&a->ch->c->watch))
            atomic_store(&a->cancel, true);
    }
}

/* Submits the conversation and waits for all of the answer. */
static hg_status run_request(chat *ch, answer *a, const hg_ids *ids, hg_err *e)
{
    hg_request r = cli_sampling_request(&ch->v->sampling);
    r.adapters = ch->talk.adapters;
    r.n_adapters = ch->talk.n_adapters;
    hg_job job;
    r.prompt = ids->id;
    r.n_prompt = ids->n;
    r.constraint = ch->v->form.constraint;
    r.sampling.seed += (uint64_t)ch->n_answers++;
    r.on_text = on_text;
    r.ctx = a;
    r.cancel = &a->cancel;
    while (ch->is_terminal && interrupted((struct timespec){0, 0})) {
    } /* of before the answer */
    HG_TRY(hg_engine_submit(ch->talk.engine, &r, &job, e));
    wait_for_end(a);
    if (a->finish == HG_FINISH_ERROR) return hg_fail(e, HG_E_STATE, "%s", a->err.msg);
    return HG_OK;
}

/* The conversation as the model wants it; HG_E_LIMIT, with the remedy, when it fills the context.
 * With --context-shift the oldest questions and answers go instead. */
static hg_status render(chat *ch, hg_ids *ids, hg_err *e)
{
    bool has_dropped = false;
    for (;;) {
        const hg_chat_input in = {.m = ch->said.m, .n = ch->said.n, .open_answer = true};
        ids->n = 0;
        HG_TRY(hg_chat_format_ids(ch->format, &in, ids, NULL, e));
        if (ids->n < ch->talk.n_ctx) break;
        if (!ch->v->sampling.context_shift || !chat_history_drop_oldest(&ch->said))
            return hg_fail(e, HG_E_LIMIT,
                           "the context is full: the conversation has %zu tokens and the model "
                           "holds %u; /reset begins a new one",
                           ids->n, ch->talk.n_ctx);
        has_dropped = true;
    }
    if (has_dropped && !ch->c->quiet)
        note("[the context is full: the oldest messages are forgotten]");
    return HG_OK;
}

static hg_status model_speaks(chat *ch, answer *a, hg_err *e)
{
    hg_ids ids = {0};
    hg_status s = render(ch, &ids, e);
    if (s == HG_OK) s = run_request(ch, a, &ids, e);
    hg_ids_free(&ids);
    return s;
}

static hg_status eliza_speaks(chat *ch, answer *a, hg_err *e)
{
    hg_request r = cli_sampling_request(&ch->v->sampling);
    r.on_text = on_text;
    r.ctx = a;
    r.cancel = &a->cancel;
    return hg_eliza_answer(ch->talk.eliza, ch->said.m, ch->said.n, &r, NULL, NULL, e);
}

/* What the reader should know about how the answer ended. */
static void tell_end(const chat *ch, const answer *a)
{
    const hg_usage *u = &a->usage;
    if (ch->c->quiet) return;
    if (a->finish == HG_FINISH_CANCELED && ch->is_terminal) note("[stopped]");
    if (a->finish == HG_FINISH_LENGTH) {
        if (!ch->v->sampling.context_shift &&
            u->prompt_tokens + u->completion_tokens >= ch->talk.n_ctx)
            fprintf(stderr,
                    "[the context of %u tokens is full; /reset begins a new conversation]\n",
                    ch->talk.n_ctx);
        else
            fprintf(stderr, "[cut at %u tokens; /set max-tokens 0 lifts the limit]\n",
                    u->completion_tokens);
    }
    if (ch->c->verbose)
        fprintf(stderr, "[%u tokens read (%u cached) in %.2f s, %u written, %.1f tokens/s]\n",
                u->prompt_tokens, u->cached_tokens, u->prefill_s, u->completion_tokens,
                cli_answer_rate(u));
}

static void keep_turn(chat *ch, const answer *a, const char *text)
{
    if (ch->turns == NULL) return;
    (void)json_array_append_new(
        ch->turns,
        json_pack("{s:s, s:s, s:{s:i, s:i, s:i}, s:f}", "text", text, "finish",
                  cli_finish_name(a->finish), "usage", "prompt_tokens", (int)a->usage.prompt_tokens,
                  "completion_tokens", (int)a->usage.completion_tokens, "cached_tokens",
                  (int)a->usage.cached_tokens, "tokens_per_second", cli_answer_rate(&a->usage)));
}

/* Lets the model answer what was said last. What it said until an interruption counts as said. */
static void let_answer(chat *ch)
{
    answer a = {.ch = ch, .show = ch->turns == NULL, .is_terminal = cli_stdout_is_terminal()};
    hg_err e = {0};
    char *text = NULL;
    size_t n = 0;

    a.gathered = open_memstream(&text, &n);
    if (a.gathered == NULL) {
        no_room(ch);
        return;
    }
    const hg_status s = ch->speak(ch, &a, &e);
    const bool gathered = fclose(a.gathered) == 0;
    if (s == HG_OK && a.show) {
        (void)fputc('\n', stdout);
        (void)fflush(stdout);
    }
    if (s != HG_OK) {
        told(ch, &e);
        chat_history_drop(&ch->said, ch->said.n - 1); /* the message that got no answer */
    } else if (!gathered || !chat_history_add(&ch->said, "assistant", text)) {
        no_room(ch);
    } else {
        tell_end(ch, &a);
        keep_turn(ch, &a, text);
    }
    free(text);
}

/* ---- commands ---- */
static void do_help(chat *ch, char *rest)
{
    (void)ch;
    (void)rest;
    note("/reset              forget the conversation\n"
         "/retry              answer the last message again\n"
         "/system [TEXT]      show or set the system message (it begins a new conversation)\n"
         "/set NAME VALUE     change an option: /set temperature 0.5\n"
         "/save FILE          append the conversation to a file, as higgins tune reads it\n"
         "/quit               end (so do Ctrl-D and Ctrl-C twice)\n"
         "A backslash at the end of a line goes on with the message in the next one; // at its\n"
         "beginning sends a message that begins with a slash. Ctrl-C stops an answer.");
}

static void do_reset(chat *ch, char *rest)
{
    (void)rest;
    chat_history_drop(&ch->said, chat_history_system(&ch->said) != NULL ? 1 : 0);
    if (ch->is_terminal) note("[a new conversation]");
}

static void do_retry(chat *ch, char *rest)
{
    hg_err e;
    (void)rest;
    if (chat_history_ends_with(&ch->said, "assistant"))
        chat_history_drop(&ch->said, ch->said.n - 1);
    if (chat_history_ends_with(&ch->said, "user")) {
        let_answer(ch);
        return;
    }
    (void)hg_fail(&e, HG_E_STATE, "/retry: nothing was asked yet");
    told(ch, &e);
}

static void do_system(chat *ch, char *rest)
{
    if (*rest == '\0') {
        const char *now = chat_history_system(&ch->said);
        fprintf(stderr, "[system message: %s]\n", now != NULL ? now : "none");
        return;
    }
    do_reset(ch, rest);
    if (!chat_history_set_system(&ch->said, rest)) no_room(ch);
}

static void do_set(chat *ch, char *rest)
{
    hg_err e;
    const size_t n = strcspn(rest, " \t");
    char *value = rest + n;
    if (*value != '\0') *value++ = '\0';
    value += strspn(value, " \t");
    if (!cli_sampling_set(&ch->v->sampling, rest, value, &e))
        told(ch, &e);
    else if (ch->is_terminal)
        fprintf(stderr, "[%s is %s]\n", rest, value);
}

static void do_save(chat *ch, char *rest)
{
    hg_err e;
    if (*rest == '\0')
        (void)hg_fail(&e, HG_E_ARG, "/save needs a file's name");
    else if (chat_history_save(&ch->said, rest, &e) == HG_OK) {
        fprintf(stderr, "[%zu messages appended to %s]\n", ch->said.n, rest);
        return;
    }
    told(ch, &e);
}

static void do_quit(chat *ch, char *rest)
{
    (void)rest;
    ch->quit = true;
}

static const struct {
    const char *name;
    void (*run)(chat *ch, char *rest);
} commands[] = {
    {"/help", do_help}, {"/reset", do_reset}, {"/retry", do_retry}, {"/system", do_system},
    {"/set", do_set},   {"/save", do_save},   {"/quit", do_quit},   {"/exit", do_quit},
};

static void run_command(chat *ch, char *line)
{
    const size_t n = strcspn(line, " \t\n");
    char *rest = line + n + strspn(line + n, " \t\n");
    hg_err e;
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
        if (strlen(commands[i].name) == n && strncmp(commands[i].name, line, n) == 0) {
            commands[i].run(ch, rest);
            return;
        }
    (void)hg_fail(&e, HG_E_ARG,
                  "no command \"%.*s\"; /help lists them, // begins a message with a slash", (int)n,
                  line);
    told(ch, &e);
}

/* ---- the conversation ---- */
static void take_message(chat *ch, char *text)
{
    const char *begin = text + strspn(text, " \t\n");
    if (*begin == '\0') return;
    if (text[0] == '/' && text[1] != '/') {
        run_command(ch, text);
        return;
    }
    if (text[0] == '/') text++;
    if (!chat_history_add(&ch->said, "user", text))
        no_room(ch);
    else
        let_answer(ch);
}

static void on_empty_interrupt(chat *ch)
{
    if (ch->warned_interrupt)
        ch->quit = true;
    else
        note("[Ctrl-C once more, Ctrl-D or /quit ends the chat]");
    ch->warned_interrupt = true;
}

static void converse(chat *ch, chat_input *in)
{
    while (!ch->quit && !hg_watch_stopped(&ch->c->watch) && ferror(stdout) == 0) {
        char *text = NULL;
        const chat_read r = chat_input_read(in, &text);
        if (r == CHAT_END) return;
        if (r == CHAT_FAILED) {
            no_room(ch);
            return;
        }
        if (r == CHAT_INTERRUPTED_EMPTY)
            on_empty_interrupt(ch);
        else
            ch->warned_interrupt = false;
        if (r == CHAT_LINE) take_message(ch, text);
        free(text);
    }
}

static void greet_as_eliza(const chat *ch, const char *path)
{
    const hg_bytes opening = hg_eliza_opening(ch->talk.eliza);
    fprintf(stderr, "%s: %zu rules and no parameters. /help lists commands.\n", path,
            hg_eliza_script_size(ch->talk.eliza).rules);
    cli_talk_write(stdout, opening, true);
    (void)fputc('\n', stdout);
    (void)fflush(stdout);
}

static void greet(const chat *ch, const char *path)
{
    char count[32];
    if (!ch->is_terminal || ch->c->quiet) return;
    if (ch->talk.eliza != NULL) {
        greet_as_eliza(ch, path);
        return;
    }
    fprintf(stderr, "%s: %s parameters, %u tokens of context. /help lists commands.\n", path,
            cli_count(count, (double)hg_model_count(ch->talk.model)), ch->talk.n_ctx);
}

/* Only a model that knows who speaks can chat, and only by a template that works. */
static hg_status check_model(chat *ch, const char *path, hg_err *e)
{
    const hg_model *m = ch->talk.model;
    const hg_message probe = {"user", {"?", 1}};
    const hg_chat_input in = {.m = &probe, .n = 1, .open_answer = true};
    const char *text = ch->talk.chat_template;
    hg_ids ids = {0};
    ch->speak = ch->talk.eliza != NULL ? eliza_speaks : model_speaks;
    if (ch->talk.eliza != NULL) return HG_OK;
    if (text == NULL) text = hg_model_chat_template(m);
    if (hg_model_tokenizer(m) == NULL)
        return hg_fail(e, HG_E_MISSING, "%s has no tokenizer, so it cannot read text", path);
    if (text == NULL)
        return hg_fail(e, HG_E_MISSING,
                       "%s has no chat template, so it was not tuned to converse; higgins generate "
                       "lets it go on with a text, --chat-template FILE brings a template",
                       path);
    HG_TRY(hg_chat_format_new(&ch->format, hg_model_tokenizer(m), text, e));
    const hg_status s = hg_chat_format_ids(ch->format, &in, &ids, NULL, e);
    hg_ids_free(&ids);
    return s;
}

static int print_json(chat *ch)
{
    json_t *doc = json_pack("{s:O}", "answers", ch->turns);
    if (doc != NULL) (void)json_dumpf(doc, stdout, JSON_INDENT(2));
    (void)fputc('\n', stdout);
    json_decref(doc);
    return ch->failed ? 1 : 0;
}

/* SIGINT is to reach wait_for_end alone; the library's own threads take no signals. */
static void block_interrupt(void)
{
    sigset_t interrupt;
    (void)sigemptyset(&interrupt);
    (void)sigaddset(&interrupt, SIGINT);
    (void)pthread_sigmask(SIG_BLOCK, &interrupt, NULL);
}

static int run(cli *c, void *values, int n_args, char **args)
{
    chat ch = {.c = c, .v = values, .is_terminal = isatty(STDIN_FILENO) == 1};
    hg_err e = {0};
    chat_input *in = NULL;
    int code = 1;
    (void)n_args;

    if (!cli_sampling_check(&ch.v->sampling, &e)) return cli_misuse(c, "%s", e.msg);
    if (c->json && ch.is_terminal)
        return cli_misuse(c,
                          "chat --json reads its messages from stdin, one a line; none is piped");
    hg_status s = cli_talk_open(&ch.talk, c, args[0], &ch.v->sampling, ch.v->chat_template, &e);
    if (s == HG_OK) s = cli_talk_adapters(&ch.talk, &ch.v->lora, &e);
    if (s == HG_OK) s = check_model(&ch, args[0], &e);
    if (s == HG_OK) s = cli_form_open(&ch.v->form, ch.talk.model, &e);
    if (s != HG_OK) {
        code = cli_fail(c, &e);
        goto done;
    }
    if (c->json) ch.turns = json_array();
    if (ch.is_terminal) block_interrupt();
    in = chat_input_open(ch.is_terminal);
    if (in == NULL || !chat_history_set_system(&ch.said, ch.v->system)) {
        no_room(&ch);
        goto done;
    }
    greet(&ch, args[0]);
    converse(&ch, in);
    code = c->json ? print_json(&ch) : ch.failed && !ch.is_terminal ? 1 : 0;
done:
    chat_input_close(in);
    chat_history_free(&ch.said);
    json_decref(ch.turns);
    hg_chat_format_free(ch.format);
    cli_form_close(&ch.v->form);
    cli_talk_close(&ch.talk);
    return code;
}

static const char *const examples[] = {
    "higgins chat my-model",
    "a conversation in the terminal; /help lists what else can be typed",
    "higgins chat my-model --system \"You answer in one sentence.\" --temperature 0.5",
    "the same with a system message and a calmer choice of words",
    "printf 'Hello!\\nWho are you?\\n' | higgins chat my-model",
    "answers each line of stdin in turn",
    "higgins chat eliza",
    "a conversation with the program of 1966; higgins eliza shows what it thinks",
    NULL,
};

static const cli_option options[] = {
    {"system", 0, CLI_TEXT, "TEXT", "what the model is told before the conversation",
     offsetof(chat_values, system), 0, 0},
    {"chat-template", 0, CLI_TEXT, "FILE", "a template (Jinja) in place of the model's",
     offsetof(chat_values, chat_template), 0, 0},
    CLI_SAMPLING_OPTIONS(chat_values, sampling),
    CLI_FORM_OPTIONS(chat_values, form),
    CLI_LORA_OPTION(chat_values, lora),
    {NULL, 0, CLI_FLAG, NULL, NULL, 0, 0, 0},
};

const cli_command cli_chat = {
    .name = "chat",
    .args = "MODEL",
    .summary = "talk with a model",
    .text =
        "MODEL is a model's folder or a .gguf file that was tuned for conversations, or eliza,\n"
        "eliza:fr or eliza:FILE for ELIZA by that script. On a terminal\n"
        "lines can be edited and earlier ones called back (they are kept in\n"
        "$XDG_STATE_HOME/higgins/chat_history); Ctrl-C stops an answer. When stdin is no terminal\n"
        "each of its lines is a message and each answer is printed; with --json all answers come "
        "as\n"
        "one document at the end. When the context is full, chat says so: nothing is cut silently.",
    .examples = examples,
    .options = options,
    .values_size = sizeof(chat_values),
    .init = init,
    .min_args = 1,
    .max_args = 1,
    .run = run,
};
