/* SPDX-License-Identifier: MIT */
#include "worker/settle.h"

#include "common/backoff.h"
#include "common/clock.h"
#include "common/err.h"
#include "common/log.h"
#include "worker/measures.h"
#include "worker/pipeline.h"
#include "worker/spans.h"

#include <stdio.h>

#define REDIS_TIMEOUT_MS 2000

enum ending { END_COMPLETE, END_FAIL, END_RELEASE, END_DROP };

/* What the queue made of it. */
struct answer {
    enum queue_verdict verdict;
    enum job_state state; /* END_FAIL: delayed or failed */
};

static enum ending choose(const struct task *task)
{
    if (task->uploaded)
        return END_COMPLETE;
    switch (task_verdict(task)) {
    case TASK_LOST:
    case TASK_CANCELLED: return task->tried_upload ? END_COMPLETE : END_DROP;
    case TASK_RELEASED: return END_DROP; /* the loop has told the queue */
    case TASK_TIMED_OUT: return END_FAIL;
    case TASK_ON: break;
    }
    if (task->release)
        return END_RELEASE;
    switch (err_action(task->rc)) {
    case ACTION_RETRY:
    case ACTION_BURY: return END_FAIL;
    case ACTION_NONE:
    case ACTION_DIE: break;
    }
    return END_DROP;
}

static int send_complete(struct pipeline *pipeline, struct redis *redis, const struct task *task,
                         struct answer *out_answer, struct err *err)
{
    const struct queue_done done = {
        .id = task->id,
        .epoch = task->epoch,
        .public_id = task->public_id,
        .extension = task->extension,
        .content_type = task->resident->manifest->output_content_type,
        .bytes = task->result_bytes,
    };
    return queue_complete(&pipeline->queues[task->shard], redis, pipeline->worker_id, &done,
                          REDIS_TIMEOUT_MS, &out_answer->verdict, err);
}

static int send_fail(struct pipeline *pipeline, struct redis *redis, const struct task *task,
                     struct answer *out_answer, struct err *err)
{
    const struct queue_failure failure = {
        .id = task->id,
        .epoch = task->epoch,
        .retry = err_action(task->rc) == ACTION_RETRY,
        .code = err_name(task->rc),
        .detail = task->err.text,
    };
    return queue_fail(&pipeline->queues[task->shard], redis, pipeline->worker_id, &failure,
                      REDIS_TIMEOUT_MS, &out_answer->verdict, &out_answer->state, err);
}

static int send_release(struct pipeline *pipeline, struct redis *redis, const struct task *task,
                        struct err *err)
{
    const struct queue_lease lease = {.id = task->id, .epoch = task->epoch};
    return queue_release(&pipeline->queues[task->shard], redis, pipeline->worker_id, &lease, 1,
                         false, REDIS_TIMEOUT_MS, err);
}

static int send_once(struct pipeline *pipeline, struct redis *redis, const struct task *task,
                     enum ending ending, struct answer *out_answer, struct err *err)
{
    switch (ending) {
    case END_COMPLETE: return send_complete(pipeline, redis, task, out_answer, err);
    case END_FAIL: return send_fail(pipeline, redis, task, out_answer, err);
    case END_RELEASE: return send_release(pipeline, redis, task, err);
    case END_DROP: break;
    }
    return 0;
}

/* Until Redis has answered, whatever it says, or the drain's time is over. Repeating is safe: a
 * verb that was done already answers the same. With *out_kept the task is no longer the caller's.
 */
static int send(struct pipeline *pipeline, struct redis *redis, struct task *task,
                enum ending ending, struct answer *out_answer, bool *out_kept, struct err *err)
{
    struct backoff backoff = {.base_ms = 50, .max_ms = 1000};
    for (;;) {
        struct err cause = {0};
        int rc = send_once(pipeline, redis, task, ending, out_answer, &cause);
        if ((rc != ERR_UNAVAILABLE && rc != ERR_TIMEOUT) || roster_is_hurried(pipeline->roster)) {
            *err = cause;
            return rc;
        }
        *out_kept = away_keep(pipeline->away, task);
        if (*out_kept)
            return rc;
        roster_sleep(pipeline->roster, NULL, backoff_next_ms(&backoff));
    }
}

static void log_times(const struct task *task, enum log_level level, const char *event,
                      const char *detail)
{
    char trace[TRACE_ID_SIZE];
    double ms[STEP_COUNT];
    trace_id_of(task->trace, trace);
    for (int step = 0; step < STEP_COUNT; step++)
        ms[step] = (double)task->step_us[step] / 1000;
    log_event(level, event, "job", LOG_S, task->public_id, "model", LOG_S,
              task->resident->manifest->name, "epoch", LOG_I, (int64_t)task->epoch, "attempt",
              LOG_I, (int64_t)task->attempt, "queued_ms", LOG_I, task->queued_ms, "ms", LOG_F,
              (double)(clock_us() - task->claimed_us) / 1000, "grant_ms", LOG_F, ms[STEP_GRANT],
              "fetch_ms", LOG_F, ms[STEP_FETCH], "decode_ms", LOG_F, ms[STEP_DECODE], "wait_ms",
              LOG_F, ms[STEP_WAIT], "infer_ms", LOG_F, ms[STEP_INFER], "encode_ms", LOG_F,
              ms[STEP_ENCODE], "upload_ms", LOG_F, ms[STEP_UPLOAD], "complete_ms", LOG_F,
              ms[STEP_COMPLETE], "code", LOG_S, err_name(task->rc), "detail", LOG_S, detail,
              trace[0] ? "trace_id" : NULL, LOG_S, trace, NULL);
}

static void tell(const struct pipeline *pipeline, struct task *task, const char *outcome)
{
    measures_job(pipeline->metrics, task, outcome);
    spans_job(pipeline->tracer, pipeline->worker_id, task, outcome);
}

static void note_ending(const struct pipeline *pipeline, struct task *task, enum ending ending,
                        const struct answer *answer)
{
    bool refused = answer->verdict == QUEUE_LOST || answer->verdict == QUEUE_CANCELLED;
    if (ending == END_DROP || refused) {
        log_times(task, LOG_DEBUG, "job.dropped", refused ? "refused" : NULL);
        tell(pipeline, task, "dropped");
    } else if (ending == END_COMPLETE) {
        log_times(task, LOG_INFO, "job.done", NULL);
        tell(pipeline, task, "done");
    } else if (ending == END_RELEASE) {
        log_times(task, LOG_INFO, "job.released", task->rc < 0 ? task->err.text : NULL);
        tell(pipeline, task, "released");
    } else {
        bool retry = answer->state == JOB_DELAYED;
        log_times(task, LOG_WARN, retry ? "job.retry" : "job.failed", task->err.text);
        tell(pipeline, task, retry ? "retry" : "failed");
    }
}

bool settle(struct pipeline *pipeline, struct redis *redis, struct task *task)
{
    struct answer answer = {.verdict = QUEUE_OK};
    struct err err = {0};
    if (task_verdict(task) == TASK_TIMED_OUT && !task->uploaded) {
        task->rc = ERR_TIMEOUT;
        task->err = (struct err){0};
        err_set(&task->err, ERR_TIMEOUT, NULL, SETTLE_TIMED_OUT);
    }
    enum ending ending = choose(task);
    bool kept = false;
    int rc = send(pipeline, redis, task, ending, &answer, &kept, &err);
    if (kept)
        return false;
    task_mark(task, STEP_COMPLETE);
    if (rc < 0) {
        /* Nothing more can be done here: the lease brings the job back. */
        char trace[TRACE_ID_SIZE];
        trace_id_of(task->trace, trace);
        log_event(LOG_ERROR, "job.unsettled", "job", LOG_S, task->public_id, "code", LOG_S,
                  err_name(rc), "error", LOG_S, err.text, trace[0] ? "trace_id" : NULL, LOG_S,
                  trace, NULL);
        tell(pipeline, task, "unsettled");
        return true;
    }
    note_ending(pipeline, task, ending, &answer);
    if (ending == END_COMPLETE && (answer.verdict == QUEUE_OK || answer.verdict == QUEUE_AGAIN))
        atomic_fetch_add(&pipeline->jobs, 1);
    return true;
}
