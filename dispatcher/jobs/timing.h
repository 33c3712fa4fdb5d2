/* SPDX-License-Identifier: MIT
 *
 * How urgent a submission is, and when: its members `priority`, `run_at` and `deadline`.
 *
 *     rc = timing_read("high", NULL, "2026-01-05T10:00:00Z", clock_wall_ms(), &timing, &err);
 *     rc = timing_permit(&timing, identity->ceiling, &err);
 *     timing_apply(&timing, identity->ceiling, &submit);
 *
 * Pure; any thread. */
#ifndef DARKROOM_DISPATCHER_JOBS_TIMING_H
#define DARKROOM_DISPATCHER_JOBS_TIMING_H

#include "common/queue.h"

#include <stdbool.h>
#include <stdint.h>

struct err;

#define TIMING_MAX_AHEAD_MS (366LL * 24 * 3600 * 1000)

struct timing {
    bool has_priority;
    enum job_priority priority;
    int64_t run_at_ms, deadline_ms; /* since 1970; 0: none */
};

/* Each text may be NULL; times are RFC 3339 in UTC. A time to run that has passed is now; a
 * deadline has to be ahead, and behind the time to run. ERR_INVALID, ERR_LIMIT with the member. */
int timing_read(const char *priority, const char *run_at, const char *deadline, int64_t now_ms,
                struct timing *out, struct err *err);

/* ERR_INVALID for a higher priority than one may ask for. */
int timing_permit(const struct timing *timing, enum job_priority ceiling, struct err *err);

/* Without a wish it is normal, or as high as may be. */
void timing_apply(const struct timing *timing, enum job_priority ceiling,
                  struct queue_submit *submit);

#endif
