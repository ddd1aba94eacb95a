/* Every command of the program; each lives in cmd_<name>.c. */
#ifndef CLI_COMMANDS_H
#define CLI_COMMANDS_H

#include "cli.h"

extern const cli_command *const cli_commands[]; /* ends with NULL */

#endif
