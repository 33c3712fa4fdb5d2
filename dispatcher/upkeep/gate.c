/* SPDX-License-Identifier: MIT */
#include "dispatcher/upkeep/gate.h"

#include "common/clock.h"
#include "common/err.h"
#include "common/log.h"
#include "dispatcher/dispatcher.h"

#include <stdlib.h>
#include <string.h>

#define AGAIN_MS 2000 /* somebody may repair the server's configuration */
#define LOOK_MS 100   /* for a shard that nobody serves, or a server that is loading */
/* Of maxmemory: from there no new jobs; and until it is below the other one. */
#define FULL_PERMILLE 900
#define OPEN_PERMILLE 880
#define MEMORY_MS 500

struct gate {
    struct dispatcher *dispatcher;
    bool was_connected, asking;
    unsigned shard; /* the one that is being checked; past the last: none */
    int step;
    bool reached[QUEUE_SHARDS_MAX]; /* its node has been there since it was checked */
    struct memory {
        struct gate *gate;
        bool asked, full;
        int permille;             /* of maxmemory; 0: no limit, or not known */
    } memories[QUEUE_SHARDS_MAX]; /* of one server only the first one is used */
    int64_t memory_ms;            /* when they are asked again */
    int64_t due_ms;
    struct err unfit; /* why the server may not be used */
};

int gate_create(struct dispatcher *dispatcher, struct gate **out)
{
    struct gate *gate = calloc(1, sizeof *gate);
    if (!gate)
        return ERR_NOMEM;
    gate->dispatcher = dispatcher;
    for (unsigned shard = 0; shard < dispatcher->shards; shard++)
        gate->memories[shard].gate = gate;
    *out = gate;
    return 0;
}

void gate_destroy(struct gate **gate)
{
    free(*gate);
    *gate = NULL;
}

static void ask(struct gate *gate);

static void on_answer(int rc, const struct redis_reply *reply, void *data)
{
    struct gate *gate = data;
    struct err err = {0};
    gate->asking = false;
    if (rc != ERR_UNAVAILABLE)
        rc = queue_check_reply(dispatcher_queue(gate->dispatcher, gate->shard), reply, gate->step,
                               &err);
    if (rc == 0) {
        gate->step++;
        ask(gate);
        return;
    }
    gate->step = 0;
    gate->shard = 0;
    /* One that is loading its data is there in a moment. */
    gate->due_ms = clock_ms() + (rc == ERR_UNAVAILABLE ? LOOK_MS : AGAIN_MS);
    if (rc == ERR_UNAVAILABLE)
        return;
    gate->dispatcher->redis_checked = false;
    gate->unfit = err;
    log_event(LOG_ERROR, "redis.unfit", "code", LOG_S, err_name(rc), "detail", LOG_S, err.text,
              NULL);
}

void gate_look_again(struct gate *gate, unsigned shard)
{
    gate->reached[shard] = false;
    gate->dispatcher->redis_checked = false;
}

void gate_refuse(struct gate *gate, unsigned shard, int rc, const struct err *why)
{
    gate->unfit = *why;
    log_event(LOG_ERROR, "redis.unfit", "code", LOG_S, err_name(rc), "detail", LOG_S, why->text,
              NULL);
    gate_look_again(gate, shard);
}

const char *gate_unfit(const struct gate *gate)
{
    return gate->unfit.text;
}

/* Goes on with the shard that is being checked, then with the next that has to be. What a cluster
 * does not serve at the moment is looked at when it does. */
static void ask(struct gate *gate)
{
    struct dispatcher *dispatcher = gate->dispatcher;
    for (; gate->shard < dispatcher->shards; gate->shard++, gate->step = 0) {
        const struct queue *queue = dispatcher_queue(dispatcher, gate->shard);
        if (gate->reached[gate->shard] ||
            !redis_async_reaches(dispatcher->redis, queue_slot(queue)))
            continue;
        if (queue_check_command(queue, gate->step, &dispatcher->command)) {
            gate->asking =
                redis_async_send(dispatcher->redis, &dispatcher->command, on_answer, gate) == 0;
            return;
        }
        gate->reached[gate->shard] = true;
        if (dispatcher->shards > 1)
            log_event(LOG_DEBUG, "redis.shard-up", "shard", LOG_I, (int64_t)gate->shard, NULL);
    }
    if (!dispatcher->redis_checked)
        log_event(LOG_INFO, "redis.up", NULL);
    dispatcher->redis_checked = true;
    gate->unfit = (struct err){0};
}

/* A node may have been replaced by another server. Returns true while some shard is out of reach
 * or still to be checked. */
static bool note_losses(struct gate *gate)
{
    const struct dispatcher *dispatcher = gate->dispatcher;
    bool incomplete = false;
    for (unsigned shard = 0; shard < dispatcher->shards; shard++) {
        int slot = queue_slot(dispatcher_queue(dispatcher, shard));
        if (gate->reached[shard] && !redis_async_reaches(dispatcher->redis, slot)) {
            gate->reached[shard] = false;
            log_event(LOG_WARN, "redis.shard-down", "shard", LOG_I, (int64_t)shard, NULL);
        }
        incomplete |= !gate->reached[shard];
    }
    return incomplete;
}

/* ---- memory ---- */

static unsigned memory_count(const struct dispatcher *dispatcher)
{
    return dispatcher->redis_target.kind == REDIS_CLUSTER ? dispatcher->shards : 1;
}

static void on_memory(int rc, const struct redis_reply *reply, void *data)
{
    struct memory *memory = data;
    int permille = 0;
    memory->asked = false;
    if (rc < 0 || queue_memory_reply(reply, &permille, NULL) < 0)
        return;
    memory->permille = permille;
    bool full = permille >= (memory->full ? OPEN_PERMILLE : FULL_PERMILLE);
    if (full != memory->full)
        log_event(full ? LOG_WARN : LOG_INFO, full ? "redis.full" : "redis.room", "shard", LOG_I,
                  (int64_t)(memory - memory->gate->memories), "permille", LOG_I, (int64_t)permille,
                  NULL);
    memory->full = full;
}

static int64_t ask_memory(struct gate *gate, int64_t now_ms)
{
    struct dispatcher *dispatcher = gate->dispatcher;
    if (now_ms < gate->memory_ms)
        return gate->memory_ms;
    gate->memory_ms = now_ms + MEMORY_MS;
    for (unsigned i = 0; i < memory_count(dispatcher); i++) {
        struct memory *memory = &gate->memories[i];
        if (memory->asked)
            continue;
        queue_memory_command(dispatcher_queue(dispatcher, i), &dispatcher->command);
        memory->asked = dispatcher_send(dispatcher, on_memory, memory) == 0;
    }
    return gate->memory_ms;
}

bool gate_is_full(const struct gate *gate, unsigned shard)
{
    return gate->memories[memory_count(gate->dispatcher) > 1 ? shard : 0].full;
}

int gate_memory_permille(const struct gate *gate)
{
    int most = 0;
    for (unsigned i = 0; i < memory_count(gate->dispatcher); i++)
        if (gate->memories[i].permille > most)
            most = gate->memories[i].permille;
    return most;
}

/* ---- the whole ---- */

int64_t gate_tick(struct gate *gate, int64_t now_ms)
{
    struct dispatcher *dispatcher = gate->dispatcher;
    if (!redis_async_connected(dispatcher->redis)) {
        if (gate->was_connected)
            log_event(LOG_WARN, "redis.down", "detail", LOG_S,
                      redis_async_reason(dispatcher->redis), NULL);
        gate->was_connected = dispatcher->redis_checked = false;
        memset(gate->reached, 0, sizeof gate->reached);
        gate->step = 0;
        gate->shard = 0;
        gate->due_ms = 0;
        return INT64_MAX;
    }
    gate->was_connected = true;
    int64_t memory_ms = dispatcher->redis_checked ? ask_memory(gate, now_ms) : INT64_MAX;
    if (!note_losses(gate) || gate->asking)
        return memory_ms;
    if (now_ms < gate->due_ms)
        return gate->due_ms < memory_ms ? gate->due_ms : memory_ms;
    if (gate->shard == dispatcher->shards)
        gate->shard = 0;
    ask(gate);
    return gate->asking ? memory_ms : now_ms + LOOK_MS;
}
