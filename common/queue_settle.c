/* SPDX-License-Identifier: MIT
 *
 * How a worker lets go of its jobs: complete, fail, release. */
#include "common/err.h"
#include "common/queue_record.h"
#include "common/queue_scripts.h"
#include "common/queue_worker.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* One line: the outcome's own separator is the newline. */
static void copy_line(char *out, size_t size, const char *text)
{
    snprintf(out, size, "%s", text ? text : "");
    for (char *c = out; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            *c = ' ';
}

void queue_complete_command(const struct queue *queue, const char *worker,
                            const struct queue_done *jobs, size_t count,
                            struct redis_command *command)
{
    assert(count > 0 && count <= QUEUE_LEASES_MAX);
    queue_begin(queue, command, &queue_script_complete);
    redis_command_text(command, worker);
    redis_command_int(command, queue->retain_ms);
    for (size_t i = 0; i < count; i++) {
        char type[65], outcome[96];
        copy_line(type, sizeof type, jobs[i].content_type);
        bool usual = !strcmp(type, queue_usual_type(jobs[i].extension)) && jobs[i].bytes >= 0 &&
                     jobs[i].bytes < QUEUE_RESULT_PLACE_MAX;
        snprintf(outcome, sizeof outcome, "%s%s%" PRId64, usual ? "" : type, usual ? "" : "\n",
                 jobs[i].bytes);
        queue_add_id(command, jobs[i].id);
        redis_command_int(command, jobs[i].epoch);
        redis_command_text(command, jobs[i].public_id);
        redis_command_text(command, jobs[i].extension);
        redis_command_text(command, outcome);
    }
}

static int parse_verdict(const struct redis_reply *reply, enum queue_verdict *out_verdict,
                         struct err *err)
{
    int64_t verdict = redis_reply_int(reply);
    if (redis_reply_type(reply) != REDIS_INT || verdict < QUEUE_OK || verdict > QUEUE_LOST)
        return queue_bad_reply("settle", err);
    *out_verdict = (enum queue_verdict)verdict;
    return 0;
}

int queue_settle_reply(const struct redis_reply *reply, size_t index,
                       enum queue_verdict *out_verdict, struct err *err)
{
    return parse_verdict(redis_reply_at(reply, index), out_verdict, err);
}

int queue_complete(const struct queue *queue, struct redis *redis, const char *worker,
                   const struct queue_done *job, int64_t timeout_ms,
                   enum queue_verdict *out_verdict, struct err *err)
{
    struct redis_command command;
    struct redis_reply *reply = NULL;
    redis_command_init(&command, QUEUE_COMMAND_MAX);
    queue_complete_command(queue, worker, job, 1, &command);
    int rc = queue_run(redis, &command, timeout_ms, &reply, err);
    if (rc == 0)
        rc = queue_settle_reply(reply, 0, out_verdict, err);
    redis_reply_free(&reply);
    return rc;
}

void queue_fail_command(const struct queue *queue, const char *worker,
                        const struct queue_failure *jobs, size_t count,
                        struct redis_command *command)
{
    assert(count > 0 && count <= QUEUE_LEASES_MAX);
    queue_begin(queue, command, &queue_script_fail);
    redis_command_text(command, worker);
    redis_command_int(command, queue->retain_ms);
    for (size_t i = 0; i < count; i++) {
        const struct queue_failure *job = &jobs[i];
        char code[33], detail[257], outcome[sizeof code + sizeof detail];
        copy_line(code, sizeof code, job->code);
        copy_line(detail, sizeof detail, job->detail);
        snprintf(outcome, sizeof outcome, "%s\n%s", code, detail);
        queue_add_id(command, job->id);
        redis_command_int(command, job->epoch);
        redis_command_int(command, job->retry);
        redis_command_text(command, outcome);
    }
}

int queue_fail_reply(const struct redis_reply *reply, size_t index, enum queue_verdict *out_verdict,
                     enum job_state *out_state, struct err *err)
{
    const struct redis_reply *fields = redis_reply_at(reply, index);
    enum queue_verdict verdict = QUEUE_LOST;
    if (redis_reply_count(fields) != 2)
        return queue_bad_reply("fail", err);
    int rc = parse_verdict(redis_reply_at(fields, 0), &verdict, err);
    if (rc < 0)
        return rc;
    *out_verdict = verdict;
    *out_state = job_state_from_letter(redis_reply_text(redis_reply_at(fields, 1))[0]);
    return 0;
}

int queue_fail(const struct queue *queue, struct redis *redis, const char *worker,
               const struct queue_failure *job, int64_t timeout_ms, enum queue_verdict *out_verdict,
               enum job_state *out_state, struct err *err)
{
    struct redis_command command;
    struct redis_reply *reply = NULL;
    redis_command_init(&command, QUEUE_COMMAND_MAX);
    queue_fail_command(queue, worker, job, 1, &command);
    int rc = queue_run(redis, &command, timeout_ms, &reply, err);
    if (rc == 0)
        rc = queue_fail_reply(reply, 0, out_verdict, out_state, err);
    redis_reply_free(&reply);
    return rc;
}

void queue_release_command(const struct queue *queue, const char *worker,
                           const struct queue_lease *leases, size_t count, bool preempted,
                           struct redis_command *command)
{
    assert(count <= QUEUE_LEASES_MAX);
    queue_begin(queue, command, &queue_script_release);
    redis_command_text(command, worker);
    redis_command_int(command, preempted);
    for (size_t i = 0; i < count; i++) {
        queue_add_id(command, leases[i].id);
        redis_command_int(command, leases[i].epoch);
    }
}

int queue_release(const struct queue *queue, struct redis *redis, const char *worker,
                  const struct queue_lease *leases, size_t count, bool preempted,
                  int64_t timeout_ms, struct err *err)
{
    struct redis_command command;
    if (count == 0)
        return 0;
    redis_command_init(&command, QUEUE_COMMAND_MAX);
    queue_release_command(queue, worker, leases, count, preempted, &command);
    return queue_run(redis, &command, timeout_ms, NULL, err);
}
