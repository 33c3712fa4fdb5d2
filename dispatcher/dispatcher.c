/* SPDX-License-Identifier: MIT */
#include "dispatcher/dispatcher.h"

#include "common/clock.h"
#include "common/crypto.h"
#include "common/err.h"
#include "common/keys.h"
#include "common/log.h"
#include "common/metrics.h"
#include "common/reload.h"
#include "common/secret.h"
#include "common/stop.h"
#include "common/supervisor.h"
#include "dispatcher/access/blocked.h"
#include "dispatcher/access/cors.h"
#include "dispatcher/access/keyring.h"
#include "dispatcher/access/limits.h"
#include "dispatcher/access/throttle.h"
#include "dispatcher/edition.h"
#include "dispatcher/events/events.h"
#include "dispatcher/http/server.h"
#include "dispatcher/jobs/disowned.h"
#include "dispatcher/jobs/enqueue.h"
#include "dispatcher/jobs/forecast.h"
#include "dispatcher/offload.h"
#include "dispatcher/operate/measures.h"
#include "dispatcher/operate/samples.h"
#include "dispatcher/operate/stats.h"
#include "dispatcher/routes.h"
#include "dispatcher/traces.h"
#include "dispatcher/upkeep/gate.h"
#include "dispatcher/upkeep/housekeeping.h"
#include "dispatcher/upkeep/mail_watch.h"
#include "dispatcher/upkeep/purge.h"
#include "dispatcher/upkeep/store_watch.h"
#include "dispatcher/upkeep/sweep.h"

#include <malloc.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#define MAX_EVENTS 64
#define REQUEST_MS (5 * 60 * 1000)
#define DRAIN_BYTES ((size_t)64 * 1024 * 1024)
#define OFFLOAD_CAPACITY 512
/* After a stop was asked for, what is only tidied up gets so long; a sweep of the store finds the
 * rest. */
#define TIDY_MS 2000
/* And so long a silent connection, whose client may be sending at this moment. */
#define SILENT_MS 1000
#define TRACES_MS 1500 /* for the spans that are left */
#define STORE_TIMEOUT_MS 10000
#define START_CHECK_MS 2000
#define TRIM_MS 10000
#define SPARE_FILES 64 /* for Redis, epoll, objects on their way */
#define TRIM_CONNECTIONS 256

/* What an event of the loop is about: their addresses are the tags. */
static char redis_tag, events_tag, streams_tag, http_tag, clients_tag, offload_tag, stop_tag,
    reload_tag;

/* ---- start ---- */

static int watch(const struct dispatcher *dispatcher, int fd, void *tag, struct err *err)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = tag};
    if (epoll_ctl(dispatcher->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
        return err_set_errno(err, NULL, "epoll");
    return 0;
}

static int load_keys(struct dispatcher *dispatcher, struct err *err)
{
    const struct settings *settings = dispatcher->settings;
    struct secret secret;
    int rc = err_blame(secret_load(settings->secret_file, &secret, err), "secret-file", err);
    if (rc < 0)
        return rc;
    rc = token_keys_create(&secret, &dispatcher->tokens);
    if (rc == 0)
        rc = address_keys_create(&secret, &dispatcher->addresses);
    if (rc == 0)
        rc = unsubscribe_keys_create(&secret, &dispatcher->unsubscribe);
    if (rc == 0)
        rc = webhook_keys_create(&secret, &dispatcher->webhooks);
    if (rc == 0)
        rc = secret_mac(&secret, SECRET_VISITOR_FLOW, &dispatcher->flow_mac);
    if (rc < 0)
        err_set(err, rc, "secret-file", "no keys from the secret");
    struct store_options store = store_options_at(&settings->store);
    store.public_url = dispatcher->public_url;
    store.secret = &secret;
    store.no_sync = !settings->store_sync;
    store.timeout_ms = STORE_TIMEOUT_MS;
    if (rc == 0)
        rc = err_blame(store_open(&store, &dispatcher->store, err), "store", err);
    secret_wipe(&secret);
    if (rc == 0)
        rc = err_blame(secret_read_line(settings->worker_token_file, 32, dispatcher->worker_token,
                                        sizeof dispatcher->worker_token, err),
                       "worker-token-file", err);
    return rc;
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* As many as the process may have files for: one that cannot be accepted would wait for ever. Event
 * streams come on top of the connections, whose sockets they were. */
static void limit_files(struct dispatcher *dispatcher)
{
    int64_t wanted = dispatcher->settings->connections;
    struct rlimit limit;
    dispatcher->max_connections = dispatcher->max_streams = (unsigned)wanted;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 ||
        limit.rlim_cur >= (rlim_t)(2 * wanted + SPARE_FILES))
        return;
    int64_t files = (int64_t)limit.rlim_cur - SPARE_FILES;
    files = files > 2 * SPARE_FILES ? files : 2 * SPARE_FILES;
    dispatcher->max_streams = (unsigned)earlier(wanted, files / 8 * 5);
    dispatcher->max_connections = (unsigned)earlier(wanted, files - dispatcher->max_streams);
    log_event(LOG_WARN, "http.connections-limited", "connections", LOG_I,
              (int64_t)dispatcher->max_connections, "streams", LOG_I,
              (int64_t)dispatcher->max_streams, "detail", LOG_S,
              "raise the limit of open files (RLIMIT_NOFILE)", NULL);
}

static int open_http(struct dispatcher *dispatcher, struct err *err)
{
    const struct settings *settings = dispatcher->settings;
    struct exchange_handlers handlers;
    routes_handlers(dispatcher, &handlers);
    limit_files(dispatcher);
    struct http_server_options options = {.listen = settings->listen,
                                          .connections = dispatcher->max_connections,
                                          .idle_seconds = (unsigned)settings->idle_seconds,
                                          .request_ms = REQUEST_MS,
                                          .drain_bytes = DRAIN_BYTES};
    int rc = http_server_open(&options, &handlers, &dispatcher->server, err);
    if (rc < 0)
        return rc;
    const char *colon = strrchr(settings->listen, ':');
    if (settings->public_url)
        snprintf(dispatcher->public_url, sizeof dispatcher->public_url, "%s", settings->public_url);
    else
        snprintf(dispatcher->public_url, sizeof dispatcher->public_url, "http://%.*s:%u",
                 (int)(colon - settings->listen), settings->listen,
                 http_server_port(dispatcher->server));
    size_t size = strlen(dispatcher->public_url);
    while (size > 0 && dispatcher->public_url[size - 1] == '/')
        dispatcher->public_url[--size] = 0;
    if (strncmp(dispatcher->public_url, "http://", 7) &&
        strncmp(dispatcher->public_url, "https://", 8))
        return err_set(err, ERR_INVALID, "public-url", "must start with http:// or https://");
    if (strcspn(dispatcher->public_url, "\"\\<> \t\r\n") != size)
        return err_set(err, ERR_INVALID, "public-url", "holds a character that a URL may not");
    rc = watch(dispatcher, http_server_fd(dispatcher->server), &http_tag, err);
    return rc == 0
               ? watch(dispatcher, http_server_clients_fd(dispatcher->server), &clients_tag, err)
               : rc;
}

/* A server that is away may come; one that evicts keys is refused at once. */
static int check_redis(const struct dispatcher *dispatcher, bool *out_present, struct err *err)
{
    struct redis *redis = NULL;
    struct err why = {0};
    int rc = redis_create(&dispatcher->redis_target, &redis, &why);
    if (rc == 0)
        rc = queue_check(&dispatcher->queues[0], redis, START_CHECK_MS, &why);
    redis_destroy(&redis);
    *out_present = rc == 0;
    if (rc == ERR_UNAVAILABLE || rc == ERR_TIMEOUT) {
        log_event(LOG_WARN, "redis.down", "detail", LOG_S, why.text, NULL);
        return 0;
    }
    return rc < 0 ? err_set(err, rc, "redis", "%s", why.text) : 0;
}

static int open_queue(struct dispatcher *dispatcher, bool *out_present, struct err *err)
{
    const struct settings *settings = dispatcher->settings;
    dispatcher_init_queues(dispatcher);
    redis_command_init(&dispatcher->command, QUEUE_COMMAND_MAX);
    int rc = err_blame(redis_target_init(&dispatcher->redis_target, settings->redis,
                                         settings->redis_password_file, err),
                       "redis", err);
    if (rc == 0)
        rc = redis_target_secure(&dispatcher->redis_target, &settings->redis_tls, err);
    if (rc == 0)
        rc = check_redis(dispatcher, out_present, err);
    if (rc == 0)
        rc = redis_async_create(&dispatcher->redis_target, dispatcher->epoll_fd, &redis_tag,
                                &dispatcher->redis, err);
    if (rc < 0)
        return rc;
    redis_async_set_timeout(dispatcher->redis, settings->redis_timeout_ms);
    redis_async_use(dispatcher->redis, keys_slot());
    for (unsigned shard = 0; shard < dispatcher->shards; shard++)
        redis_async_use(dispatcher->redis, queue_slot(dispatcher_queue(dispatcher, shard)));
    rc = gate_create(dispatcher, &dispatcher->gate);
    if (rc == 0)
        rc = housekeeping_create(dispatcher, &dispatcher->housekeeping);
    if (rc == 0)
        rc = mail_watch_create(dispatcher, &dispatcher->mail_watch);
    if (rc == 0)
        rc = samples_create(dispatcher, &dispatcher->samples);
    if (rc == 0)
        rc = purge_create(dispatcher, &dispatcher->purge, err);
    if (rc == 0)
        rc = disowned_create(dispatcher, &dispatcher->disowned);
    if (rc == 0)
        rc = enqueue_create(dispatcher, &dispatcher->enqueue);
    if (rc == 0)
        rc = sweep_create(dispatcher, settings->sweep_ms, &dispatcher->sweep);
    if (rc == 0)
        rc = store_watch_create(dispatcher, &dispatcher->store_watch);
    if (rc == 0)
        rc = events_create(dispatcher, &events_tag, dispatcher->max_streams, &dispatcher->events,
                           err);
    if (rc == 0)
        rc = watch(dispatcher, events_streams_fd(dispatcher->events), &streams_tag, err);
    return rc;
}

static int open_rest(struct dispatcher *dispatcher, struct err *err)
{
    const struct settings *settings = dispatcher->settings;
    struct edition *edition = NULL;
    int rc = client_proxies_parse(settings->trusted_proxies, &dispatcher->proxies, err);
    if (rc == 0)
        rc = network_set_parse(settings->webhook_allow, "webhook-allow", &dispatcher->webhook_allow,
                               err);
    if (rc == 0 && settings->cors_origins)
        rc = cors_check_list(settings->cors_origins, err);
    if (rc == 0)
        rc = keyring_create(dispatcher, &dispatcher->keyring);
    if (rc == 0)
        rc = edition_open(settings, settings->models, dispatcher->public_url, &edition, err);
    if (rc == 0)
        edition_publish(dispatcher, &edition);
    if (rc == 0)
        rc = forecast_create(dispatcher, dispatcher->models.count, &dispatcher->forecast);
    if (rc == 0)
        rc = throttle_create(dispatcher, &dispatcher->limits);
    if (rc == 0)
        rc = measures_create(&dispatcher->metrics);
    if (rc == 0)
        rc = tracing_open(
            &settings->tracing,
            &(struct tracing_program){.name = "darkroom-dispatcher", .told = traces_told},
            &dispatcher->tracer, err);
    if (rc == 0)
        rc = stats_create(&dispatcher->stats);
    if (rc == 0)
        rc = offload_open((unsigned)settings->store_threads, OFFLOAD_CAPACITY, &dispatcher->offload,
                          err);
    if (rc == 0)
        rc = watch(dispatcher, offload_fd(dispatcher->offload), &offload_tag, err);
    if (rc == 0)
        rc = blocked_create(settings->blocked_domains, dispatcher->offload, &dispatcher->blocked,
                            err);
    return rc;
}

/* ---- the loop ---- */

/* What ten thousand streams held goes back to the system once they are gone: the heap keeps freed
 * pages in its middle unless it is told. */
static void trim_memory(struct dispatcher *dispatcher, int64_t now_ms)
{
    unsigned now = http_server_connections(dispatcher->server) + events_sockets(dispatcher->events);
    if (now > dispatcher->peak_connections)
        dispatcher->peak_connections = now;
    if (now_ms < dispatcher->trim_ms)
        return;
    dispatcher->trim_ms = now_ms + TRIM_MS;
    if (dispatcher->peak_connections < TRIM_CONNECTIONS || now > dispatcher->peak_connections / 2)
        return;
    dispatcher->peak_connections = now;
    malloc_trim(0);
}

static int64_t tell_supervisor(const struct dispatcher *dispatcher, int64_t now_ms)
{
    if (supervisor_due(now_ms))
        supervisor_beat(now_ms, "Redis is %s; %u connections, %u event streams",
                        dispatcher_redis_usable(dispatcher) ? "there" : "away",
                        http_server_connections(dispatcher->server),
                        events_sockets(dispatcher->events));
    return supervisor_next_ms();
}

/* Does what is due; returns when the next thing will be. Redis comes last: what the others have
 * asked leaves in one write. */
static int64_t tick(struct dispatcher *dispatcher, int64_t now_ms)
{
    trim_memory(dispatcher, now_ms);
    /* Questions count the models that there were when they were asked: a moment, no more. */
    if (dispatcher->reload_due && dispatcher->fanouts == 0) {
        dispatcher->reload_due = false;
        dispatcher_reload(dispatcher);
    }
    int64_t next_ms = gate_tick(dispatcher->gate, now_ms);
    next_ms = earlier(next_ms, tell_supervisor(dispatcher, now_ms));
    next_ms = earlier(next_ms, housekeeping_tick(dispatcher->housekeeping, now_ms));
    next_ms = earlier(next_ms, purge_tick(dispatcher->purge, now_ms));
    next_ms = earlier(next_ms, sweep_tick(dispatcher->sweep, now_ms));
    next_ms = earlier(next_ms, store_watch_tick(dispatcher->store_watch, now_ms));
    next_ms = earlier(next_ms, mail_watch_tick(dispatcher->mail_watch, now_ms));
    next_ms = earlier(next_ms, blocked_tick(dispatcher->blocked, now_ms));
    next_ms = earlier(next_ms, samples_tick(dispatcher->samples, now_ms));
    next_ms = earlier(next_ms, limits_tick(dispatcher->limits, now_ms));
    next_ms = earlier(next_ms, disowned_tick(dispatcher->disowned, now_ms));
    next_ms = earlier(next_ms, events_tick(dispatcher->events, now_ms));
    int wait_ms = http_server_run(dispatcher->server);
    if (wait_ms >= 0)
        next_ms = earlier(next_ms, now_ms + wait_ms);
    next_ms = earlier(next_ms, enqueue_tick(dispatcher->enqueue, now_ms));
    return earlier(next_ms, redis_async_tick(dispatcher->redis, now_ms));
}

static void handle(struct dispatcher *dispatcher, const struct epoll_event *event)
{
    if (event->data.ptr == &redis_tag)
        redis_async_handle(dispatcher->redis, event->events);
    else if (event->data.ptr == &events_tag)
        events_handle(dispatcher->events, event->events);
    else if (event->data.ptr == &streams_tag)
        events_streams_handle(dispatcher->events);
    else if (event->data.ptr == &http_tag)
        http_server_handle(dispatcher->server);
    else if (event->data.ptr == &clients_tag)
        http_server_clients_handle(dispatcher->server);
    else if (event->data.ptr == &offload_tag)
        offload_finish(dispatcher->offload);
    else if (event->data.ptr == &reload_tag)
        dispatcher->reload_due |= reload_take();
    /* The stop is looked at in every turn. */
}

/* One turn of the loop, asleep until `until_ms` at the latest. */
static void turn(struct dispatcher *dispatcher, int64_t until_ms)
{
    struct epoll_event events[MAX_EVENTS];
    int64_t now_ms = clock_ms();
    int64_t wait_ms = earlier(tick(dispatcher, now_ms), until_ms) - now_ms;
    log_flush();
    int count = epoll_wait(dispatcher->epoll_fd, events, MAX_EVENTS,
                           wait_ms < 0 ? 0 : (int)earlier(wait_ms, 60000));
    for (int i = 0; i < count; i++)
        handle(dispatcher, &events[i]);
}

static bool is_idle(const struct dispatcher *dispatcher, bool silent, bool tidy)
{
    return dispatcher->calls == 0 && events_sockets(dispatcher->events) == 0 &&
           (!silent || http_server_connections(dispatcher->server) == 0) &&
           (!tidy ||
            (offload_pending(dispatcher->offload) == 0 && disowned_is_empty(dispatcher->disowned)));
}

static void turn_until(struct dispatcher *dispatcher, int64_t until_ms)
{
    while (clock_ms() < until_ms)
        turn(dispatcher, until_ms);
}

/* First we only say that we go (/readyz, and `Connection: close` in each answer), for a balancer
 * that asks. Then nobody is let in, event streams end, so that their readers go to another
 * dispatcher, and what was begun is answered. */
static void stop(struct dispatcher *dispatcher)
{
    const struct settings *settings = dispatcher->settings;
    log_event(LOG_INFO, "dispatcher.stopping", "delay_ms", LOG_I, settings->drain_delay_ms, NULL);
    supervisor_stopping();
    epoll_ctl(dispatcher->epoll_fd, EPOLL_CTL_DEL, stop_fd(), NULL);
    dispatcher->leaving = true;
    http_server_leave(dispatcher->server);
    turn_until(dispatcher, clock_ms() + settings->drain_delay_ms);
    http_server_quiesce(dispatcher->server);
    events_end_all(dispatcher->events);
    int64_t begun_ms = clock_ms(), now_ms = begun_ms;
    while (now_ms < begun_ms + settings->drain_ms &&
           !is_idle(dispatcher, now_ms < begun_ms + SILENT_MS, now_ms < begun_ms + TIDY_MS)) {
        int64_t next_ms = begun_ms + settings->drain_ms;
        next_ms = now_ms < begun_ms + TIDY_MS ? earlier(next_ms, begun_ms + TIDY_MS) : next_ms;
        next_ms = now_ms < begun_ms + SILENT_MS ? earlier(next_ms, begun_ms + SILENT_MS) : next_ms;
        turn(dispatcher, next_ms);
        now_ms = clock_ms();
    }
    log_event(LOG_INFO, "dispatcher.stopped", "ms", LOG_I, now_ms - begun_ms, "unanswered", LOG_I,
              (int64_t)dispatcher->calls, NULL);
}

int dispatcher_open(struct settings *settings, int argc, char **argv, struct dispatcher *dispatcher,
                    struct err *err)
{
    bool present = false;
    *dispatcher = (struct dispatcher){.settings = settings, .argc = argc, .argv = argv};
    dispatcher->epoll_fd = -1;
    if (!settings->secret_file || !settings->worker_token_file)
        return err_set(err, ERR_INVALID,
                       settings->secret_file ? "worker-token-file" : "secret-file",
                       "--secret-file and --worker-token-file are needed");
    dispatcher->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (dispatcher->epoll_fd < 0)
        return err_set_errno(err, NULL, "epoll");
    int rc = watch(dispatcher, stop_fd(), &stop_tag, err);
    if (rc == 0)
        rc = watch(dispatcher, reload_fd(), &reload_tag, err);
    if (rc == 0)
        rc = open_http(dispatcher, err);
    if (rc == 0)
        rc = load_keys(dispatcher, err);
    if (rc == 0)
        rc = open_rest(dispatcher, err);
    if (rc == 0)
        rc = open_queue(dispatcher, &present, err);
    if (rc < 0) {
        err_set(err, rc, NULL, "the dispatcher does not start");
        dispatcher_close(dispatcher);
        return rc;
    }
    /* Whoever reads that we are ready may submit at once. */
    int64_t deadline_ms = clock_ms() + START_CHECK_MS;
    while (present && !dispatcher->redis_checked && clock_ms() < deadline_ms)
        turn(dispatcher, deadline_ms);
    return 0;
}

int dispatcher_run(struct dispatcher *dispatcher)
{
    while (!stop_requested())
        turn(dispatcher, INT64_MAX);
    stop(dispatcher);
    return 0;
}

/* ---- end ---- */

/* Whatever still waits for Redis or a thread gets its answer now, for a connection that sleeps
 * cannot be closed. */
static void settle_all(struct dispatcher *dispatcher)
{
    redis_async_destroy(&dispatcher->redis);
    while (dispatcher->offload && offload_pending(dispatcher->offload) > 0) {
        struct pollfd wait = {.fd = offload_fd(dispatcher->offload), .events = POLLIN};
        poll(&wait, 1, 1000);
        offload_finish(dispatcher->offload);
    }
    enqueue_tick(dispatcher->enqueue, clock_ms());
    events_end_all(dispatcher->events);
    http_server_run(dispatcher->server);
}

void dispatcher_close(struct dispatcher *dispatcher)
{
    dispatcher->redis_checked = false;
    if (dispatcher->redis && dispatcher->server && dispatcher->events)
        settle_all(dispatcher);
    redis_async_destroy(&dispatcher->redis);
    http_server_close(&dispatcher->server);
    submit_close(dispatcher);
    events_destroy(&dispatcher->events);
    enqueue_destroy(&dispatcher->enqueue);
    forecast_destroy(&dispatcher->forecast);
    disowned_destroy(&dispatcher->disowned);
    sweep_destroy(&dispatcher->sweep);
    store_watch_destroy(&dispatcher->store_watch);
    samples_destroy(&dispatcher->samples);
    mail_watch_destroy(&dispatcher->mail_watch);
    purge_destroy(&dispatcher->purge);
    housekeeping_destroy(&dispatcher->housekeeping);
    gate_destroy(&dispatcher->gate);
    offload_close(&dispatcher->offload);
    blocked_destroy(&dispatcher->blocked);
    tracer_destroy(&dispatcher->tracer, TRACES_MS);
    metrics_destroy(&dispatcher->metrics);
    stats_destroy(&dispatcher->stats);
    keyring_destroy(&dispatcher->keyring);
    limits_destroy(&dispatcher->limits);
    editions_close(dispatcher);
    store_close(&dispatcher->store);
    crypto_mac_destroy(&dispatcher->flow_mac);
    unsubscribe_keys_destroy(&dispatcher->unsubscribe);
    address_keys_destroy(&dispatcher->addresses);
    webhook_keys_destroy(&dispatcher->webhooks);
    token_keys_destroy(&dispatcher->tokens);
    redis_command_fini(&dispatcher->command);
    crypto_wipe(dispatcher->worker_token, sizeof dispatcher->worker_token);
    crypto_wipe(dispatcher->redis_target.password, sizeof dispatcher->redis_target.password);
    if (dispatcher->epoll_fd >= 0)
        close(dispatcher->epoll_fd);
    dispatcher->epoll_fd = -1;
}
