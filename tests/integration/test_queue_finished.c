/* SPDX-License-Identifier: MIT
 *
 * Finished jobs: counted truly, rated once, purged from wherever copies of them are. */
#include "common/queue_finished.h"
#include "tests/unit/check.h"

#include "tests/support/queue_fixture.h"

#include <inttypes.h>
#include <string.h>

#define WORKER "w-test"

static struct redis_command command;

static struct redis_reply *ask(void)
{
    struct redis_reply *reply = NULL;
    err = (struct err){0};
    int rc = redis_call(redis, &command, CALL_MS, &reply, &err);
    if (rc < 0)
        printf("# %s\n", err.text);
    CHECK_INT(rc, 0);
    return reply;
}

static void tick(void)
{
    struct queue_ticked ticked;
    CHECK_INT(queue_tick(&queue, redis, CALL_MS, &ticked, &err), 0);
}

static void finish_one(char id[ID_PUBLIC_SIZE])
{
    submit_to("alice", id);
    struct queue_claimed job = claim_one(WORKER);
    CHECK_INT(complete_job(&job), QUEUE_OK);
}

/* ---- stats ----------------------------------------------------------------------------------- */

static struct queue_stats stats_of(const char *model)
{
    struct queue_stats stats, found = {.finished = -1};
    queue_stats_command(&queue, &command);
    struct redis_reply *reply = ask();
    for (size_t i = 0; queue_stats_at(reply, i, &stats); i++)
        if (!strcmp(stats.model, model))
            found = (struct queue_stats){.finished = stats.finished,
                                         .per_minute_e3 = stats.per_minute_e3};
    redis_reply_free(&reply);
    return found;
}

/* As if the looks had been `ms` earlier. */
static void time_passes(const char *ms)
{
    RAW("EVAL",
        "for i, e in ipairs(redis.call('LRANGE', KEYS[1], 0, -1)) do "
        "redis.call('LSET', KEYS[1], i - 1, (e:gsub('^%d+', function(at) "
        "return string.format('%.0f', tonumber(at) - ARGV[1]) end))) end",
        "1", "{q:00}pace", ms);
}

static void only_jobs_that_succeeded_count_as_finished(void)
{
    char id[ID_PUBLIC_SIZE];
    enum job_state state;
    begin(30000);
    finish_one(id);
    submit_to("alice", id);
    struct queue_claimed job = claim_one(WORKER);
    fail_job(&job, false, &state);
    submit_to("alice", id);
    CHECK_INT(queue_cancel(&queue, redis, id, CALL_MS, &state, &err), 0);
    submit_to("alice", id);
    CHECK_INT(stats_of(FIXTURE_MODEL).finished, 1);
    CHECK_INT(stats_of(FIXTURE_MODEL).per_minute_e3, 1000);
    CHECK_INT(stats_of("nobody").finished, -1);
}

static void what_is_erased_stays_counted(void)
{
    char id[ID_PUBLIC_SIZE];
    bool found;
    begin(30000);
    finish_one(id);
    CHECK_INT(queue_erase(&queue, redis, id, CALL_MS, &found, &err), 0);
    CHECK_INT(stats_of(FIXTURE_MODEL).finished, 1);
}

static void the_rate_is_that_of_the_last_minute(void)
{
    char id[ID_PUBLIC_SIZE];
    begin(30000);
    finish_one(id);
    finish_one(id);
    time_passes("61000");
    tick(); /* looks: two */
    finish_one(id);
    time_passes("61000");
    /* Looks at nothing a good two minutes ago, at two a good minute ago: one since. */
    int64_t rate = stats_of(FIXTURE_MODEL).per_minute_e3;
    CHECK(rate > 900 && rate < 1000);
    tick();
    time_passes("120000");
    CHECK_INT(stats_of(FIXTURE_MODEL).per_minute_e3, 0);
    CHECK_INT(stats_of(FIXTURE_MODEL).finished, 3);
}

static void after_a_time_without_looks_the_rate_is_an_average(void)
{
    char id[ID_PUBLIC_SIZE];
    begin(30000);
    for (int i = 0; i < 10; i++)
        finish_one(id);
    time_passes("600000");
    int64_t rate = stats_of(FIXTURE_MODEL).per_minute_e3;
    CHECK(rate > 950 && rate <= 1000);
}

static void looks_are_few_and_far_between(void)
{
    begin(30000);
    for (int i = 0; i < 10; i++)
        tick();
    CHECK_INT(raw_int("LLEN", "{q:00}pace"), 1);
    for (int i = 0; i < 30; i++) {
        time_passes("5000");
        tick();
    }
    CHECK_INT(raw_int("LLEN", "{q:00}pace"), 14);
}

static void looks_that_cannot_be_read_are_begun_anew(void)
{
    char id[ID_PUBLIC_SIZE];
    begin(30000);
    finish_one(id);
    RAW("DEL", "{q:00}pace");
    RAW("HSET", "{q:00}pace", "a", "b");
    CHECK_INT(stats_of(FIXTURE_MODEL).finished, 1);
    CHECK_INT(stats_of(FIXTURE_MODEL).per_minute_e3, 0);
    tick();
    CHECK_INT(raw_int("LLEN", "{q:00}pace"), 1);
    RAW("RPUSH", "{q:00}pace", "rubbish");
    CHECK_INT(stats_of(FIXTURE_MODEL).finished, 1);
    time_passes("-3600000"); /* Redis' clock was set back */
    tick();
    CHECK_INT(raw_int("LLEN", "{q:00}pace"), 1);
}

/* ---- rating ---------------------------------------------------------------------------------- */

static int rate(const char *id, char rating, enum job_state *out_state)
{
    queue_rating_command(&queue, id, rating, &command);
    struct redis_reply *reply = ask();
    int rc = queue_rating_reply(reply, out_state, &err);
    redis_reply_free(&reply);
    return rc;
}

static void check_rated(int64_t up, int64_t down)
{
    struct queue_counters counters;
    CHECK_INT(queue_counters(&queue, redis, FIXTURE_MODEL, CALL_MS, &counters, &err), 0);
    CHECK_INT(counters.rated_up, up);
    CHECK_INT(counters.rated_down, down);
}

static void a_job_has_one_rating_that_may_change(void)
{
    char id[ID_PUBLIC_SIZE];
    enum job_state state;
    begin(30000);
    finish_one(id);
    CHECK_INT(get_job(id).rating, 0);
    CHECK_INT(rate(id, 'u', &state), 0);
    CHECK_INT(state, JOB_SUCCEEDED);
    CHECK_INT(rate(id, 'u', &state), 0);
    CHECK_INT(get_job(id).rating, 'u');
    check_rated(1, 0);
    CHECK_INT(rate(id, 'd', &state), 0);
    CHECK_INT(get_job(id).rating, 'd');
    CHECK_INT(get_job(id).result_bytes, 12345);
    check_rated(0, 1);
    CHECK_INT(rate(id, 0, &state), 0);
    CHECK_INT(get_job(id).rating, 0);
    check_rated(0, 0);
}

static void only_a_result_is_rated(void)
{
    char id[ID_PUBLIC_SIZE];
    enum job_state state;
    begin(30000);
    submit_to("alice", id);
    CHECK_INT(rate(id, 'u', &state), 0);
    CHECK_INT(state, JOB_QUEUED);
    CHECK_INT(get_job(id).rating, 0);
    check_rated(0, 0);
    id[33] = id[33] == 'a' ? 'b' : 'a';
    CHECK_INT(rate(id, 'u', &state), ERR_NOT_FOUND);
}

static void a_rating_keeps_what_else_a_job_has(void)
{
    char id[ID_PUBLIC_SIZE], line[64];
    enum job_state state;
    begin(30000);
    struct queue_submit job = job_of("alice", id);
    job.notify_address = "hash";
    job.notify_blob = "sealed";
    job.notify_blob_size = 6;
    job.extra = "w=wh_1\n";
    job.extra_size = 7;
    submit_job(&job);
    struct queue_claimed claimed = claim_one(WORKER);
    CHECK_INT(complete_job(&claimed), QUEUE_OK);
    CHECK_INT(rate(id, 'd', &state), 0);
    CHECK_INT(rate(id, 'u', &state), 0);
    struct redis_reply *reply = NULL;
    struct queue_job found;
    queue_get_command(&queue, id, &command);
    reply = ask();
    CHECK_INT(queue_get_reply(reply, &found, &err), 0);
    CHECK(queue_extra_get(&found, 'w', line, sizeof line));
    CHECK_TEXT(line, "wh_1");
    CHECK_INT(found.rating, 'u');
    CHECK_INT(queue_mail_of(&found, NULL), QUEUE_MAIL_WAITING);
    CHECK_TEXT(found.result_type, "image/png");
    redis_reply_free(&reply);
}

static void a_rating_goes_with_its_job(void)
{
    char id[ID_PUBLIC_SIZE];
    enum job_state state;
    bool found;
    begin(30000);
    finish_one(id);
    CHECK_INT(rate(id, 'u', &state), 0);
    CHECK_INT(queue_erase(&queue, redis, id, CALL_MS, &found, &err), 0);
    CHECK_INT(rate(id, 'd', &state), ERR_NOT_FOUND);
    check_rated(1, 0); /* a sum, which is nobody's */
}

/* ---- purges ---------------------------------------------------------------------------------- */

static void delete_object(const char *key, bool purge)
{
    RAW("ZADD", "{q:00}trash", "1", key);
    queue_trash_done_command(&queue, &key, 1, purge, &command);
    struct redis_reply *reply = ask();
    CHECK_INT(redis_reply_int(reply), 1);
    redis_reply_free(&reply);
    CHECK_INT(raw_int("ZCARD", "{q:00}trash"), 0);
}

static void settle(const char *name, int64_t retry_ms)
{
    queue_purge_settle_command(&queue, &name, &retry_ms, 1, &command);
    struct redis_reply *reply = ask();
    redis_reply_free(&reply);
}

static struct redis_reply *take(int64_t lease_ms)
{
    queue_purge_take_command(&queue, 8, lease_ms, &command);
    return ask();
}

static void what_was_deleted_is_purged_where_that_is_wanted(void)
{
    struct queue_purge purge;
    begin(30000);
    delete_object("inputs/a", false);
    CHECK_INT(raw_int("ZCARD", "{q:00}purge"), 0);
    delete_object("results/b/1/result.png", true);
    struct redis_reply *reply = take(60000);
    CHECK(queue_purge_at(reply, 0, &purge));
    CHECK_TEXT(purge.key, "results/b/1/result.png");
    CHECK(purge.age_ms >= 0 && purge.age_ms < 60000);
    CHECK(!queue_purge_at(reply, 1, &purge));
    struct redis_reply *lent = take(60000);
    CHECK_INT(redis_reply_count(lent), 0);
    redis_reply_free(&lent);
    CHECK(queue_purge_at(reply, 0, &purge));
    settle(purge.name, 0);
    redis_reply_free(&reply);
    CHECK_INT(raw_int("ZCARD", "{q:00}purge"), 0);
}

static void a_purge_that_failed_waits_and_comes_again(void)
{
    struct queue_purge purge;
    begin(30000);
    delete_object("inputs/a", true);
    struct redis_reply *reply = take(60000);
    CHECK(queue_purge_at(reply, 0, &purge));
    settle(purge.name, 3600000);
    struct redis_reply *none = take(60000);
    CHECK_INT(redis_reply_count(none), 0);
    redis_reply_free(&none);
    RAW("ZADD", "{q:00}purge", "XX", "1", purge.name);
    struct redis_reply *again = take(60000);
    CHECK_INT(redis_reply_count(again), 1);
    redis_reply_free(&again);
    settle(purge.name, 0);
    settle(purge.name, 5000); /* somebody slower: it does not come back */
    CHECK_INT(raw_int("ZCARD", "{q:00}purge"), 0);
    redis_reply_free(&reply);
}

static void a_purge_that_names_nothing_can_be_settled(void)
{
    struct queue_purge purge;
    begin(30000);
    RAW("ZADD", "{q:00}purge", "1", "rubbish");
    struct redis_reply *reply = take(60000);
    CHECK(queue_purge_at(reply, 0, &purge));
    CHECK_TEXT(purge.key, "");
    settle(purge.name, 0);
    redis_reply_free(&reply);
    CHECK_INT(raw_int("ZCARD", "{q:00}purge"), 0);
}

static void a_line_of_purges_that_is_none_is_named(void)
{
    struct redis_reply *reply = NULL;
    const char *key = "inputs/a";
    begin(30000);
    RAW("SET", "{q:00}purge", "hello");
    queue_purge_take_command(&queue, 8, 1000, &command);
    CHECK_INT(redis_call(redis, &command, CALL_MS, &reply, &err), ERR_CORRUPT);
    CHECK_HAS(err.text, "{q:00}purge: a string, expected a zset");
    err = (struct err){0};
    RAW("ZADD", "{q:00}trash", "1", key);
    queue_trash_done_command(&queue, &key, 1, true, &command);
    CHECK_INT(redis_call(redis, &command, CALL_MS, &reply, &err), ERR_CORRUPT);
    CHECK_INT(raw_int("ZCARD", "{q:00}trash"), 1); /* it is tried again */
}

int main(void)
{
    fixture_start(NULL);
    redis_command_init(&command, QUEUE_COMMAND_MAX);
    RUN(only_jobs_that_succeeded_count_as_finished);
    RUN(what_is_erased_stays_counted);
    RUN(the_rate_is_that_of_the_last_minute);
    RUN(after_a_time_without_looks_the_rate_is_an_average);
    RUN(looks_are_few_and_far_between);
    RUN(looks_that_cannot_be_read_are_begun_anew);
    RUN(a_job_has_one_rating_that_may_change);
    RUN(only_a_result_is_rated);
    RUN(a_rating_keeps_what_else_a_job_has);
    RUN(a_rating_goes_with_its_job);
    RUN(what_was_deleted_is_purged_where_that_is_wanted);
    RUN(a_purge_that_failed_waits_and_comes_again);
    RUN(a_purge_that_names_nothing_can_be_settled);
    RUN(a_line_of_purges_that_is_none_is_named);
    redis_command_fini(&command);
    fixture_stop();
    return check_report();
}
