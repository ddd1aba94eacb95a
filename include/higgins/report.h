/* One page over the whole life of a model: what the stages left in a folder, told in order. */
#ifndef HIGGINS_REPORT_H
#define HIGGINS_REPORT_H

#include <higgins/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Reads what is there in `folder` (all of it optional, but something must be) and writes one
 * self-contained HTML page to `path`, whole or not at all:
 *
 *  - corpus/card.json: documents in, dropped and why
 *  - tokenizer-stats.json: what `tokenizer train --json` printed
 *  - base/log.jsonl, chat/log.jsonl: training and fine-tuning; base.json, chat.json: what `train`
 *    and `tune --json` printed
 *  - samples/NAME-before.json, NAME-after.json: what `generate --json` printed for one prompt
 * before and after tuning; NAME.txt: what was asked
 *  - eval-base.json, eval-chat.json: what `eval --json` printed
 *
 * HG_E_MISSING: nothing of a life is there. HG_E_FORMAT: a file is there and is malformed. */
HG_API hg_status hg_report_write(const char *folder, const char *path, hg_err *e);

#ifdef __cplusplus
}
#endif
#endif
