/* ELIZA's engine on small scripts of the tests' own: each case is a sentence of the specification.
 */
#include "talk.h"

#include <stdio.h>
#include <string.h>

#define NEEDED                                                              \
    "(NONE ((0) (GO ON) (TELL ME MORE)))"                                   \
    "(MEMORY MY (0 YOUR 0 = ONE 3) (0 YOUR 0 = TWO 3) (0 YOUR 0 = THREE 3)" \
    " (0 YOUR 0 = FOUR 3))"                                                 \
    "(MY = YOUR 2 ((0 YOUR 0) (WHY YOUR 3)))"

TEST(eliza_reads_punctuation_as_the_machine_had_it)
{
    static const char *const cases[][2] = {
        {"Hello! How are you?", "HELLO. HOW ARE YOU."},
        {"I\xE2\x80\x99m \xE2\x80\x9Csad\xE2\x80\x9D: why; well\xE2\x80\x94so",
         "I'M  SAD , WHY, WELL,SO"},
        {"Stra\xC3\x9F"
         "e e\xEF\xAC\x83gy \xC3\xA9t\xC3\xA9",
         "STRASSE EFFIGY \xC3\x89T\xC3\x89"},
        {"a\xFF"
         "b",
         "A\xEF\xBF\xBD"
         "B"},
        {"\xC2\xBFp\xC3\xB3nk?", " P\xC3\x93NK."},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        hg_buf b = {0};
        eliza_upper(&b, (hg_bytes){cases[i][0], strlen(cases[i][0])}, true);
        hg_buf_putc(&b, 0);
        CHECK_STR(b.p, cases[i][1]);
        hg_buf_free(&b);
    }
}

TEST(eliza_keeps_the_first_clause_that_has_a_keyword)
{
    talk t;
    talk_begin(&t, "()" NEEDED "(CAT ((0) (SAYS 1)))", NULL);
    CHECK_STR(talk_say(&t, "well, the cat sat. my dog too"), "SAYS THE CAT SAT");
    CHECK_STR(talk_say(&t, "so but a cat but a dog"), "SAYS A CAT");
    CHECK_STR(talk_say(&t, "nothing here, nothing there"), "GO ON");
    talk_close(&t);
}

TEST(eliza_tries_the_highest_keyword_first_and_the_rest_in_their_order)
{
    talk t;
    talk_begin(&t,
               "()" NEEDED
               "(A ((0) (NEWKEY))) (B 3 ((0) (NEWKEY))) (C 2 ((0 Z) (SAYS C)) ((0) (NEWKEY)))"
               "(D 5 ((0) (NEWKEY))) (E ((0) (SAYS E)))",
               NULL);
    /* ranks 0 3 2 5: the stack is D B A C, and none of them answers */
    CHECK_STR(talk_say(&t, "a b c d"), "GO ON");
    CHECK_STR(talk_say(&t, "a b c d e"), "SAYS E");
    CHECK_STR(talk_say(&t, "a e b c z"),
              "SAYS E"); /* E came before C, and both lie at the bottom */
    CHECK_STR(talk_say(&t, "e c z"), "SAYS C");
    talk_close(&t);
}

TEST(eliza_gives_each_decomposition_s_replies_in_turn)
{
    talk t;
    talk_begin(&t, "()" NEEDED "(K ((0 K 1) (X 3) (=L) (NEWKEY)) ((0) (Y))) (L ((0) (Z)))", NULL);
    CHECK_STR(talk_say(&t, "k one"), "X ONE");
    CHECK_STR(talk_say(&t, "k"), "Y");
    CHECK_STR(talk_say(&t, "k two"), "Z");
    CHECK_STR(talk_say(&t, "k three"), "GO ON");
    CHECK_STR(talk_say(&t, "k four"), "X FOUR");
    talk_close(&t);
}

TEST(eliza_recalls_the_oldest_memory_when_the_fourth_count_has_no_keyword)
{
    talk t;
    talk_begin(&t, "()" NEEDED, NULL);
    CHECK_STR(talk_say(&t, "my time"), "WHY YOUR TIME"); /* LIMIT 2; HASH(TIME) is 0 */
    CHECK_STR(talk_say(&t, "my kids"), "WHY YOUR KIDS"); /* LIMIT 3; HASH(KIDS) is 1 */
    CHECK_EQ(hg_eliza_n_memories(t.el), 2);
    CHECK_STR(talk_say(&t, "hm"), "ONE TIME"); /* LIMIT 4 */
    CHECK_STR(talk_say(&t, "hm"), "GO ON");
    CHECK_STR(talk_say(&t, "hm"), "TELL ME MORE");
    CHECK_STR(talk_say(&t, "hm"), "GO ON");
    CHECK_STR(talk_say(&t, "hm"), "TWO KIDS");
    CHECK_EQ(hg_eliza_n_memories(t.el), 0);
    talk_close(&t);
}

TEST(eliza_has_a_fixed_message_for_each_count_when_no_rule_fits)
{
    static const char *const says[] = {"HMMM", "GO ON , PLEASE", "I SEE", "PLEASE CONTINUE"};
    hg_eliza_options o;
    talk t;
    talk_begin(&t, "()" NEEDED "(K ((K) (ONLY K)))", NULL);
    for (size_t i = 0; i < 4; i++) CHECK_STR(talk_say(&t, "a k"), says[i]);
    talk_close(&t);
    hg_eliza_options_init(&o);
    o.none_for_stuck = true;
    talk_begin(&t, "()" NEEDED "(K ((K) (ONLY K)))", &o);
    CHECK_STR(talk_say(&t, "a k"), "GO ON");
    talk_close(&t);
    hg_eliza_options_init(&o);
    o.stuck_newkey = true;
    talk_begin(&t, "()" NEEDED "(K ((0) (NEWKEY)))", &o);
    CHECK_STR(talk_say(&t, "k"), "HMMM");
    talk_close(&t);
}

TEST(eliza_replaces_words_once_and_pre_rewrites_without_replacing)
{
    talk t;
    talk_begin(
        &t,
        "()" NEEDED "(ME = YOU) (YOU = ME ((0 ME 0) (SO 3)))"
        "(I'M = YOU'RE ((0 YOU'RE 0) (PRE (YOU ARE 3) (=I)))) (I = YOU ((YOU ARE 0) (ARE YOU 3)))",
        NULL);
    CHECK_STR(talk_say(&t, "you like me"), "SO LIKE YOU");
    CHECK_STR(talk_say(&t, "I'm me"), "ARE YOU YOU");
    CHECK_STR(talk_say(&t, "me"), "GO ON"); /* replaced, but no keyword with a rule */
    talk_close(&t);
}

TEST(eliza_does_not_take_the_names_of_its_special_rules_for_keywords)
{
    talk t;
    talk_begin(&t, "()" NEEDED, NULL);
    CHECK_STR(talk_say(&t, "none"), "GO ON");
    CHECK_STR(talk_say(&t, "memory"), "TELL ME MORE");
    CHECK_STR(talk_say(&t, ""), "GO ON");
    talk_close(&t);
}

TEST(eliza_stops_a_script_that_goes_round_in_a_circle_and_goes_on)
{
    hg_bytes reply;
    hg_err e;
    talk t;
    talk_begin(&t,
               "()" NEEDED "(A ((0) (=B))) (B (=A)) (C ((0) (PRE (1 C) (=C))))"
               "(D ((0) (PRE (1 1) (=D))))",
               NULL);
    CHECK_EQ(hg_eliza_reply(t.el, (hg_bytes){"a", 1}, &reply, &e), HG_E_LIMIT);
    CHECK_STR(e.msg, "the script does not end: after 1000000 transformations it is still at the "
                     "keyword A; its links or PRE rules go round in a circle for this input");
    CHECK_EQ(reply.n, 0);
    CHECK_EQ(hg_eliza_reply(t.el, (hg_bytes){"c", 1}, &reply, &e), HG_E_LIMIT);
    CHECK_HAS(e.msg, "still at the keyword C");
    CHECK_EQ(hg_eliza_reply(t.el, (hg_bytes){"d", 1}, &reply, &e), HG_E_LIMIT);
    CHECK_STR(e.msg, "the script makes a sentence of over 1048576 words; its rules feed on "
                     "themselves");
    CHECK_STR(talk_say(&t, "hm"), "GO ON");
    talk_close(&t);
}

TEST(eliza_bounds_what_a_single_hostile_pattern_may_cost)
{
    hg_buf b = {0};
    hg_bytes reply;
    hg_err e;
    talk t;
    hg_buf_puts(&b, "()" NEEDED "(A ((0 ");
    for (int i = 0; i < 20000; i++) hg_buf_puts(&b, "A ");
    hg_buf_puts(&b, "B 0) (X)))");
    talk_begin(&t, b.p, NULL);
    hg_buf_clear(&b);
    for (int i = 0; i < 1000000; i++) hg_buf_puts(&b, "A ");
    CHECK_EQ(hg_eliza_reply(t.el, (hg_bytes){b.p, b.n}, &reply, &e), HG_E_LIMIT);
    CHECK_STR(talk_say(&t, "hm"), "GO ON");
    hg_buf_free(&b);
    talk_close(&t);
}

TEST(eliza_refuses_inputs_over_its_limits)
{
    hg_buf b = {0};
    hg_bytes reply;
    hg_err e;
    talk t;
    talk_begin(&t, "()" NEEDED, NULL);
    for (int i = 0; i <= HG_ELIZA_MAX_WORDS; i++) hg_buf_puts(&b, "A ");
    CHECK_EQ(hg_eliza_reply(t.el, (hg_bytes){b.p, b.n}, &reply, &e), HG_E_LIMIT);
    CHECK_STR(e.msg, "an input of over 1048576 words; say it in several");
    CHECK_EQ(hg_eliza_reply(t.el, (hg_bytes){b.p, HG_ELIZA_MAX_INPUT + 1}, &reply, &e), HG_E_LIMIT);
    CHECK_STR(e.msg, "an input of 8388609 bytes; 8388608 are the most");
    hg_buf_free(&b);
    talk_close(&t);
}

TEST(eliza_compares_pieces_of_six_letters_when_asked)
{
    hg_eliza_options o;
    talk t;
    talk_begin(&t, "()" NEEDED "(K ((0 K (*WONDERFUL) 0) (YES 3)) ((0) (NO)))", NULL);
    CHECK_STR(talk_say(&t, "k wonder"), "NO");
    talk_close(&t);
    hg_eliza_options_init(&o);
    o.six_letters = true;
    talk_begin(&t, "()" NEEDED "(K ((0 K (*WONDERFUL) 0) (YES 3)) ((0) (NO)))", &o);
    CHECK_STR(talk_say(&t, "k wonder"), "YES WONDER");
    talk_close(&t);
}

/* ---- scripts ---- */
static void check_flaw(const char *text, size_t line, const char *rule, const char *says)
{
    hg_eliza_script *s;
    hg_eliza_flaw flaw;
    hg_err e;
    CHECK_EQ(hg_eliza_script_parse(&s, (hg_bytes){text, strlen(text)}, &flaw, &e), HG_E_FORMAT);
    CHECK(s == NULL);
    CHECK_STR(e.msg, says);
    CHECK_EQ(flaw.line, line);
    CHECK_STR(flaw.rule, rule);
    CHECK(flaw.remedy[0] != '\0');
}

TEST(eliza_names_line_rule_and_remedy_of_a_flaw)
{
    check_flaw("()\n(A ((0) (B)))\n(A ((0) (C)))", 3, "A",
               "Script error on line 3: keyword rule already specified for keyword 'A'");
    check_flaw("()\n(A ((0 A 0)\n (B 4)))", 3, "A",
               "Script error on line 3: reassembly index '4' out of range [1..3]");
    check_flaw("()\n(A ((0) (=B C)))", 2, "A",
               "Script error on line 2: expected reference keyword to follow '='");
    check_flaw("()\n(A (=B) ((0) (C)))", 2, "A", "Script error on line 2: expected ')'");
    check_flaw("()\n(A ((0) (PRE (1) (B))))", 2, "A",
               "Script error on line 2: expected '(=reference)' in PRE rule");
    check_flaw("()\n(A ((0 (*B (C)) 0) (D)))", 2, "A", "Script error on line 2: expected symbol");
    check_flaw(
        "() (MEMORY A ((B) = C))", 1, "MEMORY",
        "Script error on line 1: expected 'decompose_terms = reassemble_terms'; expected form "
        "is (MEMORY keyword (decomp1=reassm1)(decomp2=reassm2)(decomp3=reassm3)"
        "(decomp4=reassm4))");
}

TEST(eliza_says_in_one_sentence_what_is_wrong_with_a_file)
{
    const char *path = test_path("bad.script");
    char name[4096];
    hg_eliza_script *s;
    hg_err e;
    FILE *f = fopen(path, "w");
    CHECK(f != NULL && fputs("()\n(NONE ((0) (SO)))\n(K\n  ((0 K) (=L)))", f) >= 0);
    CHECK_EQ(fclose(f), 0);
    (void)snprintf(name, sizeof name, "eliza:%s", path);
    CHECK_EQ(hg_eliza_script_open(&s, name, &e), HG_E_FORMAT);
    CHECK_HAS(e.msg,
              "bad.script: Script error: no MEMORY rule specified; see Jan 1966 CACM page 41; "
              "add (MEMORY KEYWORD (0 = reply) ...) with four forms");
    CHECK_EQ(hg_eliza_script_open(&s, "eliza:/nowhere/x", &e), HG_E_MISSING);
    CHECK_HAS(e.msg, "/nowhere/x");
    CHECK_EQ(hg_eliza_script_open(&s, "weizenbaum", &e), HG_E_ARG);
    CHECK_STR(e.msg, "\"weizenbaum\" names no script; eliza, eliza:fr or eliza:FILE do");
    CHECK(s == NULL);
}

TEST(eliza_reads_the_odd_corners_of_the_form)
{
    talk t;
    talk_begin(&t,
               "(HOW DO (YOU DO).) START ; a comment ) with brackets\r\n" NEEDED
               "(K2ND ((0) (NEVER)))(A 3 = B DLIST(/ X Y) ((B 1 (/X)) ()) ((0 (P Q)) (NEVER))"
               "((0 (* A B) 0) (YES, 2 OF (THREE THINGS) 3))) () (C = D (=A))",
               NULL);
    CHECK_STR(hg_eliza_opening(t.script).p, "HOW DO (YOU DO) .");
    CHECK_STR(talk_say(&t, "a x"), "YES, B OF (THREE THINGS) X");
    CHECK_STR(talk_say(&t, "a x c"), "YES, B OF (THREE THINGS) X D");
    CHECK_EQ(hg_eliza_n_keywords(t.script), 4);
    CHECK_STR(hg_eliza_rule(t.script, (hg_bytes){"nobody", 6}).p, "");
    const hg_bytes rule = hg_eliza_rule(t.script, (hg_bytes){"c", 1});
    CHECK_EQ(rule.n, strlen("(C = D (=A))"));
    CHECK_EQ(memcmp(rule.p, "(C = D (=A))", rule.n), 0);
    talk_close(&t);
}

/* ---- the trace ---- */
static const hg_eliza_event *find(const talk *t, hg_eliza_kind kind)
{
    size_t n;
    const hg_eliza_event *ev = hg_eliza_events(t->el, &n);
    for (size_t i = 0; i < n; i++)
        if (ev[i].kind == kind) return &ev[i];
    test_fail(__FILE__, __LINE__, "no event %s", hg_eliza_kind_name(kind));
    return NULL;
}

static void check_bytes(hg_bytes b, const char *text)
{
    char copy[256];
    CHECK(b.n < sizeof copy);
    memcpy(copy, b.p, b.n);
    copy[b.n] = '\0';
    CHECK_STR(copy, text);
}

TEST(eliza_shows_what_it_thought)
{
    hg_eliza_options o;
    talk t;
    size_t n;
    hg_eliza_options_init(&o);
    o.trace = true;
    talk_begin(&t, "()" NEEDED "(CAT 1 ((0 CAT (*SAT LAY) 0) (HOW 3 4)))", &o);
    CHECK_STR(talk_say(&t, "well, my cat sat down, he did"), "WHY YOUR CAT SAT DOWN");
    check_bytes(find(&t, HG_ELIZA_READ)->text, "WELL , MY CAT SAT DOWN , HE DID");
    CHECK_EQ(find(&t, HG_ELIZA_READ)->n, 2);
    check_bytes(find(&t, HG_ELIZA_DISCARD)->text, "WELL");
    check_bytes(find(&t, HG_ELIZA_KEYWORD)->text, "MY");
    CHECK(find(&t, HG_ELIZA_KEYWORD)->is_top);
    check_bytes(find(&t, HG_ELIZA_SUBSTITUTE)->other, "YOUR");
    CHECK_EQ(find(&t, HG_ELIZA_STACK)->n_parts, 2);
    check_bytes(find(&t, HG_ELIZA_STACK)->part[1], "CAT");
    const hg_eliza_event *m = find(&t, HG_ELIZA_MATCH);
    check_bytes(m->text, "0 YOUR 0");
    CHECK_EQ(m->n_parts, 3);
    check_bytes(m->part[0], "");
    check_bytes(m->part[2], "CAT SAT DOWN");
    check_bytes(find(&t, HG_ELIZA_REASSEMBLE)->text, "WHY YOUR 3");
    check_bytes(find(&t, HG_ELIZA_REMEMBER)->other, "DOWN");
    CHECK_STR(talk_say(&t, "a cat lay"), "HOW LAY");
    check_bytes(find(&t, HG_ELIZA_MATCH)->text, "0 CAT (*SAT LAY) 0");
    CHECK_EQ(find(&t, HG_ELIZA_QUEUE)->n_parts, 1);
    const hg_eliza_event *ev = hg_eliza_events(t.el, &n);
    CHECK_EQ(ev[n - 1].kind, HG_ELIZA_REPLY);
    talk_close(&t);
}

TEST(eliza_keeps_a_bounded_trace_of_an_unbounded_thought)
{
    hg_eliza_options o;
    hg_bytes reply;
    hg_err e;
    talk t;
    size_t n;
    hg_eliza_options_init(&o);
    o.trace = true;
    talk_begin(&t, "()" NEEDED "(A ((0) (=A)))", &o);
    CHECK_EQ(hg_eliza_reply(t.el, (hg_bytes){"a", 1}, &reply, &e), HG_E_LIMIT);
    (void)hg_eliza_events(t.el, &n);
    CHECK_EQ(n, HG_ELIZA_MAX_EVENTS);
    talk_close(&t);
}
