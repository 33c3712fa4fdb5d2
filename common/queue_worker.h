/* SPDX-License-Identifier: MIT
 *
 * The queue, as a worker uses it: hello, claim, heartbeat, complete / fail / release, bye.
 *
 *     id_worker_create(worker);
 *     rc = queue_hello(&queue, redis, &(struct queue_hello){...}, 2000, &err);
 *     for (;;) {
 *         rc = queue_claim(&queue, redis, worker, nonce, models, n, max, 2000, &claim, &err);
 *         if (rc == 0 && claim.count == 0)
 *             queue_wait(&queue, blocking, models, n, 5000, &err);   // < 1 ms after a submit
 *         ...
 *         queue_claim_fini(&claim);
 *     }
 *
 * A claim is a lease with an epoch. One heartbeat call, every third of a lease, renews all leases
 * and brings cancellations. Whatever settles a job is refused when the epoch is no longer the
 * job's, and answers the same when it is repeated. Conventions as in queue.h. */
#ifndef DARKROOM_COMMON_QUEUE_WORKER_H
#define DARKROOM_COMMON_QUEUE_WORKER_H

#include "common/queue.h"
#include "common/trace.h"

#define QUEUE_CLAIM_MAX 256
#define QUEUE_MODELS_MAX 32
#define QUEUE_LEASES_MAX 1024

/* ---- claim ---------------------------------------------------------------------------------- */

struct queue_claimed {
    uint64_t id;
    uint32_t epoch;
    int attempts; /* failures so far; 0: the first try */
    int max_attempts;
    int losses;
    bool alone;         /* a suspect: a worker vanished with it. Run it with no other beside it */
    int64_t run_max_ms; /* this attempt may take so long; 0: any time */
    int64_t created_ms;
    char public_id[ID_PUBLIC_SIZE];
    char model[JOB_MODEL_SIZE];
    char extension[JOB_EXTENSION_SIZE];
    char trace[TRACE_TEXT_SIZE]; /* see trace.h; "": none */
    const char *spec;            /* borrowed from the claim or reply; for job_spec_parse() */
    size_t spec_size;
};

struct queue_claim {
    struct redis_reply *reply;  /* owned; NULL where an asynchronous caller has it */
    struct queue_claimed *jobs; /* owned, `count` of them, all of one model */
    size_t count;
    bool more;           /* more jobs wait for these models now */
    bool drain;          /* none: an operator wants this worker to stop claiming */
    int64_t next_ms;     /* when the one that comes next was submitted (since 1970); 0: unknown */
    int64_t next_due_ms; /* a delayed job comes in so many ms; -1: none */
};

/* Takes up to `max` jobs of the first model, in the order given, that has any (the model that is
 * resident first), highest priority first. With the nonce of the claim before it the same jobs come
 * back, those that are still leased: repeat a claim whose reply was lost with the same nonce, and
 * make a new one otherwise. */
void queue_claim_command(const struct queue *queue, const char *worker, const char *nonce,
                         const char *const *models, size_t model_count, size_t max,
                         struct redis_command *command);
/* Borrows the reply, also afterwards for the specs: an asynchronous callback has done with the
 * claim before it returns. `out->reply` stays NULL; only queue_claim() owns its reply. */
int queue_claim_reply(const struct redis_reply *reply, struct queue_claim *out, struct err *err);
int queue_claim(const struct queue *queue, struct redis *redis, const char *worker,
                const char *nonce, const char *const *models, size_t model_count, size_t max,
                int64_t timeout_ms, struct queue_claim *out, struct err *err);
void queue_claim_fini(struct queue_claim *claim); /* harmless twice, and on {0} */

/* Blocks on the wake-up keys of `count` shards until a job may wait for one of the models, or for
 * wait_ms. 0 when woken, ERR_TIMEOUT when not. Wants a connection of its own, as it occupies it. In
 * a cluster only one shard can be waited for at a time. A claim may stand behind it in the same
 * connection: then Redis answers a submit with the job at once, a round trip earlier; and it comes
 * when the time is over, too. `worker` may be NULL; queue_stop_wait_command() ends its wait. */
void queue_wait_command(const struct queue *queues, size_t count, const char *worker,
                        const char *const *models, size_t model_count, int64_t wait_ms,
                        struct redis_command *command);
/* Both go over another connection, the second one because nobody may wait any more. */
void queue_stop_wait_command(const struct queue *queue, const char *worker,
                             struct redis_command *command);
void queue_stop_expire_command(const struct queue *queue, const char *worker,
                               struct redis_command *command);
/* Which shard's key ended a wait (for a job or for a push); -1: none, the time was over. */
int queue_woken_shard(const struct redis_reply *reply);
int queue_wait(const struct queue *queue, struct redis *redis, const char *const *models,
               size_t model_count, int64_t wait_ms, struct err *err);

/* A wait and the claim behind it. */
int queue_wait_claim(const struct queue *queue, struct redis *redis, const char *worker,
                     const char *nonce, const char *const *models, size_t model_count, size_t max,
                     int64_t wait_ms, struct queue_claim *out, struct err *err);

/* Blocks until somebody cancels or erases a job of this worker, or for wait_ms: the pause between
 * two heartbeats. 0 when pushed (heartbeat now), ERR_TIMEOUT when not. Occupies the connection. */
void queue_push_command(const struct queue *queues, size_t count, const char *worker,
                        int64_t wait_ms, struct redis_command *command);
int queue_push(const struct queue *queue, struct redis *redis, const char *worker, int64_t wait_ms,
               struct err *err);

/* ---- heartbeat ------------------------------------------------------------------------------ */

struct queue_beat {
    uint64_t id;
    uint32_t epoch;
    int progress; /* per mille; goes to whoever watches */
};

enum queue_verdict {
    QUEUE_OK = 1,    /* the lease runs for another term; or: settled */
    QUEUE_AGAIN,     /* was settled so already: nothing changed */
    QUEUE_CANCELLED, /* the owner asked to stop: drop the work */
    QUEUE_LOST       /* the job is somebody else's, or gone: drop the work, upload nothing */
};

/* Renews all leases and the worker's own registration; an idle worker sends it with count 0. */
void queue_heartbeat_command(const struct queue *queue, const char *worker,
                             const struct queue_beat *beats, size_t count,
                             struct redis_command *command);
/* *out_drain: an operator wants this worker to stop claiming. */
int queue_heartbeat_reply(const struct redis_reply *reply, size_t count,
                          enum queue_verdict *out_verdicts, bool *out_drain, struct err *err);
int queue_heartbeat(const struct queue *queue, struct redis *redis, const char *worker,
                    const struct queue_beat *beats, size_t count, int64_t timeout_ms,
                    enum queue_verdict *out_verdicts, bool *out_drain, struct err *err);

/* ---- settle --------------------------------------------------------------------------------- */

struct queue_done {
    uint64_t id;
    uint32_t epoch;
    const char *public_id; /* so that the upload of a job that is gone can be swept */
    const char *extension;
    const char *content_type; /* of results/<public id>/<epoch>/result.<extension> */
    int64_t bytes;
};

/* State, result, event and notification in one. OK, AGAIN, CANCELLED or LOST for each. */
void queue_complete_command(const struct queue *queue, const char *worker,
                            const struct queue_done *jobs, size_t count,
                            struct redis_command *command);
int queue_settle_reply(const struct redis_reply *reply, size_t index,
                       enum queue_verdict *out_verdict, struct err *err);
int queue_complete(const struct queue *queue, struct redis *redis, const char *worker,
                   const struct queue_done *job, int64_t timeout_ms,
                   enum queue_verdict *out_verdict, struct err *err);

struct queue_failure {
    uint64_t id;
    uint32_t epoch;
    bool retry;         /* false: would fail the same way again, the job fails now */
    const char *code;   /* err_name(): at most 32 bytes */
    const char *detail; /* one line for the owner of the job, at most 256 bytes */
};

/* attempts++. A retry is delayed by the job's own backoff, doubled each attempt, ± a quarter; after
 * max_attempts the job fails and goes to the dead letter with its history. *out_state is what
 * became of it (for AGAIN too): delayed, failed. */
void queue_fail_command(const struct queue *queue, const char *worker,
                        const struct queue_failure *jobs, size_t count,
                        struct redis_command *command);
int queue_fail_reply(const struct redis_reply *reply, size_t index, enum queue_verdict *out_verdict,
                     enum job_state *out_state, struct err *err);
int queue_fail(const struct queue *queue, struct redis *redis, const char *worker,
               const struct queue_failure *job, int64_t timeout_ms, enum queue_verdict *out_verdict,
               enum job_state *out_state, struct err *err);

/* Back to the head of its lane; losses++ and not attempts++ when preempted, neither when the worker
 * merely gives back what it had not begun. Parse with queue_settle_reply(). */
void queue_release_command(const struct queue *queue, const char *worker,
                           const struct queue_lease *leases, size_t count, bool preempted,
                           struct redis_command *command);
int queue_release(const struct queue *queue, struct redis *redis, const char *worker,
                  const struct queue_lease *leases, size_t count, bool preempted,
                  int64_t timeout_ms, struct err *err);

/* ---- registry ------------------------------------------------------------------------------- */

struct queue_hello {
    const char *worker;
    const char *const *models;
    size_t model_count;
    int slots;           /* jobs that it works on at a time, for the ETA */
    const char *device;  /* "cpu", "cuda:NVIDIA L4": at most 64 bytes */
    int64_t ttl_ms;      /* without a heartbeat for so long it counts as gone; 0: three leases */
    size_t loaded_count; /* the first so many models are loaded now, for operators to see */
};
void queue_hello_command(const struct queue *queue, const struct queue_hello *hello,
                         struct redis_command *command);
int queue_hello(const struct queue *queue, struct redis *redis, const struct queue_hello *hello,
                int64_t timeout_ms, struct err *err);
/* Its leases stay: release them first. */
void queue_bye_command(const struct queue *queue, const char *worker,
                       struct redis_command *command);
int queue_bye(const struct queue *queue, struct redis *redis, const char *worker,
              int64_t timeout_ms, struct err *err);
/* It died, and somebody knows of what ("signal 11", one line of at most 64 bytes): its jobs go back
 * now, as if their leases had run out; those that ran alone are charged. *out_jobs: how many it
 * had. */
void queue_mourn_command(const struct queue *queue, const char *worker, const char *how,
                         struct redis_command *command);
int queue_mourn(const struct queue *queue, struct redis *redis, const char *worker, const char *how,
                int64_t timeout_ms, int *out_jobs, struct err *err);

#endif
