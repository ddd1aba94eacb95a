/* Files of tasks: tables and JSON lines whose columns are found by their usual names, or as the
 * user names them. */
#include "base/file.h"
#include "data/table.h"
#include "text/json.h"
#include "train/preset.h"
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { LINE_LIMIT = 16 << 20, CONTEXT = 0, INPUT = 1, ANSWER = 2, N_ROLES = 3 };
#define FILE_LIMIT ((size_t)2 << 30)

typedef struct reader {
    hg_preset_data *d;
    const char *name;
    size_t line;
    const char *const *columns;
    size_t n_columns;
    bool is_held_out;
    const hg_watch *w;
    const char *key[N_ROLES]; /* of JSON objects, in mem; NULL: not there */
    int at[N_ROLES];          /* of tables: the column, or -1 */
    size_t width;             /* columns of the first row */
} reader;

static const char *const usual[N_ROLES][24] = {
    {"context", "passage", "paragraph", NULL},
    {"input", "question", "text", "sentence", "source", "src", "document", "article", "review",
     "dialogue", "content", "prompt", "query", "tweet", "comment", NULL},
    {"target", "answer", "answers", "label", "translation", "summary", "highlights", "sentiment",
     "output", "tgt", "reference", "response", "completion", "class", "category", "headline",
     NULL}};
static const char *const role_name[N_ROLES] = {"context", "input", "answer"};

static hg_status fail(const reader *r, const char *what, hg_err *e)
{
    return hg_fail(e, HG_E_FORMAT, "%s, line %zu: %s", r->name, r->line, what);
}

static bool is_asked(const reader *r, int role)
{
    return role != CONTEXT || r->d->kind == HG_PRESET_QA;
}

/* ---- rows ---- */
static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static hg_status keep(const reader *r, hg_bytes text, hg_bytes *out, hg_err *e)
{
    while (text.n > 0 && is_space(text.p[0])) text.p++, text.n--;
    while (text.n > 0 && is_space(text.p[text.n - 1])) text.n--;
    char *p = hg_arena_strndup(&r->d->mem, text.p, text.n);
    if (p == NULL) return hg_fail(e, HG_E_NOMEM, "no room for %s", r->name);
    *out = (hg_bytes){p, text.n};
    return HG_OK;
}

static hg_status add_row(const reader *r, hg_preset_row *row, hg_err *e)
{
    hg_preset_data *d = r->d;
    if (row->input.n == 0) return fail(r, "the input is empty", e);
    for (size_t i = 0; i < row->n; i++)
        if (row->answer[i].n == 0) return fail(r, "an answer is empty", e);
    HG_TRY(hg_grow(&d->row, &d->cap, d->n, sizeof *d->row, e));
    row->line = r->line;
    row->file = r->name;
    row->is_held_out = r->is_held_out;
    d->row[d->n++] = *row;
    return HG_OK;
}

static hg_status make_answers(const reader *r, hg_preset_row *row, size_t n, hg_err *e)
{
    row->answer = HG_NEW(&r->d->mem, hg_bytes, n);
    row->n = n;
    return row->answer != NULL ? HG_OK : hg_fail(e, HG_E_NOMEM, "no room for %s", r->name);
}

/* ---- tables ---- */
static bool is_named(hg_bytes cell, const char *name)
{
    while (cell.n > 0 && is_space(cell.p[0])) cell.p++, cell.n--;
    while (cell.n > 0 && is_space(cell.p[cell.n - 1])) cell.n--;
    return strlen(name) == cell.n && strncasecmp(name, cell.p, cell.n) == 0;
}

static int find_column(const hg_table *t, const char *name)
{
    for (size_t i = 0; i < t->n; i++)
        if (is_named(t->cell[i], name)) return (int)i;
    return -1;
}

static int find_usual(const hg_table *t, int role)
{
    for (const char *const *name = usual[role]; *name != NULL; name++) {
        const int at = find_column(t, *name);
        if (at >= 0) return at;
    }
    return -1;
}

/* en, de, pt-BR: parallel texts name their columns so. */
static bool is_language(hg_bytes c)
{
    size_t n = 0;
    while (n < c.n && c.p[n] >= 'a' && c.p[n] <= 'z') n++;
    return n >= 2 && n <= 3 && (n == c.n || ((c.p[n] == '-' || c.p[n] == '_') && c.n - n <= 5));
}

/* The role that the i-th of n named columns has: the last is the answer, before it the input. */
static int role_of(size_t i, size_t n)
{
    return (int)(i + N_ROLES - n);
}

static int number_of(const char *name, size_t width)
{
    char *end;
    const long v = strtol(name, &end, 10);
    return *name != '\0' && *end == '\0' && v >= 1 && (size_t)v <= width ? (int)v - 1 : -1;
}

static hg_status take_named(reader *r, const hg_table *t, bool *has_header, hg_err *e)
{
    char what[200];
    *has_header = find_usual(t, INPUT) >= 0 && find_usual(t, ANSWER) >= 0;
    for (size_t i = 0; i < r->n_columns; i++) {
        const int role = role_of(i, r->n_columns), number = number_of(r->columns[i], t->n);
        const int at = find_column(t, r->columns[i]);
        if (at >= 0) *has_header = true;
        r->at[role] = at >= 0 ? at : number;
        if (r->at[role] >= 0) continue;
        (void)snprintf(what, sizeof what, "no column \"%.60s\" in the first row, which has %zu",
                       r->columns[i], t->n);
        return fail(r, what, e);
    }
    return HG_OK;
}

static hg_status find_columns(reader *r, const hg_table *t, bool *has_header, hg_err *e)
{
    const bool is_qa = r->d->kind == HG_PRESET_QA;
    r->width = t->n;
    for (int role = 0; role < N_ROLES; role++) r->at[role] = -1;
    if (r->n_columns > 0) return take_named(r, t, has_header, e);
    *has_header = find_usual(t, INPUT) >= 0 && find_usual(t, ANSWER) >= 0;
    if (*has_header) {
        for (int role = 0; role < N_ROLES; role++)
            if (is_asked(r, role)) r->at[role] = find_usual(t, role);
        return HG_OK;
    }
    if (t->n != 2 && !(is_qa && t->n == 3))
        return fail(r,
                    "the first row has no usual names and not two columns; name them with "
                    "--columns INPUT,ANSWER",
                    e);
    *has_header =
        r->d->kind == HG_PRESET_TRANSLATION && is_language(t->cell[0]) && is_language(t->cell[1]);
    for (size_t i = 0; i < t->n; i++) r->at[role_of(i, t->n)] = (int)i;
    return HG_OK;
}

static void say_columns(const reader *r, const hg_table *t, bool has_header)
{
    hg_buf b = {0};
    for (int role = 0; role < N_ROLES; role++) {
        if (r->at[role] < 0) continue;
        const hg_bytes name = t->cell[r->at[role]];
        if (b.n > 0) hg_buf_puts(&b, ", ");
        hg_buf_printf(&b, "column %d", r->at[role] + 1);
        if (has_header) hg_buf_printf(&b, " (%.*s)", (int)(name.n < 40 ? name.n : 40), name.p);
        hg_buf_printf(&b, " is the %s", role_name[role]);
    }
    hg_watch_log(r->w, HG_INFO, "%s: %s; %s", r->name,
                 has_header ? "the first row is a header" : "no header row",
                 b.p != NULL ? b.p : "");
    hg_buf_free(&b);
}

static hg_status table_row(const reader *r, const hg_table *t, hg_err *e)
{
    hg_preset_row row = {.n = 0};
    char what[120];
    if (t->n != r->width) {
        (void)snprintf(what, sizeof what, "%zu columns; the first row has %zu", t->n, r->width);
        return fail(r, what, e);
    }
    HG_TRY(make_answers(r, &row, 1, e));
    if (r->at[CONTEXT] >= 0) HG_TRY(keep(r, t->cell[r->at[CONTEXT]], &row.context, e));
    HG_TRY(keep(r, t->cell[r->at[INPUT]], &row.input, e));
    HG_TRY(keep(r, t->cell[r->at[ANSWER]], &row.answer[0], e));
    return add_row(r, &row, e);
}

static hg_status read_table(reader *r, hg_table *t, hg_err *e)
{
    bool has_header = false, has = false;
    hg_err why = {0};
    for (size_t i = 0;; i++) {
        const hg_status s = hg_table_next(t, &has, &why);
        if (s != HG_OK) return hg_fail(e, s, "%s, %s", r->name, why.msg);
        if (!has) return HG_OK;
        r->line = t->line;
        if (i == 0) {
            HG_TRY(find_columns(r, t, &has_header, e));
            say_columns(r, t, has_header);
        }
        if (i > 0 || !has_header) HG_TRY(table_row(r, t, e));
    }
}

/* ---- JSON lines ---- */
static hg_status find_keys(reader *r, const json_t *o, hg_err *e)
{
    char what[120];
    for (size_t i = 0; i < r->n_columns; i++) r->key[role_of(i, r->n_columns)] = r->columns[i];
    for (int role = INPUT; role < N_ROLES && r->n_columns == 0; role++)
        for (const char *const *name = usual[role]; *name != NULL; name++)
            if (r->key[role] == NULL && json_object_get(o, *name) != NULL) r->key[role] = *name;
    for (int role = INPUT; role < N_ROLES; role++) {
        if (r->key[role] != NULL) continue;
        (void)snprintf(what, sizeof what,
                       "no member is called as an %s usually is; name them with --columns "
                       "INPUT,ANSWER",
                       role_name[role]);
        return fail(r, what, e);
    }
    hg_watch_log(r->w, HG_INFO, "%s: \"%s\" is the input, \"%s\" the answer", r->name,
                 r->key[INPUT], r->key[ANSWER]);
    return HG_OK;
}

/* Text, a number or a truth value, as text. */
static hg_status scalar(const reader *r, const json_t *v, const char *key, hg_bytes *out, hg_err *e)
{
    char text[64];
    if (json_is_string(v))
        return keep(r, (hg_bytes){json_string_value(v), json_string_length(v)}, out, e);
    if (json_is_integer(v))
        (void)snprintf(text, sizeof text, "%lld", (long long)json_integer_value(v));
    else if (json_is_boolean(v))
        (void)snprintf(text, sizeof text, "%s", json_is_true(v) ? "true" : "false");
    else {
        char what[160];
        (void)snprintf(what, sizeof what, "\"%.60s\" is %s; text is right", key,
                       hg_json_type_name(v));
        return fail(r, what, e);
    }
    return keep(r, (hg_bytes){text, strlen(text)}, out, e);
}

/* One, a list of them, or SQuAD's {"text": [...]}. */
static hg_status json_answers(const reader *r, hg_preset_row *row, const json_t *v, hg_err *e)
{
    if (json_is_object(v)) v = json_object_get(v, "text");
    if (!json_is_array(v)) {
        HG_TRY(make_answers(r, row, 1, e));
        return scalar(r, v, r->key[ANSWER], &row->answer[0], e);
    }
    const size_t n = json_array_size(v);
    if (n == 0 || n > HG_PRESET_ANSWERS) return fail(r, "1 to 64 right answers are allowed", e);
    HG_TRY(make_answers(r, row, n, e));
    for (size_t i = 0; i < n; i++)
        HG_TRY(scalar(r, json_array_get(v, i), r->key[ANSWER], &row->answer[i], e));
    return HG_OK;
}

/* Where nothing is named, each row says itself whether it has one. */
static const char *context_key(const reader *r, const json_t *o)
{
    if (r->n_columns > 0 || !is_asked(r, CONTEXT)) return r->key[CONTEXT];
    for (const char *const *name = usual[CONTEXT]; *name != NULL; name++)
        if (json_object_get(o, *name) != NULL) return *name;
    return NULL;
}

static hg_status json_row(reader *r, const json_t *o, hg_err *e)
{
    hg_preset_row row = {.n = 0};
    if (!json_is_object(o)) return fail(r, "not a JSON object", e);
    if (r->key[INPUT] == NULL) HG_TRY(find_keys(r, o, e));
    const char *key = context_key(r, o);
    const json_t *context = key != NULL ? json_object_get(o, key) : NULL;
    if (context != NULL) HG_TRY(scalar(r, context, key, &row.context, e));
    HG_TRY(scalar(r, json_object_get(o, r->key[INPUT]), r->key[INPUT], &row.input, e));
    HG_TRY(json_answers(r, &row, json_object_get(o, r->key[ANSWER]), e));
    return add_row(r, &row, e);
}

static bool is_blank(hg_bytes line)
{
    for (size_t i = 0; i < line.n; i++)
        if (!is_space(line.p[i])) return false;
    return true;
}

static hg_status read_json(reader *r, hg_bytes text, hg_err *e)
{
    for (size_t at = 0; at < text.n;) {
        const char *eol = memchr(text.p + at, '\n', text.n - at);
        const size_t n = eol != NULL ? (size_t)(eol - text.p) - at : text.n - at;
        const hg_bytes line = {text.p + at, n};
        json_t *o = NULL;
        hg_err why = {0};
        at += n + 1;
        r->line++;
        if (is_blank(line)) continue;
        if (hg_json_parse(&o, line, LINE_LIMIT, &why) != HG_OK) return fail(r, why.msg, e);
        const hg_status s = json_row(r, o, e);
        json_decref(o);
        HG_TRY(s);
    }
    return HG_OK;
}

/* ---- a file ---- */
static bool looks_like_json(hg_bytes text)
{
    if (text.n >= 3 && memcmp(text.p, "\xef\xbb\xbf", 3) == 0) text.p += 3, text.n -= 3;
    while (text.n > 0 && is_space(text.p[0])) text.p++, text.n--;
    return text.n > 0 && text.p[0] == '{';
}

static hg_status parse_chats(hg_preset_data *d, hg_bytes text, const char *name, bool is_held_out,
                             hg_err *e)
{
    const size_t from = d->chats.n;
    HG_TRY(hg_chats_parse(&d->chats, text, name, e));
    for (size_t i = from; i < d->chats.n; i++) d->chats.chat[i].is_held = is_held_out;
    return HG_OK;
}

hg_status hg_preset_parse_text(hg_preset_data *d, hg_bytes text, const char *name,
                               const char *const *columns, size_t n_columns, bool is_held_out,
                               const hg_watch *w, hg_err *e)
{
    if (d->kind == HG_PRESET_CHAT) return parse_chats(d, text, name, is_held_out, e);
    reader r = {.d = d,
                .name = hg_arena_strndup(&d->mem, name, strlen(name)),
                .columns = columns,
                .n_columns = n_columns,
                .is_held_out = is_held_out,
                .w = w};
    if (r.name == NULL) return hg_fail(e, HG_E_NOMEM, "no room for %s", name);
    if (n_columns > 0 && n_columns != 2 && !(d->kind == HG_PRESET_QA && n_columns == 3))
        return hg_fail(e, HG_E_ARG,
                       "columns: %zu are named; two are right, input and answer (of qa also three: "
                       "context, question, answer)",
                       n_columns);
    if (looks_like_json(text)) {
        if (text.p[0] != '{' && (unsigned char)text.p[0] == 0xEF) text.p += 3, text.n -= 3;
        return read_json(&r, text, e);
    }
    hg_table *t = hg_alloc(1, sizeof *t);
    if (t == NULL) return hg_fail(e, HG_E_NOMEM, "no room for %s", name);
    hg_table_init(t, text, hg_path_ends(name, ".tsv"));
    const hg_status s = read_table(&r, t, e);
    hg_table_free(t);
    hg_free(t);
    return s;
}

hg_status hg_preset_load(hg_preset_data *d, const char *path, const char *const *columns,
                         size_t n_columns, bool is_held_out, const hg_watch *w, hg_err *e)
{
    hg_map map = {0};
    const size_t before = d->n + d->chats.n;
    HG_TRY(hg_map_open(&map, path, e));
    hg_status s = map.n <= FILE_LIMIT ? HG_OK : hg_fail(e, HG_E_LIMIT, "%s: more than 2 GiB", path);
    if (s == HG_OK)
        s = hg_preset_parse_text(d, (hg_bytes){(const char *)map.p, map.n}, path, columns,
                                 n_columns, is_held_out, w, e);
    hg_map_close(&map);
    if (s == HG_OK && d->n + d->chats.n == before)
        return hg_fail(e, HG_E_FORMAT, "%s: no rows in it", path);
    return s;
}
