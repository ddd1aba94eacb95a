/* What the files that render conversations share: chat.c (the format), chat_values.c (what the
 * template sees), chat_spans.c (what is learned), chat_ids.c (text to ids). */
#ifndef HG_TOKEN_CHAT_H
#define HG_TOKEN_CHAT_H

#include "jinja/jinja.h"
#include "token/inner.h"

enum { HG_MAX_CHAT_JSON = 64 << 20 }; /* bytes of messages, tools or values */

struct hg_chat_format {
    const hg_tokenizer *t;
    hg_jinja *jinja;
    int32_t bos, eos; /* what the template calls bos_token and eos_token, or -1 */
    int32_t end;      /* of the assistant's turn */
    bool takes_parts; /* content may be a list of parts */
};

/* ---- chat_values.c ---- */
typedef struct chat_values {
    const hg_chat_input *in;
    json_t *messages, *tools, *values; /* parsed, or NULL */
    size_t n;                          /* messages */
} chat_values;
hg_status hg_chat_values_read(chat_values *v, const hg_chat_input *in, hg_err *e);
void hg_chat_values_free(chat_values *v);
bool hg_chat_is_answer(const chat_values *v, size_t i); /* the assistant says message i */
/* The mark of what the assistant says in its message number `ordinal`. */
uint8_t hg_chat_mark(size_t ordinal);
/* Renders the first n messages in a run that is fresh or reset. */
hg_status hg_chat_text(const hg_chat_format *f, jrun *r, const chat_values *v, size_t n, bool open,
                       hg_jinja_text *out, hg_err *e);

/* ---- chat_spans.c ---- */
typedef struct chat_special {
    size_t begin, end; /* with the white space that it takes */
    int32_t id;        /* -1: no token; the text is cut at `end` */
} chat_special;
typedef struct chat_specials {
    chat_special *v;
    size_t n, cap;
} chat_specials;
/* The special tokens that the template wrote, and cuts through those that it did not. */
hg_status hg_chat_find_specials(const hg_tokenizer *t, const hg_jinja_text *text,
                                chat_specials *out, hg_err *e);
/* learn[text.n]: for the bytes that the assistant generates the number of its message, from 1 (as
 * far as that can be counted in 16 bits); else 0. */
hg_status hg_chat_spans(const hg_chat_format *f, const chat_values *v, const hg_jinja_text *text,
                        const chat_specials *s, uint16_t *learn, hg_err *e);
bool hg_chat_is_end(const hg_chat_format *f, int32_t id);

/* ---- chat_ids.c ---- */
/* `mask` may be NULL; it gets the weights that `in` gives the messages that `learn` names. */
hg_status hg_chat_encode(const hg_tokenizer *t, const hg_chat_input *in, hg_bytes text,
                         const chat_specials *s, const uint16_t *learn, hg_ids *ids, hg_mask *mask,
                         hg_err *e);

#endif
