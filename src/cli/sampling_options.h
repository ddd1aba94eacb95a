/* The options of how a model answers, shared by generate and chat. */
#ifndef CLI_SAMPLING_OPTIONS_H
#define CLI_SAMPLING_OPTIONS_H

#include <higgins/infer.h>
#include "cli.h"

typedef struct cli_sampling {
    int64_t max_tokens, top_k, repeat_window, seed, context;
    double temperature, top_p, min_p;
    double repetition_penalty, presence_penalty, frequency_penalty;
    cli_list stop;
    const char *dtype, *cache_type;
} cli_sampling;

/* The rows of an option table whose values hold a cli_sampling as `member`. */
#define CLI_SAMPLING_ROW(type, member, field) offsetof(type, member) + offsetof(cli_sampling, field)
#define CLI_SAMPLING_OPTIONS(type, member)                                                          \
    {"max-tokens",                                                                                  \
     'n',                                                                                           \
     CLI_INT,                                                                                       \
     "N",                                                                                           \
     "tokens of an answer at the most; 0 is what the context leaves",                               \
     CLI_SAMPLING_ROW(type, member, max_tokens),                                                    \
     0,                                                                                             \
     4194304},                                                                                      \
        {"temperature",                                                                             \
         'T',                                                                                       \
         CLI_FLOAT,                                                                                 \
         "X",                                                                                       \
         "spread of the choice; 0 always takes the likeliest",                                      \
         CLI_SAMPLING_ROW(type, member, temperature),                                               \
         0,                                                                                         \
         100},                                                                                      \
        {"top-k",                                                                                   \
         0,                                                                                         \
         CLI_INT,                                                                                   \
         "N",                                                                                       \
         "choose among the N likeliest; 0 is all",                                                  \
         CLI_SAMPLING_ROW(type, member, top_k),                                                     \
         0,                                                                                         \
         1048576},                                                                                  \
        {"top-p",                                                                                   \
         0,                                                                                         \
         CLI_FLOAT,                                                                                 \
         "X",                                                                                       \
         "choose among the likeliest that share X of the probability",                              \
         CLI_SAMPLING_ROW(type, member, top_p),                                                     \
         0,                                                                                         \
         1},                                                                                        \
        {"min-p",                                                                                   \
         0,                                                                                         \
         CLI_FLOAT,                                                                                 \
         "X",                                                                                       \
         "drop what is less likely than X times the likeliest",                                     \
         CLI_SAMPLING_ROW(type, member, min_p),                                                     \
         0,                                                                                         \
         1},                                                                                        \
        {"repetition-penalty",                                                                      \
         0,                                                                                         \
         CLI_FLOAT,                                                                                 \
         "X",                                                                                       \
         "how much repeating costs; 1 is nothing",                                                  \
         CLI_SAMPLING_ROW(type, member, repetition_penalty),                                        \
         0.1,                                                                                       \
         10},                                                                                       \
        {"repeat-window",                                                                           \
         0,                                                                                         \
         CLI_INT,                                                                                   \
         "N",                                                                                       \
         "tokens that the repetition penalty looks back",                                           \
         CLI_SAMPLING_ROW(type, member, repeat_window),                                             \
         0,                                                                                         \
         4194304},                                                                                  \
        {"presence-penalty",                                                                        \
         0,                                                                                         \
         CLI_FLOAT,                                                                                 \
         "X",                                                                                       \
         "cost of a token that the answer holds already",                                           \
         CLI_SAMPLING_ROW(type, member, presence_penalty),                                          \
         -10,                                                                                       \
         10},                                                                                       \
        {"frequency-penalty",                                                                       \
         0,                                                                                         \
         CLI_FLOAT,                                                                                 \
         "X",                                                                                       \
         "the same for each time that it does",                                                     \
         CLI_SAMPLING_ROW(type, member, frequency_penalty),                                         \
         -10,                                                                                       \
         10},                                                                                       \
        {"stop", 0, CLI_LIST, "TEXT", "end before this text", CLI_SAMPLING_ROW(type, member, stop), \
         0,      0},                                                                                \
        {"seed",                                                                                    \
         's',                                                                                       \
         CLI_INT,                                                                                   \
         "N",                                                                                       \
         "the same seed gives the same text",                                                       \
         CLI_SAMPLING_ROW(type, member, seed),                                                      \
         0,                                                                                         \
         9007199254740992.0},                                                                       \
        {"context",                                                                                 \
         'c',                                                                                       \
         CLI_INT,                                                                                   \
         "N",                                                                                       \
         "tokens to hold at the most; 0 is the model's own limit",                                  \
         CLI_SAMPLING_ROW(type, member, context),                                                   \
         0,                                                                                         \
         4194304},                                                                                  \
        {"dtype",                                                                                   \
         0,                                                                                         \
         CLI_TEXT,                                                                                  \
         "TYPE",                                                                                    \
         "weights as stored, f32, f16 or bf16",                                                     \
         CLI_SAMPLING_ROW(type, member, dtype),                                                     \
         0,                                                                                         \
         0},                                                                                        \
    {                                                                                               \
        "cache-type", 0, CLI_TEXT, "TYPE", "keys and values in f32, f16, bf16, q8_0 or auto",       \
            CLI_SAMPLING_ROW(type, member, cache_type), 0, 0                                        \
    }

void cli_sampling_init(cli_sampling *o); /* the library's own defaults */
/* False when --dtype names no type. */
bool cli_sampling_check(const cli_sampling *o);
hg_weights cli_sampling_weights(const cli_sampling *o);
/* Everything of a request but its prompt and its listener. */
hg_request cli_sampling_request(const cli_sampling *o);
/* Sets one value by its option's name ("temperature"); on failure *why gets what is wrong. */
bool cli_sampling_set(cli_sampling *o, const char *name, const char *value, hg_err *why);

#endif
