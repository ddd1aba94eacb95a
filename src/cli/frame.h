/* What main.c and the files that work on the option tables share. */
#ifndef CLI_FRAME_H
#define CLI_FRAME_H

#include "cli.h"

/* The options that every command has; their values are members of `cli_global`. */
typedef struct cli_global {
    int64_t threads;
    const char *isa;
    bool json, quiet, verbose, help;
} cli_global;
extern const cli_option cli_global_options[];

/* help.c */
void cli_print_help(const cli_command *c, const void *defaults);
void cli_print_overview(void);
void cli_print_man(void);
void cli_print_completion(void);

/* options.c: sorts argv into values, globals and the rest. Returns 0, or 2 after saying what is
 * wrong. `args` has room for argc. */
int cli_parse(cli *c, int argc, char **argv, void *values, cli_global *g, int *n_args, char **args);
/* Frees the items of list options. */
void cli_free_lists(const cli_command *c, void *values);

/* progress.c */
void cli_progress_open(cli *c);

#endif
