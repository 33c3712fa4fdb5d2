/* SPDX-License-Identifier: MIT
 *
 * What a flow may take: jobs at once, jobs a minute; and what is told to those who are refused. */
#include "common/queue_limits.h"

#include "tests/unit/check.h"

#include "tests/support/queue_fixture.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#define WORKER "w-test"

static void limit(const char *flow, int64_t running, int64_t per_minute)
{
    CHECK_INT(queue_flow_limits(&queue, redis, flow, running, per_minute, CALL_MS, &err), 0);
}

static void submit_many(const char *flow, int count)
{
    char id[ID_PUBLIC_SIZE];
    for (int i = 0; i < count; i++)
        submit_to(flow, id);
}

static size_t claim_all(struct queue_claimed *out, size_t max)
{
    struct queue_claim claim = claim_up_to(WORKER, max);
    size_t count = claim.count;
    if (out && count)
        memcpy(out, claim.jobs, count * sizeof *out);
    queue_claim_fini(&claim);
    return count;
}

static int64_t wait_told(void)
{
    struct queue_claim claim = claim_up_to(WORKER, 1);
    int64_t due = claim.next_due_ms;
    CHECK_INT(claim.count, 0);
    queue_claim_fini(&claim);
    return due;
}

/* ---- jobs at once -------------------------------------------------------------------------- */

static void a_flow_at_its_cap_waits_and_nobody_waits_behind_it(void)
{
    struct queue_claimed jobs[16];
    int of_alice = 0;
    begin(30000);
    limit("alice", 2, 0);
    submit_many("alice", 10);
    submit_many("bob", 5);
    CHECK_INT(claim_all(jobs, 16), 7);
    for (int i = 0; i < 7; i++)
        of_alice += !strcmp(get_job(jobs[i].public_id).flow, "alice");
    CHECK_INT(of_alice, 2);
    CHECK_INT(claim_all(NULL, 16), 0);
    CHECK(wait_told() > 0); /* somebody looks again even if no lease ends */
    CHECK_INT(raw_int("ZCARD", "{q:00}park"), 1);
    for (int i = 0; i < 7; i++)
        CHECK_INT(complete_job(&jobs[i]), QUEUE_OK);
    CHECK_INT(raw_int("SCARD", "{q:00}held:alice"), 0);
    CHECK_INT(claim_all(jobs, 16), 2);
}

static void a_cap_counts_over_models_and_priorities(void)
{
    char id[ID_PUBLIC_SIZE];
    const char *models[] = {FIXTURE_MODEL, "other"};
    struct queue_claim claim;
    begin(30000);
    limit("alice", 3, 0);
    for (int i = 0; i < 8; i++) {
        struct queue_submit job = job_of("alice", id);
        job.model = models[i % 2];
        job.priority = i % 4 < 2 ? JOB_PRIORITY_HIGH : JOB_PRIORITY_LOW;
        submit_job(&job);
    }
    size_t claimed = 0;
    for (int i = 0; i < 4; i++) {
        char nonce[ID_NAME_SIZE];
        id_nonce_create(nonce);
        CHECK_INT(queue_claim(&queue, redis, WORKER, nonce, models, 2, 16, CALL_MS, &claim, &err),
                  0);
        claimed += claim.count;
        queue_claim_fini(&claim);
    }
    CHECK_INT(claimed, 3);
}

static void every_way_to_end_gives_the_place_back(void)
{
    struct queue_claimed jobs[5];
    enum job_state state;
    begin(30000);
    limit("alice", 5, 0);
    submit_many("alice", 20);
    CHECK_INT(claim_all(jobs, 5), 5);
    CHECK_INT(complete_job(&jobs[0]), QUEUE_OK);
    CHECK_INT(fail_job(&jobs[1], false, &state), QUEUE_OK);
    cancel_job(jobs[2].public_id);
    erase_job(jobs[3].public_id);
    struct queue_lease lease = {jobs[4].id, jobs[4].epoch};
    CHECK_INT(queue_release(&queue, redis, WORKER, &lease, 1, true, CALL_MS, &err), 0);
    CHECK_INT(raw_int("SCARD", "{q:00}held:alice"), 0);
    CHECK_INT(claim_all(jobs, 5), 5);
    CHECK_INT(claim_all(jobs, 5), 0);
}

static void crashes_leak_no_place(void)
{
    begin(100);
    limit("alice", 2, 0);
    submit_many("alice", 3);
    for (int round = 0; round < 4; round++) {
        int64_t claimed = 0;
        int64_t deadline = clock_ms() + 10000;
        /* Suspects run alone, so that later rounds take two claims. */
        while (claimed < 2 && clock_ms() < deadline) {
            claimed += (int64_t)claim_all(NULL, 2);
            nap();
        }
        CHECK(raw_int("SCARD", "{q:00}held:alice") <= 2);
        TICK_UNTIL(raw_int("ZCARD", "{q:00}lease") == 0);
        CHECK_INT(raw_int("SCARD", "{q:00}held:alice"), 0);
    }
}

static void a_place_that_leaked_is_found(void)
{
    struct queue_claimed job;
    begin(30000);
    limit("alice", 1, 0);
    submit_many("alice", 2);
    RAW("SADD", "{q:00}held:alice", "0123456789ab");
    CHECK_INT(claim_all(NULL, 1), 0);
    RAW("ZADD", "{q:00}park", "1", "alice"); /* the look that is due in some seconds */
    TICK_UNTIL(raw_int("SCARD", "{q:00}held:alice") == 0);
    CHECK_INT(claim_all(&job, 1), 1);
    RAW("ZADD", "{q:00}park", "1", "alice");
    for (int i = 0; i < 3; i++)
        TICK_UNTIL(raw_int("SCARD", "{q:00}held:alice") == 1); /* what runs stays counted */
    CHECK_INT(complete_job(&job), QUEUE_OK);
}

static void a_parked_lane_may_empty_and_fill_again(void)
{
    struct queue_claimed job;
    char ids[3][ID_PUBLIC_SIZE];
    begin(30000);
    limit("alice", 1, 0);
    for (int i = 0; i < 3; i++)
        submit_to("alice", ids[i]);
    CHECK_INT(claim_all(&job, 1), 1);
    CHECK_INT(claim_all(NULL, 1), 0);
    CHECK_INT(get_job(ids[2]).position, 1);
    cancel_job(ids[1]);
    cancel_job(ids[2]);
    submit_to("alice", ids[1]);
    CHECK_INT(claim_all(NULL, 1), 0);
    CHECK_INT(complete_job(&job), QUEUE_OK);
    CHECK_TEXT(claim_one(WORKER).public_id, ids[1]);
    CHECK_INT(raw_int("EXISTS", "{q:00}parked:alice"), 0);
}

static void lifting_a_limit_lets_everything_go(void)
{
    begin(30000);
    limit("alice", 1, 0);
    submit_many("alice", 5);
    CHECK_INT(claim_all(NULL, 5), 1);
    CHECK_INT(claim_all(NULL, 5), 0);
    limit("alice", 0, 0);
    CHECK_INT(claim_all(NULL, 5), 4);
    CHECK_INT(raw_int("EXISTS", "{q:00}limits"), 0);
}

static void visitors_have_a_limit_of_their_own(void)
{
    begin(30000);
    limit(QUEUE_VISITORS, 1, 0);
    limit("vrich", 3, 0);
    submit_many("vpoor", 5);
    submit_many("vrich", 5);
    submit_many("account", 5);
    CHECK_INT(claim_all(NULL, 16), 1 + 3 + 5);
}

static void bad_limits_are_refused(void)
{
    begin(30000);
    CHECK_INT(queue_flow_limits(&queue, redis, "al ice", 1, 0, CALL_MS, &err), ERR_INVALID);
    CHECK_INT(queue_flow_limits(&queue, redis, "alice", -1, 0, CALL_MS, &err), ERR_INVALID);
    CHECK_INT(queue_flow_limits(&queue, redis, "alice", QUEUE_RUNNING_LIMIT + 1, 0, CALL_MS, &err),
              ERR_INVALID);
    CHECK_INT(raw_int("EXISTS", "{q:00}limits"), 0);
}

/* ---- jobs a minute ------------------------------------------------------------------------- */

static void a_rate_lets_a_tenth_of_a_minute_go_and_then_one_by_one(void)
{
    int64_t started_ms, claimed = 0;
    begin(30000);
    limit("alice", 0, 600);
    submit_many("alice", 100);
    submit_many("bob", 3);
    started_ms = clock_ms();
    CHECK_INT(claim_all(NULL, 200), 60 + 3);
    int64_t due = wait_told();
    CHECK(due >= 0 && due <= 110);
    while (clock_ms() < started_ms + 1000) {
        claimed += (int64_t)claim_all(NULL, 16);
        nap();
    }
    int64_t fair = (clock_ms() - started_ms) / 100;
    CHECK(claimed >= 5 && claimed <= fair + 1);
    CHECK_INT(raw_int("ZCARD", "{q:00}rated"), 1);
}

/* ---- no room --------------------------------------------------------------------------------
 */

/* Sends one job; the wait that was told, or 0 when it was taken. */
static int64_t try_submit(const char *flow)
{
    char id[ID_PUBLIC_SIZE];
    struct queue_submit job = job_of(flow, id);
    struct redis_command command;
    struct redis_reply *reply = NULL;
    struct queue_submitted submitted;
    redis_command_init(&command, QUEUE_COMMAND_MAX);
    queue_submit_command(&queue, &job, 1, &command);
    CHECK_INT(redis_call(redis, &command, CALL_MS, &reply, &err), 0);
    int rc = queue_submit_reply(reply, 0, &submitted, NULL);
    int64_t retry_ms = queue_submit_retry_ms(reply, 0);
    CHECK(rc == 0 ? retry_ms == 0 : retry_ms > 0);
    redis_reply_free(&reply);
    redis_command_fini(&command);
    return retry_ms;
}

static atomic_bool stop_worker;

/* One job every 100 ms, and nothing else. */
static void *steady_worker(void *data)
{
    struct redis_target target;
    struct redis *mine = NULL;
    const char *models[] = {FIXTURE_MODEL};
    int64_t next_ms = clock_ms();
    (void)data;
    CHECK_INT(redis_target_init(&target, redis_server_url(server), NULL, NULL), 0);
    CHECK_INT(redis_create(&target, &mine, NULL), 0);
    while (!stop_worker) {
        struct queue_claim claim = {0};
        char nonce[ID_NAME_SIZE];
        for (next_ms += 100; clock_ms() < next_ms;)
            nap();
        id_nonce_create(nonce);
        CHECK_INT(queue_claim(&queue, mine, "w-steady", nonce, models, 1, 1, CALL_MS, &claim, NULL),
                  0);
        queue_claim_fini(&claim);
    }
    redis_destroy(&mine);
    return NULL;
}

/* What was told and what was true, summed over refusals at all phases of the worker's beat. */
static void check_told_is_true(const char *flow)
{
    pthread_t thread;
    int64_t told_ms = 0, true_ms = 0;
    stop_worker = false;
    CHECK_INT(pthread_create(&thread, NULL, steady_worker, NULL), 0);
    for (int round = 0; round < 26; round++) {
        int64_t told = 0, deadline = clock_ms() + 10000;
        for (int i = 0; i < round * 7 % 25; i++)
            nap();
        while ((told = try_submit(flow)) == 0)
            CHECK(clock_ms() < deadline);
        int64_t from_us = clock_us();
        while (try_submit(flow) > 0 && clock_ms() < deadline)
            nap();
        if (round < 6) /* until it knows the pace */
            continue;
        told_ms += told;
        true_ms += (clock_us() - from_us) / 1000;
    }
    stop_worker = true;
    pthread_join(thread, NULL);
    printf("# told %lld ms, true %lld ms\n", (long long)told_ms, (long long)true_ms);
    CHECK(told_ms >= true_ms * 8 / 10 && told_ms <= true_ms * 12 / 10);
}

static void a_full_flow_is_told_when_there_is_room(void)
{
    begin(30000);
    queue.max_flow_queued = 5;
    submit_many("bob", 1);
    check_told_is_true("alice");
}

static void a_full_queue_is_told_when_there_is_room(void)
{
    begin(30000);
    queue.max_queued = 5;
    check_told_is_true("alice");
}

static void before_anything_is_known_the_wait_is_what_a_job_takes(void)
{
    const char *models[] = {FIXTURE_MODEL};
    begin(30000);
    queue.max_flow_queued = 2;
    submit_many("alice", 2);
    CHECK_INT(try_submit("alice"), 60000); /* nobody works at all */
    CHECK_INT(
        queue_hello(
            &queue, redis,
            &(struct queue_hello){
                .worker = WORKER, .models = models, .model_count = 1, .slots = 2, .device = "cpu"},
            CALL_MS, &err),
        0);
    CHECK_INT(try_submit("alice"), 50);
    CHECK_INT(try_submit("bob"), 0);
    CHECK_INT(try_submit("alice"), 100); /* two flows share the two slots */
}

int main(void)
{
    fixture_start(NULL);
    RUN(a_flow_at_its_cap_waits_and_nobody_waits_behind_it);
    RUN(a_cap_counts_over_models_and_priorities);
    RUN(every_way_to_end_gives_the_place_back);
    RUN(crashes_leak_no_place);
    RUN(a_place_that_leaked_is_found);
    RUN(a_parked_lane_may_empty_and_fill_again);
    RUN(lifting_a_limit_lets_everything_go);
    RUN(visitors_have_a_limit_of_their_own);
    RUN(bad_limits_are_refused);
    RUN(a_rate_lets_a_tenth_of_a_minute_go_and_then_one_by_one);
    RUN(a_full_flow_is_told_when_there_is_room);
    RUN(a_full_queue_is_told_when_there_is_room);
    RUN(before_anything_is_known_the_wait_is_what_a_job_takes);
    fixture_stop();
    return check_report();
}
