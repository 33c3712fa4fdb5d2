/* SPDX-License-Identifier: MIT
 *
 * Webhooks' rows: who gets one, in what order, under what id. */
#include "tests/unit/check.h"

#include "common/queue_hooks.h"
#include "common/queue_operate.h"
#include "common/queue_record.h"
#include "tests/support/queue_fixture.h"

#include <unistd.h>

#define WORKER "w-00000000000000000000000000000001"
#define ACCOUNT "a0123456789abcdef"
#define ALL "wh_00000000000000a1"
#define SUCCESSES "wh_00000000000000a2"
#define NAMED_ONLY "wh_00000000000000a3"
#define OWN_URL "w=u00000000000000bb sealed-url\n"

static void run_command(struct redis_command *command, struct redis_reply **reply)
{
    err = (struct err){0};
    int rc = queue_run(redis, command, CALL_MS, reply, &err);
    if (rc < 0)
        printf("# %s\n", err.text);
    CHECK_INT(rc, 0);
}

static void listen_to(const char *account, const char *endpoint, const char *letters)
{
    struct redis_command command;
    struct redis_reply *reply = NULL;
    redis_command_init(&command, QUEUE_COMMAND_MAX);
    queue_hooks_listen_command(&queue, account, endpoint, letters, &command);
    run_command(&command, &reply);
    redis_reply_free(&reply);
}

static void submit_with(const char *flow, const char *extra, char id[ID_PUBLIC_SIZE])
{
    struct queue_submit job = job_of(flow, id);
    job.extra = extra;
    job.extra_size = extra ? strlen(extra) : 0;
    submit_job(&job);
}

static void run_job(const char *flow, const char *extra, char id[ID_PUBLIC_SIZE])
{
    submit_with(flow, extra, id);
    struct queue_claimed job = claim_one(WORKER);
    CHECK_INT(complete_job(&job), QUEUE_OK);
}

static size_t claim_hooks(struct queue_hook_rows *rows, size_t max, int per_target,
                          int64_t lease_ms)
{
    int moved;
    do
        CHECK_INT(queue_notify_intake(&queue, redis, CALL_MS, &moved, &err), 0);
    while (moved > 0);
    CHECK_INT(queue_hook_claim(&queue, redis, max, per_target, lease_ms, CALL_MS, rows, &err), 0);
    return rows->count;
}

static enum queue_verdict settle(const struct queue_hook_row *row,
                                 enum queue_notify_outcome outcome, int64_t retry_ms)
{
    enum queue_verdict verdict = QUEUE_LOST;
    bool dead;
    struct queue_notified notified = {row->notify_id, row->epoch, outcome, retry_ms,
                                      "answered 503"};
    CHECK_INT(queue_notify_settle(&queue, redis, &notified, CALL_MS, &verdict, &dead, &err), 0);
    return verdict;
}

/* How a job's only row says that it ended; the row is settled as sent. */
static enum job_state only_state(void)
{
    struct queue_hook_rows rows = {0};
    struct queue_job job;
    CHECK_INT(claim_hooks(&rows, 16, 4, 60000), 1);
    CHECK_INT(queue_hook_job(&queue, &rows.rows[0], &job, &err), 0);
    CHECK_TEXT(job.public_id, rows.rows[0].public_id);
    CHECK_INT(settle(&rows.rows[0], QUEUE_NOTIFY_SENT, 0), QUEUE_OK);
    enum job_state state = job.state;
    queue_hook_rows_fini(&rows);
    return state;
}

static void nothing_is_due(void)
{
    struct queue_hook_rows rows = {0};
    CHECK_INT(claim_hooks(&rows, 16, 4, 60000), 0);
    queue_hook_rows_fini(&rows);
}

static void every_way_to_end_is_told(void)
{
    char id[ID_PUBLIC_SIZE];
    enum job_state state;
    begin(30000);
    run_job("alice", OWN_URL, id);
    CHECK_INT(only_state(), JOB_SUCCEEDED);
    submit_with("alice", OWN_URL, id);
    cancel_job(id);
    cancel_job(id);
    CHECK_INT(only_state(), JOB_CANCELLED);
    submit_with("alice", OWN_URL, id);
    struct queue_claimed job = claim_one(WORKER);
    cancel_job(id);
    CHECK_INT(only_state(), JOB_CANCELLED);
    submit_with("alice", OWN_URL, id);
    job = claim_one(WORKER);
    fail_job(&job, false, &state);
    CHECK_INT(only_state(), JOB_FAILED);
    nothing_is_due();
    submit_with("alice", OWN_URL, id);
    for (int i = 0; i < 3; i++) { /* attempts used up: the dead letter */
        TICK_UNTIL(get_job(id).state == JOB_QUEUED);
        nothing_is_due();
        job = claim_one(WORKER);
        fail_job(&job, true, &state);
    }
    CHECK(get_job(id).dead);
    CHECK_INT(only_state(), JOB_FAILED);
    nothing_is_due();
}

/* Nobody works on these any more: a deadline passes, a parent fails before or after. */
static void ends_without_a_worker_are_told_too(void)
{
    char parent[ID_PUBLIC_SIZE], ids[3][ID_PUBLIC_SIZE];
    const char *parents[] = {parent};
    enum job_state state;
    begin(30000);
    struct queue_submit job = job_of("alice", ids[0]);
    job.extra = OWN_URL;
    job.extra_size = strlen(OWN_URL);
    job.deadline_after_ms = 1;
    submit_job(&job);
    TICK_UNTIL(get_job(ids[0]).state == JOB_FAILED);
    CHECK_INT(only_state(), JOB_FAILED);
    submit_to("alice", parent);
    job.deadline_after_ms = 0;
    job.parents = parents;
    job.parent_count = 1;
    for (int i = 1; i < 3; i++) {
        id_public_create(0, ids[i]);
        job.public_id = ids[i];
        submit_job(&job);
        if (i == 2)
            break;
        struct queue_claimed claimed = claim_one(WORKER);
        fail_job(&claimed, false, &state);
        TICK_UNTIL(get_job(ids[i]).state == JOB_FAILED);
        CHECK_INT(only_state(), JOB_FAILED);
    }
    CHECK_INT(get_job(ids[2]).state, JOB_FAILED);
    CHECK_INT(only_state(), JOB_FAILED);
    nothing_is_due();
}

static void a_job_without_a_listener_makes_no_row(void)
{
    char id[ID_PUBLIC_SIZE];
    begin(30000);
    listen_to("a00000000000000ff", ALL, "SFC");
    run_job("alice", NULL, id);
    run_job(ACCOUNT, "h=1\ni=w=u0 x\n", id);
    CHECK_INT(raw_int("XLEN", "{q:00}out"), 0);
    nothing_is_due();
}

static void an_endpoint_hears_of_what_it_asked_for(void)
{
    char id[ID_PUBLIC_SIZE];
    struct queue_hook_rows rows = {0};
    begin(30000);
    listen_to(ACCOUNT, ALL, "SFC");
    listen_to(ACCOUNT, SUCCESSES, "S");
    listen_to(ACCOUNT, NAMED_ONLY, "");
    run_job(ACCOUNT, NULL, id);
    CHECK_INT(claim_hooks(&rows, 16, 4, 60000), 2);
    CHECK(strcmp(rows.rows[0].notify_id, rows.rows[1].notify_id) != 0);
    CHECK(strcmp(rows.rows[0].target, rows.rows[1].target) != 0);
    CHECK_TEXT(rows.rows[0].flow, ACCOUNT);
    queue_hook_rows_fini(&rows);
    submit_with(ACCOUNT, NULL, id);
    cancel_job(id);
    CHECK_INT(claim_hooks(&rows, 16, 4, 60000), 1);
    CHECK_TEXT(rows.rows[0].target, ALL);
    queue_hook_rows_fini(&rows);
    listen_to(ACCOUNT, ALL, NULL);
    listen_to(ACCOUNT, SUCCESSES, NULL);
    run_job(ACCOUNT, NULL, id);
    nothing_is_due();
    run_job(ACCOUNT, "w=" NAMED_ONLY "\n", id);
    CHECK_INT(claim_hooks(&rows, 16, 4, 60000), 1);
    CHECK_TEXT(rows.rows[0].target, NAMED_ONLY);
    queue_hook_rows_fini(&rows);
}

static void an_id_is_the_same_over_tries_leases_and_replays(void)
{
    char id[ID_PUBLIC_SIZE], first[QUEUE_NOTIFY_ID_SIZE];
    struct queue_hook_rows rows = {0};
    struct redis_command command;
    struct redis_reply *reply = NULL;
    struct queue_resent resent;
    const struct queue_resend which = {.kind = QUEUE_NOTIFY_WEBHOOK};
    const char *ids[] = {id};
    begin(30000);
    run_job("alice", OWN_URL, id);
    CHECK_INT(claim_hooks(&rows, 1, 1, 1), 1);
    snprintf(first, sizeof first, "%s", rows.rows[0].notify_id);
    queue_hook_rows_fini(&rows);
    int64_t deadline_ms = clock_ms() + 5000;
    while (claim_hooks(&rows, 1, 1, 60000) == 0) {
        queue_hook_rows_fini(&rows);
        CHECK(clock_ms() < deadline_ms);
        nap();
    }
    CHECK_TEXT(rows.rows[0].notify_id, first);
    CHECK_INT(settle(&rows.rows[0], QUEUE_NOTIFY_RETRY, 1), QUEUE_OK);
    queue_hook_rows_fini(&rows);
    while (claim_hooks(&rows, 1, 1, 60000) == 0) {
        queue_hook_rows_fini(&rows);
        CHECK(clock_ms() < deadline_ms);
        nap();
    }
    CHECK_TEXT(rows.rows[0].notify_id, first);
    CHECK_INT(rows.rows[0].attempts, 1);
    CHECK_TEXT(rows.rows[0].url, "sealed-url");
    CHECK_INT(settle(&rows.rows[0], QUEUE_NOTIFY_SENT, 0), QUEUE_OK);
    CHECK_INT(settle(&rows.rows[0], QUEUE_NOTIFY_SENT, 0), QUEUE_AGAIN);
    queue_hook_rows_fini(&rows);
    nothing_is_due();
    redis_command_init(&command, QUEUE_COMMAND_MAX);
    queue_resend_command(&queue, &which, ids, 1, &command);
    run_command(&command, &reply);
    CHECK_INT(queue_resend_reply(reply, &resent, &err), 0);
    redis_reply_free(&reply);
    CHECK_INT(resent.rows, 1);
    CHECK_INT(claim_hooks(&rows, 1, 1, 60000), 1);
    CHECK_TEXT(rows.rows[0].notify_id, first);
    CHECK_INT(rows.rows[0].attempts, 0);
    queue_hook_rows_fini(&rows);
}

/* The one with 50 rows due keeps two senders busy, whatever the other asks for. */
static void a_slow_target_takes_its_share_and_no_more(void)
{
    char id[ID_PUBLIC_SIZE];
    struct queue_hook_rows slow = {0}, rows = {0};
    begin(30000);
    for (int i = 0; i < 50; i++)
        run_job("alice", OWN_URL, id);
    CHECK_INT(claim_hooks(&slow, 64, 2, 60000), 2);
    CHECK_INT(claim_hooks(&rows, 64, 2, 60000), 0);
    CHECK(rows.next_due_ms > 30000); /* nothing to do until a lease is over or settled */
    queue_hook_rows_fini(&rows);
    for (int i = 0; i < 3; i++) {
        run_job("bob", "w=u00000000000000cc sealed\n", id);
        CHECK_INT(claim_hooks(&rows, 64, 2, 60000), 1);
        CHECK_TEXT(rows.rows[0].target, "u00000000000000cc");
        CHECK_INT(settle(&rows.rows[0], QUEUE_NOTIFY_SENT, 0), QUEUE_OK);
        queue_hook_rows_fini(&rows);
    }
    CHECK_INT(settle(&slow.rows[0], QUEUE_NOTIFY_RETRY, 3600000), QUEUE_OK);
    CHECK_INT(claim_hooks(&rows, 64, 2, 60000), 1);
    CHECK_TEXT(rows.rows[0].target, "u00000000000000bb");
    queue_hook_rows_fini(&rows);
    queue_hook_rows_fini(&slow);
}

static void a_late_settle_is_fenced_off_and_an_erased_job_is_not_told_of(void)
{
    char id[ID_PUBLIC_SIZE];
    struct queue_hook_rows first = {0}, rows = {0};
    begin(30000);
    run_job("alice", OWN_URL, id);
    CHECK_INT(claim_hooks(&first, 1, 1, 1), 1);
    int64_t deadline_ms = clock_ms() + 5000;
    while (claim_hooks(&rows, 1, 1, 60000) == 0) {
        queue_hook_rows_fini(&rows);
        CHECK(clock_ms() < deadline_ms);
        nap();
    }
    CHECK_INT(settle(&first.rows[0], QUEUE_NOTIFY_RETRY, 1), QUEUE_LOST);
    erase_job(id);
    CHECK_INT(settle(&rows.rows[0], QUEUE_NOTIFY_RETRY, 1), QUEUE_LOST);
    queue_hook_rows_fini(&first);
    queue_hook_rows_fini(&rows);
    nothing_is_due();
    CHECK_INT(raw_int("ZCARD", "{q:00}hooks"), 0);
    CHECK_INT(raw_int("EXISTS", "{q:00}hq:u00000000000000bb"), 0);
    CHECK_INT(raw_int("EXISTS", "{q:00}hl:u00000000000000bb"), 0);
}

static struct queue_resent resend_range(const struct queue_resend *which, int64_t since_ms,
                                        int64_t until_ms)
{
    struct queue_resent sum = {0}, page = {0};
    struct redis_command command;
    redis_command_init(&command, QUEUE_COMMAND_MAX);
    do {
        struct redis_reply *reply = NULL;
        redis_command_init(&command, QUEUE_COMMAND_MAX);
        queue_resend_range_command(&queue, which, since_ms, until_ms, page.cursor, &command);
        run_command(&command, &reply);
        CHECK_INT(queue_resend_range_reply(reply, &page, &err), 0);
        redis_reply_free(&reply);
        sum.jobs += page.jobs;
        sum.rows += page.rows;
    } while (page.cursor);
    return sum;
}

static void what_was_given_up_is_listed_and_sent_again(void)
{
    char ids[3][ID_PUBLIC_SIZE];
    struct queue_hook_rows rows = {0};
    struct queue_unsent unsent;
    struct redis_command command;
    struct redis_reply *reply = NULL;
    int64_t total = 0, now = clock_wall_ms();
    begin(30000);
    for (int i = 0; i < 3; i++)
        run_job(i ? "alice" : ACCOUNT, OWN_URL, ids[i]);
    CHECK_INT(claim_hooks(&rows, 16, 16, 60000), 3);
    for (int i = 0; i < 3; i++) {
        bool arrived = strcmp(rows.rows[i].public_id, ids[2]) == 0;
        CHECK_INT(settle(&rows.rows[i], arrived ? QUEUE_NOTIFY_SENT : QUEUE_NOTIFY_REFUSED, 0),
                  QUEUE_OK);
    }
    queue_hook_rows_fini(&rows);
    redis_command_init(&command, QUEUE_COMMAND_MAX);
    queue_unsent_command(&queue, 0, 10, &command);
    run_command(&command, &reply);
    CHECK_INT(queue_unsent_reply(reply, 0, &unsent, &total, &err), 0);
    CHECK_INT(total, 2);
    CHECK(!unsent.is_mail);
    CHECK_INT(unsent.state, JOB_SUCCEEDED);
    CHECK_TEXT(unsent.reason, "answered 503");
    CHECK_INT(queue_unsent_reply(reply, 2, &unsent, &total, &err), ERR_NOT_FOUND);
    redis_reply_free(&reply);

    struct queue_resend which = {.kind = QUEUE_NOTIFY_MAIL, .unsent_only = true};
    CHECK_INT(resend_range(&which, 0, now + 60000).rows, 0);
    which.kind = QUEUE_NOTIFY_WEBHOOK;
    CHECK_INT(resend_range(&which, 0, now - 60000).rows, 0);
    which.flow = ACCOUNT;
    CHECK_INT(resend_range(&which, now - 60000, now + 60000).rows, 1);
    which.flow = NULL;
    CHECK_INT(resend_range(&which, now - 60000, now + 60000).rows, 1);
    CHECK_INT(resend_range(&which, now - 60000, now + 60000).rows, 0);
    CHECK_INT(raw_int("ZCARD", "{q:00}unsent"), 0);
    CHECK_INT(claim_hooks(&rows, 16, 16, 60000), 2);
    queue_hook_rows_fini(&rows);
    which.unsent_only = false;
    CHECK_INT(resend_range(&which, now - 60000, now + 60000).rows, 3);
    CHECK_INT(claim_hooks(&rows, 16, 16, 60000), 3);
    queue_hook_rows_fini(&rows);
}

/* A job that failed, was told of, and succeeds in a replay within the hour. */
static void the_mail_of_a_quick_replay_is_another_mail(void)
{
    char id[ID_PUBLIC_SIZE], first[QUEUE_NOTIFY_ID_SIZE] = "";
    enum job_state state;
    struct redis_command command;
    struct redis_reply *reply = NULL;
    begin(30000);
    struct queue_submit submit = job_of("alice", id);
    submit.max_attempts = 1;
    submit.notify_address = "hash";
    submit.notify_blob = "sealed";
    submit.notify_blob_size = 6;
    submit_job(&submit);
    for (int i = 0; i < 2; i++) {
        struct queue_notify_rows rows = {0};
        enum queue_verdict verdict;
        bool dead;
        int moved;
        struct queue_claimed job = claim_one(WORKER);
        if (i == 0)
            fail_job(&job, true, &state);
        else
            complete_job(&job);
        CHECK_INT(queue_notify_intake(&queue, redis, CALL_MS, &moved, &err), 0);
        CHECK_INT(queue_notify_claim(&queue, redis, 4, 60000, CALL_MS, &rows, &err), 0);
        CHECK_INT(rows.count, 1);
        CHECK_INT(rows.rows[0].state, i ? JOB_SUCCEEDED : JOB_FAILED);
        CHECK(strcmp(rows.rows[0].notify_id, first) != 0);
        snprintf(first, sizeof first, "%s", rows.rows[0].notify_id);
        struct queue_notified sent = {first, rows.rows[0].epoch, QUEUE_NOTIFY_SENT, 0, NULL};
        CHECK_INT(queue_notify_settle(&queue, redis, &sent, CALL_MS, &verdict, &dead, &err), 0);
        CHECK_INT(verdict, QUEUE_OK);
        queue_notify_rows_fini(&rows);
        if (i == 0) {
            redis_command_init(&command, QUEUE_COMMAND_MAX);
            queue_replay_command(&queue, id, &command);
            run_command(&command, &reply);
            CHECK_INT(queue_replay_reply(reply, &err), 0);
            redis_reply_free(&reply);
            usleep(2000); /* two ends in one millisecond would be one */
        }
    }
}

int main(void)
{
    fixture_start(NULL);
    RUN(every_way_to_end_is_told);
    RUN(ends_without_a_worker_are_told_too);
    RUN(a_job_without_a_listener_makes_no_row);
    RUN(an_endpoint_hears_of_what_it_asked_for);
    RUN(an_id_is_the_same_over_tries_leases_and_replays);
    RUN(a_slow_target_takes_its_share_and_no_more);
    RUN(a_late_settle_is_fenced_off_and_an_erased_job_is_not_told_of);
    RUN(what_was_given_up_is_listed_and_sent_again);
    RUN(the_mail_of_a_quick_replay_is_another_mail);
    fixture_stop();
    return check_report();
}
