/* SPDX-License-Identifier: MIT
 *
 * Mail rows and the trash. */
#include "tests/unit/check.h"

#include "common/queue_operate.h"
#include "tests/support/queue_fixture.h"

#include <unistd.h>

#define WORKER "w-00000000000000000000000000000001"

/* ---- notifications ------------------------------------------------------------------------------
 */

static void submit_with_mail(const char *address, char id[ID_PUBLIC_SIZE])
{
    struct queue_submit job = job_of("alice", id);
    job.notify_address = address;
    job.notify_blob = "sealed\0bytes";
    job.notify_blob_size = 12;
    submit_job(&job);
}

static int intake(void)
{
    int moved = -1;
    CHECK_INT(queue_notify_intake(&queue, redis, CALL_MS, &moved, &err), 0);
    return moved;
}

static size_t claim_rows(struct queue_notify_rows *rows, int64_t lease_ms)
{
    CHECK_INT(queue_notify_claim(&queue, redis, 16, lease_ms, CALL_MS, rows, &err), 0);
    return rows->count;
}

static enum queue_verdict settle(const struct queue_notify_row *row,
                                 enum queue_notify_outcome outcome, int64_t retry_ms, bool *dead)
{
    enum queue_verdict verdict = QUEUE_LOST;
    struct queue_notified notified = {row->notify_id, row->epoch, outcome, retry_ms, "451 later"};
    CHECK_INT(queue_notify_settle(&queue, redis, &notified, CALL_MS, &verdict, dead, &err), 0);
    return verdict;
}

static void a_row_commits_with_the_completion(void)
{
    char id[ID_PUBLIC_SIZE];
    struct queue_notify_rows rows = {0};
    bool dead = true;
    begin(30000);
    submit_with_mail("hash", id);
    struct queue_claimed job = claim_one(WORKER);
    CHECK_INT(intake(), 0);
    complete_job(&job);
    complete_job(&job);
    CHECK_INT(raw_int("XLEN", "{q:00}out"), 1);
    CHECK_INT(intake(), 1);
    CHECK_INT(intake(), 0);
    CHECK_INT(claim_rows(&rows, 60000), 1);
    const struct queue_notify_row *row = &rows.rows[0];
    CHECK_TEXT(row->public_id, id);
    CHECK_TEXT(row->address, "hash");
    CHECK_TEXT(row->model, FIXTURE_MODEL);
    CHECK_INT(row->state, JOB_SUCCEEDED);
    CHECK_INT(row->blob_size, 12);
    CHECK(!memcmp(row->blob, "sealed\0bytes", 12));
    CHECK_INT(settle(row, QUEUE_NOTIFY_SENT, 0, &dead), QUEUE_OK);
    CHECK(!dead);
    CHECK_INT(settle(row, QUEUE_NOTIFY_SENT, 0, &dead), QUEUE_AGAIN);
    queue_notify_rows_fini(&rows);
    CHECK_INT(claim_rows(&rows, 60000), 0);
    CHECK_INT(rows.next_due_ms, -1);
    queue_notify_rows_fini(&rows);
}

static void cancelled_and_silent_jobs_send_nothing(void)
{
    char id[ID_PUBLIC_SIZE];
    begin(30000);
    submit_with_mail("hash", id);
    cancel_job(id);
    submit_to("alice", id);
    struct queue_claimed job = claim_one(WORKER);
    complete_job(&job);
    CHECK_INT(intake(), 0);
}

static void one_slow_receiver_does_not_delay_another(void)
{
    char id[ID_PUBLIC_SIZE];
    struct queue_notify_rows rows = {0};
    enum job_state state;
    bool dead = false;
    begin(30000);
    submit_with_mail("slow", id);
    struct queue_claimed job = claim_one(WORKER);
    complete_job(&job);
    intake();
    CHECK_INT(claim_rows(&rows, 60000), 1);
    CHECK_INT(settle(&rows.rows[0], QUEUE_NOTIFY_RETRY, 3600000, &dead), QUEUE_OK);
    queue_notify_rows_fini(&rows);
    submit_with_mail("quick", id);
    job = claim_one(WORKER);
    fail_job(&job, false, &state);
    intake();
    CHECK_INT(claim_rows(&rows, 60000), 1);
    CHECK_TEXT(rows.rows[0].address, "quick");
    CHECK_INT(rows.rows[0].state, JOB_FAILED);
    queue_notify_rows_fini(&rows);
}

static void a_notifier_that_died_is_fenced_off(void)
{
    char id[ID_PUBLIC_SIZE];
    struct queue_notify_rows first = {0}, second = {0};
    bool dead;
    begin(30000);
    submit_with_mail("hash", id);
    struct queue_claimed job = claim_one(WORKER);
    complete_job(&job);
    intake();
    CHECK_INT(claim_rows(&first, 1), 1);
    int64_t deadline_ms = clock_ms() + 5000;
    while (claim_rows(&second, 60000) == 0) {
        queue_notify_rows_fini(&second);
        CHECK(clock_ms() < deadline_ms);
        nap();
    }
    CHECK_TEXT(second.rows[0].notify_id, first.rows[0].notify_id);
    CHECK_INT(settle(&first.rows[0], QUEUE_NOTIFY_RETRY, 1, &dead), QUEUE_LOST);
    CHECK_INT(settle(&second.rows[0], QUEUE_NOTIFY_SENT, 0, &dead), QUEUE_OK);
    queue_notify_rows_fini(&first);
    queue_notify_rows_fini(&second);
}

static void mail_is_given_up_after_three_days_or_a_refusal(void)
{
    char ids[2][ID_PUBLIC_SIZE], key[QUEUE_NOTIFY_ID_SIZE + 16];
    struct queue_notify_rows rows = {0};
    bool dead = false;
    begin(30000);
    for (int i = 0; i < 2; i++) {
        submit_with_mail("hash", ids[i]);
        struct queue_claimed job = claim_one(WORKER);
        complete_job(&job);
    }
    intake();
    CHECK_INT(claim_rows(&rows, 60000), 2);
    snprintf(key, sizeof key, "{q:00}n:%s", rows.rows[0].notify_id);
    char failing[32];
    snprintf(failing, sizeof failing, "%lld",
             (long long)(clock_wall_ms() - QUEUE_NOTIFY_GIVE_UP_MS - 1000));
    RAW("HSET", key, "created", failing); /* it has waited for long: that is no failure */
    CHECK_INT(settle(&rows.rows[0], QUEUE_NOTIFY_HELD, 1000, &dead), QUEUE_OK);
    CHECK(!dead);
    CHECK_INT(settle(&rows.rows[0], QUEUE_NOTIFY_RETRY, 1000, &dead), QUEUE_OK);
    CHECK(!dead);
    RAW("HSET", key, "failing", failing);
    CHECK_INT(settle(&rows.rows[0], QUEUE_NOTIFY_RETRY, 1000, &dead), QUEUE_OK);
    CHECK(dead);
    CHECK_INT(settle(&rows.rows[1], QUEUE_NOTIFY_REFUSED, 0, &dead), QUEUE_OK);
    CHECK(dead);
    CHECK_INT(settle(&rows.rows[1], QUEUE_NOTIFY_REFUSED, 0, &dead), QUEUE_AGAIN);
    CHECK_INT(raw_int("ZCARD", "{q:00}unsent"), 2);
    CHECK_INT(raw_int("ZCARD", "{q:00}due"), 0);
    queue_notify_rows_fini(&rows);
}

/* What became of the job's mail; its language has to be `language`. */
static enum queue_mail mail_of(const char *id, const char *language)
{
    struct redis_command command;
    struct redis_reply *reply = NULL;
    struct queue_job job;
    char found[QUEUE_LANGUAGE_SIZE];
    redis_command_init(&command, QUEUE_COMMAND_MAX);
    queue_get_command(&queue, id, &command);
    CHECK_INT(redis_call(redis, &command, CALL_MS, &reply, &err), 0);
    CHECK_INT(queue_get_reply(reply, &job, &err), 0);
    enum queue_mail mail = queue_mail_of(&job, found);
    CHECK_TEXT(found, language);
    redis_reply_free(&reply);
    redis_command_fini(&command);
    return mail;
}

static struct queue_submit mail_job(char id[ID_PUBLIC_SIZE])
{
    struct queue_submit job = job_of("alice", id);
    job.notify_address = "hash";
    job.notify_blob = "sealed";
    job.notify_blob_size = 6;
    job.notify_language = "zh-hant";
    return job;
}

static void a_job_says_what_became_of_its_mail(void)
{
    static const struct {
        enum queue_notify_outcome outcome;
        enum queue_mail mail;
    } steps[] = {{QUEUE_NOTIFY_WAIT, QUEUE_MAIL_LIMITED},
                 {QUEUE_NOTIFY_HELD, QUEUE_MAIL_QUOTA},
                 {QUEUE_NOTIFY_RETRY, QUEUE_MAIL_WAITING},
                 {QUEUE_NOTIFY_REFUSED, QUEUE_MAIL_FAILED}};
    char id[ID_PUBLIC_SIZE];
    bool dead;
    begin(30000);
    struct queue_submit job = mail_job(id);
    submit_job(&job);
    CHECK_INT(mail_of(id, "zh-hant"), QUEUE_MAIL_WAITING);
    struct queue_claimed claimed = claim_one(WORKER);
    complete_job(&claimed);
    intake();
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        struct queue_notify_rows rows = {0};
        int64_t deadline_ms = clock_ms() + 5000;
        while (claim_rows(&rows, 60000) == 0) {
            queue_notify_rows_fini(&rows);
            CHECK(clock_ms() < deadline_ms);
        }
        CHECK_TEXT(rows.rows[0].language, "zh-hant");
        CHECK_INT(settle(&rows.rows[0], steps[i].outcome, 1, &dead), QUEUE_OK);
        CHECK_INT(mail_of(id, "zh-hant"), steps[i].mail);
        queue_notify_rows_fini(&rows);
    }
    CHECK_INT(get_job(id).state, JOB_SUCCEEDED); /* the rest of its record is as it was */
    CHECK_INT(get_job(id).result_bytes, 12345);
}

static void a_mail_that_was_sent_or_is_unwanted_says_so(void)
{
    char id[ID_PUBLIC_SIZE];
    struct queue_notify_rows rows = {0};
    bool dead;
    for (int i = 0; i < 2; i++) {
        begin(30000);
        struct queue_submit job = mail_job(id);
        job.extra = "w=wh_0123456789abcdef\n";
        job.extra_size = strlen(job.extra);
        submit_job(&job);
        struct queue_claimed claimed = claim_one(WORKER);
        complete_job(&claimed);
        intake();
        CHECK_INT(claim_rows(&rows, 60000), 1);
        settle(&rows.rows[0], i ? QUEUE_NOTIFY_UNWANTED : QUEUE_NOTIFY_SENT, 0, &dead);
        CHECK_INT(mail_of(id, "zh-hant"), i ? QUEUE_MAIL_UNWANTED : QUEUE_MAIL_SENT);
        queue_notify_rows_fini(&rows);
    }
}

static void an_address_that_wants_no_mail_gets_none(void)
{
    char id[ID_PUBLIC_SIZE];
    begin(30000);
    struct queue_submit job = mail_job(id);
    job.notify_blob_size = 0;
    job.notify_unwanted = true;
    submit_job(&job);
    CHECK_INT(mail_of(id, "zh-hant"), QUEUE_MAIL_UNWANTED);
    struct queue_claimed claimed = claim_one(WORKER);
    complete_job(&claimed);
    intake();
    CHECK_INT(raw_int("ZCARD", "{q:00}due"), 0);
    job = job_of("alice", id);
    submit_job(&job);
    CHECK_INT(mail_of(id, ""), QUEUE_MAIL_NONE);
}

static void a_replayed_dead_letter_waits_for_its_mail_anew(void)
{
    char id[ID_PUBLIC_SIZE];
    struct queue_notify_rows rows = {0};
    enum job_state state;
    bool dead;
    begin(30000);
    struct queue_submit job = mail_job(id);
    job.max_attempts = 1;
    submit_job(&job);
    struct queue_claimed claimed = claim_one(WORKER);
    fail_job(&claimed, true, &state);
    intake();
    CHECK_INT(claim_rows(&rows, 60000), 1);
    settle(&rows.rows[0], QUEUE_NOTIFY_SENT, 0, &dead);
    queue_notify_rows_fini(&rows);
    CHECK_INT(mail_of(id, "zh-hant"), QUEUE_MAIL_SENT);
    struct redis_command command;
    redis_command_init(&command, QUEUE_COMMAND_MAX);
    queue_replay_command(&queue, id, &command);
    CHECK_INT(redis_call(redis, &command, CALL_MS, NULL, &err), 0);
    redis_command_fini(&command);
    CHECK_INT(mail_of(id, "zh-hant"), QUEUE_MAIL_WAITING);
    usleep(2000); /* two ends in one millisecond would be one */
    claimed = claim_one(WORKER);
    complete_job(&claimed);
    intake();
    CHECK_INT(claim_rows(&rows, 60000), 1);
    queue_notify_rows_fini(&rows);
}

static void a_language_is_a_tag_or_refused(void)
{
    static const char *const bad[] = {"", "n", "NL", "nl\nx=1", "nl\r", "nl ", "a-very-long-tag-x"};
    char id[ID_PUBLIC_SIZE];
    begin(30000);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct queue_submit job = mail_job(id);
        job.notify_language = bad[i];
        struct err why = {0};
        CHECK_INT(queue_submit_check(&queue, &job, &why), ERR_INVALID);
        CHECK_TEXT(why.field, "lang");
    }
}

static void an_erased_job_is_not_told_of(void)
{
    char ids[2][ID_PUBLIC_SIZE];
    struct queue_notify_rows rows = {0};
    bool dead;
    begin(30000);
    for (int i = 0; i < 2; i++) {
        submit_with_mail("hash", ids[i]);
        struct queue_claimed job = claim_one(WORKER);
        complete_job(&job);
        if (i == 0)
            intake();
    }
    CHECK_INT(claim_rows(&rows, 60000), 1);
    erase_job(ids[0]);
    erase_job(ids[1]);
    CHECK_INT(settle(&rows.rows[0], QUEUE_NOTIFY_RETRY, 1, &dead), QUEUE_LOST);
    queue_notify_rows_fini(&rows);
    intake();
    CHECK_INT(claim_rows(&rows, 60000), 0);
    queue_notify_rows_fini(&rows);
}

/* ---- trash
 * --------------------------------------------------------------------------------------- */

static bool in_trash(const char *key)
{
    struct redis_reply *reply = raw("ZSCORE", "{q:00}trash", key, NULL);
    bool there = redis_reply_type(reply) == REDIS_TEXT;
    redis_reply_free(&reply);
    return there;
}

static void the_input_goes_when_the_job_ends_and_losers_results_too(void)
{
    char id[ID_PUBLIC_SIZE], input[JOB_KEY_SIZE], loser[JOB_KEY_SIZE], winner[JOB_KEY_SIZE];
    begin(60);
    submit_to("alice", id);
    job_input_key(id, input);
    job_result_key(id, 1, "png", loser);
    job_result_key(id, 2, "png", winner);
    struct queue_claimed first = claim_one(WORKER);
    TICK_UNTIL(get_job(id).state == JOB_QUEUED);
    struct queue_claimed second = claim_one(WORKER);
    CHECK(!in_trash(input));
    CHECK_INT(complete_job(&second), QUEUE_OK);
    CHECK(in_trash(input));
    CHECK(in_trash(loser));
    CHECK_INT(complete_job(&first), QUEUE_LOST);
    CHECK(in_trash(loser));
    CHECK(!in_trash(winner));
    erase_job(id);
    CHECK(in_trash(winner));
}

static void a_dead_letter_keeps_its_input_until_it_is_erased(void)
{
    char id[ID_PUBLIC_SIZE], input[JOB_KEY_SIZE];
    enum job_state state;
    begin(30000);
    struct queue_submit job = job_of("alice", id);
    job.max_attempts = 1;
    submit_job(&job);
    job_input_key(id, input);
    struct queue_claimed claimed = claim_one(WORKER);
    fail_job(&claimed, true, &state);
    CHECK_INT(state, JOB_FAILED);
    CHECK(!in_trash(input));
    erase_job(id);
    CHECK(in_trash(input));
}

static void an_upload_of_an_erased_job_is_swept(void)
{
    char id[ID_PUBLIC_SIZE], key[JOB_KEY_SIZE];
    begin(30000);
    submit_to("alice", id);
    struct queue_claimed job = claim_one(WORKER);
    erase_job(id);
    RAW("DEL", "{q:00}trash");
    CHECK_INT(complete_job(&job), QUEUE_LOST);
    job_result_key(id, 1, "png", key);
    CHECK(in_trash(key));
}

static void nobody_sweeps_what_is_not_his(void)
{
    char id[ID_PUBLIC_SIZE], winner[JOB_KEY_SIZE];
    begin(30000);
    submit_to("alice", id);
    struct queue_claimed job = claim_one(WORKER);
    complete_job(&job);
    job_result_key(id, 1, "png", winner);
    RAW("DEL", "{q:00}trash");
    struct queue_claimed forged = job;
    forged.id = 4711;
    CHECK_INT(complete_job(&forged), QUEUE_LOST);
    CHECK_INT(complete_job(&job), QUEUE_AGAIN);
    CHECK(!in_trash(winner));
}

static void trash_is_lent_until_it_is_acknowledged(void)
{
    struct redis_command command;
    struct redis_reply *reply = NULL;
    begin(30000);
    RAW("ZADD", "{q:00}trash", "1", "inputs/a", "2", "inputs/b");
    redis_command_init(&command, QUEUE_COMMAND_MAX);
    queue_trash_take_command(&queue, 64, 1, &command);
    CHECK_INT(redis_call(redis, &command, CALL_MS, &reply, &err), 0);
    CHECK_TEXT(queue_trash_key(reply, 0), "inputs/a");
    CHECK_TEXT(queue_trash_key(reply, 1), "inputs/b");
    CHECK(queue_trash_key(reply, 2) == NULL);
    redis_reply_free(&reply);
    const char *done[] = {"inputs/a"};
    queue_trash_done_command(&queue, done, 1, false, &command);
    CHECK_INT(redis_call(redis, &command, CALL_MS, NULL, &err), 0);
    int64_t deadline_ms = clock_ms() + 5000;
    size_t count = 0;
    while (count == 0) {
        CHECK(clock_ms() < deadline_ms);
        queue_trash_take_command(&queue, 64, 60000, &command);
        CHECK_INT(redis_call(redis, &command, CALL_MS, &reply, &err), 0);
        count = redis_reply_count(reply);
        if (count)
            CHECK_TEXT(queue_trash_key(reply, 0), "inputs/b");
        redis_reply_free(&reply);
        nap();
    }
    redis_command_fini(&command);
}

int main(void)
{
    fixture_start(NULL);
    RUN(a_row_commits_with_the_completion);
    RUN(cancelled_and_silent_jobs_send_nothing);
    RUN(one_slow_receiver_does_not_delay_another);
    RUN(a_notifier_that_died_is_fenced_off);
    RUN(mail_is_given_up_after_three_days_or_a_refusal);
    RUN(a_job_says_what_became_of_its_mail);
    RUN(a_mail_that_was_sent_or_is_unwanted_says_so);
    RUN(an_address_that_wants_no_mail_gets_none);
    RUN(a_replayed_dead_letter_waits_for_its_mail_anew);
    RUN(a_language_is_a_tag_or_refused);
    RUN(an_erased_job_is_not_told_of);
    RUN(the_input_goes_when_the_job_ends_and_losers_results_too);
    RUN(a_dead_letter_keeps_its_input_until_it_is_erased);
    RUN(an_upload_of_an_erased_job_is_swept);
    RUN(nobody_sweeps_what_is_not_his);
    RUN(trash_is_lent_until_it_is_acknowledged);
    fixture_stop();
    return check_report();
}
