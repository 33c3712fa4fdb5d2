/* SPDX-License-Identifier: MIT
 *
 * The worker's main loop: it claims, keeps the leases, and ends in good order. The work itself is
 * the pipeline's; nothing here ever waits but one epoll_wait().
 *
 *     rc = loop_run(&settings, &abandoned, &err);
 *
 * Three connections to Redis: one for commands, one that sleeps on the wake-up keys while the
 * worker is idle, one that sleeps until somebody cancels a running job. So a signal, a submitted
 * job, a cancellation and a free slot all end the same wait, and an idle worker costs nothing. In a
 * cluster, where one command cannot sleep on keys of several slots, there are two sleepers for each
 * shard. With one shard a claim stands behind the wake-up keys, and a submit brings the job itself;
 * who is told to go meanwhile ends that wait by a key of its own, and gives back what still came.
 *
 * Main thread; the parts below the function are for loop.c, shards.c, claims.c and beats.c. */
#ifndef DARKROOM_WORKER_LOOP_H
#define DARKROOM_WORKER_LOOP_H

#include "common/queue_worker.h"
#include "common/redis.h"
#include "common/redis_async.h"
#include "worker/guard.h"
#include "worker/pipeline.h"
#include "worker/spot.h"

#include <stdbool.h>
#include <stdint.h>

/* Until a signal and the drain after it: 0. ERR_UNSUPPORTED (a Redis that may not be used),
 * ERR_DEVICE (broken: end with its exit status), or what opening the models gave. With
 * *out_abandoned threads are still running: the caller must end with _exit(). */
int loop_run(struct settings *settings, int argc, char **argv, bool *out_abandoned,
             struct err *err);

/* A connection that sleeps on keys of some shards: of all, or in a cluster of one. */
struct sleeper {
    struct loop *loop;
    struct redis_async *redis; /* owned */
    unsigned first, count;     /* shards */
    bool asleep;
    int64_t again_ms; /* after an error: not before */
};

/* What the worker and one shard of the queue have with each other. */
struct shard {
    struct loop *loop;
    const struct queue *queue;

    /* shards.c: the server is checked once, and greeted on every new connection. */
    int check_step;
    bool checked, greeted;
    int64_t down_ms;  /* since when it has been out of reach; 0: it is not */
    int64_t greet_ms; /* try the greeting again then; 0: it is under way or done */

    /* claims.c */
    bool claim_due, claim_asked;
    char nonce[ID_NAME_SIZE]; /* of the claim whose answer is still wanted; "" */
    int64_t asked_ms;         /* when the claim was sent that is under way */
    int64_t claim_at_ms;      /* ask again at the latest then */
    int64_t next_ms;          /* when the job that comes next was submitted; 0: unknown */

    /* beats.c */
    bool beat_asked, paused; /* paused: an operator said so */
    int64_t beat_at_ms;
    struct roster_lease beats[QUEUE_LEASES_MAX]; /* as sent */
    size_t beat_count;

    /* What is given back, until the queue has confirmed it. */
    struct queue_lease released[QUEUE_LEASES_MAX];
    size_t released_count;
    bool release_asked;
};

struct metrics;
struct metrics_server;
struct nvml;
struct supply;
struct tracer;

struct loop {
    const struct settings *settings; /* borrowed */
    struct settings *own;            /* the same; a reload alone changes them */
    int argc;                        /* where they come from, */
    char **argv;                     /* borrowed */
    struct queue queues[QUEUE_SHARDS_MAX];
    struct shard *shards; /* owned */
    unsigned shard_count;
    struct residency *residency;           /* owned */
    struct pipeline *pipeline;             /* owned */
    struct spot *spot;                     /* owned; NULL: off */
    struct supply *supply;                 /* owned; NULL: no weights are to be fetched */
    struct metrics *metrics;               /* owned; NULL: off, and then no server either */
    struct metrics_server *metrics_server; /* owned */
    struct tracer *tracer;                 /* owned; NULL: off */
    struct nvml
        *nvml; /* owned; the metrics server's thread opens it, as a driver may take its time */
    bool nvml_asked;
    struct guard guard;
    char worker_id[ID_NAME_SIZE];
    const char *models[QUEUE_MODELS_MAX]; /* names, borrowed from the residency */
    struct residency_view view;           /* which of them stand for what, as of the last look */

    int epoll_fd;
    struct redis_async *commands;     /* owned */
    struct sleeper *wakers, *pushers; /* owned */
    unsigned sleeper_count;           /* of each */
    struct redis_command command;     /* scratch */

    bool ready; /* some shard has been greeted */
    bool claimed_once;
    unsigned last_shard;                /* the one that was claimed from last */
    struct task *held[QUEUE_CLAIM_MAX]; /* suspects, each run with nothing beside it */
    size_t held_count;
    bool alone; /* one of them is under way */

    /* The end. */
    bool pipeline_ended;
    unsigned last_words; /* answers that are still to come before it leaves */
    bool retiring; /* no more claims; what is held is finished at leisure, and then comes the drain
                    */
    bool draining, leaving, finished, abandoned;
    bool machine_goes; /* so nobody needs to hear that it is idle */
    int64_t drain_since_ms, leave_by_ms;
    int rc;
    struct err err;
};

/* All shards of the settings, and their connections. */
int shards_open(struct loop *loop, void *commands_tag, void *waker_tag, void *pusher_tag,
                struct err *err);
void shards_close(struct loop *loop); /* harmless on a half-open loop */
/* The greeting has to be said again: `reply` (or NULL) was no help. */
void shard_greet_later(struct shard *shard, const struct redis_reply *reply);
/* Jobs that this worker holds and nobody will begin go back; harmless while that is under way. */
void shard_give_back(struct shard *shard);
size_t shards_released(const struct loop *loop); /* that are not confirmed yet */
bool shards_claiming(const struct loop *loop);   /* some claim is under way */
/* Which models there are now; greets the shards anew where that has changed. */
void shards_look_at_models(struct loop *loop);
/* An operator said so, or took it back. */
void shard_set_paused(struct shard *shard, bool paused);

/* Each does what is due and returns when it wants to be called next (clock_ms()). */
int64_t shards_tick(struct loop *loop, int64_t now_ms);
int64_t claims_tick(struct loop *loop, int64_t now_ms);
int64_t beats_tick(struct loop *loop, int64_t now_ms);

/* There may be room for another job. */
void claims_look(struct loop *loop);
/* The claim that stands behind a wait is answered now; harmless where there is none. */
void claims_stop_waiting(struct loop *loop);
/* No claim from now on: what hasn't begun is listed in `released`. */
void claims_stop(struct loop *loop);

/* Something hangs: its jobs go back as they are, and the process ends around it. */
void loop_give_up(struct loop *loop);

/* SIGHUP came; reload.c. The second: weights of models that came with it. */
void loop_reload(struct loop *loop);
void loop_supply(struct loop *loop);

/* Ends the loop with an error; the first one stays. */
void loop_fail(struct loop *loop, int rc, const struct err *err);

#endif
