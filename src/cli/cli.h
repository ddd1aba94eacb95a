/* The frame of the program: one table of options for each command makes its parser, its --help, the
 * man page and the shell's completion. */
#ifndef CLI_H
#define CLI_H

#include <higgins/base.h>
#include <higgins/machine.h>

typedef enum cli_kind { CLI_FLAG, CLI_INT, CLI_FLOAT, CLI_TEXT, CLI_LIST } cli_kind;

/* What a CLI_LIST option points at: it may be given several times. */
typedef struct cli_list {
    const char **item;
    size_t n;
} cli_list;

/* One option. Its value lies at `offset` in the command's values: bool, int64_t, double, const char
 * *, or cli_list. */
typedef struct cli_option {
    const char *name; /* without the dashes */
    char letter;      /* 0: none */
    cli_kind kind;
    const char *value; /* the value's name in --help: "DIR", "N" */
    const char *help;  /* one line; the default is added from the values */
    size_t offset;
    double min, max; /* of a number; both 0: any */
} cli_option;

typedef struct cli cli;
typedef struct cli_command {
    const char *name;            /* "collect", "tokenizer train" */
    const char *args;            /* "SOURCE..." */
    const char *summary;         /* one line */
    const char *text;            /* a paragraph or more */
    const char *const *examples; /* command lines, each followed by what it does; ends with NULL */
    const cli_option *options;   /* ends with a NULL name */
    size_t values_size;
    void (*init)(void *values); /* fills in the defaults; NULL: zeros */
    int min_args, max_args;     /* of what is not an option; max -1: any number */
    /* Returns the exit code. */
    int (*run)(cli *c, void *values, int n_args, char **args);
} cli_command;

/* What every command has: global options --threads N, --isa SET, --json, --quiet, --verbose,
 * --help. */
struct cli {
    const cli_command *command;
    bool json, quiet, verbose;
    int threads;
    hg_isa isa;
    hg_watch
        watch; /* progress and log to the terminal; stop is set by Ctrl-C (SIGINT) and SIGTERM */
};

/* Prints `higgins: <sentence>` (or {"error": ...} with --json) to stderr and returns 1, or 2 for
 * wrong use. */
int cli_fail(cli *c, const hg_err *e);
int cli_misuse(cli *c, const char *fmt, ...) HG_PRINTF(2, 3);
/* The runtime of --threads and --isa, made on first use and freed when the program ends. */
hg_status cli_runtime(cli *c, hg_runtime **out, hg_err *e);
/* Ends the progress line, so that what is printed next begins on a line of its own. */
void cli_progress_end(cli *c);
/* All of a file as text, to be freed with free; NULL for no path. */
hg_status cli_read_text(const char *path, char **out, hg_err *e);
/* Where a server keeps what outlives it: `given`, or $XDG_DATA_HOME/higgins, or
 * ~/.local/share/higgins. HG_E_MISSING when nothing says where. */
hg_status cli_data_folder(const char *given, char *out, size_t size, hg_err *e);
bool cli_stdout_is_terminal(void);
/* Bytes of the whole UTF-8 character at p, 0 when it is broken. */
size_t cli_utf8_length(const char *p, size_t n);
/* A JSON string with its quotes on stdout; broken bytes become U+FFFD. */
void cli_print_json_string(const char *p, size_t n);
/* "12.3 MB", "1.24 B" (params) ... into buf. */
const char *cli_bytes(char buf[32], double bytes);
const char *cli_count(char buf[32], double n);
const char *cli_duration(char buf[32], double seconds);

#endif
