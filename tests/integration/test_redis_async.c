/* SPDX-License-Identifier: MIT */
#include "tests/unit/check.h"

#include "common/redis_async.h"
#include "tests/support/queue_fixture.h"

#include <sys/epoll.h>
#include <unistd.h>

static struct redis_async *async;
static int epoll_fd = -1;
static int tag;

struct outcome {
    int calls;
    int rc;
    int64_t value;
    struct redis_async *send_to; /* the callback sends another command there */
};

static void on_done(int rc, const struct redis_reply *reply, void *data)
{
    struct outcome *outcome = data;
    outcome->calls++;
    outcome->rc = rc;
    outcome->value = redis_reply_int(reply);
    if (outcome->send_to) {
        struct redis_command command;
        redis_command_init(&command, 64);
        redis_command_text(&command, "INCR");
        redis_command_text(&command, "nested");
        redis_async_send(outcome->send_to, &command, NULL, NULL);
        redis_command_fini(&command);
    }
}

/* One turn of a loop like the dispatcher's. */
static void turn(void)
{
    struct epoll_event events[4];
    redis_async_tick(async, clock_ms());
    int count = epoll_wait(epoll_fd, events, 4, 5);
    for (int i = 0; i < count; i++)
        if (events[i].data.ptr == &tag)
            redis_async_handle(async, events[i].events);
}

#define TURN_UNTIL(condition)                                                                      \
    do {                                                                                           \
        int64_t deadline_ = clock_ms() + 10000;                                                    \
        while (!(condition)) {                                                                     \
            CHECK(clock_ms() < deadline_);                                                         \
            turn();                                                                                \
        }                                                                                          \
    } while (0)

static void start_async(const char *url)
{
    struct redis_target target;
    redis_async_destroy(&async);
    err = (struct err){0};
    CHECK_INT(redis_target_init(&target, url, NULL, &err), 0);
    CHECK_INT(redis_async_create(&target, epoll_fd, &tag, &async, &err), 0);
}

static int send_words(struct outcome *outcome, const char *first, const char *second)
{
    struct redis_command command;
    redis_command_init(&command, 1024);
    redis_command_text(&command, first);
    if (second)
        redis_command_text(&command, second);
    int rc = redis_async_send(async, &command, on_done, outcome);
    redis_command_fini(&command);
    return rc;
}

static void replies_come_back_in_order(void)
{
    struct outcome outcomes[100] = {{0}};
    begin(30000);
    start_async(redis_server_url(server));
    CHECK_INT(send_words(&outcomes[0], "INCR", "n"), ERR_UNAVAILABLE);
    TURN_UNTIL(redis_async_connected(async));
    CHECK_TEXT(redis_async_reason(async), "");
    for (int i = 0; i < 100; i++)
        CHECK_INT(send_words(&outcomes[i], "INCR", "n"), 0);
    CHECK_INT(redis_async_pending(async), 100);
    TURN_UNTIL(redis_async_pending(async) == 0);
    for (int i = 0; i < 100; i++) {
        CHECK_INT(outcomes[i].calls, 1);
        CHECK_INT(outcomes[i].value, i + 1);
    }
}

static void an_error_reply_is_a_code(void)
{
    struct outcome outcome = {0};
    begin(30000);
    RAW("LPUSH", "list", "x");
    start_async(redis_server_url(server));
    TURN_UNTIL(redis_async_connected(async));
    CHECK_INT(send_words(&outcome, "INCR", "list"), 0);
    TURN_UNTIL(outcome.calls);
    CHECK_INT(outcome.rc, ERR_CORRUPT);
}

static void a_callback_may_send(void)
{
    struct outcome outcome = {0};
    begin(30000);
    start_async(redis_server_url(server));
    TURN_UNTIL(redis_async_connected(async));
    outcome.send_to = async;
    CHECK_INT(send_words(&outcome, "PING", NULL), 0);
    TURN_UNTIL(raw_int("GET", "nested") == 1);
}

static void a_flushed_script_is_sent_again(void)
{
    char id[ID_PUBLIC_SIZE];
    struct outcome outcome = {0};
    struct redis_command command;
    begin(30000);
    start_async(redis_server_url(server));
    TURN_UNTIL(redis_async_connected(async));
    forget_scripts();
    struct queue_submit job = job_of("alice", id);
    redis_command_init(&command, QUEUE_COMMAND_MAX);
    queue_submit_command(&queue, &job, 1, &command);
    CHECK_INT(redis_async_send(async, &command, on_done, &outcome), 0);
    redis_command_fini(&command);
    TURN_UNTIL(outcome.calls);
    CHECK_INT(outcome.rc, 0);
    CHECK_INT(get_job(id).state, JOB_QUEUED);
}

static void a_killed_connection_answers_everybody_and_comes_back(void)
{
    struct outcome outcomes[10] = {{0}};
    begin(30000);
    start_async(redis_server_url(server));
    TURN_UNTIL(redis_async_connected(async));
    for (int i = 0; i < 10; i++)
        CHECK_INT(send_words(&outcomes[i], "BLPOP", NULL), 0);
    struct outcome blocked = {0};
    struct redis_command command;
    redis_command_init(&command, 1024);
    redis_command_text(&command, "BLPOP");
    redis_command_text(&command, "nothing");
    redis_command_text(&command, "0");
    CHECK_INT(redis_async_send(async, &command, on_done, &blocked), 0);
    redis_command_fini(&command);
    TURN_UNTIL(outcomes[9].calls == 1);
    CHECK_INT(outcomes[9].rc, ERR_INTERNAL); /* wrong number of arguments */
    RAW("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes");
    TURN_UNTIL(blocked.calls);
    CHECK_INT(blocked.rc, ERR_UNAVAILABLE);
    CHECK(!redis_async_connected(async));
    CHECK(redis_async_reason(async)[0]);
    TURN_UNTIL(redis_async_connected(async));
    struct outcome after = {0};
    CHECK_INT(send_words(&after, "INCR", "n"), 0);
    TURN_UNTIL(after.calls);
    CHECK_INT(after.rc, 0);
    CHECK_INT(blocked.calls, 1);
}

static void a_server_that_is_away_is_found_again(void)
{
    begin(30000);
    start_async(redis_server_url(server));
    TURN_UNTIL(redis_async_connected(async));
    redis_server_restart(server);
    TURN_UNTIL(!redis_async_connected(async));
    TURN_UNTIL(redis_async_connected(async));
}

static void a_server_that_does_not_answer_is_given_up(void)
{
    struct outcome outcome = {0};
    begin(30000);
    start_async(redis_server_url(server));
    redis_async_set_timeout(async, 50);
    TURN_UNTIL(redis_async_connected(async));
    redis_server_pause(server);
    CHECK_INT(send_words(&outcome, "INCR", "n"), 0);
    TURN_UNTIL(outcome.calls);
    redis_server_resume(server);
    CHECK_INT(outcome.rc, ERR_UNAVAILABLE);
    CHECK_HAS(redis_async_reason(async), "no answer");
    TURN_UNTIL(redis_async_connected(async));
}

static void nobody_listening_is_retried_and_named(void)
{
    start_async("unix:/nonexistent/redis.sock");
    for (int i = 0; i < 20; i++)
        turn();
    CHECK(!redis_async_connected(async));
    CHECK_HAS(redis_async_reason(async), "No such file");
    CHECK(redis_async_tick(async, clock_ms()) < clock_ms() + 10000);
}

static void destroying_answers_who_still_waits(void)
{
    struct outcome outcome = {0};
    begin(30000);
    start_async(redis_server_url(server));
    TURN_UNTIL(redis_async_connected(async));
    CHECK_INT(send_words(&outcome, "PING", NULL), 0);
    redis_async_destroy(&async);
    CHECK_INT(outcome.calls, 1);
    CHECK_INT(outcome.rc, ERR_UNAVAILABLE);
}

int main(void)
{
    fixture_start(NULL);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    RUN(replies_come_back_in_order);
    RUN(an_error_reply_is_a_code);
    RUN(a_callback_may_send);
    RUN(a_flushed_script_is_sent_again);
    RUN(a_killed_connection_answers_everybody_and_comes_back);
    RUN(a_server_that_is_away_is_found_again);
    RUN(a_server_that_does_not_answer_is_given_up);
    RUN(nobody_listening_is_retried_and_named);
    RUN(destroying_answers_who_still_waits);
    redis_async_destroy(&async);
    close(epoll_fd);
    fixture_stop();
    return check_report();
}
