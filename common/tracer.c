/* SPDX-License-Identifier: MIT */
#include "common/tracer.h"

#include "common/backoff.h"
#include "common/buf.h"
#include "common/clock.h"
#include "common/crypto.h"
#include "common/err.h"
#include "common/span.h"
#include "common/span_queue.h"
#include "common/trace.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CAPACITY 2048
#define BATCH 512
#define GATHER_MS 1000
#define REQUEST_MS 10000
#define CONNECT_MS 3000
/* A batch is tried again for so long; what comes meanwhile waits in the queue. */
#define PATIENCE_MS 60000
#define MAX_PAUSE_MS 30000
#define MAX_BODY_BYTES (4 * 1024 * 1024)
#define MAX_ANSWER_BYTES 65536
#define MAX_RESOURCE_BYTES 32768

struct tracer {
    char *url;          /* owned */
    char *ca_file;      /* owned */
    char *header_texts; /* owned: what the headers point into; secrets */
    size_t header_bytes;
    struct http_header headers[TRACER_HEADERS_MAX];
    size_t header_count;
    struct buf resource;
    double ratio;
    void (*told)(void *context, const char *reason);
    void *context;

    struct http_client *client; /* of the thread */
    struct span_queue *queue;
    pthread_t thread;
    bool running;
    bool failing;            /* the thread's: it was told */
    atomic_llong give_up_ms; /* clock_ms() when a stop ends everything; 0: none was asked for */
    atomic_ullong exported, failed;
    struct span batch[BATCH];
    struct buf body;
};

/* ---- sending, by the thread ------------------------------------------------------------------ */

static void tell(struct tracer *tracer, const char *reason)
{
    bool failing = reason != NULL;
    if (failing != tracer->failing && tracer->told)
        tracer->told(tracer->context, reason);
    tracer->failing = failing;
}

/* What is left until a stop gives up; PATIENCE_MS where none was asked for. */
static int64_t time_left_ms(const struct tracer *tracer)
{
    long long end_ms = atomic_load(&tracer->give_up_ms);
    return end_ms ? end_ms - clock_ms() : PATIENCE_MS;
}

static int on_progress(void *context, int64_t sent_bytes, int64_t received_bytes)
{
    (void)sent_bytes;
    (void)received_bytes;
    return time_left_ms(context) <= 0;
}

static bool may_try_again(int rc, int status)
{
    if (status == 0)
        return rc == ERR_UNAVAILABLE || rc == ERR_TIMEOUT;
    return status == 429 || status == 502 || status == 503 || status == 504;
}

/* What one request came to. */
struct attempt {
    int rc, status;
    int64_t retry_after_ms; /* -1: not said */
    int64_t rejected;
    char reason[256 + OTLP_REASON_SIZE];
};

static void post(struct tracer *tracer, struct attempt *out)
{
    struct http_response response;
    struct err err = {0};
    char why[OTLP_REASON_SIZE];
    int64_t left_ms = time_left_ms(tracer);
    http_response_init(&response, MAX_ANSWER_BYTES);
    *out = (struct attempt){.retry_after_ms = -1};
    out->rc = http_client_send(tracer->client,
                               &(struct http_request){
                                   .method = HTTP_POST,
                                   .url = tracer->url,
                                   .headers = tracer->headers,
                                   .header_count = tracer->header_count,
                                   .body = tracer->body.data,
                                   .body_size = tracer->body.size,
                                   .total_timeout_ms = left_ms < REQUEST_MS ? left_ms : REQUEST_MS,
                                   .on_progress = on_progress,
                                   .context = tracer,
                               },
                               &response, &err);
    out->status = response.status;
    if (response.retry_after_s >= 0)
        out->retry_after_ms = response.retry_after_s * 1000;
    snprintf(out->reason, sizeof out->reason, "%s", err.text[0] ? err.text : err_name(out->rc));
    /* An answer that is too long is none of ours: the status counts. */
    if (response.status >= 200 && response.status < 300) {
        out->rc = 0;
        out->rejected = otlp_read_rejected(response.body.data, response.body.size, why);
        if (out->rejected > 0)
            snprintf(out->reason, sizeof out->reason, "the collector took not all: %s", why);
    }
    http_response_fini(&response);
}

/* Until it is taken, refused, or patience ends. */
static void send_body(struct tracer *tracer, size_t count)
{
    struct backoff backoff = {.base_ms = 500, .max_ms = MAX_PAUSE_MS / 4};
    struct attempt attempt;
    int64_t end_ms = clock_ms() + PATIENCE_MS;
    for (;;) {
        post(tracer, &attempt);
        if (attempt.rc == 0 || !may_try_again(attempt.rc, attempt.status))
            break;
        tell(tracer, attempt.reason);
        int64_t pause_ms = backoff_next_ms(&backoff), left_ms = time_left_ms(tracer);
        if (attempt.retry_after_ms > pause_ms)
            pause_ms =
                attempt.retry_after_ms < MAX_PAUSE_MS ? attempt.retry_after_ms : MAX_PAUSE_MS;
        if (pause_ms >= left_ms || clock_ms() + pause_ms >= end_ms)
            break;
        /* Who stops does not wait for a pause: one more try, then it ends. */
        if (span_queue_wait_closed(tracer->queue, pause_ms))
            end_ms = clock_ms();
    }
    uint64_t rejected = attempt.rc < 0 ? count : (uint64_t)attempt.rejected;
    if (rejected > count)
        rejected = count;
    atomic_fetch_add(&tracer->failed, rejected);
    atomic_fetch_add(&tracer->exported, count - rejected);
    tell(tracer, rejected > 0 ? attempt.reason : NULL);
}

static void send_batch(struct tracer *tracer, size_t count)
{
    buf_clear(&tracer->body);
    int rc = time_left_ms(tracer) > 0
                 ? otlp_write_traces(&tracer->resource, tracer->batch, count, &tracer->body)
                 : ERR_TIMEOUT;
    for (size_t i = 0; i < count; i++)
        span_fini(&tracer->batch[i]);
    if (rc == 0)
        send_body(tracer, count);
    else
        atomic_fetch_add(&tracer->failed, count);
}

static void *run(void *argument)
{
    struct tracer *tracer = argument;
    for (;;) {
        size_t count = span_queue_take(tracer->queue, tracer->batch, BATCH, GATHER_MS);
        if (count > 0)
            send_batch(tracer, count);
        else if (atomic_load(&tracer->give_up_ms))
            return NULL;
    }
}

/* ---- making and ending it -------------------------------------------------------------------- */

/* Texts are kept in one piece. */
static int copy_headers(struct tracer *tracer, const struct otlp_pairs *pairs)
{
    size_t size = 1;
    for (size_t i = 0; i < pairs->count; i++)
        size += strlen(pairs->items[i].key) + strlen(pairs->items[i].value) + 2;
    char *to = tracer->header_texts = malloc(size);
    tracer->header_bytes = size;
    if (!to)
        return ERR_NOMEM;
    tracer->headers[tracer->header_count++] =
        (struct http_header){"Content-Type", "application/json"};
    for (size_t i = 0; i < pairs->count; i++) {
        struct http_header *header = &tracer->headers[tracer->header_count++];
        header->name = to;
        to = stpcpy(to, pairs->items[i].key) + 1;
        header->value = to;
        to = stpcpy(to, pairs->items[i].value) + 1;
    }
    return 0;
}

static int start_thread(struct tracer *tracer, struct err *err)
{
    sigset_t all, before;
    sigfillset(&all); /* signals are the program's */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    errno = pthread_create(&tracer->thread, NULL, run, tracer);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (errno)
        return err_set_errno(err, NULL, "a thread for traces");
    pthread_setname_np(tracer->thread, "dk-traces");
    tracer->running = true;
    return 0;
}

int tracer_create(const struct tracer_options *options, struct tracer **out_tracer, struct err *err)
{
    struct tracer *tracer = calloc(1, sizeof *tracer);
    if (!tracer)
        return err_set(err, ERR_NOMEM, NULL, "no memory for traces");
    tracer->ratio = options->ratio;
    tracer->told = options->told;
    tracer->context = options->context;
    buf_init(&tracer->resource, MAX_RESOURCE_BYTES);
    buf_init(&tracer->body, MAX_BODY_BYTES);
    tracer->url = strdup(options->url);
    tracer->ca_file = options->ca_file ? strdup(options->ca_file) : NULL;
    int rc = tracer->url && (tracer->ca_file || !options->ca_file) ? 0 : ERR_NOMEM;
    if (rc == 0)
        rc = copy_headers(tracer, options->headers);
    if (rc == 0)
        rc = otlp_write_resource(options->resource, &tracer->resource);
    if (rc == 0)
        rc = span_queue_create(CAPACITY, &tracer->queue);
    if (rc == 0)
        rc = http_client_create(&(struct http_client_options){.connect_timeout_ms = CONNECT_MS,
                                                              .total_timeout_ms = REQUEST_MS,
                                                              .ca_file = tracer->ca_file},
                                &tracer->client, err);
    if (rc == 0)
        rc = start_thread(tracer, err);
    if (rc < 0) {
        err_set(err, rc, NULL, "traces cannot be sent: %s", err_name(rc));
        tracer_destroy(&tracer, 0);
        return rc;
    }
    *out_tracer = tracer;
    return 0;
}

void tracer_destroy(struct tracer **slot, int64_t flush_ms)
{
    struct tracer *tracer = *slot;
    *slot = NULL;
    if (!tracer)
        return;
    if (tracer->running) {
        atomic_store(&tracer->give_up_ms, (long long)(clock_ms() + flush_ms));
        span_queue_close(tracer->queue);
        pthread_join(tracer->thread, NULL);
    }
    span_queue_destroy(&tracer->queue);
    http_client_destroy(&tracer->client);
    buf_fini(&tracer->resource);
    buf_fini(&tracer->body);
    if (tracer->header_texts)
        crypto_wipe(tracer->header_texts, tracer->header_bytes);
    free(tracer->header_texts);
    free(tracer->ca_file);
    free(tracer->url);
    free(tracer);
}

/* ---- for everybody --------------------------------------------------------------------------- */

void tracer_put(struct tracer *tracer, struct span *spans, size_t count)
{
    if (tracer)
        span_queue_put(tracer->queue, spans, count);
    else
        for (size_t i = 0; i < count; i++)
            span_fini(&spans[i]);
}

bool tracer_samples(const struct tracer *tracer)
{
    uint64_t dice;
    if (!tracer || tracer->ratio <= 0)
        return false;
    if (tracer->ratio >= 1)
        return true;
    return trace_random(&dice) == 0 && (double)dice < tracer->ratio * 0x1p64;
}

bool tracer_begin(struct tracer *tracer, struct trace *out_trace)
{
    return tracer_samples(tracer) && trace_begin(out_trace) == 0;
}

void tracer_read_figures(struct tracer *tracer, struct tracer_figures *out)
{
    *out = (struct tracer_figures){.exported = atomic_load(&tracer->exported),
                                   .dropped_full = span_queue_dropped(tracer->queue),
                                   .dropped_failed = atomic_load(&tracer->failed)};
}
