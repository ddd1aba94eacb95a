/* card.html: the data card for people, in the spirit of Gebru et al. 2021 ("Datasheets for
 * Datasets"): what is in it, where it came from and under which licences, what was left out and by
 * which rule, and some documents to look at, so that nobody has to train on text unseen. */
#include "data/card.h"
#include "text/page.h"
#include <stdio.h>
#include <string.h>

static const char *number(char buf[32], uint64_t n)
{
    char plain[24];
    int len = snprintf(plain, sizeof plain, "%llu", (unsigned long long)n), out = 0;
    for (int i = 0; i < len && out < 30; i++) {
        if (i > 0 && (len - i) % 3 == 0) buf[out++] = ',';
        buf[out++] = plain[i];
    }
    buf[out] = '\0';
    return buf;
}

static void put_tiles(hg_buf *b, const hg_card *c)
{
    const hg_collect_stats *s = &c->tally->stats;
    char kept[32], chars[32], dropped[32], files[32], size[32], text[32], dup[40], dup_n[32],
        took[32];
    char joules[64];
    (void)snprintf(dup, sizeof dup, "%s duplicates", hg_page_count(dup_n, (double)s->n_duplicates));
    (void)snprintf(joules, sizeof joules, "%.0f J (%.40s)", s->joules, c->joules_source);
    char note[64];
    (void)snprintf(note, sizeof note, "%s of text", hg_page_bytes(text, (double)s->n_text_bytes));
    const hg_page_tile tile[] = {
        {hg_page_count(kept, (double)s->n_documents), "documents", NULL},
        {hg_page_count(chars, (double)s->n_chars), "characters", note},
        {hg_page_count(dropped, (double)s->n_dropped), "dropped", dup},
        {hg_page_count(files, (double)s->n_files), "files looked at", NULL},
        {hg_page_bytes(size, (double)s->n_bytes_written), "on disk", NULL},
        {hg_page_duration(took, s->seconds), "time", joules}};
    hg_page_tiles(b, tile, sizeof tile / sizeof *tile);
}

static void put_sources(hg_buf *b, const hg_tally *t)
{
    static const hg_page_column column[] = {{"Source", false},
                                            {"Files", true},
                                            {"Documents", true},
                                            {"Characters", true},
                                            {"Dropped", true}};
    hg_page_heading(b, "Sources");
    hg_page_table_begin(b, NULL, column, 5);
    for (size_t i = 0; i < t->n_sources; i++) {
        const hg_source *s = &t->source[i];
        char files[32], documents[32], chars[32], dropped[32];
        const char *cell[] = {s->name, number(files, s->n_files), number(documents, s->n_documents),
                              number(chars, s->n_chars), number(dropped, s->n_dropped)};
        hg_page_row(b, column, cell, 5);
    }
    hg_page_table_end(b);
}

static void put_name_rows(hg_buf *b, const char *first, const hg_named *item, size_t n)
{
    const hg_page_column column[] = {{first, false}, {"Documents", true}, {"Characters", true}};
    hg_page_table_begin(b, NULL, column, 3);
    for (size_t i = 0; i < n; i++) {
        char documents[32], chars[32];
        const char *cell[] = {item[i].name, number(documents, item[i].n_documents),
                              number(chars, item[i].n_chars)};
        hg_page_row(b, column, cell, 3);
    }
    hg_page_table_end(b);
}

/* The largest are shown, the long tail of a large collection can be unfolded. */
static void put_names(hg_buf *b, const char *heading, const char *first, const hg_names *names)
{
    enum { SHOWN = 12 };
    size_t n = names->n <= SHOWN + 3 ? names->n : SHOWN;
    hg_page_heading(b, heading);
    put_name_rows(b, first, names->item, n);
    if (n == names->n) return;
    char summary[48];
    (void)snprintf(summary, sizeof summary, "%zu more", names->n - n);
    hg_page_fold_begin(b, summary, false);
    put_name_rows(b, first, names->item + n, names->n - n);
    hg_page_fold_end(b);
}

static void put_dropped(hg_buf *b, const hg_tally *t)
{
    static const hg_page_column column[] = {
        {"Reason", false}, {"Meaning", false}, {"Count", true}, {"For example", false}};
    hg_page_heading(b, "Left out, and why");
    if (t->stats.n_dropped == 0) {
        hg_page_text(b, "Nothing was left out.");
        return;
    }
    hg_page_table_begin(b, NULL, column, 4);
    for (size_t i = 0; i < HG_N_WHY; i++) {
        const hg_reason *r = &t->reason[i];
        char count[32];
        if (r->n == 0) continue;
        const char *cell[] = {hg_why_name((hg_why)i), hg_why_text((hg_why)i), number(count, r->n),
                              r->example[0].p};
        hg_page_row(b, column, cell, 4);
    }
    hg_page_table_end(b);
}

static void put_lengths(hg_buf *b, const hg_tally *t)
{
    char text[HG_LENGTHS][32];
    const char *label[HG_LENGTHS];
    double value[HG_LENGTHS];
    size_t first = HG_LENGTHS, last = 0;
    for (size_t i = 0; i < HG_LENGTHS; i++) {
        if (t->length[i] == 0) continue;
        if (first == HG_LENGTHS) first = i;
        last = i;
    }
    if (first == HG_LENGTHS) return;
    for (size_t i = first; i <= last; i++) {
        label[i] = hg_page_count(text[i], (double)((uint64_t)1 << i));
        value[i] = (double)t->length[i];
    }
    hg_page_heading(b, "Length of documents");
    hg_page_bars_chart(b,
                       &(hg_page_bars){.x_name = "characters, from the figure shown to its double",
                                       .y_name = "documents",
                                       .label = label + first,
                                       .value = value + first,
                                       .n = last - first + 1});
}

static void put_scripts(hg_buf *b, const hg_tally *t)
{
    const char *label[HG_N_SCRIPTS], *shown[HG_N_SCRIPTS];
    char text[HG_N_SCRIPTS][48];
    double value[HG_N_SCRIPTS], all = 0;
    size_t n = 0;
    for (size_t i = 1; i < HG_N_SCRIPTS; i++) all += (double)t->script[i];
    for (size_t i = 1; i < HG_N_SCRIPTS; i++) {
        char count[32];
        if (t->script[i] == 0) continue;
        value[n] = (double)t->script[i];
        (void)snprintf(text[n], sizeof text[n], "%.2f %%, %s", 100 * value[n] / all,
                       hg_page_count(count, value[n]));
        label[n] = hg_script_name((hg_script)i);
        shown[n] = text[n];
        n++;
    }
    hg_page_heading(b, "Writing systems");
    hg_page_ranks(b, "Letters by script", label, value, shown, n);
}

static void put_samples(hg_buf *b, const hg_tally *t)
{
    hg_page_heading(b, "Some documents");
    hg_page_text(b, "Drawn evenly from all that were kept; the beginning of each.");
    for (size_t i = 0; i < t->n_samples; i++) {
        const hg_sample *s = &t->sample[i];
        hg_buf text = {0};
        hg_page_fold_begin(b, s->title.n > 0 ? s->title.p : s->source.p, i == 0);
        hg_page_text(b, "%s", s->source.n > 0 ? s->source.p : "");
        hg_buf_put(&text, s->text.p, s->text.n);
        if (s->is_cut) hg_buf_puts(&text, " \xe2\x80\xa6");
        hg_page_pre(b, (hg_bytes){text.p, text.n});
        hg_page_fold_end(b);
        hg_buf_free(&text);
    }
}

static void put_rules(hg_buf *b)
{
    static const hg_page_column column[] = {{"Rule", false}, {"Figure", false}, {"Limit", true}};
    hg_collect_rule r;
    hg_page_fold_begin(b, "The rules of quality and their limits", false);
    hg_page_table_begin(b, NULL, column, 3);
    for (size_t i = 0; hg_collect_get_rule(i, &r); i++) {
        char limit[48];
        (void)snprintf(limit, sizeof limit, "at %s %g", r.is_least ? "least" : "most", r.limit);
        const char *cell[] = {r.name, r.what, limit};
        hg_page_row(b, column, cell, 3);
    }
    hg_page_table_end(b);
    hg_page_fold_end(b);
}

static void put_options(hg_buf *b, const hg_card *c)
{
    const hg_collect_options *o = c->options;
    char least[32], shard[32];
    (void)snprintf(least, sizeof least, "%u characters", o->min_chars);
    (void)snprintf(shard, sizeof shard, "%u MB", o->shard_mb);
    const hg_page_pair pair[] = {
        {"Made", c->made},
        {"By", "Higgins " HG_VERSION},
        {"Least length", least},
        {"Size of a shard", shard},
        {"Field of JSON lines", o->text_field != NULL ? o->text_field : "text, content or body"},
        {"Licence where none is stated", o->licence != NULL ? o->licence : "not given"}};
    hg_page_heading(b, "How it was made");
    hg_page_pairs(b, pair, sizeof pair / sizeof *pair);
    put_rules(b);
}

static void put_shards(hg_buf *b, const hg_card *c)
{
    static const hg_page_column column[] = {
        {"Shard", false}, {"Documents", true}, {"Bytes", true}, {"SHA-256", false}};
    hg_page_heading(b, "Shards");
    hg_page_table_begin(b, NULL, column, 4);
    for (size_t i = 0; i < c->n_shards; i++) {
        const hg_shard *s = &c->shards[i];
        char documents[32], bytes[32];
        const char *cell[] = {s->name, number(documents, s->n_documents), number(bytes, s->bytes),
                              s->sha256};
        hg_page_row(b, column, cell, 4);
    }
    hg_page_table_end(b);
}

void hg_card_html(hg_buf *b, const hg_card *c)
{
    const hg_tally *t = c->tally;
    hg_page_begin(b, "Data card",
                  "What this corpus holds, where it came from, and what was left out.");
    put_tiles(b, c);
    put_sources(b, t);
    put_names(b, "Licences", "Licence", &t->licences);
    put_dropped(b, t);
    put_lengths(b, t);
    put_scripts(b, t);
    put_names(b, "Languages, as the documents state them", "Language", &t->langs);
    put_samples(b, t);
    put_options(b, c);
    put_shards(b, c);
    hg_page_end(b, "Made by Higgins " HG_VERSION);
}
