/* SPDX-License-Identifier: MIT */
#include "dispatcher/jobs/visit.h"

#include "common/err.h"
#include "common/log.h"
#include "common/queue.h"
#include "dispatcher/dispatcher.h"
#include "dispatcher/http/server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void visit_unknown(struct call *call, const char *public_id)
{
    problem_send(call->exchange,
                 &(struct problem){.kind = PROBLEM_NOT_FOUND,
                                   .detail = "there is no such job, or it has expired",
                                   .job = public_id});
}

static void on_job(int rc, const struct redis_reply *reply, void *data)
{
    struct visit *visit = data;
    struct queue_job job;
    struct err err = {0};
    if (rc == 0)
        rc = queue_get_reply(reply, &job, &err);
    if (rc == ERR_CORRUPT)
        log_event(LOG_ERROR, "job.corrupt", "job", LOG_S, visit->public_id, "detail", LOG_S,
                  err.text, NULL);
    if (rc == ERR_NOT_FOUND)
        visit_unknown(visit->call, visit->public_id);
    else if (rc < 0)
        problem_send(
            visit->call->exchange,
            &(struct problem){.kind = rc == ERR_CORRUPT ? PROBLEM_INTERNAL : PROBLEM_UNAVAILABLE,
                              .job = visit->public_id});
    else if (!call_has_right(visit->call, &visit->right, job.flow))
        problem_send(visit->call->exchange,
                     &(struct problem){.kind = PROBLEM_FORBIDDEN, .job = visit->public_id});
    else
        visit->show(visit, &job);
}

void visit_ask(struct visit *visit, redis_async_done *done)
{
    if (dispatcher_send(visit->call->dispatcher, done, visit) < 0)
        call_refuse(visit->call, PROBLEM_UNAVAILABLE, "the queue cannot be reached");
}

void visit_ask_for_job(struct visit *visit)
{
    struct dispatcher *dispatcher = visit->call->dispatcher;
    queue_get_command(dispatcher_queue_of_id(dispatcher, visit->public_id), visit->public_id,
                      &dispatcher->command);
    visit_ask(visit, on_job);
}

static void *begin(struct call *call, const char *public_id, const struct call_right *right,
                   size_t size, visit_fn *show)
{
    struct visit *visit = calloc(1, size);
    if (!visit) {
        call_refuse(call, PROBLEM_UNAVAILABLE, NULL);
        return NULL;
    }
    *visit = (struct visit){.call = call, .right = *right, .show = show};
    memcpy(visit->public_id, public_id, sizeof visit->public_id);
    call->state = visit;
    call->free_state = free;
    return visit;
}

void *visit_begin(struct call *call, enum token_right right, size_t size, visit_fn *show)
{
    char public_id[ID_PUBLIC_SIZE];
    struct call_right rights;
    if (!call_public_id(call, public_id) || !call_ask_right(call, right, public_id, &rights))
        return NULL;
    return begin(call, public_id, &rights, size, show);
}

void *visit_begin_granted(struct call *call, size_t size, visit_fn *show)
{
    char public_id[ID_PUBLIC_SIZE];
    struct call_right rights = {.by_token = true};
    return call_public_id(call, public_id) ? begin(call, public_id, &rights, size, show) : NULL;
}

void visit_act(struct visit *visit)
{
    if (visit->right.by_token)
        visit->show(visit, NULL);
    else
        visit_ask_for_job(visit);
}

void visit_conflict(struct visit *visit, const struct queue_job *job)
{
    char detail[64];
    snprintf(detail, sizeof detail, "the job is %s", job_state_name(job->state));
    problem_send(
        visit->call->exchange,
        &(struct problem){.kind = PROBLEM_CONFLICT, .detail = detail, .job = job->public_id});
}
