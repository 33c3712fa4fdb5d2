/* SPDX-License-Identifier: MIT
 *
 * One flow with very many jobs, 99 with ten each: how long do the small ones wait?
 *
 *     fairness BIG-JOBS
 *
 * Workers are simulated: eight slots claim together and complete together, so that time is counted
 * in rounds and the same run gives the same numbers; the wall clock, with 5 ms of work in a round,
 * and what Redis spent are shown beside them. First the small flows alone, then behind the big one,
 * which came before them and has been served a while. Prints one JSON object; status 1 where the
 * small ones' p99 grew by more than half. */
#include "tests/unit/check.h"

#include "tests/support/queue_fixture.h"

#include <inttypes.h>

#define SMALL_FLOWS 99
#define SMALL_JOBS 10
#define SMALL (SMALL_FLOWS * SMALL_JOBS)
#define SLOTS 8
#define WORK_MS 5
#define WORKER "w-00000000000000000000000000000001"

struct waits {
    int64_t rounds[SMALL], redis_us[SMALL], wall_us[SMALL];
    size_t count;
};

/* What redis-server has used of a processor: unlike the wall clock it knows of no neighbours. */
static int64_t redis_cpu_us(void)
{
    struct redis_reply *reply = raw("INFO", "cpu", NULL);
    const char *text = redis_reply_text(reply);
    double sys = 0, user = 0;
    sscanf(strstr(text, "used_cpu_sys:") + 13, "%lf", &sys);
    sscanf(strstr(text, "used_cpu_user:") + 14, "%lf", &user);
    redis_reply_free(&reply);
    return (int64_t)((sys + user) * 1e6);
}

static char small_ids[SMALL][ID_PUBLIC_SIZE]; /* sorted, once all are there */
static size_t small_count;

static int compare_ids(const void *a, const void *b)
{
    return strcmp(a, b);
}

static void submit_many(const char *flow, long count, bool small)
{
    static struct queue_submit jobs[QUEUE_SUBMIT_MAX];
    static char ids[QUEUE_SUBMIT_MAX][ID_PUBLIC_SIZE];
    struct redis_command command;
    redis_command_init(&command, QUEUE_COMMAND_MAX);
    while (count > 0) {
        size_t n = count < QUEUE_SUBMIT_MAX ? (size_t)count : QUEUE_SUBMIT_MAX;
        struct redis_reply *reply = NULL;
        struct queue_submitted submitted;
        for (size_t i = 0; i < n; i++) {
            jobs[i] = job_of(flow, ids[i]);
            if (small)
                memcpy(small_ids[small_count++], ids[i], ID_PUBLIC_SIZE);
        }
        queue_submit_command(&queue, jobs, n, &command);
        CHECK_INT(redis_call(redis, &command, CALL_MS, &reply, &err), 0);
        for (size_t i = 0; i < n; i++)
            CHECK_INT(queue_submit_reply(reply, i, &submitted, &err), 0);
        redis_reply_free(&reply);
        count -= (long)n;
    }
    redis_command_fini(&command);
}

static void submit_small(void)
{
    char flow[16];
    small_count = 0;
    for (int i = 0; i < SMALL_FLOWS; i++) {
        snprintf(flow, sizeof flow, "small%02d", i);
        submit_many(flow, SMALL_JOBS, true);
    }
    qsort(small_ids, SMALL, ID_PUBLIC_SIZE, compare_ids);
}

/* What a job takes: the wall clock is to show waiting, not how busy this machine is. */
static void work(void)
{
    struct timespec time = {.tv_nsec = WORK_MS * 1000000L};
    nanosleep(&time, NULL);
}

/* One round: what was claimed is completed. Says how many of it came from small flows. */
static size_t serve_round(void)
{
    size_t small = 0;
    struct queue_claim claim = claim_up_to(WORKER, SLOTS);
    CHECK(claim.count > 0);
    for (size_t i = 0; i < claim.count; i++) {
        small += bsearch(claim.jobs[i].public_id, small_ids, small_count, ID_PUBLIC_SIZE,
                         compare_ids) != NULL;
        CHECK_INT(complete_job(&claim.jobs[i]), QUEUE_OK);
    }
    queue_claim_fini(&claim);
    return small;
}

static void serve_small(struct waits *waits)
{
    int64_t begun_us = redis_cpu_us(), begun_wall_us = clock_us();
    for (int64_t round = 0; waits->count < SMALL; round++) {
        work();
        for (size_t small = serve_round(); small > 0; small--) {
            waits->rounds[waits->count] = round;
            waits->wall_us[waits->count] = clock_us() - begun_wall_us;
            waits->redis_us[waits->count++] = redis_cpu_us() - begun_us;
        }
    }
}

/* They are in order already, as time goes on. */
static int64_t p99(const int64_t values[SMALL])
{
    return values[SMALL * 99 / 100];
}

int main(int argc, char **argv)
{
    static struct waits alone, behind;
    long big = argc > 1 ? strtol(argv[1], NULL, 10) : 20000;
    fixture_start(NULL);
    begin(600000);
    queue.max_flow_queued = queue.max_queued = 100000000;
    submit_small();
    serve_small(&alone);
    begin(600000);
    queue.max_flow_queued = queue.max_queued = 100000000;
    submit_many("big", big, false);
    for (int round = 0; round < 100; round++)
        serve_round();
    submit_small();
    serve_small(&behind);
    double rounds = (double)p99(behind.rounds) / (double)p99(alone.rounds);
    double wall = (double)p99(behind.wall_us) / (double)p99(alone.wall_us);
    double cpu = (double)p99(behind.redis_us) / (double)p99(alone.redis_us);
    printf("{\"big\": %ld, \"p99_rounds_alone\": %" PRId64 ", \"p99_rounds\": %" PRId64
           ", \"ratio\": %.3f, \"ratio_wall\": %.3f, \"ratio_redis_cpu\": %.3f}\n",
           big, p99(alone.rounds), p99(behind.rounds), rounds, wall, cpu);
    fixture_stop();
    return rounds <= 1.5 ? 0 : 1;
}
