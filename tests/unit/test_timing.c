/* SPDX-License-Identifier: MIT */
#include "dispatcher/jobs/timing.h"

#include "common/clock.h"
#include "common/err.h"
#include "tests/unit/check.h"

#define NOW "2026-03-01T12:00:00Z"

static int read(const char *priority, const char *run_at, const char *deadline, struct timing *out,
                struct err *err)
{
    int64_t now_ms = 0;
    CHECK_INT(clock_parse_iso(NOW, &now_ms), 0);
    return timing_read(priority, run_at, deadline, now_ms, out, err);
}

static void nothing_asked_for_is_normal_and_now(void)
{
    struct timing timing;
    struct queue_submit submit = {.max_attempts = 3};
    CHECK_INT(read(NULL, NULL, NULL, &timing, NULL), 0);
    CHECK_INT(timing_permit(&timing, JOB_PRIORITY_LOW, NULL), 0);
    timing_apply(&timing, JOB_PRIORITY_HIGH, &submit);
    CHECK_INT(submit.priority, JOB_PRIORITY_NORMAL);
    CHECK_INT(submit.run_at_ms, 0);
    CHECK_INT(submit.deadline_ms, 0);
    timing_apply(&timing, JOB_PRIORITY_LOW, &submit);
    CHECK_INT(submit.priority, JOB_PRIORITY_LOW);
    CHECK_INT(submit.max_attempts, 3);
}

static void a_priority_is_no_higher_than_the_ceiling(void)
{
    static const char *const names[] = {"high", "normal", "low"};
    for (enum job_priority ceiling = JOB_PRIORITY_HIGH; ceiling < JOB_PRIORITY_COUNT; ceiling++)
        for (enum job_priority asked = JOB_PRIORITY_HIGH; asked < JOB_PRIORITY_COUNT; asked++) {
            struct timing timing;
            struct queue_submit submit = {0};
            CHECK_INT(read(names[asked], NULL, NULL, &timing, NULL), 0);
            CHECK_INT(timing_permit(&timing, ceiling, NULL), asked < ceiling ? ERR_INVALID : 0);
            timing_apply(&timing, ceiling, &submit);
            CHECK(submit.priority >= ceiling);
        }
}

static void what_is_no_time_or_priority_is_refused_by_name(void)
{
    static const struct {
        const char *priority, *run_at, *deadline, *field;
        int code;
    } rows[] = {
        {"urgent", NULL, NULL, "priority", ERR_INVALID},
        {"", NULL, NULL, "priority", ERR_INVALID},
        {"High", NULL, NULL, "priority", ERR_INVALID},
        {NULL, "tomorrow", NULL, "run_at", ERR_INVALID},
        {NULL, "", NULL, "run_at", ERR_INVALID},
        {NULL, "2026-03-01T12:00:00+01:00", NULL, "run_at", ERR_INVALID},
        {NULL, "2027-03-03T12:00:00Z", NULL, "run_at", ERR_LIMIT},
        {NULL, NULL, "2026-03-01T11:59:59Z", "deadline", ERR_INVALID},
        {NULL, NULL, NOW, "deadline", ERR_INVALID},
        {NULL, "2026-03-01T13:00:00Z", "2026-03-01T13:00:00Z", "deadline", ERR_INVALID},
        {NULL, NULL, "2027-03-03T12:00:00Z", "deadline", ERR_LIMIT},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct timing timing = {.run_at_ms = 7};
        struct err err = {0};
        CHECK_INT(read(rows[i].priority, rows[i].run_at, rows[i].deadline, &timing, &err),
                  rows[i].code);
        CHECK_TEXT(err.field, rows[i].field);
        CHECK_INT(timing.run_at_ms, 7);
    }
}

static void times_reach_the_job(void)
{
    struct timing timing;
    struct queue_submit submit = {0};
    int64_t ms = 0;
    CHECK_INT(read(NULL, "2026-03-01T11:00:00Z", NULL, &timing, NULL), 0); /* passed: now */
    CHECK_INT(read(NULL, "2026-03-02T12:00:00.250Z", "2026-03-03T12:00:00Z", &timing, NULL), 0);
    timing_apply(&timing, JOB_PRIORITY_NORMAL, &submit);
    CHECK_INT(clock_parse_iso("2026-03-02T12:00:00.250Z", &ms), 0);
    CHECK_INT(submit.run_at_ms, ms);
    CHECK_INT(clock_parse_iso("2026-03-03T12:00:00Z", &ms), 0);
    CHECK_INT(submit.deadline_ms, ms);
}

int main(void)
{
    RUN(nothing_asked_for_is_normal_and_now);
    RUN(a_priority_is_no_higher_than_the_ceiling);
    RUN(what_is_no_time_or_priority_is_refused_by_name);
    RUN(times_reach_the_job);
    return check_report();
}
