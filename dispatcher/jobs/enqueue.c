/* SPDX-License-Identifier: MIT */
#include "dispatcher/jobs/enqueue.h"

#include "common/redis_async.h"
#include "dispatcher/dispatcher.h"
#include "dispatcher/upkeep/gate.h"

#include <assert.h>
#include <stdlib.h>

/* Calls under way: while Redis works on one, the next are on their way. With more, calls would only
 * get smaller. */
#define MAX_CALLS 4
/* So many leave before the rest of those that came at once have been read. */
#define AHEAD 16
/* Of one call, lest Redis be held up by parsing it. */
#define MAX_CALL_BYTES (512 * 1024)

struct list {
    struct enqueue_item *first, *last;
};

/* What goes to one shard. */
struct lane {
    struct enqueue *enqueue; /* borrowed */
    struct list waiting;
    size_t waiting_count;
    int calls;
};

struct enqueue {
    struct dispatcher *dispatcher; /* borrowed */
    struct lane lanes[QUEUE_SHARDS_MAX];
    size_t waiting_count;                       /* in all lanes */
    bool ahead;                                 /* some lane may send already */
    struct queue_submit jobs[QUEUE_SUBMIT_MAX]; /* of the call that is being built */
};

/* One call under way. */
struct batch {
    struct lane *lane; /* borrowed */
    struct list items;
    struct enqueue_outcome *outcomes; /* owned; of the items, while replicas are waited for */
};

static void list_put(struct list *list, struct enqueue_item *item)
{
    item->next = NULL;
    if (list->first)
        list->last->next = item;
    else
        list->first = item;
    list->last = item;
}

static struct enqueue_item *list_take(struct list *list)
{
    struct enqueue_item *item = list->first;
    if (item)
        list->first = item->next;
    return item;
}

int enqueue_create(struct dispatcher *dispatcher, struct enqueue **out)
{
    struct enqueue *enqueue = calloc(1, sizeof *enqueue);
    if (!enqueue)
        return ERR_NOMEM;
    enqueue->dispatcher = dispatcher;
    for (unsigned shard = 0; shard < dispatcher->shards; shard++)
        enqueue->lanes[shard].enqueue = enqueue;
    *out = enqueue;
    return 0;
}

void enqueue_destroy(struct enqueue **enqueue)
{
    assert(!*enqueue || (*enqueue)->waiting_count == 0);
    free(*enqueue);
    *enqueue = NULL;
}

int enqueue_add(struct enqueue *enqueue, struct enqueue_item *item, struct err *err)
{
    const struct queue *queue = dispatcher_queue_of_flow(enqueue->dispatcher, item->job.flow);
    int rc = queue_submit_check(queue, &item->job, err);
    if (rc < 0)
        return rc;
    if (!dispatcher_redis_usable(enqueue->dispatcher))
        return err_set(err, ERR_UNAVAILABLE, NULL, "the queue cannot be reached");
    if (gate_is_full(enqueue->dispatcher->gate, queue->shard))
        return err_set(err, ERR_UNAVAILABLE, NULL, "the queue's memory is nearly full");
    if (enqueue->waiting_count >= ENQUEUE_MAX_WAITING)
        return err_set(err, ERR_LIMIT, NULL, "too many jobs are on their way into the queue");
    struct lane *lane = &enqueue->lanes[queue->shard];
    list_put(&lane->waiting, item);
    lane->waiting_count++;
    enqueue->waiting_count++;
    enqueue->ahead |= lane->waiting_count >= AHEAD;
    return 0;
}

/* ---- outcomes ---- */

/* Every item of the list failed alike. Their owners may add new items meanwhile. */
static void fail_all(struct list *list, bool unknown)
{
    struct enqueue_item *item;
    struct enqueue_outcome outcome = {.rc = ERR_UNAVAILABLE, .unknown = unknown};
    err_set(&outcome.err, ERR_UNAVAILABLE, NULL, "the queue cannot be reached");
    while ((item = list_take(list)))
        item->done(item, &outcome);
}

static void read_outcome(int rc, const struct redis_reply *reply, size_t index,
                         struct enqueue_outcome *out)
{
    *out = (struct enqueue_outcome){.rc = rc};
    if (rc == 0) {
        out->rc = queue_submit_reply(reply, index, &out->submitted, &out->err);
        out->retry_ms = queue_submit_retry_ms(reply, index);
        queue_submit_idem(reply, index, &out->idem);
    } else {
        redis_reply_check(reply, &out->err);
        /* Refusals of Redis' own come before a script begins; this one stopped within it. */
        out->unknown = rc == ERR_CORRUPT || rc == ERR_INTERNAL;
    }
}

static void free_batch(struct batch *batch)
{
    free(batch->outcomes);
    free(batch);
}

/* ---- replicas, for those who wait for them ---- */

/* What too few replicas have heard of may be lost with the master: it counts as not accepted, and
 * whoever asked for it takes it back. */
static void on_replicated(int rc, const struct redis_reply *reply, void *data)
{
    struct batch *batch = data;
    struct enqueue_item *item;
    const struct settings *settings = batch->lane->enqueue->dispatcher->settings;
    bool enough = rc == 0 && redis_reply_int(reply) >= settings->redis_wait_replicas;
    batch->lane->calls--;
    for (size_t i = 0; (item = list_take(&batch->items)); i++) {
        struct enqueue_outcome *outcome = &batch->outcomes[i];
        if (outcome->rc == 0 && !enough) {
            *outcome = (struct enqueue_outcome){.rc = ERR_UNAVAILABLE, .unknown = true};
            err_set(&outcome->err, ERR_UNAVAILABLE, NULL, "too few replicas have heard of the job");
        }
        item->done(item, outcome);
    }
    free_batch(batch);
}

/* WAIT counts what this connection has written; so it goes where the jobs went. False where the
 * answers can be given at once: there is nothing to wait for. */
static bool wait_for_replicas(struct batch *batch, const struct redis_reply *reply)
{
    struct dispatcher *dispatcher = batch->lane->enqueue->dispatcher;
    const struct settings *settings = dispatcher->settings;
    const struct list *items = &batch->items;
    size_t count = 0;
    if (settings->redis_wait_replicas == 0)
        return false;
    for (const struct enqueue_item *item = items->first; item; item = item->next)
        count++;
    batch->outcomes = calloc(count, sizeof *batch->outcomes);
    for (size_t i = 0; batch->outcomes && i < count; i++)
        read_outcome(0, reply, i, &batch->outcomes[i]);
    redis_command_clear(&dispatcher->command);
    redis_command_text(&dispatcher->command, "WAIT");
    redis_command_int(&dispatcher->command, settings->redis_wait_replicas);
    redis_command_int(&dispatcher->command, settings->redis_wait_ms);
    dispatcher->command.slot = queue_slot(
        dispatcher_queue(dispatcher, (unsigned)(batch->lane - batch->lane->enqueue->lanes)));
    if (batch->outcomes && dispatcher_send(dispatcher, on_replicated, batch) == 0) {
        batch->lane->calls++;
    } else {
        fail_all(&batch->items, true);
        free_batch(batch);
    }
    return true;
}

static void on_submitted(int rc, const struct redis_reply *reply, void *data)
{
    struct batch *batch = data;
    struct enqueue_item *item;
    batch->lane->calls--;
    if (rc == 0 && wait_for_replicas(batch, reply))
        return;
    if (!reply)
        fail_all(&batch->items, true);
    for (size_t i = 0; (item = list_take(&batch->items)); i++) {
        struct enqueue_outcome outcome;
        read_outcome(rc, reply, i, &outcome);
        item->done(item, &outcome);
    }
    free_batch(batch);
}

/* ---- calls ---- */

/* Moves as many as one call may have; gives their number. */
static size_t fill(struct lane *lane, struct batch *batch)
{
    struct enqueue *enqueue = lane->enqueue;
    size_t count = 0, bytes = 0;
    while (lane->waiting.first && count < QUEUE_SUBMIT_MAX) {
        const struct queue_submit *job = &lane->waiting.first->job;
        if (count > 0 && queue_submit_waits(job) != queue_submit_waits(&enqueue->jobs[0]))
            break;
        bytes += job->spec_size + job->notify_blob_size + job->extra_size;
        if (count > 0 && bytes > MAX_CALL_BYTES)
            break;
        enqueue->jobs[count++] = *job;
        list_put(&batch->items, list_take(&lane->waiting));
    }
    lane->waiting_count -= count;
    enqueue->waiting_count -= count;
    return count;
}

static void send(struct lane *lane)
{
    struct enqueue *enqueue = lane->enqueue;
    struct dispatcher *dispatcher = enqueue->dispatcher;
    const struct queue *queue = dispatcher_queue(dispatcher, (unsigned)(lane - enqueue->lanes));
    struct batch *batch = calloc(1, sizeof *batch);
    struct batch none = {.lane = lane};
    if (!batch) {
        fill(lane, &none);
        fail_all(&none.items, false);
        return;
    }
    batch->lane = lane;
    size_t count = fill(lane, batch);
    queue_submit_command(queue, enqueue->jobs, count, &dispatcher->command);
    if (dispatcher_send(dispatcher, on_submitted, batch) == 0) {
        lane->calls++;
    } else {
        fail_all(&batch->items, false);
        free_batch(batch);
    }
}

void enqueue_ahead(struct enqueue *enqueue)
{
    if (!enqueue->ahead)
        return;
    enqueue->ahead = false;
    for (unsigned shard = 0; shard < enqueue->dispatcher->shards; shard++) {
        struct lane *lane = &enqueue->lanes[shard];
        if (lane->waiting_count >= AHEAD && lane->calls < MAX_CALLS)
            send(lane);
    }
    redis_async_flush(enqueue->dispatcher->redis);
}

int64_t enqueue_tick(struct enqueue *enqueue, int64_t now_ms)
{
    bool failed = enqueue->waiting_count > 0 && !dispatcher_redis_usable(enqueue->dispatcher);
    enqueue->ahead = false;
    if (failed)
        enqueue->waiting_count = 0;
    for (unsigned shard = 0; shard < enqueue->dispatcher->shards; shard++) {
        struct lane *lane = &enqueue->lanes[shard];
        if (failed) {
            lane->waiting_count = 0;
            fail_all(&lane->waiting, false);
        }
        while (lane->waiting.first && lane->calls < MAX_CALLS)
            send(lane);
    }
    /* Answers that were just given go out in the next turn. */
    return failed ? now_ms : INT64_MAX;
}
