/* llama.cpp beside ours: the program of tests/peer, held open over a model and given jobs by line.
 * A peer that is not there makes every time NAN. */
#ifndef HG_BENCH_PEER_H
#define HG_BENCH_PEER_H

#include <fcntl.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct peer {
    pid_t pid;
    FILE *to, *from;
} peer;

/* The peer's program, as bench/run.sh built it; NULL when there is none. */
static inline const char *peer_program(void)
{
    const char *path = getenv("HG_PEER_LLAMA");
    return path != NULL && path[0] != '\0' ? path : NULL;
}

enum { PEER_MAX_ARGS = 16 };

/* Starts `argv` with its standard input and output at the given ends; -1: as ours. */
static inline pid_t peer_spawn(const char *const *argv, int in, int out)
{
    char *args[PEER_MAX_ARGS + 1] = {0};
    for (int i = 0; i < PEER_MAX_ARGS && argv[i] != NULL; i++) args[i] = strdup(argv[i]);
    const pid_t pid = fork();
    if (pid == 0) {
        if (in >= 0) (void)dup2(in, 0);
        if (out >= 0) (void)dup2(out, 1);
        (void)execv(args[0], args);
        _exit(127);
    }
    for (int i = 0; i < PEER_MAX_ARGS; i++) free(args[i]);
    return pid;
}

static inline void peer_close(peer *p)
{
    if (p->to != NULL) (void)fclose(p->to);
    if (p->from != NULL) (void)fclose(p->from);
    if (p->pid > 0) (void)waitpid(p->pid, NULL, 0);
    *p = (peer){0};
}

/* Opens `model`; `threads` and `seqs` as tests/peer/llama.c takes them. */
static inline void peer_open(peer *p, const char *model, int threads, int seqs, int ctx)
{
    int to[2], from[2];
    char t[32], s[32], c[32], line[64];
    *p = (peer){0};
    if (peer_program() == NULL || pipe(to) != 0 || pipe(from) != 0) return;
    (void)snprintf(t, sizeof t, "threads=%d", threads);
    (void)snprintf(s, sizeof s, "seqs=%d", seqs);
    (void)snprintf(c, sizeof c, "ctx=%d", ctx);
    /* The child must not hold the writing end of its own input. */
    (void)fcntl(to[1], F_SETFD, FD_CLOEXEC);
    (void)fcntl(from[0], F_SETFD, FD_CLOEXEC);
    p->pid =
        peer_spawn((const char *[]){peer_program(), "time", model, t, s, c, NULL}, to[0], from[1]);
    (void)close(to[0]);
    (void)close(from[1]);
    p->to = fdopen(to[1], "w");
    p->from = fdopen(from[0], "r");
    if (p->from == NULL || p->to == NULL || fgets(line, sizeof line, p->from) == NULL)
        peer_close(p);
}

/* Seconds of a job ("prefill 512"), or NAN. */
static inline double peer_time(peer *p, const char *job)
{
    char line[64];
    if (p->from == NULL) return (double)NAN;
    if (fprintf(p->to, "%s\n", job) < 0 || fflush(p->to) != 0 ||
        fgets(line, sizeof line, p->from) == NULL) {
        fprintf(stderr, "the peer ended at \"%s\"\n", job);
        peer_close(p);
        return (double)NAN;
    }
    return strtod(line, NULL);
}

/* Runs a whole process: its seconds, and the memory it held at the most. */
static inline double peer_whole(const char *const *argv, double *peak_bytes)
{
    int status = 0;
    struct rusage u;
    FILE *null = fopen("/dev/null", "w");
    if (null == NULL) return (double)NAN;
    const double start = hg_seconds();
    const pid_t pid = peer_spawn(argv, -1, fileno(null));
    const bool ok = pid > 0 && wait4(pid, &status, 0, &u) == pid && status == 0;
    const double took = hg_seconds() - start;
    (void)fclose(null);
    if (peak_bytes != NULL) *peak_bytes = (double)u.ru_maxrss * 1024;
    return ok ? took : (double)NAN;
}

#endif
