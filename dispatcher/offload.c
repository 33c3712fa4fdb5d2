/* SPDX-License-Identifier: MIT */
#include "dispatcher/offload.h"

#include "common/err.h"

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* libcurl with TLS is the deepest thing that runs here. */
#define STACK_BYTES (256 * 1024)
#define MAX_THREADS 16

struct item {
    offload_function *work, *done;
    void *task;
};

struct ring {
    struct item *items; /* owned; capacity of the offload */
    unsigned head, count;
};

struct offload {
    pthread_mutex_t lock; /* guards both rings and `stop` */
    pthread_cond_t wake;
    struct ring todo, ended;
    unsigned capacity;
    bool stop;
    unsigned pending; /* the loop's own count */
    int fd;
    pthread_t threads[MAX_THREADS];
    unsigned thread_count;
};

static void ring_put(struct offload *offload, struct ring *ring, struct item item)
{
    ring->items[(ring->head + ring->count++) % offload->capacity] = item;
}

static struct item ring_take(struct offload *offload, struct ring *ring)
{
    struct item item = ring->items[ring->head];
    ring->head = (ring->head + 1) % offload->capacity;
    ring->count--;
    return item;
}

static void *run(void *argument)
{
    struct offload *offload = argument;
    pthread_mutex_lock(&offload->lock);
    for (;;) {
        while (offload->todo.count == 0 && !offload->stop)
            pthread_cond_wait(&offload->wake, &offload->lock);
        if (offload->todo.count == 0)
            break;
        struct item item = ring_take(offload, &offload->todo);
        pthread_mutex_unlock(&offload->lock);
        item.work(item.task);
        pthread_mutex_lock(&offload->lock);
        ring_put(offload, &offload->ended, item);
        if (offload->ended.count == 1) {
            uint64_t one = 1;
            ssize_t written = write(offload->fd, &one, sizeof one);
            (void)written; /* the counter cannot be full */
        }
    }
    pthread_mutex_unlock(&offload->lock);
    return NULL;
}

/* Signals belong to the main thread. */
static int start_threads(struct offload *offload, unsigned threads)
{
    pthread_attr_t attributes;
    sigset_t all, before;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = 0;
    while (rc == 0 && offload->thread_count < threads) {
        if (pthread_create(&offload->threads[offload->thread_count], &attributes, run, offload))
            rc = ERR_NOMEM;
        else
            offload->thread_count++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return rc;
}

int offload_open(unsigned threads, unsigned capacity, struct offload **out, struct err *err)
{
    if (threads > MAX_THREADS)
        threads = MAX_THREADS;
    struct offload *offload = calloc(1, sizeof *offload);
    if (!offload)
        return err_set(err, ERR_NOMEM, NULL, "no memory for the thread pool");
    pthread_mutex_init(&offload->lock, NULL);
    pthread_cond_init(&offload->wake, NULL);
    offload->capacity = capacity;
    offload->todo.items = calloc(capacity, sizeof(struct item));
    offload->ended.items = calloc(capacity, sizeof(struct item));
    offload->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (!offload->todo.items || !offload->ended.items || offload->fd < 0 ||
        start_threads(offload, threads) < 0) {
        offload_close(&offload);
        return err_set(err, ERR_NOMEM, NULL, "the thread pool does not start");
    }
    *out = offload;
    return 0;
}

void offload_close(struct offload **slot)
{
    struct offload *offload = *slot;
    *slot = NULL;
    if (!offload)
        return;
    pthread_mutex_lock(&offload->lock);
    offload->stop = true;
    pthread_cond_broadcast(&offload->wake);
    pthread_mutex_unlock(&offload->lock);
    for (unsigned i = 0; i < offload->thread_count; i++)
        pthread_join(offload->threads[i], NULL);
    if (offload->fd >= 0)
        close(offload->fd);
    free(offload->todo.items);
    free(offload->ended.items);
    pthread_cond_destroy(&offload->wake);
    pthread_mutex_destroy(&offload->lock);
    free(offload);
}

int offload_fd(const struct offload *offload)
{
    return offload->fd;
}

int offload_submit(struct offload *offload, offload_function *work, offload_function *done,
                   void *task)
{
    if (offload->pending == offload->capacity)
        return ERR_LIMIT;
    offload->pending++;
    pthread_mutex_lock(&offload->lock);
    ring_put(offload, &offload->todo, (struct item){work, done, task});
    pthread_cond_signal(&offload->wake);
    pthread_mutex_unlock(&offload->lock);
    return 0;
}

void offload_finish(struct offload *offload)
{
    uint64_t count;
    ssize_t got = read(offload->fd, &count, sizeof count);
    (void)got; /* only resets it; the ring says what there is */
    pthread_mutex_lock(&offload->lock);
    while (offload->ended.count > 0) {
        struct item item = ring_take(offload, &offload->ended);
        pthread_mutex_unlock(&offload->lock);
        offload->pending--;
        item.done(item.task); /* may submit again */
        pthread_mutex_lock(&offload->lock);
    }
    pthread_mutex_unlock(&offload->lock);
}

unsigned offload_pending(const struct offload *offload)
{
    return offload->pending;
}
