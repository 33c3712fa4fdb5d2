/* SPDX-License-Identifier: MIT */
#include "worker/ring.h"

#include "common/err.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

struct ring {
    pthread_mutex_t lock;
    pthread_cond_t readable;
    pthread_cond_t writable;
    bool closed;
    size_t capacity;
    size_t head; /* index of the oldest item */
    size_t count;
    void *items[];
};

struct ring *ring_create(size_t capacity)
{
    assert(capacity > 0);
    struct ring *ring = calloc(1, sizeof *ring + capacity * sizeof ring->items[0]);
    if (!ring)
        return NULL;
    ring->capacity = capacity;
    pthread_mutex_init(&ring->lock, NULL);
    pthread_cond_init(&ring->readable, NULL);
    pthread_cond_init(&ring->writable, NULL);
    return ring;
}

void ring_destroy(struct ring **ring)
{
    if (!*ring)
        return;
    pthread_cond_destroy(&(*ring)->writable);
    pthread_cond_destroy(&(*ring)->readable);
    pthread_mutex_destroy(&(*ring)->lock);
    free(*ring);
    *ring = NULL;
}

int ring_push(struct ring *ring, void *item)
{
    int rc = ERR_CANCELLED;
    pthread_mutex_lock(&ring->lock);
    while (ring->count == ring->capacity && !ring->closed)
        pthread_cond_wait(&ring->writable, &ring->lock);
    if (!ring->closed) {
        ring->items[(ring->head + ring->count++) % ring->capacity] = item;
        pthread_cond_signal(&ring->readable);
        rc = 0;
    }
    pthread_mutex_unlock(&ring->lock);
    return rc;
}

/* Lock held, ring not empty. */
static void *take(struct ring *ring)
{
    void *item = ring->items[ring->head];
    ring->head = (ring->head + 1) % ring->capacity;
    ring->count--;
    pthread_cond_signal(&ring->writable);
    return item;
}

int ring_pop(struct ring *ring, void **out_item)
{
    int rc = ERR_CANCELLED;
    pthread_mutex_lock(&ring->lock);
    while (ring->count == 0 && !ring->closed)
        pthread_cond_wait(&ring->readable, &ring->lock);
    if (ring->count > 0) {
        *out_item = take(ring);
        rc = 0;
    }
    pthread_mutex_unlock(&ring->lock);
    return rc;
}

bool ring_try_pop(struct ring *ring, void **out_item)
{
    pthread_mutex_lock(&ring->lock);
    bool found = ring->count > 0;
    if (found)
        *out_item = take(ring);
    pthread_mutex_unlock(&ring->lock);
    return found;
}

void ring_close(struct ring *ring)
{
    pthread_mutex_lock(&ring->lock);
    ring->closed = true;
    pthread_cond_broadcast(&ring->readable);
    pthread_cond_broadcast(&ring->writable);
    pthread_mutex_unlock(&ring->lock);
}

size_t ring_count(struct ring *ring)
{
    pthread_mutex_lock(&ring->lock);
    size_t count = ring->count;
    pthread_mutex_unlock(&ring->lock);
    return count;
}
