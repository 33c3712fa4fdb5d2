/* SPDX-License-Identifier: MIT
 *
 * The page of a job in all its states, and what its forms do where no script does it: cancel, rate,
 * and delete, which asks first. */
#include "common/err.h"
#include "common/log.h"
#include "common/queue_finished.h"
#include "dispatcher/access/cors.h"
#include "dispatcher/call.h"
#include "dispatcher/dispatcher.h"
#include "dispatcher/http/server.h"
#include "dispatcher/jobs/visit.h"
#include "dispatcher/pages/job_cookies.h"
#include "dispatcher/pages/job_data.h"
#include "dispatcher/pages/page.h"
#include "dispatcher/routes.h"
#include "dispatcher/upkeep/mail_watch.h"

#include <stdio.h>
#include <string.h>

/* ---- look ------------------------------------------------------------------------------------ */

static void show(struct visit *visit, const struct queue_job *job)
{
    struct call *call = visit->call;
    struct job_rights rights = {.view = false};
    if (exchange_query(call->exchange, "token", rights.token, sizeof rights.token) < 0)
        rights.token[0] = 0;
    rights.view = token_allows(call->dispatcher->tokens, TOKEN_VIEW, job->public_id, rights.token);
    rights.manage = job_cookies_allow(call, TOKEN_MANAGE, job->public_id);
    rights.erase = job_cookies_allow(call, TOKEN_DELETE, job->public_id);
    if (!rights.view && job->state != JOB_SUCCEEDED) { /* nothing to be shared */
        visit_unknown(call, job->public_id);
        return;
    }
    struct queue_job scratch;
    job = mail_watch_shown(call->dispatcher->mail_watch, job, &scratch);
    page_send(call, 200, "job.html", job_data(call, job, &rights));
}

void page_job(struct dispatcher *dispatcher, struct call *call)
{
    struct visit *visit = visit_begin(call, TOKEN_SHARE, sizeof *visit, show);
    if (visit)
        visit_ask_for_job(visit);
}

/* ---- forms ----------------------------------------------------------------------------------- */

/* With a cookie of the right, or a token of it in the link. NULL: refused and answered. */
static struct visit *begin_form(struct call *call, enum token_right right, visit_fn *act)
{
    char public_id[ID_PUBLIC_SIZE];
    if (!call_public_id(call, public_id))
        return NULL;
    if (job_cookies_allow(call, right, public_id) && cors_is_own_page(call))
        return visit_begin_granted(call, sizeof(struct visit), act);
    return visit_begin(call, right, sizeof(struct visit), act);
}

/* Back to the page that the form was on. */
static void go_back(struct visit *visit)
{
    struct call *call = visit->call;
    char token[CALL_TOKEN_SIZE], location[ID_PUBLIC_SIZE + CALL_TOKEN_SIZE + 16];
    if (exchange_query(call->exchange, "token", token, sizeof token) < 0 ||
        !token_allows(call->dispatcher->tokens, TOKEN_VIEW, visit->public_id, token)) {
        call_refuse(call, PROBLEM_FORBIDDEN, NULL);
        return;
    }
    snprintf(location, sizeof location, "/j/%s?token=%s", visit->public_id, token);
    struct answer *answer = answer_static("", 0);
    answer_header(answer, "Location", location);
    answer_header(answer, "Cache-Control", "no-store");
    exchange_respond(call->exchange, 303, answer);
}

/* Whatever came of it: the page says how the job is now. */
static void answer_form(struct visit *visit, int rc)
{
    if (rc == ERR_NOT_FOUND)
        visit_unknown(visit->call, visit->public_id);
    else if (rc < 0)
        call_refuse(visit->call, PROBLEM_UNAVAILABLE, "the queue cannot be reached");
    else
        go_back(visit);
}

static void on_cancelled(int rc, const struct redis_reply *reply, void *data)
{
    enum job_state state;
    answer_form(data, rc == 0 ? queue_cancel_reply(reply, &state, NULL) : rc);
}

static void cancel(struct visit *visit, const struct queue_job *job)
{
    struct dispatcher *dispatcher = visit->call->dispatcher;
    queue_cancel_command(dispatcher_queue_of_id(dispatcher, visit->public_id), visit->public_id,
                         &dispatcher->command);
    visit_ask(visit, on_cancelled);
}

void page_cancel(struct dispatcher *dispatcher, struct call *call)
{
    struct visit *visit = begin_form(call, TOKEN_MANAGE, cancel);
    if (visit)
        visit_act(visit);
}

static void on_rated(int rc, const struct redis_reply *reply, void *data)
{
    enum job_state state;
    answer_form(data, rc == 0 ? queue_rating_reply(reply, &state, NULL) : rc);
}

static void rate(struct visit *visit, const struct queue_job *job)
{
    struct dispatcher *dispatcher = visit->call->dispatcher;
    char value[8] = "";
    exchange_query(visit->call->exchange, "value", value, sizeof value);
    bool up = strcmp(value, "up") == 0, down = strcmp(value, "down") == 0;
    if (!up && !down && strcmp(value, "none") != 0) {
        problem_send(visit->call->exchange, &(struct problem){.kind = PROBLEM_INVALID,
                                                              .detail = "up, down or none",
                                                              .field = "value"});
        return;
    }
    queue_rating_command(dispatcher_queue_of_id(dispatcher, visit->public_id), visit->public_id,
                         up     ? 'u'
                         : down ? 'd'
                                : 0,
                         &dispatcher->command);
    visit_ask(visit, on_rated);
}

void page_rate(struct dispatcher *dispatcher, struct call *call)
{
    struct visit *visit = visit_begin(call, TOKEN_VIEW, sizeof *visit, rate);
    if (visit)
        visit_act(visit);
}

/* ---- delete ---------------------------------------------------------------------------------- */

static void ask(struct visit *visit, const struct queue_job *job)
{
    char token[CALL_TOKEN_SIZE];
    bool by_link = exchange_query(visit->call->exchange, "token", token, sizeof token) == 0;
    page_send(visit->call, 200, "delete.html",
              json_pack("{s:s, s:s?, s:b}", "id", job->public_id, "token", by_link ? token : NULL,
                        "asking", true));
}

void page_delete(struct dispatcher *dispatcher, struct call *call)
{
    struct visit *visit = begin_form(call, TOKEN_DELETE, ask);
    if (visit)
        visit_ask_for_job(visit);
}

static void on_erased(int rc, const struct redis_reply *reply, void *data)
{
    struct visit *visit = data;
    struct call *call = visit->call;
    bool found = false;
    if (rc == 0)
        rc = queue_erase_reply(reply, &found, NULL);
    if (rc < 0) {
        call_refuse(call, PROBLEM_UNAVAILABLE, "the queue cannot be reached");
        return;
    }
    if (found)
        log_event(LOG_INFO, "job.erased", "job", LOG_S, visit->public_id, NULL);
    struct answer *answer =
        page_make(call->dispatcher, call->exchange, "delete.html",
                  json_pack("{s:s, s:b}", "id", visit->public_id, found ? "done" : "gone", true));
    job_cookies_drop(call->dispatcher, visit->public_id, answer);
    exchange_respond(call->exchange, found ? 200 : 404, answer);
}

static void erase(struct visit *visit, const struct queue_job *job)
{
    struct dispatcher *dispatcher = visit->call->dispatcher;
    queue_erase_command(dispatcher_queue_of_id(dispatcher, visit->public_id), visit->public_id,
                        &dispatcher->command);
    visit_ask(visit, on_erased);
}

void page_erase(struct dispatcher *dispatcher, struct call *call)
{
    struct visit *visit = begin_form(call, TOKEN_DELETE, erase);
    if (visit)
        visit_act(visit);
}
