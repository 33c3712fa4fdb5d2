/* SPDX-License-Identifier: MIT
 *
 * Names that cannot be guessed.
 *
 * A public id is 34 lower-case hex digits: 2 of the shard, 32 of randomness (128 bits). It is used
 * in links and object keys; knowing it gives no right. Inside Redis a job goes by a small integer,
 * the first 48 of those bits: no counter that could roll back after a failover and hand one
 * person's link to another, and no second index. A collision is refused at submit.
 * Any thread; a forked child does nothing but exec, or it would hand out its parent's names. */
#ifndef DARKROOM_COMMON_ID_H
#define DARKROOM_COMMON_ID_H

#include <stdbool.h>
#include <stdint.h>

#define ID_PUBLIC_SIZE 35 /* with the terminator */
#define ID_NAME_SIZE 35

#define ID_SHARD_MAX 255

void id_public_create(unsigned shard, char out[ID_PUBLIC_SIZE]);
bool id_public_valid(const char *text);
unsigned id_public_shard(const char *public_id); /* of a valid id */
uint64_t id_public_small(const char *public_id); /* of a valid id: the integer inside Redis */

/* `w-` and 32 random hex digits: one incarnation of a worker process. */
void id_worker_create(char out[ID_NAME_SIZE]);
bool id_worker_valid(const char *text);

/* 32 random hex digits: one attempt at a claim. */
void id_nonce_create(char out[ID_NAME_SIZE]);

#endif
