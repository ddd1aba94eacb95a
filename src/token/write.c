/* Writing tokenizer.json, so that what Higgins trains opens in everybody's tools, and what it read
 * from a GGUF file can be given on in a folder. */
#include "token/token.h"
#include <stdio.h>
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

static void put_added(hg_buf *b, const hg_token_parts *p)
{
    bool first = true;
    hg_buf_puts(b, "  \"added_tokens\": [");
    for (size_t i = 0; i < p->n; i++) {
        uint8_t f = p->flags[i];
        if ((f & HG_TOKEN_ADDED) == 0) continue;
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

static void put_normalizer(hg_buf *b, hg_normal normal)
{
    static const char *const names[] = {"", "NFC", "NFD", "NFKC", "NFKD"};
    if (normal == HG_NORMAL_NONE)
        hg_buf_puts(b, "  \"normalizer\": null,\n");
    else
        hg_buf_printf(b, "  \"normalizer\": {\"type\": \"%s\"},\n", names[normal]);
}

static void put_byte_level(hg_buf *b, bool prefix, bool use_regex)
{
    hg_buf_printf(b,
                  "{\"type\": \"ByteLevel\", \"add_prefix_space\": %s, \"trim_offsets\": true, "
                  "\"use_regex\": %s}",
                  prefix ? "true" : "false", use_regex ? "true" : "false");
}

static void put_pre_tokenizer(hg_buf *b, const hg_token_parts *p)
{
    hg_buf_puts(b, "  \"pre_tokenizer\": ");
    if (p->n_splits == 1 && !p->split[0].is_literal && p->split[0].keep == HG_KEEP_ALL &&
        strcmp(p->split[0].pattern, hg_pattern_gpt2) == 0) {
        put_byte_level(b, p->add_prefix_space, true);
        hg_buf_puts(b, ",\n");
        return;
    }
    hg_buf_puts(b, "{\"type\": \"Sequence\", \"pretokenizers\": [");
    for (size_t i = 0; i < p->n_splits; i++) {
        const hg_split *s = &p->split[i];
        hg_buf_printf(b, "\n    {\"type\": \"Split\", \"pattern\": {\"%s\": ",
                      s->is_literal ? "String" : "Regex");
        put_string(b, s->pattern, strlen(s->pattern));
        hg_buf_printf(b, "}, \"behavior\": \"%s\", \"invert\": %s},",
                      s->keep == HG_KEEP_ALL ? "Isolated" : "Removed",
                      s->keep == HG_KEEP_MATCHES ? "true" : "false");
    }
    hg_buf_puts(b, "\n    ");
    put_byte_level(b, p->add_prefix_space, false);
    hg_buf_puts(b, "]},\n");
}

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

static void put_model(hg_buf *b, const hg_token_parts *p)
{
    bool first = true;
    hg_buf_printf(b,
                  "  \"model\": {\n    \"type\": \"BPE\", \"dropout\": null, \"unk_token\": null,\n"
                  "    \"continuing_subword_prefix\": null, \"end_of_word_suffix\": null,\n"
                  "    \"fuse_unk\": false, \"byte_fallback\": false, \"ignore_merges\": %s,\n"
                  "    \"vocab\": {",
                  p->ignore_merges ? "true" : "false");
    for (size_t i = 0; i < p->n; i++) {
        if (p->token[i].n == 0) continue;
        hg_buf_puts(b, first ? "\n      " : ",\n      ");
        put_string(b, p->token[i].p, p->token[i].n);
        hg_buf_printf(b, ": %zu", i);
        first = false;
    }
    hg_buf_puts(b, "\n    },\n    \"merges\": [");
    for (size_t i = 0; i < p->n_merges; i++) {
        hg_buf_puts(b, i > 0 ? ",\n      " : "\n      ");
        put_string(b, p->merge[i].p, p->merge[i].n);
    }
    hg_buf_puts(b, "\n    ]\n  }\n");
}

hg_status hg_tokenizer_write(const hg_tokenizer *t, hg_buf *out, hg_err *e)
{
    const hg_token_parts *p = hg_tokenizer_parts(t);
    hg_buf_puts(out, "{\n  \"version\": \"1.0\",\n  \"truncation\": null,\n  \"padding\": null,\n");
    put_added(out, p);
    put_normalizer(out, p->normal);
    put_pre_tokenizer(out, p);
    put_post_processor(out, p);
    hg_buf_puts(out, "  \"decoder\": {\"type\": \"ByteLevel\", \"add_prefix_space\": true, "
                     "\"trim_offsets\": true, \"use_regex\": true},\n");
    put_model(out, p);
    hg_buf_puts(out, "}\n");
    return hg_buf_status(out, e);
}
