/* SPDX-License-Identifier: MIT
 *
 * What becomes of a batch: GET and DELETE /v1/batches/{id}, POST /v1/batches/{id}/cancel, and the
 * answer to a second POST /v1/batches with the same Idempotency-Key. Redis is asked page by page,
 * each small, one after the other. */
#include "common/buf.h"
#include "common/clock.h"
#include "common/err.h"
#include "common/log.h"
#include "common/queue_batch.h"
#include "dispatcher/call.h"
#include "dispatcher/dispatcher.h"
#include "dispatcher/http/server.h"
#include "dispatcher/jobs/accept.h"
#include "dispatcher/jobs/batch_build.h"
#include "dispatcher/offload.h"
#include "dispatcher/routes.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define LIMIT 1000
#define LIST_MAX (72 * QUEUE_BATCH_MAX)
#define ANSWER_MAX (256 * (QUEUE_BATCH_MAX + 4))
#define STATES (JOB_CANCELLED + 1) /* 0: erased */

struct visit {
    struct call *call; /* borrowed; valid until the answer */
    char batch_id[ID_PUBLIC_SIZE];
    struct call_right right;
    bool permitted;
    void (*act)(struct visit *); /* instead of showing it, once it is known whose it is; NULL */
    bool erase;
    size_t at; /* jobs that were gone through */
    struct queue_batch page;

    /* What is shown. */
    int64_t offset, limit;
    size_t states[STATES];
    struct buf list;

    /* A second submission. */
    char (*ids)[ID_PUBLIC_SIZE]; /* owned */
    struct buf answer;
    int rc;
};

static void free_visit(void *state)
{
    struct visit *visit = state;
    buf_fini(&visit->list);
    buf_fini(&visit->answer);
    free(visit->ids);
    free(visit);
}

static void refuse(const struct visit *visit, int rc, const struct err *err)
{
    if (rc == ERR_CORRUPT || rc == ERR_INTERNAL)
        log_event(LOG_ERROR, "batch.broken", "batch", LOG_S, visit->batch_id, "detail", LOG_S,
                  err ? err->text : NULL, NULL);
    if (rc == ERR_NOT_FOUND)
        call_refuse(visit->call, PROBLEM_NOT_FOUND, "there is no such batch, or it has expired");
    else if (rc == ERR_UNAVAILABLE)
        call_refuse(visit->call, PROBLEM_UNAVAILABLE, "the queue cannot be reached");
    else
        problem_send_err(visit->call->exchange, rc, NULL, NULL);
}

/* Sends dispatcher->command. */
static void ask(struct visit *visit, redis_async_done *done)
{
    if (dispatcher_send(visit->call->dispatcher, done, visit) < 0)
        refuse(visit, ERR_UNAVAILABLE, NULL);
}

static const struct queue *queue_of(const struct visit *visit)
{
    return dispatcher_queue_of_id(visit->call->dispatcher, visit->batch_id);
}

static struct visit *create(struct call *call, const char *batch_id)
{
    struct visit *visit = calloc(1, sizeof *visit);
    if (!visit) {
        call_refuse(call, PROBLEM_UNAVAILABLE, NULL);
        return NULL;
    }
    visit->call = call;
    visit->limit = LIMIT;
    memcpy(visit->batch_id, batch_id, sizeof visit->batch_id);
    buf_init(&visit->list, LIST_MAX);
    buf_init(&visit->answer, ANSWER_MAX);
    return visit;
}

/* ---- show ------------------------------------------------------------------------------------ */

static const char *state_name(enum job_state state)
{
    return state ? job_state_name(state) : "erased";
}

static int list_job(struct visit *visit, const struct queue_batch_job *job)
{
    return buf_join(&visit->list, visit->list.size ? ",{\"id\":\"" : "{\"id\":\"", job->public_id,
                    "\",\"state\":\"", state_name(job->state), "\"}", NULL);
}

static int put_states(const struct visit *visit, struct buf *out)
{
    int rc = 0;
    for (int state = 0; rc == 0 && state < STATES; state++)
        rc = buf_printf(out, "%s\"%s\":%zu", state ? "," : "", state_name((enum job_state)state),
                        visit->states[state]);
    return rc;
}

static void show(struct visit *visit)
{
    struct buf *out = &visit->answer;
    char created[CLOCK_ISO_SIZE], next[24] = "null";
    const char *url = visit->call->dispatcher->public_url;
    size_t open =
        visit->states[JOB_QUEUED] + visit->states[JOB_RUNNING] + visit->states[JOB_DELAYED];
    clock_iso(visit->page.created_ms, created);
    if (visit->offset + visit->limit < (int64_t)visit->page.jobs)
        snprintf(next, sizeof next, "%" PRId64, visit->offset + visit->limit);
    int rc = buf_printf(out,
                        "{\"id\":\"%s\",\"count\":%zu,\"created_at\":\"%s\",\"done\":%s,\"links\":{"
                        "\"self\":\"%s/v1/batches/%s\"},\"states\":{",
                        visit->batch_id, visit->page.jobs, created, open ? "false" : "true", url,
                        visit->batch_id);
    if (rc == 0)
        rc = put_states(visit, out);
    if (rc == 0)
        rc =
            buf_printf(out, "},\"offset\":%" PRId64 ",\"next\":%s,\"jobs\":[", visit->offset, next);
    if (rc == 0)
        rc = buf_join(out, buf_text(&visit->list), "]}", NULL);
    if (rc < 0)
        refuse(visit, rc, NULL);
    else
        call_send_tagged(visit->call, out);
}

static void read_page(struct visit *visit);

static int take_page(struct visit *visit)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < visit->page.count; i++) {
        const struct queue_batch_job *job = &visit->page.page[i];
        int64_t index = (int64_t)(visit->at + i);
        visit->states[job->state]++;
        if (index >= visit->offset && index < visit->offset + visit->limit)
            rc = list_job(visit, job);
    }
    visit->at += visit->page.count;
    return rc;
}

/* A batch that is not sealed was promised to nobody. */
static int look(struct visit *visit, const struct redis_reply *reply, struct err *err)
{
    int rc = queue_batch_get_reply(queue_of(visit), reply, &visit->page, err);
    if (rc == 0 && !visit->page.sealed)
        rc = ERR_NOT_FOUND;
    return rc;
}

static void on_page(int rc, const struct redis_reply *reply, void *data)
{
    struct visit *visit = data;
    struct err err = {0};
    if (rc == 0)
        rc = look(visit, reply, &err);
    if (rc < 0) {
        refuse(visit, rc, &err);
        return;
    }
    if (!visit->permitted && !call_has_right(visit->call, &visit->right, visit->page.flow)) {
        call_refuse(visit->call, PROBLEM_FORBIDDEN, NULL);
        return;
    }
    visit->permitted = true;
    if (visit->act) {
        visit->act(visit);
    } else if ((rc = take_page(visit)) < 0) {
        refuse(visit, rc, &err);
    } else if (visit->page.count > 0 && visit->at < visit->page.jobs) {
        read_page(visit);
    } else {
        show(visit);
    }
}

static void read_page(struct visit *visit)
{
    queue_batch_get_command(queue_of(visit), visit->batch_id, visit->at,
                            &visit->call->dispatcher->command);
    ask(visit, on_page);
}

/* NULL: refused and answered. */
static struct visit *begin(struct call *call, enum token_right right)
{
    char batch_id[ID_PUBLIC_SIZE];
    struct call_right rights;
    if (!call_public_id(call, batch_id) || !call_ask_right(call, right, batch_id, &rights))
        return NULL;
    struct visit *visit = create(call, batch_id);
    if (!visit)
        return NULL;
    visit->right = rights;
    call->state = visit;
    call->free_state = free_visit;
    return visit;
}

void batch_get(struct dispatcher *dispatcher, struct call *call)
{
    struct visit *visit = begin(call, TOKEN_VIEW);
    if (visit && call_number(call, "offset", 0, QUEUE_BATCH_MAX, &visit->offset) &&
        call_number(call, "limit", 1, QUEUE_BATCH_MAX, &visit->limit))
        read_page(visit);
}

/* ---- cancel, erase --------------------------------------------------------------------------- */

static void end_some(struct visit *visit);

static void on_ended(int rc, const struct redis_reply *reply, void *data)
{
    struct visit *visit = data;
    struct err err = {0};
    bool more = false;
    if (rc == 0)
        rc = queue_batch_end_reply(reply, &more, &err);
    if (rc == ERR_NOT_FOUND && visit->erase && visit->at > 0)
        rc = 0; /* it went with the last of its jobs */
    visit->at += QUEUE_BATCH_CHUNK;
    if (rc < 0) {
        refuse(visit, rc, &err);
    } else if (more) {
        end_some(visit);
    } else if (visit->erase) {
        log_event(LOG_INFO, "batch.erased", "batch", LOG_S, visit->batch_id, NULL);
        exchange_respond(visit->call->exchange, 204, NULL);
    } else {
        visit->act = NULL;
        visit->at = 0;
        read_page(visit);
    }
}

static void end_some(struct visit *visit)
{
    queue_batch_end_command(queue_of(visit), visit->batch_id, visit->erase, visit->at,
                            &visit->call->dispatcher->command);
    ask(visit, on_ended);
}

void batch_cancel(struct dispatcher *dispatcher, struct call *call)
{
    struct visit *visit = begin(call, TOKEN_MANAGE);
    if (!visit)
        return;
    visit->act = end_some;
    read_page(visit);
}

void batch_erase(struct dispatcher *dispatcher, struct call *call)
{
    struct visit *visit = begin(call, TOKEN_DELETE);
    if (!visit)
        return;
    visit->act = end_some;
    visit->erase = true;
    read_page(visit);
}

/* ---- a second submission --------------------------------------------------------------------- */

static const char *id_at(const void *ids, size_t index)
{
    return (const char *)ids + index * ID_PUBLIC_SIZE;
}

/* On a thread: three MACs for each job. */
static void write_answer(void *task)
{
    struct visit *visit = task;
    visit->rc = batch_write_accepted(visit->call->dispatcher, visit->batch_id, id_at, visit->ids,
                                     visit->at, &visit->answer);
}

static void on_written(void *task)
{
    struct visit *visit = task;
    if (visit->rc < 0) {
        refuse(visit, visit->rc, NULL);
    } else {
        exchange_add_header(visit->call->exchange, "Idempotency-Replayed", "true");
        call_send_json(visit->call, 202, &visit->answer);
    }
    free_visit(visit);
}

static void collect(struct visit *visit);

static void on_collected(int rc, const struct redis_reply *reply, void *data)
{
    struct visit *visit = data;
    struct err err = {0};
    if (rc == 0)
        rc = look(visit, reply, &err);
    if (rc == 0 && !visit->ids && !(visit->ids = calloc(visit->page.jobs, sizeof *visit->ids)))
        rc = ERR_NOMEM;
    if (rc == ERR_NOT_FOUND)
        problem_send(visit->call->exchange,
                     &(struct problem){.kind = PROBLEM_CONFLICT,
                                       .detail = "the batch of this key was deleted or has expired",
                                       .field = "Idempotency-Key"});
    else if (rc < 0)
        refuse(visit, rc, &err);
    if (rc < 0) {
        free_visit(visit);
        return;
    }
    for (size_t i = 0; i < visit->page.count && visit->at < visit->page.jobs; i++)
        memcpy(visit->ids[visit->at++], visit->page.page[i].public_id, ID_PUBLIC_SIZE);
    if (visit->page.count > 0 && visit->at < visit->page.jobs) {
        collect(visit);
    } else if (offload_submit(visit->call->dispatcher->offload, write_answer, on_written, visit) <
               0) {
        refuse(visit, ERR_UNAVAILABLE, NULL);
        free_visit(visit);
    }
}

static void collect(struct visit *visit)
{
    queue_batch_get_command(queue_of(visit), visit->batch_id, visit->at,
                            &visit->call->dispatcher->command);
    if (dispatcher_send(visit->call->dispatcher, on_collected, visit) < 0) {
        refuse(visit, ERR_UNAVAILABLE, NULL);
        free_visit(visit);
    }
}

void batch_accept_again(struct call *call, const struct queue_idem_found *found)
{
    if (found->state != QUEUE_IDEM_DONE) {
        accept_again(call, found);
        return;
    }
    /* The call's own state is the submission's, so this one is freed with the answer. */
    struct visit *visit = create(call, found->public_id);
    if (visit)
        collect(visit);
}
