/* SPDX-License-Identifier: MIT
 *
 * Tells what starts and stops machines that this one must not be taken now, and when it may again:
 * by a program of the operator's, run as `PROGRAM busy WORKER` and `PROGRAM idle WORKER`.
 *
 *     struct guard guard = {.program = "/usr/local/bin/protect", .worker = id, .idle_ms = 10000};
 *     next_ms = guard_tick(&guard, roster_count(roster) > 0, clock_ms());
 *     guard_stop(&guard);
 *
 * Busy is told at once; idle when it has had nothing in hand for idle_ms, and so at the start. One
 * program runs at a time, for ten seconds at most; where it fails it is run again, so it has to be
 * harmless when repeated. Nothing here waits for it. Main thread. */
#ifndef DARKROOM_WORKER_GUARD_H
#define DARKROOM_WORKER_GUARD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct err;

enum guard_word { GUARD_NOTHING, GUARD_IDLE, GUARD_BUSY };

struct guard {
    const char *program; /* borrowed; NULL: nobody wants to hear it */
    const char *worker;  /* borrowed: the worker's id */
    int64_t idle_ms;

    /* Of the module; 0 at first. */
    enum guard_word told, telling;
    pid_t child;
    int64_t kill_at_ms, again_ms, idle_since_ms;
    bool was_busy;
};

/* ERR_INVALID: no absolute path of a program that may be run. NULL is fine. */
int guard_check(const char *program, struct err *err);

/* Returns when it wants to be called next (clock_ms()). */
int64_t guard_tick(struct guard *guard, bool busy, int64_t now_ms);

/* What still runs is killed. */
void guard_stop(struct guard *guard);

#endif
