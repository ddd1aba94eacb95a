/* What generate and chat share: the model, its engine, and text on its way to the terminal. */
#ifndef CLI_TALK_H
#define CLI_TALK_H

#include <higgins/eliza.h>
#include "sampling_options.h"

#include <stdio.h>

typedef struct cli_talk {
    hg_runtime *rt;
    hg_model *model, *draft; /* draft: NULL without --draft */
    hg_engine *engine;
    hg_eliza_script *eliza; /* in place of model and engine, which are NULL then */
    uint32_t n_ctx;
    char *chat_template; /* of a file, or NULL: the model's */
    hg_adapter *adapter[HG_MAX_ADAPTERS];
    hg_adapter_use adapters[HG_MAX_ADAPTERS]; /* the same, for requests */
    size_t n_adapters;
} cli_talk;

/* The row of an option table for --lora; its value is a cli_list. */
#define CLI_LORA_OPTION(type, member)                                                              \
    {                                                                                              \
        "lora", 0, CLI_LIST, "PATH[:SCALE]",                                                       \
            "add an adapter (PEFT's folder or a .gguf), SCALE times", offsetof(type, member), 0, 0 \
    }

/* Opens the model and an engine for one conversation, by the template of a file or, when it is
 * NULL, the model's; or, when `path` is eliza, eliza:fr or eliza:FILE, that script. */
hg_status cli_talk_open(cli_talk *t, cli *c, const char *path, const cli_sampling *o,
                        const char *template_path, hg_err *e);
/* The context to open the model with: as asked or, for 0, what hg_context_fit says, with a note
 * when that is less than the model's. */
uint32_t cli_context(cli *c, const hg_model *m, hg_cache_type cache, uint32_t sessions,
                     int64_t asked);
/* Opens what --lora names, to be given with each request. */
hg_status cli_talk_adapters(cli_talk *t, const cli_list *names, hg_err *e);
void cli_talk_close(cli_talk *t);

/* Writes the model's text. To a terminal without control characters: what a model says must not
 * move the cursor or rename the window. */
void cli_talk_write(FILE *f, hg_bytes text, bool is_terminal);

/* "stop", "length", "canceled", "error" */
const char *cli_finish_name(hg_finish f);
/* Tokens a second of the answer, or 0 when it is too short to tell. */
double cli_answer_rate(const hg_usage *u);

#endif
