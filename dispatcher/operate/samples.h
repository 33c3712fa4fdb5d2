/* SPDX-License-Identifier: MIT
 *
 * The last quarter of an hour of every queue, so that an operator who opens the page sees a curve.
 *
 *     rc = samples_create(dispatcher, &samples);
 *     next_ms = samples_tick(samples, now_ms);                   // from the loop
 *     samples_rates(samples, model, &rates);
 *     json_object_set_new(body, "samples", samples_view(samples, since_s));
 *
 * One sample each SAMPLES_STEP_S seconds of the wall clock, kept in the dispatcher's memory: what
 * is counted are the queue's own counters, so every dispatcher sees the same, no sample has to be
 * shared, and Redis is not written for it. One that was restarted begins with an empty curve. A
 * sample is missing where Redis did not answer. Loop's thread only. */
#ifndef DARKROOM_DISPATCHER_OPERATE_SAMPLES_H
#define DARKROOM_DISPATCHER_OPERATE_SAMPLES_H

#include "common/json.h"

#include <stddef.h>
#include <stdint.h>

struct dispatcher;
struct manifest_set;
struct queue_counters;
struct samples;

#define SAMPLES_STEP_S 5
#define SAMPLES_KEPT 181 /* a quarter of an hour, both ends counted */

/* `dispatcher` is borrowed and has its models; *out is owned by the caller. */
/* The models are others from now on: those of the same name keep what was seen. ERR_NOMEM, and then
 * nothing has changed. */
int samples_adopt(struct samples *samples, const struct manifest_set *before,
                  const struct manifest_set *after);

int samples_create(struct dispatcher *dispatcher, struct samples **out);
void samples_destroy(struct samples **samples);

/* Asks for the sample that is due; returns when the next one is. */
int64_t samples_tick(struct samples *samples, int64_t now_ms);

/* Notes what every model had at a step: whole multiples of SAMPLES_STEP_S since 1970. What
 * samples_tick() does with Redis' answer. `counters` is borrowed for the call. */
void samples_put(struct samples *samples, int64_t step, const struct queue_counters *counters);

/* Over the last minute, or as much of it as is known; -1: nothing is. */
struct samples_rates {
    double submitted, finished; /* jobs a minute; finished: those that succeeded or failed */
};
void samples_rates(const struct samples *samples, size_t model, struct samples_rates *out);

/* What the size of a fleet is judged by (operate/scale.h). */
struct samples_evidence {
    /* Jobs a second over the last minute; or over the last ten seconds, where what came in them is
     * no chance (three standard deviations off). Negative: nobody knows. */
    double arrivals;
    /* Of all that is kept, only while jobs waited: those that ended, and the time of the workers
     * that did them: of all workers as many as the model had of all their slots. Half a job is
     * added for each worker that began meanwhile. */
    int64_t finished, worker_ms;
};
void samples_evidence(const struct samples *samples, size_t model, struct samples_evidence *out);

/* {"step_seconds", "from" (seconds since 1970 of the first), "count", "models": {name: {"queued",
 * "running", "submitted", "finished", "oldest_seconds"}}}, each of these an array of `count`
 * numbers and nulls. Those after `since_s` only. Owned by the caller; NULL for want of memory. */
json_t *samples_view(const struct samples *samples, int64_t since_s);

#endif
