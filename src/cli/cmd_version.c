/* higgins version: what this program is made of, as a report of a fault should say it. */
#include "launch.h"

#include <histedit.h>
#include <stdio.h>
#include <string.h>

static const char *const examples[] = {
    "higgins version",
    "the version, the compiler, the instruction sets and the libraries",
    "higgins version --json",
    "the same for a program to read",
    NULL,
};

static void print_json(const hg_build_info *b, hg_isa used)
{
    const char *comma = "";
    char plugins[64];
    printf("{\"version\": \"" HG_VERSION "\", \"compiler\": ");
    cli_print_json_string(b->compiler, strlen(b->compiler));
    printf(", \"build_type\": \"%s\", \"sanitizers\": \"%s\", \"isa\": {\"used\": \"%s\", "
           "\"built\": [",
           b->build_type, b->sanitizers, hg_isa_name(used));
    for (int i = 0; i < HG_N_ISA; i++)
        if (hg_isa_is_built((hg_isa)i)) {
            printf("%s\"%s\"", comma, hg_isa_name((hg_isa)i));
            comma = ", ";
        }
    printf("]}, \"mpi\": ");
    cli_print_json_string(cli_ranks_plugins(plugins), strlen(cli_ranks_plugins(plugins)));
    printf(", \"libraries\": {");
    for (size_t i = 0; i < b->n_libraries; i++) {
        const hg_library *l = &b->libraries[i];
        printf("\"%s\": ", l->name);
        if (l->version[0] != '\0')
            cli_print_json_string(l->version, strlen(l->version));
        else
            printf("null");
        printf(", ");
    }
    printf("\"libedit\": \"%d.%d\"}}\n", LIBEDIT_MAJOR, LIBEDIT_MINOR);
}

static void print_text(const hg_build_info *b, hg_isa used)
{
    char plugins[64];
    printf("higgins " HG_VERSION "\n");
    printf("compiler          %s, %s%s%s\n", b->compiler, b->build_type,
           b->sanitizers[0] != '\0' ? ", sanitizers " : "", b->sanitizers);
    printf("instruction sets ");
    for (int i = 0; i < HG_N_ISA; i++)
        if (hg_isa_is_built((hg_isa)i)) printf(" %s", hg_isa_name((hg_isa)i));
    printf(" (in use: %s)\n", hg_isa_name(used));
    for (size_t i = 0; i < b->n_libraries; i++) {
        const hg_library *l = &b->libraries[i];
        printf("%-17s %s\n", l->name, l->version[0] != '\0' ? l->version : "in");
    }
    printf("%-17s %d.%d\n", "libedit", LIBEDIT_MAJOR, LIBEDIT_MINOR);
    printf("%-17s %s\n", "MPI plug-ins", *cli_ranks_plugins(plugins) != '\0' ? plugins : "none");
}

static int run(cli *c, void *values, int n_args, char **args)
{
    hg_build_info b;
    hg_isa used = hg_isa_detect();
    (void)values;
    (void)n_args;
    (void)args;
    if (c->isa < used) used = c->isa;
    hg_build_describe(&b);
    if (c->json)
        print_json(&b, used);
    else
        print_text(&b, used);
    return 0;
}

const cli_command cli_version = {
    .name = "version",
    .args = "",
    .summary = "say what this program is made of",
    .text = "The version, the compiler and kind of build, the instruction sets that are built in "
            "and the one in use, and the version of each library.",
    .examples = examples,
    .run = run,
};
