/* SPDX-License-Identifier: MIT
 *
 * How a task ends: exactly one of complete, fail, release or nothing, told to Redis until it has
 * answered, and one log line.
 *
 *     if (settle(pipeline, redis, task))    // the task is the caller's to destroy
 *
 * A lost or cancelled job is dropped silently, unless something was uploaded for it: then its
 * completion is sent all the same, and refused, so that the upload is swept. */
#ifndef DARKROOM_WORKER_SETTLE_H
#define DARKROOM_WORKER_SETTLE_H

#include <stdbool.h>

/* What the owner of a job past its limit reads, whoever reports it. */
#define SETTLE_TIMED_OUT "took longer than its model allows"

struct pipeline;
struct redis;
struct task;

/* Waits while Redis is away, until it is back or the drain's time is over. False where one shard of
 * several is: the task waits for that by itself (away.h) and comes again. `redis` belongs to the
 * calling thread. */
bool settle(struct pipeline *pipeline, struct redis *redis, struct task *task);

#endif
