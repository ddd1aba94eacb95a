/* The patterns that nearly all tokenizers split text with, as code: each is known by its exact
 * text, and its function says how long the word is that begins here. What the alternatives of a
 * pattern try in turn is decided by the class of one or two characters, so that a word costs a few
 * steps where a regular expression takes hundreds. The patterns match at every place and never look
 * back, which is why a length is all there is to know. tests/unit/token holds each against PCRE2.
 */
#include "token/words.h"
#include <string.h>
#include <utf8proc.h>

/* What the patterns ask of a character. */
enum {
    UPPER = 1, /* Lu Lt Lm Lo M: what o200k lets a word begin with */
    LOWER = 2, /* Ll Lm Lo M */
    LETTER = 4,
    MARK = 8,
    NUMBER = 16,
    SPACE = 32,
    NEWLINE = 64 /* \r \n */
};

static const uint8_t of_category[] = {
    [UTF8PROC_CATEGORY_LU] = LETTER | UPPER,
    [UTF8PROC_CATEGORY_LL] = LETTER | LOWER,
    [UTF8PROC_CATEGORY_LT] = LETTER | UPPER,
    [UTF8PROC_CATEGORY_LM] = LETTER | UPPER | LOWER,
    [UTF8PROC_CATEGORY_LO] = LETTER | UPPER | LOWER,
    [UTF8PROC_CATEGORY_MN] = MARK | UPPER | LOWER,
    [UTF8PROC_CATEGORY_MC] = MARK | UPPER | LOWER,
    [UTF8PROC_CATEGORY_ME] = MARK | UPPER | LOWER,
    [UTF8PROC_CATEGORY_ND] = NUMBER,
    [UTF8PROC_CATEGORY_NL] = NUMBER,
    [UTF8PROC_CATEGORY_NO] = NUMBER,
    [UTF8PROC_CATEGORY_CO] = 0,
};

#define S SPACE
#define R (SPACE | NEWLINE)
#define D NUMBER
#define U (LETTER | UPPER)
#define L (LETTER | LOWER)
static const uint8_t of_ascii[128] = {
    0, 0, 0, 0, 0, 0, 0, 0, 0, S, R, S, S, R, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    S, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, D, D, D, D, D, D, D, D, D, D, 0, 0, 0, 0, 0, 0,
    0, U, U, U, U, U, U, U, U, U, U, U, U, U, U, U, U, U, U, U, U, U, U, U, U, U, U, 0, 0, 0, 0, 0,
    0, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, 0, 0, 0, 0, 0};
#undef S
#undef R
#undef D
#undef U
#undef L

static unsigned class_wide(const unsigned char *p, size_t *len)
{
    uint32_t cp;
    if (p[0] < 0xE0) {
        cp = (p[0] & 0x1Fu) << 6 | (p[1] & 0x3Fu);
        *len = 2;
    } else if (p[0] < 0xF0) {
        cp = (p[0] & 0xFu) << 12 | (p[1] & 0x3Fu) << 6 | (p[2] & 0x3Fu);
        *len = 3;
    } else {
        cp = (p[0] & 7u) << 18 | (p[1] & 0x3Fu) << 12 | (p[2] & 0x3Fu) << 6 | (p[3] & 0x3Fu);
        *len = 4;
    }
    if (hg_token_is_space(cp)) return SPACE;
    return of_category[utf8proc_category((utf8proc_int32_t)cp)];
}

/* The class of the character at p, which is whole. */
static inline unsigned class_of(const unsigned char *p, size_t *len)
{
    *len = 1;
    return p[0] < 0x80 ? of_ascii[p[0]] : class_wide(p, len);
}

/* From `i` on over all characters that have one of the classes. */
static inline size_t run_of(const unsigned char *p, size_t n, size_t i, unsigned classes)
{
    size_t len;
    while (i < n && (class_of(p + i, &len) & classes) != 0) i += len;
    return i;
}

/* Over characters that have none of the classes. */
static inline size_t run_without(const unsigned char *p, size_t n, size_t i, unsigned classes)
{
    size_t len;
    while (i < n && (class_of(p + i, &len) & classes) == 0) i += len;
    return i;
}

/* How a pattern differs from its kin. */
typedef struct rule {
    bool any_case;   /* of 's, 't ... */
    bool long_s;     /* U+017F is an s, as it is where case is folded by Unicode */
    unsigned letter; /* LETTER, or with MARK */
    unsigned digits; /* of a number at the most; 0: any */
    bool suffix;     /* 's, 't ... belong to the word before */
    bool slash;      /* line ends and slashes, not line ends alone, behind punctuation */
} rule;

/* 's 't 're 've 'm 'll 'd at p; 0 when there is none. */
static inline size_t short_form(const unsigned char *p, size_t n, const rule r)
{
    if (n < 2 || p[0] != '\'') return 0;
    unsigned fold = r.any_case ? 0x20 : 0, a = p[1] | fold, b = n > 2 ? p[2] | fold : 0;
    if (a == 's' || a == 't' || a == 'm' || a == 'd') return 2;
    if ((a == 'r' || a == 'v') && b == 'e') return 3;
    if (a == 'l' && b == 'l') return 3;
    return r.long_s && n > 2 && p[1] == 0xC5 && p[2] == 0xBF ? 3 : 0;
}

/* \s+(?!\S)|\s+ : all of a run at the end of the text, else all but its last character (which may
 * go with the word behind), unless it is the only one. */
static inline size_t spaces_alone(const unsigned char *p, size_t n, size_t end)
{
    if (end == n) return end;
    size_t last = end - 1;
    while ((p[last] & 0xC0) == 0x80) last--;
    return last > 0 ? last : end;
}

/* \s*[\r\n]+|\s+(?!\S)|\s+ */
static inline size_t spaces_and_lines(const unsigned char *p, size_t n)
{
    size_t end = run_of(p, n, 0, SPACE);
    for (size_t i = end; i > 0; i--)
        if (p[i - 1] == '\n' || p[i - 1] == '\r') return i;
    return spaces_alone(p, n, end);
}

static inline size_t number(const unsigned char *p, size_t n, const rule r)
{
    size_t i = 0, len;
    for (unsigned k = 0; k < r.digits && i < n && (class_of(p + i, &len) & NUMBER) != 0; k++)
        i += len;
    return i;
}

/* " ?[^\s\p{L}\p{N}]+[\r\n]*" when `i` is where the first of its characters stands. */
static inline size_t punctuation(const unsigned char *p, size_t n, size_t i, const rule r)
{
    i = run_without(p, n, i, SPACE | NUMBER | r.letter);
    while (i < n && (p[i] == '\r' || p[i] == '\n' || (r.slash && p[i] == '/'))) i++;
    return i;
}

static size_t gpt2(const unsigned char *p, size_t n)
{
    const rule r = {.letter = LETTER};
    size_t len, i = p[0] == ' ' ? 1 : 0;
    if (p[0] == '\'' && (len = short_form(p, n, r)) > 0) return len;
    unsigned c = i < n ? class_of(p + i, &len) : SPACE;
    if ((c & SPACE) != 0) return spaces_alone(p, n, run_of(p, n, 0, SPACE));
    if ((c & LETTER) != 0) return run_of(p, n, i + len, LETTER);
    if ((c & NUMBER) != 0) return run_of(p, n, i + len, NUMBER);
    return run_without(p, n, i + len, SPACE | LETTER | NUMBER);
}

/* The family of cl100k. */
static inline size_t plain_word(const unsigned char *p, size_t n, const rule r)
{
    size_t len, next_len, form;
    unsigned c = class_of(p, &len);
    if ((c & r.letter) != 0) {
        /* A mark may be the one character before the letters too: the word is the same. */
        return run_of(p, n, len, r.letter);
    }
    if ((c & NUMBER) != 0) return number(p, n, r);
    if (p[0] == '\'' && (form = short_form(p, n, r)) > 0) return form;
    unsigned next = len < n ? class_of(p + len, &next_len) : SPACE;
    if ((c & NEWLINE) == 0 && (next & r.letter) != 0) return run_of(p, n, len + next_len, r.letter);
    if ((c & SPACE) == 0) return punctuation(p, n, 0, r);
    if (p[0] == ' ' && (next & (SPACE | NUMBER)) == 0) return punctuation(p, n, 1, r);
    return spaces_and_lines(p, n);
}

static size_t llama3(const unsigned char *p, size_t n)
{
    return plain_word(p, n,
                      (rule){.any_case = true, .long_s = true, .letter = LETTER, .digits = 3});
}

static size_t cl100k(const unsigned char *p, size_t n)
{
    return plain_word(p, n, (rule){.any_case = true, .letter = LETTER, .digits = 3});
}

static size_t qwen2(const unsigned char *p, size_t n)
{
    return plain_word(p, n,
                      (rule){.any_case = true, .long_s = true, .letter = LETTER, .digits = 1});
}

static size_t qwen2_ascii(const unsigned char *p, size_t n)
{
    return plain_word(p, n, (rule){.any_case = true, .letter = LETTER, .digits = 1});
}

static size_t qwen35(const unsigned char *p, size_t n)
{
    return plain_word(
        p, n, (rule){.any_case = true, .long_s = true, .letter = LETTER | MARK, .digits = 1});
}

/* The end of [UPPER]*[LOWER]+ from `i` on, or i when it does not match. Where no lower character
 * follows the upper ones, the last of these that is both ends the word. */
static inline size_t upper_lower(const unsigned char *p, size_t n, size_t i)
{
    size_t len, end = i;
    unsigned c = 0;
    for (; i < n && ((c = class_of(p + i, &len)) & UPPER) != 0; i += len)
        if ((c & LOWER) != 0) end = i + len;
    return i < n && (c & LOWER) != 0 ? run_of(p, n, i + len, LOWER) : end;
}

static inline size_t with_suffix(const unsigned char *p, size_t n, size_t i, const rule r)
{
    return r.suffix && i < n ? i + short_form(p + i, n - i, r) : i;
}

/* The two alternatives of o200k that hold letters; 0 when neither matches. */
static inline size_t cased_word(const unsigned char *p, size_t n, const rule r)
{
    size_t len, end;
    unsigned c = class_of(p, &len);
    bool may_lead = (c & (NEWLINE | LETTER | NUMBER)) == 0;
    if (may_lead && (end = upper_lower(p, n, len)) > len) return with_suffix(p, n, end, r);
    if ((c & (UPPER | LOWER)) != 0 && (end = upper_lower(p, n, 0)) > 0)
        return with_suffix(p, n, end, r);
    /* No lower character follows, so that the upper ones are all. */
    size_t from = may_lead ? len : 0;
    end = run_of(p, n, from, UPPER);
    return end > from ? with_suffix(p, n, end, r) : 0;
}

static inline size_t mixed_word(const unsigned char *p, size_t n, const rule r)
{
    size_t len, end = cased_word(p, n, r);
    if (end > 0) return end;
    unsigned c = class_of(p, &len);
    if ((c & NUMBER) != 0) return number(p, n, r);
    if ((c & SPACE) == 0) return punctuation(p, n, 0, r);
    unsigned next = len < n ? class_of(p + len, &len) : SPACE;
    if (p[0] == ' ' && (next & (SPACE | NUMBER | LETTER)) == 0) return punctuation(p, n, 1, r);
    return spaces_and_lines(p, n);
}

static size_t o200k(const unsigned char *p, size_t n)
{
    return mixed_word(p, n,
                      (rule){.any_case = true,
                             .long_s = true,
                             .letter = LETTER,
                             .digits = 3,
                             .suffix = true,
                             .slash = true});
}

static size_t o200k_ascii(const unsigned char *p, size_t n)
{
    return mixed_word(
        p, n,
        (rule){.any_case = true, .letter = LETTER, .digits = 3, .suffix = true, .slash = true});
}

static size_t tekken(const unsigned char *p, size_t n)
{
    return mixed_word(p, n, (rule){.letter = LETTER, .digits = 1, .slash = true});
}

hg_word_length *hg_words_find(const char *pattern)
{
    static const struct {
        const char *pattern;
        hg_word_length *length;
    } rows[] = {
        {HG_PATTERN_GPT2, gpt2},
        {HG_PATTERN_CL100K(HG_SHORT_I, "\\p{N}{1,3}"), llama3},
        {HG_PATTERN_CL100K(HG_SHORT_AA, "\\p{N}{1,3}"), cl100k},
        {HG_PATTERN_CL100K(HG_SHORT_TIKTOKEN, "\\p{N}{1,3}"), cl100k},
        {HG_PATTERN_CL100K(HG_SHORT_I, "\\p{N}"), qwen2},
        {HG_PATTERN_CL100K(HG_SHORT_AA, "\\p{N}"), qwen2_ascii},
        {HG_PATTERN_QWEN35, qwen35},
        {HG_PATTERN_O200K(HG_SHORT_I "?", "\\p{N}{1,3}"), o200k},
        {HG_PATTERN_O200K(HG_SHORT_AA "?", "\\p{N}{1,3}"), o200k_ascii},
        {HG_PATTERN_O200K(HG_SHORT_TIKTOKEN "?", "\\p{N}{1,3}"), o200k_ascii},
        {HG_PATTERN_O200K("", "\\p{N}"), tekken},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (strcmp(rows[i].pattern, pattern) == 0) return rows[i].length;
    return NULL;
}
