/* SPDX-License-Identifier: MIT */
#include "common/queue_outbox.h"

#include "common/err.h"
#include "common/queue_record.h"
#include "common/queue_scripts.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define BLOCK_MARGIN_MS 2000

/* ---- notifications --------------------------------------------------------------------------- */

void queue_notify_intake_command(const struct queue *queue, struct redis_command *command)
{
    queue_begin(queue, command, &queue_script_notify_intake);
}

int queue_notify_intake_reply(const struct redis_reply *reply, int *out_moved, struct err *err)
{
    if (redis_reply_type(reply) != REDIS_INT)
        return queue_bad_reply("notify_intake", err);
    *out_moved = (int)redis_reply_int(reply);
    return 0;
}

int queue_notify_intake(const struct queue *queue, struct redis *redis, int64_t timeout_ms,
                        int *out_moved, struct err *err)
{
    struct redis_command command;
    struct redis_reply *reply = NULL;
    redis_command_init(&command, QUEUE_COMMAND_MAX);
    queue_notify_intake_command(queue, &command);
    int rc = queue_run(redis, &command, timeout_ms, &reply, err);
    if (rc == 0)
        rc = queue_notify_intake_reply(reply, out_moved, err);
    redis_reply_free(&reply);
    return rc;
}

/* Entries leave the stream as they become rows, so that whatever is in it is new: reading from its
 * beginning misses none that came before the wait. */
void queue_notify_wait_command(const struct queue *queue, int64_t wait_ms,
                               struct redis_command *command)
{
    redis_command_clear(command);
    redis_command_text(command, "XREAD");
    redis_command_text(command, "COUNT");
    redis_command_int(command, 1);
    redis_command_text(command, "BLOCK");
    redis_command_int(command, wait_ms > 0 ? wait_ms : 1); /* 0 would block for ever */
    redis_command_text(command, "STREAMS");
    queue_add_key(queue, command, "out", "");
    redis_command_text(command, "0-0");
}

int queue_notify_wait(const struct queue *queue, struct redis *redis, int64_t wait_ms,
                      struct err *err)
{
    struct redis_command command;
    struct redis_reply *reply = NULL;
    redis_command_init(&command, QUEUE_COMMAND_MAX);
    queue_notify_wait_command(queue, wait_ms, &command);
    int rc = queue_run(redis, &command, wait_ms + BLOCK_MARGIN_MS, &reply, err);
    if (rc == 0 && redis_reply_type(reply) == REDIS_NIL)
        rc = ERR_TIMEOUT;
    redis_reply_free(&reply);
    return rc;
}

void queue_notify_claim_command(const struct queue *queue, size_t max, int64_t lease_ms,
                                struct redis_command *command)
{
    assert(max > 0 && max <= QUEUE_NOTIFY_MAX);
    queue_begin(queue, command, &queue_script_notify_claim);
    redis_command_int(command, (int64_t)max);
    redis_command_int(command, lease_ms);
}

static int parse_row(const struct redis_reply *fields, struct queue_notify_row *out)
{
    const struct redis_reply *blob = redis_reply_at(fields, 8);
    *out = (struct queue_notify_row){
        .epoch = (uint32_t)redis_reply_int(redis_reply_at(fields, 1)),
        .attempts = (int)redis_reply_int(redis_reply_at(fields, 2)),
        .created_ms = redis_reply_int(redis_reply_at(fields, 3)),
        .state = job_state_from_letter(redis_reply_text(redis_reply_at(fields, 4))[0]),
        .blob = redis_reply_text(blob),
        .blob_size = redis_reply_size(blob),
    };
    if (redis_reply_count(fields) != 11 || !out->state ||
        queue_copy(out->notify_id, sizeof out->notify_id, redis_reply_at(fields, 0)) < 0 ||
        queue_copy(out->public_id, sizeof out->public_id, redis_reply_at(fields, 5)) < 0 ||
        queue_copy(out->model, sizeof out->model, redis_reply_at(fields, 6)) < 0 ||
        queue_copy(out->address, sizeof out->address, redis_reply_at(fields, 7)) < 0 ||
        queue_copy(out->language, sizeof out->language, redis_reply_at(fields, 9)) < 0 ||
        queue_copy(out->trace, sizeof out->trace, redis_reply_at(fields, 10)) < 0)
        return ERR_INTERNAL;
    return 0;
}

int queue_notify_claim_reply(struct redis_reply **reply, struct queue_notify_rows *out,
                             struct err *err)
{
    size_t count = redis_reply_count(*reply);
    if (count < 1 || count - 1 > QUEUE_NOTIFY_MAX)
        return queue_bad_reply("notify_claim", err);
    for (size_t i = 1; i < count; i++)
        if (parse_row(redis_reply_at(*reply, i), &out->rows[i - 1]) < 0)
            return queue_bad_reply("notify_claim", err);
    out->count = count - 1;
    out->next_due_ms = redis_reply_int(redis_reply_at(*reply, 0));
    out->reply = *reply;
    *reply = NULL;
    return 0;
}

int queue_notify_claim(const struct queue *queue, struct redis *redis, size_t max, int64_t lease_ms,
                       int64_t timeout_ms, struct queue_notify_rows *out, struct err *err)
{
    struct redis_command command;
    struct redis_reply *reply = NULL;
    redis_command_init(&command, QUEUE_COMMAND_MAX);
    queue_notify_claim_command(queue, max, lease_ms, &command);
    int rc = queue_run(redis, &command, timeout_ms, &reply, err);
    if (rc == 0)
        rc = queue_notify_claim_reply(&reply, out, err);
    redis_reply_free(&reply);
    return rc;
}

void queue_notify_rows_fini(struct queue_notify_rows *rows)
{
    redis_reply_free(&rows->reply);
    rows->count = 0;
}

void queue_notify_settle_command(const struct queue *queue, const struct queue_notified *notified,
                                 struct redis_command *command)
{
    char reason[257];
    snprintf(reason, sizeof reason, "%s", notified->reason ? notified->reason : "");
    queue_begin(queue, command, &queue_script_notify_settle);
    redis_command_text(command, notified->notify_id);
    redis_command_int(command, notified->epoch);
    redis_command_int(command, (int64_t)notified->outcome);
    redis_command_int(command, notified->retry_ms);
    redis_command_text(command, reason);
    redis_command_int(command, QUEUE_NOTIFY_GIVE_UP_MS);
}

int queue_notify_settle_reply(const struct redis_reply *reply, enum queue_verdict *out_verdict,
                              bool *out_dead, struct err *err)
{
    int64_t verdict = redis_reply_int(redis_reply_at(reply, 0));
    if (redis_reply_count(reply) != 2 || verdict < QUEUE_OK || verdict > QUEUE_LOST)
        return queue_bad_reply("notify_settle", err);
    *out_verdict = (enum queue_verdict)verdict;
    *out_dead = redis_reply_int(redis_reply_at(reply, 1)) == 1;
    return 0;
}

int queue_notify_settle(const struct queue *queue, struct redis *redis,
                        const struct queue_notified *notified, int64_t timeout_ms,
                        enum queue_verdict *out_verdict, bool *out_dead, struct err *err)
{
    struct redis_command command;
    struct redis_reply *reply = NULL;
    redis_command_init(&command, QUEUE_COMMAND_MAX);
    queue_notify_settle_command(queue, notified, &command);
    int rc = queue_run(redis, &command, timeout_ms, &reply, err);
    if (rc == 0)
        rc = queue_notify_settle_reply(reply, out_verdict, out_dead, err);
    redis_reply_free(&reply);
    return rc;
}

/* ---- trash ----------------------------------------------------------------------------------- */

void queue_trash_take_command(const struct queue *queue, size_t max, int64_t lease_ms,
                              struct redis_command *command)
{
    assert(max > 0 && max <= QUEUE_TRASH_MAX);
    queue_begin(queue, command, &queue_script_trash_take);
    redis_command_int(command, (int64_t)max);
    redis_command_int(command, lease_ms);
}

const char *queue_trash_key(const struct redis_reply *reply, size_t index)
{
    const struct redis_reply *key = redis_reply_at(reply, index);
    return redis_reply_type(key) == REDIS_TEXT ? redis_reply_text(key) : NULL;
}

void queue_trash_done_command(const struct queue *queue, const char *const *keys, size_t count,
                              bool purge, struct redis_command *command)
{
    queue_begin(queue, command, &queue_script_trash_done);
    redis_command_int(command, purge);
    for (size_t i = 0; i < count; i++)
        redis_command_text(command, keys[i]);
}

/* ---- purges ---------------------------------------------------------------------------------- */

void queue_purge_take_command(const struct queue *queue, size_t max, int64_t lease_ms,
                              struct redis_command *command)
{
    assert(max > 0 && max <= QUEUE_TRASH_MAX);
    queue_begin(queue, command, &queue_script_purge_take);
    redis_command_int(command, (int64_t)max);
    redis_command_int(command, lease_ms);
}

bool queue_purge_at(const struct redis_reply *reply, size_t index, struct queue_purge *out)
{
    const struct redis_reply *pair = redis_reply_at(reply, index);
    if (redis_reply_count(pair) != 2)
        return false;
    const char *name = redis_reply_text(redis_reply_at(pair, 0));
    const char *space = strchr(name, ' ');
    /* What has no key is settled all the same, so that it does not come for ever. */
    *out = (struct queue_purge){.name = name,
                                .key = space ? space + 1 : "",
                                .age_ms = redis_reply_int(redis_reply_at(pair, 1))};
    return true;
}

void queue_purge_settle_command(const struct queue *queue, const char *const *names,
                                const int64_t *retry_ms, size_t count,
                                struct redis_command *command)
{
    queue_begin(queue, command, &queue_script_purge_settle);
    for (size_t i = 0; i < count; i++) {
        redis_command_text(command, names[i]);
        redis_command_int(command, retry_ms[i]);
    }
}
