/* SPDX-License-Identifier: MIT */
#include "common/queue_hooks.h"

#include "common/err.h"
#include "common/queue_record.h"
#include "common/queue_scripts.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RANGE_PAGE 500 /* records looked at in one call */

void queue_hooks_listen_command(const struct queue *queue, const char *account,
                                const char *endpoint, const char *letters,
                                struct redis_command *command)
{
    redis_command_clear(command);
    redis_command_text(command, letters ? "HSET" : "HDEL");
    queue_add_key(queue, command, "hooks:", account);
    redis_command_text(command, endpoint);
    if (letters)
        redis_command_text(command, letters);
}

/* ---- claims ---------------------------------------------------------------------------------- */

static int parse_row(const struct redis_reply *fields, struct queue_hook_row *out)
{
    const struct redis_reply *record = redis_reply_at(fields, 8);
    *out = (struct queue_hook_row){
        .epoch = (uint32_t)redis_reply_int(redis_reply_at(fields, 1)),
        .attempts = (int)redis_reply_int(redis_reply_at(fields, 2)),
        .created_ms = redis_reply_int(redis_reply_at(fields, 3)),
        .url = redis_reply_text(redis_reply_at(fields, 7)),
        .record = redis_reply_text(record),
        .record_size = redis_reply_size(record),
    };
    if (redis_reply_count(fields) != 9 ||
        queue_copy(out->notify_id, sizeof out->notify_id, redis_reply_at(fields, 0)) < 0 ||
        queue_copy(out->public_id, sizeof out->public_id, redis_reply_at(fields, 4)) < 0 ||
        queue_copy(out->target, sizeof out->target, redis_reply_at(fields, 5)) < 0 ||
        queue_copy(out->flow, sizeof out->flow, redis_reply_at(fields, 6)) < 0)
        return ERR_INTERNAL;
    return 0;
}

static int parse_rows(struct redis_reply **reply, struct queue_hook_rows *out, struct err *err)
{
    size_t count = redis_reply_count(*reply);
    if (count < 1 || count - 1 > QUEUE_HOOK_MAX)
        return queue_bad_reply("hook_claim", err);
    for (size_t i = 1; i < count; i++)
        if (parse_row(redis_reply_at(*reply, i), &out->rows[i - 1]) < 0)
            return queue_bad_reply("hook_claim", err);
    out->count = count - 1;
    out->next_due_ms = redis_reply_int(redis_reply_at(*reply, 0));
    out->reply = *reply;
    *reply = NULL;
    return 0;
}

int queue_hook_claim(const struct queue *queue, struct redis *redis, size_t max, int per_target,
                     int64_t lease_ms, int64_t timeout_ms, struct queue_hook_rows *out,
                     struct err *err)
{
    struct redis_command command;
    struct redis_reply *reply = NULL;
    assert(max > 0);
    redis_command_init(&command, QUEUE_COMMAND_MAX);
    queue_begin(queue, &command, &queue_script_hook_claim);
    redis_command_int(&command, max < QUEUE_HOOK_MAX ? (int64_t)max : QUEUE_HOOK_MAX);
    redis_command_int(&command, per_target);
    redis_command_int(&command, lease_ms);
    int rc = queue_run(redis, &command, timeout_ms, &reply, err);
    if (rc == 0)
        rc = parse_rows(&reply, out, err);
    redis_reply_free(&reply);
    return rc;
}

void queue_hook_rows_fini(struct queue_hook_rows *rows)
{
    redis_reply_free(&rows->reply);
    rows->count = 0;
}

int queue_hook_job(const struct queue *queue, const struct queue_hook_row *row,
                   struct queue_job *out, struct err *err)
{
    char id[13];
    snprintf(id, sizeof id, "%.12s", row->public_id + 2);
    return queue_record_parse(strtoull(id, NULL, 16), queue->shard, row->record, row->record_size,
                              NULL, 0, out, err);
}

/* ---- sending again --------------------------------------------------------------------------- */

static void begin_resend(const struct queue *queue, const struct redis_script *script,
                         const struct queue_resend *which, struct redis_command *command)
{
    static const char *const kinds[] = {
        [QUEUE_NOTIFY_BOTH] = "", [QUEUE_NOTIFY_MAIL] = "mail", [QUEUE_NOTIFY_WEBHOOK] = "webhook"};
    queue_begin(queue, command, script);
    redis_command_text(command, kinds[which->kind]);
    redis_command_text(command, which->flow ? which->flow : "");
    redis_command_int(command, which->unsent_only);
}

void queue_resend_command(const struct queue *queue, const struct queue_resend *which,
                          const char *const *public_ids, size_t count,
                          struct redis_command *command)
{
    assert(count <= QUEUE_RESEND_MAX);
    begin_resend(queue, &queue_script_notify_replay, which, command);
    for (size_t i = 0; i < count; i++)
        redis_command_text(command, public_ids[i]);
}

int queue_resend_reply(const struct redis_reply *reply, struct queue_resent *out, struct err *err)
{
    if (redis_reply_count(reply) != 2)
        return queue_bad_reply("notify_replay", err);
    *out = (struct queue_resent){.jobs = redis_reply_int(redis_reply_at(reply, 0)),
                                 .rows = redis_reply_int(redis_reply_at(reply, 1))};
    return 0;
}

void queue_resend_range_command(const struct queue *queue, const struct queue_resend *which,
                                int64_t since_ms, int64_t until_ms, uint64_t cursor,
                                struct redis_command *command)
{
    char text[24];
    snprintf(text, sizeof text, "%" PRIu64, cursor);
    begin_resend(queue, &queue_script_notify_replay_range, which, command);
    redis_command_int(command, since_ms);
    redis_command_int(command, until_ms);
    redis_command_text(command, text);
    redis_command_int(command, RANGE_PAGE);
}

int queue_resend_range_reply(const struct redis_reply *reply, struct queue_resent *out,
                             struct err *err)
{
    if (redis_reply_count(reply) != 3)
        return queue_bad_reply("notify_replay_range", err);
    *out = (struct queue_resent){.cursor =
                                     strtoull(redis_reply_text(redis_reply_at(reply, 0)), NULL, 10),
                                 .jobs = redis_reply_int(redis_reply_at(reply, 1)),
                                 .rows = redis_reply_int(redis_reply_at(reply, 2))};
    return 0;
}

void queue_unsent_command(const struct queue *queue, int64_t offset, size_t limit,
                          struct redis_command *command)
{
    assert(limit > 0 && limit <= QUEUE_UNSENT_MAX);
    queue_begin(queue, command, &queue_script_unsent);
    redis_command_int(command, offset);
    redis_command_int(command, (int64_t)limit);
}

int queue_unsent_reply(const struct redis_reply *reply, size_t index, struct queue_unsent *out,
                       int64_t *out_total, struct err *err)
{
    size_t count = redis_reply_count(reply);
    if (count < 1)
        return queue_bad_reply("unsent", err);
    if (out_total)
        *out_total = redis_reply_int(redis_reply_at(reply, 0));
    if (index + 1 >= count)
        return ERR_NOT_FOUND;
    const struct redis_reply *fields = redis_reply_at(reply, index + 1);
    *out = (struct queue_unsent){
        .state = job_state_from_letter(redis_reply_text(redis_reply_at(fields, 2))[0]),
        .attempts = (int)redis_reply_int(redis_reply_at(fields, 3)),
        .created_ms = redis_reply_int(redis_reply_at(fields, 4)),
        .given_up_ms = redis_reply_int(redis_reply_at(fields, 5)),
    };
    if (redis_reply_count(fields) != 7 ||
        queue_copy(out->notify_id, sizeof out->notify_id, redis_reply_at(fields, 0)) < 0 ||
        queue_copy(out->public_id, sizeof out->public_id, redis_reply_at(fields, 1)) < 0)
        return queue_bad_reply("unsent", err);
    snprintf(out->reason, sizeof out->reason, "%s", redis_reply_text(redis_reply_at(fields, 6)));
    size_t length = strlen(out->notify_id);
    out->is_mail = length > 2 && strcmp(out->notify_id + length - 2, "-m") == 0;
    return 0;
}
