/* SPDX-License-Identifier: MIT
 *
 * The options that say where the object store is, for every program that opens it.
 *
 *     struct settings { struct store_place store; };
 *     static const struct config_option options[] = {
 *         STORE_OPTIONS(offsetof(struct settings, store), "local:objects", "local:FOLDER or …"),
 *     };
 *     struct store_options options = store_options_at(&settings.store);
 *
 * The texts are owned by the settings. Stateless. */
#ifndef DARKROOM_COMMON_STORE_OPTIONS_H
#define DARKROOM_COMMON_STORE_OPTIONS_H

#include "common/config.h"
#include "common/store.h"

struct store_place {
    char *url, *endpoint, *region, *credentials_file, *role;
    bool virtual_host;
};

#define STORE_OPTION(name, type, at, member, default_value, trait, text)                           \
    {                                                                                              \
        name, type, (at) + offsetof(struct store_place, member), default_value, .help = (text),    \
                                                                                .traits = (trait)  \
    }
#define STORE_OPTIONS(at, default_url, text)                                                       \
    STORE_OPTION("store", CONFIG_TEXT, at, url, default_url, 0, text),                             \
        STORE_OPTION("s3-endpoint", CONFIG_TEXT, at, endpoint, NULL, 0, "https://host[:port]"),    \
        STORE_OPTION("s3-region", CONFIG_TEXT, at, region, "us-east-1", 0, "region to sign for"),  \
        STORE_OPTION("s3-credentials-file", CONFIG_TEXT, at, credentials_file, NULL,               \
                     CONFIG_SECRET, "file with access key and secret key"),                        \
        STORE_OPTION("s3-role", CONFIG_TEXT, at, role, NULL, 0,                                    \
                     "instead: who has the keys of our role; on EC2 http://169.254.169.254"),      \
        STORE_OPTION("s3-virtual-host", CONFIG_BOOL, at, virtual_host, "false", 0,                 \
                     "bucket.host instead of host/bucket")

/* Borrows the texts; the rest is the caller's to fill. */
static inline struct store_options store_options_at(const struct store_place *place)
{
    return (struct store_options){.url = place->url,
                                  .endpoint = place->endpoint,
                                  .region = place->region,
                                  .credentials_file = place->credentials_file,
                                  .role = place->role,
                                  .virtual_host = place->virtual_host};
}

#endif
