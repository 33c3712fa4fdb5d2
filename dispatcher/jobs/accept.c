/* SPDX-License-Identifier: MIT */
#include "dispatcher/jobs/accept.h"

#include "common/buf.h"
#include "common/err.h"
#include "common/log.h"
#include "dispatcher/call.h"
#include "dispatcher/dispatcher.h"
#include "dispatcher/events/wait.h"
#include "dispatcher/http/server.h"
#include "dispatcher/jobs/dialect.h"
#include "dispatcher/jobs/disowned.h"
#include "dispatcher/jobs/intake.h"
#include "dispatcher/jobs/job_hook.h"
#include "dispatcher/jobs/job_view.h"
#include "dispatcher/pages/submit_form.h"
#include "dispatcher/upkeep/mail_watch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_KEY 255
/* How long a client is asked to wait before it looks at its job, at most. */
#define MAX_RETRY_AFTER_S 30

/* ---- the key --------------------------------------------------------------------------------- */

bool accept_read_key(struct call *call, char out[QUEUE_IDEM_HASH_SIZE])
{
    const char *key = exchange_header(call->exchange, "Idempotency-Key");
    out[0] = 0;
    if (!key)
        return true;
    size_t size = strlen(key);
    if (size >= 2 && key[0] == '"' && key[size - 1] == '"') { /* as the draft writes it */
        key++;
        size -= 2;
    }
    bool fine = size > 0 && size <= MAX_KEY;
    for (size_t i = 0; fine && i < size; i++)
        fine = key[i] >= ' ' && key[i] < 0x7f;
    if (!fine) {
        problem_send(call->exchange,
                     &(struct problem){.kind = PROBLEM_MALFORMED,
                                       .detail = "the key must be 1 to 255 printable characters",
                                       .field = "Idempotency-Key",
                                       .limit = MAX_KEY});
        return false;
    }
    if (queue_idem_hash(key, size, out) == 0)
        return true;
    call_refuse(call, PROBLEM_UNAVAILABLE, NULL);
    return false;
}

/* ---- 201, 202 -------------------------------------------------------------------------------- */

static int send_accepted(struct call *call, const struct queue_job *job, bool replayed)
{
    const struct dispatcher *dispatcher = call->dispatcher;
    if (call->dialect)
        return call->dialect->accepted(call, job);
    if (call->page)
        return page_form_accepted(call, job->public_id);
    char retry_after[BUF_INT_SIZE + 1], secret[WEBHOOK_SECRET_SIZE];
    bool ended = job_state_is_final(job->state) && wait_is_wanted(call);
    struct buf body;
    char location[sizeof dispatcher->public_url + sizeof "/v1/jobs/" + ID_PUBLIC_SIZE];
    buf_init(&body, JOB_VIEW_MAX);
    bool hooked = job_hook_secret(dispatcher, job, secret);
    struct queue_job scratch;
    int rc = job_view_write_hooked(mail_watch_shown(dispatcher->mail_watch, job, &scratch),
                                   dispatcher->public_url, dispatcher->tokens,
                                   hooked ? secret : NULL, &body);
    if (rc < 0) {
        buf_fini(&body);
        return rc;
    }
    int64_t wait_s = job->eta_ms < 0 ? 5 : 1 + job->eta_ms / 1000;
    wait_s = wait_s < MAX_RETRY_AFTER_S ? wait_s : MAX_RETRY_AFTER_S;
    retry_after[buf_int_text(wait_s, retry_after)] = 0;
    stpcpy(stpcpy(stpcpy(location, dispatcher->public_url), "/v1/jobs/"), job->public_id);
    size_t size;
    void *data = buf_steal(&body, &size);
    struct answer *answer = answer_take(data, size);
    answer_header(answer, "Content-Type", "application/json");
    answer_header(answer, "Cache-Control", "no-store");
    answer_header(answer, "X-Content-Type-Options", "nosniff");
    answer_header(answer, "Location", location);
    if (!ended)
        answer_header(answer, "Retry-After", retry_after);
    if (replayed)
        answer_header(answer, "Idempotency-Replayed", "true");
    exchange_respond(call->exchange, ended ? 201 : 202, answer);
    return 0;
}

/* The queue has it, but we cannot say how to reach it: as good as lost, unless it is asked for
 * again. */
static void answer_late(struct call *call, const struct queue_job *job, bool gone, bool replayed)
{
    if (gone) {
        problem_send(call->exchange, &(struct problem){.kind = PROBLEM_NOT_FOUND,
                                                       .detail = "the job was erased meanwhile",
                                                       .job = job->public_id});
    } else if (send_accepted(call, job, replayed) < 0) {
        if (!exchange_header(call->exchange, "Idempotency-Key"))
            disowned_add_job(call->dispatcher->disowned, job->public_id);
        call_refuse(call, PROBLEM_UNAVAILABLE, NULL);
    }
}

static void answer_new(struct call *call, const struct queue_job *job, bool gone)
{
    answer_late(call, job, gone, false);
}

static void answer_replayed(struct call *call, const struct queue_job *job, bool gone)
{
    answer_late(call, job, gone, true);
}

int accept_send(struct call *call, const struct queue_job *job, bool replayed)
{
    log_event(LOG_INFO, replayed ? "job.replayed" : "job.accepted", "job", LOG_S, job->public_id,
              "model", LOG_S, job->model, "position", LOG_I, job->position, NULL);
    return wait_begin(call, job, replayed ? answer_replayed : answer_new)
               ? 0
               : send_accepted(call, job, replayed);
}

void accept_refuse(struct call *call, int rc, const struct intake_refusal *refusal)
{
    const char *field = refusal->err.field;
    if (call->dialect && call->dialect->field)
        field = call->dialect->field(field);
    if (refusal->malformed)
        call_refuse(call, PROBLEM_MALFORMED, refusal->err.text);
    else if (problem_of(rc) == PROBLEM_INVALID)
        problem_send(call->exchange, &(struct problem){.kind = PROBLEM_INVALID,
                                                       .detail = refusal->err.text,
                                                       .field = field,
                                                       .limit = refusal->limit});
    else
        problem_send_err(call->exchange, rc, &refusal->err, NULL);
}

/* ---- a second request with the same key ------------------------------------------------------ */

static void on_original(int rc, const struct redis_reply *reply, void *data)
{
    struct call *call = data;
    struct queue_job job;
    if (rc == 0)
        rc = queue_get_reply(reply, &job, NULL);
    if (rc == 0)
        rc = accept_send(call, &job, true);
    if (rc == ERR_NOT_FOUND)
        problem_send(call->exchange,
                     &(struct problem){.kind = PROBLEM_CONFLICT,
                                       .detail = "the job of this key was deleted or has expired",
                                       .field = "Idempotency-Key"});
    else if (rc < 0)
        call_refuse(call, PROBLEM_UNAVAILABLE, "the queue cannot be reached");
}

static void answer_original(struct call *call, const char *public_id)
{
    struct dispatcher *dispatcher = call->dispatcher;
    queue_get_command(dispatcher_queue_of_id(dispatcher, public_id), public_id,
                      &dispatcher->command);
    if (dispatcher_send(dispatcher, on_original, call) < 0)
        call_refuse(call, PROBLEM_UNAVAILABLE, "the queue cannot be reached");
}

/* The first answer may have been that too few replicas had heard of the job. */
struct again {
    struct call *call;
    char public_id[ID_PUBLIC_SIZE];
};

static void on_replicated(int rc, const struct redis_reply *reply, void *data)
{
    struct again *again = data;
    struct call *call = again->call;
    if (rc == 0 && redis_reply_int(reply) >= call->dispatcher->settings->redis_wait_replicas)
        answer_original(call, again->public_id);
    else
        call_refuse(call, PROBLEM_UNAVAILABLE, "too few replicas have heard of the job");
    free(again);
}

/* WAIT goes for all that the server had done by the last command of its connection, so whoever
 * wrote the job is waited for. */
static void replay(struct call *call, const char *public_id)
{
    struct dispatcher *dispatcher = call->dispatcher;
    const struct settings *settings = dispatcher->settings;
    if (settings->redis_wait_replicas == 0) {
        answer_original(call, public_id);
        return;
    }
    struct again *again = calloc(1, sizeof *again);
    if (again) {
        again->call = call;
        snprintf(again->public_id, sizeof again->public_id, "%s", public_id);
        redis_command_clear(&dispatcher->command);
        redis_command_text(&dispatcher->command, "WAIT");
        redis_command_int(&dispatcher->command, settings->redis_wait_replicas);
        redis_command_int(&dispatcher->command, settings->redis_wait_ms);
        dispatcher->command.slot = queue_slot(dispatcher_queue_of_id(dispatcher, public_id));
        if (dispatcher_send(dispatcher, on_replicated, again) == 0)
            return;
    }
    free(again);
    call_refuse(call, PROBLEM_UNAVAILABLE, "the queue cannot be reached");
}

void accept_again(struct call *call, const struct queue_idem_found *found)
{
    switch (found->state) {
    case QUEUE_IDEM_DONE: replay(call, found->public_id); break;
    case QUEUE_IDEM_OTHER_BODY:
        problem_send(call->exchange,
                     &(struct problem){.kind = PROBLEM_KEY_REUSED, .field = "Idempotency-Key"});
        break;
    case QUEUE_IDEM_IN_FLIGHT:
        problem_send(call->exchange,
                     &(struct problem){.kind = PROBLEM_IN_FLIGHT, .field = "Idempotency-Key"});
        break;
    case QUEUE_IDEM_FREE: call_refuse(call, PROBLEM_UNAVAILABLE, NULL); break;
    }
}
