/* SPDX-License-Identifier: MIT */
#include "tests/bench/queue/load.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define BATCH QUEUE_SUBMIT_MAX
#define DEPTH 4

struct queue load_queue;
const char *load_model = "bench";
struct err load_err;
static const char *load_url;
static struct redis *control; /* for questions between the rows */

void load_must(int rc)
{
    if (rc < 0) {
        fprintf(stderr, "queue bench: %s\n", load_err.text);
        exit(EXIT_FAILURE);
    }
}

struct redis *load_connect(void)
{
    struct redis_target target;
    struct redis *connection = NULL;
    load_must(redis_target_init(&target, load_url, NULL, &load_err));
    load_must(redis_create(&target, &connection, &load_err));
    return connection;
}

void load_init(const char *url)
{
    load_url = url;
    queue_init(&load_queue, 0, 30000);
    control = load_connect();
}

/* ---- Redis' own figures ---------------------------------------------------------------------- */

void load_command(const char *const *words, struct redis_reply **out_reply)
{
    struct redis_command command;
    redis_command_init(&command, 4096);
    for (; *words; words++)
        redis_command_text(&command, *words);
    load_must(redis_call(control, &command, 10 * LOAD_CALL_MS, out_reply, &load_err));
    redis_command_fini(&command);
}

double load_info(const char *section, const char *name)
{
    struct redis_reply *reply = NULL;
    load_command((const char *[]){"INFO", section, NULL}, &reply);
    const char *at = strstr(redis_reply_text(reply), name);
    double value = at ? strtod(at + strlen(name), NULL) : 0;
    redis_reply_free(&reply);
    return value;
}

double load_cpu_seconds(void)
{
    return load_info("cpu", "used_cpu_user:") + load_info("cpu", "used_cpu_sys:");
}

void load_flush(void)
{
    load_command((const char *[]){"FLUSHALL", NULL}, NULL);
}

int64_t load_wall_us(void)
{
    struct timespec time;
    clock_gettime(CLOCK_REALTIME, &time);
    return (int64_t)time.tv_sec * 1000000 + time.tv_nsec / 1000;
}

int load_by_value(const void *a, const void *b)
{
    int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;
    return (left > right) - (left < right);
}

/* ---- submit ---------------------------------------------------------------------------------- */

struct queue_submit load_job(long n, long flows, const char *address, struct load_job *store)
{
    id_public_create(load_queue.shard, store->id);
    snprintf(store->flow, sizeof store->flow, "f%ld", n % flows);
    memset(store->spec, 'x', LOAD_SPEC_SIZE);
    return (struct queue_submit){.public_id = store->id,
                                 .model = load_model,
                                 .flow = store->flow,
                                 .priority = JOB_PRIORITY_NORMAL,
                                 .cost_ms = 100,
                                 .weight = 1,
                                 .max_attempts = 3,
                                 .extension = "png",
                                 .notify_address = address,
                                 .notify_blob =
                                     address ? "sealed address of sixty-four bytes" : NULL,
                                 .notify_blob_size = address ? 34 : 0,
                                 .spec = store->spec,
                                 .spec_size = LOAD_SPEC_SIZE};
}

struct share {
    pthread_t thread;
    long first, end;
    const struct load_submit *wanted;
    size_t batch;
    long until;
    atomic_long *settled;
    atomic_llong *first_us;
};

/* As the dispatcher writes it: the hash of the key, the hash of the body. */
static void add_key(struct queue_submit *job, struct load_job *store)
{
    snprintf(store->extra, sizeof store->extra, "i=%.32s:%.32s\n", store->id + 2, store->id);
    job->extra = store->extra;
    job->extra_size = strlen(store->extra);
}

/* Fills one command with the next jobs; how many. */
static size_t fill(struct share *share, struct load_job stores[BATCH], struct queue_submit *list,
                   struct redis_command *command)
{
    size_t count = 0;
    for (; count < BATCH && share->first < share->end; count++, share->first++) {
        list[count] =
            load_job(share->first, share->wanted->flows, share->wanted->address, &stores[count]);
        if (share->wanted->with_keys)
            add_key(&list[count], &stores[count]);
    }
    queue_submit_command(&load_queue, list, count, command);
    return count;
}

/* Of ten million ids two are alike once in six runs: then it is a job less. */
static void check_submitted(int rc)
{
    if (rc == ERR_CONFLICT)
        load_err = (struct err){0};
    else
        load_must(rc);
}

static void *submit_share(void *data)
{
    struct share *share = data;
    struct redis *redis = load_connect();
    struct load_job *stores = calloc(BATCH, sizeof *stores);
    struct queue_submit list[BATCH];
    struct redis_command commands[DEPTH];
    const struct redis_command *pointers[DEPTH];
    struct redis_reply *replies[DEPTH];
    struct queue_submitted submitted;
    if (!stores)
        exit(EXIT_FAILURE);
    for (int i = 0; i < DEPTH; i++) {
        redis_command_init(&commands[i], QUEUE_COMMAND_MAX);
        pointers[i] = &commands[i];
    }
    while (share->first < share->end) {
        size_t depth = 0, counts[DEPTH];
        for (; depth < DEPTH && share->first < share->end; depth++)
            counts[depth] = fill(share, stores, list, &commands[depth]);
        load_must(redis_pipeline(redis, pointers, depth, LOAD_CALL_MS, replies, &load_err));
        for (size_t i = 0; i < depth; i++) {
            load_must(redis_reply_check(replies[i], &load_err));
            for (size_t j = 0; j < counts[i]; j++)
                check_submitted(queue_submit_reply(replies[i], j, &submitted, &load_err));
            redis_reply_free(&replies[i]);
        }
    }
    for (int i = 0; i < DEPTH; i++)
        redis_command_fini(&commands[i]);
    free(stores);
    redis_destroy(&redis);
    return NULL;
}

static void share_out(void *(*work)(void *), struct share shares[2])
{
    for (int i = 0; i < 2; i++)
        pthread_create(&shares[i].thread, NULL, work, &shares[i]);
    for (int i = 0; i < 2; i++)
        pthread_join(shares[i].thread, NULL);
}

void load_submit(const struct load_submit *wanted)
{
    long half = wanted->jobs / 2;
    struct share shares[2] = {{.end = half, .wanted = wanted},
                              {.first = half, .end = wanted->jobs, .wanted = wanted}};
    share_out(submit_share, shares);
}

/* ---- wait ------------------------------------------------------------------------------------ */

struct queue_claim load_wait(struct redis *redis, const char *worker)
{
    const char *const models[] = {load_model};
    struct queue_claim claim = {0};
    char nonce[ID_NAME_SIZE];
    id_nonce_create(nonce);
    load_must(
        queue_wait_claim(&load_queue, redis, worker, nonce, models, 1, 1, 1000, &claim, &load_err));
    return claim;
}

/* ---- drain ----------------------------------------------------------------------------------- */

struct drainer {
    struct redis *redis;
    struct redis_command complete, claim_command;
    struct queue_claim claim;
    struct queue_done *done;
    char worker[ID_NAME_SIZE];
};

/* Completes what is held and claims the next in one round trip; how many were settled. */
static long turn(struct drainer *drainer, size_t batch)
{
    const char *const models[] = {load_model};
    struct queue_claim *claim = &drainer->claim;
    const struct redis_command *commands[2];
    struct redis_reply *replies[2] = {NULL, NULL};
    char nonce[ID_NAME_SIZE];
    size_t count = 0, held = claim->count;
    long settled = 0;
    enum queue_verdict verdict;
    for (size_t i = 0; i < held; i++)
        drainer->done[i] = (struct queue_done){claim->jobs[i].id,
                                               claim->jobs[i].epoch,
                                               claim->jobs[i].public_id,
                                               "png",
                                               "image/png",
                                               12345};
    if (held) {
        queue_complete_command(&load_queue, drainer->worker, drainer->done, held,
                               &drainer->complete);
        commands[count++] = &drainer->complete;
    }
    id_nonce_create(nonce);
    queue_claim_command(&load_queue, drainer->worker, nonce, models, 1, batch,
                        &drainer->claim_command);
    commands[count++] = &drainer->claim_command;
    load_must(redis_pipeline(drainer->redis, commands, count, LOAD_CALL_MS, replies, &load_err));
    for (size_t i = 0; i < held; i++) {
        load_must(queue_settle_reply(replies[0], i, &verdict, &load_err));
        settled += verdict == QUEUE_OK;
    }
    queue_claim_fini(claim);
    load_must(redis_reply_check(replies[count - 1], &load_err));
    load_must(queue_claim_reply(replies[count - 1], claim, &load_err));
    claim->reply = replies[count - 1];
    if (count == 2)
        redis_reply_free(&replies[0]);
    return settled;
}

static void *drain_share(void *data)
{
    const char *const models[] = {load_model};
    struct share *share = data;
    struct drainer drainer = {.redis = load_connect()};
    drainer.done = calloc(share->batch, sizeof *drainer.done);
    if (!drainer.done)
        exit(EXIT_FAILURE);
    id_worker_create(drainer.worker);
    redis_command_init(&drainer.complete, QUEUE_COMMAND_MAX);
    redis_command_init(&drainer.claim_command, QUEUE_COMMAND_MAX);
    for (;;) {
        long long none = 0;
        atomic_fetch_add(share->settled, turn(&drainer, share->batch));
        bool enough = atomic_load(share->settled) >= share->until;
        if (drainer.claim.count)
            atomic_compare_exchange_strong(share->first_us, &none, load_wall_us());
        if (enough && (share->until > 0 || drainer.claim.count == 0))
            break; /* what is still held stays so */
        if (drainer.claim.count == 0)
            queue_wait(&load_queue, drainer.redis, models, 1, 50, NULL);
    }
    queue_claim_fini(&drainer.claim);
    redis_command_fini(&drainer.complete);
    redis_command_fini(&drainer.claim_command);
    redis_destroy(&drainer.redis);
    free(drainer.done);
    return NULL;
}

long load_drain(size_t batch, long until, int64_t *out_first_us)
{
    atomic_long settled = 0;
    atomic_llong first_us = 0;
    struct share shares[2];
    for (int i = 0; i < 2; i++)
        shares[i] = (struct share){
            .batch = batch, .until = until, .settled = &settled, .first_us = &first_us};
    share_out(drain_share, shares);
    if (out_first_us)
        *out_first_us = first_us;
    return settled;
}
