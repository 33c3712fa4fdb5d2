/* SPDX-License-Identifier: MIT
 *
 * The options of TLS to Redis, which every program has.
 *
 *     struct settings { char *redis; struct redis_tls_files redis_tls; };
 *     static const struct config_option options[] = {
 *         {"redis", CONFIG_TEXT, offsetof(struct settings, redis)},
 *         REDIS_TLS_OPTIONS(offsetof(struct settings, redis_tls)),
 *     };
 *     ... redis_target_secure(&target, &settings.redis_tls, &err) ...
 *
 * Stateless. */
#ifndef DARKROOM_COMMON_REDIS_OPTIONS_H
#define DARKROOM_COMMON_REDIS_OPTIONS_H

#include "common/config.h"
#include "common/redis.h"

#define REDIS_TLS_OPTION(name, at, member, text)                                                   \
    {                                                                                              \
        name, CONFIG_TEXT, (at) + offsetof(struct redis_tls_files, member), .help = (text)         \
    }
#define REDIS_TLS_OPTIONS(at)                                                                      \
    REDIS_TLS_OPTION(                                                                              \
        "redis-ca-file", at, ca_file,                                                              \
        "rediss://: PEM of the authorities that are trusted instead of the system's"),             \
        REDIS_TLS_OPTION("redis-cert-file", at, cert_file,                                         \
                         "rediss://: PEM of our own certificate, where the server asks for one"),  \
        REDIS_TLS_OPTION("redis-key-file", at, key_file, "rediss://: PEM of its key")

#endif
