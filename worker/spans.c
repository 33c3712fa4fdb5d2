/* SPDX-License-Identifier: MIT */
#include "worker/spans.h"

#include "common/clock.h"
#include "common/manifest.h"
#include "common/span.h"
#include "common/tracer.h"
#include "worker/resident.h"

#include <string.h>

static const enum span_kind step_kinds[STEP_COUNT] = {
    [STEP_GRANT] = SPAN_CLIENT,  [STEP_FETCH] = SPAN_CLIENT,    [STEP_DECODE] = SPAN_INTERNAL,
    [STEP_WAIT] = SPAN_INTERNAL, [STEP_INFER] = SPAN_INTERNAL,  [STEP_ENCODE] = SPAN_INTERNAL,
    [STEP_UPLOAD] = SPAN_CLIENT, [STEP_COMPLETE] = SPAN_CLIENT,
};

/* The step's own ids, made when they are first asked for. */
static bool find_step(struct task *task, enum task_step step, struct trace *out)
{
    struct trace trace;
    if (!trace_parse(task->trace, &trace))
        return false;
    if (!task->step_spans[step][0]) {
        if (trace_enter(&trace) < 0)
            return false;
        memcpy(task->step_spans[step], trace.span, sizeof trace.span);
    }
    memcpy(trace.span, task->step_spans[step], sizeof trace.span);
    *out = trace;
    return true;
}

bool spans_header(struct task *task, enum task_step step, char out[TRACE_TEXT_SIZE])
{
    struct trace trace;
    if (!find_step(task, step, &trace))
        return false;
    trace_format(&trace, out);
    return true;
}

/* ---- one run for several jobs ---------------------------------------------------------------- */

/* Each one's step `infer`; returns how many are sampled. */
static size_t find_sampled(struct task *const *tasks, size_t count, struct trace *out)
{
    size_t sampled = 0;
    for (size_t i = 0; i < count; i++)
        if (find_step(tasks[i], STEP_INFER, &out[sampled]) && out[sampled].sampled)
            sampled++;
    return sampled;
}

void spans_run(struct tracer *tracer, struct task *const *tasks, size_t count, int64_t begin_us,
               int rc)
{
    struct trace steps[MODEL_MAX_BATCH], run;
    struct span span;
    size_t sampled = tracer && count <= MODEL_MAX_BATCH ? find_sampled(tasks, count, steps) : 0;
    if (sampled == 0 || trace_begin(&run) < 0)
        return;
    const char *model = tasks[0]->resident->manifest->name;
    span_init(&span, SPAN_INTERNAL, &run, NULL, "run %s", model);
    span_text(&span, "darkroom.model", model);
    span_number(&span, "messaging.batch.message_count", (int64_t)count);
    if (rc < 0)
        span_fail(&span, err_name(rc));
    struct trace *links = span_links(&span, sampled);
    if (links)
        memcpy(links, steps, sampled * sizeof *links);
    span_during(&span, begin_us, clock_us());
    tracer_put(tracer, &span, 1);
    for (size_t i = 0; i < count; i++)
        tasks[i]->run = run;
}

/* ---- one job --------------------------------------------------------------------------------- */

static void write_process(struct span *span, const struct task *task, const char *worker_id,
                          const char *outcome)
{
    const char *model = task->resident->manifest->name;
    span_text(span, "messaging.system", "darkroom");
    span_text(span, "messaging.operation.name", "process");
    span_text(span, "messaging.operation.type", "process");
    span_text(span, "messaging.destination.name", model);
    span_text(span, "messaging.message.id", task->public_id);
    span_text(span, "messaging.client.id", worker_id);
    span_number(span, "darkroom.job.attempt", task->attempt);
    span_number(span, "darkroom.job.epoch", task->epoch);
    span_number(span, "darkroom.job.queued_ms", task->queued_ms);
    span_text(span, "darkroom.job.outcome", outcome);
    if (task->rc < 0)
        span_fail(span, err_name(task->rc));
}

/* The one that a failed job did not get past: the last before it was settled. */
static int failed_step(const struct task *task)
{
    int last = -1;
    for (int step = 0; task->rc < 0 && step < STEP_COMPLETE; step++)
        if (task->step_us[step] > 0)
            last = step;
    return last;
}

/* A step begins where the one before it ended: that is how they were measured. */
static size_t write_steps(struct task *task, const struct span *process, struct span *out)
{
    int64_t at_us = process->start_us;
    int failed = failed_step(task);
    size_t count = 0;
    for (int step = 0; step < STEP_COUNT; step++) {
        struct trace trace;
        if (task->step_us[step] <= 0 || !find_step(task, (enum task_step)step, &trace))
            continue;
        struct span *span = &out[count++];
        span_init(span, step_kinds[step], &trace, process->step.span, "%s",
                  task_step_name((enum task_step)step));
        span->start_us = at_us;
        span->end_us = at_us += task->step_us[step];
        if (step == failed)
            span_fail(span, err_name(task->rc));
        struct trace *link = step == STEP_INFER && task->run.id[0] ? span_links(span, 1) : NULL;
        if (link)
            *link = task->run;
    }
    return count;
}

void spans_job(struct tracer *tracer, const char *worker_id, struct task *task, const char *outcome)
{
    struct span spans[1 + STEP_COUNT];
    struct trace trace;
    if (!tracer || !trace_parse(task->trace, &trace) || !trace.sampled)
        return;
    char parent[TRACE_SPAN_SIZE];
    memcpy(parent, trace.span, sizeof parent);
    if (trace_enter(&trace) < 0)
        return;
    span_init(&spans[0], SPAN_CONSUMER, &trace, parent, "process %s",
              task->resident->manifest->name);
    write_process(&spans[0], task, worker_id, outcome);
    span_during(&spans[0], task->claimed_us, clock_us());
    size_t steps = write_steps(task, &spans[0], spans + 1);
    tracer_put(tracer, spans, 1 + steps);
}
