/* SPDX-License-Identifier: MIT */
#include "worker/loop.h"

#include "common/clock.h"
#include "common/err.h"
#include "common/log.h"
#include "common/stop.h"
#include "worker/uptime.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

/* A spot machine's notice is 30 s at worst, and supervisors kill after that: be gone in 25 s. */
#define DRAIN_HURRY_MS 15000   /* then nothing new is begun, and nothing tried again */
#define DRAIN_GIVE_UP_MS 22000 /* then what still runs is given back as it is */
#define LEAVE_MS 1000          /* for the last words to Redis */
#define GREET_AGAIN_MS 200
#define AWAY_AFTER_MS 500 /* a start beside Redis' own is no outage */

/* A blocking command is answered after its own wait at the latest. */
#define BLOCKING_TIMEOUT_MS 40000

/* What epoll hands back. Only their addresses matter. */
static char tag_stop, tag_spot, tag_change, tag_done, tag_commands, tag_wake, tag_push;

void loop_fail(struct loop *loop, int rc, const struct err *err)
{
    if (loop->finished)
        return;
    loop->finished = true;
    loop->abandoned = true;
    loop->rc = rc;
    loop->err = *err;
}

/* ---- start: check the server once, greet it on every connection ----------------------------- */

static void greet(struct loop *loop);

/* An answer that is no help: the server is loading its data, or full. Without an answer the next
 * connection begins anew. */
static void greet_later(struct loop *loop, const struct redis_reply *reply)
{
    loop->greeted = false;
    if (reply)
        loop->greet_ms = clock_ms() + GREET_AGAIN_MS;
}

static void on_hello(int rc, const struct redis_reply *reply, void *data)
{
    struct loop *loop = data;
    struct err err = {0};
    if (rc == ERR_UNAVAILABLE) {
        greet_later(loop, reply);
        return;
    }
    if (rc < 0) {
        redis_reply_check(reply, &err);
        loop_fail(loop, rc, &err);
        return;
    }
    if (!loop->ready)
        log_event(LOG_INFO, "worker.ready", "worker", LOG_S, loop->worker_id, "models", LOG_I,
                  (int64_t)loop->model_count, "device", LOG_S,
                  model_device_name(loop->settings->device), "since_exec_ms", LOG_I, uptime_ms(),
                  NULL);
    loop->ready = true;
}

static void on_check(int rc, const struct redis_reply *reply, void *data)
{
    struct loop *loop = data;
    struct err err = {0};
    if (rc != ERR_UNAVAILABLE)
        rc = queue_check_reply(&loop->queue, reply, loop->check_step, &err);
    if (rc == ERR_UNAVAILABLE) {
        greet_later(loop, reply);
        return;
    }
    if (rc < 0) {
        loop_fail(loop, rc, &err);
        return;
    }
    loop->check_step++;
    greet(loop);
}

static void say_hello(struct loop *loop)
{
    const struct queue_hello hello = {
        .worker = loop->worker_id,
        .models = loop->models,
        .model_count = loop->model_count,
        .slots = loop->residents.batch_max,
        .device = model_device_name(loop->settings->device),
    };
    queue_hello_command(&loop->queue, &hello, &loop->command);
    if (redis_async_send(loop->commands, &loop->command, on_hello, loop) < 0)
        return;
    /* Claims may follow at once: the connection keeps the order. */
    loop->greeted = true;
    loop->claim_due = true;
    loop->beat_at_ms = 0;
}

static void greet(struct loop *loop)
{
    loop->greet_ms = 0;
    if (!loop->checked && queue_check_command(&loop->queue, loop->check_step, &loop->command)) {
        redis_async_send(loop->commands, &loop->command, on_check, loop);
        return;
    }
    loop->checked = true;
    say_hello(loop);
}

/* Notices where the connection comes and goes. */
static int64_t connection_tick(struct loop *loop, int64_t now_ms)
{
    bool up = redis_async_connected(loop->commands);
    if (up && loop->down_ms > 0) {
        loop->down_ms = 0;
        loop->check_step = 0;
        outage_note(&loop->pipeline->redis, 0, NULL);
        greet(loop);
    } else if (!up && loop->down_ms == 0) {
        loop->down_ms = now_ms;
        loop->greeted = false;
    }
    if (up && loop->greet_ms > 0 && now_ms >= loop->greet_ms)
        greet(loop);
    if (up)
        return loop->greet_ms > 0 ? loop->greet_ms : INT64_MAX;
    if (now_ms < loop->down_ms + AWAY_AFTER_MS)
        return loop->down_ms + AWAY_AFTER_MS;
    struct err err = {0};
    err_set(&err, ERR_UNAVAILABLE, "redis", "%s", redis_async_reason(loop->commands));
    outage_note(&loop->pipeline->redis, ERR_UNAVAILABLE, &err);
    return INT64_MAX;
}

/* ---- the end -------------------------------------------------------------------------------- */

static void begin_drain(struct loop *loop)
{
    if (loop->draining)
        return;
    loop->draining = true;
    loop->drain_since_ms = clock_ms();
    epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, stop_fd(), NULL);
    spot_quiet(loop->spot);
    claims_stop(loop);
    pipeline_drain(loop->pipeline);
    log_event(LOG_INFO, "worker.drain", "jobs", LOG_I,
              (int64_t)roster_count(loop->pipeline->roster), "released", LOG_I,
              (int64_t)loop->released_count, NULL);
}

/* The machine may be taken away, or not: nothing new, but what was claimed is finished. */
static void retire(struct loop *loop)
{
    if (loop->retiring || loop->draining)
        return;
    loop->retiring = true;
    log_event(LOG_INFO, "worker.retire", "jobs", LOG_I,
              (int64_t)roster_count(loop->pipeline->roster), NULL);
}

static void on_spot(struct loop *loop)
{
    switch (spot_take(loop->spot)) {
    case SPOT_NOW: begin_drain(loop); break;
    case SPOT_SOON: retire(loop); break;
    case SPOT_NONE: break;
    }
}

static void on_bye(int rc, const struct redis_reply *reply, void *data)
{
    struct loop *loop = data;
    loop->finished = true;
}

static void leave(struct loop *loop)
{
    if (!loop->leaving)
        loop->leave_by_ms = clock_ms() + LEAVE_MS;
    loop->leaving = true;
    queue_bye_command(&loop->queue, loop->worker_id, &loop->command);
    if (redis_async_send(loop->commands, &loop->command, on_bye, loop) < 0)
        loop->finished = true; /* it is forgotten with its last heartbeat */
}

static void on_released(int rc, const struct redis_reply *reply, void *data)
{
    struct loop *loop = data;
    loop->release_asked = false;
    if (rc == ERR_UNAVAILABLE)
        greet_later(loop, reply);
    else
        loop->released_count = 0;
}

static void give_back(struct loop *loop)
{
    queue_release_command(&loop->queue, loop->worker_id, loop->released, loop->released_count,
                          false, &loop->command);
    loop->release_asked = redis_async_send(loop->commands, &loop->command, on_released, loop) == 0;
}

/* Not before: with a server that does not know the script yet, the release is sent a second time,
 * behind what was sent after it. */
static void on_given_up(int rc, const struct redis_reply *reply, void *data)
{
    leave(data);
}

void loop_give_up(struct loop *loop)
{
    struct queue_lease leases[QUEUE_LEASES_MAX];
    size_t count = roster_list(loop->pipeline->roster, TASK_ON, loop->beats, QUEUE_LEASES_MAX);
    for (size_t i = 0; i < count; i++)
        leases[i] = (struct queue_lease){loop->beats[i].id, loop->beats[i].epoch};
    log_event(LOG_WARN, "worker.abandoned", "jobs", LOG_I, (int64_t)count, NULL);
    loop->abandoned = true;
    loop->draining = true; /* or the next claim would take the same jobs again */
    queue_release_command(&loop->queue, loop->worker_id, leases, count, true, &loop->command);
    if (count > 0 && redis_async_send(loop->commands, &loop->command, on_given_up, loop) == 0) {
        loop->leaving = true;
        loop->leave_by_ms = clock_ms() + LEAVE_MS;
    } else {
        leave(loop);
    }
}

static int64_t drain_tick(struct loop *loop, int64_t now_ms)
{
    if (loop->leaving) {
        loop->finished |= now_ms >= loop->leave_by_ms;
        return loop->leave_by_ms;
    }
    if (loop->retiring && !loop->claim_asked && roster_count(loop->pipeline->roster) == 0)
        begin_drain(loop);
    if (!loop->draining)
        return INT64_MAX;
    if (loop->released_count > 0 && !loop->release_asked && loop->greeted)
        give_back(loop);
    bool late = now_ms >= loop->drain_since_ms + DRAIN_HURRY_MS;
    if (loop->pipeline_ended && ((loop->released_count == 0 && !loop->claim_asked) || late)) {
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
        loop_fail(loop, fatal, &(struct err){0});
    else
        loop->pipeline_ended = true;
}

/* ---- the loop ------------------------------------------------------------------------------- */

static int64_t sooner(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t tick(struct loop *loop, int64_t now_ms)
{
    int64_t next_ms = connection_tick(loop, now_ms);
    next_ms = sooner(next_ms, claims_tick(loop, now_ms));
    next_ms = sooner(next_ms, beats_tick(loop, now_ms));
    next_ms = sooner(next_ms, drain_tick(loop, now_ms));
    /* Last: they write what the others have queued. */
    next_ms = sooner(next_ms, redis_async_tick(loop->commands, now_ms));
    next_ms = sooner(next_ms, redis_async_tick(loop->wake, now_ms));
    next_ms = sooner(next_ms, redis_async_tick(loop->push, now_ms));
    return next_ms;
}

static void handle(struct loop *loop, const struct epoll_event *event)
{
    const void *tag = event->data.ptr;
    if (tag == &tag_commands) {
        redis_async_handle(loop->commands, event->events);
    } else if (tag == &tag_wake) {
        redis_async_handle(loop->wake, event->events);
    } else if (tag == &tag_push) {
        redis_async_handle(loop->push, event->events);
    } else if (tag == &tag_stop) {
        begin_drain(loop);
    } else if (tag == &tag_spot) {
        on_spot(loop);
    } else if (tag == &tag_done) {
        on_done(loop);
    } else if (tag == &tag_change) {
        roster_take_change(loop->pipeline->roster);
        loop->claim_due = true;
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

static int connect_all(struct loop *loop, struct err *err)
{
    const struct redis_target *target = &loop->settings->redis;
    int rc = redis_async_create(target, loop->epoll_fd, &tag_commands, &loop->commands, err);
    if (rc == 0)
        rc = redis_async_create(target, loop->epoll_fd, &tag_wake, &loop->wake, err);
    if (rc == 0)
        rc = redis_async_create(target, loop->epoll_fd, &tag_push, &loop->push, err);
    if (rc < 0)
        return rc;
    redis_async_set_timeout(loop->wake, BLOCKING_TIMEOUT_MS);
    redis_async_set_timeout(loop->push, BLOCKING_TIMEOUT_MS);
    return 0;
}

static int open_models(struct loop *loop, struct err *err)
{
    int rc = residents_open(loop->settings, &loop->residents, err);
    if (rc < 0)
        return rc;
    if (loop->residents.count > QUEUE_MODELS_MAX)
        return err_set(err, ERR_LIMIT, "models",
                       "%zu models, a worker serves %d at most: see --model", loop->residents.count,
                       QUEUE_MODELS_MAX);
    loop->model_count = loop->residents.count;
    for (size_t i = 0; i < loop->model_count; i++)
        loop->models[i] = loop->residents.items[i].manifest->name;
    return 0;
}

static int build(struct loop *loop, struct err *err)
{
    loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (loop->epoll_fd < 0)
        return err_set_errno(err, NULL, "epoll");
    /* Connecting goes on while the weights are mapped and checked. */
    int rc = connect_all(loop, err);
    if (rc == 0)
        rc = open_models(loop, err);
    if (rc == 0)
        rc = pipeline_start(loop->settings, &loop->residents, &loop->queue, loop->worker_id,
                            &loop->pipeline, err);
    if (rc == 0)
        rc = spot_start(&loop->settings->spot, &loop->spot, err);
    if (rc == 0 && loop->spot)
        rc = watch(loop, spot_fd(loop->spot), &tag_spot, err);
    if (rc == 0)
        rc = watch(loop, stop_fd(), &tag_stop, err);
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
    if (loop->pipeline)
        pipeline_drain(loop->pipeline);
    pipeline_destroy(&loop->pipeline);
    spot_end(&loop->spot, loop->settings->spot_acknowledge);
    redis_async_destroy(&loop->commands);
    redis_async_destroy(&loop->wake);
    redis_async_destroy(&loop->push);
    redis_command_fini(&loop->command);
    residents_close(&loop->residents);
    if (loop->epoll_fd >= 0)
        close(loop->epoll_fd);
    free(loop);
}

int loop_run(const struct settings *settings, bool *out_abandoned, struct err *err)
{
    *out_abandoned = false;
    struct loop *loop = calloc(1, sizeof *loop);
    if (!loop)
        return ERR_NOMEM;
    loop->settings = settings;
    loop->epoll_fd = -1;
    loop->down_ms = clock_ms();
    queue_init(&loop->queue, 0, settings->lease_ms);
    loop->queue.shards = (unsigned)settings->shards;
    id_worker_create(loop->worker_id);
    redis_command_init(&loop->command, QUEUE_COMMAND_MAX);

    int rc = build(loop, err);
    if (rc == 0) {
        int64_t before_us = pipeline_thread_cpu_us();
        run(loop);
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
