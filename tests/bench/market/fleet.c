/* SPDX-License-Identifier: MIT */
#include "market.h"

#include "common/err.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define LOOK_MS 5000
#define AGAIN_MS 1000
#define NOTICE_MS 120000

static const char *const models[] = {MARKET_MODEL};

static double about(int64_t ms, double part)
{
    return (double)ms * (1 - part + 2 * part * market_chance());
}

static bool send(struct worker *worker, redis_async_done *done)
{
    struct market *market = worker->market;
    bool sent = redis_async_send(market->redis, &market->command, done, worker) == 0;
    worker->owed += sent;
    market->errors += !sent;
    return sent;
}

/* ---- coming and going ------------------------------------------------------------------------ */

void fleet_start(struct market *market, int64_t count)
{
    int64_t now_ms = market_now(market);
    for (size_t i = 0; i < MARKET_WORKERS_MAX && count > 0; i++) {
        struct worker *worker = &market->workers[i];
        if (worker->state != GONE || worker->owed > 0)
            continue;
        *worker = (struct worker){.market = market, .state = STARTING, .born_ms = now_ms};
        id_worker_create(worker->id);
        worker->until_ms = now_ms + (int64_t)about(market->options.start_ms, 0.2);
        worker->taken_ms = INT64_MAX;
        if (market->options.life_ms > 0)
            worker->taken_ms =
                now_ms + (int64_t)(-log(1 - market_chance()) * (double)market->options.life_ms);
        market->started++;
        count--;
    }
}

static void end(struct worker *worker, int64_t now_ms)
{
    struct market *market = worker->market;
    market->used_ms += (double)(now_ms - worker->born_ms);
    if (worker->state == STARTING)
        market->start_used_ms += (double)(now_ms - worker->born_ms);
    worker->state = GONE;
}

static void on_bye(int rc, const struct redis_reply *reply, void *data)
{
    struct worker *worker = data;
    worker->owed--;
}

static void leave(struct worker *worker, int64_t now_ms)
{
    queue_bye_command(&worker->market->queue, worker->id, &worker->market->command);
    send(worker, on_bye);
    end(worker, now_ms);
}

/* ---- work ------------------------------------------------------------------------------------ */

static void claim(struct worker *worker);

static void rest(struct worker *worker, int64_t look_ms)
{
    int64_t now_ms = market_now(worker->market);
    worker->state = IDLE;
    worker->idle_since_ms = now_ms;
    worker->look_ms = now_ms + look_ms;
    if (worker->leaving)
        leave(worker, now_ms);
}

static void give_back(struct worker *worker, const struct queue_claimed *job)
{
    const struct queue_lease lease = {job->id, job->epoch};
    queue_release_command(&worker->market->queue, worker->id, &lease, 1, false,
                          &worker->market->command);
    worker->market->released++;
    send(worker, on_bye);
}

static void take(struct worker *worker, const struct queue_claimed *job)
{
    struct market *market = worker->market;
    struct timespec time;
    if (job->losses == 0 && job->attempts == 0) {
        clock_gettime(CLOCK_REALTIME, &time);
        double now_ms = (double)time.tv_sec * 1000 + (double)time.tv_nsec / 1e6;
        market_note_wait(market, (now_ms - (double)job->created_ms) / 1000 * market->options.speed);
    }
    worker->state = BUSY;
    worker->guarded = true;
    worker->job = job->id;
    worker->epoch = job->epoch;
    memcpy(worker->public_id, job->public_id, sizeof worker->public_id);
    worker->service_ms = (int64_t)about(market->options.service_ms, 0.3);
    worker->until_ms = market_now(market) + worker->service_ms;
}

static void on_claim(int rc, const struct redis_reply *reply, void *data)
{
    struct worker *worker = data;
    struct queue_claim found = {0};
    worker->owed--;
    if (worker->state != CLAIMING) /* taken away: the lease brings it back */
        return;
    if (rc == 0)
        rc = queue_claim_reply(reply, &found, NULL);
    worker->market->errors += rc < 0;
    if (rc == 0 && found.count > 0 && worker->leaving)
        give_back(worker, &found.jobs[0]);
    else if (rc == 0 && found.count > 0)
        take(worker, &found.jobs[0]);
    if (worker->state == CLAIMING)
        rest(worker, rc < 0 ? AGAIN_MS : LOOK_MS);
    queue_claim_fini(&found);
}

static void claim(struct worker *worker)
{
    char nonce[ID_NAME_SIZE];
    id_nonce_create(nonce);
    queue_claim_command(&worker->market->queue, worker->id, nonce, models, 1, 1,
                        &worker->market->command);
    worker->state = CLAIMING;
    if (!send(worker, on_claim))
        rest(worker, AGAIN_MS);
}

static void on_settled(int rc, const struct redis_reply *reply, void *data)
{
    struct worker *worker = data;
    enum queue_verdict verdict = QUEUE_LOST;
    worker->owed--;
    if (rc == 0)
        rc = queue_settle_reply(reply, 0, &verdict, NULL);
    worker->market->errors += rc < 0;
    if (rc == 0 && verdict == QUEUE_OK) {
        worker->market->done++;
        worker->market->ideal_ms += (double)worker->service_ms;
    } else {
        worker->market->lost++;
    }
    if (worker->state != SETTLING)
        return;
    worker->idle_since_ms = market_now(worker->market);
    if (worker->leaving)
        leave(worker, worker->idle_since_ms);
    else
        claim(worker);
}

static void settle(struct worker *worker)
{
    const struct queue_done done = {.id = worker->job,
                                    .epoch = worker->epoch,
                                    .public_id = worker->public_id,
                                    .extension = "png",
                                    .content_type = "image/png",
                                    .bytes = 1};
    queue_complete_command(&worker->market->queue, worker->id, &done, 1, &worker->market->command);
    worker->state = SETTLING;
    if (!send(worker, on_settled))
        rest(worker, AGAIN_MS);
}

static void on_beat(int rc, const struct redis_reply *reply, void *data)
{
    struct worker *worker = data;
    worker->owed--;
    worker->market->errors += rc < 0;
}

static void beat(struct worker *worker, int64_t now_ms)
{
    const struct queue_beat lease = {worker->job, worker->epoch, 0};
    queue_heartbeat_command(&worker->market->queue, worker->id, &lease, worker->state == BUSY,
                            &worker->market->command);
    send(worker, on_beat);
    worker->beat_ms = now_ms + worker->market->options.lease_ms / 3;
}

static void on_hello(int rc, const struct redis_reply *reply, void *data)
{
    struct worker *worker = data;
    worker->owed--;
    worker->market->errors += rc < 0;
    if (worker->state == GREETING)
        claim(worker);
}

static void greet(struct worker *worker, int64_t now_ms)
{
    struct market *market = worker->market;
    market->start_used_ms += (double)(now_ms - worker->born_ms);
    queue_hello_command(
        &market->queue,
        &(struct queue_hello){
            .worker = worker->id, .models = models, .model_count = 1, .slots = 1, .device = "none"},
        &market->command);
    worker->state = GREETING;
    worker->beat_ms = now_ms + market->options.lease_ms / 3;
    if (!send(worker, on_hello))
        rest(worker, AGAIN_MS);
}

/* ---- the market's will ----------------------------------------------------------------------- */

static void take_away(struct worker *worker, int64_t now_ms)
{
    struct market *market = worker->market;
    bool noticed = !worker->leaving && market_chance() < 0.5;
    market->noticed += noticed;
    market->vanished += !noticed;
    if (!noticed) {
        end(worker, now_ms);
        return;
    }
    worker->taken_ms = now_ms + NOTICE_MS;
    worker->leaving = true;
    if (worker->state == IDLE)
        leave(worker, now_ms);
    else if (worker->state == STARTING)
        end(worker, now_ms);
}

static void step(struct worker *worker, int64_t now_ms)
{
    if (now_ms >= worker->taken_ms)
        take_away(worker, now_ms);
    if (worker->state == STARTING && now_ms >= worker->until_ms)
        greet(worker, now_ms);
    if (worker->state == BUSY && now_ms >= worker->until_ms)
        settle(worker);
    if (worker->state == IDLE && now_ms >= worker->look_ms)
        claim(worker);
    if (worker->state >= GREETING && now_ms >= worker->beat_ms)
        beat(worker, now_ms);
    if (worker->state == IDLE && now_ms >= worker->idle_since_ms + worker->market->options.guard_ms)
        worker->guarded = false;
}

void fleet_step(struct market *market, int64_t now_ms)
{
    for (size_t i = 0; i < MARKET_WORKERS_MAX; i++)
        if (market->workers[i].state != GONE)
            step(&market->workers[i], now_ms);
}

void fleet_wake(struct market *market, int64_t count, int64_t now_ms)
{
    for (; count > 0; count--) {
        struct worker *longest = NULL;
        for (size_t i = 0; i < MARKET_WORKERS_MAX; i++) {
            struct worker *worker = &market->workers[i];
            if (worker->state == IDLE &&
                (!longest || worker->idle_since_ms < longest->idle_since_ms))
                longest = worker;
        }
        if (!longest)
            return;
        longest->guarded &= now_ms < longest->idle_since_ms + market->options.guard_ms;
        claim(longest);
    }
}

/* ---- scaling --------------------------------------------------------------------------------- */

int64_t fleet_count(const struct market *market, int64_t *out_working, int64_t *out_busy)
{
    int64_t count = 0, working = 0, busy = 0;
    for (size_t i = 0; i < MARKET_WORKERS_MAX; i++) {
        const struct worker *worker = &market->workers[i];
        working += worker->state > GREETING;
        busy += worker->state == BUSY || worker->state == SETTLING;
        count += worker->state != GONE && !worker->leaving;
    }
    *out_working = working;
    *out_busy = busy;
    return count;
}

/* The machine is told to end. */
static void terminate(struct worker *worker, int64_t now_ms)
{
    struct market *market = worker->market;
    market->scaled_in++;
    market->busy_scaled_in += worker->state == BUSY || worker->state == SETTLING;
    worker->leaving = true;
    if (worker->state == IDLE)
        leave(worker, now_ms);
    else if (worker->state == STARTING)
        end(worker, now_ms);
}

void fleet_scale(struct market *market, int64_t wanted, int64_t now_ms)
{
    int64_t working, busy, count = fleet_count(market, &working, &busy);
    if (wanted > count)
        fleet_start(market, wanted - count);
    for (int pass = 0; pass < 2; pass++)
        for (size_t i = 0; i < MARKET_WORKERS_MAX && count > wanted; i++) {
            struct worker *worker = &market->workers[i];
            bool may = pass == 0 ? worker->state == STARTING
                                 : worker->state > STARTING && !worker->guarded;
            if (!may || worker->leaving)
                continue;
            terminate(worker, now_ms);
            count--;
        }
}

void fleet_end(struct market *market, int64_t now_ms)
{
    for (size_t i = 0; i < MARKET_WORKERS_MAX; i++)
        if (market->workers[i].state != GONE)
            end(&market->workers[i], now_ms);
}
