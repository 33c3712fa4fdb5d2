/* SPDX-License-Identifier: MIT */
#include "tests/bench/queue/rows.h"

#include "common/clock.h"
#include "common/queue_worker.h"
#include "tests/bench/queue/load.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define WAKES 1000

bool rows_stats;

/* ---- a row's time and cost --------------------------------------------------------------------
 */

struct mark rows_begin(void)
{
    if (rows_stats)
        load_command((const char *[]){"CONFIG", "RESETSTAT", NULL}, NULL);
    return (struct mark){load_cpu_seconds(), load_info("memory", "used_memory:"), clock_us()};
}

static void print_stats(long jobs)
{
    struct redis_reply *reply = NULL;
    load_command((const char *[]){"INFO", "commandstats", NULL}, &reply);
    char *text = strdup(redis_reply_text(reply)), *rest = text, *line;
    redis_reply_free(&reply);
    while ((line = strtok_r(rest, "\r\n", &rest))) {
        char name[64];
        double calls, usec;
        if (sscanf(line, "cmdstat_%63[^:]:calls=%lf,usec=%lf", name, &calls, &usec) == 3)
            printf("    %-18s %10.3f calls a job  %8.3f us a call  %7.3f us a job\n", name,
                   calls / (double)jobs, usec / calls, usec / (double)jobs);
    }
    free(text);
}

void rows_end(const struct mark *mark, const char *name, long jobs)
{
    double seconds = (double)(clock_us() - mark->start_us) / 1e6;
    printf("%-52s %9.0f jobs/s, Redis CPU %5.1f us a job\n", name, (double)jobs / seconds,
           (load_cpu_seconds() - mark->cpu_s) * 1e6 / (double)jobs);
    if (rows_stats)
        print_stats(jobs);
    fflush(stdout);
}

/* ---- submit to start ---------------------------------------------------------------------------
 */

static atomic_llong submitted_us;
static int64_t waits_us[WAKES];
static atomic_int waits;

static void *idle_worker(void *data)
{
    (void)data;
    struct redis *redis = load_connect();
    while (waits < WAKES) {
        struct queue_claim claim = load_wait(redis, "w-bench");
        if (claim.count)
            waits_us[atomic_fetch_add(&waits, 1)] = clock_us() - submitted_us;
        queue_claim_fini(&claim);
    }
    redis_destroy(&redis);
    return NULL;
}

static void pause_us(long us)
{
    nanosleep(&(struct timespec){.tv_nsec = us * 1000}, NULL);
}

void rows_wake(const char *when)
{
    pthread_t thread;
    struct redis *redis = load_connect();
    waits = 0;
    pthread_create(&thread, NULL, idle_worker, NULL);
    for (int i = 0; i < WAKES; i++) {
        struct load_job store;
        struct queue_submitted submitted;
        struct queue_submit job = load_job(0, 1, NULL, &store);
        pause_us(2000);
        submitted_us = clock_us();
        load_must(queue_submit(&load_queue, redis, &job, LOAD_CALL_MS, &submitted, &load_err));
        while (waits <= i)
            pause_us(500);
    }
    pthread_join(thread, NULL);
    redis_destroy(&redis);
    qsort(waits_us, WAKES, sizeof waits_us[0], load_by_value);
    printf("submit to claimed by an idle worker, %s: p50 %.3f ms, p99 %.3f ms\n", when,
           (double)waits_us[WAKES / 2] / 1000, (double)waits_us[WAKES * 99 / 100] / 1000);
    fflush(stdout);
}
