/* Reading tokenizer.json, the file in which Hugging Face's tokenizers keep everything: vocabulary,
 * merges, added tokens, and the pipeline around them. Higgins reads byte-level BPE (GPT-2, Llama 3,
 * Qwen, DeepSeek, Falcon's kin); what it does not read it refuses by name, since a tokenizer that
 * is nearly right is worse than none. */
#include "token/token.h"
#include "base/file.h"
#include <jansson.h>
#include <string.h>

enum { MAX_FILE = 256 << 20 };

/* The description while it is put together. */
typedef struct draft {
    hg_arena mem;
    hg_bytes *token;
    uint8_t *flags;
    size_t n;
    hg_split split[HG_MAX_SPLITS];
    bool has_byte_level;
    hg_token_parts parts;
} draft;

static hg_status no_room(hg_err *e)
{
    return hg_fail(e, HG_E_NOMEM, "no room to read the tokenizer");
}

/* ---- small questions to JSON ---- */

static const char *text_of(const json_t *o, const char *key)
{
    return json_string_value(json_object_get(o, key)); /* NULL when missing or no string */
}

static const char *type_of(const json_t *o)
{
    const char *type = text_of(o, "type");
    return type != NULL ? type : "without a type";
}

static bool is_type(const json_t *o, const char *type)
{
    return strcmp(type_of(o), type) == 0;
}

static bool flag_of(const json_t *o, const char *key, bool missing)
{
    const json_t *v = json_object_get(o, key);
    return json_is_boolean(v) ? json_boolean_value(v) : missing;
}

static bool has_text(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);
    return json_is_string(v) && json_string_length(v) > 0;
}

static hg_status get_id(const json_t *v, const char *what, int32_t *id, hg_err *e)
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

static hg_status count_ids(draft *d, json_t *vocab, const json_t *added, hg_err *e)
{
    const char *key;
    json_t *value;
    size_t i;
    int32_t id = 0;
    json_object_foreach(vocab, key, value)
    {
        HG_TRY(get_id(value, "model.vocab", &id, e));
        if ((size_t)id >= d->n) d->n = (size_t)id + 1;
    }
    json_array_foreach(added, i, value)
    {
        HG_TRY(get_id(json_object_get(value, "id"), "added_tokens", &id, e));
        if ((size_t)id >= d->n) d->n = (size_t)id + 1;
    }
    /* Holes are allowed, but a file must not make us take memory for ids it does not name. */
    if (d->n / 4 > json_object_size(vocab) + json_array_size(added) + 256)
        return hg_fail(e, HG_E_FORMAT, "model.vocab: ids up to %zu for %zu tokens", d->n - 1,
                       json_object_size(vocab));
    return HG_OK;
}

static hg_status read_vocab(draft *d, json_t *vocab, hg_err *e)
{
    const char *key;
    json_t *value;
    json_object_foreach(vocab, key, value)
    {
        size_t id = (size_t)json_integer_value(value), n = strlen(key);
        if (d->token[id].n > 0)
            return hg_fail(e, HG_E_FORMAT, "model.vocab: two tokens have the id %zu", id);
        const char *copy = hg_arena_strndup(&d->mem, key, n);
        if (copy == NULL) return no_room(e);
        d->token[id] = (hg_bytes){copy, n};
    }
    return HG_OK;
}

static hg_status read_added_one(draft *d, const json_t *a, hg_err *e)
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
    if (copy == NULL) return no_room(e);
    d->token[id] = (hg_bytes){copy, n};
    d->flags[id] = (uint8_t)flags;
    return HG_OK;
}

static hg_status read_tokens(draft *d, json_t *vocab, const json_t *added, hg_err *e)
{
    HG_TRY(count_ids(d, vocab, added, e));
    d->token = HG_NEW(&d->mem, hg_bytes, d->n);
    d->flags = HG_NEW(&d->mem, uint8_t, d->n);
    if (d->token == NULL || d->flags == NULL) return no_room(e);
    HG_TRY(read_vocab(d, vocab, e));
    size_t i;
    const json_t *a;
    json_array_foreach(added, i, a) HG_TRY(read_added_one(d, a, e));
    return HG_OK;
}

/* A merge is "left right" or, in newer files, ["left", "right"]. */
static hg_status read_merge(draft *d, const json_t *m, size_t i, hg_bytes *out, hg_err *e)
{
    const json_t *left = json_array_get(m, 0), *right = json_array_get(m, 1);
    char *copy = NULL;
    if (json_is_string(m)) {
        out->n = json_string_length(m);
        copy = hg_arena_strndup(&d->mem, json_string_value(m), out->n);
    } else if (json_is_string(left) && json_is_string(right) && json_array_size(m) == 2) {
        out->n = json_string_length(left) + json_string_length(right) + 1;
        copy = hg_arena_printf(&d->mem, "%s %s", json_string_value(left), json_string_value(right));
    } else {
        return hg_fail(e, HG_E_FORMAT,
                       "model.merges: merge %zu is neither \"left right\" nor a "
                       "pair of strings",
                       i);
    }
    if (copy == NULL) return no_room(e);
    out->n = strlen(copy);
    out->p = copy;
    return HG_OK;
}

static hg_status read_merges(draft *d, const json_t *merges, hg_err *e)
{
    size_t n = json_array_size(merges), i;
    if (!json_is_array(merges))
        return hg_fail(e, HG_E_FORMAT, "model.merges: missing; a BPE model has a list of merges");
    if (n > HG_MAX_MERGES)
        return hg_fail(e, HG_E_LIMIT, "model.merges: %zu merges; at most %d allowed", n,
                       HG_MAX_MERGES);
    hg_bytes *merge = HG_NEW(&d->mem, hg_bytes, n);
    if (merge == NULL) return no_room(e);
    const json_t *m;
    json_array_foreach(merges, i, m) HG_TRY(read_merge(d, m, i, &merge[i], e));
    d->parts.merge = merge;
    d->parts.n_merges = n;
    return HG_OK;
}

static hg_status read_model(draft *d, const json_t *root, hg_err *e)
{
    const json_t *model = json_object_get(root, "model");
    json_t *vocab = json_object_get(model, "vocab");
    if (!json_is_object(model))
        return hg_fail(e, HG_E_FORMAT, "this is no tokenizer.json: it has no \"model\"");
    /* Old files leave the type out; a BPE model is known by its merges. */
    if (json_object_get(model, "type") != NULL && !is_type(model, "BPE"))
        return hg_fail(e, HG_E_UNSUPPORTED,
                       "a tokenizer of type %.40s; Higgins reads byte-level BPE", type_of(model));
    if (!json_is_object(vocab))
        return hg_fail(e, HG_E_FORMAT, "model.vocab: missing; a BPE model maps tokens to ids");
    if (has_text(model, "continuing_subword_prefix") || has_text(model, "end_of_word_suffix"))
        return hg_fail(e, HG_E_UNSUPPORTED,
                       "a BPE tokenizer that marks the parts of words (prefix "
                       "or suffix); Higgins reads byte-level BPE");
    HG_TRY(read_tokens(d, vocab, json_object_get(root, "added_tokens"), e));
    d->parts.ignore_merges = flag_of(model, "ignore_merges", false);
    return read_merges(d, json_object_get(model, "merges"), e);
}

/* ---- the pipeline ---- */

static hg_status read_normalizer(draft *d, const json_t *o, hg_err *e)
{
    static const char *const names[] = {"", "NFC", "NFD", "NFKC", "NFKD"};
    if (o == NULL || json_is_null(o)) return HG_OK;
    const json_t *list = json_object_get(o, "normalizers");
    if (is_type(o, "Sequence") && json_array_size(list) <= 1)
        return read_normalizer(d, json_array_get(list, 0), e);
    for (int k = HG_NORMAL_NFC; k <= HG_NORMAL_NFKD; k++) {
        if (!is_type(o, names[k])) continue;
        d->parts.normal = (hg_normal)k;
        return HG_OK;
    }
    return hg_fail(e, HG_E_UNSUPPORTED,
                   "normalizer %.40s; Higgins knows NFC, NFD, NFKC, NFKD or none", type_of(o));
}

static hg_status add_split(draft *d, const char *pattern, bool is_literal, hg_split_keep keep,
                           hg_err *e)
{
    if (d->parts.n_splits == HG_MAX_SPLITS)
        return hg_fail(e, HG_E_LIMIT, "pre_tokenizer: more than %d stages", HG_MAX_SPLITS);
    const char *copy = hg_arena_strndup(&d->mem, pattern, strlen(pattern));
    if (copy == NULL) return no_room(e);
    d->split[d->parts.n_splits++] = (hg_split){copy, is_literal, keep};
    return HG_OK;
}

static hg_status read_split(draft *d, const json_t *o, hg_err *e)
{
    const json_t *pattern = json_object_get(o, "pattern");
    const char *regex = text_of(pattern, "Regex"), *literal = text_of(pattern, "String");
    const char *behavior = text_of(o, "behavior");
    bool invert = flag_of(o, "invert", false);
    hg_split_keep keep = HG_KEEP_ALL;
    if (regex == NULL && literal == NULL)
        return hg_fail(e, HG_E_FORMAT, "pre_tokenizer: a Split without a pattern");
    if (behavior != NULL && strcmp(behavior, "Removed") == 0)
        keep = invert ? HG_KEEP_MATCHES : HG_KEEP_GAPS;
    else if (behavior == NULL || strcmp(behavior, "Isolated") != 0)
        return hg_fail(e, HG_E_UNSUPPORTED,
                       "pre_tokenizer: a Split with behavior %.40s; Higgins knows Isolated and "
                       "Removed",
                       behavior != NULL ? behavior : "(none)");
    return add_split(d, regex != NULL ? regex : literal, regex == NULL, keep, e);
}

static hg_status read_byte_level(draft *d, const json_t *o, hg_err *e)
{
    bool prefix = flag_of(o, "add_prefix_space", true);
    if (prefix && d->parts.n_splits > 0)
        return hg_fail(e, HG_E_UNSUPPORTED,
                       "pre_tokenizer: add_prefix_space behind another stage "
                       "(a space before every piece) is not supported");
    d->parts.add_prefix_space = prefix;
    d->has_byte_level = true;
    if (!flag_of(o, "use_regex", true)) return HG_OK;
    return add_split(d, hg_pattern_gpt2, false, HG_KEEP_ALL, e);
}

static hg_status read_pre_tokenizer(draft *d, const json_t *o, int depth, hg_err *e)
{
    if (o == NULL || json_is_null(o)) return HG_OK;
    if (is_type(o, "Sequence") && depth < 4) {
        const json_t *list = json_object_get(o, "pretokenizers"), *stage;
        size_t i;
        json_array_foreach(list, i, stage) HG_TRY(read_pre_tokenizer(d, stage, depth + 1, e));
        return HG_OK;
    }
    if (d->has_byte_level)
        return hg_fail(e, HG_E_UNSUPPORTED,
                       "pre_tokenizer: stage %.40s behind ByteLevel; Higgins wants ByteLevel last",
                       type_of(o));
    if (is_type(o, "ByteLevel")) return read_byte_level(d, o, e);
    if (is_type(o, "Split")) return read_split(d, o, e);
    if (is_type(o, "Digits"))
        return add_split(d, flag_of(o, "individual_digits", false) ? "\\p{N}" : "\\p{N}+", false,
                         HG_KEEP_ALL, e);
    return hg_fail(e, HG_E_UNSUPPORTED,
                   "pre_tokenizer: %.40s; Higgins knows Split, Digits and ByteLevel", type_of(o));
}

/* The id of the one special token that stands before or behind a text. */
static hg_status set_around(int32_t *slot, const json_t *id, hg_err *e)
{
    if (*slot >= 0)
        return hg_fail(e, HG_E_UNSUPPORTED,
                       "post_processor: more than one token before or behind a text");
    return get_id(id, "post_processor", slot, e);
}

static hg_status read_template(draft *d, const json_t *o, hg_err *e)
{
    const json_t *tokens = json_object_get(o, "special_tokens"), *item;
    int32_t *slot = &d->parts.bos;
    size_t i;
    json_array_foreach(json_object_get(o, "single"), i, item)
    {
        if (json_object_get(item, "Sequence") != NULL) {
            slot = &d->parts.eos;
            continue;
        }
        const char *name = text_of(json_object_get(item, "SpecialToken"), "id");
        const json_t *ids =
            json_object_get(json_object_get(tokens, name != NULL ? name : ""), "ids");
        if (json_array_size(ids) != 1)
            return hg_fail(e, HG_E_UNSUPPORTED,
                           "post_processor: the template's token %.40s is not one id",
                           name != NULL ? name : "(none)");
        HG_TRY(set_around(slot, json_array_get(ids, 0), e));
    }
    return HG_OK;
}

static hg_status read_post_processor(draft *d, const json_t *o, int depth, hg_err *e)
{
    if (o == NULL || json_is_null(o) || is_type(o, "ByteLevel")) return HG_OK;
    if (is_type(o, "Sequence") && depth < 4) {
        const json_t *stage;
        size_t i;
        json_array_foreach(json_object_get(o, "processors"), i, stage)
            HG_TRY(read_post_processor(d, stage, depth + 1, e));
        return HG_OK;
    }
    if (is_type(o, "TemplateProcessing")) return read_template(d, o, e);
    if (is_type(o, "RobertaProcessing") || is_type(o, "BertProcessing")) {
        HG_TRY(set_around(&d->parts.bos, json_array_get(json_object_get(o, "cls"), 1), e));
        return set_around(&d->parts.eos, json_array_get(json_object_get(o, "sep"), 1), e);
    }
    return hg_fail(e, HG_E_UNSUPPORTED, "post_processor: %.40s is not known to Higgins",
                   type_of(o));
}

static hg_status read_root(draft *d, const json_t *root, hg_err *e)
{
    d->parts.bos = d->parts.eos = -1;
    HG_TRY(read_model(d, root, e));
    HG_TRY(read_normalizer(d, json_object_get(root, "normalizer"), e));
    HG_TRY(read_pre_tokenizer(d, json_object_get(root, "pre_tokenizer"), 0, e));
    if (!d->has_byte_level)
        return hg_fail(e, HG_E_UNSUPPORTED,
                       "a BPE tokenizer without a ByteLevel pre_tokenizer "
                       "(SentencePiece's kind?); Higgins reads byte-level "
                       "BPE");
    HG_TRY(read_post_processor(d, json_object_get(root, "post_processor"), 0, e));
    d->parts.token = d->token;
    d->parts.flags = d->flags;
    d->parts.n = d->n;
    d->parts.split = d->split;
    return HG_OK;
}

hg_status hg_tokenizer_parse(hg_tokenizer **out, hg_bytes json, hg_err *e)
{
    json_error_t why;
    draft d = {0};
    *out = NULL;
    if (json.n > MAX_FILE)
        return hg_fail(e, HG_E_LIMIT, "a tokenizer.json of %zu bytes; at most %d allowed", json.n,
                       MAX_FILE);
    json_t *root = json_loadb(json.p, json.n, 0, &why);
    if (root == NULL)
        return hg_fail(e, HG_E_FORMAT, "not JSON: line %d, column %d: %.120s", why.line, why.column,
                       why.text);
    hg_arena_init(&d.mem, 0);
    hg_status status = read_root(&d, root, e);
    if (status == HG_OK) status = hg_tokenizer_from_parts(out, &d.parts, e);
    json_decref(root);
    hg_arena_free(&d.mem);
    return status;
}

hg_status hg_tokenizer_open(hg_tokenizer **out, const char *path, hg_err *e)
{
    hg_buf text = {0};
    hg_err why = {0};
    *out = NULL;
    hg_status status = hg_file_read(&text, path, MAX_FILE, e);
    if (status == HG_OK) {
        status = hg_tokenizer_parse(out, (hg_bytes){text.p, text.n}, &why);
        if (status != HG_OK) (void)hg_fail(e, status, "%s: %.400s", path, why.msg);
    }
    hg_buf_free(&text);
    return status;
}
