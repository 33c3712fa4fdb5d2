/* SPDX-License-Identifier: MIT
 *
 * The connection of the commands that go to Redis itself. */
#include "common/redis.h"
#include "common/crypto.h"
#include "dispatcher/cli/cli.h"

int cli_open_redis(const struct cli *cli, struct redis **out_redis, struct err *err)
{
    struct redis_target target;
    int rc =
        redis_target_init(&target, cli->settings.redis, cli->settings.redis_password_file, err);
    if (rc == 0)
        rc = redis_target_secure(&target, &cli->settings.redis_tls, err);
    if (rc == 0)
        rc = redis_create(&target, out_redis, err);
    crypto_wipe(&target, sizeof target);
    return rc;
}
