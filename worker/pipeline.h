/* SPDX-License-Identifier: MIT
 *
 * The stages, each in threads of its own, with bounded rings between them:
 *
 *     loop ─to_grant→ grant ─to_fetch→ fetch, decode (n) ─to_infer→ infer ─to_deliver→ deliver (n)
 *                       │                    └─parked→ load ─^                       ^
 *                       └──────────────── failed, released ──────────────────────────┘
 *
 *     rc = pipeline_start(&settings, residency, queues, worker_id, &pipeline, &err);
 *     roster_add(pipeline->roster, task);
 *     pipeline_pass(pipeline, STAGE_GRANT, task);
 *     pipeline_drain(pipeline);                 // what is inside goes to its end
 *     poll(pipeline_done_fd(pipeline))          // readable once the last stage has ended
 *     pipeline_destroy(&pipeline);              // joins
 *
 * The loader has no ring: tasks whose model is not there are parked with the residency.
 * A stage that ends closes its ring, so the end runs down the road by itself. The rings hold as
 * many tasks as the roster, so a push never waits for long and nothing here can deadlock: memory
 * is bounded by the roster. Functions belong to the loop's thread unless they say otherwise. */
#ifndef DARKROOM_WORKER_PIPELINE_H
#define DARKROOM_WORKER_PIPELINE_H

#include "common/err.h"
#include "common/queue_worker.h"
#include "worker/away.h"
#include "worker/outage.h"
#include "worker/residency.h"
#include "worker/ring.h"
#include "worker/roster.h"
#include "worker/settings.h"
#include "worker/task.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct http_client;
struct metrics;
struct tracer;
struct pipeline;

enum stage { STAGE_GRANT, STAGE_FETCH, STAGE_LOAD, STAGE_INFER, STAGE_DELIVER, STAGE_COUNT };

/* One thread of a stage. */
struct stage_thread {
    struct pipeline *pipeline; /* borrowed */
    enum stage stage;
    pthread_t thread;
};

/* Opaque to the loop; plain for the stages. */
struct pipeline {
    /* Borrowed, read-only. */
    const struct settings *settings;
    const struct queue *queues; /* one for each shard */
    const char *worker_id;
    struct residency *residency; /* borrowed */
    struct metrics *metrics;     /* borrowed; NULL: nobody asks. Set before the first task enters */
    struct tracer *tracer;       /* borrowed; NULL: nobody collects traces. As above */

    struct roster *roster;           /* owned */
    struct away *away;               /* owned */
    struct ring *rings[STAGE_COUNT]; /* owned: what waits for each stage; not of STAGE_LOAD */
    struct stage_thread *threads;    /* owned */
    size_t thread_count;
    atomic_int running[STAGE_COUNT]; /* threads that have not ended */
    int done_fd;                     /* owned */
    struct outputs_spare spare;      /* owned */

    atomic_int failing; /* somebody has written `why` */
    struct err why;     /* before `fatal` is set */
    atomic_int fatal;   /* the process has to end: ERR_DEVICE, or no model is left */
    atomic_llong
        test_until_ms; /* a self-test is over by then, or the device hangs; 0: there is none */
    atomic_llong no_grants_ms; /* clock_ms() until which claiming makes no sense; 0 */
    atomic_llong no_store_ms;  /* the same, and fetching neither: nobody answers there */
    struct outage redis;       /* the loop's */
    struct outage dispatcher, inputs, results;

    atomic_llong cpu_us[STAGE_COUNT]; /* of ended threads, the network itself not counted */
    atomic_llong jobs;                /* settled with a result */
};

int pipeline_start(const struct settings *settings, struct residency *residency,
                   const struct queue *queues, const char *worker_id,
                   struct pipeline **out_pipeline, struct err *err);

/* Whether a shard is out of reach, where there are several: what can only be settled there waits
 * until it is not. */
void pipeline_shard_away(struct pipeline *pipeline, unsigned shard, bool is_away);

/* Jobs that something is still to be done with: those that wait for a shard are not counted. */
size_t pipeline_under_way(struct pipeline *pipeline);

/* No task may enter afterwards. Harmless twice. */
void pipeline_drain(struct pipeline *pipeline);

/* Readable once every stage has ended, or `fatal` is set. */
int pipeline_done_fd(const struct pipeline *pipeline);

/* Waits for the stages, which pipeline_drain() has ended. Harmless on NULL. */
void pipeline_destroy(struct pipeline **pipeline);

/* How many jobs are claimed beyond the batch in the network. Unless told otherwise two batches: one
 * is made ready meanwhile, and one delivered. */
size_t pipeline_depth(const struct settings *settings, const struct residency *residency);

/* How many jobs may be under way, those not counted that wait for their model: the roster has room
 * for as many of these. */
size_t pipeline_capacity(const struct settings *settings, const struct residency *residency);

/* Hands a task on: to `next`, or to the last stage where it is over. What is for STAGE_LOAD goes on
 * to the network at once if its model is there. Takes it. Any thread. */
void pipeline_pass(struct pipeline *pipeline, enum stage next, struct task *task);

/* ---- for the stages ------------------------------------------------------------------------- */

/* The bodies: each pops its ring until that is closed. */
void stage_grant_run(struct pipeline *pipeline);
void stage_fetch_run(struct pipeline *pipeline);
void stage_load_run(struct pipeline *pipeline);
void stage_infer_run(struct pipeline *pipeline);
void stage_deliver_run(struct pipeline *pipeline);

/* The process can't go on: tells the loop. The first one's reason counts. */
void pipeline_fail(struct pipeline *pipeline, int rc, const struct err *err);
/* The residency has left a model out: says so, and ends the process where it cannot do without. */
void pipeline_leave_out(struct pipeline *pipeline, const struct resident *resident, int rc,
                        const struct err *err);
/* A client of a stage's own; the process can't go on without it. */
int pipeline_open_client(struct pipeline *pipeline, int64_t timeout_ms,
                         struct http_client **out_client);

/* Fails a task for the store's sake, in words that its owner may read: what became of it, and the
 * status (0: no answer), but no host. Returns `rc`. */
int pipeline_blame_store(struct task *task, int rc, const char *what, int status);

/* Whether a request got no answer because there was no way to the store. */
bool pipeline_found_no_store(int rc, int status);
/* Then the job goes back, uncharged: other workers may have a way. This one claims no more for a
 * while. */
void pipeline_do_without_store(struct pipeline *pipeline, struct task *task);

/* CPU time of the calling thread. */
int64_t pipeline_thread_cpu_us(void);

#endif
