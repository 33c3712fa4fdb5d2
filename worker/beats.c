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

static void apply(struct loop *loop, const enum queue_verdict *verdicts)
{
    for (size_t i = 0; i < loop->beat_count; i++) {
        const struct roster_lease *lease = &loop->beats[i];
        if (verdicts[i] == QUEUE_CANCELLED)
            roster_judge(loop->pipeline->roster, lease->id, lease->epoch, TASK_CANCELLED);
        else if (verdicts[i] == QUEUE_LOST)
            roster_judge(loop->pipeline->roster, lease->id, lease->epoch, TASK_LOST);
    }
}

static void set_paused(struct loop *loop, bool paused)
{
    if (paused == loop->paused)
        return;
    loop->paused = paused;
    loop->claim_due = !paused;
    log_event(LOG_INFO, paused ? "worker.paused" : "worker.resumed", NULL);
}

static void on_beat(int rc, const struct redis_reply *reply, void *data)
{
    struct loop *loop = data;
    enum queue_verdict verdicts[QUEUE_LEASES_MAX];
    bool paused = loop->paused;
    struct err err = {0};
    loop->beat_asked = false;
    if (rc == ERR_UNAVAILABLE) {
        if (!reply)
            loop->beat_at_ms = 0; /* first thing on the next connection */
        return;
    }
    if (rc == 0)
        rc = queue_heartbeat_reply(reply, loop->beat_count, verdicts, &paused, &err);
    else
        redis_reply_check(reply, &err);
    if (rc < 0) {
        log_event(LOG_ERROR, "worker.heartbeat", "code", LOG_S, err_name(rc), "error", LOG_S,
                  err.text, NULL);
        return;
    }
    apply(loop, verdicts);
    set_paused(loop, paused);
}

static void beat(struct loop *loop, int64_t now_ms)
{
    struct queue_beat beats[QUEUE_LEASES_MAX];
    loop->beat_count = roster_list(loop->pipeline->roster, TASK_ON, loop->beats, QUEUE_LEASES_MAX);
    for (size_t i = 0; i < loop->beat_count; i++)
        beats[i] = (struct queue_beat){
            .id = loop->beats[i].id,
            .epoch = loop->beats[i].epoch,
            .progress = loop->beats[i].progress_permille,
        };
    queue_heartbeat_command(&loop->queue, loop->worker_id, beats, loop->beat_count, &loop->command);
    loop->beat_asked = redis_async_send(loop->commands, &loop->command, on_beat, loop) == 0;
    loop->beat_at_ms = now_ms + loop->queue.lease_ms / 3;
}

/* The stage that holds such a job may never come back to say so, and an expired lease would count
 * as a crash. Said again at every beat, which is harmless, until the job has left. */
static void fail_overdue(struct loop *loop)
{
    struct roster_lease late[QUEUE_CLAIM_MAX];
    struct queue_failure failures[QUEUE_CLAIM_MAX];
    size_t count = roster_list(loop->pipeline->roster, TASK_TIMED_OUT, late, QUEUE_CLAIM_MAX);
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
    queue_fail_command(&loop->queue, loop->worker_id, failures, count, &loop->command);
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
    struct loop *loop = data;
    loop->push_asked = false;
    if (rc == 0 && redis_reply_type(reply) != REDIS_NIL)
        loop->beat_at_ms = 0;
}

static void wait_for_push(struct loop *loop)
{
    queue_push_command(&loop->queue, loop->worker_id, PUSH_WAIT_MS, &loop->command);
    loop->push_asked = redis_async_send(loop->push, &loop->command, on_push, loop) == 0;
}

int64_t beats_tick(struct loop *loop, int64_t now_ms)
{
    if (!loop->greeted || loop->leaving)
        return INT64_MAX;
    if (!loop->push_asked)
        wait_for_push(loop);
    if (loop->beat_asked)
        return INT64_MAX;
    if (now_ms >= loop->beat_at_ms) {
        beat(loop, now_ms);
        fail_overdue(loop);
        end_if_stuck(loop);
    }
    return loop->beat_at_ms;
}
