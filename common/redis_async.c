/* SPDX-License-Identifier: MIT
 *
 * hiredis' asynchronous context on the caller's epoll descriptor.
 *
 * hiredis owns the context and frees it itself when a connection ends, from inside its handlers;
 * on_cleanup() is where we learn of it, the last moment at which the descriptor is still open.
 * So every function here that called into hiredis looks at redis->context again. */
#include "common/redis_async.h"

#include "common/clock.h"
#include "common/err.h"
#include "common/redis.h"
#include "common/redis_wire.h"

#include <hiredis/async.h>
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#define BACKOFF_FIRST_MS 50
#define BACKOFF_MAX_MS 2000
#define CONNECT_LIMIT_MS 5000
#define DEFAULT_TIMEOUT_MS 5000

struct redis_async {
    struct redis_target target;
    int epoll_fd;
    void *epoll_tag;
    redisAsyncContext *context; /* hiredis'; NULL while disconnected */
    bool ready;                 /* connected and through the handshake */
    bool want_write;            /* hiredis has bytes to write */
    bool registered;
    uint32_t armed; /* events that epoll watches for */
    int handshake_step;
    size_t pending;
    int64_t timeout_ms;
    int64_t progress_ms; /* when the oldest waiting command became the oldest */
    int64_t connecting_ms, reconnect_ms, backoff_ms;
    unsigned jitter;
    struct buf wire;
    char reason[256];
};

/* One command under way. `command` is a copy where a script may have to be sent in full. */
struct waiting {
    struct redis_async *redis;
    redis_async_done *done; /* NULL: nobody waits */
    void *data;
    struct redis_command command;
    bool replayed;
};

static void say(struct redis_async *redis, const char *reason)
{
    snprintf(redis->reason, sizeof redis->reason, "%s", reason);
}

/* ---- epoll ---------------------------------------------------------------------------------- */

static void watch(struct redis_async *redis, uint32_t events)
{
    if (!redis->context || (redis->registered && redis->armed == events))
        return;
    struct epoll_event event = {.events = events, .data.ptr = redis->epoll_tag};
    int how = redis->registered ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
    if (epoll_ctl(redis->epoll_fd, how, redis->context->c.fd, &event) == 0) {
        redis->registered = true;
        redis->armed = events;
    }
}

static void on_add_read(void *data)
{
    struct redis_async *redis = data;
    watch(redis, redis->armed | EPOLLIN);
}

/* Only noted: what is queued leaves at the next tick, without a trip through epoll. */
static void on_add_write(void *data)
{
    struct redis_async *redis = data;
    redis->want_write = true;
}

static void on_del_write(void *data)
{
    struct redis_async *redis = data;
    redis->want_write = false;
}

static void on_del_read(void *data)
{
    (void)data; /* we always read: a closed connection must be noticed */
}

static void on_cleanup(void *data)
{
    struct redis_async *redis = data;
    if (redis->registered)
        epoll_ctl(redis->epoll_fd, EPOLL_CTL_DEL, redis->context->c.fd, NULL);
    redis->registered = false;
    redis->armed = 0;
    redis->ready = false;
    redis->want_write = false;
    if (redis->context->errstr && redis->context->errstr[0])
        say(redis, redis->context->errstr);
    else if (!redis->reason[0])
        say(redis, "the connection was closed");
    redis->context = NULL;
    /* A quarter of jitter, so that a fleet does not come back in step. */
    redis->jitter = redis->jitter * 1103515245u + 12345u;
    redis->reconnect_ms =
        clock_ms() + redis->backoff_ms + redis->jitter / 65536u % (redis->backoff_ms / 4 + 1);
    redis->backoff_ms *= 2;
    if (redis->backoff_ms > BACKOFF_MAX_MS)
        redis->backoff_ms = BACKOFF_MAX_MS;
}

/* ---- connecting ----------------------------------------------------------------------------- */

static void handshake_next(struct redis_async *redis);

static void on_handshake(redisAsyncContext *context, void *reply, void *data)
{
    struct redis_async *redis = data;
    struct err err = {0};
    if (!reply)
        return;
    if (redis_reply_check(reply, &err) < 0) {
        say(redis, err.text);
        redisAsyncDisconnect(context);
        return;
    }
    redis->handshake_step++;
    handshake_next(redis);
}

static int put_on_wire(struct redis_async *redis, const struct redis_command *command,
                       bool with_body, redisCallbackFn *callback, void *data)
{
    buf_clear(&redis->wire);
    int rc = redis_wire_append(&redis->wire, command, with_body);
    if (rc < 0)
        return rc;
    if (redisAsyncFormattedCommand(redis->context, callback, data, (const char *)redis->wire.data,
                                   redis->wire.size) != REDIS_OK)
        return ERR_UNAVAILABLE;
    /* One huge command must not hold its memory for ever. */
    if (redis->wire.capacity > 1024 * 1024)
        buf_fini(&redis->wire);
    return 0;
}

static void handshake_next(struct redis_async *redis)
{
    struct redis_command command;
    redis_command_init(&command, 1024);
    if (redis_handshake(&redis->target, redis->handshake_step, &command)) {
        put_on_wire(redis, &command, false, on_handshake, redis);
    } else {
        redis->ready = true;
        redis->backoff_ms = BACKOFF_FIRST_MS;
        redis->reason[0] = 0;
    }
    redis_command_fini(&command);
}

static void on_connected(const redisAsyncContext *context, int status)
{
    struct redis_async *redis = context->data;
    if (status != REDIS_OK)
        return; /* hiredis cleans up by itself */
    redis->handshake_step = 0;
    handshake_next(redis);
}

static void connect_now(struct redis_async *redis, int64_t now_ms)
{
    const struct redis_target *target = &redis->target;
    redisAsyncContext *context = target->path[0] ? redisAsyncConnectUnix(target->path)
                                                 : redisAsyncConnect(target->host, target->port);
    if (!context || context->err) {
        say(redis, context ? context->errstr : "no memory for a connection");
        if (context)
            redisAsyncFree(context);
        redis->reconnect_ms = now_ms + redis->backoff_ms;
        redis->backoff_ms =
            redis->backoff_ms * 2 < BACKOFF_MAX_MS ? redis->backoff_ms * 2 : BACKOFF_MAX_MS;
        return;
    }
    redis->context = context;
    redis->connecting_ms = now_ms;
    context->data = redis;
    context->ev.data = redis;
    context->ev.addRead = on_add_read;
    context->ev.delRead = on_del_read;
    context->ev.addWrite = on_add_write;
    context->ev.delWrite = on_del_write;
    context->ev.cleanup = on_cleanup;
    redisAsyncSetConnectCallback(context, on_connected);
    /* Writable means connected. */
    watch(redis, EPOLLIN | EPOLLOUT);
}

int redis_async_create(const struct redis_target *target, int epoll_fd, void *epoll_tag,
                       struct redis_async **out_redis, struct err *err)
{
    struct redis_async *redis = calloc(1, sizeof *redis);
    if (!redis)
        return err_set(err, ERR_NOMEM, NULL, "no memory for a Redis connection");
    redis->target = *target;
    redis->epoll_fd = epoll_fd;
    redis->epoll_tag = epoll_tag;
    redis->backoff_ms = BACKOFF_FIRST_MS;
    redis->timeout_ms = DEFAULT_TIMEOUT_MS;
    redis->jitter = (unsigned)clock_us();
    buf_init(&redis->wire, REDIS_WIRE_MAX);
    say(redis, "connecting");
    connect_now(redis, clock_ms());
    *out_redis = redis;
    return 0;
}

void redis_async_destroy(struct redis_async **redis)
{
    if (!*redis)
        return;
    if ((*redis)->context)
        redisAsyncFree((*redis)->context);
    buf_fini(&(*redis)->wire);
    free(*redis);
    *redis = NULL;
}

void redis_async_set_timeout(struct redis_async *redis, int64_t timeout_ms)
{
    redis->timeout_ms = timeout_ms;
}

bool redis_async_connected(const struct redis_async *redis)
{
    return redis->ready;
}

size_t redis_async_pending(const struct redis_async *redis)
{
    return redis->pending;
}

const char *redis_async_reason(const struct redis_async *redis)
{
    return redis->ready ? "" : redis->reason;
}

/* ---- commands ------------------------------------------------------------------------------- */

static void waiting_free(struct waiting *waiting)
{
    redis_command_fini(&waiting->command);
    free(waiting);
}

static void on_reply(redisAsyncContext *context, void *reply, void *data)
{
    struct waiting *waiting = data;
    struct redis_async *redis = waiting->redis;
    (void)context;
    redis->progress_ms = clock_ms();
    if (!reply)
        redis->ready = false;
    if (reply && redis_reply_is_noscript(reply) && waiting->command.script && !waiting->replayed) {
        waiting->replayed = true;
        if (put_on_wire(redis, &waiting->command, true, on_reply, waiting) == 0)
            return;
        reply = NULL;
    }
    redis->pending--;
    int rc = reply ? redis_reply_check(reply, NULL) : ERR_UNAVAILABLE;
    bool demoted = redis_reply_is_demoted(reply);
    if (waiting->done)
        waiting->done(rc, reply, waiting->data);
    waiting_free(waiting);
    if (demoted && redis->context) {
        say(redis, "the server is a replica now");
        redisAsyncDisconnect(redis->context);
    }
}

int redis_async_send(struct redis_async *redis, const struct redis_command *command,
                     redis_async_done *done, void *data)
{
    if (command->failure)
        return command->failure;
    if (!redis->ready || redis->pending >= REDIS_ASYNC_MAX_PENDING)
        return ERR_UNAVAILABLE;
    struct waiting *waiting = calloc(1, sizeof *waiting);
    if (!waiting)
        return ERR_NOMEM;
    *waiting = (struct waiting){.redis = redis, .done = done, .data = data};
    int rc = 0;
    if (command->script) {
        waiting->command = *command;
        buf_init(&waiting->command.args, command->args.size);
        rc = buf_append(&waiting->command.args, command->args.data, command->args.size);
    }
    if (rc == 0)
        rc = put_on_wire(redis, command, false, on_reply, waiting);
    if (rc < 0) {
        waiting_free(waiting);
        return rc;
    }
    if (redis->pending++ == 0)
        redis->progress_ms = clock_ms();
    return 0;
}

/* ---- the loop -------------------------------------------------------------------------------- */

static void flush(struct redis_async *redis)
{
    if (redis->context && redis->want_write && !(redis->armed & EPOLLOUT))
        redisAsyncHandleWrite(redis->context);
    if (!redis->context)
        return;
    bool connected = (redis->context->c.flags & REDIS_CONNECTED) != 0;
    watch(redis, redis->want_write || !connected ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

void redis_async_handle(struct redis_async *redis, uint32_t events)
{
    bool connected = redis->context && (redis->context->c.flags & REDIS_CONNECTED);
    /* An error while connecting shows in either handler; the write one reports it best. */
    if (redis->context && (events & EPOLLOUT || (!connected && events & (EPOLLERR | EPOLLHUP))))
        redisAsyncHandleWrite(redis->context);
    if (redis->context && events & (EPOLLIN | EPOLLERR | EPOLLHUP) &&
        (redis->context->c.flags & REDIS_CONNECTED))
        redisAsyncHandleRead(redis->context);
}

static void drop(struct redis_async *redis, const char *reason)
{
    say(redis, reason);
    redis->ready = false;
    redisAsyncFree(redis->context);
    say(redis, reason);
}

int64_t redis_async_tick(struct redis_async *redis, int64_t now_ms)
{
    if (redis->context && !redis->ready && now_ms - redis->connecting_ms >= CONNECT_LIMIT_MS)
        drop(redis, "no connection in time");
    else if (redis->ready && redis->pending && redis->timeout_ms &&
             now_ms - redis->progress_ms >= redis->timeout_ms)
        drop(redis, "no answer in time");
    if (!redis->context && now_ms >= redis->reconnect_ms)
        connect_now(redis, now_ms);
    flush(redis);
    if (!redis->context)
        return redis->reconnect_ms;
    if (!redis->ready)
        return redis->connecting_ms + CONNECT_LIMIT_MS;
    return redis->pending && redis->timeout_ms ? redis->progress_ms + redis->timeout_ms : INT64_MAX;
}
