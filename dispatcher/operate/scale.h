/* SPDX-License-Identifier: MIT
 *
 * How many workers a model should have: from what the queue counts and what its operator wants.
 *
 *     const struct scale_load load = {.queued = 600, .workers = 4, .busy = 4, .arrivals = 10,
 *                                     .rate = scale_rate(&evidence)};
 *     scale_judge(&load, &policy, &signal);            // signal.wanted: 12
 *
 * Arrivals want arrivals / rate workers for good. What waits is to be gone within the target, less
 * the time that a new worker takes to start: see scale_need(). The number of those alive damps the
 * answer: one more is wanted at once, one less only where a thirtieth and a fifth of a worker would
 * still be to spare. So figures that tremble about a whole number change nothing.
 *
 * A busy worker is never among those that are wanted no more. Pure; any thread. */
#ifndef DARKROOM_DISPATCHER_OPERATE_SCALE_H
#define DARKROOM_DISPATCHER_OPERATE_SCALE_H

#include <stdbool.h>
#include <stdint.h>

/* What a worker's speed is known by. */
struct scale_evidence {
    /* While jobs waited, so that a worker stood still for want of none: jobs that ended, and the
     * time of the workers that did them. 0, 0: that is not known. */
    int64_t finished, worker_ms;
    int64_t service_ms;     /* from claim to end, smoothed; 0: none has ended yet */
    int64_t cost_ms;        /* of one job by the manifest, more than 0 */
    int64_t workers, slots; /* alive, and jobs that they can hold */
};

/* Jobs a second that one worker does when it always has one to do. Measured where ten jobs were
 * seen; else by the manifest, within what the time from claim to end permits: between one job at a
 * time and as many as a worker holds. Always more than 0. */
double scale_rate(const struct scale_evidence *evidence);

struct scale_load {
    int64_t queued, running, oldest_ms;
    int64_t workers, busy; /* alive, and of them those with a job in hand */
    double arrivals;       /* jobs a second; negative: not known, then what the busy ones do */
    double rate;           /* of one worker, more than 0 */
    bool paused;
};

struct scale_policy {
    int64_t target_wait_ms; /* that a job should wait at most, more than 0 */
    int64_t start_ms;       /* from the decision to a new worker's first claim */
    int64_t least, most;
};

/* What is assumed where nobody says another. */
#define SCALE_USUAL                                                                                \
    ((struct scale_policy){.target_wait_ms = 60000, .start_ms = 30000, .least = 0, .most = 1000})

struct scale_signal {
    int64_t queued, running, oldest_ms;
    int64_t drain_ms; /* until those alive had started all that waits now; -1: nobody is alive */
    int64_t wanted;
};

/* In workers and parts of them: arrivals / rate, and what will still wait when new ones have
 * started, to be done in the rest of the target: at least half of it, and no more than that where
 * the oldest has waited longer than the target. A paused model needs none. */
double scale_need(const struct scale_load *load, const struct scale_policy *policy);

/* The whole number, within the policy and damped. Never less than the busy ones, whatever `most`
 * says. `need` may be the sum over models that share their workers. */
int64_t scale_wanted(double need, int64_t workers, int64_t busy, const struct scale_policy *policy);

/* All of it for one model. A paused one is given no worker that it has not. */
void scale_judge(const struct scale_load *load, const struct scale_policy *policy,
                 struct scale_signal *out);

#endif
