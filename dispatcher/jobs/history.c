/* SPDX-License-Identifier: MIT
 *
 * GET /v1/jobs: the jobs of the key's account, the newest first. Redis looks at so many at a time,
 * so a page may be short and yet not the last: its `next` tells. */
#include "common/buf.h"
#include "common/clock.h"
#include "common/err.h"
#include "common/log.h"
#include "common/queue_list.h"
#include "dispatcher/call.h"
#include "dispatcher/dispatcher.h"
#include "dispatcher/http/server.h"
#include "dispatcher/jobs/job_view.h"
#include "dispatcher/routes.h"
#include "dispatcher/upkeep/mail_watch.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_LIMIT 20
/* Questions for one answer, a thousand jobs each: with a filter that fits nothing it ends, too. */
#define MAX_ROUNDS 10

struct history {
    struct call *call; /* borrowed; valid until the answer */
    struct queue_wanted wanted;
    char model[JOB_MODEL_SIZE], text[QUEUE_TEXT_MAX + 1];
    int64_t cursor, limit, found;
    int rounds;
    struct buf body;
};

static void free_history(void *state)
{
    struct history *history = state;
    buf_fini(&history->body);
    free(history);
}

/* ---- what is asked for ----------------------------------------------------------------------- */

static bool refuse(struct call *call, const char *field, const char *detail, int64_t limit)
{
    problem_send(call->exchange,
                 &(struct problem){
                     .kind = PROBLEM_INVALID, .detail = detail, .field = field, .limit = limit});
    return false;
}

/* A number of the query within [min, max]; false: there is one, and it is not. */
static bool read_number(struct call *call, const char *name, int64_t min, int64_t max, int64_t *out)
{
    char text[24], *end;
    int rc = exchange_query(call->exchange, name, text, sizeof text);
    if (rc == ERR_NOT_FOUND)
        return true;
    if (rc < 0 || strspn(text, "0123456789") != strlen(text) || !text[0])
        return false;
    long long value = strtoll(text, &end, 10);
    if (value < min || value > max)
        return false;
    *out = value;
    return true;
}

/* One state or several with commas between them. */
static bool read_states(struct call *call, unsigned *out)
{
    char text[80];
    int rc = exchange_query(call->exchange, "state", text, sizeof text);
    if (rc == ERR_NOT_FOUND)
        return true;
    for (const char *at = text; rc == 0;) {
        size_t size = strcspn(at, ",");
        enum job_state state = JOB_QUEUED;
        while (state <= JOB_CANCELLED && (strlen(job_state_name(state)) != size ||
                                          strncmp(job_state_name(state), at, size) != 0))
            state++;
        if (state > JOB_CANCELLED)
            return false;
        *out |= 1u << state;
        if (!at[size])
            return true;
        at += size + 1;
    }
    return false;
}

static bool read_time(struct call *call, const char *name, int64_t *out)
{
    char text[CLOCK_ISO_SIZE + 8];
    int rc = exchange_query(call->exchange, name, text, sizeof text);
    return rc == ERR_NOT_FOUND || (rc == 0 && clock_parse_iso(text, out) == 0 && *out >= 0);
}

static bool read_wanted(struct call *call, struct history *history)
{
    struct queue_wanted *wanted = &history->wanted;
    int rc = exchange_query(call->exchange, "model", history->model, sizeof history->model);
    if (rc != ERR_NOT_FOUND && (rc < 0 || !job_model_valid(history->model)))
        return refuse(call, "model", "there is no model of this name", 0);
    wanted->model = rc == 0 ? history->model : NULL;
    if (!read_states(call, &wanted->states))
        return refuse(call, "state", "state is one of a job's states, or several with commas", 0);
    if (!read_time(call, "from", &wanted->since_ms))
        return refuse(call, "from", "from is a time such as 2026-01-05T10:11:12Z", 0);
    if (!read_time(call, "to", &wanted->until_ms))
        return refuse(call, "to", "to is a time such as 2026-01-05T10:11:12Z", 0);
    rc = exchange_query(call->exchange, "q", history->text, sizeof history->text);
    if (rc < 0 && rc != ERR_NOT_FOUND)
        return refuse(call, "q", "q is a text without control characters", QUEUE_TEXT_MAX);
    wanted->text = rc == 0 ? history->text : NULL;
    return true;
}

static bool read_query(struct call *call, struct history *history)
{
    if (!read_wanted(call, history))
        return false;
    if (!read_number(call, "limit", 1, QUEUE_LIST_MAX, &history->limit))
        return refuse(call, "limit", "limit is the number of jobs of a page", QUEUE_LIST_MAX);
    if (!read_number(call, "cursor", 0, INT64_MAX / 2, &history->cursor))
        return refuse(call, "cursor", "cursor is what the page before gave as next", 0);
    return true;
}

/* ---- pages ----------------------------------------------------------------------------------- */

static int add_job(struct history *history, const struct queue_job *job)
{
    const struct dispatcher *dispatcher = history->call->dispatcher;
    int rc = history->found++ ? buf_append_text(&history->body, ",") : 0;
    struct queue_job scratch;
    return rc == 0
               ? job_view_write(mail_watch_shown(dispatcher->mail_watch, job, &scratch),
                                dispatcher->public_url, dispatcher->tokens, false, &history->body)
               : rc;
}

static int add_page(struct history *history, const struct queue *queue,
                    const struct redis_reply *reply)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < queue_list_count(reply); i++) {
        struct queue_job job;
        struct err err = {0};
        int read = queue_list_reply(queue, reply, i, &job, &err);
        if (read < 0)
            log_event(LOG_ERROR, "job.corrupt", "code", LOG_S, err_name(read), "detail", LOG_S,
                      err.text, NULL);
        else
            rc = add_job(history, &job);
    }
    return rc;
}

static void answer(struct history *history)
{
    struct buf *body = &history->body;
    int rc = buf_append_text(body, "],\"next\":");
    if (rc == 0 && history->cursor >= 0) {
        rc = buf_append_text(body, "\"");
        if (rc == 0)
            rc = buf_append_int(body, history->cursor);
        if (rc == 0)
            rc = buf_append_text(body, "\"");
    } else if (rc == 0) {
        rc = buf_append_text(body, "null");
    }
    if (rc == 0)
        rc = buf_append_text(body, "}");
    if (rc == 0)
        call_send_json(history->call, 200, body);
    else
        call_refuse(history->call, PROBLEM_UNAVAILABLE, NULL);
}

static void ask(struct history *history);

static void on_page(int rc, const struct redis_reply *reply, void *data)
{
    struct history *history = data;
    struct call *call = history->call;
    if (rc == 0) {
        rc = add_page(history, dispatcher_queue_of_flow(call->dispatcher, call->identity.flow),
                      reply);
        history->cursor = queue_list_next(reply);
    }
    if (rc < 0)
        call_refuse(call, rc == ERR_CORRUPT ? PROBLEM_INTERNAL : PROBLEM_UNAVAILABLE, NULL);
    else if (history->cursor >= 0 && history->found < history->limit &&
             ++history->rounds < MAX_ROUNDS)
        ask(history);
    else
        answer(history);
}

/* No more than are still wanted, so that `next` begins right behind the last one shown. */
static void ask(struct history *history)
{
    struct call *call = history->call;
    struct dispatcher *dispatcher = call->dispatcher;
    const char *flow = call->identity.flow;
    queue_list_wanted_command(dispatcher_queue_of_flow(dispatcher, flow), flow, &history->wanted,
                              history->cursor, history->limit - history->found,
                              &dispatcher->command);
    if (dispatcher_send(dispatcher, on_page, history) < 0)
        call_refuse(call, PROBLEM_UNAVAILABLE, "the queue cannot be reached");
}

void jobs_list(struct dispatcher *dispatcher, struct call *call)
{
    if (!identity_require(call, SCOPE_READ))
        return;
    struct history *history = calloc(1, sizeof *history);
    if (!history) {
        call_refuse(call, PROBLEM_UNAVAILABLE, NULL);
        return;
    }
    history->call = call;
    history->cursor = -1;
    history->limit = DEFAULT_LIMIT;
    buf_init(&history->body, (QUEUE_LIST_MAX + 1) * JOB_VIEW_MAX);
    call->state = history;
    call->free_state = free_history;
    if (!read_query(call, history))
        return;
    if (buf_append_text(&history->body, "{\"jobs\":[") == 0)
        ask(history);
    else
        call_refuse(call, PROBLEM_UNAVAILABLE, NULL);
}
