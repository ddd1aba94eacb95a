/* Sets: the ones that ship with Higgins, and whatever rows a folder holds. A file is a set of its
 * own name; the many files of a folder called blimp are one set. */
#include "eval/eval.h"
#include "base/file.h"
#include "base/rng.h"
#include "data/stream.h"
#include <string.h>

/* recipes/evals, embedded when the library is built. */
extern const unsigned char hg_eval_minimal_pairs_jsonl[], hg_eval_commonsense_jsonl[],
    hg_eval_answers_jsonl[];
extern const size_t hg_eval_minimal_pairs_jsonl_size, hg_eval_commonsense_jsonl_size,
    hg_eval_answers_jsonl_size;

void hg_set_free(hg_set *s)
{
    if (s == NULL) return;
    hg_free(s->row);
    hg_arena_free(&s->mem);
    hg_free(s);
}

void hg_sets_free(hg_sets *s)
{
    for (size_t i = 0; i < s->n; i++) hg_set_free(s->set[i]);
    hg_free(s->set);
    *s = (hg_sets){0};
}

static hg_status set_of(hg_sets *s, const char *name, hg_set **out, hg_err *e)
{
    for (size_t i = 0; i < s->n; i++) {
        *out = s->set[i];
        if (strcmp(s->set[i]->name, name) == 0) return HG_OK;
    }
    HG_TRY(hg_grow(&s->set, &s->cap, s->n, sizeof(s->set[0]), e));
    hg_set *set = hg_alloc(1, sizeof *set);
    if (set == NULL) return hg_fail(e, HG_E_NOMEM, "no room for a set");
    hg_buf b = {0};
    hg_buf_printf(&b, "%.60s", name);
    if (b.p != NULL) memcpy(set->name, b.p, b.n < sizeof set->name ? b.n : sizeof set->name - 1);
    hg_buf_free(&b);
    set->same_continuation = true;
    hg_arena_init(&set->mem, 0);
    s->set[s->n++] = *out = set;
    return HG_OK;
}

/* ---- rows into a set ---- */

static bool all_same(const hg_row *r)
{
    for (size_t i = 1; i < r->n; i++)
        if (r->text[i].n != r->text[0].n) return false;
    return true;
}

static hg_status add_row(hg_set *s, const hg_row *r, hg_err *e)
{
    if (s->n > 0 && r->kind != s->kind)
        return hg_fail(e, HG_E_FORMAT, "a row of %s among rows of %s; a set has rows of one kind",
                       hg_row_kind_name(r->kind), hg_row_kind_name(s->kind));
    if (s->n >= HG_MAX_ROWS)
        return hg_fail(e, HG_E_LIMIT, "more than %d rows in one set", HG_MAX_ROWS);
    HG_TRY(hg_grow(&s->row, &s->cap, s->n, sizeof *s->row, e));
    s->kind = r->kind;
    s->row[s->n++] = *r;
    s->n_there++;
    if (r->kind == HG_ROW_CHOICE && !all_same(r)) s->same_continuation = false;
    return HG_OK;
}

static bool is_blank(hg_bytes line)
{
    for (size_t i = 0; i < line.n; i++)
        if (strchr(" \t\r\n", line.p[i]) == NULL || line.p[i] == '\0') return false;
    return true;
}

static hg_status add_line(hg_set *s, hg_bytes line, const char *where, uint64_t number, hg_err *e)
{
    hg_row row;
    hg_err why = {0};
    if (is_blank(line)) return HG_OK;
    hg_status status = hg_row_parse(&row, line, &s->mem, &why);
    if (status == HG_OK) status = add_row(s, &row, &why);
    if (status == HG_OK) return HG_OK;
    return hg_fail(e, status, "%s:%llu: %.400s", where, (unsigned long long)number, why.msg);
}

hg_status hg_set_read(hg_set *s, hg_bytes lines, const char *where, hg_err *e)
{
    uint64_t number = 0;
    for (size_t at = 0; at < lines.n;) {
        const char *end = memchr(lines.p + at, '\n', lines.n - at);
        size_t n = end != NULL ? (size_t)(end - lines.p) - at : lines.n - at;
        HG_TRY(add_line(s, (hg_bytes){lines.p + at, n}, where, ++number, e));
        at += n + 1;
    }
    return HG_OK;
}

/* HellaSwag as llama.cpp's tools read it: context, number of the right ending, four endings. */
typedef struct six {
    hg_row row;
    size_t at;
} six;

static hg_status add_six(hg_set *s, six *x, hg_bytes line, hg_err *e)
{
    if (x->at == 0) {
        if (is_blank(line)) return HG_OK;
        x->row = (hg_row){.kind = HG_ROW_CHOICE, .n = 4, .text = HG_NEW(&s->mem, hg_bytes, 4)};
        if (x->row.text == NULL) return hg_fail(e, HG_E_NOMEM, "no room for a row");
    }
    char *copy = hg_arena_strndup(&s->mem, line.p, line.n);
    if (copy == NULL) return hg_fail(e, HG_E_NOMEM, "no room for a row");
    hg_bytes text = {copy, line.n};
    if (x->at != 1 && line.n == 0) return hg_fail(e, HG_E_FORMAT, "an empty line within a row");
    if (x->at == 0) {
        x->row.prompt = text;
    } else if (x->at == 1) {
        if (line.n != 1 || line.p[0] < '0' || line.p[0] > '3')
            return hg_fail(e, HG_E_FORMAT, "the number of the right ending must be 0 to 3");
        x->row.gold = (size_t)(line.p[0] - '0');
    } else {
        x->row.text[x->at - 2] = text;
    }
    x->at = (x->at + 1) % 6;
    return x->at == 0 ? add_row(s, &x->row, e) : HG_OK;
}

static hg_status read_lines(hg_set *s, hg_lines *lines, const char *path, bool is_six, hg_err *e)
{
    six x = {0};
    hg_bytes line;
    bool has;
    for (;;) {
        HG_TRY(hg_lines_next(lines, HG_MAX_ROW_BYTES, &line, &has, e));
        if (!has) break;
        if (!is_six) {
            HG_TRY(add_line(s, line, path, lines->number, e));
            continue;
        }
        hg_err why = {0};
        hg_status status = add_six(s, &x, line, &why);
        if (status != HG_OK)
            return hg_fail(e, status, "%s:%llu: %.400s", path, (unsigned long long)lines->number,
                           why.msg);
    }
    if (x.at != 0) return hg_fail(e, HG_E_FORMAT, "%s: the last row is cut off", path);
    return HG_OK;
}

hg_status hg_set_open(hg_set *s, const char *path, hg_err *e)
{
    hg_stream *stream = NULL;
    hg_lines lines = {0};
    hg_bytes head;
    HG_TRY(hg_stream_open(&stream, path, e));
    hg_status status = hg_stream_peek(stream, 1, &head, e);
    if (status == HG_OK) status = hg_lines_init(&lines, stream, e);
    if (status == HG_OK) status = read_lines(s, &lines, path, head.n > 0 && head.p[0] != '{', e);
    hg_lines_free(&lines);
    hg_stream_close(stream);
    return status;
}

hg_status hg_set_sample(hg_set *s, size_t from, uint32_t limit, uint64_t seed, hg_err *e)
{
    size_t n = s->n - from, kept = from;
    if (limit == 0 || n <= limit) return HG_OK;
    uint8_t *keep = hg_alloc(n, 1);
    if (keep == NULL) return hg_fail(e, HG_E_NOMEM, "no room to choose rows");
    for (uint64_t i = 0; i < limit; i++) keep[hg_permute(i, n, seed)] = 1;
    for (size_t i = 0; i < n; i++)
        if (keep[i]) s->row[kept++] = s->row[from + i];
    s->n = kept;
    hg_free(keep);
    return HG_OK;
}

/* ---- the sets of Higgins ---- */

hg_status hg_sets_builtin(hg_sets *s, const hg_eval_options *o, hg_err *e)
{
    const struct {
        const char *name;
        const unsigned char *p;
        size_t n;
    } sets[] = {
        {"minimal pairs", hg_eval_minimal_pairs_jsonl, hg_eval_minimal_pairs_jsonl_size},
        {"commonsense", hg_eval_commonsense_jsonl, hg_eval_commonsense_jsonl_size},
        {"answers", hg_eval_answers_jsonl, hg_eval_answers_jsonl_size},
    };
    for (size_t i = 0; i < sizeof sets / sizeof sets[0]; i++) {
        hg_set *set;
        HG_TRY(set_of(s, sets[i].name, &set, e));
        HG_TRY(hg_set_read(set, (hg_bytes){(const char *)sets[i].p, sets[i].n}, sets[i].name, e));
        /* They are small: only a limit that was asked for shortens them. */
        HG_TRY(hg_set_sample(set, 0, o->limit, o->seed, e));
    }
    return HG_OK;
}

/* ---- sets of a folder ---- */

typedef struct walk {
    hg_sets *sets;
    const hg_eval_options *o;
    const hg_watch *w;
    size_t n_files;
} walk;

/* "blimp" for .../blimp/adjunct_island.jsonl, "piqa" for .../core/piqa.jsonl.gz. */
static void name_of(const char *path, char name[64])
{
    const char *base = hg_path_base(path);
    size_t n = strcspn(base, ".");
    const char *p = base;
    static const char *const whole[] = {"/blimp/", "/hellaswag/"};
    for (size_t i = 0; i < 2; i++) {
        const char *at = strstr(path, whole[i]);
        if (at == NULL) continue;
        p = at + 1;
        n = strlen(whole[i]) - 2;
    }
    if (n > 59) n = 59;
    memcpy(name, p, n);
    name[n] = '\0';
}

static bool is_set_file(const char *path)
{
    static const char *const ends[] = {".jsonl", ".jsonl.gz", ".jsonl.zst"};
    static const char *const texts[] = {".txt", ".txt.gz", ".txt.zst"};
    for (size_t i = 0; i < 3; i++)
        if (hg_path_ends(path, ends[i]) ||
            (strstr(hg_path_base(path), "hellaswag") != NULL && hg_path_ends(path, texts[i])))
            return true;
    return false;
}

static hg_status visit(void *ctx, const char *path, uint64_t size, int64_t mtime, hg_err *e)
{
    walk *k = ctx;
    hg_set *set;
    char name[64];
    (void)size;
    (void)mtime;
    if (hg_path_ends(path, ".bz2"))
        hg_watch_log(k->w, HG_WARN, "%s: bzip2 is not read; unpack it first", path);
    if (!is_set_file(path)) return HG_OK;
    name_of(path, name);
    HG_TRY(set_of(k->sets, name, &set, e));
    size_t from = set->n;
    HG_TRY(hg_set_open(set, path, e));
    k->n_files++;
    uint32_t limit = k->o->limit;
    if (limit == 0 && strcmp(k->o->suite, "quick") == 0)
        limit = set->kind == HG_ROW_PAIR ? 20 : 100;
    return hg_set_sample(set, from, limit, k->o->seed, e);
}

hg_status hg_sets_folder(hg_sets *s, const hg_eval_options *o, const hg_watch *w, hg_err *e)
{
    walk k = {s, o, w, 0};
    if (!hg_path_exists(o->data))
        return hg_fail(e, HG_E_MISSING, "%s: no such folder of evaluation sets", o->data);
    HG_TRY(hg_walk(o->data, visit, &k, e));
    if (k.n_files > 0) return HG_OK;
    return hg_fail(e, HG_E_MISSING,
                   "%s: no evaluation sets; sets are .jsonl files, plain or compressed", o->data);
}
