/* SPDX-License-Identifier: MIT
 *
 * What a webhook says: {"type": "job.succeeded", "timestamp": …, "data": {the job}}. The same bytes
 * for every try, and no token in them. Pure; any thread. */
#ifndef DARKROOM_DISPATCHER_NOTIFIER_HOOK_EVENT_H
#define DARKROOM_DISPATCHER_NOTIFIER_HOOK_EVENT_H

struct buf;
struct queue_job;

#define HOOK_EVENT_MAX 16384

/* Appends the event of a job that ended. ERR_CORRUPT: it has not. */
int hook_event_write(const struct queue_job *job, const char *public_url, struct buf *out);

#endif
