/* ELIZA, the program of Joseph Weizenbaum's paper (Communications of the ACM 9(1), January 1966):
 * an engine that runs any script of that form, two scripts of our own, and a look at what it
 * thinks. A model of conversation without weights: the first one that one can see through. */
#ifndef HIGGINS_ELIZA_H
#define HIGGINS_ELIZA_H

#include <higgins/infer.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    HG_ELIZA_MAX_SCRIPT = 1 << 20, /* bytes of a script */
    HG_ELIZA_MAX_INPUT = 1 << 23,  /* bytes of one input */
    HG_ELIZA_MAX_WORDS = 1 << 20,  /* of an input, and of what rules make of it */
    HG_ELIZA_MAX_MEMORIES = 4096,  /* kept at a time; while they are full nothing is added */
    HG_ELIZA_MAX_EVENTS = 2000     /* kept of one reply's trace */
};

/* ---- scripts: read once, never changed, may be shared by threads ---- */
typedef struct hg_eliza_script hg_eliza_script;

/* What is wrong with a script, in parts. */
typedef struct hg_eliza_flaw {
    size_t line;      /* 0: of the script as a whole */
    char rule[64];    /* the keyword whose rule it is in, or "" */
    char remedy[192]; /* what would be right */
} hg_eliza_flaw;

/* Reads a script's text. HG_E_FORMAT: the sentence ("Script error on line 3: expected ')'") and, in
 * *flaw (may be NULL), its parts; HG_E_LIMIT over HG_ELIZA_MAX_SCRIPT. */
HG_API hg_status hg_eliza_script_parse(hg_eliza_script **out, hg_bytes text, hg_eliza_flaw *flaw,
                                       hg_err *e);
/* The script of a model's name: "eliza" or "eliza:en" (ours, in English), "eliza:fr" (ours, in
 * French), "eliza:PATH" (a file's). Sentences about a file's flaws begin with its path and end with
 * the rule and the remedy. HG_E_ARG when it is no such name. */
HG_API hg_status hg_eliza_script_open(hg_eliza_script **out, const char *model, hg_err *e);
/* Whether a model's name asks for ELIZA: "eliza", or anything behind "eliza:". */
HG_API bool hg_eliza_is_name(const char *model);
HG_API void hg_eliza_script_free(hg_eliza_script *s); /* NULL is fine */
/* What ELIZA says first; may be empty. */
HG_API hg_bytes hg_eliza_opening(const hg_eliza_script *s);
/* The keywords, in the order of the script; NONE and MEMORY are not among them. */
HG_API size_t hg_eliza_n_keywords(const hg_eliza_script *s);
HG_API hg_bytes hg_eliza_keyword(const hg_eliza_script *s, size_t i);
/* The rule of a word, NONE and MEMORY too, as the script has it; empty when there is none. */
HG_API hg_bytes hg_eliza_rule(const hg_eliza_script *s, hg_bytes word);
/* How much there is of everything. */
typedef struct hg_eliza_size {
    size_t rules, substitutions, tags, decompositions, reassemblies, links, pres, newkeys;
} hg_eliza_size;
HG_API hg_eliza_size hg_eliza_script_size(const hg_eliza_script *s);

/* ---- a conversation; one thread at a time ---- */
typedef struct hg_eliza hg_eliza;
typedef struct hg_eliza_options {
    uint64_t max_steps; /* transformations of one reply; a script that needs more is stopped */
    uint64_t max_work;  /* words looked at and written for one reply, in all */
    bool trace;         /* keep the events of each reply */
    /* What other machines did; all off: the program of the paper. */
    bool six_letters;    /* (*A B) compares pieces of six letters, as the words of a 7094 were */
    bool none_for_stuck; /* where no rule applies the NONE rule answers, not a fixed message */
    bool stuck_newkey;   /* NEWKEY with nothing left gives a fixed message, not the NONE rule */
    bool commas_apart; /* "REALLY , EVERYONE": a comma stands alone, as the listing of 1965 types */
} hg_eliza_options;
HG_API void hg_eliza_options_init(hg_eliza_options *o); /* 1 000 000, 2^28, all off */

/* The script must outlive the conversation. `o` may be NULL. */
HG_API hg_status hg_eliza_new(hg_eliza **out, const hg_eliza_script *s, const hg_eliza_options *o,
                              hg_err *e);
HG_API void hg_eliza_free(hg_eliza *el); /* NULL is fine */
/* Answers one input; broken UTF-8 is read as U+FFFD. *reply (upper case, no full stop, may be
 * empty) lives until the next call. HG_E_LIMIT: the script would not end, or input or words are
 * over their limits; the conversation may go on. */
HG_API hg_status hg_eliza_reply(hg_eliza *el, hg_bytes input, hg_bytes *reply, hg_err *e);
/* What waits to be recalled, oldest first. */
HG_API size_t hg_eliza_n_memories(const hg_eliza *el);
HG_API hg_bytes hg_eliza_memory(const hg_eliza *el, size_t i);

/* ---- what it thought: the events of the last reply, in their order ---- */
typedef enum hg_eliza_kind {
    HG_ELIZA_READ,       /* text: the input as words; n: LIMIT, 1 to 4 */
    HG_ELIZA_QUEUE,      /* part: memories that waited when the input came */
    HG_ELIZA_DISCARD,    /* text: words given up; other: the delimiter at which */
    HG_ELIZA_KEYWORD,    /* text: a keyword found; n: its rank; is_top: went on top of the stack */
    HG_ELIZA_SUBSTITUTE, /* text became other */
    HG_ELIZA_STACK,      /* text: the words that are left; part: the keystack, top first */
    HG_ELIZA_TRY,        /* text: the keyword taken from the stack */
    HG_ELIZA_MATCH,      /* text: the decomposition, the n-th of `of`; part: its pieces */
    HG_ELIZA_NO_MATCH,   /* text: a keyword none of whose decompositions fits; n of them */
    HG_ELIZA_REASSEMBLE, /* text: the reassembly used, the n-th of `of` */
    HG_ELIZA_LINK,       /* text: the keyword that goes on in its place */
    HG_ELIZA_PRE,        /* text: the words as they are now; other: the keyword that goes on */
    HG_ELIZA_NEWKEY,     /* gives up this keyword; is_top: the stack is empty */
    HG_ELIZA_REMEMBER,   /* text: a memory laid down by the n-th form (by the hash of other) */
    HG_ELIZA_NO_MEMORY,  /* text: the n-th form's decomposition, which does not fit */
    HG_ELIZA_RECALL,     /* text: the memory that is the reply */
    HG_ELIZA_NONE,       /* the NONE rule answers */
    HG_ELIZA_STUCK,      /* text: the fixed message of LIMIT n */
    HG_ELIZA_REPLY,      /* text: the reply */
    HG_ELIZA_CUT         /* n more events came than are kept */
} hg_eliza_kind;
typedef struct hg_eliza_event {
    hg_eliza_kind kind;
    hg_bytes text, other;
    uint32_t n, of;
    bool is_top;
    const hg_bytes *part;
    size_t n_parts;
} hg_eliza_event;
/* With options.trace; they live until the next reply. */
HG_API const hg_eliza_event *hg_eliza_events(const hg_eliza *el, size_t *n);
HG_API const char *hg_eliza_kind_name(hg_eliza_kind kind); /* "keyword", for JSON */

/* The events of the last reply as lines to read: `put` gets their bits in order. A label begins a
 * line; the bits behind it stand beside each other. */
typedef enum hg_eliza_ink {
    HG_ELIZA_INK_LABEL, /* "keyword": what the line is about */
    HG_ELIZA_INK_TEXT,
    HG_ELIZA_INK_WORD,
    HG_ELIZA_INK_KEY,
    HG_ELIZA_INK_PIECE, /* of a match: its `piece`-th item, the first is 1 */
    HG_ELIZA_INK_GONE,  /* words that are given up */
    HG_ELIZA_INK_MEMORY,
    HG_ELIZA_INK_NOTE, /* a remark beside the rest, with a space around it */
    HG_ELIZA_INK_REPLY
} hg_eliza_ink;
typedef void hg_eliza_ink_fn(void *ctx, hg_eliza_ink ink, uint32_t piece, hg_bytes text);
HG_API void hg_eliza_tell(const hg_eliza *el, hg_eliza_ink_fn *put, void *ctx);

/* The same as one HTML file: new, add after each reply of a conversation that is traced, write. */
typedef struct hg_eliza_page hg_eliza_page;
HG_API hg_status hg_eliza_page_new(hg_eliza_page **out, const hg_eliza_script *s, const char *name,
                                   hg_err *e);
HG_API void hg_eliza_page_add(hg_eliza_page *p, const hg_eliza *el, hg_bytes input, hg_bytes reply);
HG_API hg_status hg_eliza_page_write(hg_eliza_page *p, const char *path, hg_err *e);
HG_API void hg_eliza_page_free(hg_eliza_page *p); /* NULL is fine */

/* ---- ELIZA as a model ---- */

/* As hg_engine_run, with the messages of a conversation in place of ids: a fresh session hears what
 * its users said, one message after the other, and on_text gets the last reply in words (the
 * opening when nobody spoke) before this returns. Words count as tokens. Of the request max_tokens,
 * stop, on_text, cancel and ctx are heeded; sampling has no meaning. HG_E_ARG for what only weights
 * could do: a constraint, log-probabilities, adapters. Any number of threads may share the script.
 */
HG_API hg_status hg_eliza_answer(const hg_eliza_script *s, const hg_message *m, size_t n,
                                 const hg_request *r, hg_finish *finish, hg_usage *usage,
                                 hg_err *e);

#ifdef __cplusplus
}
#endif
#endif
