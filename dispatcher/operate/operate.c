/* SPDX-License-Identifier: MIT
 *
 * What operators see and do: /v1/queues and /v1/workers. Wants a key with the scope operate. */
#include "common/err.h"
#include "common/json.h"
#include "common/log.h"
#include "common/queue_operate.h"
#include "dispatcher/call.h"
#include "dispatcher/dispatcher.h"
#include "dispatcher/events/fanout.h"
#include "dispatcher/http/server.h"
#include "dispatcher/jobs/tally.h"
#include "dispatcher/operate/views.h"
#include "dispatcher/routes.h"

#include <stdlib.h>

/* A question to all shards and the answer that grows from theirs. */
struct operation {
    struct call *call; /* borrowed; valid until the answer */
    json_t *list;      /* owned */
    bool pause, changed;
    char name[JOB_MODEL_SIZE];
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

/* ---- queues ---------------------------------------------------------------------------------- */

static void on_tally(int rc, const struct queue_counters *counters, void *data)
{
    struct operation *operation = data;
    const struct manifest_set *models = &operation->call->dispatcher->models;
    if (rc < 0) {
        view_refuse_redis(operation->call, rc);
        return;
    }
    for (size_t i = 0; i < models->count; i++)
        json_array_append_new(operation->list, view_queue(models->items[i].name, &counters[i]));
    call_send_value(operation->call, 200, json_pack("{s:O}", "queues", operation->list));
}

void operate_queues(struct dispatcher *dispatcher, struct call *call)
{
    struct operation *operation = begin(call);
    int rc = operation ? tally_ask_all(dispatcher, on_tally, operation) : 0;
    if (rc < 0)
        view_refuse_redis(call, rc);
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
        view_refuse_redis(operation->call, rc);
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
        view_refuse_redis(call, rc);
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

static int read_workers(const struct queue *queue, const struct redis_reply *reply, void *data)
{
    (void)queue;
    struct operation *operation = data;
    return view_add_workers(operation->list, reply);
}

static void on_workers(int rc, void *data)
{
    struct operation *operation = data;
    if (rc < 0)
        view_refuse_redis(operation->call, rc);
    else
        call_send_value(operation->call, 200, json_pack("{s:O}", "workers", operation->list));
}

void operate_workers(struct dispatcher *dispatcher, struct call *call)
{
    static const struct fanout_verbs verbs = {build_workers, read_workers, on_workers};
    struct operation *operation = begin(call);
    int rc = operation ? fanout_ask(dispatcher, &verbs, operation) : 0;
    if (rc < 0)
        view_refuse_redis(call, rc);
}
