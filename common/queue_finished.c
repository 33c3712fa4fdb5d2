/* SPDX-License-Identifier: MIT */
#include "common/queue_finished.h"

#include "common/err.h"
#include "common/queue_record.h"
#include "common/queue_scripts.h"

void queue_stats_command(const struct queue *queue, struct redis_command *command)
{
    queue_begin(queue, command, &queue_script_stats);
}

bool queue_stats_at(const struct redis_reply *reply, size_t index, struct queue_stats *out)
{
    const struct redis_reply *fields = redis_reply_at(reply, index);
    if (redis_reply_count(fields) != 3)
        return false;
    *out = (struct queue_stats){.model = redis_reply_text(redis_reply_at(fields, 0)),
                                .finished = redis_reply_int(redis_reply_at(fields, 1)),
                                .per_minute_e3 = redis_reply_int(redis_reply_at(fields, 2))};
    return true;
}

void queue_rating_command(const struct queue *queue, const char *public_id, char rating,
                          struct redis_command *command)
{
    queue_begin(queue, command, &queue_script_rating);
    redis_command_text(command, public_id);
    redis_command_text(command, (char[]){rating, 0});
}

int queue_rating_reply(const struct redis_reply *reply, enum job_state *out_state, struct err *err)
{
    return queue_cancel_reply(reply, out_state, err);
}
