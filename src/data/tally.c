/* The memory of a collection. Samples are the documents with the smallest hashes: a fair draw that
 * needs no random numbers and is the same again from the same documents. */
#include "data/tally.h"
#include "text/utf8.h"
#include <stdio.h>
#include <string.h>

enum { EXAMPLE = 240 };

const char *hg_why_name(hg_why w)
{
    static const char *const name[HG_WHY_RULE] = {"binary",    "not_for_reading", "unreadable",
                                                  "malformed", "too_long",        "near_empty",
                                                  "duplicate"};
    hg_collect_rule rule;
    if (w < HG_WHY_RULE) return name[w];
    return hg_collect_get_rule((size_t)(w - HG_WHY_RULE), &rule) ? rule.name : "";
}

const char *hg_why_text(hg_why w)
{
    static const char *const text[HG_WHY_RULE] = {
        "a file that holds no text",
        "a program, data or another markup",
        "a file that could not be opened or read to its end",
        "a record that is not what its form asks for",
        "a page, mail or line over its limit",
        "shorter than the least length asked for",
        "the same text as a document before"};
    hg_collect_rule rule;
    if (w < HG_WHY_RULE) return text[w];
    return hg_collect_get_rule((size_t)(w - HG_WHY_RULE), &rule) ? rule.what : "";
}

hg_status hg_tally_init(hg_tally *t, const char *const *sources, size_t n, hg_err *e)
{
    *t = (hg_tally){.n_sources = n};
    t->source = hg_alloc(n, sizeof *t->source);
    t->licences.item = hg_alloc(HG_NAMES, sizeof(hg_named));
    t->langs.item = hg_alloc(HG_NAMES, sizeof(hg_named));
    if (t->source == NULL || t->licences.item == NULL || t->langs.item == NULL) {
        hg_tally_free(t);
        return hg_fail(e, HG_E_NOMEM, "no room for the card");
    }
    for (size_t i = 0; i < n; i++) t->source[i].name = sources[i];
    return HG_OK;
}

void hg_tally_free(hg_tally *t)
{
    hg_free(t->source);
    hg_free(t->licences.item);
    hg_free(t->langs.item);
    for (size_t i = 0; i < HG_N_WHY; i++)
        for (size_t k = 0; k < HG_EXAMPLES; k++) hg_buf_free(&t->reason[i].example[k]);
    for (size_t i = 0; i < HG_SAMPLES; i++) {
        hg_buf_free(&t->sample[i].title);
        hg_buf_free(&t->sample[i].source);
        hg_buf_free(&t->sample[i].text);
    }
    *t = (hg_tally){0};
}

/* At most `limit` bytes, cut at a character. */
static void put_start(hg_buf *b, hg_bytes s, size_t limit)
{
    hg_bytes start = {s.p, s.n < limit ? s.n : limit};
    hg_buf_clear(b);
    if (start.n < s.n) start.n -= hg_utf8_cut(start);
    if (start.n > 0) hg_buf_put(b, start.p, start.n);
}

void hg_tally_drop(hg_tally *t, size_t i, hg_why why, hg_bytes what)
{
    hg_reason *r = &t->reason[why];
    if (r->n < HG_EXAMPLES) put_start(&r->example[r->n], what, EXAMPLE);
    r->n++;
    t->source[i].n_dropped++;
    t->stats.n_dropped++;
    t->stats.n_duplicates += why == HG_WHY_DUPLICATE;
}

static void add_name(hg_names *names, hg_bytes name, size_t n_chars)
{
    char text[128];
    size_t i = 0, n = name.n < sizeof text - 1 ? name.n : sizeof text - 1;
    if (n > 0) memcpy(text, name.p, n);
    text[n - hg_utf8_cut((hg_bytes){text, n})] = '\0';
    if (n == 0) (void)snprintf(text, sizeof text, "not stated");
    while (i < names->n && strcmp(names->item[i].name, text) != 0) i++;
    if (i == HG_NAMES) {
        i--;
        (void)snprintf(names->item[i].name, sizeof names->item[i].name, "(others)");
    } else if (i == names->n) {
        names->n++;
        (void)snprintf(names->item[i].name, sizeof names->item[i].name, "%s", text);
    }
    names->item[i].n_documents++;
    names->item[i].n_chars += n_chars;
}

static bool is_less(hg_hash128 a, hg_hash128 b)
{
    return a.hi < b.hi || (a.hi == b.hi && a.lo < b.lo);
}

static void add_sample(hg_tally *t, const hg_doc *doc, hg_hash128 hash)
{
    size_t i = t->n_samples;
    if (i == HG_SAMPLES) {
        i = 0;
        for (size_t k = 1; k < HG_SAMPLES; k++)
            if (is_less(t->sample[i].hash, t->sample[k].hash)) i = k;
        if (!is_less(hash, t->sample[i].hash)) return;
    } else {
        t->n_samples++;
    }
    hg_sample *s = &t->sample[i];
    s->hash = hash;
    s->is_cut = doc->text.n > HG_SAMPLE_BYTES;
    put_start(&s->title, doc->title, EXAMPLE);
    put_start(&s->source, doc->source, EXAMPLE);
    put_start(&s->text, doc->text, HG_SAMPLE_BYTES);
}

void hg_tally_keep(hg_tally *t, size_t i, const hg_doc *doc, const hg_figures *f, hg_hash128 hash)
{
    size_t bin = 0;
    while (bin + 1 < HG_LENGTHS && (f->n_chars >> (bin + 1)) > 0) bin++;
    t->length[bin]++;
    t->source[i].n_documents++;
    t->source[i].n_chars += f->n_chars;
    t->stats.n_documents++;
    t->stats.n_chars += f->n_chars;
    t->stats.n_text_bytes += doc->text.n;
    for (size_t k = 0; k < HG_N_SCRIPTS; k++) t->script[k] += f->script[k];
    add_name(&t->licences, doc->licence, f->n_chars);
    add_name(&t->langs, doc->lang, f->n_chars);
    add_sample(t, doc, hash);
}

hg_status hg_tally_status(const hg_tally *t, hg_err *e)
{
    for (size_t i = 0; i < HG_N_WHY; i++)
        for (size_t k = 0; k < HG_EXAMPLES; k++) HG_TRY(hg_buf_status(&t->reason[i].example[k], e));
    for (size_t i = 0; i < HG_SAMPLES; i++) {
        HG_TRY(hg_buf_status(&t->sample[i].text, e));
        HG_TRY(hg_buf_status(&t->sample[i].title, e));
        HG_TRY(hg_buf_status(&t->sample[i].source, e));
    }
    return HG_OK;
}
