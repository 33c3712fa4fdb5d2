/* SPDX-License-Identifier: MIT
 *
 * queue_bench [JOBS [FLOWS [AOF]]]: the queue's yardsticks on a Redis of its own (unix socket, two
 * connections of one process): bulk submit, memory per queued job, drain, wake-up of an idle
 * worker. AOF: off (default), everysec or always. Jobs carry a description of 300 bytes. */
#include "common/clock.h"
#include "common/err.h"
#include "common/queue.h"
#include "common/queue_worker.h"
#include "common/redis.h"
#include "tests/support/redis_server.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define BATCH 200
#define DEPTH 4
#define CALL_MS 60000
#define MODEL "bench"
#define WORKER "w-bench"
#define WAKES 1000

static struct redis_server *server;
static struct redis *redis;
static struct queue queue;
static struct err err;
static char spec[300];

static void must(int rc)
{
    if (rc < 0) {
        fprintf(stderr, "queue_bench: %s\n", err.text);
        exit(EXIT_FAILURE);
    }
}

static struct redis *connect_to_server(void)
{
    struct redis_target target;
    struct redis *connection = NULL;
    must(redis_target_init(&target, redis_server_url(server), NULL, &err));
    must(redis_create(&target, &connection, &err));
    return connection;
}

static double info_value(const char *section, const char *name)
{
    struct redis_command command;
    struct redis_reply *reply = NULL;
    redis_command_init(&command, 64);
    redis_command_text(&command, "INFO");
    redis_command_text(&command, section);
    must(redis_call(redis, &command, CALL_MS, &reply, &err));
    const char *at = strstr(redis_reply_text(reply), name);
    double value = at ? strtod(at + strlen(name), NULL) : 0;
    redis_reply_free(&reply);
    redis_command_fini(&command);
    return value;
}

static double cpu_seconds(void)
{
    return info_value("cpu", "used_cpu_user:") + info_value("cpu", "used_cpu_sys:");
}

static void flush_all(void)
{
    struct redis_command command;
    redis_command_init(&command, 64);
    redis_command_text(&command, "FLUSHALL");
    must(redis_call(redis, &command, CALL_MS, NULL, &err));
    redis_command_fini(&command);
}

/* Job number n goes to flow n modulo flows; `address` is NULL or a keyed hash. */
static struct queue_submit make_job(long n, long flows, const char *address, char *id, char *flow)
{
    id_public_create(0, id);
    snprintf(flow, JOB_FLOW_SIZE, "f%ld", n % flows);
    return (struct queue_submit){.public_id = id,
                                 .model = MODEL,
                                 .flow = flow,
                                 .priority = JOB_PRIORITY_NORMAL,
                                 .cost_ms = 100,
                                 .weight = 1,
                                 .max_attempts = 3,
                                 .extension = "png",
                                 .notify_address = address,
                                 .notify_blob =
                                     address ? "sealed address of sixty-four bytes" : NULL,
                                 .notify_blob_size = address ? 34 : 0,
                                 .spec = spec,
                                 .spec_size = sizeof spec};
}

struct share {
    pthread_t thread;
    long first, jobs, flows;
    const char *address;
    size_t batch;
    long settled;
};

static void *submit_share(void *data)
{
    struct share *share = data;
    const long flows = share->flows, end = share->first + share->jobs;
    struct redis *mine = connect_to_server();
    char ids[BATCH][ID_PUBLIC_SIZE], names[BATCH][JOB_FLOW_SIZE];
    struct queue_submit list[BATCH];
    struct redis_command commands[DEPTH];
    const struct redis_command *pointers[DEPTH];
    struct redis_reply *replies[DEPTH];
    struct queue_submitted submitted;
    for (int i = 0; i < DEPTH; i++) {
        redis_command_init(&commands[i], QUEUE_COMMAND_MAX);
        pointers[i] = &commands[i];
    }
    for (long done = share->first; done < end;) {
        size_t depth = 0;
        for (; depth < DEPTH && done < end; depth++) {
            size_t count = 0;
            for (; count < BATCH && done < end; count++, done++)
                list[count] = make_job(done, flows, share->address, ids[count], names[count]);
            queue_submit_command(&queue, list, count, &commands[depth]);
        }
        must(redis_pipeline(mine, pointers, depth, CALL_MS, replies, &err));
        for (size_t i = 0; i < depth; i++) {
            must(queue_submit_reply(replies[i], 0, &submitted, &err));
            redis_reply_free(&replies[i]);
        }
    }
    for (int i = 0; i < DEPTH; i++)
        redis_command_fini(&commands[i]);
    redis_destroy(&mine);
    return NULL;
}

/* Two connections, so that this program and Redis work at the same time. */
static void share_out(void *(*work)(void *), struct share shares[2])
{
    for (int i = 0; i < 2; i++)
        pthread_create(&shares[i].thread, NULL, work, &shares[i]);
    for (int i = 0; i < 2; i++)
        pthread_join(shares[i].thread, NULL);
}

static void submit_all(long jobs, long flows, const char *address)
{
    struct share shares[2] = {
        {.jobs = jobs / 2, .flows = flows, .address = address},
        {.first = jobs / 2, .jobs = jobs - jobs / 2, .flows = flows, .address = address}};
    share_out(submit_share, shares);
}

/* Completes one batch and claims the next in one round trip. */
static void *drain_share(void *data)
{
    struct share *share = data;
    const size_t batch = share->batch;
    struct redis *mine = connect_to_server();
    char worker[ID_NAME_SIZE];
    struct redis_command complete, claim_command;
    struct queue_claim claim = {0};
    struct queue_done *done = calloc(batch, sizeof *done);
    const char *models[] = {MODEL};
    if (!done)
        exit(EXIT_FAILURE);
    id_worker_create(worker);
    redis_command_init(&complete, QUEUE_COMMAND_MAX);
    redis_command_init(&claim_command, QUEUE_COMMAND_MAX);
    do {
        const struct redis_command *commands[2];
        struct redis_reply *replies[2] = {NULL, NULL};
        char nonce[ID_NAME_SIZE];
        size_t count = 0, held = claim.count;
        enum queue_verdict verdict;
        for (size_t i = 0; i < held; i++)
            done[i] = (struct queue_done){claim.jobs[i].id,
                                          claim.jobs[i].epoch,
                                          claim.jobs[i].public_id,
                                          "png",
                                          "image/png",
                                          12345};
        if (held) {
            queue_complete_command(&queue, worker, done, held, &complete);
            commands[count++] = &complete;
        }
        id_nonce_create(nonce);
        queue_claim_command(&queue, worker, nonce, models, 1, batch, &claim_command);
        commands[count++] = &claim_command;
        must(redis_pipeline(mine, commands, count, CALL_MS, replies, &err));
        for (size_t i = 0; i < held; i++) {
            must(queue_settle_reply(replies[0], i, &verdict, &err));
            share->settled += verdict == QUEUE_OK;
        }
        queue_claim_fini(&claim);
        must(redis_reply_check(replies[count - 1], &err));
        must(queue_claim_reply(replies[count - 1], &claim, &err));
        claim.reply = replies[count - 1];
        if (count == 2)
            redis_reply_free(&replies[0]);
    } while (claim.count);
    queue_claim_fini(&claim);
    redis_command_fini(&complete);
    redis_command_fini(&claim_command);
    redis_destroy(&mine);
    free(done);
    return NULL;
}

static long drain(size_t batch)
{
    struct share shares[2] = {{.batch = batch}, {.batch = batch}};
    share_out(drain_share, shares);
    return shares[0].settled + shares[1].settled;
}

static void measure_drain(long jobs, long flows, size_t batch, const char *address)
{
    flush_all();
    submit_all(jobs, flows, address);
    double cpu = cpu_seconds();
    int64_t start_us = clock_us();
    long settled = drain(batch);
    double seconds = (double)(clock_us() - start_us) / 1e6;
    printf("drain, %zu at a time, %s: %.0f jobs/s, Redis CPU %.1f us per job (%ld of %ld)\n", batch,
           address ? "each with a mail row" : "nobody to tell", (double)settled / seconds,
           (cpu_seconds() - cpu) * 1e6 / (double)settled, settled, jobs);
}

static void measure_submit(long jobs, long flows)
{
    flush_all();
    double before = info_value("memory", "used_memory:");
    double cpu = cpu_seconds();
    int64_t start_us = clock_us();
    submit_all(jobs, flows, NULL);
    double seconds = (double)(clock_us() - start_us) / 1e6;
    double bytes = info_value("memory", "used_memory:") - before;
    printf("bulk submit, %d jobs a call, %ld flows: %.0f jobs/s, Redis CPU %.1f us per job\n",
           BATCH, flows, (double)jobs / seconds, (cpu_seconds() - cpu) * 1e6 / (double)jobs);
    printf("memory, %ld jobs in %ld flows: %.0f bytes per queued job\n", jobs, flows,
           bytes / (double)jobs);
}

/* ---- enqueue to start --------------------------------------------------------------------------
 */

static atomic_llong submitted_us;
static int64_t waits_us[WAKES];
static atomic_int waits;

static void *idle_worker(void *data)
{
    struct redis *mine = connect_to_server();
    const char *models[] = {MODEL};
    (void)data;
    while (waits < WAKES) {
        struct queue_claim claim = {0};
        char nonce[ID_NAME_SIZE];
        if (queue_wait(&queue, mine, models, 1, 1000, NULL) < 0)
            continue;
        id_nonce_create(nonce);
        must(queue_claim(&queue, mine, WORKER, nonce, models, 1, 1, CALL_MS, &claim, &err));
        if (claim.count)
            waits_us[atomic_fetch_add(&waits, 1)] = clock_us() - submitted_us;
        queue_claim_fini(&claim);
    }
    redis_destroy(&mine);
    return NULL;
}

static int by_value(const void *a, const void *b)
{
    int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;
    return (left > right) - (left < right);
}

static void measure_wake(void)
{
    pthread_t thread;
    flush_all();
    pthread_create(&thread, NULL, idle_worker, NULL);
    for (int i = 0; i < WAKES; i++) {
        char id[ID_PUBLIC_SIZE], flow[JOB_FLOW_SIZE];
        struct queue_submitted submitted;
        struct queue_submit job = make_job(0, 1, NULL, id, flow);
        struct timespec idle = {.tv_nsec = 1000000};
        nanosleep(&idle, NULL);
        submitted_us = clock_us();
        must(queue_submit(&queue, redis, &job, CALL_MS, &submitted, &err));
        while (waits <= i)
            nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
    }
    pthread_join(thread, NULL);
    qsort(waits_us, WAKES, sizeof waits_us[0], by_value);
    printf("submit to claimed by an idle worker: p50 %.3f ms, p99 %.3f ms\n",
           (double)waits_us[WAKES / 2] / 1000, (double)waits_us[WAKES * 99 / 100] / 1000);
}

int main(int argc, char **argv)
{
    long jobs = argc > 1 ? strtol(argv[1], NULL, 10) : 1000000;
    long flows = argc > 2 ? strtol(argv[2], NULL, 10) : 1000;
    const char *aof = argc > 3 ? argv[3] : "off";
    const char *persistent[] = {"--appendonly", "yes", "--appendfsync", aof, NULL};
    server = redis_server_start(strcmp(aof, "off") != 0 ? persistent : NULL);
    redis = connect_to_server();
    queue_init(&queue, 0, 30000);
    memset(spec, 'x', sizeof spec);
    printf("AOF %s\n", aof);
    measure_submit(jobs, flows);
    if (flows < jobs)
        measure_submit(jobs < 100000 ? jobs : 100000, jobs < 100000 ? jobs : 100000);
    long some = jobs < 200000 ? jobs : 200000;
    measure_drain(some, flows, 100, NULL);
    measure_drain(some, flows, 100, "hash");
    measure_drain(some / 10, flows, 1, NULL);
    measure_wake();
    redis_destroy(&redis);
    redis_server_stop(&server);
    return 0;
}
