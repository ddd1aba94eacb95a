/* The lexicon: which words carry which idea. */
#ifndef HG_SERVE_MODERATION_WORDS_H
#define HG_SERVE_MODERATION_WORDS_H

#include <stdint.h>

/* Ideas that a sentence may hold. */
enum {
    KILL = 1 << 0,
    HURT = 1 << 1,
    YOU = 1 << 2,
    I = 1 << 3,
    SELF = 1 << 4,
    SUICIDE = 1 << 5,
    CUT = 1 << 6, /* harm done to oneself, with SELF */
    WILL = 1 << 7,
    HOW = 1 << 8,
    GROUP = 1 << 9,
    BEASTS = 1 << 10, /* what people are called who are not to be people */
    PURGE = 1 << 11,
    SLUR = 1 << 12,
    INSULT = 1 << 13,
    SEX = 1 << 14,
    MINOR = 1 << 15,
    MAKE = 1 << 16,
    DRUG = 1 << 17,
    WEAPON = 1 << 18,
    CRIME = 1 << 19,
    GORE = 1 << 20,
    NOT = 1 << 21,
    APART = 1 << 22,  /* help, news, fiction: somebody speaks about it */
    CARE = 1 << 23,   /* education, medicine: sex and blood are matters of fact */
    THING = 1 << 24,  /* what is killed, shot or beaten without harm */
    PERSON = 1 << 25, /* somebody to whom it is done */
    MUST = 1 << 26,
    METHOD = 1 << 27, /* means to die by, with SUICIDE or SELF */
    ARE = 1 << 28
};

typedef struct moderation_word {
    const char *text; /* folded; * at the end: any ending; a space: the words in a row */
    uint32_t ideas;
} moderation_word;
extern const moderation_word moderation_words[];
extern const unsigned moderation_n_words;

#endif
