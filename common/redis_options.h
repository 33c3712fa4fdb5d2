/* SPDX-License-Identifier: MIT
 *
 * The options of the queue's Redis, which every program has.
 *
 *     struct settings { char *redis, *redis_password_file; struct redis_tls_files redis_tls; };
 *     static const struct config_option options[] = {
 *         REDIS_OPTIONS(struct settings, redis, redis_password_file, redis_tls),
 *         REDIS_SHARDS_OPTION(offsetof(struct settings, shards)),
 *     };
 *     ... redis_target_init(&target, settings.redis, settings.redis_password_file, &err) ...
 *     ... redis_target_secure(&target, &settings.redis_tls, &err) ...
 *
 * Stateless. */
#ifndef DARKROOM_COMMON_REDIS_OPTIONS_H
#define DARKROOM_COMMON_REDIS_OPTIONS_H

#include "common/config.h"
#include "common/queue.h"
#include "common/redis.h"

#define REDIS_OPTION(name, at, text)                                                               \
    {                                                                                              \
        name, CONFIG_TEXT, at, .help = (text)                                                      \
    }
#define REDIS_SECRET_OPTION(name, at, text)                                                        \
    {                                                                                              \
        name, CONFIG_TEXT, at, .help = (text), .traits = CONFIG_SECRET                             \
    }
#define REDIS_OPTIONS(settings, url, password, tls)                                                \
    {"redis", CONFIG_TEXT, offsetof(settings, url), "redis://127.0.0.1:6379/0",                    \
     .help = "unix:/path[?db=N], redis://, redis+sentinel:// or redis+cluster://"},                \
        REDIS_SECRET_OPTION("redis-password-file", offsetof(settings, password),                   \
                            "file with Redis' password"),                                          \
        REDIS_OPTION(                                                                              \
            "redis-ca-file", offsetof(settings, tls.ca_file),                                      \
            "rediss://: PEM of the authorities that are trusted instead of the system's"),         \
        REDIS_OPTION("redis-cert-file", offsetof(settings, tls.cert_file),                         \
                     "rediss://: PEM of our own certificate, where the server asks for one"),      \
        REDIS_SECRET_OPTION("redis-key-file", offsetof(settings, tls.key_file),                    \
                            "rediss://: PEM of its key")
#define REDIS_SHARDS_OPTION(at)                                                                    \
    {                                                                                              \
        "shards", CONFIG_INT, at, "1", 1, QUEUE_SHARDS_MAX, NULL,                                  \
            "over which the jobs are spread; every program of a Redis is told the same"            \
    }

#endif
