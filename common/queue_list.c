/* SPDX-License-Identifier: MIT */
#include "common/queue_list.h"

#include "common/err.h"
#include "common/queue_record.h"
#include "common/queue_scripts.h"

#include <stdio.h>
#include <string.h>

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

void queue_list_wanted_command(const struct queue *queue, const char *flow,
                               const struct queue_wanted *wanted, int64_t cursor, int64_t limit,
                               struct redis_command *command)
{
    char letters[JOB_CANCELLED + 1];
    size_t count = 0;
    for (enum job_state state = JOB_QUEUED; state <= JOB_CANCELLED; state++)
        if (wanted->states & (1u << state))
            letters[count++] = job_state_letter(state);
    letters[count] = 0;
    build(queue, "byflow", flow, cursor, limit, command);
    redis_command_text(command, letters);
    redis_command_text(command, wanted->model ? wanted->model : "");
    redis_command_int(command, wanted->since_ms);
    redis_command_int(command, wanted->until_ms);
    redis_command_text(command, wanted->text ? wanted->text : "");
    if (wanted->text && strlen(wanted->text) > QUEUE_TEXT_MAX)
        command->failure = ERR_LIMIT;
}

void queue_by_address_command(const struct queue *queue, const char *address, int64_t cursor,
                              int64_t limit, struct redis_command *command)
{
    build(queue, "byaddr", address, cursor, limit, command);
}

void queue_address_forget_command(const struct queue *queue, const char *address, const char *entry,
                                  struct redis_command *command)
{
    queue_begin(queue, command, &queue_script_address_forget);
    redis_command_text(command, address);
    redis_command_text(command, entry);
}

int queue_address_forget_reply(const struct redis_reply *reply, char entry[QUEUE_ENTRY_SIZE],
                               bool *out_more, struct err *err)
{
    char next[QUEUE_ENTRY_SIZE];
    if (redis_reply_count(reply) != 2 ||
        queue_copy(next, sizeof next, redis_reply_at(reply, 1)) < 0)
        return queue_bad_reply("address_forget", err);
    *out_more = redis_reply_int(redis_reply_at(reply, 0)) > 0 || next[0];
    snprintf(entry, QUEUE_ENTRY_SIZE, "%s", next[0] ? next : "-");
    return 0;
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

static int read_pair(const struct queue *queue, const struct redis_reply *pair,
                     struct queue_job *out, struct err *err)
{
    uint64_t id;
    const struct redis_reply *raw = redis_reply_at(pair, 1);
    if (redis_reply_count(pair) != 2 || queue_parse_id(redis_reply_at(pair, 0), &id) < 0)
        return queue_bad_reply("list", err);
    return queue_record_parse(id, queue->shard, redis_reply_text(raw), redis_reply_size(raw), NULL,
                              0, out, err);
}

int queue_list_reply(const struct queue *queue, const struct redis_reply *reply, size_t index,
                     struct queue_job *out, struct err *err)
{
    return read_pair(queue, redis_reply_at(reply, index + 1), out, err);
}

void queue_look_command(const struct queue *queue, const char *const *public_ids, size_t count,
                        struct redis_command *command)
{
    queue_begin(queue, command, &queue_script_look);
    for (size_t i = 0; i < count; i++)
        redis_command_text(command, public_ids[i]);
    if (count < 1 || count > QUEUE_LIST_MAX)
        command->failure = ERR_INVALID;
}

int queue_look_reply(const struct queue *queue, const struct redis_reply *reply, size_t index,
                     struct queue_job *out, struct err *err)
{
    const struct redis_reply *pair = redis_reply_at(reply, index);
    if (redis_reply_type(pair) == REDIS_ARRAY && redis_reply_count(pair) == 0)
        return err_set(err, ERR_NOT_FOUND, "id", "no such job");
    return read_pair(queue, pair, out, err);
}
