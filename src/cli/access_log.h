/* The log of requests of `higgins serve`, and word to who started it as a service. */
#ifndef CLI_ACCESS_LOG_H
#define CLI_ACCESS_LOG_H

#include "cli.h"

#include <higgins/serve.h>

/* "none", "text" or "json"; false: it is none of them. Lines go to stderr. */
bool access_log_set_up(hg_server_options *o, const char *format);

/* READY=1, STOPPING=1: to the socket that systemd names in NOTIFY_SOCKET; nothing where it names
 * none. */
void service_notify(const char *state);

#endif
