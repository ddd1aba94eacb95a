/* Which writing system a character belongs to: enough to say what a corpus is written in, and to
 * know the scripts that put no spaces between words. */
#ifndef HG_TEXT_SCRIPT_H
#define HG_TEXT_SCRIPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum hg_script {
    HG_SCRIPT_COMMON, /* digits, punctuation, symbols: every script's */
    HG_SCRIPT_LATIN,
    HG_SCRIPT_GREEK,
    HG_SCRIPT_CYRILLIC,
    HG_SCRIPT_ARMENIAN,
    HG_SCRIPT_HEBREW,
    HG_SCRIPT_ARABIC,
    HG_SCRIPT_DEVANAGARI,
    HG_SCRIPT_BENGALI,
    HG_SCRIPT_TAMIL,
    HG_SCRIPT_INDIC, /* the other scripts of India and Sri Lanka */
    HG_SCRIPT_THAI,
    HG_SCRIPT_SOUTHEAST, /* Lao, Myanmar, Khmer */
    HG_SCRIPT_TIBETAN,
    HG_SCRIPT_GEORGIAN,
    HG_SCRIPT_ETHIOPIC,
    HG_SCRIPT_HANGUL,
    HG_SCRIPT_KANA,
    HG_SCRIPT_HAN,
    HG_SCRIPT_OTHER,
    HG_N_SCRIPTS
} hg_script;

hg_script hg_script_of(uint32_t c);
const char *hg_script_name(hg_script s); /* "Latin" */
bool hg_script_has_spaces(hg_script s);  /* false: Han, kana, Thai, Lao, Myanmar, Khmer, Tibetan */

#endif
