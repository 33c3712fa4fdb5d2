/* SPDX-License-Identifier: MIT
 *
 * What events.c (the reading of the streams, who is shown what) and events_open.c (the route, those
 * who come back) share, and nobody else. Loop's thread only. */
#ifndef DARKROOM_DISPATCHER_EVENTS_EVENTS_PARTS_H
#define DARKROOM_DISPATCHER_EVENTS_EVENTS_PARTS_H

#include "common/redis.h"
#include "dispatcher/events/wait.h"
#include "dispatcher/events/watch.h"
#include "dispatcher/events/window.h"

#include <stdbool.h>
#include <stdint.h>

struct dispatcher;
struct redis_async;
struct sse;
struct visit;

struct model_mark {
    char name[JOB_MODEL_SIZE];
    bool moved; /* something happened since the present round over the positions began */
    bool asked; /* by that round */
};

/* A connection that waits for the events of some shards: of all, or in a cluster, where one command
 * cannot wait for the keys of several slots, of one. */
struct feed {
    struct events *events;
    struct redis_async *redis; /* owned */
    unsigned first, count;     /* shards */
    bool was_connected, reading;
    int64_t asked_ms; /* when the present reading began */
};

struct events {
    struct dispatcher *dispatcher;
    struct feed *feeds; /* owned */
    unsigned feed_count;
    struct watches watches;
    struct waits waits;
    struct sse *sse; /* owned */
    struct window windows[QUEUE_SHARDS_MAX];
    char last_ids[QUEUE_SHARDS_MAX][QUEUE_EVENT_ID_SIZE];
    struct visit *returning; /* of clients who wait for the window to reach their job */
    bool ended;
    struct model_mark *marks;      /* owned; one for each model */
    struct model_mark *next_marks; /* owned; of a reload under way, or NULL */
    int64_t positions_ms;          /* when they are due */
    size_t position_bucket;        /* where the round goes on; WATCH_BUCKETS: it is over */
    int position_batches;          /* under way */
    struct redis_command command;
};

/* Would both be shown alike? */
bool events_same_view(const struct queue_job *a, const struct queue_job *b);
/* The changes of the job's shard. */
struct window *events_window(struct events *events, const char *public_id);

/* Of those who came back and wait for the window: opens what can be opened; returns when to be
 * called again. Or answers them all with 503. */
int64_t events_retry_returning(struct events *events, int64_t now_ms);
void events_refuse_returning(struct events *events);

#endif
