/* SPDX-License-Identifier: MIT
 *
 * The queue as a whole: may this server hold it, the events, housekeeping, counters. */
#include "common/err.h"
#include "common/queue.h"
#include "common/queue_record.h"
#include "common/queue_scripts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- check ----------------------------------------------------------------------------------- */

enum { CHECK_MEMORY, CHECK_SERVER, CHECK_PROTOCOL, CHECK_STAMP_SHARDS, CHECK_SHARDS, CHECK_END };

void queue_memory_command(const struct queue *queue, struct redis_command *command)
{
    redis_command_clear(command);
    /* INFO and not CONFIG GET, which managed servers and narrow users do not allow. */
    redis_command_text(command, "INFO");
    redis_command_text(command, "memory");
    command->slot = queue_slot(queue); /* of the node that has this shard */
}

void queue_protocol_command(const struct queue *queue, struct redis_command *command)
{
    queue_begin(queue, command, &queue_script_protocol);
}

int queue_protocol(const struct queue *queue, struct redis *redis, int64_t timeout_ms,
                   struct err *err)
{
    struct redis_command command;
    struct redis_reply *reply = NULL;
    redis_command_init(&command, QUEUE_COMMAND_MAX);
    queue_protocol_command(queue, &command);
    int rc = queue_run(redis, &command, timeout_ms, &reply, err);
    redis_reply_free(&reply);
    return rc;
}

bool queue_check_command(const struct queue *queue, int which, struct redis_command *command)
{
    redis_command_clear(command);
    switch (which) {
    case CHECK_MEMORY: queue_memory_command(queue, command); return true;
    case CHECK_SERVER:
        redis_command_text(command, "INFO");
        command->slot = queue_slot(queue);
        return true;
    case CHECK_PROTOCOL: queue_protocol_command(queue, command); return true;
    case CHECK_STAMP_SHARDS:
        redis_command_text(command, "SETNX");
        queue_add_key(queue, command, "shards", "");
        redis_command_int(command, queue->shards);
        return true;
    case CHECK_SHARDS:
        redis_command_text(command, "GET");
        queue_add_key(queue, command, "shards", "");
        return true;
    default: return false;
    }
}

/* Copies the value of `name:` in an INFO text; false where it is missing. */
static bool info_value(const char *info, const char *name, char *out, size_t size)
{
    const char *at = strstr(info, name);
    if (!at)
        return false;
    at += strlen(name);
    snprintf(out, size, "%.*s", (int)strcspn(at, "\r\n"), at);
    return true;
}

int queue_memory_reply(const struct redis_reply *reply, int *out_permille, struct err *err)
{
    char used[24], limit[24];
    const char *info = redis_reply_text(reply);
    if (!info_value(info, "used_memory:", used, sizeof used) ||
        !info_value(info, "maxmemory:", limit, sizeof limit))
        return err_set(err, ERR_UNSUPPORTED, "redis", "INFO memory names no maxmemory");
    double most = strtod(limit, NULL);
    *out_permille = most > 0 ? (int)(1000 * strtod(used, NULL) / most) : 0;
    return 0;
}

static int check_policy(const char *info, struct err *err)
{
    char policy[32];
    if (!info_value(info, "maxmemory_policy:", policy, sizeof policy))
        return err_set(err, ERR_UNSUPPORTED, "redis", "INFO memory names no maxmemory_policy");
    if (strcmp(policy, "noeviction") != 0)
        return err_set(err, ERR_UNSUPPORTED, "redis",
                       "this Redis evicts (maxmemory-policy %s), so it would lose jobs: set "
                       "maxmemory-policy noeviction",
                       policy);
    return 0;
}

static int check_server(const char *info, struct err *err)
{
    char version[32], replicas[8];
    char *end;
    if (!info_value(info, "redis_version:", version, sizeof version))
        return err_set(err, ERR_UNSUPPORTED, "redis", "INFO server names no redis_version");
    long major = strtol(version, &end, 10);
    long minor = *end == '.' ? strtol(end + 1, &end, 10) : 0;
    long patch = *end == '.' ? strtol(end + 1, NULL, 10) : 0;
    if (major < 6 || (major == 6 && minor < 2))
        return err_set(err, ERR_UNSUPPORTED, "redis", "this is Redis %s: 6.2 or later is needed",
                       version);
    /* Only where min-replicas-to-write is set does it tell how many replicas are good. */
    if (major == 6 && minor == 2 && patch < 7 &&
        info_value(info, "min_slaves_good_slaves:", replicas, sizeof replicas))
        return err_set(err, ERR_UNSUPPORTED, "redis",
                       "this is Redis %s, whose scripts write on in spite of "
                       "min-replicas-to-write: 6.2.7 or later is needed with that",
                       version);
    return 0;
}

int queue_check_reply(const struct queue *queue, const struct redis_reply *reply, int which,
                      struct err *err)
{
    int rc = redis_reply_check(reply, err);
    if (rc < 0)
        return rc;
    if (which == CHECK_MEMORY)
        return check_policy(redis_reply_text(reply), err);
    if (which == CHECK_SERVER)
        return check_server(redis_reply_text(reply), err);
    if (which == CHECK_SHARDS && redis_reply_int(reply) != queue->shards)
        return err_set(err, ERR_UNSUPPORTED, "shards",
                       "the jobs in this Redis are spread over %.8s shards, this program was told "
                       "%u: give every program --shards %.8s",
                       redis_reply_text(reply), queue->shards, redis_reply_text(reply));
    return 0;
}

int queue_check(const struct queue *queue, struct redis *redis, int64_t timeout_ms, struct err *err)
{
    struct redis_command command;
    int rc = 0;
    redis_command_init(&command, 1024);
    for (int which = 0; rc == 0 && queue_check_command(queue, which, &command); which++) {
        struct redis_reply *reply = NULL;
        rc = redis_call(redis, &command, timeout_ms, &reply, err);
        if (rc == 0)
            rc = queue_check_reply(queue, reply, which, err);
        redis_reply_free(&reply);
    }
    redis_command_fini(&command);
    return rc;
}

/* ---- shards ---------------------------------------------------------------------------------- */

/* FNV-1a, 64 bits. */
unsigned queue_shard_of_flow(const char *flow, unsigned shards)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (; *flow; flow++)
        hash = (hash ^ (unsigned char)*flow) * 0x100000001b3u;
    return (unsigned)((hash ^ hash >> 32) % shards);
}

/* ---- events ---------------------------------------------------------------------------------- */

void queue_events_command(const struct queue *queues, size_t count,
                          char (*after_ids)[QUEUE_EVENT_ID_SIZE], int64_t block_ms,
                          int64_t max_entries, struct redis_command *command)
{
    redis_command_clear(command);
    redis_command_text(command, "XREAD");
    redis_command_text(command, "COUNT");
    redis_command_int(command, max_entries);
    redis_command_text(command, "BLOCK");
    redis_command_int(command, block_ms);
    redis_command_text(command, "STREAMS");
    for (size_t i = 0; i < count; i++)
        queue_add_key(&queues[i], command, "ev", "");
    for (size_t i = 0; i < count; i++)
        redis_command_text(command, after_ids[i]);
}

/* `<public id> <letter><progress> <model>` and the line's end. */
static int parse_change(const char *line, size_t length, struct queue_event *event)
{
    char text[ID_PUBLIC_SIZE + JOB_MODEL_SIZE + 16];
    char *end = NULL;
    const size_t id_length = ID_PUBLIC_SIZE - 1;
    if (length >= sizeof text || length < id_length + 3)
        return ERR_INTERNAL;
    memcpy(text, line, length);
    text[length] = 0;
    char letter = text[id_length + 1];
    event->state = job_state_from_letter(letter);
    event->progress = (int)strtol(text + id_length + 2, &end, 10);
    if ((!event->state && letter != 'X') || text[id_length] != ' ' || *end != ' ' ||
        strlen(end + 1) >= sizeof event->model)
        return ERR_INTERNAL;
    memcpy(event->public_id, text, id_length);
    event->public_id[id_length] = 0;
    snprintf(event->model, sizeof event->model, "%s", end + 1);
    return 0;
}

/* An entry has one field, whose value is a line for each change. */
static int parse_entry(const struct redis_reply *entry, queue_event_fn *each, void *data)
{
    struct queue_event event = {.event_id = redis_reply_text(redis_reply_at(entry, 0))};
    const char *at = redis_reply_text(redis_reply_at(redis_reply_at(entry, 1), 1));
    if (!event.event_id[0] || !at[0])
        return ERR_INTERNAL;
    while (*at) {
        size_t length = strcspn(at, "\n");
        if (parse_change(at, length, &event) < 0)
            return ERR_INTERNAL;
        if (each)
            each(&event, data);
        at += length + (at[length] == '\n');
    }
    return 0;
}

/* Which of the queues has this stream; `count` where none has. */
static size_t find_stream(const struct queue *queues, size_t count, const char *key)
{
    size_t i = 0;
    for (; i < count; i++) {
        char prefix[QUEUE_PREFIX_SIZE];
        queue_prefix(&queues[i], prefix);
        if (!strncmp(key, prefix, strlen(prefix)) && !strcmp(key + strlen(prefix), "ev"))
            break;
    }
    return i;
}

int queue_events_reply(const struct queue *queues, size_t count, const struct redis_reply *reply,
                       queue_event_fn *each, void *data, char (*out_last_ids)[QUEUE_EVENT_ID_SIZE],
                       struct err *err)
{
    for (size_t i = 0; i < redis_reply_count(reply); i++) {
        const struct redis_reply *stream = redis_reply_at(reply, i);
        const struct redis_reply *entries = redis_reply_at(stream, 1);
        size_t which = find_stream(queues, count, redis_reply_text(redis_reply_at(stream, 0)));
        if (which == count)
            return queue_bad_reply("events", err);
        for (size_t j = 0; j < redis_reply_count(entries); j++) {
            const struct redis_reply *entry = redis_reply_at(entries, j);
            if (parse_entry(entry, each, data) < 0 ||
                queue_copy(out_last_ids[which], QUEUE_EVENT_ID_SIZE, redis_reply_at(entry, 0)) < 0)
                return queue_bad_reply("events", err);
        }
    }
    return 0;
}

bool queue_event_id_valid(const char *text)
{
    size_t ms = strspn(text, "0123456789");
    if (ms == 0 || ms > 15 || text[ms] != '-')
        return false;
    size_t sequence = strspn(text + ms + 1, "0123456789");
    return sequence > 0 && sequence < 16 && text[ms + 1 + sequence] == 0;
}

/* ---- housekeeping ---------------------------------------------------------------------------- */

void queue_tick_command(const struct queue *queue, struct redis_command *command)
{
    queue_begin(queue, command, &queue_script_tick);
    redis_command_int(command, queue->lease_ms);
    redis_command_int(command, queue->retain_ms);
}

int queue_tick_reply(const struct redis_reply *reply, struct queue_ticked *out, struct err *err)
{
    if (redis_reply_count(reply) != 6)
        return queue_bad_reply("tick", err);
    *out = (struct queue_ticked){
        .expired = (int)redis_reply_int(redis_reply_at(reply, 0)),
        .promoted = (int)redis_reply_int(redis_reply_at(reply, 1)),
        .forgotten = (int)redis_reply_int(redis_reply_at(reply, 2)),
        .buried = (int)redis_reply_int(redis_reply_at(reply, 3)),
        .more = redis_reply_int(redis_reply_at(reply, 4)) == 1,
        .graced = redis_reply_int(redis_reply_at(reply, 5)) == 1,
    };
    return 0;
}

int queue_tick(const struct queue *queue, struct redis *redis, int64_t timeout_ms,
               struct queue_ticked *out, struct err *err)
{
    struct redis_command command;
    struct redis_reply *reply = NULL;
    redis_command_init(&command, QUEUE_COMMAND_MAX);
    queue_tick_command(queue, &command);
    int rc = queue_run(redis, &command, timeout_ms, &reply, err);
    if (rc == 0)
        rc = queue_tick_reply(reply, out, err);
    redis_reply_free(&reply);
    return rc;
}

/* ---- counters -------------------------------------------------------------------------------- */

void queue_counters_command(const struct queue *queue, const char *const *models, size_t count,
                            struct redis_command *command)
{
    queue_begin(queue, command, &queue_script_counters);
    for (size_t i = 0; i < count; i++)
        redis_command_text(command, models[i]);
}

int queue_counters_reply(const struct redis_reply *reply, size_t index, struct queue_counters *out,
                         struct err *err)
{
    struct queue_counters counters = {0};
    int64_t *const fields[] = {
        &counters.queued,    &counters.running,    &counters.delayed,   &counters.dead,
        &counters.submitted, &counters.succeeded,  &counters.failed,    &counters.cancelled,
        &counters.lost,      &counters.workers,    &counters.slots,     &counters.service_ms,
        &counters.rated_up,  &counters.rated_down, &counters.oldest_ms, &counters.paused,
    };
    const size_t count = sizeof fields / sizeof fields[0];
    const struct redis_reply *values = redis_reply_at(reply, index);
    if (redis_reply_count(values) != count)
        return queue_bad_reply("counters", err);
    for (size_t i = 0; i < count; i++)
        *fields[i] = redis_reply_int(redis_reply_at(values, i));
    *out = counters;
    return 0;
}

int queue_counters(const struct queue *queue, struct redis *redis, const char *model,
                   int64_t timeout_ms, struct queue_counters *out, struct err *err)
{
    struct redis_command command;
    struct redis_reply *reply = NULL;
    redis_command_init(&command, QUEUE_COMMAND_MAX);
    queue_counters_command(queue, &model, 1, &command);
    int rc = queue_run(redis, &command, timeout_ms, &reply, err);
    if (rc == 0)
        rc = queue_counters_reply(reply, 0, out, err);
    redis_reply_free(&reply);
    return rc;
}
