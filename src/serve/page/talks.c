/* Conversations in SQLite. Words are found through FTS5, which keeps no text of its own: triggers
 * hold it to the table of messages. It keeps what was deleted in its segments until they are
 * merged; since deletion must really delete, they are merged then. */
#include "serve/page/talks.h"
#include "base/clock.h"

#include <stdio.h>
#include <string.h>

const char hg_talks_tables[] =
    "CREATE TABLE conversations (n INTEGER PRIMARY KEY, owner TEXT NOT NULL, id TEXT NOT NULL, "
    "title TEXT NOT NULL, settings TEXT NOT NULL, at TEXT, created INTEGER NOT NULL, changed "
    "INTEGER NOT NULL, UNIQUE (owner, id)) STRICT;"
    "CREATE INDEX conversations_by_change ON conversations (owner, changed);"
    "CREATE TABLE messages (n INTEGER PRIMARY KEY, conversation INTEGER NOT NULL REFERENCES "
    "conversations ON DELETE CASCADE, id TEXT NOT NULL, parent TEXT, role TEXT NOT NULL, content "
    "TEXT NOT NULL, notes TEXT NOT NULL, created INTEGER NOT NULL, UNIQUE (conversation, id)) "
    "STRICT;"
    "CREATE VIRTUAL TABLE messages_text USING fts5(content, content='messages', "
    "content_rowid='n', tokenize='unicode61 remove_diacritics 2');";

static bool store_failed(hg_problem *p, const hg_err *e)
{
    return hg_refuse(p, 500, "store", NULL, "%s", e->msg);
}

static bool not_there(hg_problem *p, const char *id)
{
    return hg_refuse(p, 404, "not_found", NULL, "there is no conversation %s", id);
}

/* Closes *q, of which `ok` is what came of it so far. */
static bool closed(hg_query *q, hg_problem *p)
{
    hg_err e;

    return hg_query_close(q, &e) == HG_OK || store_failed(p, &e);
}

/* Its row, or 0: there is none. */
static bool find(hg_store *s, const char *owner, const char *id, int64_t *n, hg_problem *p)
{
    hg_query q;

    hg_query_open(&q, s, "SELECT n FROM conversations WHERE owner = ? AND id = ?");
    hg_query_text(&q, 1, owner);
    hg_query_text(&q, 2, id);
    *n = hg_query_row(&q) ? hg_column_int(&q, 0) : 0;
    return closed(&q, p);
}

/* ---- keeping ---- */
/* Ends a transaction of which `ok` says what came of it. */
static bool ended(hg_store *s, bool ok, hg_problem *p)
{
    hg_err e;

    if (ok) return hg_store_end(s, HG_OK, &e) == HG_OK || store_failed(p, &e);
    (void)hg_store_end(s, HG_E_STATE, &e);
    return false;
}

static bool check_count(hg_store *s, const char *owner, hg_problem *p)
{
    hg_query q;

    hg_query_open(&q, s, "SELECT count(*) FROM conversations WHERE owner = ?");
    hg_query_text(&q, 1, owner);
    const bool is_full = hg_query_row(&q) && hg_column_int(&q, 0) >= HG_TALK_MAX_TALKS;
    return closed(&q, p) &&
           (!is_full || hg_refuse(p, 413, "too_many", NULL,
                                  "%d conversations are kept already; delete some that are old",
                                  HG_TALK_MAX_TALKS));
}

static bool make(hg_store *s, const char *owner, const char *id, const hg_talk *t, hg_problem *p)
{
    const int64_t now = hg_unix_time();
    hg_query q;

    if (!check_count(s, owner, p)) return false;
    hg_query_open(&q, s,
                  "INSERT INTO conversations (owner, id, title, settings, created, changed) VALUES "
                  "(?, ?, '', '{}', ?, ?)");
    hg_query_text(&q, 1, owner);
    hg_query_text(&q, 2, id);
    hg_query_int(&q, 3, t->created > 0 && t->created < now ? t->created : now);
    hg_query_int(&q, 4, now);
    return closed(&q, p);
}

/* What was changed last stays the first of the list when the day's clock was set back. */
static bool change(hg_store *s, int64_t n, const hg_talk *t, hg_problem *p)
{
    hg_query q;

    hg_query_open(&q, s,
                  "UPDATE conversations SET title = ifnull(?, title), settings = ifnull(?, "
                  "settings), at = ifnull(?, at), changed = CASE WHEN ? > 0 THEN max(?5, ifnull("
                  "(SELECT b.changed + (b.changed > ?5) FROM conversations b WHERE b.owner = "
                  "conversations.owner AND b.n <> ?6 ORDER BY b.changed DESC LIMIT 1), 0)) ELSE "
                  "changed END WHERE n = ?6");
    hg_query_text(&q, 1, t->title);
    hg_query_text(&q, 2, t->settings);
    hg_query_text(&q, 3, t->at);
    hg_query_int(&q, 4, (int64_t)t->n_messages);
    hg_query_int(&q, 5, hg_unix_time());
    hg_query_int(&q, 6, n);
    return closed(&q, p);
}

typedef struct place {
    int64_t n; /* the message's row; 0: it is new */
    bool is_alike, has_parent;
} place;

static bool look(hg_store *s, int64_t talk, const hg_talk_message *m, place *out, hg_problem *p)
{
    hg_query q;

    *out = (place){.has_parent = m->parent == NULL};
    hg_query_open(&q, s,
                  "SELECT n, role = ? AND parent IS ? FROM messages WHERE conversation = ? AND id "
                  "= ?");
    hg_query_text(&q, 1, m->role);
    hg_query_text(&q, 2, m->parent);
    hg_query_int(&q, 3, talk);
    hg_query_text(&q, 4, m->id);
    if (hg_query_row(&q)) {
        out->n = hg_column_int(&q, 0);
        out->is_alike = hg_column_int(&q, 1) != 0;
    }
    if (!closed(&q, p)) return false;
    if (out->n != 0 || out->has_parent) return true;
    hg_query_open(&q, s, "SELECT 1 FROM messages WHERE conversation = ? AND id = ?");
    hg_query_int(&q, 1, talk);
    hg_query_text(&q, 2, m->parent);
    out->has_parent = hg_query_row(&q);
    return closed(&q, p);
}

/* The words of a message (n), or of all of a conversation, are found no more. */
static bool forget_words(hg_store *s, int64_t n, int64_t talk, hg_problem *p)
{
    hg_query q;

    hg_query_open(&q, s,
                  "INSERT INTO messages_text (messages_text, rowid, content) SELECT 'delete', n, "
                  "content FROM messages WHERE n = ? OR conversation = ?");
    hg_query_int(&q, 1, n);
    hg_query_int(&q, 2, talk);
    return closed(&q, p);
}

static bool learn_words(hg_store *s, int64_t talk, const char *id, hg_problem *p)
{
    hg_query q;

    hg_query_open(
        &q, s,
        "INSERT INTO messages_text (rowid, content) SELECT n, content FROM messages WHERE "
        "conversation = ? AND id = ?");
    hg_query_int(&q, 1, talk);
    hg_query_text(&q, 2, id);
    return closed(&q, p);
}

static bool add(hg_store *s, int64_t talk, const hg_talk_message *m, hg_problem *p)
{
    hg_query q;

    hg_query_open(&q, s,
                  "INSERT INTO messages (conversation, id, parent, role, content, notes, created) "
                  "VALUES (?, ?, ?, ?, ?, ?, ?)");
    hg_query_int(&q, 1, talk);
    hg_query_text(&q, 2, m->id);
    hg_query_text(&q, 3, m->parent);
    hg_query_text(&q, 4, m->role);
    hg_query_text(&q, 5, m->content);
    hg_query_text(&q, 6, m->notes);
    hg_query_int(&q, 7, m->created > 0 ? m->created : hg_unix_time());
    return closed(&q, p) && learn_words(s, talk, m->id, p);
}

static bool rewrite(hg_store *s, int64_t talk, int64_t n, const hg_talk_message *m, hg_problem *p)
{
    hg_query q;

    if (!forget_words(s, n, 0, p)) return false;
    hg_query_open(&q, s, "UPDATE messages SET content = ?, notes = ? WHERE n = ?");
    hg_query_text(&q, 1, m->content);
    hg_query_text(&q, 2, m->notes);
    hg_query_int(&q, 3, n);
    return closed(&q, p) && learn_words(s, talk, m->id, p);
}

static bool put_message(hg_store *s, int64_t talk, const hg_talk_message *m, hg_problem *p)
{
    place at;

    if (!look(s, talk, m, &at, p)) return false;
    if (at.n != 0 && !at.is_alike)
        return hg_refuse(p, 409, "message_exists", "messages",
                         "message %s is there with another parent or role", m->id);
    if (at.n != 0) return rewrite(s, talk, at.n, m, p);
    if (!at.has_parent)
        return hg_refuse(p, 422, "no_parent", "messages",
                         "message %s follows %s, which is not in the conversation", m->id,
                         m->parent);
    return add(s, talk, m, p);
}

static bool check_messages(hg_store *s, int64_t talk, hg_problem *p)
{
    hg_query q;

    hg_query_open(&q, s, "SELECT count(*) FROM messages WHERE conversation = ?");
    hg_query_int(&q, 1, talk);
    const bool is_over = hg_query_row(&q) && hg_column_int(&q, 0) > HG_TALK_MAX_MESSAGES;
    return closed(&q, p) &&
           (!is_over || hg_refuse(p, 413, "too_many", "messages",
                                  "a conversation has at most %d messages", HG_TALK_MAX_MESSAGES));
}

static bool put_all(hg_store *s, const char *owner, const char *id, const hg_talk *t, hg_problem *p)
{
    int64_t n;

    if (!find(s, owner, id, &n, p)) return false;
    if (n == 0 && !(make(s, owner, id, t, p) && find(s, owner, id, &n, p))) return false;
    for (size_t i = 0; i < t->n_messages; i++)
        if (!put_message(s, n, &t->messages[i], p)) return false;
    return change(s, n, t, p) && check_messages(s, n, p);
}

bool hg_talk_put(hg_store *s, const char *owner, const char *id, const hg_talk *t, hg_problem *p)
{
    hg_err e;

    if (hg_store_begin(s, &e) != HG_OK) return store_failed(p, &e);
    return ended(s, put_all(s, owner, id, t, p), p);
}

/* ---- giving ---- */
static void put_json(hg_json_out *o, const char *key, const hg_query *q, int i)
{
    const hg_bytes v = hg_column_bytes(q, i);

    hg_json_raw(o, key, v.n > 0 ? v : (hg_bytes){"{}", 2});
}

static void put_head(hg_json_out *o, const hg_query *q)
{
    hg_json_bytes(o, "id", hg_column_bytes(q, 0));
    hg_json_bytes(o, "title", hg_column_bytes(q, 1));
    hg_json_int(o, "created", hg_column_int(q, 2));
    hg_json_int(o, "changed", hg_column_int(q, 3));
}

static bool put_tree(hg_store *s, int64_t talk, hg_json_out *o, hg_problem *p)
{
    hg_query q;

    hg_query_open(&q, s,
                  "SELECT id, parent, role, content, notes, created FROM messages WHERE "
                  "conversation = ? ORDER BY n");
    hg_query_int(&q, 1, talk);
    hg_json_begin(o, "messages", '[');
    while (hg_query_row(&q)) {
        hg_json_begin(o, NULL, '{');
        hg_json_text(o, "id", hg_column_text(&q, 0));
        hg_json_text(o, "parent", hg_column_text(&q, 1));
        hg_json_text(o, "role", hg_column_text(&q, 2));
        hg_json_bytes(o, "content", hg_column_bytes(&q, 3));
        put_json(o, "notes", &q, 4);
        hg_json_int(o, "created", hg_column_int(&q, 5));
        hg_json_end(o);
    }
    hg_json_end(o);
    return closed(&q, p);
}

bool hg_talk_get(hg_store *s, const char *owner, const char *id, hg_json_out *o, hg_problem *p)
{
    hg_query q;
    int64_t n = 0;

    hg_query_open(&q, s,
                  "SELECT id, title, created, changed, at, settings, n FROM conversations WHERE "
                  "owner = ? AND id = ?");
    hg_query_text(&q, 1, owner);
    hg_query_text(&q, 2, id);
    if (hg_query_row(&q)) {
        n = hg_column_int(&q, 6);
        hg_json_begin(o, NULL, '{');
        put_head(o, &q);
        hg_json_text(o, "at", hg_column_text(&q, 4));
        put_json(o, "settings", &q, 5);
    }
    if (!closed(&q, p)) return false;
    if (n == 0) return not_there(p, id);
    const bool ok = put_tree(s, n, o, p);
    hg_json_end(o);
    return ok;
}

static bool delete_all(hg_store *s, const char *owner, const char *id, hg_problem *p)
{
    hg_query q;
    int64_t n;

    if (!find(s, owner, id, &n, p)) return false;
    if (n == 0) return not_there(p, id);
    if (!forget_words(s, 0, n, p)) return false;
    hg_query_open(&q, s, "DELETE FROM conversations WHERE n = ?");
    hg_query_int(&q, 1, n);
    if (!closed(&q, p)) return false;
    hg_query_open(&q, s, "INSERT INTO messages_text (messages_text) VALUES ('optimize')");
    return closed(&q, p);
}

bool hg_talk_delete(hg_store *s, const char *owner, const char *id, hg_problem *p)
{
    hg_err e;

    if (hg_store_begin(s, &e) != HG_OK) return store_failed(p, &e);
    return ended(s, delete_all(s, owner, id, p), p);
}

/* ---- finding ---- */
/* FTS5's language, of plain words: each in quotes, the last as a beginning. */
static void put_match(hg_buf *b, const char *words)
{
    for (const char *w = words; *w != '\0';) {
        const size_t blank = strspn(w, " \t\n\r\"'()*:^+-,.;?!");
        const size_t n = strcspn(w + blank, " \t\n\r\"");
        w += blank;
        if (n == 0) continue;
        hg_buf_puts(b, b->n > 0 ? " \"" : "\"");
        hg_buf_put(b, w, n);
        hg_buf_putc(b, '"');
        w += n;
    }
    if (b->n > 0) hg_buf_putc(b, '*');
}

/* LIKE's pattern: anywhere, with its own signs taken as they are. */
static void put_pattern(hg_buf *b, const char *words)
{
    hg_buf_putc(b, '%');
    for (; *words != '\0'; words++) {
        if (strchr("%_\\", *words) != NULL) hg_buf_putc(b, '\\');
        hg_buf_putc(b, *words);
    }
    hg_buf_putc(b, '%');
}

static bool put_found(hg_query *q, const hg_talk_page *page, hg_json_out *o, hg_problem *p)
{
    int64_t n = 0, changed = page->changed, number = page->n;
    char next[48];

    hg_json_begin(o, NULL, '{');
    hg_json_begin(o, "conversations", '[');
    while (n <= page->limit && hg_query_row(q)) {
        if (n++ == page->limit) break;
        changed = hg_column_int(q, 3);
        number = hg_column_int(q, 5);
        hg_json_begin(o, NULL, '{');
        put_head(o, q);
        if (hg_column_text(q, 4) != NULL) hg_json_bytes(o, "excerpt", hg_column_bytes(q, 4));
        hg_json_end(o);
    }
    hg_json_end(o);
    (void)snprintf(next, sizeof next, "%lld.%lld", (long long)changed, (long long)number);
    hg_json_bool(o, "more", n > page->limit);
    hg_json_text(o, "next", n > page->limit ? next : NULL);
    hg_json_end(o);
    return closed(q, p);
}

/* Binds where the page begins to the parameters i and i + 1. */
static void bind_place(hg_query *q, int i, const hg_talk_page *page)
{
    hg_query_int(q, i, page->n > 0 ? page->changed : INT64_MAX);
    hg_query_int(q, i + 1, page->n);
}

static bool list_all(hg_store *s, const char *owner, const hg_talk_page *page, hg_json_out *o,
                     hg_problem *p)
{
    hg_query q;

    hg_query_open(&q, s,
                  "SELECT id, title, created, changed, NULL, n FROM conversations WHERE owner = ? "
                  "AND (changed, n) < (?, ?) ORDER BY changed DESC, n DESC LIMIT ?");
    hg_query_text(&q, 1, owner);
    bind_place(&q, 2, page);
    hg_query_int(&q, 4, page->limit + 1);
    return put_found(&q, page, o, p);
}

bool hg_talk_list(hg_store *s, const char *owner, const hg_talk_page *page, hg_json_out *o,
                  hg_problem *p)
{
    hg_buf match = {0}, pattern = {0};
    hg_query q;

    put_match(&match, page->search);
    put_pattern(&pattern, page->search);
    if (match.failed || pattern.failed || match.n == 0) {
        hg_buf_free(&match);
        hg_buf_free(&pattern);
        return list_all(s, owner, page, o, p);
    }
    hg_query_open(
        &q, s,
        "WITH found AS MATERIALIZED (SELECT m.conversation AS talk, min(m.n) AS n FROM "
        "messages_text JOIN messages m ON m.n = messages_text.rowid JOIN conversations c ON c.n = "
        "m.conversation WHERE messages_text MATCH ?2 AND c.owner = ?1 GROUP BY m.conversation) "
        "SELECT c.id, c.title, c.created, c.changed, (SELECT snippet(messages_text, 0, '', '', "
        "'…', 12) FROM messages_text WHERE messages_text MATCH ?2 AND rowid = found.n), c.n FROM "
        "conversations c LEFT JOIN found ON found.talk = c.n WHERE c.owner = ?1 AND (found.n IS "
        "NOT NULL OR c.title LIKE ?3 ESCAPE '\\') AND (c.changed, c.n) < (?5, ?6) ORDER BY "
        "c.changed "
        "DESC, c.n DESC LIMIT ?4");
    hg_query_text(&q, 1, owner);
    hg_query_text(&q, 2, match.p);
    hg_query_text(&q, 3, pattern.p);
    hg_query_int(&q, 4, page->limit + 1);
    bind_place(&q, 5, page);
    hg_buf_free(&match);
    hg_buf_free(&pattern);
    return put_found(&q, page, o, p);
}
