/* higgins: the first client of libhiggins. Finds the command, reads its options, runs it. */
#include "commands.h"
#include "frame.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Set by SIGINT, SIGTERM and SIGUSR1 (which mpirun and Slurm's --signal hand on to ranks); long
 * work looks at it through its watch. */
static atomic_bool stop_asked;
static hg_runtime *runtime;

static void on_signal(int sig)
{
    /* A second request means it: the default action ends the program. Nothing whole is at risk, all
     * writing is atomic. */
    if (atomic_exchange(&stop_asked, true)) {
        (void)signal(sig, SIG_DFL);
        (void)raise(sig);
    }
}

static void watch_signals(void)
{
    struct sigaction sa = {.sa_handler = on_signal};
    (void)sigemptyset(&sa.sa_mask);
    (void)sigaction(SIGINT, &sa, NULL);
    (void)sigaction(SIGTERM, &sa, NULL);
    (void)sigaction(SIGUSR1, &sa, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
}

static void print_json_text(FILE *f, const char *s)
{
    fputc('"', f);
    for (; *s != '\0'; s++) {
        unsigned char ch = (unsigned char)*s;
        if (ch == '"' || ch == '\\')
            fprintf(f, "\\%c", ch);
        else if (ch < 0x20)
            fprintf(f, "\\u%04x", ch);
        else
            fputc(ch, f);
    }
    fputc('"', f);
}

static void say(cli *c, const char *status, const char *text)
{
    cli_progress_end(c);
    if (c->json) {
        fprintf(stderr, "{\"error\": {\"status\": \"%s\", \"message\": ", status);
        print_json_text(stderr, text);
        fprintf(stderr, "}}\n");
    } else {
        fprintf(stderr, "higgins: %s\n", text);
    }
}

int cli_fail(cli *c, const hg_err *e)
{
    say(c, hg_status_name(e->status), e->msg);
    return 1;
}

int cli_misuse(cli *c, const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    say(c, "usage", text);
    return 2;
}

hg_status cli_runtime(cli *c, hg_runtime **out, hg_err *e)
{
    if (runtime == NULL) HG_TRY(hg_runtime_new(&runtime, c->threads, c->isa, e));
    *out = runtime;
    return HG_OK;
}

/* The command whose name's words begin argv; *n_words says how many. */
static const cli_command *find_command(int argc, char **argv, int *n_words)
{
    for (const cli_command *const *c = cli_commands; *c != NULL; c++) {
        const char *name = (*c)->name, *space = strchr(name, ' ');
        if (space == NULL) {
            *n_words = 1;
            if (argc >= 1 && strcmp(argv[0], name) == 0) return *c;
        } else {
            *n_words = 2;
            size_t n = (size_t)(space - name);
            if (argc >= 2 && strlen(argv[0]) == n && strncmp(argv[0], name, n) == 0 &&
                strcmp(argv[1], space + 1) == 0)
                return *c;
        }
    }
    return NULL;
}

/* "tokenizer" alone, or with a word that is none of its own: tells what it can be followed by. */
static int tell_subcommands(cli *c, const char *word)
{
    char text[256] = "";
    size_t n = strlen(word);
    for (const cli_command *const *k = cli_commands; *k != NULL; k++)
        if (strncmp((*k)->name, word, n) == 0 && (*k)->name[n] == ' ') {
            size_t at = strlen(text);
            (void)snprintf(text + at, sizeof text - at, "%s%s", at > 0 ? ", " : "",
                           (*k)->name + n + 1);
        }
    if (text[0] != '\0') return cli_misuse(c, "%s: one of %s must follow", word, text);
    return cli_misuse(c, "no command \"%s\"; higgins --help lists them", word);
}

static int check_args(cli *c, int n_args)
{
    const cli_command *k = c->command;
    if (n_args < k->min_args)
        return cli_misuse(c, "%s needs %s; see higgins %s --help", k->name, k->args, k->name);
    if (k->max_args >= 0 && n_args > k->max_args)
        return cli_misuse(c, "%s: too many arguments; it takes %s", k->name,
                          k->max_args == 0 ? "none" : k->args);
    return 0;
}

static int run_command(cli *c, int argc, char **argv)
{
    const cli_command *k = c->command;
    cli_global g = {0};
    void *values = calloc(1, k->values_size > 0 ? k->values_size : 1);
    char **args = calloc((size_t)argc + 1, sizeof *args);
    int n_args = 0, code = 1;
    if (values == NULL || args == NULL) {
        code = cli_misuse(c, "no memory");
        goto done;
    }
    if (k->init != NULL) k->init(values);
    /* --json is looked for first, so that misuse is told in the form that was asked for. */
    for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--json") == 0) c->json = true;
    code = cli_parse(c, argc, argv, values, &g, &n_args, args);
    if (code != 0) goto done;
    if (g.help) {
        if (k->init != NULL) k->init(values);
        cli_print_help(k, values);
        goto done;
    }
    c->json = g.json;
    c->quiet = g.quiet;
    c->verbose = g.verbose;
    c->threads = (int)g.threads;
    c->isa = HG_N_ISA;
    if (g.isa != NULL && !hg_isa_parse(g.isa, &c->isa)) {
        code = cli_misuse(
            c, "--isa: \"%s\" is no instruction set; c, avx2, avx512, amx or neon allowed", g.isa);
        goto done;
    }
    code = check_args(c, n_args);
    if (code == 0) code = k->run(c, values, n_args, args);
done:
    cli_progress_end(c);
    if (values != NULL) cli_free_lists(k, values);
    free(values);
    free(args);
    return code;
}

int main(int argc, char **argv)
{
    static const cli_command none = {.name = ""};
    cli c = {.command = &none, .watch = {.stop = &stop_asked}};
    int n_words = 0;
    if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0) {
        cli_print_overview();
        return argc < 2 ? 2 : 0;
    }
    if (strcmp(argv[1], "--version") == 0) argv[1] = argv[1] + 2;
    if (strcmp(argv[1], "--man") == 0 || strcmp(argv[1], "--completion") == 0) {
        if (argv[1][2] == 'm')
            cli_print_man();
        else
            cli_print_completion();
        return 0;
    }
    cli_progress_open(&c);
    c.command = find_command(argc - 1, argv + 1, &n_words);
    if (c.command == NULL) {
        c.command = &none;
        return tell_subcommands(&c, argv[1]);
    }
    watch_signals();
    int code = run_command(&c, argc - 1 - n_words, argv + 1 + n_words);
    hg_runtime_free(runtime);
    /* A full disk or a closed pipe shows only when the last bytes leave. */
    if (fflush(stdout) != 0 && code == 0) {
        fprintf(stderr, "higgins: cannot write the output\n");
        code = 1;
    }
    return code;
}
