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
    HG_MAX_NORMALS = 32,
    HG_MAX_CHARSMAP = 1 << 24,
    HG_MAX_TRIE = 1 << 24, /* bytes of all tokens of a unigram model */
    HG_MAX_TOKEN_FILE = 256 << 20,
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

/* A step of normalisation; a text goes through all of them in turn. */
typedef enum hg_normal_kind {
    HG_NORMAL_NFC,
    HG_NORMAL_NFD,
    HG_NORMAL_NFKC,
    HG_NORMAL_NFKD,
    HG_NORMAL_LOWER,
    HG_NORMAL_ACCENTS, /* drops combining marks */
    HG_NORMAL_NMT,     /* SentencePiece's cleaning of control and odd space characters */
    HG_NORMAL_PREPEND, /* `to` before a text that is not empty */
    HG_NORMAL_REPLACE, /* every `from` by `to` */
    HG_NORMAL_STRIP,   /* white space at the left, at the right */
    HG_NORMAL_SPACES,  /* no space at either end, one where there are several */
    HG_NORMAL_CHARSMAP /* SentencePiece's compiled table of replacements */
} hg_normal_kind;
typedef struct hg_normal {
    hg_normal_kind kind;
    const char *from, *to; /* of PREPEND and REPLACE */
    bool is_pattern;       /* `from` is a regular expression */
    bool left, right;      /* of STRIP */
    hg_bytes map;          /* of CHARSMAP */
} hg_normal;

/* What becomes of the matches of a pattern and of what lies between. */
typedef enum hg_split_keep {
    HG_KEEP_ALL, /* each is a piece */
    HG_KEEP_GAPS,
    HG_KEEP_MATCHES,
    HG_KEEP_WITH_PREVIOUS, /* a match goes with the gap before it */
    HG_KEEP_WITH_NEXT,
    HG_KEEP_RUNS, /* matches that touch are one piece */
    HG_METASPACE  /* no pattern: spaces become `pattern`, see hg_split */
} hg_split_keep;

/* When METASPACE puts its sign before a piece that does not begin with it. */
typedef enum hg_prepend { HG_PREPEND_NEVER, HG_PREPEND_FIRST, HG_PREPEND_ALWAYS } hg_prepend;

/* One stage of pre-tokenisation. */
typedef struct hg_split {
    const char *pattern; /* as PCRE2 reads it with UTF and UCP; of METASPACE the sign */
    bool is_literal;
    hg_split_keep keep;
    bool invert;        /* of WITH_PREVIOUS, WITH_NEXT: the pattern matches the gaps */
    hg_prepend prepend; /* of METASPACE */
    bool cut;           /* of METASPACE: a piece ends before each sign */
} hg_split;

extern const char hg_pattern_gpt2[];
#define HG_META "\xE2\x96\x81" /* U+2581, how SentencePiece writes a space */

typedef enum hg_token_model {
    HG_TOKEN_MERGES,  /* BPE by a list of merges */
    HG_TOKEN_SCORES,  /* BPE where any two neighbours merge whose text is a token, highest score
                         first */
    HG_TOKEN_UNIGRAM, /* the most probable way to write a text with tokens (Kudo 2018) */
} hg_token_model;

/* Everything a tokenizer is. */
typedef struct hg_token_parts {
    hg_token_model model;
    bool is_text; /* tokens are text and characters are merged; else GPT-2's byte form, and bytes */
    const hg_bytes *token; /* [n] as written; n 0: no token has this id */
    const uint8_t *flags;  /* [n], or NULL: none */
    size_t n;
    const hg_bytes *merge; /* [n_merges] "left right", first merged first */
    size_t n_merges;
    const double *score;     /* [n] of SCORES and UNIGRAM */
    int32_t unk;             /* for what has no token, or -1 */
    bool byte_fallback;      /* ... before it the tokens <0x00> to <0xFF>, byte by byte */
    bool fuse_unk;           /* several in a row are one */
    bool single_sums;        /* UNIGRAM adds up in float, as SentencePiece does */
    bool raw_bytes;          /* broken UTF-8 goes to the byte tokens; else it is read as U+FFFD */
    const hg_normal *normal; /* [n_normal] */
    size_t n_normal;
    const hg_split *split; /* [n_splits], applied one after the other */
    size_t n_splits;
    bool ignore_merges;    /* a word that is a token is that token, whatever the merges say */
    bool add_prefix_space; /* a text that does not begin with a space gets one */
    bool meta_is_space;    /* U+2581 in a token is shown as a space */
    bool drop_space;       /* the space before a whole text is not shown */
    int32_t bos, eos;      /* put before and behind a text, or -1 */
} hg_token_parts;

/* Starts without tokens: no unk, bos and eos, everything else 0. */
void hg_token_parts_init(hg_token_parts *parts);
/* Copies all of `parts`. HG_E_FORMAT (a merge of unknown tokens, a token twice), HG_E_LIMIT,
 * HG_E_UNSUPPORTED (a byte level without ASCII, a pattern that PCRE2 refuses). */
hg_status hg_tokenizer_from_parts(hg_tokenizer **out, const hg_token_parts *parts, hg_err *e);
/* The description, owned by t; flags are never NULL, and merges are had from hg_token_each_merge
 * only. */
const hg_token_parts *hg_tokenizer_parts(const hg_tokenizer *t);

/* The token with exactly these bytes (as it stands in a normalised text), or -1. */
int32_t hg_tokenizer_find(const hg_tokenizer *t, hg_bytes bytes);
/* Whether text may be cut before every U+2581 without changing its ids. */
bool hg_tokenizer_can_cut(const hg_tokenizer *t);

/* The stages that a GGUF file names by tokenizer.ggml.pre; NULL when Higgins does not know it. */
const hg_split *hg_splits_find(const char *pre, size_t *n, bool *ignore_merges);
/* The name for a tokenizer's stages ("gpt-2" ...), its length, or 0 when none of the known ones;
 * where names differ by ignore_merges only, the right one of these. */
size_t hg_splits_name(const hg_split *split, size_t n, bool ignore_merges, char *out, size_t cap);

/* The merges of a BPE tokenizer in their order, `n` in all; where tokens are made by score, all
 * pairs that make one. `merge` lives until fn returns. */
typedef void hg_token_merge_fn(void *ctx, hg_bytes merge, size_t n);
hg_status hg_token_each_merge(const hg_tokenizer *t, hg_token_merge_fn *fn, void *ctx, hg_err *e);

/* tokenizer.json, appended to out. */
hg_status hg_tokenizer_write(const hg_tokenizer *t, hg_buf *out, hg_err *e);

/* ---- an encoder: scratch that outlives a call; one thread at a time ---- */
typedef struct hg_encoder hg_encoder;
hg_status hg_encoder_new(hg_encoder **out, const hg_tokenizer *t, hg_err *e);
void hg_encoder_free(hg_encoder *en);
/* hg_tokenizer_encode, without its set-up. */
hg_status hg_encoder_run(hg_encoder *en, hg_bytes text, bool special, hg_ids *ids, hg_err *e);
/* The same for text that follows other text, without special tokens. */
hg_status hg_encoder_go_on(hg_encoder *en, hg_bytes text, hg_ids *ids, hg_err *e);

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
/* A word; at least `room` >= n bytes may be read from p on. */
typedef hg_status hg_word_fn(void *ctx, const char *p, size_t n, size_t room, hg_err *e);
/* With `by_pattern` even the patterns that Higgins has code of its own for go through PCRE2. */
hg_status hg_splitter_new(hg_splitter **out, const hg_split *split, size_t n, bool by_pattern,
                          hg_err *e);
void hg_splitter_free(hg_splitter *s);
hg_split_scratch *hg_split_scratch_new(void); /* NULL when there is no room */
void hg_split_scratch_free(hg_split_scratch *sc);
/* Hands the words of `text`, which must be UTF-8, to fn in order; `is_start`: nothing of the whole
 * text stands before it. */
hg_status hg_splitter_run(const hg_splitter *s, hg_split_scratch *sc, const char *text, size_t n,
                          bool is_start, hg_word_fn *fn, void *ctx, hg_err *e);

/* Base64 of n characters into `out` of room for 3 bytes for 4 of them; false when it is none. */
bool hg_from_base64(const char *s, size_t n, char *out, size_t *n_out);

/* ---- other files (each parser: limits as above, sentences without the file's name) ---- */
/* SentencePiece's tokenizer.model, a protobuf. */
hg_status hg_tokenizer_parse_spm(hg_tokenizer **out, hg_bytes file, hg_err *e);
/* The steps of SentencePiece's normaliser; returns how many. */
size_t hg_spm_steps(hg_normal step[4], hg_bytes charsmap, bool one_space, bool prefix, bool escape);
/* A .tiktoken file: lines of base64 and rank. The pattern and the special tokens are not in it;
 * they follow from `name` (cl100k_base, o200k_base, gpt2 ...) or the number of ranks. */
hg_status hg_tokenizer_parse_ranks(hg_tokenizer **out, hg_bytes file, const char *name, hg_err *e);
/* GPT-2's vocab.json and merges.txt. */
hg_status hg_tokenizer_parse_pair(hg_tokenizer **out, hg_bytes vocab, hg_bytes merges, hg_err *e);

#endif
