#include "harness/test.h"
#include "base/file.h"
#include "data/corpus.h"
#include "data/dedup.h"
#include "data/quality.h"
#include "text/json.h"
#include <higgins/collect.h>
#include <stdio.h>
#include <string.h>

static const char *const prose[] = {
    "The river ran slowly past the mill, and nobody on the bank had anything better to do than to "
    "watch it. A boy threw a stick; a dog considered the matter and stayed where it was.",
    "In the evening the wind turned, clouds came over the ridge, and by nightfall it was raining "
    "as it "
    "rains only in the mountains: patiently, without anger, for hours on end.",
    "She had read every book in the house twice, and the almanac three times, so that when the "
    "parcel "
    "arrived she did not even ask who had sent it before she cut the string."};

static void put(const char *name, const char *s)
{
    hg_err e;
    CHECK_OK(hg_file_write(test_path(name), s, strlen(s), &e), e);
}

static hg_rule judge(const char *text)
{
    hg_quality q = {0};
    hg_figures f;
    hg_err e;
    CHECK_OK(hg_quality_measure(&q, (hg_bytes){text, strlen(text)}, &f, &e), e);
    hg_quality_free(&q);
    return hg_quality_judge(&f, 0);
}

TEST(prose_passes_and_each_kind_of_junk_breaks_its_rule)
{
    hg_buf b = {0};
    for (int i = 0; i < 3; i++) hg_buf_printf(&b, "%s\n\n", prose[i]);
    CHECK_EQ(judge(b.p), HG_N_RULES);
    CHECK_EQ(judge("\xe5\x90\xbe\xe8\xbc\xa9\xe3\x81\xaf\xe7\x8c\xab\xe3\x81\xa7\xe3\x81\x82\xe3"
                   "\x82\x8b\xe3\x80\x82"
                   "\xe5\x90\x8d\xe5\x89\x8d\xe3\x81\xaf\xe3\x81\xbe\xe3\x81\xa0\xe7\x84\xa1\xe3"
                   "\x81\x84\xe3\x80\x82"),
             HG_N_RULES);
    CHECK_EQ(judge("a \xef\xbf\xbd\xef\xbf\xbd word \xef\xbf\xbd here"), HG_RULE_BROKEN);
    CHECK_EQ(judge("0x0012 0x1f3a 4411 9983 0x44 8872 6651 +++ === 12,33"), HG_RULE_LETTERS);
    CHECK_EQ(judge("#one #two #three #four and the rest of them"), HG_RULE_SYMBOLS);
    CHECK_EQ(judge("a b c d e f g h i j k l m n o p"), HG_RULE_SHORT_WORDS);
    CHECK_EQ(judge("internationalisation/configuration/parameters administrationsobjekte"),
             HG_RULE_LONG_WORDS);
    hg_buf_clear(&b);
    for (int i = 0; i < 20; i++)
        hg_buf_printf(&b, "- another section of some document %c%c\n", 'a' + i, 'k' + i % 7);
    CHECK_EQ(judge(b.p), HG_RULE_BULLETS);
    hg_buf_clear(&b);
    for (int i = 0; i < 10; i++)
        hg_buf_printf(&b, "the beginning of a story by author %c ...\n", 'a' + i);
    CHECK_EQ(judge(b.p), HG_RULE_ELLIPSES);
    hg_buf_clear(&b);
    for (int i = 0; i < 10; i++)
        hg_buf_printf(&b, "%s\n", i % 2 ? prose[0] : "Share this page with friends");
    CHECK_EQ(judge(b.p), HG_RULE_LINES);
    hg_buf_clear(&b);
    for (int i = 0; i < 60; i++)
        hg_buf_printf(&b, "buy cheap watches %c%c ", 'a' + i % 26, 'b' + i % 23);
    CHECK_EQ(judge(b.p), HG_RULE_TOP_2);
    hg_buf_free(&b);
}

TEST(each_rule_has_a_name_a_figure_and_can_be_kept)
{
    hg_collect_rule r;
    size_t n = 0;
    while (hg_collect_get_rule(n, &r)) {
        CHECK_EQ(hg_rule_find(r.name), n);
        CHECK(strlen(r.what) > 10 && r.limit > 0);
        n++;
    }
    CHECK_EQ(n, HG_N_RULES);
    CHECK_EQ(hg_rule_find("no such rule"), HG_N_RULES);
    hg_figures f = {0};
    f.rule[HG_RULE_LETTERS] = 0.1;
    f.rule[HG_RULE_SHORT_WORDS] = 5;
    CHECK_EQ(hg_quality_judge(&f, 0), HG_RULE_LETTERS);
    CHECK_EQ(hg_quality_judge(&f, 1u << HG_RULE_LETTERS), HG_N_RULES);
}

TEST(the_index_knows_what_it_has_seen)
{
    hg_dedup d = {0};
    hg_err e;
    bool is_new;
    for (int round = 0; round < 2; round++)
        for (uint64_t i = 0; i < 100000; i++) {
            CHECK_OK(hg_dedup_add(&d, hg_hash(&i, sizeof i), &is_new, &e), e);
            CHECK_EQ(is_new, round == 0);
        }
    CHECK_EQ(d.n, 100000);
    CHECK(d.n_slots * sizeof *d.slot <= 48 * d.n);
    CHECK_OK(hg_dedup_add(&d, (hg_hash128){0, 0}, &is_new, &e), e);
    CHECK(is_new);
    CHECK_OK(hg_dedup_add(&d, (hg_hash128){0, 0}, &is_new, &e), e);
    CHECK(!is_new);
    hg_dedup_free(&d);
}

static hg_status collect(const char *from, const hg_collect_options *o, hg_collect_stats *stats,
                         hg_err *e)
{
    const char *sources[] = {from};
    return hg_collect(sources, 1, o, test_path("corpus"), NULL, stats, e);
}

static void make_tree(void)
{
    hg_err e;
    hg_buf b = {0};
    CHECK_OK(hg_mkdirs(test_path("in"), &e), e);
    hg_buf_printf(&b, "%s\n\n%s", prose[0], prose[1]);
    put("in/one.txt", b.p);
    put("in/same.md", b.p);
    hg_buf_clear(&b);
    hg_buf_printf(&b, "<title>Page</title><html lang=en><p>%s<p>%s", prose[1], prose[2]);
    put("in/page.html", b.p);
    put("in/tiny.txt", "too short");
    hg_buf_free(&b);
}

TEST(a_corpus_can_be_read_back_with_all_it_records)
{
    hg_collect_options o;
    hg_collect_stats stats;
    hg_corpus *c = NULL;
    hg_doc doc;
    hg_err e;
    bool has;
    make_tree();
    hg_collect_options_init(&o);
    o.licence = "CC0-1.0";
    CHECK_OK(collect(test_path("in"), &o, &stats, &e), e);
    CHECK_EQ(stats.n_documents, 2);
    CHECK_EQ(stats.n_duplicates, 1);
    CHECK_EQ(stats.n_dropped, 2);
    const char *paths[] = {test_path("corpus")};
    CHECK_OK(hg_corpus_open(&c, paths, 1, &e), e);
    CHECK_EQ(hg_corpus_documents(c), 2);
    CHECK_EQ(hg_corpus_text_bytes(c), stats.n_text_bytes);
    CHECK_OK(hg_corpus_next(c, &doc, &has, &e), e);
    CHECK(has && doc.id.n == 32 && doc.date.n == 20 && doc.part == 0);
    CHECK(memcmp(doc.licence.p, "CC0-1.0", 7) == 0);
    CHECK(memcmp(doc.text.p, prose[0], 40) == 0);
    CHECK_OK(hg_corpus_next(c, &doc, &has, &e), e);
    CHECK(has && memcmp(doc.title.p, "Page", doc.title.n) == 0 && memcmp(doc.lang.p, "en", 2) == 0);
    CHECK_OK(hg_corpus_next(c, &doc, &has, &e), e);
    CHECK(!has);
    hg_corpus_close(c);
}

TEST(only_a_corpus_made_alike_is_replaced)
{
    hg_collect_options o;
    hg_err e;
    make_tree();
    hg_collect_options_init(&o);
    CHECK_OK(collect(test_path("in"), &o, NULL, &e), e);
    CHECK_OK(collect(test_path("in"), &o, NULL, &e), e);
    o.min_chars = 100;
    CHECK_EQ(collect(test_path("in"), &o, NULL, &e), HG_E_STATE);
    CHECK_HAS(e.msg,
              "holds a corpus made from other sources or with other options; --force replaces it");
    o.force = true;
    CHECK_OK(collect(test_path("in"), &o, NULL, &e), e);
    CHECK_OK(hg_remove_tree(test_path("corpus"), &e), e);
    CHECK_OK(hg_mkdirs(test_path("corpus"), &e), e);
    put("corpus/letter.txt", "not yours");
    CHECK_EQ(collect(test_path("in"), &o, NULL, &e), HG_E_STATE);
    CHECK_HAS(e.msg, "is there and is no corpus; name another folder");
    put("corpus/card.json", "{\"format\":\"something else\"}");
    CHECK_EQ(collect(test_path("in"), &o, NULL, &e), HG_E_STATE);
    CHECK(hg_path_exists(test_path("corpus/letter.txt")));
}

TEST(sources_and_options_that_make_no_sense_are_refused)
{
    static const char *const wrong[] = {"no_such_rule"};
    hg_collect_options o;
    hg_err e;
    make_tree();
    hg_collect_options_init(&o);
    CHECK_EQ(collect(test_path("nowhere"), &o, NULL, &e), HG_E_MISSING);
    o.shard_mb = 0;
    CHECK_EQ(collect(test_path("in"), &o, NULL, &e), HG_E_ARG);
    CHECK_STR(e.msg, "a shard of 0 MB; 1 to 4096 allowed");
    hg_collect_options_init(&o);
    o.keep = wrong;
    o.n_keep = 1;
    CHECK_EQ(collect(test_path("in"), &o, NULL, &e), HG_E_ARG);
    CHECK_HAS(e.msg, "there is no rule \"no_such_rule\"");
    hg_collect_options_init(&o);
    o.min_chars = 100000;
    CHECK_EQ(collect(test_path("in"), &o, NULL, &e), HG_E_MISSING);
    CHECK_HAS(e.msg, "no document was kept: 4 dropped, most as near_empty");
    CHECK(!hg_path_exists(test_path("corpus")));
}

TEST(a_corpus_is_never_collected_into_itself)
{
    const char *all[] = {test_folder()}, *own[] = {test_path("corpus")};
    hg_collect_options o;
    hg_collect_stats stats;
    hg_err e;
    make_tree();
    hg_collect_options_init(&o);
    CHECK_OK(hg_collect(all, 1, &o, test_path("corpus"), NULL, &stats, &e), e);
    CHECK_OK(hg_collect(all, 1, &o, test_path("corpus"), NULL, &stats, &e), e);
    CHECK_EQ(stats.n_files, 4);
    CHECK_EQ(stats.n_documents, 2);
    o.force = true;
    CHECK_EQ(hg_collect(own, 1, &o, test_path("corpus"), NULL, &stats, &e), HG_E_ARG);
    CHECK_HAS(e.msg, "which is to be replaced");
}

TEST(a_stopped_run_leaves_what_was_there)
{
    atomic_bool stop = true;
    hg_watch w = {.stop = &stop};
    const char *sources[] = {test_path("in")};
    hg_err e;
    make_tree();
    CHECK_EQ(hg_collect(sources, 1, NULL, test_path("corpus"), &w, NULL, &e), HG_E_CANCELED);
    CHECK_HAS(e.msg, "is as it was before");
    CHECK(!hg_path_exists(test_path("corpus")));
}

TEST(a_card_that_lies_about_its_shards_is_refused)
{
    hg_collect_options o;
    hg_corpus *c = NULL;
    hg_err e;
    const char *paths[] = {test_path("corpus")};
    make_tree();
    hg_collect_options_init(&o);
    CHECK_OK(collect(test_path("in"), &o, NULL, &e), e);
    put("corpus/card.json",
        "{\"format\":\"higgins-corpus-1\",\"documents\":1,\"text_bytes\":1,\"shards\":[{\"name\":"
        "\"../in/one.txt\",\"sha256\":\"x\"}]}");
    CHECK_EQ(hg_corpus_open(&c, paths, 1, &e), HG_E_FORMAT);
    CHECK_HAS(e.msg, "\"../in/one.txt\" is no name of a shard");
    put("corpus/card.json",
        "{\"format\":\"higgins-corpus-1\",\"documents\":1,\"text_bytes\":1,\"shards\":[{\"name\":"
        "\"gone.zst\",\"sha256\":\"x\"}]}");
    CHECK_EQ(hg_corpus_open(&c, paths, 1, &e), HG_E_MISSING);
    put("corpus/card.json", "{\"format\":");
    CHECK_EQ(hg_corpus_open(&c, paths, 1, &e), HG_E_FORMAT);
    CHECK_HAS(e.msg, "card.json: line 1");
}
