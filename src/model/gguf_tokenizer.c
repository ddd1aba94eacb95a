/* The tokenizer in a GGUF's metadata, read and written. Names and meanings follow llama.cpp, so
 * that its tools open what is exported here and give the same ids. */
#include "model/gguf_meta.h"
#include "model/inner.h"
#include "token/token.h"
#include <stdio.h>
#include <string.h>

/* llama.cpp's kinds of tokens. */
enum { KIND_NORMAL = 1, KIND_CONTROL = 3, KIND_USER = 4, KIND_UNUSED = 5 };

static hg_status get_kinds(const hg_gguf *g, size_t n, hg_bytes *token, uint8_t *flags, hg_err *e)
{
    const hg_gguf_kv *kv = hg_gguf_find(g, "tokenizer.ggml.token_type");
    if (kv == NULL) return HG_OK;
    if (kv->type != GGUF_ARRAY || kv->item != GGUF_I32 || kv->n != n)
        return hg_fail(e, HG_E_FORMAT, "tokenizer.ggml.token_type is no list of %zu int32", n);
    for (size_t i = 0; i < n; i++) {
        int32_t kind;
        memcpy(&kind, kv->p + 4 * i, 4);
        if (kind == KIND_CONTROL) flags[i] = HG_TOKEN_ADDED | HG_TOKEN_SPECIAL;
        if (kind == KIND_USER) flags[i] = HG_TOKEN_ADDED;
        if (kind == KIND_UNUSED) token[i] = (hg_bytes){"", 0};
    }
    return HG_OK;
}

static hg_status build_tokenizer(const hg_gguf *g, hg_arena *mem, hg_tokenizer **out, hg_err *e)
{
    hg_token_parts p = {.bos = -1, .eos = -1};
    hg_bytes *token = NULL, *merge = NULL, pre = {"gpt-2", 5};
    HG_TRY(hg_gguf_strings(g, "tokenizer.ggml.tokens", HG_MAX_TOKENS, mem, &token, &p.n, e));
    HG_TRY(hg_gguf_strings(g, "tokenizer.ggml.merges", HG_MAX_MERGES, mem, &merge, &p.n_merges, e));
    HG_TRY(hg_gguf_text(g, "tokenizer.ggml.pre", &pre, e));
    if (token == NULL || merge == NULL)
        return hg_fail(e, HG_E_FORMAT, "its tokenizer has no tokens or no merges");
    uint8_t *flags = HG_NEW(mem, uint8_t, p.n);
    char *name = hg_arena_strndup(mem, pre.p, pre.n);
    if (flags == NULL || name == NULL) return hg_fail(e, HG_E_NOMEM, "no room for a tokenizer");
    HG_TRY(get_kinds(g, p.n, token, flags, e));
    while (p.n > 0 && token[p.n - 1].n == 0)
        p.n--; /* rows of the embedding beyond the vocabulary */
    p.token = token;
    p.flags = flags;
    p.merge = merge;
    p.split = hg_splits_find(name, &p.n_splits, &p.ignore_merges);
    if (p.split == NULL)
        return hg_fail(e, HG_E_UNSUPPORTED, "pre-tokenisation \"%.64s\" is not known", name);
    bool add_bos = false, add_eos = false;
    int32_t bos = -1, eos = -1;
    HG_TRY(hg_gguf_bool(g, "tokenizer.ggml.add_bos_token", &add_bos, e));
    HG_TRY(hg_gguf_bool(g, "tokenizer.ggml.add_eos_token", &add_eos, e));
    HG_TRY(hg_gguf_bool(g, "tokenizer.ggml.add_space_prefix", &p.add_prefix_space, e));
    HG_TRY(hg_gguf_id(g, "tokenizer.ggml.bos_token_id", &bos, e));
    HG_TRY(hg_gguf_id(g, "tokenizer.ggml.eos_token_id", &eos, e));
    if (add_bos && bos >= 0 && (size_t)bos < p.n) p.bos = bos;
    if (add_eos && eos >= 0 && (size_t)eos < p.n) p.eos = eos;
    return hg_tokenizer_from_parts(out, &p, e);
}

hg_status hg_gguf_tokenizer(const hg_gguf *g, hg_tokenizer **out, hg_err *e)
{
    hg_bytes kind = {NULL, 0};
    hg_arena mem;
    *out = NULL;
    HG_TRY(hg_gguf_text(g, "tokenizer.ggml.model", &kind, e));
    if (kind.p == NULL || (kind.n == 4 && memcmp(kind.p, "none", 4) == 0)) return HG_OK;
    if (kind.n != 4 || memcmp(kind.p, "gpt2", 4) != 0)
        return hg_fail(e, HG_E_UNSUPPORTED,
                       "its tokenizer is of kind \"%.*s\"; Higgins reads \"gpt2\" (byte-level BPE)",
                       (int)(kind.n < 32 ? kind.n : 32), kind.p);
    hg_arena_init(&mem, 0);
    hg_status s = build_tokenizer(g, &mem, out, e);
    hg_arena_free(&mem);
    return s;
}

/* Tokens and their kinds. The list is as long as the embedding; rows without a token get a name
 * that no text has. */
static void put_tokens(hg_meta *m, const hg_token_parts *p, size_t n_vocab)
{
    hg_meta_array(m, "tokenizer.ggml.tokens", GGUF_STRING, n_vocab);
    for (size_t i = 0; i < n_vocab; i++) {
        char unused[32];
        (void)snprintf(unused, sizeof unused, "[UNUSED%zu]", i);
        if (i < p->n && p->token[i].n > 0)
            hg_meta_string(m->b, p->token[i].p, p->token[i].n);
        else
            hg_meta_string(m->b, unused, strlen(unused));
    }
    hg_meta_array(m, "tokenizer.ggml.token_type", GGUF_I32, n_vocab);
    for (size_t i = 0; i < n_vocab; i++) {
        unsigned kind = KIND_NORMAL;
        if (i >= p->n || p->token[i].n == 0)
            kind = KIND_UNUSED;
        else if ((p->flags[i] & HG_TOKEN_SPECIAL) != 0)
            kind = KIND_CONTROL;
        else if ((p->flags[i] & HG_TOKEN_ADDED) != 0)
            kind = KIND_USER;
        hg_meta_put(m->b, kind, 4);
    }
    hg_meta_array(m, "tokenizer.ggml.merges", GGUF_STRING, p->n_merges);
    for (size_t i = 0; i < p->n_merges; i++) hg_meta_string(m->b, p->merge[i].p, p->merge[i].n);
}

static void put_id(hg_meta *m, const char *key, int32_t id)
{
    if (id >= 0) hg_meta_u32(m, key, (uint32_t)id);
}

hg_status hg_gguf_put_tokenizer(hg_meta *m, const hg_model *model, hg_err *e)
{
    const hg_model_config *c = &model->c;
    if (model->tokenizer == NULL) {
        hg_meta_text(m, "tokenizer.ggml.model", "none");
        return HG_OK;
    }
    const hg_token_parts *p = hg_tokenizer_parts(model->tokenizer);
    const char *pre = hg_splits_name(p->split, p->n_splits);
    if (pre == NULL)
        return hg_fail(e, HG_E_UNSUPPORTED,
                       "GGUF has no name for this tokenizer's way of splitting text into words");
    if (p->n > c->n_vocab)
        return hg_fail(e, HG_E_UNSUPPORTED,
                       "the tokenizer has %zu tokens and the model %u; GGUF needs as many", p->n,
                       c->n_vocab);
    hg_meta_text(m, "tokenizer.ggml.model", "gpt2");
    hg_meta_text(m, "tokenizer.ggml.pre", pre);
    put_tokens(m, p, c->n_vocab);
    put_id(m, "tokenizer.ggml.bos_token_id", c->bos_id);
    put_id(m, "tokenizer.ggml.eos_token_id", c->eos_id);
    put_id(m, "tokenizer.ggml.padding_token_id", c->pad_id);
    put_id(m, "tokenizer.ggml.eot_token_id", hg_chat_end_id(model->tokenizer));
    hg_meta_bool(m, "tokenizer.ggml.add_bos_token", p->bos >= 0);
    hg_meta_bool(m, "tokenizer.ggml.add_eos_token", p->eos >= 0);
    hg_meta_bool(m, "tokenizer.ggml.add_space_prefix", p->add_prefix_space);
    if (model->chat_template != NULL)
        hg_meta_text(m, "tokenizer.chat_template", model->chat_template);
    return HG_OK;
}
