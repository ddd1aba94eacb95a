/* What the rest of the library may know of a tokenizer: the description it was made from (which
 * file formats read and write), the splitter into words, and an encoder that keeps its scratch. */
#ifndef HG_TOKEN_TOKEN_H
#define HG_TOKEN_TOKEN_H

#include <higgins/tokenizer.h>
#include "base/mem.h"

/* Limits on what a file may claim; over them HG_E_LIMIT. */
enum {
    HG_MAX_TOKENS = 1 << 20,
    HG_MAX_MERGES = 1 << 21,
    HG_MAX_TOKEN_BYTES = 1 << 14, /* of one token as written */
    HG_MAX_SPLITS = 16,
    HG_MAX_PATTERN = 1 << 15,
    HG_MAX_ENCODE = 1 << 30 /* bytes of text in one call */
};

/* Flags of a token. An added token is looked for in the text before anything else, and its text is
 * meant literally; every other token is written in GPT-2's byte-to-unicode form. */
enum {
    HG_TOKEN_ADDED = 1,
    HG_TOKEN_SPECIAL = 2, /* always with ADDED */
    HG_TOKEN_LSTRIP = 4,  /* takes the white space before it */
    HG_TOKEN_RSTRIP = 8,
    HG_TOKEN_WORD = 16,      /* only where no letter or digit touches it */
    HG_TOKEN_NORMALIZED = 32 /* looked for in the text once it is normalised */
};

typedef enum hg_normal {
    HG_NORMAL_NONE,
    HG_NORMAL_NFC,
    HG_NORMAL_NFD,
    HG_NORMAL_NFKC,
    HG_NORMAL_NFKD
} hg_normal;

typedef enum hg_split_keep { HG_KEEP_ALL, HG_KEEP_GAPS, HG_KEEP_MATCHES } hg_split_keep;

/* One stage of pre-tokenisation: what the pattern matches and what lies between become pieces. */
typedef struct hg_split {
    const char *pattern; /* as PCRE2 reads it with UTF and UCP */
    bool is_literal;
    hg_split_keep keep;
} hg_split;

extern const char hg_pattern_gpt2[];

/* Everything a byte-level BPE tokenizer is. */
typedef struct hg_token_parts {
    const hg_bytes *token; /* [n] as written; n 0: no token has this id */
    const uint8_t *flags;  /* [n], or NULL: none */
    size_t n;
    const hg_bytes *merge; /* [n_merges] "left right", first merged first */
    size_t n_merges;
    const hg_split *split; /* [n_splits], applied one after the other */
    size_t n_splits;
    hg_normal normal;
    bool ignore_merges;    /* a word that is a token is that token, whatever the merges say */
    bool add_prefix_space; /* a text that does not begin with a space gets one */
    int32_t bos, eos;      /* put before and behind a text, or -1 */
} hg_token_parts;

/* Copies all of `parts`. HG_E_FORMAT (a merge of unknown tokens, a token twice), HG_E_LIMIT,
 * HG_E_UNSUPPORTED (ASCII without tokens, a pattern that PCRE2 refuses). */
hg_status hg_tokenizer_from_parts(hg_tokenizer **out, const hg_token_parts *parts, hg_err *e);
/* The description, owned by t; flags are never NULL. */
const hg_token_parts *hg_tokenizer_parts(const hg_tokenizer *t);

/* The stages that a GGUF file names by tokenizer.ggml.pre; NULL when Higgins does not know it. */
const hg_split *hg_splits_find(const char *pre, size_t *n, bool *ignore_merges);
/* The name for a tokenizer's stages ("gpt-2" ...), or NULL when none of the known ones. */
const char *hg_splits_name(const hg_split *split, size_t n);

/* tokenizer.json, appended to out. */
hg_status hg_tokenizer_write(const hg_tokenizer *t, hg_buf *out, hg_err *e);

/* ---- an encoder: scratch that outlives a call; one thread at a time ---- */
typedef struct hg_encoder hg_encoder;
hg_status hg_encoder_new(hg_encoder **out, const hg_tokenizer *t, hg_err *e);
void hg_encoder_free(hg_encoder *en);
/* hg_tokenizer_encode, without its set-up. */
hg_status hg_encoder_run(hg_encoder *en, hg_bytes text, bool special, hg_ids *ids, hg_err *e);

/* ---- GPT-2's byte-to-unicode form ---- */
/* Appends the bytes in that form. */
void hg_token_show(hg_buf *out, const char *p, size_t n);
/* Back to bytes, into `out` of room for n; false when a character is none of the 256. */
bool hg_token_unshow(const char *p, size_t n, char *out, size_t *n_out);
/* The place of a byte in GPT-2's alphabet (printable ones first), 0 to 255, and back. */
unsigned hg_token_rank(unsigned char byte);
unsigned char hg_token_byte(unsigned rank);

/* Length of the well-formed UTF-8 character at p (n bytes are left), 0 when there is none. */
size_t hg_token_utf8(const char *p, size_t n, uint32_t *cp);
bool hg_token_is_space(uint32_t cp); /* Unicode's White_Space */

/* ---- the splitter ---- */
typedef struct hg_splitter hg_splitter; /* compiled; may be shared by threads */
typedef struct hg_split_scratch hg_split_scratch;
typedef hg_status hg_word_fn(void *ctx, const char *p, size_t n, hg_err *e);
/* With `by_pattern` even the patterns that Higgins has code of its own for go through PCRE2. */
hg_status hg_splitter_new(hg_splitter **out, const hg_split *split, size_t n, bool by_pattern,
                          hg_err *e);
void hg_splitter_free(hg_splitter *s);
hg_split_scratch *hg_split_scratch_new(void); /* NULL when there is no room */
void hg_split_scratch_free(hg_split_scratch *sc);
/* Hands the words of `text`, which must be UTF-8, to fn in order. */
hg_status hg_splitter_run(const hg_splitter *s, hg_split_scratch *sc, const char *text, size_t n,
                          hg_word_fn *fn, void *ctx, hg_err *e);

#endif
