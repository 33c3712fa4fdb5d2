/* SPDX-License-Identifier: MIT
 *
 * What operators see and do: /v1/queues, /v1/workers, /v1/dead. Wants a key with the scope operate.
 */
#include "common/buf.h"
#include "common/clock.h"
#include "common/err.h"
#include "common/json.h"
#include "common/log.h"
#include "common/queue_operate.h"
#include "dispatcher/call.h"
#include "dispatcher/dispatcher.h"
#include "dispatcher/events/fanout.h"
#include "dispatcher/http/server.h"
#include "dispatcher/jobs/tally.h"
#include "dispatcher/routes.h"

#include <stdlib.h>
#include <string.h>

#define DEAD_LIMIT 50

/* A question to all shards and the answer that grows from theirs. */
struct operation {
    struct call *call; /* borrowed; valid until the answer */
    json_t *list;      /* owned */
    int64_t total, offset, limit;
    bool pause, changed;
    char name[QUEUE_WORKER_SIZE]; /* of a model or a worker */
};

static void free_operation(void *state)
{
    struct operation *operation = state;
    json_decref(operation->list);
    free(operation);
}

/* NULL: the caller has no right or there is no memory, and that was answered. */
static struct operation *begin(struct call *call)
{
    if (!identity_require(call, SCOPE_OPERATE))
        return NULL;
    struct operation *operation = calloc(1, sizeof *operation);
    if (operation)
        operation->list = json_array();
    if (!operation || !operation->list) {
        free(operation);
        call_refuse(call, PROBLEM_UNAVAILABLE, NULL);
        return NULL;
    }
    operation->call = call;
    call->state = operation;
    call->free_state = free_operation;
    return operation;
}

static void refuse_redis(struct call *call, int rc)
{
    if (rc == ERR_UNAVAILABLE)
        call_refuse(call, PROBLEM_UNAVAILABLE, "the queue cannot be reached");
    else
        problem_send_err(call->exchange, rc, NULL, NULL);
}

/* Milliseconds as seconds; null where there are none. */
static json_t *seconds(int64_t ms)
{
    return ms > 0 ? json_real((double)ms / 1000) : json_null();
}

static json_t *iso(int64_t ms)
{
    char text[CLOCK_ISO_SIZE];
    clock_iso(ms, text);
    return json_string(text);
}

/* ---- queues ---------------------------------------------------------------------------------- */

static json_t *queue_view(const char *model, const struct queue_counters *counters)
{
    return json_pack(
        "{s:s, s:b, s:I, s:I, s:I, s:I, s:o, s:o, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "model",
        model, "paused", counters->paused > 0, "queued", (json_int_t)counters->queued, "running",
        (json_int_t)counters->running, "delayed", (json_int_t)counters->delayed, "dead",
        (json_int_t)counters->dead, "oldest_seconds", seconds(counters->oldest_ms),
        "service_seconds", seconds(counters->service_ms), "workers", (json_int_t)counters->workers,
        "slots", (json_int_t)counters->slots, "submitted", (json_int_t)counters->submitted,
        "succeeded", (json_int_t)counters->succeeded, "failed", (json_int_t)counters->failed,
        "cancelled", (json_int_t)counters->cancelled, "lost", (json_int_t)counters->lost);
}

static void on_tally(int rc, const struct queue_counters *counters, void *data)
{
    struct operation *operation = data;
    const struct manifest_set *models = &operation->call->dispatcher->models;
    if (rc < 0) {
        refuse_redis(operation->call, rc);
        return;
    }
    for (size_t i = 0; i < models->count; i++)
        json_array_append_new(operation->list, queue_view(models->items[i].name, &counters[i]));
    call_send_value(operation->call, 200, json_pack("{s:O}", "queues", operation->list));
}

void operate_queues(struct dispatcher *dispatcher, struct call *call)
{
    struct operation *operation = begin(call);
    size_t count = dispatcher->models.count;
    if (!operation)
        return;
    const char **names = calloc(count + 1, sizeof *names);
    int rc = names ? 0 : ERR_NOMEM;
    for (size_t i = 0; rc == 0 && i < count; i++)
        names[i] = dispatcher->models.items[i].name;
    if (rc == 0)
        rc = tally_ask(dispatcher, names, count, on_tally, operation);
    free(names);
    if (rc < 0)
        refuse_redis(call, rc);
}

/* ---- pause and resume ------------------------------------------------------------------------ */

static void build_pause(const struct queue *queue, struct redis_command *command, void *data)
{
    const struct operation *operation = data;
    queue_pause_command(queue, operation->name, operation->pause, command);
}

static int read_pause(const struct queue *queue, const struct redis_reply *reply, void *data)
{
    (void)queue;
    struct operation *operation = data;
    bool changed = false;
    int rc = queue_pause_reply(reply, &changed, NULL);
    operation->changed |= changed;
    return rc;
}

static void on_paused(int rc, void *data)
{
    struct operation *operation = data;
    if (rc < 0) {
        refuse_redis(operation->call, rc);
        return;
    }
    if (operation->changed)
        log_event(LOG_INFO, operation->pause ? "queue.paused" : "queue.resumed", "model", LOG_S,
                  operation->name, "key", LOG_S, operation->call->identity.key_id, NULL);
    call_send_value(operation->call, 200,
                    json_pack("{s:s, s:b, s:b}", "model", operation->name, "paused",
                              operation->pause, "changed", operation->changed));
}

static void set_paused(struct dispatcher *dispatcher, struct call *call, bool pause)
{
    static const struct fanout_verbs verbs = {build_pause, read_pause, on_paused};
    struct operation *operation = begin(call);
    if (!operation)
        return;
    operation->pause = pause;
    if (!router_capture(&call->match, 0, operation->name, sizeof operation->name) ||
        !manifest_set_find(&dispatcher->models, operation->name)) {
        call_refuse(call, PROBLEM_NOT_FOUND, "no such model");
        return;
    }
    int rc = fanout_ask(dispatcher, &verbs, operation);
    if (rc < 0)
        refuse_redis(call, rc);
}

void operate_pause(struct dispatcher *dispatcher, struct call *call)
{
    set_paused(dispatcher, call, true);
}

void operate_resume(struct dispatcher *dispatcher, struct call *call)
{
    set_paused(dispatcher, call, false);
}

/* ---- workers --------------------------------------------------------------------------------- */

static void build_workers(const struct queue *queue, struct redis_command *command, void *data)
{
    (void)data;
    queue_workers_command(queue, command);
}

static json_t *split_models(const char *models)
{
    json_t *list = json_array();
    while (list && *models) {
        size_t size = strcspn(models, ",");
        json_array_append_new(list, json_stringn(models, size));
        models += size + (models[size] == ',');
    }
    return list;
}

/* A worker is known to every shard and runs jobs of each. */
static json_t *find_worker(const json_t *list, const char *id)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        json_t *worker = json_array_get(list, i);
        if (!strcmp(json_string_value(json_object_get(worker, "id")), id))
            return worker;
    }
    return NULL;
}

static void add_worker(json_t *list, const struct queue_worker *worker)
{
    json_t *known = find_worker(list, worker->worker);
    json_t *running = known ? json_object_get(known, "running") : NULL;
    if (known && (worker->running < 0 || json_is_null(running)))
        json_object_set_new(known, "running", json_null());
    else if (known)
        json_object_set_new(known, "running",
                            json_integer(json_integer_value(running) + worker->running));
    else
        json_array_append_new(
            list, json_pack("{s:s, s:s, s:o, s:i, s:o, s:b, s:o}", "id", worker->worker, "device",
                            worker->device, "models", split_models(worker->models), "slots",
                            worker->slots, "running",
                            worker->running < 0 ? json_null() : json_integer(worker->running),
                            "draining", worker->draining, "silent_after_seconds",
                            json_real((double)worker->left_ms / 1000)));
}

static int read_workers(const struct queue *queue, const struct redis_reply *reply, void *data)
{
    (void)queue;
    struct operation *operation = data;
    for (size_t i = 0; i < queue_workers_count(reply); i++) {
        struct queue_worker worker;
        int rc = queue_workers_reply(reply, i, &worker, NULL);
        if (rc < 0)
            return rc;
        add_worker(operation->list, &worker);
    }
    return 0;
}

static void on_workers(int rc, void *data)
{
    struct operation *operation = data;
    if (rc < 0)
        refuse_redis(operation->call, rc);
    else
        call_send_value(operation->call, 200, json_pack("{s:O}", "workers", operation->list));
}

void operate_workers(struct dispatcher *dispatcher, struct call *call)
{
    static const struct fanout_verbs verbs = {build_workers, read_workers, on_workers};
    struct operation *operation = begin(call);
    int rc = operation ? fanout_ask(dispatcher, &verbs, operation) : 0;
    if (rc < 0)
        refuse_redis(call, rc);
}

/* ---- the dead letter ------------------------------------------------------------------------- */

static void build_dead(const struct queue *queue, struct redis_command *command, void *data)
{
    const struct operation *operation = data;
    queue_dead_command(queue, 0, operation->offset + operation->limit, command);
}

static json_t *history_view(const struct queue_dead *dead)
{
    json_t *list = json_array();
    for (size_t i = 0; list && i < dead->history_count; i++)
        json_array_append_new(
            list, json_pack("{s:i, s:o, s:s}", "epoch", (int)dead->history[i].epoch, "at",
                            iso(dead->history[i].at_ms), "what", dead->history[i].what));
    return list;
}

static json_t *dead_view(const struct queue_dead *dead)
{
    const struct queue_job *job = &dead->job;
    return json_pack("{s:s, s:s, s:s, s:o, s:o, s:{s:s, s:s}, s:i, s:i, s:i, s:o}", "id",
                     job->public_id, "model", job->model, "flow", job->flow, "created_at",
                     iso(job->created_ms), "died_at", iso(dead->died_ms), "error", "code",
                     job->error_code, "detail", job->error_detail, "attempts", job->attempts,
                     "losses", job->losses, "crashes", job->crashes, "history", history_view(dead));
}

static int read_dead(const struct queue *queue, const struct redis_reply *reply, void *data)
{
    struct operation *operation = data;
    operation->total += queue_dead_total(reply);
    for (size_t i = 0; i < queue_dead_count(reply); i++) {
        struct queue_dead dead;
        /* A record that cannot be read is for fsck, and hides none of the others. */
        if (queue_dead_reply(queue, reply, i, &dead, NULL) == 0)
            json_array_append_new(operation->list, dead_view(&dead));
    }
    return 0;
}

static int newest_first(const void *a, const void *b)
{
    json_t *const *first = a, *const *second = b;
    return strcmp(json_string_value(json_object_get(*second, "died_at")),
                  json_string_value(json_object_get(*first, "died_at")));
}

/* The page that was asked for, out of the first offset + limit of every shard. */
static json_t *dead_page(const struct operation *operation)
{
    size_t count = json_array_size(operation->list);
    json_t *page = json_array();
    json_t **sorted = calloc(count + 1, sizeof *sorted);
    for (size_t i = 0; sorted && i < count; i++)
        sorted[i] = json_array_get(operation->list, i);
    if (sorted)
        qsort(sorted, count, sizeof *sorted, newest_first);
    for (size_t i = (size_t)operation->offset;
         sorted && i < count && i < (size_t)(operation->offset + operation->limit); i++)
        json_array_append(page, sorted[i]);
    free(sorted);
    return page;
}

static void on_dead(int rc, void *data)
{
    struct operation *operation = data;
    if (rc < 0)
        refuse_redis(operation->call, rc);
    else
        call_send_value(operation->call, 200,
                        json_pack("{s:I, s:o}", "total", (json_int_t)operation->total, "dead",
                                  dead_page(operation)));
}

void operate_dead(struct dispatcher *dispatcher, struct call *call)
{
    static const struct fanout_verbs verbs = {build_dead, read_dead, on_dead};
    struct operation *operation = begin(call);
    if (!operation)
        return;
    operation->limit = DEAD_LIMIT;
    if (!call_number(call, "limit", 1, QUEUE_DEAD_MAX, &operation->limit) ||
        !call_number(call, "offset", 0, QUEUE_DEAD_MAX - operation->limit, &operation->offset))
        return;
    int rc = fanout_ask(dispatcher, &verbs, operation);
    if (rc < 0)
        refuse_redis(call, rc);
}

static void on_replayed(int rc, const struct redis_reply *reply, void *data)
{
    struct call *call = data;
    struct err err = {0};
    char id[ID_PUBLIC_SIZE];
    if (rc == 0)
        rc = queue_replay_reply(reply, &err);
    if (rc < 0 && !err.text[0]) {
        refuse_redis(call, rc);
        return;
    }
    if (rc < 0) {
        problem_send_err(call->exchange, rc, &err, NULL);
        return;
    }
    router_capture(&call->match, 0, id, sizeof id);
    log_event(LOG_INFO, "job.replayed", "job", LOG_S, id, "key", LOG_S, call->identity.key_id,
              NULL);
    call_send_value(call, 200, json_pack("{s:s, s:s}", "id", id, "state", "queued"));
}

void operate_replay(struct dispatcher *dispatcher, struct call *call)
{
    char id[ID_PUBLIC_SIZE];
    if (!identity_require(call, SCOPE_OPERATE) || !call_public_id(call, id))
        return;
    queue_replay_command(dispatcher_queue_of_id(dispatcher, id), id, &dispatcher->command);
    int rc = dispatcher_send(dispatcher, on_replayed, call);
    if (rc < 0)
        refuse_redis(call, rc);
}
