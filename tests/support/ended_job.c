/* SPDX-License-Identifier: MIT
 *
 * For tests of what comes after a job: submits one and ends it at once as a worker would, without
 * dispatcher, model or picture.
 *
 *     ended-job REDIS-URL SECRET-FILE EMAIL succeeded
 *     ended-job REDIS-URL SECRET-FILE EMAIL failed corrupt
 *     ended-job REDIS-URL SECRET-FILE EMAIL succeeded "" nl     the mail's language
 *
 * Prints the public id. One job at a time: it claims whatever waits for its model. */
#include "common/address.h"
#include "common/err.h"
#include "common/queue_worker.h"
#include "common/redis.h"
#include "common/secret.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MODEL "test-model"
#define CALL_MS 10000

static int submit(const struct queue *queue, struct redis *redis, const char *secret_file,
                  const char *email, const char *language, const char *public_id, struct err *err)
{
    struct secret secret;
    struct address_keys *keys = NULL;
    struct queue_submitted submitted;
    char address[ADDRESS_SIZE], sealed[ADDRESS_SEALED_SIZE], hash[ADDRESS_HASH_SIZE];
    static const char spec[] = "{\"input\":null,\"crop\":null,\"params\":{}}";
    int rc = secret_load(secret_file, &secret, err);
    if (rc == 0)
        rc = address_check(email, address, err);
    if (rc == 0)
        rc = address_keys_create(&secret, &keys);
    if (rc == 0)
        rc = address_seal(keys, address, public_id, sealed);
    if (rc == 0)
        rc = address_hash(keys, address, hash);
    if (rc == 0)
        rc = queue_submit(queue, redis,
                          &(struct queue_submit){.public_id = public_id,
                                                 .model = MODEL,
                                                 .flow = "test",
                                                 .priority = JOB_PRIORITY_NORMAL,
                                                 .cost_ms = 100,
                                                 .weight = 1,
                                                 .max_attempts = 1,
                                                 .extension = "png",
                                                 .notify_address = hash,
                                                 .notify_blob = sealed,
                                                 .notify_blob_size = strlen(sealed),
                                                 .notify_language = language,
                                                 .spec = spec,
                                                 .spec_size = sizeof spec - 1},
                          CALL_MS, &submitted, err);
    address_keys_destroy(&keys);
    return rc;
}

static int end(const struct queue *queue, struct redis *redis, const char *state, const char *code,
               struct err *err)
{
    static const char *const models[] = {MODEL};
    char worker[ID_NAME_SIZE], nonce[ID_NAME_SIZE];
    struct queue_claim claim = {0};
    enum queue_verdict verdict;
    enum job_state became;
    id_worker_create(worker);
    id_nonce_create(nonce);
    int rc = queue_hello(
        queue, redis,
        &(struct queue_hello){
            .worker = worker, .models = models, .model_count = 1, .slots = 1, .device = "test"},
        CALL_MS, err);
    if (rc == 0)
        rc = queue_claim(queue, redis, worker, nonce, models, 1, 1, CALL_MS, &claim, err);
    if (rc == 0 && claim.count != 1)
        rc = err_set(err, ERR_NOT_FOUND, NULL, "nothing to claim");
    if (rc == 0 && !strcmp(state, "succeeded"))
        rc = queue_complete(queue, redis, worker,
                            &(struct queue_done){.id = claim.jobs[0].id,
                                                 .epoch = claim.jobs[0].epoch,
                                                 .public_id = claim.jobs[0].public_id,
                                                 .extension = "png",
                                                 .content_type = "image/png",
                                                 .bytes = 100},
                            CALL_MS, &verdict, err);
    else if (rc == 0)
        rc = queue_fail(queue, redis, worker,
                        &(struct queue_failure){.id = claim.jobs[0].id,
                                                .epoch = claim.jobs[0].epoch,
                                                .code = code,
                                                .detail = "as the test wants it"},
                        CALL_MS, &verdict, &became, err);
    queue_claim_fini(&claim);
    queue_bye(queue, redis, worker, CALL_MS, NULL);
    return rc;
}

int main(int argc, char **argv)
{
    struct redis_target target;
    struct redis *redis = NULL;
    struct queue queue;
    struct err err = {0};
    char public_id[ID_PUBLIC_SIZE];
    if (argc < 5) {
        fprintf(stderr,
                "usage: %s REDIS-URL SECRET-FILE EMAIL succeeded|failed [CODE [LANGUAGE]]\n",
                argv[0]);
        return EXIT_FAILURE;
    }
    queue_init(&queue, 0, 30000);
    id_public_create(0, public_id);
    int rc = redis_target_init(&target, argv[1], NULL, &err);
    if (rc == 0)
        rc = redis_create(&target, &redis, &err);
    if (rc == 0)
        rc = submit(&queue, redis, argv[2], argv[3], argc > 6 ? argv[6] : NULL, public_id, &err);
    if (rc == 0)
        rc = end(&queue, redis, argv[4], argc > 5 ? argv[5] : "internal", &err);
    redis_destroy(&redis);
    if (rc < 0) {
        fprintf(stderr, "%s\n", err.text[0] ? err.text : err_name(rc));
        return EXIT_FAILURE;
    }
    puts(public_id);
    return EXIT_SUCCESS;
}
