/* TensorBoard event files: the run's curves for those who watch with TensorBoard. */
#ifndef HG_TRAIN_EVENTS_H
#define HG_TRAIN_EVENTS_H

#include "base/mem.h"

#include <stdio.h>

/* A file of records: length u64, masked CRC-32C of it u32, an Event of TensorFlow's event.proto,
 * masked CRC-32C of that u32; all little-endian. Handed to the system record by record. */
typedef struct hg_events {
    FILE *file; /* NULL: none is written */
    hg_buf event, record;
    uint32_t crc[256];
    char path[1200];
} hg_events;

/* A named figure of a step. */
typedef struct hg_scalar {
    const char *tag;
    float value;
} hg_scalar;

/* Makes `folder`/events.out.tfevents.TIME.STEP.higgins. `step`: of the last event before; a resumed
 * run tells the reader to forget what other files say of later ones. */
hg_status hg_events_open(hg_events *v, const char *folder, double wall_time, uint64_t step,
                         hg_err *e);
/* One event with n figures, those that are not finite left out. Nothing without a file. */
hg_status hg_events_put(hg_events *v, double wall_time, uint64_t step, const hg_scalar *scalar,
                        size_t n, hg_err *e);
void hg_events_close(hg_events *v);

/* CRC-32C (Castagnoli, reflected 0x82f63b78) as the records mask it. */
uint32_t hg_events_crc(const hg_events *v, const void *p, size_t n);

#endif
