/* SPDX-License-Identifier: MIT
 *
 * The second stage: the input, fetched over HTTP, decoded, cropped and squeezed to what the
 * network sees. The file's bytes are freed here, before the next job's are fetched. */
#include "common/backoff.h"
#include "common/clock.h"
#include "common/err.h"
#include "common/http_client.h"
#include "worker/develop.h"
#include "worker/pipeline.h"
#include "worker/spans.h"

#define REQUEST_TIMEOUT_MS 60000
#define TRIES 4
/* How long jobs are kept for a store to which there is no way; then others may have them. */
#define PATIENCE_MS 10000

static int on_progress(void *context, int64_t sent_bytes, int64_t received_bytes)
{
    return task_verdict(context) != TASK_ON;
}

static int fetch_once(struct pipeline *pipeline, struct http_client *client, struct task *task,
                      struct http_response *response, struct err *err)
{
    char trace[TRACE_TEXT_SIZE];
    const struct http_header header = {"traceparent", trace};
    int rc = http_client_send(
        client,
        &(struct http_request){.method = HTTP_GET,
                               .url = task->grant.get_url,
                               .headers = &header,
                               .header_count = spans_header(task, STEP_FETCH, trace) ? 1 : 0,
                               .on_progress = on_progress,
                               .context = task},
        response, err);
    if (rc != ERR_CANCELLED)
        outage_note(&pipeline->inputs, rc, err);
    return rc;
}

static int fetch(struct pipeline *pipeline, struct http_client *client, struct task *task,
                 struct http_response *response)
{
    struct backoff backoff = {.base_ms = 100, .max_ms = 2000};
    int64_t give_up_ms = clock_ms() + PATIENCE_MS;
    for (int try = 1;; try++) {
        struct err err = {0};
        int rc = fetch_once(pipeline, client, task, response, &err);
        bool again = rc < 0 && rc != ERR_DENIED && err_action(rc) == ACTION_RETRY;
        bool no_store = pipeline_found_no_store(rc, response->status);
        if (!again || try == TRIES || (no_store && clock_ms() >= give_up_ms) ||
            roster_is_hurried(pipeline->roster)) {
            if (no_store)
                pipeline_do_without_store(pipeline, task);
            return rc < 0 ? pipeline_blame_store(task, rc, "the input could not be fetched",
                                                 response->status)
                          : 0;
        }
        if (roster_sleep(pipeline->roster, task, backoff_next_ms(&backoff)) != TASK_ON)
            return ERR_CANCELLED;
    }
}

static int decode(struct task *task, const struct buf *file)
{
    const struct job_crop *crop = &task->spec.crop;
    const struct picture_rect rect = {(int)crop->x, (int)crop->y, (int)crop->width,
                                      (int)crop->height};
    int rc = develop_input(file->data, file->size, &task->resident->manifest->limits,
                           task->spec.has_crop ? &rect : NULL, task->resident->size,
                           task->resident->format.resize, &task->square, &task->err);
    if (rc == 0 && task->grant.crop_url) {
        buf_init(&task->crop_png, develop_max_bytes(task->resident->info));
        rc = picture_encode(&task->square, PICTURE_PNG, 0, NULL, &task->crop_png, &task->err);
    }
    return rc;
}

/* A job that brings nothing but its parameters. */
static void read_params(struct task *task)
{
    task->rc = digits_parse(task->spec.params, &task->digits, &task->err);
    task_mark(task, STEP_DECODE);
    atomic_store(&task->progress_permille, 200);
}

static void fetch_and_decode(struct pipeline *pipeline, struct http_client *client,
                             struct task *task)
{
    struct http_response response;
    if (!task->grant.get_url) {
        task->rc = err_set(&task->err, ERR_INVALID, "input", "the job brings no picture");
        return;
    }
    http_response_init(&response, task->resident->manifest->limits.max_bytes);
    task->rc = fetch(pipeline, client, task, &response);
    task_mark(task, STEP_FETCH);
    atomic_store(&task->progress_permille, 100);
    if (!task_is_over(task)) {
        task->rc = decode(task, &response.body);
        task_mark(task, STEP_DECODE);
        atomic_store(&task->progress_permille, 200);
    }
    http_response_fini(&response);
}

void stage_fetch_run(struct pipeline *pipeline)
{
    struct http_client *client = NULL;
    if (pipeline_open_client(pipeline, REQUEST_TIMEOUT_MS, &client) < 0)
        return;
    void *item;
    while (ring_pop(pipeline->rings[STAGE_FETCH], &item) == 0) {
        struct task *task = item;
        /* Where one has just tried in vain, the next need not. */
        if (clock_ms() < atomic_load(&pipeline->no_store_ms))
            task->release = true;
        if (!task_is_over(task) && roster_begin(pipeline->roster, task)) {
            if (task->resident->info->input == MODEL_FROM_DIGITS)
                read_params(task);
            else
                fetch_and_decode(pipeline, client, task);
        }
        pipeline_pass(pipeline, STAGE_LOAD, task);
    }
    http_client_destroy(&client);
}
