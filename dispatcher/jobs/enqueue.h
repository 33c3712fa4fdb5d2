/* SPDX-License-Identifier: MIT
 *
 * Prepared jobs on their way into the queue, many in one script.
 *
 *     item->job = (struct queue_submit){...};
 *     item->done = on_enqueued;
 *     item->data = submission;
 *     rc = enqueue_add(dispatcher->enqueue, item);   // refused: `done` is never called
 *     next_ms = enqueue_tick(enqueue, clock_ms());   // of the loop, before Redis' own tick
 *
 * What is added while calls are under way leaves together, as soon as one of them is back: the
 * busier Redis is, the larger the calls, and an idle one gets a job at once. There is no timer.
 * Where many requests came at once the first of them leave while the others are read. Order is
 * kept. Each job is admitted or refused on its own, and each has its own `done`. Items are links of
 * a list and belong to the caller, so adding never needs memory. Loop's thread only. */
#ifndef DARKROOM_DISPATCHER_JOBS_ENQUEUE_H
#define DARKROOM_DISPATCHER_JOBS_ENQUEUE_H

#include "common/err.h"
#include "common/queue.h"
#include "common/queue_idem.h"

#include <stdbool.h>
#include <stdint.h>

struct dispatcher;
struct enqueue;

/* Jobs that may wait here; more are refused. */
#define ENQUEUE_MAX_WAITING 65536

struct enqueue_outcome {
    int rc;                           /* 0, or as of queue_submit_reply() */
    bool unknown;                     /* the answer was lost: the job may be in the queue */
    struct queue_submitted submitted; /* where rc is 0 */
    struct queue_idem_found idem;     /* where rc is ERR_CONFLICT */
    int64_t retry_ms;                 /* where it was full: when there should be room; 0: unknown */
    struct err err;                   /* else */
};

struct enqueue_item {
    struct queue_submit job; /* its texts are borrowed until `done` */
    void (*done)(struct enqueue_item *item, const struct enqueue_outcome *outcome);
    void *data;
    struct enqueue_item *next; /* of this module */
};

int enqueue_create(struct dispatcher *dispatcher, struct enqueue **out);
/* No item may wait any more: after the connection to Redis has ended, a last tick sees to that. */
void enqueue_destroy(struct enqueue **enqueue);

/* With 0, `done` is called exactly once, from the tick or from Redis' callbacks, and `item` is
 * borrowed until then. Otherwise the job has certainly not been sent: ERR_UNAVAILABLE, Redis is
 * away; ERR_LIMIT, too many wait here; ERR_INVALID as of queue_submit_check(). */
int enqueue_add(struct enqueue *enqueue, struct enqueue_item *item, struct err *err);

/* Of the loop, between two requests that are being read: what has gathered by then leaves already,
 * so that Redis works meanwhile. Not from within Redis' callbacks. */
void enqueue_ahead(struct enqueue *enqueue);

/* Sends what waits. Returns when it wants to be called next; INT64_MAX: after an answer. */
int64_t enqueue_tick(struct enqueue *enqueue, int64_t now_ms);

#endif
