/* card.json: the data card for programs. Its member "format" is also what tells a corpus of ours
 * from any other folder; "shards" is the list the reader goes by; "options_key" decides whether a
 * new run may replace the folder. */
#include "data/card.h"
#include "text/json.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static void put_texts(hg_json_out *o, const char *key, const char *const *text, size_t n)
{
    hg_json_begin(o, key, '[');
    for (size_t i = 0; i < n; i++) hg_json_text(o, NULL, text[i]);
    hg_json_end(o);
}

static void put_options(hg_json_out *o, const char *key, const hg_collect_options *c)
{
    hg_json_begin(o, key, '{');
    hg_json_text(o, "text_field", c->text_field);
    hg_json_text(o, "licence", c->licence);
    hg_json_int(o, "min_chars", c->min_chars);
    hg_json_int(o, "shard_mb", c->shard_mb);
    put_texts(o, "include", c->include, c->n_include);
    put_texts(o, "exclude", c->exclude, c->n_exclude);
    put_texts(o, "keep", c->keep, c->n_keep);
    hg_json_end(o);
}

void hg_card_options_key(hg_buf *b, const char *const *sources, size_t n,
                         const hg_collect_options *c)
{
    hg_json_out o;
    hg_json_out_init(&o, b, 0);
    hg_json_begin(&o, NULL, '{');
    put_texts(&o, "sources", sources, n);
    put_options(&o, "options", c);
    hg_json_end(&o);
}

static void put_sources(hg_json_out *o, const hg_tally *t)
{
    hg_json_begin(o, "sources", '[');
    for (size_t i = 0; i < t->n_sources; i++) {
        const hg_source *s = &t->source[i];
        hg_json_begin(o, NULL, '{');
        hg_json_text(o, "source", s->name);
        hg_json_int(o, "files", (int64_t)s->n_files);
        hg_json_int(o, "bytes", (int64_t)s->n_bytes);
        hg_json_int(o, "documents", (int64_t)s->n_documents);
        hg_json_int(o, "chars", (int64_t)s->n_chars);
        hg_json_int(o, "dropped", (int64_t)s->n_dropped);
        hg_json_end(o);
    }
    hg_json_end(o);
}

static void put_dropped(hg_json_out *o, const hg_tally *t)
{
    hg_json_begin(o, "dropped_by_reason", '[');
    for (size_t i = 0; i < HG_N_WHY; i++) {
        const hg_reason *r = &t->reason[i];
        if (r->n == 0) continue;
        hg_json_begin(o, NULL, '{');
        hg_json_text(o, "reason", hg_why_name((hg_why)i));
        hg_json_text(o, "meaning", hg_why_text((hg_why)i));
        hg_json_int(o, "count", (int64_t)r->n);
        hg_json_begin(o, "examples", '[');
        for (size_t k = 0; k < HG_EXAMPLES && k < r->n; k++)
            hg_json_bytes(o, NULL, (hg_bytes){r->example[k].p, r->example[k].n});
        hg_json_end(o);
        hg_json_end(o);
    }
    hg_json_end(o);
}

static void put_rules(hg_json_out *o)
{
    hg_collect_rule r;
    hg_json_begin(o, "rules", '[');
    for (size_t i = 0; hg_collect_get_rule(i, &r); i++) {
        hg_json_begin(o, NULL, '{');
        hg_json_text(o, "name", r.name);
        hg_json_text(o, "figure", r.what);
        hg_json_number(o, r.is_least ? "at_least" : "at_most", r.limit);
        hg_json_end(o);
    }
    hg_json_end(o);
}

static int by_chars(const void *a, const void *b)
{
    const hg_named *x = a, *y = b;
    if (x->n_chars != y->n_chars) return x->n_chars < y->n_chars ? 1 : -1;
    return strcmp(x->name, y->name);
}

static void put_names(hg_json_out *o, const char *key, const hg_names *names)
{
    qsort(names->item, names->n, sizeof *names->item, by_chars);
    hg_json_begin(o, key, '[');
    for (size_t i = 0; i < names->n; i++) {
        hg_json_begin(o, NULL, '{');
        hg_json_text(o, "name", names->item[i].name);
        hg_json_int(o, "documents", (int64_t)names->item[i].n_documents);
        hg_json_int(o, "chars", (int64_t)names->item[i].n_chars);
        hg_json_end(o);
    }
    hg_json_end(o);
}

static void put_mix(hg_json_out *o, const hg_tally *t)
{
    hg_json_begin(o, "scripts", '{');
    for (size_t i = 1; i < HG_N_SCRIPTS; i++)
        if (t->script[i] > 0) hg_json_int(o, hg_script_name((hg_script)i), (int64_t)t->script[i]);
    hg_json_end(o);
    hg_json_begin(o, "files_by_kind", '{');
    for (size_t i = 0; i <= HG_KIND_BINARY; i++)
        if (t->n_files_of[i] > 0)
            hg_json_int(o, hg_kind_name((hg_kind)i), (int64_t)t->n_files_of[i]);
    hg_json_end(o);
    hg_json_begin(o, "lengths", '[');
    for (size_t i = 0; i < HG_LENGTHS; i++) {
        if (t->length[i] == 0) continue;
        hg_json_begin(o, NULL, '{');
        hg_json_int(o, "chars_from", i == 0 ? 0 : (int64_t)1 << i);
        hg_json_int(o, "documents", (int64_t)t->length[i]);
        hg_json_end(o);
    }
    hg_json_end(o);
}

static void put_shards(hg_json_out *o, const hg_card *c)
{
    hg_json_begin(o, "shards", '[');
    for (size_t i = 0; i < c->n_shards; i++) {
        hg_json_begin(o, NULL, '{');
        hg_json_text(o, "name", c->shards[i].name);
        hg_json_int(o, "bytes", (int64_t)c->shards[i].bytes);
        hg_json_int(o, "documents", (int64_t)c->shards[i].n_documents);
        hg_json_text(o, "sha256", c->shards[i].sha256);
        hg_json_end(o);
    }
    hg_json_end(o);
}

static void put_samples(hg_json_out *o, const hg_tally *t)
{
    hg_json_begin(o, "samples", '[');
    for (size_t i = 0; i < t->n_samples; i++) {
        const hg_sample *s = &t->sample[i];
        hg_json_begin(o, NULL, '{');
        hg_json_bytes(o, "source", (hg_bytes){s->source.p, s->source.n});
        hg_json_bytes(o, "title", (hg_bytes){s->title.p, s->title.n});
        hg_json_bytes(o, "text", (hg_bytes){s->text.p, s->text.n});
        hg_json_end(o);
    }
    hg_json_end(o);
}

void hg_card_json(hg_buf *b, const hg_card *c)
{
    const hg_tally *t = c->tally;
    const hg_collect_stats *s = &t->stats;
    hg_json_out o;
    hg_json_out_init(&o, b, 2);
    hg_json_begin(&o, NULL, '{');
    hg_json_text(&o, "format", HG_CARD_FORMAT);
    hg_json_text(&o, "higgins", HG_VERSION);
    hg_json_text(&o, "made", c->made);
    hg_json_int(&o, "documents", (int64_t)s->n_documents);
    hg_json_int(&o, "chars", (int64_t)s->n_chars);
    hg_json_int(&o, "text_bytes", (int64_t)s->n_text_bytes);
    hg_json_int(&o, "bytes", (int64_t)s->n_bytes_written);
    hg_json_int(&o, "files", (int64_t)s->n_files);
    hg_json_int(&o, "files_read", (int64_t)s->n_files_read);
    hg_json_int(&o, "bytes_read", (int64_t)s->n_bytes_read);
    hg_json_int(&o, "dropped", (int64_t)s->n_dropped);
    hg_json_int(&o, "duplicates", (int64_t)s->n_duplicates);
    hg_json_number(&o, "seconds", round(s->seconds * 1000) / 1000);
    hg_json_number(&o, "joules", round(s->joules * 10) / 10);
    hg_json_text(&o, "joules_source", c->joules_source);
    put_shards(&o, c);
    put_sources(&o, t);
    put_dropped(&o, t);
    put_names(&o, "licences", &t->licences);
    put_names(&o, "languages", &t->langs);
    put_mix(&o, t);
    put_rules(&o);
    put_options(&o, "options", c->options);
    hg_json_text(&o, "options_key", c->options_key);
    put_samples(&o, t);
    hg_json_end(&o);
    hg_buf_putc(b, '\n');
}
