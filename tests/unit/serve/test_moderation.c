/* The lexicon: disguises, denial, company, and what it is worth on sentences with labels. */
#include "harness/test.h"
#include "serve/moderation/moderation.h"
#include "text/fold.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static double of(const char *text, hg_harm h)
{
    double score[HG_N_HARMS];
    hg_err e = {0};

    CHECK_OK(hg_lexicon_score(score, (hg_bytes){text, strlen(text)}, &e), e);
    for (int i = 0; i < HG_N_HARMS; i++) CHECK(score[i] >= 0 && score[i] <= 1);
    return score[h];
}

static bool flags(const char *text, hg_harm h)
{
    return of(text, h) >= hg_harm_threshold(h);
}

TEST(disguised_words_are_read)
{
    static const char *const same[] = {
        "I will kill you",
        "I WILL KILL YOU",
        "I will k1ll you",
        "I will k i l l you",
        "I will k.i.l.l you",
        "I will k-i-l-l you",
        "I will kiiiill you",
        "I will k\xd1\x96ll you",                                      /* a Ukrainian i */
        "I will \xef\xbd\x8b\xef\xbd\x89\xef\xbd\x8c\xef\xbd\x8c you", /* fullwidth */
        "I will ki\xe2\x80\x8bll you",                                 /* a space of no width */
        "I will k\xc3\xadll you",                                      /* an accent */
    };

    for (size_t i = 0; i < sizeof same / sizeof *same; i++)
        CHECK_NEAR(of(same[i], HG_HARM_HARASSMENT_THREATENING), 0.85, 1e-9);
}

TEST(french_is_read_with_and_without_accents)
{
    CHECK(flags("Tu es un imbécile !", HG_HARM_HARASSMENT));
    CHECK(flags("tu es un imbecile", HG_HARM_HARASSMENT));
    CHECK(flags("T'es débile", HG_HARM_HARASSMENT));
    CHECK(!flags("Tu n'es pas un imbécile", HG_HARM_HARASSMENT));
    CHECK(flags("Je vais t'étrangler", HG_HARM_VIOLENCE));
}

TEST(denial_and_company_weaken_a_rule)
{
    CHECK(flags("I will kill you.", HG_HARM_VIOLENCE));
    CHECK(!flags("I will not kill you.", HG_HARM_VIOLENCE));
    CHECK(of("I will not kill you.", HG_HARM_VIOLENCE) > 0);
    CHECK(!flags("In the novel he wants to kill her.", HG_HARM_VIOLENCE));
    CHECK(!flags("I want to kill the process.", HG_HARM_VIOLENCE));
    /* A denial of something else, far away, is none. */
    CHECK(flags("I do not care what you say to me today, I will kill you.", HG_HARM_VIOLENCE));
}

TEST(company_does_not_excuse_minors)
{
    CHECK(flags("A novel with an erotic scene about a child.", HG_HARM_SEXUAL_MINORS));
    CHECK(!flags("Sex education for children.", HG_HARM_SEXUAL_MINORS));
}

TEST(words_of_different_sentences_do_not_meet)
{
    CHECK(!flags("You are kind. That printer is stupid.", HG_HARM_HARASSMENT));
    CHECK(flags("You are stupid", HG_HARM_HARASSMENT));
}

TEST(a_long_sentence_is_read_to_its_end)
{
    char text[4096] = "";

    for (int i = 0; i < 300; i++) (void)strncat(text, "and so on ", 11);
    (void)strncat(text, "I will kill you", 16);
    for (int i = 0; i < 50; i++) (void)strncat(text, " and so on", 11);
    CHECK(flags(text, HG_HARM_VIOLENCE));
}

TEST(any_bytes_are_scored)
{
    CHECK_NEAR(of("", HG_HARM_HATE), 0, 0);
    CHECK_NEAR(of("\xff\xfe\x80", HG_HARM_HATE), 0, 0);
    CHECK_NEAR(of("....!?!?;;''''", HG_HARM_HATE), 0, 0);
    CHECK_NEAR(of("2 + 2 = 4", HG_HARM_HATE), 0, 0);
}

TEST(folded_text_has_neither_case_nor_marks_nor_lookalikes)
{
    const char in[] = "\xc3\x89t\xc3\xa9 \xe2\x84\x8c \xd0\xa1\xd0\xbe\xd0\xb2 don\xe2\x80\x99t";
    hg_buf b = {0};
    hg_err e = {0};

    CHECK_OK(hg_text_fold(&b, (hg_bytes){in, sizeof in - 1}, &e), e);
    hg_buf_putc(&b, 0);
    CHECK_STR(b.p, "ete h co\xd0\xb2 don't");
    hg_buf_free(&b);
}

/* The sentences with which the rules were written; what they do on others tests/tools/
 * moderation_eval prints. */
TEST(the_rules_do_what_they_were_written_for)
{
    char line[1024];
    int n = 0, missed = 0, wrong = 0;
    FILE *f = fopen(HG_TESTS_FOLDER "/unit/serve/moderation/seen.tsv", "r");

    CHECK(f != NULL);
    if (f == NULL) return;
    while (fgets(line, sizeof line, f) != NULL) {
        char *language = strchr(line, '\t'), *text = language ? strchr(language + 1, '\t') : NULL;
        if (text == NULL) continue;
        *language = 0;
        n++;
        bool any = false, right = false;
        for (int h = 0; h < HG_N_HARMS; h++) {
            const bool is_flagged = flags(text + 1, (hg_harm)h);
            any = any || is_flagged;
            right = right || (is_flagged && strcmp(hg_harm_name((hg_harm)h), line) == 0);
        }
        missed += line[0] != '-' && !right;
        wrong += line[0] == '-' && any;
    }
    (void)fclose(f);
    CHECK(n > 80);
    CHECK(missed <= 1);
    CHECK_EQ(wrong, 0);
}
