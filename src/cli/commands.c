/* The commands, in the order of a model's life. */
#include "commands.h"

const cli_command *const cli_commands[] = {
    NULL,
};
