/* SPDX-License-Identifier: MIT */
#include "common/clock.h"
#include "common/queue_worker.h"
#include "tests/bench/queue/load.h"
#include "tests/bench/queue/rows.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#define LONG_US 5000 /* no call of Redis is to last longer */
#define KEPT 1000
#define TIMES 1000
#define SOON_MS 1000 /* a lease that is left to run out */
#define GONE 4096    /* jobs whose worker does not come back */

/* ---- Redis' own clock on its calls ----------------------------------------------------------- */

/* How long its main thread was ready and had to wait for a processor, which that clock counts, too.
 */
static double waited_ms(void)
{
    char path[64];
    long long running_ns, waiting_ns = 0;
    snprintf(path, sizeof path, "/proc/%ld/schedstat", (long)load_info("server", "process_id:"));
    FILE *file = fopen(path, "re");
    if (file && fscanf(file, "%lld %lld", &running_ns, &waiting_ns) != 2)
        waiting_ns = 0;
    if (file)
        fclose(file);
    return (double)waiting_ns / 1e6;
}

static double waited_before_ms;

static void watch_calls(void)
{
    waited_before_ms = waited_ms();
    load_command((const char *[]){"CONFIG", "SET", "slowlog-log-slower-than", "2500", NULL}, NULL);
    load_command((const char *[]){"CONFIG", "SET", "slowlog-max-len", "1000", NULL}, NULL);
    load_command((const char *[]){"SLOWLOG", "RESET", NULL}, NULL);
}

/* Of those since watch_calls(). */
static void print_calls(void)
{
    struct redis_reply *reply = NULL;
    load_command((const char *[]){"SLOWLOG", "GET", "1000", NULL}, &reply);
    size_t count = redis_reply_count(reply), over = 0;
    int64_t most_us = 0;
    for (size_t i = 0; i < count; i++) {
        int64_t us = redis_reply_int(redis_reply_at(redis_reply_at(reply, i), 2));
        over += us > LONG_US;
        most_us = us > most_us ? us : most_us;
    }
    printf("    Redis' own clock: %zu%s calls over %d ms, ", over, count == KEPT ? " or more" : "",
           LONG_US / 1000);
    if (most_us > 0)
        printf("the longest %.1f ms", (double)most_us / 1000);
    else
        printf("none over 2.5 ms");
    printf("; waited %.0f ms for a processor\n", waited_ms() - waited_before_ms);
    fflush(stdout);
    redis_reply_free(&reply);
    load_command((const char *[]){"SLOWLOG", "RESET", NULL}, NULL);
}

static void take_processor(pid_t pid, int first, int count)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    for (int i = 0; i < count; i++)
        CPU_SET(first + i, &set);
    sched_setaffinity(pid, sizeof set, &set);
}

static void part_processors(void)
{
    int all = (int)sysconf(_SC_NPROCESSORS_ONLN);
    if (all < 2)
        return;
    take_processor((pid_t)load_info("server", "process_id:"), 0, 1);
    take_processor(0, 1, all - 1);
    printf("redis-server has processor 0 to itself\n");
}

/* ---- times of single calls ------------------------------------------------------------------- */

static int64_t times_us[TIMES];

static void print_times(const char *what, const char *when, int count)
{
    if (count == 0)
        return;
    qsort(times_us, (size_t)count, sizeof times_us[0], load_by_value);
    printf("%s, %s: p50 %.3f ms, p99 %.3f ms, longest %.3f ms (%d)\n", what, when,
           (double)times_us[count / 2] / 1000, (double)times_us[count * 99 / 100] / 1000,
           (double)times_us[count - 1] / 1000, count);
    print_calls();
}

static void claim_some(struct redis *redis, size_t most, struct queue_claim *out_claim)
{
    const char *const models[] = {load_model};
    char nonce[ID_NAME_SIZE];
    id_nonce_create(nonce);
    load_must(queue_claim(&load_queue, redis, "w-large", nonce, models, 1, most, LOAD_CALL_MS,
                          out_claim, &load_err));
}

/* Settles what was claimed, to be forgotten when `load_queue` says. */
static void complete_all(struct redis *redis, struct queue_claim *claim)
{
    for (size_t i = 0; i < claim->count; i++) {
        enum queue_verdict verdict;
        struct queue_done done = {claim->jobs[i].id,
                                  claim->jobs[i].epoch,
                                  claim->jobs[i].public_id,
                                  "png",
                                  "image/png",
                                  12345};
        load_must(queue_complete(&load_queue, redis, "w-large", &done, LOAD_CALL_MS, &verdict,
                                 &load_err));
    }
    queue_claim_fini(claim);
}

static void measure_claims(struct redis *redis, const char *when, size_t most, int count)
{
    char what[64];
    watch_calls();
    for (int i = 0; i < count; i++) {
        struct queue_claim claim;
        int64_t start_us = clock_us();
        claim_some(redis, most, &claim);
        times_us[i] = clock_us() - start_us;
        complete_all(redis, &claim);
    }
    snprintf(what, sizeof what, "claim of %zu", most);
    print_times(what, when, count);
}

/* ---- housekeeping ---------------------------------------------------------------------------- */

static void pause_ms(long ms)
{
    nanosleep(&(struct timespec){.tv_nsec = ms * 1000000}, NULL);
}

static struct queue_ticked tick(struct redis *redis, int64_t *out_us)
{
    struct queue_ticked ticked;
    int64_t start_us = clock_us();
    load_must(queue_tick(&load_queue, redis, LOAD_CALL_MS, &ticked, &load_err));
    *out_us = clock_us() - start_us;
    return ticked;
}

static void measure_idle_ticks(struct redis *redis, const char *when)
{
    watch_calls();
    for (int i = 0; i < TIMES; i++)
        tick(redis, &times_us[i]);
    print_times("housekeeping, a pass with nothing due", when, TIMES);
}

/* Passes that had something to do, until `wanted` are done; each takes a bounded piece. */
static void measure_passes(struct redis *redis, const char *what, const char *when, long wanted,
                           bool expired)
{
    int64_t us, sum_us = 0, until_us = clock_us() + 20000000;
    int count = 0;
    for (long done = 0; done < wanted && count < TIMES && clock_us() < until_us;) {
        struct queue_ticked ticked = tick(redis, &us);
        int some = expired ? ticked.expired : ticked.forgotten;
        done += some;
        if (some > 0)
            sum_us += times_us[count++] = us;
        if (!ticked.more)
            pause_ms(20);
    }
    print_times(what, when, count);
    if (count > 0)
        printf("    all %ld of them: %.1f ms\n", wanted, (double)sum_us / 1000);
}

static void measure_forgetting(struct redis *redis, const char *when)
{
    int64_t retain_ms = load_queue.retain_ms;
    struct queue_claim claim;
    load_queue.retain_ms = 1;
    for (long done = 0; done < GONE; done += 128) {
        claim_some(redis, 128, &claim);
        complete_all(redis, &claim);
    }
    watch_calls();
    measure_passes(redis, "housekeeping, a pass over jobs to be forgotten", when, GONE, false);
    load_queue.retain_ms = retain_ms;
}

/* A worker with GONE jobs is silent for good. Last of all: these are suspects then, and run alone.
 */
static void measure_leases(struct redis *redis, const char *when)
{
    int64_t lease_ms = load_queue.lease_ms, us;
    struct queue_claim claim;
    load_queue.lease_ms = SOON_MS;
    /* The first tick gives every lease one more term: let it be one of these. */
    load_command((const char *[]){"DEL", "{q:00}tick", NULL}, NULL);
    tick(redis, &us);
    for (long held = 0; held < GONE; held += (long)claim.count, queue_claim_fini(&claim))
        claim_some(redis, 128, &claim);
    watch_calls();
    measure_passes(redis, "housekeeping, a pass over leases that ended", when, GONE, true);
    load_queue.lease_ms = lease_ms;
}

static void measure_all(struct redis *redis, const char *when)
{
    measure_claims(redis, when, 1, TIMES);
    measure_claims(redis, when, 128, 50);
    measure_idle_ticks(redis, when);
    measure_forgetting(redis, when);
}

/* ---- the rows -------------------------------------------------------------------------------- */

static void print_memory(const struct mark *mark, long jobs)
{
    printf("    used memory %.2f GB, %.0f bytes each; resident %.2f GB\n",
           load_info("memory", "used_memory:") / 1e9,
           (load_info("memory", "used_memory:") - mark->bytes) / (double)jobs,
           load_info("memory", "used_memory_rss:") / 1e9);
}

void rows_large(long jobs, long flows, size_t batch)
{
    struct redis *redis = load_connect();
    char name[64];
    load_flush();
    part_processors();
    load_queue.max_queued = 2 * jobs;
    rows_wake("nothing queued");
    load_flush();
    load_submit(&(struct load_submit){.jobs = 40000, .flows = flows});
    measure_all(redis, "40,000 queued");
    measure_leases(redis, "40,000 queued");
    load_flush();
    watch_calls();
    struct mark mark = rows_begin();
    load_submit(&(struct load_submit){.jobs = jobs, .flows = flows});
    snprintf(name, sizeof name, "bulk submit, %ld jobs", jobs);
    rows_end(&mark, name, jobs);
    print_calls();
    print_memory(&mark, jobs);
    measure_all(redis, "all these queued");
    load_model = "other";
    rows_wake("all these queued for another model");
    load_model = "bench";
    watch_calls();
    mark = rows_begin();
    long settled = load_drain(batch, 200000, NULL);
    rows_end(&mark, "drain of the first 200,000", settled);
    print_calls();
    measure_leases(redis, "all these queued");
    redis_destroy(&redis);
}

/* Eight at a time, so that Redis never waits for us. */
static void set_keys(struct redis *redis, long first, long end)
{
    static const char script[] =
        "for i = ARGV[1], ARGV[2] do redis.call('SET', '{q:00}j:' .. i, 'x') end";
    struct redis_command commands[8];
    const struct redis_command *pointers[8];
    struct redis_reply *replies[8];
    for (int i = 0; i < 8; i++, first += 128) {
        redis_command_init(&commands[i], 4096);
        redis_command_text(&commands[i], "EVAL");
        redis_command_text(&commands[i], script);
        redis_command_text(&commands[i], "0");
        redis_command_int(&commands[i], first);
        redis_command_int(&commands[i], first + 127 < end ? first + 127 : end - 1);
        pointers[i] = &commands[i];
    }
    load_must(redis_pipeline(redis, pointers, 8, LOAD_CALL_MS, replies, &load_err));
    for (int i = 0; i < 8; i++) {
        load_must(redis_reply_check(replies[i], &load_err));
        redis_reply_free(&replies[i]);
        redis_command_fini(&commands[i]);
    }
}

void rows_bare(long keys)
{
    struct redis *redis = load_connect();
    load_flush();
    part_processors();
    watch_calls();
    struct mark mark = rows_begin();
    for (long first = 0; first < keys; first += 8 * 128)
        set_keys(redis, first, keys);
    rows_end(&mark, "SET, 128 in a script", keys);
    print_calls();
    print_memory(&mark, keys);
    redis_destroy(&redis);
}
