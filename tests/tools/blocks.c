/* Quantised blocks for scripts that compare them with another implementation.
 *
 *   blocks to_f32 TYPE N < blocks > floats      N values of float32 from blocks of a type
 *   blocks from_f32 TYPE ROWS COLS [w] < floats > blocks    with w the COLS floats of their weights
 *                                               come first
 *   blocks type_size TYPE                       elements and bytes of a block */
#include "kernels/quant.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static hg_type type_of(const char *name)
{
    for (int t = 0; t < HG_N_TYPES; t++)
        if (strcmp(hg_type_name((hg_type)t), name) == 0) return (hg_type)t;
    (void)fprintf(stderr, "blocks: no type %s\n", name);
    exit(2);
}

static int to_f32(hg_type t, size_t n)
{
    size_t size = hg_type_bytes(t, n);
    void *from = malloc(size);
    float *to = malloc(n * sizeof *to);
    bool ok = from != NULL && to != NULL && fread(from, 1, size, stdin) == size;
    if (ok) hg_blocks_to_f32(to, from, t, n);
    ok = ok && fwrite(to, sizeof *to, n, stdout) == n;
    free(from);
    free(to);
    return ok ? 0 : 1;
}

static float *read_floats(size_t n)
{
    float *x = malloc((n + 1) * sizeof *x);
    if (x != NULL && fread(x, sizeof *x, n, stdin) == n) return x;
    free(x);
    return NULL;
}

static int from_f32(hg_type t, size_t rows, size_t cols, bool is_weighted)
{
    float *w = is_weighted ? read_floats(cols) : NULL, *x = read_floats(rows * cols);
    size_t size = hg_type_bytes(t, cols);
    char *to = malloc(size);
    bool ok = x != NULL && to != NULL && (w != NULL || !is_weighted);
    for (size_t r = 0; r < rows && ok; r++) {
        hg_f32_to_blocks(to, x + r * cols, w, t, cols);
        ok = fwrite(to, 1, size, stdout) == size;
    }
    free(w);
    free(x);
    free(to);
    return ok ? 0 : 1;
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "to_f32") == 0)
        return to_f32(type_of(argv[2]), strtoull(argv[3], NULL, 10));
    if (argc >= 5 && strcmp(argv[1], "from_f32") == 0)
        return from_f32(type_of(argv[2]), strtoull(argv[3], NULL, 10), strtoull(argv[4], NULL, 10),
                        argc > 5);
    if (argc == 3 && strcmp(argv[1], "type_size") == 0) {
        hg_type t = type_of(argv[2]);
        return printf("%zu %zu\n", hg_type_block(t), hg_type_block_size(t)) > 0 ? 0 : 1;
    }
    (void)fprintf(stderr, "blocks to_f32 TYPE N | from_f32 TYPE ROWS COLS [w] | type_size TYPE\n");
    return 2;
}
