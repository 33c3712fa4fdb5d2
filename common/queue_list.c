/* SPDX-License-Identifier: MIT */
#include "common/queue_list.h"

#include "common/err.h"
#include "common/queue_record.h"
#include "common/queue_scripts.h"

#include <stdio.h>

static void build(const struct queue *queue, const char *kind, const char *name, int64_t cursor,
                  int64_t limit, struct redis_command *command)
{
    char list[16 + QUEUE_ADDRESS_SIZE];
    queue_begin(queue, command, &queue_script_list);
    int length = snprintf(list, sizeof list, "%s:%s", kind, name);
    redis_command_text(command, list);
    redis_command_int(command, cursor);
    redis_command_int(command, limit);
    if (length >= (int)sizeof list || limit < 1 || limit > QUEUE_LIST_MAX || cursor < -1)
        command->failure = ERR_INVALID;
}

void queue_list_command(const struct queue *queue, const char *flow, int64_t cursor, int64_t limit,
                        struct redis_command *command)
{
    build(queue, "byflow", flow, cursor, limit, command);
}

void queue_by_address_command(const struct queue *queue, const char *address, int64_t cursor,
                              int64_t limit, struct redis_command *command)
{
    build(queue, "byaddr", address, cursor, limit, command);
}

size_t queue_list_count(const struct redis_reply *reply)
{
    size_t count = redis_reply_count(reply);
    return count ? count - 1 : 0;
}

int64_t queue_list_next(const struct redis_reply *reply)
{
    return redis_reply_count(reply) ? redis_reply_int(redis_reply_at(reply, 0)) : -1;
}

int queue_list_reply(const struct queue *queue, const struct redis_reply *reply, size_t index,
                     struct queue_job *out, struct err *err)
{
    uint64_t id;
    const struct redis_reply *pair = redis_reply_at(reply, index + 1);
    const struct redis_reply *raw = redis_reply_at(pair, 1);
    if (redis_reply_count(pair) != 2 || queue_parse_id(redis_reply_at(pair, 0), &id) < 0)
        return queue_bad_reply("list", err);
    return queue_record_parse(id, queue->shard, redis_reply_text(raw), redis_reply_size(raw), NULL,
                              0, out, err);
}
