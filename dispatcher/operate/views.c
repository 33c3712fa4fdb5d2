/* SPDX-License-Identifier: MIT */
#include "dispatcher/operate/views.h"

#include "common/clock.h"
#include "common/err.h"
#include "common/queue_operate.h"
#include "dispatcher/call.h"

#include <string.h>

json_t *view_time(int64_t wall_ms)
{
    char text[CLOCK_ISO_SIZE];
    clock_iso(wall_ms, text);
    return json_string(text);
}

json_t *view_seconds(int64_t ms)
{
    return ms > 0 ? json_real((double)ms / 1000) : json_null();
}

json_t *view_queue(const char *model, const struct queue_counters *counters)
{
    return json_pack(
        "{s:s, s:b, s:I, s:I, s:I, s:I, s:o, s:o, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:{s:I, s:I}}",
        "model", model, "paused", counters->paused > 0, "queued", (json_int_t)counters->queued,
        "running", (json_int_t)counters->running, "delayed", (json_int_t)counters->delayed, "dead",
        (json_int_t)counters->dead, "oldest_seconds", view_seconds(counters->oldest_ms),
        "service_seconds", view_seconds(counters->service_ms), "workers",
        (json_int_t)counters->workers, "slots", (json_int_t)counters->slots, "submitted",
        (json_int_t)counters->submitted, "succeeded", (json_int_t)counters->succeeded, "failed",
        (json_int_t)counters->failed, "cancelled", (json_int_t)counters->cancelled, "lost",
        (json_int_t)counters->lost, "ratings", "up", (json_int_t)counters->rated_up, "down",
        (json_int_t)counters->rated_down);
}

/* ---- workers --------------------------------------------------------------------------------- */

/* All models of the list, or those with a +. */
static json_t *split_models(const char *models, bool loaded)
{
    json_t *list = json_array();
    while (list && *models) {
        bool marked = *models == '+';
        models += marked;
        size_t size = strcspn(models, ",");
        if (marked || !loaded)
            json_array_append_new(list, json_stringn(models, size));
        models += size + (models[size] == ',');
    }
    return list;
}

static json_t *find_worker(const json_t *list, const char *id)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        json_t *worker = json_array_get(list, i);
        if (!strcmp(json_string_value(json_object_get(worker, "id")), id))
            return worker;
    }
    return NULL;
}

static void add_jobs(json_t *list, const struct queue_worker *worker)
{
    for (size_t i = 0; i < worker->job_count; i++) {
        const struct queue_worker_job *job = &worker->jobs[i];
        json_array_append_new(list, json_pack("{s:s, s:s, s:o, s:f}", "id", job->public_id, "model",
                                              job->model, "since", view_time(job->claimed_ms),
                                              "progress", (double)job->progress / 1000));
    }
}

static json_t *worker_view(const struct queue_worker *worker)
{
    return json_pack("{s:s, s:s, s:o, s:o, s:i, s:o, s:b, s:f, s:f, s:[]}", "id", worker->worker,
                     "device", worker->device, "models", split_models(worker->models, false),
                     "loaded", split_models(worker->models, true), "slots", worker->slots,
                     "running", worker->running < 0 ? json_null() : json_integer(worker->running),
                     "draining", worker->draining, "heard_seconds_ago",
                     (double)worker->heard_ms / 1000, "silent_after_seconds",
                     (double)worker->left_ms / 1000, "jobs");
}

static void add_worker(json_t *list, const struct queue_worker *worker)
{
    json_t *known = find_worker(list, worker->worker);
    json_t *running = json_object_get(known, "running");
    if (!known && (known = worker_view(worker)))
        json_array_append_new(list, known);
    else if (worker->running < 0 || json_is_null(running))
        json_object_set_new(known, "running", json_null());
    else
        json_integer_set(running, json_integer_value(running) + worker->running);
    add_jobs(json_object_get(known, "jobs"), worker);
}

int view_add_workers(json_t *list, const struct redis_reply *reply)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < queue_workers_count(reply); i++) {
        struct queue_worker worker;
        rc = queue_workers_reply(reply, i, &worker, NULL);
        if (rc == 0)
            add_worker(list, &worker);
    }
    return rc;
}

void view_refuse_redis(struct call *call, int rc)
{
    if (rc == ERR_UNAVAILABLE)
        call_refuse(call, PROBLEM_UNAVAILABLE, "the queue cannot be reached");
    else
        problem_send_err(call->exchange, rc, NULL, NULL);
}
