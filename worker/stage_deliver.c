/* SPDX-License-Identifier: MIT
 *
 * The last stage: rounds and encodes the result, uploads it, and settles every task, however it
 * came here. The only place where a task ends. */
#include "common/backoff.h"
#include "common/err.h"
#include "common/http_client.h"
#include "worker/develop.h"
#include "worker/pipeline.h"
#include "worker/settle.h"
#include "worker/spans.h"

#include <stdlib.h>

#define REQUEST_TIMEOUT_MS 60000
#define TRIES 4
/* Of a refusal's text, which is not even read. */
#define MAX_ANSWER_BYTES 65536

/* What goes to the store. All borrowed. */
struct parcel {
    const char *url, *type;
    const struct buf *body;
};

static bool has_heat_map(const struct task *task)
{
    return task->grant.heat_map_url && task->resident->info->heat_side > 0;
}

/* The result, and where the network looked, if that is wanted. */
static int encode(struct task *task, struct buf *png, struct buf *heat_map)
{
    const struct develop_subject subject = {
        .manifest = task->resident->manifest,
        .info = task->resident->info,
        .weights_sha256 = task->resident->weights_sha256,
        .params = task->spec.params,
        .created_ms = task->created_ms,
    };
    struct picture_metadata metadata = {0};
    int rc = develop_describe(&subject, &metadata, &task->err);
    if (rc == 0)
        rc = develop_output(task->resident->info, &task->resident->format, &task->digits,
                            task->output, &metadata, png, &task->err);
    if (rc == 0 && has_heat_map(task))
        rc = develop_heat_map(task->resident->info, task->output, &metadata, heat_map, &task->err);
    picture_metadata_fini(&metadata);
    outputs_leave(&task->outputs);
    task_mark(task, STEP_ENCODE);
    atomic_store(&task->progress_permille, 900);
    return rc;
}

static int on_progress(void *context, int64_t sent_bytes, int64_t received_bytes)
{
    return task_verdict(context) != TASK_ON;
}

static int upload_once(struct pipeline *pipeline, struct http_client *client, struct task *task,
                       const struct parcel *parcel, int *out_status, struct err *err)
{
    char trace[TRACE_TEXT_SIZE];
    const struct http_header headers[] = {{"Content-Type", parcel->type}, {"traceparent", trace}};
    struct http_response response;
    http_response_init(&response, MAX_ANSWER_BYTES);
    task->tried_upload = true;
    int rc = http_client_send(
        client,
        &(struct http_request){.method = HTTP_PUT,
                               .url = parcel->url,
                               .headers = headers,
                               .header_count = spans_header(task, STEP_UPLOAD, trace) ? 2 : 1,
                               .body = parcel->body->data,
                               .body_size = parcel->body->size,
                               .on_progress = on_progress,
                               .context = task},
        &response, err);
    *out_status = response.status;
    http_response_fini(&response);
    if (rc != ERR_CANCELLED)
        outage_note(&pipeline->results, rc, err);
    return rc;
}

/* Whatever the store refuses with, the job is not to blame: it is tried again, later elsewhere,
 * until its attempts are used up. Only a result over the limit would be so again. */
static int failure_of(int rc)
{
    return rc == ERR_LIMIT || rc == ERR_TIMEOUT || rc == ERR_DENIED ? rc : ERR_UNAVAILABLE;
}

static int upload(struct pipeline *pipeline, struct http_client *client, struct task *task,
                  const struct parcel *parcel)
{
    struct backoff backoff = {.base_ms = 100, .max_ms = 2000};
    for (int try = 1;; try++) {
        struct err err = {0};
        int status;
        int rc = upload_once(pipeline, client, task, parcel, &status, &err);
        if (rc == 0 || rc == ERR_CANCELLED)
            return rc;
        bool again = rc != ERR_LIMIT && rc != ERR_DENIED;
        if (!again || try == TRIES || roster_is_hurried(pipeline->roster)) {
            if (pipeline_found_no_store(rc, status))
                pipeline_do_without_store(pipeline, task);
            return pipeline_blame_store(task, failure_of(rc), "the result could not be stored",
                                        status);
        }
        if (roster_sleep(pipeline->roster, task, backoff_next_ms(&backoff)) != TASK_ON)
            return ERR_CANCELLED;
    }
}

/* What lies beside the result goes first: with the result the job is done. */
static int upload_all(struct pipeline *pipeline, struct http_client *client, struct task *task,
                      const struct buf *png, const struct buf *heat_map)
{
    const struct parcel parcels[] = {
        {task->grant.crop_url, "image/png", &task->crop_png},
        {has_heat_map(task) ? task->grant.heat_map_url : NULL, "image/png", heat_map},
        {task->grant.put_url, task->grant.put_type, png},
    };
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < sizeof parcels / sizeof parcels[0]; i++)
        if (parcels[i].url)
            rc = upload(pipeline, client, task, &parcels[i]);
    return rc;
}

static void encode_and_upload(struct pipeline *pipeline, struct http_client *client,
                              struct task *task)
{
    struct buf png, heat_map;
    buf_init(&png, develop_max_bytes(task->resident->info));
    buf_init(&heat_map, develop_max_bytes(task->resident->info));
    task->rc = encode(task, &png, &heat_map);
    if (!task_is_over(task)) {
        task->rc = upload_all(pipeline, client, task, &png, &heat_map);
        task->uploaded = task->rc == 0;
        task->result_bytes = (int64_t)png.size;
        task_mark(task, STEP_UPLOAD);
        /* With no time left for more tries somebody else should have them. */
        if (task->rc < 0 && roster_is_hurried(pipeline->roster))
            task->release = true;
    }
    buf_fini(&heat_map);
    buf_fini(&png);
}

void stage_deliver_run(struct pipeline *pipeline)
{
    struct http_client *client = NULL;
    struct redis *redis = NULL;
    struct err err = {0};
    int rc = pipeline_open_client(pipeline, REQUEST_TIMEOUT_MS, &client);
    if (rc == 0 && (rc = redis_create(&pipeline->settings->redis, &redis, &err)) < 0)
        pipeline_fail(pipeline, rc, &err);

    void *item;
    while (rc == 0 && ring_pop(pipeline->rings[STAGE_DELIVER], &item) == 0) {
        struct task *task = item;
        if (!task_is_over(task) && !task->uploaded)
            encode_and_upload(pipeline, client, task);
        if (!settle(pipeline, redis, task)) {
            roster_nudge(pipeline->roster); /* there is room for jobs of other shards */
            continue;
        }
        roster_remove(pipeline->roster, task);
        task_destroy(&task);
    }
    redis_destroy(&redis);
    http_client_destroy(&client);
}
