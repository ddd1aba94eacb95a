/* Ids of many texts by one tokenizer, for the scripts that hold them against other programs:
 *   token_ids TOKENIZER FILE [special|tokenizer.json|time]
 * FILE holds texts one after the other, each behind its length (4 bytes, the lowest first). Prints
 * a line of ids for each, a space between; with `tokenizer.json` the tokenizer as such a file
 * instead; with `time` how long opening and encoding the whole FILE as one text took. */
#include "base/clock.h"
#include "base/file.h"
#include "token/token.h"

#include <stdio.h>
#include <string.h>

static int fail(const hg_err *e)
{
    fprintf(stderr, "token_ids: %s\n", e->msg);
    return 1;
}

static void print_ids(const hg_ids *ids)
{
    for (size_t i = 0; i < ids->n; i++) printf("%s%d", i > 0 ? " " : "", (int)ids->id[i]);
    printf("\n");
}

static int encode_all(const hg_tokenizer *t, hg_bytes file, bool special)
{
    hg_encoder *en = NULL;
    hg_ids ids = {0};
    hg_err e;
    if (hg_encoder_new(&en, t, &e) != HG_OK) return fail(&e);
    for (size_t at = 0; file.n - at >= 4;) {
        const unsigned char *u = (const unsigned char *)file.p + at;
        size_t n = u[0] | (size_t)u[1] << 8 | (size_t)u[2] << 16 | (size_t)u[3] << 24;
        at += 4;
        if (n > file.n - at) break;
        ids.n = 0;
        if (hg_encoder_run(en, (hg_bytes){file.p + at, n}, special, &ids, &e) != HG_OK)
            return fail(&e);
        print_ids(&ids);
        at += n;
    }
    hg_encoder_free(en);
    hg_ids_free(&ids);
    return 0;
}

static int write_json(const hg_tokenizer *t)
{
    hg_buf json = {0};
    hg_err e;
    if (hg_tokenizer_write(t, &json, &e) != HG_OK) return fail(&e);
    (void)fwrite(json.p, 1, json.n, stdout);
    hg_buf_free(&json);
    return 0;
}

static int time_it(const char *path, hg_bytes text)
{
    enum { ROUNDS = 5 };
    hg_err e;
    for (int r = 0; r < ROUNDS; r++) {
        hg_tokenizer *t;
        hg_ids ids = {0};
        double a = hg_seconds();
        if (hg_tokenizer_open(&t, path, &e) != HG_OK) return fail(&e);
        double b = hg_seconds();
        if (hg_tokenizer_encode(t, text, false, &ids, &e) != HG_OK) return fail(&e);
        double c = hg_seconds();
        printf("open %.1f ms, %zu ids, %.1f MB/s\n", 1e3 * (b - a), ids.n,
               1e-6 * (double)text.n / (c - b));
        hg_ids_free(&ids);
        hg_tokenizer_free(t);
    }
    return 0;
}

int main(int argc, char **argv)
{
    hg_tokenizer *t = NULL;
    hg_buf file = {0};
    hg_err e;
    const char *what = argc > 3 ? argv[3] : "";
    if (argc < 3) return 2;
    if (hg_tokenizer_open(&t, argv[1], &e) != HG_OK) return fail(&e);
    if (strcmp(what, "tokenizer.json") != 0 &&
        hg_file_read(&file, argv[2], (size_t)1 << 30, &e) != HG_OK)
        return fail(&e);
    hg_bytes all = {file.p, file.n};
    int code = strcmp(what, "tokenizer.json") == 0 ? write_json(t)
               : strcmp(what, "time") == 0         ? time_it(argv[1], all)
                                                   : encode_all(t, all, what[0] != '\0');
    hg_buf_free(&file);
    hg_tokenizer_free(t);
    return code;
}
