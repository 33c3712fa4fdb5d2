/* SPDX-License-Identifier: MIT */
#include "common/queue_batch.h"

#include "common/err.h"
#include "common/queue_record.h"
#include "common/queue_scripts.h"

#include <stdio.h>
#include <string.h>

#define JOB_BYTES 33 /* of a page: 32 digits and a letter */

static void begin(const struct queue *queue, const char *batch_id,
                  const struct redis_script *script, struct redis_command *command)
{
    queue_begin(queue, command, script);
    redis_command_text(command, batch_id);
    if (!id_public_valid(batch_id) || id_public_shard(batch_id) != queue->shard)
        command->failure = ERR_NOT_FOUND;
}

void queue_batch_open_command(const struct queue *queue, const char *batch_id, const char *flow,
                              const char *model, size_t count, struct redis_command *command)
{
    begin(queue, batch_id, &queue_script_batch_open, command);
    redis_command_text(command, flow);
    redis_command_int(command, (int64_t)count);
    redis_command_int(command, queue->max_queued);
    redis_command_int(command, queue->max_flow_queued);
    redis_command_text(command, model);
}

int queue_batch_open_reply(const struct redis_reply *reply, int64_t *out_retry_ms, struct err *err)
{
    if (redis_reply_count(reply) != 2)
        return queue_bad_reply("batch_open", err);
    switch (redis_reply_int(redis_reply_at(reply, 0))) {
    case 0:
    case 1: return 0;
    case 2:
        *out_retry_ms = redis_reply_int(redis_reply_at(reply, 1));
        return err_set(err, ERR_UNAVAILABLE, NULL, "the queue is full");
    case 3: return err_set(err, ERR_LIMIT, "flow", "too many jobs of this owner wait already");
    case 4: return err_set(err, ERR_CONFLICT, "id", "the id is taken by another batch");
    default: return queue_bad_reply("batch_open", err);
    }
}

void queue_batch_seal_command(const struct queue *queue, const char *batch_id, const char *flow,
                              const struct queue_idem *idem, struct redis_command *command)
{
    begin(queue, batch_id, &queue_script_batch_seal, command);
    redis_command_int(command, 1);
    redis_command_int(command, queue->retain_ms);
    redis_command_text(command, flow);
    redis_command_text(command, idem->key);
    redis_command_text(command, idem->body);
}

void queue_batch_drop_command(const struct queue *queue, const char *batch_id,
                              struct redis_command *command)
{
    begin(queue, batch_id, &queue_script_batch_seal, command);
    redis_command_int(command, 0);
    redis_command_int(command, queue->retain_ms);
}

int queue_batch_seal_reply(const struct redis_reply *reply, struct queue_idem_found *out_found,
                           struct err *err)
{
    int64_t status = redis_reply_int(redis_reply_at(reply, 0));
    if (redis_reply_count(reply) < 1 || status < 1 || status == 3)
        return queue_bad_reply("batch_seal", err);
    out_found->state = QUEUE_IDEM_FREE;
    if (status > 4)
        return queue_idem_reserve_reply(reply, out_found, err);
    return status == 4 ? err_set(err, ERR_CONFLICT, "id", "the batch is not whole, or was dropped")
                       : 0;
}

void queue_batch_get_command(const struct queue *queue, const char *batch_id, size_t offset,
                             struct redis_command *command)
{
    begin(queue, batch_id, &queue_script_batch_get, command);
    redis_command_int(command, (int64_t)offset);
    redis_command_int(command, QUEUE_BATCH_PAGE);
}

static int read_page(const struct queue *queue, const struct redis_reply *reply,
                     struct queue_batch *out)
{
    const char *at = redis_reply_text(reply);
    size_t size = redis_reply_size(reply);
    out->count = size / JOB_BYTES;
    if (size % JOB_BYTES || out->count > QUEUE_BATCH_PAGE)
        return ERR_INTERNAL;
    for (size_t i = 0; i < out->count; i++, at += JOB_BYTES) {
        struct queue_batch_job *job = &out->page[i];
        snprintf(job->public_id, sizeof job->public_id, "%02x%.32s", queue->shard & 0xff, at);
        job->state = job_state_from_letter(at[JOB_BYTES - 1]);
        if (!id_public_valid(job->public_id))
            return ERR_INTERNAL;
    }
    return 0;
}

int queue_batch_get_reply(const struct queue *queue, const struct redis_reply *reply,
                          struct queue_batch *out, struct err *err)
{
    if (redis_reply_type(reply) == REDIS_NIL)
        return err_set(err, ERR_NOT_FOUND, "id", "no such batch");
    if (redis_reply_count(reply) != 5 ||
        queue_copy(out->flow, sizeof out->flow, redis_reply_at(reply, 0)) < 0 ||
        read_page(queue, redis_reply_at(reply, 4), out) < 0)
        return queue_bad_reply("batch_get", err);
    out->jobs = (size_t)redis_reply_int(redis_reply_at(reply, 1));
    out->created_ms = redis_reply_int(redis_reply_at(reply, 2));
    out->sealed = redis_reply_int(redis_reply_at(reply, 3)) == 1;
    return 0;
}

void queue_batch_end_command(const struct queue *queue, const char *batch_id, bool erase,
                             size_t offset, struct redis_command *command)
{
    begin(queue, batch_id, &queue_script_batch_end, command);
    redis_command_int(command, erase);
    redis_command_int(command, (int64_t)offset);
    redis_command_int(command, QUEUE_BATCH_CHUNK);
    redis_command_int(command, queue->retain_ms);
}

int queue_batch_end_reply(const struct redis_reply *reply, bool *out_more, struct err *err)
{
    int64_t count = redis_reply_int(reply);
    if (redis_reply_type(reply) != REDIS_INT || count > QUEUE_BATCH_CHUNK)
        return queue_bad_reply("batch_end", err);
    if (count < 0)
        return err_set(err, ERR_NOT_FOUND, "id", "no such batch");
    *out_more = count == QUEUE_BATCH_CHUNK;
    return 0;
}
