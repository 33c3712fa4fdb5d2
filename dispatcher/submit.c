/* SPDX-License-Identifier: MIT
 *
 * POST /v1/jobs. On its way a submission passes:
 *
 *     headers   limit of the client, Redis up, media type, room for the body      (loop)
 *     body      into a form, piece by piece                                       (loop)
 *     check     against the model's manifest; a small body here and now           (loop or thread)
 *     store     the picture, where the model takes one                            (thread)
 *     enqueue   the submit script, with the others that come now: enqueue.h       (Redis)
 *     answer    202 only when the script said so
 *
 * What was stored for a job that is not accepted is deleted again. If the connection to Redis
 * breaks before the script's answer came, the job may or may not be there, and the client is told
 * 503; then the id is disowned, so that nothing happens that the client was told would not. */
#include "common/buf.h"
#include "common/clock.h"
#include "common/err.h"
#include "common/log.h"
#include "dispatcher/call.h"
#include "dispatcher/disowned.h"
#include "dispatcher/dispatcher.h"
#include "dispatcher/enqueue.h"
#include "dispatcher/form.h"
#include "dispatcher/http_server.h"
#include "dispatcher/intake.h"
#include "dispatcher/job_view.h"
#include "dispatcher/offload.h"
#include "dispatcher/routes.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How long a client is asked to wait before it looks at its job, at most. */
#define MAX_RETRY_AFTER_S 30
#define MAX_BYTES_HERE 4096

struct submission {
    struct call *call; /* borrowed; valid until the answer */
    struct form *form; /* owned */
    char public_id[ID_PUBLIC_SIZE];
    char input_key[JOB_KEY_SIZE];
    struct intake intake; /* filled once `checked` */
    struct intake_refusal refusal;
    struct enqueue_item item;
    char sealed[ADDRESS_SEALED_SIZE], address_hash[ADDRESS_HASH_SIZE];
    bool checked;
    int rc; /* of the thread's work */
};

static void free_submission(void *state)
{
    struct submission *submission = state;
    form_destroy(&submission->form);
    if (submission->checked)
        intake_fini(&submission->intake);
    free(submission);
}

/* ---- headers and body ---- */

static void on_body(void *context, struct exchange *exchange, const void *data, size_t size)
{
    struct call *call = exchange_user(exchange);
    struct submission *submission = call->state;
    struct err err = {0};
    int rc = form_feed(submission->form, data, size, &err);
    if (rc == ERR_INVALID && !err.field[0])
        call_refuse(call, PROBLEM_MALFORMED, err.text);
    else if (rc == ERR_LIMIT && err.field[0])
        problem_send(exchange, &(struct problem){.kind = PROBLEM_INVALID,
                                                 .detail = err.text,
                                                 .field = err.field,
                                                 .limit = FORM_MAX_TEXT});
    else if (rc == ERR_LIMIT)
        call_refuse(call, PROBLEM_MALFORMED, err.text);
    else if (rc < 0)
        problem_send_err(exchange, rc, &err, NULL);
}

static void open_body(struct call *call)
{
    struct dispatcher *dispatcher = call->dispatcher;
    size_t max_bytes = (size_t)dispatcher->settings->max_body_bytes;
    int64_t size = exchange_body_size(call->exchange);
    struct err err = {0};
    if (size > (int64_t)max_bytes) {
        problem_send_too_large(call->exchange, (int64_t)max_bytes);
        return;
    }
    if (!dispatcher_redis_usable(dispatcher)) {
        call_refuse(call, PROBLEM_UNAVAILABLE, "the queue cannot be reached");
        return;
    }
    struct submission *submission = calloc(1, sizeof *submission);
    if (!submission) {
        call_refuse(call, PROBLEM_UNAVAILABLE, NULL);
        return;
    }
    submission->call = call;
    call->state = submission;
    call->free_state = free_submission;
    int rc = form_create(exchange_header(call->exchange, "Content-Type"), max_bytes,
                         &submission->form, &err);
    if (rc == ERR_UNSUPPORTED)
        call_refuse(call, PROBLEM_MEDIA_TYPE, "send application/json or multipart/form-data");
    else if (rc == ERR_INVALID)
        call_refuse(call, PROBLEM_MALFORMED, err.text);
    else if (rc < 0)
        problem_send_err(call->exchange, rc, &err, NULL);
    else if (call_reserve(call, size < 0 ? max_bytes : (size_t)size))
        exchange_set_body(call->exchange, max_bytes, on_body);
}

void submit_headers(struct dispatcher *dispatcher, struct call *call)
{
    if (identity_permit(call, SCOPE_SUBMIT))
        throttle_take(call, open_body);
}

/* ---- the input goes to the store ---- */

static void forget_input(struct dispatcher *dispatcher, struct submission *submission)
{
    /* Nobody but us knows of this object yet. */
    if (submission->intake.model->has_input)
        disowned_add_object(dispatcher->disowned, submission->input_key);
}

static void refuse_intake(struct submission *submission)
{
    const struct intake_refusal *refusal = &submission->refusal;
    struct exchange *exchange = submission->call->exchange;
    if (refusal->malformed)
        call_refuse(submission->call, PROBLEM_MALFORMED, refusal->err.text);
    else if (problem_of(submission->rc) == PROBLEM_INVALID)
        problem_send(exchange, &(struct problem){.kind = PROBLEM_INVALID,
                                                 .detail = refusal->err.text,
                                                 .field = refusal->err.field,
                                                 .limit = refusal->limit});
    else
        problem_send_err(exchange, submission->rc, &refusal->err, NULL);
}

static void check(struct submission *submission)
{
    submission->rc = intake_check(&submission->call->dispatcher->models, submission->form,
                                  submission->public_id, &submission->intake, &submission->refusal);
    form_destroy(&submission->form);
    submission->checked = submission->rc == 0;
}

/* On a thread. */
static void check_and_store(void *task)
{
    struct submission *submission = task;
    const struct dispatcher *dispatcher = submission->call->dispatcher;
    if (!submission->checked)
        check(submission);
    if (!submission->checked || !submission->intake.model->has_input)
        return;
    const struct buf *input = &submission->intake.input;
    submission->rc = store_put(dispatcher->store, submission->input_key, input->data, input->size,
                               submission->intake.input_type, &submission->refusal.err);
    buf_fini(&submission->intake.input);
}

static void enqueue(struct submission *submission);

static void on_stored(void *task)
{
    struct submission *submission = task;
    struct dispatcher *dispatcher = submission->call->dispatcher;
    if (submission->rc == 0) {
        enqueue(submission);
    } else if (!submission->checked) {
        refuse_intake(submission);
    } else {
        log_event(LOG_WARN, "store.failed", "job", LOG_S, submission->public_id, "code", LOG_S,
                  err_name(submission->rc), "detail", LOG_S, submission->refusal.err.text, NULL);
        /* Half an upload may have arrived. */
        forget_input(dispatcher, submission);
        call_refuse(submission->call, PROBLEM_UNAVAILABLE, "the picture cannot be stored");
    }
}

void submit(struct dispatcher *dispatcher, struct call *call)
{
    struct submission *submission = call->state;
    struct err err = {0};
    if (form_finish(submission->form, &err) < 0) {
        call_refuse(call, PROBLEM_MALFORMED, err.text);
        return;
    }
    if (!identity_flow(call))
        return;
    id_public_create(dispatcher_queue_of_flow(dispatcher, call->identity.flow)->shard,
                     submission->public_id);
    job_input_key(submission->public_id, submission->input_key);
    /* What is this small is checked sooner than it is handed to a thread. */
    if (form_bytes(submission->form) <= MAX_BYTES_HERE) {
        check(submission);
        if (submission->rc < 0 || !submission->intake.model->has_input) {
            on_stored(submission);
            return;
        }
    }
    if (offload_submit(dispatcher->offload, check_and_store, on_stored, submission) < 0)
        call_refuse(call, PROBLEM_UNAVAILABLE, "too many uploads at once");
}

/* ---- the job goes to the queue ---- */

static void accept(struct submission *submission, const struct queue_submitted *submitted)
{
    struct dispatcher *dispatcher = submission->call->dispatcher;
    struct queue_job job = {.state = submitted->state,
                            .created_ms = submitted->created_ms,
                            .updated_ms = submitted->created_ms,
                            .position = submitted->position,
                            .eta_ms = submitted->eta_ms};
    struct buf body;
    char location[640], retry_after[24];
    memcpy(job.public_id, submission->public_id, sizeof job.public_id);
    snprintf(job.model, sizeof job.model, "%s", submission->intake.model->name);
    buf_init(&body, JOB_VIEW_MAX);
    int rc = job_view_write(&job, dispatcher->public_url, dispatcher->tokens, true, &body);
    if (rc < 0) {
        /* Accepted, but we cannot say how to reach it: as good as lost for the client. */
        disowned_add_job(dispatcher->disowned, submission->public_id);
        call_refuse(submission->call, PROBLEM_UNAVAILABLE, NULL);
        buf_fini(&body);
        return;
    }
    int64_t wait_s = submitted->eta_ms < 0 ? 5 : 1 + submitted->eta_ms / 1000;
    snprintf(location, sizeof location, "%s/v1/jobs/%s", dispatcher->public_url, job.public_id);
    snprintf(retry_after, sizeof retry_after, "%" PRId64,
             wait_s < MAX_RETRY_AFTER_S ? wait_s : MAX_RETRY_AFTER_S);
    size_t size;
    void *data = buf_steal(&body, &size);
    struct answer *answer = answer_take(data, size);
    answer_header(answer, "Content-Type", "application/json");
    answer_header(answer, "Cache-Control", "no-store");
    answer_header(answer, "X-Content-Type-Options", "nosniff");
    answer_header(answer, "Location", location);
    answer_header(answer, "Retry-After", retry_after);
    exchange_respond(submission->call->exchange, 202, answer);
    log_event(LOG_INFO, "job.accepted", "job", LOG_S, job.public_id, "model", LOG_S, job.model,
              "position", LOG_I, submitted->position, NULL);
}

static void on_enqueued(struct enqueue_item *item, const struct enqueue_outcome *outcome)
{
    struct submission *submission = item->data;
    struct dispatcher *dispatcher = submission->call->dispatcher;
    if (outcome->rc == 0) {
        accept(submission, &outcome->submitted);
        return;
    }
    log_event(LOG_WARN, "job.refused", "job", LOG_S, submission->public_id, "code", LOG_S,
              err_name(outcome->rc), "detail", LOG_S, outcome->err.text, NULL);
    if (outcome->unknown)
        disowned_add_job(dispatcher->disowned, submission->public_id);
    forget_input(dispatcher, submission);
    if (outcome->rc == ERR_LIMIT)
        problem_send(submission->call->exchange,
                     &(struct problem){.kind = PROBLEM_RATE_LIMITED,
                                       .detail = "too many jobs of yours are waiting",
                                       .limit = dispatcher->settings->max_flow_queued,
                                       .retry_after_s = 10});
    else
        call_refuse(submission->call, PROBLEM_UNAVAILABLE,
                    outcome->unknown ? "the queue cannot be reached"
                                     : "the queue takes no jobs now");
}

static int seal_address(struct submission *submission)
{
    const struct address_keys *keys = submission->call->dispatcher->addresses;
    const char *email = submission->intake.email;
    if (!email[0])
        return 0;
    int rc = address_seal(keys, email, submission->public_id, submission->sealed);
    return rc == 0 ? address_hash(keys, email, submission->address_hash) : rc;
}

static void enqueue(struct submission *submission)
{
    struct dispatcher *dispatcher = submission->call->dispatcher;
    const struct intake *intake = &submission->intake;
    int rc = seal_address(submission);
    submission->item = (struct enqueue_item){
        .job = {.public_id = submission->public_id,
                .model = intake->model->name,
                .flow = submission->call->identity.flow,
                .priority = JOB_PRIORITY_NORMAL,
                .cost_ms = intake->model->cost_ms,
                .weight = submission->call->identity.weight,
                .max_attempts = intake->model->max_attempts,
                .backoff_ms = intake->model->backoff_ms,
                .backoff_max_ms = intake->model->backoff_max_ms,
                .run_max_ms = intake->model->timeout_ms,
                .deadline_after_ms = intake->model->deadline_ms,
                .has_input = intake->model->has_input,
                .extension = "png",
                .notify_address = submission->address_hash,
                .notify_blob = submission->sealed,
                .notify_blob_size = strlen(submission->sealed),
                .spec = intake->spec.data,
                .spec_size = intake->spec.size},
        .done = on_enqueued,
        .data = submission,
    };
    if (rc == 0)
        rc = enqueue_add(dispatcher->enqueue, &submission->item, NULL);
    if (rc < 0) { /* certainly not sent */
        forget_input(dispatcher, submission);
        call_refuse(submission->call, PROBLEM_UNAVAILABLE, "the queue cannot be reached");
    }
}
