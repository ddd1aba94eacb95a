/* The server's configuration: one small YAML file beside its options. */
#ifndef HG_SERVE_CONFIG_H
#define HG_SERVE_CONFIG_H

#include "serve/server.h"

/* Reads aliases and descriptions into the server's models. Fails with the file and the line. */
hg_status hg_config_read(hg_server *s, const char *path, hg_err *e);

#endif
