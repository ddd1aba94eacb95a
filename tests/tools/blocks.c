/* Quantised blocks for scripts that compare them with another implementation.
 *
 *   blocks to_f32 TYPE N < blocks > floats      N values of float32 from blocks of a type
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

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "to_f32") == 0)
        return to_f32(type_of(argv[2]), strtoull(argv[3], NULL, 10));
    if (argc == 3 && strcmp(argv[1], "type_size") == 0) {
        hg_type t = type_of(argv[2]);
        return printf("%zu %zu\n", hg_type_block(t), hg_type_block_size(t)) > 0 ? 0 : 1;
    }
    (void)fprintf(stderr, "blocks to_f32 TYPE N | type_size TYPE\n");
    return 2;
}
