/* SPDX-License-Identifier: MIT
 *
 * Versions of the protocol: who may work on which data, who writes what down, and what neighbours
 * leave of each other's records. */
#include "common/queue_operate.h"

#include "tests/support/other_scripts.h"
#include "tests/unit/check.h"

#include "tests/support/queue_fixture.h"

static void replay_job(const char *id)
{
    struct redis_command command;
    struct redis_reply *reply = NULL;
    redis_command_init(&command, QUEUE_COMMAND_MAX);
    queue_replay_command(&queue, id, &command);
    CHECK_INT(redis_call(redis, &command, CALL_MS, &reply, &err), 0);
    CHECK_INT(queue_replay_reply(reply, &err), 0);
    redis_reply_free(&reply);
    redis_command_fini(&command);
}

static void stamp(const char *text)
{
    if (*text)
        RAW("SET", "{q:00}protocol", text);
    else
        RAW("DEL", "{q:00}protocol");
}

static int check_as(int version)
{
    other_scripts_use(version);
    err = (struct err){0};
    int rc = queue_check(&queue, redis, CALL_MS, &err);
    other_scripts_use(2);
    return rc;
}

static void check_stamp(const char *expected)
{
    struct redis_reply *reply = raw("GET", "{q:00}protocol", NULL);
    CHECK_TEXT(redis_reply_text(reply), expected);
    redis_reply_free(&reply);
}

/* 2 is this program, 3 its next version, which works beside 2, and 4 the one after that, which
 * works beside 3. */
static void neighbours_work_side_by_side_and_others_are_refused(void)
{
    static const struct {
        const char *before;
        int program, rc;
        const char *after, *says;
    } rows[] = {
        {"", 2, 0, "2", ""},
        {"2", 2, 0, "2", ""},
        {"", 3, 0, "3 2", ""},
        {"2", 3, 0, "3 2", ""},
        {"3 2", 2, 0, "3 2", ""}, /* the older one takes nothing back */
        {"3 2", 4, 0, "4 3", ""},
        {"4 3", 3, 0, "4 3", ""},
        {"2", 4, ERR_PROTOCOL, "2", "the data have version 2, and this program has version 4"},
        {"4 3", 2, ERR_PROTOCOL, "4 3",
         "the data have version 4, for programs of 3 or newer, and this program has version 2"},
        {"3", 2, ERR_PROTOCOL, "3", "have version 3, for programs of 3 or newer"},
        {"11 10", 2, ERR_PROTOCOL, "11 10", "have version 11, for programs of 10 or newer"},
        {"two", 2, ERR_CORRUPT, "two", "{q:00}protocol: two, expected a version"},
        {"2 ", 2, 0, "2 ", ""},
        {"2 1 0", 2, ERR_CORRUPT, "2 1 0", "expected a version"},
        {"-2", 2, ERR_CORRUPT, "-2", "expected a version"},
    };
    begin(30000);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        stamp(rows[i].before);
        CHECK_INT(check_as(rows[i].program), rows[i].rc);
        CHECK_HAS(err.text, rows[i].says);
        CHECK_HAS(err.text, rows[i].rc < 0 ? "{q:00}protocol" : "");
        check_stamp(rows[i].after);
    }
    CHECK_INT(err_exit_status(ERR_PROTOCOL), 76);
}

/* Whoever is connected while the data leave it behind hears of it with what it does next. */
static void a_program_that_is_left_behind_changes_nothing(void)
{
    char id[ID_PUBLIC_SIZE];
    struct queue_ticked ticked;
    struct queue_hello hello = {.worker = "w-1",
                                .models = (const char *[]){FIXTURE_MODEL},
                                .model_count = 1,
                                .slots = 1,
                                .device = "cpu"};
    struct queue_claim claim = {0};
    begin(30000);
    submit_to("alice", id);
    stamp("4 3");
    err = (struct err){0};
    CHECK_INT(queue_hello(&queue, redis, &hello, CALL_MS, &err), ERR_PROTOCOL);
    CHECK_INT(queue_claim(&queue, redis, "w-1", "n", hello.models, 1, 1, CALL_MS, &claim, &err),
              ERR_PROTOCOL);
    CHECK_INT(queue_tick(&queue, redis, CALL_MS, &ticked, &err), ERR_PROTOCOL);
    CHECK_INT(raw_int("EXISTS", "{q:00}workers"), 0);
    CHECK_INT(raw_int("ZCARD", "{q:00}lease"), 0);
    stamp("3 2");
    err = (struct err){0};
    CHECK_INT(queue_hello(&queue, redis, &hello, CALL_MS, &err), 0);
    CHECK_TEXT(claim_one("w-1").public_id, id);
}

static const char line[] = "z=what a later version knows\n";

static void check_carried(const char *id)
{
    char key[40];
    snprintf(key, sizeof key, "{q:00}j:%.12s", id + 2);
    struct redis_reply *reply = raw("GET", key, NULL);
    CHECK(memmem(redis_reply_text(reply), redis_reply_size(reply), line, sizeof line - 1) != NULL);
    redis_reply_free(&reply);
}

/* A line of `extra` that nobody here knows, as a next version may have written it, stays where it
 * is, whatever becomes of the job and whichever version does it. */
static void what_a_newer_program_added_to_a_job_is_carried_through(void)
{
    char id[ID_PUBLIC_SIZE];
    for (int version = 2; version <= 3; version++) {
        begin(30000);
        struct queue_submit job = job_of("alice", id);
        enum job_state state;
        job.max_attempts = 2;
        job.extra = line;
        job.extra_size = sizeof line - 1;
        job.notify_address = "0123";
        job.notify_blob = "sealed";
        job.notify_blob_size = 6;
        submit_job(&job);
        check_carried(id);
        other_scripts_use(version);
        struct queue_claimed claimed = claim_one("w-1");
        CHECK_INT(beat("w-1", &claimed, 500), QUEUE_OK);
        other_scripts_use(5 - version);
        CHECK_INT(fail_job(&claimed, true, &state), QUEUE_OK);
        TICK_UNTIL(get_job(id).state == JOB_QUEUED);
        check_carried(id);
        claimed = claim_one("w-1");
        other_scripts_use(version);
        CHECK_INT(fail_job(&claimed, true, &state), QUEUE_OK);
        CHECK_INT(state, JOB_FAILED);
        other_scripts_use(5 - version);
        replay_job(id);
        claimed = claim_one("w-1");
        check_carried(id);
        other_scripts_use(version);
        CHECK_INT(complete_job(&claimed), QUEUE_OK);
        CHECK_INT(get_job(id).state, JOB_SUCCEEDED);
        check_carried(id);
    }
    other_scripts_use(2);
}

int main(void)
{
    fixture_start(NULL);
    RUN(neighbours_work_side_by_side_and_others_are_refused);
    RUN(a_program_that_is_left_behind_changes_nothing);
    RUN(what_a_newer_program_added_to_a_job_is_carried_through);
    fixture_stop();
    return check_report();
}
