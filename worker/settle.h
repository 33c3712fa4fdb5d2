/* SPDX-License-Identifier: MIT
 *
 * How a task ends: exactly one of complete, fail, release or nothing, told to Redis until it has
 * answered, and one log line.
 *
 *     settle(pipeline, redis, task);    // the task stays the caller's
 *
 * A lost or cancelled job is dropped silently, unless something was uploaded for it: then its
 * completion is sent all the same, and refused, so that the upload is swept. */
#ifndef DARKROOM_WORKER_SETTLE_H
#define DARKROOM_WORKER_SETTLE_H

/* What the owner of a job past its limit reads, whoever reports it. */
#define SETTLE_TIMED_OUT "took longer than its model allows"

struct pipeline;
struct redis;
struct task;

/* Waits while Redis is away, until it is back or the drain's time is over. `redis` belongs to the
 * calling thread. */
void settle(struct pipeline *pipeline, struct redis *redis, struct task *task);

#endif
