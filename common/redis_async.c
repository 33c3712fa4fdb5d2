/* SPDX-License-Identifier: MIT
 *
 * One of three: a link to a server, a link to the master that sentinels name, a cluster. The latter
 * two keep several sockets in an epoll descriptor of their own, which is what the caller's watches.
 */
#include "common/redis_async.h"

#include "common/clock.h"
#include "common/err.h"
#include "common/redis_cluster.h"
#include "common/redis_link.h"
#include "common/redis_route.h"
#include "common/redis_sentinel.h"
#include "common/redis_tls.h"

#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define MAX_EVENTS 16
#define DEFAULT_TIMEOUT_MS 5000

struct redis_async {
    struct redis_target target;
    int epoll_fd, inner_fd; /* inner_fd: -1 with one server */
    int64_t timeout_ms;
    struct redis_link *link;         /* owned; NULL in a cluster, or while no master is known */
    struct redis_sentinel *sentinel; /* owned; or NULL */
    struct redis_cluster *cluster;   /* owned; or NULL */
};

/* ---- open and close ---- */

static int open_inner(struct redis_async *redis, int epoll_fd, void *epoll_tag, struct err *err)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = epoll_tag};
    redis->inner_fd = epoll_create1(EPOLL_CLOEXEC);
    if (redis->inner_fd < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, redis->inner_fd, &event) < 0)
        return err_set_errno(err, NULL, "epoll");
    if (redis->target.kind == REDIS_CLUSTER)
        return redis_cluster_create(&redis->target, redis->inner_fd, &redis->cluster, err);
    return redis_sentinel_create(&redis->target, redis->inner_fd, &redis->sentinel, err);
}

int redis_async_create(const struct redis_target *target, int epoll_fd, void *epoll_tag,
                       struct redis_async **out_redis, struct err *err)
{
    struct redis_async *redis = calloc(1, sizeof *redis);
    if (!redis)
        return err_set(err, ERR_NOMEM, NULL, "no memory for a Redis connection");
    redis->target = *target;
    redis->epoll_fd = epoll_fd;
    redis->inner_fd = -1;
    int rc = redis_tls_open(&redis->target, err);
    if (rc == 0)
        rc = target->kind == REDIS_ONE
                 ? redis_link_create(&redis->target, epoll_fd, epoll_tag, &redis->link, err)
                 : open_inner(redis, epoll_fd, epoll_tag, err);
    if (rc < 0) {
        redis_async_destroy(&redis);
        return rc;
    }
    redis_async_set_timeout(redis, DEFAULT_TIMEOUT_MS);
    *out_redis = redis;
    return 0;
}

void redis_async_destroy(struct redis_async **slot)
{
    struct redis_async *redis = *slot;
    if (!redis)
        return;
    redis_link_destroy(&redis->link);
    redis_sentinel_destroy(&redis->sentinel);
    redis_cluster_destroy(&redis->cluster);
    redis_tls_close(&redis->target);
    if (redis->inner_fd >= 0)
        close(redis->inner_fd); /* which takes it out of the caller's */
    free(redis);
    *slot = NULL;
}

void redis_async_set_timeout(struct redis_async *redis, int64_t timeout_ms)
{
    redis->timeout_ms = timeout_ms;
    if (redis->cluster)
        redis_cluster_set_timeout(redis->cluster, timeout_ms);
    if (redis->link)
        redis_link_set_timeout(redis->link, timeout_ms);
}

/* ---- commands ---- */

int redis_async_send(struct redis_async *redis, const struct redis_command *command,
                     redis_async_done *done, void *data)
{
    if (redis->cluster)
        return redis_cluster_send(redis->cluster, command, done, data);
    if (!redis->link)
        return command->failure ? command->failure : ERR_UNAVAILABLE;
    return redis_link_send(redis->link, command, 0, done, data);
}

void redis_async_handle(struct redis_async *redis, uint32_t events)
{
    struct epoll_event inner[MAX_EVENTS];
    if (redis->inner_fd < 0) {
        redis_link_handle(redis->link, events);
        return;
    }
    /* Links end in ticks only, so none of these is gone when its turn comes. */
    int count = epoll_wait(redis->inner_fd, inner, MAX_EVENTS, 0);
    for (int i = 0; i < count; i++)
        redis_link_handle(inner[i].data.ptr, inner[i].events);
}

/* Follows the sentinels' word. */
static int64_t follow(struct redis_async *redis, int64_t now_ms)
{
    bool down = !redis->link || !redis_link_ready(redis->link);
    int64_t next_ms = redis_sentinel_tick(redis->sentinel, down, now_ms);
    const struct redis_address *master = redis_sentinel_master(redis->sentinel);
    if (!master || (redis->link && redis_address_equal(redis_link_address(redis->link), master)))
        return next_ms;
    struct redis_target target;
    redis_link_destroy(&redis->link);
    redis_target_of_node(&redis->target, master, &target);
    if (redis_link_create(&target, redis->inner_fd, NULL, &redis->link, NULL) == 0)
        redis_link_set_timeout(redis->link, redis->timeout_ms);
    return next_ms;
}

int64_t redis_async_tick(struct redis_async *redis, int64_t now_ms)
{
    if (redis->cluster)
        return redis_cluster_tick(redis->cluster, now_ms);
    int64_t next_ms = redis->sentinel ? follow(redis, now_ms) : INT64_MAX;
    int64_t link_ms = redis->link ? redis_link_tick(redis->link, now_ms) : INT64_MAX;
    return link_ms < next_ms ? link_ms : next_ms;
}

void redis_async_flush(struct redis_async *redis)
{
    if (redis->cluster)
        redis_cluster_flush(redis->cluster);
    else if (redis->link)
        redis_link_flush(redis->link);
}

bool redis_async_connected(const struct redis_async *redis)
{
    if (redis->cluster)
        return redis_cluster_connected(redis->cluster);
    return redis->link && redis_link_ready(redis->link);
}

size_t redis_async_pending(const struct redis_async *redis)
{
    if (redis->cluster)
        return redis_cluster_pending(redis->cluster);
    return redis->link ? redis_link_pending(redis->link) : 0;
}

bool redis_async_denied(const struct redis_async *redis)
{
    static const char *const words[] = {"WRONGPASS", "NOAUTH", "NOPERM"};
    const char *reason = redis_async_reason(redis);
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (!strncmp(reason, words[i], strlen(words[i])))
            return true;
    return false;
}

const char *redis_async_reason(const struct redis_async *redis)
{
    if (redis->cluster)
        return redis_cluster_reason(redis->cluster);
    return redis->link ? redis_link_reason(redis->link) : redis_sentinel_reason(redis->sentinel);
}

void redis_async_use(struct redis_async *redis, int slot)
{
    if (redis->cluster)
        redis_cluster_use(redis->cluster, slot);
}

bool redis_async_reaches(const struct redis_async *redis, int slot)
{
    return redis->cluster ? redis_cluster_reaches(redis->cluster, slot)
                          : redis_async_connected(redis);
}
