/* SPDX-License-Identifier: MIT */
#include "worker/settings.h"

#include "common/err.h"
#include "common/queue.h"
#include "common/redis_options.h"
#include "common/secret.h"

#include <stdio.h>
#include <string.h>

#define TOKEN_MIN_BYTES 32
#define TOKEN_MAX_BYTES 512

#define FIELD(name) offsetof(struct settings, name)

static const struct config_option options[] = {
    REDIS_OPTIONS(struct settings, texts.redis, texts.redis_password_file, texts.redis_tls),
    REDIS_SHARDS_OPTION(FIELD(shards)),
    {"dispatcher", CONFIG_TEXT, FIELD(texts.dispatcher), "http://127.0.0.1:8080",
     .help = "where grants are asked for"},
    {"worker-token-file", CONFIG_TEXT, FIELD(texts.worker_token_file), NULL,
     .help = "one line of at least 32 characters, shared with dispatchers",
     .traits = CONFIG_SECRET},
    {"models", CONFIG_TEXT, FIELD(texts.models), "models",
     .help = "folder of manifests; else the installed one", .installed = "models",
     .traits = CONFIG_RELOADS},
    WEIGHTS_CACHE_OPTIONS(FIELD(cache)),
    {"model", CONFIG_LIST, FIELD(texts.model), NULL, 0, 32, NULL,
     "serve this model only; may be repeated"},
    {"device", CONFIG_TEXT, FIELD(texts.device), "cpu", .help = "cpu, cuda or ref"},
    {"precision", CONFIG_TEXT, FIELD(texts.precision), "f32", .help = "f32, bf16 or f16"},
    {"threads", CONFIG_INT, FIELD(threads), "0", 0, 1024, NULL,
     "of the network on the CPU; 0: every core"},
    {"memory", CONFIG_INT, FIELD(memory), "0", 0, INT64_C(1) << 50, "bytes",
     "that loaded models may take; 0: half of the host's, or 85 % of what a GPU has free"},
    {"batch", CONFIG_INT, FIELD(batch), "0", 0, MODEL_MAX_BATCH, "jobs",
     "most in one run; 0: one on the CPU, what the manifest allows on a GPU"},
    {"depth", CONFIG_INT, FIELD(depth), "0", 0, 256, "jobs",
     "claimed beyond the batch, so that the next is ready when the network is; 0: 3, or two "
     "batches of several"},
    {"fetchers", CONFIG_INT, FIELD(fetchers), "2", 1, 64, "threads", "that fetch and decode"},
    {"uploaders", CONFIG_INT, FIELD(uploaders), "2", 1, 64, "threads", "that encode and upload"},
    {"lease-ms", CONFIG_INT, FIELD(lease_ms), "30000", 200, 3600000, "ms",
     "a job goes to another worker after so long without a heartbeat"},
    {"guard", CONFIG_TEXT, FIELD(texts.guard), "off",
     .help = "who hears that we are busy and spares us: kubernetes, aws, command or off"},
    {"guard-command", CONFIG_TEXT, FIELD(texts.guard_command), NULL,
     .help = "with --guard command: program that is told busy or idle, and our id"},
    {"guard-idle-s", CONFIG_INT, FIELD(guard_idle_s), "10", 0, 3600, "s",
     "without a job until idle is told"},
    {"guard-endpoint", CONFIG_TEXT, FIELD(texts.guard_endpoint), NULL,
     .help = "whom --guard asks; else the cluster, or the region's autoscaling"},
    {"guard-account", CONFIG_TEXT, FIELD(texts.guard_account),
     "/var/run/secrets/kubernetes.io/serviceaccount",
     .help = "Kubernetes: folder with token, ca.crt and namespace"},
    {"guard-pod", CONFIG_TEXT, FIELD(texts.guard_pod), NULL,
     .help = "Kubernetes: the name of our pod; else the host's"},
    {"guard-group", CONFIG_TEXT, FIELD(texts.guard_group), NULL,
     .help = "AWS: our autoscaling group; else the machine's tag says it"},
    {"guard-lock", CONFIG_TEXT, FIELD(texts.guard_lock), "/run/darkroom-worker/guard",
     .help = "AWS: a file that all workers of this machine share"},
    {"spot", CONFIG_TEXT, FIELD(texts.spot), "off",
     .help = "who says that this machine is taken away: aws, gcp, azure, file, command or off"},
    {"spot-endpoint", CONFIG_TEXT, FIELD(texts.spot_endpoint), "http://169.254.169.254",
     .help = "the cloud's metadata service"},
    {"spot-file", CONFIG_TEXT, FIELD(texts.spot_file), NULL,
     .help = "with --spot file: a notice once this file is there"},
    {"spot-command", CONFIG_TEXT, FIELD(texts.spot_command), NULL,
     .help = "with --spot command: for /bin/sh; status 0 is a notice, 1 is none"},
    {"spot-poll-ms", CONFIG_INT, FIELD(spot_poll_ms), "2000", 50, 60000, "ms", "between two looks"},
    {"spot-rebalance", CONFIG_BOOL, FIELD(spot_rebalance), "true",
     .help = "AWS: a rebalance recommendation ends the worker once it has finished its jobs"},
    {"spot-acknowledge", CONFIG_BOOL, FIELD(spot_acknowledge), "true",
     .help = "Azure: when done, say that the machine may go; false where workers share one"},
    {"metrics", CONFIG_TEXT, FIELD(texts.metrics), NULL,
     .help = "HOST:PORT where Prometheus fetches /metrics; off unless given"},
    TRACING_OPTIONS(FIELD(texts.tracing)),
    {"debug", CONFIG_BOOL, FIELD(texts.debug), "false", .help = "log more",
     .traits = CONFIG_RELOADS},
};

static const struct config_spec spec = {
    .usage = "[OPTIONS]\n"
             "       darkroom-worker run MODEL --input IN --output OUT.png [OPTIONS]\n"
             "Claims jobs from the queue and runs them until SIGTERM or SIGINT.",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .settings_size = sizeof(struct settings),
    .max_arguments = 0,
};

static int read_token(struct settings *settings, struct err *err)
{
    const char *path = settings->texts.worker_token_file;
    if (!path)
        return err_set(err, ERR_INVALID, "worker-token-file", "--worker-token-file is needed");
    char token[TOKEN_MAX_BYTES + 1];
    int rc = err_blame(secret_read_line(path, TOKEN_MIN_BYTES, token, sizeof token, err),
                       "worker-token-file", err);
    if (rc == 0)
        snprintf(settings->authorization, sizeof settings->authorization, "Bearer %s", token);
    crypto_wipe(token, sizeof token);
    return rc;
}

/* `url` without slashes at its end, and `path` behind it. */
static int read_url(const char *name, const char *url, const char *path, char *out, size_t size,
                    struct err *err)
{
    size_t length = strlen(url);
    while (length > 0 && url[length - 1] == '/')
        length--;
    bool known = !strncmp(url, "http://", 7) || !strncmp(url, "https://", 8);
    if (!known || snprintf(out, size, "%.*s%s", (int)length, url, path) >= (int)size)
        return err_set(err, ERR_INVALID, name, "wanted http://host[:port] or https://…");
    return 0;
}

static int read_spot(struct settings *settings, struct err *err)
{
    const struct settings_texts *texts = &settings->texts;
    struct spot_options *spot = &settings->spot;
    int rc = spot_kind_parse(texts->spot, &spot->kind, err);
    if (rc == 0)
        rc = read_url("spot-endpoint", texts->spot_endpoint, "", settings->spot_endpoint,
                      sizeof settings->spot_endpoint, err);
    if (rc == 0 && (spot->kind == SPOT_FILE) != (texts->spot_file != NULL))
        rc = err_set(err, ERR_INVALID, "spot-file", "--spot file and --spot-file PATH go together");
    if (rc == 0 && (spot->kind == SPOT_COMMAND) != (texts->spot_command != NULL))
        rc = err_set(err, ERR_INVALID, "spot-command",
                     "--spot command and --spot-command TEXT go together");
    if (rc < 0)
        return rc;
    spot->endpoint = settings->spot_endpoint;
    spot->file = texts->spot_file;
    spot->command = texts->spot_command;
    spot->poll_ms = settings->spot_poll_ms;
    spot->rebalance = settings->spot_rebalance;
    return 0;
}

static int read_guard(struct settings *settings, struct err *err)
{
    const struct settings_texts *texts = &settings->texts;
    struct guard_options *guard = &settings->guard;
    int rc = guard_kind_parse(texts->guard, &guard->kind, err);
    if (rc == 0 && texts->guard_endpoint)
        rc = read_url("guard-endpoint", texts->guard_endpoint, "", settings->guard_endpoint,
                      sizeof settings->guard_endpoint, err);
    if (rc == 0 && (guard->kind == GUARD_COMMAND) != (texts->guard_command != NULL))
        rc = err_set(err, ERR_INVALID, "guard-command",
                     "--guard command and --guard-command PATH go together");
    if (rc < 0)
        return rc;
    guard->command = texts->guard_command;
    guard->idle_ms = settings->guard_idle_s * 1000;
    guard->endpoint = texts->guard_endpoint ? settings->guard_endpoint : NULL;
    guard->account = texts->guard_account;
    guard->pod = texts->guard_pod;
    guard->group = texts->guard_group;
    guard->lock = texts->guard_lock;
    guard->metadata = settings->spot_endpoint;
    return 0;
}

int settings_load(int argc, char **argv, struct settings *out_settings, enum config_next *out_next,
                  struct err *err)
{
    int arguments;
    int rc = config_load(&spec, argc, argv, out_settings, out_next, &arguments, err);
    if (rc < 0 || *out_next == CONFIG_EXIT)
        return rc;
    const struct settings_texts *texts = &out_settings->texts;
    rc = redis_target_init(&out_settings->redis, texts->redis, texts->redis_password_file, err);
    if (rc == 0)
        rc = redis_target_secure(&out_settings->redis, &texts->redis_tls, err);
    if (rc == 0)
        rc = read_token(out_settings, err);
    if (rc == 0)
        rc = read_url("dispatcher", texts->dispatcher, "/v1/grants", out_settings->grants_url,
                      sizeof out_settings->grants_url, err);
    if (rc == 0)
        rc = read_spot(out_settings, err);
    if (rc == 0)
        rc = read_guard(out_settings, err);
    if (rc == 0)
        rc = model_device_parse(texts->device, &out_settings->device, err);
    if (rc == 0)
        rc = model_precision_parse(texts->precision, &out_settings->precision, err);
    if (rc < 0)
        settings_fini(out_settings);
    return rc;
}

int settings_exit_status(int argc, char **argv, int rc, const struct err *err)
{
    return config_exit_status(&spec, argc, argv, rc, err);
}

void settings_take_over(struct settings *current, struct settings *fresh, char *out_fixed,
                        size_t size)
{
    config_fixed_changes(&spec, current, fresh, out_fixed, size);
    config_take_over(&spec, current, fresh);
}

void settings_fini(struct settings *settings)
{
    config_fini(&spec, settings);
}
