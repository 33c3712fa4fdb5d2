/* SPDX-License-Identifier: MIT
 *
 * Batches: many jobs that are handed in together, all or none.
 *
 *     queue_batch_open_command(&queue, batch_id, flow, 10000, &command);
 *     ... queue_submit_command() with jobs[i].batch = batch_id, in chunks of QUEUE_BATCH_CHUNK ...
 *     queue_batch_seal_command(&queue, batch_id, flow, &idem, &command);    // from here on they
 * are claimed
 *
 * Until it is sealed no job of it is claimed, and one that grows no more for a minute is dropped
 * with all that is in it. Sealing one that lacks a job is refused. Every step may be repeated after
 * a lost reply. A batch is known by a public id of its own and goes with the last of its jobs.
 * Rules as in queue.h. */
#ifndef DARKROOM_COMMON_QUEUE_BATCH_H
#define DARKROOM_COMMON_QUEUE_BATCH_H

#include "common/queue.h"
#include "common/queue_idem.h"

#define QUEUE_BATCH_MAX 10000 /* jobs */
/* Jobs in one call, about a millisecond of Redis' time: no call may take five, and a machine may be
 * busy (docs/benchmarks.md). */
#define QUEUE_BATCH_CHUNK 32
#define QUEUE_BATCH_PAGE 250 /* of states */

/* Room for `count` jobs of `flow`; `model` is that of one of them. */
void queue_batch_open_command(const struct queue *queue, const char *batch_id, const char *flow,
                              const char *model, size_t count, struct redis_command *command);
/* ERR_UNAVAILABLE: the queue is full, and *out_retry_ms is when it should have room; ERR_LIMIT: a
 * flow may not have so many; ERR_CONFLICT: the id is taken. */
int queue_batch_open_reply(const struct redis_reply *reply, int64_t *out_retry_ms, struct err *err);

/* Seals it; its idempotency key (`idem` with an empty key: none) stands for it from then on. */
void queue_batch_seal_command(const struct queue *queue, const char *batch_id, const char *flow,
                              const struct queue_idem *idem, struct redis_command *command);
/* ERR_CONFLICT: it has not got all its jobs, was dropped, or does not exist. With 0 and a state
 * other than QUEUE_IDEM_FREE it was not sealed, as the key stands for something else. */
int queue_batch_seal_reply(const struct redis_reply *reply, struct queue_idem_found *out_found,
                           struct err *err);

/* Drops one that was not sealed; the reply as above. */
void queue_batch_drop_command(const struct queue *queue, const char *batch_id,
                              struct redis_command *command);

struct queue_batch {
    char flow[JOB_FLOW_SIZE];
    size_t jobs; /* in the whole batch */
    int64_t created_ms;
    bool sealed;
    size_t count; /* of the page */
    struct queue_batch_job {
        char public_id[ID_PUBLIC_SIZE];
        enum job_state state; /* 0: it is forgotten, or was erased */
    } page[QUEUE_BATCH_PAGE];
};

/* The states of QUEUE_BATCH_PAGE jobs from `offset` on, in the order in which they were handed in.
 */
void queue_batch_get_command(const struct queue *queue, const char *batch_id, size_t offset,
                             struct redis_command *command);
int queue_batch_get_reply(const struct queue *queue, const struct redis_reply *reply,
                          struct queue_batch *out, struct err *err);

/* Cancels or erases QUEUE_BATCH_CHUNK jobs from `offset` on, each as queue_cancel() and
 * queue_erase() do. *out_more: go on behind them. ERR_NOT_FOUND: no such batch, or it was not
 * sealed. */
void queue_batch_end_command(const struct queue *queue, const char *batch_id, bool erase,
                             size_t offset, struct redis_command *command);
int queue_batch_end_reply(const struct redis_reply *reply, bool *out_more, struct err *err);

#endif
