/* Writing systems by blocks of code points (Unicode 15, Blocks.txt, letters of living scripts): a
 * table of ranges and a binary search. Used for the script mix on data cards. */
#include "text/script.h"
#include "text/utf8.h"

typedef struct range {
    uint32_t first, last;
    hg_script script;
} range;

static const range ranges[] = {
    {0x0041, 0x005A, HG_SCRIPT_LATIN},      {0x0061, 0x007A, HG_SCRIPT_LATIN},
    {0x00AA, 0x00AA, HG_SCRIPT_LATIN},      {0x00BA, 0x00BA, HG_SCRIPT_LATIN},
    {0x00C0, 0x00D6, HG_SCRIPT_LATIN},      {0x00D8, 0x00F6, HG_SCRIPT_LATIN},
    {0x00F8, 0x02B8, HG_SCRIPT_LATIN},      {0x0370, 0x03FF, HG_SCRIPT_GREEK},
    {0x0400, 0x052F, HG_SCRIPT_CYRILLIC},   {0x0531, 0x058F, HG_SCRIPT_ARMENIAN},
    {0x0591, 0x05F4, HG_SCRIPT_HEBREW},     {0x0600, 0x06FF, HG_SCRIPT_ARABIC},
    {0x0750, 0x077F, HG_SCRIPT_ARABIC},     {0x08A0, 0x08FF, HG_SCRIPT_ARABIC},
    {0x0900, 0x097F, HG_SCRIPT_DEVANAGARI}, {0x0980, 0x09FF, HG_SCRIPT_BENGALI},
    {0x0A00, 0x0B7F, HG_SCRIPT_INDIC},      {0x0B80, 0x0BFF, HG_SCRIPT_TAMIL},
    {0x0C00, 0x0DFF, HG_SCRIPT_INDIC},      {0x0E01, 0x0E5B, HG_SCRIPT_THAI},
    {0x0E80, 0x0EFF, HG_SCRIPT_SOUTHEAST},  {0x0F00, 0x0FFF, HG_SCRIPT_TIBETAN},
    {0x1000, 0x109F, HG_SCRIPT_SOUTHEAST},  {0x10A0, 0x10FF, HG_SCRIPT_GEORGIAN},
    {0x1100, 0x11FF, HG_SCRIPT_HANGUL},     {0x1200, 0x139F, HG_SCRIPT_ETHIOPIC},
    {0x1780, 0x17FF, HG_SCRIPT_SOUTHEAST},  {0x1C80, 0x1C8F, HG_SCRIPT_CYRILLIC},
    {0x1D00, 0x1DBF, HG_SCRIPT_LATIN},      {0x1E00, 0x1EFF, HG_SCRIPT_LATIN},
    {0x1F00, 0x1FFF, HG_SCRIPT_GREEK},      {0x2C60, 0x2C7F, HG_SCRIPT_LATIN},
    {0x2DE0, 0x2DFF, HG_SCRIPT_CYRILLIC},   {0x3005, 0x3007, HG_SCRIPT_HAN},
    {0x3041, 0x30FF, HG_SCRIPT_KANA},       {0x3131, 0x318F, HG_SCRIPT_HANGUL},
    {0x31F0, 0x31FF, HG_SCRIPT_KANA},       {0x3400, 0x4DBF, HG_SCRIPT_HAN},
    {0x4E00, 0x9FFF, HG_SCRIPT_HAN},        {0xA640, 0xA69F, HG_SCRIPT_CYRILLIC},
    {0xA720, 0xA7FF, HG_SCRIPT_LATIN},      {0xAC00, 0xD7A3, HG_SCRIPT_HANGUL},
    {0xF900, 0xFAFF, HG_SCRIPT_HAN},        {0xFB1D, 0xFB4F, HG_SCRIPT_HEBREW},
    {0xFB50, 0xFDFF, HG_SCRIPT_ARABIC},     {0xFE70, 0xFEFC, HG_SCRIPT_ARABIC},
    {0xFF21, 0xFF3A, HG_SCRIPT_LATIN},      {0xFF41, 0xFF5A, HG_SCRIPT_LATIN},
    {0xFF66, 0xFF9F, HG_SCRIPT_KANA},       {0x20000, 0x3FFFF, HG_SCRIPT_HAN}};

hg_script hg_script_of(uint32_t c)
{
    if (c < 0x80) return hg_utf8_is_letter(c) ? HG_SCRIPT_LATIN : HG_SCRIPT_COMMON;
    size_t lo = 0, hi = sizeof ranges / sizeof *ranges;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (c < ranges[mid].first)
            hi = mid;
        else if (c > ranges[mid].last)
            lo = mid + 1;
        else
            return ranges[mid].script;
    }
    return hg_utf8_is_letter(c) ? HG_SCRIPT_OTHER : HG_SCRIPT_COMMON;
}

const char *hg_script_name(hg_script s)
{
    static const char *const name[HG_N_SCRIPTS] = {"Common",
                                                   "Latin",
                                                   "Greek",
                                                   "Cyrillic",
                                                   "Armenian",
                                                   "Hebrew",
                                                   "Arabic",
                                                   "Devanagari",
                                                   "Bengali",
                                                   "Tamil",
                                                   "Other Indic",
                                                   "Thai",
                                                   "Lao, Myanmar, Khmer",
                                                   "Tibetan",
                                                   "Georgian",
                                                   "Ethiopic",
                                                   "Hangul",
                                                   "Kana",
                                                   "Han",
                                                   "Other"};
    return (unsigned)s < HG_N_SCRIPTS ? name[s] : "Other";
}

bool hg_script_has_spaces(hg_script s)
{
    return s != HG_SCRIPT_HAN && s != HG_SCRIPT_KANA && s != HG_SCRIPT_THAI &&
           s != HG_SCRIPT_SOUTHEAST && s != HG_SCRIPT_TIBETAN;
}
