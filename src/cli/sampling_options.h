/* The options of how a model answers, shared by generate and chat. */
#ifndef CLI_SAMPLING_OPTIONS_H
#define CLI_SAMPLING_OPTIONS_H

#include <higgins/infer.h>
#include "cli.h"

typedef struct cli_sampling {
    int64_t max_tokens, top_k, repeat_window, seed, context;
    double temperature, top_p, min_p, typical_p, xtc_chance, xtc_share;
    double repetition_penalty, presence_penalty, frequency_penalty;
    double dry_multiplier, dry_base, mirostat_tau, mirostat_eta;
    int64_t dry_length, dry_window;
    cli_list stop, dry_breakers, bias_text;
    const char *dtype, *cache_type, *samplers, *draft;
    bool lookup, context_shift;
    int64_t keep;
    /* What the check makes of the words above. */
    hg_logit_bias bias[HG_MAX_BIAS];
    uint8_t order[HG_SAMPLE_STAGES];
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
        {"typical-p",                                                                               \
         0,                                                                                         \
         CLI_FLOAT,                                                                                 \
         "X",                                                                                       \
         "choose among the tokens nearest to the expected surprise that share X",                   \
         CLI_SAMPLING_ROW(type, member, typical_p),                                                 \
         0,                                                                                         \
         1},                                                                                        \
        {"xtc-chance",                                                                              \
         0,                                                                                         \
         CLI_FLOAT,                                                                                 \
         "X",                                                                                       \
         "how often the likeliest tokens are left out but the last of them",                        \
         CLI_SAMPLING_ROW(type, member, xtc_chance),                                                \
         0,                                                                                         \
         1},                                                                                        \
        {"xtc-share",                                                                               \
         0,                                                                                         \
         CLI_FLOAT,                                                                                 \
         "X",                                                                                       \
         "from this probability on a token is one of those",                                        \
         CLI_SAMPLING_ROW(type, member, xtc_share),                                                 \
         0,                                                                                         \
         1},                                                                                        \
        {"dry-multiplier",                                                                          \
         0,                                                                                         \
         CLI_FLOAT,                                                                                 \
         "X",                                                                                       \
         "cost of going on with a repetition; 0 is none",                                           \
         CLI_SAMPLING_ROW(type, member, dry_multiplier),                                            \
         0,                                                                                         \
         100},                                                                                      \
        {"dry-base",                                                                                \
         0,                                                                                         \
         CLI_FLOAT,                                                                                 \
         "X",                                                                                       \
         "what each further token multiplies that cost by",                                         \
         CLI_SAMPLING_ROW(type, member, dry_base),                                                  \
         1,                                                                                         \
         100},                                                                                      \
        {"dry-length",                                                                              \
         0,                                                                                         \
         CLI_INT,                                                                                   \
         "N",                                                                                       \
         "tokens that may be repeated for nothing",                                                 \
         CLI_SAMPLING_ROW(type, member, dry_length),                                                \
         0,                                                                                         \
         4194304},                                                                                  \
        {"dry-window",                                                                              \
         0,                                                                                         \
         CLI_INT,                                                                                   \
         "N",                                                                                       \
         "tokens to look for repetitions in; 0 is all",                                             \
         CLI_SAMPLING_ROW(type, member, dry_window),                                                \
         0,                                                                                         \
         4194304},                                                                                  \
        {"dry-breaker",                                                                             \
         0,                                                                                         \
         CLI_LIST,                                                                                  \
         "TEXT",                                                                                    \
         "no repetition reaches over it; replaces the newline, : \" and *",                         \
         CLI_SAMPLING_ROW(type, member, dry_breakers),                                              \
         0,                                                                                         \
         0},                                                                                        \
        {"mirostat-tau",                                                                            \
         0,                                                                                         \
         CLI_FLOAT,                                                                                 \
         "X",                                                                                       \
         "keep the surprise at X bits a token, instead of the cuts; 0 is off",                      \
         CLI_SAMPLING_ROW(type, member, mirostat_tau),                                              \
         0,                                                                                         \
         100},                                                                                      \
        {"mirostat-eta",                                                                            \
         0,                                                                                         \
         CLI_FLOAT,                                                                                 \
         "X",                                                                                       \
         "how fast it is kept there",                                                               \
         CLI_SAMPLING_ROW(type, member, mirostat_eta),                                              \
         0,                                                                                         \
         10},                                                                                       \
        {"logit-bias",                                                                              \
         0,                                                                                         \
         CLI_LIST,                                                                                  \
         "ID:BIAS",                                                                                 \
         "make a token likelier (to 100) or less likely (to -100)",                                 \
         CLI_SAMPLING_ROW(type, member, bias_text),                                                 \
         0,                                                                                         \
         0},                                                                                        \
        {"samplers",                                                                                \
         0,                                                                                         \
         CLI_TEXT,                                                                                  \
         "ORDER",                                                                                   \
         "the samplers that run, in their order, with commas between",                              \
         CLI_SAMPLING_ROW(type, member, samplers),                                                  \
         0,                                                                                         \
         0},                                                                                        \
        {"lookup",                                                                                  \
         0,                                                                                         \
         CLI_FLAG,                                                                                  \
         NULL,                                                                                      \
         "guess ahead by what followed the same words before; the answer stays the same",           \
         CLI_SAMPLING_ROW(type, member, lookup),                                                    \
         0,                                                                                         \
         0},                                                                                        \
        {"draft",                                                                                   \
         0,                                                                                         \
         CLI_TEXT,                                                                                  \
         "MODEL",                                                                                   \
         "a smaller model of the same tokenizer that guesses ahead; the answer stays the same",     \
         CLI_SAMPLING_ROW(type, member, draft),                                                     \
         0,                                                                                         \
         0},                                                                                        \
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
        {"context-shift",                                                                           \
         0,                                                                                         \
         CLI_FLAG,                                                                                  \
         NULL,                                                                                      \
         "when the context is full, drop the older half of it and go on",                           \
         CLI_SAMPLING_ROW(type, member, context_shift),                                             \
         0,                                                                                         \
         0},                                                                                        \
        {"keep",                                                                                    \
         0,                                                                                         \
         CLI_INT,                                                                                   \
         "N",                                                                                       \
         "tokens at the beginning that --context-shift leaves there",                               \
         CLI_SAMPLING_ROW(type, member, keep),                                                      \
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
/* Reads the values that are words; false, with a sentence, when one makes no sense. */
bool cli_sampling_check(cli_sampling *o, hg_err *why);
hg_weights cli_sampling_weights(const cli_sampling *o);
/* Everything of a request but its prompt and its listener; once checked. */
hg_request cli_sampling_request(const cli_sampling *o);
/* Sets one value by its option's name ("temperature"); on failure *why gets what is wrong. */
bool cli_sampling_set(cli_sampling *o, const char *name, const char *value, hg_err *why);

#endif
