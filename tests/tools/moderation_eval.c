/* moderation_eval FILE...: how well the lexicon does on sentences with labels (a category, or -, a
 * tab, the language, a tab, the sentence): of each category what was found and what was right, and
 * of harmless sentences how many were flagged. */
#include "serve/moderation/moderation.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct tally {
    int n, found, harmless, flagged; /* sentences of a category, found in it; harmless, flagged */
} tally;

static bool flags(const double *score)
{
    for (int h = 0; h < HG_N_HARMS; h++)
        if (score[h] >= hg_harm_threshold((hg_harm)h)) return true;
    return false;
}

static void show(const char *what, const char *text)
{
    printf("  %s: %s\n", what, text);
}

static void count(tally *t, const char *label, const char *text)
{
    double score[HG_N_HARMS];
    hg_err e;

    if (hg_lexicon_score(score, (hg_bytes){text, strlen(text)}, &e) != HG_OK) exit(1);
    if (strcmp(label, "-") == 0) {
        t->harmless++;
        if (!flags(score)) return;
        t->flagged++;
        show("flagged", text);
        return;
    }
    for (int h = 0; h < HG_N_HARMS; h++) {
        if (strcmp(hg_harm_name((hg_harm)h), label) != 0) continue;
        t->n++;
        if (score[h] >= hg_harm_threshold((hg_harm)h))
            t->found++;
        else
            show(label, text);
    }
}

static void measure(const char *path)
{
    FILE *f = fopen(path, "r");
    tally t = {0};
    char line[1024];

    if (f == NULL) exit(1);
    printf("%s, missed or flagged:\n", path);
    while (fgets(line, sizeof line, f) != NULL) {
        char *language = strchr(line, '\t'), *text = language ? strchr(language + 1, '\t') : NULL;
        if (text == NULL) continue;
        *language = 0;
        text[strcspn(text, "\n")] = 0;
        count(&t, line, text + 1);
    }
    (void)fclose(f);
    printf("recall %.2f (%d of %d), precision %.2f (%d of %d harmless sentences flagged)\n",
           (double)t.found / t.n, t.found, t.n, (double)t.found / (t.found + t.flagged), t.flagged,
           t.harmless);
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) measure(argv[i]);
    return argc > 1 ? 0 : 2;
}
