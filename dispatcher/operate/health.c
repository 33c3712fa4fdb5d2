/* SPDX-License-Identifier: MIT
 *
 * /healthz, /readyz and /metrics. */
#include "common/buf.h"
#include "common/err.h"
#include "common/metrics.h"
#include "dispatcher/call.h"
#include "dispatcher/dispatcher.h"
#include "dispatcher/events/events.h"
#include "dispatcher/http/server.h"
#include "dispatcher/offload.h"
#include "dispatcher/operate/mails.h"
#include "dispatcher/operate/measures.h"
#include "dispatcher/operate/signal.h"
#include "dispatcher/routes.h"
#include "dispatcher/upkeep/gate.h"

#include <stdio.h>
#include <stdlib.h>

#define MAX_METRICS_BYTES (4 * 1024 * 1024)

void healthz(struct dispatcher *dispatcher, struct call *call)
{
    struct answer *answer = answer_static("ok\n", 3);
    answer_header(answer, "Content-Type", "text/plain; charset=utf-8");
    answer_header(answer, "Cache-Control", "no-store");
    exchange_respond(call->exchange, 200, answer);
}

/* ---- ready ---- */

struct probe {
    struct call *call; /* borrowed; valid until the answer */
    int rc;
    struct err err;
};

static void ping_store(void *task)
{
    struct probe *probe = task;
    probe->rc = store_ping(probe->call->dispatcher->store, &probe->err);
}

static void on_pinged(void *task)
{
    struct probe *probe = task;
    struct buf body;
    if (probe->rc < 0) {
        char detail[300];
        snprintf(detail, sizeof detail, "store: %s", probe->err.text);
        call_refuse(probe->call, PROBLEM_UNAVAILABLE, detail);
        return;
    }
    buf_init(&body, 64);
    if (buf_append_text(&body, "{\"status\":\"ready\"}") == 0)
        call_send_json(probe->call, 200, &body);
    else
        call_refuse(probe->call, PROBLEM_UNAVAILABLE, NULL);
    buf_fini(&body);
}

void readyz(struct dispatcher *dispatcher, struct call *call)
{
    if (dispatcher->leaving) {
        call_refuse(call, PROBLEM_UNAVAILABLE, "this dispatcher is about to end");
        return;
    }
    if (!dispatcher_redis_usable(dispatcher)) {
        char detail[300];
        const char *why = redis_async_connected(dispatcher->redis)
                              ? gate_unfit(dispatcher->gate)
                              : redis_async_reason(dispatcher->redis);
        snprintf(detail, sizeof detail, "redis: %s", *why ? why : "not checked yet");
        call_refuse(call, PROBLEM_UNAVAILABLE, detail);
        return;
    }
    struct probe *probe = calloc(1, sizeof *probe);
    call->state = probe;
    call->free_state = free;
    if (probe)
        probe->call = call;
    if (!probe || offload_submit(dispatcher->offload, ping_store, on_pinged, probe) < 0)
        call_refuse(call, PROBLEM_UNAVAILABLE, "store: too many transfers at once");
}

/* ---- metrics ---- */

static int write_gauges(const struct dispatcher *dispatcher, struct buf *out)
{
    const struct {
        const char *name, *help;
        int64_t value;
    } gauges[] = {
        {"darkroom_redis_connected", "1 while Redis answers.", dispatcher_redis_usable(dispatcher)},
        {"darkroom_redis_pending", "Commands under way.",
         (int64_t)redis_async_pending(dispatcher->redis)},
        {"darkroom_event_streams", "Open event streams.", events_streams(dispatcher->events)},
        {"darkroom_waiting_requests", "Requests that wait for the end of their job.",
         events_waits(dispatcher->events)},
        {"darkroom_http_connections", "Open connections.",
         http_server_connections(dispatcher->server)},
        {"darkroom_store_tasks", "Transfers under way.", offload_pending(dispatcher->offload)},
        {"darkroom_buffered_bytes", "Memory set aside for bodies.",
         (int64_t)dispatcher->buffered_bytes},
    };
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < sizeof gauges / sizeof gauges[0]; i++)
        rc = metrics_write_gauge(out, gauges[i].name, gauges[i].help, (double)gauges[i].value);
    if (rc == 0)
        rc = metrics_write_gauge(out, "darkroom_redis_memory_ratio",
                                 "Used part of Redis' maxmemory, of the fullest shard; 0: no "
                                 "limit, or not known.",
                                 gate_memory_permille(dispatcher->gate) / 1000.0);
    return rc;
}

/* NULL without memory. */
static const char **model_names(const struct dispatcher *dispatcher)
{
    const char **names = calloc(dispatcher->models.count + 1, sizeof *names);
    for (size_t i = 0; names && i < dispatcher->models.count; i++)
        names[i] = dispatcher->models.items[i].name;
    return names;
}

static int write_queue(const struct dispatcher *dispatcher, const struct queue_counters *counters,
                       struct buf *out)
{
    const char **names = model_names(dispatcher);
    int rc =
        names ? measures_write_queue(out, names, counters, dispatcher->models.count) : ERR_NOMEM;
    free(names);
    return rc;
}

/* Also without Redis: then only what this process knows. */
static void on_signal(int rc, const struct signal_found *found, void *data)
{
    struct call *call = data;
    struct dispatcher *dispatcher = call->dispatcher;
    struct buf out;
    buf_init(&out, MAX_METRICS_BYTES);
    tracing_measure(dispatcher->tracer, dispatcher->metrics);
    int written = metrics_write(dispatcher->metrics, &out);
    if (written == 0)
        written = metrics_write_process(&out);
    if (written == 0)
        written = write_gauges(dispatcher, &out);
    if (written == 0)
        written = mails_write_metrics(dispatcher, &out);
    if (written == 0 && rc == 0)
        written = write_queue(dispatcher, found->counters, &out);
    if (written == 0 && rc == 0)
        written = signal_write_metrics(dispatcher, found, &out);
    if (written < 0) {
        call_refuse(call, PROBLEM_UNAVAILABLE, NULL);
    } else {
        size_t size;
        void *text = buf_steal(&out, &size);
        struct answer *answer = answer_take(text, size);
        answer_header(answer, "Content-Type", "text/plain; version=0.0.4; charset=utf-8");
        answer_header(answer, "Cache-Control", "no-store");
        exchange_respond(call->exchange, 200, answer);
    }
    buf_fini(&out);
}

void metrics_get(struct dispatcher *dispatcher, struct call *call)
{
    int rc =
        dispatcher->models.count > 0 ? signal_ask(dispatcher, on_signal, call) : ERR_UNAVAILABLE;
    if (rc < 0)
        on_signal(rc, NULL, call);
}
