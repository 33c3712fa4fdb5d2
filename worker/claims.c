/* SPDX-License-Identifier: MIT
 *
 * The claiming part of the loop. A worker asks for as many jobs as fit when it starts, when a
 * wake-up comes, when a slot becomes free and when the network begins a run. It sleeps on the
 * wake-up keys only while it has nothing at all: a busy worker must not take the wake-up that an
 * idle one waits for. */
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
/* After an answer that makes no sense. */
#define PAUSE_MS 1000

/* ---- what was claimed ----------------------------------------------------------------------- */

static struct task *make_task(struct loop *loop, const struct queue_claimed *job)
{
    struct task *task = task_create();
    if (!task)
        return NULL;
    task->id = job->id;
    task->epoch = job->epoch;
    task->attempt = (uint32_t)job->attempts + 1;
    task->alone = job->alone;
    memcpy(task->public_id, job->public_id, sizeof task->public_id);
    memcpy(task->extension, job->extension, sizeof task->extension);
    task->resident = residents_find(&loop->residents, job->model);
    if (!task->resident) {
        task_destroy(&task);
        return NULL;
    }
    task->queued_ms = clock_wall_ms() - job->created_ms;
    task->limit_ms = job->run_max_ms ? job->run_max_ms : task->resident->manifest->timeout_ms;
    task->rc = job_spec_parse(job->spec, job->spec_size, &task->spec, &task->err);
    return task;
}

/* The drain began while the claim was under way: they go straight back. */
static void return_jobs(struct loop *loop, const struct queue_claim *claim)
{
    for (size_t i = 0; i < claim->count && loop->released_count < QUEUE_LEASES_MAX; i++)
        loop->released[loop->released_count++] =
            (struct queue_lease){claim->jobs[i].id, claim->jobs[i].epoch};
}

static void take_jobs(struct loop *loop, const struct queue_claim *claim)
{
    for (size_t i = 0; i < claim->count; i++) {
        struct task *task = make_task(loop, &claim->jobs[i]);
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
    if (roster_count(loop->pipeline->roster) > loop->held_count)
        return;
    loop->alone = loop->held_count > 0;
    if (loop->alone)
        pipeline_pass(loop->pipeline, STAGE_GRANT, loop->held[--loop->held_count]);
}

void claims_stop(struct loop *loop)
{
    loop->released_count = roster_release(loop->pipeline->roster, loop->released, QUEUE_LEASES_MAX);
    /* These have their verdict now; they only pass through to be freed. */
    while (loop->held_count > 0)
        pipeline_pass(loop->pipeline, STAGE_GRANT, loop->held[--loop->held_count]);
}

/* ---- asking --------------------------------------------------------------------------------- */

static void on_claim(int rc, const struct redis_reply *reply, void *data)
{
    struct loop *loop = data;
    struct queue_claim claim = {0};
    struct err err = {0};
    loop->claim_asked = false;
    if (rc == ERR_UNAVAILABLE) {
        /* Perhaps it ran: the same nonce brings the same jobs. With an answer, the server is
         * there and has no time: it is loading, or full. */
        loop->claim_due = !reply;
        loop->claim_at_ms = clock_ms() + PAUSE_MS;
        return;
    }
    if (rc == 0)
        rc = queue_claim_reply(reply, &claim, &err);
    else
        redis_reply_check(reply, &err);
    loop->nonce[0] = 0;
    loop->claim_at_ms = clock_ms() + (rc < 0 ? PAUSE_MS : LOOK_MS);
    if (rc < 0) {
        log_event(LOG_ERROR, "worker.claim", "code", LOG_S, err_name(rc), "error", LOG_S, err.text,
                  NULL);
        return;
    }
    if (loop->draining)
        return_jobs(loop, &claim);
    else
        take_jobs(loop, &claim);
    loop->claim_due = claim.more && claim.count > 0;
    if (claim.next_due_ms >= 0 && clock_ms() + claim.next_due_ms < loop->claim_at_ms)
        loop->claim_at_ms = clock_ms() + claim.next_due_ms;
    queue_claim_fini(&claim);
}

static void ask(struct loop *loop, size_t room)
{
    if (!loop->nonce[0])
        id_nonce_create(loop->nonce);
    if (room > QUEUE_CLAIM_MAX)
        room = QUEUE_CLAIM_MAX;
    queue_claim_command(&loop->queue, loop->worker_id, loop->nonce, loop->models, loop->model_count,
                        room, &loop->command);
    if (redis_async_send(loop->commands, &loop->command, on_claim, loop) < 0)
        return;
    loop->claim_asked = true;
    loop->claim_due = false;
    if (!loop->claimed_once)
        log_event(LOG_INFO, "worker.first-claim", "since_exec_ms", LOG_I, uptime_ms(), NULL);
    loop->claimed_once = true;
}

static void on_wake(int rc, const struct redis_reply *reply, void *data)
{
    struct loop *loop = data;
    loop->waiting = false;
    if (rc == 0 && redis_reply_type(reply) != REDIS_NIL)
        loop->claim_due = true;
}

static void wait_for_jobs(struct loop *loop)
{
    queue_wait_command(&loop->queue, loop->models, loop->model_count, WAIT_MS, &loop->command);
    loop->waiting = redis_async_send(loop->wake, &loop->command, on_wake, loop) == 0;
}

int64_t claims_tick(struct loop *loop, int64_t now_ms)
{
    struct roster *roster = loop->pipeline->roster;
    int64_t no_grants_ms = atomic_load(&loop->pipeline->no_grants_ms);
    if (!loop->draining)
        feed_held(loop);
    if (loop->draining || loop->retiring || loop->paused || !loop->greeted || loop->claim_asked ||
        loop->alone || loop->held_count > 0)
        return INT64_MAX;
    if (now_ms < no_grants_ms)
        return no_grants_ms;
    size_t room = roster_room(roster);
    if (room == 0)
        return INT64_MAX;
    if (loop->claim_due || now_ms >= loop->claim_at_ms) {
        ask(loop, room);
        return INT64_MAX;
    }
    if (!loop->waiting && roster_count(roster) == 0)
        wait_for_jobs(loop);
    return loop->claim_at_ms;
}
