/* SPDX-License-Identifier: MIT
 *
 * darkroom-notifier: writes to those who left an address when their picture is ready, or could not
 * be made, and calls the webhooks of those who gave one. Keeps nothing of its own: run as many as
 * you like on one Redis.
 *
 * Mail and webhooks have a thread each, so that neither waits for the other: the main thread hands
 * over one mail at a time, the other has many requests under way. outbox_watch.h wakes both. */
#include "common/backoff.h"
#include "common/clock.h"
#include "common/config.h"
#include "common/err.h"
#include "common/log.h"
#include "common/manifest.h"
#include "common/network.h"
#include "common/queue_outbox.h"
#include "common/redis_options.h"
#include "common/secret.h"
#include "common/smtp.h"
#include "common/stop.h"
#include "common/token.h"
#include "common/webhook.h"
#include "dispatcher/notifier/hook_sender.h"
#include "dispatcher/notifier/notify.h"
#include "dispatcher/notifier/outbox_watch.h"

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#define CALL_MS 2000
#define MAX_PASSWORD 257
/* The longest until another notifier's row is seen. */
#define MAX_BLOCK_MS 1000
#define DRAIN_MS 5000 /* what a stop leaves to requests under way */

struct settings {
    struct redis_tls_files redis_tls;
    char *redis, *redis_password_file, *public_url, *models, *secret_file;
    char *mail_from, *smtp, *smtp_user, *smtp_password_file, *smtp_ca_file, *outbox;
    char *webhook_allow, *webhook_ca_file;
    int64_t shards, per_address_hour, retry_ms, mail_lease_ms, smtp_timeout_ms;
    int64_t webhook_slots, webhook_per_receiver, webhook_retry_ms, webhook_lease_ms;
    int64_t webhook_timeout_ms;
    bool smtp_allow_plain;
};

#define AT(member) offsetof(struct settings, member)

static const struct config_option options[] = {
    {"redis", CONFIG_TEXT, AT(redis), "redis://127.0.0.1:6379/0", .help = "server of the queue"},
    {"redis-password-file", CONFIG_TEXT, AT(redis_password_file), .help = "its password"},
    REDIS_TLS_OPTIONS(AT(redis_tls)),
    {"shards", CONFIG_INT, AT(shards), "1", 1, QUEUE_SHARDS_MAX, NULL,
     "over which the jobs are spread; every program of a Redis is told the same"},
    {"public-url", CONFIG_TEXT, AT(public_url), "http://127.0.0.1:8080",
     .help = "where visitors reach the dispatcher; links begin with it"},
    {"models", CONFIG_TEXT, AT(models), .help = "folder of manifests, for the models' titles"},
    {"secret-file", CONFIG_TEXT, AT(secret_file), .help = "the secret of the dispatchers"},
    {"mail-from", CONFIG_TEXT, AT(mail_from), .help = "'Name <address>' or address of the sender"},
    {"smtp", CONFIG_TEXT, AT(smtp),
     .help = "smtps://HOST, smtp+starttls://HOST[:PORT] or smtp://HOST[:PORT]"},
    {"smtp-user", CONFIG_TEXT, AT(smtp_user), .help = "for AUTH; none by default"},
    {"smtp-password-file", CONFIG_TEXT, AT(smtp_password_file), .help = "for AUTH"},
    {"smtp-ca-file", CONFIG_TEXT, AT(smtp_ca_file),
     .help = "certificates to trust instead of the system's"},
    {"smtp-allow-plain", CONFIG_BOOL, AT(smtp_allow_plain), "false",
     .help = "let smtp:// reach other machines than this one"},
    {"smtp-timeout-ms", CONFIG_INT, AT(smtp_timeout_ms), "60000", 100, 600000, "ms",
     "the longest that handing over one mail may take"},
    {"outbox", CONFIG_TEXT, AT(outbox), .help = "write .eml files into this folder instead"},
    {"mail-per-address-hour", CONFIG_INT, AT(per_address_hour), "6", 1, 1000, "mails",
     "more wait until the hour is over"},
    {"mail-retry-ms", CONFIG_INT, AT(retry_ms), "10000", 10, 3600000, "ms",
     "first wait after a failure; it doubles up to an hour, for three days"},
    {"mail-lease-ms", CONFIG_INT, AT(mail_lease_ms), "120000", 1000, 3600000, "ms",
     "after this a mail of a notifier that died is taken over"},
    {"webhook-allow", CONFIG_TEXT, AT(webhook_allow),
     .help = "internal networks that webhooks may reach all the same: 10.1.2.0/24,127.0.0.1"},
    {"webhook-ca-file", CONFIG_TEXT, AT(webhook_ca_file),
     .help = "certificates to trust instead of the system's"},
    {"webhook-timeout-ms", CONFIG_INT, AT(webhook_timeout_ms), "15000", 100, 60000, "ms",
     "the longest that one request may take"},
    {"webhook-concurrency", CONFIG_INT, AT(webhook_slots), "256", 1, 4096, "requests", "at once"},
    {"webhook-per-receiver", CONFIG_INT, AT(webhook_per_receiver), "4", 1, 256, "requests",
     "at once to one receiver, from all notifiers together"},
    {"webhook-retry-ms", CONFIG_INT, AT(webhook_retry_ms), "10000", 10, 3600000, "ms",
     "first wait after a failure; it doubles up to four hours, for three days"},
    {"webhook-lease-ms", CONFIG_INT, AT(webhook_lease_ms), "60000", 1000, 3600000, "ms",
     "after this a request of a notifier that died is made again"},
};

static const struct config_spec spec = {
    .usage = "--secret-file FILE --mail-from SENDER (--smtp URL | --outbox DIR) [OPTIONS]\n"
             "Sends the mails and webhooks of jobs that ended.",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .settings_size = sizeof(struct settings),
    .max_arguments = 0,
};

/* What main() holds together. */
struct program {
    struct settings settings;
    struct secret secret;
    struct mail_sender sender;
    struct manifest_set models;
    struct address_keys *addresses;
    struct token_keys *tokens;
    struct webhook_keys *webhooks;
    struct network_set webhook_allow;
    struct redis *mail_redis, *hook_redis;
    struct smtp *smtp;
    struct redis_target target;
    struct queue queues[QUEUE_SHARDS_MAX];
    struct notify_courier courier;
    int mail_wake, hook_wake; /* eventfds */
    struct outbox_watch *watch;
    struct hook_sender *hooks;
    pthread_t hook_thread;
};

static int check_settings(struct settings *settings, struct err *err)
{
    if (!settings->secret_file || !settings->mail_from)
        return err_set(err, ERR_INVALID, NULL, "--secret-file and --mail-from are needed");
    if (!settings->smtp == !settings->outbox)
        return err_set(err, ERR_INVALID, NULL, "one of --smtp and --outbox is needed");
    if (!settings->smtp_user != !settings->smtp_password_file)
        return err_set(err, ERR_INVALID, NULL, "--smtp-user and --smtp-password-file go together");
    if (settings->smtp && settings->mail_lease_ms <= settings->smtp_timeout_ms)
        return err_set(err, ERR_INVALID, "mail-lease-ms",
                       "mail-lease-ms must be more than smtp-timeout-ms, which is %lld",
                       (long long)settings->smtp_timeout_ms);
    if (settings->webhook_lease_ms <= settings->webhook_timeout_ms)
        return err_set(err, ERR_INVALID, "webhook-lease-ms",
                       "webhook-lease-ms must be more than webhook-timeout-ms, which is %lld",
                       (long long)settings->webhook_timeout_ms);
    size_t length = strlen(settings->public_url);
    while (length && settings->public_url[length - 1] == '/')
        settings->public_url[--length] = 0;
    if (strncmp(settings->public_url, "http://", 7) && strncmp(settings->public_url, "https://", 8))
        return err_set(err, ERR_INVALID, "public-url", "public-url wants http:// or https://");
    return 0;
}

static int open_courier(struct program *program, struct err *err)
{
    const struct settings *settings = &program->settings;
    if (settings->outbox) {
        struct stat status;
        if (mkdir(settings->outbox, 0700) < 0 &&
            (stat(settings->outbox, &status) < 0 || !S_ISDIR(status.st_mode)))
            return err_set_errno(err, "outbox", "cannot make the folder %s", settings->outbox);
        if (access(settings->outbox, W_OK | X_OK) < 0)
            return err_set_errno(err, "outbox", "cannot write into %s", settings->outbox);
        program->courier = notify_folder_courier(settings->outbox);
        return 0;
    }
    char password[MAX_PASSWORD] = "";
    int rc = 0;
    if (settings->smtp_password_file)
        rc = secret_read_line(settings->smtp_password_file, 1, password, sizeof password, err);
    if (rc == 0)
        rc = smtp_create(&(struct smtp_options){.url = settings->smtp,
                                                .user = settings->smtp_user,
                                                .password = password,
                                                .ca_file = settings->smtp_ca_file,
                                                .allow_plain = settings->smtp_allow_plain,
                                                .timeout_ms = settings->smtp_timeout_ms},
                         &program->smtp, err);
    crypto_wipe(password, sizeof password);
    if (rc == 0)
        program->courier = notify_smtp_courier(program->smtp);
    return rc;
}

static int open_keys(struct program *program, struct err *err)
{
    int rc = secret_load(program->settings.secret_file, &program->secret, err);
    if (rc == 0)
        rc = address_keys_create(&program->secret, &program->addresses);
    if (rc == 0)
        rc = token_keys_create(&program->secret, &program->tokens);
    if (rc == 0)
        rc = webhook_keys_create(&program->secret, &program->webhooks);
    secret_wipe(&program->secret);
    return rc;
}

static int open_hooks(struct program *program, struct err *err)
{
    const struct settings *settings = &program->settings;
    int rc =
        network_set_parse(settings->webhook_allow, "webhook-allow", &program->webhook_allow, err);
    program->mail_wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    program->hook_wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (rc == 0 && (program->mail_wake < 0 || program->hook_wake < 0))
        rc = err_set_errno(err, NULL, "cannot make an eventfd");
    const struct hook_sender_options hooks = {
        .queues = program->queues,
        .queue_count = (size_t)settings->shards,
        .redis = program->hook_redis,
        .keys = program->webhooks,
        .allowed = &program->webhook_allow,
        .ca_file = settings->webhook_ca_file,
        .public_url = settings->public_url,
        .wake_fd = program->hook_wake,
        .timeout_ms = settings->webhook_timeout_ms,
        .lease_ms = settings->webhook_lease_ms,
        .retry_ms = settings->webhook_retry_ms,
        .slots = (size_t)settings->webhook_slots,
        .per_target = (int)settings->webhook_per_receiver,
    };
    return rc == 0 ? hook_sender_create(&hooks, &program->hooks, err) : rc;
}

static int open_all(struct program *program, struct err *err)
{
    const struct settings *settings = &program->settings;
    int rc = check_settings(&program->settings, err);
    if (rc == 0)
        rc = mail_sender_parse(settings->mail_from, &program->sender, err);
    if (rc == 0)
        rc = open_keys(program, err);
    if (rc == 0 && settings->models)
        rc = manifest_set_load(settings->models, &program->models, err);
    if (rc == 0)
        rc = open_courier(program, err);
    if (rc == 0)
        rc = redis_target_init(&program->target, settings->redis, settings->redis_password_file,
                               err);
    if (rc == 0)
        rc = redis_target_secure(&program->target, &settings->redis_tls, err);
    if (rc == 0)
        rc = redis_create(&program->target, &program->mail_redis, err);
    if (rc == 0)
        rc = redis_create(&program->target, &program->hook_redis, err);
    for (unsigned i = 0; i < settings->shards; i++) {
        queue_init(&program->queues[i], i, settings->mail_lease_ms);
        program->queues[i].shards = (unsigned)settings->shards;
    }
    if (rc == 0)
        rc = open_hooks(program, err);
    return rc < 0 ? err_set(err, rc, NULL, "%s", err_name(rc)) : 0;
}

static void close_all(struct program *program)
{
    hook_sender_destroy(&program->hooks);
    if (program->mail_wake >= 0)
        close(program->mail_wake);
    if (program->hook_wake >= 0)
        close(program->hook_wake);
    redis_destroy(&program->hook_redis);
    redis_destroy(&program->mail_redis);
    smtp_destroy(&program->smtp);
    manifest_set_fini(&program->models);
    webhook_keys_destroy(&program->webhooks);
    token_keys_destroy(&program->tokens);
    address_keys_destroy(&program->addresses);
    config_fini(&spec, &program->settings);
}

/* Sleeps, unless a signal comes first. */
static void pause_ms(int64_t ms)
{
    struct pollfd stop = {.fd = stop_fd(), .events = POLLIN};
    poll(&stop, 1, (int)ms);
}

/* Says once that something is away, and once that it is back. */
struct outage {
    const char *event;
    struct backoff backoff;
    bool told;
};

/* Returns how long to pause. */
static int64_t outage_note(struct outage *outage, const struct err *err)
{
    if (!outage->told)
        log_event(LOG_WARN, outage->event, "error", LOG_S, err_name(err->code), "reason", LOG_S,
                  err->text, NULL);
    outage->told = true;
    return backoff_next_ms(&outage->backoff);
}

static void outage_begin(struct outage *outage, const struct err *err)
{
    pause_ms(outage_note(outage, err));
}

static void outage_end(struct outage *outage)
{
    if (outage->told)
        log_event(LOG_INFO, outage->event, "error", LOG_S, "ok", NULL);
    outage->told = false;
    backoff_reset(&outage->backoff);
}

static void log_report(const struct notify_report *report)
{
    static const char *const events[] = {
        [NOTIFY_SENT] = "mail.sent",         [NOTIFY_LIMITED] = "mail.limited",
        [NOTIFY_DEFERRED] = "mail.deferred", [NOTIFY_REFUSED] = "mail.refused",
        [NOTIFY_GONE] = "mail.gone",
    };
    enum log_level level = report->result == NOTIFY_REFUSED ? LOG_WARN : LOG_INFO;
    if (report->result == NOTIFY_IDLE)
        return;
    log_event(level, events[report->result], "job", LOG_S, report->job, "mail", LOG_S, report->id,
              "attempt", LOG_I, (int64_t)report->attempt, "wait_ms", LOG_I, report->wait_ms,
              "reason", LOG_S, report->reason.code < 0 ? report->reason.text : NULL, NULL);
}

/* Redis may be away when we start; one that evicts or is too old is an error. */
static int wait_for_redis(struct program *program, struct outage *redis_away, struct err *err)
{
    while (!stop_requested()) {
        struct err cause = {0};
        int rc = 0;
        for (unsigned i = 0; rc == 0 && i < program->settings.shards; i++)
            rc = queue_check(&program->queues[i], program->mail_redis, CALL_MS, &cause);
        if (rc == 0) {
            outage_end(redis_away);
            return 0;
        }
        if (err_action(rc) != ACTION_RETRY)
            return err_set(err, rc, cause.field, "%s", cause.text);
        outage_begin(redis_away, &cause);
    }
    return 0;
}

/* The wait ends with a signal, with news, or in time. */
static void wait_for_news(int wake_fd, int64_t ms)
{
    struct pollfd fds[] = {{.fd = stop_fd(), .events = POLLIN}, {.fd = wake_fd, .events = POLLIN}};
    uint64_t news;
    poll(fds, 2, (int)ms);
    (void)!read(wake_fd, &news, sizeof news); /* not blocking */
}

static void send_mails(struct program *program)
{
    struct notify notify = {
        .redis = program->mail_redis,
        .addresses = program->addresses,
        .tokens = program->tokens,
        .models = &program->models,
        .sender = &program->sender,
        .courier = &program->courier,
        .public_url = program->settings.public_url,
        .per_address_hour = (int)program->settings.per_address_hour,
        .lease_ms = program->settings.mail_lease_ms,
        .retry_ms = program->settings.retry_ms,
    };
    struct outage redis_away = {"redis.away", {.base_ms = 50, .max_ms = 2000}, false};
    struct outage mail_away = {"mail.away", {.base_ms = 200, .max_ms = 30000}, false};
    unsigned shards = (unsigned)program->settings.shards, idle = 0;
    int64_t wait_ms = MAX_BLOCK_MS;
    for (unsigned turn = 0; !stop_requested(); turn++) {
        struct notify_report report;
        struct err err = {0};
        notify.queue = &program->queues[turn % shards];
        int rc = notify_tick(&notify, &report, &err);
        if (rc < 0) {
            outage_begin(&redis_away, &err);
            continue;
        }
        outage_end(&redis_away);
        log_report(&report);
        if (report.everyone)
            outage_begin(&mail_away, &report.reason);
        else if (report.result == NOTIFY_SENT)
            outage_end(&mail_away);
        idle = report.result == NOTIFY_IDLE ? idle + 1 : 0;
        if (idle == 0)
            wait_ms = MAX_BLOCK_MS;
        else if (report.next_due_ms >= 0 && report.next_due_ms < wait_ms)
            wait_ms = report.next_due_ms;
        if (idle == shards) {
            wait_for_news(program->mail_wake, wait_ms);
            wait_ms = MAX_BLOCK_MS;
            idle = 0;
        }
    }
}

static void *send_hooks(void *argument)
{
    struct program *program = argument;
    struct outage redis_away = {"webhook.redis_away", {.base_ms = 50, .max_ms = 2000}, false};
    while (!stop_requested()) {
        struct err err = {0};
        if (hook_sender_tick(program->hooks, MAX_BLOCK_MS, &err) < 0)
            hook_sender_wait(program->hooks, outage_note(&redis_away, &err));
        else
            outage_end(&redis_away);
    }
    int64_t end_ms = clock_ms() + DRAIN_MS;
    while (hook_sender_busy(program->hooks) > 0 && clock_ms() < end_ms)
        hook_sender_tick(program->hooks, 100, NULL);
    return NULL;
}

static int run(struct program *program, struct err *err)
{
    const int wake_fds[] = {program->mail_wake, program->hook_wake};
    int rc = outbox_watch_start(&program->target, program->queues, (size_t)program->settings.shards,
                                wake_fds, 2, &program->watch, err);
    if (rc < 0)
        return rc;
    bool threaded = pthread_create(&program->hook_thread, NULL, send_hooks, program) == 0;
    if (threaded)
        send_mails(program);
    else
        rc = err_set(err, ERR_UNAVAILABLE, NULL, "no thread can be started");
    stop_request();
    if (threaded)
        pthread_join(program->hook_thread, NULL);
    outbox_watch_stop(&program->watch);
    return rc;
}

int main(int argc, char **argv)
{
    static struct program program = {.mail_wake = -1, .hook_wake = -1};
    struct err err = {0};
    enum config_next next;
    int arguments;
    int rc = config_load(&spec, argc, argv, &program.settings, &next, &arguments, &err);
    if (rc == 0 && next == CONFIG_EXIT)
        return EXIT_SUCCESS;
    log_init("notifier", LOG_INFO);
    stop_init();
    struct outage redis_away = {"redis.away", {.base_ms = 50, .max_ms = 2000}, false};
    if (rc == 0)
        rc = open_all(&program, &err);
    if (rc == 0)
        rc = wait_for_redis(&program, &redis_away, &err);
    if (rc == 0) {
        log_event(LOG_INFO, "notifier.ready", "courier", LOG_S,
                  program.settings.outbox ? "folder" : "smtp", NULL);
        rc = run(&program, &err);
        if (rc == 0)
            log_event(LOG_INFO, "notifier.stopped", NULL);
    }
    if (rc < 0) {
        log_event(LOG_ERROR, "notifier.failed", "error", LOG_S, err_name(rc), "field", LOG_S,
                  err.field, "reason", LOG_S, err.text, NULL);
    }
    close_all(&program);
    return err_exit_status(rc);
}
