/* SPDX-License-Identifier: MIT */
#include "worker/loop.h"

#include "common/clock.h"
#include "common/err.h"
#include "common/log.h"
#include "common/metrics.h"
#include "common/metrics_server.h"
#include "common/reload.h"
#include "common/stop.h"
#include "common/supervisor.h"
#include "worker/crash.h"
#include "worker/measures.h"
#include "worker/nvml.h"
#include "worker/supply.h"
#include "worker/uptime.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

/* A spot machine's notice is 30 s at worst, and supervisors kill after that: be gone in 25 s. */
#define DRAIN_HURRY_MS 15000   /* then nothing new is begun, and nothing tried again */
#define DRAIN_GIVE_UP_MS 22000 /* then what still runs is given back as it is */
#define LEAVE_MS 1000          /* for the last words to Redis */
#define TRACES_MS 1000         /* for the spans that are left */

/* What epoll hands back. Only their addresses matter. */
static char tag_stop, tag_reload, tag_spot, tag_change, tag_done, tag_commands, tag_wake, tag_push;

void loop_fail(struct loop *loop, int rc, const struct err *err)
{
    if (loop->finished)
        return;
    loop->finished = true;
    loop->abandoned = true;
    loop->rc = rc;
    loop->err = *err;
}

/* ---- the end -------------------------------------------------------------------------------- */

static void begin_drain(struct loop *loop)
{
    if (loop->draining)
        return;
    loop->draining = true;
    loop->drain_since_ms = clock_ms();
    supervisor_stopping();
    epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, stop_fd(), NULL);
    spot_quiet(loop->spot);
    supply_quiet(loop->supply);
    claims_stop_waiting(loop);
    claims_stop(loop);
    pipeline_drain(loop->pipeline);
    log_event(LOG_INFO, "worker.drain", "jobs", LOG_I,
              (int64_t)roster_count(loop->pipeline->roster), "released", LOG_I,
              (int64_t)shards_released(loop), NULL);
}

/* The machine may be taken away, or not: nothing new, but what was claimed is finished. */
static void retire(struct loop *loop)
{
    if (loop->retiring || loop->draining)
        return;
    loop->retiring = true;
    claims_stop_waiting(loop);
    log_event(LOG_INFO, "worker.retire", "jobs", LOG_I,
              (int64_t)roster_count(loop->pipeline->roster), NULL);
}

static void on_spot(struct loop *loop)
{
    switch (spot_take(loop->spot)) {
    case SPOT_NOW:
        loop->machine_goes = true;
        begin_drain(loop);
        break;
    case SPOT_SOON: retire(loop); break;
    case SPOT_NONE: break;
    }
}

static void on_bye(int rc, const struct redis_reply *reply, void *data)
{
    struct loop *loop = data;
    loop->finished |= --loop->last_words == 0;
}

/* A shard that cannot be reached forgets us with our last heartbeat. */
static void say_bye(struct loop *loop, const struct shard *shard)
{
    queue_bye_command(shard->queue, loop->worker_id, &loop->command);
    if (redis_async_send(loop->commands, &loop->command, on_bye, loop) == 0)
        loop->last_words++;
}

static void begin_leaving(struct loop *loop)
{
    loop->leaving = true;
    loop->leave_by_ms = clock_ms() + LEAVE_MS;
}

static void leave(struct loop *loop)
{
    begin_leaving(loop);
    for (unsigned i = 0; i < loop->shard_count; i++)
        say_bye(loop, &loop->shards[i]);
    loop->finished |= loop->last_words == 0;
}

/* Not before: with a server that does not know the script yet, the release is sent a second time,
 * behind what was sent after it. */
static void on_given_up(int rc, const struct redis_reply *reply, void *data)
{
    const struct shard *shard = data;
    say_bye(shard->loop, shard);
    on_bye(rc, reply, shard->loop);
}

/* Returns how many jobs of this shard went back. */
static size_t give_up_shard(struct loop *loop, struct shard *shard)
{
    struct queue_lease leases[QUEUE_LEASES_MAX];
    size_t count = roster_list(loop->pipeline->roster, shard->queue->shard, TASK_ON, shard->beats,
                               QUEUE_LEASES_MAX);
    for (size_t i = 0; i < count; i++)
        leases[i] = (struct queue_lease){shard->beats[i].id, shard->beats[i].epoch};
    queue_release_command(shard->queue, loop->worker_id, leases, count, true, &loop->command);
    if (count > 0 && redis_async_send(loop->commands, &loop->command, on_given_up, shard) == 0)
        loop->last_words++;
    else
        say_bye(loop, shard);
    return count;
}

void loop_give_up(struct loop *loop)
{
    size_t count = 0;
    loop->abandoned = true;
    loop->draining = true; /* or the next claim would take the same jobs again */
    begin_leaving(loop);
    for (unsigned i = 0; i < loop->shard_count; i++)
        count += give_up_shard(loop, &loop->shards[i]);
    log_event(LOG_WARN, "worker.abandoned", "jobs", LOG_I, (int64_t)count, NULL);
    loop->finished |= loop->last_words == 0;
}

static int64_t drain_tick(struct loop *loop, int64_t now_ms)
{
    if (loop->leaving) {
        loop->finished |= now_ms >= loop->leave_by_ms;
        return loop->leave_by_ms;
    }
    if (loop->retiring && !shards_claiming(loop) && pipeline_under_way(loop->pipeline) == 0)
        begin_drain(loop);
    if (!loop->draining)
        return INT64_MAX;
    bool late = now_ms >= loop->drain_since_ms + DRAIN_HURRY_MS;
    bool settled = shards_released(loop) == 0 && !shards_claiming(loop);
    if (loop->pipeline_ended && (settled || late)) {
        leave(loop);
        return loop->leave_by_ms;
    }
    int64_t give_up_ms = loop->drain_since_ms + DRAIN_GIVE_UP_MS;
    if (now_ms >= give_up_ms || roster_outlasts(loop->pipeline->roster, give_up_ms)) {
        loop_give_up(loop);
        return loop->leave_by_ms;
    }
    if (late) {
        roster_hurry(loop->pipeline->roster);
        return give_up_ms;
    }
    return loop->drain_since_ms + DRAIN_HURRY_MS;
}

static void on_done(struct loop *loop)
{
    uint64_t seen;
    ssize_t got = read(pipeline_done_fd(loop->pipeline), &seen, sizeof seen);
    (void)got;
    int fatal = atomic_load(&loop->pipeline->fatal);
    if (fatal < 0)
        loop_fail(loop, fatal, &loop->pipeline->why);
    else
        loop->pipeline_ended = true;
}

/* ---- the loop ------------------------------------------------------------------------------- */

static int64_t sooner(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t tell_supervisor(const struct loop *loop, int64_t now_ms)
{
    if (supervisor_due(now_ms))
        supervisor_beat(now_ms, "%s; %zu jobs in hand, %llu done",
                        loop->draining   ? "ending"
                        : loop->retiring ? "finishing what it has"
                        : loop->ready    ? "serving"
                                         : "starting",
                        roster_count(loop->pipeline->roster),
                        (unsigned long long)atomic_load(&loop->pipeline->jobs));
    return supervisor_next_ms();
}

/* Before its first job a device may hang as well. */
static int64_t test_tick(struct loop *loop, int64_t now_ms)
{
    const int64_t until_ms = atomic_load(&loop->pipeline->test_until_ms);
    struct err err = {0};
    if (until_ms == 0)
        return INT64_MAX;
    if (now_ms >= until_ms)
        loop_fail(loop,
                  err_set(&err, ERR_DEVICE, "device",
                          "a self-test hangs: twice its model's time limit is over"),
                  &err);
    return until_ms;
}

static int64_t tick(struct loop *loop, int64_t now_ms)
{
    shards_look_at_models(loop);
    int64_t next_ms = shards_tick(loop, now_ms);
    next_ms = sooner(next_ms, claims_tick(loop, now_ms));
    next_ms = sooner(next_ms, beats_tick(loop, now_ms));
    next_ms = sooner(next_ms, drain_tick(loop, now_ms));
    next_ms = sooner(next_ms, test_tick(loop, now_ms));
    next_ms = sooner(next_ms, tell_supervisor(loop, now_ms));
    next_ms =
        sooner(next_ms, guard_tick(&loop->guard, roster_count(loop->pipeline->roster) > 0, now_ms));
    /* Last: they write what the others have queued. */
    next_ms = sooner(next_ms, redis_async_tick(loop->commands, now_ms));
    for (unsigned i = 0; i < loop->sleeper_count; i++) {
        next_ms = sooner(next_ms, redis_async_tick(loop->wakers[i].redis, now_ms));
        next_ms = sooner(next_ms, redis_async_tick(loop->pushers[i].redis, now_ms));
    }
    return next_ms;
}

/* Which of several had something to say, only they know; one alone wants to hear of the events. */
static void handle_sleepers(struct loop *loop, struct sleeper *sleepers, uint32_t events)
{
    for (unsigned i = 0; i < loop->sleeper_count; i++)
        redis_async_handle(sleepers[i].redis, events);
}

static void handle(struct loop *loop, const struct epoll_event *event)
{
    const void *tag = event->data.ptr;
    if (tag == &tag_commands) {
        redis_async_handle(loop->commands, event->events);
    } else if (tag == &tag_wake) {
        handle_sleepers(loop, loop->wakers, event->events);
    } else if (tag == &tag_push) {
        handle_sleepers(loop, loop->pushers, event->events);
    } else if (tag == &tag_stop) {
        begin_drain(loop);
    } else if (tag == &tag_reload) {
        if (reload_take())
            loop_reload(loop);
    } else if (tag == &tag_spot) {
        on_spot(loop);
    } else if (tag == &tag_done) {
        on_done(loop);
    } else if (tag == &tag_change) {
        roster_take_change(loop->pipeline->roster);
        claims_look(loop);
    }
}

static int wait_ms(int64_t next_ms, int64_t now_ms)
{
    if (next_ms == INT64_MAX)
        return -1;
    if (next_ms <= now_ms)
        return 0;
    return next_ms - now_ms > 60000 ? 60000 : (int)(next_ms - now_ms);
}

static void run(struct loop *loop)
{
    struct epoll_event events[8];
    while (!loop->finished) {
        int64_t now_ms = clock_ms();
        int64_t next_ms = tick(loop, now_ms);
        int count = loop->finished
                        ? 0
                        : epoll_wait(loop->epoll_fd, events, 8, wait_ms(next_ms, clock_ms()));
        for (int i = 0; i < count; i++)
            handle(loop, &events[i]);
    }
}

/* ---- building and ending it ----------------------------------------------------------------- */

static int watch(struct loop *loop, int fd, void *tag, struct err *err)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = tag};
    return epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0
               ? err_set_errno(err, NULL, "epoll")
               : 0;
}

static int open_models(struct loop *loop, struct err *err)
{
    int rc = residency_create(loop->settings, &loop->residency, err);
    if (rc == 0 && residency_count(loop->residency) > QUEUE_MODELS_MAX)
        rc =
            err_set(err, ERR_LIMIT, "models", "%zu models, a worker serves %d at most: see --model",
                    residency_count(loop->residency), QUEUE_MODELS_MAX);
    return rc;
}

/* Called by the metrics server's thread. */
static void refresh_metrics(void *context)
{
    struct loop *loop = context;
    measures_jobs_held(loop->metrics, roster_count(loop->pipeline->roster),
                       pipeline_capacity(loop->settings, loop->residency));
    tracing_measure(loop->tracer, loop->metrics);
    if (!loop->nvml_asked)
        loop->nvml = nvml_open();
    loop->nvml_asked = true;
    measures_gpus(loop->metrics, loop->nvml);
}

static int open_metrics(struct loop *loop, struct err *err)
{
    const char *address = loop->settings->texts.metrics;
    if (!address)
        return 0;
    int rc = measures_create(&loop->metrics);
    if (rc == 0)
        rc = metrics_server_start(address, loop->metrics, refresh_metrics, loop,
                                  &loop->metrics_server, err);
    if (rc < 0)
        return rc;
    loop->pipeline->metrics = loop->guard.metrics = loop->metrics;
    log_event(LOG_INFO, "worker.metrics", "port", LOG_I,
              (int64_t)metrics_server_port(loop->metrics_server), NULL);
    return 0;
}

/* By the thread that sends them. */
static void on_traces(void *context, const char *reason)
{
    log_event(reason ? LOG_WARN : LOG_INFO, reason ? "traces.failing" : "traces.sent",
              reason ? "reason" : NULL, LOG_S, reason, NULL);
}

static int open_tracing(struct loop *loop, struct err *err)
{
    int rc =
        tracing_open(&loop->settings->texts.tracing,
                     &(struct tracing_program){
                         .name = "darkroom-worker", .instance = loop->worker_id, .told = on_traces},
                     &loop->tracer, err);
    loop->pipeline->tracer = loop->tracer;
    return rc;
}

static int build(struct loop *loop, struct err *err)
{
    loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (loop->epoll_fd < 0)
        return err_set_errno(err, NULL, "epoll");
    int rc = guard_open(&loop->guard, err);
    /* Connecting goes on while the manifests are read; the loader looks at the weights later. */
    if (rc == 0)
        rc = shards_open(loop, &tag_commands, &tag_wake, &tag_push, err);
    if (rc == 0)
        rc = open_models(loop, err);
    if (rc == 0)
        rc = pipeline_start(loop->settings, loop->residency, loop->queues, loop->worker_id,
                            &loop->pipeline, err);
    if (rc == 0)
        rc = open_tracing(loop, err);
    if (rc == 0)
        rc = supply_start(loop->pipeline, &loop->supply, err);
    if (rc == 0)
        rc = open_metrics(loop, err);
    if (rc == 0)
        rc = spot_start(&loop->settings->spot, &loop->spot, err);
    if (rc == 0 && loop->spot)
        rc = watch(loop, spot_fd(loop->spot), &tag_spot, err);
    if (rc == 0)
        rc = watch(loop, stop_fd(), &tag_stop, err);
    if (rc == 0)
        rc = watch(loop, reload_fd(), &tag_reload, err);
    if (rc == 0)
        rc = watch(loop, roster_change_fd(loop->pipeline->roster), &tag_change, err);
    if (rc == 0)
        rc = watch(loop, pipeline_done_fd(loop->pipeline), &tag_done, err);
    return rc;
}

/* CPU per job beside the network, thread by thread: what docs/benchmarks.md quotes. */
static void log_cpu(struct loop *loop, int64_t loop_us)
{
    double stage[STAGE_COUNT], total = (double)loop_us / 1000;
    int64_t jobs = (int64_t)atomic_load(&loop->pipeline->jobs);
    for (int i = 0; i < STAGE_COUNT; i++) {
        stage[i] = (double)atomic_load(&loop->pipeline->cpu_us[i]) / 1000;
        total += stage[i];
    }
    log_event(LOG_INFO, "worker.cpu", "jobs", LOG_I, jobs, "per_job_ms", LOG_F,
              jobs > 0 ? total / (double)jobs : 0.0, "loop_ms", LOG_F, (double)loop_us / 1000,
              "grant_ms", LOG_F, stage[STAGE_GRANT], "fetch_ms", LOG_F, stage[STAGE_FETCH],
              "infer_ms", LOG_F, stage[STAGE_INFER], "deliver_ms", LOG_F, stage[STAGE_DELIVER],
              NULL);
}

static void destroy(struct loop *loop)
{
    metrics_server_stop(&loop->metrics_server);
    nvml_close(&loop->nvml);
    supply_end(&loop->supply);
    if (loop->pipeline)
        pipeline_drain(loop->pipeline);
    pipeline_destroy(&loop->pipeline);
    spot_end(&loop->spot, loop->settings->spot_acknowledge);
    guard_close(&loop->guard, false);
    shards_close(loop);
    redis_command_fini(&loop->command);
    residency_destroy(&loop->residency);
    tracer_destroy(&loop->tracer, TRACES_MS);
    metrics_destroy(&loop->metrics);
    if (loop->epoll_fd >= 0)
        close(loop->epoll_fd);
    free(loop);
}

int loop_run(struct settings *settings, int argc, char **argv, bool *out_abandoned, struct err *err)
{
    *out_abandoned = false;
    struct loop *loop = calloc(1, sizeof *loop);
    if (!loop)
        return ERR_NOMEM;
    loop->settings = loop->own = settings;
    loop->argc = argc;
    loop->argv = argv;
    loop->epoll_fd = -1;
    id_worker_create(loop->worker_id);
    crash_arm(loop->worker_id);
    loop->guard = (struct guard){.options = settings->guard, .worker = loop->worker_id};
    redis_command_init(&loop->command, QUEUE_COMMAND_MAX);

    int rc = build(loop, err);
    if (rc == 0) {
        int64_t before_us = pipeline_thread_cpu_us();
        run(loop);
        guard_close(&loop->guard, !loop->abandoned && !loop->machine_goes);
        int64_t loop_us = pipeline_thread_cpu_us() - before_us;
        rc = loop->rc;
        if (rc < 0)
            err_set(err, rc, loop->err.field, "%s", loop->err.text);
        if (loop->abandoned) {
            *out_abandoned = true;
            return rc;
        }
        log_cpu(loop, loop_us);
        log_event(LOG_INFO, "worker.end", "jobs", LOG_I,
                  (int64_t)atomic_load(&loop->pipeline->jobs), "drain_ms", LOG_I,
                  clock_ms() - loop->drain_since_ms, NULL);
    }
    destroy(loop);
    return rc;
}
