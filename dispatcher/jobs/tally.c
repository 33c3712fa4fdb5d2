/* SPDX-License-Identifier: MIT */
#include "dispatcher/jobs/tally.h"

#include "common/err.h"
#include "dispatcher/dispatcher.h"
#include "dispatcher/events/fanout.h"

#include <stdlib.h>

struct tally {
    tally_done *done;
    void *data;
    const char *const *names; /* borrowed while the question is asked */
    size_t count;
    struct queue_counters sums[];
};

static int64_t larger(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* A mean over what each shard has finished. */
static int64_t mean_service(const struct queue_counters *sum, const struct queue_counters *shard)
{
    double all = (double)sum->succeeded + (double)shard->succeeded;
    if (sum->service_ms == 0 || shard->service_ms == 0 || all <= 0)
        return larger(sum->service_ms, shard->service_ms);
    return (int64_t)(((double)sum->service_ms * (double)sum->succeeded +
                      (double)shard->service_ms * (double)shard->succeeded) /
                     all);
}

static void add(struct queue_counters *sum, const struct queue_counters *shard)
{
    sum->service_ms = mean_service(sum, shard);
    sum->queued += shard->queued;
    sum->running += shard->running;
    sum->delayed += shard->delayed;
    sum->dead += shard->dead;
    sum->submitted += shard->submitted;
    sum->succeeded += shard->succeeded;
    sum->failed += shard->failed;
    sum->cancelled += shard->cancelled;
    sum->lost += shard->lost;
    sum->rated_up += shard->rated_up;
    sum->rated_down += shard->rated_down;
    sum->workers = larger(sum->workers, shard->workers);
    sum->slots = larger(sum->slots, shard->slots);
    sum->oldest_ms = larger(sum->oldest_ms, shard->oldest_ms);
    sum->paused = larger(sum->paused, shard->paused);
}

static void build(const struct queue *queue, struct redis_command *command, void *data)
{
    const struct tally *tally = data;
    queue_counters_command(queue, tally->names, tally->count, command);
}

static int read(const struct queue *queue, const struct redis_reply *reply, void *data)
{
    (void)queue;
    struct tally *tally = data;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < tally->count; i++) {
        struct queue_counters counters;
        rc = queue_counters_reply(reply, i, &counters, NULL);
        if (rc == 0)
            add(&tally->sums[i], &counters);
    }
    return rc;
}

static void finish(int rc, void *data)
{
    struct tally *tally = data;
    tally->done(rc, rc == 0 ? tally->sums : NULL, tally->data);
    free(tally);
}

int tally_ask(struct dispatcher *dispatcher, const char *const *names, size_t count,
              tally_done *done, void *data)
{
    static const struct fanout_verbs verbs = {build, read, finish};
    struct tally *tally = calloc(1, sizeof *tally + count * sizeof tally->sums[0]);
    if (!tally)
        return ERR_NOMEM;
    *tally = (struct tally){.done = done, .data = data, .names = names, .count = count};
    int rc = fanout_ask(dispatcher, &verbs, tally);
    if (rc < 0)
        free(tally);
    return rc;
}

int tally_ask_all(struct dispatcher *dispatcher, tally_done *done, void *data)
{
    size_t count = dispatcher->models.count;
    const char **names = calloc(count + 1, sizeof *names);
    if (!names)
        return ERR_NOMEM;
    for (size_t i = 0; i < count; i++)
        names[i] = dispatcher->models.items[i].name;
    int rc = tally_ask(dispatcher, names, count, done, data);
    free(names);
    return rc;
}
