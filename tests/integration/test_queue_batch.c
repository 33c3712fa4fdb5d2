/* SPDX-License-Identifier: MIT
 *
 * Batches: all of it or nothing. */
#include "tests/unit/check.h"

#include "common/queue_batch.h"
#include "tests/support/queue_fixture.h"

#define WORKER "w-00000000000000000000000000000001"
#define FLOW "alice"

static struct redis_command command;
static char batch[ID_PUBLIC_SIZE];
static char ids[QUEUE_BATCH_MAX][ID_PUBLIC_SIZE];

static struct redis_reply *call(void)
{
    struct redis_reply *reply = NULL;
    err = (struct err){0};
    CHECK_INT(redis_call(redis, &command, CALL_MS, &reply, &err), 0);
    return reply;
}

static int open_batch(size_t count)
{
    queue_batch_open_command(&queue, batch, FLOW, FIXTURE_MODEL, count, &command);
    struct redis_reply *reply = call();
    int64_t retry_ms;
    int rc = queue_batch_open_reply(reply, &retry_ms, &err);
    redis_reply_free(&reply);
    return rc;
}

/* Hands in ids[first, first + count); the code of the last one. */
static int add(size_t first, size_t count)
{
    static struct queue_submit jobs[QUEUE_BATCH_CHUNK];
    struct queue_submitted submitted;
    int rc = 0;
    for (size_t done = 0; done < count; done += QUEUE_BATCH_CHUNK) {
        size_t part = count - done < QUEUE_BATCH_CHUNK ? count - done : QUEUE_BATCH_CHUNK;
        for (size_t i = 0; i < part; i++) {
            char *id = ids[first + done + i];
            char fresh[ID_PUBLIC_SIZE];
            jobs[i] = job_of(FLOW, fresh);
            if (!id[0])
                memcpy(id, fresh, sizeof fresh);
            jobs[i].public_id = id;
            jobs[i].batch = batch;
        }
        queue_submit_command(&queue, jobs, part, &command);
        struct redis_reply *reply = call();
        for (size_t i = 0; i < part && rc == 0; i++)
            rc = queue_submit_reply(reply, i, &submitted, &err);
        redis_reply_free(&reply);
    }
    return rc;
}

static int seal(bool keep)
{
    const struct queue_idem none = {.key = ""};
    struct queue_idem_found found;
    if (keep)
        queue_batch_seal_command(&queue, batch, FLOW, &none, &command);
    else
        queue_batch_drop_command(&queue, batch, &command);
    struct redis_reply *reply = call();
    int rc = queue_batch_seal_reply(reply, &found, &err);
    redis_reply_free(&reply);
    return rc;
}

static int look(size_t offset, struct queue_batch *out)
{
    queue_batch_get_command(&queue, batch, offset, &command);
    struct redis_reply *reply = call();
    int rc = queue_batch_get_reply(&queue, reply, out, &err);
    redis_reply_free(&reply);
    return rc;
}

static int end_all(bool erase)
{
    bool more = true;
    int rc = 0;
    for (size_t offset = 0; rc == 0 && more; offset += QUEUE_BATCH_CHUNK) {
        queue_batch_end_command(&queue, batch, erase, offset, &command);
        struct redis_reply *reply = call();
        rc = queue_batch_end_reply(reply, &more, &err);
        redis_reply_free(&reply);
    }
    return rc;
}

static void begin_batch(size_t count)
{
    begin(30000);
    memset(ids, 0, sizeof ids);
    id_public_create(0, batch);
    CHECK_INT(open_batch(count), 0);
}

static size_t claimable(void)
{
    struct queue_claim claim = claim_up_to(WORKER, 8);
    size_t count = claim.count;
    queue_claim_fini(&claim);
    return count;
}

static void nothing_is_claimed_before_the_seal(void)
{
    struct queue_batch now;
    begin_batch(100);
    CHECK_INT(add(0, 100), 0);
    CHECK_INT(claimable(), 0);
    CHECK_INT(get_job(ids[99]).state, JOB_DELAYED);
    CHECK_INT(look(0, &now), 0);
    CHECK(!now.sealed);
    CHECK_INT(seal(true), 0);
    TICK_UNTIL(raw_int("LLEN", "{q:00}kin") == 0);
    CHECK_INT(raw_int("LLEN", "{q:00}r:m:1:alice"), 100);
    struct queue_claimed first = claim_one(WORKER);
    CHECK_TEXT(first.public_id, ids[0]);
    CHECK_INT(raw_int("ZCARD", "{q:00}open"), 0);
    CHECK_INT(raw_int("HLEN", "{q:00}need"), 0);
}

static void every_step_may_be_repeated(void)
{
    begin_batch(20);
    CHECK_INT(open_batch(20), 0);
    CHECK_INT(add(0, 20), 0);
    CHECK_INT(add(0, 20), 0);
    CHECK_INT(raw_int("ZCARD", "{q:00}delay"), 20);
    CHECK_INT(seal(true), 0);
    CHECK_INT(seal(true), 0);
    CHECK_INT(raw_int("LLEN", "{q:00}r:m:1:alice"), 20);
    CHECK_INT(add(0, 20), 0); /* of what is there already nothing changes */
    CHECK_INT(raw_int("LLEN", "{q:00}r:m:1:alice"), 20);
    CHECK_INT(open_batch(20), ERR_CONFLICT);
}

static void one_that_lacks_a_job_is_not_sealed(void)
{
    begin_batch(20);
    CHECK_INT(add(0, 19), 0);
    CHECK_INT(seal(true), ERR_CONFLICT);
    CHECK_INT(add(19, 1), 0);
    CHECK_INT(seal(true), 0);
    CHECK_INT(add(20, 1), ERR_CONFLICT);
}

static void what_was_dropped_leaves_nothing_but_objects_to_delete(void)
{
    begin_batch(200);
    CHECK_INT(add(0, 200), 0);
    CHECK_INT(seal(false), 0);
    CHECK_INT(seal(false), 0);
    CHECK_INT(seal(true), ERR_CONFLICT);
    TICK_UNTIL(raw_int("LLEN", "{q:00}kin") == 0);
    struct redis_reply *keys = raw("KEYS", "{q:00}j:*", NULL);
    CHECK_INT(redis_reply_count(keys), 0);
    redis_reply_free(&keys);
    keys = raw("KEYS", "{q:00}b*", NULL);
    CHECK_INT(redis_reply_count(keys), 0);
    redis_reply_free(&keys);
    CHECK_INT(raw_int("ZCARD", "{q:00}delay"), 0);
    CHECK_INT(raw_int("ZCARD", "{q:00}trash"), 200);
}

static void one_that_nobody_goes_on_with_is_dropped(void)
{
    char small[13];
    begin_batch(20);
    CHECK_INT(add(0, 10), 0);
    snprintf(small, sizeof small, "%.12s", batch + 2);
    RAW("ZADD", "{q:00}open", "1", small);
    TICK_UNTIL(raw_int("ZCARD", "{q:00}delay") == 0);
    CHECK_INT(add(10, 10), ERR_CONFLICT);
    CHECK_INT(seal(true), ERR_CONFLICT);
    CHECK_INT(claimable(), 0);
}

static void an_empty_one_that_nobody_goes_on_with_is_forgotten(void)
{
    struct queue_batch now;
    char small[13];
    begin_batch(20);
    snprintf(small, sizeof small, "%.12s", batch + 2);
    RAW("ZADD", "{q:00}open", "1", small);
    TICK_UNTIL(raw_int("ZCARD", "{q:00}open") == 0);
    CHECK_INT(look(0, &now), ERR_NOT_FOUND);
}

static void its_states_come_in_order_and_in_pages(void)
{
    static struct queue_batch now;
    begin_batch(QUEUE_BATCH_PAGE + 3);
    CHECK_INT(add(0, QUEUE_BATCH_PAGE + 3), 0);
    CHECK_INT(seal(true), 0);
    TICK_UNTIL(raw_int("LLEN", "{q:00}kin") == 0);
    struct queue_claimed first = claim_one(WORKER);
    CHECK_INT(complete_job(&first), QUEUE_OK);
    claim_one(WORKER);
    cancel_job(ids[2]);
    erase_job(ids[QUEUE_BATCH_PAGE]);
    CHECK_INT(look(0, &now), 0);
    CHECK_INT(now.jobs, QUEUE_BATCH_PAGE + 3);
    CHECK_INT(now.count, QUEUE_BATCH_PAGE);
    CHECK(now.sealed);
    CHECK_TEXT(now.flow, FLOW);
    const enum job_state states[] = {JOB_SUCCEEDED, JOB_RUNNING, JOB_CANCELLED, JOB_QUEUED};
    for (size_t i = 0; i < 4; i++) {
        CHECK_TEXT(now.page[i].public_id, ids[i]);
        CHECK_INT(now.page[i].state, states[i]);
    }
    CHECK_INT(look(QUEUE_BATCH_PAGE, &now), 0);
    CHECK_INT(now.count, 3);
    CHECK_TEXT(now.page[0].public_id, ids[QUEUE_BATCH_PAGE]);
    CHECK_INT(now.page[0].state, 0);
    CHECK_INT(look(QUEUE_BATCH_MAX, &now), 0);
    CHECK_INT(now.count, 0);
}

static void a_cancel_in_the_middle_ends_what_has_not_ended(void)
{
    begin_batch(150);
    CHECK_INT(add(0, 150), 0);
    CHECK_INT(end_all(false), ERR_NOT_FOUND); /* not before it is sealed */
    CHECK_INT(seal(true), 0);
    struct queue_claimed done = claim_one(WORKER), running = claim_one(WORKER);
    CHECK_INT(complete_job(&done), QUEUE_OK);
    /* Some of it is not in its lane yet. */
    CHECK(raw_int("LLEN", "{q:00}kin") > 0);
    CHECK_INT(end_all(false), 0);
    CHECK_INT(end_all(false), 0);
    TICK_UNTIL(raw_int("LLEN", "{q:00}kin") == 0);
    CHECK_INT(get_job(ids[0]).state, JOB_SUCCEEDED);
    for (size_t i = 1; i < 150; i++)
        CHECK_INT(get_job(ids[i]).state, JOB_CANCELLED);
    CHECK_INT(complete_job(&running), QUEUE_CANCELLED);
    CHECK_INT(claimable(), 0);
}

static void erasing_it_leaves_nothing(void)
{
    static struct queue_batch now;
    begin_batch(150);
    CHECK_INT(add(0, 150), 0);
    CHECK_INT(seal(true), 0);
    claim_one(WORKER);
    erase_job(ids[7]);
    end_all(true);
    CHECK_INT(look(0, &now), ERR_NOT_FOUND);
    CHECK_INT(end_all(true), ERR_NOT_FOUND);
    TICK_UNTIL(raw_int("LLEN", "{q:00}kin") == 0);
    struct redis_reply *keys = raw("KEYS", "{q:00}j:*", NULL);
    CHECK_INT(redis_reply_count(keys), 0);
    redis_reply_free(&keys);
    CHECK_INT(raw_int("ZCARD", "{q:00}lease"), 0);
    CHECK_INT(raw_int("ZCARD", "{q:00}delay"), 0);
}

static void a_batch_that_finds_no_room_is_refused_as_a_whole(void)
{
    begin(30000);
    id_public_create(0, batch);
    queue.max_queued = 10;
    CHECK_INT(open_batch(11), ERR_UNAVAILABLE);
    CHECK_INT(open_batch(10), 0);
    begin(30000);
    queue.max_flow_queued = 10;
    CHECK_INT(open_batch(11), ERR_LIMIT);
    CHECK_INT(raw_int("ZCARD", "{q:00}open"), 0);
}

static void a_job_of_it_may_also_have_parents(void)
{
    struct queue_submitted submitted;
    char child[ID_PUBLIC_SIZE];
    begin_batch(2);
    CHECK_INT(add(0, 1), 0);
    const char *parents[] = {ids[0]};
    struct queue_submit job = job_of(FLOW, child);
    job.batch = batch;
    job.parents = parents;
    job.parent_count = 1;
    CHECK_INT(queue_submit(&queue, redis, &job, CALL_MS, &submitted, &err), 0);
    CHECK_INT(seal(true), 0);
    CHECK_INT(get_job(child).state, JOB_DELAYED);
    struct queue_claimed first = claim_one(WORKER);
    CHECK_TEXT(first.public_id, ids[0]);
    CHECK_INT(complete_job(&first), QUEUE_OK);
    CHECK_INT(get_job(child).state, JOB_QUEUED);
}

static void ten_thousand_jobs_come_in_bounded_steps(void)
{
    static struct queue_batch now;
    begin_batch(QUEUE_BATCH_MAX);
    RAW("CONFIG", "SET", "slowlog-log-slower-than", "5000");
    RAW("SLOWLOG", "RESET");
    CHECK_INT(add(0, QUEUE_BATCH_MAX), 0);
    CHECK_INT(seal(true), 0);
    CHECK(raw_int("LLEN", "{q:00}r:m:1:alice") <= QUEUE_BATCH_CHUNK);
    TICK_UNTIL(raw_int("LLEN", "{q:00}kin") == 0);
    CHECK_INT(raw_int("LLEN", "{q:00}r:m:1:alice"), QUEUE_BATCH_MAX);
    for (size_t offset = 0; offset < QUEUE_BATCH_MAX; offset += QUEUE_BATCH_PAGE)
        CHECK_INT(look(offset, &now), 0);
    end_all(true);
    CHECK_INT(look(0, &now), ERR_NOT_FOUND);
    /* The bound on the work is what is asserted; what a busy machine makes of it is only said. */
    printf("# calls over 5 ms: %lld\n", (long long)raw_int("SLOWLOG", "LEN"));
}

int main(void)
{
    fixture_start(NULL);
    redis_command_init(&command, QUEUE_COMMAND_MAX);
    RUN(nothing_is_claimed_before_the_seal);
    RUN(every_step_may_be_repeated);
    RUN(one_that_lacks_a_job_is_not_sealed);
    RUN(what_was_dropped_leaves_nothing_but_objects_to_delete);
    RUN(one_that_nobody_goes_on_with_is_dropped);
    RUN(an_empty_one_that_nobody_goes_on_with_is_forgotten);
    RUN(its_states_come_in_order_and_in_pages);
    RUN(a_cancel_in_the_middle_ends_what_has_not_ended);
    RUN(erasing_it_leaves_nothing);
    RUN(a_batch_that_finds_no_room_is_refused_as_a_whole);
    RUN(a_job_of_it_may_also_have_parents);
    RUN(ten_thousand_jobs_come_in_bounded_steps);
    redis_command_fini(&command);
    fixture_stop();
    return check_report();
}
