/* ELIZA's words: how letters become what a card punch of 1966 had, how an input becomes words, the
 * table of a script's words, and the hash that chooses a memory. The machine had 48 characters in
 * six bits, no small letters among them; the replacements of newer punctuation are those of Anthony
 * Hay's reconstruction (github.com/anthay/ELIZA), with which its conversations were recorded. The
 * hash is SLIP's: the middle of the square of a word of six letters. */
#include "app/eliza_inner.h"
#include "base/hash.h"
#include "text/utf8.h"

#include <string.h>
#include <utf8proc.h>

/* ---- letters ---- */
/* What stands for c when more than its upper case does; NULL: nothing special. */
static const char *replacement(uint32_t c)
{
    switch (c) {
    case 0x2019:
        return "'";
    case 0x2018: /* quotes, straight, curly and pointed; and ! and ? turned over */
    case 0x201A:
    case 0x201B:
    case 0x201C:
    case 0x201D:
    case 0x201E:
    case 0x201F:
    case 0x2039:
    case 0x203A:
    case 0xAB:
    case 0xBB:
    case 0xA1:
    case 0xBF:
        return " ";
    case 0x2013:
    case 0x2014:
        return ",";
    case 0xDF:
        return "SS";
    case 0xFB00:
        return "FF";
    case 0xFB01:
        return "FI";
    case 0xFB02:
        return "FL";
    case 0xFB03:
        return "FFI";
    case 0xFB04:
        return "FFL";
    case 0xFB05:
    case 0xFB06:
        return "ST";
    default:
        return NULL;
    }
}

static char ascii_upper(char c)
{
    switch (c) {
    case '`':
    case '"':
        return ' ';
    case '!':
    case '?':
        return '.';
    case ':':
    case ';':
        return ',';
    default:
        return c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
    }
}

/* Spaces that people type without seeing a difference: before a French question mark, say. */
static bool is_wide_space(uint32_t c)
{
    return c == 0xA0 || c == 0x202F || c == 0x3000 || (c >= 0x2000 && c <= 0x200B) || c == 0x2028 ||
           c == 0x2029 || c == 0x85;
}

static void put_upper(hg_buf *out, uint32_t c, bool is_input)
{
    char bytes[4];
    const char *s = replacement(c);
    if (c == HG_UTF8_BAD) c = 0xFFFD;
    if (s != NULL) {
        hg_buf_puts(out, s);
    } else if (is_input && is_wide_space(c)) {
        hg_buf_putc(out, ' ');
    } else {
        const utf8proc_int32_t up = utf8proc_toupper((utf8proc_int32_t)c);
        hg_buf_put(out, bytes, hg_utf8_encode((uint32_t)up, bytes));
    }
}

void eliza_upper(hg_buf *out, hg_bytes in, bool is_input)
{
    const char *p = in.p, *end = in.p + in.n;
    while (p < end) {
        char *to = hg_buf_room(out, (size_t)(end - p) + 1);
        if (to == NULL) return;
        size_t n = 0;
        for (; p < end && (signed char)*p >= 0; p++) {
            const bool is_control = is_input && ((unsigned char)*p < 0x20 || *p == 0x7F);
            to[n++] = is_control ? ' ' : ascii_upper(*p);
        }
        out->n += n;
        if (p < end) {
            uint32_t c;
            p += hg_utf8_step(p, end, &c);
            put_upper(out, c, is_input);
        }
    }
}

/* ---- the table of symbols ---- */
static uint64_t hash_of(const char *p, size_t n)
{
    return hg_hash64(p, n, 0);
}

/* The slot of these letters, or the free one where they would stand. */
static size_t slot_of(const hg_eliza_script *s, const char *p, size_t n)
{
    size_t i = hash_of(p, n) & (s->n_slots - 1);
    for (; s->slot[i] != 0; i = (i + 1) & (s->n_slots - 1)) {
        const eliza_symbol *y = &s->symbol[s->slot[i] - 1];
        if (y->n == n && memcmp(s->text.p + y->at, p, n) == 0) break;
    }
    return i;
}

int32_t eliza_find_symbol(const hg_eliza_script *s, const char *p, size_t n)
{
    return (int32_t)s->slot[slot_of(s, p, n)] - 1;
}

/* At most half of the slots are taken. */
static hg_status grow_slots(hg_eliza_script *s, hg_err *e)
{
    if (2 * (s->n_symbols + 1) <= s->n_slots) return HG_OK;
    const size_t n = s->n_slots == 0 ? 256 : 2 * s->n_slots;
    uint32_t *grown = hg_alloc(n, sizeof *grown);
    if (grown == NULL) return hg_fail(e, HG_E_NOMEM, "no room for the script's words");
    hg_free(s->slot);
    s->slot = grown;
    s->n_slots = n;
    for (size_t i = 0; i < s->n_symbols; i++) {
        const eliza_symbol *y = &s->symbol[i];
        s->slot[slot_of(s, s->text.p + y->at, y->n)] = (uint32_t)i + 1;
    }
    return HG_OK;
}

hg_status eliza_add_symbol(hg_eliza_script *s, const char *p, size_t n, uint32_t *out, hg_err *e)
{
    HG_TRY(grow_slots(s, e));
    const size_t slot = slot_of(s, p, n);
    if (s->slot[slot] == 0) {
        HG_TRY(hg_grow(&s->symbol, &s->cap_symbols, s->n_symbols, sizeof *s->symbol, e));
        s->symbol[s->n_symbols] = (eliza_symbol){(uint32_t)s->text.n, (uint32_t)n, -1, -1};
        hg_buf_put(&s->text, p, n);
        HG_TRY(hg_buf_status(&s->text, e));
        s->slot[slot] = (uint32_t)++s->n_symbols;
    }
    *out = s->slot[slot] - 1;
    return HG_OK;
}

hg_bytes eliza_symbol_text(const hg_eliza_script *s, uint32_t symbol)
{
    const eliza_symbol *y = &s->symbol[symbol];
    return (hg_bytes){s->text.p + y->at, y->n};
}

/* ---- inputs ---- */
static bool is_mark(char c)
{
    return c == ',' || c == '.';
}

hg_status eliza_split(const hg_eliza_script *s, hg_bytes in, hg_buf *letters, eliza_word **words,
                      size_t *cap, size_t *n, hg_err *e)
{
    *n = 0;
    hg_buf_clear(letters);
    hg_buf_put(letters, "", 0);
    eliza_upper(letters, in, true);
    HG_TRY(hg_buf_status(letters, e));
    const char *p = letters->p, *end = p + letters->n;
    while (p < end) {
        const char *begin = p;
        if (*p == ' ') {
            p++;
            continue;
        }
        if (is_mark(*p))
            p++;
        else
            while (p < end && *p != ' ' && !is_mark(*p)) p++;
        if (*n == HG_ELIZA_MAX_WORDS)
            return hg_fail(e, HG_E_LIMIT, "an input of over %d words; say it in several",
                           HG_ELIZA_MAX_WORDS);
        HG_TRY(hg_grow(words, cap, *n, sizeof **words, e));
        const size_t len = (size_t)(p - begin);
        (*words)[(*n)++] = (eliza_word){begin, (uint32_t)len, eliza_find_symbol(s, begin, len)};
    }
    return HG_OK;
}

void eliza_put_words(hg_buf *b, const eliza_word *w, size_t n, bool commas_apart)
{
    for (size_t i = 0, put = 0; i < n; i++) {
        if (w[i].n == 0) continue;
        if (put++ > 0) hg_buf_putc(b, ' ');
        const bool apart = commas_apart && w[i].n > 1 && w[i].p[w[i].n - 1] == ',';
        hg_buf_put(b, w[i].p, w[i].n - (apart ? 1 : 0));
        if (apart) hg_buf_puts(b, " ,");
    }
}

/* ---- the hash ---- */
/* Hollerith's code of a character, as the 709 and 7090 had it; what it lacks keeps its low six
 * bits. */
static unsigned bcd(unsigned char c)
{
    static const char row[4][16] = {"0123456789\0='", "+ABCDEFGHI\0.)", "-JKLMNOPQR\0$*",
                                    " /STUVWXYZ\0,("};
    for (unsigned i = 0; i < 4; i++)
        for (unsigned k = 0; k < 13; k++)
            if (c != 0 && row[i][k] == (char)c) return i << 4 | k;
    return c & 63;
}

uint64_t eliza_last_chunk(const char *p, size_t n)
{
    enum { LETTERS = 6 };
    const size_t first = n == 0 ? 0 : (n - 1) / LETTERS * LETTERS;
    uint64_t datum = 0;
    for (size_t i = first; i < first + LETTERS; i++)
        datum = datum << 6 | bcd(i < n ? (unsigned char)p[i] : ' ');
    return datum;
}

uint32_t eliza_hash(uint64_t datum, unsigned bits)
{
    const uint64_t d = datum & 0x7FFFFFFFFu;
    return (uint32_t)((d * d >> (35 - bits / 2)) & ((UINT64_C(1) << bits) - 1));
}
