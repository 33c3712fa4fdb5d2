/* SPDX-License-Identifier: MIT
 *
 * The dispatcher's options. */
#ifndef DARKROOM_DISPATCHER_SETTINGS_H
#define DARKROOM_DISPATCHER_SETTINGS_H

#include "common/config.h"
#include "common/redis.h"
#include "common/store_options.h"
#include "common/tracing.h"

#include <stdbool.h>
#include <stdint.h>

struct settings {
    char *listen, *port_file, *public_url, *contact, *web, *log;
    char *redis, *redis_password_file;
    struct redis_tls_files redis_tls;
    struct store_place store;
    bool store_sync;
    char *models, *secret_file, *worker_token_file;
    char *purge_command, *purge_url, *purge_method, *purge_header_file;
    char *compat;
    char *trusted_proxies, *cors_origins, *webhook_allow, *blocked_domains;
    bool webhook_visitors;
    struct tracing_settings tracing;
    bool trace_strangers;
    int64_t shards, lease_ms, retain_ms, sweep_ms, max_queued, max_flow_queued;
    int64_t visitor_running, visitor_per_minute;
    int64_t max_body_bytes, max_batch_bytes, max_buffered_bytes, max_upload_bytes;
    int64_t submits_per_minute, submits_burst;
    int64_t drain_delay_ms, drain_ms;
    int64_t connections, idle_seconds, redis_timeout_ms, store_threads;
    int64_t redis_wait_replicas, redis_wait_ms;
    int64_t link_seconds, grant_seconds;
};

extern const struct config_spec settings_spec;

#endif
