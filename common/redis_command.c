/* SPDX-License-Identifier: MIT
 *
 * Commands, replies and addresses: what needs no connection. */
#include "common/redis.h"

#include "common/err.h"
#include "common/redis_wire.h"

#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- where ---------------------------------------------------------------------------------- */

static int parse_number(const char *text, long max, int *out)
{
    char *end;
    long value = strtol(text, &end, 10);
    if (end == text || *end || value < 0 || value > max || text[0] == '+' || text[0] == ' ')
        return ERR_INVALID;
    *out = (int)value;
    return 0;
}

static int parse_unix(struct redis_target *target, const char *rest, struct err *err)
{
    size_t length = strcspn(rest, "?");
    if (rest[0] != '/' || length >= sizeof target->path)
        return err_set(err, ERR_INVALID, "redis",
                       "unix: needs an absolute path of at most %zu bytes",
                       sizeof target->path - 1);
    memcpy(target->path, rest, length);
    if (!rest[length])
        return 0;
    if (strncmp(rest + length, "?db=", 4) ||
        parse_number(rest + length + 4, 1 << 20, &target->database) < 0)
        return err_set(err, ERR_INVALID, "redis", "after the socket's path only ?db=N may follow");
    return 0;
}

/* Splits host, [v6 host] and port. */
static int parse_host(struct redis_target *target, const char *text, size_t length, struct err *err)
{
    const char *host = text, *end = text + length;
    const char *host_end = memchr(text, ':', length);
    if (length && text[0] == '[') {
        host = text + 1;
        host_end = memchr(text, ']', length);
        if (!host_end || (host_end + 1 < end && host_end[1] != ':'))
            return err_set(err, ERR_INVALID, "redis", "the address in [ ] is malformed");
    }
    const char *port = host_end ? memchr(host_end, ':', (size_t)(end - host_end)) : NULL;
    if (!host_end)
        host_end = end;
    size_t host_length = (size_t)(host_end - host);
    if (host_length == 0 || host_length >= sizeof target->host)
        return err_set(err, ERR_INVALID, "redis", "the host is empty or too long");
    memcpy(target->host, host, host_length);
    if (!port)
        return 0;
    char digits[8] = {0};
    size_t port_length = (size_t)(end - port - 1);
    if (port_length < sizeof digits)
        memcpy(digits, port + 1, port_length);
    if (parse_number(digits, 65535, &target->port) < 0 || target->port == 0)
        return err_set(err, ERR_INVALID, "redis", "the port must be 1 to 65535");
    return 0;
}

static int parse_tcp(struct redis_target *target, const char *rest, struct err *err)
{
    target->port = 6379;
    const char *at = strrchr(rest, '@');
    if (at) {
        size_t length = (size_t)(at - rest);
        if (memchr(rest, ':', length))
            return err_set(err, ERR_INVALID, "redis",
                           "no password in the URL, where the process list shows it: put it into a "
                           "file and name that with --redis-password-file");
        if (length == 0 || length >= sizeof target->user)
            return err_set(err, ERR_INVALID, "redis", "the user has 1 to %zu bytes",
                           sizeof target->user - 1);
        memcpy(target->user, rest, length);
        rest = at + 1;
    }
    size_t length = strcspn(rest, "/");
    if (rest[length] && rest[length + 1] &&
        parse_number(rest + length + 1, 1 << 20, &target->database) < 0)
        return err_set(err, ERR_INVALID, "redis", "the database after the last / is a number");
    return parse_host(target, rest, length, err);
}

static int read_password(struct redis_target *target, const char *file, struct err *err)
{
    struct buf buf;
    buf_init(&buf, 4096);
    int rc = buf_read_file(&buf, file, err);
    if (rc == 0) {
        size_t length = strcspn(buf_text(&buf), "\r\n");
        if (length == 0 || length >= sizeof target->password)
            rc = err_set(err, ERR_INVALID, "redis-password-file",
                         "%s: the first line must have 1 to %zu bytes", file,
                         sizeof target->password - 1);
        else
            memcpy(target->password, buf.data, length);
    }
    buf_fini(&buf);
    return rc;
}

int redis_target_init(struct redis_target *target, const char *url, const char *password_file,
                      struct err *err)
{
    *target = (struct redis_target){0};
    int rc;
    if (!strncmp(url, "unix:", 5))
        rc = parse_unix(target, url + 5, err);
    else if (!strncmp(url, "redis://", 8))
        rc = parse_tcp(target, url + 8, err);
    else
        rc = err_set(err, ERR_INVALID, "redis",
                     "must be unix:/path[?db=N] or redis://[user@]host[:port][/db]");
    if (rc == 0 && password_file && *password_file)
        rc = read_password(target, password_file, err);
    return rc;
}

/* ---- commands ------------------------------------------------------------------------------- */

void redis_command_init(struct redis_command *command, size_t max_bytes)
{
    *command = (struct redis_command){0};
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
    *command = (struct redis_command){.args = args};
}

void redis_command_bytes(struct redis_command *command, const void *data, size_t size)
{
    char head[32];
    int length = snprintf(head, sizeof head, "$%zu\r\n", size);
    int rc = command->failure;
    if (rc == 0)
        rc = buf_reserve(&command->args, (size_t)length + size + 2);
    if (rc < 0) {
        command->failure = rc;
        return;
    }
    buf_append(&command->args, head, (size_t)length);
    buf_append(&command->args, data, size);
    buf_append(&command->args, "\r\n", 2);
    if (++command->count == 2)
        command->head_size = command->args.size;
}

void redis_command_text(struct redis_command *command, const char *text)
{
    redis_command_bytes(command, text, strlen(text));
}

void redis_command_int(struct redis_command *command, int64_t value)
{
    char text[24];
    int length = snprintf(text, sizeof text, "%lld", (long long)value);
    redis_command_bytes(command, text, (size_t)length);
}

void redis_command_script(struct redis_command *command, const struct redis_script *script,
                          size_t key_count)
{
    redis_command_text(command, "EVALSHA");
    redis_command_text(command, script->sha1);
    redis_command_int(command, (int64_t)key_count);
    command->script = script;
}

int redis_wire_append(struct buf *out, const struct redis_command *command, bool with_body)
{
    if (command->failure)
        return command->failure;
    int rc = buf_printf(out, "*%zu\r\n", command->count);
    if (rc < 0 || !with_body)
        return rc < 0 ? rc : buf_append(out, command->args.data, command->args.size);
    if ((rc = buf_printf(out, "$4\r\nEVAL\r\n$%zu\r\n", command->script->size)) < 0 ||
        (rc = buf_append(out, command->script->body, command->script->size)) < 0 ||
        (rc = buf_append(out, "\r\n", 2)) < 0)
        return rc;
    return buf_append(out, command->args.data + command->head_size,
                      command->args.size - command->head_size);
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
    return false;
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
    {"CORRUPT", ERR_CORRUPT},         {"INVALID", ERR_INVALID},
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

bool redis_reply_is_noscript(const struct redis_reply *reply)
{
    return begins_with(reply, "NOSCRIPT");
}

bool redis_reply_is_demoted(const struct redis_reply *reply)
{
    return begins_with(reply, "READONLY") || begins_with(reply, "MASTERDOWN");
}
