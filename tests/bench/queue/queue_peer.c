/* SPDX-License-Identifier: MIT
 *
 * Our queue behind the same roles as the drivers in tests/bench/peers, for compare.py:
 *     queue_peer submit SOCKET JOBS count|wake|hang
 *     queue_peer work SOCKET JOBS count|wake|hang OUT
 * The worker claims, starts and completes as the real one does, but its jobs do nothing. `count`
 * writes the times of the first start and the last end to OUT, `wake` the microseconds from each
 * submit to its start; `hang` notes a start and then stays in the job, renewing a lease of 5 s. */
#include "common/queue_worker.h"
#include "tests/bench/queue/load.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define FLOWS 1000
#define BATCH 200
#define LEASE_MS 5000

static FILE *open_out(const char *path, const char *mode)
{
    FILE *file = fopen(path, mode);
    if (!file) {
        perror(path);
        exit(EXIT_FAILURE);
    }
    return file;
}

static void submit_timed(long jobs)
{
    struct redis *redis = load_connect();
    for (long i = 0; i < jobs; i++) {
        struct load_job store;
        struct queue_submitted submitted;
        struct queue_submit job = load_job(i, FLOWS, NULL, &store);
        int length = snprintf(store.spec, sizeof store.spec, "%" PRId64 " ", load_wall_us());
        store.spec[length] = 'x';
        load_must(queue_submit(&load_queue, redis, &job, LOAD_CALL_MS, &submitted, &load_err));
        nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    }
    redis_destroy(&redis);
}

static void submit_counted(long jobs)
{
    int64_t start_us = load_wall_us();
    load_submit(&(struct load_submit){.jobs = jobs, .flows = FLOWS});
    printf("%.6f\n", (double)(load_wall_us() - start_us) / 1e6);
}

/* Claims one job at a time, and sleeps in Redis while there is none. */
static struct queue_claim wait_for_job(struct redis *redis, const char *worker)
{
    struct queue_claim claim = {0};
    while (claim.count == 0) {
        queue_claim_fini(&claim);
        claim = load_wait(redis, worker);
    }
    return claim;
}

static void work_timed(long jobs, const char *out)
{
    char worker[ID_NAME_SIZE];
    struct redis *redis = load_connect();
    int64_t *waits_us = calloc((size_t)jobs, sizeof *waits_us);
    if (!waits_us)
        exit(EXIT_FAILURE);
    id_worker_create(worker);
    for (long i = 0; i < jobs; i++) {
        enum queue_verdict verdict;
        struct queue_claim claim = wait_for_job(redis, worker);
        waits_us[i] = load_wall_us() - strtoll(claim.jobs[0].spec, NULL, 10);
        struct queue_done done = {claim.jobs[0].id,
                                  claim.jobs[0].epoch,
                                  claim.jobs[0].public_id,
                                  "png",
                                  "image/png",
                                  12345};
        load_must(
            queue_complete(&load_queue, redis, worker, &done, LOAD_CALL_MS, &verdict, &load_err));
        queue_claim_fini(&claim);
    }
    FILE *file = open_out(out, "w");
    for (long i = 0; i < jobs; i++)
        fprintf(file, "%" PRId64 "\n", waits_us[i]);
    fclose(file);
    free(waits_us);
    redis_destroy(&redis);
}

static void work_counted(long jobs, const char *out)
{
    int64_t first_us;
    load_drain(BATCH, jobs, &first_us);
    FILE *file = open_out(out, "w");
    fprintf(file, "%" PRId64 " %" PRId64, first_us, load_wall_us());
    fclose(file);
}

static void work_for_ever(const char *out)
{
    char worker[ID_NAME_SIZE];
    struct redis *redis = load_connect();
    id_worker_create(worker);
    struct queue_claim claim = wait_for_job(redis, worker);
    FILE *file = open_out(out, "a");
    fprintf(file, "%d %" PRId64 "\n", (int)getpid(), load_wall_us());
    fclose(file);
    for (;;) {
        struct queue_beat beat = {claim.jobs[0].id, claim.jobs[0].epoch, 0};
        enum queue_verdict verdict;
        bool drain;
        load_must(queue_heartbeat(&load_queue, redis, worker, &beat, 1, LOAD_CALL_MS, &verdict,
                                  &drain, &load_err));
        nanosleep(&(struct timespec){.tv_sec = LEASE_MS / 3000}, NULL);
    }
}

int main(int argc, char **argv)
{
    char url[256];
    if (argc < 5)
        return 2;
    snprintf(url, sizeof url, "unix:%s", argv[2]);
    long jobs = strtol(argv[3], NULL, 10);
    const char *mode = argv[4];
    load_init(url);
    load_queue.lease_ms = LEASE_MS;
    if (!strcmp(argv[1], "submit") && !strcmp(mode, "wake"))
        submit_timed(jobs);
    else if (!strcmp(argv[1], "submit"))
        submit_counted(jobs);
    else if (argc < 6)
        return 2;
    else if (!strcmp(mode, "wake"))
        work_timed(jobs, argv[5]);
    else if (!strcmp(mode, "count"))
        work_counted(jobs, argv[5]);
    else
        work_for_ever(argv[5]);
    return 0;
}
