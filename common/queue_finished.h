/* SPDX-License-Identifier: MIT
 *
 * Of finished jobs: how many there were, how fast they come, and what their owners think of them.
 *
 *     queue_stats_command(&queue, &command);
 *     for (i = 0; queue_stats_at(reply, i, &stats); i++) ...
 *
 *     queue_rating_command(&queue, public_id, 'u', &command);
 *     rc = queue_rating_reply(reply, &state, &err);
 *
 * Conventions as in queue.h. */
#ifndef DARKROOM_COMMON_QUEUE_FINISHED_H
#define DARKROOM_COMMON_QUEUE_FINISHED_H

#include "common/queue.h"

/* Of one model in one shard. */
struct queue_stats {
    const char *model;     /* borrowed from the reply */
    int64_t finished;      /* jobs that succeeded, since the beginning */
    int64_t per_minute_e3; /* within the last minute, in thousandths */
};

/* Every model that the shard ever had a job of. */
void queue_stats_command(const struct queue *queue, struct redis_command *command);
/* False past the end, and where the reply is not what the protocol says. */
bool queue_stats_at(const struct redis_reply *reply, size_t index, struct queue_stats *out);

/* `rating`: 'u', 'd', or 0 to take it back. Only a job that succeeded takes one: *out_state is what
 * it is. ERR_NOT_FOUND, ERR_CORRUPT. Harmless when repeated. */
void queue_rating_command(const struct queue *queue, const char *public_id, char rating,
                          struct redis_command *command);
int queue_rating_reply(const struct redis_reply *reply, enum job_state *out_state, struct err *err);

#endif
