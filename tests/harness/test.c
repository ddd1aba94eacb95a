/* The runner of the tests' harness: see test.h. Arguments: words that the names of the cases to run
 * must contain; --list. */
#include "harness/test.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { EXIT_SKIPPED = 77, EXIT_FAILED = 1 };

static test_case *cases;
static char folder[PATH_MAX];
static char reason_file[PATH_MAX];

void test_register(test_case *t)
{
    test_case **at = &cases;
    while (*at != NULL && (strcmp((*at)->file, t->file) < 0 ||
                           (strcmp((*at)->file, t->file) == 0 && (*at)->line < t->line)))
        at = &(*at)->next;
    t->next = *at;
    *at = t;
}

void test_fail(const char *file, int line, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    printf("  %s:%d: ", file, line);
    vprintf(fmt, ap);
    printf("\n");
    va_end(ap);
    fflush(stdout);
    _exit(EXIT_FAILED);
}

void test_skip(const char *fmt, ...)
{
    FILE *f = fopen(reason_file, "w");
    if (f != NULL) {
        va_list ap;
        va_start(ap, fmt);
        vfprintf(f, fmt, ap);
        va_end(ap);
        fclose(f);
    }
    fflush(stdout);
    _exit(EXIT_SKIPPED);
}

void test_check_str(const char *file, int line, const char *what, const char *a, const char *b)
{
    if (a == NULL || strcmp(a, b) != 0)
        test_fail(file, line, "%s is \"%s\", not \"%s\"", what, a == NULL ? "(null)" : a, b);
}

void test_check_has(const char *file, int line, const char *what, const char *a, const char *part)
{
    if (a == NULL || strstr(a, part) == NULL)
        test_fail(file, line, "%s is \"%s\", without \"%s\"", what, a == NULL ? "(null)" : a, part);
}

const char *test_folder(void)
{
    return folder;
}

/* Paths handed out live until the case's process ends. No heap: a case may be one that lets the
 * heap fail. */
static char paths[1 << 16];
static size_t paths_used;

static char *join(const char *a, const char *b)
{
    size_t n = strlen(a) + strlen(b) + 2;
    /* A path that was handed out before is handed out again. */
    for (char *p = paths; p < paths + paths_used; p += strlen(p) + 1)
        if (strlen(p) == n - 1 && strncmp(p, a, strlen(a)) == 0 &&
            strcmp(p + strlen(a) + 1, b) == 0)
            return p;
    if (n > sizeof paths - paths_used)
        test_fail(__FILE__, __LINE__, "no room for the path %s/%s", a, b);
    char *p = paths + paths_used;
    snprintf(p, n, "%s/%s", a, b);
    paths_used += n;
    return p;
}

const char *test_path(const char *name)
{
    return join(folder, name);
}

const char *test_data(const char *name)
{
    const char *root = getenv("HG_TEST_DATA");
    if (root == NULL) root = "../shared/data";
    char *p = join(root, name);
    if (access(p, R_OK) != 0) test_skip("needs the data file %s", name);
    return p;
}

static void remove_tree(const char *path)
{
    struct stat st;
    if (lstat(path, &st) != 0) return;
    if (S_ISDIR(st.st_mode)) {
        DIR *d = opendir(path);
        if (d != NULL) {
            for (struct dirent *de = readdir(d); de != NULL; de = readdir(d)) {
                if (strcmp(de->d_name, ".") == 0 || strcmp(de->d_name, "..") == 0) continue;
                char sub[PATH_MAX];
                if (snprintf(sub, sizeof sub, "%s/%s", path, de->d_name) < (int)sizeof sub)
                    remove_tree(sub);
            }
            closedir(d);
        }
        (void)rmdir(path);
    } else {
        (void)unlink(path);
    }
}

static void make_folder(void)
{
    const char *tmp = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/higgins-test-XXXXXX", tmp == NULL ? "/tmp" : tmp);
    if (mkdtemp(folder) == NULL) {
        perror(folder);
        exit(2);
    }
    if (snprintf(reason_file, sizeof reason_file, "%s.reason", folder) >= (int)sizeof reason_file)
        exit(2);
}

/* Seconds that a case may take: as it says, times HG_TEST_PATIENCE where that is set, as it is
 * under what slows a program down. */
static unsigned limit_of(const test_case *t)
{
    const char *more = getenv("HG_TEST_PATIENCE");
    const long times = more != NULL ? strtol(more, NULL, 10) : 1;
    return (unsigned)t->seconds * (times >= 1 && times <= 100 ? (unsigned)times : 1);
}

/* 0 passed, 1 failed, 2 skipped */
static int run_case(const test_case *t)
{
    make_folder();
    fflush(stdout);
    struct timespec t0, t1;
    clock_gettime(CLOCK_MONOTONIC, &t0);
    pid_t pid = fork();
    if (pid == 0) {
        setpgid(0, 0);
        alarm(limit_of(t));
        t->run();
        fflush(stdout);
        /* exit, not _exit: the leak check of a sanitizer runs at exit */
        exit(0);
    }
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    (void)kill(-pid, SIGKILL); /* what the case may have left running */
    clock_gettime(CLOCK_MONOTONIC, &t1);
    double s = (double)(t1.tv_sec - t0.tv_sec) + 1e-9 * (double)(t1.tv_nsec - t0.tv_nsec);
    int result = 1;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
        result = 0;
        if (s > 5) printf("  slow: %s took %.1f s\n", t->name, s);
    } else if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SKIPPED) {
        result = 2;
        char reason[256] = "";
        FILE *f = fopen(reason_file, "r");
        if (f != NULL) {
            if (fgets(reason, sizeof reason, f) == NULL) reason[0] = '\0';
            fclose(f);
        }
        printf("skipped %s: %s\n", t->name, reason);
    } else if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM) {
        printf("FAILED %s: still running after %u s\n", t->name, limit_of(t));
    } else if (WIFSIGNALED(status)) {
        printf("FAILED %s: %s\n", t->name, strsignal(WTERMSIG(status)));
    } else {
        printf("FAILED %s\n", t->name);
    }
    (void)unlink(reason_file);
    remove_tree(folder);
    return result;
}

static bool is_wanted(const test_case *t, int argc, char **argv)
{
    if (argc < 2) return true;
    for (int i = 1; i < argc; i++)
        if (strstr(t->name, argv[i]) != NULL) return true;
    return false;
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--list") == 0) {
        for (const test_case *t = cases; t != NULL; t = t->next) printf("%s\n", t->name);
        return 0;
    }
    int count[3] = {0, 0, 0};
    for (const test_case *t = cases; t != NULL; t = t->next)
        if (is_wanted(t, argc, argv)) count[run_case(t)]++;
    printf("%d passed, %d failed, %d skipped\n", count[0], count[1], count[2]);
    return count[1] > 0 || count[0] + count[2] == 0;
}
