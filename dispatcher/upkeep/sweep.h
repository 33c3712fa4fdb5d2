/* SPDX-License-Identifier: MIT
 *
 * Objects that no record names: a dispatcher or worker that was killed between storing something
 * and saying so leaves one behind. Once an hour the store is paged through, and what is older than
 * an hour and belongs to no job of our shards is deleted. What a record does name is left to the
 * queue's own trash. Any number of dispatchers may sweep.
 *
 *     next_ms = sweep_tick(sweep, clock_ms());
 *
 * Loop's thread only. */
#ifndef DARKROOM_DISPATCHER_UPKEEP_SWEEP_H
#define DARKROOM_DISPATCHER_UPKEEP_SWEEP_H

#include <stdint.h>

struct dispatcher;
struct sweep;

/* The first sweep begins after one period. */
int sweep_create(struct dispatcher *dispatcher, int64_t period_ms, struct sweep **out);
void sweep_destroy(struct sweep **sweep);

int64_t sweep_tick(struct sweep *sweep, int64_t now_ms);

#endif
