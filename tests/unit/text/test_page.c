#include "harness/test.h"
#include "text/page.h"
#include <math.h>
#include <string.h>

TEST(everything_given_is_escaped)
{
    hg_buf b = {0};
    const char *evil = "<script>alert('x')</script>\"&\xff";
    const hg_page_column column[] = {{evil, false}};
    hg_page_begin(&b, evil, evil);
    hg_page_heading(&b, evil);
    hg_page_text(&b, "%s", evil);
    hg_page_note(&b, "%s", evil);
    hg_page_pre(&b, (hg_bytes){evil, strlen(evil)});
    hg_page_fold_begin(&b, evil, true);
    hg_page_fold_end(&b);
    hg_page_tiles(&b, &(hg_page_tile){evil, evil, evil}, 1);
    hg_page_pairs(&b, &(hg_page_pair){evil, evil}, 1);
    hg_page_table_begin(&b, evil, column, 1);
    hg_page_row(&b, column, &evil, 1);
    hg_page_table_end(&b);
    hg_page_ranks(&b, evil, &evil, &(double){1}, &evil, 1);
    hg_page_lines(
        &b, &(hg_page_chart){.title = evil,
                             .x_name = evil,
                             .y_name = evil,
                             .series = (hg_page_series[]){{evil, NULL, (double[]){1, 2}, 2, false},
                                                          {evil, NULL, (double[]){2, 1}, 2, false}},
                             .n_series = 2});
    hg_page_bars_chart(&b, &(hg_page_bars){evil, evil, evil, &evil, &(double){3}, 1});
    hg_page_stacks_chart(&b,
                         &(hg_page_stacks){evil, evil, evil, &evil, (const char *[]){evil, evil},
                                           (double[]){3, 1}, 1, 2});
    hg_page_chips(&b, &(hg_page_chip){evil, evil}, 1);
    hg_page_jinja(&b, (hg_bytes){evil, strlen(evil)});
    hg_page_end(&b, evil);
    CHECK(!b.failed);
    CHECK(strstr(b.p, "<script") == NULL);
    CHECK(strstr(b.p, "\xff") == NULL);
    CHECK_HAS(b.p, "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&quot;&amp;\xef\xbf\xbd");
    CHECK(strstr(b.p, "http") == NULL); /* no outside requests */
    hg_buf_free(&b);
}

static void check_jinja(const char *text, const char *want)
{
    hg_buf b = {0};
    hg_page_jinja(&b, (hg_bytes){text, strlen(text)});
    CHECK(!b.failed);
    CHECK_STR(b.p, want);
    hg_buf_free(&b);
}

TEST(a_template_is_shown_in_colours_and_whole)
{
    check_jinja("a{% if x %}b{{ y }}{# z #}", "<pre>a<span class=\"jk\">{% if x %}</span>b<span "
                                              "class=\"jv\">{{ y }}</span><span "
                                              "class=\"jc\">{# z #}</span></pre>\n");
    /* the brackets of a string close nothing; an apostrophe in a comment opens none */
    check_jinja("{{ '}}\\'' }}", "<pre><span class=\"jv\">{{ </span><span "
                                 "class=\"js\">&#39;}}\\&#39;&#39;</span><span class=\"jv\"> "
                                 "}}</span></pre>\n");
    check_jinja("{# don't #}", "<pre><span class=\"jc\">{# don&#39;t #}</span></pre>\n");
    check_jinja("{{ 'open", "<pre><span class=\"jv\">{{ </span><span "
                            "class=\"js\">&#39;open</span><span class=\"jv\"></span></pre>\n");
    check_jinja("{%", "<pre>{%</pre>\n");
}

TEST(charts_stand_any_values)
{
    double y[] = {NAN, 1, INFINITY, -5, 0, 1e-300, 1e300, 2}, same[] = {3, 3, 3}, none[1] = {NAN};
    hg_page_series s[] = {{"a", NULL, y, 8, false},
                          {"b", y, y, 8, true},
                          {"c", NULL, same, 3, false},
                          {"d", NULL, none, 1, false},
                          {"e", NULL, NULL, 0, false}};
    for (int k = 0; k < 4; k++)
        for (size_t i = 0; i < 5; i++) {
            hg_buf b = {0};
            hg_page_lines(&b,
                          &(hg_page_chart){"t", "x", "y", (k & 1) != 0, (k & 2) != 0, s + i, 1});
            CHECK(!b.failed);
            CHECK(strstr(b.p, "nan") == NULL && strstr(b.p, "inf") == NULL);
            hg_buf_free(&b);
        }
}

TEST(long_series_are_thinned_and_keep_their_spikes)
{
    static double y[200000];
    hg_buf b = {0};
    for (size_t i = 0; i < 200000; i++) y[i] = 1;
    y[123457] = 9;
    hg_page_lines(&b, &(hg_page_chart){.series = &(hg_page_series){"loss", NULL, y, 200000, false},
                                       .n_series = 1});
    CHECK(b.n < 60000);
    CHECK_HAS(b.p, ",20.7"); /* the spike's place near the top */
    hg_buf_free(&b);
}

TEST(figures_are_written_as_people_read_them)
{
    char b[32];
    CHECK_STR(hg_page_bytes(b, 999), "999 B");
    CHECK_STR(hg_page_bytes(b, 12345678), "12.3 MB");
    CHECK_STR(hg_page_count(b, 9999), "9999");
    CHECK_STR(hg_page_count(b, 1240000), "1.24 M");
    CHECK_STR(hg_page_count(b, 999999), "1.00 M");
    CHECK_STR(hg_page_duration(b, 3.14159), "3.14 s");
    CHECK_STR(hg_page_duration(b, 192), "3 min 12 s");
    CHECK_STR(hg_page_duration(b, 7265), "2 h 1 min");
}

TEST(a_section_is_put_before_the_foot_and_replaces_the_one_of_its_name)
{
    hg_buf b = {0};
    hg_err e = {0};
    hg_page_begin(&b, "Page", NULL);
    hg_page_heading(&b, "First");
    hg_page_end(&b, "the foot");
    CHECK_OK(hg_page_insert(&b, "more", (hg_bytes){"<p>one</p>\n", 11}, &e), e);
    CHECK_HAS(b.p, "<h2>First</h2>\n<!-- more -->\n<p>one</p>\n<!-- /more -->\n<p class=\"foot\">");
    CHECK_OK(hg_page_insert(&b, "more", (hg_bytes){"<p>two</p>\n", 11}, &e), e);
    CHECK_HAS(b.p, "<h2>First</h2>\n<!-- more -->\n<p>two</p>\n<!-- /more -->\n<p class=\"foot\">");
    CHECK(strstr(b.p, "<p>one") == NULL);
    hg_buf_clear(&b);
    hg_buf_puts(&b, "no page");
    CHECK_EQ(hg_page_insert(&b, "more", (hg_bytes){"x", 1}, &e), HG_E_FORMAT);
    CHECK_STR(b.p, "no page");
    hg_buf_free(&b);
}
