/* Checkpoint files: header, the run's state, the recipe's text, then weights, first moments, second
 * moments (of parameters that have them) and running average (where there is one) as float32 in the
 * order of the parameters, and a checksum of it all. They are written
 * beside their place and renamed, so a kill leaves the one before; the checksum is for disks and
 * copies that lie. */
#include "train/checkpoint.h"
#include "base/hash.h"
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char magic[8] = "HGCHECK";

enum { PIECE = 1 << 14 };

/* Offsets in the header; the state lies behind. */
enum {
    AT_VERSION = 8,
    AT_STATE_SIZE = 12,
    AT_MOMENTS = 16,
    AT_RECIPE = 24,
    AT_SUM = 32,
    AT_SECONDS = 40,
    AT_AVERAGE = 48,
    AT_STATE = 64
};
_Static_assert(AT_STATE + sizeof(hg_run_state) <= HG_CHECKPOINT_HEADER,
               "the state must fit the header");

/* ---- writing ---- */

/* The body is summed in pieces of one size wherever its parts meet, so that reading needs to know
 * nothing of them. */
typedef struct sink {
    hg_writer *w;
    uint64_t sum;
    size_t n;
    char piece[PIECE];
} sink;

static hg_status flush(sink *s, hg_err *e)
{
    size_t n = s->n;
    s->sum = hg_hash64(s->piece, n, s->sum);
    s->n = 0;
    return hg_writer_put(s->w, s->piece, n, e);
}

static hg_status put(sink *s, const void *p, size_t n, hg_err *e)
{
    const char *from = p;
    while (n > 0) {
        size_t part = PIECE - s->n < n ? PIECE - s->n : n;
        memcpy(s->piece + s->n, from, part);
        s->n += part;
        from += part;
        n -= part;
        if (s->n == PIECE) HG_TRY(flush(s, e));
    }
    return HG_OK;
}

static hg_status put_recipe(sink *s, hg_bytes recipe, hg_err *e)
{
    static const char zero[64] = {0};
    HG_TRY(put(s, recipe.p, recipe.n, e));
    return recipe.n % 64 == 0 ? HG_OK : put(s, zero, 64 - recipe.n % 64, e);
}

/* The body's arrays, in the file's order. */
enum { WEIGHTS, FIRST, SECOND, AVERAGE, N_ARRAYS };

static bool has(const hg_optim *o, int array, const hg_optim_chunk *k)
{
    if (array == SECOND) return k->second != SIZE_MAX;
    return array != AVERAGE || o->average != NULL;
}

static const float *values(const hg_optim *o, int array, const hg_optim_chunk *k)
{
    if (array == WEIGHTS) return hg_optim_weights(o, k);
    if (array == FIRST) return hg_optim_m(o, k);
    return array == SECOND ? hg_optim_v(o, k) : hg_optim_average(o, k);
}

/* Rank 0 writes; a chunk that another rank owns comes from there, one at a time. */
static hg_status put_arrays(sink *s, const hg_optim *o, float *room, hg_err *e)
{
    for (int array = 0; array < N_ARRAYS; array++)
        for (size_t c = 0; c < o->n_chunks; c++) {
            const hg_optim_chunk *k = &o->chunks[c];
            if (!has(o, array, k)) continue;
            const float *x = k->owner == 0 ? values(o, array, k) : room;
            if (k->owner > 0)
                HG_TRY(hg_ranks_receive(o->ranks, room, k->n * sizeof *x, k->owner, e));
            HG_TRY(put(s, x, k->n * sizeof *x, e));
        }
    return HG_OK;
}

/* The other ranks' side of it. */
static hg_status send_arrays(const hg_optim *o, hg_err *e)
{
    for (int array = 0; array < N_ARRAYS; array++)
        for (size_t i = 0; i < o->n_own; i++) {
            const hg_optim_chunk *k = &o->chunks[o->own[i]];
            if (!has(o, array, k)) continue;
            HG_TRY(hg_ranks_send(o->ranks, values(o, array, k), k->n * sizeof(float), 0, e));
        }
    return HG_OK;
}

static hg_status put_body(sink *s, const hg_optim *o, hg_err *e)
{
    float *room = o->ranks == NULL ? NULL : hg_alloc(HG_PIECE, sizeof *room);
    if (o->ranks != NULL && room == NULL)
        return hg_fail(e, HG_E_NOMEM, "no room for a piece of a checkpoint");
    hg_status status = put_arrays(s, o, room, e);
    hg_free(room);
    return status;
}

static hg_status put_all(hg_writer *w, const hg_run_state *state, hg_bytes recipe,
                         const hg_optim *o, hg_err *e)
{
    unsigned char h[HG_CHECKPOINT_HEADER] = {0};
    const uint32_t version = HG_CHECKPOINT_VERSION, state_size = sizeof *state;
    const uint64_t n_moments = o->n_moments, n_recipe = recipe.n, n_seconds = o->n_seconds;
    const uint64_t n_average = o->average != NULL ? n_moments : 0;
    sink s = {.w = w};
    memcpy(h, magic, sizeof magic);
    memcpy(h + AT_VERSION, &version, 4);
    memcpy(h + AT_STATE_SIZE, &state_size, 4);
    memcpy(h + AT_MOMENTS, &n_moments, 8);
    memcpy(h + AT_RECIPE, &n_recipe, 8);
    memcpy(h + AT_SECONDS, &n_seconds, 8);
    memcpy(h + AT_AVERAGE, &n_average, 8);
    memcpy(h + AT_STATE, state, sizeof *state);
    s.sum = hg_hash64(h, sizeof h, 0);
    HG_TRY(hg_writer_put(w, h, sizeof h, e));
    HG_TRY(put_recipe(&s, recipe, e));
    HG_TRY(put_body(&s, o, e));
    HG_TRY(flush(&s, e));
    memcpy(h + AT_SUM, &s.sum, 8);
    HG_TRY(hg_writer_seek(w, 0, e));
    return hg_writer_put(w, h, sizeof h, e);
}

/* ---- the folder ---- */

/* The step in "step-000000120.hgc"; false for any other name. */
static bool step_of(const char *name, uint64_t *step)
{
    char *end = NULL;
    if (strncmp(name, "step-", 5) != 0 || name[5] < '0' || name[5] > '9') return false;
    *step = strtoull(name + 5, &end, 10);
    return strcmp(end, ".hgc") == 0;
}

/* The oldest checkpoint up to step `newest` that is no milestone, and how many of any kind up to
 * `newest` are newer than it; false when there is none. */
static bool find_oldest(const char *folder, uint64_t newest, uint64_t every, uint64_t *oldest,
                        uint64_t *n_newer)
{
    *oldest = UINT64_MAX;
    *n_newer = 0;
    for (int pass = 0; pass < 2; pass++) {
        DIR *d = opendir(folder);
        if (d == NULL) return false;
        for (const struct dirent *f = readdir(d); f != NULL; f = readdir(d)) {
            uint64_t step = 0;
            if (!step_of(f->d_name, &step) || step > newest) continue;
            if (pass == 1)
                *n_newer += step > *oldest;
            else if (step < *oldest && (every == 0 || step % every != 0))
                *oldest = step;
        }
        (void)closedir(d);
    }
    return *oldest != UINT64_MAX;
}

/* Removes what the policy does not keep; later steps stay: a resumed run may have gone back. */
static void rotate(const char *folder, uint64_t newest, hg_retention keep)
{
    uint64_t oldest, n_newer;
    char path[1100];
    while (find_oldest(folder, newest, keep.every, &oldest, &n_newer) && n_newer >= keep.newest) {
        (void)snprintf(path, sizeof path, "%.1000s/step-%09llu.hgc", folder,
                       (unsigned long long)oldest);
        if (unlink(path) != 0) return;
    }
}

/* What a kill in mid-write left: as large as a checkpoint, and nobody's. */
static void remove_leftovers(const char *folder)
{
    char path[1400];
    DIR *d = opendir(folder);
    if (d == NULL) return;
    for (const struct dirent *f = readdir(d); f != NULL; f = readdir(d)) {
        if (strncmp(f->d_name, "step-", 5) != 0 || strstr(f->d_name, ".hgc.tmp-") == NULL) continue;
        (void)snprintf(path, sizeof path, "%s/%s", folder, f->d_name);
        (void)unlink(path);
    }
    (void)closedir(d);
}

bool hg_checkpoint_newest(const char *folder, char path[1100])
{
    uint64_t newest = 0;
    bool found = false;
    DIR *d = opendir(folder);
    if (d == NULL) return false;
    for (const struct dirent *f = readdir(d); f != NULL; f = readdir(d)) {
        uint64_t step = 0;
        if (!step_of(f->d_name, &step) || (found && step < newest)) continue;
        newest = step;
        found = true;
        (void)snprintf(path, 1100, "%s/%.64s", folder, f->d_name);
    }
    (void)closedir(d);
    return found;
}

hg_status hg_checkpoint_write(const char *folder, const hg_run_state *state, hg_bytes recipe,
                              const hg_optim *o, hg_retention keep, hg_err *e)
{
    char path[1100];
    hg_writer *w = NULL;
    if (hg_ranks_me(o->ranks) != 0) return send_arrays(o, e);
    HG_TRY(hg_mkdirs(folder, e));
    remove_leftovers(folder);
    (void)snprintf(path, sizeof path, "%.1000s/step-%09llu.hgc", folder,
                   (unsigned long long)state->step);
    HG_TRY(hg_writer_open(&w, path, e));
    hg_status s = put_all(w, state, recipe, o, e);
    if (s != HG_OK) {
        hg_writer_abort(w);
        return s;
    }
    HG_TRY(hg_writer_commit(w, e));
    rotate(folder, state->step, keep);
    return HG_OK;
}

/* ---- reading ---- */

static uint64_t get_u64(const unsigned char *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

/* The sum as the writer made it; the header's own place for it counts as zeros. */
static uint64_t sum_of(const unsigned char *p, size_t n)
{
    unsigned char h[HG_CHECKPOINT_HEADER];
    memcpy(h, p, sizeof h);
    memset(h + AT_SUM, 0, 8);
    uint64_t sum = hg_hash64(h, sizeof h, 0);
    for (size_t at = HG_CHECKPOINT_HEADER; at < n; at += PIECE)
        sum = hg_hash64(p + at, n - at < PIECE ? n - at : PIECE, sum);
    /* The writer's last piece is empty when the body fills its pieces. */
    return (n - HG_CHECKPOINT_HEADER) % PIECE == 0 ? hg_hash64(p, 0, sum) : sum;
}

hg_status hg_checkpoint_parse(hg_checkpoint *c, const unsigned char *p, size_t n, const char *name,
                              hg_err *e)
{
    uint32_t version = 0, state_size = 0;
    memset(c, 0, sizeof *c);
    if (n < HG_CHECKPOINT_HEADER || memcmp(p, magic, sizeof magic) != 0)
        return hg_fail(e, HG_E_FORMAT, "%s: not a checkpoint of Higgins", name);
    memcpy(&version, p + AT_VERSION, 4);
    memcpy(&state_size, p + AT_STATE_SIZE, 4);
    if (version != HG_CHECKPOINT_VERSION || state_size != sizeof c->state)
        return hg_fail(e, HG_E_FORMAT,
                       "%s: a checkpoint of version %u; this program reads version %d", name,
                       version, HG_CHECKPOINT_VERSION);
    uint64_t n_recipe = get_u64(p + AT_RECIPE), most = n / 8;
    c->n_moments = get_u64(p + AT_MOMENTS);
    c->n_seconds = get_u64(p + AT_SECONDS);
    c->n_average = get_u64(p + AT_AVERAGE);
    if (c->n_moments > most || c->n_seconds > c->n_moments || c->n_average > c->n_moments ||
        n_recipe > HG_CHECKPOINT_MAX_RECIPE || n_recipe > n)
        return hg_fail(e, HG_E_FORMAT,
                       "%s: %zu bytes cannot hold what its header claims; it is cut off or damaged",
                       name, n);
    size_t weights = HG_CHECKPOINT_HEADER + ((size_t)n_recipe + 63) / 64 * 64;
    size_t values = (size_t)(2 * c->n_moments + c->n_seconds + c->n_average);
    if (n != weights + values * 4)
        return hg_fail(e, HG_E_FORMAT,
                       "%s: %zu bytes long, its header asks for %zu; it is cut off or damaged",
                       name, n, weights + values * 4);
    memcpy(&c->state, p + AT_STATE, sizeof c->state);
    c->recipe = (hg_bytes){(const char *)p + HG_CHECKPOINT_HEADER, (size_t)n_recipe};
    c->weights = p + weights;
    c->m = c->weights + c->n_moments * 4;
    c->v = c->m + c->n_moments * 4;
    c->average = c->v + c->n_seconds * 4;
    return HG_OK;
}

/* Damage is looked for here and not in parse: it costs a pass over the file, and parse must be
 * cheap to fuzz. */
hg_status hg_checkpoint_open(hg_checkpoint *out, const char *path, hg_err *e)
{
    hg_map map = {0};
    memset(out, 0, sizeof *out);
    HG_TRY(hg_map_open(&map, path, e));
    hg_status s = hg_checkpoint_parse(out, map.p, map.n, path, e);
    out->map = map;
    if (s == HG_OK && sum_of(map.p, map.n) != get_u64(map.p + AT_SUM))
        s = hg_fail(e, HG_E_FORMAT,
                    "%s: its checksum is wrong; remove it to go on from the one before", path);
    if (s != HG_OK) hg_checkpoint_close(out);
    return s;
}

void hg_checkpoint_close(hg_checkpoint *c)
{
    if (c->map.p != NULL) hg_map_close(&c->map);
    memset(c, 0, sizeof *c);
}

hg_status hg_checkpoint_restore(const hg_checkpoint *c, hg_optim *o, const char *name, hg_err *e)
{
    uint64_t n_average = o->average != NULL ? o->n_moments : 0;
    if (c->n_moments != o->n_moments || c->n_seconds != o->n_seconds || c->n_average != n_average)
        return hg_fail(e, HG_E_FORMAT,
                       "%s: holds %llu parameters with %llu second moments and %llu averages, the "
                       "run has %zu, %zu and %llu",
                       name, (unsigned long long)c->n_moments, (unsigned long long)c->n_seconds,
                       (unsigned long long)c->n_average, o->n_moments, o->n_seconds,
                       (unsigned long long)n_average);
    for (size_t i = 0; i < o->n_chunks; i++) {
        const hg_optim_chunk *k = &o->chunks[i];
        memcpy((float *)k->param->data + k->at, c->weights + k->moment * 4, k->n * sizeof(float));
    }
    for (size_t i = 0; i < o->n_own; i++) {
        const hg_optim_chunk *k = &o->chunks[o->own[i]];
        const size_t n = k->n * sizeof(float);
        memcpy(hg_optim_m(o, k), c->m + k->moment * 4, n);
        if (k->second != SIZE_MAX) memcpy(hg_optim_v(o, k), c->v + k->second * 4, n);
        if (o->average != NULL) memcpy(hg_optim_average(o, k), c->average + k->moment * 4, n);
    }
    hg_optim_settle(o);
    o->updates = c->state.updates;
    return HG_OK;
}
