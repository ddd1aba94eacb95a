/* What carries messages between ranks: point to point, in the order they were begun for each pair
 * and channel.
 * MPI is one (mpi.c, a shared object of its own, so that the program needs no MPI), threads of one
 * process another (tests/harness/hub.c). */
#ifndef HG_RANKS_TRANSPORT_H
#define HG_RANKS_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>

enum { HG_SMALL_SLOTS = 16, HG_BEAT_SLOTS = 18, HG_N_SLOTS = 20, HG_TRANSPORT_VERSION = 3 };

/* Messages in flight have a slot 0 .. HG_N_SLOTS-1 of the caller's choice. Slots from
 * HG_SMALL_SLOTS on are a channel of their own, so that small messages may pass while long vectors
 * are on their way, and those from HG_BEAT_SLOTS on a third one, on which messages may be on their
 * way at close. Calls come from any thread, one at a time. Functions that give a
 * text give NULL when all is well, else what went wrong, which lives until the next call. */
typedef struct hg_transport {
    void *ctx;
    int version, rank, n, n_local; /* version: HG_TRANSPORT_VERSION */
    char name[64];
    const char *(*send)(void *ctx, int slot, const void *p, size_t n, int to);
    const char *(*receive)(void *ctx, int slot, void *p, size_t n, int from);
    const char *(*test)(void *ctx, int slot, bool *done); /* also makes progress */
    void (*abort)(void *ctx);
    void (*close)(void *ctx);
} hg_transport;

/* The one symbol of a plug-in, HG_TRANSPORT_SYMBOL. `room` [HG_TRANSPORT_ROOM], zeros, is the
 * plug-in's until close. */
enum { HG_TRANSPORT_ROOM = 4096 };
typedef const char *hg_transport_open_fn(hg_transport *out, void *room);
#define HG_TRANSPORT_SYMBOL "hg_transport_open"

#endif
