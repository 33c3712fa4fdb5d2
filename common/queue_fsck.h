/* SPDX-License-Identifier: MIT
 *
 * Does the queue hold together? For what was evicted, or deleted and edited by hand.
 *
 *     struct queue_fsck_options options = {.mend = true, .each = print, .object = note};
 *     rc = queue_fsck(&queue, redis, &options, &report, &err);
 *
 * Looks at one shard, page by page, while it is in use: every record must be in exactly one of
 * lane, delay, lease and run, or done; whatever is kept elsewhere must name a record that belongs
 * there; the counters must be what the records say. Each page is one script and looks at a record
 * in one atomic step, so a queue at work gives no false findings; only the counters of a model that
 * moves meanwhile cannot be judged, which is said. Synchronous, one thread. */
#ifndef DARKROOM_COMMON_QUEUE_FSCK_H
#define DARKROOM_COMMON_QUEUE_FSCK_H

#include "common/queue.h"

/* What was found at `name` (without the shard's prefix); both are borrowed. */
typedef void queue_fsck_fn(const char *name, const char *what, bool mended, void *data);
/* An object of the store that a record needs; `key` is borrowed. */
typedef void queue_fsck_object_fn(const char *key, void *data);

struct queue_fsck_options {
    bool mend;
    queue_fsck_fn *each;          /* nullable */
    queue_fsck_object_fn *object; /* nullable */
    void *data;
    int64_t timeout_ms; /* of one page; 0: 10 s */
};

struct queue_fsck_report {
    int64_t records;  /* looked at; one that moves in Redis' tables may be seen twice */
    int64_t findings; /* mended ones included */
    int64_t mended;
    int64_t busy; /* models whose counters could not be judged */
};

/* 0 also with findings. `out` is the sum with what it held before, for several shards. */
int queue_fsck(const struct queue *queue, struct redis *redis,
               const struct queue_fsck_options *options, struct queue_fsck_report *out,
               struct err *err);

#endif
