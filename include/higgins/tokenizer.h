/* Text to token ids and back: BPE of bytes (GPT-2, Llama 3, Qwen ...), BPE and unigram of
 * SentencePiece (Llama 2, Gemma, T5 ...), read from every file they come in and written as Hugging
 * Face's tokenizer.json; training; conversations. */
#ifndef HIGGINS_TOKENIZER_H
#define HIGGINS_TOKENIZER_H

#include <higgins/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct hg_tokenizer hg_tokenizer; /* immutable; may be shared by threads */

/* A tokenizer.json, SentencePiece's tokenizer.model, a rank file of tiktoken, a GGUF, or a folder
 * with one of the first two or with GPT-2's vocab.json and merges.txt. */
HG_API hg_status hg_tokenizer_open(hg_tokenizer **out, const char *path, hg_err *e);
HG_API hg_status hg_tokenizer_parse(hg_tokenizer **out, hg_bytes json, hg_err *e);
HG_API void hg_tokenizer_free(hg_tokenizer *t);
HG_API uint32_t hg_tokenizer_count(const hg_tokenizer *t); /* ids, special ones too */

/* Ids of `text` appended to *ids (grown with hg's own allocator; free with hg_ids_free). Broken
 * UTF-8 is encoded byte by byte; SentencePiece's kinds read a byte that belongs to no character as
 * U+FFFD, as SentencePiece does. With `special`, the text of special tokens becomes their ids;
 * without, it stays text (what users say is encoded without). */
typedef struct hg_ids {
    int32_t *id;
    size_t n, cap;
} hg_ids;
HG_API hg_status hg_tokenizer_encode(const hg_tokenizer *t, hg_bytes text, bool special,
                                     hg_ids *ids, hg_err *e);
HG_API hg_status hg_ids_push(hg_ids *ids, int32_t id, hg_err *e);
HG_API void hg_ids_free(hg_ids *ids);

/* The bytes of one token (they need not be whole UTF-8); n 0 for an id out of range, and for
 * special tokens unless `special`. Lives as long as t. */
HG_API hg_bytes hg_tokenizer_piece(const hg_tokenizer *t, int32_t id, bool special);
HG_API int32_t hg_tokenizer_special(const hg_tokenizer *t,
                                    const char *text); /* id of a special token, or -1 */
HG_API bool hg_tokenizer_is_special(const hg_tokenizer *t, int32_t id);
/* Some tokenizers begin every text with a space that is not there: then the space that the first
 * piece of a whole text begins with is not to be shown. */
HG_API bool hg_tokenizer_drops_space(const hg_tokenizer *t);
/* The ids that the tokenizer puts before and behind every text (its post-processor), or -1.
 * Encoding does not add them: what is a text is the caller's to know. */
HG_API int32_t hg_tokenizer_bos(const hg_tokenizer *t);
HG_API int32_t hg_tokenizer_eos(const hg_tokenizer *t);

/* How a text becomes ids, step by step, for people who want to see it. Words and added tokens come
 * in the order of the text; the merges of a word come before it, in the order in which they are
 * applied. What `fn` gets lives until it returns; a failure of fn ends the walk. */
typedef enum hg_token_step_kind {
    HG_STEP_MERGE, /* left and right become made; rank is the merge's place in the list */
    HG_STEP_WORD,  /* text of a word (or a broken byte) and its ids */
    HG_STEP_ADDED  /* text of an added token, found before anything else, and its id */
} hg_token_step_kind;
typedef struct hg_token_step {
    hg_token_step_kind kind;
    hg_bytes text;
    const int32_t *ids;
    size_t n_ids;
    int32_t left, right, made;
    uint32_t rank;
} hg_token_step;
typedef hg_status hg_token_step_fn(void *ctx, const hg_token_step *step, hg_err *e);
HG_API hg_status hg_tokenizer_trace(const hg_tokenizer *t, hg_bytes text, bool special,
                                    hg_token_step_fn *fn, void *ctx, hg_err *e);

/* ---- training ---- */
typedef struct hg_tokenizer_options {
    uint32_t n_vocab;           /* with the special tokens; 257 + n_special at the least */
    const char *const *special; /* default: <|endoftext|> <|im_start|> <|im_end|> <|pad|> */
    size_t n_special;
    uint64_t max_bytes; /* of text looked at (spread evenly over the corpus); default 1 GiB */
} hg_tokenizer_options;
HG_API void hg_tokenizer_options_init(hg_tokenizer_options *o);
typedef struct hg_tokenizer_stats {
    uint64_t n_documents, n_bytes, n_words, n_unique_words;
    uint32_t n_vocab, n_merges;
    double bytes_per_token; /* on the text looked at */
    double seconds, joules;
    uint64_t peak_bytes; /* of the process */
} hg_tokenizer_stats;
/* From the text of a corpus folder (or text files) to `path`, a tokenizer.json, written whole or
 * not at all. */
HG_API hg_status hg_tokenizer_train(const char *const *sources, size_t n_sources,
                                    const hg_tokenizer_options *o, const char *path,
                                    const hg_watch *w, hg_tokenizer_stats *stats, hg_err *e);

/* ---- conversations ---- */
typedef struct hg_message {
    const char *role; /* one word: "system", "user", "assistant" ... */
    hg_bytes content;
} hg_message;
typedef struct hg_mask {
    float *weight; /* [n] of each id: 0, or how much it is learned */
    size_t n, cap;
} hg_mask;
HG_API void hg_mask_free(hg_mask *m);

/* A chat template (Jinja) made ready for a tokenizer; never changes, may be shared by threads, and
 * must end before the tokenizer. NULL: ChatML. HG_E_FORMAT (with line and column), HG_E_LIMIT,
 * HG_E_UNSUPPORTED (no template, and a tokenizer without ChatML's tokens). */
typedef struct hg_chat_format hg_chat_format;
HG_API hg_status hg_chat_format_new(hg_chat_format **out, const hg_tokenizer *t,
                                    const char *chat_template, hg_err *e);
HG_API void hg_chat_format_free(hg_chat_format *f);

/* What is rendered. Bytes that are empty are not there. */
typedef struct hg_chat_input {
    const hg_message *m; /* [n], or: */
    size_t n;
    hg_bytes messages; /* a JSON array of objects, as OpenAI writes them: role, content (text, parts
                          or null), name, tool_calls, tool_call_id, reasoning_content ... */
    hg_bytes tools;    /* a JSON array */
    hg_bytes values;   /* a JSON object of further variables, such as {"enable_thinking": false} */
    int64_t time;      /* of the template's clock, seconds since 1970; 0: now */
    bool open_answer;  /* end where the assistant is to begin */
    /* How much each of the assistant's messages is learned, in their order; NULL: 1 each. */
    const float *weights;
    size_t n_weights; /* messages behind them: 1 */
} hg_chat_input;
/* Appends the conversation's ids. Special tokens come from the template's own text alone: what a
 * message, a tool or a value says is encoded as text, whatever it looks like. `learned` (may be
 * NULL; as long as *ids) gets, for each id, the message's weight where the assistant speaks (the
 * ids are the same whatever it is), else 0. It speaks inside of the template's generation blocks,
 * or, where it has none, from where an answer would begin to the token that ends it. HG_E_ARG: a
 * conversation that the template refuses, in its words; HG_E_FORMAT: a template that fails, or
 * input that is not JSON. On failure nothing is appended. */
HG_API hg_status hg_chat_format_ids(const hg_chat_format *f, const hg_chat_input *in, hg_ids *ids,
                                    hg_mask *learned, hg_err *e);
/* The same as text, handed to `fn` once. */
typedef hg_status hg_chat_text_fn(void *ctx, hg_bytes text, hg_err *e);
HG_API hg_status hg_chat_format_text(const hg_chat_format *f, const hg_chat_input *in,
                                     hg_chat_text_fn *fn, void *ctx, hg_err *e);
/* The token that ends the assistant's turn in this format, or hg_chat_end_id. */
HG_API int32_t hg_chat_format_end(const hg_chat_format *f);

/* A format for one use. */
HG_API hg_status hg_chat_render(const hg_tokenizer *t, const char *chat_template,
                                const hg_message *m, size_t n, bool open_answer, hg_ids *ids,
                                hg_mask *learned, hg_err *e);
/* The ChatML template that Higgins gives its own models, as Jinja for tokenizer_config.json. */
HG_API const char *hg_chat_template_default(void);
/* The id that most likely ends an assistant's turn (<|im_end|> ..., or the end of text), or -1. */
HG_API int32_t hg_chat_end_id(const hg_tokenizer *t);
/* The special tokens that are known to end an answer, by their names in models' families: of a
 * turn, a call of a tool, or a text. Returns how many; HG_MAX_ENDS at the most. */
enum { HG_MAX_ENDS = 16 };
HG_API size_t hg_chat_end_ids(const hg_tokenizer *t, int32_t ids[HG_MAX_ENDS]);

#ifdef __cplusplus
}
#endif
#endif
