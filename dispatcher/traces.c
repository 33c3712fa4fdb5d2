/* SPDX-License-Identifier: MIT */
#include "dispatcher/traces.h"

#include "common/clock.h"
#include "common/err.h"
#include "common/log.h"
#include "common/span.h"
#include "common/tracer.h"
#include "dispatcher/call.h"
#include "dispatcher/dispatcher.h"
#include "dispatcher/http/server.h"

#include <stdio.h>
#include <string.h>

/* A stranger's word that a trace is sampled costs us work; an account answers for it, and routes
 * that ask for the workers' token or a signed link to write are ours. */
static bool is_trusted(const struct call *call)
{
    const char *route = call->match.route->name;
    return call->dispatcher->settings->trace_strangers || call->identity.has_key ||
           strcmp(route, "grants") == 0 || strcmp(route, "object_put") == 0;
}

/* The step of this request, below the one that its header names. */
static bool enter_below(struct call *call, bool sampled_only)
{
    struct call_trace *trace = &call->trace;
    struct tracer *tracer = call->dispatcher->tracer;
    struct trace step;
    if (!trace_parse(exchange_header(call->exchange, "traceparent"), &step))
        return false;
    if (tracer && !is_trusted(call))
        step.sampled = !sampled_only && tracer_samples(tracer);
    if (sampled_only && !step.sampled)
        return false;
    memcpy(trace->parent, step.span, sizeof trace->parent);
    if (trace_enter(&step) < 0)
        return false;
    trace->request = step;
    return true;
}

bool traces_enter(struct call *call)
{
    struct call_trace *trace = &call->trace;
    struct tracer *tracer = call->dispatcher->tracer;
    trace->entered = enter_below(call, false) || tracer_begin(tracer, &trace->request);
    trace->enqueue = trace->request;
    /* Where nobody is told of the two they are one. */
    if (trace->entered && tracer && trace->request.sampled)
        trace->entered = trace_enter(&trace->enqueue) == 0;
    return trace->entered;
}

static bool is_told(const struct call *call)
{
    return call->dispatcher->tracer && call->trace.entered && call->trace.request.sampled;
}

int64_t traces_now(const struct call *call)
{
    return is_told(call) ? clock_us() : 0;
}

static void put(struct call *call, struct span *span, int rc, int64_t begin_us)
{
    if (rc < 0)
        span_fail(span, err_name(rc));
    span_during(span, begin_us, clock_us());
    tracer_put(call->dispatcher->tracer, span, 1);
}

void traces_stored(struct call *call, int rc, int64_t begin_us)
{
    struct span span;
    struct trace step = call->trace.request;
    if (begin_us == 0 || trace_enter(&step) < 0)
        return;
    span_init(&span, SPAN_CLIENT, &step, call->trace.request.span, "store the picture");
    put(call, &span, rc, begin_us);
}

void traces_enqueued(struct call *call, const struct traces_enqueued *enqueued, int64_t begin_us)
{
    struct span span;
    if (begin_us == 0)
        return;
    span_init(&span, SPAN_PRODUCER, &call->trace.enqueue, call->trace.request.span, "enqueue %s",
              enqueued->model ? enqueued->model : "a batch");
    span_text(&span, "messaging.system", "darkroom");
    span_text(&span, "messaging.operation.name", "enqueue");
    span_text(&span, "messaging.operation.type", "send");
    span_text(&span, "messaging.destination.name", enqueued->model);
    span_text(&span, enqueued->model ? "messaging.message.id" : "darkroom.batch.id", enqueued->id);
    if (enqueued->count != 1)
        span_number(&span, "messaging.batch.message_count", (int64_t)enqueued->count);
    span_text(&span, "darkroom.job.after", enqueued->after);
    put(call, &span, enqueued->rc, begin_us);
}

/* The path itself may hold a token or name a job's picture: its pattern is told, and no more. */
static void tell_request(struct call *call, const struct exchange *exchange, unsigned status)
{
    const struct dispatcher *dispatcher = call->dispatcher;
    const char *pattern = call->match.route->pattern, *method = exchange_method_name(exchange);
    bool secure = strncmp(dispatcher->public_url, "https:", 6) == 0;
    char code[12];
    struct span span;
    snprintf(code, sizeof code, "%u", status);
    span_init(&span, SPAN_SERVER, &call->trace.request, call->trace.parent, "%s %s", method,
              pattern);
    span_text(&span, "http.request.method", method);
    span_text(&span, "http.route", pattern);
    span_text(&span, "url.scheme", secure ? "https" : "http");
    if (status)
        span_number(&span, "http.response.status_code", status);
    if (status >= 500)
        span_fail(&span, code);
    else if (!status)
        span_text(&span, "error.type", "client_left");
    put(call, &span, 0, call->trace.begin_us);
}

void traces_done(struct call *call, const struct exchange *exchange, unsigned status)
{
    if (!call->dispatcher->tracer || !call->match.route)
        return;
    if (!call->trace.entered)
        call->trace.entered = enter_below(call, true);
    if (is_told(call))
        tell_request(call, exchange, status);
}

void traces_told(void *context, const char *reason)
{
    log_event(reason ? LOG_WARN : LOG_INFO, reason ? "traces.failing" : "traces.sent",
              reason ? "reason" : NULL, LOG_S, reason, NULL);
}
