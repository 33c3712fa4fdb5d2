/* SPDX-License-Identifier: MIT
 *
 * Says in the log, once each, that the object store is away or refuses us, from the start on, and
 * that it serves us again; who waits for a start to succeed need not hand in a job to hear of it.
 *
 *     next_ms = store_watch_tick(watch, clock_ms());
 *
 * Loop's thread only. */
#ifndef DARKROOM_DISPATCHER_UPKEEP_STORE_WATCH_H
#define DARKROOM_DISPATCHER_UPKEEP_STORE_WATCH_H

#include <stdint.h>

struct dispatcher;
struct store_watch;

/* The first look is at once. */
int store_watch_create(struct dispatcher *dispatcher, struct store_watch **out);
/* No look may be under way. */
void store_watch_destroy(struct store_watch **watch);

int64_t store_watch_tick(struct store_watch *watch, int64_t now_ms);

#endif
