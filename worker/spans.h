/* SPDX-License-Identifier: MIT
 *
 * A job's way through this worker as steps of its trace (common/trace.h), and what is told of them
 * where --otlp-endpoint says so (common/tracer.h):
 *
 *     process portrait-drawing       one claim, below the step that put the job into the queue
 *       ├ grant, fetch, decode, wait, infer, encode, upload, complete
 *
 *     run portrait-drawing           one run of the network for several jobs: a trace of its own,
 *                                    linked to the step `infer` of each, as each is to it
 *
 *     spans_header(task, STEP_FETCH, text)               // what goes out with a request
 *     spans_run(tracer, tasks, count, begin_us, rc);     // beside the network
 *     spans_job(tracer, worker_id, task, "done");        // as it is settled
 *
 * A job that is claimed again has one `process` for each attempt; a worker that was killed told
 * nothing of its own. A task's functions belong to whoever has the task. */
#ifndef DARKROOM_WORKER_SPANS_H
#define DARKROOM_WORKER_SPANS_H

#include "worker/task.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tracer;

/* The header `traceparent` of a request that belongs to this step of the job, the same for each
 * try. False: the job is part of no trace. */
bool spans_header(struct task *task, enum task_step step, char out[TRACE_TEXT_SIZE]);

/* The network has run for these together, from begin_us (clock_us()) until now. Nothing where none
 * of them is sampled. */
void spans_run(struct tracer *tracer, struct task *const *tasks, size_t count, int64_t begin_us,
               int rc);

/* `outcome` as of measures_job(). */
void spans_job(struct tracer *tracer, const char *worker_id, struct task *task,
               const char *outcome);

#endif
