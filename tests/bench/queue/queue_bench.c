/* SPDX-License-Identifier: MIT
 *
 * queue_bench [--jobs N] [--flows N] [--batch N] [--aof off|everysec|always] [--stats] [ROW...]:
 * the queue's yardsticks on a Redis of its own (unix socket). Rows: submit, alone (each job a flow
 * of its own), keys (each with an idempotency key), drain, mail (each job with somebody to tell),
 * single (one at a time), wake (an idle worker), ack (acknowledging with 100 and with 100,000
 * running), and not without being named large (ten million queued) and bare (as many keys of Redis'
 * own, to know what it does by itself). --stats adds what each row cost by command. */
#include "common/clock.h"
#include "common/queue_worker.h"
#include "tests/bench/queue/load.h"
#include "tests/bench/queue/rows.h"
#include "tests/support/redis_server.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CLAIMS_TIMED 1000

static struct {
    long jobs, flows; /* jobs 0: what each row usually has */
    size_t batch;
} wanted = {.flows = 1000, .batch = 200};

/* ---- rates ------------------------------------------------------------------------------------
 */

static void measure_submit(long jobs, long flows, bool with_keys)
{
    char name[96];
    load_flush();
    struct mark mark = rows_begin();
    load_submit(&(struct load_submit){.jobs = jobs, .flows = flows, .with_keys = with_keys});
    snprintf(name, sizeof name, "bulk submit, %ld jobs, %ld flows%s", jobs, flows,
             with_keys ? ", idempotency keys" : "");
    rows_end(&mark, name, jobs);
    printf("%-52s %9.0f bytes\n", "  memory per queued job",
           (load_info("memory", "used_memory:") - mark.bytes) / (double)jobs);
}

static void measure_drain(long jobs, size_t batch, const char *address)
{
    char name[96];
    load_flush();
    load_submit(&(struct load_submit){jobs, wanted.flows, address});
    struct mark mark = rows_begin();
    long settled = load_drain(batch, 0, NULL);
    snprintf(name, sizeof name, "drain, %zu at a time, %s", batch,
             address ? "each with a mail row" : "nobody to tell");
    rows_end(&mark, name, settled);
    if (settled != jobs)
        printf("%ld of %ld jobs were settled\n", settled, jobs);
}

/* ---- acknowledging beside many that run --------------------------------------------------------
 */

/* Leaves `running` jobs of the queue's shard leased, and some for the acknowledgements. */
static void hold(struct redis *redis, long running)
{
    const char *const models[] = {load_model};
    struct queue_claim claim;
    char nonce[ID_NAME_SIZE];
    load_submit(&(struct load_submit){.jobs = running + CLAIMS_TIMED, .flows = wanted.flows});
    for (long held = 0; held < running;) {
        size_t room = running - held < 200 ? (size_t)(running - held) : 200;
        id_nonce_create(nonce);
        load_must(queue_claim(&load_queue, redis, "w-many", nonce, models, 1, room, LOAD_CALL_MS,
                              &claim, &load_err));
        held += (long)claim.count;
        queue_claim_fini(&claim);
    }
}

/* Of one more job: how long its completion takes. */
static int64_t time_ack(struct redis *redis)
{
    const char *const models[] = {load_model};
    struct queue_claim claim;
    enum queue_verdict verdict;
    char nonce[ID_NAME_SIZE];
    id_nonce_create(nonce);
    load_must(queue_claim(&load_queue, redis, "w-bench", nonce, models, 1, 1, LOAD_CALL_MS, &claim,
                          &load_err));
    struct queue_done done = {
        claim.jobs[0].id, claim.jobs[0].epoch, claim.jobs[0].public_id, "png", "image/png", 12345};
    int64_t start_us = clock_us();
    load_must(
        queue_complete(&load_queue, redis, "w-bench", &done, LOAD_CALL_MS, &verdict, &load_err));
    int64_t took_us = clock_us() - start_us;
    queue_claim_fini(&claim);
    return took_us;
}

/* In turns, with 100 running in one shard and `many` in another: two runs one after the other
 * differ by where the kernel happens to put client and server, which is more than what is measured.
 */
static void measure_acks(long many)
{
    static int64_t acks_us[2][CLAIMS_TIMED];
    const long running[2] = {100, many};
    struct redis *redis = load_connect();
    load_flush();
    for (unsigned shard = 0; shard < 2; shard++) {
        load_queue.shard = shard;
        hold(redis, running[shard]);
    }
    for (int i = 0; i < 2 * CLAIMS_TIMED; i++) {
        load_queue.shard = (unsigned)i % 2;
        acks_us[i % 2][i / 2] = time_ack(redis);
    }
    load_queue.shard = 0;
    redis_destroy(&redis);
    for (int i = 0; i < 2; i++) {
        qsort(acks_us[i], CLAIMS_TIMED, sizeof acks_us[i][0], load_by_value);
        printf("acknowledged, %ld running: p50 %.3f ms, p99 %.3f ms\n", running[i],
               (double)acks_us[i][CLAIMS_TIMED / 2] / 1000,
               (double)acks_us[i][CLAIMS_TIMED * 99 / 100] / 1000);
    }
    fflush(stdout);
}

/* ---- which rows
 * ---------------------------------------------------------------------------------- */

static void run_row(const char *row)
{
    long jobs = wanted.jobs ? wanted.jobs : 1000000;
    long some = jobs < 200000 ? jobs : 200000;
    long few = jobs < 100000 ? jobs : 100000;
    if (!strcmp(row, "submit"))
        measure_submit(jobs, wanted.flows, false);
    else if (!strcmp(row, "alone"))
        measure_submit(few, few, false);
    else if (!strcmp(row, "keys"))
        measure_submit(few, few < wanted.flows ? few : wanted.flows, true);
    else if (!strcmp(row, "drain"))
        measure_drain(some, wanted.batch, NULL);
    else if (!strcmp(row, "mail"))
        measure_drain(some, wanted.batch, "hash");
    else if (!strcmp(row, "single"))
        measure_drain(some / 10, 1, NULL);
    else if (!strcmp(row, "wake"))
        load_flush(), rows_wake("nothing queued");
    else if (!strcmp(row, "ack"))
        measure_acks(few);
    else if (!strcmp(row, "large"))
        rows_large(wanted.jobs ? wanted.jobs : 10000000, 10 * wanted.flows, wanted.batch);
    else if (!strcmp(row, "bare"))
        rows_bare(wanted.jobs ? wanted.jobs : 10000000);
    else
        fprintf(stderr, "queue_bench: no row %s\n", row);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"jobs", required_argument, NULL, 'j'},  {"flows", required_argument, NULL, 'f'},
        {"batch", required_argument, NULL, 'b'}, {"aof", required_argument, NULL, 'a'},
        {"stats", no_argument, NULL, 's'},       {0}};
    static const char *const usual[] = {"submit", "alone",  "keys", "drain",
                                        "mail",   "single", "wake", "ack"};
    const char *aof = "off";
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (option == 'j')
            wanted.jobs = strtol(optarg, NULL, 10);
        else if (option == 'f')
            wanted.flows = strtol(optarg, NULL, 10);
        else if (option == 'b')
            wanted.batch = strtoul(optarg, NULL, 10);
        else if (option == 'a')
            aof = optarg;
        else if (option == 's')
            rows_stats = true;
        else
            return 2;
    }
    const char *persistent[] = {"--appendonly", "yes", "--appendfsync", aof, NULL};
    struct redis_server *server = redis_server_start(strcmp(aof, "off") != 0 ? persistent : NULL);
    load_init(redis_server_url(server));
    printf("AOF %s\n", aof);
    for (size_t i = 0; optind == argc && i < sizeof usual / sizeof usual[0]; i++)
        run_row(usual[i]);
    for (int i = optind; i < argc; i++)
        run_row(argv[i]);
    redis_server_stop(&server);
    return 0;
}
