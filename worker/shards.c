/* SPDX-License-Identifier: MIT
 *
 * The loop's acquaintance with each shard: is its server fit, does it know us, is it there. */
#include "common/clock.h"
#include "common/err.h"
#include "common/log.h"
#include "common/supervisor.h"
#include "worker/loop.h"
#include "worker/uptime.h"

#include <stdio.h>
#include <stdlib.h>

#define GREET_AGAIN_MS 200
#define AWAY_AFTER_MS 500 /* a start beside Redis' own is no outage */

/* A blocking command is answered after its own wait at the latest. */
#define BLOCKING_TIMEOUT_MS 40000
/* So is the claim behind it, without which nothing else is claimed. */
#define STANDING_TIMEOUT_MS 10000

/* ---- check the server once, greet it on every connection ------------------------------------- */

static void greet(struct shard *shard);

/* An answer that is no help: the server is loading its data, or full. Without an answer the next
 * connection begins anew. */
void shard_greet_later(struct shard *shard, const struct redis_reply *reply)
{
    shard->greeted = false;
    if (reply)
        shard->greet_ms = clock_ms() + GREET_AGAIN_MS;
}

static void on_hello(int rc, const struct redis_reply *reply, void *data)
{
    struct shard *shard = data;
    struct loop *loop = shard->loop;
    struct err err = {0};
    if (rc == ERR_UNAVAILABLE) {
        shard_greet_later(shard, reply);
        return;
    }
    if (rc < 0) {
        redis_reply_check(reply, &err);
        loop_fail(loop, rc, &err);
        return;
    }
    /* Not before: a server that hangs lets in whoever connects. */
    pipeline_shard_away(loop->pipeline, shard->queue->shard, false);
    if (!loop->ready)
        supervisor_ready();
    if (!loop->ready)
        log_event(LOG_INFO, "worker.ready", "worker", LOG_S, loop->worker_id, "models", LOG_I,
                  (int64_t)loop->view.served, "device", LOG_S,
                  model_device_name(loop->settings->device), "since_exec_ms", LOG_I, uptime_ms(),
                  NULL);
    loop->ready = true;
}

static void on_check(int rc, const struct redis_reply *reply, void *data)
{
    struct shard *shard = data;
    struct err err = {0};
    if (rc != ERR_UNAVAILABLE)
        rc = queue_check_reply(shard->queue, reply, shard->check_step, &err);
    if (rc == ERR_UNAVAILABLE) {
        shard_greet_later(shard, reply);
        return;
    }
    if (rc < 0) {
        loop_fail(shard->loop, rc, &err);
        return;
    }
    shard->check_step++;
    greet(shard);
}

static void say_hello(struct shard *shard)
{
    struct loop *loop = shard->loop;
    const struct queue_hello hello = {
        .worker = loop->worker_id,
        .models = loop->models,
        .model_count = loop->view.served,
        .loaded_count = loop->view.loaded,
        .slots = residency_batch_max(loop->residency),
        .device = model_device_name(loop->settings->device),
    };
    queue_hello_command(shard->queue, &hello, &loop->command);
    if (redis_async_send(loop->commands, &loop->command, on_hello, shard) < 0)
        return;
    /* Claims may follow at once: the connection keeps the order. */
    shard->greeted = true;
    shard->claim_due = true;
    shard->beat_at_ms = 0;
}

static void greet(struct shard *shard)
{
    struct loop *loop = shard->loop;
    shard->greet_ms = 0;
    if (!shard->checked && queue_check_command(shard->queue, shard->check_step, &loop->command)) {
        redis_async_send(loop->commands, &loop->command, on_check, shard);
        return;
    }
    shard->checked = true;
    /* With nothing to serve it is said later. */
    if (loop->view.served > 0)
        say_hello(shard);
}

void shards_look_at_models(struct loop *loop)
{
    unsigned before = loop->view.changes;
    loop->view = residency_look(loop->residency, loop->models, QUEUE_MODELS_MAX);
    if (loop->view.changes == before)
        return;
    loop_supply(loop);
    claims_stop_waiting(loop);
    for (unsigned i = 0; i < loop->shard_count; i++)
        if (loop->shards[i].checked && loop->shards[i].down_ms == 0 && loop->view.served > 0)
            say_hello(&loop->shards[i]);
}

/* ---- what goes back -------------------------------------------------------------------------- */

static void on_released(int rc, const struct redis_reply *reply, void *data)
{
    struct shard *shard = data;
    shard->release_asked = false;
    if (rc == ERR_UNAVAILABLE)
        shard_greet_later(shard, reply);
    else
        shard->released_count = 0;
}

void shard_give_back(struct shard *shard)
{
    struct loop *loop = shard->loop;
    if (shard->released_count == 0 || shard->release_asked || !shard->greeted)
        return;
    queue_release_command(shard->queue, loop->worker_id, shard->released, shard->released_count,
                          false, &loop->command);
    shard->release_asked =
        redis_async_send(loop->commands, &loop->command, on_released, shard) == 0;
}

size_t shards_released(const struct loop *loop)
{
    size_t count = 0;
    for (unsigned i = 0; i < loop->shard_count; i++)
        count += loop->shards[i].released_count;
    return count;
}

bool shards_claiming(const struct loop *loop)
{
    for (unsigned i = 0; i < loop->shard_count; i++)
        if (loop->shards[i].claim_asked)
            return true;
    return false;
}

/* ---- coming and going ------------------------------------------------------------------------ */

/* Notices where a shard's connection comes and goes. */
static int64_t tick_shard(struct shard *shard, int64_t now_ms)
{
    struct loop *loop = shard->loop;
    bool up = redis_async_reaches(loop->commands, queue_slot(shard->queue));
    if (up && shard->down_ms > 0) {
        shard->down_ms = 0;
        shard->check_step = 0;
        greet(shard);
    } else if (!up && shard->down_ms == 0) {
        shard->down_ms = now_ms;
        shard->greeted = false;
        if (loop->shard_count > 1)
            pipeline_shard_away(loop->pipeline, shard->queue->shard, true);
    }
    if (up && shard->greet_ms > 0 && now_ms >= shard->greet_ms)
        greet(shard);
    shard_give_back(shard);
    if (up)
        return shard->greet_ms > 0 ? shard->greet_ms : INT64_MAX;
    return now_ms < shard->down_ms + AWAY_AFTER_MS ? shard->down_ms + AWAY_AFTER_MS : INT64_MAX;
}

/* Says once that Redis, or part of it, is away, and once that all of it is back. */
static void note_outage(struct loop *loop, int64_t now_ms)
{
    unsigned away = 0, long_away = 0;
    for (unsigned i = 0; i < loop->shard_count; i++) {
        int64_t down_ms = loop->shards[i].down_ms;
        away += down_ms > 0;
        long_away += down_ms > 0 && now_ms >= down_ms + AWAY_AFTER_MS;
    }
    if (long_away > 0) {
        struct err err = {0};
        const char *reason = redis_async_reason(loop->commands);
        if (!loop->ready && redis_async_denied(loop->commands)) {
            err_set(&err, ERR_DENIED, "redis", "%s", reason);
            loop_fail(loop, ERR_DENIED, &err); /* at a start somebody has to look at it */
            return;
        }
        if (*reason)
            err_set(&err, ERR_UNAVAILABLE, "redis", "%s", reason);
        else
            err_set(&err, ERR_UNAVAILABLE, "redis", "nobody serves %u of %u shards", away,
                    loop->shard_count);
        outage_note(&loop->pipeline->redis, ERR_UNAVAILABLE, &err);
    } else if (away == 0) {
        outage_note(&loop->pipeline->redis, 0, NULL);
    }
}

int64_t shards_tick(struct loop *loop, int64_t now_ms)
{
    int64_t next_ms = INT64_MAX;
    for (unsigned i = 0; i < loop->shard_count; i++) {
        int64_t shard_ms = tick_shard(&loop->shards[i], now_ms);
        next_ms = shard_ms < next_ms ? shard_ms : next_ms;
    }
    note_outage(loop, now_ms);
    return next_ms;
}

/* ---- open and close -------------------------------------------------------------------------- */

static int open_sleepers(struct loop *loop, struct sleeper *sleepers, unsigned step, void *tag,
                         struct err *err)
{
    int rc = 0;
    for (unsigned i = 0; rc == 0 && i < loop->sleeper_count; i++) {
        struct sleeper *sleeper = &sleepers[i];
        *sleeper = (struct sleeper){.loop = loop, .first = i * step, .count = step};
        rc = redis_async_create(&loop->settings->redis, loop->epoll_fd, tag, &sleeper->redis, err);
        if (rc < 0)
            break;
        redis_async_set_timeout(sleeper->redis, BLOCKING_TIMEOUT_MS);
        redis_async_use(sleeper->redis, queue_slot(&loop->queues[sleeper->first]));
    }
    return rc;
}

int shards_open(struct loop *loop, void *commands_tag, void *waker_tag, void *pusher_tag,
                struct err *err)
{
    const struct settings *settings = loop->settings;
    unsigned count = (unsigned)settings->shards;
    unsigned step = settings->redis.kind == REDIS_CLUSTER ? 1 : count;
    loop->shards = calloc(count, sizeof *loop->shards);
    loop->wakers = calloc(count / step, sizeof *loop->wakers);
    loop->pushers = calloc(count / step, sizeof *loop->pushers);
    if (!loop->shards || !loop->wakers || !loop->pushers)
        return err_set(err, ERR_NOMEM, NULL, "no memory for %u shards", count);
    int rc =
        redis_async_create(&settings->redis, loop->epoll_fd, commands_tag, &loop->commands, err);
    if (rc < 0)
        return rc;
    loop->shard_count = count;
    loop->sleeper_count = count / step;
    for (unsigned i = 0; i < count; i++) {
        queue_init(&loop->queues[i], i, settings->lease_ms);
        loop->queues[i].shards = count;
        loop->shards[i] = (struct shard){.loop = loop, .queue = &loop->queues[i]};
        loop->shards[i].down_ms = clock_ms();
        redis_async_use(loop->commands, queue_slot(&loop->queues[i]));
    }
    rc = open_sleepers(loop, loop->wakers, step, waker_tag, err);
    if (rc == 0 && count == 1)
        redis_async_set_timeout(loop->wakers[0].redis, STANDING_TIMEOUT_MS);
    return rc == 0 ? open_sleepers(loop, loop->pushers, step, pusher_tag, err) : rc;
}

void shards_close(struct loop *loop)
{
    redis_async_destroy(&loop->commands);
    for (unsigned i = 0; i < loop->sleeper_count; i++) {
        redis_async_destroy(&loop->wakers[i].redis);
        redis_async_destroy(&loop->pushers[i].redis);
    }
    free(loop->wakers);
    free(loop->pushers);
    free(loop->shards);
}
