/* Judging texts by the thirteen categories of OpenAI's moderations. Higgins ships no trained
 * weights for it: either a model that the owner names is asked (asked.c), or words and their
 * company are looked at (lexicon.c), by rules that docs/serving.md explains. */
#ifndef HG_SERVE_MODERATION_H
#define HG_SERVE_MODERATION_H

#include "base/mem.h"

#define HG_LEXICON_NAME "higgins-lexicon-1"

typedef enum hg_harm {
    HG_HARM_HARASSMENT,
    HG_HARM_HARASSMENT_THREATENING,
    HG_HARM_HATE,
    HG_HARM_HATE_THREATENING,
    HG_HARM_ILLICIT,
    HG_HARM_ILLICIT_VIOLENT,
    HG_HARM_SELF_HARM,
    HG_HARM_SELF_HARM_INTENT,
    HG_HARM_SELF_HARM_INSTRUCTIONS,
    HG_HARM_SEXUAL,
    HG_HARM_SEXUAL_MINORS,
    HG_HARM_VIOLENCE,
    HG_HARM_VIOLENCE_GRAPHIC,
    HG_N_HARMS
} hg_harm;
const char *hg_harm_name(hg_harm h); /* "hate/threatening" */
/* From this score on a text is flagged: 0.5, and 0.3 for sexual/minors. */
double hg_harm_threshold(hg_harm h);

/* Scores a text by the lexicon, 0 to 1 each. */
hg_status hg_lexicon_score(double score[HG_N_HARMS], hg_bytes text, hg_err *e);

#endif
