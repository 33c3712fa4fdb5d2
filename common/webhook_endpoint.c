/* SPDX-License-Identifier: MIT */
#include "common/webhook_endpoint.h"

#include "common/base64.h"
#include "common/err.h"
#include "common/queue_scripts.h"
#include "common/redis.h"

#include <stdio.h>
#include <string.h>

#define PREFIX "{k}"

/* The order in which replies have them. */
static const char *const fields[] = {"account", "url",       "secret",      "old_secret",
                                     "events",  "old_until", "description", "reason",
                                     "created", "disabled",  "enabled"};
#define FIELD_COUNT (sizeof fields / sizeof fields[0])

static const struct {
    char letter;
    const char *name;
} events[] = {{'S', "job.succeeded"}, {'F', "job.failed"}, {'C', "job.cancelled"}};

const char *endpoint_event_name(char letter)
{
    for (size_t i = 0; i < sizeof events / sizeof *events; i++)
        if (events[i].letter == letter)
            return events[i].name;
    return NULL;
}

char endpoint_event_letter(const char *name)
{
    for (size_t i = 0; i < sizeof events / sizeof *events; i++)
        if (strcmp(events[i].name, name) == 0)
            return events[i].letter;
    return 0;
}

int endpoint_id_create(char out[ENDPOINT_ID_SIZE])
{
    unsigned char bytes[8];
    int rc = crypto_random(bytes, sizeof bytes);
    if (rc == 0) {
        memcpy(out, "wh_", 3);
        hex_encode(bytes, sizeof bytes, out + 3);
    }
    return rc;
}

bool endpoint_id_valid(const char *text)
{
    return strncmp(text, "wh_", 3) == 0 && strlen(text) == ENDPOINT_ID_SIZE - 1 &&
           strspn(text + 3, "0123456789abcdef") == ENDPOINT_ID_SIZE - 4;
}

static void begin(const struct redis_script *script, struct redis_command *command)
{
    redis_command_clear(command);
    redis_command_script(command, script, PREFIX);
}

static int bad_reply(struct err *err)
{
    return err_set(err, ERR_INTERNAL, "redis",
                   "the reply about an endpoint is not what it must be");
}

/* ---- create ---------------------------------------------------------------------------------- */

void endpoint_create_command(const struct endpoint *endpoint, struct redis_command *command)
{
    begin(&queue_script_endpoint_create, command);
    redis_command_text(command, endpoint->id);
    redis_command_text(command, endpoint->account);
    redis_command_int(command, ENDPOINTS_MAX);
    redis_command_text(command, "url");
    redis_command_text(command, endpoint->url);
    redis_command_text(command, "secret");
    redis_command_text(command, endpoint->secret);
    redis_command_text(command, "events");
    redis_command_text(command, endpoint->events);
    redis_command_text(command, "description");
    redis_command_text(command, endpoint->description);
}

int endpoint_create_reply(const struct redis_reply *reply, int64_t *out_created_ms, struct err *err)
{
    if (redis_reply_count(reply) != 2)
        return bad_reply(err);
    if (redis_reply_int(redis_reply_at(reply, 0)) != 1)
        return err_set(err, ERR_LIMIT, NULL, "an account may have %d endpoints", ENDPOINTS_MAX);
    *out_created_ms = redis_reply_int(redis_reply_at(reply, 1));
    return 0;
}

/* ---- read ------------------------------------------------------------------------------------ */

static bool copy(char *out, size_t size, const struct redis_reply *reply)
{
    const char *text = redis_reply_text(reply);
    int length = snprintf(out, size, "%s", text);
    return (size_t)length < size && (size_t)length == redis_reply_size(reply);
}

/* The fields begin at index `first`. */
static int parse(const char *id, const struct redis_reply *values, size_t first,
                 struct endpoint *out, struct err *err)
{
    struct endpoint endpoint = {
        .old_until_ms = redis_reply_int(redis_reply_at(values, first + 5)),
        .created_ms = redis_reply_int(redis_reply_at(values, first + 8)),
        .disabled_ms = redis_reply_int(redis_reply_at(values, first + 9)),
        .enabled_ms = redis_reply_int(redis_reply_at(values, first + 10)),
    };
    const struct {
        char *text;
        size_t size;
        size_t index;
    } texts[] = {{endpoint.account, sizeof endpoint.account, 0},
                 {endpoint.url, sizeof endpoint.url, 1},
                 {endpoint.secret, sizeof endpoint.secret, 2},
                 {endpoint.old_secret, sizeof endpoint.old_secret, 3},
                 {endpoint.events, sizeof endpoint.events, 4},
                 {endpoint.description, sizeof endpoint.description, 6},
                 {endpoint.reason, sizeof endpoint.reason, 7}};
    if (redis_reply_count(values) != first + FIELD_COUNT)
        return bad_reply(err);
    if (redis_reply_type(redis_reply_at(values, first)) == REDIS_NIL)
        return err_set(err, ERR_NOT_FOUND, NULL, "there is no such endpoint");
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (!copy(texts[i].text, texts[i].size, redis_reply_at(values, first + texts[i].index)))
            return err_set(err, ERR_CORRUPT, "redis",
                           PREFIX "hook:%s: %s, expected at most %zu bytes", id,
                           fields[texts[i].index], texts[i].size - 1);
    snprintf(endpoint.id, sizeof endpoint.id, "%s", id);
    *out = endpoint;
    return 0;
}

void endpoint_get_command(const char *id, struct redis_command *command)
{
    char key[sizeof PREFIX "hook:" + ENDPOINT_ID_SIZE];
    snprintf(key, sizeof key, PREFIX "hook:%s", id);
    redis_command_clear(command);
    redis_command_text(command, "HMGET");
    redis_command_text(command, key);
    for (size_t i = 0; i < FIELD_COUNT; i++)
        redis_command_text(command, fields[i]);
}

int endpoint_get_reply(const struct redis_reply *reply, const char *id, struct endpoint *out,
                       struct err *err)
{
    return parse(id, reply, 0, out, err);
}

void endpoint_list_command(const char *account, struct redis_command *command)
{
    begin(&queue_script_endpoint_list, command);
    redis_command_text(command, account);
    for (size_t i = 0; i < FIELD_COUNT; i++)
        redis_command_text(command, fields[i]);
}

int endpoint_list_reply(const struct redis_reply *reply, struct endpoint out[ENDPOINTS_MAX],
                        size_t *out_count, struct err *err)
{
    size_t count = redis_reply_count(reply), used = 0;
    if (redis_reply_type(reply) != REDIS_ARRAY || count > ENDPOINTS_MAX)
        return bad_reply(err);
    for (size_t i = 0; i < count; i++) {
        const struct redis_reply *values = redis_reply_at(reply, i);
        int rc = parse(redis_reply_text(redis_reply_at(values, 0)), values, 1, &out[used], err);
        if (rc < 0 && rc != ERR_NOT_FOUND)
            return rc;
        used += rc == 0;
    }
    *out_count = used;
    return 0;
}

/* ---- change ---------------------------------------------------------------------------------- */

static void change(const char *id, const char *account, const char *what,
                   struct redis_command *command)
{
    begin(&queue_script_endpoint_change, command);
    redis_command_text(command, id);
    redis_command_text(command, account);
    redis_command_text(command, what);
}

void endpoint_rotate_command(const char *id, const char *account, const char *sealed_secret,
                             struct redis_command *command)
{
    change(id, account, "rotate", command);
    redis_command_text(command, sealed_secret);
    redis_command_int(command, ENDPOINT_OVERLAP_MS);
}

void endpoint_enable_command(const char *id, const char *account, struct redis_command *command)
{
    change(id, account, "enable", command);
}

void endpoint_delete_command(const char *id, const char *account, struct redis_command *command)
{
    change(id, account, "delete", command);
}

void endpoint_disable_command(const struct endpoint *endpoint, const char *reason,
                              struct redis_command *command)
{
    change(endpoint->id, "", "disable", command);
    redis_command_text(command, reason);
    redis_command_int(command, endpoint->enabled_ms);
}

int endpoint_change_reply(const struct redis_reply *reply, struct err *err)
{
    if (redis_reply_type(reply) != REDIS_INT)
        return bad_reply(err);
    if (redis_reply_int(reply) == 0)
        return err_set(err, ERR_NOT_FOUND, NULL, "the account has no such endpoint");
    return redis_reply_int(reply) == 2 ? ERR_CONFLICT : 0;
}
