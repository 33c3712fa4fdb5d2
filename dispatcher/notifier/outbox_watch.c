/* SPDX-License-Identifier: MIT */
#include "dispatcher/notifier/outbox_watch.h"

#include "common/backoff.h"
#include "common/err.h"
#include "common/queue_outbox.h"
#include "common/redis.h"
#include "common/stop.h"

#include <assert.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#define CALL_MS 2000
#define BLOCK_MS 250 /* the longest that a stop goes unseen */

struct watcher {
    struct outbox_watch *watch; /* borrowed */
    const struct queue *queue;  /* borrowed */
    struct redis *redis;        /* owned */
    pthread_t thread;
    bool started;
};

struct outbox_watch {
    int wake_fds[OUTBOX_WATCH_MAX_WAKE];
    size_t wake_count, count;
    struct watcher watchers[];
};

static void wake(const struct outbox_watch *watch)
{
    const uint64_t one = 1;
    for (size_t i = 0; i < watch->wake_count; i++)
        (void)!write(watch->wake_fds[i], &one, sizeof one);
}

static void pause_ms(int64_t ms)
{
    struct pollfd stop = {.fd = stop_fd(), .events = POLLIN};
    poll(&stop, 1, (int)ms);
}

static void *run(void *argument)
{
    struct watcher *watcher = argument;
    struct backoff backoff = {.base_ms = 50, .max_ms = 2000};
    while (!stop_requested()) {
        int moved = 0;
        int rc = queue_notify_wait(watcher->queue, watcher->redis, BLOCK_MS, NULL);
        if (rc == 0)
            rc = queue_notify_intake(watcher->queue, watcher->redis, CALL_MS, &moved, NULL);
        /* Also where somebody else has made the rows: any notifier may send them. */
        if (rc == 0)
            wake(watcher->watch);
        if (rc == 0 || rc == ERR_TIMEOUT)
            backoff_reset(&backoff);
        else
            pause_ms(backoff_next_ms(&backoff));
    }
    return NULL;
}

int outbox_watch_start(const struct redis_target *target, const struct queue *queues,
                       size_t queue_count, const int *wake_fds, size_t wake_count,
                       struct outbox_watch **out, struct err *err)
{
    struct outbox_watch *watch = calloc(1, sizeof *watch + queue_count * sizeof watch->watchers[0]);
    if (!watch)
        return ERR_NOMEM;
    assert(wake_count <= OUTBOX_WATCH_MAX_WAKE);
    for (size_t i = 0; i < wake_count; i++)
        watch->wake_fds[i] = wake_fds[i];
    watch->wake_count = wake_count;
    watch->count = queue_count;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < queue_count; i++) {
        struct watcher *watcher = &watch->watchers[i];
        watcher->watch = watch;
        watcher->queue = &queues[i];
        rc = redis_create(target, &watcher->redis, err);
        if (rc == 0 && pthread_create(&watcher->thread, NULL, run, watcher) != 0)
            rc = err_set(err, ERR_UNAVAILABLE, NULL, "no thread can be started");
        watcher->started = rc == 0;
    }
    if (rc < 0) {
        stop_request(); /* those that run must see an end; so does the program, with this error */
        outbox_watch_stop(&watch);
    } else {
        *out = watch;
    }
    return rc;
}

void outbox_watch_stop(struct outbox_watch **slot)
{
    struct outbox_watch *watch = *slot;
    *slot = NULL;
    if (!watch)
        return;
    assert(stop_requested());
    for (size_t i = 0; i < watch->count; i++) {
        struct watcher *watcher = &watch->watchers[i];
        if (watcher->started)
            pthread_join(watcher->thread, NULL);
        redis_destroy(&watcher->redis);
    }
    free(watch);
}
