/* SPDX-License-Identifier: MIT
 *
 * The synchronous connection. */
#include "common/redis.h"

#include "common/clock.h"
#include "common/err.h"
#include "common/redis_wire.h"

#include <errno.h>
#include <hiredis/hiredis.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>

#define BACKOFF_FIRST_MS 10
#define BACKOFF_MAX_MS 500

struct redis {
    struct redis_target target;
    redisContext *context; /* owned; NULL while disconnected */
    int64_t timeout_ms;    /* that the socket has now; 0: none was set */
    struct buf wire;
};

int redis_create(const struct redis_target *target, struct redis **out_redis, struct err *err)
{
    struct redis *redis = calloc(1, sizeof *redis);
    if (!redis)
        return err_set(err, ERR_NOMEM, NULL, "no memory for a Redis connection");
    redis->target = *target;
    buf_init(&redis->wire, REDIS_WIRE_MAX);
    *out_redis = redis;
    return 0;
}

static void disconnect(struct redis *redis)
{
    if (redis->context)
        redisFree(redis->context);
    redis->context = NULL;
    redis->timeout_ms = 0;
}

void redis_destroy(struct redis **redis)
{
    if (!*redis)
        return;
    disconnect(*redis);
    buf_fini(&(*redis)->wire);
    free(*redis);
    *redis = NULL;
}

static struct timeval to_timeval(int64_t ms)
{
    if (ms < 1)
        ms = 1;
    return (struct timeval){.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
}

/* Two system calls: only where the value changes. */
static void set_timeout(struct redis *redis, int64_t timeout_ms)
{
    if (redis->timeout_ms == timeout_ms)
        return;
    redisSetTimeout(redis->context, to_timeval(timeout_ms));
    redis->timeout_ms = timeout_ms;
}

/* Says why, closes, and gives ERR_TIMEOUT or ERR_UNAVAILABLE. */
static int broken(struct redis *redis, struct err *err)
{
    const redisContext *context = redis->context;
    bool late = context->err == REDIS_ERR_IO &&
                (errno == EAGAIN || errno == EWOULDBLOCK || errno == ETIMEDOUT);
    int rc = late ? ERR_TIMEOUT : ERR_UNAVAILABLE;
    err_set(err, rc, "redis", "%s", late ? "no answer in time" : context->errstr);
    disconnect(redis);
    return rc;
}

/* One exchange on the connection that there is. All of out_replies are set, or none. */
static int exchange(struct redis *redis, const struct redis_command *const *commands, size_t count,
                    bool with_body, struct redis_reply **out_replies, struct err *err)
{
    size_t got = 0;
    int rc = 0;
    buf_clear(&redis->wire);
    for (size_t i = 0; i < count && rc == 0; i++)
        rc = redis_wire_append(&redis->wire, commands[i], with_body);
    if (rc < 0)
        return err_set(err, rc, "redis", "the command is too large");
    if (redisAppendFormattedCommand(redis->context, (const char *)redis->wire.data,
                                    redis->wire.size) != REDIS_OK)
        return broken(redis, err);
    for (; got < count; got++) {
        void *reply = NULL;
        errno = 0;
        if (redisGetReply(redis->context, &reply) != REDIS_OK || !reply) {
            rc = broken(redis, err);
            break;
        }
        out_replies[got] = reply;
    }
    while (rc < 0 && got > 0)
        redis_reply_free(&out_replies[--got]);
    return rc;
}

static int handshake(struct redis *redis, struct err *err)
{
    struct redis_command command;
    struct redis_reply *reply = NULL;
    int rc = 0;
    redis_command_init(&command, 1024);
    for (int step = 0; rc == 0 && redis_handshake(&redis->target, step, &command); step++) {
        const struct redis_command *commands[] = {&command};
        rc = exchange(redis, commands, 1, false, &reply, err);
        if (rc == 0)
            rc = redis_reply_check(reply, err);
        redis_reply_free(&reply);
    }
    redis_command_fini(&command);
    /* A refused AUTH or SELECT leaves a connection that must not be used. */
    if (rc < 0)
        disconnect(redis);
    return rc == ERR_INTERNAL ? ERR_DENIED : rc;
}

static int connect_once(struct redis *redis, int64_t timeout_ms, struct err *err)
{
    struct timeval limit = to_timeval(timeout_ms);
    const struct redis_target *target = &redis->target;
    if (target->path[0])
        redis->context = redisConnectUnixWithTimeout(target->path, limit);
    else
        redis->context = redisConnectWithTimeout(target->host, target->port, limit);
    if (!redis->context)
        return err_set(err, ERR_NOMEM, "redis", "no memory for a connection");
    if (redis->context->err) {
        err_set(err, ERR_UNAVAILABLE, "redis", "%s", redis->context->errstr);
        disconnect(redis);
        return ERR_UNAVAILABLE;
    }
    if (!target->path[0])
        redisEnableKeepAlive(redis->context);
    set_timeout(redis, timeout_ms);
    return handshake(redis, err);
}

static void pause_ms(int64_t ms)
{
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    nanosleep(&time, NULL);
}

/* Repeats connect and exchange while the connection breaks and there is time. */
static int exchange_until(struct redis *redis, const struct redis_command *const *commands,
                          size_t count, bool with_body, int64_t timeout_ms,
                          struct redis_reply **out_replies, struct err *err)
{
    int64_t deadline_ms = clock_ms() + timeout_ms;
    int64_t backoff_ms = BACKOFF_FIRST_MS;
    for (;;) {
        struct err cause = {0};
        int64_t left_ms = redis->context ? timeout_ms : deadline_ms - clock_ms();
        int rc = redis->context ? 0 : connect_once(redis, left_ms, &cause);
        if (rc == 0) {
            set_timeout(redis, timeout_ms);
            rc = exchange(redis, commands, count, with_body, out_replies, &cause);
        }
        left_ms = deadline_ms - clock_ms();
        if (rc != ERR_UNAVAILABLE || left_ms <= 0)
            return rc < 0 ? err_set(err, rc, cause.field, "%s", cause.text) : 0;
        pause_ms(backoff_ms < left_ms ? backoff_ms : left_ms);
        backoff_ms = backoff_ms * 2 < BACKOFF_MAX_MS ? backoff_ms * 2 : BACKOFF_MAX_MS;
    }
}

int redis_pipeline(struct redis *redis, const struct redis_command *const *commands, size_t count,
                   int64_t timeout_ms, struct redis_reply **out_replies, struct err *err)
{
    for (size_t i = 0; i < count; i++)
        out_replies[i] = NULL;
    int rc = exchange_until(redis, commands, count, false, timeout_ms, out_replies, err);
    bool demoted = false;
    for (size_t i = 0; i < count && rc == 0; i++) {
        /* In order, so that commands which all lack their script keep their order. */
        if (redis_reply_is_noscript(out_replies[i]) && commands[i]->script) {
            struct redis_reply *again = NULL;
            rc = exchange_until(redis, &commands[i], 1, true, timeout_ms, &again, err);
            if (rc == 0) {
                redis_reply_free(&out_replies[i]);
                out_replies[i] = again;
            }
        }
        demoted = demoted || redis_reply_is_demoted(out_replies[i]);
    }
    for (size_t i = 0; i < count && rc < 0; i++)
        redis_reply_free(&out_replies[i]);
    /* The name may lead to the new master next time. */
    if (demoted)
        disconnect(redis);
    return rc;
}

int redis_call(struct redis *redis, const struct redis_command *command, int64_t timeout_ms,
               struct redis_reply **out_reply, struct err *err)
{
    struct redis_reply *reply = NULL;
    int rc = redis_pipeline(redis, &command, 1, timeout_ms, &reply, err);
    if (rc == 0)
        rc = redis_reply_check(reply, err);
    if (rc == 0 && out_reply) {
        *out_reply = reply;
        reply = NULL;
    }
    redis_reply_free(&reply);
    return rc;
}
