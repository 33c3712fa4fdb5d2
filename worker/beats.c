/* SPDX-License-Identifier: MIT
 *
 * The loop's heartbeat: one call renews every lease, carries progress, and brings back what was
 * cancelled or lost. A push from Redis makes it beat at once. */
#include "common/clock.h"
#include "common/err.h"
#include "common/log.h"
#include "worker/loop.h"
#include "worker/settle.h"

#define PUSH_WAIT_MS 30000

static void apply(const struct shard *shard, const enum queue_verdict *verdicts)
{
    struct roster *roster = shard->loop->pipeline->roster;
    unsigned number = shard->queue->shard;
    for (size_t i = 0; i < shard->beat_count; i++) {
        const struct roster_lease *lease = &shard->beats[i];
        if (verdicts[i] == QUEUE_CANCELLED)
            roster_judge(roster, number, lease->id, lease->epoch, TASK_CANCELLED);
        else if (verdicts[i] == QUEUE_LOST)
            roster_judge(roster, number, lease->id, lease->epoch, TASK_LOST);
    }
}

void shard_set_paused(struct shard *shard, bool paused)
{
    if (paused == shard->paused)
        return;
    shard->paused = paused;
    shard->claim_due = !paused;
    log_event(LOG_INFO, paused ? "worker.paused" : "worker.resumed", NULL);
}

static void on_beat(int rc, const struct redis_reply *reply, void *data)
{
    struct shard *shard = data;
    enum queue_verdict verdicts[QUEUE_LEASES_MAX];
    bool paused = shard->paused;
    struct err err = {0};
    shard->beat_asked = false;
    if (rc == ERR_UNAVAILABLE) {
        if (!reply)
            shard->beat_at_ms = 0; /* first thing on the next connection */
        return;
    }
    if (rc == 0)
        rc = queue_heartbeat_reply(reply, shard->beat_count, verdicts, &paused, &err);
    else
        redis_reply_check(reply, &err);
    if (rc < 0) {
        log_event(LOG_ERROR, "worker.heartbeat", "code", LOG_S, err_name(rc), "error", LOG_S,
                  err.text, NULL);
        return;
    }
    apply(shard, verdicts);
    shard_set_paused(shard, paused);
}

static void beat(struct shard *shard, int64_t now_ms)
{
    struct loop *loop = shard->loop;
    struct queue_beat beats[QUEUE_LEASES_MAX];
    shard->beat_count = roster_list(loop->pipeline->roster, shard->queue->shard, TASK_ON,
                                    shard->beats, QUEUE_LEASES_MAX);
    for (size_t i = 0; i < shard->beat_count; i++)
        beats[i] = (struct queue_beat){
            .id = shard->beats[i].id,
            .epoch = shard->beats[i].epoch,
            .progress = shard->beats[i].progress_permille,
        };
    queue_heartbeat_command(shard->queue, loop->worker_id, beats, shard->beat_count,
                            &loop->command);
    shard->beat_asked = redis_async_send(loop->commands, &loop->command, on_beat, shard) == 0;
    shard->beat_at_ms = now_ms + shard->queue->lease_ms / 3;
}

/* The stage that holds such a job may never come back to say so, and an expired lease would count
 * as a crash. Said again at every beat, which is harmless, until the job has left. */
static void fail_overdue(const struct shard *shard)
{
    struct loop *loop = shard->loop;
    struct roster_lease late[QUEUE_CLAIM_MAX];
    struct queue_failure failures[QUEUE_CLAIM_MAX];
    size_t count = roster_list(loop->pipeline->roster, shard->queue->shard, TASK_TIMED_OUT, late,
                               QUEUE_CLAIM_MAX);
    if (count == 0)
        return;
    for (size_t i = 0; i < count; i++)
        failures[i] = (struct queue_failure){
            .id = late[i].id,
            .epoch = late[i].epoch,
            .retry = err_action(ERR_TIMEOUT) == ACTION_RETRY,
            .code = err_name(ERR_TIMEOUT),
            .detail = SETTLE_TIMED_OUT,
        };
    queue_fail_command(shard->queue, loop->worker_id, failures, count, &loop->command);
    redis_async_send(loop->commands, &loop->command, NULL, NULL);
}

static void end_if_stuck(struct loop *loop)
{
    struct err err = {0};
    if (!roster_is_stuck(loop->pipeline->roster))
        return;
    err_set(&err, ERR_DEVICE, "device", "the network hangs: twice its model's time limit is over");
    log_event(LOG_ERROR, "worker.stuck", "error", LOG_S, err.text, NULL);
    loop->rc = ERR_DEVICE;
    loop->err = err;
    loop_give_up(loop);
}

static void on_push(int rc, const struct redis_reply *reply, void *data)
{
    struct sleeper *sleeper = data;
    int shard = rc == 0 ? queue_woken_shard(reply) : -1;
    sleeper->asleep = false;
    if (shard >= 0 && (unsigned)shard < sleeper->loop->shard_count)
        sleeper->loop->shards[shard].beat_at_ms = 0;
}

static void wait_for_pushes(struct loop *loop)
{
    for (unsigned i = 0; i < loop->sleeper_count; i++) {
        struct sleeper *sleeper = &loop->pushers[i];
        if (sleeper->asleep)
            continue;
        queue_push_command(loop->queues + sleeper->first, sleeper->count, loop->worker_id,
                           PUSH_WAIT_MS, &loop->command);
        sleeper->asleep = redis_async_send(sleeper->redis, &loop->command, on_push, sleeper) == 0;
    }
}

int64_t beats_tick(struct loop *loop, int64_t now_ms)
{
    int64_t next_ms = INT64_MAX;
    if (!loop->ready || loop->leaving)
        return INT64_MAX;
    wait_for_pushes(loop);
    for (unsigned i = 0; i < loop->shard_count; i++) {
        struct shard *shard = &loop->shards[i];
        if (!shard->greeted || shard->beat_asked)
            continue;
        if (now_ms >= shard->beat_at_ms) {
            beat(shard, now_ms);
            fail_overdue(shard);
            end_if_stuck(loop);
        }
        if (shard->beat_at_ms < next_ms)
            next_ms = shard->beat_at_ms;
    }
    return next_ms;
}
