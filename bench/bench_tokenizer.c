/* Tokenizers on ten megabytes of English, one thread, beside npm's tiktoken (Rust, as WebAssembly)
 * and gpt-tokenizer (JavaScript): they take turns in one run, the medians count, and the number of
 * tokens must be the same. Then how long the files of large vocabularies take to open. */
#include "base/file.h"
#include "bench.h"
#include "token/token.h"

#include <fcntl.h>
#include <stdbool.h>
#include <string.h>

#include "peer.h"

enum { TEXT_BYTES = 10000000, REPEATS = 5, OPENS = 9 };
static const double GOAL_TIKTOKEN = 8, GOAL_GPT_TOKENIZER = 5, GOAL_OPEN_MS = 150;

typedef struct setting {
    char folder[2048], text_path[4096];
    hg_buf text;
    peer npm;
    bench b;
} setting;

/* ---- the text ---- */

static hg_status add_file(void *ctx, const char *path, uint64_t size, int64_t mtime, hg_err *e)
{
    setting *s = ctx;
    hg_buf one = {0};
    (void)mtime;
    if (s->text.n >= TEXT_BYTES || size > (uint64_t)1 << 28) return HG_OK;
    HG_TRY(hg_file_read(&one, path, (size_t)1 << 28, e));
    size_t room = TEXT_BYTES - s->text.n;
    hg_buf_put(&s->text, one.p, one.n < room ? one.n : room);
    hg_buf_free(&one);
    return hg_buf_status(&s->text, e);
}

/* Novels from the test data; a text that ends within a character loses that. */
static hg_status read_text(setting *s, hg_err *e)
{
    const char *data = getenv("HG_TEST_DATA");
    char path[4096];
    uint32_t cp;
    (void)snprintf(path, sizeof path, "%s/corpora/novels", data != NULL ? data : "../shared/data");
    HG_TRY(hg_walk(path, add_file, s, e));
    size_t i = 0, len;
    while (i < s->text.n && (len = hg_token_utf8(s->text.p + i, s->text.n - i, &cp)) > 0) i += len;
    s->text.n = i;
    if (s->text.n < TEXT_BYTES / 2)
        return hg_fail(e, HG_E_MISSING, "%s: less than %d MB of text", path, TEXT_BYTES / 2000000);
    return hg_file_write(s->text_path, s->text.p, s->text.n, e);
}

static void open_npm(setting *s)
{
    int to[2], from[2];
    char line[64];
    if (pipe(to) != 0 || pipe(from) != 0) return;
    (void)fcntl(to[1], F_SETFD, FD_CLOEXEC);
    (void)fcntl(from[0], F_SETFD, FD_CLOEXEC);
    s->npm.pid =
        peer_spawn((const char *[]){"/usr/bin/env", "node", "--no-warnings",
                                    "bench/peer_tokenizer.mjs", s->text_path, s->folder, NULL},
                   to[0], from[1]);
    (void)close(to[0]);
    (void)close(from[1]);
    s->npm.to = fdopen(to[1], "w");
    s->npm.from = fdopen(from[0], "r");
    if (s->npm.from == NULL || s->npm.to == NULL || fgets(line, sizeof line, s->npm.from) == NULL)
        peer_close(&s->npm);
}

/* ---- encoding ---- */

static double encode_once(const setting *s, const hg_tokenizer *t, size_t *n)
{
    hg_ids ids = {0};
    hg_err e;
    double start = hg_seconds();
    if (hg_tokenizer_encode(t, (hg_bytes){s->text.p, s->text.n}, false, &ids, &e) != HG_OK)
        return (double)NAN;
    double took = hg_seconds() - start;
    *n = ids.n;
    hg_ids_free(&ids);
    return took;
}

static void add_rows(setting *s, const char *name, double took[3][REPEATS])
{
    static const char *const who[] = {"tiktoken", "gpt-tokenizer"};
    const double goal[] = {GOAL_TIKTOKEN, GOAL_GPT_TOKENIZER};
    double mb = 1e-6 * (double)s->text.n, ours = mb / bench_median(took[0], REPEATS);
    for (int k = 0; k < 2; k++) {
        if (isnan(took[k + 1][0])) continue;
        char row[64];
        (void)snprintf(row, sizeof row, "%s, %s", name, who[k]);
        bench_add(&s->b,
                  (bench_row){strdup(row), "MB/s", ours, mb / bench_median(took[k + 1], REPEATS),
                              (double)NAN, goal[k]});
    }
    if (isnan(took[1][0]))
        bench_add(&s->b, (bench_row){strdup(name), "MB/s", ours, (double)NAN, (double)NAN,
                                     GOAL_TIKTOKEN * 4});
}

static void race(setting *s, const char *name)
{
    char path[4096], job[2][64];
    double took[3][REPEATS];
    hg_tokenizer *t = NULL;
    hg_err e;
    size_t n = 0;
    (void)snprintf(path, sizeof path, "%s/%s.tiktoken", s->folder, name);
    (void)snprintf(job[0], sizeof job[0], "tiktoken %s", name);
    (void)snprintf(job[1], sizeof job[1], "gpt-tokenizer %s", name);
    if (hg_tokenizer_open(&t, path, &e) != HG_OK) {
        fprintf(stderr, "bench: %s\n", e.msg);
        return;
    }
    for (int r = -1; r < REPEATS; r++) {
        double one[3] = {encode_once(s, t, &n), peer_time(&s->npm, job[0]),
                         strcmp(name, "llama3") == 0 ? (double)NAN : peer_time(&s->npm, job[1])};
        for (int k = 0; r >= 0 && k < 3; k++) took[k][r] = one[k];
    }
    add_rows(s, name, took);
    hg_tokenizer_free(t);
}

/* ---- opening ---- */

static void time_opening(setting *s, const char *name, const char *path)
{
    double took[OPENS];
    hg_err e;
    if (!hg_path_exists(path)) return;
    for (int r = 0; r < OPENS; r++) {
        hg_tokenizer *t;
        double start = hg_seconds();
        if (hg_tokenizer_open(&t, path, &e) != HG_OK) return;
        took[r] = hg_seconds() - start;
        hg_tokenizer_free(t);
    }
    /* As a rate, since more is better here: files a second. */
    bench_add(&s->b, (bench_row){name, "opens/s", 1 / bench_median(took, OPENS), (double)NAN,
                                 1e3 / GOAL_OPEN_MS, 1});
}

int main(void)
{
    static const char *const names[] = {"gpt2", "cl100k_base", "o200k_base", "llama3"};
#define LENML "tests/node/node_modules/@lenml/tokenizer-"
    setting s = {.b = {.name = "tokenizer"}};
    const char *tmp = getenv("TMPDIR");
    hg_err e;
    (void)snprintf(s.folder, sizeof s.folder, "%s/higgins-bench-tokenizer",
                   tmp != NULL ? tmp : "/tmp");
    (void)snprintf(s.text_path, sizeof s.text_path, "%s/english.txt", s.folder);
    if (hg_mkdirs(s.folder, &e) != HG_OK || read_text(&s, &e) != HG_OK) {
        fprintf(stderr, "bench: %s\n", e.msg);
        return 1;
    }
    open_npm(&s);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) race(&s, names[i]);
    peer_close(&s.npm);
    time_opening(&s, "open Llama 3, 128k tokens", LENML "llama3/models/tokenizer.json");
    time_opening(&s, "open gpt-oss, 200k tokens", LENML "gptoss/models/tokenizer.json");
    time_opening(&s, "open Gemma 3, 262k tokens", LENML "gemma3/models/tokenizer.json");
    bench_end(&s.b);
    hg_buf_free(&s.text);
    return 0;
}
