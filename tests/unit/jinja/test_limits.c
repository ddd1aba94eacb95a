/* Templates end: within their limits, or in one sentence that says where and why. That they mean
 * what Jinja2's mean is held in tests/node/jinja.test.mjs. */
#include "harness/test.h"
#include "jinja/jinja.h"
#include <string.h>

static hg_status render(const char *source, const hg_jinja_limits *limits, hg_buf *out, hg_err *e)
{
    hg_jinja *t = NULL;
    jrun *r = NULL;
    hg_jinja_text text;
    hg_status s = hg_jinja_parse(&t, (hg_bytes){source, strlen(source)}, e);
    if (s == HG_OK) s = hg_jinja_run_new(&r, t, limits, e);
    if (s == HG_OK) hg_jinja_set(r, "said", hg_jv_string(r, (hg_bytes){"Ab", 2}, JV_DATA));
    if (s == HG_OK) s = hg_jinja_render(r, &text, e);
    for (size_t i = 0; s == HG_OK && i < text.text.n; i++) {
        hg_buf_putc(out, text.text.p[i]);
        hg_buf_putc(out, (text.mark[i] & JV_SOURCE) == JV_DATA ? '!' : '.');
    }
    hg_jinja_run_free(r);
    hg_jinja_free(t);
    return s;
}

static void check_refused(const char *source, const hg_jinja_limits *limits, hg_status want,
                          const char *sentence)
{
    hg_buf out = {0};
    hg_err e = {0};
    CHECK_EQ(render(source, limits, &out, &e), want);
    CHECK_HAS(e.msg, sentence);
    hg_buf_free(&out);
}

static void check_marks(const char *source, const char *want)
{
    hg_buf out = {0};
    hg_err e = {0};
    CHECK_OK(render(source, NULL, &out, &e), e);
    CHECK_STR(out.p, want);
    hg_buf_free(&out);
}

TEST(an_error_says_line_and_column)
{
    check_refused("{% if x %}", NULL, HG_E_FORMAT,
                  "line 1, column 11: the block that begins before this is not ended");
    check_refused("{{ 1 + }}", NULL, HG_E_FORMAT, "line 1, column 8: \"}}\" where a value");
    check_refused("a\n{{ x.y.z }}", NULL, HG_E_FORMAT,
                  "line 2, column 5: 'x' is undefined, so it has no attribute y");
    check_refused("{{ 'a' + 1 }}", NULL, HG_E_FORMAT,
                  "line 1, column 8: + does not go with str and int");
    check_refused("\n\n {% foo %}", NULL, HG_E_FORMAT,
                  "line 3, column 5: \"foo\" where a statement");
    check_refused("{{ raise_exception('no') }}", NULL, HG_E_ARG,
                  "line 1, column 4: the template says: no");
}

TEST(a_template_that_loops_is_stopped)
{
    hg_jinja_limits l;
    hg_jinja_limits_init(&l);
    l.max_steps = 5000;
    check_refused("{% for i in range(9999) %}{% for j in range(9999) %}{% endfor %}{% endfor %}",
                  &l, HG_E_LIMIT, "the template does not end: it was stopped after 5000 steps");
    check_refused("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", NULL, HG_E_LIMIT,
                  "levels deep: a macro that calls");
}

TEST(memory_and_output_are_bounded)
{
    hg_jinja_limits l;
    hg_jinja_limits_init(&l);
    l.max_memory = (size_t)4 << 20;
    check_refused("{% set n = namespace(s='0123456789abcdef') %}"
                  "{% for i in range(40) %}{% set n.s = n.s + n.s %}{% endfor %}",
                  &l, HG_E_LIMIT, "the template needs over 4 MiB of memory");
    hg_jinja_limits_init(&l);
    l.max_output = (size_t)1 << 20;
    check_refused("{% for i in range(200000) %}0123456789{% endfor %}", &l, HG_E_LIMIT,
                  "the template writes over 1 MiB");
}

TEST(nesting_is_bounded)
{
    hg_buf deep = {0};
    for (int i = 0; i < 500; i++) hg_buf_puts(&deep, i == 0 ? "{{ (" : "(");
    check_refused(deep.p, NULL, HG_E_LIMIT, "over 480 brackets in one another");
    hg_buf_free(&deep);
    deep = (hg_buf){0};
    for (int i = 0; i < 300; i++) hg_buf_puts(&deep, "{% if 1 %}");
    check_refused(deep.p, NULL, HG_E_LIMIT, "over 240 levels of nesting");
    hg_buf_free(&deep);
}

TEST(bytes_keep_their_source_through_filters_slices_and_sums)
{
    check_marks("x{{ said }}", "x.A!b!");
    check_marks("{{ ('<' + said + '>') | upper }}", "<.A!B!>.");
    check_marks("{{ ('<' + said)[1:2] }}{{ said[::-1] }}", "A!b!A!");
    check_marks("{{ '%s;' | format(said) }}{{ said | replace('b', 'z') }}", "A!b!;.A!z.");
    check_marks("{% set x %}{{ said }}{% endset %}{{ [x, 'c'] | join('-') }}", "A!b!-.c.");
}
