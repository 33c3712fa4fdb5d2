/* SPDX-License-Identifier: MIT
 *
 * What a worker asks for: jobs, wake-ups, time, a place in the registry. */
#include "common/queue_worker.h"

#include "common/err.h"
#include "common/queue_record.h"
#include "common/queue_scripts.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What a socket gives a blocking command beyond the time for which Redis holds it. */
#define BLOCK_MARGIN_MS 2000

/* ---- claim ----------------------------------------------------------------------------------- */

void queue_claim_command(const struct queue *queue, const char *worker, const char *nonce,
                         const char *const *models, size_t model_count, size_t max,
                         struct redis_command *command)
{
    assert(max > 0 && max <= QUEUE_CLAIM_MAX && model_count <= QUEUE_MODELS_MAX);
    queue_begin(queue, command, &queue_script_claim);
    redis_command_text(command, worker);
    redis_command_text(command, nonce);
    redis_command_int(command, queue->lease_ms);
    redis_command_int(command, queue->retain_ms);
    redis_command_int(command, (int64_t)max);
    redis_command_int(command, (int64_t)queue->shard + (queue->shards > 1 ? 256 : 0));
    for (size_t i = 0; i < model_count; i++)
        redis_command_text(command, models[i]);
}

/* The reply holds the record as it was before the claim, and the first bytes as they are now. */
static int parse_claimed(const struct redis_reply *triples, size_t index, unsigned shard,
                         struct queue_claimed *out, struct err *err)
{
    uint64_t id;
    struct queue_job job;
    const struct redis_reply *raw = redis_reply_at(triples, 3 * index + 1);
    const struct redis_reply *head = redis_reply_at(triples, 3 * index + 2);
    if (queue_parse_id(redis_reply_at(triples, 3 * index), &id) < 0)
        return queue_bad_reply("claim", err);
    int rc = queue_record_parse(id, shard, redis_reply_text(raw), redis_reply_size(raw),
                                redis_reply_text(head), redis_reply_size(head), &job, err);
    if (rc < 0)
        return rc;
    *out = (struct queue_claimed){
        .id = id,
        .epoch = job.epoch,
        .attempts = job.attempts,
        .max_attempts = job.max_attempts,
        .losses = job.losses,
        .alone = job.alone,
        .run_max_ms = job.run_max_ms,
        .created_ms = job.created_ms,
        .spec = job.spec,
        .spec_size = job.spec_size,
    };
    memcpy(out->public_id, job.public_id, sizeof out->public_id);
    memcpy(out->model, job.model, sizeof out->model);
    memcpy(out->extension, job.extension, sizeof out->extension);
    if (!queue_extra_get(&job, 't', out->trace, sizeof out->trace))
        out->trace[0] = 0;
    return 0;
}

int queue_claim_reply(const struct redis_reply *reply, struct queue_claim *out, struct err *err)
{
    const struct redis_reply *triples = redis_reply_at(reply, 0);
    size_t count = redis_reply_count(triples) / 3;
    if (redis_reply_count(reply) != 5 || redis_reply_count(triples) % 3)
        return queue_bad_reply("claim", err);
    struct queue_claim claim = {
        .count = count,
        .more = redis_reply_int(redis_reply_at(reply, 1)) == 1,
        .drain = redis_reply_int(redis_reply_at(reply, 1)) == 2,
        .next_due_ms = redis_reply_int(redis_reply_at(reply, 2)),
        .next_ms = redis_reply_int(redis_reply_at(reply, 4)),
    };
    unsigned shard = (unsigned)redis_reply_int(redis_reply_at(reply, 3));
    if (count && !(claim.jobs = calloc(count, sizeof *claim.jobs)))
        return err_set(err, ERR_NOMEM, NULL, "no memory for %zu claimed jobs", count);
    for (size_t i = 0; i < count; i++) {
        int rc = parse_claimed(triples, i, shard, &claim.jobs[i], err);
        if (rc < 0) {
            queue_claim_fini(&claim);
            return rc;
        }
    }
    *out = claim;
    return 0;
}

int queue_claim(const struct queue *queue, struct redis *redis, const char *worker,
                const char *nonce, const char *const *models, size_t model_count, size_t max,
                int64_t timeout_ms, struct queue_claim *out, struct err *err)
{
    struct redis_command command;
    struct redis_reply *reply = NULL;
    redis_command_init(&command, QUEUE_COMMAND_MAX);
    queue_claim_command(queue, worker, nonce, models, model_count, max, &command);
    int rc = queue_run(redis, &command, timeout_ms, &reply, err);
    if (rc == 0)
        rc = queue_claim_reply(reply, out, err);
    if (rc == 0)
        out->reply = reply;
    else
        redis_reply_free(&reply);
    return rc;
}

void queue_claim_fini(struct queue_claim *claim)
{
    redis_reply_free(&claim->reply);
    free(claim->jobs);
    *claim = (struct queue_claim){0};
}

/* ---- waiting --------------------------------------------------------------------------------- */

static void add_seconds(struct redis_command *command, int64_t wait_ms)
{
    char text[32];
    /* 0 would mean for ever, and Redis 6.2 reads 0.001 as less than a millisecond, which is 0. */
    snprintf(text, sizeof text, "%.3f", (double)(wait_ms > 1 ? wait_ms : 2) / 1000);
    redis_command_text(command, text);
}

void queue_wait_command(const struct queue *queues, size_t count, const char *worker,
                        const char *const *models, size_t model_count, int64_t wait_ms,
                        struct redis_command *command)
{
    redis_command_clear(command);
    redis_command_text(command, "BLPOP");
    for (size_t shard = 0; shard < count; shard++) {
        if (worker)
            queue_add_key(&queues[shard], command, "stop:", worker);
        for (size_t i = 0; i < model_count; i++)
            queue_add_key(&queues[shard], command, "wake:", models[i]);
    }
    add_seconds(command, wait_ms);
}

void queue_stop_wait_command(const struct queue *queue, const char *worker,
                             struct redis_command *command)
{
    redis_command_clear(command);
    redis_command_text(command, "RPUSH");
    queue_add_key(queue, command, "stop:", worker);
    redis_command_text(command, "1");
}

void queue_stop_expire_command(const struct queue *queue, const char *worker,
                               struct redis_command *command)
{
    redis_command_clear(command);
    redis_command_text(command, "PEXPIRE");
    queue_add_key(queue, command, "stop:", worker);
    redis_command_text(command, "60000");
}

int queue_woken_shard(const struct redis_reply *reply)
{
    const char *key = redis_reply_text(redis_reply_at(reply, 0));
    return strncmp(key, "{q:", 3) == 0 ? (int)strtol(key + 3, NULL, 16) & ID_SHARD_MAX : -1;
}

static int block(struct redis *redis, struct redis_command *command, int64_t wait_ms,
                 struct err *err)
{
    struct redis_reply *reply = NULL;
    int rc = queue_run(redis, command, wait_ms + BLOCK_MARGIN_MS, &reply, err);
    if (rc == 0 && redis_reply_type(reply) == REDIS_NIL)
        rc = ERR_TIMEOUT;
    redis_reply_free(&reply);
    return rc;
}

int queue_wait(const struct queue *queue, struct redis *redis, const char *const *models,
               size_t model_count, int64_t wait_ms, struct err *err)
{
    struct redis_command command;
    redis_command_init(&command, QUEUE_COMMAND_MAX);
    queue_wait_command(queue, 1, NULL, models, model_count, wait_ms, &command);
    return block(redis, &command, wait_ms, err);
}

int queue_wait_claim(const struct queue *queue, struct redis *redis, const char *worker,
                     const char *nonce, const char *const *models, size_t model_count, size_t max,
                     int64_t wait_ms, struct queue_claim *out, struct err *err)
{
    struct redis_command wait, claim;
    const struct redis_command *commands[] = {&wait, &claim};
    struct redis_reply *replies[2] = {NULL, NULL};
    redis_command_init(&wait, QUEUE_COMMAND_MAX);
    redis_command_init(&claim, QUEUE_COMMAND_MAX);
    queue_wait_command(queue, 1, worker, models, model_count, wait_ms, &wait);
    queue_claim_command(queue, worker, nonce, models, model_count, max, &claim);
    int rc = redis_pipeline(redis, commands, 2, wait_ms + BLOCK_MARGIN_MS, replies, err);
    if (rc == 0)
        rc = redis_reply_check(replies[1], err);
    if (rc == 0)
        rc = queue_claim_reply(replies[1], out, err);
    if (rc == 0)
        out->reply = replies[1];
    else
        redis_reply_free(&replies[1]);
    redis_reply_free(&replies[0]);
    redis_command_fini(&wait);
    redis_command_fini(&claim);
    return rc;
}

void queue_push_command(const struct queue *queues, size_t count, const char *worker,
                        int64_t wait_ms, struct redis_command *command)
{
    redis_command_clear(command);
    redis_command_text(command, "BLPOP");
    for (size_t shard = 0; shard < count; shard++)
        queue_add_key(&queues[shard], command, "push:", worker);
    add_seconds(command, wait_ms);
}

int queue_push(const struct queue *queue, struct redis *redis, const char *worker, int64_t wait_ms,
               struct err *err)
{
    struct redis_command command;
    redis_command_init(&command, QUEUE_COMMAND_MAX);
    queue_push_command(queue, 1, worker, wait_ms, &command);
    return block(redis, &command, wait_ms, err);
}

/* ---- heartbeat ------------------------------------------------------------------------------- */

static int clamp_progress(int progress)
{
    if (progress < 0)
        return 0;
    return progress > 1000 ? 1000 : progress;
}

void queue_heartbeat_command(const struct queue *queue, const char *worker,
                             const struct queue_beat *beats, size_t count,
                             struct redis_command *command)
{
    assert(count <= QUEUE_LEASES_MAX);
    queue_begin(queue, command, &queue_script_heartbeat);
    redis_command_text(command, worker);
    redis_command_int(command, queue->lease_ms);
    redis_command_int(command, queue->retain_ms);
    for (size_t i = 0; i < count; i++) {
        queue_add_id(command, beats[i].id);
        redis_command_int(command, beats[i].epoch);
        redis_command_int(command, clamp_progress(beats[i].progress));
    }
}

int queue_heartbeat_reply(const struct redis_reply *reply, size_t count,
                          enum queue_verdict *out_verdicts, bool *out_drain, struct err *err)
{
    if (redis_reply_count(reply) != count + 1)
        return queue_bad_reply("heartbeat", err);
    for (size_t i = 0; i < count; i++) {
        int64_t verdict = redis_reply_int(redis_reply_at(reply, i + 1));
        if (verdict < QUEUE_OK || verdict > QUEUE_LOST)
            return queue_bad_reply("heartbeat", err);
        out_verdicts[i] = (enum queue_verdict)verdict;
    }
    *out_drain = redis_reply_int(redis_reply_at(reply, 0)) == 1;
    return 0;
}

int queue_heartbeat(const struct queue *queue, struct redis *redis, const char *worker,
                    const struct queue_beat *beats, size_t count, int64_t timeout_ms,
                    enum queue_verdict *out_verdicts, bool *out_drain, struct err *err)
{
    struct redis_command command;
    struct redis_reply *reply = NULL;
    redis_command_init(&command, QUEUE_COMMAND_MAX);
    queue_heartbeat_command(queue, worker, beats, count, &command);
    int rc = queue_run(redis, &command, timeout_ms, &reply, err);
    if (rc == 0)
        rc = queue_heartbeat_reply(reply, count, out_verdicts, out_drain, err);
    redis_reply_free(&reply);
    return rc;
}

/* ---- registry -------------------------------------------------------------------------------- */

/* The registry's own separators must not come from a device's name. */
static void add_device(struct redis_command *command, const char *device)
{
    char text[65];
    snprintf(text, sizeof text, "%s", device ? device : "");
    for (char *c = text; *c; c++)
        if (*c == '|' || (unsigned char)*c < ' ')
            *c = '_';
    redis_command_text(command, text);
}

/* Names of models have no +. */
static void add_served(struct redis_command *command, const char *model, bool loaded)
{
    char text[JOB_MODEL_SIZE + 1];
    snprintf(text, sizeof text, "%s%s", loaded ? "+" : "", model);
    redis_command_text(command, text);
}

void queue_hello_command(const struct queue *queue, const struct queue_hello *hello,
                         struct redis_command *command)
{
    queue_begin(queue, command, &queue_script_hello);
    redis_command_text(command, hello->worker);
    redis_command_int(command, hello->ttl_ms > 0 ? hello->ttl_ms : 3 * queue->lease_ms);
    redis_command_int(command, hello->slots > 0 ? hello->slots : 1);
    add_device(command, hello->device);
    for (size_t i = 0; i < hello->model_count; i++)
        add_served(command, hello->models[i], i < hello->loaded_count);
}

int queue_hello(const struct queue *queue, struct redis *redis, const struct queue_hello *hello,
                int64_t timeout_ms, struct err *err)
{
    struct redis_command command;
    redis_command_init(&command, QUEUE_COMMAND_MAX);
    queue_hello_command(queue, hello, &command);
    return queue_run(redis, &command, timeout_ms, NULL, err);
}

void queue_bye_command(const struct queue *queue, const char *worker, struct redis_command *command)
{
    queue_begin(queue, command, &queue_script_bye);
    redis_command_text(command, worker);
}

int queue_bye(const struct queue *queue, struct redis *redis, const char *worker,
              int64_t timeout_ms, struct err *err)
{
    struct redis_command command;
    redis_command_init(&command, QUEUE_COMMAND_MAX);
    queue_bye_command(queue, worker, &command);
    return queue_run(redis, &command, timeout_ms, NULL, err);
}

void queue_mourn_command(const struct queue *queue, const char *worker, const char *how,
                         struct redis_command *command)
{
    char line[65];
    snprintf(line, sizeof line, "%s", how);
    for (char *c = line; *c; c++)
        if ((unsigned char)*c < ' ')
            *c = ' ';
    queue_begin(queue, command, &queue_script_mourn);
    redis_command_text(command, worker);
    redis_command_int(command, queue->retain_ms);
    redis_command_text(command, line);
}

int queue_mourn(const struct queue *queue, struct redis *redis, const char *worker, const char *how,
                int64_t timeout_ms, int *out_jobs, struct err *err)
{
    struct redis_command command;
    struct redis_reply *reply = NULL;
    redis_command_init(&command, QUEUE_COMMAND_MAX);
    queue_mourn_command(queue, worker, how, &command);
    int rc = queue_run(redis, &command, timeout_ms, &reply, err);
    if (rc == 0 && redis_reply_count(reply) != 2)
        rc = queue_bad_reply("mourn", err);
    if (rc == 0)
        *out_jobs = (int)redis_reply_int(redis_reply_at(reply, 0));
    redis_reply_free(&reply);
    return rc;
}
