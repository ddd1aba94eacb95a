/* What train and tune share: values for --set, the run, its printing. */
#ifndef CLI_CMD_TRAIN_H
#define CLI_CMD_TRAIN_H

#include <higgins/task.h>
#include "cli.h"

enum { CLI_MAX_SETS = 128, CLI_MAX_FILES = 256 };

/* "key=value" texts for hg_train_options; those in `own` are freed. */
typedef struct cli_sets {
    const char *item[CLI_MAX_SETS];
    char *own[CLI_MAX_SETS];
    size_t n, n_own;
    hg_train_list list[2]; /* corpus, or data and val_data */
    size_t n_lists;
    const char *mpi; /* --mpi, or NULL */
} cli_sets;

/* "key=value" added; NULL when there is no room. */
char *cli_train_set(cli_sets *s, const char *key, const char *value);
/* --set and --out; false when there is no room. */
bool cli_train_sets(cli_sets *s, const cli_list *set, const char *out);
/* A list of files; nothing when it is empty. `item` is borrowed. */
void cli_train_files(cli_sets *s, const char *key, const char *const *item, size_t n);
/* All that was set. */
void cli_train_give(const cli_sets *s, hg_train_options *o);
void cli_train_free(cli_sets *s);
/* Runs, prints, frees the sets; the exit code. */
int cli_train_go(cli *c, cli_sets *sets, hg_train_options *o, hg_stage stage);
void cli_train_print(const cli *c, const hg_train_result *r, const hg_task_report *task);
void cli_train_print_keys(hg_stage stage);

#endif
