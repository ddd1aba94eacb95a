/* One line a request, as JSON for programs or as text for people; each is written by one call, so
 * that lines of several requests never mix. */
#include "access_log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { MAX_BODY = 4096, MAX_LINE = 64 * 1024 };

static void now(char out[40])
{
    struct timespec t;
    struct tm tm;
    char whole[32];

    (void)clock_gettime(CLOCK_REALTIME, &t);
    (void)gmtime_r(&t.tv_sec, &tm);
    (void)strftime(whole, sizeof whole, "%Y-%m-%dT%H:%M:%S", &tm);
    (void)snprintf(out, 40, "%s.%03uZ", whole, (unsigned)(t.tv_nsec / 1000000) % 1000);
}

/* What stands in a string of JSON; bytes beyond ASCII stay as they are. */
static size_t put_quoted(char *out, size_t at, const char *p, size_t n)
{
    static const char hex[] = "0123456789abcdef";

    out[at++] = '"';
    for (size_t i = 0; i < n && at + 8 < MAX_LINE; i++) {
        const unsigned char c = (unsigned char)p[i];
        if (c == '"' || c == '\\') {
            out[at++] = '\\';
            out[at++] = (char)c;
        } else if (c < 0x20 || c == 0x7f) {
            memcpy(out + at, "\\u00", 4);
            out[at + 4] = hex[c >> 4];
            out[at + 5] = hex[c & 15];
            at += 6;
        } else {
            out[at++] = (char)c;
        }
    }
    out[at++] = '"';
    return at;
}

static size_t put_member(char *out, size_t at, const char *key, const char *value, size_t n)
{
    at += (size_t)snprintf(out + at, MAX_LINE - at, ", \"%s\": ", key);
    return put_quoted(out, at, value, n);
}

static void write_line(const char *line, size_t n)
{
    ssize_t r = write(STDERR_FILENO, line, n);
    (void)r; /* there is nobody to tell */
}

static void log_json(void *ctx, const hg_request_record *r)
{
    char time[40], *line = malloc(MAX_LINE);
    const size_t body = r->body.n < MAX_BODY ? r->body.n : MAX_BODY;

    (void)ctx;
    if (line == NULL) return;
    now(time);
    size_t at = (size_t)snprintf(line, MAX_LINE, "{\"time\": \"%s\", \"status\": %d, \"ms\": %.1f",
                                 time, r->status, 1000 * r->seconds);
    at = put_member(line, at, "method", r->method, strlen(r->method));
    at = put_member(line, at, "path", r->path, strlen(r->path));
    at = put_member(line, at, "owner", r->owner, strlen(r->owner));
    if (r->model[0] != '\0') at = put_member(line, at, "model", r->model, strlen(r->model));
    at += (size_t)snprintf(
        line + at, MAX_LINE - at,
        ", \"prompt_tokens\": %llu, \"completion_tokens\": %llu, \"cut_off\": %s",
        (unsigned long long)r->n_prompt_tokens, (unsigned long long)r->n_completion_tokens,
        r->is_cut_off ? "true" : "false");
    at = put_member(line, at, "id", r->id, strlen(r->id));
    if (body > 0) at = put_member(line, at, "body", r->body.p, body);
    at += (size_t)snprintf(line + at, MAX_LINE - at, "}\n");
    write_line(line, at);
    free(line);
}

static void log_text(void *ctx, const hg_request_record *r)
{
    char time[40], line[2048], path[512];

    (void)ctx;
    now(time);
    (void)snprintf(path, sizeof path, "%.500s", r->path);
    for (char *c = path; *c != '\0'; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f) *c = '?';
    const int n = snprintf(
        line, sizeof line, "%s %d %s %s %.0f ms, %s%s%s, %llu + %llu tokens, %s%s\n", time,
        r->status, r->method, path, 1000 * r->seconds, r->owner[0] != '\0' ? r->owner : "-",
        r->model[0] != '\0' ? ", " : "", r->model, (unsigned long long)r->n_prompt_tokens,
        (unsigned long long)r->n_completion_tokens, r->id, r->is_cut_off ? ", cut off" : "");
    write_line(line, n < (int)sizeof line ? (size_t)n : sizeof line - 1);
}

bool access_log_set_up(hg_server_options *o, const char *format)
{
    if (format == NULL || strcmp(format, "none") == 0) return true;
    o->on_request = strcmp(format, "json") == 0 ? log_json : log_text;
    return strcmp(format, "json") == 0 || strcmp(format, "text") == 0;
}

void service_notify(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    const size_t n = path != NULL ? strlen(path) : 0;

    if (n < 2 || n >= sizeof to.sun_path || (path[0] != '/' && path[0] != '@')) return;
    memcpy(to.sun_path, path, n);
    if (path[0] == '@') to.sun_path[0] = '\0'; /* an abstract name */
    const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return;
    (void)sendto(fd, state, strlen(state), MSG_NOSIGNAL, (const struct sockaddr *)&to,
                 (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n));
    (void)close(fd);
}
