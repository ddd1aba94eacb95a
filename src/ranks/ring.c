/* Reduce-scatter and all-gather over a ring: each rank sends to the next and receives from the one
 * before, n - 1 times a part of the vector, so that every link carries (n - 1) / n of it whatever
 * n is (Patarasuk and Yuan 2009). A part goes in pieces, several in flight: while one is added, the
 * next ones travel. Pieces of float32 are sent from where they lie, and gathered to where they
 * belong; bfloat16 goes through buffers. */
#include "ranks/ranks_impl.h"
#include <string.h>

void hg_wire_pack(unsigned short *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t u;
        memcpy(&u, x + i, sizeof u);
        uint32_t nan = (u & 0x7fffffffu) > 0x7f800000u ? 0x400000u : 0; /* stays one when cut */
        uint32_t even = nan != 0 ? 0 : 0x7fffu + (u >> 16 & 1u);
        y[i] = (unsigned short)(((u | nan) + even) >> 16);
    }
}

void hg_wire_unpack(float *y, const unsigned short *x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t u = (uint32_t)x[i] << 16;
        memcpy(y + i, &u, sizeof u);
    }
}

typedef struct ring {
    hg_ranks *r;
    const hg_piece *piece;
    const size_t *border;
    hg_wire wire;
    bool adds;                                   /* reduce, or gather */
    size_t send_from, n_send, recv_from, n_recv; /* pieces of this round */
    int next, before;
} ring;

static size_t wire_bytes(const ring *g, const hg_piece *p)
{
    return p->n * (g->wire == HG_WIRE_BF16 ? sizeof(unsigned short) : sizeof(float));
}

static hg_status begin_send(const ring *g, size_t k, hg_err *e)
{
    const hg_piece *p = &g->piece[g->send_from + k];
    int slot = (int)(k % WINDOW);
    const void *from = p->p;
    if (k >= WINDOW) HG_TRY(hg_ranks_finish(g->r, slot, g->next, e));
    if (g->wire == HG_WIRE_BF16) {
        hg_wire_pack((unsigned short *)(void *)g->r->out[slot], p->p, p->n);
        from = g->r->out[slot];
    }
    return hg_ranks_begin_send(g->r, slot, from, wire_bytes(g, p), g->next, e);
}

static hg_status begin_receive(const ring *g, size_t k, hg_err *e)
{
    const hg_piece *p = &g->piece[g->recv_from + k];
    int slot = (int)(k % WINDOW);
    bool in_place = !g->adds && g->wire == HG_WIRE_F32;
    void *to = in_place ? p->p : g->r->in[slot];
    return hg_ranks_begin_receive(g->r, WINDOW + slot, to, wire_bytes(g, p), g->before, e);
}

static hg_status finish_receive(const ring *g, size_t k, hg_err *e)
{
    const hg_piece *p = &g->piece[g->recv_from + k];
    int slot = (int)(k % WINDOW);
    const float *in = g->r->in[slot];
    const unsigned short *half = (const unsigned short *)(const void *)in;
    HG_TRY(hg_ranks_finish(g->r, WINDOW + slot, g->before, e));
    if (g->adds && g->wire == HG_WIRE_F32)
        for (size_t i = 0; i < p->n; i++) p->p[i] += in[i];
    if (g->wire == HG_WIRE_F32) return HG_OK;
    if (!g->adds) {
        hg_wire_unpack(p->p, half, p->n);
        return HG_OK;
    }
    for (size_t at = 0; at < p->n; at += 256) {
        float x[256];
        size_t n = p->n - at < 256 ? p->n - at : 256;
        hg_wire_unpack(x, half + at, n);
        for (size_t i = 0; i < n; i++) p->p[at + i] += x[i];
    }
    return HG_OK;
}

/* One part out, one in. Every rank begins receive k before it waits for anything behind k, so that
 * the rank that is furthest back can always go on. */
static hg_status round_of(const ring *g, hg_err *e)
{
    size_t most = g->n_send > g->n_recv ? g->n_send : g->n_recv;
    for (size_t k = 0; k < most + WINDOW - 1; k++) {
        if (k < g->n_recv) HG_TRY(begin_receive(g, k, e));
        if (k < g->n_send) HG_TRY(begin_send(g, k, e));
        if (k >= WINDOW - 1 && k - (WINDOW - 1) < g->n_recv)
            HG_TRY(finish_receive(g, k - (WINDOW - 1), e));
    }
    size_t first = g->n_send > WINDOW ? g->n_send - WINDOW : 0;
    for (size_t k = first; k < g->n_send; k++)
        HG_TRY(hg_ranks_finish(g->r, (int)(k % WINDOW), g->next, e));
    return HG_OK;
}

/* In round i the part me - shift - i goes out and the one before it comes in. */
static hg_status go_round(ring *g, int shift, hg_err *e)
{
    int n = g->r->t.n, me = g->r->t.rank;
    g->next = (me + 1) % n;
    g->before = (me + n - 1) % n;
    for (int i = 0; i < n - 1; i++) {
        int out = (me - shift - i + 2 * n) % n, in = (out + n - 1) % n;
        g->send_from = g->border[out];
        g->n_send = g->border[out + 1] - g->border[out];
        g->recv_from = g->border[in];
        g->n_recv = g->border[in + 1] - g->border[in];
        HG_TRY(round_of(g, e));
    }
    return HG_OK;
}

hg_status hg_ranks_reduce(hg_ranks *r, const hg_piece *piece, const size_t *border, hg_wire wire,
                          hg_err *e)
{
    ring g = {.r = r, .piece = piece, .border = border, .wire = wire, .adds = true};
    return r == NULL ? HG_OK : go_round(&g, 1, e);
}

hg_status hg_ranks_gather(hg_ranks *r, const hg_piece *piece, const size_t *border, hg_wire wire,
                          hg_err *e)
{
    ring g = {.r = r, .piece = piece, .border = border, .wire = wire};
    if (r == NULL) return HG_OK;
    for (size_t k = border[r->t.rank]; wire == HG_WIRE_BF16 && k < border[r->t.rank + 1]; k++) {
        unsigned short *half = (unsigned short *)(void *)r->out[0];
        hg_wire_pack(half, piece[k].p, piece[k].n);
        hg_wire_unpack(piece[k].p, half, piece[k].n);
    }
    return go_round(&g, 0, e);
}
