/* The readers behind one door. collect and everything that reads raw files meet documents here. A
 * record (a page, a line, a mail) is loaded whole, within its limit; a text file is a window that
 * slides. Either way the text is handed out in parts of about a megabyte cut between paragraphs, so
 * that nothing behind this door ever meets a larger document. */
#include "data/reader.h"
#include "base/clock.h"
#include "data/mail.h"
#include "data/stream.h"
#include "text/charset.h"
#include "text/html.h"
#include "text/json.h"
#include "text/utf8.h"
#include <string.h>
#include <sys/stat.h>

enum { PEEK = 64 << 10, CHUNK = 256 << 10, FIELD = 1000 };

struct hg_reader {
    char *path;
    hg_stream *stream;
    hg_kind kind;
    hg_reader_options o;
    char mtime[32], mail_date[32];

    hg_bytes pending; /* text of the record that is not yet handed out */
    uint32_t part;
    hg_doc doc;  /* the record's fields */
    bool loaded; /* a record was, perhaps an empty one */
    bool ended;
    hg_err damage; /* met behind text that is handed out first */

    hg_lines lines; /* JSON lines, mbox */
    bool has_from;  /* mbox: the line that begins the next message was read */
    uint64_t n_messages;
    json_t *record;
    hg_charset *charset; /* text files */
    bool decided;        /* ... whose encoding is known: no byte over 0x7F was seen before */
    hg_buf window, raw, source, fixed;
    hg_html html;
    hg_mail mail;
};

static hg_bytes bytes_of(const hg_buf *b)
{
    return (hg_bytes){b->n > 0 ? b->p : "", b->n};
}

static hg_bytes text_of(const char *s)
{
    return (hg_bytes){s, strlen(s)};
}

/* ---- cutting ---- */

/* Length of the next part of a text longer than a part: it ends behind an empty line, else a line,
 * else a space, else a character, in the second half of the room. */
static size_t cut(hg_bytes s)
{
    const size_t most = HG_PART_BYTES, least = HG_PART_BYTES / 2;
    size_t line = 0, space = 0;
    for (size_t i = most; i > least; i--) {
        char c = s.p[i - 1];
        if (c == '\n' && i >= 2 && s.p[i - 2] == '\n') return i;
        if (c == '\n' && line == 0) line = i;
        if (c == ' ' && space == 0) space = i;
    }
    if (line > 0) return line;
    if (space > 0) return space;
    return most - hg_utf8_cut((hg_bytes){s.p, most});
}

/* The contract is valid UTF-8: where the bytes are not, a repaired copy stands in. */
static hg_status repair(hg_reader *r, hg_bytes *text, hg_err *e)
{
    size_t good = hg_utf8_valid(*text);
    if (good == text->n) return HG_OK;
    hg_buf_clear(&r->fixed);
    const char *p = text->p, *end = p + text->n;
    hg_buf_put(&r->fixed, p, good);
    for (p += good; p < end;) {
        uint32_t c;
        size_t n = hg_utf8_step(p, end, &c);
        hg_buf_put(&r->fixed, c == HG_UTF8_BAD ? "\xef\xbf\xbd" : p, c == HG_UTF8_BAD ? 3 : n);
        p += n;
    }
    *text = bytes_of(&r->fixed);
    return hg_buf_status(&r->fixed, e);
}

static hg_status hand_out(hg_reader *r, size_t n, hg_doc *doc, hg_err *e)
{
    *doc = r->doc;
    doc->text = (hg_bytes){r->pending.p, n};
    if (r->part > 0) doc->part = r->part++;
    r->pending = (hg_bytes){r->pending.p + n, r->pending.n - n};
    return repair(r, &doc->text, e);
}

/* ---- text files: a sliding window ---- */

/* Text that opened in ASCII says nothing about its encoding until the first other byte comes. */
static hg_status decide_charset(hg_reader *r, hg_bytes chunk, hg_err *e)
{
    size_t skip;
    bool ascii = true;
    for (size_t i = 0; i < chunk.n && ascii; i++) ascii = (unsigned char)chunk.p[i] < 0x80;
    if (r->decided || ascii) return HG_OK;
    r->decided = true;
    hg_charset_free(r->charset);
    r->charset = NULL;
    return hg_charset_open(&r->charset, hg_charset_guess(chunk, false, &skip), e);
}

static hg_status slide(hg_reader *r, hg_err *e)
{
    size_t left = r->pending.n, got;
    if (left > 0) memmove(r->window.p, r->pending.p, left);
    r->window.n = left;
    hg_buf_clear(&r->raw);
    while (!r->ended && r->window.n <= HG_PART_BYTES) {
        char *room = hg_buf_room(&r->raw, CHUNK);
        if (room == NULL) return hg_buf_status(&r->raw, e);
        if (hg_stream_read(r->stream, room, CHUNK, &got, &r->damage) != HG_OK) got = 0;
        r->ended = got == 0;
        HG_TRY(decide_charset(r, (hg_bytes){room, got}, e));
        HG_TRY(hg_charset_put(r->charset, (hg_bytes){room, got}, r->ended, &r->window, e));
    }
    r->pending = bytes_of(&r->window);
    return HG_OK;
}

static hg_status next_window(hg_reader *r, hg_doc *doc, bool *has, hg_err *e)
{
    if (r->pending.n <= HG_PART_BYTES && !r->ended) HG_TRY(slide(r, e));
    if (r->pending.n == 0) {
        hg_status s = r->damage.status;
        r->damage.status = HG_OK;
        return s == HG_OK ? HG_OK : hg_fail(e, s, "%s", r->damage.msg);
    }
    size_t n = r->pending.n;
    if (n > HG_PART_BYTES) {
        n = cut(r->pending);
        if (r->part == 0) r->part = 1;
    }
    *has = true;
    return hand_out(r, n, doc, e);
}

static hg_status open_text(hg_reader *r, hg_bytes head, hg_err *e)
{
    size_t skip, got;
    char mark[4];
    const char *name = hg_charset_guess(head, false, &skip);
    HG_TRY(hg_charset_open(&r->charset, name, e));
    r->decided = skip > 0 || strcmp(name, "UTF-8") != 0;
    return skip > 0 ? hg_stream_read(r->stream, mark, skip, &got, e) : HG_OK;
}

/* ---- pages ---- */

/* The rest of the stream into r->raw; HG_E_LIMIT over `limit`. */
static hg_status read_all(hg_reader *r, size_t limit, hg_err *e)
{
    hg_buf_clear(&r->raw);
    for (size_t got = 1; got > 0; r->raw.n += got) {
        if (r->raw.n > limit)
            return hg_fail(e, HG_E_LIMIT, "%s: longer than %zu MiB, the most for %s", r->path,
                           limit >> 20, r->kind == HG_KIND_HTML ? "a page" : "a mail");
        char *room = hg_buf_room(&r->raw, CHUNK);
        if (room == NULL) return hg_buf_status(&r->raw, e);
        HG_TRY(hg_stream_read(r->stream, room, CHUNK, &got, e));
    }
    return HG_OK;
}

static hg_status load_page(hg_reader *r, hg_err *e)
{
    size_t skip;
    hg_err why;
    r->ended = true;
    HG_TRY(read_all(r, HG_HTML_MAX_BYTES, e));
    hg_bytes raw = bytes_of(&r->raw);
    const char *from = hg_charset_guess(raw, true, &skip);
    hg_buf_clear(&r->window);
    hg_status s =
        hg_charset_convert(from, (hg_bytes){raw.p + skip, raw.n - skip}, &r->window, &why);
    if (s == HG_OK) s = hg_html_read(&r->html, bytes_of(&r->window), &why);
    if (s != HG_OK) return hg_fail(e, s, "%s: %s", r->path, why.msg);
    r->pending = bytes_of(&r->html.text);
    r->loaded = true;
    r->doc.title = bytes_of(&r->html.title);
    r->doc.licence = bytes_of(&r->html.licence);
    r->doc.lang = bytes_of(&r->html.lang);
    if (r->html.date.n > 0) r->doc.date = bytes_of(&r->html.date);
    return HG_OK;
}

/* ---- JSON lines ---- */

static void field(const json_t *record, const char *const *names, hg_bytes *out)
{
    for (size_t i = 0; names[i] != NULL; i++) {
        const json_t *v = json_object_get(record, names[i]);
        if (!json_is_string(v) || json_string_length(v) == 0) continue;
        size_t n = json_string_length(v);
        hg_bytes s = {json_string_value(v), n < FIELD ? n : FIELD};
        s.n -= hg_utf8_cut(s);
        *out = s;
        return;
    }
}

static void read_fields(hg_reader *r, const json_t *record)
{
    static const char *const id[] = {"id", NULL}, *const title[] = {"title", NULL};
    static const char *const source[] = {"source", "url", "uri", "path", NULL};
    static const char *const licence[] = {"licence", "license", NULL};
    static const char *const date[] = {"date", "timestamp", "created", "published", NULL};
    static const char *const lang[] = {"lang", "language", NULL};
    field(record, id, &r->doc.id);
    field(record, title, &r->doc.title);
    field(record, source, &r->doc.source);
    field(record, licence, &r->doc.licence);
    field(record, date, &r->doc.date);
    field(record, lang, &r->doc.lang);
    const json_t *part = json_object_get(record, "part");
    json_int_t k = json_is_integer(part) ? json_integer_value(part) : 0;
    if (r->o.is_shard && k > 0 && k < UINT32_MAX) r->doc.part = (uint32_t)k;
}

static hg_status find_text(hg_reader *r, hg_err *e)
{
    static const char *const usual[] = {"text", "content", "body", NULL};
    const char *const own[] = {r->o.text_field, NULL};
    const char *const *names = r->o.text_field != NULL ? own : usual;
    for (size_t i = 0; names[i] != NULL; i++) {
        const json_t *v = json_object_get(r->record, names[i]);
        if (!json_is_string(v)) continue;
        r->pending = (hg_bytes){json_string_value(v), json_string_length(v)};
        r->loaded = true;
        return HG_OK;
    }
    return hg_fail(e, HG_E_FORMAT, "%s, line %llu: no text in \"%s\"; name the field that holds it",
                   r->path, (unsigned long long)r->lines.number,
                   r->o.text_field != NULL ? r->o.text_field : "text\", \"content\" or \"body");
}

static hg_status load_line(hg_reader *r, hg_err *e)
{
    hg_err why;
    hg_bytes line;
    bool has = false;
    do {
        hg_status s = hg_lines_next(&r->lines, HG_MAX_RECORD, &line, &has, &why);
        if (s == HG_E_LIMIT) return hg_fail(e, s, "%s, %s", r->path, why.msg);
        if (s != HG_OK) r->ended = true;
        if (s != HG_OK) return hg_fail(e, s, "%s", why.msg);
        if (r->lines.number == 1 && line.n >= 3 && has && memcmp(line.p, "\xef\xbb\xbf", 3) == 0)
            line = (hg_bytes){line.p + 3, line.n - 3};
    } while (has && strspn(line.p, " \t\r") >= line.n);
    if (!has) {
        r->ended = true;
        return HG_OK;
    }
    HG_TRY(repair(r, &line, e));
    json_decref(r->record);
    r->record = NULL;
    hg_status s = hg_json_parse(&r->record, line, HG_MAX_RECORD * 3, &why);
    if (s == HG_OK && !json_is_object(r->record))
        s = hg_fail(&why, HG_E_FORMAT, "%s instead of an object", hg_json_type_name(r->record));
    if (s != HG_OK) {
        /* "line 1" of a JSON text that is one line would only mislead here. */
        const char *text = strncmp(why.msg, "line 1, ", 8) == 0 ? why.msg + 8 : why.msg;
        return hg_fail(e, s, "%s, line %llu: %s", r->path, (unsigned long long)r->lines.number,
                       text);
    }
    hg_buf_clear(&r->source);
    hg_buf_printf(&r->source, "%s:%llu", r->path, (unsigned long long)r->lines.number);
    r->doc.source = bytes_of(&r->source);
    read_fields(r, r->record);
    return find_text(r, e);
}

/* ---- mail ---- */

static hg_status use_mail(hg_reader *r, hg_err *e)
{
    hg_err why;
    hg_status s = hg_mail_read(&r->mail, bytes_of(&r->raw), &why);
    r->n_messages++;
    if (s != HG_OK)
        return hg_fail(e, s, "%s, mail %llu: %s", r->path, (unsigned long long)r->n_messages,
                       why.msg);
    hg_buf_clear(&r->source);
    if (r->mail.id.n > 0)
        hg_buf_printf(&r->source, "%s#%s", r->path, r->mail.id.p);
    else
        hg_buf_printf(&r->source, "%s#%llu", r->path, (unsigned long long)r->n_messages);
    r->doc.source = bytes_of(&r->source);
    r->doc.title = bytes_of(&r->mail.subject);
    r->pending = bytes_of(&r->mail.text);
    r->loaded = true;
    if (r->mail.date >= 0) {
        hg_iso_time(r->mail.date, r->mail_date);
        r->doc.date = text_of(r->mail_date);
    }
    return hg_buf_status(&r->source, e);
}

/* Messages of an mbox begin with a line "From ..." behind an empty one; inside them such lines are
 * written ">From". */
static hg_status load_message(hg_reader *r, hg_err *e)
{
    bool has = true, after_empty = true, too_long = false, any = r->has_from;
    hg_buf_clear(&r->raw);
    for (;;) {
        hg_bytes line;
        hg_err why;
        hg_status s = hg_lines_next(&r->lines, HG_MAX_RECORD, &line, &has, &why);
        if (s == HG_E_LIMIT) {
            too_long = true;
            continue;
        }
        if (s != HG_OK) {
            r->ended = true;
            return hg_fail(e, s, "%s", why.msg);
        }
        r->ended = !has;
        if (!has) break;
        bool begins = after_empty && line.n >= 5 && memcmp(line.p, "From ", 5) == 0;
        after_empty = line.n == 0;
        if (begins && any) break;
        any = true;
        if (begins) continue;
        if (line.n >= 6 && memcmp(line.p, ">From ", 6) == 0)
            line = (hg_bytes){line.p + 1, line.n - 1};
        too_long = too_long || r->raw.n + line.n >= HG_MAX_RECORD;
        if (too_long) continue;
        hg_buf_put(&r->raw, line.p, line.n);
        hg_buf_putc(&r->raw, '\n');
    }
    r->has_from = has;
    if (!any) return HG_OK;
    HG_TRY(hg_buf_status(&r->raw, e));
    if (!too_long) return use_mail(r, e);
    r->n_messages++;
    return hg_fail(e, HG_E_LIMIT, "%s, mail %llu: longer than %d MiB", r->path,
                   (unsigned long long)r->n_messages, HG_MAX_RECORD >> 20);
}

static hg_status load_mail(hg_reader *r, hg_err *e)
{
    r->ended = true;
    HG_TRY(read_all(r, HG_MAX_RECORD, e));
    HG_TRY(use_mail(r, e));
    r->doc.source = text_of(r->path);
    return HG_OK;
}

/* ---- the door ---- */

static hg_status prepare(hg_reader *r, hg_err *e)
{
    hg_bytes head;
    struct stat st;
    HG_TRY(hg_stream_open(&r->stream, r->path, e));
    HG_TRY(hg_stream_peek(r->stream, PEEK, &head, e));
    r->kind = r->o.is_shard ? HG_KIND_JSONL : hg_kind_guess(r->path, head);
    if (r->o.kind != NULL) *r->o.kind = r->kind;
    if (stat(r->path, &st) == 0) hg_iso_time((int64_t)st.st_mtime, r->mtime);
    switch (r->kind) {
    case HG_KIND_TEXT:
        return open_text(r, head, e);
    case HG_KIND_JSONL:
    case HG_KIND_MBOX:
        return hg_lines_init(&r->lines, r->stream, e);
    case HG_KIND_OTHER:
        return hg_fail(e, HG_E_UNSUPPORTED,
                       "%s: not text for reading; text, HTML, JSON lines and "
                       "mail are read",
                       r->path);
    case HG_KIND_BINARY:
        return hg_fail(e, HG_E_UNSUPPORTED, "%s: binary; text, HTML, JSON lines and mail are read",
                       r->path);
    default:
        return HG_OK;
    }
}

hg_status hg_reader_open(hg_reader **out, const char *path, const hg_reader_options *o, hg_err *e)
{
    *out = NULL;
    hg_reader *r = hg_alloc(1, sizeof *r);
    if (r == NULL) return hg_fail(e, HG_E_NOMEM, "no room to read %s", path);
    hg_html_init(&r->html);
    hg_mail_init(&r->mail);
    if (o != NULL) r->o = *o;
    r->path = hg_strdup(path);
    hg_status s =
        r->path == NULL ? hg_fail(e, HG_E_NOMEM, "no room to read %s", path) : prepare(r, e);
    if (s != HG_OK) {
        hg_reader_close(r);
        return s;
    }
    *out = r;
    return HG_OK;
}

void hg_reader_close(hg_reader *r)
{
    if (r == NULL) return;
    hg_stream_close(r->stream);
    hg_lines_free(&r->lines);
    json_decref(r->record);
    hg_charset_free(r->charset);
    hg_buf_free(&r->window);
    hg_buf_free(&r->raw);
    hg_buf_free(&r->source);
    hg_buf_free(&r->fixed);
    hg_html_free(&r->html);
    hg_mail_free(&r->mail);
    hg_free(r->path);
    hg_free(r);
}

static hg_status load(hg_reader *r, hg_err *e)
{
    switch (r->kind) {
    case HG_KIND_HTML:
        return load_page(r, e);
    case HG_KIND_JSONL:
        return load_line(r, e);
    case HG_KIND_MBOX:
        return load_message(r, e);
    default:
        return load_mail(r, e);
    }
}

static hg_status next_record(hg_reader *r, hg_doc *doc, bool *has, hg_err *e)
{
    while (r->pending.n == 0) {
        if (r->ended) return HG_OK;
        r->doc = (hg_doc){.source = text_of(r->path), .date = text_of(r->mtime)};
        r->part = 0;
        r->loaded = false;
        hg_status s = load(r, e);
        if (s != HG_OK) r->pending.n = 0;
        HG_TRY(s);
        /* An empty record is a document too: it is counted, and dropped as near-empty. */
        if (r->loaded) break;
    }
    size_t n = r->pending.n;
    if (n > HG_PART_BYTES && !r->o.is_shard) {
        n = cut(r->pending);
        if (r->part == 0) r->part = 1;
    }
    *has = true;
    return hand_out(r, n, doc, e);
}

hg_status hg_reader_next(hg_reader *r, hg_doc *doc, bool *has, hg_err *e)
{
    *has = false;
    *doc = (hg_doc){0};
    if (r->kind != HG_KIND_TEXT) return next_record(r, doc, has, e);
    r->doc = (hg_doc){.source = text_of(r->path), .date = text_of(r->mtime)};
    hg_status s = next_window(r, doc, has, e);
    if (s != HG_OK) {
        r->ended = true;
        r->pending.n = 0;
    }
    return s;
}

hg_kind hg_reader_kind(const hg_reader *r)
{
    return r->kind;
}

uint64_t hg_reader_done(const hg_reader *r)
{
    return hg_stream_done(r->stream);
}
