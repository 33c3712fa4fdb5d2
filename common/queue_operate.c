/* SPDX-License-Identifier: MIT */
#include "common/queue_operate.h"

#include "common/err.h"
#include "common/queue_record.h"
#include "common/queue_scripts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- pause ----------------------------------------------------------------------------------- */

void queue_pause_command(const struct queue *queue, const char *model, bool paused,
                         struct redis_command *command)
{
    queue_begin(queue, command, &queue_script_pause);
    redis_command_text(command, model);
    redis_command_int(command, paused);
}

int queue_pause_reply(const struct redis_reply *reply, bool *out_changed, struct err *err)
{
    if (redis_reply_type(reply) != REDIS_INT)
        return queue_bad_reply("pause", err);
    *out_changed = redis_reply_int(reply) == 1;
    return 0;
}

/* ---- workers --------------------------------------------------------------------------------- */

#define WORKER_FIELDS 8 /* before its jobs */

void queue_workers_command(const struct queue *queue, struct redis_command *command)
{
    queue_begin(queue, command, &queue_script_workers);
    redis_command_int(command, QUEUE_WORKERS_MAX);
}

size_t queue_workers_count(const struct redis_reply *reply)
{
    return redis_reply_count(reply);
}

/* `public id, progress, claimed at, model` */
static int parse_worker_job(const char *text, struct queue_worker_job *out)
{
    char *end = NULL;
    struct queue_worker_job job;
    if (strlen(text) < ID_PUBLIC_SIZE || text[ID_PUBLIC_SIZE - 1] != ' ')
        return ERR_CORRUPT;
    memcpy(job.public_id, text, ID_PUBLIC_SIZE - 1);
    job.public_id[ID_PUBLIC_SIZE - 1] = 0;
    job.progress = (int)strtol(text + ID_PUBLIC_SIZE, &end, 10);
    job.claimed_ms = *end == ' ' ? strtoll(end + 1, &end, 10) : 0;
    if (*end != ' ' || !job_model_valid(end + 1) || !id_public_valid(job.public_id))
        return ERR_CORRUPT;
    snprintf(job.model, sizeof job.model, "%s", end + 1);
    *out = job;
    return 0;
}

int queue_workers_reply(const struct redis_reply *reply, size_t index, struct queue_worker *out,
                        struct err *err)
{
    const struct redis_reply *fields = redis_reply_at(reply, index);
    struct queue_worker worker = {
        .models = redis_reply_text(redis_reply_at(fields, 3)),
        .slots = (int)redis_reply_int(redis_reply_at(fields, 1)),
        .left_ms = redis_reply_int(redis_reply_at(fields, 4)),
        .draining = redis_reply_int(redis_reply_at(fields, 5)) == 1,
        .running = (int)redis_reply_int(redis_reply_at(fields, 6)),
        .heard_ms = redis_reply_int(redis_reply_at(fields, 7)),
    };
    size_t count = redis_reply_count(fields);
    if (count < WORKER_FIELDS ||
        queue_copy(worker.worker, sizeof worker.worker, redis_reply_at(fields, 0)) < 0 ||
        queue_copy(worker.device, sizeof worker.device, redis_reply_at(fields, 2)) < 0)
        return queue_bad_reply("workers", err);
    for (size_t i = WORKER_FIELDS; i < count && worker.job_count < QUEUE_WORKER_JOBS_MAX; i++)
        if (parse_worker_job(redis_reply_text(redis_reply_at(fields, i)),
                             &worker.jobs[worker.job_count]) == 0)
            worker.job_count++;
    *out = worker;
    return 0;
}

void queue_busy_command(const struct queue *queue, const char *const *models, size_t count,
                        struct redis_command *command)
{
    queue_begin(queue, command, &queue_script_busy);
    for (size_t i = 0; i < count; i++)
        redis_command_text(command, models[i]);
}

int queue_busy_reply(const struct redis_reply *reply, int index, struct queue_busy *out,
                     struct err *err)
{
    size_t place = index == QUEUE_BUSY_ALL ? 1 : (size_t)index + 2;
    if (redis_reply_count(reply) <= place)
        return queue_bad_reply("busy", err);
    *out = (struct queue_busy){.alive = redis_reply_int(redis_reply_at(reply, 0)),
                               .busy = redis_reply_int(redis_reply_at(reply, place))};
    return 0;
}

/* ---- the dead letter ------------------------------------------------------------------------- */

void queue_dead_command(const struct queue *queue, int64_t offset, int64_t limit,
                        struct redis_command *command)
{
    queue_begin(queue, command, &queue_script_dead);
    redis_command_int(command, offset);
    redis_command_int(command, limit < QUEUE_DEAD_MAX ? limit : QUEUE_DEAD_MAX);
}

int64_t queue_dead_total(const struct redis_reply *reply)
{
    return redis_reply_int(redis_reply_at(reply, 0));
}

size_t queue_dead_count(const struct redis_reply *reply)
{
    size_t count = redis_reply_count(reply);
    return count ? count - 1 : 0;
}

/* `epoch ms what…` */
static int parse_attempt(const char *text, struct queue_attempt *out)
{
    char *end = NULL;
    out->epoch = (uint32_t)strtoul(text, &end, 10);
    if (end == text || *end != ' ')
        return ERR_CORRUPT;
    const char *at = end + 1;
    out->at_ms = strtoll(at, &end, 10);
    if (end == at || *end != ' ')
        return ERR_CORRUPT;
    out->what = end + 1;
    return 0;
}

int queue_dead_reply(const struct queue *queue, const struct redis_reply *reply, size_t index,
                     struct queue_dead *out, struct err *err)
{
    const struct redis_reply *fields = redis_reply_at(reply, index + 1);
    const struct redis_reply *record = redis_reply_at(fields, 1);
    size_t count = redis_reply_count(fields);
    struct queue_dead dead = {.died_ms = redis_reply_int(redis_reply_at(fields, 2))};
    uint64_t id;
    if (count < 3 || queue_parse_id(redis_reply_at(fields, 0), &id) < 0)
        return queue_bad_reply("dead", err);
    int rc = queue_record_parse(id, queue->shard, redis_reply_text(record),
                                redis_reply_size(record), NULL, 0, &dead.job, err);
    if (rc < 0)
        return rc;
    for (size_t i = 3; i < count && dead.history_count < QUEUE_HISTORY_MAX; i++)
        if (parse_attempt(redis_reply_text(redis_reply_at(fields, i)),
                          &dead.history[dead.history_count]) == 0)
            dead.history_count++;
    *out = dead;
    return 0;
}

void queue_replay_command(const struct queue *queue, const char *public_id,
                          struct redis_command *command)
{
    queue_begin(queue, command, &queue_script_replay);
    redis_command_text(command, public_id);
}

int queue_replay_reply(const struct redis_reply *reply, struct err *err)
{
    int64_t status = redis_reply_int(reply);
    if (redis_reply_type(reply) != REDIS_INT || status < 0 || status > 2)
        return queue_bad_reply("replay", err);
    if (status == 0)
        return err_set(err, ERR_NOT_FOUND, "id", "no such job");
    if (status == 2)
        return err_set(err, ERR_CONFLICT, "id", "the job is not in the dead letter");
    return 0;
}
