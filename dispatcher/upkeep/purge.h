/* SPDX-License-Identifier: MIT
 *
 * Copies elsewhere: for each object that was deleted the purge hook is called, and with a result
 * also for the pages and routes of its job, until it says that they are gone.
 *
 *     next_ms = purge_tick(purge, clock_ms());
 *
 * What waits is in Redis, so any number of dispatchers share the work and none of it is forgotten.
 * Loop's thread only. */
#ifndef DARKROOM_DISPATCHER_UPKEEP_PURGE_H
#define DARKROOM_DISPATCHER_UPKEEP_PURGE_H

#include <stdbool.h>
#include <stdint.h>

struct dispatcher;
struct err;
struct purge;

/* From the settings. ERR_INVALID names the option. */
int purge_create(struct dispatcher *dispatcher, struct purge **out, struct err *err);
void purge_destroy(struct purge **purge);

/* Is there a hook to call? */
bool purge_is_on(const struct purge *purge);

int64_t purge_tick(struct purge *purge, int64_t now_ms);

/* When to try again what was deleted so long ago; 0: never more. */
int64_t purge_retry_ms(int64_t age_ms);

/* Path `index` of those that show what the object held; false past the last. `local`: objects are
 * served by us under /o/. */
#define PURGE_PATH_SIZE 300
bool purge_path(const char *key, bool local, unsigned index, char out[PURGE_PATH_SIZE]);

#endif
