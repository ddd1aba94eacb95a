/* Reading tokenizer.json, the file in which Hugging Face's tokenizers keep everything: vocabulary,
 * merges or scores, added tokens, and the pipeline around them (pipeline.c). The long parts are
 * read by lift.c; the JSON library sees the rest. */
#include "token/draft.h"
#include "token/lift.h"

hg_status hg_draft_id(const json_t *v, const char *what, int32_t *id, hg_err *e)
{
    json_int_t i = json_integer_value(v);
    if (!json_is_integer(v) || i < 0)
        return hg_fail(e, HG_E_FORMAT, "%s: an id must be a whole number from 0", what);
    if (i >= HG_MAX_TOKENS)
        return hg_fail(e, HG_E_LIMIT, "%s: id %lld; at most %d allowed", what, (long long)i,
                       HG_MAX_TOKENS - 1);
    *id = (int32_t)i;
    return HG_OK;
}

/* ---- vocabulary and added tokens ---- */

static hg_status count_ids(hg_draft *d, const hg_lifted *l, const json_t *added, hg_err *e)
{
    const json_t *value;
    size_t i;
    int32_t id = 0;
    for (i = 0; i < l->n_tokens; i++) {
        if (l->token[i].id >= HG_MAX_TOKENS)
            return hg_fail(e, HG_E_LIMIT, "model.vocab: id %lld; at most %d allowed",
                           (long long)l->token[i].id, HG_MAX_TOKENS - 1);
        if ((size_t)l->token[i].id >= d->n) d->n = (size_t)l->token[i].id + 1;
    }
    json_array_foreach(added, i, value)
    {
        HG_TRY(hg_draft_id(json_object_get(value, "id"), "added_tokens", &id, e));
        if ((size_t)id >= d->n) d->n = (size_t)id + 1;
    }
    /* Holes are allowed, but a file must not make us take memory for ids it does not name. */
    if (d->n / 4 > l->n_tokens + json_array_size(added) + 256)
        return hg_fail(e, HG_E_FORMAT, "model.vocab: ids up to %zu for %zu tokens", d->n - 1,
                       l->n_tokens);
    return HG_OK;
}

static hg_status read_added_one(hg_draft *d, const json_t *a, hg_err *e)
{
    const json_t *content = json_object_get(a, "content");
    size_t id = (size_t)json_integer_value(json_object_get(a, "id"));
    size_t n = json_string_length(content);
    if (!json_is_string(content) || n == 0)
        return hg_fail(e, HG_E_FORMAT, "added_tokens: token %zu has no content", id);
    bool special = flag_of(a, "special", false);
    unsigned flags = HG_TOKEN_ADDED;
    if (special) flags |= HG_TOKEN_SPECIAL;
    if (flag_of(a, "lstrip", false)) flags |= HG_TOKEN_LSTRIP;
    if (flag_of(a, "rstrip", false)) flags |= HG_TOKEN_RSTRIP;
    if (flag_of(a, "single_word", false)) flags |= HG_TOKEN_WORD;
    if (flag_of(a, "normalized", !special)) flags |= HG_TOKEN_NORMALIZED;
    const char *copy = hg_arena_strndup(&d->mem, json_string_value(content), n);
    if (copy == NULL) return hg_draft_full(e);
    d->token[id] = (hg_bytes){copy, n};
    d->flags[id] = (uint8_t)flags;
    return HG_OK;
}

static hg_status read_tokens(hg_draft *d, const hg_lifted *l, const json_t *added, hg_err *e)
{
    HG_TRY(count_ids(d, l, added, e));
    d->token = HG_NEW(&d->mem, hg_bytes, d->n);
    d->flags = HG_NEW(&d->mem, uint8_t, d->n);
    d->score = l->is_list ? HG_NEW(&d->mem, double, d->n) : NULL;
    if (d->token == NULL || d->flags == NULL || (l->is_list && d->score == NULL))
        return hg_draft_full(e);
    for (size_t i = 0; i < l->n_tokens; i++) {
        const hg_lifted_token *t = &l->token[i];
        if (d->token[t->id].n > 0)
            return hg_fail(e, HG_E_FORMAT, "model.vocab: two tokens have the id %zu",
                           (size_t)t->id);
        d->token[t->id] = t->text;
        if (l->is_list) d->score[t->id] = t->score;
    }
    size_t i;
    const json_t *a;
    json_array_foreach(added, i, a) HG_TRY(read_added_one(d, a, e));
    d->parts.token = d->token;
    d->parts.flags = d->flags;
    d->parts.score = d->score;
    d->parts.n = d->n;
    return HG_OK;
}

/* ---- the model ---- */

static bool has_text(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);
    return json_is_string(v) && json_string_length(v) > 0;
}

static void find_unk(hg_draft *d, const char *text)
{
    for (size_t i = 0; text != NULL && i < d->n && d->parts.unk < 0; i++)
        if (d->token[i].n == strlen(text) && memcmp(d->token[i].p, text, d->token[i].n) == 0)
            d->parts.unk = (int32_t)i;
}

static hg_status read_bpe(hg_draft *d, const json_t *model, const hg_lifted *l, hg_err *e)
{
    if (!l->has_vocab || l->is_list)
        return hg_fail(e, HG_E_FORMAT, "model.vocab: missing; a BPE model maps tokens to ids");
    if (has_text(model, "continuing_subword_prefix") || has_text(model, "end_of_word_suffix"))
        return hg_fail(e, HG_E_UNSUPPORTED,
                       "a BPE tokenizer that marks the parts of words (prefix or suffix); Higgins "
                       "reads those that do not");
    if (!l->has_merges)
        return hg_fail(e, HG_E_FORMAT, "model.merges: missing; a BPE model has a list of merges");
    d->parts.model = HG_TOKEN_MERGES;
    d->parts.merge = l->merge;
    d->parts.n_merges = l->n_merges;
    d->parts.ignore_merges = flag_of(model, "ignore_merges", false);
    return HG_OK;
}

static hg_status read_unigram(hg_draft *d, const json_t *model, const hg_lifted *l, hg_err *e)
{
    const json_t *unk = json_object_get(model, "unk_id");
    if (!l->is_list)
        return hg_fail(e, HG_E_FORMAT,
                       "model.vocab: missing; a Unigram model has a list of [\"text\", score]");
    d->parts.model = HG_TOKEN_UNIGRAM;
    d->parts.fuse_unk = true;
    return unk == NULL || json_is_null(unk) ? HG_OK
                                            : hg_draft_id(unk, "model.unk_id", &d->parts.unk, e);
}

static hg_status read_model(hg_draft *d, const json_t *root, const hg_lifted *l, hg_err *e)
{
    const json_t *model = json_object_get(root, "model");
    if (!json_is_object(model))
        return hg_fail(e, HG_E_FORMAT, "this is no tokenizer.json: it has no \"model\"");
    /* Old files leave the type out; a BPE model is known by its merges. */
    bool is_unigram = is_type(model, "Unigram");
    if (json_object_get(model, "type") != NULL && !is_type(model, "BPE") && !is_unigram)
        return hg_fail(e, HG_E_UNSUPPORTED,
                       "a tokenizer of type %.40s; Higgins reads BPE and Unigram", type_of(model));
    HG_TRY(is_unigram ? read_unigram(d, model, l, e) : read_bpe(d, model, l, e));
    HG_TRY(read_tokens(d, l, json_object_get(root, "added_tokens"), e));
    d->parts.byte_fallback = flag_of(model, "byte_fallback", false);
    if (!is_unigram) {
        d->parts.fuse_unk = flag_of(model, "fuse_unk", false);
        find_unk(d, text_of(model, "unk_token"));
    }
    return HG_OK;
}

static hg_status read_root(hg_draft *d, const json_t *root, const hg_lifted *l, hg_err *e)
{
    hg_token_parts_init(&d->parts);
    HG_TRY(read_model(d, root, l, e));
    HG_TRY(hg_draft_pipeline(d, root, e));
    if (d->parts.is_text || d->parts.model != HG_TOKEN_UNIGRAM) return HG_OK;
    return hg_fail(
        e, HG_E_UNSUPPORTED,
        "a Unigram tokenizer with a ByteLevel pre_tokenizer; Higgins reads BPE of bytes");
}

/* Where the JSON library finds the mistake. */
static hg_status say_syntax(hg_bytes json, hg_err *e)
{
    json_error_t why;
    json_t *root = json_loadb(json.p, json.n, 0, &why);
    if (root == NULL)
        return hg_fail(e, HG_E_FORMAT, "not JSON: line %d, column %d: %.120s", why.line, why.column,
                       why.text);
    json_decref(root);
    return hg_fail(e, HG_E_FORMAT, "this is no tokenizer.json: it has no \"model\"");
}

hg_status hg_tokenizer_parse(hg_tokenizer **out, hg_bytes json, hg_err *e)
{
    json_error_t why;
    hg_draft d = {0};
    hg_lifted l = {0};
    bool is_syntax = false;
    *out = NULL;
    if (json.n > HG_MAX_TOKEN_FILE)
        return hg_fail(e, HG_E_LIMIT, "a tokenizer.json of %zu bytes; at most %d allowed", json.n,
                       HG_MAX_TOKEN_FILE);
    hg_arena_init(&d.mem, 0);
    hg_status status = hg_lift(&l, json, &d.mem, &is_syntax, e);
    json_t *root = status == HG_OK ? json_loadb(l.rest.p, l.rest.n, 0, &why) : NULL;
    if (is_syntax || (status == HG_OK && root == NULL))
        status = say_syntax(json, e);
    else if (status == HG_OK)
        status = read_root(&d, root, &l, e);
    if (status == HG_OK) status = hg_tokenizer_from_parts(out, &d.parts, e);
    json_decref(root);
    hg_lifted_free(&l);
    hg_arena_free(&d.mem);
    return status;
}
