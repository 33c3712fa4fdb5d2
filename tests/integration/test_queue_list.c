/* SPDX-License-Identifier: MIT
 *
 * Lists of the jobs of an account and of an address. */
#include "common/queue_list.h"

#include "tests/unit/check.h"

#include "tests/support/queue_fixture.h"

#include <string.h>

#define ACCOUNT "a0123456789abcdef"
#define WORKER "w-test"

static void submit_for(const char *flow, const char *address, char id[ID_PUBLIC_SIZE])
{
    struct queue_submit job = job_of(flow, id);
    job.notify_address = address;
    job.notify_blob = address ? "sealed" : NULL;
    job.notify_blob_size = address ? 6 : 0;
    submit_job(&job);
}

/* One page; *cursor moves on. The ids are written one behind the other. */
static size_t page(bool by_address, const char *name, int64_t *cursor, int64_t limit,
                   char ids[][ID_PUBLIC_SIZE])
{
    struct redis_command command;
    struct redis_reply *reply = NULL;
    redis_command_init(&command, QUEUE_COMMAND_MAX);
    if (by_address)
        queue_by_address_command(&queue, name, *cursor, limit, &command);
    else
        queue_list_command(&queue, name, *cursor, limit, &command);
    CHECK_INT(redis_call(redis, &command, CALL_MS, &reply, &err), 0);
    size_t count = queue_list_count(reply);
    for (size_t i = 0; i < count; i++) {
        struct queue_job job;
        CHECK_INT(queue_list_reply(&queue, reply, i, &job, &err), 0);
        memcpy(ids[i], job.public_id, sizeof ids[i]);
    }
    *cursor = queue_list_next(reply);
    redis_reply_free(&reply);
    redis_command_fini(&command);
    return count;
}

static void pages_go_from_the_newest_to_the_oldest_whatever_comes_in(void)
{
    char ids[12][ID_PUBLIC_SIZE], found[5][ID_PUBLIC_SIZE], other[ID_PUBLIC_SIZE];
    int64_t cursor = -1;
    begin(30000);
    for (int i = 0; i < 12; i++) {
        submit_for(ACCOUNT, NULL, ids[i]);
        submit_for("afedcba9876543210", NULL, other);
    }
    int next = 11;
    do {
        size_t count = page(false, ACCOUNT, &cursor, 5, found);
        for (size_t i = 0; i < count; i++)
            CHECK_TEXT(found[i], ids[next--]);
        submit_for(ACCOUNT, NULL, other);
    } while (cursor >= 0);
    CHECK_INT(next, -1);
}

static void what_is_forgotten_leaves_the_list_and_moves_no_page(void)
{
    char ids[10][ID_PUBLIC_SIZE], found[10][ID_PUBLIC_SIZE];
    int64_t cursor = -1;
    begin(30000);
    for (int i = 0; i < 10; i++)
        submit_for(ACCOUNT, NULL, ids[i]);
    CHECK_INT(page(false, ACCOUNT, &cursor, 4, found), 4);
    for (int i = 0; i < 3; i++)
        erase_job(ids[i]); /* the oldest, behind the page */
    erase_job(ids[5]);     /* the next but one */
    erase_job(ids[9]);     /* the newest */
    CHECK_INT(page(false, ACCOUNT, &cursor, 10, found), 2);
    CHECK_TEXT(found[0], ids[4]);
    CHECK_TEXT(found[1], ids[3]);
    CHECK_INT(cursor, -1);
    CHECK_INT(page(false, ACCOUNT, &cursor, 10, found), 5);
    CHECK_TEXT(found[0], ids[8]);
    for (int i = 3; i < 9; i++)
        if (i != 5)
            erase_job(ids[i]);
    CHECK_INT(raw_int("EXISTS", "{q:00}byflow:" ACCOUNT), 0);
    CHECK_INT(raw_int("EXISTS", "{q:00}bases"), 0);
    cursor = -1;
    CHECK_INT(page(false, ACCOUNT, &cursor, 10, found), 0);
}

static void jobs_are_found_by_the_address_that_is_told(void)
{
    char ids[3][ID_PUBLIC_SIZE], other[ID_PUBLIC_SIZE], found[5][ID_PUBLIC_SIZE];
    int64_t cursor = -1;
    begin(30000);
    submit_for("vsomebody", "hash-of-ada", ids[0]);
    submit_for("vsomebody", "hash-of-bob", other);
    submit_for(ACCOUNT, "hash-of-ada", ids[1]);
    struct queue_submit later = job_of("vsomebody", ids[2]);
    later.notify_address = "hash-of-ada";
    later.notify_blob = "sealed";
    later.notify_blob_size = 6;
    later.run_at_ms = clock_wall_ms() + 1000000;
    submit_job(&later);
    CHECK_INT(page(true, "hash-of-ada", &cursor, 5, found), 3);
    for (int i = 0; i < 3; i++)
        CHECK_TEXT(found[i], ids[2 - i]);
    CHECK_INT(page(true, "hash-of-eve", &cursor, 5, found), 0);
    CHECK_INT(raw_int("EXISTS", "{q:00}byflow:vsomebody"), 0);
    for (int i = 0; i < 3; i++)
        erase_job(ids[i]);
    CHECK_INT(raw_int("EXISTS", "{q:00}byaddr:hash-of-ada"), 0);
}

static void a_refused_or_repeated_job_is_listed_once_or_never(void)
{
    char id[ID_PUBLIC_SIZE], other[ID_PUBLIC_SIZE], found[5][ID_PUBLIC_SIZE];
    int64_t cursor = -1;
    struct queue_submitted submitted;
    begin(30000);
    queue.max_flow_queued = 1;
    struct queue_submit job = job_of(ACCOUNT, id);
    submit_job(&job);
    submit_job(&job);
    job = job_of(ACCOUNT, other);
    CHECK_INT(queue_submit(&queue, redis, &job, CALL_MS, &submitted, NULL), ERR_LIMIT);
    CHECK_INT(page(false, ACCOUNT, &cursor, 5, found), 1);
    CHECK_TEXT(found[0], id);
}

static void one_bad_record_hides_no_other(void)
{
    char ids[2][ID_PUBLIC_SIZE], key[64];
    struct redis_command command;
    struct redis_reply *reply = NULL;
    struct queue_job job;
    begin(30000);
    for (int i = 0; i < 2; i++)
        submit_for(ACCOUNT, NULL, ids[i]);
    snprintf(key, sizeof key, "{q:00}j:%.12s", ids[1] + 2);
    RAW("SET", key, "hello");
    redis_command_init(&command, QUEUE_COMMAND_MAX);
    queue_list_command(&queue, ACCOUNT, -1, 10, &command);
    CHECK_INT(redis_call(redis, &command, CALL_MS, &reply, &err), 0);
    CHECK_INT(queue_list_count(reply), 2);
    CHECK_INT(queue_list_reply(&queue, reply, 0, &job, &err), ERR_CORRUPT);
    CHECK_HAS(err.text, key);
    CHECK_INT(queue_list_reply(&queue, reply, 1, &job, &err), 0);
    redis_reply_free(&reply);
    queue_list_command(&queue, ACCOUNT, -1, QUEUE_LIST_MAX + 1, &command);
    CHECK_INT(redis_call(redis, &command, CALL_MS, &reply, &err), ERR_INVALID);
    redis_command_fini(&command);
}

/* ---- some of them ---- */

/* All that are wanted, however many pages that takes. */
static size_t wanted_jobs(const struct queue_wanted *wanted, int64_t limit,
                          char ids[][ID_PUBLIC_SIZE])
{
    struct redis_command command;
    size_t count = 0;
    int64_t cursor = -1;
    redis_command_init(&command, QUEUE_COMMAND_MAX);
    do {
        struct redis_reply *reply = NULL;
        queue_list_wanted_command(&queue, ACCOUNT, wanted, cursor, limit, &command);
        CHECK_INT(redis_call(redis, &command, CALL_MS, &reply, &err), 0);
        for (size_t i = 0; i < queue_list_count(reply); i++) {
            struct queue_job job;
            CHECK_INT(queue_list_reply(&queue, reply, i, &job, &err), 0);
            memcpy(ids[count++], job.public_id, sizeof ids[0]);
        }
        cursor = queue_list_next(reply);
        redis_reply_free(&reply);
    } while (cursor >= 0);
    redis_command_fini(&command);
    return count;
}

static void only_the_states_and_the_model_that_are_wanted(void)
{
    char ids[6][ID_PUBLIC_SIZE], found[6][ID_PUBLIC_SIZE];
    begin(30000);
    for (int i = 0; i < 6; i++) {
        struct queue_submit job = job_of(ACCOUNT, ids[i]);
        job.model = i == 5 ? "m2" : FIXTURE_MODEL;
        submit_job(&job);
    }
    struct queue_claimed first = claim_one(WORKER);
    CHECK_INT(complete_job(&first), QUEUE_OK);
    claim_one(WORKER);
    cancel_job(ids[4]);
    struct queue_wanted wanted = {.states = 1u << JOB_QUEUED};
    for (int64_t limit = 1; limit < 7; limit++) {
        CHECK_INT(wanted_jobs(&wanted, limit, found), 3);
        CHECK_TEXT(found[0], ids[5]);
        CHECK_TEXT(found[1], ids[3]);
        CHECK_TEXT(found[2], ids[2]);
    }
    wanted.model = FIXTURE_MODEL;
    CHECK_INT(wanted_jobs(&wanted, 10, found), 2);
    wanted = (struct queue_wanted){.states = 1u << JOB_SUCCEEDED | 1u << JOB_CANCELLED};
    CHECK_INT(wanted_jobs(&wanted, 10, found), 2);
    CHECK_TEXT(found[0], ids[4]);
    CHECK_TEXT(found[1], ids[0]);
    wanted = (struct queue_wanted){.model = "none"};
    CHECK_INT(wanted_jobs(&wanted, 10, found), 0);
}

static void a_text_is_found_in_id_model_and_parameters_only(void)
{
    char ids[3][ID_PUBLIC_SIZE], found[3][ID_PUBLIC_SIZE], part[9];
    begin(30000);
    for (int i = 0; i < 3; i++) {
        static const char *const specs[] = {
            "{\"input\":{\"key\":\"Style\"},\"crop\":null,\"params\":{\"style\":\"Pencil\"}}",
            "{\"input\":null,\"crop\":null,\"params\":{\"seed\":42}}", "{}"};
        struct queue_submit job = job_of(ACCOUNT, ids[i]);
        job.spec = specs[i];
        job.spec_size = strlen(specs[i]);
        job.model = i == 2 ? "seven.pencils" : FIXTURE_MODEL;
        submit_job(&job);
    }
    struct queue_wanted wanted = {.text = "PENCIL"};
    CHECK_INT(wanted_jobs(&wanted, 10, found), 2);
    CHECK_TEXT(found[0], ids[2]);
    CHECK_TEXT(found[1], ids[0]);
    wanted.text = "\"seed\":42";
    CHECK_INT(wanted_jobs(&wanted, 10, found), 1);
    CHECK_TEXT(found[0], ids[1]);
    wanted.text = "input";
    CHECK_INT(wanted_jobs(&wanted, 10, found), 0);
    wanted.text = "%d"; /* no pattern */
    CHECK_INT(wanted_jobs(&wanted, 10, found), 0);
    snprintf(part, sizeof part, "%.8s", ids[1]);
    wanted.text = part;
    CHECK_INT(wanted_jobs(&wanted, 10, found), 1);
    CHECK_TEXT(found[0], ids[1]);
    wanted.text = ids[1] + 20;
    CHECK_INT(wanted_jobs(&wanted, 10, found), 0);
}

/* Rewrites when a job was submitted: ms since 1970 in six bytes from the 20th on. */
static void submitted_at(const char *id, int64_t ms)
{
    char key[64], bytes[64];
    snprintf(key, sizeof key, "{q:00}j:%.12s", id + 2);
    for (int i = 0; i < 6; i++) {
        char offset[8];
        bytes[0] = (char)(ms >> (8 * (5 - i)) & 0xff);
        snprintf(offset, sizeof offset, "%d", 19 + i);
        struct redis_command command;
        struct redis_reply *reply = NULL;
        redis_command_init(&command, 4096);
        redis_command_text(&command, "SETRANGE");
        redis_command_text(&command, key);
        redis_command_text(&command, offset);
        redis_command_bytes(&command, bytes, 1);
        CHECK_INT(redis_call(redis, &command, CALL_MS, &reply, &err), 0);
        redis_reply_free(&reply);
        redis_command_fini(&command);
    }
}

static void only_what_was_submitted_within_a_time(void)
{
    enum { JOBS = 40, HOUR = 3600000 };
    static char ids[JOBS][ID_PUBLIC_SIZE], found[JOBS][ID_PUBLIC_SIZE];
    const int64_t start = 1767607872000;
    begin(30000);
    for (int i = 0; i < JOBS; i++) {
        submit_for(ACCOUNT, NULL, ids[i]);
        submitted_at(ids[i], start + (int64_t)i * HOUR);
    }
    for (int i = 10; i < 25; i++) /* the search steps over what is forgotten */
        if (i != 17)
            erase_job(ids[i]);
    for (int first = 0; first < JOBS; first++)
        for (int last = first; last < JOBS; last += 3) {
            struct queue_wanted wanted = {.since_ms = start + (int64_t)first * HOUR,
                                          .until_ms = start + (int64_t)last * HOUR};
            size_t count = wanted_jobs(&wanted, 7, found), at = 0;
            for (int i = last; i >= first; i--)
                if (i < 10 || i >= 25 || i == 17) {
                    CHECK(at < count);
                    CHECK_TEXT(found[at++], ids[i]);
                }
            CHECK_INT(count, at);
        }
    struct queue_wanted never = {.since_ms = start + (int64_t)JOBS * HOUR};
    CHECK_INT(wanted_jobs(&never, 10, found), 0);
    never = (struct queue_wanted){.until_ms = start - 1};
    CHECK_INT(wanted_jobs(&never, 10, found), 0);
}

static void too_long_a_text_is_refused_and_not_sent(void)
{
    struct redis_command command;
    struct redis_reply *reply = NULL;
    char text[QUEUE_TEXT_MAX + 2];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = 0;
    redis_command_init(&command, QUEUE_COMMAND_MAX);
    queue_list_wanted_command(&queue, ACCOUNT, &(struct queue_wanted){.text = text}, -1, 10,
                              &command);
    CHECK_INT(redis_call(redis, &command, CALL_MS, &reply, &err), ERR_LIMIT);
    redis_command_fini(&command);
}

/* ---- many at once ---- */

static void many_are_looked_at_in_one_call(void)
{
    char ids[3][ID_PUBLIC_SIZE], impostor[ID_PUBLIC_SIZE], unknown[ID_PUBLIC_SIZE], key[64];
    struct redis_command command;
    struct redis_reply *reply = NULL;
    struct queue_job job;
    begin(30000);
    for (int i = 0; i < 3; i++)
        submit_for(i ? ACCOUNT : "vsomebody", NULL, ids[i]);
    cancel_job(ids[0]);
    snprintf(key, sizeof key, "{q:00}j:%.12s", ids[2] + 2);
    RAW("SET", key, "hello");
    id_public_create(0, unknown);
    memcpy(impostor, ids[1], sizeof impostor);
    impostor[33] = impostor[33] == '0' ? '1' : '0'; /* the same small id, another job */
    const char *asked[] = {unknown, ids[0], impostor, ids[1], ids[2], ids[0]};
    redis_command_init(&command, QUEUE_COMMAND_MAX);
    queue_look_command(&queue, asked, 6, &command);
    CHECK_INT(redis_call(redis, &command, CALL_MS, &reply, &err), 0);
    CHECK_INT(queue_look_reply(&queue, reply, 0, &job, &err), ERR_NOT_FOUND);
    CHECK_INT(queue_look_reply(&queue, reply, 1, &job, &err), 0);
    CHECK_TEXT(job.public_id, ids[0]);
    CHECK_INT(job.state, JOB_CANCELLED);
    CHECK_INT(queue_look_reply(&queue, reply, 2, &job, &err), ERR_NOT_FOUND);
    CHECK_INT(queue_look_reply(&queue, reply, 3, &job, &err), 0);
    CHECK_TEXT(job.flow, ACCOUNT);
    CHECK_INT(queue_look_reply(&queue, reply, 4, &job, &err), ERR_CORRUPT);
    CHECK_INT(queue_look_reply(&queue, reply, 5, &job, &err), 0);
    CHECK_INT(queue_look_reply(&queue, reply, 6, &job, &err), ERR_INTERNAL);
    redis_reply_free(&reply);
    queue_look_command(&queue, asked, 0, &command);
    CHECK_INT(redis_call(redis, &command, CALL_MS, &reply, &err), ERR_INVALID);
    redis_command_fini(&command);
}

int main(void)
{
    fixture_start(NULL);
    RUN(pages_go_from_the_newest_to_the_oldest_whatever_comes_in);
    RUN(what_is_forgotten_leaves_the_list_and_moves_no_page);
    RUN(jobs_are_found_by_the_address_that_is_told);
    RUN(a_refused_or_repeated_job_is_listed_once_or_never);
    RUN(one_bad_record_hides_no_other);
    RUN(only_the_states_and_the_model_that_are_wanted);
    RUN(a_text_is_found_in_id_model_and_parameters_only);
    RUN(only_what_was_submitted_within_a_time);
    RUN(too_long_a_text_is_refused_and_not_sent);
    RUN(many_are_looked_at_in_one_call);
    fixture_stop();
    return check_report();
}
