/* SPDX-License-Identifier: MIT
 *
 * Breaks the queue by hand, as an eviction or an operator would, and wants each break found,
 * mended, and gone. */
#include "common/queue_fsck.h"
#include "tests/unit/check.h"

#include "tests/support/queue_fixture.h"

#define WORKER "w-00000000000000000000000000000001"

static char findings[8192], objects[8192];

static void note_finding(const char *name, const char *what, bool mended, void *data)
{
    (void)data;
    size_t used = strlen(findings);
    snprintf(findings + used, sizeof findings - used, "# %s%s %s\n", mended ? "mended " : "", name,
             what);
}

static void note_object(const char *key, void *data)
{
    (void)data;
    size_t used = strlen(objects);
    snprintf(objects + used, sizeof objects - used, "%s\n", key);
}

static struct queue_fsck_report fsck(bool mend)
{
    struct queue_fsck_report report = {0};
    const struct queue_fsck_options options = {
        .mend = mend, .each = note_finding, .object = note_object, .timeout_ms = CALL_MS};
    findings[0] = objects[0] = 0;
    err = (struct err){0};
    int rc = queue_fsck(&queue, redis, &options, &report, &err);
    if (rc < 0)
        printf("# %s\n", err.text);
    CHECK_INT(rc, 0);
    if (findings[0])
        fputs(findings, stdout);
    return report;
}

/* Something of every state, all sound. */
struct jobs {
    char queued[ID_PUBLIC_SIZE], running[ID_PUBLIC_SIZE], delayed[ID_PUBLIC_SIZE];
    char succeeded[ID_PUBLIC_SIZE], cancelled[ID_PUBLIC_SIZE], dead[ID_PUBLIC_SIZE];
};

static struct jobs begin_with_jobs(void)
{
    struct jobs jobs;
    char buried[ID_PUBLIC_SIZE];
    enum job_state state;
    begin(30000);
    struct queue_submit job = job_of("alice", jobs.dead);
    job.max_attempts = 1;
    submit_job(&job);
    struct queue_claimed claimed = claim_one(WORKER);
    CHECK_INT(fail_job(&claimed, true, &state), QUEUE_OK);
    submit_to("alice", jobs.succeeded);
    claimed = claim_one(WORKER);
    CHECK_INT(complete_job(&claimed), QUEUE_OK);
    submit_to("alice", jobs.running);
    claim_one(WORKER);
    submit_to("alice", buried); /* a tombstone in front of what waits */
    submit_to("alice", jobs.queued);
    CHECK_INT(cancel_job(buried), JOB_CANCELLED);
    submit_to("bob", jobs.cancelled);
    CHECK_INT(cancel_job(jobs.cancelled), JOB_CANCELLED);
    job = job_of("bob", jobs.delayed);
    job.run_at_ms = clock_wall_ms() + 3600000;
    submit_job(&job);
    return jobs;
}

/* Key of a job's record, or its small id alone. */
static const char *key_of(const char *public_id)
{
    static char key[32];
    snprintf(key, sizeof key, "{q:00}j:%.12s", public_id + 2);
    return key;
}

static const char *small_id(const char *public_id)
{
    return key_of(public_id) + strlen("{q:00}j:");
}

/* The break is found, mending mends it, and then there is nothing left to find. */
static void expect_mended(const char *what)
{
    struct queue_fsck_report report = fsck(false);
    CHECK(strstr(findings, what) != NULL);
    CHECK(report.findings > 0);
    CHECK_INT(report.mended, 0);
    report = fsck(true);
    CHECK(report.mended > 0);
    report = fsck(false);
    CHECK_INT(report.findings, 0);
}

/* ---- */

static void a_sound_queue_has_no_findings_and_names_its_objects(void)
{
    struct jobs jobs = begin_with_jobs();
    char expected[128];
    struct queue_fsck_report report = fsck(true);
    CHECK_INT(report.findings, 0);
    CHECK_INT(report.records, 7);
    CHECK_INT(report.busy, 0);
    snprintf(expected, sizeof expected, "results/%s/1/result.png\n", jobs.succeeded);
    CHECK(strstr(objects, expected) != NULL);
    snprintf(expected, sizeof expected, "inputs/%s\n", jobs.queued);
    CHECK(strstr(objects, expected) != NULL);
    snprintf(expected, sizeof expected, "inputs/%s\n", jobs.succeeded);
    CHECK(strstr(objects, expected) == NULL);
}

static void a_waiting_job_that_fell_out_of_its_lane_comes_back(void)
{
    struct jobs jobs = begin_with_jobs();
    RAW("DEL", "{q:00}r:" FIXTURE_MODEL ":1:alice");
    expect_mended("state Q, but not in its lane");
    CHECK_TEXT(claim_one(WORKER).public_id, jobs.queued);
}

static void a_lane_that_fell_out_of_the_ring_is_served_again(void)
{
    struct jobs jobs = begin_with_jobs();
    RAW("DEL", "{q:00}ring:" FIXTURE_MODEL ":1");
    expect_mended("is not in ring:" FIXTURE_MODEL ":1");
    CHECK_TEXT(claim_one(WORKER).public_id, jobs.queued);
}

static void a_running_job_without_a_lease_runs_again(void)
{
    struct jobs jobs = begin_with_jobs();
    RAW("ZREM", "{q:00}lease", small_id(jobs.running));
    expect_mended("state R, but not in lease");
    /* Over already, so that the next tick after the first grace requeues it. */
    struct redis_reply *reply = raw("ZSCORE", "{q:00}lease", small_id(jobs.running), NULL);
    CHECK(redis_reply_size(reply) > 0 && redis_reply_int(reply) <= clock_wall_ms());
    redis_reply_free(&reply);
}

static void delayed_and_finished_jobs_get_their_places_back(void)
{
    struct jobs jobs = begin_with_jobs();
    RAW("DEL", "{q:00}delay", "{q:00}done", "{q:00}dlq");
    expect_mended("state D, but not in delay");
    TICK_UNTIL(get_job(jobs.delayed).state == JOB_QUEUED);
    CHECK_INT(raw_int("ZCARD", "{q:00}done"), 4);
    CHECK_INT(raw_int("ZCARD", "{q:00}dlq"), 1);
}

static void what_names_no_record_is_removed(void)
{
    struct jobs jobs = begin_with_jobs();
    RAW("DEL", key_of(jobs.running));
    RAW("DEL", key_of(jobs.delayed));
    RAW("DEL", key_of(jobs.succeeded));
    expect_mended("there is no record");
    CHECK_INT(raw_int("ZCARD", "{q:00}lease"), 0);
    CHECK_INT(raw_int("HLEN", "{q:00}run"), 0);
    CHECK_INT(raw_int("ZCARD", "{q:00}delay"), 0);
}

static void a_deleted_waiting_job_is_a_tombstone_and_the_rest_goes_on(void)
{
    struct queue_counters counters;
    char id[ID_PUBLIC_SIZE];
    struct jobs jobs = begin_with_jobs();
    submit_to("alice", id);
    RAW("DEL", key_of(jobs.queued));
    expect_mended("1 of 3 ids name no record");
    CHECK_INT(get_job(id).position, 0);
    CHECK_TEXT(claim_one(WORKER).public_id, id);
    CHECK_INT(queue_counters(&queue, redis, FIXTURE_MODEL, CALL_MS, &counters, &err), 0);
    CHECK_INT(counters.queued, 0);
    CHECK_INT(counters.running, 2);
    CHECK_INT(fsck(false).findings, 0);
}

static void a_record_in_two_places_stays_in_its_own(void)
{
    struct jobs jobs = begin_with_jobs();
    RAW("ZADD", "{q:00}lease", "1", small_id(jobs.queued));
    RAW("ZADD", "{q:00}done", "1", small_id(jobs.running));
    expect_mended("state Q, but in lease");
    CHECK_INT(get_job(jobs.queued).state, JOB_QUEUED);
    CHECK_INT(get_job(jobs.running).state, JOB_RUNNING);
}

static void an_unreadable_record_is_put_aside(void)
{
    struct jobs jobs = begin_with_jobs();
    RAW("SETRANGE", key_of(jobs.running), "0", "9");
    expect_mended("the head, expected");
    CHECK_INT(raw_int("EXISTS", key_of(jobs.running)), 0);
}

static void a_foreign_type_under_a_name_of_ours_is_put_aside(void)
{
    struct jobs jobs = begin_with_jobs();
    struct queue_fsck_report report = {0};
    const struct queue_fsck_options options = {.each = note_finding};
    RAW("DEL", "{q:00}lease", key_of(jobs.queued));
    RAW("SET", "{q:00}lease", "x");
    RAW("LPUSH", key_of(jobs.queued), "x");
    findings[0] = 0;
    CHECK_INT(queue_fsck(&queue, redis, &options, &report, &err), ERR_CORRUPT);
    CHECK(strstr(findings, "lease a string, expected a zset") != NULL);
    fsck(true);
    CHECK(strstr(findings, "a list, expected a string") != NULL);
    fsck(true); /* the lane's id is a tombstone now that its record is gone */
    CHECK_INT(fsck(false).findings, 0);
}

static void counters_are_set_right(void)
{
    begin_with_jobs();
    RAW("HINCRBY", "{q:00}c:" FIXTURE_MODEL, "running", "5");
    RAW("HINCRBY", "{q:00}c:" FIXTURE_MODEL, "queued1", "-1");
    expect_mended("running is 6, the records say 1");
}

static void a_notification_that_lost_its_place_gets_it_back(void)
{
    char id[ID_PUBLIC_SIZE];
    int moved;
    begin(30000);
    for (int i = 0; i < 3; i++) {
        struct queue_submit job = job_of("alice", id);
        job.extra = "w=u0123456789abcdef sealed\n";
        job.extra_size = strlen(job.extra);
        job.notify_address = "hash";
        job.notify_blob = "sealed";
        job.notify_blob_size = 6;
        submit_job(&job);
        struct queue_claimed claimed = claim_one(WORKER);
        complete_job(&claimed);
    }
    CHECK_INT(queue_notify_intake(&queue, redis, CALL_MS, &moved, &err), 0);
    CHECK_INT(fsck(false).findings, 0);
    RAW("DEL", "{q:00}due", "{q:00}hq:u0123456789abcdef");
    CHECK_INT(fsck(false).findings, 6);
    CHECK_INT(fsck(true).mended, 6);
    CHECK_INT(fsck(false).findings, 0);
    CHECK_INT(raw_int("ZCARD", "{q:00}due"), 3);
    CHECK_INT(raw_int("ZCARD", "{q:00}hq:u0123456789abcdef"), 3);
    RAW("DEL", "{q:00}hooks");
    CHECK_INT(fsck(true).mended, 1); /* the first that finds it brings it back */
    CHECK_INT(raw_int("ZCARD", "{q:00}hooks"), 1);
    RAW("SET", "{q:00}n:foreign", "text");
    CHECK_INT(fsck(true).mended, 1);
    CHECK_HAS(findings, "expected a hash");
    CHECK_INT(fsck(false).findings, 0);
    erase_job(id);
    RAW("HSET", "{q:00}n:00ffffffffffffffffffffffffffffffff-1-m", "id", "x");
    CHECK_INT(fsck(true).mended, 1);
    CHECK_HAS(findings, "no record of its job");
    CHECK_INT(fsck(false).findings, 0);
}

static void a_mail_that_was_lost_is_written_again(void)
{
    char id[ID_PUBLIC_SIZE], key[QUEUE_NOTIFY_ID_SIZE + 16];
    struct queue_notify_rows rows = {0};
    enum queue_verdict verdict;
    int moved;
    bool dead;
    begin(30000);
    struct queue_submit job = job_of("alice", id);
    job.notify_address = "hash";
    job.notify_blob = "sealed";
    job.notify_blob_size = 6;
    submit_job(&job);
    CHECK_INT(fsck(false).findings, 0); /* it has not ended */
    struct queue_claimed claimed = claim_one(WORKER);
    complete_job(&claimed);
    CHECK_INT(fsck(false).findings, 0); /* its row is still to be made */
    CHECK_INT(queue_notify_intake(&queue, redis, CALL_MS, &moved, &err), 0);
    CHECK_INT(queue_notify_claim(&queue, redis, 1, 60000, CALL_MS, &rows, &err), 0);
    snprintf(key, sizeof key, "{q:00}n:%s", rows.rows[0].notify_id);
    RAW("DEL", key, "{q:00}due");
    expect_mended("its mail is in no line");
    CHECK_INT(raw_int("ZCARD", "{q:00}due"), 1);
    queue_notify_rows_fini(&rows);

    CHECK_INT(queue_notify_claim(&queue, redis, 1, 60000, CALL_MS, &rows, &err), 0);
    RAW("HSET", key, "dead", "1");
    RAW("ZREM", "{q:00}due", rows.rows[0].notify_id);
    RAW("ZADD", "{q:00}unsent", "1", rows.rows[0].notify_id);
    expect_mended("its job says w");
    RAW("HDEL", key, "dead");
    RAW("DEL", "{q:00}unsent");
    RAW("ZADD", "{q:00}due", "1", rows.rows[0].notify_id);
    expect_mended("its job says f");
    const struct queue_notified sent = {rows.rows[0].notify_id, rows.rows[0].epoch,
                                        QUEUE_NOTIFY_SENT, 0, NULL};
    CHECK_INT(queue_notify_settle(&queue, redis, &sent, CALL_MS, &verdict, &dead, &err), 0);
    CHECK_INT(verdict, QUEUE_OK);
    CHECK_INT(fsck(false).findings, 0);
    queue_notify_rows_fini(&rows);
}

/* A job and one that waits for it. */
static void submit_pair(char parent[ID_PUBLIC_SIZE], char child[ID_PUBLIC_SIZE])
{
    begin(30000);
    submit_to("alice", parent);
    const char *parents[] = {parent};
    struct queue_submit job = job_of("alice", child);
    job.parents = parents;
    job.parent_count = 1;
    submit_job(&job);
    CHECK_INT(fsck(false).findings, 0);
}

static void a_child_that_nobody_will_tell_is_released_or_fails(void)
{
    char parent[ID_PUBLIC_SIZE], child[ID_PUBLIC_SIZE];
    for (int good = 0; good < 2; good++) {
        submit_pair(parent, child);
        RAW("DEL", "{q:00}parents"); /* nobody waits for it, it seems */
        struct queue_claimed claimed = claim_one(WORKER);
        enum job_state state = JOB_SUCCEEDED;
        if (good)
            CHECK_INT(complete_job(&claimed), QUEUE_OK);
        else
            CHECK_INT(fail_job(&claimed, false, &state), QUEUE_OK);
        CHECK_INT(get_job(child).state, JOB_DELAYED);
        expect_mended("waits for nobody");
        TICK_UNTIL(raw_int("LLEN", "{q:00}kin") == 0);
        CHECK_INT(get_job(child).state, good ? JOB_QUEUED : JOB_FAILED);
        CHECK_INT(raw_int("HLEN", "{q:00}need"), 0);
    }
}

static void a_child_waits_for_as_many_as_its_record_says(void)
{
    char parent[ID_PUBLIC_SIZE], child[ID_PUBLIC_SIZE];
    submit_pair(parent, child);
    RAW("HSET", "{q:00}need", small_id(child), "7");
    expect_mended("need says otherwise");
    struct queue_claimed claimed = claim_one(WORKER);
    CHECK_INT(complete_job(&claimed), QUEUE_OK);
    CHECK_INT(get_job(child).state, JOB_QUEUED);
}

int main(void)
{
    fixture_start(NULL);
    RUN(a_sound_queue_has_no_findings_and_names_its_objects);
    RUN(a_waiting_job_that_fell_out_of_its_lane_comes_back);
    RUN(a_lane_that_fell_out_of_the_ring_is_served_again);
    RUN(a_running_job_without_a_lease_runs_again);
    RUN(delayed_and_finished_jobs_get_their_places_back);
    RUN(what_names_no_record_is_removed);
    RUN(a_child_that_nobody_will_tell_is_released_or_fails);
    RUN(a_child_waits_for_as_many_as_its_record_says);
    RUN(a_deleted_waiting_job_is_a_tombstone_and_the_rest_goes_on);
    RUN(a_record_in_two_places_stays_in_its_own);
    RUN(an_unreadable_record_is_put_aside);
    RUN(a_foreign_type_under_a_name_of_ours_is_put_aside);
    RUN(counters_are_set_right);
    RUN(a_notification_that_lost_its_place_gets_it_back);
    RUN(a_mail_that_was_lost_is_written_again);
    fixture_stop();
    return check_report();
}
