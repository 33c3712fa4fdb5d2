/* SPDX-License-Identifier: MIT
 *
 * The queue, as an operator uses it: stop and start a model, see the workers, look into the dead
 * letter and give what lies there another chance.
 *
 *     queue_pause_command(&queue, "portrait", true, &command);      // nobody claims it any more
 *     queue_dead_command(&queue, 0, 50, &command);                  // the newest 50 dead letters
 *     for (i = 0; i < queue_dead_count(reply); i++)
 *         rc = queue_dead_reply(reply, i, &dead, &err);
 *     queue_replay_command(&queue, public_id, &command);
 *
 * Conventions as in queue.h: every verb is one script, safe to repeat. */
#ifndef DARKROOM_COMMON_QUEUE_OPERATE_H
#define DARKROOM_COMMON_QUEUE_OPERATE_H

#include "common/queue.h"

#define QUEUE_DEAD_MAX 200    /* of a page */
#define QUEUE_WORKERS_MAX 500 /* of an answer */
#define QUEUE_WORKER_SIZE 65
#define QUEUE_DEVICE_SIZE 65
#define QUEUE_HISTORY_MAX 16
#define QUEUE_WORKER_JOBS_MAX 16 /* of a worker, in one shard */

/* Jobs that run go on; submits are accepted. Positions stay, ETAs are unknown while paused. */
void queue_pause_command(const struct queue *queue, const char *model, bool paused,
                         struct redis_command *command);
/* *out_changed is false when it was so already. */
int queue_pause_reply(const struct redis_reply *reply, bool *out_changed, struct err *err);

/* ---- workers -------------------------------------------------------------------------------- */

struct queue_worker {
    char worker[QUEUE_WORKER_SIZE];
    char device[QUEUE_DEVICE_SIZE];
    const char *models; /* "+model,model…", with a + where it is loaded; borrowed from the reply */
    int slots;
    int running;      /* jobs in hand; -1: so many run in all that they were not counted */
    int64_t left_ms;  /* until it counts as gone, unless it is heard again */
    int64_t heard_ms; /* since its last sign */
    bool draining;    /* was told to stop claiming */
    size_t job_count; /* of `running`, those that are told */
    struct queue_worker_job {
        char public_id[ID_PUBLIC_SIZE];
        char model[JOB_MODEL_SIZE];
        int progress;       /* per mille */
        int64_t claimed_ms; /* since 1970 */
    } jobs[QUEUE_WORKER_JOBS_MAX];
};
void queue_workers_command(const struct queue *queue, struct redis_command *command);
size_t queue_workers_count(const struct redis_reply *reply);
int queue_workers_reply(const struct redis_reply *reply, size_t index, struct queue_worker *out,
                        struct err *err);

/* How many have a job in hand: of all, and of those that serve each model. */
struct queue_busy {
    int64_t alive; /* all workers */
    int64_t busy;  /* of them, or of those of the model; -1: so many jobs run that nobody counted */
};
void queue_busy_command(const struct queue *queue, const char *const *models, size_t count,
                        struct redis_command *command);
/* `index` is that of the model, or QUEUE_BUSY_ALL. */
#define QUEUE_BUSY_ALL (-1)
int queue_busy_reply(const struct redis_reply *reply, int index, struct queue_busy *out,
                     struct err *err);

/* ---- the dead letter ------------------------------------------------------------------------ */

struct queue_dead {
    struct queue_job job; /* its error says why; `spec` is borrowed from the reply */
    int64_t died_ms;
    size_t history_count;
    struct queue_attempt {
        uint32_t epoch;
        int64_t at_ms;
        const char *what; /* `lost`, `<worker> <code>\n<detail>` …; borrowed from the reply */
    } history[QUEUE_HISTORY_MAX];
};
void queue_dead_command(const struct queue *queue, int64_t offset, int64_t limit,
                        struct redis_command *command);
int64_t queue_dead_total(const struct redis_reply *reply);
size_t queue_dead_count(const struct redis_reply *reply); /* on this page */
/* ERR_CORRUPT: that record cannot be read; the others can. */
int queue_dead_reply(const struct queue *queue, const struct redis_reply *reply, size_t index,
                     struct queue_dead *out, struct err *err);

/* Back to its lane, with all its attempts. ERR_NOT_FOUND; ERR_CONFLICT: it is not in the dead
 * letter, or not any more. */
void queue_replay_command(const struct queue *queue, const char *public_id,
                          struct redis_command *command);
int queue_replay_reply(const struct redis_reply *reply, struct err *err);

#endif
