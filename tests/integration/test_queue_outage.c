/* SPDX-License-Identifier: MIT
 *
 * What the queue must survive: silent workers, an absent Redis, lost scripts and connections. */
#include "tests/unit/check.h"

#include "tests/support/queue_fixture.h"

#include <unistd.h>

#define WORKER "w-00000000000000000000000000000001"
#define OTHER "w-00000000000000000000000000000002"

/* ---- leases ------------------------------------------------------------------------------------
 */

static void an_expired_lease_requeues_once_and_the_late_completion_is_refused(void)
{
    char id[ID_PUBLIC_SIZE];
    begin(60);
    submit_to("alice", id);
    struct queue_claimed late = claim_one(WORKER);
    TICK_UNTIL(get_job(id).state == JOB_QUEUED);
    CHECK_INT(raw_int("LLEN", "{q:00}r:m:1:alice"), 1);
    struct queue_job job = get_job(id);
    CHECK_INT(job.losses, 1);
    CHECK_INT(job.attempts, 0);
    CHECK_INT(beat(WORKER, &late, 10), QUEUE_LOST);
    struct queue_claimed second = claim_one(OTHER);
    CHECK_INT(second.epoch, 2);
    CHECK_INT(complete_job(&late), QUEUE_LOST);
    CHECK_INT(get_job(id).state, JOB_RUNNING);
    CHECK_INT(complete_job(&second), QUEUE_OK);
    CHECK_INT(complete_job(&late), QUEUE_LOST);
    CHECK_INT(get_job(id).epoch, 2);
}

static void heartbeats_keep_a_lease_alive(void)
{
    char id[ID_PUBLIC_SIZE];
    begin(60);
    submit_to("alice", id);
    struct queue_claimed job = claim_one(WORKER);
    int64_t until_ms = clock_ms() + 300;
    struct queue_ticked ticked;
    while (clock_ms() < until_ms) {
        /* A machine that stalls between two beats would be a loss like any other. */
        int64_t before_ms = clock_ms();
        enum queue_verdict verdict = beat(WORKER, &job, 0);
        CHECK_INT(queue_tick(&queue, redis, CALL_MS, &ticked, &err), 0);
        nap();
        if (clock_ms() - before_ms > 30)
            return;
        CHECK_INT(verdict, QUEUE_OK);
    }
    CHECK_INT(get_job(id).losses, 0);
}

static void suspects_run_alone_and_only_then_are_charged(void)
{
    char ids[3][ID_PUBLIC_SIZE];
    begin(40);
    for (int i = 0; i < 3; i++)
        submit_to("alice", ids[i]);
    struct queue_claim claim = claim_up_to(WORKER, 8);
    CHECK_INT(claim.count, 3);
    queue_claim_fini(&claim);
    TICK_UNTIL(get_job(ids[2]).state == JOB_QUEUED);
    CHECK_INT(get_job(ids[0]).crashes, 0);
    /* The first kills its worker each time; the others are claimed alone and finish. */
    for (int crash = 1; crash <= 3; crash++) {
        char worker[ID_NAME_SIZE];
        id_worker_create(worker);
        claim = claim_up_to(worker, 8);
        CHECK_INT(claim.count, 1);
        CHECK(claim.jobs[0].alone);
        CHECK_TEXT(claim.jobs[0].public_id, ids[0]);
        queue_claim_fini(&claim);
        TICK_UNTIL(get_job(ids[0]).state != JOB_RUNNING);
        CHECK_INT(get_job(ids[0]).crashes, crash);
    }
    struct queue_job buried = get_job(ids[0]);
    CHECK_INT(buried.state, JOB_FAILED);
    CHECK(buried.dead);
    CHECK_TEXT(buried.error_code, "crashed");
    CHECK_INT(buried.attempts, 0);
    for (int i = 1; i < 3; i++) {
        struct queue_claimed job = claim_one(WORKER);
        CHECK_TEXT(job.public_id, ids[i]);
        CHECK_INT(complete_job(&job), QUEUE_OK);
    }
}

/* ---- an absent Redis ----------------------------------------------------------------------------
 */

static void nobody_pays_for_an_outage_longer_than_a_lease(void)
{
    char ids[3][ID_PUBLIC_SIZE];
    struct queue_ticked ticked;
    begin(100);
    for (int i = 0; i < 3; i++)
        submit_to("alice", ids[i]);
    struct queue_claim claim = claim_up_to(WORKER, 3);
    redis_server_pause(server);
    int64_t until_ms = clock_ms() + 250;
    while (clock_ms() < until_ms)
        nap();
    redis_server_resume(server);
    CHECK_INT(queue_tick(&queue, redis, CALL_MS, &ticked, &err), 0);
    CHECK(ticked.graced);
    CHECK_INT(ticked.expired, 0);
    for (size_t i = 0; i < 3; i++) {
        CHECK_INT(complete_job(&claim.jobs[i]), QUEUE_OK);
        CHECK_INT(get_job(ids[i]).losses, 0);
    }
    queue_claim_fini(&claim);
    /* Once: who is still silent after the extra term is gone. */
    submit_to("alice", ids[0]);
    claim_one(WORKER);
    TICK_UNTIL(get_job(ids[0]).state == JOB_QUEUED);
}

static void an_absent_server_is_unavailable_and_comes_back(void)
{
    char id[ID_PUBLIC_SIZE];
    struct queue_submitted submitted;
    begin(30000);
    redis_server_pause(server);
    struct queue_submit job = job_of("alice", id);
    err = (struct err){0};
    CHECK_INT(queue_submit(&queue, redis, &job, 50, &submitted, &err), ERR_TIMEOUT);
    redis_server_resume(server);
    /* Whether the first one got through is unknown: repeating it is safe. */
    submit_job(&job);
    CHECK_INT(raw_int("LLEN", "{q:00}r:m:1:alice"), 1);
    redis_server_restart(server);
    CHECK_INT(queue_submit(&queue, redis, &job, CALL_MS, &submitted, &err), 0);
    CHECK(!submitted.repeated);
}

/* ---- scripts and connections
 * --------------------------------------------------------------------- */

static void flushed_scripts_are_sent_again(void)
{
    char id[ID_PUBLIC_SIZE];
    begin(30000);
    forget_scripts();
    submit_to("alice", id);
    forget_scripts();
    struct queue_claimed job = claim_one(WORKER);
    forget_scripts();
    CHECK_INT(complete_job(&job), QUEUE_OK);
}

static void a_pipeline_recovers_flushed_scripts_in_order(void)
{
    char ids[3][ID_PUBLIC_SIZE];
    struct redis_command commands[3];
    const struct redis_command *list[3];
    struct redis_reply *replies[3];
    struct queue_submitted submitted;
    begin(30000);
    forget_scripts();
    for (int i = 0; i < 3; i++) {
        struct queue_submit job = job_of("alice", ids[i]);
        redis_command_init(&commands[i], QUEUE_COMMAND_MAX);
        queue_submit_command(&queue, &job, 1, &commands[i]);
        list[i] = &commands[i];
    }
    CHECK_INT(redis_pipeline(redis, list, 3, CALL_MS, replies, &err), 0);
    for (int i = 0; i < 3; i++) {
        CHECK_INT(queue_submit_reply(replies[i], 0, &submitted, &err), 0);
        CHECK_INT(submitted.position, i);
        redis_reply_free(&replies[i]);
        redis_command_fini(&commands[i]);
    }
}

static void a_killed_connection_is_replaced(void)
{
    char id[ID_PUBLIC_SIZE];
    struct redis_target target;
    struct redis *killer = NULL;
    struct redis_command command;
    begin(30000);
    CHECK_INT(redis_target_init(&target, redis_server_url(server), NULL, &err), 0);
    CHECK_INT(redis_create(&target, &killer, &err), 0);
    redis_command_init(&command, 1024);
    redis_command_text(&command, "CLIENT");
    redis_command_text(&command, "KILL");
    redis_command_text(&command, "TYPE");
    redis_command_text(&command, "normal");
    redis_command_text(&command, "SKIPME");
    redis_command_text(&command, "yes");
    for (int i = 0; i < 10; i++) {
        CHECK_INT(redis_call(killer, &command, CALL_MS, NULL, &err), 0);
        submit_to("alice", id);
    }
    redis_command_fini(&command);
    redis_destroy(&killer);
    CHECK_INT(raw_int("LLEN", "{q:00}r:m:1:alice"), 10);
}

/* ---- servers that will not do
 * -------------------------------------------------------------------- */

static void a_server_that_evicts_is_refused(void)
{
    static const char *const policies[] = {"allkeys-lru", "volatile-ttl", "allkeys-random"};
    begin(30000);
    for (size_t i = 0; i < 3; i++) {
        RAW("CONFIG", "SET", "maxmemory-policy", policies[i]);
        err = (struct err){0};
        CHECK_INT(queue_check(&queue, redis, CALL_MS, &err), ERR_UNSUPPORTED);
        CHECK_HAS(err.text, policies[i]);
        CHECK_HAS(err.text, "noeviction");
    }
    RAW("CONFIG", "SET", "maxmemory-policy", "noeviction");
    CHECK_INT(queue_check(&queue, redis, CALL_MS, NULL), 0);
}

/* `info`: what INFO says, as Lua's text has it. */
static int check_of_server(const char *info)
{
    char script[256];
    struct redis_command command;
    redis_command_init(&command, 1024);
    CHECK(queue_check_command(&queue, 1, &command)); /* that of the server */
    CHECK(memmem(command.args.data, command.args.size, "INFO", 4));
    snprintf(script, sizeof script, "return '%s'", info);
    redis_command_clear(&command);
    redis_command_text(&command, "EVAL");
    redis_command_text(&command, script);
    redis_command_text(&command, "0");
    struct redis_reply *reply = NULL;
    CHECK_INT(redis_call(redis, &command, CALL_MS, &reply, &err), 0);
    err = (struct err){0};
    int rc = queue_check_reply(&queue, reply, 1, &err);
    redis_reply_free(&reply);
    redis_command_fini(&command);
    return rc;
}

static void a_server_whose_version_cannot_do_it_is_refused(void)
{
    static const char with_replicas[] = "\\r\\nmin_slaves_good_slaves:1\\r\\n";
    static const struct {
        const char *version;
        int alone, replicated; /* with min-replicas-to-write */
    } servers[] = {{"5.0.14", ERR_UNSUPPORTED, ERR_UNSUPPORTED},
                   {"6.0.20", ERR_UNSUPPORTED, ERR_UNSUPPORTED},
                   {"6.2.0", 0, ERR_UNSUPPORTED},
                   {"6.2.6", 0, ERR_UNSUPPORTED},
                   {"6.2.7", 0, 0},
                   {"7.0.1", 0, 0},
                   {"8.0", 0, 0},
                   {"10.0.0", 0, 0}};
    begin(30000);
    for (size_t i = 0; i < sizeof servers / sizeof servers[0]; i++) {
        char info[128];
        snprintf(info, sizeof info, "redis_version:%s\\r\\n", servers[i].version);
        CHECK_INT(check_of_server(info), servers[i].alone);
        snprintf(info, sizeof info, "redis_version:%s%s", servers[i].version, with_replicas);
        CHECK_INT(check_of_server(info), servers[i].replicated);
        if (servers[i].replicated)
            CHECK_HAS(err.text, servers[i].version);
    }
    CHECK_INT(check_of_server("nothing"), ERR_UNSUPPORTED);
}

/* Redis 7.0 and later know the option and do not heed it. */
static void a_server_that_replicates_scripts_as_they_are_is_refused(void)
{
    static const char *const options[] = {"--lua-replicate-commands", "no", NULL};
    struct redis_server *other = redis_server_start(options);
    struct redis_target target;
    struct redis *connection = NULL;
    begin(30000);
    CHECK_INT(redis_target_init(&target, redis_server_url(other), NULL, &err), 0);
    CHECK_INT(redis_create(&target, &connection, &err), 0);
    err = (struct err){0};
    int rc = queue_check(&queue, connection, CALL_MS, &err);
    if (rc != 0) {
        CHECK_INT(rc, ERR_UNSUPPORTED);
        CHECK_HAS(err.text, "set lua-replicate-commands yes");
    }
    redis_destroy(&connection);
    redis_server_stop(&other);
}

static void another_number_of_shards_is_refused(void)
{
    begin(30000);
    queue.shards = 4;
    err = (struct err){0};
    CHECK_INT(queue_check(&queue, redis, CALL_MS, &err), ERR_UNSUPPORTED);
    CHECK_HAS(err.text, "over 1 shards");
    CHECK_HAS(err.text, "told 4");
    RAW("DEL", "{q:00}shards");
    CHECK_INT(queue_check(&queue, redis, CALL_MS, &err), 0);
    CHECK_INT(raw_int("GET", "{q:00}shards"), 4);
}

static void a_full_server_refuses_submits_and_finishes_the_rest(void)
{
    char id[ID_PUBLIC_SIZE], other[ID_PUBLIC_SIZE];
    struct queue_submitted submitted;
    begin(30000);
    submit_to("alice", id);
    struct queue_submit waiting = job_of("alice", other);
    submit_job(&waiting);
    struct queue_claimed job = claim_one(WORKER);
    RAW("CONFIG", "SET", "maxmemory", "1");
    struct queue_submit refused = job_of("bob", other);
    struct err refusal = {0};
    int rc = queue_submit(&queue, redis, &refused, CALL_MS, &submitted, &refusal);
    enum queue_verdict alive = beat(WORKER, &job, 300);
    enum queue_verdict done = complete_job(&job);
    struct queue_claim claim = claim_up_to(WORKER, 1);
    RAW("CONFIG", "SET", "maxmemory", "0");
    CHECK_INT(rc, ERR_UNAVAILABLE);
    CHECK_HAS(refusal.text, "OOM");
    CHECK_INT(alive, QUEUE_OK);
    CHECK_INT(done, QUEUE_OK);
    CHECK_INT(claim.count, 1);
    queue_claim_fini(&claim);
    CHECK_INT(raw_int("EXISTS", "{q:00}r:m:1:bob"), 0);
}

static void a_password_and_a_database_are_used(void)
{
    static const char *const options[] = {"--requirepass", "secret word", NULL};
    struct redis_server *locked = redis_server_start(options);
    struct redis_target target;
    struct redis *with = NULL, *without = NULL;
    char url[160], path[] = "/tmp/darkroom-password-XXXXXX";
    struct redis_command command;
    int fd = mkstemp(path);
    CHECK(fd >= 0);
    CHECK(dprintf(fd, "secret word\nsecond line\n") > 0);
    close(fd);
    snprintf(url, sizeof url, "%s?db=3", redis_server_url(locked));
    redis_command_init(&command, 1024);
    redis_command_text(&command, "SET");
    redis_command_text(&command, "k");
    redis_command_text(&command, "v");
    CHECK_INT(redis_target_init(&target, url, path, &err), 0);
    CHECK_INT(redis_create(&target, &with, &err), 0);
    CHECK_INT(redis_call(with, &command, CALL_MS, NULL, &err), 0);
    CHECK_INT(redis_target_init(&target, url, NULL, &err), 0);
    CHECK_INT(redis_create(&target, &without, &err), 0);
    CHECK_INT(redis_call(without, &command, CALL_MS, NULL, NULL), ERR_DENIED);
    redis_command_fini(&command);
    redis_destroy(&with);
    redis_destroy(&without);
    unlink(path);
    redis_server_stop(&locked);
}

int main(void)
{
    fixture_start(NULL);
    RUN(an_expired_lease_requeues_once_and_the_late_completion_is_refused);
    RUN(heartbeats_keep_a_lease_alive);
    RUN(suspects_run_alone_and_only_then_are_charged);
    RUN(nobody_pays_for_an_outage_longer_than_a_lease);
    RUN(an_absent_server_is_unavailable_and_comes_back);
    RUN(flushed_scripts_are_sent_again);
    RUN(a_pipeline_recovers_flushed_scripts_in_order);
    RUN(a_killed_connection_is_replaced);
    RUN(a_server_that_evicts_is_refused);
    RUN(a_server_whose_version_cannot_do_it_is_refused);
    RUN(a_server_that_replicates_scripts_as_they_are_is_refused);
    RUN(another_number_of_shards_is_refused);
    RUN(a_full_server_refuses_submits_and_finishes_the_rest);
    RUN(a_password_and_a_database_are_used);
    fixture_stop();
    return check_report();
}
