/* The commands, in the order of a model's life. */
#include "commands.h"

extern const cli_command cli_collect;
extern const cli_command cli_tokenizer_train;
extern const cli_command cli_tokenizer_encode;
extern const cli_command cli_tokenizer_decode;
extern const cli_command cli_tokenizer_chat;
extern const cli_command cli_train;
extern const cli_command cli_tune;
extern const cli_command cli_eval;
extern const cli_command cli_chat;
extern const cli_command cli_generate;
extern const cli_command cli_embed;
extern const cli_command cli_inspect;
extern const cli_command cli_export;
extern const cli_command cli_import;
extern const cli_command cli_quantize;
extern const cli_command cli_importance;
extern const cli_command cli_bench;
extern const cli_command cli_report;
extern const cli_command cli_runs;
extern const cli_command cli_serve;
extern const cli_command cli_token_add;
extern const cli_command cli_token_list;
extern const cli_command cli_token_revoke;
extern const cli_command cli_eliza;
extern const cli_command cli_version;
extern const cli_command cli_doctor;

/* clang-format off */
const cli_command *const cli_commands[] = {
    &cli_collect,
    &cli_tokenizer_train,
    &cli_tokenizer_encode,
    &cli_tokenizer_decode,
    &cli_tokenizer_chat,
    &cli_train,
    &cli_tune,
    &cli_eval,
    &cli_chat,
    &cli_generate,
    &cli_embed,
    &cli_inspect,
    &cli_export,
    &cli_import,
    &cli_quantize,
    &cli_importance,
    &cli_bench,
    &cli_report,
    &cli_runs,
    &cli_serve,
    &cli_token_add,
    &cli_token_list,
    &cli_token_revoke,
    &cli_eliza,
    &cli_doctor,
    &cli_version,
    NULL,
};
/* clang-format on */
