/* SPDX-License-Identifier: MIT
 *
 * GET /v1/scale: how many workers there should be, for an autoscaler to read. Wants a key with the
 * scope scale, which permits nothing else, or operate. */
#include "common/err.h"
#include "common/json.h"
#include "dispatcher/call.h"
#include "dispatcher/dispatcher.h"
#include "dispatcher/http/exchange.h"
#include "dispatcher/operate/scale.h"
#include "dispatcher/operate/signal.h"
#include "dispatcher/operate/views.h"
#include "dispatcher/routes.h"

#include <stdlib.h>

#define MAX_S 86400
#define MAX_WORKERS 100000

struct scaling {
    struct call *call; /* borrowed; valid until the answer */
    struct scale_policy policy;
    const struct manifest *model; /* borrowed; NULL: all */
};

/* What all models have and need together, of workers that serve them all. */
struct sums {
    struct scale_signal signal;
    double need, work_s; /* workers; seconds of one worker that wait */
    bool waiting;        /* for somebody who may begin */
};

static json_t *seconds(int64_t ms)
{
    return ms < 0 ? json_null() : json_real((double)ms / 1000);
}

static json_t *view(const struct scaling *scaling, const struct scale_signal *signal,
                    const struct queue_busy *busy)
{
    return json_pack("{s:f, s:I, s:I, s:o, s:o, s:I, s:I, s:I}", "target_wait_seconds",
                     (double)scaling->policy.target_wait_ms / 1000, "queued",
                     (json_int_t)signal->queued, "running", (json_int_t)signal->running,
                     "oldest_seconds", seconds(signal->oldest_ms), "drain_seconds",
                     seconds(signal->drain_ms), "workers", (json_int_t)busy->alive, "busy",
                     (json_int_t)busy->busy, "wanted", (json_int_t)signal->wanted);
}

static json_t *view_model(const struct scaling *scaling, const struct signal_found *found,
                          size_t model, struct sums *sums)
{
    const struct dispatcher *dispatcher = scaling->call->dispatcher;
    struct scale_load load;
    struct scale_signal signal;
    signal_load(dispatcher, found, model, &load);
    scale_judge(&load, &scaling->policy, &signal);
    sums->signal.queued += load.queued;
    sums->signal.running += load.running;
    if (load.oldest_ms > sums->signal.oldest_ms)
        sums->signal.oldest_ms = load.oldest_ms;
    sums->need += scale_need(&load, &scaling->policy);
    sums->work_s += (double)load.queued / load.rate;
    sums->waiting |= load.queued > 0 && !load.paused;
    json_t *one = view(scaling, &signal, &found->busy[model]);
    json_object_set_new(one, "model", json_string(dispatcher->models.items[model].name));
    json_object_set_new(one, "paused", json_boolean(load.paused));
    return one;
}

static json_t *view_all(const struct scaling *scaling, const struct signal_found *found)
{
    const struct manifest_set *models = &scaling->call->dispatcher->models;
    struct sums sums = {0};
    json_t *list = json_array();
    for (size_t i = 0; i < models->count; i++)
        json_array_append_new(list, view_model(scaling, found, i, &sums));
    sums.signal.wanted =
        scale_wanted(sums.need, found->all.alive, found->all.busy, &scaling->policy);
    if (sums.waiting && sums.signal.wanted == 0 && scaling->policy.most > 0)
        sums.signal.wanted = 1;
    if (found->all.alive > 0)
        sums.signal.drain_ms = (int64_t)(sums.work_s * 1000 / (double)found->all.alive);
    else
        sums.signal.drain_ms = sums.signal.queued > 0 ? -1 : 0;
    json_t *all = view(scaling, &sums.signal, &found->all);
    json_object_set_new(all, "models", list);
    return all;
}

static void on_signal(int rc, const struct signal_found *found, void *data)
{
    const struct scaling *scaling = data;
    const struct dispatcher *dispatcher = scaling->call->dispatcher;
    struct sums sums = {0};
    if (rc < 0)
        view_refuse_redis(scaling->call, rc);
    else if (scaling->model)
        call_send_value(
            scaling->call, 200,
            view_model(scaling, found, (size_t)(scaling->model - dispatcher->models.items), &sums));
    else
        call_send_value(scaling->call, 200, view_all(scaling, found));
}

/* False: it makes no sense, and that was answered. */
static bool read_query(struct call *call, struct scaling *scaling)
{
    char name[JOB_MODEL_SIZE];
    struct scale_policy *policy = &scaling->policy;
    int64_t target_s = policy->target_wait_ms / 1000, start_s = policy->start_ms / 1000;
    int rc = exchange_query(call->exchange, "model", name, sizeof name);
    if (rc == 0)
        scaling->model = manifest_set_find(&call->dispatcher->models, name);
    if (rc != ERR_NOT_FOUND && !scaling->model) {
        call_refuse(call, PROBLEM_NOT_FOUND, "no such model");
        return false;
    }
    if (!call_number(call, "target_wait_s", 1, MAX_S, &target_s) ||
        !call_number(call, "start_s", 0, MAX_S, &start_s) ||
        !call_number(call, "least", 0, MAX_WORKERS, &policy->least) ||
        !call_number(call, "most", policy->least, MAX_WORKERS, &policy->most))
        return false;
    policy->target_wait_ms = target_s * 1000;
    policy->start_ms = start_s * 1000;
    return true;
}

void scale_get(struct dispatcher *dispatcher, struct call *call)
{
    const unsigned operates = call->identity.scopes & SCOPE_OPERATE;
    if (!identity_require(call, operates ? SCOPE_OPERATE : SCOPE_SCALE))
        return;
    struct scaling *scaling = calloc(1, sizeof *scaling);
    if (!scaling) {
        call_refuse(call, PROBLEM_UNAVAILABLE, NULL);
        return;
    }
    call->state = scaling;
    call->free_state = free;
    *scaling = (struct scaling){.call = call, .policy = SCALE_USUAL};
    if (!read_query(call, scaling))
        return;
    int rc = signal_ask(dispatcher, on_signal, scaling);
    if (rc < 0)
        view_refuse_redis(call, rc);
}
