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

int main(void)
{
    fixture_start(NULL);
    RUN(pages_go_from_the_newest_to_the_oldest_whatever_comes_in);
    RUN(what_is_forgotten_leaves_the_list_and_moves_no_page);
    RUN(jobs_are_found_by_the_address_that_is_told);
    RUN(a_refused_or_repeated_job_is_listed_once_or_never);
    RUN(one_bad_record_hides_no_other);
    fixture_stop();
    return check_report();
}
