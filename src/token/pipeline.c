/* What a tokenizer.json says besides its vocabulary: normalisers, pre-tokenisers, the decoder and
 * the tokens put around a text. What Higgins does not know it refuses by name, since a tokenizer
 * that is nearly right is worse than none. */
#include "token/draft.h"

static const char *keep_text(hg_draft *d, const char *s)
{
    return hg_arena_strndup(&d->mem, s, strlen(s));
}

/* ---- normalisers ---- */

static hg_status add_normal(hg_draft *d, hg_normal step, hg_err *e)
{
    if (d->parts.n_normal == HG_MAX_NORMALS)
        return hg_fail(e, HG_E_LIMIT, "normalizer: more than %d steps", HG_MAX_NORMALS);
    d->normal[d->parts.n_normal++] = step;
    return HG_OK;
}

static hg_status read_replace(hg_draft *d, const json_t *o, hg_err *e)
{
    const json_t *pattern = json_object_get(o, "pattern");
    const char *regex = text_of(pattern, "Regex"), *literal = text_of(pattern, "String");
    const char *to = text_of(o, "content"), *from = regex != NULL ? regex : literal;
    if (from == NULL || to == NULL)
        return hg_fail(e, HG_E_FORMAT, "normalizer: a Replace without pattern or content");
    hg_normal step = {.kind = HG_NORMAL_REPLACE,
                      .from = keep_text(d, from),
                      .to = keep_text(d, to),
                      .is_pattern = regex != NULL};
    return step.from == NULL || step.to == NULL ? hg_draft_full(e) : add_normal(d, step, e);
}

static hg_status read_precompiled(hg_draft *d, const json_t *o, hg_err *e)
{
    const char *text = text_of(o, "precompiled_charsmap");
    hg_normal step = {.kind = HG_NORMAL_CHARSMAP};
    if (text == NULL || text[0] == '\0') return HG_OK;
    size_t n = strlen(text);
    char *map = HG_NEW_RAW(&d->mem, char, n);
    if (map == NULL) return hg_draft_full(e);
    if (!hg_from_base64(text, n, map, &step.map.n))
        return hg_fail(e, HG_E_FORMAT, "normalizer: its precompiled_charsmap is no base64");
    step.map.p = map;
    return add_normal(d, step, e);
}

static hg_status read_normalizer(hg_draft *d, const json_t *o, int depth, hg_err *e)
{
    static const struct {
        const char *type;
        hg_normal_kind kind;
    } plain[] = {{"NFC", HG_NORMAL_NFC},         {"NFD", HG_NORMAL_NFD},
                 {"NFKC", HG_NORMAL_NFKC},       {"NFKD", HG_NORMAL_NFKD},
                 {"Lowercase", HG_NORMAL_LOWER}, {"StripAccents", HG_NORMAL_ACCENTS},
                 {"Nmt", HG_NORMAL_NMT}};
    if (o == NULL || json_is_null(o)) return HG_OK;
    if (is_type(o, "Sequence") && depth < 4) {
        const json_t *step;
        size_t i;
        json_array_foreach(json_object_get(o, "normalizers"), i, step)
            HG_TRY(read_normalizer(d, step, depth + 1, e));
        return HG_OK;
    }
    for (size_t i = 0; i < sizeof plain / sizeof plain[0]; i++)
        if (is_type(o, plain[i].type)) return add_normal(d, (hg_normal){.kind = plain[i].kind}, e);
    if (is_type(o, "Replace")) return read_replace(d, o, e);
    if (is_type(o, "Precompiled")) return read_precompiled(d, o, e);
    if (is_type(o, "Strip"))
        return add_normal(d,
                          (hg_normal){.kind = HG_NORMAL_STRIP,
                                      .left = flag_of(o, "strip_left", true),
                                      .right = flag_of(o, "strip_right", true)},
                          e);
    if (is_type(o, "Prepend") && text_of(o, "prepend") != NULL) {
        hg_normal step = {.kind = HG_NORMAL_PREPEND, .to = keep_text(d, text_of(o, "prepend"))};
        return step.to == NULL ? hg_draft_full(e) : add_normal(d, step, e);
    }
    return hg_fail(e, HG_E_UNSUPPORTED,
                   "normalizer %.40s; Higgins knows NFC, NFD, NFKC, NFKD, Lowercase, StripAccents, "
                   "Nmt, Replace, Prepend, Strip and Precompiled",
                   type_of(o));
}

/* ---- pre-tokenisers ---- */

static hg_status add_split(hg_draft *d, hg_split split, hg_err *e)
{
    if (d->parts.n_splits == HG_MAX_SPLITS)
        return hg_fail(e, HG_E_LIMIT, "pre_tokenizer: more than %d stages", HG_MAX_SPLITS);
    split.pattern = keep_text(d, split.pattern);
    if (split.pattern == NULL) return hg_draft_full(e);
    d->split[d->parts.n_splits++] = split;
    return HG_OK;
}

static hg_status add_pattern(hg_draft *d, const char *pattern, hg_split_keep keep, hg_err *e)
{
    return add_split(d, (hg_split){.pattern = pattern, .keep = keep}, e);
}

/* What becomes of the matches. */
static hg_status read_behavior(const json_t *o, hg_split *s, hg_err *e)
{
    static const struct {
        const char *name;
        hg_split_keep keep;
    } rows[] = {{"Isolated", HG_KEEP_ALL},
                {"Removed", HG_KEEP_GAPS},
                {"MergedWithPrevious", HG_KEEP_WITH_PREVIOUS},
                {"MergedWithNext", HG_KEEP_WITH_NEXT},
                {"Contiguous", HG_KEEP_RUNS}};
    const char *name = text_of(o, "behavior");
    for (size_t i = 0; name != NULL && i < sizeof rows / sizeof rows[0]; i++) {
        if (strcmp(rows[i].name, name) != 0) continue;
        s->keep = rows[i].keep;
        if (s->keep == HG_KEEP_GAPS && s->invert) s->keep = HG_KEEP_MATCHES;
        if (s->keep == HG_KEEP_MATCHES || s->keep == HG_KEEP_ALL) s->invert = false;
        return HG_OK;
    }
    return hg_fail(e, HG_E_UNSUPPORTED,
                   "pre_tokenizer: a Split with behavior %.40s; Higgins knows Isolated, Removed, "
                   "MergedWithPrevious, MergedWithNext and Contiguous",
                   name != NULL ? name : "(none)");
}

static hg_status read_split(hg_draft *d, const json_t *o, hg_err *e)
{
    const json_t *pattern = json_object_get(o, "pattern");
    const char *regex = text_of(pattern, "Regex"), *literal = text_of(pattern, "String");
    if (regex == NULL && literal == NULL)
        return hg_fail(e, HG_E_FORMAT, "pre_tokenizer: a Split without a pattern");
    hg_split s = {.pattern = regex != NULL ? regex : literal,
                  .is_literal = regex == NULL,
                  .invert = flag_of(o, "invert", false)};
    HG_TRY(read_behavior(o, &s, e));
    return add_split(d, s, e);
}

static hg_status read_byte_level(hg_draft *d, const json_t *o, hg_err *e)
{
    bool prefix = flag_of(o, "add_prefix_space", true);
    if (prefix && d->parts.n_splits > 0)
        return hg_fail(e, HG_E_UNSUPPORTED,
                       "pre_tokenizer: add_prefix_space behind another stage "
                       "(a space before every piece) is not supported");
    d->parts.add_prefix_space = prefix;
    d->has_byte_level = true;
    if (!flag_of(o, "use_regex", true)) return HG_OK;
    return add_pattern(d, hg_pattern_gpt2, HG_KEEP_ALL, e);
}

/* Newer files say when the sign is put before a text, older ones whether. */
static hg_prepend prepend_of(const json_t *o)
{
    const char *scheme = text_of(o, "prepend_scheme");
    if (scheme == NULL)
        return flag_of(o, "add_prefix_space", true) ? HG_PREPEND_ALWAYS : HG_PREPEND_NEVER;
    if (strcmp(scheme, "never") == 0) return HG_PREPEND_NEVER;
    return strcmp(scheme, "first") == 0 ? HG_PREPEND_FIRST : HG_PREPEND_ALWAYS;
}

static hg_status read_metaspace(hg_draft *d, const json_t *o, hg_err *e)
{
    const char *sign = text_of(o, "replacement");
    for (size_t i = 0; i < d->parts.n_splits; i++)
        if (d->split[i].keep == HG_METASPACE)
            return hg_fail(e, HG_E_UNSUPPORTED, "pre_tokenizer: two Metaspaces");
    return add_split(d,
                     (hg_split){.pattern = sign != NULL ? sign : HG_META,
                                .keep = HG_METASPACE,
                                .prepend = prepend_of(o),
                                .cut = flag_of(o, "split", true)},
                     e);
}

#define PUNCTUATION "[\\p{P}!-/:-@\\[-`{-~]"

/* The pre-tokenisers that are a pattern; false: this is none of them. */
static hg_status read_named(hg_draft *d, const json_t *o, bool *known, hg_err *e)
{
    *known = true;
    if (is_type(o, "Digits"))
        return add_pattern(d, flag_of(o, "individual_digits", false) ? "\\p{N}" : "\\p{N}+",
                           HG_KEEP_ALL, e);
    if (is_type(o, "Whitespace")) return add_pattern(d, "\\w+|[^\\w\\s]+", HG_KEEP_MATCHES, e);
    if (is_type(o, "WhitespaceSplit")) return add_pattern(d, "\\s+", HG_KEEP_GAPS, e);
    if (is_type(o, "BertPreTokenizer")) {
        HG_TRY(add_pattern(d, "\\s+", HG_KEEP_GAPS, e));
        return add_pattern(d, PUNCTUATION, HG_KEEP_ALL, e);
    }
    if (is_type(o, "Punctuation")) {
        hg_split s = {.pattern = PUNCTUATION};
        if (text_of(o, "behavior") != NULL) HG_TRY(read_behavior(o, &s, e));
        return add_split(d, s, e);
    }
    if (is_type(o, "CharDelimiterSplit") && text_of(o, "delimiter") != NULL)
        return add_split(d,
                         (hg_split){.pattern = text_of(o, "delimiter"),
                                    .is_literal = true,
                                    .keep = HG_KEEP_GAPS},
                         e);
    *known = false;
    return HG_OK;
}

static hg_status read_pre_tokenizer(hg_draft *d, const json_t *o, int depth, hg_err *e)
{
    bool known;
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
    if (is_type(o, "Metaspace")) return read_metaspace(d, o, e);
    HG_TRY(read_named(d, o, &known, e));
    if (known) return HG_OK;
    return hg_fail(e, HG_E_UNSUPPORTED,
                   "pre_tokenizer: %.40s; Higgins knows Split, ByteLevel, Metaspace, Digits, "
                   "Punctuation, Whitespace, WhitespaceSplit, BertPreTokenizer and "
                   "CharDelimiterSplit",
                   type_of(o));
}

/* ---- decoders ---- */

static bool is_text_of(const json_t *o, const char *key, const char *want)
{
    const char *s = text_of(o, key);
    return s != NULL && strcmp(s, want) == 0;
}

/* Of a decoder only two things are to be known: whether the sign for a space becomes one, and
 * whether the first space of a text is dropped. Bytes are joined in any case. */
static hg_status read_decoder(hg_draft *d, const json_t *o, int depth, hg_err *e)
{
    if (o == NULL || json_is_null(o) || is_type(o, "ByteLevel") || is_type(o, "ByteFallback") ||
        is_type(o, "Fuse"))
        return HG_OK;
    if (is_type(o, "Sequence") && depth < 4) {
        const json_t *step;
        size_t i;
        json_array_foreach(json_object_get(o, "decoders"), i, step)
            HG_TRY(read_decoder(d, step, depth + 1, e));
        return HG_OK;
    }
    if (is_type(o, "Metaspace")) {
        d->parts.meta_is_space = true;
        d->parts.drop_space = prepend_of(o) != HG_PREPEND_NEVER;
        return HG_OK;
    }
    if (is_type(o, "Replace") && is_text_of(o, "content", " ") &&
        is_text_of(json_object_get(o, "pattern"), "String", HG_META)) {
        d->parts.meta_is_space = true;
        return HG_OK;
    }
    if (is_type(o, "Strip") && is_text_of(o, "content", " ") &&
        json_integer_value(json_object_get(o, "stop")) == 0) {
        d->parts.drop_space = json_integer_value(json_object_get(o, "start")) == 1;
        return HG_OK;
    }
    return hg_fail(e, HG_E_UNSUPPORTED,
                   "decoder: %.40s; Higgins knows ByteLevel, Metaspace, ByteFallback, Fuse, Strip "
                   "of one space and Replace of U+2581 by a space",
                   type_of(o));
}

/* ---- the post-processor ---- */

/* The id of the one special token that stands before or behind a text. */
static hg_status set_around(int32_t *slot, const json_t *id, hg_err *e)
{
    if (*slot >= 0)
        return hg_fail(e, HG_E_UNSUPPORTED,
                       "post_processor: more than one token before or behind a text");
    return hg_draft_id(id, "post_processor", slot, e);
}

static hg_status read_template(hg_draft *d, const json_t *o, hg_err *e)
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

static hg_status read_post_processor(hg_draft *d, const json_t *o, int depth, hg_err *e)
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

/* Gemma's files split at spaces when none are left any more. */
static void drop_idle_splits(hg_draft *d)
{
    const hg_normal *last = d->parts.n_normal > 0 ? &d->normal[d->parts.n_normal - 1] : NULL;
    bool no_spaces = last != NULL && last->kind == HG_NORMAL_REPLACE && !last->is_pattern &&
                     strcmp(last->from, " ") == 0 && strchr(last->to, ' ') == NULL;
    size_t n = 0;
    for (size_t i = 0; i < d->parts.n_splits; i++) {
        const hg_split *s = &d->split[i];
        bool idle = no_spaces && s->is_literal && strcmp(s->pattern, " ") == 0 &&
                    s->keep != HG_KEEP_MATCHES && !s->invert;
        if (!idle) d->split[n++] = *s;
    }
    d->parts.n_splits = n;
}

hg_status hg_draft_pipeline(hg_draft *d, const json_t *root, hg_err *e)
{
    HG_TRY(read_normalizer(d, json_object_get(root, "normalizer"), 0, e));
    HG_TRY(read_pre_tokenizer(d, json_object_get(root, "pre_tokenizer"), 0, e));
    HG_TRY(read_decoder(d, json_object_get(root, "decoder"), 0, e));
    HG_TRY(read_post_processor(d, json_object_get(root, "post_processor"), 0, e));
    d->parts.is_text = !d->has_byte_level;
    drop_idle_splits(d);
    d->parts.split = d->split;
    d->parts.normal = d->normal;
    return HG_OK;
}
