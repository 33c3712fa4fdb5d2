/* SPDX-License-Identifier: MIT */
#include "common/clock.h"

#include "common/err.h"
#include "tests/unit/check.h"

static void a_time_is_read_as_it_was_written(void)
{
    char text[CLOCK_ISO_SIZE];
    const int64_t times[] = {0,
                             1,
                             951782399999,
                             1767607872345,
                             1767607872999,
                             1767607873000,
                             1767607872001,
                             4102444800000};
    for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
        int64_t read = -1;
        clock_iso(times[i], text);
        CHECK_INT(clock_parse_iso(text, &read), 0);
        CHECK_INT(read, times[i]);
    }
}

static void a_fraction_may_be_short_or_missing(void)
{
    int64_t read;
    CHECK_INT(clock_parse_iso("2026-01-05T10:11:12Z", &read), 0);
    CHECK_INT(read, 1767607872000);
    CHECK_INT(clock_parse_iso("2026-01-05T10:11:12.3Z", &read), 0);
    CHECK_INT(read, 1767607872300);
}

static void everything_else_is_no_time(void)
{
    static const char *const bad[] = {"",
                                      "2026-01-05",
                                      "2026-01-05T10:11:12",
                                      "2026-01-05 10:11:12Z",
                                      "2026-01-05T10:11:12.Z",
                                      "2026-01-05T10:11:12.3456Z",
                                      "2026-01-05T10:11:12+01:00",
                                      "2026-13-05T10:11:12Z",
                                      "2026-00-05T10:11:12Z",
                                      "2026-01-00T10:11:12Z",
                                      "2026-01-32T10:11:12Z",
                                      "2026-01-05T24:11:12Z",
                                      "2026-01-05T10:60:12Z",
                                      "2026-01-05T10:11:61Z",
                                      "1969-01-05T10:11:12Z",
                                      "2026-01-05T10:11:12Zx",
                                      "-026-01-05T10:11:12Z",
                                      "2026-01-05T10:11:1xZ",
                                      "now"};
    int64_t read;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK_INT(clock_parse_iso(bad[i], &read), ERR_INVALID);
}

int main(void)
{
    RUN(a_time_is_read_as_it_was_written);
    RUN(a_fraction_may_be_short_or_missing);
    RUN(everything_else_is_no_time);
    return check_report();
}
