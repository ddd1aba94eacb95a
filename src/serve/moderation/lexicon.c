/* Scores from words and their company. A text is folded (text/fold.h), cut into sentences and
 * words; disguises are undone (k1ll, k.i.l.l, kiiill); each word is looked up for the ideas it
 * carries. Rules then say what ideas together in one sentence mean: no word is flagged for itself
 * but a slur. Negation before the deed weakens a rule, as does company that speaks about a thing
 * (news, help, fiction); a thing that is killed is no victim. A text has the score of its worst
 * sentence. All numbers are in the tables below, and docs/serving.md tells them. */
#include "serve/moderation/moderation.h"
#include "serve/moderation/words.h"
#include "text/fold.h"

#include <string.h>

enum {
    MAX_WORD = 48,
    MAX_WORDS = 64, /* that are judged together; a longer sentence in halves that overlap */
    NOT_REACH = 4
};
static const double DENIED = 0.3, TOLD_OF = 0.4;

static const struct {
    const char *name;
    double threshold;
} harms[HG_N_HARMS] = {[HG_HARM_HARASSMENT] = {"harassment", 0.5},
                       [HG_HARM_HARASSMENT_THREATENING] = {"harassment/threatening", 0.5},
                       [HG_HARM_HATE] = {"hate", 0.5},
                       [HG_HARM_HATE_THREATENING] = {"hate/threatening", 0.5},
                       [HG_HARM_ILLICIT] = {"illicit", 0.5},
                       [HG_HARM_ILLICIT_VIOLENT] = {"illicit/violent", 0.5},
                       [HG_HARM_SELF_HARM] = {"self-harm", 0.5},
                       [HG_HARM_SELF_HARM_INTENT] = {"self-harm/intent", 0.5},
                       [HG_HARM_SELF_HARM_INSTRUCTIONS] = {"self-harm/instructions", 0.5},
                       [HG_HARM_SEXUAL] = {"sexual", 0.5},
                       [HG_HARM_SEXUAL_MINORS] = {"sexual/minors", 0.3},
                       [HG_HARM_VIOLENCE] = {"violence", 0.5},
                       [HG_HARM_VIOLENCE_GRAPHIC] = {"violence/graphic", 0.5}};

const char *hg_harm_name(hg_harm h)
{
    return harms[h].name;
}

double hg_harm_threshold(hg_harm h)
{
    return harms[h].threshold;
}

/* ---- rules ---- */
/* All ideas of `needs` and one of `any` (0: none is asked for), and none of `without`; `deed` is
 * what a negation would deny. `firm`: company does not weaken it. */
typedef struct rule {
    uint32_t needs, any, without, deed;
    hg_harm harm;
    double score;
    bool is_firm;
} rule;

static const rule rules[] = {
    /* violence */
    {KILL, WILL | MUST, THING | SELF, KILL, HG_HARM_VIOLENCE, 0.7, false},
    {KILL, PERSON | YOU, THING | SELF, KILL, HG_HARM_VIOLENCE, 0.6, false},
    {HURT | MUST, PERSON | YOU, THING, HURT, HG_HARM_VIOLENCE, 0.65, false},
    {HURT | WILL, PERSON | YOU, THING, HURT, HG_HARM_VIOLENCE, 0.6, false},
    {GORE | KILL, 0, CARE, 0, HG_HARM_VIOLENCE_GRAPHIC, 0.75, false},
    {GORE | KILL, 0, CARE, 0, HG_HARM_VIOLENCE, 0.75, false},
    /* harassment */
    {INSULT | YOU, 0, 0, INSULT, HG_HARM_HARASSMENT, 0.75, false},
    {SLUR, 0, 0, 0, HG_HARM_HARASSMENT, 0.6, false},
    {KILL | YOU | I, WILL | MUST, THING | SELF, KILL, HG_HARM_HARASSMENT_THREATENING, 0.85, false},
    {HURT | YOU | I, WILL, THING, HURT, HG_HARM_HARASSMENT_THREATENING, 0.8, false},
    {KILL | YOU | I, WILL | MUST, THING | SELF, KILL, HG_HARM_HARASSMENT, 0.7, false},
    {HURT | YOU | I, WILL, THING, HURT, HG_HARM_HARASSMENT, 0.65, false},
    /* hate */
    {SLUR, 0, 0, 0, HG_HARM_HATE, 0.8, false},
    {GROUP | BEASTS, ARE | MUST, 0, BEASTS, HG_HARM_HATE, 0.85, false},
    {GROUP | INSULT | ARE, 0, 0, INSULT, HG_HARM_HATE, 0.7, false},
    {GROUP | PURGE, 0, 0, PURGE, HG_HARM_HATE, 0.85, false},
    {GROUP | PURGE, 0, 0, PURGE, HG_HARM_HATE_THREATENING, 0.85, false},
    {GROUP | PURGE, 0, 0, PURGE, HG_HARM_VIOLENCE, 0.7, false},
    {GROUP | KILL, MUST | WILL, 0, KILL, HG_HARM_HATE, 0.75, false},
    {GROUP | KILL, MUST | WILL, 0, KILL, HG_HARM_HATE_THREATENING, 0.8, false},
    /* self-harm */
    {SUICIDE, 0, 0, 0, HG_HARM_SELF_HARM, 0.6, false},
    {CUT | SELF, 0, 0, CUT, HG_HARM_SELF_HARM, 0.65, false},
    {KILL | SELF, 0, 0, KILL, HG_HARM_SELF_HARM, 0.8, false},
    {SUICIDE | I, WILL, HOW, 0, HG_HARM_SELF_HARM_INTENT, 0.8, false},
    {KILL | SELF | I, WILL, 0, KILL, HG_HARM_SELF_HARM_INTENT, 0.85, false},
    {SUICIDE | HOW, 0, 0, 0, HG_HARM_SELF_HARM_INSTRUCTIONS, 0.75, false},
    {SUICIDE | METHOD, 0, 0, 0, HG_HARM_SELF_HARM_INSTRUCTIONS, 0.75, false},
    {KILL | SELF | HOW, 0, 0, KILL, HG_HARM_SELF_HARM_INSTRUCTIONS, 0.8, false},
    /* sexual */
    {SEX, 0, CARE, 0, HG_HARM_SEXUAL, 0.6, false},
    {SEX | MINOR, 0, CARE, 0, HG_HARM_SEXUAL, 0.85, true},
    {SEX | MINOR, 0, CARE, 0, HG_HARM_SEXUAL_MINORS, 0.9, true},
    /* illicit */
    {MAKE | DRUG, 0, 0, MAKE, HG_HARM_ILLICIT, 0.7, false},
    {HOW | CRIME, 0, 0, CRIME, HG_HARM_ILLICIT, 0.7, false},
    {MAKE | WEAPON, 0, THING, MAKE, HG_HARM_ILLICIT, 0.75, false},
    {HOW | WEAPON, 0, THING, 0, HG_HARM_ILLICIT, 0.6, false},
    {MAKE | WEAPON, 0, THING, MAKE, HG_HARM_ILLICIT_VIOLENT, 0.75, false},
};

/* ---- words ---- */
typedef struct sentence {
    char word[MAX_WORDS][MAX_WORD];
    uint32_t ideas[MAX_WORDS];
    size_t n;
} sentence;

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (unsigned char)c >= 0x80;
}

/* Digits and signs among letters stand for letters. */
static void undo_signs(char *w)
{
    static const char from[] = "013457@$*_", to[] = "oieastas\0\0";
    bool has_letters = false;
    size_t n = 0;

    for (const char *p = w; *p != 0; p++) has_letters = has_letters || is_letter(*p);
    if (!has_letters) return;
    for (const char *p = w; *p != 0; p++) {
        const char *at = strchr(from, *p);
        const char c = at != NULL ? to[at - from] : *p;
        if (c != 0) w[n++] = c;
    }
    w[n] = 0;
}

/* Three and more of a letter in a row become `keep`. */
static void undo_stretch(char *out, const char *w, size_t keep)
{
    size_t n = 0;

    for (const char *p = w; *p != 0;) {
        size_t run = 1;
        while (p[run] == *p) run++;
        const size_t take = run >= 3 ? keep : run;
        for (size_t i = 0; i < take; i++) out[n++] = *p;
        p += run;
    }
    out[n] = 0;
}

static bool fits(const char *pattern, size_t n, const char *w)
{
    if (n > 0 && pattern[n - 1] == '*') return strncmp(w, pattern, n - 1) == 0;
    return strlen(w) == n && memcmp(w, pattern, n) == 0;
}

/* Whether the entry stands at word i; its words are in a row. */
static bool stands_at(const sentence *s, size_t i, const char *entry)
{
    for (; *entry != 0; i++) {
        const size_t n = strcspn(entry, " ");
        if (i >= s->n || !fits(entry, n, s->word[i])) return false;
        entry += n + (entry[n] == ' ');
    }
    return true;
}

static void look_up(sentence *s)
{
    for (size_t i = 0; i < s->n; i++)
        for (unsigned k = 0; k < moderation_n_words; k++) {
            const moderation_word *m = &moderation_words[k];
            if (m->text[0] == s->word[i][0] && stands_at(s, i, m->text)) s->ideas[i] |= m->ideas;
        }
}

/* Single letters in a row, four at the least, are one word. */
static void join_letters(sentence *s)
{
    size_t n = 0;

    for (size_t i = 0; i < s->n;) {
        size_t run = 0;
        while (i + run < s->n && strlen(s->word[i + run]) == 1 && run + 1 < MAX_WORD) run++;
        if (run < 4) {
            memmove(s->word[n++], s->word[i++], MAX_WORD);
            continue;
        }
        char joined[MAX_WORD] = "";
        for (size_t k = 0; k < run; k++) joined[k] = s->word[i + k][0];
        memcpy(s->word[n++], joined, MAX_WORD);
        i += run;
    }
    s->n = n;
}

/* ---- sentences ---- */
/* Whether a "not" stands up to four words before a word of the deed. */
static bool is_denied(const sentence *s, uint32_t deed)
{
    bool found = false;

    for (size_t i = 0; i < s->n; i++) {
        bool denied = false;
        if ((s->ideas[i] & deed) == 0) continue;
        for (size_t k = 1; k <= NOT_REACH && k <= i; k++)
            denied = denied || (s->ideas[i - k] & NOT) != 0;
        if (!denied) return false;
        found = true;
    }
    return found;
}

static void judge(const sentence *s, double score[HG_N_HARMS])
{
    uint32_t all = 0;

    for (size_t i = 0; i < s->n; i++) all |= s->ideas[i];
    for (size_t k = 0; k < sizeof rules / sizeof *rules; k++) {
        const rule *r = &rules[k];
        if ((all & r->needs) != r->needs || (r->any != 0 && (all & r->any) == 0) ||
            (all & r->without) != 0)
            continue;
        double v = r->score;
        if (is_denied(s, r->deed)) v *= DENIED;
        if ((all & APART) != 0 && !r->is_firm) v *= TOLD_OF;
        if (v > score[r->harm]) score[r->harm] = v;
    }
}

/* Stretched letters are read both ways: "kiiill" as kiill and as kill, "loooser" as looser, loser.
 */
static void judge_words(const sentence *whole, double score[HG_N_HARMS])
{
    sentence joined = *whole, *s = &joined;
    char read[MAX_WORD];

    join_letters(s);
    for (size_t keep = 1; keep <= 2; keep++) {
        sentence other = {.n = s->n};
        for (size_t i = 0; i < s->n; i++) {
            undo_stretch(read, s->word[i], keep);
            memcpy(other.word[i], read, sizeof read);
        }
        look_up(&other);
        judge(&other, score);
    }
}

/* A sentence that has no more room is judged, and goes on with its later half. */
static void add_word(sentence *s, const char *p, size_t n, double score[HG_N_HARMS])
{
    if (s->n == MAX_WORDS) {
        judge_words(s, score);
        s->n = MAX_WORDS / 2;
        memmove(s->word[0], s->word[MAX_WORDS / 2], sizeof s->word[0] * (MAX_WORDS / 2));
    }
    char *w = s->word[s->n];
    if (n >= MAX_WORD) n = MAX_WORD - 1;
    memcpy(w, p, n);
    w[n] = 0;
    undo_signs(w);
    if (w[0] != 0) s->n++;
}

/* French puts short words before an apostrophe: n'est is two, don't is one. */
static size_t word_end(const char *p, size_t n)
{
    if (n > 2 && p[1] == '\'' && strchr("cdjlmnst", p[0]) != NULL &&
        !(p[0] == 'l' && n >= 7 && memcmp(p, "l'amour", 7) == 0))
        return 2;
    return n;
}

static void split(sentence *s, const char *p, size_t n, double score[HG_N_HARMS])
{
    for (size_t i = 0; i < n;) {
        const char *at = p + i;
        size_t len = 0;
        while (i + len < n && at[len] != ' ' && at[len] != '-') len++;
        for (size_t done = 0; done < len;) {
            const size_t part = word_end(at + done, len - done);
            add_word(s, at + done, part, score);
            done += part;
        }
        i += len + 1;
    }
}

hg_status hg_lexicon_score(double score[HG_N_HARMS], hg_bytes text, hg_err *e)
{
    hg_buf b = {0};
    const hg_status r = hg_text_fold(&b, text, e);

    for (int i = 0; i < HG_N_HARMS; i++) score[i] = 0;
    for (size_t at = 0; r == HG_OK && at < b.n;) {
        sentence s = {.n = 0};
        size_t n = 0;
        /* A dot between letters joins them: k.i.l.l */
        while (at + n < b.n &&
               (strchr(".!?;\n", b.p[at + n]) == NULL ||
                (b.p[at + n] == '.' && at + n + 1 < b.n && is_letter(b.p[at + n + 1])))) {
            if (b.p[at + n] == '.') b.p[at + n] = ' ';
            n++;
        }
        split(&s, b.p + at, n, score);
        judge_words(&s, score);
        at += n + 1;
    }
    hg_buf_free(&b);
    return r;
}
