/* SPDX-License-Identifier: MIT
 *
 * The options of `darkroom-worker` without a subcommand, checked.
 *
 *     rc = settings_load(argc, argv, &settings, &next, &err);
 *     settings_fini(&settings);
 *
 * Filled once in main, then read-only: any thread. */
#ifndef DARKROOM_WORKER_SETTINGS_H
#define DARKROOM_WORKER_SETTINGS_H

#include "common/config.h"
#include "common/redis.h"
#include "common/tracing.h"
#include "gpu/model.h"
#include "worker/guard.h"
#include "worker/spot.h"
#include "worker/weights_cache.h"

#include <stdbool.h>

struct err;

/* What the options spell. */
struct settings_texts {
    char *redis, *redis_password_file;
    struct redis_tls_files redis_tls;
    char *dispatcher, *worker_token_file;
    char *models;
    struct config_list model;
    char *device, *precision;
    char *guard, *guard_command, *guard_endpoint, *guard_account, *guard_pod, *guard_group;
    char *guard_lock;
    char *spot, *spot_endpoint, *spot_file, *spot_command;
    char *metrics;
    struct tracing_settings tracing;
    bool debug;
};

struct settings {
    struct settings_texts texts; /* owned */
    int64_t shards;
    int64_t lease_ms;
    int64_t batch; /* 0: one on the CPU, what the manifest allows on a GPU */
    int64_t depth; /* jobs claimed beyond the batch; 0: see pipeline_depth() */
    int64_t fetchers, uploaders;
    int64_t threads;
    int64_t memory; /* bytes that loaded models may take; 0: a share of what there is */
    struct weights_cache_settings cache; /* owned */
    int64_t guard_idle_s;
    int64_t spot_poll_ms;
    bool spot_rebalance, spot_acknowledge;

    /* Made of the texts. */
    struct redis_target redis;
    char authorization[600]; /* "Bearer TOKEN": a secret */
    char grants_url[2048];
    char spot_endpoint[2048], guard_endpoint[512];
    struct spot_options spot;   /* borrows the texts */
    struct guard_options guard; /* so does this */
    enum model_device device;
    enum model_precision precision;
};

/* ERR_INVALID names the option. With CONFIG_EXIT there is nothing left to do or to free. */
int settings_load(int argc, char **argv, struct settings *out_settings, enum config_next *out_next,
                  struct err *err);
int settings_exit_status(int argc, char **argv, int rc, const struct err *err);
/* Of a reload: what may change changes places; the names of what has changed and may not, between
 * commas. What is made of the texts (below) stays. */
void settings_take_over(struct settings *current, struct settings *fresh, char *out_fixed,
                        size_t size);
void settings_fini(struct settings *settings);

#endif
