/* The transport over MPI, built once for each MPI that is found (Open MPI, MPICH) as a shared
 * object of its own, which the program loads when it is one of several ranks: so one program serves
 * both, and needs neither. Errors come back as texts, where MPI lets them. */
#include "ranks/transport.h"

#include <mpi.h>
#include <stdio.h>
#include <string.h>

typedef struct mpi_state {
    MPI_Comm comm;
    MPI_Request request[HG_N_SLOTS];
    char text[MPI_MAX_ERROR_STRING];
} mpi_state;

_Static_assert(sizeof(mpi_state) <= HG_TRANSPORT_ROOM, "the state must fit the room given");

enum { TAG = 7 };

static int tag_of(int slot)
{
    if (slot >= HG_BEAT_SLOTS) return TAG + 2;
    return slot >= HG_SMALL_SLOTS ? TAG + 1 : TAG;
}

static const char *told(mpi_state *s, int code)
{
    int n = 0;
    if (code == MPI_SUCCESS) return NULL;
    if (MPI_Error_string(code, s->text, &n) != MPI_SUCCESS)
        (void)snprintf(s->text, sizeof s->text, "MPI error %d", code);
    return s->text;
}

static const char *mpi_send(void *ctx, int slot, const void *p, size_t n, int to)
{
    mpi_state *s = ctx;
    return told(s, MPI_Isend(p, (int)n, MPI_BYTE, to, tag_of(slot), s->comm, &s->request[slot]));
}

static const char *mpi_receive(void *ctx, int slot, void *p, size_t n, int from)
{
    mpi_state *s = ctx;
    return told(s, MPI_Irecv(p, (int)n, MPI_BYTE, from, tag_of(slot), s->comm, &s->request[slot]));
}

static const char *mpi_test(void *ctx, int slot, bool *done)
{
    mpi_state *s = ctx;
    int flag = 0, code = MPI_Test(&s->request[slot], &flag, MPI_STATUS_IGNORE);
    *done = flag != 0;
    return told(s, code);
}

static void mpi_abort(void *ctx)
{
    const mpi_state *s = ctx;
    (void)MPI_Abort(s->comm, 1);
}

static void mpi_close(void *ctx)
{
    mpi_state *s = ctx;
    for (int i = HG_BEAT_SLOTS; i < HG_N_SLOTS; i++) {
        if (s->request[i] == MPI_REQUEST_NULL) continue;
        (void)MPI_Cancel(&s->request[i]);
        (void)MPI_Request_free(&s->request[i]);
    }
    (void)MPI_Comm_free(&s->comm);
    (void)MPI_Finalize();
}

/* "Open MPI v4.1.4, package: ..." to "Open MPI 4.1.4"; "MPICH Version:      4.0.2\n..." alike. */
static void name_library(char out[64])
{
    char text[MPI_MAX_LIBRARY_VERSION_STRING];
    int n = 0;
    if (MPI_Get_library_version(text, &n) != MPI_SUCCESS) n = 0;
    text[n] = '\0';
    const char *digit = text + strcspn(text, "0123456789");
#ifdef OPEN_MPI
    (void)snprintf(out, 64, "Open MPI %.*s", (int)strspn(digit, "0123456789."), digit);
#else
    (void)snprintf(out, 64, "MPICH %.*s", (int)strspn(digit, "0123456789."), digit);
#endif
}

static int count_local(const mpi_state *s)
{
    MPI_Comm local;
    int n = 1;
    if (MPI_Comm_split_type(s->comm, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &local) != MPI_SUCCESS)
        return 1;
    (void)MPI_Comm_size(local, &n);
    (void)MPI_Comm_free(&local);
    return n;
}

__attribute__((visibility("default"))) const char *hg_transport_open(hg_transport *out, void *room);

const char *hg_transport_open(hg_transport *out, void *room)
{
    int level = 0;
    mpi_state *s = room;
    if (MPI_Init_thread(NULL, NULL, MPI_THREAD_SERIALIZED, &level) != MPI_SUCCESS)
        return "MPI does not start";
    if (level < MPI_THREAD_SERIALIZED) return "this MPI takes calls from one thread only";
    if (MPI_Comm_dup(MPI_COMM_WORLD, &s->comm) != MPI_SUCCESS) return "MPI gives no communicator";
    (void)MPI_Comm_set_errhandler(s->comm, MPI_ERRORS_RETURN);
    for (int i = 0; i < HG_N_SLOTS; i++) s->request[i] = MPI_REQUEST_NULL;
    *out = (hg_transport){.ctx = s,
                          .version = HG_TRANSPORT_VERSION,
                          .n_local = count_local(s),
                          .send = mpi_send,
                          .receive = mpi_receive,
                          .test = mpi_test,
                          .abort = mpi_abort,
                          .close = mpi_close};
    (void)MPI_Comm_rank(s->comm, &out->rank);
    (void)MPI_Comm_size(s->comm, &out->n);
    name_library(out->name);
    return NULL;
}
