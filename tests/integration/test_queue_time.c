/* SPDX-License-Identifier: MIT
 *
 * What time does to jobs: deadlines, runs that take too long, workers that vanish, retention. */
#include "common/queue_limits.h"
#include "common/queue_operate.h"

#include "tests/unit/check.h"

#include "tests/support/queue_fixture.h"

#include <string.h>

#define WORKER "w-test"

static void wait_ms(int64_t ms)
{
    for (int64_t until_ms = clock_ms() + ms; clock_ms() < until_ms;)
        nap();
}

static int64_t server_ms(void)
{
    struct redis_reply *reply = raw("TIME", NULL);
    int64_t ms = strtoll(redis_reply_text(redis_reply_at(reply, 0)), NULL, 10) * 1000 +
                 strtoll(redis_reply_text(redis_reply_at(reply, 1)), NULL, 10) / 1000;
    redis_reply_free(&reply);
    return ms;
}

static void submit_due(char id[ID_PUBLIC_SIZE], int64_t deadline_after_ms, int64_t delay_ms)
{
    struct queue_submit job = job_of("alice", id);
    job.deadline_after_ms = deadline_after_ms;
    job.run_at_ms = delay_ms ? server_ms() + delay_ms : 0;
    submit_job(&job);
}

static void check_missed(const char *id)
{
    struct queue_job job = get_job(id);
    CHECK_INT(job.state, JOB_FAILED);
    CHECK_TEXT(job.error_code, "deadline");
    CHECK(!job.dead);
    CHECK_INT(job.attempts, 0);
}

/* ---- deadlines ------------------------------------------------------------------------------- */

static void a_job_that_waits_past_its_deadline_fails(void)
{
    char id[ID_PUBLIC_SIZE], other[ID_PUBLIC_SIZE];
    begin(30000);
    submit_due(id, 30, 0);
    submit_to("alice", other);
    CHECK(get_job(id).deadline_ms > server_ms() - 1000);
    TICK_UNTIL(get_job(id).state != JOB_QUEUED);
    check_missed(id);
    CHECK_TEXT(claim_one(WORKER).public_id, other); /* its place in the lane is skipped */
    CHECK_INT(raw_int("EXISTS", "{q:00}deadline"), 0);
}

static void a_claim_finds_the_deadline_with_no_dispatcher_alive(void)
{
    char id[ID_PUBLIC_SIZE];
    begin(30000);
    submit_due(id, 20, 0);
    wait_ms(200);
    struct queue_claim claim = claim_up_to(WORKER, 1);
    CHECK_INT(claim.count, 0);
    queue_claim_fini(&claim);
    check_missed(id);
}

/* The claim's own look at the deadlines leaves a dead place behind the job that it takes. */
static void a_claim_closes_a_lane_of_which_it_leaves_dead_places_only(void)
{
    char id[ID_PUBLIC_SIZE], missed[ID_PUBLIC_SIZE];
    begin(30000);
    submit_to("alice", id);
    submit_due(missed, 20, 0);
    wait_ms(200);
    struct queue_claim claim = claim_up_to(WORKER, 1);
    CHECK_INT(claim.count, 1);
    CHECK_TEXT(claim.jobs[0].public_id, id);
    CHECK_INT(claim.more, false);
    queue_claim_fini(&claim);
    check_missed(missed);
    CHECK_INT(raw_int("EXISTS", "{q:00}r:m:1:alice"), 0);
    CHECK_INT(raw_int("EXISTS", "{q:00}tomb:m:1:alice"), 0);
    CHECK_INT(raw_int("EXISTS", "{q:00}ring:m:1"), 0);
}

static void a_running_job_past_its_deadline_is_lost_to_its_worker(void)
{
    char id[ID_PUBLIC_SIZE];
    begin(30000);
    submit_due(id, 60, 0);
    struct queue_claimed job = claim_one(WORKER);
    CHECK_INT(beat(WORKER, &job, 1), QUEUE_OK);
    TICK_UNTIL(get_job(id).state != JOB_RUNNING);
    check_missed(id);
    CHECK_INT(raw_int("LLEN", "{q:00}push:" WORKER), 1); /* it is told at once */
    CHECK_INT(beat(WORKER, &job, 2), QUEUE_LOST);
    CHECK_INT(complete_job(&job), QUEUE_LOST);
    check_missed(id);
}

static void a_deadline_counts_from_when_the_job_may_start(void)
{
    char id[ID_PUBLIC_SIZE];
    begin(30000);
    submit_due(id, 5000, 100000);
    int64_t left_ms = get_job(id).deadline_ms - server_ms();
    CHECK(left_ms > 100000 && left_ms <= 105000);
    struct queue_submit job = job_of("alice", id);
    job.run_at_ms = server_ms() + 100000;
    job.deadline_ms = server_ms() + 30;
    submit_job(&job);
    CHECK_INT(get_job(id).deadline_ms, job.deadline_ms);
    TICK_UNTIL(get_job(id).state != JOB_DELAYED);
    check_missed(id);
}

static void a_job_that_ended_in_time_stays_as_it_is(void)
{
    char ids[2][ID_PUBLIC_SIZE];
    begin(30000);
    submit_due(ids[0], 50, 0);
    submit_due(ids[1], 50, 0);
    struct queue_claimed job = claim_one(WORKER);
    CHECK_INT(complete_job(&job), QUEUE_OK);
    erase_job(ids[1]);
    TICK_UNTIL(raw_int("EXISTS", "{q:00}deadline") == 0);
    CHECK_INT(get_job(ids[0]).state, JOB_SUCCEEDED);
}

/* ---- runs that take too long ----------------------------------------------------------------- */

static void a_run_that_takes_too_long_uses_up_an_attempt(void)
{
    char id[ID_PUBLIC_SIZE];
    begin(100);
    struct queue_submit submit = job_of("alice", id);
    submit.run_max_ms = 100;
    submit.max_attempts = 2;
    submit_job(&submit);
    for (int attempt = 1; attempt <= 2; attempt++) {
        TICK_UNTIL(get_job(id).state == JOB_QUEUED);
        struct queue_claimed job = claim_one(WORKER);
        CHECK_INT(job.run_max_ms, 100);
        int64_t began_ms = clock_ms(), deadline_ms = began_ms + 10000;
        while (beat(WORKER, &job, 5) == QUEUE_OK && clock_ms() < deadline_ms)
            nap();
        if (get_job(id).losses > 0)
            return; /* this machine stalled for longer than the lease */
        CHECK(clock_ms() - began_ms >= 250);
        CHECK_INT(get_job(id).attempts, attempt);
        CHECK_TEXT(get_job(id).error_code, "timeout");
    }
    CHECK_INT(get_job(id).state, JOB_FAILED);
    CHECK(get_job(id).dead);
}

/* ---- workers that vanish ------------------------------------------------------------------- */

static void lose_to(const char *worker, const char *id)
{
    struct queue_claimed job = claim_one(worker);
    CHECK_TEXT(job.public_id, id);
    TICK_UNTIL(get_job(id).state != JOB_RUNNING);
}

static void one_worker_is_charged_once_however_often_it_falls_silent(void)
{
    char id[ID_PUBLIC_SIZE];
    begin(40);
    submit_to("alice", id);
    for (int i = 0; i < 5; i++)
        lose_to("w-sleepy", id);
    CHECK_INT(get_job(id).crashes, 1);
    lose_to("w-second", id);
    lose_to("w-sleepy", id);
    CHECK_INT(get_job(id).crashes, 2);
    CHECK_INT(get_job(id).state, JOB_QUEUED);
    lose_to("w-third", id);
    struct queue_job job = get_job(id);
    CHECK_INT(job.state, JOB_FAILED);
    CHECK(job.dead);
    CHECK_INT(job.attempts, 0);
    CHECK_TEXT(job.error_code, "crashed");
    CHECK_HAS(job.error_detail, "w-third");
    struct redis_command command;
    struct redis_reply *reply = NULL;
    struct queue_dead dead;
    redis_command_init(&command, QUEUE_COMMAND_MAX);
    queue_dead_command(&queue, 0, 10, &command);
    CHECK_INT(redis_call(redis, &command, CALL_MS, &reply, &err), 0);
    CHECK_INT(queue_dead_reply(&queue, reply, 0, &dead, &err), 0);
    CHECK_INT(dead.history_count, 8);
    CHECK_TEXT(dead.history[0].what, "lost w-sleepy");
    CHECK_TEXT(dead.history[7].what, "lost w-third alone");
    redis_reply_free(&reply);
    redis_command_fini(&command);
}

static void a_death_that_is_known_needs_no_lease_to_run_out(void)
{
    char ids[3][ID_PUBLIC_SIZE];
    int jobs = 0;
    begin(30000);
    for (int i = 0; i < 3; i++)
        submit_to("alice", ids[i]);
    struct queue_claim claim = claim_up_to("w-batch", 8);
    CHECK_INT(claim.count, 3);
    queue_claim_fini(&claim);
    CHECK_INT(queue_mourn(&queue, redis, "w-batch", "signal 9 (Killed)", CALL_MS, &jobs, &err), 0);
    CHECK_INT(jobs, 3);
    CHECK_INT(queue_mourn(&queue, redis, "w-batch", "signal 9 (Killed)", CALL_MS, &jobs, &err), 0);
    CHECK_INT(jobs, 0);
    for (int i = 0; i < 3; i++) {
        char worker[ID_NAME_SIZE];
        id_worker_create(worker);
        CHECK_INT(get_job(ids[0]).crashes, i);
        CHECK_TEXT(claim_one(worker).public_id, ids[0]);
        CHECK_INT(queue_mourn(&queue, redis, worker, "signal 11 (Segmentation\nfault)", CALL_MS,
                              &jobs, &err),
                  0);
        CHECK_INT(jobs, 1);
    }
    struct queue_job job = get_job(ids[0]);
    CHECK_INT(job.state, JOB_FAILED);
    CHECK_HAS(job.error_detail, "signal 11 (Segmentation fault)");
    for (int i = 1; i < 3; i++) {
        struct queue_claimed mate = claim_one(WORKER);
        CHECK_TEXT(mate.public_id, ids[i]);
        CHECK_INT(complete_job(&mate), QUEUE_OK);
    }
}

static void ten_preemptions_leave_the_attempts_as_they_were(void)
{
    char id[ID_PUBLIC_SIZE];
    enum job_state state;
    begin(30000);
    submit_to("alice", id);
    struct queue_claimed job = claim_one(WORKER);
    CHECK_INT(fail_job(&job, true, &state), QUEUE_OK);
    TICK_UNTIL(get_job(id).state == JOB_QUEUED);
    for (int i = 0; i < 10; i++) {
        job = claim_one(WORKER);
        struct queue_lease lease = {job.id, job.epoch};
        CHECK_INT(queue_release(&queue, redis, WORKER, &lease, 1, true, CALL_MS, &err), 0);
    }
    CHECK_INT(get_job(id).attempts, 1);
    CHECK_INT(get_job(id).losses, 10);
    CHECK_INT(get_job(id).crashes, 0);
    job = claim_one(WORKER);
    CHECK(!job.alone);
    CHECK_INT(complete_job(&job), QUEUE_OK);
}

/* ---- retention ------------------------------------------------------------------------------- */

static double trash_due(const char *key)
{
    struct redis_reply *score = raw("ZSCORE", "{q:00}trash", key, NULL);
    double due = redis_reply_type(score) == REDIS_TEXT ? strtod(redis_reply_text(score), NULL) : -1;
    redis_reply_free(&score);
    return due;
}

static void a_model_says_how_long_inputs_and_results_are_kept(void)
{
    char id[ID_PUBLIC_SIZE], input[64];
    begin(30000);
    CHECK_INT(queue_model(&queue, redis,
                          &(struct queue_model){
                              .model = FIXTURE_MODEL, .input_ms = 3600000, .result_ms = 300},
                          CALL_MS, &err),
              0);
    submit_to("alice", id);
    struct queue_claimed job = claim_one(WORKER);
    int64_t before_ms = server_ms();
    CHECK_INT(complete_job(&job), QUEUE_OK);
    snprintf(input, sizeof input, "inputs/%s", id);
    CHECK(trash_due(input) >= (double)before_ms + 3600000);
    CHECK_INT(raw_int("ZCARD", "{q:00}done"), 1);
    TICK_UNTIL(raw_int("ZCARD", "{q:00}done") == 0);
    CHECK(server_ms() >= before_ms + 300);
    CHECK(trash_due(input) <= (double)server_ms()); /* nothing outlives its job's record */
    /* A job that fails is kept by the same rule. */
    submit_to("alice", id);
    job = claim_one(WORKER);
    enum job_state state;
    CHECK_INT(fail_job(&job, false, &state), QUEUE_OK);
    TICK_UNTIL(raw_int("ZCARD", "{q:00}done") == 0);
}

static void a_dead_letter_that_overflows_forgets_the_oldest(void)
{
    char id[ID_PUBLIC_SIZE], other[ID_PUBLIC_SIZE];
    enum job_state state;
    begin(30000);
    struct queue_submit submit = job_of("alice", id);
    submit.max_attempts = 1;
    submit_job(&submit);
    struct queue_claimed job = claim_one(WORKER);
    CHECK_INT(fail_job(&job, true, &state), QUEUE_OK);
    CHECK(get_job(id).dead);
    RAW("EVAL", "for i = 1, 100000 do redis.call('ZADD', KEYS[1], 9e15, i) end", "1", "{q:00}dlq");
    submit_to("alice", other); /* nobody waits for room in there */
    TICK_UNTIL(raw_int("ZCARD", "{q:00}dlq") <= 100000);
    CHECK_INT(queue_get(&queue, redis, id, CALL_MS, &(struct queue_job){0}, NULL), ERR_NOT_FOUND);
    CHECK_TEXT(claim_one(WORKER).public_id, other);
}

int main(void)
{
    fixture_start(NULL);
    RUN(a_job_that_waits_past_its_deadline_fails);
    RUN(a_claim_finds_the_deadline_with_no_dispatcher_alive);
    RUN(a_claim_closes_a_lane_of_which_it_leaves_dead_places_only);
    RUN(a_running_job_past_its_deadline_is_lost_to_its_worker);
    RUN(a_deadline_counts_from_when_the_job_may_start);
    RUN(a_job_that_ended_in_time_stays_as_it_is);
    RUN(a_run_that_takes_too_long_uses_up_an_attempt);
    RUN(one_worker_is_charged_once_however_often_it_falls_silent);
    RUN(a_death_that_is_known_needs_no_lease_to_run_out);
    RUN(ten_preemptions_leave_the_attempts_as_they_were);
    RUN(a_model_says_how_long_inputs_and_results_are_kept);
    RUN(a_dead_letter_that_overflows_forgets_the_oldest);
    fixture_stop();
    return check_report();
}
