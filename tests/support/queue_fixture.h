/* SPDX-License-Identifier: MIT
 *
 * Short hands for tests of the queue: a server, a connection, jobs. Failures end the test.
 * Include after tests/unit/check.h. */
#ifndef DARKROOM_TESTS_QUEUE_FIXTURE_H
#define DARKROOM_TESTS_QUEUE_FIXTURE_H

#include "common/clock.h"
#include "common/err.h"
#include "common/queue.h"
#include "common/queue_outbox.h"
#include "common/queue_worker.h"
#include "common/redis.h"
#include "tests/support/redis_server.h"

#include <stdarg.h>
#include <time.h>

#define FIXTURE_MODEL "m"
#define CALL_MS 5000

static struct redis_server *server;
static struct redis *redis;
static struct queue queue;
static struct err err;

/* A plain command from words; NULL-ended. The reply is the caller's. */
static inline struct redis_reply *raw(const char *word, ...)
{
    struct redis_command command;
    struct redis_reply *reply = NULL;
    va_list words;
    redis_command_init(&command, 1 << 20);
    va_start(words, word);
    for (; word; word = va_arg(words, const char *))
        redis_command_text(&command, word);
    va_end(words);
    err = (struct err){0};
    if (redis_call(redis, &command, CALL_MS, &reply, &err) < 0)
        printf("# %s\n", err.text);
    redis_command_fini(&command);
    return reply;
}

#define RAW(...)                                                                                   \
    do {                                                                                           \
        struct redis_reply *raw_reply = raw(__VA_ARGS__, NULL);                                    \
        redis_reply_free(&raw_reply);                                                              \
    } while (0)

/* Redis knows none of our scripts any more, in whatever form. */
static inline void forget_scripts(void)
{
    RAW("SCRIPT", "FLUSH");
    RAW("FUNCTION", "FLUSH");
}

static inline int64_t raw_int(const char *command, const char *key)
{
    struct redis_reply *reply = raw(command, key, NULL);
    int64_t value = redis_reply_int(reply);
    redis_reply_free(&reply);
    return value;
}

/* An empty queue with leases of `lease_ms`, past the first tick, which grants a grace. */
static inline void begin(int64_t lease_ms)
{
    struct queue_ticked ticked;
    RAW("FLUSHALL");
    err = (struct err){0};
    queue_init(&queue, 0, lease_ms);
    CHECK_INT(queue_check(&queue, redis, CALL_MS, &err), 0);
    CHECK_INT(queue_tick(&queue, redis, CALL_MS, &ticked, &err), 0);
}

static inline struct queue_submit job_of(const char *flow, char public_id[ID_PUBLIC_SIZE])
{
    id_public_create(0, public_id);
    return (struct queue_submit){.public_id = public_id,
                                 .model = FIXTURE_MODEL,
                                 .flow = flow,
                                 .priority = JOB_PRIORITY_NORMAL,
                                 .cost_ms = 100,
                                 .weight = 1,
                                 .max_attempts = 3,
                                 .backoff_ms = 10,
                                 .backoff_max_ms = 1000,
                                 .has_input = true,
                                 .extension = "png",
                                 .spec = "{}",
                                 .spec_size = 2};
}

static inline struct queue_submitted submit_job(const struct queue_submit *job)
{
    struct queue_submitted submitted = {0};
    err = (struct err){0};
    int rc = queue_submit(&queue, redis, job, CALL_MS, &submitted, &err);
    if (rc < 0)
        printf("# %s: %s\n", err.field, err.text);
    CHECK_INT(rc, 0);
    return submitted;
}

static inline void submit_to(const char *flow, char public_id[ID_PUBLIC_SIZE])
{
    struct queue_submit job = job_of(flow, public_id);
    submit_job(&job);
}

static inline struct queue_claim claim_with(const char *worker, const char *nonce, size_t max)
{
    struct queue_claim claim = {0};
    const char *models[] = {FIXTURE_MODEL};
    err = (struct err){0};
    int rc = queue_claim(&queue, redis, worker, nonce, models, 1, max, CALL_MS, &claim, &err);
    if (rc < 0)
        printf("# %s\n", err.text);
    CHECK_INT(rc, 0);
    return claim;
}

static inline struct queue_claim claim_up_to(const char *worker, size_t max)
{
    char nonce[ID_NAME_SIZE];
    id_nonce_create(nonce);
    return claim_with(worker, nonce, max);
}

/* Claims one job, which must be there. */
static inline struct queue_claimed claim_one(const char *worker)
{
    struct queue_claim claim = claim_up_to(worker, 1);
    CHECK_INT(claim.count, 1);
    struct queue_claimed job = claim.jobs[0];
    job.spec = NULL;
    queue_claim_fini(&claim);
    return job;
}

static inline enum queue_verdict complete_job(const struct queue_claimed *job)
{
    enum queue_verdict verdict = QUEUE_LOST;
    struct queue_done done = {job->id, job->epoch, job->public_id, "png", "image/png", 12345};
    CHECK_INT(queue_complete(&queue, redis, "w-test", &done, CALL_MS, &verdict, &err), 0);
    return verdict;
}

static inline enum queue_verdict fail_job(const struct queue_claimed *job, bool retry,
                                          enum job_state *out_state)
{
    enum queue_verdict verdict = QUEUE_LOST;
    struct queue_failure failure = {.id = job->id,
                                    .epoch = job->epoch,
                                    .retry = retry,
                                    .code = "unavailable",
                                    .detail = "the store is away"};
    CHECK_INT(queue_fail(&queue, redis, "w-test", &failure, CALL_MS, &verdict, out_state, &err), 0);
    return verdict;
}

static inline enum queue_verdict beat(const char *worker, const struct queue_claimed *job,
                                      int progress)
{
    enum queue_verdict verdict = QUEUE_LOST;
    bool drain = false;
    struct queue_beat one = {job->id, job->epoch, progress};
    CHECK_INT(queue_heartbeat(&queue, redis, worker, &one, 1, CALL_MS, &verdict, &drain, &err), 0);
    return verdict;
}

static inline struct queue_job get_job(const char *public_id)
{
    struct queue_job job = {0};
    err = (struct err){0};
    int rc = queue_get(&queue, redis, public_id, CALL_MS, &job, &err);
    if (rc < 0)
        printf("# %s\n", err.text);
    CHECK_INT(rc, 0);
    return job;
}

static inline enum job_state cancel_job(const char *id)
{
    enum job_state state = 0;
    CHECK_INT(queue_cancel(&queue, redis, id, CALL_MS, &state, &err), 0);
    return state;
}

static inline void erase_job(const char *id)
{
    bool found = false;
    CHECK_INT(queue_erase(&queue, redis, id, CALL_MS, &found, &err), 0);
    CHECK(found);
    CHECK_INT(queue_erase(&queue, redis, id, CALL_MS, &found, &err), 0);
    CHECK(!found);
}

static inline void nap(void)
{
    struct timespec time = {.tv_nsec = 2000000};
    nanosleep(&time, NULL);
}

/* Ticks until `condition`, or fails after ten seconds. */
#define TICK_UNTIL(condition)                                                                      \
    do {                                                                                           \
        struct queue_ticked ticked_;                                                               \
        int64_t deadline_ = clock_ms() + 10000;                                                    \
        while (!(condition)) {                                                                     \
            CHECK(clock_ms() < deadline_);                                                         \
            CHECK_INT(queue_tick(&queue, redis, CALL_MS, &ticked_, &err), 0);                      \
            nap();                                                                                 \
        }                                                                                          \
    } while (0)

static inline void fixture_start(const char *const *options)
{
    struct redis_target target;
    server = redis_server_start(options);
    if (redis_target_init(&target, redis_server_url(server), NULL, &err) < 0 ||
        redis_create(&target, &redis, &err) < 0)
        exit(EXIT_FAILURE);
}

static inline void fixture_stop(void)
{
    redis_destroy(&redis);
    redis_server_stop(&server);
}

#endif
