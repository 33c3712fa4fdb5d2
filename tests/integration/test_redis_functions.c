/* SPDX-License-Identifier: MIT
 *
 * How a server is told which script to run: by the name of a function where it has functions and
 * lets us load them, otherwise by the script's hash. */
#include "tests/unit/check.h"

#include "common/queue_scripts.h"
#include "common/redis_async.h"
#include "tests/support/queue_fixture.h"

#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define WORKER "w-00000000000000000000000000000001"

/* A job through submit, claim and completion. */
static void run_a_job(void)
{
    char id[ID_PUBLIC_SIZE];
    submit_to("alice", id);
    struct queue_claimed job = claim_one(WORKER);
    CHECK_INT(complete_job(&job), QUEUE_OK);
}

/* A figure of a command since the statistics were reset. */
static long figure_of(const char *command, const char *name)
{
    char line[64];
    struct redis_reply *reply = raw("INFO", "commandstats", NULL);
    snprintf(line, sizeof line, "cmdstat_%s:", command);
    const char *found = strstr(redis_reply_text(reply), line);
    found = found ? strstr(found, name) : NULL;
    long figure = found ? strtol(found + strlen(name), NULL, 10) : 0;
    redis_reply_free(&reply);
    return figure;
}

static long calls_of(const char *command)
{
    return figure_of(command, ":calls=");
}

static long refusals_of(const char *command)
{
    return figure_of(command, ",rejected_calls=");
}

/* Until functions are asked for again. */
static void wait_for_functions(void)
{
    nanosleep(&(struct timespec){.tv_sec = 2, .tv_nsec = 100000000}, NULL);
}

static void connect_as(const char *url)
{
    struct redis_target target;
    redis_destroy(&redis);
    CHECK_INT(redis_target_init(&target, url, NULL, &err), 0);
    CHECK_INT(redis_create(&target, &redis, &err), 0);
}

static void skip_without_functions(void)
{
    struct redis_reply *reply = raw("FUNCTION", "FLUSH", NULL);
    if (!reply) {
        printf("1..0 # SKIP this redis-server has no functions\n");
        exit(0);
    }
    redis_reply_free(&reply);
}

static void the_library_is_loaded_once(void)
{
    begin(30000);
    forget_scripts();
    RAW("CONFIG", "RESETSTAT");
    run_a_job();
    run_a_job();
    CHECK_INT(calls_of("function|load"), 1);
    CHECK(calls_of("eval") <= 1);
    CHECK(calls_of("fcall") >= 5);
}

static void all_connections_use_what_one_has_loaded(void)
{
    begin(30000);
    connect_as(redis_server_url(server));
    RAW("CONFIG", "RESETSTAT");
    run_a_job();
    CHECK_INT(calls_of("function|load"), 0);
    CHECK_INT(calls_of("evalsha"), 0);
    CHECK_INT(calls_of("fcall"), 3);
}

static void a_library_that_somebody_else_loaded_meanwhile_is_used(void)
{
    struct redis *other = redis;
    begin(30000);
    redis = NULL;
    connect_as(redis_server_url(server));
    run_a_job();
    forget_scripts();
    run_a_job(); /* by this connection */
    struct redis *mine = redis;
    redis = other; /* which finds it there */
    RAW("CONFIG", "RESETSTAT");
    run_a_job();
    CHECK_INT(calls_of("evalsha"), 0);
    redis_destroy(&mine);
}

static void a_server_without_functions_gets_hashes(void)
{
    struct redis_server *functions = server, *plain;
    plain = redis_server_start((const char *const[]){"--rename-command", "FCALL", "", NULL});
    server = plain;
    connect_as(redis_server_url(server));
    begin(30000);
    RAW("CONFIG", "RESETSTAT");
    for (int i = 0; i < 10; i++)
        run_a_job();
    CHECK(calls_of("evalsha") >= 30);
    CHECK(calls_of("eval") <= 3);
    CHECK_INT(calls_of("fcall"), 0);
    server = functions;
    redis_server_stop(&plain);
    connect_as(redis_server_url(server));
}

/* So may workers: see deploy/redis/users.acl. */
static void who_may_not_load_uses_hashes_until_somebody_has(void)
{
    char url[256], password[] = "/tmp/darkroom-password-XXXXXX";
    struct redis_target target;
    begin(30000);
    forget_scripts();
    RAW("ACL", "SETUSER", "plain", "reset", "on", ">plain", "~*", "+@all", "-function|load");
    int fd = mkstemp(password);
    CHECK(fd >= 0 && write(fd, "plain\n", 6) == 6);
    snprintf(url, sizeof url, "redis://plain@127.0.0.1");
    CHECK_INT(redis_target_init(&target, url, password, &err), 0);
    snprintf(target.path, sizeof target.path, "%s", redis_server_url(server) + strlen("unix:"));
    struct redis *admin = redis;
    redis = NULL;
    CHECK_INT(redis_create(&target, &redis, &err), 0);
    RAW("CONFIG", "RESETSTAT");
    for (int i = 0; i < 5; i++)
        run_a_job();
    CHECK(calls_of("evalsha") >= 15);
    wait_for_functions();
    run_a_job();
    CHECK_INT(refusals_of("function|load"), 1);
    struct redis *plain = redis;
    redis = admin;
    run_a_job();
    redis = plain;
    wait_for_functions();
    RAW("CONFIG", "RESETSTAT");
    run_a_job();
    CHECK_INT(calls_of("evalsha"), 0);
    redis_destroy(&admin);
    close(fd);
    unlink(password);
    connect_as(redis_server_url(server));
}

/* What a script without its arguments says for itself. */
static void check_lua_error(void)
{
    struct redis_command command;
    redis_command_init(&command, 1024);
    redis_command_script(&command, &queue_script_claim, "{q:00}");
    err = (struct err){0};
    CHECK_INT(redis_call(redis, &command, CALL_MS, NULL, &err), ERR_INTERNAL);
    CHECK_HAS(err.text, "attempt to ");
    CHECK(!strstr(err.text, "user_"));
    redis_command_fini(&command);
}

static void errors_of_lua_read_alike_in_both_forms(void)
{
    begin(30000);
    check_lua_error();
    RAW("ACL", "SETUSER", "default", "-fcall");
    connect_as(redis_server_url(server));
    check_lua_error();
    RAW("ACL", "SETUSER", "default", "+fcall");
    connect_as(redis_server_url(server));
}

/* ---- the asynchronous connection ---------------------------------------------------------------
 */

struct outcome {
    int calls, rc;
};

static void on_done(int rc, const struct redis_reply *reply, void *data)
{
    struct outcome *outcome = data;
    (void)reply;
    outcome->calls++;
    outcome->rc = rc;
}

static void the_loop_s_connection_finds_out_by_itself(void)
{
    struct redis_target target;
    struct redis_async *async = NULL;
    struct redis_command command;
    struct outcome outcome = {0};
    int epoll_fd = epoll_create1(EPOLL_CLOEXEC), tag = 0, wanted = 0;
    begin(30000);
    forget_scripts();
    RAW("CONFIG", "RESETSTAT");
    CHECK_INT(redis_target_init(&target, redis_server_url(server), NULL, &err), 0);
    CHECK_INT(redis_async_create(&target, epoll_fd, &tag, &async, &err), 0);
    redis_command_init(&command, QUEUE_COMMAND_MAX);
    for (int64_t end_ms = clock_ms() + 10000; wanted < 20 || outcome.calls < wanted;) {
        struct epoll_event event;
        if (redis_async_connected(async) && wanted < 20 && outcome.calls == wanted) {
            char id[ID_PUBLIC_SIZE];
            struct queue_submit job = job_of("alice", id);
            redis_command_clear(&command);
            queue_submit_command(&queue, &job, 1, &command);
            CHECK_INT(redis_async_send(async, &command, on_done, &outcome), 0);
            wanted++;
        }
        redis_async_tick(async, clock_ms());
        if (epoll_wait(epoll_fd, &event, 1, 20) == 1)
            redis_async_handle(async, event.events);
        CHECK(clock_ms() < end_ms);
        CHECK_INT(outcome.rc, 0);
    }
    CHECK_INT(raw_int("LLEN", "{q:00}r:m:1:alice"), 20);
    CHECK_INT(calls_of("function|load"), 1);
    CHECK(calls_of("fcall") >= 18);
    redis_command_fini(&command);
    redis_async_destroy(&async);
    close(epoll_fd);
}

int main(void)
{
    fixture_start(NULL);
    skip_without_functions();
    RUN(the_library_is_loaded_once);
    RUN(all_connections_use_what_one_has_loaded);
    RUN(a_library_that_somebody_else_loaded_meanwhile_is_used);
    RUN(a_server_without_functions_gets_hashes);
    RUN(who_may_not_load_uses_hashes_until_somebody_has);
    RUN(errors_of_lua_read_alike_in_both_forms);
    RUN(the_loop_s_connection_finds_out_by_itself);
    fixture_stop();
    return check_report();
}
