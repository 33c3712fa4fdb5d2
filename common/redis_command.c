/* SPDX-License-Identifier: MIT
 *
 * Commands, replies and addresses: what needs no connection. */
#include "common/redis.h"

#include "common/err.h"
#include "common/redis_tls.h"
#include "common/redis_wire.h"
#include "common/secret.h"

#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REDIS_PORT 6379
#define SENTINEL_PORT 26379

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
static int parse_host(const char *text, size_t length, struct redis_address *out, struct err *err)
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
    if (host_length == 0 || host_length >= sizeof out->host)
        return err_set(err, ERR_INVALID, "redis", "the host is empty or too long");
    memcpy(out->host, host, host_length);
    if (!port)
        return 0;
    char digits[8] = {0};
    size_t port_length = (size_t)(end - port - 1);
    if (port_length < sizeof digits)
        memcpy(digits, port + 1, port_length);
    if (parse_number(digits, 65535, &out->port) < 0 || out->port == 0)
        return err_set(err, ERR_INVALID, "redis", "the port must be 1 to 65535");
    return 0;
}

/* Moves *rest behind `user@`, if there is one. */
static int parse_user(struct redis_target *target, const char **rest, struct err *err)
{
    const char *at = strrchr(*rest, '@');
    if (!at)
        return 0;
    size_t length = (size_t)(at - *rest);
    if (memchr(*rest, ':', length))
        return err_set(err, ERR_INVALID, "redis",
                       "no password in the URL, where the process list shows it: put it into a "
                       "file and name that with --redis-password-file");
    if (length == 0 || length >= sizeof target->user)
        return err_set(err, ERR_INVALID, "redis", "the user has 1 to %zu bytes",
                       sizeof target->user - 1);
    memcpy(target->user, *rest, length);
    *rest = at + 1;
    return 0;
}

static int parse_database(struct redis_target *target, const char *text, struct err *err)
{
    if (*text && parse_number(text, 1 << 20, &target->database) < 0)
        return err_set(err, ERR_INVALID, "redis", "the database after the last / is a number");
    return 0;
}

static int parse_tcp(struct redis_target *target, const char *rest, struct err *err)
{
    target->node.port = REDIS_PORT;
    size_t length = strcspn(rest, "/");
    int rc = rest[length] ? parse_database(target, rest + length + 1, err) : 0;
    return rc == 0 ? parse_host(rest, length, &target->node, err) : rc;
}

/* Hosts between commas; moves *rest behind them. */
static int parse_seeds(struct redis_target *target, const char **rest, int port, struct err *err)
{
    const char *at = *rest;
    for (;;) {
        size_t length = strcspn(at, ",/");
        if (target->seed_count == REDIS_SEEDS_MAX)
            return err_set(err, ERR_INVALID, "redis", "at most %d hosts", REDIS_SEEDS_MAX);
        struct redis_address *seed = &target->seeds[target->seed_count++];
        seed->port = port;
        int rc = parse_host(at, length, seed, err);
        at += length;
        if (rc < 0 || *at != ',') {
            *rest = at;
            return rc;
        }
        at++;
    }
}

static int parse_cluster(struct redis_target *target, const char *rest, struct err *err)
{
    target->kind = REDIS_CLUSTER;
    int rc = parse_seeds(target, &rest, REDIS_PORT, err);
    if (rc == 0 && rest[0] && strcmp(rest, "/") != 0)
        rc = err_set(err, ERR_INVALID, "redis", "a cluster has one database only: nothing after /");
    return rc;
}

static int parse_sentinel(struct redis_target *target, const char *rest, struct err *err)
{
    target->kind = REDIS_SENTINEL;
    int rc = parse_seeds(target, &rest, SENTINEL_PORT, err);
    if (rc < 0)
        return rc;
    const char *name = *rest ? rest + 1 : rest;
    size_t length = strcspn(name, "/");
    if (length == 0 || length >= sizeof target->master)
        return err_set(err, ERR_INVALID, "redis",
                       "the sentinels are followed by / and the master's name");
    memcpy(target->master, name, length);
    return name[length] ? parse_database(target, name + length + 1, err) : 0;
}

/* The forms with hosts, behind `redis` or `rediss`. */
static const struct {
    const char *scheme;
    int (*parse)(struct redis_target *target, const char *rest, struct err *err);
} schemes[] = {
    {"://", parse_tcp},
    {"+cluster://", parse_cluster},
    {"+sentinel://", parse_sentinel},
};

static int parse_hosts(struct redis_target *target, const char *url, struct err *err)
{
    static const char word[] = "redis";
    bool known = strncmp(url, word, sizeof word - 1) == 0;
    url += known ? sizeof word - 1 : 0;
    target->secure = known && *url == 's';
    url += target->secure;
    if (target->secure && !redis_tls_built_in())
        return err_set(err, ERR_INVALID, "redis",
                       "TLS is not built in, which takes hiredis 1.0 or later with hiredis_ssl: "
                       "lead redis:// through a tunnel such as stunnel");
    for (size_t i = 0; known && i < sizeof schemes / sizeof schemes[0]; i++) {
        size_t length = strlen(schemes[i].scheme);
        if (strncmp(url, schemes[i].scheme, length) != 0)
            continue;
        const char *rest = url + length;
        int rc = parse_user(target, &rest, err);
        return rc == 0 ? schemes[i].parse(target, rest, err) : rc;
    }
    return err_set(err, ERR_INVALID, "redis",
                   "must be unix:/path[?db=N], redis://[user@]host[:port][/db], "
                   "redis+cluster://host,… or redis+sentinel://host,…/master; rediss for TLS");
}

static int read_password(struct redis_target *target, const char *file, struct err *err)
{
    struct buf buf;
    buf_init(&buf, 4096);
    int rc = err_blame(secret_read_file(file, &buf, err), "redis-password-file", err);
    if (rc == 0) {
        size_t length = strcspn(buf_text(&buf), "\r\n");
        if (length == 0 || length >= sizeof target->password)
            rc = err_set(err, ERR_CORRUPT, "redis-password-file",
                         "%s: the first line must have 1 to %zu bytes", file,
                         sizeof target->password - 1);
        else
            memcpy(target->password, buf.data, length);
    }
    secret_wipe_buf(&buf);
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
    else
        rc = parse_hosts(target, url, err);
    if (rc == 0 && password_file && *password_file)
        rc = read_password(target, password_file, err);
    return rc;
}

void redis_target_place(const struct redis_target *target, char out[REDIS_PLACE_SIZE])
{
    if (target->path[0])
        snprintf(out, REDIS_PLACE_SIZE, "%s", target->path);
    else
        snprintf(out, REDIS_PLACE_SIZE, "%s:%d", target->node.host, target->node.port);
}

int redis_target_secure(struct redis_target *target, const struct redis_tls_files *files,
                        struct err *err)
{
    const char *field = files->ca_file     ? "redis-ca-file"
                        : files->cert_file ? "redis-cert-file"
                                           : "redis-key-file";
    /* Whoever names them believes that the connection is safe. */
    if (!target->secure && (files->ca_file || files->cert_file || files->key_file))
        return err_set(err, ERR_INVALID, field, "is of use with rediss:// only");
    if (!files->cert_file != !files->key_file)
        return err_set(err, ERR_INVALID, files->cert_file ? "redis-key-file" : "redis-cert-file",
                       "a certificate and its key are given together");
    target->files = *files;
    return 0;
}

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

bool redis_reply_is_noscript(const struct redis_reply *reply)
{
    return begins_with(reply, "NOSCRIPT");
}

bool redis_reply_is_demoted(const struct redis_reply *reply)
{
    return begins_with(reply, "READONLY") || begins_with(reply, "MASTERDOWN");
}
