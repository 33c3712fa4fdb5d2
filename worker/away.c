/* SPDX-License-Identifier: MIT */
#include "worker/away.h"

#include "common/queue.h"
#include "worker/task.h"

#include <pthread.h>
#include <stdlib.h>

struct away {
    pthread_mutex_t lock;
    bool ended;
    bool shards[QUEUE_SHARDS_MAX];
    struct task *first, **end; /* owned, the first to come first */
    size_t count;
};

struct away *away_create(void)
{
    struct away *away = calloc(1, sizeof *away);
    if (!away)
        return NULL;
    pthread_mutex_init(&away->lock, NULL);
    away->end = &away->first;
    return away;
}

void away_destroy(struct away **away)
{
    if (!*away)
        return;
    for (struct task *task = (*away)->first; task;) {
        struct task *next = task->next;
        task_destroy(&task);
        task = next;
    }
    pthread_mutex_destroy(&(*away)->lock);
    free(*away);
    *away = NULL;
}

bool away_is(struct away *away, unsigned shard)
{
    pthread_mutex_lock(&away->lock);
    bool is_away = away->shards[shard];
    pthread_mutex_unlock(&away->lock);
    return is_away;
}

size_t away_count(struct away *away)
{
    pthread_mutex_lock(&away->lock);
    size_t count = away->count;
    pthread_mutex_unlock(&away->lock);
    return count;
}

/* Lock held. */
static void put(struct away *away, struct task *task)
{
    task->next = NULL;
    *away->end = task;
    away->end = &task->next;
    away->count++;
}

bool away_keep(struct away *away, struct task *task)
{
    pthread_mutex_lock(&away->lock);
    bool kept = away->shards[task->shard];
    if (kept)
        put(away, task);
    pthread_mutex_unlock(&away->lock);
    return kept;
}

/* Lock held. Sorts who waits anew: those of shards that are there go to the caller. */
static struct task *take_back(struct away *away)
{
    struct task *task = away->first, *found = NULL, **end = &found;
    away->first = NULL;
    away->end = &away->first;
    away->count = 0;
    while (task) {
        struct task *next = task->next;
        if (away->shards[task->shard]) {
            put(away, task);
        } else {
            task->next = NULL;
            *end = task;
            end = &task->next;
        }
        task = next;
    }
    return found;
}

struct task *away_set(struct away *away, unsigned shard, bool is_away)
{
    pthread_mutex_lock(&away->lock);
    away->shards[shard] = is_away && !away->ended;
    struct task *found = take_back(away);
    pthread_mutex_unlock(&away->lock);
    return found;
}

struct task *away_end(struct away *away)
{
    pthread_mutex_lock(&away->lock);
    away->ended = true;
    for (unsigned shard = 0; shard < QUEUE_SHARDS_MAX; shard++)
        away->shards[shard] = false;
    struct task *found = take_back(away);
    pthread_mutex_unlock(&away->lock);
    return found;
}
