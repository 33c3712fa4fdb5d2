/* SPDX-License-Identifier: MIT
 *
 * May we use the Redis at the other end? Every new connection is asked what kind of server it
 * leads to before anything else is sent; one that evicts keys is never used. In a cluster that goes
 * for each shard's node, and again when another node has taken over. Loop's thread only. */
#ifndef DARKROOM_DISPATCHER_UPKEEP_GATE_H
#define DARKROOM_DISPATCHER_UPKEEP_GATE_H

#include <stdbool.h>
#include <stdint.h>

struct dispatcher;
struct err;
struct gate;

int gate_create(struct dispatcher *dispatcher, struct gate **out);
void gate_destroy(struct gate **gate);

/* True while the shard's server has so little memory left that no more jobs are accepted: what was
 * accepted must still be able to end. */
bool gate_is_full(const struct gate *gate, unsigned shard);

/* How full the fullest server is; 0: no limit, or not known. */
int gate_memory_permille(const struct gate *gate);

/* A shard's answer says that its data are not for us any more: nothing is sent until it was looked
 * at once more. */
void gate_look_again(struct gate *gate, unsigned shard);

/* The same, and says why nobody is to use the server until it has been looked at. */
void gate_refuse(struct gate *gate, unsigned shard, int rc, const struct err *why);

/* Why the server may not be used, as far as that is known; "" otherwise. Borrowed. */
const char *gate_unfit(const struct gate *gate);

/* Keeps dispatcher->redis_checked right. Returns when it wants to be called again. */
int64_t gate_tick(struct gate *gate, int64_t now_ms);

#endif
