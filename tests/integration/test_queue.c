/* SPDX-License-Identifier: MIT */
#include "tests/unit/check.h"

#include "tests/support/queue_fixture.h"

#define WORKER "w-00000000000000000000000000000001"
#define OTHER "w-00000000000000000000000000000002"

/* ---- the straight road ------------------------------------------------------------------- */

static void a_job_goes_from_submit_to_success(void)
{
    char id[ID_PUBLIC_SIZE];
    begin(30000);
    struct queue_submit job = job_of("alice", id);
    job.spec = "{\"params\":{}}";
    job.spec_size = 13;
    struct queue_submitted submitted = submit_job(&job);
    CHECK(!submitted.repeated);
    CHECK_INT(submitted.state, JOB_QUEUED);
    CHECK_INT(submitted.position, 0);
    CHECK_INT(submitted.eta_ms, -1);

    struct queue_claim claim = claim_up_to(WORKER, 8);
    CHECK_INT(claim.count, 1);
    CHECK_TEXT(claim.jobs[0].public_id, id);
    CHECK_TEXT(claim.jobs[0].model, FIXTURE_MODEL);
    CHECK_TEXT(claim.jobs[0].extension, "png");
    CHECK_INT(claim.jobs[0].epoch, 1);
    CHECK_INT(claim.jobs[0].id, id_public_small(id));
    CHECK_INT(claim.jobs[0].spec_size, 13);
    CHECK(!memcmp(claim.jobs[0].spec, "{\"params\":{}}", 13));
    struct queue_claimed claimed = claim.jobs[0];
    queue_claim_fini(&claim);

    CHECK_INT(beat(WORKER, &claimed, 400), QUEUE_OK);
    CHECK_INT(get_job(id).progress, 400);
    CHECK_INT(complete_job(&claimed), QUEUE_OK);
    struct queue_job done = get_job(id);
    CHECK_INT(done.state, JOB_SUCCEEDED);
    CHECK_INT(done.progress, 1000);
    CHECK_TEXT(done.result_type, "image/png");
    CHECK_INT(done.result_bytes, 12345);
    CHECK_TEXT(done.flow, "alice");
    CHECK_INT(done.position, -1);
    CHECK_INT(raw_int("ZCARD", "{q:00}lease"), 0);
    CHECK_INT(raw_int("HLEN", "{q:00}run"), 0);
}

static struct queue_job complete_with(const char *type, int64_t bytes, const char *failed_before)
{
    char id[ID_PUBLIC_SIZE];
    enum queue_verdict verdict;
    begin(30000);
    struct queue_submit submit = job_of("alice", id);
    submit.backoff_ms = submit.backoff_max_ms = 1;
    submit_job(&submit);
    struct queue_claimed job = claim_one(WORKER);
    if (failed_before) {
        enum job_state state;
        struct queue_failure failure = {
            .id = job.id, .epoch = job.epoch, .retry = true, .code = failed_before};
        CHECK_INT(queue_fail(&queue, redis, WORKER, &failure, CALL_MS, &verdict, &state, &err), 0);
        TICK_UNTIL(get_job(id).state == JOB_QUEUED);
        job = claim_one(WORKER);
    }
    struct queue_done done = {job.id, job.epoch, job.public_id, job.extension, type, bytes};
    CHECK_INT(queue_complete(&queue, redis, WORKER, &done, CALL_MS, &verdict, &err), 0);
    CHECK_INT(verdict, QUEUE_OK);
    return get_job(id);
}

static void a_result_keeps_its_type_and_size_whichever_way_they_are_stored(void)
{
    static const struct {
        const char *type;
        int64_t bytes;
        const char *read;
    } results[] = {{"image/png", 0, "image/png"},
                   {"image/png", 1099511627774, "image/png"},
                   {"image/png", 1099511627775, "image/png"},
                   {"text/csv", 17, "text/csv"},
                   {"image/png\n5", 6, "image/png 5"}};
    for (size_t i = 0; i < sizeof results / sizeof results[0]; i++)
        for (int failed = 0; failed < 2; failed++) {
            struct queue_job done =
                complete_with(results[i].type, results[i].bytes, failed ? "network" : NULL);
            CHECK_INT(done.state, JOB_SUCCEEDED);
            CHECK_TEXT(done.result_type, results[i].read);
            CHECK_INT(done.result_bytes, results[i].bytes);
            CHECK_TEXT(done.error_code, "");
        }
}

static void submitting_the_same_id_again_changes_nothing(void)
{
    char id[ID_PUBLIC_SIZE];
    begin(30000);
    struct queue_submit job = job_of("alice", id);
    CHECK(!submit_job(&job).repeated);
    CHECK(submit_job(&job).repeated);
    CHECK_INT(raw_int("LLEN", "{q:00}r:m:1:alice"), 1);
}

/* ---- fences ------------------------------------------------------------------------------ */

static void a_second_completion_is_harmless(void)
{
    char id[ID_PUBLIC_SIZE];
    begin(30000);
    submit_to("alice", id);
    struct queue_claimed job = claim_one(WORKER);
    CHECK_INT(complete_job(&job), QUEUE_OK);
    int64_t updated_ms = get_job(id).updated_ms;
    CHECK_INT(complete_job(&job), QUEUE_AGAIN);
    CHECK_INT(get_job(id).updated_ms, updated_ms);
    struct queue_counters counters;
    CHECK_INT(queue_counters(&queue, redis, FIXTURE_MODEL, CALL_MS, &counters, &err), 0);
    CHECK_INT(counters.succeeded, 1);
    CHECK_INT(counters.running, 0);
}

static void the_reply_of_a_lost_claim_is_given_again(void)
{
    char id[ID_PUBLIC_SIZE], nonce[ID_NAME_SIZE];
    begin(30000);
    for (int i = 0; i < 5; i++)
        submit_to("alice", id);
    id_nonce_create(nonce);
    struct queue_claim first = claim_with(WORKER, nonce, 3);
    struct queue_claim second = claim_with(WORKER, nonce, 3);
    CHECK_INT(first.count, 3);
    CHECK_INT(second.count, 3);
    for (size_t i = 0; i < 3; i++) {
        CHECK_TEXT(second.jobs[i].public_id, first.jobs[i].public_id);
        CHECK_INT(second.jobs[i].epoch, 1);
    }
    CHECK_INT(raw_int("ZCARD", "{q:00}lease"), 3);
    CHECK_INT(complete_job(&first.jobs[0]), QUEUE_OK);
    struct queue_claim third = claim_with(WORKER, nonce, 3);
    CHECK_INT(third.count, 2);
    struct queue_claim other = claim_up_to(WORKER, 3);
    CHECK_INT(other.count, 2);
    queue_claim_fini(&first);
    queue_claim_fini(&second);
    queue_claim_fini(&third);
    queue_claim_fini(&other);
}

static void a_stranger_cannot_settle_with_another_epoch(void)
{
    char id[ID_PUBLIC_SIZE];
    enum job_state state;
    begin(30000);
    submit_to("alice", id);
    struct queue_claimed job = claim_one(WORKER);
    job.epoch++;
    CHECK_INT(complete_job(&job), QUEUE_LOST);
    CHECK_INT(fail_job(&job, true, &state), QUEUE_LOST);
    CHECK_INT(beat(WORKER, &job, 1), QUEUE_LOST);
    CHECK_INT(get_job(id).state, JOB_RUNNING);
}

static void grants_are_for_whoever_holds_the_lease(void)
{
    char id[ID_PUBLIC_SIZE];
    struct redis_command command;
    begin(30000);
    submit_to("alice", id);
    struct queue_claimed job = claim_one(WORKER);
    struct queue_lease leases[] = {{job.id, job.epoch}, {job.id, 7}, {12345, 1}};
    const char *workers[] = {WORKER, OTHER};
    redis_command_init(&command, QUEUE_COMMAND_MAX);
    for (int who = 0; who < 2; who++) {
        struct redis_reply *reply = NULL;
        struct queue_grant grant;
        queue_grants_command(&queue, workers[who], leases, 3, &command);
        CHECK_INT(redis_call(redis, &command, CALL_MS, &reply, &err), 0);
        for (size_t i = 0; i < 3; i++) {
            CHECK_INT(queue_grants_reply(reply, i, &grant, &err), 0);
            CHECK_INT(grant.held, who == 0 && i == 0);
        }
        CHECK_INT(queue_grants_reply(reply, 0, &grant, &err), 0);
        if (who == 0) {
            CHECK_TEXT(grant.public_id, id);
            CHECK_TEXT(grant.extension, "png");
            CHECK_INT(strncmp(grant.input_key, "inputs/", 7), 0);
        }
        redis_reply_free(&reply);
    }
    redis_command_fini(&command);
}

/* ---- cancel and erase -------------------------------------------------------------------- */

static void a_cancelled_job_in_the_queue_is_skipped(void)
{
    char ids[3][ID_PUBLIC_SIZE];
    begin(30000);
    for (int i = 0; i < 3; i++)
        submit_to("alice", ids[i]);
    CHECK_INT(cancel_job(ids[1]), JOB_CANCELLED);
    CHECK_INT(cancel_job(ids[1]), JOB_CANCELLED);
    CHECK_INT(get_job(ids[2]).position, 1);
    struct queue_claim claim = claim_up_to(WORKER, 8);
    CHECK_INT(claim.count, 2);
    CHECK_TEXT(claim.jobs[0].public_id, ids[0]);
    CHECK_TEXT(claim.jobs[1].public_id, ids[2]);
    queue_claim_fini(&claim);
    CHECK_INT(raw_int("EXISTS", "{q:00}tomb:m:1:alice"), 0);
    struct queue_counters counters;
    CHECK_INT(queue_counters(&queue, redis, FIXTURE_MODEL, CALL_MS, &counters, &err), 0);
    CHECK_INT(counters.queued, 0);
    CHECK_INT(counters.running, 2);
    CHECK_INT(counters.cancelled, 1);
}

static void cancelling_a_running_job_reaches_its_worker(void)
{
    char id[ID_PUBLIC_SIZE];
    begin(30000);
    submit_to("alice", id);
    struct queue_claimed job = claim_one(WORKER);
    CHECK_INT(queue_push(&queue, redis, WORKER, 1, &err), ERR_TIMEOUT);
    CHECK_INT(cancel_job(id), JOB_CANCELLED);
    CHECK_INT(queue_push(&queue, redis, WORKER, 5000, &err), 0);
    CHECK_INT(beat(WORKER, &job, 500), QUEUE_CANCELLED);
    CHECK_INT(complete_job(&job), QUEUE_CANCELLED);
    CHECK_INT(get_job(id).state, JOB_CANCELLED);
}

static void a_finished_job_keeps_its_state_when_cancelled(void)
{
    char id[ID_PUBLIC_SIZE];
    begin(30000);
    submit_to("alice", id);
    struct queue_claimed job = claim_one(WORKER);
    CHECK_INT(complete_job(&job), QUEUE_OK);
    CHECK_INT(cancel_job(id), JOB_SUCCEEDED);
}

static void unknown_ids_are_not_found(void)
{
    char id[ID_PUBLIC_SIZE];
    struct queue_job job;
    enum job_state state;
    bool found = true;
    begin(30000);
    id_public_create(0, id);
    CHECK_INT(queue_get(&queue, redis, id, CALL_MS, &job, &err), ERR_NOT_FOUND);
    CHECK_INT(queue_cancel(&queue, redis, id, CALL_MS, &state, &err), ERR_NOT_FOUND);
    CHECK_INT(queue_erase(&queue, redis, id, CALL_MS, &found, &err), 0);
    CHECK(!found);
    CHECK_INT(queue_get(&queue, redis, "nonsense", CALL_MS, &job, &err), ERR_NOT_FOUND);
    submit_to("alice", id);
    id[33] = id[33] == 'a' ? 'b' : 'a'; /* same small id, another job */
    CHECK_INT(queue_get(&queue, redis, id, CALL_MS, &job, &err), ERR_NOT_FOUND);
    struct queue_submit twin = job_of("bob", (char[ID_PUBLIC_SIZE]){0});
    struct queue_submitted submitted;
    twin.public_id = id;
    CHECK_INT(queue_submit(&queue, redis, &twin, CALL_MS, &submitted, &err), ERR_CONFLICT);
}

/* Keys that are there with and without jobs, or that die by themselves. */
static bool is_furniture(const char *key)
{
    static const char *const fixed[] = {"c:",    "models", "tick",     "out",  "ev",
                                        "evid",  "trash",  "clock",    "idle", "wake",
                                        "nonce", "push",   "protocol", "rate", "workers",
                                        "slots", "w:",     "shards",   "view", "pace"};
    for (size_t i = 0; i < sizeof fixed / sizeof fixed[0]; i++)
        if (!strncmp(key + strlen("{q:00}"), fixed[i], strlen(fixed[i])))
            return true;
    return false;
}

static void check_only_furniture_is_left(void)
{
    struct redis_reply *keys = raw("KEYS", "*", NULL);
    for (size_t i = 0; i < redis_reply_count(keys); i++) {
        const char *key = redis_reply_text(redis_reply_at(keys, i));
        if (!is_furniture(key)) {
            printf("# left behind: %s\n", key);
            CHECK(is_furniture(key));
        }
    }
    redis_reply_free(&keys);
}

static void take_in_notifications(void)
{
    int moved = 1;
    while (moved)
        CHECK_INT(queue_notify_intake(&queue, redis, CALL_MS, &moved, &err), 0);
}

static void erasing_leaves_no_key_behind_in_any_state(void)
{
    char ids[7][ID_PUBLIC_SIZE];
    enum job_state state;
    begin(30000);
    for (int i = 0; i < 7; i++) {
        struct queue_submit job = job_of("alice", ids[i]);
        job.notify_address = "hash";
        job.notify_blob = "sealed";
        job.notify_blob_size = 6;
        if (i == 6)
            job.run_at_ms = clock_wall_ms() + 3600000;
        submit_job(&job);
    }
    struct queue_claim claim = claim_up_to(WORKER, 5);
    CHECK_INT(claim.count, 5);
    complete_job(&claim.jobs[0]);
    fail_job(&claim.jobs[1], false, &state);
    fail_job(&claim.jobs[2], true, &state);
    struct queue_lease lease = {claim.jobs[3].id, claim.jobs[3].epoch};
    CHECK_INT(queue_release(&queue, redis, WORKER, &lease, 1, true, CALL_MS, &err), 0);
    queue_claim_fini(&claim);
    take_in_notifications();
    for (int i = 0; i < 7; i++)
        erase_job(ids[i]);
    check_only_furniture_is_left();
    CHECK_INT(raw_int("XLEN", "{q:00}out"), 0);
    struct queue_counters counters;
    CHECK_INT(queue_counters(&queue, redis, FIXTURE_MODEL, CALL_MS, &counters, &err), 0);
    CHECK_INT(counters.queued + counters.running + counters.delayed, 0);
}

static void finished_jobs_are_forgotten_after_their_retention(void)
{
    char id[ID_PUBLIC_SIZE];
    begin(30000);
    queue.retain_ms = 20;
    submit_to("alice", id);
    struct queue_claimed job = claim_one(WORKER);
    complete_job(&job);
    TICK_UNTIL(raw_int("ZCARD", "{q:00}done") == 0);
    check_only_furniture_is_left();
}

/* ---- failures ---------------------------------------------------------------------------- */

static void a_failure_is_retried_and_then_dead_lettered_with_its_history(void)
{
    char id[ID_PUBLIC_SIZE];
    enum job_state state = 0;
    begin(30000);
    submit_to("alice", id);
    for (int attempt = 1; attempt <= 3; attempt++) {
        TICK_UNTIL(get_job(id).state == JOB_QUEUED);
        struct queue_claimed job = claim_one(WORKER);
        CHECK_INT(job.attempts, attempt - 1);
        CHECK_INT(fail_job(&job, true, &state), QUEUE_OK);
        CHECK_INT(state, attempt < 3 ? JOB_DELAYED : JOB_FAILED);
        CHECK_INT(fail_job(&job, true, &state), QUEUE_AGAIN);
    }
    struct queue_job job = get_job(id);
    CHECK(job.dead);
    CHECK(job.has_input);
    CHECK_INT(job.attempts, 3);
    CHECK_TEXT(job.error_code, "unavailable");
    CHECK_TEXT(job.error_detail, "the store is away");
    CHECK_INT(raw_int("ZCARD", "{q:00}dlq"), 1);
    char key[64];
    snprintf(key, sizeof key, "{q:00}h:%.12s", id + 2);
    CHECK_INT(raw_int("LLEN", key), 3);
}

static void what_would_fail_again_fails_at_once(void)
{
    char id[ID_PUBLIC_SIZE];
    enum job_state state = 0;
    begin(30000);
    submit_to("alice", id);
    struct queue_claimed job = claim_one(WORKER);
    CHECK_INT(fail_job(&job, false, &state), QUEUE_OK);
    CHECK_INT(state, JOB_FAILED);
    CHECK(!get_job(id).dead);
    CHECK_INT(raw_int("ZCARD", "{q:00}dlq"), 0);
}

static void released_jobs_return_to_the_head_in_order_and_are_not_charged(void)
{
    char ids[4][ID_PUBLIC_SIZE];
    struct queue_lease leases[3];
    begin(30000);
    for (int i = 0; i < 4; i++)
        submit_to("alice", ids[i]);
    struct queue_claim claim = claim_up_to(WORKER, 3);
    for (size_t i = 0; i < 3; i++)
        leases[i] = (struct queue_lease){claim.jobs[i].id, claim.jobs[i].epoch};
    queue_claim_fini(&claim);
    CHECK_INT(queue_release(&queue, redis, WORKER, leases, 3, true, CALL_MS, &err), 0);
    for (int i = 0; i < 4; i++)
        CHECK_INT(get_job(ids[i]).position, i);
    CHECK_INT(get_job(ids[0]).losses, 1);
    CHECK_INT(get_job(ids[0]).attempts, 0);
    claim = claim_up_to(OTHER, 4);
    CHECK_INT(claim.count, 4);
    for (size_t i = 0; i < 4; i++) {
        CHECK_TEXT(claim.jobs[i].public_id, ids[i]);
        CHECK(!claim.jobs[i].alone);
    }
    queue_claim_fini(&claim);
}

/* ---- what is corrupt --------------------------------------------------------------------- */

static void a_record_edited_by_hand_is_named_and_blocks_nobody(void)
{
    char ids[4][ID_PUBLIC_SIZE], key[64];
    struct queue_job job;
    enum job_state state;
    begin(30000);
    for (int i = 0; i < 4; i++)
        submit_to("alice", ids[i]);
    snprintf(key, sizeof key, "{q:00}j:%.12s", ids[0] + 2);
    RAW("SET", key, "hello");
    err = (struct err){0};
    CHECK_INT(queue_get(&queue, redis, ids[0], CALL_MS, &job, &err), ERR_CORRUPT);
    CHECK_HAS(err.text, key);
    CHECK_HAS(err.text, "expected at least 64");
    CHECK_INT(queue_cancel(&queue, redis, ids[0], CALL_MS, &state, NULL), ERR_CORRUPT);
    snprintf(key, sizeof key, "{q:00}j:%.12s", ids[1] + 2);
    RAW("SETRANGE", key, "1", "Z");
    err = (struct err){0};
    CHECK_INT(queue_get(&queue, redis, ids[1], CALL_MS, &job, &err), ERR_CORRUPT);
    CHECK_HAS(err.text, "QRDSFC");
    snprintf(key, sizeof key, "{q:00}j:%.12s", ids[2] + 2);
    RAW("SETRANGE", key, "53", "zz"); /* says that its spec is longer than the record */
    CHECK_TEXT(claim_one(WORKER).public_id, ids[3]);
    CHECK_INT(raw_int("ZCARD", "{q:00}corrupt"), 3);
    erase_job(ids[0]);
    CHECK_INT(raw_int("ZCARD", "{q:00}corrupt"), 2);
}

static void a_foreign_key_under_ours_is_a_clear_error(void)
{
    char id[ID_PUBLIC_SIZE], key[64];
    struct queue_job job;
    begin(30000);
    submit_to("alice", id);
    snprintf(key, sizeof key, "{q:00}j:%.12s", id + 2);
    RAW("DEL", key);
    RAW("LPUSH", key, "x");
    CHECK_INT(queue_get(&queue, redis, id, CALL_MS, &job, &err), ERR_CORRUPT);
}

static void a_record_deleted_by_hand_is_skipped(void)
{
    char ids[2][ID_PUBLIC_SIZE], key[64];
    begin(30000);
    for (int i = 0; i < 2; i++)
        submit_to("alice", ids[i]);
    snprintf(key, sizeof key, "{q:00}j:%.12s", ids[0] + 2);
    RAW("DEL", key);
    CHECK_TEXT(claim_one(WORKER).public_id, ids[1]);
    struct queue_counters counters;
    CHECK_INT(queue_counters(&queue, redis, FIXTURE_MODEL, CALL_MS, &counters, &err), 0);
    CHECK_INT(counters.queued, 0);
}

/* ---- limits
 * -------------------------------------------------------------------------------------- */

static void a_full_queue_and_a_full_flow_are_told_apart(void)
{
    char id[ID_PUBLIC_SIZE];
    struct queue_submitted submitted;
    begin(30000);
    queue.max_queued = 3;
    queue.max_flow_queued = 2;
    submit_to("alice", id);
    submit_to("alice", id);
    struct queue_submit job = job_of("alice", id);
    CHECK_INT(queue_submit(&queue, redis, &job, CALL_MS, &submitted, &err), ERR_LIMIT);
    submit_to("bob", id);
    job = job_of("carol", id);
    CHECK_INT(queue_submit(&queue, redis, &job, CALL_MS, &submitted, &err), ERR_UNAVAILABLE);
    claim_one(WORKER);
    submit_job(&job);
}

static void many_jobs_are_submitted_in_one_call(void)
{
    char ids[100][ID_PUBLIC_SIZE];
    struct queue_submit jobs[100];
    struct redis_command command;
    struct redis_reply *reply = NULL;
    struct queue_submitted submitted;
    begin(30000);
    for (int i = 0; i < 100; i++)
        jobs[i] = job_of(i % 2 ? "alice" : "bob", ids[i]);
    redis_command_init(&command, QUEUE_COMMAND_MAX);
    queue_submit_command(&queue, jobs, 100, &command);
    CHECK_INT(redis_call(redis, &command, CALL_MS, &reply, &err), 0);
    for (size_t i = 0; i < 100; i++) {
        CHECK_INT(queue_submit_reply(reply, i, &submitted, &err), 0);
        CHECK(!submitted.repeated);
    }
    CHECK_INT(queue_submit_reply(reply, 100, &submitted, NULL), ERR_INTERNAL);
    redis_reply_free(&reply);
    redis_command_fini(&command);
    struct queue_claim claim = claim_up_to(WORKER, 256);
    CHECK_INT(claim.count, 100);
    queue_claim_fini(&claim);
}

static void bad_members_of_a_submit_are_named(void)
{
    char id[ID_PUBLIC_SIZE];
    struct queue_submitted submitted;
    begin(30000);
    for (int which = 0; which < 9; which++) {
        static const char *const fields[] = {"id",           "model",     "flow",
                                             "priority",     "cost",      "weight",
                                             "max_attempts", "extension", "params"};
        struct queue_submit job = job_of("alice", id);
        if (which == 0)
            job.public_id = "00x";
        else if (which == 1)
            job.model = "../etc";
        else if (which == 2)
            job.flow = "a:b";
        else if (which == 3)
            job.priority = (enum job_priority)7;
        else if (which == 4)
            job.cost_ms = 0;
        else if (which == 5)
            job.weight = 0;
        else if (which == 6)
            job.max_attempts = 0;
        else if (which == 7)
            job.extension = "a/b";
        else
            job.spec_size = JOB_SPEC_MAX + 1;
        err = (struct err){0};
        CHECK(queue_submit(&queue, redis, &job, CALL_MS, &submitted, &err) < 0);
        CHECK_TEXT(err.field, fields[which]);
    }
    CHECK_INT(raw_int("LLEN", "{q:00}r:m:1:alice"), 0);
}

int main(void)
{
    fixture_start(NULL);
    RUN(a_job_goes_from_submit_to_success);
    RUN(a_result_keeps_its_type_and_size_whichever_way_they_are_stored);
    RUN(submitting_the_same_id_again_changes_nothing);
    RUN(a_second_completion_is_harmless);
    RUN(the_reply_of_a_lost_claim_is_given_again);
    RUN(a_stranger_cannot_settle_with_another_epoch);
    RUN(grants_are_for_whoever_holds_the_lease);
    RUN(a_cancelled_job_in_the_queue_is_skipped);
    RUN(cancelling_a_running_job_reaches_its_worker);
    RUN(a_finished_job_keeps_its_state_when_cancelled);
    RUN(unknown_ids_are_not_found);
    RUN(erasing_leaves_no_key_behind_in_any_state);
    RUN(finished_jobs_are_forgotten_after_their_retention);
    RUN(a_failure_is_retried_and_then_dead_lettered_with_its_history);
    RUN(what_would_fail_again_fails_at_once);
    RUN(released_jobs_return_to_the_head_in_order_and_are_not_charged);
    RUN(a_record_edited_by_hand_is_named_and_blocks_nobody);
    RUN(a_foreign_key_under_ours_is_a_clear_error);
    RUN(a_record_deleted_by_hand_is_skipped);
    RUN(a_full_queue_and_a_full_flow_are_told_apart);
    RUN(many_jobs_are_submitted_in_one_call);
    RUN(bad_members_of_a_submit_are_named);
    fixture_stop();
    return check_report();
}
