/* SPDX-License-Identifier: MIT
 *
 * A pipelined Redis connection inside the caller's epoll loop: to one server, to the master that
 * sentinels know, or to all nodes of a cluster at once.
 *
 *     rc = redis_async_create(&target, epoll_fd, &my_tag, &redis, &err);
 *     redis_async_send(redis, &command, on_reply, data);
 *     for (;;) {
 *         int64_t next_ms = redis_async_tick(redis, clock_ms());   // also writes what was queued
 *         n = epoll_wait(epoll_fd, events, MAX, next_ms - now);
 *         for (...) if (events[i].data.ptr == &my_tag) redis_async_handle(redis, events[i].events);
 *     }
 *
 * Commands that arrive while a pipeline is in flight leave together at the next tick: no timers.
 * It connects by itself, and again after 50 ms … 2 s (doubling, with jitter) when the connection
 * breaks; every waiting callback then gets ERR_UNAVAILABLE and a NULL reply, exactly once: whether
 * Redis ran the command is unknown, so send only what is safe to repeat. How a server knows our
 * scripts is found out as in redis.h; the callback sees only the outcome. In a cluster MOVED, ASK,
 * TRYAGAIN and CLUSTERDOWN are followed or waited out for up to two seconds; after that, too, the
 * callback gets ERR_UNAVAILABLE and NULL. Commands keep their order as long as none of that happens
 * to them. Callbacks run inside tick, flush, handle and destroy, never inside send. One thread. */
#ifndef DARKROOM_COMMON_REDIS_ASYNC_H
#define DARKROOM_COMMON_REDIS_ASYNC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct redis_async;
struct redis_command;
struct redis_reply;
struct redis_target;

/* `rc` is 0, the code of an error reply (then `reply` holds it), or ERR_UNAVAILABLE with a NULL
 * reply. `reply` is borrowed until the callback returns. */
typedef void redis_async_done(int rc, const struct redis_reply *reply, void *data);

/* `epoll_fd` is borrowed. Events of this connection carry `epoll_tag` as data.ptr. Connecting goes
 * on in the background. */
int redis_async_create(const struct redis_target *target, int epoll_fd, void *epoll_tag,
                       struct redis_async **out_redis, struct err *err);
/* Every waiting callback runs with ERR_UNAVAILABLE first. */
void redis_async_destroy(struct redis_async **redis);

/* A connection whose oldest command got no answer for so long is given up (default 5,000; 0: never,
 * for a connection that blocks on purpose). */
void redis_async_set_timeout(struct redis_async *redis, int64_t timeout_ms);

/* Queues a copy of the command; `done` (nullable) is called exactly once iff this returns 0.
 * ERR_UNAVAILABLE while not connected or with REDIS_ASYNC_MAX_PENDING waiting, ERR_NOMEM,
 * ERR_LIMIT (the command's own failure). */
#define REDIS_ASYNC_MAX_PENDING 65536
int redis_async_send(struct redis_async *redis, const struct redis_command *command,
                     redis_async_done *done, void *data);

/* Handles what epoll reported (EPOLLIN, EPOLLOUT, …). */
void redis_async_handle(struct redis_async *redis, uint32_t events);

/* Writes what was queued, and reconnects when it is time. Returns when it wants to be called next
 * (clock_ms() time; INT64_MAX: only after new commands or events). Never sleeps. */
int64_t redis_async_tick(struct redis_async *redis, int64_t now_ms);

/* Writes what was queued before the next tick does. Not from within a callback: where writing
 * fails, callbacks run. */
void redis_async_flush(struct redis_async *redis);

/* True while there is somebody to send to. */
bool redis_async_connected(const struct redis_async *redis);

/* Of a cluster only part may be there. use() tells early which slots will be needed (a connection
 * to a node that none was sent to is not made); reaches() is true while commands of a slot can be
 * sent. Elsewhere use() does nothing, and reaches() is connected(). */
void redis_async_use(struct redis_async *redis, int slot);
bool redis_async_reaches(const struct redis_async *redis, int slot);
size_t redis_async_pending(const struct redis_async *redis); /* callbacks that wait */

/* Why the connection is down, one line; "" while it is up. Borrowed until the next call. */
const char *redis_async_reason(const struct redis_async *redis);
/* Whether the server is there and refuses us: a wrong password, a right that we lack. */
bool redis_async_denied(const struct redis_async *redis);

#endif
