/* SPDX-License-Identifier: MIT */
#include "common/redis_connection.h"

#include "common/clock.h"
#include "common/err.h"
#include "common/redis_tls.h"
#include "common/redis_wire.h"

#include <errno.h>
#include <hiredis/hiredis.h>
#include <sys/time.h>

void redis_connection_close(struct redis_connection *connection)
{
    if (connection->context)
        redisFree(connection->context);
    connection->context = NULL;
    connection->session = NULL;
    connection->timeout_ms = 0;
    connection->functions_ms = 0;
    connection->may_not_load = false;
}

static struct timeval to_timeval(int64_t ms)
{
    if (ms < 1)
        ms = 1;
    return (struct timeval){.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
}

/* Two system calls: only where the value changes. */
static void set_timeout(struct redis_connection *connection, int64_t timeout_ms)
{
    if (connection->timeout_ms == timeout_ms)
        return;
    redisSetTimeout(connection->context, to_timeval(timeout_ms));
    connection->timeout_ms = timeout_ms;
}

/* Says why, closes, and gives ERR_TIMEOUT or ERR_UNAVAILABLE. */
static int broken(struct redis_connection *connection, struct err *err)
{
    char reason[200];
    const redisContext *context = connection->context;
    if (redis_tls_reason(connection->session, reason, sizeof reason)) {
        err_set(err, ERR_UNAVAILABLE, "redis", "%s", reason);
        redis_connection_close(connection);
        return ERR_UNAVAILABLE;
    }
    bool late = context->err == REDIS_ERR_IO &&
                (errno == EAGAIN || errno == EWOULDBLOCK || errno == ETIMEDOUT);
    int rc = late ? ERR_TIMEOUT : ERR_UNAVAILABLE;
    err_set(err, rc, "redis", "%s", late ? "no answer in time" : context->errstr);
    redis_connection_close(connection);
    return rc;
}

/* On a connection that is there. All of out_replies are set, or none. */
static int exchange(struct redis_connection *connection, struct buf *wire,
                    const struct redis_command *const *commands, size_t count, enum redis_form form,
                    struct redis_reply **out_replies, struct err *err)
{
    size_t got = 0;
    int rc = 0;
    buf_clear(wire);
    redis_tls_forget(connection->session);
    for (size_t i = 0; i < count && rc == 0; i++)
        rc = redis_wire_append(wire, commands[i], form);
    if (rc < 0)
        return err_set(err, rc, "redis", "the command is too large");
    if (redisAppendFormattedCommand(connection->context, (const char *)wire->data, wire->size) !=
        REDIS_OK)
        return broken(connection, err);
    for (; got < count; got++) {
        void *reply = NULL;
        errno = 0;
        if (redisGetReply(connection->context, &reply) != REDIS_OK || !reply) {
            rc = broken(connection, err);
            break;
        }
        out_replies[got] = reply;
    }
    while (rc < 0 && got > 0)
        redis_reply_free(&out_replies[--got]);
    return rc;
}

static int handshake(struct redis_connection *connection, struct buf *wire, struct err *err)
{
    struct redis_command command;
    struct redis_reply *reply = NULL;
    int rc = 0;
    redis_command_init(&command, 1024);
    for (int step = 0; rc == 0 && redis_handshake(&connection->target, step, &command); step++) {
        const struct redis_command *commands[] = {&command};
        rc = exchange(connection, wire, commands, 1, REDIS_BY_NAME, &reply, err);
        if (rc == 0)
            rc = redis_handshake_check(reply, err);
        redis_reply_free(&reply);
    }
    redis_command_fini(&command);
    if (rc == ERR_UNAVAILABLE && !connection->context && err)
        redis_tls_guess(&connection->target, err->text, sizeof err->text);
    /* A refused AUTH or SELECT leaves a connection that must not be used. */
    if (rc < 0)
        redis_connection_close(connection);
    return rc == ERR_INTERNAL ? ERR_DENIED : rc;
}

int redis_connection_open(struct redis_connection *connection, struct buf *wire, int64_t timeout_ms,
                          struct err *err)
{
    struct timeval limit = to_timeval(timeout_ms);
    const struct redis_target *target = &connection->target;
    if (connection->context)
        return 0;
    if (target->path[0])
        connection->context = redisConnectUnixWithTimeout(target->path, limit);
    else
        connection->context = redisConnectWithTimeout(target->node.host, target->node.port, limit);
    if (!connection->context)
        return err_set(err, ERR_NOMEM, "redis", "no memory for a connection");
    if (connection->context->err) {
        char place[REDIS_PLACE_SIZE];
        redis_target_place(target, place);
        err_set(err, ERR_UNAVAILABLE, "redis", "%s: %s", place, connection->context->errstr);
        redis_connection_close(connection);
        return ERR_UNAVAILABLE;
    }
    if (!target->path[0])
        redisEnableKeepAlive(connection->context);
    set_timeout(connection, timeout_ms);
    int rc = target->secure
                 ? redis_tls_start(target, connection->context, &connection->session, err)
                 : 0;
    if (rc < 0) {
        redis_connection_close(connection);
        return rc;
    }
    return handshake(connection, wire, err);
}

static int exchange_behind_asking(struct redis_connection *connection, struct buf *wire,
                                  bool asking, const struct redis_command *const *commands,
                                  size_t count, enum redis_form form,
                                  struct redis_reply **out_replies, struct err *err)
{
    int rc = 0;
    if (asking) {
        struct redis_reply *reply = NULL;
        struct redis_command command;
        const struct redis_command *list[] = {&command};
        redis_command_init(&command, 64);
        redis_command_text(&command, "ASKING");
        rc = exchange(connection, wire, list, 1, form, &reply, err);
        redis_reply_free(&reply);
        redis_command_fini(&command);
    }
    return rc < 0 ? rc : exchange(connection, wire, commands, count, form, out_replies, err);
}

/* Loads a library that the server does not have. Scripts go by their hash for a while where it
 * cannot be had. */
static void load_library(struct redis_connection *connection, struct buf *wire,
                         const struct redis_library *library)
{
    struct redis_reply *reply = NULL;
    struct redis_command load;
    const struct redis_command *list[] = {&load};
    connection->functions_ms = clock_ms() + REDIS_FUNCTIONS_AGAIN_MS;
    if (connection->may_not_load)
        return;
    redis_command_init(&load, REDIS_WIRE_MAX);
    redis_command_load(&load, library);
    if (exchange(connection, wire, list, 1, REDIS_BY_NAME, &reply, NULL) == 0) {
        int rc = redis_load_check(reply);
        if (rc == 0)
            connection->functions_ms = 0;
        connection->may_not_load = rc < 0 && rc != ERR_UNAVAILABLE;
    }
    redis_reply_free(&reply);
    redis_command_fini(&load);
}

/* Sends a script in another form while the server does not know it in this one. */
static int repeat_script(struct redis_connection *connection, struct buf *wire, bool asking,
                         const struct redis_command *command, struct redis_reply **reply,
                         struct err *err)
{
    enum redis_form form = REDIS_BY_NAME, wanted;
    int rc = 0;
    while (rc == 0 && command->script && redis_reply_wants_form(*reply, &wanted) && wanted > form) {
        form = wanted;
        if (form == REDIS_BY_HASH && connection->functions_ms <= clock_ms())
            load_library(connection, wire, command->script->library);
        redis_reply_free(reply);
        rc = connection->context
                 ? exchange_behind_asking(connection, wire, asking, &command, 1, form, reply, err)
                 : err_set(err, ERR_UNAVAILABLE, "redis", "the connection was closed");
    }
    return rc;
}

int redis_connection_exchange(struct redis_connection *connection, struct buf *wire,
                              const struct redis_command *const *commands, size_t count,
                              bool asking, int64_t timeout_ms, struct redis_reply **out_replies,
                              struct err *err)
{
    set_timeout(connection, timeout_ms);
    bool by_hash = connection->functions_ms && connection->functions_ms > clock_ms();
    int rc = exchange_behind_asking(connection, wire, asking, commands, count,
                                    by_hash ? REDIS_BY_HASH : REDIS_BY_NAME, out_replies, err);
    /* In order, so that commands whose scripts are all unknown keep their order. */
    for (size_t i = 0; i < count && rc == 0; i++)
        rc = repeat_script(connection, wire, asking, commands[i], &out_replies[i], err);
    for (size_t i = 0; i < count && rc < 0; i++)
        redis_reply_free(&out_replies[i]);
    return rc;
}
