/* SPDX-License-Identifier: MIT
 *
 * Commands and replies: what needs no connection. */
#include "common/redis.h"

#include "common/err.h"
#include "common/redis_wire.h"

#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- commands ------------------------------------------------------------------------------- */

void redis_command_init(struct redis_command *command, size_t max_bytes)
{
    *command = (struct redis_command){.slot = -1};
    buf_init(&command->args, max_bytes);
}

void redis_command_fini(struct redis_command *command)
{
    buf_fini(&command->args);
}

void redis_command_clear(struct redis_command *command)
{
    struct buf args = command->args;
    buf_clear(&args);
    *command = (struct redis_command){.args = args, .slot = -1};
}

void redis_command_bytes(struct redis_command *command, const void *data, size_t size)
{
    size_t digits = 1;
    for (size_t left = size; left >= 10; left /= 10)
        digits++;
    int rc = command->failure;
    if (rc == 0)
        rc = buf_reserve(&command->args, 1 + digits + 2 + size + 2);
    if (rc < 0) {
        command->failure = rc;
        return;
    }
    buf_append(&command->args, "$", 1);
    buf_append_int(&command->args, (int64_t)size);
    buf_append(&command->args, "\r\n", 2);
    buf_append(&command->args, data, size);
    buf_append(&command->args, "\r\n", 2);
    /* Keys come before anything that a user may have chosen. */
    if (command->slot < 0 && size > 0 && *(const char *)data == '{')
        command->slot = redis_key_slot(data, size);
    if (++command->count == 2)
        command->head_size = command->args.size;
}

void redis_command_text(struct redis_command *command, const char *text)
{
    redis_command_bytes(command, text, strlen(text));
}

void redis_command_int(struct redis_command *command, int64_t value)
{
    char text[BUF_INT_SIZE];
    redis_command_bytes(command, text, buf_int_text(value, text));
}

/* Two keys, and neither exists. While a cluster moves the slot of several keys of which one is
 * missing, it answers TRYAGAIN on either side: so no script ever runs on half of its data. */
void redis_command_script(struct redis_command *command, const struct redis_script *script,
                          const char *prefix)
{
    char other[32];
    snprintf(other, sizeof other, "%s-", prefix);
    redis_command_text(command, "EVALSHA");
    redis_command_text(command, script->sha1);
    redis_command_text(command, "2");
    redis_command_text(command, prefix);
    redis_command_text(command, other);
    command->script = script;
}

int redis_command_copy(struct redis_command *out, const struct redis_command *command)
{
    *out = *command;
    buf_init(&out->args, command->args.size);
    return buf_append(&out->args, command->args.data, command->args.size);
}

/* The first two arguments of a script's call. */
static int append_head(struct buf *out, const struct redis_script *script, enum redis_form form)
{
    int rc;
    if (form == REDIS_BY_NAME)
        return buf_printf(out, "$5\r\nFCALL\r\n$%zu\r\n%s\r\n", strlen(script->function),
                          script->function);
    if ((rc = buf_printf(out, "$4\r\nEVAL\r\n$%zu\r\n", script->size)) < 0 ||
        (rc = buf_append(out, script->body, script->size)) < 0)
        return rc;
    return buf_append(out, "\r\n", 2);
}

int redis_wire_append(struct buf *out, const struct redis_command *command, enum redis_form form)
{
    const struct redis_script *script = command->script;
    if (command->failure)
        return command->failure;
    int rc = buf_printf(out, "*%zu\r\n", command->count);
    if (rc < 0 || !script || form == REDIS_BY_HASH || (form == REDIS_BY_NAME && !script->function))
        return rc < 0 ? rc : buf_append(out, command->args.data, command->args.size);
    if ((rc = append_head(out, script, form)) < 0)
        return rc;
    return buf_append(out, command->args.data + command->head_size,
                      command->args.size - command->head_size);
}

void redis_command_load(struct redis_command *command, const struct redis_library *library)
{
    redis_command_text(command, "FUNCTION");
    redis_command_text(command, "LOAD");
    redis_command_bytes(command, library->text, library->size);
}

bool redis_handshake(const struct redis_target *target, int step, struct redis_command *command)
{
    redis_command_clear(command);
    if (target->password[0] && step-- == 0) {
        redis_command_text(command, "AUTH");
        if (target->user[0])
            redis_command_text(command, target->user);
        redis_command_text(command, target->password);
        return true;
    }
    if (target->database && step-- == 0) {
        redis_command_text(command, "SELECT");
        redis_command_int(command, target->database);
        return true;
    }
    if (target->master_only && step-- == 0) {
        redis_command_text(command, "ROLE");
        return true;
    }
    /* Only an answer proves that the server is who it should be. */
    if (target->secure && step-- == 0) {
        redis_command_text(command, "PING");
        return true;
    }
    return false;
}

int redis_handshake_check(const struct redis_reply *reply, struct err *err)
{
    int rc = redis_reply_check(reply, err);
    /* Only ROLE answers with a list. */
    if (rc == 0 && redis_reply_type(reply) == REDIS_ARRAY &&
        strcmp(redis_reply_text(redis_reply_at(reply, 0)), "master") != 0)
        rc = err_set(err, ERR_UNAVAILABLE, "redis", "the server is a replica");
    return rc;
}

/* ---- replies -------------------------------------------------------------------------------- */

/* struct redis_reply is hiredis' redisReply under a name that our headers may use. */
static const redisReply *inner(const struct redis_reply *reply)
{
    return (const redisReply *)reply;
}

enum redis_reply_type redis_reply_type(const struct redis_reply *reply)
{
    if (!reply)
        return REDIS_NIL;
    switch (inner(reply)->type) {
    case REDIS_REPLY_STRING:
    case REDIS_REPLY_STATUS: return REDIS_TEXT;
    case REDIS_REPLY_INTEGER: return REDIS_INT;
    case REDIS_REPLY_ARRAY: return REDIS_ARRAY;
    case REDIS_REPLY_ERROR: return REDIS_ERROR;
    default: return REDIS_NIL;
    }
}

static bool has_text(const struct redis_reply *reply)
{
    enum redis_reply_type type = redis_reply_type(reply);
    return type == REDIS_TEXT || type == REDIS_ERROR;
}

const char *redis_reply_text(const struct redis_reply *reply)
{
    return has_text(reply) && inner(reply)->str ? inner(reply)->str : "";
}

size_t redis_reply_size(const struct redis_reply *reply)
{
    return has_text(reply) ? (size_t)inner(reply)->len : 0;
}

int64_t redis_reply_int(const struct redis_reply *reply)
{
    if (redis_reply_type(reply) == REDIS_INT)
        return inner(reply)->integer;
    return redis_reply_type(reply) == REDIS_TEXT ? strtoll(redis_reply_text(reply), NULL, 10) : 0;
}

size_t redis_reply_count(const struct redis_reply *reply)
{
    return redis_reply_type(reply) == REDIS_ARRAY ? inner(reply)->elements : 0;
}

const struct redis_reply *redis_reply_at(const struct redis_reply *reply, size_t index)
{
    if (index >= redis_reply_count(reply))
        return NULL;
    return (const struct redis_reply *)inner(reply)->element[index];
}

void redis_reply_free(struct redis_reply **reply)
{
    if (*reply)
        freeReplyObject(*reply);
    *reply = NULL;
}

/* The first word of an error, and what it means to the caller. */
static const struct {
    const char *word;
    int code;
} error_words[] = {
    {"OOM", ERR_UNAVAILABLE},         {"LOADING", ERR_UNAVAILABLE},
    {"READONLY", ERR_UNAVAILABLE},    {"MASTERDOWN", ERR_UNAVAILABLE},
    {"CLUSTERDOWN", ERR_UNAVAILABLE}, {"TRYAGAIN", ERR_UNAVAILABLE},
    {"MOVED", ERR_UNAVAILABLE},       {"ASK", ERR_UNAVAILABLE},
    {"BUSY", ERR_UNAVAILABLE},        {"MISCONF", ERR_UNAVAILABLE},
    {"NOREPLICAS", ERR_UNAVAILABLE},  {"UNBLOCKED", ERR_UNAVAILABLE},
    {"NOAUTH", ERR_DENIED},           {"WRONGPASS", ERR_DENIED},
    {"NOPERM", ERR_DENIED},           {"WRONGTYPE", ERR_CORRUPT},
    {"CORRUPT", ERR_CORRUPT},         {"UNSUPPORTED", ERR_UNSUPPORTED},
    {"INVALID", ERR_INVALID},         {"PROTOCOL", ERR_PROTOCOL},
};

static bool begins_with(const struct redis_reply *reply, const char *word)
{
    const char *text = redis_reply_text(reply);
    size_t length = strlen(word);
    return redis_reply_type(reply) == REDIS_ERROR && !strncmp(text, word, length) &&
           (text[length] == ' ' || text[length] == 0);
}

int redis_reply_check(const struct redis_reply *reply, struct err *err)
{
    if (redis_reply_type(reply) != REDIS_ERROR)
        return 0;
    int code = ERR_INTERNAL;
    for (size_t i = 0; i < sizeof error_words / sizeof error_words[0]; i++)
        if (begins_with(reply, error_words[i].word))
            code = error_words[i].code;
    return err_set(err, code, "redis", "%s", redis_reply_text(reply));
}

bool redis_reply_is_cut_off(const struct redis_reply *reply)
{
    return begins_with(reply, "NOREPLICAS");
}

bool redis_reply_wants_form(const struct redis_reply *reply, enum redis_form *out_form)
{
    const char *text = redis_reply_text(reply);
    if (begins_with(reply, "NOSCRIPT"))
        *out_form = REDIS_BY_TEXT;
    else if (begins_with(reply, "ERR Function not found") ||
             begins_with(reply, "ERR unknown command 'FCALL',") ||
             begins_with(reply, "ERR unknown command `FCALL`,") /* before 7.0 */ ||
             (begins_with(reply, "NOPERM") && strstr(text, "'fcall'")))
        *out_form = REDIS_BY_HASH;
    else
        return false;
    return true;
}

int redis_load_check(const struct redis_reply *reply)
{
    return strstr(redis_reply_text(reply), "already exists") ? 0 : redis_reply_check(reply, NULL);
}

bool redis_reply_is_demoted(const struct redis_reply *reply)
{
    return begins_with(reply, "READONLY") || begins_with(reply, "MASTERDOWN");
}
