/* SPDX-License-Identifier: MIT
 *
 * Waits for jobs to end: one thread for each shard sleeps in Redis until something is in the
 * outbox, turns it into rows, and wakes those who send.
 *
 *     rc = outbox_watch_start(&target, queues, queue_count, wake_fds, 2, &watch, &err);
 *     ... poll(wake_fds[0]) ...
 *     outbox_watch_stop(&watch);     // after stop_requested(): the threads have seen it
 *
 * That Redis is away is the senders' to say; the threads only try again. */
#ifndef DARKROOM_DISPATCHER_NOTIFIER_OUTBOX_WATCH_H
#define DARKROOM_DISPATCHER_NOTIFIER_OUTBOX_WATCH_H

#include <stddef.h>

struct err;
struct outbox_watch;
struct queue;
struct redis_target;

#define OUTBOX_WATCH_MAX_WAKE 2

/* `queues` are borrowed until stop; `wake_fds` are eventfds, borrowed as well. */
int outbox_watch_start(const struct redis_target *target, const struct queue *queues,
                       size_t queue_count, const int *wake_fds, size_t wake_count,
                       struct outbox_watch **out, struct err *err);
void outbox_watch_stop(struct outbox_watch **watch);

#endif
