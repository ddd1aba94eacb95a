/* Constrained output: what an answer must look like, as a GBNF grammar, a regular expression
 * or a JSON schema, and which tokens may come next so that it does.
 *
 * A grammar knows characters, not tokens. Bound to a vocabulary it fills masks: for each place in
 * the grammar it is worked out once which tokens may follow, and kept. A matcher walks one answer.
 */
#ifndef HIGGINS_GRAMMAR_H
#define HIGGINS_GRAMMAR_H

#include <higgins/tokenizer.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- grammars: immutable; may be shared by threads ---- */
typedef struct hg_grammar hg_grammar;

/* Work: what a second or two prepares; more is HG_E_LIMIT, as more states are. */
enum {
    HG_MAX_GRAMMAR_BYTES = 1 << 22,
    HG_MAX_GRAMMAR_STATES = 1 << 18,
    HG_MAX_GRAMMAR_WORK = 1 << 25
};

/* llama.cpp's dialect; the text begins with the rule `root`. HG_E_FORMAT ("line 3, column 7: ..."),
 * HG_E_LIMIT, HG_E_NOMEM; so below. */
HG_API hg_status hg_grammar_from_gbnf(hg_grammar **out, hg_bytes text, hg_err *e);
/* ECMAScript's syntax as in a schema's "pattern", but the whole text must match.
 * HG_E_UNSUPPORTED for lookaround, back references and word boundaries. */
HG_API hg_status hg_grammar_from_regex(hg_grammar **out, hg_bytes pattern, hg_err *e);
/* A JSON schema (2020-12, and older tuples): the texts it describes, each member where the schema
 * names it, at most one space or a line's beginning between the parts. HG_E_UNSUPPORTED with the
 * place ("#/properties/a: ...") for keywords that cannot be held. */
HG_API hg_status hg_grammar_from_json_schema(hg_grammar **out, hg_bytes schema, hg_err *e);
/* Any JSON value, or any object. */
HG_API hg_status hg_grammar_json(hg_grammar **out, bool object, hg_err *e);
/* One more owner, who frees it too. */
HG_API hg_grammar *hg_grammar_share(const hg_grammar *g);
HG_API void hg_grammar_free(hg_grammar *g);
/* Whether the whole text is one that the grammar describes; HG_E_NOMEM. */
HG_API hg_status hg_grammar_accepts(const hg_grammar *g, hg_bytes text, bool *yes, hg_err *e);
HG_API size_t hg_grammar_states(const hg_grammar *g); /* of the automaton: how large it is */

/* ---- a vocabulary: the tokens as a tree; immutable; may be shared by threads ---- */
typedef struct hg_vocab hg_vocab;
enum { HG_MAX_PIECE = 255 }; /* longer tokens are never allowed */
/* The first n_vocab ids of t (a model may have more logits than tokens). Special tokens are no
 * text; `ends` are those that end an answer. t is not needed afterwards. */
HG_API hg_status hg_vocab_new(hg_vocab **out, const hg_tokenizer *t, uint32_t n_vocab,
                              const int32_t *ends, size_t n_ends, hg_err *e);
/* The same from the tokens' bytes; one of no bytes is never allowed. */
HG_API hg_status hg_vocab_from_pieces(hg_vocab **out, const hg_bytes *pieces, uint32_t n_vocab,
                                      const int32_t *ends, size_t n_ends, hg_err *e);
HG_API void hg_vocab_free(hg_vocab *v);

/* ---- masks: a grammar over a vocabulary; may be shared by threads ---- */
typedef struct hg_masks hg_masks;
/* Shares g; v must outlive it. Masks are made as they are needed and kept up to max_bytes. */
HG_API hg_status hg_masks_new(hg_masks **out, const hg_grammar *g, const hg_vocab *v,
                              size_t max_bytes, hg_err *e);
HG_API void hg_masks_free(hg_masks *m);
/* Makes the masks ahead of need, place by place from the beginning, until `seconds` are over. */
HG_API hg_status hg_masks_warm(hg_masks *m, double seconds, hg_err *e);
/* The same on a thread of its own beside those who use the masks; once, by the thread that made
 * them. hg_masks_free ends it. Where the system gives no thread, masks are made as they are needed.
 */
HG_API void hg_masks_warm_begin(hg_masks *m, double seconds);
HG_API size_t hg_masks_bytes(const hg_masks *m);

/* ---- a matcher: one answer; one thread at a time; the masks must outlive it ---- */
typedef struct hg_matcher hg_matcher;
HG_API hg_status hg_matcher_new(hg_matcher **out, hg_masks *m, hg_err *e);
HG_API hg_status hg_matcher_clone(hg_matcher **out, const hg_matcher *m, hg_err *e);
HG_API void hg_matcher_free(hg_matcher *m);
/* Sets bit id % 32 of bits[id / 32] for each token that may come next and clears the others;
 * [(n_vocab + 31) / 32] words. The ends are set where the text may end. n_left (0: no limit) tokens
 * are left, this one included: only tokens after which the rest can be brought to an end are
 * set; where that is not possible any more, those after which the least is missing. HG_E_STATE
 * behind an end. */
HG_API hg_status hg_matcher_mask(hg_matcher *m, size_t n_left, uint32_t *bits, hg_err *e);
/* HG_E_STATE for a token that the mask without a limit does not hold: nothing changes. */
HG_API hg_status hg_matcher_accept(hg_matcher *m, int32_t id, hg_err *e);
HG_API void hg_matcher_rollback(hg_matcher *m, size_t n); /* the last n tokens; n or fewer came */
HG_API bool hg_matcher_may_end(const hg_matcher *m);      /* the text is whole */
HG_API bool hg_matcher_is_done(const hg_matcher *m);      /* and nothing can follow */
/* Tokens that bring the text to an end at the most, the end's own not counted. */
HG_API uint32_t hg_matcher_distance(const hg_matcher *m);
/* Appends to out[cap] the bytes that must come next while there is only one choice; returns how
 * many. The state does not change. */
HG_API size_t hg_matcher_forced(hg_matcher *m, char *out, size_t cap);

#ifdef __cplusplus
}
#endif
#endif
