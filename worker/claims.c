/* SPDX-License-Identifier: MIT
 *
 * The claiming part of the loop. A worker asks for as many jobs as fit when it starts, when a
 * wake-up comes, when a slot becomes free and when the network begins a run. It sleeps on the
 * wake-up keys only while it has nothing at all: a busy worker must not take the wake-up that an
 * idle one waits for. The claim of a worker with one shard is sent ahead, behind the sleep. */
#include "common/clock.h"
#include "common/err.h"
#include "common/log.h"
#include "worker/loop.h"
#include "worker/uptime.h"

#include <stdlib.h>
#include <string.h>

/* A wake-up may get lost with the worker that took it: look now and then all the same. */
#define LOOK_MS 5000
#define WAIT_MS 30000
/* While it is busy nobody wakes it: another shard may have got jobs. */
#define GLANCE_MS 500
/* While a model is being loaded, jobs of others are looked for as well. */
#define LOADING_MS 100
/* After an answer that makes no sense. */
#define PAUSE_MS 1000
/* A shard that has not answered by then no longer keeps us from asking others. */
#define SLOW_MS 50

/* ---- what was claimed ----------------------------------------------------------------------- */

static struct task *make_task(struct shard *shard, const struct queue_claimed *job)
{
    struct loop *loop = shard->loop;
    struct task *task = task_create();
    if (!task)
        return NULL;
    task->shard = shard->queue->shard;
    task->id = job->id;
    task->epoch = job->epoch;
    task->attempt = (uint32_t)job->attempts + 1;
    task->alone = job->alone;
    memcpy(task->public_id, job->public_id, sizeof task->public_id);
    memcpy(task->extension, job->extension, sizeof task->extension);
    memcpy(task->trace, job->trace, sizeof task->trace);
    task->resident = residency_find(loop->residency, job->model);
    if (!task->resident) {
        task_destroy(&task);
        return NULL;
    }
    task->created_ms = job->created_ms;
    task->queued_ms = clock_wall_ms() - job->created_ms;
    task->limit_ms = job->run_max_ms ? job->run_max_ms : task->resident->manifest->timeout_ms;
    task->rc = job_spec_parse(job->spec, job->spec_size, &task->spec, &task->err);
    residency_expect(loop->residency, task);
    return task;
}

static void return_job(struct shard *shard, const struct queue_claimed *job)
{
    if (shard->released_count < QUEUE_LEASES_MAX)
        shard->released[shard->released_count++] = (struct queue_lease){job->id, job->epoch};
}

/* What came when the drain had begun goes straight back, and so does what another shard's claim,
 * which was not waited for, left no room for, and what is of a model that was left out meanwhile.
 */
static void take_jobs(struct shard *shard, const struct queue_claim *claim)
{
    struct loop *loop = shard->loop;
    for (size_t i = 0; i < claim->count; i++) {
        if (loop->draining || roster_room(loop->pipeline->roster) == 0 ||
            !residency_find(loop->residency, claim->jobs[i].model)) {
            return_job(shard, &claim->jobs[i]);
            continue;
        }
        struct task *task = make_task(shard, &claim->jobs[i]);
        if (!task) {
            log_event(LOG_ERROR, "job.unclaimable", "job", LOG_S, claim->jobs[i].public_id, NULL);
            continue; /* the lease brings it back */
        }
        roster_add(loop->pipeline->roster, task);
        if (task->alone)
            loop->held[loop->held_count++] = task;
        else
            pipeline_pass(loop->pipeline, STAGE_GRANT, task);
    }
}

/* A suspect goes in once nothing else is under way, and nothing follows until it is out. */
static void feed_held(struct loop *loop)
{
    if (pipeline_under_way(loop->pipeline) > loop->held_count)
        return;
    loop->alone = loop->held_count > 0;
    if (loop->alone)
        pipeline_pass(loop->pipeline, STAGE_GRANT, loop->held[--loop->held_count]);
}

void claims_stop(struct loop *loop)
{
    for (unsigned i = 0; i < loop->shard_count; i++) {
        struct shard *shard = &loop->shards[i];
        size_t kept = shard->released_count;
        shard->released_count += roster_release(loop->pipeline->roster, i, shard->released + kept,
                                                QUEUE_LEASES_MAX - kept);
    }
    /* These have their verdict now; they only pass through to be freed. */
    while (loop->held_count > 0)
        pipeline_pass(loop->pipeline, STAGE_GRANT, loop->held[--loop->held_count]);
}

/* ---- asking --------------------------------------------------------------------------------- */

/* Redis could not answer. Perhaps the claim ran: the same nonce brings the same jobs. With an
 * answer, the server is there and has no time: it is loading, or full. Another shard may do better
 * meanwhile. */
static void claim_later(struct shard *shard, const struct redis_reply *reply)
{
    shard->claim_due = !reply && shard->loop->shard_count == 1;
    shard->claim_at_ms = clock_ms() + PAUSE_MS;
}

static void on_claim(int rc, const struct redis_reply *reply, void *data)
{
    struct shard *shard = data;
    struct loop *loop = shard->loop;
    struct queue_claim claim = {0};
    struct err err = {0};
    shard->claim_asked = false;
    if (rc == ERR_UNAVAILABLE) {
        claim_later(shard, reply);
        return;
    }
    if (rc == 0)
        rc = queue_claim_reply(reply, &claim, &err);
    else
        redis_reply_check(reply, &err);
    shard->nonce[0] = 0;
    if (rc == ERR_PROTOCOL) {
        loop_fail(loop, rc, &err);
        return;
    }
    if (rc < 0) {
        shard->claim_at_ms = clock_ms() + PAUSE_MS;
        log_event(LOG_ERROR, "worker.claim", "shard", LOG_I, (int64_t)shard->queue->shard, "code",
                  LOG_S, err_name(rc), "error", LOG_S, err.text, NULL);
        return;
    }
    take_jobs(shard, &claim);
    shard->next_ms = claim.next_ms;
    shard->claim_due = claim.more && claim.count > 0;
    if (claim.drain)
        shard_set_paused(shard, true);
    bool others = loop->shard_count > 1 && pipeline_under_way(loop->pipeline) > 0;
    shard->claim_at_ms = clock_ms() + (others ? GLANCE_MS : LOOK_MS);
    if (claim.next_due_ms >= 0 && clock_ms() + claim.next_due_ms < shard->claim_at_ms)
        shard->claim_at_ms = clock_ms() + claim.next_due_ms;
    queue_claim_fini(&claim);
}

static void ask(struct shard *shard, size_t room, struct redis_async *connection)
{
    struct loop *loop = shard->loop;
    if (!shard->nonce[0])
        id_nonce_create(shard->nonce);
    if (room > QUEUE_CLAIM_MAX)
        room = QUEUE_CLAIM_MAX;
    queue_claim_command(shard->queue, loop->worker_id, shard->nonce, loop->models,
                        loop->view.claimable, room, &loop->command);
    if (redis_async_send(connection, &loop->command, on_claim, shard) < 0)
        return;
    shard->claim_asked = true;
    shard->claim_due = false;
    shard->asked_ms = clock_ms();
    loop->last_shard = shard->queue->shard;
    if (!loop->claimed_once)
        log_event(LOG_INFO, "worker.first-claim", "since_exec_ms", LOG_I, uptime_ms(), NULL);
    loop->claimed_once = true;
}

static void on_wake(int rc, const struct redis_reply *reply, void *data)
{
    struct sleeper *sleeper = data;
    int shard = rc == 0 ? queue_woken_shard(reply) : -1;
    sleeper->asleep = false;
    if (rc < 0 && reply)
        sleeper->again_ms = clock_ms() + PAUSE_MS;
    if (shard >= 0 && (unsigned)shard < sleeper->loop->shard_count)
        sleeper->loop->shards[shard].claim_due = true;
}

static void wait_for_jobs(struct loop *loop, size_t room, int64_t now_ms)
{
    struct shard *only = loop->shard_count == 1 ? &loop->shards[0] : NULL;
    int64_t wait_ms = only ? only->claim_at_ms - now_ms : WAIT_MS;
    for (unsigned i = 0; i < loop->sleeper_count; i++) {
        struct sleeper *sleeper = &loop->wakers[i];
        if (sleeper->asleep || now_ms < sleeper->again_ms)
            continue;
        queue_wait_command(loop->queues + sleeper->first, sleeper->count, loop->worker_id,
                           loop->models, loop->view.served, wait_ms, &loop->command);
        sleeper->asleep = redis_async_send(sleeper->redis, &loop->command, on_wake, sleeper) == 0;
        if (only && sleeper->asleep)
            ask(only, room, sleeper->redis);
    }
}

void claims_stop_waiting(struct loop *loop)
{
    struct shard *shard = &loop->shards[0];
    if (loop->shard_count > 1 || !loop->wakers[0].asleep || !shard->claim_asked)
        return;
    queue_stop_wait_command(shard->queue, loop->worker_id, &loop->command);
    redis_async_send(loop->commands, &loop->command, NULL, NULL);
    queue_stop_expire_command(shard->queue, loop->worker_id, &loop->command);
    redis_async_send(loop->commands, &loop->command, NULL, NULL);
}

void claims_look(struct loop *loop)
{
    for (unsigned i = 0; i < loop->shard_count; i++)
        loop->shards[i].claim_due = true;
}

/* The shard that is asked next: of those that are due the one whose next job has waited longest, as
 * far as we know; each in its turn where we don't. NULL, with the time when one will be due. */
static struct shard *choose(struct loop *loop, int64_t now_ms, int64_t *out_next_ms)
{
    struct shard *best = NULL;
    *out_next_ms = INT64_MAX;
    for (unsigned i = 1; i <= loop->shard_count; i++) {
        struct shard *shard = &loop->shards[(loop->last_shard + i) % loop->shard_count];
        if (!shard->greeted || shard->claim_asked)
            continue;
        if (!shard->claim_due && now_ms < shard->claim_at_ms) {
            if (shard->claim_at_ms < *out_next_ms)
                *out_next_ms = shard->claim_at_ms;
        } else if (!best || shard->next_ms < best->next_ms) {
            best = shard;
        }
    }
    return best;
}

/* For models that are there, while another one is being loaded. */
static void look_sooner(struct loop *loop)
{
    for (unsigned i = 0; i < loop->shard_count; i++) {
        struct shard *shard = &loop->shards[i];
        if (shard->claim_at_ms > shard->asked_ms + LOADING_MS)
            shard->claim_at_ms = shard->asked_ms + LOADING_MS;
    }
}

/* One claim at a time, so that the room is promised once. A shard that takes long to answer holds
 * up the others only so far. Returns until when there is to be none; 0: now. */
static int64_t hold_until(const struct loop *loop, int64_t now_ms)
{
    int64_t until_ms = 0;
    for (unsigned i = 0; i < loop->shard_count; i++) {
        const struct shard *shard = &loop->shards[i];
        int64_t slow_ms = loop->shard_count == 1 ? INT64_MAX : shard->asked_ms + SLOW_MS;
        if (shard->claim_asked && now_ms < slow_ms && slow_ms > until_ms)
            until_ms = slow_ms;
    }
    return until_ms;
}

static bool may_claim(const struct loop *loop)
{
    for (unsigned i = 0; i < loop->shard_count; i++)
        if (loop->shards[i].paused)
            return false;
    return !loop->draining && !loop->retiring && !loop->alone && loop->held_count == 0 &&
           loop->view.claimable > 0;
}

/* Jobs that wait for their model or their shard leave their place to those of others. */
static size_t room_now(const struct loop *loop)
{
    size_t most = pipeline_capacity(loop->settings, loop->residency);
    size_t count = pipeline_under_way(loop->pipeline);
    size_t under_way = count > loop->view.parked ? count - loop->view.parked : 0;
    size_t room = most > under_way ? most - under_way : 0;
    size_t places = roster_room(loop->pipeline->roster);
    return room < places ? room : places;
}

/* Half a batch at a time: a claim, and the grants after it, cost little more for several jobs than
 * for one. With a depth of two batches the next one is ready by then. */
static size_t room_wanted(const struct loop *loop)
{
    size_t batch = (size_t)residency_batch_max(loop->residency);
    size_t depth = pipeline_depth(loop->settings, loop->residency);
    size_t half = (batch < depth ? batch : depth) / 2;
    return half > 1 ? half : 1;
}

int64_t claims_tick(struct loop *loop, int64_t now_ms)
{
    int64_t no_grants_ms = atomic_load(&loop->pipeline->no_grants_ms);
    int64_t no_store_ms = atomic_load(&loop->pipeline->no_store_ms);
    int64_t pause_ms = no_grants_ms > no_store_ms ? no_grants_ms : no_store_ms;
    int64_t next_ms;
    if (!loop->draining)
        feed_held(loop);
    if (!may_claim(loop))
        return INT64_MAX;
    int64_t held_ms = hold_until(loop, now_ms);
    if (held_ms > 0 || now_ms < pause_ms)
        return held_ms > pause_ms ? held_ms : pause_ms;
    size_t room = room_now(loop);
    if (room < room_wanted(loop))
        return INT64_MAX; /* who leaves the roster wakes us */
    if (loop->view.busy)
        look_sooner(loop);
    struct shard *shard = choose(loop, now_ms, &next_ms);
    if (shard) {
        ask(shard, room, loop->commands);
        return loop->shard_count == 1 ? INT64_MAX : now_ms + SLOW_MS;
    }
    /* Until the loader is done a sleep would be for the wrong models. */
    if (pipeline_under_way(loop->pipeline) == 0 && !loop->view.busy)
        wait_for_jobs(loop, room, now_ms);
    return next_ms;
}
