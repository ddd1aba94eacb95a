/* What is remembered of a collection for its card: counts, and a few examples of each thing. Its
 * size is fixed whatever is collected. */
#ifndef HG_DATA_TALLY_H
#define HG_DATA_TALLY_H

#include "base/hash.h"
#include "data/corpus.h"
#include "data/kind.h"
#include "data/quality.h"

/* Why something was left out: files and records first, then documents; HG_WHY_RULE + r: rule r. */
typedef enum hg_why {
    HG_WHY_BINARY,
    HG_WHY_OTHER,
    HG_WHY_UNREADABLE,
    HG_WHY_MALFORMED,
    HG_WHY_TOO_LONG,
    HG_WHY_NEAR_EMPTY,
    HG_WHY_DUPLICATE,
    HG_WHY_RULE,
    HG_N_WHY = HG_WHY_RULE + HG_N_RULES
} hg_why;
const char *hg_why_name(hg_why w); /* "near_empty" */
const char *hg_why_text(hg_why w); /* what it means, a clause */

enum { HG_EXAMPLES = 4, HG_SAMPLES = 8, HG_SAMPLE_BYTES = 900, HG_NAMES = 256, HG_LENGTHS = 22 };

typedef struct hg_reason {
    uint64_t n;
    hg_buf example[HG_EXAMPLES]; /* a source, or a sentence */
} hg_reason;

typedef struct hg_named {
    char name[128];
    uint64_t n_documents, n_chars;
} hg_named;

/* Names in the order they came; those behind HG_NAMES are one, "(others)". */
typedef struct hg_names {
    hg_named *item; /* [HG_NAMES] */
    size_t n;
} hg_names;

typedef struct hg_sample {
    hg_hash128 hash;
    hg_buf title, source, text;
    bool is_cut;
} hg_sample;

typedef struct hg_source {
    const char *name; /* the caller's */
    uint64_t n_files, n_bytes, n_documents, n_dropped, n_chars;
} hg_source;

typedef struct hg_tally {
    hg_reason reason[HG_N_WHY];
    hg_source *source; /* [n_sources] */
    size_t n_sources;
    hg_names licences, langs;
    uint64_t n_files_of[HG_KIND_BINARY + 1];
    uint64_t script[HG_N_SCRIPTS];
    uint64_t length[HG_LENGTHS]; /* documents of 2^i to 2^(i+1) - 1 characters */
    hg_sample sample[HG_SAMPLES];
    size_t n_samples;
    hg_collect_stats stats;
} hg_tally;

hg_status hg_tally_init(hg_tally *t, const char *const *sources, size_t n, hg_err *e);
void hg_tally_free(hg_tally *t);
/* Something of source i was left out; `what` is its name or the sentence that says why. */
void hg_tally_drop(hg_tally *t, size_t i, hg_why why, hg_bytes what);
/* A document of source i was kept. */
void hg_tally_keep(hg_tally *t, size_t i, const hg_doc *doc, const hg_figures *f, hg_hash128 hash);
/* HG_E_NOMEM when some example could not be kept. */
hg_status hg_tally_status(const hg_tally *t, hg_err *e);

#endif
