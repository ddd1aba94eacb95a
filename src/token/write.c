/* Writing tokenizer.json, so that what Higgins trains opens in everybody's tools, and what it read
 * from a GGUF file or a SentencePiece model can be given on in a folder. */
#include "token/inner.h"
#include <stdlib.h>
#include <string.h>

static void put_string(hg_buf *b, const char *p, size_t n)
{
    hg_buf_putc(b, '"');
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)p[i];
        if (c == '"' || c == '\\') {
            hg_buf_putc(b, '\\');
            hg_buf_putc(b, (char)c);
        } else if (c < 0x20 || c == 0x7F) {
            hg_buf_printf(b, "\\u%04x", c);
        } else {
            hg_buf_putc(b, (char)c);
        }
    }
    hg_buf_putc(b, '"');
}

static const char *yes(uint8_t flags, unsigned bit)
{
    return (flags & bit) != 0 ? "true" : "false";
}

static bool has_prepend(const hg_token_parts *p)
{
    for (size_t i = 0; i < p->n_normal; i++)
        if (p->normal[i].kind == HG_NORMAL_PREPEND) return true;
    return false;
}

static void put_added(hg_buf *b, const hg_token_parts *p)
{
    bool first = true;
    hg_buf_puts(b, "  \"added_tokens\": [");
    for (size_t i = 0; i < p->n; i++) {
        uint8_t f = p->flags[i];
        if ((f & HG_TOKEN_ADDED) == 0) continue;
        /* Other programs put a text's first space before such a token, too. */
        if (has_prepend(p)) f = (uint8_t)(f & ~(unsigned)HG_TOKEN_NORMALIZED);
        hg_buf_printf(b, "%s\n    {\"id\": %zu, \"content\": ", first ? "" : ",", i);
        put_string(b, p->token[i].p, p->token[i].n);
        hg_buf_printf(b,
                      ", \"single_word\": %s, \"lstrip\": %s, \"rstrip\": %s, \"normalized\": %s, "
                      "\"special\": %s}",
                      yes(f, HG_TOKEN_WORD), yes(f, HG_TOKEN_LSTRIP), yes(f, HG_TOKEN_RSTRIP),
                      yes(f, HG_TOKEN_NORMALIZED), yes(f, HG_TOKEN_SPECIAL));
        first = false;
    }
    hg_buf_puts(b, first ? "],\n" : "\n  ],\n");
}

/* ---- normalisers ---- */

static void put_base64(hg_buf *b, hg_bytes s)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < s.n; i += 3) {
        uint32_t v = 0;
        size_t n = s.n - i < 3 ? s.n - i : 3;
        for (size_t k = 0; k < 3; k++) v = v << 8 | (k < n ? (unsigned char)s.p[i + k] : 0);
        for (size_t k = 0; k < 4; k++)
            hg_buf_putc(b, k <= n ? digits[v >> (18 - 6 * k) & 63] : '=');
    }
}

static void put_replace(hg_buf *b, const char *from, bool is_pattern, const char *to)
{
    hg_buf_printf(
        b, "{\"type\": \"Replace\", \"pattern\": {\"%s\": ", is_pattern ? "Regex" : "String");
    put_string(b, from, strlen(from));
    hg_buf_puts(b, "}, \"content\": ");
    put_string(b, to, strlen(to));
    hg_buf_putc(b, '}');
}

static void put_normal(hg_buf *b, const hg_normal *st)
{
    static const char *const names[] = {
        [HG_NORMAL_NFC] = "NFC",         [HG_NORMAL_NFD] = "NFD",
        [HG_NORMAL_NFKC] = "NFKC",       [HG_NORMAL_NFKD] = "NFKD",
        [HG_NORMAL_LOWER] = "Lowercase", [HG_NORMAL_ACCENTS] = "StripAccents",
        [HG_NORMAL_NMT] = "Nmt"};
    switch (st->kind) {
    case HG_NORMAL_PREPEND:
        hg_buf_puts(b, "{\"type\": \"Prepend\", \"prepend\": ");
        put_string(b, st->to, strlen(st->to));
        hg_buf_putc(b, '}');
        return;
    case HG_NORMAL_REPLACE:
        put_replace(b, st->from, st->is_pattern, st->to);
        return;
    case HG_NORMAL_STRIP:
        hg_buf_printf(b, "{\"type\": \"Strip\", \"strip_left\": %s, \"strip_right\": %s}",
                      st->left ? "true" : "false", st->right ? "true" : "false");
        return;
    case HG_NORMAL_SPACES:
        put_replace(b, "^ +|(?: |" HG_META ")+$", true, "");
        hg_buf_puts(b, ",\n    ");
        put_replace(b, " {2,}", true, " ");
        return;
    case HG_NORMAL_CHARSMAP:
        hg_buf_puts(b, "{\"type\": \"Precompiled\", \"precompiled_charsmap\": \"");
        put_base64(b, st->map);
        hg_buf_puts(b, "\"}");
        return;
    default:
        hg_buf_printf(b, "{\"type\": \"%s\"}", names[st->kind]);
    }
}

static void put_normalizer(hg_buf *b, const hg_token_parts *p)
{
    bool many = p->n_normal > 1 || (p->n_normal == 1 && p->normal[0].kind == HG_NORMAL_SPACES);
    hg_buf_puts(b, "  \"normalizer\": ");
    if (p->n_normal == 0) hg_buf_puts(b, "null");
    if (many) hg_buf_puts(b, "{\"type\": \"Sequence\", \"normalizers\": [\n    ");
    for (size_t i = 0; i < p->n_normal; i++) {
        if (i > 0) hg_buf_puts(b, ",\n    ");
        put_normal(b, &p->normal[i]);
    }
    hg_buf_puts(b, many ? "]},\n" : ",\n");
}

/* ---- pre-tokenisers ---- */

static void put_byte_level(hg_buf *b, bool prefix, bool use_regex)
{
    hg_buf_printf(b,
                  "{\"type\": \"ByteLevel\", \"add_prefix_space\": %s, \"trim_offsets\": true, "
                  "\"use_regex\": %s}",
                  prefix ? "true" : "false", use_regex ? "true" : "false");
}

static void put_split(hg_buf *b, const hg_split *s)
{
    static const char *const behavior[] = {[HG_KEEP_ALL] = "Isolated",
                                           [HG_KEEP_GAPS] = "Removed",
                                           [HG_KEEP_MATCHES] = "Removed",
                                           [HG_KEEP_WITH_PREVIOUS] = "MergedWithPrevious",
                                           [HG_KEEP_WITH_NEXT] = "MergedWithNext",
                                           [HG_KEEP_RUNS] = "Contiguous"};
    static const char *const scheme[] = {"never", "first", "always"};
    if (s->keep == HG_METASPACE) {
        hg_buf_puts(b, "{\"type\": \"Metaspace\", \"replacement\": ");
        put_string(b, s->pattern, strlen(s->pattern));
        hg_buf_printf(b, ", \"prepend_scheme\": \"%s\", \"split\": %s}", scheme[s->prepend],
                      s->cut ? "true" : "false");
        return;
    }
    hg_buf_printf(
        b, "{\"type\": \"Split\", \"pattern\": {\"%s\": ", s->is_literal ? "String" : "Regex");
    put_string(b, s->pattern, strlen(s->pattern));
    hg_buf_printf(b, "}, \"behavior\": \"%s\", \"invert\": %s}", behavior[s->keep],
                  s->invert || s->keep == HG_KEEP_MATCHES ? "true" : "false");
}

static void put_pre_tokenizer(hg_buf *b, const hg_token_parts *p)
{
    hg_buf_puts(b, "  \"pre_tokenizer\": ");
    if (!p->is_text && p->n_splits == 1 && !p->split[0].is_literal &&
        p->split[0].keep == HG_KEEP_ALL && strcmp(p->split[0].pattern, hg_pattern_gpt2) == 0) {
        put_byte_level(b, p->add_prefix_space, true);
        hg_buf_puts(b, ",\n");
        return;
    }
    if (p->is_text && p->n_splits == 0) {
        hg_buf_puts(b, "null,\n");
        return;
    }
    hg_buf_puts(b, "{\"type\": \"Sequence\", \"pretokenizers\": [");
    for (size_t i = 0; i < p->n_splits; i++) {
        hg_buf_puts(b, i > 0 ? ",\n    " : "\n    ");
        put_split(b, &p->split[i]);
    }
    if (!p->is_text) {
        hg_buf_puts(b, p->n_splits > 0 ? ",\n    " : "\n    ");
        put_byte_level(b, p->add_prefix_space, false);
    }
    hg_buf_puts(b, "]},\n");
}

/* ---- what stands around a text ---- */

static void put_special(hg_buf *b, const hg_bytes *token)
{
    hg_buf_puts(b, "{\"SpecialToken\": {\"id\": ");
    put_string(b, token->p, token->n);
    hg_buf_puts(b, ", \"type_id\": 0}}");
}

static void put_template(hg_buf *b, const hg_token_parts *p, const char *sequences)
{
    for (const char *s = sequences; *s != '\0'; s++) {
        if (s != sequences) hg_buf_puts(b, ", ");
        if (p->bos >= 0) {
            put_special(b, &p->token[p->bos]);
            hg_buf_puts(b, ", ");
        }
        hg_buf_printf(b, "{\"Sequence\": {\"id\": \"%c\", \"type_id\": 0}}", *s);
        if (p->eos >= 0) {
            hg_buf_puts(b, ", ");
            put_special(b, &p->token[p->eos]);
        }
    }
}

static void put_template_token(hg_buf *b, const hg_token_parts *p, int32_t id)
{
    put_string(b, p->token[id].p, p->token[id].n);
    hg_buf_puts(b, ": {\"id\": ");
    put_string(b, p->token[id].p, p->token[id].n);
    hg_buf_printf(b, ", \"ids\": [%d], \"tokens\": [", (int)id);
    put_string(b, p->token[id].p, p->token[id].n);
    hg_buf_puts(b, "]}");
}

static void put_post_processor(hg_buf *b, const hg_token_parts *p)
{
    if (p->bos < 0 && p->eos < 0 && p->is_text) {
        hg_buf_puts(b, "  \"post_processor\": null,\n");
        return;
    }
    if (p->bos < 0 && p->eos < 0) {
        hg_buf_puts(b,
                    "  \"post_processor\": {\"type\": \"ByteLevel\", \"add_prefix_space\": false, "
                    "\"trim_offsets\": false, \"use_regex\": false},\n");
        return;
    }
    hg_buf_puts(b, "  \"post_processor\": {\"type\": \"TemplateProcessing\", \"single\": [");
    put_template(b, p, "A");
    hg_buf_puts(b, "], \"pair\": [");
    put_template(b, p, "AB");
    hg_buf_puts(b, "], \"special_tokens\": {");
    if (p->bos >= 0) put_template_token(b, p, p->bos);
    if (p->bos >= 0 && p->eos >= 0 && p->eos != p->bos) hg_buf_puts(b, ", ");
    if (p->eos >= 0 && p->eos != p->bos) put_template_token(b, p, p->eos);
    hg_buf_puts(b, "}},\n");
}

static void put_decoder(hg_buf *b, const hg_token_parts *p)
{
    hg_buf_puts(b, "  \"decoder\": ");
    if (!p->is_text) {
        hg_buf_puts(b, "{\"type\": \"ByteLevel\", \"add_prefix_space\": true, "
                       "\"trim_offsets\": true, \"use_regex\": true},\n");
        return;
    }
    hg_buf_puts(b, "{\"type\": \"Sequence\", \"decoders\": [\n    ");
    if (p->meta_is_space) {
        put_replace(b, HG_META, false, " ");
        hg_buf_puts(b, ",\n    ");
    }
    hg_buf_puts(b, "{\"type\": \"ByteFallback\"},\n    {\"type\": \"Fuse\"}");
    if (p->drop_space)
        hg_buf_puts(b, ",\n    {\"type\": \"Strip\", \"content\": \" \", \"start\": 1, "
                       "\"stop\": 0}");
    hg_buf_puts(b, "]},\n");
}

/* ---- the model ---- */

/* A pair of tokens that make a third. */
typedef struct made_of {
    uint32_t rank;
    int32_t made, left, right;
} made_of;

static int by_rank(const void *a, const void *b)
{
    const made_of *x = a, *y = b;
    if (x->rank != y->rank) return x->rank < y->rank ? -1 : 1;
    if (x->made != y->made) return x->made < y->made ? -1 : 1;
    if (x->left != y->left) return x->left < y->left ? -1 : 1;
    return (x->right > y->right) - (x->right < y->right);
}

/* Whether a token may be a side of a merge. */
static bool may_join(const hg_tokenizer *t, int32_t id)
{
    return id >= 0 && (t->parts.flags[id] & HG_TOKEN_ADDED) == 0 && !hg_token_is_byte(t, id) &&
           id != t->parts.unk;
}

/* Where tokens are made by score there are no merges: all pairs that make a token, in its order. */
static hg_status list_pairs(const hg_tokenizer *t, made_of **out, size_t *n, hg_err *e)
{
    size_t cap = 0;
    for (size_t id = 0; id < t->parts.n; id++) {
        hg_bytes s = t->piece[id];
        if (t->rank[id] == UINT32_MAX) continue;
        for (size_t i = 1; i < s.n; i++) {
            if (t->parts.is_text && ((unsigned char)s.p[i] & 0xC0) == 0x80) continue;
            int32_t left = hg_token_find(t, s.p, i);
            int32_t right = may_join(t, left) ? hg_token_find(t, s.p + i, s.n - i) : -1;
            if (!may_join(t, right)) continue;
            if (*n == HG_MAX_MERGES)
                return hg_fail(e, HG_E_LIMIT, "its tokens can be made in more than %d ways",
                               HG_MAX_MERGES);
            HG_TRY(hg_grow(out, &cap, *n, sizeof **out, e));
            (*out)[(*n)++] = (made_of){t->rank[id], (int32_t)id, left, right};
        }
    }
    if (*n > 0) qsort(*out, *n, sizeof **out, by_rank);
    return HG_OK;
}

static hg_status each_pair(const hg_tokenizer *t, int32_t left, int32_t right, hg_buf *both,
                           size_t n, hg_token_merge_fn *fn, void *ctx, hg_err *e)
{
    const hg_bytes *l = &t->parts.token[left], *r = &t->parts.token[right];
    hg_buf_clear(both);
    hg_buf_put(both, l->p, l->n);
    hg_buf_putc(both, ' ');
    hg_buf_put(both, r->p, r->n);
    HG_TRY(hg_buf_status(both, e));
    fn(ctx, (hg_bytes){both->p, both->n}, n);
    return HG_OK;
}

hg_status hg_token_each_merge(const hg_tokenizer *t, hg_token_merge_fn *fn, void *ctx, hg_err *e)
{
    made_of *made = NULL;
    size_t n = 0, n_merges = t->parts.n_merges;
    hg_buf both = {0};
    hg_status s = t->rank != NULL ? list_pairs(t, &made, &n, e) : HG_OK;
    for (size_t i = 0; i < n_merges && s == HG_OK; i++)
        s = each_pair(t, t->pair[i].left, t->pair[i].right, &both, n_merges, fn, ctx, e);
    for (size_t i = 0; i < n && s == HG_OK; i++)
        s = each_pair(t, made[i].left, made[i].right, &both, n, fn, ctx, e);
    hg_buf_free(&both);
    hg_free(made);
    return s;
}

typedef struct listing {
    hg_buf *b;
    bool is_first;
} listing;

static void put_merge(void *ctx, hg_bytes merge, size_t n)
{
    listing *l = ctx;
    (void)n;
    hg_buf_puts(l->b, l->is_first ? "\n      " : ",\n      ");
    put_string(l->b, merge.p, merge.n);
    l->is_first = false;
}

static void put_unk(hg_buf *b, const hg_token_parts *p)
{
    if (p->unk < 0)
        hg_buf_puts(b, "null");
    else
        put_string(b, p->token[p->unk].p, p->token[p->unk].n);
}

static hg_status put_bpe(hg_buf *b, const hg_tokenizer *t, hg_err *e)
{
    const hg_token_parts *p = &t->parts;
    listing l = {b, true};
    hg_buf_puts(b, "\n    \"type\": \"BPE\", \"dropout\": null, \"unk_token\": ");
    put_unk(b, p);
    hg_buf_printf(b,
                  ",\n    \"continuing_subword_prefix\": null, \"end_of_word_suffix\": null,\n"
                  "    \"fuse_unk\": %s, \"byte_fallback\": %s, \"ignore_merges\": %s,\n"
                  "    \"vocab\": {",
                  p->fuse_unk ? "true" : "false", p->byte_fallback ? "true" : "false",
                  p->ignore_merges ? "true" : "false");
    for (size_t i = 0; i < p->n; i++) {
        if (p->token[i].n == 0) continue;
        hg_buf_puts(b, l.is_first ? "\n      " : ",\n      ");
        put_string(b, p->token[i].p, p->token[i].n);
        hg_buf_printf(b, ": %zu", i);
        l.is_first = false;
    }
    hg_buf_puts(b, "\n    },\n    \"merges\": [");
    l.is_first = true;
    HG_TRY(hg_token_each_merge(t, put_merge, &l, e));
    hg_buf_puts(b, "\n    ]\n  }\n");
    return HG_OK;
}

/* The list has every id: where there is no token, one that no text is better written with. */
static void put_unigram(hg_buf *b, const hg_token_parts *p)
{
    double lowest = 0.0;
    for (size_t i = 0; i < p->n; i++)
        if (p->score[i] < lowest) lowest = p->score[i];
    hg_buf_puts(b, "\n    \"type\": \"Unigram\", \"unk_id\": ");
    if (p->unk < 0)
        hg_buf_puts(b, "null");
    else
        hg_buf_printf(b, "%d", (int)p->unk);
    hg_buf_printf(b, ", \"byte_fallback\": %s,\n    \"vocab\": [",
                  p->byte_fallback ? "true" : "false");
    for (size_t i = 0; i < p->n; i++) {
        hg_buf_puts(b, i > 0 ? ",\n      [" : "\n      [");
        if (p->token[i].n > 0)
            put_string(b, p->token[i].p, p->token[i].n);
        else
            hg_buf_printf(b, "\"[UNUSED%zu]\"", i);
        hg_buf_printf(b, ", %.17g]", p->token[i].n > 0 ? p->score[i] : lowest);
    }
    hg_buf_puts(b, "\n    ]\n  }\n");
}

hg_status hg_tokenizer_write(const hg_tokenizer *t, hg_buf *out, hg_err *e)
{
    const hg_token_parts *p = hg_tokenizer_parts(t);
    hg_buf_puts(out, "{\n  \"version\": \"1.0\",\n  \"truncation\": null,\n  \"padding\": null,\n");
    put_added(out, p);
    put_normalizer(out, p);
    put_pre_tokenizer(out, p);
    put_post_processor(out, p);
    put_decoder(out, p);
    hg_buf_puts(out, "  \"model\": {");
    if (p->model == HG_TOKEN_UNIGRAM)
        put_unigram(out, p);
    else
        HG_TRY(put_bpe(out, t, e));
    hg_buf_puts(out, "}\n");
    return hg_buf_status(out, e);
}
