/* SPDX-License-Identifier: MIT
 *
 * What the page of a job says of it, as data for job.html.
 *
 *     data = job_data(call, job, &rights);          // for page_send()
 *
 * One of `queued`, `running`, `delayed`, `failed`, `cancelled`, `succeeded` is true; `waiting`
 * unless it has ended. Loop's thread only. */
#ifndef DARKROOM_DISPATCHER_PAGES_JOB_DATA_H
#define DARKROOM_DISPATCHER_PAGES_JOB_DATA_H

#include "common/json.h"
#include "dispatcher/call.h"

#include <stdbool.h>

struct queue_job;

/* What the visitor may do. */
struct job_rights {
    char token[CALL_TOKEN_SIZE]; /* of the link; it may view, or only what is shared */
    bool view;                   /* false: only the result is shared with them */
    bool manage, erase;          /* by cookies */
};

/* Owned by the caller; NULL for want of memory. */
json_t *job_data(struct call *call, const struct queue_job *job, const struct job_rights *rights);

/* The text of the section "status" that says why it failed, by the code that the queue or a worker
 * gave. Static storage. */
const char *job_failure_text(const char *code);

#endif
