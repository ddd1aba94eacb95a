/* higgins eliza: a conversation with the program of 1966, and a look at what it thinks. */
#include "chat_input.h"
#include "talk.h"

#include <higgins/eliza.h>
#include <jansson.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct eliza_values {
    const char *script, *lang, *html;
    cli_list replay;
    bool trace, commas_apart, six_letters, none_for_stuck, stuck_newkey;
} eliza_values;

typedef struct talk {
    cli *c;
    const eliza_values *v;
    char *name; /* the model's: "eliza:fr" */
    hg_eliza_script *script;
    hg_eliza *el;
    hg_eliza_page *page;
    json_t *turns; /* with --json */
    bool has_colour, shows_trace, in_line, behind_note, is_terminal;
    size_t n_equal, n_spaced, n_other; /* replies of --replay that are, or are not, as recorded */
} talk;

static void init(void *values)
{
    eliza_values *v = values;
    v->lang = "en";
}

/* ---- the trace, with ink ---- */
static const char *ink_on(hg_eliza_ink ink, uint32_t piece)
{
    static const char *const pieces[] = {"\033[36m", "\033[33m", "\033[32m",
                                         "\033[35m", "\033[94m", "\033[31m"};
    static const char *const on[] = {
        [HG_ELIZA_INK_LABEL] = "\033[2m",  [HG_ELIZA_INK_TEXT] = "",
        [HG_ELIZA_INK_WORD] = "",          [HG_ELIZA_INK_KEY] = "\033[1;7m",
        [HG_ELIZA_INK_PIECE] = "",         [HG_ELIZA_INK_GONE] = "\033[9;31m",
        [HG_ELIZA_INK_MEMORY] = "\033[4m", [HG_ELIZA_INK_NOTE] = "\033[2m",
        [HG_ELIZA_INK_REPLY] = "\033[1m"};
    return ink == HG_ELIZA_INK_PIECE ? pieces[(piece - 1) % 6] : on[ink];
}

static void put_ink(void *ctx, hg_eliza_ink ink, uint32_t piece, hg_bytes text)
{
    talk *t = ctx;
    const char *begin = "", *end = "";
    if (ink == HG_ELIZA_INK_LABEL) {
        begin = t->in_line ? "\n  " : "  ";
        end = &"           "[text.n < 10 ? text.n : 10];
        t->in_line = true;
    } else if (ink == HG_ELIZA_INK_NOTE) {
        begin = "  ";
    } else if (t->behind_note) {
        begin = " ";
    }
    t->behind_note = ink == HG_ELIZA_INK_NOTE;
    printf("%s%s", begin, t->has_colour ? ink_on(ink, piece) : "");
    cli_talk_write(stdout, text, true);
    printf("%s%s", t->has_colour ? "\033[0m" : "", end);
}

static void print_trace(talk *t)
{
    t->in_line = false;
    hg_eliza_tell(t->el, put_ink, t);
    if (t->in_line) printf("\n");
}

/* ---- JSON ---- */
static json_t *text_json(hg_bytes b)
{
    json_t *v = json_stringn(b.p, b.n);
    return v != NULL ? v : json_null();
}

static void set_text(json_t *o, const char *key, hg_bytes b)
{
    if (b.n > 0) (void)json_object_set_new(o, key, text_json(b));
}

static json_t *event_json(const hg_eliza_event *ev)
{
    json_t *o = json_pack("{s:s}", "step", hg_eliza_kind_name(ev->kind));
    set_text(o, "text", ev->text);
    set_text(o, "other", ev->other);
    if (ev->n > 0 || ev->kind == HG_ELIZA_KEYWORD)
        (void)json_object_set_new(o, ev->kind == HG_ELIZA_KEYWORD ? "rank" : "n",
                                  json_integer(ev->n));
    if (ev->of > 0) (void)json_object_set_new(o, "of", json_integer(ev->of));
    if (ev->kind == HG_ELIZA_KEYWORD)
        (void)json_object_set_new(o, "on_top", json_boolean(ev->is_top));
    if (ev->n_parts == 0) return o;
    json_t *parts = json_array();
    for (size_t i = 0; i < ev->n_parts; i++)
        (void)json_array_append_new(parts, text_json(ev->part[i]));
    (void)json_object_set_new(o, "parts", parts);
    return o;
}

static json_t *trace_json(const hg_eliza *el)
{
    size_t n;
    const hg_eliza_event *ev = hg_eliza_events(el, &n);
    json_t *a = json_array();
    for (size_t i = 0; i < n; i++) (void)json_array_append_new(a, event_json(&ev[i]));
    return a;
}

static void keep_turn(talk *t, hg_bytes input, hg_bytes reply, const char *expected)
{
    json_t *turn = json_object();
    (void)json_object_set_new(turn, "input", text_json(input));
    (void)json_object_set_new(turn, "reply", text_json(reply));
    if (expected != NULL) {
        const bool equal = strlen(expected) == reply.n && memcmp(expected, reply.p, reply.n) == 0;
        (void)json_object_set_new(turn, "expected", json_string(expected));
        (void)json_object_set_new(turn, "equal", json_boolean(equal));
    }
    if (t->shows_trace) (void)json_object_set_new(turn, "trace", trace_json(t->el));
    (void)json_array_append_new(t->turns, turn);
}

static void print_json(talk *t)
{
    const hg_bytes opening = hg_eliza_opening(t->script);
    json_t *doc = json_pack("{s:s, s:o, s:O}", "script", t->name, "opening", text_json(opening),
                            "turns", t->turns);
    if (doc != NULL) (void)json_dumpf(doc, stdout, JSON_INDENT(2));
    printf("\n");
    json_decref(doc);
}

/* ---- one exchange ---- */
static hg_status exchange(talk *t, hg_bytes input, const char *expected, hg_bytes *reply, hg_err *e)
{
    const hg_status s = hg_eliza_reply(t->el, input, reply, e);
    if (t->turns == NULL && t->shows_trace) print_trace(t);
    HG_TRY(s);
    if (t->page != NULL) hg_eliza_page_add(t->page, t->el, input, *reply);
    if (t->turns != NULL) {
        keep_turn(t, input, *reply, expected);
        return HG_OK;
    }
    cli_talk_write(stdout, *reply, cli_stdout_is_terminal());
    printf("\n");
    (void)fflush(stdout);
    return HG_OK;
}

/* ---- what begins with a star is for the program, not for ELIZA ---- */
static void print_bytes(hg_bytes b)
{
    cli_talk_write(stdout, b, cli_stdout_is_terminal());
}

static void print_rule(const talk *t, const char *word)
{
    const hg_bytes rule = hg_eliza_rule(t->script, (hg_bytes){word, strlen(word)});
    if (rule.n == 0) {
        printf("no rule is for %s\n", word);
        return;
    }
    print_bytes(rule);
    printf("\n");
}

static void print_keywords(const talk *t)
{
    for (size_t i = 0, column = 0; i < hg_eliza_n_keywords(t->script); i++) {
        const hg_bytes k = hg_eliza_keyword(t->script, i);
        if (column > 0) printf(column + k.n > 76 ? "\n" : " ");
        column = column + k.n > 76 ? k.n : column + k.n + 1;
        print_bytes(k);
    }
    printf("\n");
}

static void run_command(talk *t, const char *line)
{
    const char *word = line + strcspn(line, " ");
    const size_t n = (size_t)(word - line);
    word += strspn(word, " ");
    if (strcmp(line, "*") == 0) {
        print_trace(t);
    } else if (strcmp(line, "*trace") == 0) {
        t->shows_trace = !t->shows_trace;
    } else if (n == 4 && strncmp(line, "*key", 4) == 0) {
        *word != '\0' ? print_rule(t, word) : print_keywords(t);
    } else {
        printf("*            what ELIZA thought of the last sentence\n"
               "*trace       show that for each sentence, or stop it\n"
               "*key         the keywords of the script\n"
               "*key WORD    the rule of a keyword (NONE and MEMORY are two)\n"
               "An empty line ends the conversation.\n");
    }
    (void)fflush(stdout);
}

static int converse(talk *t)
{
    hg_err e;
    hg_bytes reply;
    bool failed = false;
    chat_input *in = chat_input_open(t->is_terminal);
    if (in == NULL) {
        (void)hg_fail(&e, HG_E_NOMEM, "no room for the conversation");
        return cli_fail(t->c, &e);
    }
    while (!hg_watch_stopped(&t->c->watch) && ferror(stdout) == 0) {
        char *text = NULL;
        const chat_read r = chat_input_read(in, &text);
        if (r == CHAT_INTERRUPTED) continue;
        if (r != CHAT_LINE || text[strspn(text, " \t")] == '\0') {
            free(text);
            break;
        }
        if (text[0] == '*') {
            run_command(t, text);
        } else if (exchange(t, (hg_bytes){text, strlen(text)}, NULL, &reply, &e) != HG_OK) {
            (void)cli_fail(t->c, &e);
            failed = true;
        }
        free(text);
    }
    chat_input_close(in);
    return failed && !t->is_terminal ? 1 : 0;
}

/* ---- recorded conversations ---- */

/* Equal but for spaces before commas, which the listing of 1965 prints. */
static bool is_spaced(const char *a, hg_bytes b)
{
    size_t i = 0;
    for (; *a != '\0'; a++) {
        if (a[0] == ' ' && a[1] == ',' && !(i < b.n && b.p[i] == ' ')) continue;
        if (i == b.n || b.p[i++] != *a) return false;
    }
    return i == b.n;
}

static void compare(talk *t, const char *path, size_t line, const char *expected, hg_bytes reply)
{
    if (strlen(expected) == reply.n && memcmp(expected, reply.p, reply.n) == 0) {
        t->n_equal++;
    } else if (is_spaced(expected, reply)) {
        t->n_spaced++;
    } else {
        t->n_other++;
        fprintf(stderr, "higgins: %s, line %zu: the reply is \"%.*s\", not \"%s\"\n", path, line,
                (int)reply.n, reply.p, expected);
    }
}

/* Lines of an input and, behind a tab, the reply that was recorded; those with # are remarks. */
static hg_status replay_file(talk *t, const char *path, hg_err *e)
{
    char *text = NULL;
    hg_status s = cli_read_text(path, &text, e);
    size_t number = 0;
    for (char *line = text, *next; s == HG_OK && line != NULL && *line != '\0'; line = next) {
        hg_bytes reply;
        next = strchr(line, '\n');
        if (next != NULL) *next++ = '\0';
        number++;
        if (line[0] == '#') continue;
        line[strcspn(line, "\r")] = '\0';
        char *expected = strchr(line, '\t');
        if (expected != NULL) *expected++ = '\0';
        s = exchange(t, (hg_bytes){line, strlen(line)}, expected, &reply, e);
        if (s == HG_OK && expected != NULL) compare(t, path, number, expected, reply);
    }
    free(text);
    return s;
}

static int replay(talk *t)
{
    hg_err e;
    for (size_t i = 0; i < t->v->replay.n; i++)
        if (replay_file(t, t->v->replay.item[i], &e) != HG_OK) return cli_fail(t->c, &e);
    const size_t n = t->n_equal + t->n_spaced + t->n_other;
    if (n > 0 && !t->c->quiet)
        fprintf(stderr, "%zu of %zu replies are as recorded\n", t->n_equal, n);
    if (t->n_spaced > 0 && !t->c->quiet)
        fprintf(stderr,
                "%zu more differ in a space before a comma alone, as the listing of 1965 types it; "
                "--commas-apart does too\n",
                t->n_spaced);
    return t->n_other > 0 ? 1 : 0;
}

/* ---- life ---- */
static hg_status open_talk(talk *t, hg_err *e)
{
    const eliza_values *v = t->v;
    const char *name = v->script != NULL ? v->script : v->lang;
    hg_eliza_options o;
    hg_eliza_options_init(&o);
    o.trace = true;
    o.commas_apart = v->commas_apart;
    o.six_letters = v->six_letters;
    o.none_for_stuck = v->none_for_stuck;
    o.stuck_newkey = v->stuck_newkey;
    const size_t n = strlen(name) + sizeof "eliza:./";
    t->name = malloc(n);
    if (t->name == NULL) return hg_fail(e, HG_E_NOMEM, "no room for a name");
    /* A file named en is not the built-in script. */
    const bool is_word = v->script != NULL && strchr(name, '/') == NULL;
    (void)snprintf(t->name, n, "eliza:%s%s", is_word ? "./" : "", name);
    HG_TRY(hg_eliza_script_open(&t->script, t->name, e));
    HG_TRY(hg_eliza_new(&t->el, t->script, &o, e));
    return v->html != NULL ? hg_eliza_page_new(&t->page, t->script, t->name + 6, e) : HG_OK;
}

static void close_talk(talk *t)
{
    hg_eliza_page_free(t->page);
    hg_eliza_free(t->el);
    hg_eliza_script_free(t->script);
    json_decref(t->turns);
    free(t->name);
}

/* Piped inputs get a line each on stdout and nothing more. */
static void greet(const talk *t)
{
    const hg_bytes opening = hg_eliza_opening(t->script);
    FILE *f = t->is_terminal ? stdout : stderr;
    if (t->turns != NULL || t->v->replay.n > 0 || t->c->quiet) return;
    cli_talk_write(f, opening, true);
    fprintf(f, "\n");
    (void)fflush(f);
    if (t->is_terminal)
        fprintf(stderr, "[*help lists commands; an empty line ends the conversation]\n");
}

static int run(cli *c, void *values, int n_args, char **args)
{
    const char *no_colour = getenv("NO_COLOR");
    talk t = {.c = c, .v = values, .is_terminal = isatty(STDIN_FILENO) == 1};
    hg_err e = {0};
    int code;
    (void)n_args;
    (void)args;

    if (strcmp(t.v->lang, "en") != 0 && strcmp(t.v->lang, "fr") != 0)
        return cli_misuse(c, "--lang: \"%s\" is not en or fr; --script takes a file", t.v->lang);
    t.has_colour = cli_stdout_is_terminal() && (no_colour == NULL || no_colour[0] == '\0');
    t.shows_trace = t.v->trace;
    if (c->json) t.turns = json_array();
    hg_status s = open_talk(&t, &e);
    if (s == HG_OK) {
        greet(&t);
        code = t.v->replay.n > 0 ? replay(&t) : converse(&t);
        if (c->json) print_json(&t);
        if (t.page != NULL) s = hg_eliza_page_write(t.page, t.v->html, &e);
    }
    if (s != HG_OK) code = cli_fail(c, &e);
    close_talk(&t);
    return code;
}

static const cli_option options[] = {
    {"script", 's', CLI_TEXT, "FILE", "a script of the paper's form, in place of our own",
     offsetof(eliza_values, script), 0, 0},
    {"lang", 'l', CLI_TEXT, "LANG", "the language of our own script: en or fr",
     offsetof(eliza_values, lang), 0, 0},
    {"trace", 0, CLI_FLAG, NULL, "show each step that led to a reply",
     offsetof(eliza_values, trace), 0, 0},
    {"html", 0, CLI_TEXT, "FILE", "write the conversation and its steps as a page",
     offsetof(eliza_values, html), 0, 0},
    {"replay", 0, CLI_LIST, "FILE",
     "say the lines of a file and compare the replies with those behind its tabs",
     offsetof(eliza_values, replay), 0, 0},
    {"commas-apart", 0, CLI_FLAG, NULL, "type \"REALLY , EVERYONE\", as the listing of 1965 does",
     offsetof(eliza_values, commas_apart), 0, 0},
    {"six-letters", 0, CLI_FLAG, NULL, "compare lists in cells of six letters, as the 7094 did",
     offsetof(eliza_values, six_letters), 0, 0},
    {"none-for-stuck", 0, CLI_FLAG, NULL, "answer with NONE where no pattern fits",
     offsetof(eliza_values, none_for_stuck), 0, 0},
    {"stuck-newkey", 0, CLI_FLAG, NULL,
     "answer with a fixed message, not NONE, when NEWKEY finds no other keyword",
     offsetof(eliza_values, stuck_newkey), 0, 0},
    {NULL, 0, CLI_FLAG, NULL, NULL, 0, 0, 0}};

static const char *const examples[] = {
    "higgins eliza",
    "a conversation in English; an empty line ends it",
    "higgins eliza --lang fr --trace",
    "in French, and each step that leads to a reply",
    "printf 'I am sad\\nmy mother\\n' | higgins eliza --html eliza.html",
    "answers each line of stdin and writes a page to look at",
    "higgins eliza --script doctor.txt --replay paper.tsv --quiet",
    "runs a historical script and compares its replies with recorded ones",
    NULL};

const cli_command cli_eliza = {
    .name = "eliza",
    .summary = "talk with the program of 1966",
    .text =
        "ELIZA as Joseph Weizenbaum's paper describes it: keywords, decomposition, reassembly,\n"
        "memory. It runs every script of the paper's form; docs/eliza.md says where the\n"
        "historical ones are published. Wherever Higgins takes a model, eliza, eliza:fr and\n"
        "eliza:FILE are one: higgins chat eliza, higgins serve eliza. Lines that begin with a\n"
        "star are commands: *help lists them.",
    .examples = examples,
    .options = options,
    .values_size = sizeof(eliza_values),
    .init = init,
    .min_args = 0,
    .max_args = 0,
    .run = run};
