/* Opening a tokenizer, whatever it comes as: a model's folder, a tokenizer.json, SentencePiece's
 * tokenizer.model, a rank file of tiktoken, or a GGUF. What a file is, its first bytes say. */
#include "base/file.h"
#include "model/inner.h"
#include "token/token.h"
#include <string.h>

/* The header of a GGUF, read for its tokenizer only. */
static hg_status open_gguf(hg_tokenizer **out, hg_bytes file, const char *path, hg_err *e)
{
    hg_arena mem;
    hg_gguf g = {0};
    hg_store store = {0};
    hg_arena_init(&mem, 0);
    hg_status s = hg_gguf_parse(&g, &store, &mem, (const unsigned char *)file.p, file.n, path, e);
    if (s == HG_OK) {
        hg_err why = {0};
        s = hg_gguf_tokenizer(&g, out, &why);
        if (s != HG_OK) (void)hg_fail(e, s, "%s: %.400s", path, why.msg);
    }
    if (s == HG_OK && *out == NULL) s = hg_fail(e, HG_E_MISSING, "%s: has no tokenizer", path);
    hg_arena_free(&mem);
    return s;
}

/* Lines that begin with base64, a space and a digit are ranks. */
static bool is_ranks(hg_bytes file)
{
    size_t i = 0;
    while (i < file.n && i < 256 &&
           ((file.p[i] >= 'A' && file.p[i] <= 'Z') || (file.p[i] >= 'a' && file.p[i] <= 'z') ||
            (file.p[i] >= '0' && file.p[i] <= '9') || strchr("+/=", file.p[i]) != NULL) &&
           file.p[i] != '\0')
        i++;
    return i > 0 && file.n - i >= 2 && file.p[i] == ' ' && file.p[i + 1] >= '0' &&
           file.p[i + 1] <= '9';
}

/* A protobuf that begins with a piece: key and length, and within it key and length of its text.
 * Its key is a line end, with which JSON may begin too. */
static bool is_sentencepiece(hg_bytes file)
{
    const unsigned char *p = (const unsigned char *)file.p;
    return file.n > 4 && p[0] == 0x0A && p[2] == 0x0A && p[3] > 0 && p[3] + 2u <= p[1];
}

static hg_status parse_any(hg_tokenizer **out, hg_bytes file, const char *path, hg_err *e)
{
    if (is_ranks(file)) return hg_tokenizer_parse_ranks(out, file, path, e);
    if (is_sentencepiece(file)) return hg_tokenizer_parse_spm(out, file, e);
    return hg_tokenizer_parse(out, file, e);
}

static hg_status open_file(hg_tokenizer **out, const char *path, hg_err *e)
{
    hg_map map;
    hg_err why = {0};
    HG_TRY(hg_map_open(&map, path, e));
    hg_bytes file = {(const char *)map.p, map.n};
    hg_status s;
    if (file.n >= 4 && memcmp(file.p, "GGUF", 4) == 0) {
        s = open_gguf(out, file, path, e);
    } else {
        s = parse_any(out, file, path, &why);
        if (s != HG_OK) (void)hg_fail(e, s, "%s: %.400s", path, why.msg);
    }
    hg_map_close(&map);
    return s;
}

static hg_status open_pair(hg_tokenizer **out, const char *vocab, const char *merges, hg_err *e)
{
    hg_map v = {0}, m = {0};
    hg_err why = {0};
    hg_status s = hg_map_open(&v, vocab, e);
    if (s == HG_OK) s = hg_map_open(&m, merges, e);
    if (s == HG_OK) {
        s = hg_tokenizer_parse_pair(out, (hg_bytes){(const char *)v.p, v.n},
                                    (hg_bytes){(const char *)m.p, m.n}, &why);
        if (s != HG_OK) (void)hg_fail(e, s, "%s: %.400s", vocab, why.msg);
    }
    hg_map_close(&m);
    hg_map_close(&v);
    return s;
}

hg_status hg_tokenizer_of_folder(hg_tokenizer **out, const char *dir, hg_err *e)
{
    static const char *const names[] = {"tokenizer.json", "tokenizer.model", "vocab.json",
                                        "merges.txt"};
    char *path[4];
    bool all = true, found[4] = {false};
    hg_status s = HG_OK;
    *out = NULL;
    for (size_t i = 0; i < 4; i++) {
        path[i] = hg_path_join(dir, names[i]);
        all = all && path[i] != NULL;
        found[i] = path[i] != NULL && hg_path_exists(path[i]);
    }
    if (!all)
        s = hg_fail(e, HG_E_NOMEM, "no room for a path");
    else if (found[0] || found[1])
        s = open_file(out, path[found[0] ? 0 : 1], e);
    else if (found[2] && found[3])
        s = open_pair(out, path[2], path[3], e);
    for (size_t i = 0; i < 4; i++) hg_free(path[i]);
    return s;
}

hg_status hg_tokenizer_open(hg_tokenizer **out, const char *path, hg_err *e)
{
    *out = NULL;
    if (!hg_path_is_dir(path)) return open_file(out, path, e);
    HG_TRY(hg_tokenizer_of_folder(out, path, e));
    if (*out != NULL) return HG_OK;
    return hg_fail(e, HG_E_MISSING,
                   "%s: this folder has no tokenizer.json, no tokenizer.model and no vocab.json "
                   "with merges.txt",
                   path);
}
