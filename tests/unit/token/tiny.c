#include "tiny.h"

#include <string.h>

static hg_buf text, shown;

hg_bytes tiny_json(const char *vocab, const char *merges, const char *pre, const char *more)
{
    hg_buf_clear(&text);
    hg_buf_puts(&text, "{");
    hg_buf_puts(&text, more);
    hg_buf_printf(&text, "\"pre_tokenizer\": %s, \"model\": {\"type\": \"BPE\", \"vocab\": {",
                  pre != NULL ? pre : "{\"type\": \"ByteLevel\", \"add_prefix_space\": false}");
    for (unsigned i = 0; i < 256; i++) {
        char c = (char)hg_token_byte(i);
        hg_buf_puts(&text, i > 0 ? ", \"" : "\"");
        if (c == '"' || c == '\\') hg_buf_putc(&text, '\\');
        hg_token_show(&text, &c, 1);
        hg_buf_printf(&text, "\": %u", i);
    }
    if (vocab[0] != '\0') hg_buf_printf(&text, ", %s", vocab);
    hg_buf_printf(&text, "}, \"merges\": [%s]}}", merges);
    return (hg_bytes){text.p, text.n};
}

hg_tokenizer *tiny(const char *vocab, const char *merges, const char *pre, const char *more)
{
    hg_tokenizer *t = NULL;
    hg_err e;
    CHECK_OK(hg_tokenizer_parse(&t, tiny_json(vocab, merges, pre, more), &e), e);
    return t;
}

const char *tiny_ids(const hg_tokenizer *t, const char *p, size_t n, bool special)
{
    hg_ids ids = {0};
    hg_err e;
    CHECK_OK(hg_tokenizer_encode(t, (hg_bytes){p, n}, special, &ids, &e), e);
    hg_buf_clear(&shown);
    hg_buf_puts(&shown, "");
    for (size_t i = 0; i < ids.n; i++)
        hg_buf_printf(&shown, "%s%d", i > 0 ? " " : "", (int)ids.id[i]);
    hg_ids_free(&ids);
    return shown.n > 0 ? shown.p : "";
}
