/* SPDX-License-Identifier: MIT */
#include "dispatcher/operate/scale.h"

#include "tests/unit/check.h"

static const struct scale_policy policy = {
    .target_wait_ms = 60000, .start_ms = 0, .least = 0, .most = 1000};

static struct scale_signal judge(struct scale_load load, struct scale_policy with)
{
    struct scale_signal signal;
    if (load.rate <= 0)
        load.rate = 1;
    scale_judge(&load, &with, &signal);
    return signal;
}

static int64_t wanted(struct scale_load load)
{
    return judge(load, policy).wanted;
}

static bool close_to(double a, double b)
{
    return a > b - 1e-9 && a < b + 1e-9;
}

/* ---- the rate -------------------------------------------------------------------------------- */

static void a_rate_is_what_was_measured_while_jobs_waited(void)
{
    struct scale_evidence evidence = {.finished = 10,
                                      .worker_ms = 4000,
                                      .service_ms = 9000,
                                      .cost_ms = 100,
                                      .workers = 1,
                                      .slots = 2};
    CHECK(close_to(scale_rate(&evidence), 2.5));
    evidence.finished = 9; /* too few: between 1 / 9 s and twice that */
    CHECK(close_to(scale_rate(&evidence), 2.0 / 9));
}

static void a_rate_falls_back_to_the_manifest_within_what_can_be(void)
{
    struct scale_evidence evidence = {.cost_ms = 400, .workers = 2, .slots = 8};
    CHECK(close_to(scale_rate(&evidence), 2.5));
    /* Each of four held jobs takes 800 ms: between 1.25 and 5 a second. */
    evidence.service_ms = 800;
    CHECK(close_to(scale_rate(&evidence), 2.5));
    evidence.cost_ms = 10;
    CHECK(close_to(scale_rate(&evidence), 5));
    evidence.cost_ms = 10000;
    CHECK(close_to(scale_rate(&evidence), 1.25));
    evidence.workers = evidence.slots = 0;
    CHECK(close_to(scale_rate(&evidence), 1.25));
}

/* ---- how many -------------------------------------------------------------------------------- */

static void with_nothing_to_do_it_is_the_least(void)
{
    CHECK_INT(wanted((struct scale_load){.workers = 7}), 0);
    CHECK_INT(judge((struct scale_load){.workers = 7},
                    (struct scale_policy){.target_wait_ms = 1000, .least = 2, .most = 9})
                  .wanted,
              2);
}

static void one_job_wants_a_worker_where_there_is_none(void)
{
    CHECK_INT(wanted((struct scale_load){.queued = 1, .rate = 100}), 1);
    CHECK_INT(wanted((struct scale_load){.queued = 1, .rate = 1e9}), 1);
    CHECK_INT(judge((struct scale_load){.queued = 1}, policy).drain_ms, -1);
}

static void arrivals_want_as_many_as_serve_them(void)
{
    CHECK_INT(wanted((struct scale_load){.arrivals = 30, .rate = 2}), 15);
    CHECK_INT(wanted((struct scale_load){.arrivals = 30.1, .rate = 2, .workers = 15}), 16);
}

static void what_waits_is_gone_within_the_target(void)
{
    CHECK_INT(wanted((struct scale_load){.queued = 600}), 10);
    CHECK_INT(wanted((struct scale_load){.queued = 600, .arrivals = 5}), 15);
    struct scale_policy slow = policy;
    slow.start_ms = 20000; /* 40 s are left */
    CHECK_INT(judge((struct scale_load){.queued = 600}, slow).wanted, 15);
    slow.start_ms = 600000; /* a longer start than the target: still half of it */
    CHECK_INT(judge((struct scale_load){.queued = 600}, slow).wanted, 20);
}

static void what_those_alive_do_until_others_have_started_wants_no_others(void)
{
    struct scale_policy slow = policy;
    slow.start_ms = 30000;
    /* 10 of them do 300 in 30 s. */
    CHECK_INT(judge((struct scale_load){.queued = 300, .workers = 10, .busy = 10}, slow).wanted,
              10);
    CHECK_INT(judge((struct scale_load){.queued = 900, .workers = 10, .busy = 10}, slow).wanted,
              20);
}

static void an_old_job_is_in_a_hurry(void)
{
    CHECK_INT(wanted((struct scale_load){.queued = 600, .oldest_ms = 60000}), 10);
    CHECK_INT(wanted((struct scale_load){.queued = 600, .oldest_ms = 60001}), 20);
}

static void a_busy_worker_is_always_wanted(void)
{
    CHECK_INT(wanted((struct scale_load){.workers = 8, .busy = 5}), 5);
    CHECK_INT(judge((struct scale_load){.workers = 8, .busy = 5},
                    (struct scale_policy){.target_wait_ms = 1000, .most = 3})
                  .wanted,
              5);
    CHECK_INT(wanted((struct scale_load){.workers = 8, .busy = 5, .paused = true}), 5);
}

static void unknown_arrivals_are_what_the_busy_ones_do(void)
{
    CHECK_INT(wanted((struct scale_load){.workers = 6, .busy = 5, .arrivals = -1, .queued = 60}),
              6);
}

static void the_most_holds(void)
{
    CHECK_INT(wanted((struct scale_load){.queued = INT64_MAX / 4}), 1000);
    CHECK_INT(judge((struct scale_load){.queued = 5},
                    (struct scale_policy){.target_wait_ms = 1000, .most = 0})
                  .wanted,
              0);
}

static void a_paused_model_gets_nobody_new(void)
{
    CHECK_INT(wanted((struct scale_load){.queued = 1000, .paused = true}), 0);
    CHECK_INT(judge((struct scale_load){.queued = 1000, .workers = 1, .paused = true},
                    (struct scale_policy){.target_wait_ms = 1000, .least = 3, .most = 9})
                  .wanted,
              1);
}

static void what_trembles_about_a_whole_number_changes_nothing(void)
{
    int64_t workers = 20;
    for (int i = 0; i < 100; i++)
        workers = wanted((struct scale_load){.arrivals = i % 2 ? 19.4 : 20, .workers = workers});
    CHECK_INT(workers, 20);
    CHECK_INT(wanted((struct scale_load){.arrivals = 20.1, .workers = workers}), 21);
    /* But what is plainly too many goes. */
    CHECK_INT(wanted((struct scale_load){.arrivals = 17, .workers = workers}), 18);
}

static void more_to_do_never_wants_fewer(void)
{
    for (int64_t workers = 0; workers < 40; workers += 3)
        for (int64_t oldest_ms = 0; oldest_ms < 120000; oldest_ms += 30000) {
            int64_t before = 0;
            for (int64_t queued = 0; queued < 5000; queued += 7) {
                int64_t now = wanted((struct scale_load){
                    .queued = queued, .oldest_ms = oldest_ms, .workers = workers, .arrivals = 3});
                CHECK(now >= before);
                before = now;
            }
        }
}

static void it_says_how_long_what_waits_will_take(void)
{
    const struct scale_load load = {
        .queued = 60, .running = 8, .oldest_ms = 4000, .workers = 4, .busy = 4, .rate = 2};
    struct scale_signal signal = judge(load, policy);
    CHECK_INT(signal.drain_ms, 7500);
    CHECK_INT(signal.queued, 60);
    CHECK_INT(signal.running, 8);
    CHECK_INT(signal.oldest_ms, 4000);
    CHECK_INT(judge((struct scale_load){0}, policy).drain_ms, 0);
}

int main(void)
{
    RUN(a_rate_is_what_was_measured_while_jobs_waited);
    RUN(a_rate_falls_back_to_the_manifest_within_what_can_be);
    RUN(with_nothing_to_do_it_is_the_least);
    RUN(one_job_wants_a_worker_where_there_is_none);
    RUN(arrivals_want_as_many_as_serve_them);
    RUN(what_waits_is_gone_within_the_target);
    RUN(what_those_alive_do_until_others_have_started_wants_no_others);
    RUN(an_old_job_is_in_a_hurry);
    RUN(a_busy_worker_is_always_wanted);
    RUN(unknown_arrivals_are_what_the_busy_ones_do);
    RUN(the_most_holds);
    RUN(a_paused_model_gets_nobody_new);
    RUN(what_trembles_about_a_whole_number_changes_nothing);
    RUN(more_to_do_never_wants_fewer);
    RUN(it_says_how_long_what_waits_will_take);
    return check_report();
}
