#include "fault.h"
#include "base/file.h"
#include "data/corpus.h"
#include "harness/test.h"
#include "text/page.h"
#include "text/yaml.h"
#include <higgins/collect.h>
#include <stdio.h>
#include <string.h>

static const char words[] =
    "The river ran slowly past the mill, and nobody on the bank had anything better to do than to "
    "watch it. A boy threw a stick; a dog considered the matter and stayed where it was, "
    "caf\xc3\xa9 "
    "e\xcc\x81tude. In the evening the wind turned and clouds came over the ridge.";

static void put(const char *name, const char *before, const char *after)
{
    hg_buf b = {0};
    hg_err e;
    hg_buf_printf(&b, "%s%s number %s %s", before, words, name, after);
    CHECK_OK(hg_file_write(test_path(name), b.p, b.n, &e), e);
    hg_buf_free(&b);
}

static void make_tree(void)
{
    hg_err e;
    CHECK_OK(hg_mkdirs(test_path("in/usr/share/doc/pkg"), &e), e);
    put("in/a.txt", "", "");
    put("in/b.html", "<title>t</title><html lang=en><h1>H</h1><p>", "<ul><li>x</ul>");
    put("in/c.jsonl", "{\"text\":\"", "\"}\n{bad\n");
    put("in/d.mbox", "From x\nSubject: =?koi8-r?q?=F0?=\n\n", "\n\nFrom y\n\nshort");
    put("in/usr/share/doc/pkg/copyright", "Format: x\n\nFiles: *\nLicense: CC0-1.0\n\n", "");
    put("in/usr/share/doc/pkg/latin", "\xe9 ", "");
}

static hg_status collect_tree(void *ctx, hg_err *e)
{
    const char *sources[] = {test_path("in")};
    hg_collect_options o;
    (void)ctx;
    hg_collect_options_init(&o);
    o.force = true;
    return hg_collect(sources, 1, &o, test_path("corpus"), NULL, NULL, e);
}

TEST_SECONDS(collecting_survives_any_failed_allocation, 300)
{
    hg_err e;
    make_tree();
    CHECK(fault_run(collect_tree, NULL, 1) > 100);
    CHECK_OK(collect_tree(NULL, &e), e);
}

static hg_status read_corpus(void *ctx, hg_err *e)
{
    const char *paths[] = {test_path("corpus"), test_path("in/a.txt"), test_path("in/b.html")};
    hg_corpus *c = NULL;
    hg_doc doc;
    bool has = true;
    (void)ctx;
    HG_TRY(hg_corpus_open(&c, paths, 3, e));
    hg_status s = HG_OK;
    while (s == HG_OK && has) s = hg_corpus_next(c, &doc, &has, e);
    hg_corpus_close(c);
    return s;
}

TEST_SECONDS(reading_a_corpus_survives_any_failed_allocation, 300)
{
    hg_err e;
    make_tree();
    CHECK_OK(collect_tree(NULL, &e), e);
    CHECK(fault_run(read_corpus, NULL, 1) > 20);
}

static hg_status read_recipe(void *ctx, hg_err *e)
{
    static const char text[] = "a: [1, 2]\nb:\n  c: d\n";
    hg_arena mem;
    hg_yaml *v = NULL;
    const char *const *list = NULL;
    size_t n = 0;
    (void)ctx;
    hg_arena_init(&mem, 4096);
    hg_status s = hg_yaml_parse(&v, &mem, "r", (hg_bytes){text, sizeof text - 1}, e);
    if (s == HG_OK) s = hg_yaml_texts(v, "a", &mem, &list, &n, e);
    hg_arena_free(&mem);
    return s;
}

TEST(reading_a_recipe_survives_any_failed_allocation)
{
    CHECK(fault_run(read_recipe, NULL, 1) >= 1);
}

static hg_status write_page(void *ctx, hg_err *e)
{
    hg_buf b = {0};
    double y[] = {1, 2, 3};
    (void)ctx;
    hg_page_begin(&b, "t", NULL);
    for (int i = 0; i < 50; i++) hg_page_text(&b, "%s", words);
    hg_page_lines(
        &b, &(hg_page_chart){.series = &(hg_page_series){"s", NULL, y, 3, false}, .n_series = 1});
    hg_page_end(&b, NULL);
    hg_status s = hg_buf_status(&b, e);
    hg_buf_free(&b);
    return s;
}

TEST(writing_a_page_survives_any_failed_allocation)
{
    CHECK(fault_run(write_page, NULL, 1) > 5);
}
