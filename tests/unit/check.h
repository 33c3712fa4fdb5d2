/* SPDX-License-Identifier: MIT
 *
 * The smallest test harness that names behaviour:
 *
 *     static void buf_refuses_to_grow_past_its_maximum(void) { ... CHECK_INT(rc, ERR_LIMIT); }
 *     int main(void) { RUN(buf_refuses_to_grow_past_its_maximum); return check_report(); }
 *
 * Output is TAP, which meson counts. A failed CHECK ends that test, not the program. Exit status
 * 77 (check_skip) is reported as skipped. One thread. */
#ifndef DARKROOM_TESTS_CHECK_H
#define DARKROOM_TESTS_CHECK_H

#include <inttypes.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static jmp_buf check_escape;
static int check_count, check_failed;

static inline void check_fail(const char *file, int line, const char *what)
{
    printf("# %s:%d: %s\n", file, line, what);
    longjmp(check_escape, 1);
}

static inline void check_run(const char *name, void (*test)(void))
{
    int failed_before = check_failed;
    check_count++;
    if (setjmp(check_escape) == 0)
        test();
    else
        check_failed++;
    printf("%s %d - %s\n", check_failed == failed_before ? "ok" : "not ok", check_count, name);
    fflush(stdout);
}

static inline int check_report(void)
{
    printf("1..%d\n", check_count);
    return check_failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* The whole program cannot run here: says why, and ends. */
static inline void check_skip(const char *reason)
{
    printf("1..0 # SKIP %s\n", reason);
    exit(0);
}

static inline void check_int(const char *file, int line, const char *text, int64_t got,
                             int64_t want)
{
    char what[512];
    snprintf(what, sizeof what, "%s is %" PRId64 ", not %" PRId64, text, got, want);
    if (got != want)
        check_fail(file, line, what);
}

static inline void check_text(const char *file, int line, const char *text, const char *got,
                              const char *want)
{
    char what[1024];
    snprintf(what, sizeof what, "%.100s is \"%.400s\", not \"%.400s\"", text, got ? got : "(null)",
             want);
    if (!got || strcmp(got, want))
        check_fail(file, line, what);
}

#define RUN(test) check_run(#test, test)
#define CHECK(condition)                                                                           \
    ((condition) ? (void)0 : check_fail(__FILE__, __LINE__, "not true: " #condition))
#define CHECK_INT(got, want) check_int(__FILE__, __LINE__, #got, (int64_t)(got), (int64_t)(want))
#define CHECK_TEXT(got, want) check_text(__FILE__, __LINE__, #got, (got), (want))
#define CHECK_HAS(text, part) CHECK(strstr((text), (part)) != NULL)

#endif
