/* What every part of Higgins shares: how a call fails, how long work is watched and stopped.
 *
 * Everything that can fail returns an hg_status and takes an hg_err last, which may be NULL. On
 * failure the error holds one sentence: where, what is wrong, what would be right. The library
 * never exits, aborts, prints or reads the terminal or the environment. */
#ifndef HIGGINS_BASE_H
#define HIGGINS_BASE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define HG_API __attribute__((visibility("default")))
#define HG_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define HG_VERSION "0.1.0"

typedef enum hg_status {
    HG_OK = 0,
    HG_E_IO,       /* the system refused: cannot read, write, connect */
    HG_E_FORMAT,   /* malformed bytes */
    HG_E_LIMIT,    /* well formed, but over a stated limit */
    HG_E_NOMEM,    /* no room */
    HG_E_ARG,      /* the caller's options make no sense */
    HG_E_STATE,    /* not now: busy, closed, already there */
    HG_E_MISSING,  /* named thing does not exist */
    HG_E_CANCELED, /* stopped because the caller's watch asked for it */
    HG_E_UNSUPPORTED,
    HG_E_FULL /* the disk, or what one may take of it, is full: cannot write */
} hg_status;

typedef struct hg_err {
    hg_status status;
    char msg[512]; /* one sentence, UTF-8, no newline, NUL-terminated */
} hg_err;

/* Writes the sentence and returns `status`, so that `return hg_fail(e, ...)` reads as one step. `e`
 * may be NULL. Text over the limit is cut at a character boundary. */
HG_API hg_status hg_fail(hg_err *e, hg_status status, const char *fmt, ...) HG_PRINTF(3, 4);

/* "ok", "io", "format" ...: a stable word for a status, for JSON and logs. */
HG_API const char *hg_status_name(hg_status status);

/* Hands a failure on to the caller. */
#define HG_TRY(call)                          \
    do {                                      \
        hg_status hg_try_ = (call);           \
        if (hg_try_ != HG_OK) return hg_try_; \
    } while (0)

/* Bytes that somebody else owns. Not NUL-terminated. */
typedef struct hg_bytes {
    const char *p;
    size_t n;
} hg_bytes;

typedef enum hg_level { HG_DEBUG, HG_INFO, HG_WARN } hg_level;

/* How far a long piece of work has come. total is 0 when it is not known. */
typedef struct hg_progress {
    const char *stage; /* "reading", "training": a word or two */
    const char *unit;  /* of done and total: "documents", "tokens", "bytes" */
    const char *note;  /* what else belongs on the line ("loss 3.21"), or NULL */
    double done, total;
} hg_progress;

/* How a caller watches long work. Any member may be NULL; a NULL hg_watch watches nothing. The
 * functions are called from the thread that called the library, often: they throttle themselves. */
typedef struct hg_watch {
    void (*progress)(void *ctx, const hg_progress *p);
    void (*log)(void *ctx, hg_level level, const char *line);
    const atomic_bool
        *stop; /* set it (from a signal handler too) to stop the work at its next safe point */
    void *ctx;
} hg_watch;

HG_API void hg_watch_progress(const hg_watch *w, const hg_progress *p);
HG_API void hg_watch_log(const hg_watch *w, hg_level level, const char *fmt, ...) HG_PRINTF(3, 4);
HG_API bool hg_watch_stopped(const hg_watch *w);

#ifdef __cplusplus
}
#endif
#endif
