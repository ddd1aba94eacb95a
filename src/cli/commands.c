/* The commands, in the order of a model's life. */
#include "commands.h"

extern const cli_command cli_tokenizer_train, cli_tokenizer_encode, cli_tokenizer_decode;
extern const cli_command cli_collect;

const cli_command *const cli_commands[] = {
    &cli_collect,
    &cli_tokenizer_train,
    &cli_tokenizer_encode,
    &cli_tokenizer_decode,
    NULL,
};
