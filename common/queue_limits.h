/* SPDX-License-Identifier: MIT
 *
 * What a flow may take of the machines: jobs that run at once, jobs that start in a minute; and
 * what holds for all jobs of a model. What is over it waits in its lane, parked outside the ring,
 * and nobody else waits behind it.
 *
 *     queue_flow_limits_command(&queue, flow, 4, 0, &command);     // four at once, any number a
 * minute rc = queue_flow_limits(&queue, redis, QUEUE_VISITORS, 2, 30, 2000, &err);
 *
 * Limits are told, not asked: whoever knows them (the account's key, an option) says them again
 * whenever it likes; the same limits again cost one look. They hold across all dispatchers and
 * workers of the shard until other ones are told. A job that runs is never stopped by a limit.
 * Conventions as in queue.h. */
#ifndef DARKROOM_COMMON_QUEUE_LIMITS_H
#define DARKROOM_COMMON_QUEUE_LIMITS_H

#include "common/queue.h"

#define QUEUE_VISITORS "*" /* every flow that begins with v and has no limits of its own */
#define QUEUE_RUNNING_LIMIT 4096
#define QUEUE_PER_MINUTE_LIMIT 1000000

/* 0: any number. A tenth of a minute's jobs may start at once. Beyond the two limits above, or with
 * a flow that is none, the command fails where it is sent (ERR_INVALID). */
void queue_flow_limits_command(const struct queue *queue, const char *flow, int64_t running_max,
                               int64_t per_minute, struct redis_command *command);
int queue_flow_limits(const struct queue *queue, struct redis *redis, const char *flow,
                      int64_t running_max, int64_t per_minute, int64_t timeout_ms, struct err *err);

/* What a model's manifest says about all of its jobs. Told again whenever it may have changed; what
 * was never told has the defaults. */
struct queue_model {
    const char *model;
    int64_t past_due_ms; /* a job that waits longer brings its model to the front; 0: 30 s */
    int64_t input_ms;    /* an input is kept so long after its job has ended; 0: not at all */
    int64_t result_ms;   /* a finished job is kept so long; 0: as the queue's retain_ms says */
};
void queue_model_command(const struct queue *queue, const struct queue_model *model,
                         struct redis_command *command);
int queue_model(const struct queue *queue, struct redis *redis, const struct queue_model *model,
                int64_t timeout_ms, struct err *err);

#endif
