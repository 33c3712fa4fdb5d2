/* SPDX-License-Identifier: MIT */
#include "dispatcher/upkeep/housekeeping.h"

#include "common/clock.h"
#include "common/err.h"
#include "common/log.h"
#include "common/queue_limits.h"
#include "common/queue_outbox.h"
#include "dispatcher/dispatcher.h"
#include "dispatcher/offload.h"
#include "dispatcher/upkeep/gate.h"
#include "dispatcher/upkeep/purge.h"

#include <stdio.h>
#include <stdlib.h>

#define TICK_MS 500 /* and at least three times in a lease */
#define TRASH_MS 500
/* A key whose deletion failed, or whose dispatcher died, is lent out again after so long. */
#define TRASH_LEASE_MS 15000
#define TRASH_KEYS 32

/* The tick of one shard. */
struct ticker {
    struct housekeeping *housekeeping;
    unsigned shard;
    int64_t due_ms;
    size_t tell; /* what its queue is told next: 0 the visitors' limits, then each model's */
    bool told;   /* all of it, once */
    bool asked;
};

struct housekeeping {
    struct dispatcher *dispatcher;
    struct ticker tickers[QUEUE_SHARDS_MAX];
    int64_t trash_ms;     /* when the next is due */
    unsigned trash_shard; /* whose trash it is */
    bool taking, deleting;
    char keys[TRASH_KEYS][JOB_KEY_SIZE];
    bool deleted[TRASH_KEYS];
    size_t key_count;
    int rc; /* the last failure of the thread */
    struct err err;
};

int housekeeping_create(struct dispatcher *dispatcher, struct housekeeping **out)
{
    struct housekeeping *housekeeping = calloc(1, sizeof *housekeeping);
    if (!housekeeping)
        return ERR_NOMEM;
    housekeeping->dispatcher = dispatcher;
    for (unsigned shard = 0; shard < dispatcher->shards; shard++)
        housekeeping->tickers[shard] =
            (struct ticker){.housekeeping = housekeeping, .shard = shard};
    *out = housekeeping;
    return 0;
}

void housekeeping_tell_again(struct housekeeping *housekeeping)
{
    for (unsigned shard = 0; shard < housekeeping->dispatcher->shards; shard++) {
        housekeeping->tickers[shard].tell = 0;
        housekeeping->tickers[shard].told = false;
    }
}

void housekeeping_destroy(struct housekeeping **housekeeping)
{
    free(*housekeeping);
    *housekeeping = NULL;
}

/* ---- the queue's own tick ---- */

static void on_ticked(int rc, const struct redis_reply *reply, void *data)
{
    struct ticker *ticker = data;
    struct queue_ticked ticked = {0};
    struct err err = {0};
    ticker->asked = false;
    if (rc == 0)
        rc = queue_tick_reply(reply, &ticked, &err);
    else
        redis_reply_check(reply, &err);
    if (rc == ERR_PROTOCOL)
        gate_look_again(ticker->housekeeping->dispatcher->gate, ticker->shard);
    /* Reading there goes on working: jobs that were accepted elsewhere would be unknown. */
    if (redis_reply_is_cut_off(reply))
        gate_refuse(ticker->housekeeping->dispatcher->gate, ticker->shard, rc, &err);
    if (rc < 0 && rc != ERR_UNAVAILABLE)
        log_event(LOG_ERROR, "queue.tick-failed", "shard", LOG_I, (int64_t)ticker->shard, "code",
                  LOG_S, err_name(rc), "detail", LOG_S, err.text, NULL);
    if (rc < 0)
        return;
    if (ticked.more)
        ticker->due_ms = clock_ms();
    if (ticked.graced)
        log_event(LOG_WARN, "queue.gap", "shard", LOG_I, (int64_t)ticker->shard, "detail", LOG_S,
                  "nobody ticked for longer than a lease; every lease got one more term", NULL);
    if (ticked.expired || ticked.buried)
        log_event(LOG_WARN, "queue.leases-expired", "shard", LOG_I, (int64_t)ticker->shard,
                  "expired", LOG_I, (int64_t)ticked.expired, "buried", LOG_I,
                  (int64_t)ticked.buried, NULL);
    if (ticked.promoted || ticked.forgotten)
        log_event(LOG_DEBUG, "queue.ticked", "promoted", LOG_I, (int64_t)ticked.promoted,
                  "forgotten", LOG_I, (int64_t)ticked.forgotten, NULL);
}

/* All at first, ahead of the first job. Then one thing with each tick, and round again for ever:
 * whoever emptied Redis or wrote other limits into it is put right. Nothing depends on an answer.
 */
static int tell_next(struct ticker *ticker, const struct queue *queue)
{
    struct dispatcher *dispatcher = ticker->housekeeping->dispatcher;
    const struct settings *settings = dispatcher->settings;
    if (ticker->tell == 0) {
        queue_flow_limits_command(queue, QUEUE_VISITORS, settings->visitor_running,
                                  settings->visitor_per_minute, &dispatcher->command);
    } else {
        const struct manifest *model = &dispatcher->models.items[ticker->tell - 1];
        queue_model_command(queue,
                            &(struct queue_model){.model = model->name,
                                                  .past_due_ms = model->past_due_ms,
                                                  .input_ms = 1000 * model->input_s,
                                                  .result_ms = 1000 * model->result_s},
                            &dispatcher->command);
    }
    int rc = dispatcher_send(dispatcher, NULL, NULL);
    if (rc == 0)
        ticker->tell = (ticker->tell + 1) % (dispatcher->models.count + 1);
    ticker->told |= rc == 0 && ticker->tell == 0;
    return rc;
}

/* Returns when the next one is due. */
static int64_t tick_shard(struct ticker *ticker, int64_t now_ms)
{
    struct dispatcher *dispatcher = ticker->housekeeping->dispatcher;
    const struct queue *queue = dispatcher_queue(dispatcher, ticker->shard);
    while (!ticker->told && tell_next(ticker, queue) == 0)
        ;
    if (!ticker->asked && now_ms >= ticker->due_ms) {
        ticker->due_ms = now_ms + (queue->lease_ms / 3 < TICK_MS ? queue->lease_ms / 3 : TICK_MS);
        queue_tick_command(queue, &dispatcher->command);
        ticker->asked = dispatcher_send(dispatcher, on_ticked, ticker) == 0;
        if (ticker->asked)
            tell_next(ticker, queue);
    }
    return ticker->asked ? INT64_MAX : ticker->due_ms;
}

/* ---- trash ---- */

/* On a thread. One failure says enough about a store that is away: the rest waits. */
static void delete_keys(void *task)
{
    struct housekeeping *housekeeping = task;
    struct store *store = housekeeping->dispatcher->store;
    housekeeping->rc = 0;
    housekeeping->err = (struct err){0};
    for (size_t i = 0; i < housekeeping->key_count; i++) {
        housekeeping->deleted[i] = false;
        if (housekeeping->rc == ERR_UNAVAILABLE || housekeeping->rc == ERR_TIMEOUT)
            continue;
        int rc = store_delete(store, housekeeping->keys[i], &housekeeping->err);
        housekeeping->deleted[i] = rc == 0;
        if (rc < 0)
            housekeeping->rc = rc;
    }
}

static void on_deleted(void *task)
{
    struct housekeeping *housekeeping = task;
    struct dispatcher *dispatcher = housekeeping->dispatcher;
    const char *keys[TRASH_KEYS];
    size_t count = 0;
    housekeeping->deleting = false;
    for (size_t i = 0; i < housekeeping->key_count; i++)
        if (housekeeping->deleted[i])
            keys[count++] = housekeeping->keys[i];
    if (housekeeping->rc < 0)
        log_event(LOG_WARN, "trash.kept", "keys", LOG_I, (int64_t)(housekeeping->key_count - count),
                  "code", LOG_S, err_name(housekeeping->rc), "detail", LOG_S,
                  housekeeping->err.text, NULL);
    if (housekeeping->rc == 0 && housekeeping->key_count == TRASH_KEYS)
        housekeeping->trash_ms = clock_ms(); /* there is more, most likely */
    unsigned shard = housekeeping->trash_shard;
    housekeeping->trash_shard = (shard + 1) % dispatcher->shards;
    if (count == 0)
        return;
    /* Whether this one arrives does not matter: the keys are lent out again, and deleting what is
     * not there succeeds. */
    queue_trash_done_command(dispatcher_queue(dispatcher, shard), keys, count,
                             purge_is_on(dispatcher->purge), &dispatcher->command);
    dispatcher_send(dispatcher, NULL, NULL);
}

static void on_taken(int rc, const struct redis_reply *reply, void *data)
{
    struct housekeeping *housekeeping = data;
    const char *key;
    housekeeping->taking = false;
    housekeeping->key_count = 0;
    while (rc == 0 && housekeeping->key_count < TRASH_KEYS &&
           (key = queue_trash_key(reply, housekeeping->key_count)))
        snprintf(housekeeping->keys[housekeeping->key_count++], JOB_KEY_SIZE, "%s", key);
    if (housekeeping->key_count == 0) {
        housekeeping->trash_shard =
            (housekeeping->trash_shard + 1) % housekeeping->dispatcher->shards;
        return;
    }
    housekeeping->deleting = offload_submit(housekeeping->dispatcher->offload, delete_keys,
                                            on_deleted, housekeeping) == 0;
}

static void take_trash(struct housekeeping *housekeeping)
{
    struct dispatcher *dispatcher = housekeeping->dispatcher;
    queue_trash_take_command(dispatcher_queue(dispatcher, housekeeping->trash_shard), TRASH_KEYS,
                             TRASH_LEASE_MS, &dispatcher->command);
    housekeeping->taking = dispatcher_send(dispatcher, on_taken, housekeeping) == 0;
}

int64_t housekeeping_tick(struct housekeeping *housekeeping, int64_t now_ms)
{
    int64_t next_ms = INT64_MAX;
    for (unsigned shard = 0; shard < housekeeping->dispatcher->shards; shard++) {
        int64_t due_ms = tick_shard(&housekeeping->tickers[shard], now_ms);
        next_ms = due_ms < next_ms ? due_ms : next_ms;
    }
    bool busy = housekeeping->taking || housekeeping->deleting;
    if (!busy && now_ms >= housekeeping->trash_ms) {
        housekeeping->trash_ms = now_ms + TRASH_MS / housekeeping->dispatcher->shards;
        take_trash(housekeeping);
        busy = housekeeping->taking;
    }
    if (!busy && housekeeping->trash_ms < next_ms)
        next_ms = housekeeping->trash_ms;
    return next_ms;
}
