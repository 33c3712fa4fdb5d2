/* SPDX-License-Identifier: MIT
 *
 * The connection of the commands that go to Redis itself. */
#include "common/redis.h"
#include "common/crypto.h"
#include "common/queue.h"
#include "dispatcher/cli/cli.h"

#define TIMEOUT_MS 10000

int cli_open_redis(const struct cli *cli, struct redis **out_redis, struct err *err)
{
    struct redis_target target;
    struct redis *redis = NULL;
    struct queue first;
    int rc =
        redis_target_init(&target, cli->settings.redis, cli->settings.redis_password_file, err);
    if (rc == 0)
        rc = redis_target_secure(&target, &cli->settings.redis_tls, err);
    if (rc == 0)
        rc = redis_create(&target, &redis, err);
    queue_init(&first, 0, 1);
    if (rc == 0)
        rc = queue_protocol(&first, redis, TIMEOUT_MS, err);
    if (rc == 0) {
        *out_redis = redis;
        redis = NULL;
    }
    redis_destroy(&redis);
    crypto_wipe(&target, sizeof target);
    return rc;
}
