/* SPDX-License-Identifier: MIT
 *
 * Tells what starts and stops machines that this one must not be taken now, and when it may again:
 * Kubernetes by our pod's deletion cost, an autoscaling group of AWS by our machine's protection,
 * anything else by a program of the operator's, run as `PROGRAM busy WORKER`, `PROGRAM idle
 * WORKER`.
 *
 *     struct guard guard = {.options = options, .worker = id};
 *     rc = guard_open(&guard, &err);
 *     next_ms = guard_tick(&guard, roster_count(roster) > 0, clock_ms());
 *     guard_close(&guard, true);
 *
 * Busy is told at once; idle when it has had nothing in hand for idle_ms, and so at the start.
 * Nothing is told twice, one telling is under way at a time, for ten seconds at most, and nobody
 * waits for it. What fails is told again, ever more rarely, or when there is something else to
 * tell; it never touches a job. Main thread; what asks a cloud has a thread for as long as that
 * takes. */
#ifndef DARKROOM_WORKER_GUARD_H
#define DARKROOM_WORKER_GUARD_H

#include "common/err.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct aws;
struct metrics;

enum guard_kind { GUARD_OFF, GUARD_COMMAND, GUARD_KUBERNETES, GUARD_AWS };
enum guard_word { GUARD_NOTHING, GUARD_IDLE, GUARD_BUSY };

/* Texts are borrowed until guard_close(). */
struct guard_options {
    enum guard_kind kind;
    const char *command; /* GUARD_COMMAND: an absolute path */
    int64_t idle_ms;
    const char *endpoint; /* of the API; NULL: the cluster's, or the region's */
    const char *account;  /* GUARD_KUBERNETES: folder with token, ca.crt and namespace */
    const char *pod;      /* NULL: the host's name */
    const char *group;    /* GUARD_AWS: NULL: the machine's tag says it */
    const char *lock;     /* a file that the workers of this machine share */
    const char *metadata; /* the metadata service */
};

struct guard {
    struct guard_options options;
    const char *worker;      /* borrowed: the worker's id */
    struct metrics *metrics; /* borrowed; NULL: none */

    /* Of the module; 0 at first. */
    enum guard_word told, telling;
    int64_t end_ms, again_ms, retry_ms, idle_since_ms;
    bool was_busy, failing;
    pid_t child; /* of GUARD_COMMAND */
    /* Of the others: a thread while one asks, which has the rest until `done`. */
    pthread_t thread;
    bool asking;
    atomic_bool done, stopping;
    int rc;
    struct err why;
    struct aws *aws; /* owned */
    char instance[64], group[256];
    int lock_fd; /* owned; of GUARD_AWS alone */
};

/* "off", "command", "kubernetes", "aws". ERR_INVALID. */
int guard_kind_parse(const char *text, enum guard_kind *out_kind, struct err *err);

/* Looks whether it could be told at all. ERR_INVALID, ERR_NOT_FOUND, ERR_IO name the option. */
int guard_open(struct guard *guard, struct err *err);

/* Returns when it wants to be called next (clock_ms()). */
int64_t guard_tick(struct guard *guard, bool busy, int64_t now_ms);

/* What is still being told is broken off. `idle`: nothing is in hand, and the machine stays; so a
 * protection that outlives us (AWS) is taken back, for two or three seconds at most. */
void guard_close(struct guard *guard, bool idle);

#endif
