/* Quality by counting. Repetition is the surest sign of text nobody wrote (menus, logs, generated
 * pages), and models learn to repeat from it. The figures and most limits are those of Rae et al.
 * 2021 (MassiveText, table A1); a document is judged by each rule alone, so that the card can say
 * which one dropped it. Lines, paragraphs and n-grams are counted by their hash in one small table.
 */
#include "data/quality.h"
#include "base/hash.h"
#include "text/utf8.h"
#include <string.h>

static const hg_collect_rule rules[HG_N_RULES] = {
    {"broken_text", "share of characters that could not be decoded", 0.005, false},
    {"few_letters", "letters among the characters that are not spaces", 0.6, true},
    {"symbols", "number signs and ellipses for each word", 0.1, false},
    {"short_words", "mean length of a word, characters", 3, true},
    {"long_words", "mean length of a word, characters", 10, false},
    {"bullets", "share of lines that begin with a bullet", 0.9, false},
    {"ellipses", "share of lines that end with an ellipsis", 0.3, false},
    {"repeated_lines", "share of lines that stood before", 0.3, false},
    {"repeated_line_chars", "share of characters in lines that stood before", 0.2, false},
    {"repeated_paragraphs", "share of paragraphs that stood before", 0.3, false},
    {"repeated_paragraph_chars", "share of characters in paragraphs that stood before", 0.2, false},
    {"top_2_gram", "share of characters in the most frequent pair of words", 0.2, false},
    {"top_3_gram", "share of characters in the most frequent three words", 0.18, false},
    {"top_4_gram", "share of characters in the most frequent four words", 0.16, false},
    {"repeated_5_grams", "share of characters in five words that stood before", 0.15, false},
    {"repeated_10_grams", "share of characters in ten words that stood before", 0.1, false}};

bool hg_collect_get_rule(size_t i, hg_collect_rule *out)
{
    if (i >= HG_N_RULES) return false;
    *out = rules[i];
    return true;
}

hg_rule hg_rule_find(const char *name)
{
    size_t i = 0;
    while (i < HG_N_RULES && strcmp(rules[i].name, name) != 0) i++;
    return (hg_rule)i;
}

hg_rule hg_quality_judge(const hg_figures *f, uint32_t kept)
{
    for (size_t i = 0; i < HG_N_RULES; i++) {
        bool ok = rules[i].is_least ? f->rule[i] >= rules[i].limit : f->rule[i] <= rules[i].limit;
        if (!ok && (kept >> i & 1) == 0) return (hg_rule)i;
    }
    return HG_N_RULES;
}

/* ---- counting ---- */

typedef struct hg_gram {
    uint64_t hash;
    uint32_t stamp, count;
} hg_gram;

void hg_quality_free(hg_quality *q)
{
    hg_free(q->table);
    hg_free(q->word);
    hg_free(q->length);
    *q = (hg_quality){0};
}

/* An empty table with room for n different things at half its size; *mask is its size less one. */
static hg_status table_for(hg_quality *q, size_t n, size_t *mask, hg_err *e)
{
    size_t size = 1024;
    while (size < 2 * n) size *= 2;
    if (size > q->table_cap) {
        hg_free(q->table);
        q->table_cap = 0;
        q->table = hg_alloc(size, sizeof *q->table);
        if (q->table == NULL) return hg_fail(e, HG_E_NOMEM, "no room to count %zu words", n);
        q->table_cap = size;
        q->stamp = 0;
    }
    if (++q->stamp == 0) {
        memset(q->table, 0, q->table_cap * sizeof *q->table);
        q->stamp = 1;
    }
    *mask = size - 1;
    return HG_OK;
}

/* How often this hash was seen, now included. */
static uint32_t seen(hg_quality *q, size_t mask, uint64_t hash)
{
    size_t i = (size_t)hash & mask;
    while (q->table[i].stamp == q->stamp && q->table[i].hash != hash) i = (i + 1) & mask;
    if (q->table[i].stamp != q->stamp) q->table[i] = (hg_gram){hash, q->stamp, 0};
    return ++q->table[i].count;
}

/* ---- characters ---- */

typedef struct char_counts {
    size_t n_bad, n_spaces, n_symbols;
} char_counts;

static void count_chars(hg_bytes s, hg_figures *f, char_counts *c)
{
    for (size_t i = 0; i < s.n; f->n_chars++) {
        uint32_t u;
        i += hg_utf8_step(s.p + i, s.p + s.n, &u);
        c->n_bad += u == 0xFFFD || u == HG_UTF8_BAD;
        c->n_symbols += u == '#' || u == 0x2026;
        if (u == ' ' || u == '\n' || u == '\t')
            c->n_spaces++;
        else
            f->script[u == HG_UTF8_BAD ? HG_SCRIPT_COMMON : hg_script_of(u)]++;
    }
}

/* Letters of scripts that put no spaces between words: what such a text has between its spaces are
 * no words, and their length says nothing. */
static bool has_no_words(const hg_figures *f)
{
    uint64_t all = 0, without = 0;
    for (size_t i = 1; i < HG_N_SCRIPTS; i++) {
        all += f->script[i];
        if (!hg_script_has_spaces((hg_script)i)) without += f->script[i];
    }
    return without * 5 > all;
}

static double share(size_t part, size_t whole)
{
    return whole > 0 ? (double)part / (double)whole : 0;
}

static void judge_chars(hg_figures *f, const char_counts *c)
{
    size_t visible = f->n_chars - c->n_spaces;
    f->rule[HG_RULE_BROKEN] = share(c->n_bad, f->n_chars);
    f->rule[HG_RULE_LETTERS] = share(visible - (size_t)f->script[HG_SCRIPT_COMMON], visible);
    f->rule[HG_RULE_SYMBOLS] = share(c->n_symbols, f->n_words);
    double mean = has_no_words(f) ? 5 : share(visible, f->n_words);
    f->rule[HG_RULE_SHORT_WORDS] = f->rule[HG_RULE_LONG_WORDS] = mean;
}

/* ---- lines and paragraphs ---- */

static bool begins_bullet(const char *p, size_t n)
{
    while (n > 0 && (*p == ' ' || *p == '\t')) {
        p++;
        n--;
    }
    return (n >= 2 && (*p == '-' || *p == '*') && p[1] == ' ') ||
           (n >= 3 && (memcmp(p, "\xe2\x80\xa2", 3) == 0 || memcmp(p, "\xe2\x97\x8f", 3) == 0 ||
                       memcmp(p, "\xe2\x96\xaa", 3) == 0));
}

static bool ends_ellipsis(const char *p, size_t n)
{
    return n >= 3 &&
           (memcmp(p + n - 3, "...", 3) == 0 || memcmp(p + n - 3, "\xe2\x80\xa6", 3) == 0);
}

typedef struct pieces {
    size_t n, n_again, bytes, bytes_again, n_bullets, n_ellipses;
} pieces;

static void take_piece(hg_quality *q, size_t mask, const char *p, size_t n, pieces *out)
{
    if (n == 0) return;
    bool again = seen(q, mask, hg_hash64(p, n, 1)) > 1;
    out->n++;
    out->bytes += n;
    out->n_again += again;
    out->bytes_again += again ? n : 0;
    out->n_bullets += begins_bullet(p, n);
    out->n_ellipses += ends_ellipsis(p, n);
}

/* Lines end with one newline, paragraphs with two. */
static hg_status count_pieces(hg_quality *q, hg_bytes s, bool paragraphs, size_t most, pieces *out,
                              hg_err *e)
{
    size_t mask, begin = 0;
    HG_TRY(table_for(q, most, &mask, e));
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] != '\n' || (paragraphs && (i + 1 == s.n || s.p[i + 1] != '\n'))) continue;
        take_piece(q, mask, s.p + begin, i - begin, out);
        i += paragraphs;
        begin = i + 1;
    }
    if (begin < s.n) take_piece(q, mask, s.p + begin, s.n - begin, out);
    return HG_OK;
}

static hg_status judge_pieces(hg_quality *q, hg_bytes text, hg_figures *f, hg_err *e)
{
    pieces lines = {0}, paragraphs = {0};
    size_t most = 1;
    for (size_t i = 0; i < text.n; i++) most += text.p[i] == '\n';
    HG_TRY(count_pieces(q, text, false, most, &lines, e));
    HG_TRY(count_pieces(q, text, true, most, &paragraphs, e));
    f->n_lines = lines.n;
    f->rule[HG_RULE_BULLETS] = share(lines.n_bullets, lines.n);
    f->rule[HG_RULE_ELLIPSES] = share(lines.n_ellipses, lines.n);
    f->rule[HG_RULE_LINES] = share(lines.n_again, lines.n);
    f->rule[HG_RULE_LINE_CHARS] = share(lines.bytes_again, lines.bytes);
    f->rule[HG_RULE_PARAGRAPHS] = share(paragraphs.n_again, paragraphs.n);
    f->rule[HG_RULE_PARAGRAPH_CHARS] = share(paragraphs.bytes_again, paragraphs.bytes);
    return HG_OK;
}

/* ---- words and n-grams ---- */

static hg_status split_words(hg_quality *q, hg_bytes s, hg_figures *f, hg_err *e)
{
    for (size_t i = 0; i < s.n;) {
        while (i < s.n && (s.p[i] == ' ' || s.p[i] == '\n' || s.p[i] == '\t')) i++;
        size_t begin = i;
        while (i < s.n && s.p[i] != ' ' && s.p[i] != '\n' && s.p[i] != '\t') i++;
        if (i == begin) break;
        HG_TRY(hg_grow(&q->word, &q->word_cap, f->n_words, sizeof *q->word, e));
        HG_TRY(hg_grow(&q->length, &q->length_cap, f->n_words, sizeof *q->length, e));
        q->word[f->n_words] = hg_hash64(s.p + begin, i - begin, 0);
        q->length[f->n_words] = (uint32_t)(i - begin) + 1;
        f->n_words++;
    }
    return HG_OK;
}

static size_t gram_bytes(const hg_quality *q, size_t at, size_t n)
{
    size_t bytes = 0;
    for (size_t i = 0; i < n; i++) bytes += q->length[at + i];
    return bytes;
}

/* The most bytes that one n-gram fills with all its occurrences. Twice the same in a short text is
 * no repetition yet: three are asked for. */
static hg_status top_gram(hg_quality *q, size_t n_words, size_t n, size_t *bytes, hg_err *e)
{
    size_t mask;
    *bytes = 0;
    HG_TRY(table_for(q, n_words, &mask, e));
    for (size_t i = 0; i + n <= n_words; i++) {
        uint32_t count = seen(q, mask, hg_hash64(q->word + i, n * sizeof *q->word, n));
        size_t all = count * gram_bytes(q, i, n);
        if (count >= 3 && all > *bytes) *bytes = all;
    }
    return HG_OK;
}

/* Bytes in n-grams that stood before; a repeated one is stepped over, so that none counts twice. */
static hg_status repeated_grams(hg_quality *q, size_t n_words, size_t n, size_t *bytes, hg_err *e)
{
    size_t mask;
    *bytes = 0;
    HG_TRY(table_for(q, n_words, &mask, e));
    for (size_t i = 0; i + n <= n_words;) {
        bool again = seen(q, mask, hg_hash64(q->word + i, n * sizeof *q->word, n)) > 1;
        if (again) *bytes += gram_bytes(q, i, n);
        i += again ? n : 1;
    }
    return HG_OK;
}

static hg_status judge_grams(hg_quality *q, hg_bytes text, hg_figures *f, hg_err *e)
{
    size_t bytes;
    for (size_t n = 2; n <= 4; n++) {
        HG_TRY(top_gram(q, f->n_words, n, &bytes, e));
        f->rule[HG_RULE_TOP_2 + n - 2] = share(bytes, text.n + 1);
    }
    HG_TRY(repeated_grams(q, f->n_words, 5, &bytes, e));
    f->rule[HG_RULE_GRAMS_5] = share(bytes, text.n + 1);
    HG_TRY(repeated_grams(q, f->n_words, 10, &bytes, e));
    f->rule[HG_RULE_GRAMS_10] = share(bytes, text.n + 1);
    return HG_OK;
}

hg_status hg_quality_measure(hg_quality *q, hg_bytes text, hg_figures *out, hg_err *e)
{
    char_counts chars = {0};
    *out = (hg_figures){0};
    count_chars(text, out, &chars);
    HG_TRY(split_words(q, text, out, e));
    judge_chars(out, &chars);
    HG_TRY(judge_pieces(q, text, out, e));
    return judge_grams(q, text, out, e);
}
