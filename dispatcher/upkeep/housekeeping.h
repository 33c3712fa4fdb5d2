/* SPDX-License-Identifier: MIT
 *
 * What has to happen whether or not somebody asks: leases expire, delayed jobs come due, old jobs
 * are forgotten (one queue script for each shard, every half second), and objects that nobody needs
 * any more are deleted from the store. Any number of dispatchers may do it at once.
 *
 *     next_ms = housekeeping_tick(housekeeping, clock_ms());
 *
 * Loop's thread only. */
#ifndef DARKROOM_DISPATCHER_UPKEEP_HOUSEKEEPING_H
#define DARKROOM_DISPATCHER_UPKEEP_HOUSEKEEPING_H

#include <stdbool.h>
#include <stdint.h>

struct dispatcher;
struct housekeeping;

int housekeeping_create(struct dispatcher *dispatcher, struct housekeeping **out);
/* Limits and models are others from now on: the queues are told all of them. */
void housekeeping_tell_again(struct housekeeping *housekeeping);

void housekeeping_destroy(struct housekeeping **housekeeping);

int64_t housekeeping_tick(struct housekeeping *housekeeping, int64_t now_ms);

#endif
