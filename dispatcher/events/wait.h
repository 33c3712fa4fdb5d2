/* SPDX-License-Identifier: MIT
 *
 * Requests that would rather wait until their job has ended: `Prefer: wait=N` (RFC 7240).
 *
 *     if (wait_begin(call, &job, on_ended))     // later: on_ended(call, &job, gone)
 *         return;
 *     ... answer now ...
 *
 * A request that waits hangs on the job's watch (watch.h), which the stream of events wakes: Redis
 * is asked once when the wait begins, and then only when something happened to the job. The wait
 * ends with the job, after N seconds, when the client closes its side, or when the dispatcher
 * stops; whoever began it then answers with the job as it is. A wish is no duty: where too many
 * wait already the answer comes at once, without `Preference-Applied`. Loop's thread only. */
#ifndef DARKROOM_DISPATCHER_EVENTS_WAIT_H
#define DARKROOM_DISPATCHER_EVENTS_WAIT_H

#include <stdbool.h>
#include <stdint.h>

struct call;
struct events;
struct job_wait;
struct queue_job;

/* Less than the minute after which proxies give up. */
#define WAIT_MAX_S 50

/* `gone`: the job was erased meanwhile; `job` then tells what is known of it. Borrowed. */
typedef void wait_done(struct call *call, const struct queue_job *job, bool gone);

/* Does the request ask to wait at all? The answer then differs: see docs/api.md. */
bool wait_is_wanted(const struct call *call);

/* True: `done` is called later, exactly once. False: nothing is wanted, the job has ended, or there
 * is no room. Where the wish is or was granted the answer will have `Preference-Applied`. */
bool wait_begin(struct call *call, const struct queue_job *job, wait_done *done);

/* By the number of seconds: each list is in the order of its deadlines. */
struct waits {
    struct job_wait *first[WAIT_MAX_S + 1], *last[WAIT_MAX_S + 1];
    unsigned count, most;
};

/* For events.c and watch.c. Ends what has waited long enough; returns when to be called again. */
int64_t waits_tick(struct waits *waits, int64_t now_ms);
/* Ends a list of waits, which the watch gives up: the job has ended. `job` as above. */
void waits_end(struct job_wait *list, const struct queue_job *job, bool gone);

#endif
