/* What a GGUF's metadata says of the model and of its tokenizer, and the same written. Names and
 * meanings follow llama.cpp, so that its tools open what is exported here. */
#include "model/inner.h"
#include "token/token.h"
#include <stdio.h>
#include <string.h>

/* ---- reading ---- */

typedef struct keys {
    const hg_gguf *g;
    char arch[32], key[128];
} keys;

/* "llama.block_count" from "block_count". */
static const char *key_of(keys *k, const char *name)
{
    (void)snprintf(k->key, sizeof k->key, "%s.%s", k->arch, name);
    return k->key;
}

static hg_status get_count(keys *k, const char *name, uint32_t fallback, uint32_t max,
                           uint32_t *out, hg_err *e)
{
    uint64_t v = fallback;
    HG_TRY(hg_gguf_uint(k->g, key_of(k, name), max, &v, e));
    if (v == 0) return hg_fail(e, HG_E_FORMAT, "%s is missing", k->key);
    *out = (uint32_t)v;
    return HG_OK;
}

static hg_status get_id(const hg_gguf *g, const char *key, int32_t *out, hg_err *e)
{
    uint64_t v = UINT32_MAX;
    HG_TRY(hg_gguf_uint(g, key, UINT32_MAX, &v, e));
    *out = v < HG_MAX_VOCAB ? (int32_t)v : -1;
    return HG_OK;
}

static hg_status get_sizes(keys *k, const hg_store *s, hg_model_config *c, hg_err *e)
{
    HG_TRY(get_count(k, "block_count", 0, HG_MAX_LAYERS, &c->n_layers, e));
    HG_TRY(get_count(k, "embedding_length", 0, HG_MAX_D_MODEL, &c->d_model, e));
    HG_TRY(get_count(k, "attention.head_count", 0, HG_MAX_HEADS, &c->n_heads, e));
    HG_TRY(get_count(k, "attention.head_count_kv", c->n_heads, HG_MAX_HEADS, &c->n_kv_heads, e));
    HG_TRY(get_count(k, "feed_forward_length", 0, 8 * HG_MAX_D_MODEL, &c->d_ff, e));
    HG_TRY(get_count(k, "context_length", 0, HG_MAX_CTX, &c->n_ctx, e));
    if (c->d_model < c->n_heads)
        return hg_fail(e, HG_E_FORMAT, "%u heads of a model of %u values", c->n_heads, c->d_model);
    uint32_t d_value = 0, d_rot = 0;
    HG_TRY(get_count(k, "attention.key_length", c->d_model / c->n_heads, HG_MAX_D_MODEL, &c->d_head,
                     e));
    HG_TRY(get_count(k, "attention.value_length", c->d_head, HG_MAX_D_MODEL, &d_value, e));
    HG_TRY(get_count(k, "rope.dimension_count", c->d_head, HG_MAX_D_MODEL, &d_rot, e));
    if (d_value != c->d_head || d_rot != c->d_head)
        return hg_fail(e, HG_E_UNSUPPORTED,
                       "heads of %u, values of %u, %u of them turned; Higgins needs all equal",
                       c->d_head, d_value, d_rot);
    const hg_entry *embed = hg_store_find(s, "token_embd.weight");
    if (embed == NULL || embed->n_dims != 2 || embed->dim[0] > HG_MAX_VOCAB)
        return hg_fail(e, HG_E_FORMAT, "no usable tensor token_embd.weight");
    c->n_vocab = (uint32_t)embed->dim[0];
    return HG_OK;
}

static hg_status get_rope(keys *k, hg_model_config *c, hg_err *e)
{
    double theta = 10000.0, factor = 1.0;
    hg_bytes kind = {"none", 4};
    HG_TRY(hg_gguf_float(k->g, key_of(k, "rope.freq_base"), &theta, e));
    HG_TRY(hg_gguf_text(k->g, key_of(k, "rope.scaling.type"), &kind, e));
    HG_TRY(hg_gguf_float(k->g, key_of(k, "rope.scaling.factor"), &factor, e));
    c->rope_theta = (float)theta;
    if (kind.n == 4 && memcmp(kind.p, "none", 4) == 0) return HG_OK;
    if (kind.n != 6 || memcmp(kind.p, "linear", 6) != 0 || !(factor >= 1e-6 && factor <= 1e6))
        return hg_fail(e, HG_E_UNSUPPORTED,
                       "rotary scaling \"%.*s\" by %g is not known; none and linear are",
                       (int)(kind.n < 32 ? kind.n : 32), kind.p, factor);
    c->rope_scaling = (hg_rope_scaling){.kind = HG_ROPE_LINEAR, .factor = (float)factor};
    return HG_OK;
}

/* A factor for each frequency is a tensor of its own. */
static hg_status find_factors(const hg_store *s, hg_model_config *c, hg_err *e)
{
    const hg_entry *en = hg_store_find(s, "rope_freqs.weight");
    if (en == NULL) return HG_OK;
    if (en->type != HG_F32 || en->n_dims != 1 || en->dim[0] != c->d_head / 2 ||
        c->rope_scaling.kind != HG_ROPE_PLAIN)
        return hg_fail(e, HG_E_FORMAT, "rope_freqs.weight is no list of %u float32", c->d_head / 2);
    c->rope_scaling.kind = HG_ROPE_FACTORS;
    return HG_OK;
}

hg_status hg_gguf_config(const hg_gguf *g, const hg_store *s, hg_model_config *c, hg_arch *row,
                         hg_err *e)
{
    keys k = {.g = g};
    hg_bytes name = {"", 0};
    memset(c, 0, sizeof *c);
    HG_TRY(hg_gguf_text(g, "general.architecture", &name, e));
    const hg_arch *known = hg_arch_find_gguf(name.p, name.n);
    if (known == NULL) return hg_arch_unknown(name.p, name.n, e);
    *row = *known;
    (void)snprintf(c->arch, sizeof c->arch, "%s", known->name);
    (void)snprintf(k.arch, sizeof k.arch, "%s", known->gguf);
    HG_TRY(get_sizes(&k, s, c, e));
    double eps = 1e-5;
    HG_TRY(hg_gguf_float(g,
                         key_of(&k, known->norm == HG_NORM_RMS ? "attention.layer_norm_rms_epsilon"
                                                               : "attention.layer_norm_epsilon"),
                         &eps, e));
    c->norm_eps = (float)eps;
    HG_TRY(get_rope(&k, c, e));
    HG_TRY(find_factors(s, c, e));
    c->tie_embeddings = hg_store_find(s, "output.weight") == NULL;
    if (hg_store_find(s, "blk.0.attn_q.bias") != NULL) row->qkv_bias = true;
    if (hg_store_find(s, "blk.0.attn_output.bias") != NULL) row->out_bias = true;
    HG_TRY(get_id(g, "tokenizer.ggml.bos_token_id", &c->bos_id, e));
    HG_TRY(get_id(g, "tokenizer.ggml.eos_token_id", &c->eos_id, e));
    HG_TRY(get_id(g, "tokenizer.ggml.padding_token_id", &c->pad_id, e));
    return hg_config_check(c, row, e);
}

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
    HG_TRY(get_id(g, "tokenizer.ggml.bos_token_id", &bos, e));
    HG_TRY(get_id(g, "tokenizer.ggml.eos_token_id", &eos, e));
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

/* ---- writing ---- */

typedef struct meta {
    hg_buf *b;
    uint64_t n_kv;
    const char *arch;
} meta;

static void put(hg_buf *b, uint64_t v, size_t n)
{
    for (size_t i = 0; i < n; i++) hg_buf_putc(b, (char)(unsigned char)(v >> (8 * i)));
}

static void put_string(hg_buf *b, const char *p, size_t n)
{
    put(b, n, 8);
    hg_buf_put(b, p, n);
}

/* A key; '#' at its beginning stands for the architecture. */
static void put_key(meta *m, const char *key, hg_gguf_type type)
{
    char full[128];
    if (key[0] == '#')
        (void)snprintf(full, sizeof full, "%s%s", m->arch, key + 1);
    else
        (void)snprintf(full, sizeof full, "%s", key);
    put_string(m->b, full, strlen(full));
    put(m->b, type, 4);
    m->n_kv++;
}

static void put_u32(meta *m, const char *key, uint32_t v)
{
    put_key(m, key, GGUF_U32);
    put(m->b, v, 4);
}

static void put_f32(meta *m, const char *key, float v)
{
    uint32_t bits;
    memcpy(&bits, &v, 4);
    put_key(m, key, GGUF_F32);
    put(m->b, bits, 4);
}

static void put_bool(meta *m, const char *key, bool v)
{
    put_key(m, key, GGUF_BOOL);
    put(m->b, v, 1);
}

static void put_text(meta *m, const char *key, const char *v)
{
    put_key(m, key, GGUF_STRING);
    put_string(m->b, v, strlen(v));
}

static void put_array(meta *m, const char *key, hg_gguf_type item, uint64_t n)
{
    put_key(m, key, GGUF_ARRAY);
    put(m->b, item, 4);
    put(m->b, n, 8);
}

/* llama.cpp's number for a file's main type. */
static uint32_t file_type(hg_type t)
{
    return t == HG_F16 ? 1 : t == HG_BF16 ? 32 : 0;
}

static void put_model(meta *m, const hg_model *model, hg_weights as)
{
    const hg_model_config *c = &model->c;
    put_text(m, "general.architecture", m->arch);
    put_text(m, "general.name", "Higgins");
    put_u32(m, "general.file_type",
            file_type(hg_type_as(hg_param_type(model, model->layer[0].q), as)));
    put_u32(m, "#.block_count", c->n_layers);
    /* Programs that read GGUF know no window of Mistral's: within it nothing differs. */
    put_u32(m, "#.context_length", c->window > 0 && c->window < c->n_ctx ? c->window : c->n_ctx);
    put_u32(m, "#.embedding_length", c->d_model);
    put_u32(m, "#.feed_forward_length", c->d_ff);
    put_u32(m, "#.attention.head_count", c->n_heads);
    put_u32(m, "#.attention.head_count_kv", c->n_kv_heads);
    put_u32(m, "#.attention.key_length", c->d_head);
    put_u32(m, "#.attention.value_length", c->d_head);
    put_u32(m, "#.vocab_size", c->n_vocab);
    put_f32(m,
            model->arch->norm == HG_NORM_RMS ? "#.attention.layer_norm_rms_epsilon"
                                             : "#.attention.layer_norm_epsilon",
            c->norm_eps);
    if (model->arch->positions != HG_POS_ROPE) return;
    put_u32(m, "#.rope.dimension_count", c->d_head);
    put_f32(m, "#.rope.freq_base", c->rope_theta);
    if (c->rope_scaling.kind == HG_ROPE_LINEAR) {
        put_text(m, "#.rope.scaling.type", "linear");
        put_f32(m, "#.rope.scaling.factor", c->rope_scaling.factor);
    }
}

/* Tokens and their kinds. The list is as long as the embedding; rows without a token get a name
 * that no text has. */
static void put_tokens(meta *m, const hg_token_parts *p, size_t n_vocab)
{
    put_array(m, "tokenizer.ggml.tokens", GGUF_STRING, n_vocab);
    for (size_t i = 0; i < n_vocab; i++) {
        char unused[32];
        (void)snprintf(unused, sizeof unused, "[UNUSED%zu]", i);
        if (i < p->n && p->token[i].n > 0)
            put_string(m->b, p->token[i].p, p->token[i].n);
        else
            put_string(m->b, unused, strlen(unused));
    }
    put_array(m, "tokenizer.ggml.token_type", GGUF_I32, n_vocab);
    for (size_t i = 0; i < n_vocab; i++) {
        unsigned kind = KIND_NORMAL;
        if (i >= p->n || p->token[i].n == 0)
            kind = KIND_UNUSED;
        else if ((p->flags[i] & HG_TOKEN_SPECIAL) != 0)
            kind = KIND_CONTROL;
        else if ((p->flags[i] & HG_TOKEN_ADDED) != 0)
            kind = KIND_USER;
        put(m->b, kind, 4);
    }
    put_array(m, "tokenizer.ggml.merges", GGUF_STRING, p->n_merges);
    for (size_t i = 0; i < p->n_merges; i++) put_string(m->b, p->merge[i].p, p->merge[i].n);
}

static void put_id(meta *m, const char *key, int32_t id)
{
    if (id >= 0) put_u32(m, key, (uint32_t)id);
}

static hg_status put_tokenizer(meta *m, const hg_model *model, hg_err *e)
{
    const hg_model_config *c = &model->c;
    if (model->tokenizer == NULL) {
        put_text(m, "tokenizer.ggml.model", "none");
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
    put_text(m, "tokenizer.ggml.model", "gpt2");
    put_text(m, "tokenizer.ggml.pre", pre);
    put_tokens(m, p, c->n_vocab);
    put_id(m, "tokenizer.ggml.bos_token_id", c->bos_id);
    put_id(m, "tokenizer.ggml.eos_token_id", c->eos_id);
    put_id(m, "tokenizer.ggml.padding_token_id", c->pad_id);
    put_id(m, "tokenizer.ggml.eot_token_id", hg_chat_end_id(model->tokenizer));
    put_bool(m, "tokenizer.ggml.add_bos_token", p->bos >= 0);
    put_bool(m, "tokenizer.ggml.add_eos_token", p->eos >= 0);
    put_bool(m, "tokenizer.ggml.add_space_prefix", p->add_prefix_space);
    if (model->chat_template != NULL) put_text(m, "tokenizer.chat_template", model->chat_template);
    return HG_OK;
}

hg_status hg_gguf_put_metadata(hg_buf *b, uint64_t *n_kv, const hg_model *m, hg_weights as,
                               hg_err *e)
{
    meta out = {.b = b, .arch = m->arch->gguf};
    put_model(&out, m, as);
    HG_TRY(put_tokenizer(&out, m, e));
    *n_kv = out.n_kv;
    return hg_buf_status(b, e);
}
