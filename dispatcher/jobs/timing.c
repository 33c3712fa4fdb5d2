/* SPDX-License-Identifier: MIT */
#include "dispatcher/jobs/timing.h"

#include "common/clock.h"
#include "common/err.h"

static int read_time(const char *field, const char *text, int64_t now_ms, int64_t *out,
                     struct err *err)
{
    int64_t ms;
    if (!text)
        return 0;
    if (clock_parse_iso(text, &ms) < 0)
        return err_set(err, ERR_INVALID, field, "%s must be a time such as 2026-01-05T10:00:00Z",
                       field);
    if (ms - now_ms > TIMING_MAX_AHEAD_MS)
        return err_set(err, ERR_LIMIT, field, "%s is more than 366 days ahead", field);
    *out = ms;
    return 0;
}

int timing_read(const char *priority, const char *run_at, const char *deadline, int64_t now_ms,
                struct timing *out, struct err *err)
{
    struct timing timing = {.priority = JOB_PRIORITY_NORMAL};
    if (priority) {
        int value = job_priority_from_name(priority);
        if (value < 0)
            return err_set(err, ERR_INVALID, "priority", "priority must be high, normal or low");
        timing.has_priority = true;
        timing.priority = (enum job_priority)value;
    }
    int rc = read_time("run_at", run_at, now_ms, &timing.run_at_ms, err);
    if (rc == 0)
        rc = read_time("deadline", deadline, now_ms, &timing.deadline_ms, err);
    if (rc == 0 && deadline &&
        (timing.deadline_ms <= now_ms || timing.deadline_ms <= timing.run_at_ms))
        rc = err_set(err, ERR_INVALID, "deadline", "deadline must be ahead, and later than run_at");
    if (rc == 0)
        *out = timing;
    return rc;
}

int timing_permit(const struct timing *timing, enum job_priority ceiling, struct err *err)
{
    if (timing->has_priority && timing->priority < ceiling)
        return err_set(err, ERR_INVALID, "priority", "priority may be %s at most",
                       job_priority_name(ceiling));
    return 0;
}

void timing_apply(const struct timing *timing, enum job_priority ceiling,
                  struct queue_submit *submit)
{
    submit->priority = timing->priority < ceiling ? ceiling : timing->priority;
    submit->run_at_ms = timing->run_at_ms;
    submit->deadline_ms = timing->deadline_ms;
}
