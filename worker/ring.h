/* SPDX-License-Identifier: MIT
 *
 * A bounded queue of pointers between two stages: a full one makes its writers wait, so that no
 * stage runs ahead of the next one's memory.
 *
 *     struct ring *ring = ring_create(8);
 *     rc = ring_push(ring, item);                 // waits while full
 *     while (ring_pop(ring, &item) == 0) ...      // waits while empty; ends once closed and empty
 *     ring_close(ring);                           // writers are refused, readers get the rest
 *     ring_destroy(&ring);
 *
 * What is inside is taken by ring_push() and owned by the caller again after a pop. First in,
 * first out. Any number of threads on either side; destroy after they have ended. */
#ifndef DARKROOM_WORKER_RING_H
#define DARKROOM_WORKER_RING_H

#include <stdbool.h>
#include <stddef.h>

struct ring;

/* NULL when memory ran out. `capacity` is at least 1. */
struct ring *ring_create(size_t capacity);

/* Harmless on NULL. What is still inside is not freed: pop it first. */
void ring_destroy(struct ring **ring);

/* ERR_CANCELLED when closed: the item then stays the caller's. */
int ring_push(struct ring *ring, void *item);

/* ERR_CANCELLED when closed and empty. */
int ring_pop(struct ring *ring, void **out_item);

/* What is there now; false when nothing is. Never waits. */
bool ring_try_pop(struct ring *ring, void **out_item);

/* Harmless twice. */
void ring_close(struct ring *ring);

size_t ring_count(struct ring *ring);

#endif
