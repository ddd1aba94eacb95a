#include "harness/test.h"
#include "text/html.h"
#include <string.h>

static hg_status read_page(hg_html *h, const char *s, hg_err *e)
{
    hg_html_init(h);
    return hg_html_read(h, (hg_bytes){s, strlen(s)}, e);
}

static void check_text(const char *page, const char *want)
{
    hg_html h;
    hg_err e;
    CHECK_OK(read_page(&h, page, &e), e);
    CHECK_STR(h.text.n > 0 ? h.text.p : "", want);
    hg_html_free(&h);
}

TEST(headings_paragraphs_lists_and_tables_become_text)
{
    check_text("<h1>Title</h1><p>One <b>bold</b>\n  word.<p>Two.",
               "Title\n\nOne bold word.\n\nTwo.");
    check_text("<ul><li>a<li>b <i>c</i></ul><p>end", "- a\n- b c\n\nend");
    check_text("<table><tr><th>k<th>v<tr><td>1<td><p>2</p></table>", "k | v\n1 | 2");
    check_text("<dl><dt>term<dd>meaning</dl>", "term\n\nmeaning");
    check_text("<pre>a\n  b\n</pre>", "a\n  b");
    check_text("<p>x<br>y", "x\ny");
    check_text("<p>a&amp;b &lt;c&gt; &eacute;", "a&b <c> \xc3\xa9");
}

TEST(what_is_not_the_text_is_left_out)
{
    check_text("<nav><p>menu</nav><p>text<script>var x = '<p>no'</script><style>p{}</style>",
               "text");
    check_text("<header>site</header><article><header><h1>T</h1></header>body</article>",
               "T\n\nbody");
    check_text("<footer>f</footer><aside>a</aside><form>q<input></form><p>kept", "kept");
    check_text("<div class='sidebar x'>side</div><div id=breadcrumbs>b</div><p>kept", "kept");
    check_text("<p hidden>h</p><p style='display:none'>d</p><p aria-hidden=true>a</p><p>kept",
               "kept");
    check_text("<div role=navigation>n</div><svg><text>s</text></svg><p>kept", "kept");
    check_text("<p>first<noscript>on</noscript><template><p>t</template><p>kept<!-- c -->",
               "first\n\nkept");
}

TEST(blocks_that_are_mostly_links_are_navigation)
{
    check_text("<p><a href=a>Home</a> | <a href=b>Next page</a></p><p>A sentence with <a "
               "href=c>one link</a> "
               "inside it.</p>",
               "A sentence with one link inside it.");
    check_text("<h2><a href=x>A heading may be a link</a></h2><p>text",
               "A heading may be a link\n\ntext");
    check_text("<p><a name=x>An anchor is no link</a></p>", "An anchor is no link");
}

TEST(a_page_states_title_language_licence_and_date)
{
    hg_html h;
    hg_err e;
    CHECK_OK(
        read_page(
            &h,
            "<html lang=de><title> A\n title </title><meta name=date content=2020-01-02>"
            "<p>x<footer><a rel='nofollow license' href='https://example.org/by'>l</a></footer>",
            &e),
        e);
    CHECK_STR(h.title.p, "A title");
    CHECK_STR(h.lang.p, "de");
    CHECK_STR(h.licence.p, "https://example.org/by");
    CHECK_STR(h.date.p, "2020-01-02");
    CHECK_STR(h.text.p, "x");
    hg_html_free(&h);
    CHECK_OK(read_page(&h, "<meta name=DC.rights content='CC BY 4.0'><h1>First heading</h1>", &e),
             e);
    CHECK_STR(h.licence.p, "CC BY 4.0");
    CHECK_STR(h.title.p, "First heading");
    hg_html_free(&h);
}

TEST(a_reader_is_clean_again_for_the_next_page)
{
    hg_html h;
    hg_err e;
    CHECK_OK(read_page(&h, "<html lang=fr><title>one</title><p>first", &e), e);
    CHECK_OK(hg_html_read(&h, (hg_bytes){"<p>second", 9}, &e), e);
    CHECK_STR(h.text.p, "second");
    CHECK_EQ(h.title.n, 0);
    CHECK_EQ(h.lang.n, 0);
    CHECK_OK(hg_html_read(&h, (hg_bytes){"", 0}, &e), e);
    CHECK_EQ(h.text.n, 0);
    hg_html_free(&h);
}

TEST(broken_pages_are_read_as_browsers_do)
{
    check_text("<p>a<b>b<p>c", "ab\n\nc");
    check_text("</p></div><<p>x", "<\n\nx");
    check_text("<p>bytes \xff\xc3", "bytes \xef\xbf\xbd\xef\xbf\xbd");
    check_text("<table><p>foster<tr><td>cell", "foster\n\ncell");
    check_text("<p", "");
    check_text("<!doctype html><title>only", "");
}

/* Pages made to be deep or slow end with a sentence, soon. */
TEST_SECONDS(hostile_pages_end, 120)
{
    static const char *const unit[] = {"<div>",
                                       "<b>",
                                       "<table><td>",
                                       "<div><object></div></object>",
                                       "<ul><li>",
                                       "<a href=x><p>",
                                       "<font size=1><p>",
                                       "<svg><g>",
                                       "<p><b><i><u><s><p>",
                                       "<select><option>",
                                       "<template>"};
    hg_html h;
    hg_err e;
    hg_html_init(&h);
    for (size_t i = 0; i < sizeof unit / sizeof *unit; i++) {
        hg_buf b = {0};
        size_t n = strlen(unit[i]);
        while (b.n < 100000) hg_buf_put(&b, unit[i], n);
        hg_status s = hg_html_read(&h, (hg_bytes){b.p, b.n}, &e);
        CHECK(s == HG_OK || s == HG_E_LIMIT);
        hg_buf_free(&b);
    }
    hg_buf big = {0};
    while (big.n <= HG_HTML_MAX_BYTES)
        hg_buf_puts(&big, "<p>some words in a paragraph of some length</p>\n");
    CHECK_EQ(hg_html_read(&h, (hg_bytes){big.p, big.n}, &e), HG_E_LIMIT);
    CHECK_HAS(e.msg, "at most 16777216 are read");
    hg_buf_free(&big);
    hg_html_free(&h);
}

TEST(deep_nesting_is_refused_and_unclosed_paragraphs_are_not_deep)
{
    hg_html h;
    hg_err e;
    hg_buf b = {0};
    hg_html_init(&h);
    for (int i = 0; i < HG_HTML_MAX_DEPTH + 1; i++) hg_buf_puts(&b, "<div>");
    CHECK_EQ(hg_html_read(&h, (hg_bytes){b.p, b.n}, &e), HG_E_LIMIT);
    CHECK_STR(e.msg, "a page with elements nested more than 512 deep");
    hg_buf_clear(&b);
    for (int i = 0; i < 3000; i++) hg_buf_puts(&b, "<p>x<a name=y><br>");
    CHECK_OK(hg_html_read(&h, (hg_bytes){b.p, b.n}, &e), e);
    hg_buf_free(&b);
    hg_html_free(&h);
}
