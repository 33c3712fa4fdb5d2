/* SPDX-License-Identifier: MIT
 *
 * The first stage: links for what was claimed. Whatever arrives while a request is under way goes
 * into the next one together. */
#include "common/backoff.h"
#include "common/clock.h"
#include "common/err.h"
#include "common/http_client.h"
#include "worker/grants.h"
#include "worker/pipeline.h"
#include "worker/spans.h"

#include <stdlib.h>
#include <string.h>

#define REQUEST_TIMEOUT_MS 10000
/* How long jobs are kept for a dispatcher that is away; then others may have them. */
#define PATIENCE_MS 10000
/* And how long this worker then leaves the queue alone. */
#define PAUSE_MS 5000

/* What one request is for, to break it off when nobody wants that any more. */
struct wanted {
    struct task **tasks;
    size_t count;
};

/* One that is still wanted, to wait beside; NULL where there is none. */
static struct task *find_wanted(struct task **tasks, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!task_is_over(tasks[i]))
            return tasks[i];
    return NULL;
}

static int on_progress(void *context, int64_t sent_bytes, int64_t received_bytes)
{
    const struct wanted *wanted = context;
    return find_wanted(wanted->tasks, wanted->count) == NULL;
}

/* A request has one trace at most: that of the first job that has one. */
static bool find_trace(struct task **tasks, size_t count, char out[TRACE_TEXT_SIZE])
{
    for (size_t i = 0; i < count; i++)
        if (spans_header(tasks[i], STEP_GRANT, out))
            return true;
    return false;
}

static int request(struct pipeline *pipeline, struct http_client *client, struct task **tasks,
                   size_t count, bool *out_lost, struct err *err)
{
    char trace[TRACE_TEXT_SIZE];
    const struct http_header headers[] = {
        {"Authorization", pipeline->settings->authorization},
        {"Content-Type", "application/json"},
        {"traceparent", trace},
    };
    struct buf body;
    struct wanted wanted = {tasks, count};
    struct http_response response;
    buf_init(&body, 65536);
    http_response_init(&response, grants_max_bytes(count));
    int rc = grants_format(pipeline->worker_id, tasks, count, &body, err);
    if (rc == 0)
        rc = http_client_send(
            client,
            &(struct http_request){.method = HTTP_POST,
                                   .url = pipeline->settings->grants_url,
                                   .headers = headers,
                                   .header_count = find_trace(tasks, count, trace) ? 3 : 2,
                                   .body = body.data,
                                   .body_size = body.size,
                                   .on_progress = on_progress,
                                   .context = &wanted},
            &response, err);
    if (rc == 0)
        rc = grants_parse(response.body.data, response.body.size, tasks, count, out_lost, err);
    http_response_fini(&response);
    buf_fini(&body);
    return rc;
}

/* Asks until there is an answer or patience ends. Any failure is the dispatcher's or the way's to
 * it, never the job's. A shard that is away is not waited for: others' jobs stand behind. */
static int get_grants(struct pipeline *pipeline, struct http_client *client, struct task **tasks,
                      size_t count, bool *out_lost)
{
    struct backoff backoff = {.base_ms = 50, .max_ms = 2000};
    int64_t give_up_ms = clock_ms() + PATIENCE_MS;
    for (;;) {
        struct err err = {0};
        int rc = request(pipeline, client, tasks, count, out_lost, &err);
        if (rc != ERR_CANCELLED)
            outage_note(&pipeline->dispatcher, rc < 0 ? ERR_UNAVAILABLE : 0, &err);
        struct task *wanted = find_wanted(tasks, count);
        if (rc == 0 || !wanted || clock_ms() >= give_up_ms ||
            away_is(pipeline->away, tasks[0]->shard))
            return rc;
        roster_sleep(pipeline->roster, wanted, backoff_next_ms(&backoff));
    }
}

static void grant_batch(struct pipeline *pipeline, struct http_client *client, struct task **tasks,
                        size_t count)
{
    bool lost[QUEUE_GRANTS_MAX] = {false};
    int rc = get_grants(pipeline, client, tasks, count, lost);
    if (rc < 0 && rc != ERR_CANCELLED && !away_is(pipeline->away, tasks[0]->shard))
        atomic_store(&pipeline->no_grants_ms, (long long)(clock_ms() + PAUSE_MS));
    for (size_t i = 0; i < count; i++) {
        tasks[i]->release = rc < 0;
        task_mark(tasks[i], STEP_GRANT);
        if (lost[i])
            roster_judge(pipeline->roster, tasks[i]->shard, tasks[i]->id, tasks[i]->epoch,
                         TASK_LOST);
        pipeline_pass(pipeline, STAGE_FETCH, tasks[i]);
    }
}

/* One request is about one shard. Brings those of the first one's to the front, in their order;
 * returns how many. */
static size_t gather_shard(struct task **tasks, size_t count)
{
    struct task *others[QUEUE_GRANTS_MAX] = {NULL};
    size_t same = 0, other = 0;
    unsigned shard = tasks[0]->shard;
    for (size_t i = 0; i < count; i++)
        if (tasks[i]->shard == shard)
            tasks[same++] = tasks[i];
        else
            others[other++] = tasks[i];
    memcpy(tasks + same, others, other * sizeof others[0]);
    return same;
}

void stage_grant_run(struct pipeline *pipeline)
{
    struct task *tasks[QUEUE_GRANTS_MAX];
    struct http_client *client = NULL;
    if (pipeline_open_client(pipeline, REQUEST_TIMEOUT_MS, &client) < 0)
        return;
    void *item;
    while (ring_pop(pipeline->rings[STAGE_GRANT], &item) == 0) {
        size_t count = 0;
        do {
            struct task *task = item;
            if (task_is_over(task))
                pipeline_pass(pipeline, STAGE_FETCH, task);
            else
                tasks[count++] = task;
        } while (count < QUEUE_GRANTS_MAX && ring_try_pop(pipeline->rings[STAGE_GRANT], &item));
        while (count > 0) {
            size_t of_shard = gather_shard(tasks, count);
            grant_batch(pipeline, client, tasks, of_shard);
            count -= of_shard;
            memmove(tasks, tasks + of_shard, count * sizeof tasks[0]);
        }
    }
    http_client_destroy(&client);
}
