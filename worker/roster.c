/* SPDX-License-Identifier: MIT */
#include "worker/roster.h"

#include "common/clock.h"
#include "worker/resident.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

struct roster {
    pthread_mutex_t lock;
    pthread_cond_t changed; /* a verdict, or hurried */
    bool hurried;
    int change_fd;
    size_t capacity;
    size_t count;
    struct task *tasks[];
};

struct roster *roster_create(size_t capacity)
{
    struct roster *roster = calloc(1, sizeof *roster + capacity * sizeof roster->tasks[0]);
    if (!roster)
        return NULL;
    roster->capacity = capacity;
    roster->change_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (roster->change_fd < 0) {
        free(roster);
        return NULL;
    }
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&roster->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_mutex_init(&roster->lock, NULL);
    return roster;
}

void roster_destroy(struct roster **roster)
{
    if (!*roster)
        return;
    pthread_mutex_destroy(&(*roster)->lock);
    pthread_cond_destroy(&(*roster)->changed);
    close((*roster)->change_fd);
    free(*roster);
    *roster = NULL;
}

size_t roster_count(struct roster *roster)
{
    pthread_mutex_lock(&roster->lock);
    size_t count = roster->count;
    pthread_mutex_unlock(&roster->lock);
    return count;
}

size_t roster_room(struct roster *roster)
{
    return roster->capacity - roster_count(roster);
}

int roster_change_fd(const struct roster *roster)
{
    return roster->change_fd;
}

void roster_take_change(struct roster *roster)
{
    uint64_t seen;
    ssize_t got = read(roster->change_fd, &seen, sizeof seen);
    (void)got;
}

void roster_nudge(struct roster *roster)
{
    const uint64_t one = 1;
    ssize_t written = write(roster->change_fd, &one, sizeof one);
    (void)written;
}

void roster_add(struct roster *roster, struct task *task)
{
    pthread_mutex_lock(&roster->lock);
    assert(roster->count < roster->capacity);
    roster->tasks[roster->count++] = task;
    pthread_mutex_unlock(&roster->lock);
}

void roster_remove(struct roster *roster, struct task *task)
{
    pthread_mutex_lock(&roster->lock);
    for (size_t i = 0; i < roster->count; i++) {
        if (roster->tasks[i] != task)
            continue;
        roster->tasks[i] = roster->tasks[--roster->count];
        break;
    }
    pthread_mutex_unlock(&roster->lock);
    roster_nudge(roster);
}

/* Lock held. */
static void judge(struct roster *roster, struct task *task, enum task_verdict verdict)
{
    int none = TASK_ON;
    if (atomic_compare_exchange_strong(&task->verdict, &none, verdict))
        pthread_cond_broadcast(&roster->changed);
}

static bool is_overdue(const struct task *task, int64_t limits, int64_t now_ms)
{
    int64_t since_ms = (int64_t)atomic_load(&task->in_network_ms);
    return since_ms > 0 && now_ms >= since_ms + limits * task->limit_ms;
}

bool roster_is_stuck(struct roster *roster)
{
    bool stuck = false;
    int64_t now_ms = clock_ms();
    pthread_mutex_lock(&roster->lock);
    for (size_t i = 0; i < roster->count; i++)
        stuck |= is_overdue(roster->tasks[i], 2, now_ms);
    pthread_mutex_unlock(&roster->lock);
    return stuck;
}

bool roster_outlasts(struct roster *roster, int64_t until_ms)
{
    int64_t since_ms = INT64_MAX, cost_ms = 0;
    bool leaving = false;
    pthread_mutex_lock(&roster->lock);
    for (size_t i = 0; i < roster->count; i++) {
        const struct task *task = roster->tasks[i];
        int64_t began_ms = (int64_t)atomic_load(&task->in_network_ms);
        if (task_verdict(task) != TASK_ON)
            continue;
        leaving |= began_ms == 0 && task->begun && atomic_load(&task->progress_permille) >= 800;
        if (began_ms > 0) {
            since_ms = began_ms < since_ms ? began_ms : since_ms;
            cost_ms += task->resident->manifest->cost_ms;
        }
    }
    pthread_mutex_unlock(&roster->lock);
    return cost_ms > 0 && !leaving && since_ms + cost_ms > until_ms;
}

size_t roster_list(struct roster *roster, unsigned shard, enum task_verdict verdict,
                   struct roster_lease *out_leases, size_t max)
{
    size_t count = 0;
    int64_t now_ms = clock_ms();
    pthread_mutex_lock(&roster->lock);
    for (size_t i = 0; i < roster->count && count < max; i++) {
        struct task *task = roster->tasks[i];
        if (is_overdue(task, 1, now_ms))
            judge(roster, task, TASK_TIMED_OUT);
        if (task->shard != shard || task_verdict(task) != verdict)
            continue;
        out_leases[count++] = (struct roster_lease){
            .id = task->id,
            .epoch = task->epoch,
            .progress_permille = atomic_load(&task->progress_permille),
        };
    }
    pthread_mutex_unlock(&roster->lock);
    return count;
}

void roster_judge(struct roster *roster, unsigned shard, uint64_t id, uint32_t epoch,
                  enum task_verdict verdict)
{
    pthread_mutex_lock(&roster->lock);
    for (size_t i = 0; i < roster->count; i++) {
        struct task *task = roster->tasks[i];
        if (task->shard == shard && task->id == id && task->epoch == epoch)
            judge(roster, task, verdict);
    }
    pthread_mutex_unlock(&roster->lock);
}

bool roster_begin(struct roster *roster, struct task *task)
{
    pthread_mutex_lock(&roster->lock);
    task->begun = task_verdict(task) == TASK_ON;
    pthread_mutex_unlock(&roster->lock);
    return task->begun;
}

static int by_claim(const void *a, const void *b)
{
    const struct task *const *first = a, *const *second = b;
    return ((*first)->claimed_us > (*second)->claimed_us) -
           ((*first)->claimed_us < (*second)->claimed_us);
}

size_t roster_release(struct roster *roster, unsigned shard, struct queue_lease *out_leases,
                      size_t max)
{
    size_t count = 0;
    pthread_mutex_lock(&roster->lock);
    /* The order of this array means nothing to anybody else. */
    qsort(roster->tasks, roster->count, sizeof(struct task *), by_claim);
    for (size_t i = 0; i < roster->count && count < max; i++) {
        struct task *task = roster->tasks[i];
        if (task->shard != shard || task->begun || task_verdict(task) != TASK_ON)
            continue;
        judge(roster, task, TASK_RELEASED);
        out_leases[count++] = (struct queue_lease){task->id, task->epoch};
    }
    pthread_mutex_unlock(&roster->lock);
    return count;
}

static enum task_verdict verdict_of(const struct task *task)
{
    return task ? task_verdict(task) : TASK_ON;
}

enum task_verdict roster_sleep(struct roster *roster, const struct task *task, int64_t ms)
{
    int64_t until_ms = clock_ms() + ms;
    const struct timespec until = {.tv_sec = (time_t)(until_ms / 1000),
                                   .tv_nsec = (long)(until_ms % 1000) * 1000000};
    pthread_mutex_lock(&roster->lock);
    while (!roster->hurried && verdict_of(task) == TASK_ON && clock_ms() < until_ms)
        pthread_cond_timedwait(&roster->changed, &roster->lock, &until);
    pthread_mutex_unlock(&roster->lock);
    return verdict_of(task);
}

void roster_hurry(struct roster *roster)
{
    pthread_mutex_lock(&roster->lock);
    roster->hurried = true;
    pthread_cond_broadcast(&roster->changed);
    pthread_mutex_unlock(&roster->lock);
}

bool roster_is_hurried(struct roster *roster)
{
    pthread_mutex_lock(&roster->lock);
    bool hurried = roster->hurried;
    pthread_mutex_unlock(&roster->lock);
    return hurried;
}
