/* See fake.h. */
#include "fake.h"
#include "harness/test.h"
#include "base/clock.h"

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <arpa/inet.h>
#include <unistd.h>

enum { MAX_JOBS = 256, MAX_TEXT = 4096 };

typedef struct job {
    hg_job id; /* 0: free */
    hg_request r;
    char text[MAX_TEXT], stop[64];
    size_t n_text, at;
    bool canceled;
} job;

struct fake {
    pthread_mutex_t lock;
    pthread_t thread;
    job jobs[MAX_JOBS];
    hg_job next;
    uint32_t n_canceled, n_refused;
    int delay_us;
    bool closing;
    hg_sampling last;
    char last_prompt[MAX_TEXT];
};

static bool begins(const job *j, const char *word)
{
    return strncmp(j->text, word, strlen(word)) == 0;
}

static void end(fake *f, job *j, hg_bytes text, hg_finish how, const char *error)
{
    hg_usage u = {.prompt_tokens = (uint32_t)j->r.n_prompt, .completion_tokens = (uint32_t)j->at};
    hg_request r = j->r;

    if (begins(j, "STARVE")) u.status = HG_E_NOMEM;
    if (how == HG_FINISH_CANCELED) f->n_canceled++;
    j->id = 0;
    r.on_text(r.ctx, text, how, &u, error);
}

static void step(fake *f, job *j)
{
    static char flood[4096];
    size_t rest = j->n_text - j->at;

    const bool is_asked = j->r.cancel != NULL && atomic_load(j->r.cancel);
    if (f->closing || j->canceled || is_asked) {
        end(f, j, (hg_bytes){"", 0}, HG_FINISH_CANCELED, "");
    } else if (begins(j, "FAIL") || begins(j, "STARVE") || (begins(j, "BREAK") && j->at == 3)) {
        end(f, j, (hg_bytes){"", 0}, HG_FINISH_ERROR, "the fake model broke");
    } else if (begins(j, "FLOOD")) {
        memset(flood, 'x', sizeof flood);
        j->r.on_text(j->r.ctx, (hg_bytes){flood, sizeof flood}, HG_FINISH_NONE, NULL, "");
    } else if (begins(j, "FOREVER")) {
        j->r.on_text(j->r.ctx, (hg_bytes){"x", 1}, HG_FINISH_NONE, NULL, "");
    } else if (rest == 0 ||
               (j->stop[0] != 0 && strncmp(j->text + j->at, j->stop, strlen(j->stop)) == 0)) {
        end(f, j, (hg_bytes){"", 0}, HG_FINISH_STOP, "");
    } else if (j->r.max_tokens != 0 && j->at == j->r.max_tokens) {
        end(f, j, (hg_bytes){"", 0}, HG_FINISH_LENGTH, "");
    } else {
        j->at++;
        j->r.on_text(j->r.ctx, (hg_bytes){j->text + j->at - 1, 1}, HG_FINISH_NONE, NULL, "");
    }
}

static void *run(void *ctx)
{
    fake *f = ctx;

    for (bool closing = false; !closing;) {
        (void)pthread_mutex_lock(&f->lock);
        closing = f->closing;
        for (int i = 0; i < MAX_JOBS; i++) {
            if (f->jobs[i].id != 0) step(f, &f->jobs[i]);
        }
        int us = f->delay_us;
        (void)pthread_mutex_unlock(&f->lock);
        (void)usleep((useconds_t)us);
    }
    return NULL;
}

static hg_status encode(void *ctx, hg_bytes text, hg_ids *out, hg_err *e)
{
    (void)ctx;
    for (size_t i = 0; i < text.n; i++) HG_TRY(hg_ids_push(out, (unsigned char)text.p[i], e));
    return HG_OK;
}

static hg_status render(void *ctx, const hg_message *m, size_t n, hg_ids *out, hg_err *e)
{
    for (size_t i = 0; i < n; i++) HG_TRY(encode(ctx, m[i].content, out, e));
    return HG_OK;
}

static hg_status submit(void *ctx, const hg_request *r, hg_job *out, hg_err *e)
{
    fake *f = ctx;
    job *j = NULL;

    (void)pthread_mutex_lock(&f->lock);
    for (int i = 0; i < MAX_JOBS && j == NULL; i++) {
        if (f->jobs[i].id == 0) j = &f->jobs[i];
    }
    memset(j, 0, sizeof *j);
    j->r = *r;
    for (size_t i = 0; i < r->n_prompt && i + 1 < MAX_TEXT; i++)
        j->text[j->n_text++] = (char)r->prompt[i];
    if (r->n_stop > 0) (void)snprintf(j->stop, sizeof j->stop, "%s", r->stop[0]);
    f->last = r->sampling;
    memcpy(f->last_prompt, j->text, sizeof j->text);
    bool refuse = begins(j, "REFUSE");
    f->n_refused += refuse;
    if (!refuse) *out = j->id = ++f->next;
    (void)pthread_mutex_unlock(&f->lock);
    return refuse ? hg_fail(e, HG_E_STATE, "64 requests are waiting; try again") : HG_OK;
}

static void cancel(void *ctx, hg_job id)
{
    fake *f = ctx;

    (void)pthread_mutex_lock(&f->lock);
    for (int i = 0; i < MAX_JOBS; i++) {
        if (f->jobs[i].id == id) f->jobs[i].canceled = true;
    }
    (void)pthread_mutex_unlock(&f->lock);
}

static void stop(void *ctx)
{
    fake *f = ctx;

    (void)pthread_mutex_lock(&f->lock);
    f->closing = true;
    (void)pthread_mutex_unlock(&f->lock);
    (void)pthread_join(f->thread, NULL);
    (void)pthread_mutex_destroy(&f->lock);
    free(f);
}

fake *fake_new(void)
{
    fake *f = calloc(1, sizeof *f);

    (void)pthread_mutex_init(&f->lock, NULL);
    f->delay_us = 500;
    CHECK(pthread_create(&f->thread, NULL, run, f) == 0);
    return f;
}

void fake_add(fake *f, hg_server *s, const char *id, uint32_t n_ctx)
{
    hg_err e = {0};
    hg_backend b = {.created = 1,
                    .n_ctx = n_ctx,
                    .n_vocab = 256,
                    .encode = encode,
                    .render = render,
                    .submit = submit,
                    .cancel = cancel,
                    .free = stop,
                    .ctx = f};

    (void)snprintf(b.id, sizeof b.id, "%s", id);
    CHECK_OK(hg_server_add_backend(s, &b, &e), e);
}

uint32_t fake_running(fake *f)
{
    uint32_t n = 0;

    (void)pthread_mutex_lock(&f->lock);
    for (int i = 0; i < MAX_JOBS; i++) n += f->jobs[i].id != 0;
    (void)pthread_mutex_unlock(&f->lock);
    return n;
}

uint32_t fake_canceled(fake *f)
{
    (void)pthread_mutex_lock(&f->lock);
    uint32_t n = f->n_canceled;
    (void)pthread_mutex_unlock(&f->lock);
    return n;
}

uint32_t fake_refused(fake *f)
{
    (void)pthread_mutex_lock(&f->lock);
    uint32_t n = f->n_refused;
    (void)pthread_mutex_unlock(&f->lock);
    return n;
}

hg_sampling fake_last_sampling(fake *f)
{
    (void)pthread_mutex_lock(&f->lock);
    hg_sampling s = f->last;
    (void)pthread_mutex_unlock(&f->lock);
    return s;
}

void fake_last_prompt(fake *f, char *out, size_t size)
{
    (void)pthread_mutex_lock(&f->lock);
    (void)snprintf(out, size, "%s", f->last_prompt);
    (void)pthread_mutex_unlock(&f->lock);
}

void fake_set_delay(fake *f, int us)
{
    (void)pthread_mutex_lock(&f->lock);
    f->delay_us = us;
    (void)pthread_mutex_unlock(&f->lock);
}

/* ---- a raw client ---- */
int raw_connect(const hg_server *s)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const char *colon = strrchr(hg_server_url(s), ':');
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    a.sin_port = htons((uint16_t)strtoul(colon + 1, NULL, 10));
    CHECK(fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof a) == 0);
    return fd;
}

void raw_send(int fd, const char *text, size_t n)
{
    while (n > 0) {
        ssize_t k = send(fd, text, n, MSG_NOSIGNAL);
        if (k <= 0) return; /* refused in the middle: what counts is the answer */
        text += k;
        n -= (size_t)k;
    }
}

/* Answers live until the case, which is a process, ends. */
static struct kept {
    struct kept *next;
    char *text;
} * kept;

static char *keep(char *text)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* cases ask from several threads */
    struct kept *k = malloc(sizeof *k);

    (void)pthread_mutex_lock(&lock);
    *k = (struct kept){kept, text};
    kept = k;
    (void)pthread_mutex_unlock(&lock);
    return text;
}

char *raw_read(int fd, double seconds)
{
    double until = hg_seconds() + seconds;
    size_t n = 0, cap = 1 << 13;
    char *b = malloc(cap);

    for (;;) {
        struct pollfd p = {fd, POLLIN, 0};
        int left = (int)((until - hg_seconds()) * 1000);
        if (left <= 0 || poll(&p, 1, left) <= 0) break;
        if (n + 4096 > cap) b = realloc(b, cap *= 2);
        ssize_t k = recv(fd, b + n, 4095, 0);
        if (k <= 0) break;
        n += (size_t)k;
    }
    b[n] = 0;
    return keep(b);
}

char *raw_ask(const hg_server *s, const char *request)
{
    int fd = raw_connect(s);

    raw_send(fd, request, strlen(request));
    char *answer = raw_read(fd, 10);
    (void)close(fd);
    return answer;
}

char *raw_post(const hg_server *s, const char *path, const char *json)
{
    size_t size = strlen(json) + 512;
    char *request = malloc(size);

    (void)snprintf(request, size,
                   "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                   "Content-Length: %zu\r\n\r\n%s",
                   path, strlen(json), json);
    char *answer = raw_ask(s, request);
    free(request);
    return answer;
}

int raw_status(const char *answer)
{
    return strncmp(answer, "HTTP/1.1 ", 9) == 0 ? (int)strtol(answer + 9, NULL, 10) : 0;
}

const char *raw_body(const char *answer)
{
    const char *b = strstr(answer, "\r\n\r\n");

    return b != NULL ? b + 4 : "";
}

hg_server *fake_server(fake *f, const hg_http_options *http)
{
    hg_server_options o;
    hg_server *s = NULL;
    hg_err e = {0};

    hg_server_options_init(&o);
    o.port = 0;
    CHECK_OK(hg_server_new(&s, &o, &e), e);
    fake_add(f, s, "parrot", 256);
    CHECK_OK(hg_server_start_with(s, http, &e), e);
    return s;
}
