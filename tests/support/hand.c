/* SPDX-License-Identifier: MIT
 *
 * A worker by hand: claims and settles jobs as a test tells it on standard input, one command a
 * line, one answer a line. For tests of what happens around the work.
 *
 *     hand REDIS-URL LEASE-MS MODEL [SHARD]
 *     hello | claim | progress ID EPOCH PERMILLE | complete ID EPOCH PUBLIC-ID BYTES |
 *     fail ID EPOCH DETAIL-WITHOUT-SPACES | retry ID EPOCH
 *
 * A claim answers "ID EPOCH PUBLIC-ID SPEC" or "none". */
#include "common/err.h"
#include "common/queue_worker.h"
#include "common/redis.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TIMEOUT_MS 5000

struct hand {
    struct queue queue;
    struct redis *redis;
    const char *model;
    char worker[ID_NAME_SIZE];
};

static int claim(struct hand *hand, struct err *err)
{
    char nonce[ID_NAME_SIZE];
    struct queue_claim claim = {0};
    id_nonce_create(nonce);
    int rc = queue_claim(&hand->queue, hand->redis, hand->worker, nonce, &hand->model, 1, 1,
                         TIMEOUT_MS, &claim, err);
    if (rc == 0 && claim.count == 0)
        printf("none\n");
    else if (rc == 0)
        printf("%" PRIu64 " %" PRIu32 " %s %.*s\n", claim.jobs[0].id, claim.jobs[0].epoch,
               claim.jobs[0].public_id, (int)claim.jobs[0].spec_size, claim.jobs[0].spec);
    queue_claim_fini(&claim);
    return rc;
}

static int settle(struct hand *hand, const char *verb, uint64_t id, uint32_t epoch,
                  const char *text, int64_t number, struct err *err)
{
    enum queue_verdict verdict = QUEUE_OK;
    enum job_state state;
    bool drain;
    int rc;
    if (strcmp(verb, "progress") == 0) {
        struct queue_beat beat = {id, epoch, (int)strtol(text, NULL, 10)};
        rc = queue_heartbeat(&hand->queue, hand->redis, hand->worker, &beat, 1, TIMEOUT_MS,
                             &verdict, &drain, err);
    } else if (strcmp(verb, "complete") == 0) {
        struct queue_done done = {.id = id,
                                  .epoch = epoch,
                                  .public_id = text,
                                  .extension = "png",
                                  .content_type = "image/png",
                                  .bytes = number};
        rc = queue_complete(&hand->queue, hand->redis, hand->worker, &done, TIMEOUT_MS, &verdict,
                            err);
    } else {
        struct queue_failure failure = {.id = id,
                                        .epoch = epoch,
                                        .retry = strcmp(verb, "retry") == 0,
                                        .code = "corrupt",
                                        .detail = text};
        rc = queue_fail(&hand->queue, hand->redis, hand->worker, &failure, TIMEOUT_MS, &verdict,
                        &state, err);
    }
    if (rc == 0)
        printf("verdict %d\n", (int)verdict);
    return rc;
}

static int obey(struct hand *hand, const char *line, struct err *err)
{
    char verb[16] = "", text[300] = "";
    uint64_t id = 0;
    uint32_t epoch = 0;
    int64_t number = 0;
    sscanf(line, "%15s %" SCNu64 " %" SCNu32 " %299s %" SCNd64, verb, &id, &epoch, text, &number);
    if (strcmp(verb, "claim") == 0)
        return claim(hand, err);
    if (strcmp(verb, "hello") != 0)
        return settle(hand, verb, id, epoch, text, number, err);
    int rc = queue_hello(&hand->queue, hand->redis,
                         &(struct queue_hello){.worker = hand->worker,
                                               .models = &hand->model,
                                               .model_count = 1,
                                               .slots = 1,
                                               .device = "hand"},
                         TIMEOUT_MS, err);
    if (rc == 0)
        printf("%s\n", hand->worker);
    return rc;
}

int main(int argc, char **argv)
{
    struct hand hand = {.redis = NULL};
    struct redis_target target;
    struct err err = {0};
    char line[512];
    if (argc != 4 && argc != 5)
        return 64;
    hand.model = argv[3];
    queue_init(&hand.queue, argc > 4 ? (unsigned)strtoul(argv[4], NULL, 10) : 0,
               strtoll(argv[2], NULL, 10));
    id_worker_create(hand.worker);
    int rc = redis_target_init(&target, argv[1], NULL, &err);
    if (rc == 0)
        rc = redis_create(&target, &hand.redis, &err);
    while (rc == 0 && fgets(line, sizeof line, stdin)) {
        rc = obey(&hand, line, &err);
        fflush(stdout);
    }
    if (rc < 0)
        fprintf(stderr, "hand: %s\n", err.text);
    redis_destroy(&hand.redis);
    return err_exit_status(rc);
}
