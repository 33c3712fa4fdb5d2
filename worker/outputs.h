/* SPDX-License-Identifier: MIT
 *
 * What the network gave for a batch: one block that the batch's tasks share until the last of them
 * has been encoded. One that nobody needs any more is kept for the next batch, so that the device
 * doesn't wait for fresh memory.
 *
 *     rc = outputs_take(&spare, values, &outputs);      // the caller's hold
 *     task->outputs = outputs_share(outputs);           // and one for each task
 *     outputs_leave(&outputs);
 *     outputs_spare_fini(&spare);                       // at the end
 *
 * Any thread. */
#ifndef DARKROOM_WORKER_OUTPUTS_H
#define DARKROOM_WORKER_OUTPUTS_H

#include <stdatomic.h>
#include <stddef.h>

struct outputs_spare {
    _Atomic(struct outputs *) block; /* owned; NULL: none */
};

struct outputs {
    struct outputs_spare *home; /* borrowed */
    atomic_int users;
    size_t capacity; /* values */
    float values[];
};

/* Room for `values`, held by the caller. ERR_NOMEM. */
int outputs_take(struct outputs_spare *home, size_t values, struct outputs **out_outputs);

/* One more holds it. */
struct outputs *outputs_share(struct outputs *outputs);

/* Harmless on NULL inside; sets it to NULL. */
void outputs_leave(struct outputs **outputs);

/* After everybody has left. */
void outputs_spare_fini(struct outputs_spare *spare);

#endif
