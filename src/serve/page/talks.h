/* Conversations of the page, kept in the store: each belongs to the token that made it and is not
 * there for any other. A conversation is a tree of messages, since what was said can be said
 * otherwise; `at` is the leaf that is looked at. The form in which one is given is the form in
 * which it is taken, whole or in part, so that keeping, exporting and importing are one thing. */
#ifndef HG_SERVE_PAGE_TALKS_H
#define HG_SERVE_PAGE_TALKS_H

#include "serve/server.h"
#include "store/store.h"

enum {
    HG_TALK_MAX_ID = 64, /* letters, digits, - and _ */
    HG_TALK_MAX_TITLE = 400,
    HG_TALK_MAX_CONTENT = 2 * 1024 * 1024, /* bytes of a message */
    HG_TALK_MAX_NOTES = 4 * 1024 * 1024, /* of its notes, as JSON: files that were attached, too */
    HG_TALK_MAX_MESSAGES = 10000,        /* of a conversation */
    HG_TALK_MAX_TALKS = 20000            /* of an owner */
};

/* ---- what a body says (talks_read.c) ---- */
typedef struct hg_talk_message {
    const char *id, *parent; /* parent NULL: it begins the conversation */
    const char *role;        /* "user", "assistant", "tool" */
    const char *content;
    const char *notes; /* a JSON object: model, counts, calls, files */
    int64_t created;
} hg_talk_message;
typedef struct hg_talk {
    const char *title, *at; /* NULL: stays as it is */
    const char *settings;   /* a JSON object, or NULL */
    int64_t created;        /* 0: now */
    hg_talk_message *messages;
    size_t n_messages;
    struct json_t *tree; /* what the strings lie in */
} hg_talk;
/* Reads {"title", "settings", "at", "created", "messages": [{"id", "parent", "role", "content",
 * "notes", "created"}]}, every member of the outer object optional. False and *p. What it takes
 * beside the tree is from `mem`. hg_talk_free ends it, also then. */
bool hg_talk_read(hg_talk *out, hg_bytes body, hg_arena *mem, hg_problem *p);
void hg_talk_free(hg_talk *t);
/* Whether it can be the id of a conversation or message. */
bool hg_talk_id_ok(hg_bytes id);

/* ---- in the store (talks.c) ---- */
extern const char hg_talks_tables[]; /* the migration that makes them */
/* Makes or changes a conversation. Messages that are there already get the new content and notes;
 * others are added behind their parents, which must be there or come first. All or nothing. False
 * and *p: 409 a message whose parent or role differs, 422 a parent that is missing, 413 too much.
 */
bool hg_talk_put(hg_store *s, const char *owner, const char *id, const hg_talk *t, hg_problem *p);
/* Appends it whole, as JSON; 404. */
bool hg_talk_get(hg_store *s, const char *owner, const char *id, hg_json_out *o, hg_problem *p);
bool hg_talk_delete(hg_store *s, const char *owner, const char *id, hg_problem *p);
/* One that was changed last comes first. `search` (may be "") are words, the last one perhaps only
 * begun, that a title or a message has. Where there is more, "next" says behind what: the time of
 * the last one's change, a dot, and its number, which stay that place when others change or go. */
typedef struct hg_talk_page {
    const char *search;
    int64_t limit;
    int64_t changed, n; /* of what it is behind; 0: from the first */
} hg_talk_page;
bool hg_talk_list(hg_store *s, const char *owner, const hg_talk_page *page, hg_json_out *o,
                  hg_problem *p);

#endif
