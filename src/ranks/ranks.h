/* Several processes: who am I, how many are we, messages, and the rings.
 *
 * All but send and receive are called by every rank, in the same order, with the same counts. With
 * r NULL (a process alone) they do nothing and give HG_OK. Any of them gives HG_E_IO when another
 * rank is lost. What another rank computes is waited for as long as that one shows that it lives.
 */
#ifndef HG_RANKS_RANKS_H
#define HG_RANKS_RANKS_H

#include <higgins/ranks.h>
#include "ranks/transport.h"

/* Takes the transport over, closes it on failure too. */
hg_status hg_ranks_new(hg_ranks **out, const hg_transport *t, const hg_ranks_options *o, hg_err *e);

/* x [n] becomes its sum over the ranks, added in the order of the ranks: the same bits everywhere.
 */
hg_status hg_ranks_sum(hg_ranks *r, double *x, size_t n, hg_err *e);
/* Rank 0's bytes, everywhere. */
hg_status hg_ranks_share(hg_ranks *r, void *p, size_t n, hg_err *e);
hg_status hg_ranks_wait_for_all(hg_ranks *r, hg_err *e);
hg_status hg_ranks_send(hg_ranks *r, const void *p, size_t n, int to, hg_err *e);
hg_status hg_ranks_receive(hg_ranks *r, void *p, size_t n, int from, hg_err *e);

/* What this rank shows of long work: rank 0 all, the others nothing; all listen to its stop. */
const hg_watch *hg_ranks_watch(const hg_ranks *r, const hg_watch *w, hg_watch *room);

/* ---- rings: a long vector that lies in pieces ---- */

enum { HG_PIECE = 1 << 16 }; /* floats of a piece at the most */
typedef struct hg_piece {
    float *p;
    size_t n;
} hg_piece;

/* bf16: half the bytes, each value rounded to nearest even before it is sent. */
typedef enum hg_wire { HG_WIRE_F32, HG_WIRE_BF16 } hg_wire;

/* Pieces [border[i], border[i + 1]) are rank i's part; border [n + 1]. Afterwards each rank's own
 * part holds the sum over all ranks (the other parts hold what was summed so far). The order of
 * each sum follows from n and the borders: ranks i+1, i+2, ... i for rank i's part. */
hg_status hg_ranks_reduce(hg_ranks *r, const hg_piece *piece, const size_t *border, hg_wire wire,
                          hg_err *e);
/* Each rank's own part comes to all. With bf16 the owner's values are rounded as well, so that all
 * ranks hold the same bits. */
hg_status hg_ranks_gather(hg_ranks *r, const hg_piece *piece, const size_t *border, hg_wire wire,
                          hg_err *e);

/* y = x rounded to bfloat16, and back. */
void hg_wire_pack(unsigned short *y, const float *x, size_t n);
void hg_wire_unpack(float *y, const unsigned short *x, size_t n);

#endif
