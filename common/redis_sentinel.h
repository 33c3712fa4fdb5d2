/* SPDX-License-Identifier: MIT
 *
 * Asks sentinels where the master is, again and again: a promotion is known within half a second.
 * Only common/redis*.c include this.
 *
 * One sentinel is asked until it no longer answers, then the next. An answer from an older epoch
 * than one that was seen (a sentinel that was cut off) changes nothing. One thread. */
#ifndef DARKROOM_COMMON_REDIS_SENTINEL_H
#define DARKROOM_COMMON_REDIS_SENTINEL_H

#include <stdbool.h>
#include <stdint.h>

struct err;
struct redis_address;
struct redis_sentinel;
struct redis_target;

/* Connections put themselves on `epoll_fd` as in redis_link.h. `target` is borrowed. */
int redis_sentinel_create(const struct redis_target *target, int epoll_fd,
                          struct redis_sentinel **out_sentinel, struct err *err);
void redis_sentinel_destroy(struct redis_sentinel **sentinel); /* NULL is fine */

/* `hurry`: the master that we know does not answer. Returns when it wants to be called next. */
int64_t redis_sentinel_tick(struct redis_sentinel *sentinel, bool hurry, int64_t now_ms);

/* NULL until a sentinel has answered. Borrowed; valid until the next tick. */
const struct redis_address *redis_sentinel_master(const struct redis_sentinel *sentinel);
const char *redis_sentinel_reason(const struct redis_sentinel *sentinel);

#endif
