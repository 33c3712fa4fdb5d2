/* SPDX-License-Identifier: MIT
 *
 * POST /v1/batches: up to QUEUE_BATCH_MAX jobs of an account, all or none. As a submission
 * (submit.c), but
 *
 *     check     of every job, on a thread
 *     reserve   its Idempotency-Key                                        (Redis)
 *     store     every picture, and write the answer                        (thread)
 *     open      room for all of them                                       (Redis)
 *     chunks    one at a time, so that Redis serves others in between      (Redis)
 *     seal      from here on there is a batch                              (Redis)
 *
 * What fails before the seal leaves nothing that could be claimed: the batch is dropped, or drops
 * itself after a minute. Where the seal's answer is lost the client is told 503 and the jobs are
 * disowned, unless it may ask again with its key. */
#include "common/catalogue.h"
#include "common/err.h"
#include "common/log.h"
#include "dispatcher/call.h"
#include "dispatcher/dispatcher.h"
#include "dispatcher/edition.h"
#include "dispatcher/http/server.h"
#include "dispatcher/jobs/accept.h"
#include "dispatcher/jobs/batch_build.h"
#include "dispatcher/jobs/disowned.h"
#include "dispatcher/offload.h"
#include "dispatcher/operate/measures.h"
#include "dispatcher/pages/page.h"
#include "dispatcher/routes.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Thousands of pictures are stored meanwhile. */
#define PREPARE_MS 120000

struct batch {
    struct call *call; /* borrowed; valid until the answer */
    struct batch_build build;
    struct intake_refusal refusal;
    struct queue_idem idem; /* its key "" where the client sent none */
    bool checked, reserved, opened;
    size_t sent, under_way; /* jobs */
    int rc;                 /* of the thread's work */
    int64_t enqueue_us;     /* when it began; see traces_now() */
};

static void free_batch(void *state)
{
    struct batch *batch = state;
    batch_build_fini(&batch->build);
    free(batch);
}

static const struct queue *queue_of(const struct batch *batch)
{
    return dispatcher_queue_of_id(batch->call->dispatcher, batch->build.batch_id);
}

static struct redis_command *command_of(const struct batch *batch)
{
    return &batch->call->dispatcher->command;
}

/* ---- headers and body ------------------------------------------------------------------------ */

static void on_body(void *context, struct exchange *exchange, const void *data, size_t size)
{
    struct call *call = exchange_user(exchange);
    struct batch *batch = call->state;
    if (buf_append(&batch->build.body, data, size) < 0)
        call_refuse(call, PROBLEM_UNAVAILABLE, NULL);
}

static void open_body(struct call *call)
{
    struct dispatcher *dispatcher = call->dispatcher;
    size_t max_bytes = (size_t)dispatcher->settings->max_batch_bytes;
    int64_t size = exchange_body_size(call->exchange);
    if (!call_admit_body(call, max_bytes))
        return;
    struct batch *batch = calloc(1, sizeof *batch);
    if (!batch) {
        call_refuse(call, PROBLEM_UNAVAILABLE, NULL);
        return;
    }
    batch->call = call;
    batch->build.dispatcher = dispatcher;
    batch->build.models = &call->edition->models;
    batch->build.identity = &call->identity;
    batch->build.language = page_language(dispatcher, call->exchange)->tag;
    buf_init(&batch->build.body, max_bytes);
    call->state = batch;
    call->free_state = free_batch;
    call_trace(call, batch->build.trace);
    if (accept_read_key(call, batch->idem.key) &&
        call_reserve(call, size < 0 ? max_bytes : (size_t)size))
        exchange_set_body(call->exchange, max_bytes, on_body);
}

void batch_submit_headers(struct dispatcher *dispatcher, struct call *call)
{
    if (identity_require(call, SCOPE_SUBMIT))
        throttle_take(call, open_body);
}

/* ---- how it ends ----------------------------------------------------------------------------- */

/* What is dropped with the batch is deleted twice, harmlessly; what is not held here, the sweep
 * finds. */
static void forget_inputs(const struct batch *batch)
{
    for (size_t i = 0; i < batch->build.count; i++) {
        char key[JOB_KEY_SIZE];
        job_input_key(batch->build.items[i].public_id, key);
        if (batch->build.items[i].intake.has_picture)
            disowned_add_object(batch->call->dispatcher->disowned, key);
    }
}

/* It will not be. What Redis has of it is dropped, now or by itself. */
static void give_up(const struct batch *batch)
{
    struct dispatcher *dispatcher = batch->call->dispatcher;
    const char *flow = batch->call->identity.flow;
    if (batch->opened) {
        queue_batch_drop_command(queue_of(batch), batch->build.batch_id, command_of(batch));
        dispatcher_send(dispatcher, NULL, NULL);
    }
    forget_inputs(batch);
    if (batch->reserved) {
        queue_idem_release_command(queue_of(batch), flow, &batch->idem, batch->build.batch_id,
                                   command_of(batch));
        dispatcher_send(dispatcher, NULL, NULL);
    }
}

static void tell_enqueued(const struct batch *batch, int rc)
{
    traces_enqueued(batch->call,
                    &(struct traces_enqueued){
                        .id = batch->build.batch_id, .count = batch->build.count, .rc = rc},
                    batch->enqueue_us);
}

static void refuse(const struct batch *batch, int rc, const struct err *err, int64_t retry_ms)
{
    tell_enqueued(batch, rc);
    log_event(LOG_WARN, "batch.refused", "batch", LOG_S, batch->build.batch_id, "code", LOG_S,
              err_name(rc), "detail", LOG_S, err->text, NULL);
    give_up(batch);
    if (rc == ERR_LIMIT)
        problem_send(batch->call->exchange,
                     &(struct problem){.kind = PROBLEM_RATE_LIMITED,
                                       .detail = "more jobs than this account may have waiting"});
    else if (rc == ERR_NOT_FOUND || rc == ERR_INVALID)
        problem_send(
            batch->call->exchange,
            &(struct problem){.kind = PROBLEM_INVALID, .detail = err->text, .field = err->field});
    else
        problem_send(batch->call->exchange,
                     &(struct problem){.kind = PROBLEM_UNAVAILABLE,
                                       .detail = retry_ms ? "the queue takes no jobs now"
                                                          : "the queue cannot be reached",
                                       .retry_after_s = (retry_ms + 999) / 1000});
}

static void accept(struct batch *batch)
{
    char location[640];
    size_t size;
    const char *id = batch->build.batch_id;
    tell_enqueued(batch, 0);
    void *data = buf_steal(&batch->build.answer, &size);
    struct answer *answer = answer_take(data, size);
    snprintf(location, sizeof location, "%s/v1/batches/%s", batch->call->dispatcher->public_url,
             id);
    answer_header(answer, "Content-Type", "application/json");
    answer_header(answer, "Cache-Control", "no-store");
    answer_header(answer, "X-Content-Type-Options", "nosniff");
    answer_header(answer, "Location", location);
    exchange_respond(batch->call->exchange, 202, answer);
    log_event(LOG_INFO, "batch.accepted", "batch", LOG_S, id, "jobs", LOG_I,
              (int64_t)batch->build.count, NULL);
}

/* ---- Redis ----------------------------------------------------------------------------------- */

static void on_sealed(int rc, const struct redis_reply *reply, void *data)
{
    struct batch *batch = data;
    struct queue_idem_found found = {.state = QUEUE_IDEM_FREE};
    struct err err = {0};
    if (rc == 0)
        rc = queue_batch_seal_reply(reply, &found, &err);
    if (rc == 0 && found.state == QUEUE_IDEM_FREE) {
        accept(batch);
    } else if (rc == 0) {
        give_up(batch);
        batch_accept_again(batch->call, &found);
    } else if (!reply) { /* perhaps it is sealed */
        for (size_t i = 0; i < batch->build.count && !batch->idem.key[0]; i++)
            disowned_add_job(batch->call->dispatcher->disowned, batch->build.items[i].public_id);
        call_refuse(batch->call, PROBLEM_UNAVAILABLE, "the queue cannot be reached");
    } else {
        refuse(batch, rc, &err, 0);
    }
}

static void seal(struct batch *batch)
{
    queue_batch_seal_command(queue_of(batch), batch->build.batch_id, batch->call->identity.flow,
                             &batch->idem, command_of(batch));
    if (dispatcher_send(batch->call->dispatcher, on_sealed, batch) < 0)
        refuse(batch, ERR_UNAVAILABLE, &(struct err){0}, 0);
}

static void send_chunk(struct batch *batch);

static void on_chunk(int rc, const struct redis_reply *reply, void *data)
{
    struct batch *batch = data;
    struct queue_submitted submitted;
    struct err err = {0};
    int64_t retry_ms = 0;
    if (rc < 0 && reply)
        redis_reply_check(reply, &err);
    for (size_t i = 0; rc == 0 && i < batch->under_way; i++) {
        rc = queue_submit_reply(reply, i, &submitted, &err);
        retry_ms = rc < 0 ? queue_submit_retry_ms(reply, i) : 0;
    }
    batch->sent += batch->under_way;
    if (rc < 0)
        refuse(batch, rc, &err, retry_ms);
    else if (batch->sent < batch->build.count)
        send_chunk(batch);
    else
        seal(batch);
}

static void send_chunk(struct batch *batch)
{
    struct queue_submit jobs[QUEUE_BATCH_CHUNK];
    size_t left = batch->build.count - batch->sent;
    batch->under_way = left < QUEUE_BATCH_CHUNK ? left : QUEUE_BATCH_CHUNK;
    for (size_t i = 0; i < batch->under_way; i++)
        batch_build_job(&batch->build, batch->sent + i, &jobs[i]);
    queue_submit_command(queue_of(batch), jobs, batch->under_way, command_of(batch));
    if (dispatcher_send(batch->call->dispatcher, on_chunk, batch) < 0)
        refuse(batch, ERR_UNAVAILABLE, &(struct err){0}, 0);
}

static void on_opened(int rc, const struct redis_reply *reply, void *data)
{
    struct batch *batch = data;
    struct err err = {0};
    int64_t retry_ms = 0;
    if (rc == 0)
        rc = queue_batch_open_reply(reply, &retry_ms, &err);
    batch->opened = rc == 0;
    if (rc < 0)
        refuse(batch, rc, &err, retry_ms);
    else
        send_chunk(batch);
}

/* A key's own limit, or as many as a batch may have: what the installation lets visitors have is no
 * measure for it. */
static void open_batch(struct batch *batch)
{
    const struct identity *identity = &batch->call->identity;
    batch->enqueue_us = traces_now(batch->call);
    struct queue queue = *queue_of(batch);
    if (queue.max_flow_queued < QUEUE_BATCH_MAX)
        queue.max_flow_queued = QUEUE_BATCH_MAX;
    if (identity->max_queued)
        queue.max_flow_queued = identity->max_queued;
    queue_batch_open_command(&queue, batch->build.batch_id, identity->flow,
                             batch->build.items[0].intake.model->name, batch->build.count,
                             command_of(batch));
    if (dispatcher_send(batch->call->dispatcher, on_opened, batch) < 0)
        refuse(batch, ERR_UNAVAILABLE, &(struct err){0}, 0);
}

/* ---- check, reserve, store ------------------------------------------------------------------- */

static void work_on(struct batch *batch, offload_function *work, offload_function *done)
{
    if (offload_submit(batch->call->dispatcher->offload, work, done, batch) == 0)
        return;
    give_up(batch);
    call_refuse(batch->call, PROBLEM_UNAVAILABLE, "too many uploads at once");
}

/* On a thread. */
static void store(void *task)
{
    struct batch *batch = task;
    batch->rc = batch_build_store(&batch->build, &batch->refusal.err);
}

static void on_stored(void *task)
{
    struct batch *batch = task;
    if (batch->rc == 0) {
        open_batch(batch);
        return;
    }
    log_event(LOG_WARN, "store.failed", "batch", LOG_S, batch->build.batch_id, "code", LOG_S,
              err_name(batch->rc), "detail", LOG_S, batch->refusal.err.text, NULL);
    measures_count_store_failure(batch->call->dispatcher->metrics);
    give_up(batch);
    call_refuse(batch->call, PROBLEM_UNAVAILABLE, "the pictures cannot be stored");
}

static void on_reserved(int rc, const struct redis_reply *reply, void *data)
{
    struct batch *batch = data;
    struct queue_idem_found found;
    struct err err = {0};
    if (rc == 0)
        rc = queue_idem_reserve_reply(reply, &found, &err);
    if (rc < 0) {
        call_refuse(batch->call, PROBLEM_UNAVAILABLE, "the queue cannot be reached");
    } else if (found.state == QUEUE_IDEM_FREE) {
        batch->reserved = true;
        work_on(batch, store, on_stored);
    } else {
        batch_accept_again(batch->call, &found);
    }
}

static void reserve(struct batch *batch)
{
    queue_idem_reserve_command(queue_of(batch), batch->call->identity.flow, &batch->idem,
                               batch->build.batch_id, PREPARE_MS, command_of(batch));
    if (dispatcher_send(batch->call->dispatcher, on_reserved, batch) < 0)
        call_refuse(batch->call, PROBLEM_UNAVAILABLE, "the queue cannot be reached");
}

/* On a thread. */
static void check(void *task)
{
    struct batch *batch = task;
    batch->rc = batch_build_check(&batch->build, &batch->refusal);
    if (batch->rc == 0 && batch->idem.key[0])
        batch->rc = batch_build_fingerprint(&batch->build, batch->idem.body);
}

static void on_checked(void *task)
{
    struct batch *batch = task;
    const struct intake_refusal *refusal = &batch->refusal;
    if (batch->rc == 0 && batch->idem.key[0])
        reserve(batch);
    else if (batch->rc == 0)
        work_on(batch, store, on_stored);
    else
        accept_refuse(batch->call, batch->rc, refusal);
}

void batch_submit(struct dispatcher *dispatcher, struct call *call)
{
    struct batch *batch = call->state;
    id_public_create(dispatcher_queue_of_flow(dispatcher, call->identity.flow)->shard,
                     batch->build.batch_id);
    work_on(batch, check, on_checked);
}
