/* --help, the man page and the shell's completion, all made from the option tables. */
#include "commands.h"
#include "frame.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The default of an option as text; "" when there is none worth telling. */
static const char *default_text(char *buf, size_t cap, const cli_option *o, const void *values)
{
    const void *at = (const char *)values + o->offset;
    buf[0] = '\0';
    if (values == NULL) return buf;
    if (o->kind == CLI_INT)
        (void)snprintf(buf, cap, " [%lld]", (long long)*(const int64_t *)at);
    else if (o->kind == CLI_FLOAT)
        (void)snprintf(buf, cap, " [%g]", *(const double *)at);
    else if (o->kind == CLI_TEXT && *(const char *const *)at != NULL)
        (void)snprintf(buf, cap, " [%s]", *(const char *const *)at);
    return buf;
}

static void print_options(const cli_option *o, const void *values)
{
    for (; o != NULL && o->name != NULL; o++) {
        char left[64], def[64];
        (void)snprintf(left, sizeof left, "--%s%s%s", o->name, o->value != NULL ? " " : "",
                       o->value != NULL ? o->value : "");
        if (o->letter != 0)
            printf("  -%c, %-24s", o->letter, left);
        else
            printf("      %-24s", left);
        printf(" %s%s%s\n", o->help, o->kind == CLI_LIST ? "; may be given several times" : "",
               default_text(def, sizeof def, o, values));
    }
}

void cli_print_help(const cli_command *c, const void *defaults)
{
    cli_global g = {0};
    printf("higgins %s%s%s%s\n%c%s.\n", c->name, c->args != NULL ? " " : "",
           c->args != NULL ? c->args : "", c->options != NULL ? " [OPTION...]" : "",
           toupper((unsigned char)c->summary[0]), c->summary + 1);
    if (c->text != NULL) printf("\n%s\n", c->text);
    if (c->options != NULL && c->options->name != NULL) {
        printf("\nOptions\n");
        print_options(c->options, defaults);
    }
    printf("\nAlways\n");
    print_options(cli_global_options, &g);
    if (c->examples != NULL) {
        printf("\nExamples\n");
        for (const char *const *x = c->examples; x[0] != NULL && x[1] != NULL; x += 2)
            printf("  %s\n      %s\n", x[0], x[1]);
    }
}

void cli_print_overview(void)
{
    printf("Higgins: the whole life of a language model in one program.\n\n"
           "  higgins COMMAND [ARGUMENT...] [OPTION...]\n\n");
    for (const cli_command *const *c = cli_commands; *c != NULL; c++)
        printf("  %-18s %s\n", (*c)->name, (*c)->summary);
    printf("\nhiggins COMMAND --help tells all of a command, with examples.\n");
}

/* ---- roff ---- */

/* Text for roff: backslashes and leading dots or quotes would be read as commands, hyphens as
 * typographic ones. */
static void roff(const char *s)
{
    bool is_line_start = true;
    for (; *s != '\0'; s++) {
        if (is_line_start && (*s == '.' || *s == '\'')) printf("\\&");
        if (*s == '\\')
            printf("\\e");
        else if (*s == '-')
            printf("\\-");
        else
            putchar(*s);
        is_line_start = *s == '\n';
    }
}

static void man_options(const cli_option *o, const void *values)
{
    for (; o != NULL && o->name != NULL; o++) {
        char def[64];
        printf(".TP\n.B ");
        if (o->letter != 0) printf("\\-%c, ", o->letter);
        printf("\\-\\-");
        roff(o->name);
        if (o->value != NULL) printf(" \\fI%s\\fR", o->value);
        printf("\n");
        roff(o->help);
        roff(default_text(def, sizeof def, o, values));
        printf("\n");
    }
}

static void man_command(const cli_command *c)
{
    void *values = c->values_size > 0 ? calloc(1, c->values_size) : NULL;
    if (values != NULL && c->init != NULL) c->init(values);
    printf(".SS ");
    roff(c->name);
    printf(" %s\n", c->args != NULL ? c->args : "");
    roff(c->summary);
    printf(".\n");
    if (c->text != NULL) {
        printf(".PP\n");
        roff(c->text);
        printf("\n");
    }
    man_options(c->options, values);
    for (const char *const *x = c->examples; x != NULL && x[0] != NULL && x[1] != NULL; x += 2) {
        printf(".PP\n.RS\n.EX\n");
        roff(x[0]);
        printf("\n.EE\n.RE\n");
        roff(x[1]);
        printf("\n");
    }
    free(values);
}

void cli_print_man(void)
{
    cli_global g = {0};
    printf(".TH HIGGINS 1 \"\" \"higgins " HG_VERSION "\" \"User Commands\"\n"
           ".SH NAME\nhiggins \\- the whole life of a language model in one program\n"
           ".SH SYNOPSIS\n.B higgins\n.I COMMAND\n[\\fIARGUMENT\\fR...] [\\fIOPTION\\fR...]\n.SH "
           "COMMANDS\n");
    for (const cli_command *const *c = cli_commands; *c != NULL; c++) man_command(*c);
    printf(".SH OPTIONS OF EVERY COMMAND\n");
    man_options(cli_global_options, &g);
    printf(".SH EXIT STATUS\n0 done, 1 failed, 2 wrong use.\n");
}

/* ---- bash ---- */

void cli_print_completion(void)
{
    printf("_higgins()\n{\n    local cur=${COMP_WORDS[COMP_CWORD]} opts\n    case "
           "\"${COMP_WORDS[1]} ${COMP_WORDS[2]}\" in\n");
    /* Names of two words first: a pattern of one word would take them. */
    for (int words = 2; words >= 1; words--)
        for (const cli_command *const *c = cli_commands; *c != NULL; c++) {
            bool is_two = strchr((*c)->name, ' ') != NULL;
            if (is_two != (words == 2)) continue;
            printf("    \"%s%s\"*) opts=\"", (*c)->name, is_two ? "" : " ");
            for (const cli_option *o = (*c)->options; o != NULL && o->name != NULL; o++)
                printf("--%s ", o->name);
            printf("\" ;;\n");
        }
    printf("    esac\n    if [ \"$COMP_CWORD\" = 1 ]; then\n        COMPREPLY=($(compgen -W \"");
    const char *before = "";
    for (const cli_command *const *c = cli_commands; *c != NULL; c++) {
        size_t n = strcspn((*c)->name, " ");
        if (strncmp(before, (*c)->name, n) != 0 || (before[n] != '\0' && before[n] != ' '))
            printf("%.*s ", (int)n, (*c)->name);
        before = (*c)->name;
    }
    printf("\" -- \"$cur\"))\n    elif [[ $cur == -* ]]; then\n        COMPREPLY=($(compgen -W "
           "\"$opts");
    for (const cli_option *o = cli_global_options; o->name != NULL; o++) printf(" --%s", o->name);
    printf("\" -- \"$cur\"))\n    else\n        COMPREPLY=($(compgen -f -- \"$cur\"))\n    fi\n}\n"
           "complete -o filenames -F _higgins higgins\n");
}
