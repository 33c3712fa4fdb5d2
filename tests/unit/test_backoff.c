/* SPDX-License-Identifier: MIT */
#include "common/backoff.h"

#include "tests/unit/check.h"

static void waits_double_up_to_the_cap_and_never_reach_zero(void)
{
    struct backoff backoff = {.base_ms = 50, .max_ms = 400};
    const int64_t spans[] = {50, 100, 200, 400, 400, 400};
    for (size_t i = 0; i < sizeof spans / sizeof spans[0]; i++) {
        int64_t ms = backoff_next_ms(&backoff);
        CHECK(ms >= spans[i] / 2);
        CHECK(ms <= spans[i]);
    }
    backoff_reset(&backoff);
    CHECK(backoff_next_ms(&backoff) <= 50);
}

static void many_failures_do_not_overflow(void)
{
    struct backoff backoff = {.base_ms = 1000, .max_ms = 30000, .attempt = 1000000};
    int64_t ms = backoff_next_ms(&backoff);
    CHECK(ms >= 15000 && ms <= 30000);
}

static void waits_are_spread(void)
{
    int64_t first = 0;
    bool differs = false;
    for (int i = 0; i < 50; i++) {
        struct backoff backoff = {.base_ms = 100000, .max_ms = 100000};
        int64_t ms = backoff_next_ms(&backoff);
        differs |= i > 0 && ms != first;
        first = ms;
    }
    CHECK(differs);
}

int main(void)
{
    RUN(waits_double_up_to_the_cap_and_never_reach_zero);
    RUN(many_failures_do_not_overflow);
    RUN(waits_are_spread);
    return check_report();
}
