/* ELIZA against what other ELIZAs said: the conversation of the paper, conversations recorded with
 * Anthony Hay's reconstruction and with the program of 1965 on an emulated IBM 7094, and the
 * reconstruction's own unit cases. They lie in the data folder, with their scripts. */
#include "talk.h"

#include <stdlib.h>
#include <string.h>

#define DOCTOR "eliza/scripts/ELIZA-script-DOCTOR-original-1966-CACM-appendix.txt"
#define TAPE_100 "eliza/scripts/ELIZA-script-02-000311051-1965-03-06-TAPE-100.txt"

static void replay(talk *t, const char *conversation, size_t n)
{
    rows r;
    rows_read(&r, conversation);
    CHECK_EQ(r.n, n);
    for (size_t i = 0; i < r.n; i++) CHECK_STR(talk_say(t, r.cell[i][0]), r.cell[i][1]);
    hg_buf_free(&r.text);
}

TEST(eliza_holds_the_conversation_of_the_paper_and_its_imagined_end)
{
    talk t;
    talk_open(&t, DOCTOR, NULL);
    replay(&t, "eliza/conversations/weizenbaum_1966_cacm_conversation.tsv", 15);
    replay(&t, "eliza/conversations/imagined_continuation_hay_2023.tsv", 21);
    talk_close(&t);
}

TEST(eliza_gives_every_reply_of_doctor)
{
    talk t;
    talk_open(&t, DOCTOR, NULL);
    replay(&t, "eliza/conversations/comprehensive_convo.tsv", 68);
    talk_close(&t);
}

TEST(eliza_says_what_the_machine_of_1965_typed)
{
    hg_eliza_options o;
    talk t;
    hg_eliza_options_init(&o);
    o.commas_apart = true;
    talk_open(&t, TAPE_100, &o);
    replay(&t, "eliza/conversations/real_7094_tape100.tsv", 15);
    talk_close(&t);
}

TEST(eliza_runs_turing_machines)
{
    rows r;
    rows_read(&r, "eliza/unit/turing.tsv");
    CHECK_EQ(r.n, 13);
    for (size_t i = 0; i < r.n; i++) {
        char script[512] = "eliza/scripts/";
        talk t;
        CHECK(strlen(r.cell[i][0]) < 400);
        memcpy(script + strlen(script), r.cell[i][0], strlen(r.cell[i][0]) + 1);
        talk_open(&t, script, NULL);
        CHECK_STR(talk_say(&t, r.cell[i][1]), r.cell[i][2]);
        talk_close(&t);
    }
    hg_buf_free(&r.text);
}

TEST(eliza_stops_turings_machine_that_never_halts)
{
    static const char *const names[][2] = {
        {"eliza/scripts/ELIZA-script-Turing-example1.txt", "EX1"},
        {"eliza/scripts/ELIZA-script-Turing-example2.txt", "EX2"}};
    for (size_t i = 0; i < 2; i++) {
        talk t;
        hg_bytes reply;
        hg_err e;
        talk_open(&t, names[i][0], NULL);
        CHECK_EQ(hg_eliza_reply(t.el, (hg_bytes){names[i][1], 3}, &reply, &e), HG_E_LIMIT);
        CHECK_HAS(e.msg, "the script does not end");
        talk_close(&t);
    }
}

/* ---- unit cases ---- */

/* Components as the table shows them: their words, with bars between. */
static void show(hg_buf *b, const eliza_word *w, const eliza_range *part, size_t n)
{
    hg_buf_clear(b);
    hg_buf_put(b, "", 0);
    for (size_t i = 0; i < n; i++) {
        if (i > 0) hg_buf_putc(b, '|');
        eliza_put_words(b, w + part[i].first, part[i].n, false);
    }
}

static void check_match(char *const cell[5], hg_buf *shown)
{
    hg_buf text = {0}, letters = {0};
    eliza_word *w = NULL;
    eliza_range part[64], pattern = {0, 0};
    size_t cap = 0, n = 0;
    uint64_t left = 1 << 20;
    hg_err e;
    talk t;
    const bool is_empty = cell[1][0] == '\0';
    hg_buf_printf(
        &text,
        "() (MOTHER DLIST(/FAMILY NOUN)) (FATHER DLIST(/FAMILY NOUN)) (FEEL DLIST(/BELIEF))"
        "(NONE ((0) ())) (MEMORY KEY (0 = A) (0 = A) (0 = A) (0 = A)) (KEY ((%s) (SO)))",
        is_empty ? "0" : cell[1]);
    talk_begin(&t, text.p, NULL);
    CHECK_OK(
        eliza_split(t.script, (hg_bytes){cell[2], strlen(cell[2])}, &letters, &w, &cap, &n, &e), e);
    if (!is_empty) pattern = t.script->decomposition[t.script->n_decompositions - 1].pattern;
    CHECK(pattern.n < 64);
    const bool yes = eliza_match(t.script, pattern, w, n, false, part, &left);
    if (yes != (strcmp(cell[3], "true") == 0))
        test_fail(__FILE__, __LINE__, "(%s) on %s: %d", cell[1], cell[2], yes);
    show(shown, w, part, yes ? pattern.n : 0);
    talk_close(&t);
    hg_free(w);
    hg_buf_free(&text);
    hg_buf_free(&letters);
}

TEST(eliza_takes_sentences_apart_as_the_reference_does)
{
    rows r;
    hg_buf shown = {0};
    rows_read(&r, "eliza/unit/matcher.tsv");
    CHECK_EQ(r.n, 115);
    for (size_t i = 0; i < r.n; i++) {
        check_match(r.cell[i], &shown);
        CHECK_STR(shown.p, r.cell[i][4]);
    }
    hg_buf_free(&shown);
    hg_buf_free(&r.text);
}

TEST(eliza_hashes_as_slip_does)
{
    rows r;
    rows_read(&r, "eliza/unit/hash.tsv");
    CHECK_EQ(r.n, 23);
    for (size_t i = 0; i < r.n; i++) {
        char *const *c = r.cell[i];
        const size_t n = unescape(c[1]);
        const unsigned bits = (unsigned)strtoul(c[2], NULL, 10);
        if (strcmp(c[0], "bcd") == 0)
            CHECK_EQ(eliza_last_chunk(c[1], n), strtoull(c[3], NULL, 8));
        else if (strcmp(c[0], "wordhash") == 0)
            CHECK_EQ(eliza_hash(eliza_last_chunk(c[1], n), bits), strtoull(c[3], NULL, 10));
        else
            CHECK_EQ(eliza_hash(strtoull(c[1], NULL, 0), bits), strtoull(c[3], NULL, 10));
    }
    hg_buf_free(&r.text);
}

TEST(eliza_tells_flaws_of_scripts_in_the_reference_s_words)
{
    rows r;
    rows_read(&r, "eliza/unit/script_errors.tsv");
    CHECK_EQ(r.n, 39);
    for (size_t i = 0; i < r.n; i++) {
        hg_eliza_script *s = NULL;
        hg_eliza_flaw flaw;
        hg_err e = {0};
        const size_t n = unescape(r.cell[i][0]);
        const hg_status st = hg_eliza_script_parse(&s, (hg_bytes){r.cell[i][0], n}, &flaw, &e);
        CHECK_STR(st == HG_OK ? "success" : e.msg, r.cell[i][1]);
        CHECK_EQ(st, s != NULL ? HG_OK : HG_E_FORMAT);
        if (st != HG_OK) CHECK(flaw.remedy[0] != '\0');
        hg_eliza_script_free(s);
    }
    hg_buf_free(&r.text);
}
