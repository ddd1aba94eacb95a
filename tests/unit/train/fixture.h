/* What the trainer's tests start from: a small corpus, a tokenizer trained on it, and a runtime. */
#ifndef HG_TESTS_TRAIN_FIXTURE_H
#define HG_TESTS_TRAIN_FIXTURE_H

#include "harness/test.h"
#include "model/model.h"
#include "train/trainer.h"
#include <higgins/train.h>

/* Writes `text` into the case's folder and returns the path. */
const char *fixture_file(const char *name, const char *text);
/* Some 20 KB of English-like sentences in 40 documents, as JSON lines. */
const char *fixture_corpus(void);
/* A tokenizer.json of 320 tokens trained on it. */
const char *fixture_tokenizer(const char *corpus);
const char *fixture_chats(void);
hg_runtime *fixture_runtime(int n_threads);

/* Runs with `set` (ends with NULL) over a model of 2 layers, width 32, rows of 32 tokens, 4 rows a
 * batch. */
hg_status fixture_train(hg_runtime *rt, const hg_watch *w, bool resume, const char *out,
                        const char *const *set, hg_train_result *r, hg_err *e);
/* The same as one of several ranks. */
hg_status fixture_train_ranks(hg_runtime *rt, hg_ranks *ranks, const hg_watch *w, bool resume,
                              const char *out, const char *const *set, hg_train_result *r,
                              hg_err *e);
/* Fine-tunes `base` on fixture_chats(). */
hg_status fixture_tune(hg_runtime *rt, const hg_watch *w, bool resume, const char *base,
                       const char *out, const char *const *set, hg_train_result *r, hg_err *e);
/* A watch that stops after `steps` calls of progress in the stage "training". */
hg_watch *fixture_stop_after(int steps);
/* A watch that keeps the log's lines in one text. */
hg_watch *fixture_listen(hg_buf *lines);
/* Writes a random model of the tokenizer's vocabulary. */
void fixture_model(const char *out, uint32_t width, uint32_t n_layers);
/* The memory that was said before a run: no more than 5 percent below its peak, nor 20 above
 * it. Not under a sanitizer, whose own memory would be counted, too. */
void fixture_check_plan(const hg_train_result *r);
bool fixture_same_file(const char *a, const char *b);

#endif
