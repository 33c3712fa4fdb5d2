/* SPDX-License-Identifier: MIT
 *
 * What residency.c and residency_models.c share. */
#ifndef DARKROOM_WORKER_RESIDENCY_PARTS_H
#define DARKROOM_WORKER_RESIDENCY_PARTS_H

#include "worker/residency.h"

#include <pthread.h>

/* Models that come and go with reloads take new places; the old ones stay, as tasks may know them.
 */
#define RESIDENTS_MAX 1024

/* The manifests that some residents are of. */
struct manifest_generation {
    struct manifest_set manifests;    /* owned */
    struct manifest_generation *next; /* owned */
};

struct residency {
    const struct settings *settings;         /* borrowed */
    struct manifest_generation *generations; /* owned, the newest first */
    struct resident *items;                  /* owned: RESIDENTS_MAX, so that none ever moves */
    size_t count;
    int batch_max;
    uint64_t budget; /* the loader's */

    pthread_mutex_t lock;
    pthread_cond_t changed; /* for the loader: a wish, a task that left, the end */
    bool closed;
    struct resident *loading; /* what the loader is at, for somebody who waits */
    size_t parked;
    uint64_t clock; /* counts wishes and uses */
    unsigned changes;
};

#endif
