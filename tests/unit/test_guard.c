/* SPDX-License-Identifier: MIT */
#include "worker/guard.h"

#include "common/err.h"
#include "tests/unit/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static char folder[] = "/tmp/darkroom-guard-XXXXXX", program[64], heard_path[64];
static struct guard guard;

/* A program that notes what it was told and then does what `end` says. */
static void begin(const char *end)
{
    snprintf(program, sizeof program, "%s/program", folder);
    snprintf(heard_path, sizeof heard_path, "%s/heard", folder);
    FILE *file = fopen(program, "we");
    CHECK(file != NULL);
    fprintf(file, "#!/bin/sh\necho \"$@\" >> %s\n%s\n", heard_path, end);
    fclose(file);
    CHECK_INT(chmod(program, 0700), 0);
    unlink(heard_path);
    guard = (struct guard){.options = {.kind = GUARD_COMMAND, .command = program, .idle_ms = 1000},
                           .worker = "w-1; rm *"};
}

static const char *heard(void)
{
    static char text[512];
    size_t size = 0;
    FILE *file = fopen(heard_path, "re");
    if (file) {
        size = fread(text, 1, sizeof text - 1, file);
        fclose(file);
    }
    text[size] = 0;
    return text;
}

/* Ticks at a standing clock until the program has ended. */
static int64_t settle(bool busy, int64_t now_ms)
{
    int64_t next_ms = guard_tick(&guard, busy, now_ms);
    for (int i = 0; guard.child && i < 5000; i++) {
        nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
        next_ms = guard_tick(&guard, busy, now_ms);
    }
    return next_ms;
}

static void busy_is_told_at_once_and_idle_after_a_while(void)
{
    begin("");
    CHECK_INT(settle(true, 100), INT64_MAX);
    CHECK_TEXT(heard(), "busy w-1; rm *\n");
    CHECK_INT(settle(false, 200), 1200);
    CHECK_INT(settle(false, 1199), 1200);
    CHECK_TEXT(heard(), "busy w-1; rm *\n");
    CHECK_INT(settle(false, 1200), INT64_MAX);
    CHECK_TEXT(heard(), "busy w-1; rm *\nidle w-1; rm *\n");
}

static void between_two_jobs_it_stays_busy(void)
{
    begin("");
    for (int64_t now_ms = 100; now_ms < 10000; now_ms += 300)
        settle(now_ms % 600 < 300, now_ms);
    CHECK_TEXT(heard(), "busy w-1; rm *\n");
}

static void a_worker_that_starts_is_idle_after_a_while(void)
{
    begin("");
    CHECK_INT(settle(false, 5000), 6000);
    settle(false, 6000);
    CHECK_TEXT(heard(), "idle w-1; rm *\n");
}

static void what_failed_is_told_again(void)
{
    begin("test $(wc -l < $(dirname $0)/heard) -ge 2");
    CHECK_INT(settle(true, 100), 5100);
    CHECK_INT(settle(true, 5099), 5100);
    CHECK_TEXT(heard(), "busy w-1; rm *\n");
    CHECK_INT(settle(true, 5100), INT64_MAX);
    CHECK_TEXT(heard(), "busy w-1; rm *\nbusy w-1; rm *\n");
}

static void what_fails_again_and_again_is_told_ever_more_rarely(void)
{
    begin("exit 3");
    int64_t now_ms = 100;
    for (int64_t wait_ms = 5000; wait_ms <= 40000; wait_ms *= 2) {
        CHECK_INT(settle(true, now_ms), now_ms + wait_ms);
        now_ms += wait_ms;
    }
    CHECK_INT(settle(true, now_ms), now_ms + 60000);
    CHECK_INT(settle(true, now_ms + 60000), now_ms + 120000);
    CHECK_INT(guard.told, GUARD_NOTHING);
}

static void another_word_does_not_wait_for_one_that_failed(void)
{
    begin("test $1 = busy");
    CHECK_INT(settle(true, 100), INT64_MAX);
    settle(false, 200);
    CHECK_INT(settle(false, 1200), 6200);
    CHECK_INT(settle(true, 1300), INT64_MAX);
    CHECK_TEXT(heard(), "busy w-1; rm *\nidle w-1; rm *\nbusy w-1; rm *\n");
}

static void a_program_that_does_not_end_is_killed(void)
{
    begin("sleep 1000");
    guard_tick(&guard, true, 100);
    CHECK(guard.child > 0);
    CHECK_INT(guard_tick(&guard, true, 10099), 10149);
    CHECK_INT(settle(true, 10100), 15100);
    CHECK_INT(guard.told, GUARD_NOTHING);
    guard_tick(&guard, true, 15100);
    CHECK(guard.child > 0);
    guard_close(&guard, true);
    CHECK_INT(guard.child, 0);
    guard_close(&guard, true);
}

static void without_a_program_nothing_happens(void)
{
    guard = (struct guard){.options = {.idle_ms = 1000}};
    CHECK_INT(guard_tick(&guard, true, 100), INT64_MAX);
}

static void a_program_is_an_absolute_path_that_may_be_run(void)
{
    struct err err = {0};
    begin("");
    CHECK_INT(guard_open(&guard, &err), 0);
    guard.options.command = "program";
    CHECK_INT(guard_open(&guard, &err), ERR_INVALID);
    guard.options.command = "/nowhere/program";
    CHECK_INT(guard_open(&guard, &err), ERR_INVALID);
    guard.options.command = program;
    chmod(program, 0600);
    CHECK(geteuid() == 0 || guard_open(&guard, &err) == ERR_INVALID);
    /* And one that has vanished since is tried again. */
    unlink(program);
    CHECK_INT(guard_tick(&guard, true, 100), 5100);
    CHECK_INT(guard.child, 0);
}

int main(void)
{
    if (!mkdtemp(folder))
        return 1;
    RUN(busy_is_told_at_once_and_idle_after_a_while);
    RUN(between_two_jobs_it_stays_busy);
    RUN(a_worker_that_starts_is_idle_after_a_while);
    RUN(what_failed_is_told_again);
    RUN(what_fails_again_and_again_is_told_ever_more_rarely);
    RUN(another_word_does_not_wait_for_one_that_failed);
    RUN(a_program_that_does_not_end_is_killed);
    RUN(without_a_program_nothing_happens);
    RUN(a_program_is_an_absolute_path_that_may_be_run);
    unlink(program);
    unlink(heard_path);
    rmdir(folder);
    return check_report();
}
