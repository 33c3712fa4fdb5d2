/* SPDX-License-Identifier: MIT
 *
 * POST /v1/jobs. On its way a submission passes:
 *
 *     headers   limit of the client, Redis up, media type, room for the body      (loop)
 *     body      into a form, piece by piece                                       (loop)
 *     again     its picture, where that is the crop of an earlier job: again.h    (Redis, thread)
 *     check     against the model's manifest; a small body here and now           (loop or thread)
 *     reserve   its Idempotency-Key, where it has one and there is a picture      (Redis)
 *     store     the picture, where the model takes one                            (thread)
 *     enqueue   the submit script, with the others that come now: enqueue.h       (Redis)
 *     answer    202 only when the script said so
 *
 * The form of a page that runs no scripts comes the same way: POST /m/{model}, pages/submit_form.h.
 *
 * What was stored for a job that is not accepted is deleted again. If the connection to Redis
 * breaks before the script's answer came, the job may or may not be there, and the client is told
 * 503; then the id is disowned, so that nothing happens that the client was told would not. But not
 * under an Idempotency-Key: the client that asks again with it gets that very job, if it is there,
 * so job and picture are left alone; a picture without a job is for the sweep. */
#include "common/buf.h"
#include "common/catalogue.h"
#include "common/err.h"
#include "common/log.h"
#include "common/mail_ledger.h"
#include "common/webhook_endpoint.h"
#include "dispatcher/call.h"
#include "dispatcher/dispatcher.h"
#include "dispatcher/edition.h"
#include "dispatcher/http/server.h"
#include "dispatcher/jobs/accept.h"
#include "dispatcher/jobs/again.h"
#include "dispatcher/jobs/disowned.h"
#include "dispatcher/jobs/enqueue.h"
#include "dispatcher/jobs/form.h"
#include "dispatcher/jobs/intake.h"
#include "dispatcher/jobs/job_hook.h"
#include "dispatcher/jobs/job_mail.h"
#include "dispatcher/offload.h"
#include "dispatcher/operate/measures.h"
#include "dispatcher/pages/page.h"
#include "dispatcher/pages/submit_form.h"
#include "dispatcher/routes.h"
#include "dispatcher/upkeep/gate.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_BYTES_HERE 4096
/* A picture is stored meanwhile; who takes longer, or is dead, lets the next one try. */
#define PREPARE_MS 30000

/* With malloc(), 3 KB of another size than all the rest cost more than the checks of a body do. */
#define MAX_SPARES 64

struct submission {
    struct call *call; /* borrowed; valid until the answer */
    struct submission *next_spare;
    struct form *form; /* owned */
    char public_id[ID_PUBLIC_SIZE];
    char input_key[JOB_KEY_SIZE];
    struct intake intake; /* filled once `checked` */
    struct intake_refusal refusal;
    struct enqueue_item item;
    const char *parents[QUEUE_PARENTS_MAX];
    struct job_mail mail;
    char trace[TRACE_TEXT_SIZE]; /* "" where the client sent none */
    struct queue_idem idem;      /* its key "" where the client sent none */
    struct buf extra;            /* lines for the record; empty for most */
    bool checked, reserved;
    bool hook_found;              /* the endpoint that it names is its account's */
    bool mail_asked;              /* whether its address wants mails */
    int64_t store_us, enqueue_us; /* when they began; see traces_now() */
    int rc;                       /* of the thread's work */
};

static struct submission *make_submission(struct call *call)
{
    struct submit_spares *spares = &call->dispatcher->spare_submissions;
    struct submission *submission = spares->first;
    if (!submission && !(submission = malloc(sizeof *submission)))
        return NULL;
    if (spares->first) {
        spares->first = submission->next_spare;
        spares->count--;
    }
    *submission = (struct submission){.call = call};
    buf_init(&submission->extra, QUEUE_EXTRA_MAX);
    return submission;
}

static void free_submission(void *state)
{
    struct submission *submission = state;
    struct submit_spares *spares = &submission->call->dispatcher->spare_submissions;
    form_destroy(&submission->form);
    if (submission->checked)
        intake_fini(&submission->intake);
    buf_fini(&submission->extra);
    if (spares->count >= MAX_SPARES) {
        free(submission);
        return;
    }
    submission->next_spare = spares->first;
    spares->first = submission;
    spares->count++;
}

void submit_close(struct dispatcher *dispatcher)
{
    struct submit_spares *spares = &dispatcher->spare_submissions;
    while (spares->first) {
        struct submission *submission = spares->first;
        spares->first = submission->next_spare;
        free(submission);
    }
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
    if (!call_admit_body(call, max_bytes))
        return;
    struct submission *submission = make_submission(call);
    if (!submission) {
        call_refuse(call, PROBLEM_UNAVAILABLE, NULL);
        return;
    }
    call->state = submission;
    call->free_state = free_submission;
    if (!accept_read_key(call, submission->idem.key))
        return;
    call_trace(call, submission->trace);
    /* Another service's client sends what it always has, whatever it calls it. */
    const char *type =
        call->dialect ? "application/json" : exchange_header(call->exchange, "Content-Type");
    int rc = form_create(type, max_bytes, call->page != NULL, &submission->form, &err);
    if (rc == 0) {
        submission->form->dialect = call->dialect;
        submission->form->dialect_context = call->dialect_context;
    }
    if (rc == ERR_UNSUPPORTED)
        call_refuse(call, PROBLEM_MEDIA_TYPE,
                    call->page ? "send multipart/form-data"
                               : "send application/json or multipart/form-data");
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
    if (submission->intake.has_picture)
        disowned_add_object(dispatcher->disowned, submission->input_key);
}

/* The job will not be: whoever asks again with this key need not wait. */
static void release(const struct submission *submission)
{
    struct dispatcher *dispatcher = submission->call->dispatcher;
    const char *flow = submission->call->identity.flow;
    if (!submission->reserved)
        return;
    queue_idem_release_command(dispatcher_queue_of_flow(dispatcher, flow), flow, &submission->idem,
                               submission->public_id, &dispatcher->command);
    dispatcher_send(dispatcher, NULL, NULL); /* if not, it expires */
}

static void check(struct submission *submission)
{
    submission->rc = intake_check(&submission->call->edition->models, submission->form,
                                  submission->public_id, &submission->intake, &submission->refusal);
    form_destroy(&submission->form);
    if (submission->rc < 0)
        return;
    submission->checked = true;
    submission->rc = after_permit(&submission->intake.after, submission->call->dispatcher->tokens,
                                  submission->call->identity.has_key,
                                  id_public_shard(submission->public_id), &submission->refusal.err);
    if (submission->rc == 0)
        submission->rc =
            timing_permit(&submission->intake.timing, submission->call->identity.ceiling,
                          &submission->refusal.err);
    if (submission->rc == 0)
        submission->rc = job_mail_check(submission->call->dispatcher, &submission->intake,
                                        &submission->refusal.err);
    if (submission->rc == 0 && submission->intake.webhook)
        submission->rc = job_hook_check(submission->call->dispatcher, &submission->call->identity,
                                        submission->intake.webhook, &submission->refusal.err);
    if (submission->rc < 0) {
        intake_fini(&submission->intake);
        submission->checked = false;
    }
    if (submission->checked && submission->idem.key[0])
        submission->rc =
            intake_fingerprint(&submission->intake, submission->public_id, submission->idem.body);
}

/* Before a picture is stored twice. Without one the submit script alone decides. */
static bool must_reserve(const struct submission *submission)
{
    return submission->idem.key[0] && submission->intake.has_picture && !submission->reserved;
}

/* On a thread. */
static void check_and_store(void *task)
{
    struct submission *submission = task;
    const struct dispatcher *dispatcher = submission->call->dispatcher;
    if (!submission->checked)
        check(submission);
    if (submission->rc < 0 || !submission->intake.has_picture || must_reserve(submission))
        return;
    const struct buf *input = &submission->intake.input;
    submission->rc = store_put(dispatcher->store, submission->input_key, input->data, input->size,
                               submission->intake.input_type, &submission->refusal.err);
    buf_fini(&submission->intake.input);
}

static void enqueue(struct submission *submission);
static void reserve(struct submission *submission);

static void on_stored(void *task)
{
    struct submission *submission = task;
    struct dispatcher *dispatcher = submission->call->dispatcher;
    if (submission->checked && submission->intake.has_picture && !must_reserve(submission))
        traces_stored(submission->call, submission->rc, submission->store_us);
    if (submission->rc == 0 && must_reserve(submission)) {
        reserve(submission);
    } else if (submission->rc == 0) {
        enqueue(submission);
    } else if (!submission->checked) {
        accept_refuse(submission->call, submission->rc, &submission->refusal);
    } else {
        log_event(LOG_WARN, "store.failed", "job", LOG_S, submission->public_id, "code", LOG_S,
                  err_name(submission->rc), "detail", LOG_S, submission->refusal.err.text, NULL);
        measures_count_store_failure(dispatcher->metrics);
        /* Half an upload may have arrived. */
        forget_input(dispatcher, submission);
        release(submission);
        call_refuse(submission->call, PROBLEM_UNAVAILABLE, "the picture cannot be stored");
    }
}

static void store(struct submission *submission)
{
    submission->store_us = traces_now(submission->call);
    exchange_expect_wait(submission->call->exchange);
    if (offload_submit(submission->call->dispatcher->offload, check_and_store, on_stored,
                       submission) == 0)
        return;
    release(submission);
    call_refuse(submission->call, PROBLEM_UNAVAILABLE, "too many uploads at once");
}

/* All that it brings is there. */
static void examine(struct call *call)
{
    struct submission *submission = call->state;
    /* What is this small is checked sooner than it is handed to a thread. */
    if (form_bytes(submission->form) <= MAX_BYTES_HERE) {
        check(submission);
        if (submission->rc < 0 || !submission->intake.has_picture || must_reserve(submission)) {
            on_stored(submission);
            return;
        }
    }
    store(submission);
}

void submit(struct dispatcher *dispatcher, struct call *call)
{
    struct submission *submission = call->state;
    struct err err = {0};
    if (form_finish(submission->form, &err) < 0) {
        call_refuse(call, PROBLEM_MALFORMED, err.text);
        return;
    }
    if (call->page && !page_form_settle(call, submission->form, submission->idem.key))
        return;
    if (!identity_flow(call))
        return;
    unsigned shard = dispatcher_queue_of_flow(dispatcher, call->identity.flow)->shard;
    if (gate_is_full(dispatcher->gate, shard)) {
        call_refuse(call, PROBLEM_UNAVAILABLE, "the queue's memory is nearly full");
        return;
    }
    id_public_create(shard, submission->public_id);
    job_input_key(submission->public_id, submission->input_key);
    struct again again;
    int rc = again_read(submission->form, &again, &err);
    if (rc < 0)
        call_refuse_err(call, rc, &err);
    else if (again.public_id[0])
        again_fetch(call, &again, submission->form, examine);
    else
        examine(call);
}

/* ---- the key is reserved ---- */

static void on_reserved(int rc, const struct redis_reply *reply, void *data)
{
    struct submission *submission = data;
    struct queue_idem_found found;
    struct err err = {0};
    if (rc == 0)
        rc = queue_idem_reserve_reply(reply, &found, &err);
    if (rc < 0 && reply)
        log_event(LOG_ERROR, "idempotency.unreadable", "code", LOG_S, err_name(rc), "detail", LOG_S,
                  err.text, NULL);
    if (rc < 0) {
        call_refuse(submission->call, PROBLEM_UNAVAILABLE, "the queue cannot be reached");
    } else if (found.state == QUEUE_IDEM_FREE) {
        submission->reserved = true;
        store(submission);
    } else {
        accept_again(submission->call, &found);
    }
}

static void reserve(struct submission *submission)
{
    struct dispatcher *dispatcher = submission->call->dispatcher;
    const char *flow = submission->call->identity.flow;
    queue_idem_reserve_command(dispatcher_queue_of_flow(dispatcher, flow), flow, &submission->idem,
                               submission->public_id, PREPARE_MS, &dispatcher->command);
    if (dispatcher_send(dispatcher, on_reserved, submission) < 0)
        call_refuse(submission->call, PROBLEM_UNAVAILABLE, "the queue cannot be reached");
}

/* ---- the job goes to the queue ---- */

static void accept(struct submission *submission, const struct queue_submitted *submitted)
{
    struct queue_job job = {.state = submitted->state,
                            .created_ms = submitted->created_ms,
                            .updated_ms = submitted->created_ms,
                            .position = submitted->position,
                            .eta_ms = submitted->eta_ms};
    memcpy(job.public_id, submission->public_id, sizeof job.public_id);
    static_assert(sizeof job.model == sizeof submission->intake.model->name, "one is copied");
    memcpy(job.model, submission->intake.model->name, sizeof job.model);
    char text[AFTER_TEXT_SIZE];
    after_text(&submission->intake.after, text);
    int rc = text[0] ? buf_printf(&submission->extra, "p=%s\n", text) : 0;
    if (rc == 0)
        rc = job_mail_line(&submission->mail, &submission->extra);
    job.extra = buf_text(&submission->extra);
    job.extra_size = submission->extra.size;
    if (job.state == JOB_FAILED) /* before it could begin */
        snprintf(job.error_code, sizeof job.error_code, "parent_failed");
    if (rc == 0 && accept_send(submission->call, &job, false) == 0)
        return;
    /* Accepted, but we cannot say how to reach it: as good as lost, unless it is asked for again.
     */
    if (!submission->idem.key[0])
        disowned_add_job(submission->call->dispatcher->disowned, submission->public_id);
    call_refuse(submission->call, PROBLEM_UNAVAILABLE, NULL);
}

/* Its flow or the queue is full: when should there be room? */
static void refuse_for_now(struct call *call, const struct enqueue_outcome *outcome)
{
    bool flow = outcome->rc == ERR_LIMIT;
    const struct identity *identity = &call->identity;
    int64_t limit = call->dispatcher->settings->max_flow_queued;
    if (identity->max_queued)
        limit = identity->max_queued;
    problem_send(call->exchange,
                 &(struct problem){.kind = flow ? PROBLEM_RATE_LIMITED : PROBLEM_UNAVAILABLE,
                                   .detail = flow ? "too many jobs of yours are waiting"
                                                  : "the queue takes no jobs now",
                                   .limit = flow ? limit : 0,
                                   .retry_after_s = (outcome->retry_ms + 999) / 1000});
}

static void tell_enqueued(const struct submission *submission, int rc)
{
    char after[AFTER_TEXT_SIZE];
    if (submission->enqueue_us == 0)
        return;
    after_text(&submission->intake.after, after);
    traces_enqueued(submission->call,
                    &(struct traces_enqueued){.model = submission->intake.model->name,
                                              .id = submission->public_id,
                                              .after = after,
                                              .count = 1,
                                              .rc = rc},
                    submission->enqueue_us);
}

static void on_enqueued(struct enqueue_item *item, const struct enqueue_outcome *outcome)
{
    struct submission *submission = item->data;
    struct dispatcher *dispatcher = submission->call->dispatcher;
    bool has_key = submission->idem.key[0];
    tell_enqueued(submission, outcome->rc);
    if (outcome->rc == 0) {
        accept(submission, &outcome->submitted);
        return;
    }
    const struct call_trace *trace = &submission->call->trace;
    log_event(LOG_WARN, "job.refused", "job", LOG_S, submission->public_id, "code", LOG_S,
              err_name(outcome->rc), "detail", LOG_S, outcome->err.text,
              trace->entered ? "trace_id" : NULL, LOG_S, trace->request.id, NULL);
    if (outcome->unknown && !has_key)
        disowned_add_job(dispatcher->disowned, submission->public_id);
    if (!outcome->unknown || !has_key)
        forget_input(dispatcher, submission);
    if (outcome->idem.state != QUEUE_IDEM_FREE)
        accept_again(submission->call, &outcome->idem);
    else if (outcome->rc == ERR_NOT_FOUND || outcome->rc == ERR_INVALID)
        problem_send(submission->call->exchange, &(struct problem){.kind = PROBLEM_INVALID,
                                                                   .detail = outcome->err.text,
                                                                   .field = outcome->err.field});
    else if (outcome->unknown)
        call_refuse(submission->call, PROBLEM_UNAVAILABLE, "the queue cannot be reached");
    else
        refuse_for_now(submission->call, outcome);
}

static int write_extra(struct submission *submission)
{
    const struct call *call = submission->call;
    char line[QUEUE_IDEM_LINE_SIZE];
    int rc = 0;
    if (submission->idem.key[0]) {
        queue_idem_line(&submission->idem, line);
        rc = buf_append_text(&submission->extra, line);
    }
    if (rc == 0 && submission->trace[0])
        rc = buf_printf(&submission->extra, "t=%s\n", submission->trace);
    if (rc == 0 && submission->intake.webhook)
        rc = job_hook_line(call->dispatcher, call->identity.flow, submission->public_id,
                           submission->intake.webhook, &submission->extra);
    return rc;
}

static void on_endpoint(int rc, const struct redis_reply *reply, void *data)
{
    struct submission *submission = data;
    struct err err = {0};
    if (rc == 0)
        rc = job_hook_found(submission->call, reply, submission->intake.webhook, &err);
    submission->hook_found = rc == 0;
    if (rc == 0) {
        enqueue(submission);
        return;
    }
    forget_input(submission->call->dispatcher, submission);
    release(submission);
    if (rc == ERR_INVALID)
        problem_send(
            submission->call->exchange,
            &(struct problem){.kind = PROBLEM_INVALID, .detail = err.text, .field = err.field});
    else
        call_refuse(submission->call, PROBLEM_UNAVAILABLE, "the queue cannot be reached");
}

/* True where an answer of Redis has to come first. */
static bool asks_for_endpoint(struct submission *submission)
{
    const char *webhook = submission->intake.webhook;
    return webhook && !submission->hook_found && endpoint_id_valid(webhook) &&
           job_hook_find(submission->call, webhook, on_endpoint, submission) == 0;
}

static void on_unwanted(int rc, const struct redis_reply *reply, void *data)
{
    struct submission *submission = data;
    submission->mail.unwanted = rc == 0 && mail_ledger_unwanted_reply(reply);
    enqueue(submission); /* who cannot be asked now is asked before the mail goes */
}

/* Its owner is told at once if its mail is not going to be sent. True as above. */
static bool asks_for_address(struct submission *submission)
{
    struct dispatcher *dispatcher = submission->call->dispatcher;
    const struct call *call = submission->call;
    if (submission->mail_asked || !submission->intake.email[0])
        return false;
    submission->mail_asked = true;
    if (job_mail_prepare(dispatcher, &submission->intake,
                         page_language(dispatcher, call->exchange)->tag, submission->public_id,
                         &submission->mail) < 0 ||
        !submission->mail.hash[0])
        return false;
    mail_ledger_unwanted_command(submission->mail.unsubscribe, &dispatcher->command);
    return dispatcher_send(dispatcher, on_unwanted, submission) == 0;
}

static void enqueue(struct submission *submission)
{
    struct dispatcher *dispatcher = submission->call->dispatcher;
    const struct intake *intake = &submission->intake;
    if (asks_for_endpoint(submission) || asks_for_address(submission))
        return;
    int rc = intake->email[0] && !submission->mail.hash[0] ? ERR_NOMEM : 0;
    if (rc == 0)
        rc = write_extra(submission);
    submission->item = (struct enqueue_item){.done = on_enqueued, .data = submission};
    struct queue_submit *job = &submission->item.job;
    intake_submit(intake, &submission->call->identity, submission->public_id, job);
    job->wants_position = true;
    job_mail_apply(&submission->mail, job);
    job->extra = buf_text(&submission->extra);
    job->extra_size = submission->extra.size;
    after_apply(&intake->after, submission->parents, job);
    submission->enqueue_us = traces_now(submission->call);
    if (rc == 0)
        rc = enqueue_add(dispatcher->enqueue, &submission->item, NULL);
    if (rc < 0) { /* certainly not sent */
        forget_input(dispatcher, submission);
        release(submission);
        call_refuse(submission->call, PROBLEM_UNAVAILABLE, "the queue cannot be reached");
    }
}
