/* llm.c as a peer: built over its train_gpt2.c, which is not part of this tree (bench/run.sh does
 * so when HG_LLMC names its folder).
 *
 *   llmc LAYERS WIDTH VOCABULARY ROWS TOKENS
 *       random weights; takes a step for each line that it reads and prints the step's seconds
 *   llmc losses CHECKPOINT BATCHES ROWS TOKENS RATE BETA2
 *       starts from a checkpoint in llm.c's form and prints the loss of each step; BATCHES holds
 *       int32 ids [ROWS][TOKENS] and then targets [ROWS][TOKENS] for each step
 */
#define TESTING /* leaves llm.c's own main out */
#include "train_gpt2.c"

enum { HEADER = 256, FOR_GPT2 = 20240326, VERSION = 3 };

static float uniform(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (float)((double)(*state >> 40) / 16777216.0 - 0.5);
}

/* A checkpoint of random weights in a file without a name, which llm.c then reads. */
static void build_random(GPT2 *m, int layers, int width, int vocab, int tokens)
{
    int header[HEADER] = {FOR_GPT2, VERSION,    tokens, vocab,
                          layers,   width / 64, width,  (vocab + 127) / 128 * 128};
    size_t sizes[NUM_PARAMETER_TENSORS], n = 0;
    char path[64];
    uint64_t state = 1;
    FILE *f = tmpfile();

    if (f == NULL) exit(1);
    m->config = (GPT2Config){.max_seq_len = tokens,
                             .vocab_size = vocab,
                             .num_layers = layers,
                             .num_heads = header[5],
                             .channels = width,
                             .padded_vocab_size = header[7]};
    fill_in_parameter_sizes(sizes, m->config);
    for (size_t i = 0; i < NUM_PARAMETER_TENSORS; i++) n += sizes[i];
    int ok = fwrite(header, sizeof *header, HEADER, f) == HEADER;
    for (size_t i = 0; i < n && ok; i++) {
        const float v = 0.04F * uniform(&state);
        ok = fwrite(&v, sizeof v, 1, f) == 1;
    }
    if (!ok || fflush(f) != 0) exit(1);
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fileno(f));
    gpt2_build_from_checkpoint(m, path);
    (void)fclose(f);
}

static void take_step(GPT2 *m, int *ids, int *targets, size_t rows, size_t tokens, float rate,
                      float beta2, int t)
{
    gpt2_forward(m, ids, targets, rows, tokens);
    gpt2_zero_grad(m);
    gpt2_backward(m);
    gpt2_update(m, rate, 0.9F, beta2, 1e-8F, 0.0F, t);
}

static double seconds_now(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void tell_times(GPT2 *m, size_t rows, size_t tokens, FILE *out)
{
    const size_t n = rows * tokens;
    int *ids = mallocCheck(n * sizeof *ids), *targets = mallocCheck(n * sizeof *targets);
    uint64_t state = 2;
    char line[256];

    for (int t = 1; fgets(line, sizeof line, stdin) != NULL; t++) {
        for (size_t i = 0; i < n; i++) {
            ids[i] = (int)((uniform(&state) + 0.5F) * (float)(m->config.vocab_size - 1));
            targets[i] = (int)((uniform(&state) + 0.5F) * (float)(m->config.vocab_size - 1));
        }
        const double start = seconds_now();
        take_step(m, ids, targets, rows, tokens, 1e-4F, 0.999F, t);
        (void)fprintf(out, "%.6f\n", seconds_now() - start);
        (void)fflush(out);
    }
    free(ids);
    free(targets);
}

static void tell_losses(GPT2 *m, const char *path, size_t rows, size_t tokens, float rate,
                        float beta2, FILE *out)
{
    const size_t n = rows * tokens;
    int *both = mallocCheck(2 * n * sizeof *both);
    FILE *f = fopenCheck(path, "rb");

    for (int t = 1; fread(both, sizeof *both, 2 * n, f) == 2 * n; t++) {
        take_step(m, both, both + n, rows, tokens, rate, beta2, t);
        (void)fprintf(out, "%.8g\n", m->mean_loss);
        (void)fflush(out);
    }
    (void)fclose(f);
    free(both);
}

int main(int argc, char **argv)
{
    GPT2 m = {0};
    /* llm.c talks on standard output while it builds. */
    FILE *out = fdopen(dup(1), "w");

    if (out == NULL || dup2(2, 1) < 0) return 1;
    if (argc == 6) {
        const size_t rows = strtoul(argv[4], NULL, 10), tokens = strtoul(argv[5], NULL, 10);
        build_random(&m, atoi(argv[1]), atoi(argv[2]), atoi(argv[3]), (int)tokens);
        tell_times(&m, rows, tokens, out);
    } else if (argc == 8 && strcmp(argv[1], "losses") == 0) {
        gpt2_build_from_checkpoint(&m, argv[2]);
        tell_losses(&m, argv[3], strtoul(argv[4], NULL, 10), strtoul(argv[5], NULL, 10),
                    strtof(argv[6], NULL), strtof(argv[7], NULL), out);
    } else {
        (void)fprintf(stderr, "llmc LAYERS WIDTH VOCABULARY ROWS TOKENS, or losses CHECKPOINT "
                              "BATCHES ROWS TOKENS RATE BETA2\n");
        return 2;
    }
    return fclose(out) == 0 ? 0 : 1;
}
