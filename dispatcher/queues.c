/* SPDX-License-Identifier: MIT
 *
 * The queues of the shards, and the way of a command to them. */
#include "dispatcher/dispatcher.h"

#include "common/err.h"

#include <assert.h>

void dispatcher_init_queues(struct dispatcher *dispatcher)
{
    const struct settings *settings = dispatcher->settings;
    dispatcher->shards = (unsigned)settings->shards;
    for (unsigned shard = 0; shard < dispatcher->shards; shard++) {
        struct queue *queue = &dispatcher->queues[shard];
        queue_init(queue, shard, settings->lease_ms);
        queue->shards = dispatcher->shards;
    }
    dispatcher_limit_queues(dispatcher);
}

void dispatcher_limit_queues(struct dispatcher *dispatcher)
{
    const struct settings *settings = dispatcher->settings;
    for (unsigned shard = 0; shard < dispatcher->shards; shard++) {
        struct queue *queue = &dispatcher->queues[shard];
        queue->retain_ms = settings->retain_ms;
        queue->max_queued = (settings->max_queued + settings->shards - 1) / settings->shards;
        queue->max_flow_queued = settings->max_flow_queued;
    }
}

bool dispatcher_redis_usable(const struct dispatcher *dispatcher)
{
    return dispatcher->redis_checked && redis_async_connected(dispatcher->redis);
}

const struct queue *dispatcher_queue(const struct dispatcher *dispatcher, unsigned shard)
{
    assert(shard < dispatcher->shards);
    return &dispatcher->queues[shard];
}

const struct queue *dispatcher_queue_of_flow(const struct dispatcher *dispatcher, const char *flow)
{
    return &dispatcher->queues[queue_shard_of_flow(flow, dispatcher->shards)];
}

const struct queue *dispatcher_queue_of_id(const struct dispatcher *dispatcher,
                                           const char *public_id)
{
    unsigned shard = id_public_valid(public_id) ? id_public_shard(public_id) : 0;
    return &dispatcher->queues[shard < dispatcher->shards ? shard : 0];
}

int dispatcher_send(struct dispatcher *dispatcher, redis_async_done *done, void *data)
{
    if (!dispatcher_redis_usable(dispatcher))
        return ERR_UNAVAILABLE;
    return redis_async_send(dispatcher->redis, &dispatcher->command, done, data);
}
