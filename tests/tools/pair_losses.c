/* Losses of preferences and their derivatives, for scripts that compare them with another
 * implementation.
 *
 *   pair_losses METHOD BETA SMOOTHING LAMBDA GOOD BAD < pairs > losses
 *
 * METHOD is hg_method's number; of GRPO's a row is a token: advantage, log p, old, reference, and
 * BETA and SMOOTHING are the weight of KL and the clip. A pair is 7 doubles: log p of both answers,
 * those of the reference, both lengths, the label. Writes loss and both derivatives, 3 doubles a
 * pair. */
#include "train/pair_loss.h"
#include <stdio.h>
#include <stdlib.h>

enum { MAX_PAIRS = 4096 };

int main(int argc, char **argv)
{
    static hg_pair pair[MAX_PAIRS];
    double in[7];
    size_t n = 0;
    if (argc != 7) {
        (void)fprintf(stderr, "pair_losses METHOD BETA SMOOTHING LAMBDA GOOD BAD\n");
        return 2;
    }
    const hg_pair_options o = {.method = (hg_method)atoi(argv[1]),
                               .beta = strtod(argv[2], NULL),
                               .smoothing = strtod(argv[3], NULL),
                               .orpo = strtod(argv[4], NULL),
                               .kto_good = strtod(argv[5], NULL),
                               .kto_bad = strtod(argv[6], NULL)};
    for (; n < MAX_PAIRS && fread(in, sizeof in, 1, stdin) == 1; n++)
        pair[n] = (hg_pair){{in[0], in[1]}, {in[2], in[3]}, {in[4], in[5]}, in[6] > 0};
    double z = 0; /* of KTO: the second answers are those of other prompts */
    for (size_t i = 0; i < n; i++) z += (pair[i].logp[1] - pair[i].ref[1]) / (double)n;
    if (z < 0) z = 0;
    for (size_t i = 0; i < n && o.method == HG_METHOD_GRPO; i++) {
        const hg_pair *p = &pair[i];
        const hg_token_loss l =
            hg_token_loss_of(p->logp[0], p->logp[1], p->ref[0], p->ref[1], o.smoothing, o.beta);
        const double out[] = {l.loss, l.by, l.kl};
        if (fwrite(out, sizeof out, 1, stdout) != 1) return 1;
    }
    if (o.method == HG_METHOD_GRPO) return 0;
    for (size_t i = 0; i < n; i++) {
        const hg_pair_loss l = hg_pair_loss_of(&o, &pair[i], z);
        const double out[] = {l.loss, l.by[0], l.by[1]};
        if (fwrite(out, sizeof out, 1, stdout) != 1) return 1;
    }
    return 0;
}
