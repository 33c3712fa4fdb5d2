/* SPDX-License-Identifier: MIT
 *
 * darkroom-notifier: writes to those who left an address when their picture is ready, or could not
 * be made, and calls the webhooks of those who gave one. Keeps nothing of its own: run as many as
 * you like on one Redis.
 *
 * Mail and webhooks have a thread each, so that neither waits for the other: the main thread hands
 * over one mail at a time, the other has many requests under way. outbox_watch.h wakes both. */
#include "common/catalogue.h"
#include "common/clock.h"
#include "common/config.h"
#include "common/err.h"
#include "common/log.h"
#include "common/manifest.h"
#include "common/metrics.h"
#include "common/metrics_server.h"
#include "common/network.h"
#include "common/queue_outbox.h"
#include "common/reload.h"
#include "common/secret.h"
#include "common/smtp.h"
#include "common/stop.h"
#include "common/supervisor.h"
#include "common/token.h"
#include "common/unsubscribe.h"
#include "common/webhook.h"
#include "dispatcher/notifier/absence.h"
#include "dispatcher/notifier/hook_sender.h"
#include "dispatcher/notifier/measures.h"
#include "dispatcher/notifier/notify.h"
#include "dispatcher/notifier/outbox_watch.h"
#include "dispatcher/notifier/reload.h"
#include "dispatcher/notifier/settings.h"
#include "dispatcher/notifier/spans.h"
#include "dispatcher/notifier/thumbnail.h"

#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#define CALL_MS 2000
/* The longest until another notifier's row is seen. */
#define MAX_BLOCK_MS 1000
#define DRAIN_MS 5000            /* what a stop leaves to requests under way */
#define SLOW_MAIL_MS (2 * 60000) /* beside its handing over: the small picture in it */
#define HOOKS_STALL_MS 30000     /* a turn of the webhooks' thread takes two seconds at most */
#define TRACES_MS 1000           /* for the spans that are left */
#define THUMBNAIL_SIDE 320
#define THUMBNAIL_MS 5000

/* What main() holds together. */
struct program {
    int argc; /* where the settings come from */
    char **argv;
    struct notifier_settings settings;
    struct secret secret;
    struct mail_sender sender;
    struct manifest_set models;
    struct address_keys *addresses;
    struct token_keys *tokens;
    struct unsubscribe_keys *unsubscribe;
    struct catalogue *catalogue;
    struct thumbnailer *thumbnailer;
    struct notify *notify;
    struct webhook_keys *webhooks;
    struct network_set webhook_allow;
    struct redis *mail_redis, *hook_redis;
    struct smtp *smtp;
    struct redis_target target;
    struct queue queues[QUEUE_SHARDS_MAX];
    struct courier courier;
    int mail_wake, hook_wake; /* eventfds */
    struct outbox_watch *watch;
    struct hook_sender *hooks;
    struct metrics *metrics; /* NULL: nobody asks */
    struct metrics_server *metrics_server;
    struct tracer *tracer; /* NULL: nobody collects traces */
    pthread_t hook_thread;
    _Atomic int64_t hooks_seen_ms; /* when it began its last turn */
    int64_t mails_sent;
    struct err unfit; /* code 0, or why it ends by itself */
};

static int open_courier(struct program *program, struct err *err)
{
    const struct notifier_settings *settings = &program->settings;
    if (settings->outbox) {
        struct stat status;
        if (mkdir(settings->outbox, 0700) < 0 &&
            (stat(settings->outbox, &status) < 0 || !S_ISDIR(status.st_mode)))
            return err_set_open(err, "outbox", "cannot make the folder %s", settings->outbox);
        if (access(settings->outbox, W_OK | X_OK) < 0)
            return err_set_open(err, "outbox", "cannot write into %s", settings->outbox);
        program->courier = courier_folder(settings->outbox);
        return 0;
    }
    int rc = notifier_open_smtp(settings, &program->smtp, err);
    if (rc == 0)
        program->courier = courier_smtp(program->smtp);
    return rc;
}

static int open_keys(struct program *program, struct err *err)
{
    int rc = err_blame(secret_load(program->settings.secret_file, &program->secret, err),
                       "secret-file", err);
    if (rc == 0)
        rc = address_keys_create(&program->secret, &program->addresses);
    if (rc == 0)
        rc = token_keys_create(&program->secret, &program->tokens);
    if (rc == 0)
        rc = unsubscribe_keys_create(&program->secret, &program->unsubscribe);
    if (rc == 0)
        rc = webhook_keys_create(&program->secret, &program->webhooks);
    secret_wipe(&program->secret);
    return rc;
}

static int open_hooks(struct program *program, struct err *err)
{
    const struct notifier_settings *settings = &program->settings;
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
        .metrics = program->metrics,
        .tracer = program->tracer,
        .wake_fd = program->hook_wake,
        .timeout_ms = settings->webhook_timeout_ms,
        .lease_ms = settings->webhook_lease_ms,
        .retry_ms = settings->webhook_retry_ms,
        .slots = (size_t)settings->webhook_slots,
        .per_target = (int)settings->webhook_per_receiver,
    };
    return rc == 0 ? hook_sender_create(&hooks, &program->hooks, err) : rc;
}

/* Fetching a small picture is no reason to send a mail after its lease. */
static int open_thumbnailer(struct program *program, struct err *err)
{
    const struct notifier_settings *settings = &program->settings;
    int64_t left_ms = settings->mail_lease_ms - (settings->smtp ? settings->smtp_timeout_ms : 0);
    const struct thumbnailer_options thumbnails = {
        .ca_file = settings->webhook_ca_file,
        .timeout_ms = left_ms / 2 < THUMBNAIL_MS ? left_ms / 2 : THUMBNAIL_MS,
        .side = THUMBNAIL_SIDE,
        .max_bytes = MAIL_MAX_THUMBNAIL,
    };
    return settings->thumbnails ? thumbnailer_open(&thumbnails, &program->thumbnailer, err) : 0;
}

static int open_mails(struct program *program, struct err *err)
{
    const struct notifier_settings *settings = &program->settings;
    int rc = catalogue_open(&program->catalogue, err);
    if (rc == 0)
        rc = open_courier(program, err);
    if (rc == 0)
        rc = open_thumbnailer(program, err);
    const struct notify_options mails = {
        .redis = program->mail_redis,
        .addresses = program->addresses,
        .tokens = program->tokens,
        .unsubscribe = program->unsubscribe,
        .catalogue = program->catalogue,
        .models = &program->models,
        .sender = &program->sender,
        .courier = &program->courier,
        .thumbnailer = program->thumbnailer,
        .metrics = program->metrics,
        .tracer = program->tracer,
        .public_url = settings->public_url,
        .per_address_hour = settings->per_address_hour,
        .quota_hour = settings->quota_hour,
        .quota_day = settings->quota_day,
        .hold_ms = settings->hold_ms,
        .lease_ms = settings->mail_lease_ms,
        .retry_ms = settings->retry_ms,
    };
    return rc == 0 ? notify_create(&mails, &program->notify, err) : rc;
}

/* Called by the metrics server's thread. */
static void refresh_metrics(void *context)
{
    const struct program *program = context;
    tracing_measure(program->tracer, program->metrics);
}

static int open_metrics(struct program *program, struct err *err)
{
    if (!program->settings.metrics)
        return 0;
    supervisor_patience(program->settings.smtp_timeout_ms + SLOW_MAIL_MS);
    int rc = notifier_measures_create(&program->metrics);
    if (rc == 0)
        rc = metrics_server_start(program->settings.metrics, program->metrics, refresh_metrics,
                                  program, &program->metrics_server, err);
    if (rc == 0)
        log_event(LOG_INFO, "notifier.metrics", "port", LOG_I,
                  (int64_t)metrics_server_port(program->metrics_server), NULL);
    return rc;
}

static int open_all(struct program *program, struct err *err)
{
    const struct notifier_settings *settings = &program->settings;
    int rc = notifier_settings_check(&program->settings, err);
    if (rc == 0)
        rc = mail_sender_parse(settings->mail_from, &program->sender, err);
    if (rc == 0)
        rc = open_keys(program, err);
    if (rc == 0 && settings->models)
        rc = err_blame(manifest_set_load(settings->models, &program->models, err), "models", err);
    if (rc == 0)
        rc = redis_target_init(&program->target, settings->redis, settings->redis_password_file,
                               err);
    if (rc == 0)
        rc = redis_target_secure(&program->target, &settings->redis_tls, err);
    if (rc == 0)
        rc = redis_create(&program->target, &program->mail_redis, err);
    if (rc == 0)
        rc = redis_create(&program->target, &program->hook_redis, err);
    if (rc == 0)
        rc = tracing_open(
            &settings->tracing,
            &(struct tracing_program){.name = "darkroom-notifier", .told = notifier_spans_told},
            &program->tracer, err);
    if (rc == 0)
        rc = open_metrics(program, err);
    if (rc == 0)
        rc = open_mails(program, err);
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
    metrics_server_stop(&program->metrics_server);
    hook_sender_destroy(&program->hooks);
    if (program->mail_wake >= 0)
        close(program->mail_wake);
    if (program->hook_wake >= 0)
        close(program->hook_wake);
    thumbnailer_close(&program->thumbnailer); /* before what its threads have in hand */
    notify_destroy(&program->notify);
    redis_destroy(&program->hook_redis);
    redis_destroy(&program->mail_redis);
    smtp_destroy(&program->smtp);
    manifest_set_fini(&program->models);
    webhook_keys_destroy(&program->webhooks);
    catalogue_close(&program->catalogue);
    unsubscribe_keys_destroy(&program->unsubscribe);
    token_keys_destroy(&program->tokens);
    address_keys_destroy(&program->addresses);
    tracer_destroy(&program->tracer, TRACES_MS);
    metrics_destroy(&program->metrics);
    config_fini(&notifier_settings_spec, &program->settings);
}

/* Sleeps, unless a signal comes first. */
static void pause_ms(int64_t ms)
{
    struct pollfd stop = {.fd = stop_fd(), .events = POLLIN};
    poll(&stop, 1, (int)ms);
}

static void log_report(const struct notify_report *report)
{
    static const char *const events[] = {
        [NOTIFY_SENT] = "mail.sent",         [NOTIFY_LIMITED] = "mail.limited",
        [NOTIFY_DEFERRED] = "mail.deferred", [NOTIFY_REFUSED] = "mail.refused",
        [NOTIFY_GONE] = "mail.gone",         [NOTIFY_HELD] = "mail.held",
        [NOTIFY_UNWANTED] = "mail.unwanted",
    };
    enum log_level level = report->result == NOTIFY_REFUSED ? LOG_WARN : LOG_INFO;
    if (report->result == NOTIFY_IDLE || report->result == NOTIFY_BEGUN)
        return;
    log_event(level, events[report->result], "job", LOG_S, report->job, "mail", LOG_S, report->id,
              "attempt", LOG_I, (int64_t)report->attempt, "wait_ms", LOG_I, report->wait_ms,
              "picture", LOG_I, (int64_t)report->picture, "reason", LOG_S,
              report->reason.code < 0 ? report->reason.text : NULL,
              report->trace[0] ? "trace_id" : NULL, LOG_S, report->trace, NULL);
}

/* Redis may be away when we start; one that evicts, is too old or refuses us is an error. */
static int wait_for_redis(struct program *program, struct absence *redis_away, struct err *err)
{
    while (!stop_requested()) {
        struct err cause = {0};
        int rc = 0;
        for (unsigned i = 0; rc == 0 && i < program->settings.shards; i++)
            rc = queue_check(&program->queues[i], program->mail_redis, CALL_MS, &cause);
        if (rc == 0) {
            absence_end(redis_away);
            return 0;
        }
        if (rc == ERR_DENIED || err_action(rc) != ACTION_RETRY)
            return err_set(err, rc, cause.field, "%s", cause.text);
        supervisor_beat(clock_ms(), "waiting for Redis: %s", cause.text);
        pause_ms(absence_note(redis_away, &cause));
    }
    return 0;
}

/* The wait ends with a signal, with news, with a small picture, or in time. */
static void wait_for_news(const struct program *program, int64_t ms)
{
    struct pollfd fds[] = {
        {.fd = stop_fd(), .events = POLLIN},
        {.fd = reload_fd(), .events = POLLIN},
        {.fd = program->mail_wake, .events = POLLIN},
        {.fd = program->thumbnailer ? thumbnailer_fd(program->thumbnailer) : -1, .events = POLLIN}};
    uint64_t news;
    poll(fds, sizeof fds / sizeof fds[0], (int)ms);
    (void)!read(program->mail_wake, &news, sizeof news); /* not blocking */
}

/* For both threads: where the other one hangs nothing is said, which the watchdog hears. */
static void tell_supervisor(struct program *program, bool redis_is_away)
{
    int64_t now_ms = clock_ms();
    if (supervisor_due(now_ms) && now_ms - atomic_load(&program->hooks_seen_ms) < HOOKS_STALL_MS)
        supervisor_beat(now_ms, "%" PRId64 " mails sent%s", program->mails_sent,
                        redis_is_away ? "; Redis is away" : "");
}

static void read_settings_again(struct program *program)
{
    notifier_reload(&(struct notifier_running){.argc = program->argc,
                                               .argv = program->argv,
                                               .settings = &program->settings,
                                               .sender = &program->sender,
                                               .models = &program->models,
                                               .smtp = &program->smtp,
                                               .courier = &program->courier,
                                               .notify = program->notify,
                                               .hooks = program->hooks});
}

static void send_mails(struct program *program)
{
    struct absence redis_away = {"redis.away", {.base_ms = 50, .max_ms = 2000}, false};
    struct absence mail_away = {"mail.away", {.base_ms = 200, .max_ms = 30000}, false};
    unsigned shards = (unsigned)program->settings.shards, idle = 0;
    int64_t wait_ms = MAX_BLOCK_MS;
    for (unsigned turn = 0; !stop_requested(); turn++) {
        struct notify_report report;
        struct err err = {0};
        tell_supervisor(program, redis_away.told);
        if (reload_take())
            read_settings_again(program);
        int rc = notify_tick(program->notify, &program->queues[turn % shards], &report, &err);
        if (rc == ERR_PROTOCOL) { /* of all shards, or soon */
            program->unfit = err;
            stop_request();
            return;
        }
        if (rc < 0) {
            pause_ms(absence_note(&redis_away, &err));
            continue;
        }
        absence_end(&redis_away);
        log_report(&report);
        program->mails_sent += report.result == NOTIFY_SENT;
        if (report.everyone)
            pause_ms(absence_note(&mail_away, &report.reason));
        else if (report.result == NOTIFY_SENT)
            absence_end(&mail_away);
        idle = report.result == NOTIFY_IDLE ? idle + 1 : 0;
        if (idle == 0)
            wait_ms = MAX_BLOCK_MS;
        else if (report.next_due_ms >= 0 && report.next_due_ms < wait_ms)
            wait_ms = report.next_due_ms;
        if (idle == shards) {
            wait_for_news(program, wait_ms);
            wait_ms = MAX_BLOCK_MS;
            idle = 0;
        }
    }
}

static void *send_hooks(void *argument)
{
    struct program *program = argument;
    struct absence redis_away = {"webhook.redis_away", {.base_ms = 50, .max_ms = 2000}, false};
    while (!stop_requested()) {
        struct err err = {0};
        atomic_store(&program->hooks_seen_ms, clock_ms());
        if (hook_sender_tick(program->hooks, MAX_BLOCK_MS, &err) < 0)
            hook_sender_wait(program->hooks, absence_note(&redis_away, &err));
        else
            absence_end(&redis_away);
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
    atomic_store(&program->hooks_seen_ms, clock_ms());
    supervisor_ready();
    bool threaded = pthread_create(&program->hook_thread, NULL, send_hooks, program) == 0;
    if (threaded)
        send_mails(program);
    else
        rc = err_set(err, ERR_UNAVAILABLE, NULL, "no thread can be started");
    stop_request();
    supervisor_stopping();
    if (threaded)
        pthread_join(program->hook_thread, NULL);
    outbox_watch_stop(&program->watch);
    const struct err *unfit = &program->unfit;
    return unfit->code < 0 ? err_set(err, unfit->code, unfit->field, "%s", unfit->text) : rc;
}

int main(int argc, char **argv)
{
    static struct program program = {.mail_wake = -1, .hook_wake = -1};
    struct err err = {0};
    enum config_next next;
    int arguments;
    int rc = config_load(&notifier_settings_spec, argc, argv, &program.settings, &next, &arguments,
                         &err);
    if (rc == 0 && next == CONFIG_EXIT)
        return EXIT_SUCCESS;
    log_init("notifier", LOG_INFO);
    stop_init();
    reload_init();
    supervisor_init();
    program.argc = argc;
    program.argv = argv;
    struct absence redis_away = {"redis.away", {.base_ms = 50, .max_ms = 2000}, false};
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
    return config_exit_status(&notifier_settings_spec, argc, argv, rc, &err);
}
