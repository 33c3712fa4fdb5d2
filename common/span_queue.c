/* SPDX-License-Identifier: MIT */
#include "common/span_queue.h"

#include "common/clock.h"
#include "common/err.h"
#include "common/span.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

struct span_queue {
    pthread_mutex_t lock; /* guards the rest */
    pthread_cond_t news;  /* enough are there, or it is closed */
    size_t wanted;        /* by the one that sleeps; 0: nobody does */
    size_t first, count, capacity;
    uint64_t dropped;
    bool closed;
    struct span spans[];
};

int span_queue_create(size_t capacity, struct span_queue **out_queue)
{
    pthread_condattr_t attributes;
    struct span_queue *queue = calloc(1, sizeof *queue + capacity * sizeof queue->spans[0]);
    if (!queue)
        return ERR_NOMEM;
    queue->capacity = capacity;
    pthread_mutex_init(&queue->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&queue->news, &attributes);
    pthread_condattr_destroy(&attributes);
    *out_queue = queue;
    return 0;
}

void span_queue_destroy(struct span_queue **slot)
{
    struct span_queue *queue = *slot;
    *slot = NULL;
    if (!queue)
        return;
    for (size_t i = 0; i < queue->count; i++)
        span_fini(&queue->spans[(queue->first + i) % queue->capacity]);
    pthread_cond_destroy(&queue->news);
    pthread_mutex_destroy(&queue->lock);
    free(queue);
}

void span_queue_put(struct span_queue *queue, struct span *spans, size_t count)
{
    pthread_mutex_lock(&queue->lock);
    bool fits = !queue->closed && count <= queue->capacity - queue->count;
    for (size_t i = 0; fits && i < count; i++)
        queue->spans[(queue->first + queue->count++) % queue->capacity] = spans[i];
    if (!fits)
        queue->dropped += count;
    bool wake = queue->wanted > 0 && queue->count >= queue->wanted;
    if (wake)
        queue->wanted = 0; /* told once */
    pthread_mutex_unlock(&queue->lock);
    if (wake)
        pthread_cond_signal(&queue->news);
    for (size_t i = 0; !fits && i < count; i++)
        span_fini(&spans[i]);
}

static struct timespec time_after(int64_t ms)
{
    int64_t end_us = clock_us() + ms * 1000;
    return (struct timespec){.tv_sec = (time_t)(end_us / 1000000),
                             .tv_nsec = (long)(end_us % 1000000) * 1000};
}

/* With the lock held. Sleeps until `wanted` are there (SIZE_MAX: never), closed, or in time. */
static void sleep_until(struct span_queue *queue, size_t wanted, int64_t max_wait_ms)
{
    const struct timespec end = time_after(max_wait_ms);
    int rc = 0;
    while (!queue->closed && queue->count < wanted && rc != ETIMEDOUT) {
        queue->wanted = wanted;
        rc = pthread_cond_timedwait(&queue->news, &queue->lock, &end);
    }
    queue->wanted = 0;
}

size_t span_queue_take(struct span_queue *queue, struct span *out_spans, size_t count,
                       int64_t max_wait_ms)
{
    size_t taken = 0;
    pthread_mutex_lock(&queue->lock);
    sleep_until(queue, count, max_wait_ms);
    for (; taken < count && queue->count > 0; taken++, queue->count--) {
        out_spans[taken] = queue->spans[queue->first];
        queue->first = (queue->first + 1) % queue->capacity;
    }
    pthread_mutex_unlock(&queue->lock);
    return taken;
}

bool span_queue_wait_closed(struct span_queue *queue, int64_t max_wait_ms)
{
    pthread_mutex_lock(&queue->lock);
    sleep_until(queue, SIZE_MAX, max_wait_ms);
    bool closed = queue->closed;
    pthread_mutex_unlock(&queue->lock);
    return closed;
}

void span_queue_close(struct span_queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    queue->closed = true;
    pthread_mutex_unlock(&queue->lock);
    pthread_cond_broadcast(&queue->news);
}

uint64_t span_queue_dropped(struct span_queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    uint64_t dropped = queue->dropped;
    pthread_mutex_unlock(&queue->lock);
    return dropped;
}
