/* SPDX-License-Identifier: MIT
 *
 * What the queue's benchmarks share: jobs of 300 bytes, submitters and workers that do nothing
 * else.
 *
 *     load_init("unix:/tmp/redis.sock");
 *     load_submit(&(struct load_submit){.jobs = 100000, .flows = 1000});
 *     long settled = load_drain(200, 0, NULL);
 *
 * Whatever fails ends the program with a line on stderr. Two threads with a connection each do the
 * work, so that Redis and the client run at the same time. */
#ifndef DARKROOM_TESTS_BENCH_QUEUE_LOAD_H
#define DARKROOM_TESTS_BENCH_QUEUE_LOAD_H

#include "common/err.h"
#include "common/queue_worker.h"
#include "common/redis.h"

#include <stdint.h>

#define LOAD_CALL_MS 60000
#define LOAD_SPEC_SIZE 300

extern struct queue load_queue;
extern const char *load_model; /* whose jobs these are: "bench" */
extern struct err load_err;

void load_init(const char *url); /* borrowed for good */
struct redis *load_connect(void);
/* Ends the program unless rc is 0 or positive. */
void load_must(int rc);

/* Job `n` of flow `n` modulo `flows`; the texts live in `store`. */
struct load_job {
    char id[ID_PUBLIC_SIZE], flow[JOB_FLOW_SIZE], spec[LOAD_SPEC_SIZE + 1], extra[128];
};
struct queue_submit load_job(long n, long flows, const char *address, struct load_job *store);

struct load_submit {
    long jobs, flows;
    const char *address; /* keyed hash of an address; NULL: nobody is told */
    bool with_keys;      /* each job has an idempotency key */
};
void load_submit(const struct load_submit *wanted);

/* One worker process: claims `batch` at a time, completes them and claims the next in one round
 * trip. Until `until` jobs are settled, or until nothing is left where it is 0. `first_us`
 * (nullable) gets the wall time at which the first job was held. Returns how many were settled. */
long load_drain(size_t batch, long until, int64_t *out_first_us);

/* An idle worker's wait of a second with the claim of one job behind it, as darkroom-worker sends
 * them. */
struct queue_claim load_wait(struct redis *redis, const char *worker);

/* Redis' own figures. */
double load_info(const char *section, const char *name);
double load_cpu_seconds(void);
void load_command(const char *const *words, struct redis_reply **out_reply); /* NULL-terminated */
void load_flush(void);

int64_t load_wall_us(void);                      /* the same clock in every process */
int load_by_value(const void *a, const void *b); /* int64_t, for qsort() */

#endif
