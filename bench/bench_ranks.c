/* Our rings against MPI's own collectives, over the ranks that mpirun gives: started alone it
 * starts itself on two. Both sides sum and gather the same vector in turns; the rate is the
 * vector's bytes a second. Ours is float32 unless a row says bf16. Arguments: MB of the vector
 * (500), repeats (5). */
#include "bench.h"
#include "ranks/ranks.h"

#include <mpi.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

enum { ALL, REDUCE, GATHER, ALL_BF16, N_OURS };

typedef struct work {
    hg_ranks *r;
    float *x;
    size_t n, *border;
    hg_piece *piece;
    hg_err e;
} work;

static void check(const work *w, hg_status s)
{
    if (s == HG_OK) return;
    fprintf(stderr, "bench_ranks: %s\n", w->e.msg);
    exit(1);
}

static void ours(work *w, int what)
{
    hg_wire wire = what == ALL_BF16 ? HG_WIRE_BF16 : HG_WIRE_F32;
    if (what != GATHER) check(w, hg_ranks_reduce(w->r, w->piece, w->border, wire, &w->e));
    if (what != REDUCE) check(w, hg_ranks_gather(w->r, w->piece, w->border, wire, &w->e));
}

static void theirs(work *w, int what)
{
    int n = hg_ranks_n(w->r), part = (int)(w->n / (size_t)n);
    if (what == ALL || what == ALL_BF16)
        (void)MPI_Allreduce(MPI_IN_PLACE, w->x, (int)w->n, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
    else if (what == REDUCE)
        (void)MPI_Reduce_scatter_block(MPI_IN_PLACE, w->x, part, MPI_FLOAT, MPI_SUM,
                                       MPI_COMM_WORLD);
    else
        (void)MPI_Allgather(MPI_IN_PLACE, 0, MPI_FLOAT, w->x, part, MPI_FLOAT, MPI_COMM_WORLD);
}

static double time_one(work *w, int what, bool is_ours)
{
    for (size_t i = 0; i < w->n; i++) w->x[i] = 1e-3f * (float)(i % 1000);
    check(w, hg_ranks_wait_for_all(w->r, &w->e));
    double start = hg_seconds();
    (is_ours ? ours : theirs)(w, what);
    check(w, hg_ranks_wait_for_all(w->r, &w->e));
    return hg_seconds() - start;
}

static void measure(work *w, bench *b, int what, const char *name, double goal, size_t repeats)
{
    double seconds[2][BENCH_MAX_REPEATS];
    for (size_t i = 0; i <= repeats; i++)
        for (int side = 0; side < 2; side++) {
            double s = time_one(w, what, side == 0);
            if (i > 0) seconds[side][i - 1] = s;
        }
    double gb = (double)w->n * 4 / 1e9;
    bench_row row = {.name = name, .unit = "GB/s", .limit = (double)NAN, .goal = goal};
    row.ours = gb / bench_median(seconds[0], repeats);
    row.peer = gb / bench_median(seconds[1], repeats);
    if (hg_ranks_me(w->r) == 0) bench_add(b, row);
}

/* Whole pieces for each rank, so that MPI's collectives of equal parts can take the same. */
static void lay_out(work *w, size_t mb)
{
    size_t n = (size_t)hg_ranks_n(w->r);
    size_t each = mb * 1000000 / 4 / HG_PIECE / n + 1, pieces = each * n;
    w->n = pieces * HG_PIECE;
    w->x = malloc(w->n * sizeof *w->x);
    w->piece = malloc(pieces * sizeof *w->piece);
    w->border = malloc((n + 1) * sizeof *w->border);
    if (w->x == NULL || w->piece == NULL || w->border == NULL) exit(1);
    for (size_t k = 0; k < pieces; k++) w->piece[k] = (hg_piece){w->x + k * HG_PIECE, HG_PIECE};
    for (size_t i = 0; i <= n; i++) w->border[i] = each * i;
}

static void open_ranks(work *w, const char *program)
{
    char path[1200];
    hg_ranks_options o;
    hg_ranks_options_init(&o);
    const char *slash = strrchr(program, '/');
    (void)snprintf(path, sizeof path, "%.*s/../higgins-openmpi.so",
                   (int)(slash != NULL ? slash - program : 1), slash != NULL ? program : ".");
    o.plugin = path;
    check(w, hg_ranks_open(&w->r, &o, &w->e));
    (void)hg_ranks_cores(w->r);
}

int main(int argc, char **argv)
{
    bench b = {.name = "ranks"};
    work w = {.n = 0};
    size_t mb = argc > 1 ? strtoul(argv[1], NULL, 10) : 500;
    size_t repeats = argc > 2 ? strtoul(argv[2], NULL, 10) : 5;
    if (repeats < 1 || repeats > BENCH_MAX_REPEATS || mb < 1) return 2;
    if (getenv("OMPI_COMM_WORLD_SIZE") == NULL) {
        char self[1024];
        ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
        self[n > 0 ? n : 0] = '\0';
        execlp("mpirun.openmpi", "mpirun.openmpi", "--allow-run-as-root", "--bind-to", "none",
               "-np", "2", self, argc > 1 ? argv[1] : "500", argc > 2 ? argv[2] : "5",
               (char *)NULL);
        fprintf(stderr, "bench_ranks: no mpirun.openmpi here\n");
        return 1;
    }
    open_ranks(&w, argv[0]);
    lay_out(&w, mb);
    measure(&w, &b, ALL, "reduce and gather", 2, repeats);
    measure(&w, &b, REDUCE, "reduce", 1, repeats);
    measure(&w, &b, GATHER, "gather", 0.8, repeats);
    measure(&w, &b, ALL_BF16, "reduce and gather, bf16", 2, repeats);
    if (hg_ranks_me(w.r) == 0) bench_end(&b);
    free(w.x);
    free(w.piece);
    free(w.border);
    hg_ranks_close(w.r);
    return 0;
}
