/* SPDX-License-Identifier: MIT */
#include "common/queue_operate.h"
#include "tests/unit/check.h"

#include "tests/support/queue_fixture.h"

#define WORKER "w-00000000000000000000000000000001"

/* Runs the command that `operate_command` holds; the reply is the caller's. */
static struct redis_command operate_command;

static struct redis_reply *operate(void)
{
    struct redis_reply *reply = NULL;
    err = (struct err){0};
    int rc = redis_call(redis, &operate_command, CALL_MS, &reply, &err);
    if (rc < 0)
        printf("# %s\n", err.text);
    CHECK_INT(rc, 0);
    return reply;
}

/* ---- pause ----------------------------------------------------------------------------------- */

static bool pause_model(bool paused)
{
    bool changed = false;
    queue_pause_command(&queue, FIXTURE_MODEL, paused, &operate_command);
    struct redis_reply *reply = operate();
    CHECK_INT(queue_pause_reply(reply, &changed, &err), 0);
    redis_reply_free(&reply);
    return changed;
}

static void nobody_claims_a_paused_model_until_it_is_resumed(void)
{
    char id[ID_PUBLIC_SIZE];
    begin(30000);
    submit_to("alice", id);
    struct queue_claimed running = claim_one(WORKER);
    submit_to("alice", id);
    CHECK(pause_model(true));
    CHECK(!pause_model(true));
    struct queue_claim claim = claim_up_to(WORKER, 8);
    CHECK_INT(claim.count, 0);
    CHECK(!claim.more);
    queue_claim_fini(&claim);
    CHECK_INT(get_job(id).state, JOB_QUEUED);
    CHECK_INT(get_job(id).position, 0);
    CHECK_INT(complete_job(&running), QUEUE_OK);

    CHECK(pause_model(false));
    CHECK(!pause_model(false));
    CHECK_TEXT(claim_one(WORKER).public_id, id);
}

static void resuming_wakes_a_worker_that_waits(void)
{
    const char *models[] = {FIXTURE_MODEL};
    char id[ID_PUBLIC_SIZE];
    begin(30000);
    submit_to("alice", id);
    CHECK_INT(queue_wait(&queue, redis, models, 1, 5000, &err), 0); /* the submit's token */
    pause_model(true);
    pause_model(false);
    CHECK_INT(queue_wait(&queue, redis, models, 1, 5000, &err), 0);
}

/* ---- workers --------------------------------------------------------------------------------- */

static void workers_are_listed_with_what_they_hold(void)
{
    const char *models[] = {FIXTURE_MODEL, "other"};
    const struct queue_hello hello = {.worker = WORKER,
                                      .models = models,
                                      .model_count = 2,
                                      .loaded_count = 1,
                                      .slots = 4,
                                      .device = "cpu"};
    struct queue_worker worker = {0};
    char id[ID_PUBLIC_SIZE];
    begin(30000);
    CHECK_INT(queue_hello(&queue, redis, &hello, CALL_MS, &err), 0);
    submit_to("alice", id);
    int64_t before_ms = clock_wall_ms() - 1000;
    struct queue_claimed claimed = claim_one(WORKER);
    CHECK_INT(beat(WORKER, &claimed, 250), QUEUE_OK);
    RAW("SET", "{q:00}drain:" WORKER, "1");

    queue_workers_command(&queue, &operate_command);
    struct redis_reply *reply = operate();
    CHECK_INT(queue_workers_count(reply), 1);
    CHECK_INT(queue_workers_reply(reply, 0, &worker, &err), 0);
    CHECK_TEXT(worker.worker, WORKER);
    CHECK_TEXT(worker.device, "cpu");
    CHECK_TEXT(worker.models, "+" FIXTURE_MODEL ",other");
    CHECK_INT(worker.slots, 4);
    CHECK_INT(worker.running, 1);
    CHECK(worker.draining);
    CHECK(worker.left_ms > 0);
    CHECK(worker.heard_ms >= 0 && worker.heard_ms < 30000);
    CHECK_INT(worker.job_count, 1);
    CHECK_TEXT(worker.jobs[0].public_id, id);
    CHECK_TEXT(worker.jobs[0].model, FIXTURE_MODEL);
    CHECK_INT(worker.jobs[0].progress, 250);
    CHECK(worker.jobs[0].claimed_ms >= before_ms &&
          worker.jobs[0].claimed_ms <= clock_wall_ms() + 1000);
    redis_reply_free(&reply);
}

static struct queue_busy busy_of(int index)
{
    const char *const models[] = {FIXTURE_MODEL, "other"};
    struct queue_busy busy = {-2, -2};
    queue_busy_command(&queue, models, 2, &operate_command);
    struct redis_reply *reply = operate();
    CHECK_INT(queue_busy_reply(reply, index, &busy, &err), 0);
    CHECK_INT(queue_busy_reply(reply, 2, &busy, &err), ERR_INTERNAL);
    redis_reply_free(&reply);
    return busy;
}

static void a_worker_is_busy_once_however_many_jobs_it_has_and_as_long_as_it_lives(void)
{
    const char *const models[] = {FIXTURE_MODEL, "other"};
    char id[ID_PUBLIC_SIZE];
    begin(30000);
    CHECK_INT(busy_of(QUEUE_BUSY_ALL).alive, 0);
    const struct queue_hello both = {.worker = WORKER, .models = models, .model_count = 2};
    const struct queue_hello one = {.worker = "w-2", .models = models, .model_count = 1};
    CHECK_INT(queue_hello(&queue, redis, &both, CALL_MS, &err), 0);
    CHECK_INT(queue_hello(&queue, redis, &one, CALL_MS, &err), 0);
    CHECK_INT(busy_of(QUEUE_BUSY_ALL).alive, 2);
    CHECK_INT(busy_of(QUEUE_BUSY_ALL).busy, 0);
    for (int i = 0; i < 3; i++)
        submit_to("alice", id);
    struct queue_claimed first = claim_one(WORKER);
    claim_one(WORKER);
    claim_one("w-2");
    CHECK_INT(busy_of(QUEUE_BUSY_ALL).busy, 2);
    CHECK_INT(busy_of(0).busy, 2);
    CHECK_INT(busy_of(1).busy, 1);
    CHECK_INT(complete_job(&first), QUEUE_OK);
    CHECK_INT(busy_of(QUEUE_BUSY_ALL).busy, 2);
    CHECK_INT(queue_bye(&queue, redis, "w-2", CALL_MS, &err), 0);
    CHECK_INT(busy_of(QUEUE_BUSY_ALL).busy, 1);
    CHECK_INT(busy_of(QUEUE_BUSY_ALL).alive, 1);
}

static void a_job_without_a_record_is_counted_and_not_described(void)
{
    const char *models[] = {FIXTURE_MODEL};
    const struct queue_hello hello = {
        .worker = WORKER, .models = models, .model_count = 1, .slots = 20, .device = "cpu"};
    struct queue_worker worker = {0};
    char ids[20][ID_PUBLIC_SIZE], key[64];
    begin(30000);
    CHECK_INT(queue_hello(&queue, redis, &hello, CALL_MS, &err), 0);
    for (int i = 0; i < 20; i++)
        submit_to("alice", ids[i]);
    struct queue_claim claim = claim_up_to(WORKER, 20);
    CHECK_INT(claim.count, 20);
    queue_claim_fini(&claim);
    for (int i = 0; i < 19; i++) {
        snprintf(key, sizeof key, "{q:00}j:%.12s", ids[i] + 2);
        RAW("DEL", key);
    }
    queue_workers_command(&queue, &operate_command);
    struct redis_reply *reply = operate();
    CHECK_INT(queue_workers_reply(reply, 0, &worker, &err), 0);
    CHECK_INT(worker.running, 20);
    CHECK(worker.job_count <= 1);
    redis_reply_free(&reply);
}

static void who_is_drained_claims_nothing_and_passes_its_wake_up_on(void)
{
    const char *models[] = {FIXTURE_MODEL};
    char id[ID_PUBLIC_SIZE];
    begin(30000);
    submit_to("alice", id);
    CHECK_INT(queue_wait(&queue, redis, models, 1, 5000, &err), 0); /* the submit's token */
    RAW("SET", "{q:00}drain:" WORKER, "1");
    struct queue_claim claim = claim_up_to(WORKER, 8);
    CHECK_INT(claim.count, 0);
    CHECK(claim.drain && !claim.more);
    queue_claim_fini(&claim);
    CHECK_INT(queue_wait(&queue, redis, models, 1, 5000, &err), 0);

    RAW("DEL", "{q:00}drain:" WORKER);
    claim = claim_up_to(WORKER, 8);
    CHECK_INT(claim.count, 1);
    CHECK(!claim.drain);
    queue_claim_fini(&claim);
}

static struct queue_claim wait_and_claim(int64_t wait_ms)
{
    const char *models[] = {FIXTURE_MODEL};
    struct queue_claim claim = {0};
    char nonce[ID_NAME_SIZE];
    id_nonce_create(nonce);
    CHECK_INT(queue_wait_claim(&queue, redis, WORKER, nonce, models, 1, 8, wait_ms, &claim, &err),
              0);
    return claim;
}

static void a_claim_stands_behind_a_wait_which_its_worker_can_end(void)
{
    char id[ID_PUBLIC_SIZE];
    begin(30000);
    submit_to("alice", id);
    struct queue_claim claim = wait_and_claim(5000);
    CHECK_INT(claim.count, 1);
    queue_claim_fini(&claim);
    claim = wait_and_claim(1);
    CHECK_INT(claim.count, 0);
    queue_claim_fini(&claim);

    queue_stop_wait_command(&queue, WORKER, &operate_command);
    struct redis_reply *reply = operate();
    redis_reply_free(&reply);
    queue_stop_expire_command(&queue, WORKER, &operate_command);
    reply = operate();
    CHECK_INT(redis_reply_int(reply), 1);
    redis_reply_free(&reply);
    claim = wait_and_claim(60000); /* or the test's time is over */
    CHECK_INT(claim.count, 0);
    queue_claim_fini(&claim);
}

/* ---- the dead letter ------------------------------------------------------------------------- */

static int replay_job(const char *id)
{
    queue_replay_command(&queue, id, &operate_command);
    struct redis_reply *reply = operate();
    err = (struct err){0};
    int rc = queue_replay_reply(reply, &err);
    redis_reply_free(&reply);
    return rc;
}

static void kill_job(char id[ID_PUBLIC_SIZE])
{
    enum job_state state;
    struct queue_submit job = job_of("alice", id);
    job.max_attempts = 1;
    submit_job(&job);
    struct queue_claimed claimed = claim_one(WORKER);
    CHECK_INT(fail_job(&claimed, true, &state), QUEUE_OK);
    CHECK_INT(state, JOB_FAILED);
    CHECK(get_job(id).dead);
}

static void the_dead_letter_shows_why_and_when_newest_first(void)
{
    char first[ID_PUBLIC_SIZE], second[ID_PUBLIC_SIZE];
    struct queue_dead dead = {0};
    begin(30000);
    kill_job(first);
    nap();
    kill_job(second);
    queue_dead_command(&queue, 0, 1, &operate_command);
    struct redis_reply *reply = operate();
    CHECK_INT(queue_dead_total(reply), 2);
    CHECK_INT(queue_dead_count(reply), 1);
    CHECK_INT(queue_dead_reply(&queue, reply, 0, &dead, &err), 0);
    CHECK_TEXT(dead.job.public_id, second);
    CHECK_TEXT(dead.job.error_code, "unavailable");
    CHECK_INT(dead.history_count, 1);
    CHECK_INT(dead.history[0].epoch, 1);
    CHECK(strstr(dead.history[0].what, "unavailable") != NULL);
    CHECK(dead.died_ms >= dead.job.created_ms);
    redis_reply_free(&reply);

    queue_dead_command(&queue, 1, 50, &operate_command);
    reply = operate();
    CHECK_INT(queue_dead_count(reply), 1);
    CHECK_INT(queue_dead_reply(&queue, reply, 0, &dead, &err), 0);
    CHECK_TEXT(dead.job.public_id, first);
    redis_reply_free(&reply);
}

static void a_dead_letter_is_replayed_once_with_all_its_attempts(void)
{
    char id[ID_PUBLIC_SIZE];
    struct queue_counters counters;
    begin(30000);
    kill_job(id);
    CHECK_INT(replay_job(id), 0);
    CHECK_INT(replay_job(id), ERR_CONFLICT);
    struct queue_job job = get_job(id);
    CHECK_INT(job.state, JOB_QUEUED);
    CHECK_INT(job.attempts, 0);
    CHECK(!job.dead);
    CHECK(job.has_input);
    CHECK_TEXT(job.error_code, "");
    CHECK_INT(queue_counters(&queue, redis, FIXTURE_MODEL, CALL_MS, &counters, &err), 0);
    CHECK_INT(counters.dead, 0);
    CHECK_INT(counters.queued, 1);
    CHECK_INT(raw_int("ZCARD", "{q:00}done"), 0);

    struct queue_claimed claimed = claim_one(WORKER);
    CHECK_TEXT(claimed.public_id, id);
    CHECK_INT(claimed.epoch, 2);
    CHECK_INT(complete_job(&claimed), QUEUE_OK);
    CHECK_INT(get_job(id).state, JOB_SUCCEEDED);
}

static void only_what_is_in_the_dead_letter_is_replayed(void)
{
    char id[ID_PUBLIC_SIZE], unknown[ID_PUBLIC_SIZE];
    begin(30000);
    submit_to("alice", id);
    id_public_create(0, unknown);
    CHECK_INT(replay_job(id), ERR_CONFLICT);
    CHECK_INT(replay_job(unknown), ERR_NOT_FOUND);
    CHECK_INT(get_job(id).state, JOB_QUEUED);
}

int main(void)
{
    fixture_start(NULL);
    redis_command_init(&operate_command, QUEUE_COMMAND_MAX);
    RUN(nobody_claims_a_paused_model_until_it_is_resumed);
    RUN(resuming_wakes_a_worker_that_waits);
    RUN(workers_are_listed_with_what_they_hold);
    RUN(a_worker_is_busy_once_however_many_jobs_it_has_and_as_long_as_it_lives);
    RUN(a_job_without_a_record_is_counted_and_not_described);
    RUN(who_is_drained_claims_nothing_and_passes_its_wake_up_on);
    RUN(a_claim_stands_behind_a_wait_which_its_worker_can_end);
    RUN(the_dead_letter_shows_why_and_when_newest_first);
    RUN(a_dead_letter_is_replayed_once_with_all_its_attempts);
    RUN(only_what_is_in_the_dead_letter_is_replayed);
    redis_command_fini(&operate_command);
    fixture_stop();
    return check_report();
}
