/* Reading what the user says. On a terminal libedit gives editing and a history that is kept in the
 * user's state folder; elsewhere each line of stdin is a message. A backslash at a line's end goes
 * on with the message in the next line. */
#include "chat_input.h"

#include <errno.h>
#include <histedit.h>
#include <langinfo.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct chat_input {
    EditLine *edit; /* NULL: lines of stdin */
    History *history;
    char *file; /* of the history; NULL: not kept */
    bool is_more, interrupted, was_empty;
};

enum { HISTORY_LINES = 1000 };

/* Makes every folder of the path before its last slash. */
static void make_folders(char *path)
{
    for (char *p = path + 1; *p != '\0'; p++) {
        if (*p != '/') continue;
        *p = '\0';
        (void)mkdir(path, 0700);
        *p = '/';
    }
}

/* $XDG_STATE_HOME/higgins/chat_history, or below ~/.local/state; NULL without a home. */
static char *history_file(void)
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    char *path = NULL;
    int n = -1;
    if (state != NULL && state[0] == '/')
        n = asprintf(&path, "%s/higgins/chat_history", state);
    else if (home != NULL && home[0] == '/')
        n = asprintf(&path, "%s/.local/state/higgins/chat_history", home);
    if (n < 0) return NULL;
    make_folders(path);
    return path;
}

static char *prompt(EditLine *el)
{
    static char first[] = "> ", more[] = ". ";
    chat_input *in = NULL;
    (void)el_get(el, EL_CLIENTDATA, &in);
    return in->is_more ? more : first;
}

/* Ctrl-C as a key: ends the line as Ctrl-D would, with a note of why. */
static unsigned char on_interrupt(EditLine *el, int ch)
{
    chat_input *in = NULL;
    const LineInfo *line = el_line(el);
    (void)ch;
    (void)el_get(el, EL_CLIENTDATA, &in);
    in->interrupted = true;
    in->was_empty = line->buffer == line->lastchar;
    (void)fputs("^C", stdout);
    return CC_EOF;
}

static void set_locale(void)
{
    /* libedit moves the cursor by characters only where the locale says that text is UTF-8. */
    (void)setlocale(LC_CTYPE, "");
    if (strcmp(nl_langinfo(CODESET), "UTF-8") != 0) (void)setlocale(LC_CTYPE, "C.UTF-8");
}

static bool open_editor(chat_input *in)
{
    HistEvent ev;
    set_locale();
    in->edit = el_init("higgins", stdin, stdout, stderr);
    in->history = history_init();
    if (in->edit == NULL || in->history == NULL) return false;
    (void)history(in->history, &ev, H_SETSIZE, HISTORY_LINES);
    (void)history(in->history, &ev, H_SETUNIQUE, 1);
    in->file = history_file();
    if (in->file != NULL) (void)history(in->history, &ev, H_LOAD, in->file);
    (void)el_set(in->edit, EL_CLIENTDATA, in);
    (void)el_set(in->edit, EL_PROMPT, prompt);
    (void)el_set(in->edit, EL_EDITOR, "emacs");
    (void)el_set(in->edit, EL_HIST, history, in->history);
    (void)el_set(in->edit, EL_ADDFN, "chat-interrupt", "drop the line", on_interrupt);
    (void)el_set(in->edit, EL_BIND, "^C", "chat-interrupt", NULL);
    (void)el_set(in->edit, EL_BIND, "^R", "em-inc-search-prev", NULL);
    /* While a line is edited Ctrl-C is a key and no signal. */
    (void)el_set(in->edit, EL_SETTY, "-d", "-isig", NULL);
    (void)el_source(in->edit, NULL);
    return true;
}

chat_input *chat_input_open(bool is_terminal)
{
    chat_input *in = calloc(1, sizeof *in);
    if (in == NULL || !is_terminal || open_editor(in)) return in;
    chat_input_close(in);
    return NULL;
}

void chat_input_close(chat_input *in)
{
    if (in == NULL) return;
    if (in->history != NULL) history_end(in->history);
    if (in->edit != NULL) el_end(in->edit);
    free(in->file);
    free(in);
}

/* Saved after each message: a chat may end in any way. */
static void remember(chat_input *in, const char *line)
{
    HistEvent ev;
    if (line[strspn(line, " \t\n")] == '\0') return;
    (void)history(in->history, &ev, H_ENTER, line);
    if (in->file != NULL) (void)history(in->history, &ev, H_SAVE, in->file);
}

/* One line with its newline; the caller frees *line. */
static chat_read read_line(chat_input *in, char **line)
{
    size_t cap = 0;
    int n = 0;
    *line = NULL;
    if (in->edit == NULL) return getline(line, &cap, stdin) >= 0 ? CHAT_LINE : CHAT_END;
    in->interrupted = false;
    const char *got = el_gets(in->edit, &n);
    if (in->interrupted) {
        (void)fputc('\n', stdout);
        return in->was_empty ? CHAT_INTERRUPTED_EMPTY : CHAT_INTERRUPTED;
    }
    if (got == NULL || n <= 0) return CHAT_END;
    remember(in, got);
    *line = strdup(got);
    return *line != NULL ? CHAT_LINE : CHAT_FAILED;
}

/* Cuts the newline; true when a backslash before it (cut too) asks for another line. */
static bool cut_end(char *line)
{
    size_t n = strlen(line);
    while (n > 0 && (line[n - 1] == '\n' || line[n - 1] == '\r')) line[--n] = '\0';
    if (n == 0 || line[n - 1] != '\\') return false;
    line[n - 1] = '\0';
    return true;
}

chat_read chat_input_read(chat_input *in, char **text)
{
    size_t n = 0;
    bool more = true;
    chat_read r = CHAT_LINE;
    FILE *all = open_memstream(text, &n);
    if (all == NULL) return CHAT_FAILED;
    in->is_more = false;
    while (more && r == CHAT_LINE) {
        char *line = NULL;
        r = read_line(in, &line);
        if (r == CHAT_END && in->is_more) break; /* the input ends behind a backslash */
        if (r == CHAT_LINE) {
            more = cut_end(line);
            (void)fprintf(all, "%s%s", in->is_more ? "\n" : "", line);
            in->is_more = true;
        }
        free(line);
    }
    if (r == CHAT_END && in->is_more) r = CHAT_LINE;
    if (r == CHAT_INTERRUPTED_EMPTY && in->is_more) r = CHAT_INTERRUPTED; /* a begun message */
    if (fclose(all) != 0 && r == CHAT_LINE) r = CHAT_FAILED;
    if (r != CHAT_LINE) {
        free(*text);
        *text = NULL;
    }
    return r;
}
