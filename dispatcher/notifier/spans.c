/* SPDX-License-Identifier: MIT */
#include "dispatcher/notifier/spans.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/span.h"
#include "common/tracer.h"

#include <stdio.h>

/* False where nothing is to be told. */
static bool begin(struct tracer *tracer, const struct notifier_try *one, const char *name,
                  struct span *out)
{
    struct trace job, step;
    if (!tracer || !trace_parse(one->job_trace, &job) || !job.sampled)
        return false;
    step = job;
    if (one->own_trace ? !trace_parse(one->own_trace, &step) : trace_enter(&step) < 0)
        return false;
    span_init(out, SPAN_CLIENT, &step, job.span, "%s", name);
    span_text(out, "darkroom.job.id", one->job);
    span_number(out, "darkroom.attempt", one->attempt);
    return true;
}

static void end(struct tracer *tracer, const struct notifier_try *one, struct span *span)
{
    span_during(span, one->begin_us, clock_us());
    tracer_put(tracer, span, 1);
}

void notifier_spans_mail(struct tracer *tracer, const struct notifier_try *one)
{
    struct span span;
    if (!begin(tracer, one, "send mail", &span))
        return;
    if (one->failed)
        span_fail(&span, one->reason);
    end(tracer, one, &span);
}

void notifier_spans_hook(struct tracer *tracer, const struct notifier_try *one)
{
    struct span span;
    char status[12];
    if (!begin(tracer, one, "POST", &span))
        return;
    span_text(&span, "http.request.method", "POST");
    if (one->attempt > 1)
        span_number(&span, "http.request.resend_count", one->attempt - 1);
    if (one->status)
        span_number(&span, "http.response.status_code", one->status);
    snprintf(status, sizeof status, "%d", one->status);
    if (one->failed)
        span_fail(&span, one->status ? status : one->reason);
    end(tracer, one, &span);
}

void notifier_spans_told(void *context, const char *reason)
{
    (void)context;
    log_event(reason ? LOG_WARN : LOG_INFO, reason ? "traces.failing" : "traces.sent",
              reason ? "reason" : NULL, LOG_S, reason, NULL);
}
