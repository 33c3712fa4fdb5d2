/* SPDX-License-Identifier: MIT
 *
 * What the dispatcher does with one job: submit, get, positions, cancel, erase, grants. */
#include "common/queue.h"

#include "common/err.h"
#include "common/queue_record.h"
#include "common/queue_scripts.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COST_MAX_MS 16000000
#define DAY_MS (24LL * 3600 * 1000)
#define TIME_MAX_MS 253402300799999 /* the year 9999 */

void queue_init(struct queue *queue, unsigned shard, int64_t lease_ms)
{
    assert(shard <= ID_SHARD_MAX && lease_ms > 0);
    *queue = (struct queue){.shard = shard,
                            .shards = 1,
                            .lease_ms = lease_ms,
                            .retain_ms = 7 * DAY_MS,
                            .max_queued = 10000000,
                            .max_flow_queued = 1000000};
}

/* ---- submit --------------------------------------------------------------------------------- */

static bool is_extension(const char *text)
{
    size_t length = 0; /* no strspn(): it makes a table of all 256 bytes first */
    while ((text[length] >= 'a' && text[length] <= 'z') ||
           (text[length] >= '0' && text[length] <= '9'))
        length++;
    return text[length] == 0 && length > 0 && length < JOB_EXTENSION_SIZE;
}

/* Lines `<letter>=<value>`, none of them empty, the last one with its end too. */
static bool is_extra(const char *text, size_t size)
{
    size_t column = 0;
    for (size_t i = 0; i < size; i++) {
        char c = text[i];
        if (c == '\n' ? column < 2
                      : (unsigned char)c < ' ' ||
                            (column == 0 && (c < 'a' || c > 'z' || strchr("bdfmp", c))) ||
                            (column == 1 && c != '='))
            return false;
        column = c == '\n' ? 0 : column + 1;
    }
    return column == 0;
}

static int check_limits(const struct queue_submit *job, struct err *err)
{
    if (job->max_attempts < 1 || job->max_attempts > 100)
        return err_set(err, ERR_INVALID, "max_attempts", "must be 1 to 100");
    if (job->backoff_ms < 0 || job->backoff_ms > QUEUE_BACKOFF_LIMIT_MS)
        return err_set(err, ERR_INVALID, "backoff", "must be at most %d ms",
                       QUEUE_BACKOFF_LIMIT_MS);
    if (job->backoff_max_ms < 0 || job->backoff_max_ms > QUEUE_BACKOFF_MAX_LIMIT_MS)
        return err_set(err, ERR_INVALID, "backoff_max", "must be at most %d ms",
                       QUEUE_BACKOFF_MAX_LIMIT_MS);
    if (job->run_max_ms < 0 || job->run_max_ms > QUEUE_RUN_MAX_MS)
        return err_set(err, ERR_INVALID, "timeout", "must be at most %d ms", QUEUE_RUN_MAX_MS);
    if (job->deadline_ms < 0 || job->deadline_ms > TIME_MAX_MS || job->deadline_after_ms < 0 ||
        job->deadline_after_ms > TIME_MAX_MS)
        return err_set(err, ERR_INVALID, "deadline", "must be a time in ms since 1970");
    if (job->extra_size > QUEUE_EXTRA_MAX || !is_extra(job->extra, job->extra_size))
        return err_set(err, ERR_INVALID, "extra", "must be lines <letter>=<value>, up to %d bytes",
                       QUEUE_EXTRA_MAX);
    return 0;
}

static bool is_language(const char *text)
{
    size_t length = strlen(text);
    return length >= 2 && length < QUEUE_LANGUAGE_SIZE &&
           strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-") == length;
}

static bool is_ours(const struct queue *queue, const char *public_id)
{
    return id_public_valid(public_id) && id_public_shard(public_id) == queue->shard;
}

static int check_parents(const struct queue *queue, const struct queue_submit *job, struct err *err)
{
    bool named = !job->input_from;
    if (job->parent_count > QUEUE_PARENTS_MAX)
        return err_set(err, ERR_LIMIT, "after", "a job waits for at most %d others",
                       QUEUE_PARENTS_MAX);
    for (size_t i = 0; i < job->parent_count; i++) {
        const char *parent = job->parents[i];
        if (!is_ours(queue, parent) || !strcmp(parent, job->public_id))
            return err_set(err, ERR_INVALID, "after", "must be ids of jobs of the same owner");
        for (size_t j = 0; j < i; j++)
            if (!strcmp(parent, job->parents[j]))
                return err_set(err, ERR_INVALID, "after", "names a job twice");
        named |= !strcmp(parent, job->input_from ? job->input_from : "");
    }
    if (!named || (job->input_from && job->has_input))
        return err_set(err, ERR_INVALID, "input", "must be the result of a job that it waits for");
    if (job->batch && !is_ours(queue, job->batch))
        return err_set(err, ERR_INVALID, "batch", "must be a public id of shard %u", queue->shard);
    return 0;
}

int queue_submit_check(const struct queue *queue, const struct queue_submit *job, struct err *err)
{
    if (!id_public_valid(job->public_id) || id_public_shard(job->public_id) != queue->shard)
        return err_set(err, ERR_INVALID, "id", "must be a public id of shard %u", queue->shard);
    if (!job->model || !job_model_valid(job->model))
        return err_set(err, ERR_INVALID, "model", "a model's name has up to %d bytes of a-z0-9._-",
                       JOB_MODEL_SIZE - 1);
    if (!job->flow || !job_flow_valid(job->flow))
        return err_set(err, ERR_INVALID, "flow", "a flow has up to %d bytes of A-Za-z0-9_-",
                       JOB_FLOW_SIZE - 1);
    if ((unsigned)job->priority >= JOB_PRIORITY_COUNT)
        return err_set(err, ERR_INVALID, "priority", "must be 0 to %d", JOB_PRIORITY_COUNT - 1);
    if (job->cost_ms < 1 || job->cost_ms > COST_MAX_MS)
        return err_set(err, ERR_INVALID, "cost", "must be 1 to %d ms", COST_MAX_MS);
    if (!(job->weight >= 0.01 && job->weight <= 1000))
        return err_set(err, ERR_INVALID, "weight", "must be 0.01 to 1000");
    if (!job->extension || !is_extension(job->extension))
        return err_set(err, ERR_INVALID, "extension", "must be up to %d bytes of a-z0-9",
                       JOB_EXTENSION_SIZE - 1);
    if ((job->notify_address && strlen(job->notify_address) >= QUEUE_ADDRESS_SIZE) ||
        job->notify_blob_size > QUEUE_BLOB_MAX)
        return err_set(err, ERR_LIMIT, "email", "the sealed address is longer than %d bytes",
                       QUEUE_BLOB_MAX);
    if (job->notify_language && !is_language(job->notify_language))
        return err_set(err, ERR_INVALID, "lang", "must be 2 to %d characters of a-z0-9-",
                       QUEUE_LANGUAGE_SIZE - 1);
    if (job->spec_size > JOB_SPEC_MAX)
        return err_set(err, ERR_LIMIT, "params", "the job's description is longer than %d bytes",
                       JOB_SPEC_MAX);
    int rc = check_parents(queue, job, err);
    return rc == 0 ? check_limits(job, err) : rc;
}

bool queue_submit_waits(const struct queue_submit *job)
{
    return job->parent_count > 0 || job->batch;
}

static int64_t charge_of(const struct queue_submit *job)
{
    double charge = round((double)job->cost_ms / job->weight);
    if (charge < 1)
        return 1;
    return charge > COST_MAX_MS ? COST_MAX_MS : (int64_t)charge;
}

/* The limit of every flow, and behind it those of flows that have one of their own. */
static void add_max_queued(const struct queue *queue, const struct queue_submit *jobs, size_t count,
                           struct redis_command *command)
{
    char text[64 + JOB_FLOW_SIZE];
    struct buf line;
    buf_init(&line, QUEUE_SUBMIT_MAX * sizeof text);
    snprintf(text, sizeof text, "%" PRId64, queue->max_flow_queued);
    int rc = buf_append_text(&line, text);
    for (size_t i = 0; rc == 0 && i < count; i++) {
        bool same = i > 0 && strcmp(jobs[i].flow, jobs[i - 1].flow) == 0;
        if (jobs[i].max_queued <= 0 || same)
            continue;
        snprintf(text, sizeof text, " %s=%" PRId64, jobs[i].flow, jobs[i].max_queued);
        rc = buf_append_text(&line, text);
    }
    redis_command_bytes(command, line.data, line.size);
    if (rc < 0)
        command->failure = rc;
    buf_fini(&line);
}

void queue_submit_command(const struct queue *queue, const struct queue_submit *jobs, size_t count,
                          struct redis_command *command)
{
    assert(count <= QUEUE_SUBMIT_MAX);
    bool wait = count > 0 && queue_submit_waits(&jobs[0]);
    queue_begin(queue, command, wait ? &queue_script_adopt : &queue_script_submit);
    redis_command_int(command, queue->max_queued);
    add_max_queued(queue, jobs, count, command);
    redis_command_int(command, count == 1 || (count > 0 && jobs[0].wants_position));
    redis_command_int(command, (int64_t)count);
    struct buf record;
    buf_init(&record, JOB_SPEC_MAX + QUEUE_EXTRA_MAX + 4096);
    for (size_t i = 0; i < count; i++) {
        const struct queue_submit *job = &jobs[i];
        assert(queue_submit_waits(job) == wait);
        int rc = queue_submit_check(queue, job, NULL);
        buf_clear(&record);
        if (rc == 0)
            rc = queue_record_pack(job, charge_of(job), &record);
        if (rc < 0) {
            command->failure = rc;
            break;
        }
        redis_command_text(command, job->public_id);
        redis_command_text(command, job->model);
        redis_command_text(command, job->flow);
        redis_command_int(command, (int64_t)job->priority);
        redis_command_int(command, job->run_at_ms);
        redis_command_bytes(command, record.data, record.size);
    }
    if (wait)
        redis_command_int(command, queue->retain_ms);
    buf_fini(&record);
}

/* `created position eta` */
static int read_accepted(const char *text, struct queue_submitted *out, struct err *err)
{
    int64_t number[3];
    for (int i = 0; i < 3; i++) {
        char *end;
        number[i] = strtoll(text, &end, 10);
        if (end == text || *end != (i < 2 ? ' ' : 0))
            return queue_bad_reply("submit", err);
        text = end;
    }
    *out = (struct queue_submitted){
        .state = JOB_QUEUED, .created_ms = number[0], .position = number[1], .eta_ms = number[2]};
    return 0;
}

int queue_submit_reply(const struct redis_reply *reply, size_t index, struct queue_submitted *out,
                       struct err *err)
{
    const struct redis_reply *fields = redis_reply_at(reply, index);
    if (redis_reply_type(fields) == REDIS_INT) {
        *out = (struct queue_submitted){.state = JOB_QUEUED,
                                        .created_ms = redis_reply_int(fields),
                                        .position = -1,
                                        .eta_ms = -1};
        return 0;
    }
    if (redis_reply_type(fields) == REDIS_TEXT)
        return read_accepted(redis_reply_text(fields), out, err);
    if (redis_reply_count(fields) < 5)
        return queue_bad_reply("submit", err);
    int64_t status = redis_reply_int(redis_reply_at(fields, 0));
    enum job_state state = job_state_from_letter(redis_reply_text(redis_reply_at(fields, 1))[0]);
    if (status == 2)
        return err_set(err, ERR_UNAVAILABLE, NULL, "the queue is full");
    if (status == 3)
        return err_set(err, ERR_LIMIT, "flow", "too many jobs of this owner wait already");
    if (status == 4)
        return err_set(err, ERR_CONFLICT, "id", "the id is taken by another job");
    if (status >= 8 && status <= 10)
        return err_set(err, ERR_CONFLICT, "Idempotency-Key", "the key stands for another job");
    if (status == 12)
        return err_set(err, ERR_CORRUPT, "Idempotency-Key", "the key holds what is not ours");
    if (status == 5)
        return err_set(err, ERR_NOT_FOUND, "after",
                       "there is no such job of this owner, or it is past its retention");
    if (status == 6)
        return err_set(err, ERR_CONFLICT, "batch", "the batch is not open");
    if (status < 0 || status > 1 || !state)
        return queue_bad_reply("submit", err);
    *out = (struct queue_submitted){
        .repeated = status == 1,
        .state = state,
        .created_ms = redis_reply_int(redis_reply_at(fields, 2)),
        .position = redis_reply_int(redis_reply_at(fields, 3)),
        .eta_ms = redis_reply_int(redis_reply_at(fields, 4)),
    };
    return 0;
}

int64_t queue_submit_retry_ms(const struct redis_reply *reply, size_t index)
{
    const struct redis_reply *fields = redis_reply_at(reply, index);
    int64_t status = redis_reply_int(redis_reply_at(fields, 0));
    return status == 2 || status == 3 ? redis_reply_int(redis_reply_at(fields, 2)) : 0;
}

int queue_submit(const struct queue *queue, struct redis *redis, const struct queue_submit *job,
                 int64_t timeout_ms, struct queue_submitted *out, struct err *err)
{
    struct redis_command command;
    struct redis_reply *reply = NULL;
    int rc = queue_submit_check(queue, job, err);
    if (rc < 0)
        return rc;
    redis_command_init(&command, QUEUE_COMMAND_MAX);
    queue_submit_command(queue, job, 1, &command);
    rc = queue_run(redis, &command, timeout_ms, &reply, err);
    if (rc == 0)
        rc = queue_submit_reply(reply, 0, out, err);
    redis_reply_free(&reply);
    return rc;
}

/* ---- verbs of one public id ------------------------------------------------------------------ */

static void begin_with_id(const struct queue *queue, const char *public_id,
                          const struct redis_script *script, struct redis_command *command)
{
    queue_begin(queue, command, script);
    redis_command_text(command, public_id);
    if (!id_public_valid(public_id) || id_public_shard(public_id) != queue->shard)
        command->failure = ERR_NOT_FOUND;
}

static int not_found(struct err *err)
{
    return err_set(err, ERR_NOT_FOUND, "id", "no such job");
}

void queue_get_command(const struct queue *queue, const char *public_id,
                       struct redis_command *command)
{
    begin_with_id(queue, public_id, &queue_script_get, command);
}

int queue_get_reply(const struct redis_reply *reply, struct queue_job *out, struct err *err)
{
    struct queue_job job;
    uint64_t id, shard;
    if (redis_reply_type(reply) == REDIS_NIL)
        return not_found(err);
    const struct redis_reply *raw = redis_reply_at(reply, 0);
    if (redis_reply_count(reply) != 7 || redis_reply_type(raw) != REDIS_TEXT ||
        queue_parse_id(redis_reply_at(reply, 5), &id) < 0)
        return queue_bad_reply("get", err);
    shard = (uint64_t)redis_reply_int(redis_reply_at(reply, 6));
    int rc = queue_record_parse(id, (unsigned)shard, redis_reply_text(raw), redis_reply_size(raw),
                                NULL, 0, &job, err);
    if (rc < 0)
        return rc;
    job.position = redis_reply_int(redis_reply_at(reply, 1));
    job.eta_ms = redis_reply_int(redis_reply_at(reply, 2));
    job.due_ms = redis_reply_int(redis_reply_at(reply, 3));
    if (job.waits) /* as far as it is known */
        job.due_ms -= job.due_ms >= QUEUE_FAR_MS ? QUEUE_FAR_MS : job.due_ms;
    if (queue_copy(job.event_id, sizeof job.event_id, redis_reply_at(reply, 4)) < 0)
        return queue_bad_reply("get", err);
    *out = job;
    return 0;
}

int queue_get(const struct queue *queue, struct redis *redis, const char *public_id,
              int64_t timeout_ms, struct queue_job *out, struct err *err)
{
    struct redis_command command;
    struct redis_reply *reply = NULL;
    redis_command_init(&command, QUEUE_COMMAND_MAX);
    queue_get_command(queue, public_id, &command);
    int rc = queue_run(redis, &command, timeout_ms, &reply, err);
    if (rc == 0)
        rc = queue_get_reply(reply, out, err);
    if (rc == 0) {
        out->spec = NULL;
        out->spec_size = 0;
        out->extra = NULL;
        out->extra_size = 0;
    }
    redis_reply_free(&reply);
    return rc;
}

void queue_cancel_command(const struct queue *queue, const char *public_id,
                          struct redis_command *command)
{
    begin_with_id(queue, public_id, &queue_script_cancel, command);
    redis_command_int(command, queue->retain_ms);
}

int queue_cancel_reply(const struct redis_reply *reply, enum job_state *out_state, struct err *err)
{
    if (redis_reply_type(reply) == REDIS_NIL)
        return not_found(err);
    enum job_state state = job_state_from_letter(redis_reply_text(reply)[0]);
    if (!state)
        return queue_bad_reply("cancel", err);
    *out_state = state;
    return 0;
}

int queue_cancel(const struct queue *queue, struct redis *redis, const char *public_id,
                 int64_t timeout_ms, enum job_state *out_state, struct err *err)
{
    struct redis_command command;
    struct redis_reply *reply = NULL;
    redis_command_init(&command, QUEUE_COMMAND_MAX);
    queue_cancel_command(queue, public_id, &command);
    int rc = queue_run(redis, &command, timeout_ms, &reply, err);
    if (rc == 0)
        rc = queue_cancel_reply(reply, out_state, err);
    redis_reply_free(&reply);
    return rc;
}

void queue_erase_command(const struct queue *queue, const char *public_id,
                         struct redis_command *command)
{
    begin_with_id(queue, public_id, &queue_script_erase, command);
    redis_command_int(command, queue->retain_ms);
}

int queue_erase_reply(const struct redis_reply *reply, bool *out_found, struct err *err)
{
    if (redis_reply_type(reply) != REDIS_INT)
        return queue_bad_reply("erase", err);
    *out_found = redis_reply_int(reply) == 1;
    return 0;
}

int queue_erase(const struct queue *queue, struct redis *redis, const char *public_id,
                int64_t timeout_ms, bool *out_found, struct err *err)
{
    struct redis_command command;
    struct redis_reply *reply = NULL;
    redis_command_init(&command, QUEUE_COMMAND_MAX);
    queue_erase_command(queue, public_id, &command);
    int rc = queue_run(redis, &command, timeout_ms, &reply, err);
    if (rc == 0)
        rc = queue_erase_reply(reply, out_found, err);
    redis_reply_free(&reply);
    return rc;
}

/* ---- verbs of many jobs ---------------------------------------------------------------------- */

void queue_positions_command(const struct queue *queue, const char *const *public_ids, size_t count,
                             struct redis_command *command)
{
    assert(count <= QUEUE_POSITIONS_MAX);
    queue_begin(queue, command, &queue_script_positions);
    for (size_t i = 0; i < count; i++)
        redis_command_text(command, public_ids[i]);
}

int queue_positions_reply(const struct redis_reply *reply, size_t index, struct queue_position *out,
                          struct err *err)
{
    const struct redis_reply *fields = redis_reply_at(reply, index);
    if (redis_reply_count(fields) != 2)
        return queue_bad_reply("positions", err);
    out->position = redis_reply_int(redis_reply_at(fields, 0));
    out->eta_ms = redis_reply_int(redis_reply_at(fields, 1));
    return 0;
}

void queue_grants_command(const struct queue *queue, const char *worker,
                          const struct queue_lease *leases, size_t count,
                          struct redis_command *command)
{
    assert(count > 0 && count <= QUEUE_GRANTS_MAX);
    queue_begin(queue, command, &queue_script_grants);
    redis_command_text(command, worker);
    for (size_t i = 0; i < count; i++) {
        queue_add_id(command, leases[i].id);
        redis_command_int(command, leases[i].epoch);
    }
}

int queue_grants_reply(const struct redis_reply *reply, size_t index, struct queue_grant *out,
                       struct err *err)
{
    struct queue_grant grant = {0};
    const struct redis_reply *fields = redis_reply_at(reply, index);
    size_t count = redis_reply_count(fields);
    if (redis_reply_type(fields) != REDIS_ARRAY || (count != 0 && count != 4))
        return queue_bad_reply("grants", err);
    if (count == 4) {
        grant.held = true;
        if (queue_copy(grant.public_id, sizeof grant.public_id, redis_reply_at(fields, 0)) < 0 ||
            queue_copy(grant.model, sizeof grant.model, redis_reply_at(fields, 1)) < 0 ||
            queue_copy(grant.extension, sizeof grant.extension, redis_reply_at(fields, 2)) < 0 ||
            queue_copy(grant.input_key, sizeof grant.input_key, redis_reply_at(fields, 3)) < 0)
            return queue_bad_reply("grants", err);
    }
    *out = grant;
    return 0;
}
