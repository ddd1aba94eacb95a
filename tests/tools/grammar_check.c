/* Grammars for the tests that hold them against other implementations. Each line of stdin is
 * {"kind": "gbnf", "regex", "schema" or "json", "text": ..., "texts": [...]}, answered by
 * {"accepts": [...]}; or with "walk": [ids] instead of texts by {"masks": [hex, ...]}, the masks
 * before each of the tokens and behind the last; or by {"error": sentence}. The masks' vocabulary
 * is that of the tokenizer.json that is the first argument, the second is the id that ends. */
#include <higgins/grammar.h>
#include "text/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static hg_status read_grammar(hg_grammar **g, const json_t *in, hg_err *e)
{
    hg_bytes kind = {0}, text = {0};
    HG_TRY(hg_json_get_text(in, "kind", &kind, e));
    if (strcmp(kind.p, "json") == 0) return hg_grammar_json(g, false, e);
    HG_TRY(hg_json_get_text(in, "text", &text, e));
    if (strcmp(kind.p, "gbnf") == 0) return hg_grammar_from_gbnf(g, text, e);
    if (strcmp(kind.p, "regex") == 0) return hg_grammar_from_regex(g, text, e);
    return hg_grammar_from_json_schema(g, text, e);
}

static hg_status accept_texts(const hg_grammar *g, const json_t *texts, hg_json_out *o, hg_err *e)
{
    hg_json_begin(o, "accepts", '[');
    for (size_t i = 0; i < json_array_size(texts); i++) {
        const json_t *t = json_array_get(texts, i);
        bool yes;
        HG_TRY(hg_grammar_accepts(g, (hg_bytes){json_string_value(t), json_string_length(t)}, &yes,
                                  e));
        hg_json_bool(o, NULL, yes);
    }
    hg_json_end(o);
    return HG_OK;
}

static void put_mask(hg_json_out *o, const uint32_t *bits, size_t n)
{
    hg_buf hex = {0};
    for (size_t i = 0; i < n; i++) hg_buf_printf(&hex, "%08x", bits[i]);
    hg_json_bytes(o, NULL, (hg_bytes){hex.p, hex.n});
    hg_buf_free(&hex);
}

static hg_status walk(hg_matcher *t, const json_t *ids, uint32_t *bits, size_t n, hg_json_out *o,
                      hg_err *e)
{
    hg_json_begin(o, "masks", '[');
    for (size_t i = 0;; i++) {
        HG_TRY(hg_matcher_mask(t, 0, bits, e));
        put_mask(o, bits, n);
        if (i == json_array_size(ids)) break;
        HG_TRY(hg_matcher_accept(t, (int32_t)json_integer_value(json_array_get(ids, i)), e));
    }
    hg_json_end(o);
    return HG_OK;
}

static hg_status walk_masks(const hg_grammar *g, const hg_vocab *v, uint32_t n_vocab,
                            const json_t *ids, hg_json_out *o, hg_err *e)
{
    hg_masks *m = NULL;
    hg_matcher *t = NULL;
    const size_t n = (n_vocab + 31) / 32;
    uint32_t *bits = calloc(n, sizeof *bits);
    hg_status s = hg_masks_new(&m, g, v, (size_t)256 << 20, e);
    if (s == HG_OK) s = hg_matcher_new(&t, m, e);
    if (s == HG_OK) s = walk(t, ids, bits, n, o, e);
    hg_matcher_free(t);
    hg_masks_free(m);
    free(bits);
    return s;
}

static void answer(hg_bytes line, const hg_vocab *v, uint32_t n_vocab)
{
    hg_err e = {0};
    hg_buf b = {0};
    hg_json_out o;
    json_t *in = NULL;
    hg_grammar *g = NULL;
    hg_status s = hg_json_parse(&in, line, (size_t)64 << 20, &e);
    if (s == HG_OK) s = read_grammar(&g, in, &e);
    hg_json_out_init(&o, &b, 0);
    hg_json_begin(&o, NULL, '{');
    if (s == HG_OK && v != NULL && json_object_get(in, "walk") != NULL)
        s = walk_masks(g, v, n_vocab, json_object_get(in, "walk"), &o, &e);
    else if (s == HG_OK)
        s = accept_texts(g, json_object_get(in, "texts"), &o, &e);
    if (s != HG_OK) {
        hg_buf_clear(&b);
        hg_json_out_init(&o, &b, 0);
        hg_json_begin(&o, NULL, '{');
        hg_json_text(&o, "error", e.msg);
    }
    hg_json_end(&o);
    (void)printf("%.*s\n", (int)b.n, b.p);
    hg_buf_free(&b);
    hg_grammar_free(g);
    json_decref(in);
}

int main(int n_args, char **args)
{
    hg_tokenizer *t = NULL;
    hg_vocab *v = NULL;
    hg_err e = {0};
    char *line = NULL;
    size_t cap = 0;
    uint32_t n_vocab = 0;
    ssize_t n;
    if (n_args > 2) {
        const int32_t end = (int32_t)strtol(args[2], NULL, 10);
        hg_status s = hg_tokenizer_open(&t, args[1], &e);
        if (s == HG_OK) n_vocab = hg_tokenizer_count(t);
        if (s == HG_OK) s = hg_vocab_new(&v, t, n_vocab, &end, 1, &e);
        if (s != HG_OK) {
            (void)fprintf(stderr, "%s\n", e.msg);
            return 1;
        }
    }
    while ((n = getline(&line, &cap, stdin)) > 0) answer((hg_bytes){line, (size_t)n}, v, n_vocab);
    free(line);
    hg_vocab_free(v);
    hg_tokenizer_free(t);
    return 0;
}
