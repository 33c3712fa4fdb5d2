/* SPDX-License-Identifier: MIT
 *
 * Keys that somebody else wrote, programs of another version: an error that names key and
 * expectation, and no job in a wrong place. */
#include "common/queue_limits.h"
#include "common/queue_list.h"
#include "common/queue_operate.h"

#include "tests/unit/check.h"

#include "tests/support/queue_fixture.h"

#include <string.h>

#define WORKER "w-test"

static const char *const models[] = {FIXTURE_MODEL};

static int try_claim(struct queue_claim *claim)
{
    char nonce[ID_NAME_SIZE];
    id_nonce_create(nonce);
    err = (struct err){0};
    return queue_claim(&queue, redis, WORKER, nonce, models, 1, 8, CALL_MS, claim, &err);
}

static int try_tick(void)
{
    struct queue_ticked ticked;
    err = (struct err){0};
    return queue_tick(&queue, redis, CALL_MS, &ticked, &err);
}

static int try_submit(const char *flow, char id[ID_PUBLIC_SIZE])
{
    struct queue_submit job = job_of(flow, id);
    struct queue_submitted submitted;
    err = (struct err){0};
    return queue_submit(&queue, redis, &job, CALL_MS, &submitted, &err);
}

static int try_complete(const struct queue_claimed *job)
{
    struct queue_done done = {job->id, job->epoch, job->public_id, "png", "image/png", 1};
    enum queue_verdict verdict;
    err = (struct err){0};
    return queue_complete(&queue, redis, WORKER, &done, CALL_MS, &verdict, &err);
}

static int try_beat(const struct queue_claimed *job)
{
    struct queue_beat one = {job->id, job->epoch, 10};
    enum queue_verdict verdict;
    bool drain;
    err = (struct err){0};
    return queue_heartbeat(&queue, redis, WORKER, &one, 1, CALL_MS, &verdict, &drain, &err);
}

/* ERR_CORRUPT with the key's name, what it is and what it should be. */
static void check_named(int rc, const char *key, const char *is, const char *expected)
{
    char text[160];
    printf("# %s\n", err.text);
    CHECK_INT(rc, ERR_CORRUPT);
    snprintf(text, sizeof text, "{q:00}%s: a %s, expected a %s", key, is, expected);
    CHECK_HAS(err.text, text);
}

/* Puts a foreign key in the place of `name`; the real one comes back with mend(). */
static void spoil(const char *name, const char *kind)
{
    char key[128];
    snprintf(key, sizeof key, "{q:00}%s", name);
    RAW("RENAME", key, "{q:00}spare");
    if (!strcmp(kind, "string"))
        RAW("SET", key, "hello");
    else if (!strcmp(kind, "list"))
        RAW("RPUSH", key, "a", "b");
    else
        RAW("HSET", key, "a", "b");
}

static void mend(const char *name)
{
    char key[128];
    snprintf(key, sizeof key, "{q:00}%s", name);
    RAW("DEL", key);
    RAW("RENAME", "{q:00}spare", key);
}

/* ---- foreign types ----------------------------------------------------------------------------
 */

static void a_claim_names_the_key_and_starts_nothing(void)
{
    static const struct {
        const char *name, *kind, *expected;
    } cases[] = {
        {"ring:m:1", "string", "zset"}, {"tail:m:1", "list", "hash"}, {"c:m", "string", "hash"},
        {"lease", "list", "zset"},      {"models", "string", "set"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct queue_claim claim = {0};
        char id[ID_PUBLIC_SIZE];
        begin(30000);
        submit_to("alice", id);
        RAW("SADD", "{q:00}models", "gone"); /* there may be models that nobody has */
        spoil(cases[i].name, cases[i].kind);
        int rc = i < 4 ? try_claim(&claim) : try_submit("alice", (char[ID_PUBLIC_SIZE]){0});
        check_named(rc, cases[i].name, cases[i].kind, cases[i].expected);
        mend(cases[i].name);
        CHECK_INT(get_job(id).state, JOB_QUEUED);
        struct queue_claimed job = claim_one(WORKER);
        CHECK_TEXT(job.public_id, id);
        CHECK_INT(complete_job(&job), QUEUE_OK);
    }
}

static void a_completion_names_the_key_and_can_be_repeated(void)
{
    static const struct {
        const char *name, *kind, *expected;
    } cases[] = {
        {"lease", "string", "zset"}, {"run", "list", "hash"},    {"done", "hash", "zset"},
        {"trash", "list", "zset"},   {"ev", "string", "stream"}, {"out", "list", "stream"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct queue_submit submit;
        char id[ID_PUBLIC_SIZE], other[ID_PUBLIC_SIZE];
        begin(30000);
        /* All these keys are there. */
        for (int j = 0; j < 2; j++) {
            submit = job_of("alice", j ? id : other);
            submit.notify_address = "hash";
            submit.notify_blob = "sealed";
            submit.notify_blob_size = 6;
            submit_job(&submit);
            struct queue_claimed job = claim_one(WORKER);
            if (j == 0) {
                CHECK_INT(complete_job(&job), QUEUE_OK);
                continue;
            }
            int64_t events = raw_int("XLEN", "{q:00}ev");
            spoil(cases[i].name, cases[i].kind);
            check_named(try_complete(&job), cases[i].name, cases[i].kind, cases[i].expected);
            CHECK_INT(get_job(id).state, JOB_RUNNING);
            mend(cases[i].name);
            CHECK_INT(raw_int("XLEN", "{q:00}ev"), events);
            CHECK_INT(complete_job(&job), QUEUE_OK);
            CHECK_INT(raw_int("XLEN", "{q:00}out"), 2);
            CHECK_INT(raw_int("ZCARD", "{q:00}done"), 2);
        }
    }
}

static void other_verbs_name_the_key_too(void)
{
    char id[ID_PUBLIC_SIZE];
    enum job_state state;
    begin(30000);
    submit_to("alice", id);
    struct queue_claimed job = claim_one(WORKER);
    spoil("lease", "list");
    check_named(try_beat(&job), "lease", "list", "zset");
    check_named(queue_cancel(&queue, redis, id, CALL_MS, &state, &err), "lease", "list", "zset");
    mend("lease");
    RAW("RPUSH", "{q:00}delay", "x");
    check_named(try_tick(), "delay", "list", "zset");
    RAW("DEL", "{q:00}delay");
    RAW("SET", "{q:00}workers", "x");
    struct queue_hello hello = {
        .worker = WORKER, .models = models, .model_count = 1, .slots = 1, .device = "cpu"};
    check_named(queue_hello(&queue, redis, &hello, CALL_MS, &err), "workers", "string", "zset");
    RAW("DEL", "{q:00}workers");
    CHECK_INT(try_beat(&job), 0);
    CHECK_INT(complete_job(&job), QUEUE_OK);
}

static void a_lane_that_is_none_stops_nobody_else(void)
{
    char ids[3][ID_PUBLIC_SIZE];
    struct queue_claim claim = {0};
    begin(30000);
    submit_to("alice", ids[0]);
    submit_to("bob", ids[1]);
    spoil("r:m:1:alice", "string");
    check_named(try_submit("alice", ids[2]), "r:m:1:alice", "string", "list");
    CHECK_INT(try_claim(&claim), 0);
    CHECK_INT(claim.count, 1);
    CHECK_TEXT(claim.jobs[0].public_id, ids[1]);
    queue_claim_fini(&claim);
    CHECK_INT(raw_int("ZCARD", "{q:00}lease"), 1);
    mend("r:m:1:alice");
    /* Its place in the ring comes back with the next job of the flow, or by fsck. */
    RAW("ZADD", "{q:00}ring:m:1", "0", "alice");
    CHECK_TEXT(claim_one(WORKER).public_id, ids[0]);
}

static void a_record_of_another_type_is_put_aside(void)
{
    char ids[2][ID_PUBLIC_SIZE], name[64];
    struct queue_job job;
    struct queue_claim claim = {0};
    begin(30000);
    for (int i = 0; i < 2; i++)
        submit_to("alice", ids[i]);
    snprintf(name, sizeof name, "j:%.12s", ids[0] + 2);
    spoil(name, "list");
    err = (struct err){0};
    check_named(queue_get(&queue, redis, ids[0], CALL_MS, &job, &err), name, "list", "string");
    CHECK_INT(try_claim(&claim), 0);
    CHECK_INT(claim.count, 1);
    CHECK_TEXT(claim.jobs[0].public_id, ids[1]);
    CHECK_INT(complete_job(&claim.jobs[0]), QUEUE_OK);
    queue_claim_fini(&claim);
    CHECK_INT(raw_int("ZCARD", "{q:00}corrupt"), 1);
    CHECK_INT(try_tick(), 0);
}

static void a_job_whose_lane_broke_while_it_ran_is_put_aside(void)
{
    char id[ID_PUBLIC_SIZE];
    begin(30000);
    submit_to("alice", id);
    struct queue_claimed job = claim_one(WORKER);
    RAW("SET", "{q:00}r:m:1:alice", "x");
    struct queue_lease lease = {job.id, job.epoch};
    CHECK_INT(queue_release(&queue, redis, WORKER, &lease, 1, true, CALL_MS, &err), 0);
    struct queue_job seen;
    check_named(queue_get(&queue, redis, id, CALL_MS, &seen, &err), "r:m:1:alice", "string",
                "list");
    RAW("DEL", "{q:00}r:m:1:alice");
    CHECK_INT(get_job(id).state, JOB_QUEUED);
    CHECK_INT(raw_int("ZCARD", "{q:00}corrupt"), 1);
    CHECK_INT(raw_int("ZCARD", "{q:00}lease"), 0);
}

/* ---- other versions ------------------------------------------------------------------------- */

static void a_worker_of_another_protocol_is_refused(void)
{
    char id[ID_PUBLIC_SIZE];
    struct queue_claim claim = {0};
    struct queue_hello hello = {
        .worker = WORKER, .models = models, .model_count = 1, .slots = 1, .device = "cpu"};
    begin(30000);
    submit_to("alice", id);
    RAW("SET", "{q:00}protocol", "3");
    CHECK_INT(queue_check(&queue, redis, CALL_MS, &err), ERR_PROTOCOL);
    /* Also one that was connected before. */
    CHECK_INT(try_claim(&claim), ERR_PROTOCOL);
    CHECK_HAS(err.text, "{q:00}protocol: the data have version 3");
    err = (struct err){0};
    CHECK_INT(queue_hello(&queue, redis, &hello, CALL_MS, &err), ERR_PROTOCOL);
    CHECK_HAS(err.text, "{q:00}protocol");
    CHECK_INT(get_job(id).state, JOB_QUEUED);
    RAW("SET", "{q:00}protocol", "2");
    CHECK_TEXT(claim_one(WORKER).public_id, id);
}

static void a_record_of_another_version_is_named(void)
{
    char id[ID_PUBLIC_SIZE], key[64];
    struct queue_job job;
    begin(30000);
    submit_to("alice", id);
    snprintf(key, sizeof key, "{q:00}j:%.12s", id + 2);
    RAW("SETRANGE", key, "0", "1");
    err = (struct err){0};
    CHECK_INT(queue_get(&queue, redis, id, CALL_MS, &job, &err), ERR_CORRUPT);
    CHECK_HAS(err.text, key);
    CHECK_HAS(err.text, "expected version 2");
}

static void what_came_before_a_broken_key_in_one_call_is_in_its_lane(void)
{
    static const char *const flows[] = {"alice", "alice", "alice", "a0000000000000001", "alice"};
    char ids[5][ID_PUBLIC_SIZE];
    struct queue_submit jobs[5];
    struct redis_command command;
    struct redis_reply *reply = NULL;
    begin(30000);
    RAW("SET", "{q:00}byflow:a0000000000000001", "x");
    for (int i = 0; i < 5; i++)
        jobs[i] = job_of(flows[i], ids[i]);
    redis_command_init(&command, QUEUE_COMMAND_MAX);
    queue_submit_command(&queue, jobs, 5, &command);
    err = (struct err){0};
    int rc = redis_call(redis, &command, CALL_MS, &reply, &err);
    check_named(rc, "byflow:a0000000000000001", "string", "list");
    redis_command_fini(&command);

    RAW("DEL", "{q:00}byflow:a0000000000000001");
    struct queue_claim claim = claim_up_to(WORKER, 8);
    CHECK_INT(claim.count, 4);
    queue_claim_fini(&claim);
    CHECK_INT(try_submit("alice", ids[0]), 0);
    claim = claim_up_to(WORKER, 8);
    CHECK_INT(claim.count, 1);
    queue_claim_fini(&claim);
}

int main(void)
{
    fixture_start(NULL);
    RUN(a_claim_names_the_key_and_starts_nothing);
    RUN(a_completion_names_the_key_and_can_be_repeated);
    RUN(other_verbs_name_the_key_too);
    RUN(a_lane_that_is_none_stops_nobody_else);
    RUN(a_record_of_another_type_is_put_aside);
    RUN(a_job_whose_lane_broke_while_it_ran_is_put_aside);
    RUN(a_worker_of_another_protocol_is_refused);
    RUN(a_record_of_another_version_is_named);
    RUN(what_came_before_a_broken_key_in_one_call_is_in_its_lane);
    fixture_stop();
    return check_report();
}
