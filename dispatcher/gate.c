/* SPDX-License-Identifier: MIT */
#include "dispatcher/gate.h"

#include "common/clock.h"
#include "common/err.h"
#include "common/log.h"
#include "dispatcher/dispatcher.h"

#include <stdlib.h>

#define AGAIN_MS 5000 /* somebody may repair the server's configuration */

struct gate {
    struct dispatcher *dispatcher;
    bool was_connected, asking;
    unsigned shard;
    int step;
    int64_t due_ms;
};

int gate_create(struct dispatcher *dispatcher, struct gate **out)
{
    struct gate *gate = calloc(1, sizeof *gate);
    if (!gate)
        return ERR_NOMEM;
    gate->dispatcher = dispatcher;
    *out = gate;
    return 0;
}

void gate_destroy(struct gate **gate)
{
    free(*gate);
    *gate = NULL;
}

static void ask(struct gate *gate);

static void on_answer(int rc, const struct redis_reply *reply, void *data)
{
    struct gate *gate = data;
    struct err err = {0};
    gate->asking = false;
    if (rc == 0)
        rc = queue_check_reply(dispatcher_queue(gate->dispatcher, gate->shard), reply, gate->step,
                               &err);
    if (rc == 0) {
        gate->step++;
        ask(gate);
        return;
    }
    gate->step = 0;
    gate->shard = 0;
    gate->due_ms = clock_ms() + AGAIN_MS;
    if (rc != ERR_UNAVAILABLE)
        log_event(LOG_ERROR, "redis.unfit", "code", LOG_S, err_name(rc), "detail", LOG_S, err.text,
                  NULL);
}

static void ask(struct gate *gate)
{
    struct dispatcher *dispatcher = gate->dispatcher;
    for (; gate->shard < dispatcher->shards; gate->shard++, gate->step = 0) {
        const struct queue *queue = dispatcher_queue(dispatcher, gate->shard);
        if (queue_check_command(queue, gate->step, &dispatcher->command)) {
            gate->asking =
                redis_async_send(dispatcher->redis, &dispatcher->command, on_answer, gate) == 0;
            return;
        }
    }
    dispatcher->redis_checked = true;
    log_event(LOG_INFO, "redis.up", NULL);
}

int64_t gate_tick(struct gate *gate, int64_t now_ms)
{
    struct dispatcher *dispatcher = gate->dispatcher;
    if (!redis_async_connected(dispatcher->redis)) {
        if (gate->was_connected)
            log_event(LOG_WARN, "redis.down", "detail", LOG_S,
                      redis_async_reason(dispatcher->redis), NULL);
        gate->was_connected = dispatcher->redis_checked = false;
        gate->step = 0;
        gate->shard = 0;
        gate->due_ms = 0;
        return INT64_MAX;
    }
    gate->was_connected = true;
    if (dispatcher->redis_checked || gate->asking)
        return INT64_MAX;
    if (now_ms < gate->due_ms)
        return gate->due_ms;
    ask(gate);
    return INT64_MAX;
}
