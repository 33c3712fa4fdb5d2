/* SPDX-License-Identifier: MIT
 *
 * The synchronous calls: which server, and until when. */
#include "common/redis.h"

#include "common/clock.h"
#include "common/err.h"
#include "common/redis_connection.h"
#include "common/redis_route.h"
#include "common/redis_tls.h"
#include "common/redis_wire.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define BACKOFF_FIRST_MS 10
#define BACKOFF_MAX_MS 500
/* For a question to a sentinel, or to a node of a cluster about the others. */
#define ASK_MS 500
#define MAX_REDIRECTS 16
#define SENTINEL_MS 500 /* between two questions to the sentinels */

struct redis {
    struct redis_target target;
    struct redis_connection
        *connections;               /* owned; of a cluster one for each node that was needed */
    struct redis_topology topology; /* REDIS_CLUSTER; empty: to be asked for */
    size_t sentinel;             /* REDIS_SENTINEL: the one that answered last, or the next one, */
    int64_t epoch;               /* the latest that was heard of, */
    struct redis_address master; /* what was said then, */
    int64_t asked_ms;            /* when they were last asked; 0: none has answered yet */
    struct buf wire;
};

int redis_create(const struct redis_target *target, struct redis **out_redis, struct err *err)
{
    struct redis *redis = calloc(1, sizeof *redis);
    if (!redis)
        return err_set(err, ERR_NOMEM, NULL, "no memory for a Redis connection");
    redis->target = *target;
    buf_init(&redis->wire, REDIS_WIRE_MAX);
    int rc = redis_tls_open(&redis->target, err);
    if (rc < 0)
        free(redis);
    else
        *out_redis = redis;
    return rc;
}

static void free_connection(struct redis_connection *connection)
{
    redis_connection_close(connection);
    free(connection);
}

void redis_destroy(struct redis **redis)
{
    if (!*redis)
        return;
    while ((*redis)->connections) {
        struct redis_connection *connection = (*redis)->connections;
        (*redis)->connections = connection->next;
        free_connection(connection);
    }
    redis_tls_close(&(*redis)->target);
    redis_topology_fini(&(*redis)->topology);
    buf_fini(&(*redis)->wire);
    free(*redis);
    *redis = NULL;
}

/* Finds or makes the one to this server; NULL without memory. */
static struct redis_connection *get_connection(struct redis *redis,
                                               const struct redis_target *target)
{
    struct redis_connection *connection = redis->connections;
    while (connection && (!redis_address_equal(&connection->target.node, &target->node) ||
                          strcmp(connection->target.path, target->path) != 0))
        connection = connection->next;
    if (!connection && (connection = calloc(1, sizeof *connection))) {
        connection->target = *target;
        connection->next = redis->connections;
        redis->connections = connection;
    }
    return connection;
}

/* One question to one server, all within `timeout_ms`. */
static int ask(struct redis *redis, const struct redis_target *target,
               const struct redis_command *command, int64_t timeout_ms,
               struct redis_reply **out_reply, struct err *err)
{
    struct redis_connection *connection = get_connection(redis, target);
    if (!connection)
        return err_set(err, ERR_NOMEM, NULL, "no memory for a Redis connection");
    int rc = redis_connection_open(connection, &redis->wire, timeout_ms, err);
    return rc < 0 ? rc
                  : redis_connection_exchange(connection, &redis->wire, &command, 1, false,
                                              timeout_ms, out_reply, err);
}

/* ---- where to ---- */

static int ask_sentinel(struct redis *redis, size_t index, int64_t timeout_ms,
                        struct redis_address *out, struct err *err)
{
    struct redis_target target;
    struct redis_command command;
    struct redis_reply *reply = NULL;
    struct redis_address address = {0};
    int64_t epoch = 0;
    redis_target_of_sentinel(&redis->target, index, &target);
    redis_command_init(&command, 1024);
    redis_sentinel_command(&redis->target, &command);
    int rc = ask(redis, &target, &command, timeout_ms < ASK_MS ? timeout_ms : ASK_MS, &reply, err);
    if (rc == 0)
        rc = redis_reply_check(reply, err);
    if (rc == 0)
        rc = redis_sentinel_parse(reply, &address, &epoch, err);
    if (rc == 0 && epoch < redis->epoch)
        rc = err_set(err, ERR_UNAVAILABLE, "redis", "the sentinel was cut off");
    if (rc == 0) {
        redis->epoch = epoch;
        *out = address;
    }
    redis_reply_free(&reply);
    redis_command_fini(&command);
    return rc;
}

/* Whether there is a connection to the master that the sentinels named last. */
static bool has_master(const struct redis *redis)
{
    const struct redis_connection *at = redis->connections;
    while (at && !(at->context && at->target.master_only &&
                   redis_address_equal(&at->target.node, &redis->master)))
        at = at->next;
    return at != NULL;
}

static void leave_others(struct redis *redis)
{
    for (struct redis_connection *at = redis->connections; at; at = at->next)
        if (at->target.master_only && !redis_address_equal(&at->target.node, &redis->master))
            redis_connection_close(at);
}

/* The master that sentinels know. One that was replaced may go on answering for seconds, and what
 * it says yes to is lost: so we keep asking while there is a connection to it. But then one
 * sentinel at a time, first who answered last: a host that is gone answers nothing, and a command
 * waits for that. */
static int find_master(struct redis *redis, int64_t timeout_ms, struct redis_target *out,
                       struct err *err)
{
    bool connected = has_master(redis);
    int rc = connected && clock_ms() < redis->asked_ms + SENTINEL_MS ? 0 : ERR_UNAVAILABLE;
    struct err cause = {0};
    for (size_t i = 0; rc < 0 && i < (connected ? 1 : redis->target.seed_count); i++) {
        cause = (struct err){0};
        rc = ask_sentinel(redis, redis->sentinel, timeout_ms, &redis->master, &cause);
        if (rc < 0)
            redis->sentinel = (redis->sentinel + 1) % redis->target.seed_count;
        if (rc == 0 || connected)
            redis->asked_ms = clock_ms();
    }
    /* A connection that works is not given up for sentinels that don't. */
    if (rc < 0 && redis->asked_ms == 0)
        return err_set(err, ERR_UNAVAILABLE, "redis", "sentinel: %s", cause.text);
    leave_others(redis);
    redis_target_of_node(&redis->target, &redis->master, out);
    return 0;
}

static int ask_node(struct redis *redis, const struct redis_address *address, int64_t timeout_ms,
                    struct err *err)
{
    struct redis_target target;
    struct redis_command command;
    struct redis_reply *reply = NULL;
    redis_target_of_node(&redis->target, address, &target);
    redis_command_init(&command, 64);
    redis_command_text(&command, "CLUSTER");
    redis_command_text(&command, "SLOTS");
    int rc = ask(redis, &target, &command, timeout_ms < ASK_MS ? timeout_ms : ASK_MS, &reply, err);
    if (rc == 0)
        rc = redis_reply_check(reply, err);
    if (rc == 0)
        rc = redis_topology_parse(reply, address->host, &redis->topology, err);
    redis_reply_free(&reply);
    redis_command_fini(&command);
    return rc;
}

/* Asks the nodes that are known, then those that were given. */
static int refresh_topology(struct redis *redis, int64_t timeout_ms, struct err *err)
{
    struct redis_topology old = redis->topology;
    int rc = ERR_UNAVAILABLE;
    int64_t deadline_ms = clock_ms() + timeout_ms;
    redis->topology = (struct redis_topology){0};
    for (size_t i = 0; rc < 0 && i < old.node_count + redis->target.seed_count; i++) {
        int64_t left_ms = deadline_ms - clock_ms();
        if (left_ms <= 0)
            break;
        if (err)
            *err = (struct err){0};
        rc = ask_node(redis,
                      i < old.node_count ? &old.nodes[i] : &redis->target.seeds[i - old.node_count],
                      left_ms, err);
    }
    redis_topology_fini(&old);
    return rc < 0 && rc != ERR_DENIED ? ERR_UNAVAILABLE : rc;
}

static int find_node(struct redis *redis, int slot, int64_t timeout_ms, struct redis_target *out,
                     struct err *err)
{
    int rc = redis->topology.range_count ? 0 : refresh_topology(redis, timeout_ms, err);
    if (rc < 0)
        return rc;
    const struct redis_address *address =
        slot < 0 ? &redis->topology
                        .nodes[redis->topology.range_count ? redis->topology.ranges[0].node : 0]
                 : redis_topology_find(&redis->topology, slot);
    if (!redis->topology.range_count || !address) {
        redis_topology_fini(&redis->topology);
        return err_set(err, ERR_UNAVAILABLE, "redis", "no node of the cluster serves slot %d",
                       slot);
    }
    redis_target_of_node(&redis->target, address, out);
    return 0;
}

/* ---- until it works ---- */

static void pause_ms(int64_t ms)
{
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    nanosleep(&time, NULL);
}

/* Where the next try goes. */
struct route {
    int slot;
    bool addressed; /* `target` is set by a redirection */
    bool asking;
    int redirects;
    struct redis_target target;
};

static int find_target(struct redis *redis, struct route *route, int64_t timeout_ms,
                       struct err *err)
{
    if (route->addressed)
        return 0;
    switch (redis->target.kind) {
    case REDIS_ONE: route->target = redis->target; return 0;
    case REDIS_CLUSTER: return find_node(redis, route->slot, timeout_ms, &route->target, err);
    case REDIS_SENTINEL: return find_master(redis, timeout_ms, &route->target, err);
    }
    return ERR_INTERNAL;
}

/* True where the (only) reply says that the command belongs elsewhere. ERR_UNAVAILABLE in *out_rc:
 * later. */
static bool is_redirected(struct redis *redis, struct route *route, struct redis_reply **reply,
                          int *out_rc, struct err *err)
{
    struct redis_address address;
    enum redis_redirect redirect = redis_redirect_parse(*reply, route->target.node.host, &address);
    if (redirect == REDIS_STAY || route->redirects >= MAX_REDIRECTS)
        return false;
    if (redirect != REDIS_ASK)
        redis_topology_fini(&redis->topology);
    route->asking = redirect == REDIS_ASK;
    route->addressed = redirect != REDIS_LATER;
    if (route->addressed) {
        route->redirects++;
        redis_target_of_node(&redis->target, &address, &route->target);
    } else {
        *out_rc = redis_reply_check(*reply, err);
    }
    redis_reply_free(reply);
    return true;
}

static int exchange_at(struct redis *redis, const struct route *route,
                       const struct redis_command *const *commands, size_t count,
                       int64_t connect_ms, int64_t timeout_ms, struct redis_reply **out_replies,
                       struct err *err)
{
    struct redis_connection *connection = get_connection(redis, &route->target);
    if (!connection)
        return err_set(err, ERR_NOMEM, NULL, "no memory for a Redis connection");
    int rc = redis_connection_open(connection, &redis->wire, connect_ms, err);
    return rc < 0 ? rc
                  : redis_connection_exchange(connection, &redis->wire, commands, count,
                                              route->asking, timeout_ms, out_replies, err);
}

/* The name, or the sentinels, may lead to the new master next time. */
static void leave_replicas(struct redis *redis, struct redis_reply *const *replies, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (redis_reply_is_demoted(replies[i]))
            for (struct redis_connection *at = redis->connections; at; at = at->next)
                redis_connection_close(at);
}

/* Repeats connect and exchange while the connection breaks, or the command belongs elsewhere, and
 * there is time. Several commands only where they all go to one server. */
static int exchange_until(struct redis *redis, const struct redis_command *const *commands,
                          size_t count, int64_t timeout_ms, struct redis_reply **out_replies,
                          struct err *err)
{
    struct route route = {.slot = commands[0]->slot};
    int64_t deadline_ms = clock_ms() + timeout_ms;
    int64_t backoff_ms = BACKOFF_FIRST_MS;
    for (;;) {
        struct err cause = {0};
        int64_t left_ms = deadline_ms - clock_ms();
        left_ms = left_ms > 0 ? left_ms : 1;
        int rc = find_target(redis, &route, left_ms, &cause);
        if (rc == 0)
            rc = exchange_at(redis, &route, commands, count, left_ms, timeout_ms, out_replies,
                             &cause);
        if (rc == 0 && redis->target.kind == REDIS_CLUSTER &&
            is_redirected(redis, &route, &out_replies[0], &rc, &cause) && rc == 0)
            continue;
        if (rc == 0 && redis->target.kind == REDIS_SENTINEL && count == 1 &&
            redis_reply_is_demoted(out_replies[0])) {
            rc = redis_reply_check(out_replies[0], &cause);
            leave_replicas(redis, out_replies, 1);
            redis_reply_free(&out_replies[0]);
        }
        left_ms = deadline_ms - clock_ms();
        if (rc != ERR_UNAVAILABLE || left_ms <= 0)
            return rc < 0 ? err_set(err, rc, cause.field, "%s", cause.text) : 0;
        /* Somebody else may have it now. */
        route.addressed = route.asking = false;
        redis_topology_fini(&redis->topology);
        pause_ms(backoff_ms < left_ms ? backoff_ms : left_ms);
        backoff_ms = backoff_ms * 2 < BACKOFF_MAX_MS ? backoff_ms * 2 : BACKOFF_MAX_MS;
    }
}

int redis_pipeline(struct redis *redis, const struct redis_command *const *commands, size_t count,
                   int64_t timeout_ms, struct redis_reply **out_replies, struct err *err)
{
    /* In a cluster each command may be redirected on its own. */
    size_t step = redis->target.kind == REDIS_CLUSTER ? 1 : count;
    int rc = 0;
    for (size_t i = 0; i < count; i++)
        out_replies[i] = NULL;
    for (size_t i = 0; i < count && rc == 0; i += step)
        rc = exchange_until(redis, commands + i, step, timeout_ms, out_replies + i, err);
    leave_replicas(redis, out_replies, count);
    for (size_t i = 0; i < count && rc < 0; i++)
        redis_reply_free(&out_replies[i]);
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
