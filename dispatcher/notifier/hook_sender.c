/* SPDX-License-Identifier: MIT */
#include "dispatcher/notifier/hook_sender.h"

#include "common/backoff.h"
#include "common/buf.h"
#include "common/clock.h"
#include "common/err.h"
#include "common/http_client_pool.h"
#include "common/log.h"
#include "common/queue_hooks.h"
#include "common/redis.h"
#include "common/stop.h"
#include "common/trace.h"
#include "common/webhook_endpoint.h"
#include "dispatcher/notifier/hook_event.h"
#include "dispatcher/notifier/measures.h"
#include "dispatcher/notifier/spans.h"

#include <assert.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CALL_MS 2000
#define MAX_ANSWER 1024
#define MAX_RETRY_MS (4LL * 3600 * 1000)
#define MAX_RETRY_AFTER_S (24 * 3600)
#define SHARED_SLOTS 4 /* one owner takes at most this part of the slots */
#define CROWDED_MS 500
#define MAX_REASON 257

/* One request, from the claim until its outcome is settled. */
struct delivery {
    struct hook_sender *sender; /* borrowed */
    const struct queue *queue;  /* borrowed */
    struct queue_notified outcome;
    char notify_id[QUEUE_NOTIFY_ID_SIZE];
    char public_id[ID_PUBLIC_SIZE];
    char flow[JOB_FLOW_SIZE];
    int attempts; /* before this one */
    int status;
    int64_t begin_us;                /* of the request */
    char job_trace[TRACE_TEXT_SIZE]; /* as the record has it; "": none */
    char trace[TRACE_TEXT_SIZE];     /* of this request; "": the job is part of none */
    char reason[MAX_REASON];
    struct endpoint *endpoint; /* owned; NULL where the job brought the URL */
    bool gone;                 /* it answered 410: the endpoint is to be disabled */
    struct delivery *next;
};

struct hook_sender {
    struct hook_sender_options options;
    atomic_int per_target; /* these two as hook_sender_limit() last said */
    atomic_llong retry_ms;
    struct http_pool *pool;          /* owned */
    struct delivery *done, **at_end; /* owned: what waits to be settled, oldest first */
    struct delivery *sent;           /* owned by the pool's callbacks: what is under way */
    struct queue_hook_rows rows;
};

/* What a request needs; lives until the pool has its copy. */
struct letter {
    char url[WEBHOOK_URL_SIZE];
    char secrets[2][WEBHOOK_SECRET_SIZE]; /* the second "" unless one was rotated */
};

int hook_sender_create(const struct hook_sender_options *options, struct hook_sender **out,
                       struct err *err)
{
    struct hook_sender *sender = calloc(1, sizeof *sender);
    if (!sender)
        return ERR_NOMEM;
    sender->options = *options;
    hook_sender_limit(sender, options->per_target, options->retry_ms);
    sender->at_end = &sender->done;
    const struct http_client_options http = {.connect_timeout_ms = options->timeout_ms,
                                             .total_timeout_ms = options->timeout_ms,
                                             .stall_timeout_ms = options->timeout_ms,
                                             .ca_file = options->ca_file,
                                             .https_only = true,
                                             .only_public_or = options->allowed};
    assert(options->allowed); /* without it nothing would be forbidden */
    int rc = http_pool_create(&http, options->slots, &sender->pool, err);
    if (rc < 0)
        free(sender);
    else
        *out = sender;
    return rc;
}

static void free_delivery(struct delivery *delivery)
{
    free(delivery->endpoint);
    free(delivery);
}

size_t hook_sender_busy(const struct hook_sender *sender)
{
    return http_pool_busy_slots(sender->pool);
}

/* ---- outcomes -------------------------------------------------------------------------------- */

static void finish(struct delivery *delivery, enum queue_notify_outcome outcome, int64_t retry_ms)
{
    struct hook_sender *sender = delivery->sender;
    delivery->outcome.outcome = outcome;
    delivery->outcome.retry_ms = retry_ms;
    delivery->outcome.reason = delivery->reason;
    delivery->next = NULL;
    *sender->at_end = delivery;
    sender->at_end = &delivery->next;
}

static int64_t pause_of(const struct delivery *delivery, int64_t retry_after_s)
{
    struct backoff backoff = {.base_ms = atomic_load(&delivery->sender->retry_ms),
                              .max_ms = MAX_RETRY_MS,
                              .attempt = delivery->attempts};
    int64_t pause_ms = backoff_next_ms(&backoff);
    if (retry_after_s > MAX_RETRY_AFTER_S)
        retry_after_s = MAX_RETRY_AFTER_S;
    return retry_after_s * 1000 > pause_ms ? retry_after_s * 1000 : pause_ms;
}

static void fail(struct delivery *delivery, const char *reason, bool for_good)
{
    snprintf(delivery->reason, sizeof delivery->reason, "%s", reason);
    finish(delivery, for_good ? QUEUE_NOTIFY_REFUSED : QUEUE_NOTIFY_RETRY, pause_of(delivery, -1));
}

static void tell_try(const struct delivery *delivery, int rc)
{
    bool sent = delivery->status >= 200 && delivery->status < 300;
    notifier_spans_hook(delivery->sender->options.tracer,
                        &(struct notifier_try){.job_trace = delivery->job_trace,
                                               .own_trace = delivery->trace,
                                               .job = delivery->public_id,
                                               .attempt = delivery->attempts + 1,
                                               .begin_us = delivery->begin_us,
                                               .failed = !sent,
                                               .status = delivery->status,
                                               .reason = err_name(rc)});
}

static void on_answer(int rc, const struct http_response *response, const struct err *err,
                      void *data)
{
    struct delivery *delivery = data;
    struct delivery **link = &delivery->sender->sent;
    while (*link != delivery)
        link = &(*link)->next;
    *link = delivery->next;
    delivery->status = response->status;
    if (rc != ERR_CANCELLED)
        notifier_measures_request(delivery->sender->options.metrics, response->status,
                                  (clock_us() - delivery->begin_us) / 1000);
    if (rc < 0)
        snprintf(delivery->reason, sizeof delivery->reason, "%s", err->text);
    tell_try(delivery, rc);
    /* The status counts: how an answer goes on behind 2xx is the receiver's own business. */
    if (response->status >= 200 && response->status < 300) {
        finish(delivery, QUEUE_NOTIFY_SENT, 0);
    } else if (rc == ERR_CANCELLED) {
        finish(delivery, QUEUE_NOTIFY_WAIT, 0);
    } else if (response->status == 410) {
        delivery->gone = delivery->endpoint != NULL;
        finish(delivery, QUEUE_NOTIFY_REFUSED, 0);
    } else {
        finish(delivery, QUEUE_NOTIFY_RETRY, pause_of(delivery, response->retry_after_s));
    }
}

static void log_outcome(const struct delivery *delivery, enum queue_verdict verdict, bool dead)
{
    static const char *const events[] = {[QUEUE_NOTIFY_SENT] = "webhook.sent",
                                         [QUEUE_NOTIFY_RETRY] = "webhook.deferred",
                                         [QUEUE_NOTIFY_WAIT] = "webhook.waits",
                                         [QUEUE_NOTIFY_REFUSED] = "webhook.refused",
                                         [QUEUE_NOTIFY_UNWANTED] = "webhook.unwanted"};
    bool sent = delivery->outcome.outcome == QUEUE_NOTIFY_SENT;
    char trace[TRACE_ID_SIZE];
    trace_id_of(delivery->trace, trace);
    const char *event = verdict == QUEUE_LOST ? "webhook.gone"
                        : dead                ? "webhook.refused"
                                              : events[delivery->outcome.outcome];
    notifier_measures_webhook(delivery->sender->options.metrics, event + sizeof "webhook." - 1);
    log_event(dead ? LOG_WARN : LOG_INFO, event, "job", LOG_S, delivery->public_id, "webhook",
              LOG_S, delivery->notify_id, "attempt", LOG_I, (int64_t)delivery->attempts + 1,
              "status", LOG_I, (int64_t)delivery->status, "wait_ms", LOG_I,
              sent ? 0 : delivery->outcome.retry_ms, "reason", LOG_S,
              sent || !delivery->reason[0] ? NULL : delivery->reason, trace[0] ? "trace_id" : NULL,
              LOG_S, trace, NULL);
}

static int run_command(struct hook_sender *sender, struct redis_command *command,
                       struct redis_reply **out_reply, struct err *err)
{
    return redis_call(sender->options.redis, command, CALL_MS, out_reply, err);
}

static int listen_as(struct hook_sender *sender, const struct delivery *delivery,
                     const char *letters, struct redis_command *command, struct err *err)
{
    queue_hooks_listen_command(delivery->queue, delivery->endpoint->account, delivery->endpoint->id,
                               letters, command);
    return run_command(sender, command, NULL, err);
}

/* The endpoint says of itself why, and hears of no job from now on. First the one, then the other:
 * who enables it meanwhile is told by the second, and gets back what the first took. */
static int disable(struct hook_sender *sender, const struct delivery *delivery, struct err *err)
{
    const struct endpoint *endpoint = delivery->endpoint;
    struct redis_command command;
    struct redis_reply *reply = NULL;
    redis_command_init(&command, QUEUE_COMMAND_MAX);
    int rc = listen_as(sender, delivery, "", &command, err);
    if (rc == 0) {
        endpoint_disable_command(endpoint, "the receiver answered 410 Gone", &command);
        rc = run_command(sender, &command, &reply, err);
    }
    if (rc == 0) {
        rc = endpoint_change_reply(reply, NULL);
        if (rc == 0)
            log_event(LOG_WARN, "webhook.disabled", "endpoint", LOG_S, endpoint->id, NULL);
        else if (rc == ERR_CONFLICT)
            rc = listen_as(sender, delivery, endpoint->events, &command, err);
        else if (rc == ERR_NOT_FOUND) /* deleted */
            rc = listen_as(sender, delivery, NULL, &command, err);
    }
    redis_reply_free(&reply);
    redis_command_fini(&command);
    return rc;
}

static int settle_one(struct hook_sender *sender, struct delivery *delivery, struct err *err)
{
    enum queue_verdict verdict;
    bool dead;
    int rc = delivery->gone ? disable(sender, delivery, err) : 0;
    if (rc == 0)
        rc = queue_notify_settle(delivery->queue, sender->options.redis, &delivery->outcome,
                                 CALL_MS, &verdict, &dead, err);
    if (rc == 0)
        log_outcome(delivery, verdict, dead);
    return rc;
}

/* What cannot be settled while Redis is away is settled when it is back, unless its lease was over
 * before that: then it is sent once more. */
static int settle_all(struct hook_sender *sender, struct err *err)
{
    while (sender->done) {
        struct delivery *delivery = sender->done;
        int rc = settle_one(sender, delivery, err);
        if (rc < 0 && err_action(rc) == ACTION_RETRY)
            return rc;
        sender->done = delivery->next;
        if (!sender->done)
            sender->at_end = &sender->done;
        free_delivery(delivery);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* ---- requests -------------------------------------------------------------------------------- */

/* Of a URL that the job brought. */
static int open_own(const struct hook_sender *sender, const struct queue_hook_row *row,
                    struct letter *letter)
{
    const struct webhook_keys *keys = sender->options.keys;
    int rc = webhook_open(keys, row->url, row->public_id, letter->url, sizeof letter->url);
    return rc == 0 ? webhook_job_secret(keys, row->public_id, letter->secrets[0]) : rc;
}

static int read_endpoint(const struct hook_sender *sender, const char *id, struct endpoint *out,
                         struct err *err)
{
    struct redis_command command;
    struct redis_reply *reply = NULL;
    redis_command_init(&command, QUEUE_COMMAND_MAX);
    endpoint_get_command(id, &command);
    int rc = redis_call(sender->options.redis, &command, CALL_MS, &reply, err);
    if (rc == 0)
        rc = endpoint_get_reply(reply, id, out, err);
    redis_reply_free(&reply);
    redis_command_fini(&command);
    return rc;
}

static int open_endpoint(const struct hook_sender *sender, const struct endpoint *endpoint,
                         struct letter *letter)
{
    const struct webhook_keys *keys = sender->options.keys;
    int rc = webhook_open(keys, endpoint->url, endpoint->id, letter->url, sizeof letter->url);
    if (rc == 0)
        rc = webhook_open(keys, endpoint->secret, endpoint->id, letter->secrets[0],
                          WEBHOOK_SECRET_SIZE);
    if (rc == 0 && endpoint->old_secret[0] && endpoint->old_until_ms > clock_wall_ms())
        rc = webhook_open(keys, endpoint->old_secret, endpoint->id, letter->secrets[1],
                          WEBHOOK_SECRET_SIZE);
    return rc;
}

static int post(struct delivery *delivery, const struct letter *letter, const struct buf *event,
                struct err *err)
{
    char timestamp[24], signatures[2 * WEBHOOK_SIGNATURE_SIZE + 1], second[WEBHOOK_SIGNATURE_SIZE];
    int64_t now_s = clock_wall_ms() / 1000;
    snprintf(timestamp, sizeof timestamp, "%" PRId64, now_s);
    int rc = webhook_sign(letter->secrets[0], delivery->notify_id, now_s, event->data, event->size,
                          signatures);
    if (rc == 0 && letter->secrets[1][0]) {
        rc = webhook_sign(letter->secrets[1], delivery->notify_id, now_s, event->data, event->size,
                          second);
        if (rc == 0)
            snprintf(signatures + strlen(signatures), sizeof second + 1, " %s", second);
    }
    if (rc < 0)
        return err_set(err, rc, NULL, "the event cannot be signed");
    const struct http_header headers[] = {{"Content-Type", "application/json"},
                                          {"webhook-id", delivery->notify_id},
                                          {"webhook-timestamp", timestamp},
                                          {"webhook-signature", signatures},
                                          {"traceparent", delivery->trace}};
    const struct http_request request = {.method = HTTP_POST,
                                         .url = letter->url,
                                         .headers = headers,
                                         .header_count = delivery->trace[0] ? 5 : 4,
                                         .body = event->data,
                                         .body_size = event->size};
    rc = http_pool_send(delivery->sender->pool, &request, MAX_ANSWER, on_answer, delivery, err);
    if (rc == 0) {
        delivery->begin_us = clock_us();
        delivery->next = delivery->sender->sent;
        delivery->sender->sent = delivery;
    }
    return rc;
}

/* One owner's receivers, however many and slow, leave slots for everybody else's. */
static bool crowded(const struct hook_sender *sender, const char *flow)
{
    size_t count = 0;
    for (const struct delivery *other = sender->sent; other; other = other->next)
        count += strcmp(other->flow, flow) == 0;
    return count >= (sender->options.slots + SHARED_SLOTS - 1) / SHARED_SLOTS;
}

static struct delivery *delivery_of(struct hook_sender *sender, const struct queue *queue,
                                    const struct queue_hook_row *row)
{
    struct delivery *delivery = calloc(1, sizeof *delivery);
    if (!delivery)
        return NULL;
    *delivery = (struct delivery){.sender = sender, .queue = queue, .attempts = row->attempts};
    memcpy(delivery->notify_id, row->notify_id, sizeof delivery->notify_id);
    memcpy(delivery->public_id, row->public_id, sizeof delivery->public_id);
    memcpy(delivery->flow, row->flow, sizeof delivery->flow);
    delivery->outcome.notify_id = delivery->notify_id;
    delivery->outcome.epoch = row->epoch;
    return delivery;
}

/* Finds out where it goes; false where that settles it. An error is one of Redis. */
static int address(struct delivery *delivery, const struct queue_hook_row *row,
                   struct letter *letter, bool *out_goes, struct err *err)
{
    struct hook_sender *sender = delivery->sender;
    int rc;
    *out_goes = false;
    if (*row->url) {
        rc = open_own(sender, row, letter);
    } else {
        delivery->endpoint = malloc(sizeof *delivery->endpoint);
        if (!delivery->endpoint)
            return err_set(err, ERR_NOMEM, NULL, "no memory for an endpoint");
        struct err inner = {0};
        rc = read_endpoint(sender, row->target, delivery->endpoint, &inner);
        if (rc == ERR_NOT_FOUND) { /* deleted since then */
            finish(delivery, QUEUE_NOTIFY_UNWANTED, 0);
            return 0;
        }
        if (rc < 0 && rc != ERR_CORRUPT)
            return err_set(err, rc, inner.field, "%s", inner.text);
        if (rc == 0 && delivery->endpoint->disabled_ms) {
            fail(delivery, "the endpoint is disabled", true);
            return 0;
        }
        if (rc == 0)
            rc = open_endpoint(sender, delivery->endpoint, letter);
    }
    if (rc == ERR_DENIED)
        fail(delivery, "the URL was sealed with another secret than ours", false);
    else if (rc < 0)
        fail(delivery, "the sealed URL cannot be read", true);
    *out_goes = rc == 0;
    return 0;
}

/* Each try is a step of its own, below the submission's. */
static void take_trace(struct delivery *delivery, const struct queue_job *job)
{
    if (!queue_extra_get(job, 't', delivery->job_trace, sizeof delivery->job_trace) ||
        !trace_below(delivery->job_trace, delivery->trace))
        delivery->trace[0] = delivery->job_trace[0] = 0;
}

/* Everything that can go wrong here is this row's alone; an error is one of Redis or of memory,
 * and the row comes back when its lease is over. */
static int begin(struct hook_sender *sender, const struct queue *queue,
                 const struct queue_hook_row *row, struct err *err)
{
    struct delivery *delivery = delivery_of(sender, queue, row);
    struct letter letter = {.url = ""};
    struct queue_job job;
    struct buf event;
    struct err why = {0};
    bool goes;
    if (!delivery)
        return err_set(err, ERR_NOMEM, NULL, "no memory for a webhook");
    if (crowded(sender, row->flow)) {
        finish(delivery, QUEUE_NOTIFY_WAIT, CROWDED_MS);
        return 0;
    }
    int rc = address(delivery, row, &letter, &goes, err);
    if (rc < 0)
        free_delivery(delivery);
    if (rc < 0 || !goes)
        return rc;
    buf_init(&event, HOOK_EVENT_MAX);
    rc = queue_hook_job(queue, row, &job, &why);
    if (rc == 0)
        take_trace(delivery, &job);
    if (rc == 0)
        rc = hook_event_write(&job, sender->options.public_url, &event);
    if (rc == 0)
        rc = post(delivery, &letter, &event, &why);
    if (rc < 0)
        fail(delivery, why.text[0] ? why.text : err_name(rc), err_action(rc) == ACTION_BURY);
    buf_fini(&event);
    crypto_wipe(&letter, sizeof letter);
    return 0;
}

/* ---- the loop's turn ------------------------------------------------------------------------- */

static int claim_from(struct hook_sender *sender, const struct queue *queue, int64_t *wait_ms,
                      struct err *err)
{
    const struct hook_sender_options *options = &sender->options;
    int moved, rc;
    do
        rc = queue_notify_intake(queue, options->redis, CALL_MS, &moved, err);
    while (rc == 0 && moved > 0);
    while (rc == 0 && !stop_requested()) {
        size_t room = http_pool_free_slots(sender->pool);
        if (room == 0)
            return 0;
        rc = queue_hook_claim(queue, options->redis, room, atomic_load(&sender->per_target),
                              options->lease_ms, CALL_MS, &sender->rows, err);
        if (rc < 0)
            return rc;
        size_t count = sender->rows.count;
        for (size_t i = 0; rc == 0 && i < count; i++)
            rc = begin(sender, queue, &sender->rows.rows[i], err);
        if (sender->rows.next_due_ms >= 0 && sender->rows.next_due_ms < *wait_ms)
            *wait_ms = sender->rows.next_due_ms;
        queue_hook_rows_fini(&sender->rows);
        if (rc == 0)
            rc = settle_all(sender, err); /* what needed no request */
        if (count == 0)
            break;
    }
    return rc;
}

int hook_sender_tick(struct hook_sender *sender, int64_t wait_ms, struct err *err)
{
    const struct hook_sender_options *options = &sender->options;
    const int fds[] = {stop_fd(), options->wake_fd};
    uint64_t news;
    int rc = settle_all(sender, err);
    if (!stop_requested())
        for (size_t i = 0; rc == 0 && i < options->queue_count; i++)
            rc = claim_from(sender, &options->queues[i], &wait_ms, err);
    if (rc < 0)
        wait_ms = 0; /* the caller pauses with hook_sender_wait() */
    /* Once a stop is asked for, its descriptor would end every wait at once. */
    size_t first = stop_requested(), count = options->wake_fd >= 0 ? 2 : 1;
    if (http_pool_wait(sender->pool, fds + first, count - first, wait_ms) < 0 && rc == 0)
        rc = err_set(err, ERR_INTERNAL, NULL, "libcurl cannot wait");
    if (options->wake_fd >= 0)
        (void)!read(options->wake_fd, &news, sizeof news); /* not blocking */
    return rc;
}

void hook_sender_wait(struct hook_sender *sender, int64_t wait_ms)
{
    const int fds[] = {stop_fd()};
    int64_t end_ms = clock_ms() + wait_ms;
    while (wait_ms > 0 && !stop_requested()) {
        http_pool_wait(sender->pool, fds, 1, wait_ms);
        wait_ms = end_ms - clock_ms();
    }
}

void hook_sender_destroy(struct hook_sender **slot)
{
    struct hook_sender *sender = *slot;
    struct err err = {0};
    *slot = NULL;
    if (!sender)
        return;
    http_pool_destroy(&sender->pool); /* what is under way goes back to the queue */
    settle_all(sender, &err);
    while (sender->done) {
        struct delivery *next = sender->done->next;
        free_delivery(sender->done);
        sender->done = next;
    }
    free(sender);
}

void hook_sender_limit(struct hook_sender *sender, int per_target, int64_t retry_ms)
{
    atomic_store(&sender->per_target, per_target);
    atomic_store(&sender->retry_ms, retry_ms);
}
