/* SPDX-License-Identifier: MIT */
#include "dispatcher/upkeep/purge.h"
#include "dispatcher/upkeep/purge_hook.h"

#include "common/clock.h"
#include "common/err.h"
#include "tests/unit/check.h"

#include <string.h>

#define ID "0012345678901234567890123456789012"
#define DAY_MS (24LL * 3600 * 1000)

static void tries_grow_rarer_and_end_after_a_week(void)
{
    int64_t last_ms = 0, age_ms = 0, tries = 0;
    while (purge_retry_ms(age_ms) > 0) {
        int64_t wait_ms = purge_retry_ms(age_ms);
        CHECK(wait_ms >= 15000 && wait_ms <= 3600000 && wait_ms >= last_ms);
        last_ms = wait_ms;
        age_ms += wait_ms;
        tries++;
    }
    CHECK(age_ms >= 7 * DAY_MS && age_ms < 8 * DAY_MS);
    CHECK(tries < 250);
    CHECK_INT(purge_retry_ms(INT64_MAX), 0);
}

static void check_paths(const char *key, bool local, const char *const *expected)
{
    char path[PURGE_PATH_SIZE];
    unsigned i = 0;
    for (; expected[i]; i++) {
        CHECK(purge_path(key, local, i, path));
        CHECK_TEXT(path, expected[i]);
    }
    CHECK(!purge_path(key, local, i, path));
}

static void a_result_stands_for_its_pages_too(void)
{
    static const char *const result[] = {"/o/results/" ID "/1/result.png", "/j/" ID, "/v1/jobs/" ID,
                                         NULL};
    static const char *const crop[] = {"/results/" ID "/1/crop.png", NULL};
    static const char *const input[] = {"/o/inputs/" ID, NULL};
    check_paths("results/" ID "/1/result.png", true, result);
    check_paths("results/" ID "/1/crop.png", false, crop);
    check_paths("inputs/" ID, true, input);
}

static void what_is_no_key_has_no_path(void)
{
    static const char *const nothing[] = {NULL};
    check_paths("", true, nothing);
    check_paths("../etc/passwd", true, nothing);
    check_paths("inputs/a b", true, nothing);
    check_paths("inputs/$(id)", false, nothing);
    check_paths("inputs/a?b", false, nothing);
}

static int call(const char *command, const char *path, int64_t timeout_ms)
{
    struct purge_hook *hook = NULL;
    struct err err = {0};
    CHECK_INT(purge_hook_open(&(struct purge_hook_options){.command = command}, &hook, &err), 0);
    int rc = purge_hook_call(hook, path, timeout_ms, &err);
    purge_hook_close(&hook);
    return rc;
}

static void a_programs_exit_decides(void)
{
    CHECK_INT(call("/bin/true", "/j/1", 10000), 0);
    CHECK_INT(call("/bin/false", "/j/1", 10000), ERR_UNAVAILABLE);
}

static void a_program_that_does_not_end_is_killed(void)
{
    int64_t start_ms = clock_ms();
    CHECK_INT(call("/usr/bin/yes", "/j/1", 50), ERR_TIMEOUT);
    CHECK(clock_ms() - start_ms < 60000);
}

static void only_paths_of_ours_reach_it(void)
{
    static const char *const others[] = {"",       "j/1",    "/j/1;id", "/j/$(id)", "/j/1 2",
                                         "/j/1\n", "/j/%2e", "/j/?a=b", "/j/\"",    "/j/\xc3\xa9"};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        CHECK_INT(call("/bin/true", others[i], 1000), ERR_INVALID);
}

int main(void)
{
    RUN(tries_grow_rarer_and_end_after_a_week);
    RUN(a_result_stands_for_its_pages_too);
    RUN(what_is_no_key_has_no_path);
    RUN(a_programs_exit_decides);
    RUN(a_program_that_does_not_end_is_killed);
    RUN(only_paths_of_ours_reach_it);
    return check_report();
}
