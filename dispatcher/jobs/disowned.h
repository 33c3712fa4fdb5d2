/* SPDX-License-Identifier: MIT
 *
 * What must not stay: objects stored for jobs that were not accepted, and jobs of which the client
 * was told that they were not, because Redis' answer got lost.
 *
 *     disowned_add_object(disowned, "inputs/00ab…");
 *     disowned_add_job(disowned, public_id);
 *     next_ms = disowned_tick(disowned, clock_ms());     // deletes and erases, retries failures
 *
 * Objects are deleted by a thread, jobs erased through Redis as soon as it answers. The list is
 * bounded and in memory: what it cannot hold, or what a crash takes with it, is an object that no
 * record names, for a sweep of the store to find. Loop's thread only. */
#ifndef DARKROOM_DISPATCHER_JOBS_DISOWNED_H
#define DARKROOM_DISPATCHER_JOBS_DISOWNED_H

#include <stdbool.h>
#include <stdint.h>

struct disowned;
struct dispatcher;

int disowned_create(struct dispatcher *dispatcher, struct disowned **out);
void disowned_destroy(struct disowned **disowned);

void disowned_add_object(struct disowned *disowned, const char *key);
void disowned_add_job(struct disowned *disowned, const char *public_id);

/* Returns when it wants to be called again (clock_ms() time). */
int64_t disowned_tick(struct disowned *disowned, int64_t now_ms);

/* Nothing is left to do, nothing under way. */
bool disowned_is_empty(const struct disowned *disowned);

#endif
