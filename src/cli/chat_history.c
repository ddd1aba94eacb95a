/* The conversation that chat sends to the model, and its form as a file. */
#include "chat_history.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void message_free(hg_message *m)
{
    union {
        const char *in;
        char *out;
    } p = {.in = m->content.p}; /* strdup'd here, lent out as const */
    free(p.out);
}

static bool message_set(hg_message *m, const char *role, const char *text)
{
    char *copy = strdup(text);
    if (copy == NULL) return false;
    *m = (hg_message){role, {copy, strlen(copy)}};
    return true;
}

static bool make_room(chat_history *h)
{
    if (h->n < h->cap) return true;
    const size_t cap = h->cap == 0 ? 16 : 2 * h->cap;
    hg_message *m = realloc(h->m, cap * sizeof *m);
    if (m == NULL) return false;
    h->m = m;
    h->cap = cap;
    return true;
}

bool chat_history_add(chat_history *h, const char *role, const char *text)
{
    if (!make_room(h) || !message_set(&h->m[h->n], role, text)) return false;
    h->n++;
    return true;
}

void chat_history_drop(chat_history *h, size_t n_keep)
{
    while (h->n > n_keep) message_free(&h->m[--h->n]);
}

bool chat_history_drop_oldest(chat_history *h)
{
    const size_t first = chat_history_system(h) != NULL ? 1 : 0;
    size_t n = 1;
    while (first + n < h->n && strcmp(h->m[first + n].role, "user") != 0) n++;
    if (first + n >= h->n) return false;
    for (size_t i = 0; i < n; i++) message_free(&h->m[first + i]);
    h->n -= n;
    memmove(h->m + first, h->m + first + n, (h->n - first) * sizeof *h->m);
    return true;
}

void chat_history_free(chat_history *h)
{
    chat_history_drop(h, 0);
    free(h->m);
    *h = (chat_history){0};
}

const char *chat_history_system(const chat_history *h)
{
    return h->n > 0 && strcmp(h->m[0].role, "system") == 0 ? h->m[0].content.p : NULL;
}

bool chat_history_set_system(chat_history *h, const char *text)
{
    if (chat_history_system(h) != NULL) {
        message_free(&h->m[0]);
        h->n--;
        memmove(h->m, h->m + 1, h->n * sizeof *h->m);
    }
    if (text == NULL || *text == '\0') return true;
    hg_message m;
    if (!make_room(h) || !message_set(&m, "system", text)) return false;
    memmove(h->m + 1, h->m, h->n * sizeof *h->m);
    h->m[0] = m;
    h->n++;
    return true;
}

bool chat_history_ends_with(const chat_history *h, const char *role)
{
    return h->n > 0 && strcmp(h->m[h->n - 1].role, role) == 0;
}

hg_status chat_history_save(const chat_history *h, const char *path, hg_err *e)
{
    json_t *list = json_array();
    for (size_t i = 0; i < h->n; i++)
        (void)json_array_append_new(list, json_pack("{s:s, s:s%}", "role", h->m[i].role, "content",
                                                    h->m[i].content.p, h->m[i].content.n));
    json_t *doc = json_pack("{s:o}", "messages", list);
    /* json_array_append_new takes no NULL: a message that is not UTF-8 shows as one too few. */
    const bool whole = doc != NULL && json_array_size(list) == h->n;
    FILE *f = whole ? fopen(path, "a") : NULL;
    hg_status s = HG_OK;
    if (!whole)
        s = hg_fail(e, HG_E_FORMAT, "%s: a message is not UTF-8; nothing was saved", path);
    else if (f == NULL)
        s = hg_fail(e, HG_E_IO, "cannot write %s: %s", path, strerror(errno));
    if (f != NULL && (json_dumpf(doc, f, JSON_COMPACT) != 0 || fputc('\n', f) == EOF))
        s = hg_fail(e, HG_E_IO, "cannot write %s: %s", path, strerror(errno));
    if (f != NULL && fclose(f) != 0 && s == HG_OK)
        s = hg_fail(e, HG_E_IO, "cannot write %s: %s", path, strerror(errno));
    json_decref(doc);
    return s;
}
