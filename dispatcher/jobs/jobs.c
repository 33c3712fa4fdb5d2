/* SPDX-License-Identifier: MIT
 *
 * The routes of one job: look, fetch the result, cancel, erase. All begin alike: the token's MAC is
 * checked here, whether the job exists and whose it is only Redis knows. So a key, and a token that
 * is wrong, asks for the job first: an unknown id is 404, and 403 one that is not for them. */
#include "common/buf.h"
#include "common/err.h"
#include "common/log.h"
#include "dispatcher/call.h"
#include "dispatcher/dispatcher.h"
#include "dispatcher/events/wait.h"
#include "dispatcher/http/server.h"
#include "dispatcher/jobs/job_view.h"
#include "dispatcher/routes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct visit {
    struct call *call; /* borrowed; valid until the answer */
    char public_id[ID_PUBLIC_SIZE];
    struct call_right right;
    void (*show)(struct visit *visit, const struct queue_job *job);
};

static void send_unknown(struct call *call, const char *public_id)
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
        send_unknown(visit->call, visit->public_id);
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

/* Sends the command in dispatcher->command. */
static void ask(struct visit *visit, redis_async_done *done)
{
    if (dispatcher_send(visit->call->dispatcher, done, visit) < 0)
        call_refuse(visit->call, PROBLEM_UNAVAILABLE, "the queue cannot be reached");
}

static void ask_for_job(struct visit *visit)
{
    struct dispatcher *dispatcher = visit->call->dispatcher;
    queue_get_command(dispatcher_queue_of_id(dispatcher, visit->public_id), visit->public_id,
                      &dispatcher->command);
    ask(visit, on_job);
}

/* NULL: refused and answered. */
static struct visit *begin(struct call *call, enum token_right right,
                           void (*show)(struct visit *, const struct queue_job *))
{
    char public_id[ID_PUBLIC_SIZE];
    struct call_right rights;
    if (!call_public_id(call, public_id) || !call_ask_right(call, right, public_id, &rights))
        return NULL;
    struct visit *visit = calloc(1, sizeof *visit);
    if (!visit) {
        call_refuse(call, PROBLEM_UNAVAILABLE, NULL);
        return NULL;
    }
    visit->call = call;
    visit->show = show;
    visit->right = rights;
    memcpy(visit->public_id, public_id, sizeof public_id);
    call->state = visit;
    call->free_state = free;
    return visit;
}

/* `act` at once where the token is good, else once it is known whose the job is. */
static void begin_act(struct call *call, enum token_right right,
                      void (*act)(struct visit *, const struct queue_job *))
{
    struct visit *visit = begin(call, right, act);
    if (visit && visit->right.by_token)
        act(visit, NULL);
    else if (visit)
        ask_for_job(visit);
}

/* ---- look ---- */

static void show_job(struct visit *visit, const struct queue_job *job)
{
    struct dispatcher *dispatcher = visit->call->dispatcher;
    struct buf body;
    buf_init(&body, JOB_VIEW_MAX);
    int rc = job_view_write(job, dispatcher->public_url, dispatcher->tokens, false, &body);
    if (rc < 0)
        problem_send_err(visit->call->exchange, rc, NULL, job->public_id);
    else
        call_send_tagged(visit->call, &body);
    buf_fini(&body);
}

static void show_ended(struct call *call, const struct queue_job *job, bool gone)
{
    if (gone)
        send_unknown(call, job->public_id);
    else
        show_job(call->state, job);
}

/* Now, or once it has ended. */
static void look(struct visit *visit, const struct queue_job *job)
{
    if (!wait_begin(visit->call, job, show_ended))
        show_job(visit, job);
}

void job_get(struct dispatcher *dispatcher, struct call *call)
{
    struct visit *visit = begin(call, TOKEN_VIEW, look);
    if (visit)
        ask_for_job(visit);
}

/* ---- result ---- */

static void conflict(struct visit *visit, const struct queue_job *job)
{
    char detail[64];
    snprintf(detail, sizeof detail, "the job is %s", job_state_name(job->state));
    problem_send(
        visit->call->exchange,
        &(struct problem){.kind = PROBLEM_CONFLICT, .detail = detail, .job = job->public_id});
}

/* A link that is good for a while. */
static void send_to(struct visit *visit, const char *public_id, const char *key,
                    const char *content_type)
{
    const struct dispatcher *dispatcher = visit->call->dispatcher;
    struct store_link link;
    struct err err = {0};
    struct store_link_request request = {.method = STORE_GET,
                                         .key = key,
                                         .lifetime_s = dispatcher->settings->link_seconds,
                                         .content_type = content_type};
    int rc = store_presign(dispatcher->store, &request, &link, &err);
    if (rc < 0) {
        log_event(LOG_ERROR, "result.unsigned", "job", LOG_S, public_id, "detail", LOG_S, err.text,
                  NULL);
        problem_send_err(visit->call->exchange, ERR_INTERNAL, NULL, public_id);
        return;
    }
    struct answer *answer = answer_static("", 0);
    answer_header(answer, "Location", link.url);
    answer_header(answer, "Cache-Control", "no-store");
    answer_header(answer, "Referrer-Policy", "no-referrer");
    exchange_respond(visit->call->exchange, 302, answer);
}

static void show_result(struct visit *visit, const struct queue_job *job)
{
    char key[JOB_KEY_SIZE];
    if (job->state != JOB_SUCCEEDED) {
        conflict(visit, job);
        return;
    }
    job_result_key(job->public_id, job->epoch, job->extension, key);
    send_to(visit, job->public_id, key, *job->result_type ? job->result_type : NULL);
}

static void show_crop(struct visit *visit, const struct queue_job *job)
{
    char key[JOB_KEY_SIZE];
    const struct manifest *model = manifest_set_find(&visit->call->dispatcher->models, job->model);
    if (!model || !model->keep_crop) {
        call_refuse(visit->call, PROBLEM_NOT_FOUND, "this model keeps no crops");
        return;
    }
    if (job->state != JOB_SUCCEEDED) {
        conflict(visit, job);
        return;
    }
    job_crop_key(job->public_id, job->epoch, key);
    send_to(visit, job->public_id, key, "image/png");
}

void job_crop(struct dispatcher *dispatcher, struct call *call)
{
    struct visit *visit = begin(call, TOKEN_VIEW, show_crop);
    if (visit)
        ask_for_job(visit);
}

void job_result(struct dispatcher *dispatcher, struct call *call)
{
    struct visit *visit = begin(call, TOKEN_VIEW, show_result);
    if (visit)
        ask_for_job(visit);
}

/* ---- cancel ---- */

/* What the job is now, whether it was this cancel or something before. */
static void show_cancelled(struct visit *visit, const struct queue_job *job)
{
    if (job->state == JOB_CANCELLED)
        show_job(visit, job);
    else
        conflict(visit, job);
}

static void on_cancelled(int rc, const struct redis_reply *reply, void *data)
{
    struct visit *visit = data;
    enum job_state state;
    if (rc == 0)
        rc = queue_cancel_reply(reply, &state, NULL);
    if (rc == ERR_UNAVAILABLE)
        call_refuse(visit->call, PROBLEM_UNAVAILABLE, "the queue cannot be reached");
    else /* also of an unknown job: the read says so */
        ask_for_job(visit);
}

static void cancel(struct visit *visit, const struct queue_job *job)
{
    struct dispatcher *dispatcher = visit->call->dispatcher;
    visit->show = show_cancelled;
    queue_cancel_command(dispatcher_queue_of_id(dispatcher, visit->public_id), visit->public_id,
                         &dispatcher->command);
    ask(visit, on_cancelled);
}

void job_cancel(struct dispatcher *dispatcher, struct call *call)
{
    begin_act(call, TOKEN_MANAGE, cancel);
}

/* ---- erase ---- */

static void on_erased(int rc, const struct redis_reply *reply, void *data)
{
    struct visit *visit = data;
    bool found = false;
    if (rc == 0)
        rc = queue_erase_reply(reply, &found, NULL);
    if (rc < 0) {
        call_refuse(visit->call, PROBLEM_UNAVAILABLE, NULL);
    } else if (!found) {
        problem_send(visit->call->exchange,
                     &(struct problem){.kind = PROBLEM_NOT_FOUND, .job = visit->public_id});
    } else {
        log_event(LOG_INFO, "job.erased", "job", LOG_S, visit->public_id, NULL);
        exchange_respond(visit->call->exchange, 204, NULL);
    }
}

static void erase(struct visit *visit, const struct queue_job *job)
{
    struct dispatcher *dispatcher = visit->call->dispatcher;
    queue_erase_command(dispatcher_queue_of_id(dispatcher, visit->public_id), visit->public_id,
                        &dispatcher->command);
    ask(visit, on_erased);
}

void job_erase(struct dispatcher *dispatcher, struct call *call)
{
    begin_act(call, TOKEN_DELETE, erase);
}
