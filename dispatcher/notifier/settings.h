/* SPDX-License-Identifier: MIT
 *
 * The notifier's options. */
#ifndef DARKROOM_DISPATCHER_NOTIFIER_SETTINGS_H
#define DARKROOM_DISPATCHER_NOTIFIER_SETTINGS_H

#include "common/config.h"
#include "common/redis.h"
#include "common/tracing.h"

#include <stdbool.h>
#include <stdint.h>

struct err;

struct notifier_settings {
    struct redis_tls_files redis_tls;
    char *redis, *redis_password_file, *public_url, *models, *secret_file;
    char *mail_from, *smtp, *smtp_user, *smtp_password_file, *smtp_ca_file, *outbox;
    char *webhook_allow, *webhook_ca_file, *metrics;
    int64_t shards, per_address_hour, quota_hour, quota_day, hold_ms, retry_ms, mail_lease_ms,
        smtp_timeout_ms;
    int64_t webhook_slots, webhook_per_receiver, webhook_retry_ms, webhook_lease_ms;
    int64_t webhook_timeout_ms;
    bool smtp_allow_plain, thumbnails;
    struct tracing_settings tracing;
};

extern const struct config_spec notifier_settings_spec;

/* What no single row can say; takes slashes off the public URL's end. ERR_INVALID. */
int notifier_settings_check(struct notifier_settings *settings, struct err *err);

#endif
