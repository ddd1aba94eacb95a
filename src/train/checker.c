/* A user's own checker: one process for each answer. What is to be checked comes from a model, so
 * the program may hang, eat memory or print anything; none of it may reach the run. The answer is
 * handed over in an unnamed file, so that neither side can block the other. */
#include "base/clock.h"
#include "base/file.h"
#include "text/json.h"
#include "train/reward.h"
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MAX_ARGS = 64, MAX_OUTPUT = 256, EXIT_NOT_RUN = 127 };

static bool put_question(FILE *f, const hg_answer *a)
{
    hg_buf b = {0};
    hg_json_out o;
    hg_json_out_init(&o, &b, 0);
    hg_json_begin(&o, NULL, '{');
    hg_json_bytes(&o, "prompt", a->prompt);
    hg_json_bytes(&o, "answer", a->text);
    hg_json_bytes(&o, "expected", a->expected);
    hg_json_end(&o);
    hg_buf_putc(&b, '\n');
    bool ok = hg_buf_status(&b, NULL) == HG_OK && fwrite(b.p, 1, b.n, f) == b.n && fflush(f) == 0;
    hg_buf_free(&b);
    return ok && lseek(fileno(f), 0, SEEK_SET) == 0;
}

static struct rlimit at_most(double value)
{
    return (struct rlimit){(rlim_t)value, (rlim_t)value};
}

/* In the child: nothing but calls that are safe behind a fork of many threads. */
static void become(char *const *argv, int in, int out, double seconds, double megabytes)
{
    const struct rlimit bytes = at_most(megabytes * 1048576), cpu = at_most(ceil(seconds) + 1),
                        core = at_most(0);
    sigset_t none;
    int null = open("/dev/null", O_WRONLY);
    (void)setpgid(0, 0);
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)signal(SIGPIPE, SIG_DFL);
    (void)dup2(in, 0);
    (void)dup2(out, 1);
    if (null >= 0) (void)dup2(null, 2);
    (void)setrlimit(RLIMIT_AS, &bytes);
    (void)setrlimit(RLIMIT_CPU, &cpu);
    (void)setrlimit(RLIMIT_CORE, &core);
    (void)execvp(argv[0], argv);
    _exit(EXIT_NOT_RUN);
}

/* Milliseconds until `end`, 0 at the least. */
static int left(double end)
{
    double ms = ceil((end - hg_seconds()) * 1000);
    return ms < 0 ? 0 : ms > 1e6 ? 1000000 : (int)ms;
}

/* What it prints until it closes its output, the first `cap` bytes of *n; false at the end of its
 * time. */
static bool read_output(int fd, char *text, size_t cap, size_t *n, double end)
{
    char more[512];
    *n = 0;
    for (;;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        int ready = poll(&p, 1, left(end));
        if (ready < 0 && errno == EINTR) continue;
        if (ready <= 0) return false;
        ssize_t k = read(fd, more, sizeof more);
        if (k < 0 && errno == EINTR) continue;
        if (k <= 0) return k == 0;
        size_t room = *n < cap ? cap - *n : 0, take = (size_t)k < room ? (size_t)k : room;
        if (take > 0) memcpy(text + *n, more, take);
        *n += (size_t)k;
    }
}

/* Waits until it has ended; false at the end of its time. */
static bool wait_for(pid_t pid, int *status, double end)
{
    const struct timespec nap = {0, 1000000};
    for (;;) {
        pid_t got = waitpid(pid, status, WNOHANG);
        if (got == pid) return true;
        if (got < 0 && errno != EINTR) return false;
        if (left(end) == 0) return false;
        (void)nanosleep(&nap, NULL);
    }
}

static bool parse(const char *name, char *text, size_t n, double *value, hg_err *e)
{
    char *end = text;
    bool whole = n <= MAX_OUTPUT;
    text[whole ? n : MAX_OUTPUT] = '\0';
    *value = strtod(text, &end);
    size_t k = strspn(end, " \t\r\n");
    if (whole && end != text && end[k] == '\0' && (size_t)(end - text) + k == n && isfinite(*value))
        return true;
    *value = 0;
    (void)hg_fail(e, HG_E_FORMAT, "the checker %s printed \"%.*s\", not a number", name,
                  (int)strcspn(text, "\n"), text);
    return false;
}

static bool judge(pid_t pid, int fd, const char *name, double seconds, double *value, hg_err *e)
{
    char text[MAX_OUTPUT + 1];
    int status = 0;
    size_t n = 0;
    double end = hg_seconds() + seconds;
    bool in_time = read_output(fd, text, MAX_OUTPUT, &n, end) && wait_for(pid, &status, end);
    (void)kill(-pid, SIGKILL); /* the group: what it has left behind too */
    if (!in_time) {
        (void)kill(pid, SIGKILL);
        (void)waitpid(pid, &status, 0);
        (void)hg_fail(e, HG_E_LIMIT, "the checker %s took longer than %g s", name, seconds);
        return false;
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return parse(name, text, n, value, e);
    if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_NOT_RUN)
        (void)hg_fail(e, HG_E_MISSING, "the checker %s cannot be run", name);
    else
        (void)hg_fail(e, HG_E_STATE, "the checker %s ended with %s %d", name,
                      WIFSIGNALED(status) ? "signal" : "exit code",
                      WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    return false;
}

static bool run(char *const *argv, FILE *question, double seconds, double megabytes, double *value,
                hg_err *e)
{
    int out[2];
    if (pipe(out) != 0) return hg_fail(e, HG_E_IO, "no pipe: %s", hg_os_error()) == HG_OK;
    for (int i = 0; i < 2; i++) (void)fcntl(out[i], F_SETFD, FD_CLOEXEC);
    (void)fcntl(fileno(question), F_SETFD, FD_CLOEXEC);
    pid_t pid = fork();
    if (pid == 0) become(argv, fileno(question), out[1], seconds, megabytes);
    (void)close(out[1]);
    bool ok = false;
    if (pid < 0) {
        (void)hg_fail(e, HG_E_IO, "no new process: %s", hg_os_error());
    } else {
        (void)setpgid(pid, pid); /* whoever comes first */
        ok = judge(pid, out[0], argv[0], seconds, value, e);
    }
    (void)close(out[0]);
    return ok;
}

bool hg_checker_run(const char *const *argv, size_t n, const hg_answer *a, double seconds,
                    double megabytes, double *value, hg_err *e)
{
    char *args[MAX_ARGS + 1];
    *value = 0;
    if (n == 0 || n > MAX_ARGS)
        return hg_fail(e, HG_E_ARG, "the checker needs 1 to %d words", MAX_ARGS) == HG_OK;
    for (size_t i = 0; i < n; i++) memcpy(&args[i], &argv[i], sizeof *args);
    args[n] = NULL;
    FILE *question = tmpfile();
    bool ok = question != NULL && put_question(question, a);
    if (!ok)
        (void)hg_fail(e, HG_E_IO, "cannot hand an answer to the checker: %s", hg_os_error());
    else
        ok = run(args, question, seconds, megabytes, value, e);
    if (question != NULL) (void)fclose(question);
    return ok;
}
