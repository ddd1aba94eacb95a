/* SentencePiece's compiled normalisation: a double-array trie (Aoe 1989, in the units of
 * darts-clone) over the texts that are replaced, and behind it their replacements, each ended by a
 * NUL. The trie comes from a file, so that every step stays within it. */
#include "token/normal.h"
#include <string.h>

static uint32_t unit_at(hg_bytes trie, size_t i)
{
    const unsigned char *u = (const unsigned char *)trie.p + 4 * i;
    return u[0] | (uint32_t)u[1] << 8 | (uint32_t)u[2] << 16 | (uint32_t)u[3] << 24;
}

static size_t offset_of(uint32_t unit)
{
    return (size_t)(unit >> 10) << ((unit & 1u << 9) >> 6);
}

/* The trie and the replacements of a map; false when it is none. */
static bool open_map(hg_bytes map, hg_bytes *trie, hg_bytes *texts)
{
    if (map.n < 8) return false;
    size_t n = unit_at(map, 0);
    if (n % 4 != 0 || n == 0 || n >= map.n - 4 || map.p[map.n - 1] != '\0') return false;
    *trie = (hg_bytes){map.p + 4, n};
    *texts = (hg_bytes){map.p + 4 + n, map.n - 4 - n};
    return true;
}

static bool is_inside_char(const char *p)
{
    return ((unsigned char)*p & 0xC0) == 0x80;
}

bool hg_charsmap_is_good(hg_bytes map)
{
    hg_bytes trie, texts;
    uint32_t cp;
    if (map.n == 0) return true;
    if (map.n > HG_MAX_CHARSMAP || !open_map(map, &trie, &texts)) return false;
    size_t i = 0, len;
    while (i < texts.n && (len = hg_token_utf8(texts.p + i, texts.n - i, &cp)) > 0) i += len;
    return i == texts.n;
}

size_t hg_charsmap_find(hg_bytes map, const char *p, size_t n, hg_bytes *by)
{
    hg_bytes trie, texts;
    size_t found = 0, n_units, at;
    if (!open_map(map, &trie, &texts)) return 0;
    n_units = trie.n / 4;
    at = offset_of(unit_at(trie, 0));
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)p[i];
        at ^= c;
        if (at >= n_units) break;
        uint32_t unit = unit_at(trie, at);
        if ((unit & (1u << 31 | 0xFFu)) != c) break;
        at ^= offset_of(unit);
        if ((unit >> 8 & 1) == 0) continue;
        if (at >= n_units) break;
        size_t text = unit_at(trie, at) & 0x7FFFFFFF;
        if (text >= texts.n) break;
        /* Whole characters by whole characters, whatever the file says. */
        if (is_inside_char(texts.p + text) || (i + 1 < n && is_inside_char(p + i + 1))) continue;
        found = i + 1;
        *by = (hg_bytes){texts.p + text, strlen(texts.p + text)};
    }
    return found;
}
