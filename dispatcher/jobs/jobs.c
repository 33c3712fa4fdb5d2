/* SPDX-License-Identifier: MIT
 *
 * The routes of one job: look, cancel, erase. Its result is in results.c. */
#include "common/buf.h"
#include "common/err.h"
#include "common/log.h"
#include "dispatcher/dispatcher.h"
#include "dispatcher/events/wait.h"
#include "dispatcher/http/server.h"
#include "dispatcher/jobs/job_view.h"
#include "dispatcher/jobs/visit.h"
#include "dispatcher/routes.h"
#include "dispatcher/upkeep/mail_watch.h"

/* ---- look ---- */

static void show_job(struct visit *visit, const struct queue_job *job)
{
    struct dispatcher *dispatcher = visit->call->dispatcher;
    struct buf body;
    buf_init(&body, JOB_VIEW_MAX);
    struct queue_job scratch;
    int rc = job_view_write(mail_watch_shown(dispatcher->mail_watch, job, &scratch),
                            dispatcher->public_url, dispatcher->tokens, false, &body);
    if (rc < 0)
        problem_send_err(visit->call->exchange, rc, NULL, job->public_id);
    else
        call_send_tagged(visit->call, &body);
    buf_fini(&body);
}

static void show_ended(struct call *call, const struct queue_job *job, bool gone)
{
    if (gone)
        visit_unknown(call, job->public_id);
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
    struct visit *visit = visit_begin(call, TOKEN_VIEW, sizeof *visit, look);
    if (visit)
        visit_ask_for_job(visit);
}

/* ---- cancel ---- */

/* What the job is now, whether it was this cancel or something before. */
static void show_cancelled(struct visit *visit, const struct queue_job *job)
{
    if (job->state == JOB_CANCELLED)
        show_job(visit, job);
    else
        visit_conflict(visit, job);
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
        visit_ask_for_job(visit);
}

static void cancel(struct visit *visit, const struct queue_job *job)
{
    struct dispatcher *dispatcher = visit->call->dispatcher;
    visit->show = show_cancelled;
    queue_cancel_command(dispatcher_queue_of_id(dispatcher, visit->public_id), visit->public_id,
                         &dispatcher->command);
    visit_ask(visit, on_cancelled);
}

void job_cancel(struct dispatcher *dispatcher, struct call *call)
{
    struct visit *visit = visit_begin(call, TOKEN_MANAGE, sizeof *visit, cancel);
    if (visit)
        visit_act(visit);
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
    visit_ask(visit, on_erased);
}

void job_erase(struct dispatcher *dispatcher, struct call *call)
{
    struct visit *visit = visit_begin(call, TOKEN_DELETE, sizeof *visit, erase);
    if (visit)
        visit_act(visit);
}
