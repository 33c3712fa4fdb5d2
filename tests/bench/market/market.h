/* SPDX-License-Identifier: MIT
 *
 * A market of spot machines in one process: workers that are nothing but a device of known speed
 * and start-up time, on the real protocol and a real Redis, come and go as the dispatcher's own
 * reckoning (operate/signal.h) says.
 *
 *     market_open(&market, url, epoll_fd);
 *     fleet_start(&market, 10);
 *     fleet_step(&market, now_ms);              // until the time is over
 *
 * All times are of the market, which runs `speed` times as fast as the clock; only Redis' leases
 * are in its own. One thread. */
#ifndef DARKROOM_TESTS_BENCH_MARKET_H
#define DARKROOM_TESTS_BENCH_MARKET_H

#include "common/queue_worker.h"
#include "common/redis.h"
#include "common/redis_async.h"
#include "dispatcher/dispatcher.h"

#include <stdbool.h>
#include <stdint.h>

#define MARKET_MODEL "market"
#define MARKET_WORKERS_MAX 4000
#define MARKET_POINTS_MAX 4000

struct market_options {
    double speed;       /* of its time */
    double rate, burst; /* arrivals a second; how many times as many in the burst */
    int64_t before_ms, burst_ms, after_ms;
    int64_t service_ms; /* of a job, give or take 30 % */
    int64_t start_ms;   /* of a worker, give or take 20 % */
    int64_t target_ms, down_ms, guard_ms, lease_ms;
    int64_t life_ms; /* mean until a machine is taken away; half of them without notice */
    int64_t most;
    const char *svg; /* NULL: none */
};

enum worker_state { GONE, STARTING, GREETING, IDLE, CLAIMING, BUSY, SETTLING };

struct worker {
    struct market *market;
    char id[ID_NAME_SIZE];
    enum worker_state state;
    unsigned owed; /* answers: until then the place is not used again */
    bool leaving;  /* claims no more */
    bool guarded;  /* what scales in was told that it is busy */
    int64_t born_ms, until_ms, idle_since_ms, beat_ms, look_ms, taken_ms, service_ms;
    uint64_t job;
    uint32_t epoch;
    char public_id[ID_PUBLIC_SIZE];
};

/* One of the plot. */
struct market_point {
    int64_t ms, queued, wanted, working, started, busy;
    double arrivals, wait_p95_s;
};

struct market {
    struct market_options options;
    struct dispatcher dispatcher; /* as much of one as the reckoning wants */
    struct manifest model;
    struct queue queue;
    struct redis_async *redis; /* owned */
    struct redis_command command;
    int64_t began_us;
    struct worker *workers; /* owned: MARKET_WORKERS_MAX */

    /* Arrivals. */
    double due;
    int64_t submitted, refused;
    bool closed; /* no more arrive */

    /* Scaling. */
    struct queue_counters counters;
    bool asked;
    int64_t sample_ms, samples, wanted;
    struct {
        int64_t ms, wanted;
    } past[64];
    size_t past_count;

    /* What became of it. */
    float *waits; /* owned, seconds; of jobs that were never lost */
    size_t wait_count, wait_size, waits_shown;
    double ideal_ms, used_ms, start_used_ms;
    int64_t done, lost, released, started, vanished, noticed, scaled_in, busy_scaled_in, errors;
    struct market_point points[MARKET_POINTS_MAX];
    size_t point_count;
};

/* Milliseconds of the market since its beginning. */
int64_t market_now(const struct market *market);
/* Even over [0, 1), from a fixed seed. */
double market_chance(void);
void market_note_wait(struct market *market, double seconds);

/* ---- fleet.c --------------------------------------------------------------------------------- */

void fleet_start(struct market *market, int64_t count);
void fleet_step(struct market *market, int64_t now_ms);
/* So many jobs came: idle workers are woken, the one that has waited longest first, as Redis does.
 */
void fleet_wake(struct market *market, int64_t count, int64_t now_ms);
/* As an autoscaling group does: new ones at once; those that start or are not guarded go. */
void fleet_scale(struct market *market, int64_t wanted, int64_t now_ms);
/* Neither gone nor leaving; `out_working` of those that may claim, `out_busy` with a job. */
int64_t fleet_count(const struct market *market, int64_t *out_working, int64_t *out_busy);
void fleet_end(struct market *market, int64_t now_ms);

/* ---- plot.c ---------------------------------------------------------------------------------- */

int plot_write(const struct market *market, const char *path);

#endif
