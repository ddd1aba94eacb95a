/* Documents on their way back out: the row of files behind a list of paths, opened one after the
 * other. Where it stands: between `collect` and everything that learns from text. The order is
 * fixed (shards as the card lists them, files in byte order of their paths), because tokenizers and
 * training runs must be the same again from the same corpus. */
#include "data/corpus.h"
#include "base/file.h"
#include "base/hash.h"
#include "data/reader.h"
#include "text/json.h"
#include <string.h>
#include <sys/stat.h>

enum { MAX_CARD = 64 << 20, MAX_FILES = 1 << 24 };

typedef struct file {
    char *path;
    uint64_t size;
    bool is_shard;
    bool is_named; /* by the caller himself, so that passing over it would surprise */
} file;

struct hg_corpus {
    file *files;
    size_t n_files, cap, at; /* at: the next to open */
    hg_reader *reader;
    uint64_t total, before; /* bytes of all files, and of those already read to their end */
    uint64_t n_documents, n_text_bytes;
    bool all_cards; /* every path was a corpus folder */
    hg_buf print;   /* what the fingerprint is made of */
};

static hg_status add_file(hg_corpus *c, const char *path, uint64_t size, bool is_shard,
                          bool is_named, hg_err *e)
{
    if (c->n_files >= MAX_FILES)
        return hg_fail(e, HG_E_LIMIT, "more than %d files to read", MAX_FILES);
    HG_TRY(hg_grow(&c->files, &c->cap, c->n_files, sizeof *c->files, e));
    char *copy = hg_strdup(path);
    if (copy == NULL) return hg_fail(e, HG_E_NOMEM, "no room for the list of files");
    c->files[c->n_files++] = (file){copy, size, is_shard, is_named};
    c->total += size;
    return HG_OK;
}

typedef struct walk_context {
    hg_corpus *c;
    bool is_named;
} walk_context;

static hg_status on_file(void *ctx, const char *path, uint64_t size, int64_t mtime, hg_err *e)
{
    walk_context *w = ctx;
    (void)mtime;
    hg_buf_printf(&w->c->print, "%s %llu\n", hg_path_base(path), (unsigned long long)size);
    return add_file(w->c, path, size, false, w->is_named, e);
}

/* One shard of a card: its name must be a plain one, in the folder. */
static hg_status add_shard(hg_corpus *c, const char *folder, const json_t *shard, hg_err *e)
{
    hg_bytes name, hash;
    struct stat st;
    HG_TRY(hg_json_get_text(shard, "name", &name, e));
    HG_TRY(hg_json_get_text(shard, "sha256", &hash, e));
    if (name.n == 0 || strlen(name.p) != name.n || strchr(name.p, '/') != NULL || name.p[0] == '.')
        return hg_fail(e, HG_E_FORMAT, "\"%.100s\" is no name of a shard", name.p);
    char *path = hg_path_join(folder, name.p);
    if (path == NULL) return hg_fail(e, HG_E_NOMEM, "no room for a path");
    hg_status s = stat(path, &st) != 0 ? hg_fail(e, HG_E_MISSING, "its shard %s is missing", name.p)
                                       : add_file(c, path, (uint64_t)st.st_size, true, true, e);
    hg_free(path);
    hg_buf_printf(&c->print, "%.64s\n", hash.p);
    return s;
}

static hg_status read_card(hg_corpus *c, const char *folder, const json_t *card, hg_err *e)
{
    json_t *shards = NULL;
    hg_bytes format = {"", 0};
    int64_t documents = 0, text_bytes = 0;
    HG_TRY(hg_json_opt_text(card, "format", &format, e));
    if (strcmp(format.p, "higgins-corpus-1") != 0)
        return hg_fail(e, HG_E_FORMAT,
                       "not the card of a corpus; \"format\" should be "
                       "\"higgins-corpus-1\"");
    HG_TRY(hg_json_get_int(card, "documents", 0, INT64_MAX, &documents, e));
    HG_TRY(hg_json_get_int(card, "text_bytes", 0, INT64_MAX, &text_bytes, e));
    HG_TRY(hg_json_get_array(card, "shards", &shards, e));
    c->n_documents += (uint64_t)documents;
    c->n_text_bytes += (uint64_t)text_bytes;
    for (size_t i = 0; i < json_array_size(shards); i++)
        HG_TRY(add_shard(c, folder, json_array_get(shards, i), e));
    return HG_OK;
}

static hg_status add_corpus(hg_corpus *c, const char *folder, const char *card_path, hg_err *e)
{
    json_t *card = NULL;
    hg_err why;
    HG_TRY(hg_json_read(&card, card_path, MAX_CARD, e));
    hg_status s = read_card(c, folder, card, &why);
    json_decref(card);
    return s == HG_OK ? HG_OK : hg_fail(e, s, "%s: %s", card_path, why.msg);
}

static hg_status add_path(hg_corpus *c, const char *path, hg_err *e)
{
    bool is_folder = hg_path_is_dir(path);
    if (is_folder) {
        char *card = hg_path_join(path, "card.json");
        if (card == NULL) return hg_fail(e, HG_E_NOMEM, "no room for a path");
        bool is_corpus = hg_path_exists(card);
        hg_status s = is_corpus ? add_corpus(c, path, card, e) : HG_OK;
        hg_free(card);
        if (is_corpus) return s;
    }
    c->all_cards = false;
    return hg_walk(path, on_file, &(walk_context){c, !is_folder}, e);
}

hg_status hg_corpus_open(hg_corpus **out, const char *const *paths, size_t n, hg_err *e)
{
    *out = NULL;
    hg_corpus *c = hg_alloc(1, sizeof *c);
    if (c == NULL) return hg_fail(e, HG_E_NOMEM, "no room for a corpus");
    c->all_cards = n > 0;
    hg_status s = HG_OK;
    for (size_t i = 0; i < n && s == HG_OK; i++) s = add_path(c, paths[i], e);
    if (s == HG_OK) s = hg_buf_status(&c->print, e);
    if (s != HG_OK) {
        hg_corpus_close(c);
        return s;
    }
    *out = c;
    return HG_OK;
}

void hg_corpus_close(hg_corpus *c)
{
    if (c == NULL) return;
    hg_reader_close(c->reader);
    for (size_t i = 0; i < c->n_files; i++) hg_free(c->files[i].path);
    hg_free(c->files);
    hg_buf_free(&c->print);
    hg_free(c);
}

/* Opens the next file that can be read; what lies in a folder and is no document is passed over. */
static hg_status open_next(hg_corpus *c, hg_err *e)
{
    while (c->reader == NULL && c->at < c->n_files) {
        const file *f = &c->files[c->at++];
        hg_reader_options o = {.is_shard = f->is_shard};
        hg_status s = hg_reader_open(&c->reader, f->path, &o, e);
        if (s != HG_OK) c->before += f->size;
        if (s == HG_E_UNSUPPORTED && !f->is_named) continue;
        HG_TRY(s);
    }
    return HG_OK;
}

hg_status hg_corpus_next(hg_corpus *c, hg_doc *doc, bool *has, hg_err *e)
{
    *has = false;
    for (;;) {
        HG_TRY(open_next(c, e));
        if (c->reader == NULL) return HG_OK;
        HG_TRY(hg_reader_next(c->reader, doc, has, e));
        if (*has && doc->text.n > 0) return HG_OK;
        if (*has) continue;
        hg_reader_close(c->reader);
        c->reader = NULL;
        c->before += c->files[c->at - 1].size;
    }
}

hg_status hg_corpus_rewind(hg_corpus *c, hg_err *e)
{
    (void)e;
    hg_reader_close(c->reader);
    c->reader = NULL;
    c->at = 0;
    c->before = 0;
    return HG_OK;
}

uint64_t hg_corpus_bytes_total(const hg_corpus *c)
{
    return c->total;
}

uint64_t hg_corpus_bytes_done(const hg_corpus *c)
{
    return c->before + (c->reader != NULL ? hg_reader_done(c->reader) : 0);
}

uint64_t hg_corpus_documents(const hg_corpus *c)
{
    return c->all_cards ? c->n_documents : 0;
}

uint64_t hg_corpus_text_bytes(const hg_corpus *c)
{
    return c->all_cards ? c->n_text_bytes : 0;
}

void hg_corpus_fingerprint(const hg_corpus *c, char out[65])
{
    hg_sha256_hex(c->print.n > 0 ? c->print.p : "", c->print.n, out);
}
