/* SPDX-License-Identifier: MIT
 *
 * The worker's main loop: it claims, keeps the leases, and ends in good order. The work itself is
 * the pipeline's; nothing here ever waits but one epoll_wait().
 *
 *     rc = loop_run(&settings, &abandoned, &err);
 *
 * Three connections to Redis: one for commands, one that sleeps on the wake-up keys while the
 * worker is idle, one that sleeps until somebody cancels a running job. So a signal, a submitted
 * job, a cancellation and a free slot all end the same wait, and an idle worker costs nothing.
 *
 * Main thread; the parts below the function are for loop.c, claims.c and beats.c. */
#ifndef DARKROOM_WORKER_LOOP_H
#define DARKROOM_WORKER_LOOP_H

#include "common/queue_worker.h"
#include "common/redis.h"
#include "common/redis_async.h"
#include "worker/pipeline.h"
#include "worker/spot.h"

#include <stdbool.h>
#include <stdint.h>

/* Until a signal and the drain after it: 0. ERR_UNSUPPORTED (a Redis that may not be used),
 * ERR_DEVICE (broken: end with its exit status), or what opening the models gave. With
 * *out_abandoned threads are still running: the caller must end with _exit(). */
int loop_run(const struct settings *settings, bool *out_abandoned, struct err *err);

struct loop {
    const struct settings *settings; /* borrowed */
    struct queue queue;
    struct residents residents; /* owned */
    struct pipeline *pipeline;  /* owned */
    struct spot *spot;          /* owned; NULL: off */
    char worker_id[ID_NAME_SIZE];
    const char *models[QUEUE_MODELS_MAX]; /* names, borrowed from the residents */
    size_t model_count;

    int epoll_fd;
    struct redis_async *commands, *wake, *push; /* owned */
    struct redis_command command;               /* scratch */

    /* Start: the server is checked once, and greeted on every new connection. */
    int check_step;
    bool checked, greeted, ready;
    int64_t down_ms;  /* since when there has been no connection; 0: there is one */
    int64_t greet_ms; /* try the greeting again then; 0: it is under way or done */

    /* claims.c */
    bool claim_due, claim_asked, waiting, claimed_once;
    char nonce[ID_NAME_SIZE];           /* of the claim whose answer is still wanted; "" */
    int64_t claim_at_ms;                /* ask again at the latest then */
    struct task *held[QUEUE_CLAIM_MAX]; /* suspects, each run with nothing beside it */
    size_t held_count;
    bool alone; /* one of them is under way */

    /* beats.c */
    bool beat_asked, push_asked, paused; /* paused: an operator said so */
    int64_t beat_at_ms;
    struct roster_lease beats[QUEUE_LEASES_MAX]; /* as sent */
    size_t beat_count;

    /* The end: what is given back, until the queue has confirmed it. */
    struct queue_lease released[QUEUE_LEASES_MAX];
    size_t released_count;
    bool release_asked, pipeline_ended;
    bool retiring; /* no more claims; what is held is finished at leisure, and then comes the drain
                    */
    bool draining, leaving, finished, abandoned;
    int64_t drain_since_ms, leave_by_ms;
    int rc;
    struct err err;
};

/* Each does what is due and returns when it wants to be called next (clock_ms()). */
int64_t claims_tick(struct loop *loop, int64_t now_ms);
int64_t beats_tick(struct loop *loop, int64_t now_ms);

/* No claim from now on: what hasn't begun is listed in `released`. */
void claims_stop(struct loop *loop);

/* Something hangs: its jobs go back as they are, and the process ends around it. */
void loop_give_up(struct loop *loop);

/* Ends the loop with an error; the first one stays. */
void loop_fail(struct loop *loop, int rc, const struct err *err);

#endif
