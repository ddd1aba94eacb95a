/* ELIZA where a model is expected, and its page. */
#include "talk.h"
#include "base/file.h"

#include <stdio.h>
#include <string.h>

#define SCRIPT                                                                        \
    "(WHAT IS NEW) (NONE ((0) (GO ON) (AND THEN))) (LOOP (=LOOP))"                    \
    "(MEMORY MY (0 YOUR 0 = A 3) (0 YOUR 0 = B 3) (0 YOUR 0 = C 3) (0 YOUR 0 = D 3))" \
    "(MY = YOUR ((0 YOUR 0) (WHY YOUR 3)))"

typedef struct heard {
    hg_buf text, cuts; /* what came, and the same with bars between the pieces */
    hg_finish finish;
    size_t n_ends;
} heard;

static void on_text(void *ctx, hg_bytes text, hg_finish finish, const hg_usage *usage,
                    const char *error)
{
    heard *h = ctx;
    (void)usage;
    (void)error;
    hg_buf_put(&h->text, text.p, text.n);
    hg_buf_printf(&h->cuts, "%.*s|", (int)text.n, text.p);
    h->finish = finish;
    h->n_ends += finish != HG_FINISH_NONE;
}

static hg_message says(const char *role, const char *text)
{
    return (hg_message){role, {text, strlen(text)}};
}

static void ask(talk *t, const hg_message *m, size_t n, hg_request *r, heard *h, hg_usage *u)
{
    hg_finish finish;
    hg_err e;
    hg_buf_free(&h->text);
    hg_buf_free(&h->cuts);
    *h = (heard){0};
    r->on_text = on_text;
    r->ctx = h;
    CHECK_OK(hg_eliza_answer(t->script, m, n, r, &finish, u, &e), e);
    CHECK_EQ(h->n_ends, 1);
    CHECK_EQ(h->finish, finish);
}

TEST(eliza_s_state_is_what_the_messages_of_users_make_of_it)
{
    const hg_message m[] = {says("system", "be brief"),      says("user", "my hat"),
                            says("assistant", "anything"),   says("user", "hm"),
                            says("assistant", "my own dog"), says("user", "hm")};
    hg_request r = {0};
    heard h = {0};
    hg_usage u;
    talk t;
    talk_begin(&t, SCRIPT, NULL);
    ask(&t, m, 6, &r, &h, &u);
    CHECK_STR(h.text.p, "A HAT"); /* the fourth count, and a memory of the first message */
    CHECK_EQ(u.prompt_tokens, 10);
    CHECK_EQ(u.completion_tokens, 2);
    ask(&t, m, 2, &r, &h, &u);
    CHECK_STR(h.cuts.p, "WHY| YOUR| HAT||");
    CHECK_EQ(h.finish, HG_FINISH_STOP);
    ask(&t, m, 1, &r, &h, &u);
    CHECK_STR(h.text.p, "WHAT IS NEW");
    hg_buf_free(&h.text);
    hg_buf_free(&h.cuts);
    talk_close(&t);
}

TEST(eliza_ends_at_stop_strings_and_after_max_tokens)
{
    static const char *const stop[] = {"HAT", "YOUR"};
    const hg_message m = says("user", "my hat");
    hg_request r = {.max_tokens = 2};
    heard h = {0};
    hg_usage u;
    talk t;
    talk_begin(&t, SCRIPT, NULL);
    ask(&t, &m, 1, &r, &h, &u);
    CHECK_STR(h.text.p, "WHY YOUR");
    CHECK_EQ(h.finish, HG_FINISH_LENGTH);
    r.max_tokens = 3;
    ask(&t, &m, 1, &r, &h, &u);
    CHECK_STR(h.text.p, "WHY YOUR HAT");
    CHECK_EQ(h.finish, HG_FINISH_STOP);
    r.stop = stop;
    r.n_stop = 2;
    ask(&t, &m, 1, &r, &h, &u);
    CHECK_STR(h.text.p, "WHY ");
    CHECK_EQ(h.finish, HG_FINISH_STOP);
    hg_buf_free(&h.text);
    hg_buf_free(&h.cuts);
    talk_close(&t);
}

TEST(eliza_refuses_what_only_weights_can_do)
{
    const hg_message m = says("user", "my hat"), loop = says("user", "loop");
    const hg_adapter_use use = {0};
    hg_request r = {.n_top = 1};
    hg_err e;
    talk t;
    talk_begin(&t, SCRIPT, NULL);
    CHECK_EQ(hg_eliza_answer(t.script, &m, 1, &r, NULL, NULL, &e), HG_E_ARG);
    CHECK_STR(e.msg, "ELIZA has no probabilities: a rule fits or does not; higgins eliza --trace "
                     "shows which");
    r = (hg_request){.adapters = &use, .n_adapters = 1};
    CHECK_EQ(hg_eliza_answer(t.script, &m, 1, &r, NULL, NULL, &e), HG_E_ARG);
    CHECK_STR(e.msg, "ELIZA has no weights to adapt");
    r = (hg_request){0};
    CHECK_EQ(hg_eliza_answer(t.script, &loop, 1, &r, NULL, NULL, &e), HG_E_LIMIT);
    CHECK_HAS(e.msg, "the script does not end");
    talk_close(&t);
}

TEST(eliza_s_page_shows_words_as_text_and_pieces_in_colour)
{
    hg_eliza_options o;
    hg_eliza_page *page;
    hg_buf b = {0};
    hg_err e;
    talk t;
    hg_eliza_options_init(&o);
    o.trace = true;
    talk_begin(&t, SCRIPT, &o);
    CHECK_OK(hg_eliza_page_new(&page, t.script, "a/b.script", &e), e);
    const char *said = talk_say(&t, "my <b>");
    hg_eliza_page_add(page, t.el, (hg_bytes){"my <b>", 6}, (hg_bytes){said, strlen(said)});
    CHECK_OK(hg_eliza_page_write(page, test_path("p.html"), &e), e);
    hg_eliza_page_free(page);
    CHECK_OK(hg_file_read(&b, test_path("p.html"), 1 << 20, &e), e);
    CHECK_HAS(b.p, "Script b.script: 4 rules");
    CHECK_HAS(b.p, "<p class=\"you\">my &lt;b&gt;</p>");
    CHECK_HAS(b.p, "<p class=\"eliza\">WHY YOUR &lt;B&gt;</p>");
    CHECK_HAS(b.p, "<span class=\"k\">MY</span>");
    CHECK_HAS(b.p, "<span class=\"p q3\">&lt;B&gt;</span>");
    CHECK_HAS(b.p, "WHY YOUR <span class=\"p q3\">3</span>");
    CHECK(strstr(b.p, "<b>\n") == NULL);
    hg_buf_free(&b);
    talk_close(&t);
}
