/* The scripts that ship: as rich as the paper's, and telling nothing but what they should. */
#include "talk.h"

#include <stdio.h>
#include <string.h>

static hg_eliza_size size_of(const char *name)
{
    hg_eliza_script *s;
    hg_err e;
    CHECK_OK(hg_eliza_script_open(&s, name, &e), e);
    CHECK(hg_eliza_opening(s).n > 0);
    const hg_eliza_size n = hg_eliza_script_size(s);
    hg_eliza_script_free(s);
    return n;
}

TEST(eliza_s_own_scripts_are_as_rich_as_the_paper_s)
{
    static const char *const names[] = {"eliza", "eliza:fr"};
    char doctor[4096];
    (void)snprintf(doctor, sizeof doctor, "eliza:%s",
                   test_data("eliza/scripts/ELIZA-script-DOCTOR-original-1966-CACM-appendix.txt"));
    const hg_eliza_size d = size_of(doctor);
    CHECK_EQ(d.rules, 68); /* 66 keywords, NONE and MEMORY */
    for (size_t i = 0; i < 2; i++) {
        const hg_eliza_size n = size_of(names[i]);
        CHECK(n.rules >= d.rules && n.substitutions >= d.substitutions && n.tags >= d.tags);
        CHECK(n.decompositions >= d.decompositions && n.reassemblies >= d.reassemblies);
        CHECK(n.links >= d.links && n.pres >= d.pres && n.newkeys >= d.newkeys);
    }
}

static void begin(talk *t, const char *name)
{
    hg_err e;
    *t = (talk){0};
    CHECK_OK(hg_eliza_script_open(&t->script, name, &e), e);
    CHECK_OK(hg_eliza_new(&t->el, t->script, NULL, &e), e);
}

/* Words of a reply that were put there by the input's own words after the replacements. */
TEST(eliza_in_english_turns_persons_round)
{
    talk t;
    begin(&t, "eliza");
    CHECK_HAS(talk_say(&t, "I am sad."), "YOU WERE SAD");
    CHECK_HAS(talk_say(&t, "I'm proud of it"), "PROUD");
    CHECK_HAS(talk_say(&t, "well, my father never listens to me"), "YOUR FATHER LIKE");
    CHECK_HAS(talk_say(&t, "you are a wall"), "A WALL");
    CHECK_HAS(talk_say(&t, "I need your advice"), "MY ADVICE");
    CHECK_HAS(talk_say(&t, "I'd like a dog"), "A DOG");
    talk_close(&t);
}

TEST(eliza_in_french_turns_persons_round)
{
    talk t;
    begin(&t, "eliza:fr");
    CHECK_HAS(talk_say(&t, "Je suis triste."), "VOUS \xC3\x89TIEZ TRISTE");
    CHECK_HAS(talk_say(&t, "J\xE2\x80\x99"
                           "ai un chien"),
              "UN CHIEN");
    CHECK_HAS(talk_say(&t, "ma m\xC3\xA8re m'a dit non"), "VOTRE M\xC3\x88RE");
    CHECK_HAS(talk_say(&t, "je me sens perdu ?"), "PERDU");
    CHECK_HAS(talk_say(&t, "Vous \xC3\xAAtes un mur"), "UN MUR");
    talk_close(&t);
}

/* A script's sentences come out as they stand in it: no question mark, no quotes that the machine
 * did not have, or they would be replaced. */
TEST(eliza_s_own_scripts_use_the_machine_s_letters)
{
    static const char *const names[] = {"eliza", "eliza:fr"};
    for (size_t i = 0; i < 2; i++) {
        hg_eliza_script *s;
        hg_err e;
        CHECK_OK(hg_eliza_script_open(&s, names[i], &e), e);
        for (size_t k = 0; k < s->n_rules; k++) {
            const eliza_range at = s->rule[k].source;
            hg_buf b = {0};
            eliza_upper(&b, (hg_bytes){s->source.p + at.first, at.n}, false);
            CHECK_EQ(b.n, at.n);
            CHECK_EQ(memcmp(b.p, s->source.p + at.first, at.n), 0);
            hg_buf_free(&b);
        }
        hg_eliza_script_free(s);
    }
}

/* "NOBODY." would come out as "NOBODY ." */
TEST(eliza_s_own_scripts_put_no_mark_behind_a_piece)
{
    static const char *const names[] = {"eliza", "eliza:fr"};
    for (size_t i = 0; i < 2; i++) {
        hg_eliza_script *s;
        hg_err e;
        CHECK_OK(hg_eliza_script_open(&s, names[i], &e), e);
        for (size_t k = 1; k < s->n_items; k++) {
            if (s->item[k - 1].kind != ITEM_NUMBER || s->item[k].kind != ITEM_WORD) continue;
            const char c = eliza_symbol_text(s, s->item[k].n).p[0];
            CHECK(c != '.' && c != ',');
        }
        hg_eliza_script_free(s);
    }
}
