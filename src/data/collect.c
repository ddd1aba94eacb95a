/* The first stage of a model's life: from what lies in files to a corpus. Documents pass one after
 * the other through cleaning, the index of duplicates, the rules of quality and into the shards; at
 * any moment one document is in memory. The sources are walked twice: once to know how much there
 * is, once to read. The folder is made beside its place and put there in one step at the end. */
#include "base/clock.h"
#include "base/file.h"
#include "data/card.h"
#include "data/dedup.h"
#include "data/licence.h"
#include "data/reader.h"
#include "data/target.h"
#include "text/json.h"
#include "text/utf8.h"
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>

typedef struct job {
    const hg_collect_options *o;
    const hg_watch *w;
    const char *path;
    size_t source; /* being read */
    char *own;     /* the place of our output as the walk of this source would name it, or NULL */
    uint32_t kept_rules;
    double total, before; /* bytes of all files, and of those already read */
    hg_tally tally;
    hg_quality quality;
    hg_dedup dedup;
    hg_licence_cache licences;
    hg_shards *shards;
    hg_buf text, line;
    hg_err why; /* of what is dropped */
} job;

void hg_collect_options_init(hg_collect_options *o)
{
    *o = (hg_collect_options){.min_chars = 200, .shard_mb = 64};
}

static hg_status check_options(const hg_collect_options *o, uint32_t *kept, hg_err *e)
{
    *kept = 0;
    if (o->shard_mb < 1 || o->shard_mb > 4096)
        return hg_fail(e, HG_E_ARG, "a shard of %u MB; 1 to 4096 allowed", o->shard_mb);
    for (size_t i = 0; i < o->n_keep; i++) {
        hg_rule rule = hg_rule_find(o->keep[i]);
        if (rule == HG_N_RULES)
            return hg_fail(e, HG_E_ARG,
                           "there is no rule \"%.60s\" to keep documents from; the card "
                           "lists the rules",
                           o->keep[i]);
        *kept |= 1u << rule;
    }
    return HG_OK;
}

/* ---- which files ---- */

static bool matches(const char *const *pattern, size_t n, const char *path)
{
    for (size_t i = 0; i < n; i++)
        if (fnmatch(pattern[i], hg_path_base(path), 0) == 0 || fnmatch(pattern[i], path, 0) == 0)
            return true;
    return false;
}

/* A corpus collected before, or being made now, must not be collected again, nor a card. */
static bool is_ours(const job *j, const char *path)
{
    size_t n = j->own != NULL ? strlen(j->own) : 0;
    if (n > 0 && strncmp(path, j->own, n) == 0 &&
        (path[n] == '/' || strncmp(path + n, ".tmp-", 5) == 0))
        return true;
    if (strcmp(hg_path_base(path), "card.html") != 0) return false;
    hg_buf json = {0};
    hg_buf_put(&json, path, strlen(path) - 4);
    hg_buf_puts(&json, "json");
    bool is_card = !json.failed && hg_path_exists(json.p);
    hg_buf_free(&json);
    return is_card;
}

static bool is_wanted(const job *j, const char *path)
{
    return (j->o->n_include == 0 || matches(j->o->include, j->o->n_include, path)) &&
           !matches(j->o->exclude, j->o->n_exclude, path) && !is_ours(j, path);
}

static hg_status stopped(const job *j, hg_err *e)
{
    return hg_watch_stopped(j->w)
               ? hg_fail(e, HG_E_CANCELED, "stopped; %s is as it was before", j->path)
               : HG_OK;
}

/* ---- a document ---- */

static void drop(job *j, hg_why why, hg_bytes what)
{
    hg_tally_drop(&j->tally, j->source, why, what);
}

/* What the document says itself counts first, then its package, then the user's own statement. */
static const char *find_licence(job *j, const char *path, hg_doc *doc)
{
    if (doc->licence.n > 0) return "document";
    doc->licence = hg_licence_spdx(doc->text);
    if (doc->licence.n > 0) return "spdx";
    doc->licence = hg_licence_debian(&j->licences, path);
    if (doc->licence.n > 0) return "package";
    if (j->o->licence == NULL) return NULL;
    doc->licence = (hg_bytes){j->o->licence, strlen(j->o->licence)};
    return "user";
}

static void put_optional(hg_json_out *o, const char *key, hg_bytes v)
{
    if (v.n > 0) hg_json_bytes(o, key, v);
}

static hg_status write_record(job *j, const hg_doc *doc, const char *licence_from,
                              const hg_figures *f, hg_err *e)
{
    char sha[65];
    hg_json_out o;
    hg_sha256_hex(doc->text.p, doc->text.n, sha);
    hg_buf_clear(&j->line);
    hg_json_out_init(&o, &j->line, 0);
    hg_json_begin(&o, NULL, '{');
    hg_json_bytes(&o, "id", doc->id);
    hg_json_bytes(&o, "source", doc->source);
    put_optional(&o, "title", doc->title);
    put_optional(&o, "licence", doc->licence);
    if (licence_from != NULL) hg_json_text(&o, "licence_from", licence_from);
    put_optional(&o, "date", doc->date);
    put_optional(&o, "lang", doc->lang);
    if (doc->part > 0) hg_json_int(&o, "part", doc->part);
    hg_json_int(&o, "n_chars", (int64_t)f->n_chars);
    hg_json_text(&o, "sha256", sha);
    hg_json_bytes(&o, "text", doc->text);
    hg_json_end(&o);
    hg_buf_putc(&j->line, '\n');
    HG_TRY(hg_buf_status(&j->line, e));
    return hg_shards_put(j->shards, (hg_bytes){j->line.p, j->line.n}, e);
}

static hg_status take_document(job *j, const char *path, const hg_doc *raw, hg_err *e)
{
    hg_figures f;
    bool is_new;
    char id[33];
    hg_doc doc = *raw;
    hg_buf_clear(&j->text);
    HG_TRY(hg_text_clean(&j->text, raw->text, e));
    doc.text = (hg_bytes){j->text.n > 0 ? j->text.p : "", j->text.n};
    if (hg_utf8_count(doc.text) < j->o->min_chars || doc.text.n == 0) {
        drop(j, HG_WHY_NEAR_EMPTY, doc.source);
        return HG_OK;
    }
    hg_hash128 hash = hg_hash(doc.text.p, doc.text.n);
    HG_TRY(hg_dedup_add(&j->dedup, hash, &is_new, e));
    if (!is_new) {
        drop(j, HG_WHY_DUPLICATE, doc.source);
        return HG_OK;
    }
    HG_TRY(hg_quality_measure(&j->quality, doc.text, &f, e));
    hg_rule rule = hg_quality_judge(&f, j->kept_rules);
    if (rule != HG_N_RULES) {
        drop(j, (hg_why)(HG_WHY_RULE + rule), doc.source);
        return HG_OK;
    }
    (void)snprintf(id, sizeof id, "%016llx%016llx", (unsigned long long)hash.hi,
                   (unsigned long long)hash.lo);
    doc.id = (hg_bytes){id, 32};
    const char *from = find_licence(j, path, &doc);
    hg_tally_keep(&j->tally, j->source, &doc, &f, hash);
    return write_record(j, &doc, from, &f, e);
}

/* ---- a file ---- */

static void show_progress(const job *j, double done)
{
    char note[64];
    (void)snprintf(note, sizeof note, "%llu documents, %llu dropped",
                   (unsigned long long)j->tally.stats.n_documents,
                   (unsigned long long)j->tally.stats.n_dropped);
    hg_watch_progress(j->w, &(hg_progress){"collecting", "bytes", note, done, j->total});
}

/* A failure that concerns one file or record and not the run is a reason to leave it out. */
static hg_status leave_out(job *j, hg_status s, hg_kind kind, hg_err *e)
{
    static const hg_why unsupported[] = {
        [HG_KIND_OTHER] = HG_WHY_OTHER, [HG_KIND_BINARY] = HG_WHY_BINARY};
    hg_why why = HG_WHY_UNREADABLE;
    if (s == HG_E_NOMEM || s == HG_E_CANCELED) return hg_fail(e, s, "%s", j->why.msg);
    if (s == HG_E_UNSUPPORTED && kind >= HG_KIND_OTHER) why = unsupported[kind];
    if (s == HG_E_LIMIT) why = HG_WHY_TOO_LONG;
    if (s == HG_E_FORMAT && kind != HG_KIND_TEXT && kind != HG_KIND_HTML) why = HG_WHY_MALFORMED;
    drop(j, why, (hg_bytes){j->why.msg, strlen(j->why.msg)});
    return HG_OK;
}

static hg_status read_documents(job *j, hg_reader *r, const char *path, hg_err *e)
{
    for (;;) {
        hg_doc doc;
        bool has = false;
        HG_TRY(stopped(j, e));
        hg_status s = hg_reader_next(r, &doc, &has, &j->why);
        if (s == HG_OK && !has) return HG_OK;
        if (s == HG_OK)
            HG_TRY(take_document(j, path, &doc, e));
        else
            HG_TRY(leave_out(j, s, hg_reader_kind(r), e));
        if (s == HG_E_IO) return HG_OK;
        show_progress(j, j->before + (double)hg_reader_done(r));
    }
}

static hg_status read_file(void *ctx, const char *path, uint64_t size, int64_t mtime, hg_err *e)
{
    job *j = ctx;
    hg_kind kind = HG_KIND_TEXT;
    hg_reader *r = NULL;
    (void)mtime;
    if (!is_wanted(j, path)) return HG_OK;
    HG_TRY(stopped(j, e));
    hg_source *source = &j->tally.source[j->source];
    source->n_files++;
    source->n_bytes += size;
    j->tally.stats.n_files++;
    hg_reader_options o = {.text_field = j->o->text_field, .kind = &kind};
    hg_status s = hg_reader_open(&r, path, &o, &j->why);
    if (s != HG_OK) {
        s = leave_out(j, s, kind, e);
    } else {
        uint64_t before = j->tally.stats.n_documents;
        s = read_documents(j, r, path, e);
        j->tally.stats.n_bytes_read += hg_reader_done(r);
        j->tally.stats.n_files_read += j->tally.stats.n_documents > before;
    }
    j->tally.n_files_of[kind]++;
    hg_reader_close(r);
    j->before += (double)size;
    show_progress(j, j->before);
    return s;
}

/* ---- the whole ---- */

static hg_status plan_file(void *ctx, const char *path, uint64_t size, int64_t mtime, hg_err *e)
{
    job *j = ctx;
    (void)mtime;
    if (is_wanted(j, path)) j->total += (double)size;
    hg_watch_progress(j->w, &(hg_progress){"counting", "bytes", NULL, j->total, 0});
    return stopped(j, e);
}

static hg_status walk_sources(job *j, hg_walk_fn *fn, hg_err *e)
{
    for (size_t i = 0; i < j->tally.n_sources; i++) {
        const char *name = j->tally.source[i].name;
        j->source = i;
        HG_TRY(hg_target_within(name, j->path, &j->own, e));
        hg_status s = hg_walk(name, fn, j, e);
        hg_free(j->own);
        j->own = NULL;
        HG_TRY(s);
    }
    return HG_OK;
}

static hg_status write_card(job *j, const char *folder, const char *key, hg_joules *joules,
                            hg_err *e)
{
    hg_card card = {.tally = &j->tally, .options = j->o, .options_key = key};
    hg_buf b = {0};
    card.shards = hg_shards_list(j->shards, &card.n_shards);
    card.joules_source = hg_joules_source(joules);
    hg_iso_time(hg_unix_time(), card.made);
    char *path = hg_path_join(folder, "card.json");
    hg_card_json(&b, &card);
    hg_status s =
        path == NULL ? hg_fail(e, HG_E_NOMEM, "no room for a path") : hg_buf_status(&b, e);
    if (s == HG_OK) s = hg_file_write(path, b.p, b.n, e);
    hg_free(path);
    path = hg_path_join(folder, "card.html");
    hg_buf_clear(&b);
    hg_card_html(&b, &card);
    if (s == HG_OK && path == NULL) s = hg_fail(e, HG_E_NOMEM, "no room for a path");
    if (s == HG_OK) s = hg_buf_status(&b, e);
    if (s == HG_OK) s = hg_file_write(path, b.p, b.n, e);
    hg_free(path);
    hg_buf_free(&b);
    return s;
}

static hg_status nothing_kept(const job *j, hg_err *e)
{
    size_t most = 0;
    for (size_t i = 1; i < HG_N_WHY; i++)
        if (j->tally.reason[i].n > j->tally.reason[most].n) most = i;
    if (j->tally.reason[most].n == 0)
        return hg_fail(e, HG_E_MISSING,
                       "no documents in %s; give files or folders of text, HTML, JSON "
                       "lines or mail",
                       j->tally.source[0].name);
    return hg_fail(e, HG_E_MISSING, "no document was kept: %llu dropped, most as %s (%s)",
                   (unsigned long long)j->tally.stats.n_dropped, hg_why_name((hg_why)most),
                   hg_why_text((hg_why)most));
}

static hg_status fill_folder(job *j, const char *folder, const char *key, hg_err *e)
{
    hg_joules joules;
    hg_collect_stats *stats = &j->tally.stats;
    double begin = hg_seconds();
    size_t n_shards;
    hg_joules_start(&joules);
    HG_TRY(hg_shards_open(&j->shards, folder, (uint64_t)j->o->shard_mb * 1000000, e));
    HG_TRY(walk_sources(j, read_file, e));
    HG_TRY(hg_shards_finish(j->shards, e));
    HG_TRY(hg_tally_status(&j->tally, e));
    if (stats->n_documents == 0) return nothing_kept(j, e);
    const hg_shard *shards = hg_shards_list(j->shards, &n_shards);
    stats->n_shards = (uint32_t)n_shards;
    for (size_t i = 0; i < n_shards; i++) stats->n_bytes_written += shards[i].bytes;
    stats->seconds = hg_seconds() - begin;
    stats->joules = hg_joules_read(&joules);
    return write_card(j, folder, key, &joules, e);
}

static void job_free(job *j)
{
    hg_tally_free(&j->tally);
    hg_quality_free(&j->quality);
    hg_dedup_free(&j->dedup);
    hg_licence_cache_free(&j->licences);
    hg_shards_free(j->shards);
    hg_buf_free(&j->text);
    hg_buf_free(&j->line);
}

hg_status hg_collect(const char *const *sources, size_t n_sources, const hg_collect_options *o,
                     const char *path, const hg_watch *w, hg_collect_stats *stats, hg_err *e)
{
    hg_collect_options defaults;
    hg_collect_options_init(&defaults);
    job j = {.o = o != NULL ? o : &defaults, .w = w, .path = path};
    hg_dir *dir = NULL;
    hg_buf key = {0};

    if (stats != NULL) *stats = (hg_collect_stats){0};
    if (n_sources == 0) return hg_fail(e, HG_E_ARG, "no sources; give files or folders");
    HG_TRY(check_options(j.o, &j.kept_rules, e));
    HG_TRY(hg_tally_init(&j.tally, sources, n_sources, e));
    hg_card_options_key(&key, sources, n_sources, j.o);
    hg_status s = hg_buf_status(&key, e);
    if (s == HG_OK) s = hg_target_check(path, key.p, j.o->force, e);
    if (s == HG_OK) s = walk_sources(&j, plan_file, e);
    if (s == HG_OK) s = hg_dir_open(&dir, path, e);
    if (s == HG_OK) s = fill_folder(&j, hg_dir_path(dir), key.p, e);
    if (s == HG_OK) s = stopped(&j, e);
    if (s == HG_OK)
        s = hg_dir_commit(dir, e);
    else
        hg_dir_abort(dir);
    if (s == HG_OK && stats != NULL) *stats = j.tally.stats;
    hg_buf_free(&key);
    job_free(&j);
    return s;
}
