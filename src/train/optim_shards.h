/* The optimiser's state shared out over the ranks; optim.c's other half. */
#ifndef HG_TRAIN_OPTIM_SHARDS_H
#define HG_TRAIN_OPTIM_SHARDS_H

#include "train/optim.h"

/* After the chunks are cut: who owns which. False: no room. */
bool hg_optim_share_out(hg_optim *o, hg_arena *mem);
/* Gives all ranks the weights that their owners hold, rounded as the wire says. */
hg_status hg_optim_spread(hg_optim *o, hg_err *e);

#endif
