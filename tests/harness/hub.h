/* Ranks as threads of one process: a transport for tests. */
#ifndef HG_TESTS_HUB_H
#define HG_TESTS_HUB_H

#include "ranks/ranks.h"

typedef struct hg_hub hg_hub;
hg_status hg_hub_new(hg_hub **out, int n, hg_err *e);
void hg_hub_free(hg_hub *h); /* after its transports are closed */
/* The rank's signs of life are lost from now on, as those of a process that hangs. */
void hg_hub_mute(hg_hub *h, int rank);
hg_transport hg_hub_transport(hg_hub *h, int rank);

#endif
