#include "talk.h"
#include "base/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void rows_read(rows *r, const char *data_name)
{
    hg_err e;
    *r = (rows){0};
    CHECK_OK(hg_file_read(&r->text, test_data(data_name), 1 << 20, &e), e);
    for (char *line = r->text.p, *next; line != NULL && *line != '\0'; line = next) {
        next = strchr(line, '\n');
        if (next != NULL) *next++ = '\0';
        if (line[0] == '#') continue;
        CHECK(r->n < 512);
        for (size_t i = 0; i < 5 && line != NULL; i++) {
            r->cell[r->n][i] = line;
            line = strchr(line, '\t');
            if (line != NULL) *line++ = '\0';
        }
        r->n++;
    }
}

size_t unescape(char *s)
{
    char *to = s, *begin = s;
    while (*s != '\0') {
        if (s[0] == '\\' && s[1] == 'x') {
            const char hex[3] = {s[2], s[3], 0};
            *to++ = (char)strtoul(hex, NULL, 16);
            s += 4;
        } else if (s[0] == '\\') {
            *to++ = s[1] == 'n' ? '\n' : '\r';
            s += 2;
        } else {
            *to++ = *s++;
        }
    }
    *to = '\0';
    return (size_t)(to - begin);
}

static void start(talk *t, const hg_eliza_options *o)
{
    hg_err e;
    CHECK_OK(hg_eliza_new(&t->el, t->script, o, &e), e);
}

void talk_open(talk *t, const char *data_name, const hg_eliza_options *o)
{
    char name[4096];
    hg_err e;
    *t = (talk){0};
    (void)snprintf(name, sizeof name, "eliza:%s", test_data(data_name));
    CHECK_OK(hg_eliza_script_open(&t->script, name, &e), e);
    start(t, o);
}

void talk_begin(talk *t, const char *script, const hg_eliza_options *o)
{
    hg_err e;
    *t = (talk){0};
    CHECK_OK(hg_eliza_script_parse(&t->script, (hg_bytes){script, strlen(script)}, NULL, &e), e);
    start(t, o);
}

const char *talk_say(talk *t, const char *input)
{
    hg_bytes reply;
    hg_err e;
    CHECK_OK(hg_eliza_reply(t->el, (hg_bytes){input, strlen(input)}, &reply, &e), e);
    free(t->said);
    t->said = strndup(reply.p, reply.n);
    return t->said;
}

void talk_close(talk *t)
{
    free(t->said);
    hg_eliza_free(t->el);
    hg_eliza_script_free(t->script);
}
