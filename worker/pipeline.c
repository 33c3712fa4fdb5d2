/* SPDX-License-Identifier: MIT */
#include "worker/pipeline.h"

#include "common/clock.h"
#include "common/err.h"
#include "common/http_client.h"
#include "common/log.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

/* How long this worker leaves the queue alone when it finds no way to the store. */
#define NO_STORE_PAUSE_MS 5000

static void (*const bodies[STAGE_COUNT])(struct pipeline *) = {
    [STAGE_GRANT] = stage_grant_run,     [STAGE_FETCH] = stage_fetch_run,
    [STAGE_LOAD] = stage_load_run,       [STAGE_INFER] = stage_infer_run,
    [STAGE_DELIVER] = stage_deliver_run,
};

/* As top and a core dump show them; at most 15 characters. */
static const char *const names[STAGE_COUNT] = {"dk-grant", "dk-fetch", "dk-load", "dk-infer",
                                               "dk-deliver"};

int pipeline_blame_store(struct task *task, int rc, const char *what, int status)
{
    if (status >= 300)
        return err_set(&task->err, rc, NULL, "%s: the object store answered %d", what, status);
    return err_set(&task->err, rc, NULL, "%s: %s", what, err_name(rc));
}

int64_t pipeline_thread_cpu_us(void)
{
    struct timespec used;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
    return (int64_t)used.tv_sec * 1000000 + used.tv_nsec / 1000;
}

static void signal_done(struct pipeline *pipeline)
{
    const uint64_t one = 1;
    ssize_t written = write(pipeline->done_fd, &one, sizeof one);
    (void)written;
}

static void close_door(struct pipeline *pipeline, enum stage stage)
{
    if (stage == STAGE_LOAD)
        residency_close(pipeline->residency);
    else
        ring_close(pipeline->rings[stage]);
}

/* The last thread of a stage closes the ring behind it. Earlier stages have ended by then, so
 * nobody is left who could push there. */
static void end_of_stage(struct pipeline *pipeline, enum stage stage)
{
    if (atomic_fetch_sub(&pipeline->running[stage], 1) != 1)
        return;
    if (stage == STAGE_DELIVER)
        signal_done(pipeline);
    else
        close_door(pipeline, stage + 1);
}

static void *run_thread(void *argument)
{
    struct stage_thread *self = argument;
    struct pipeline *pipeline = self->pipeline;
    bodies[self->stage](pipeline);
    atomic_fetch_add(&pipeline->cpu_us[self->stage], pipeline_thread_cpu_us());
    end_of_stage(pipeline, self->stage);
    return NULL;
}

static int start_threads(struct pipeline *pipeline, struct err *err)
{
    const int counts[STAGE_COUNT] = {1, (int)pipeline->settings->fetchers, 1, 1,
                                     (int)pipeline->settings->uploaders};
    size_t total = 0;
    for (int stage = 0; stage < STAGE_COUNT; stage++)
        total += (size_t)counts[stage];
    pipeline->threads = calloc(total, sizeof *pipeline->threads);
    if (!pipeline->threads)
        return ERR_NOMEM;
    /* All are counted before the first could end. */
    for (int stage = 0; stage < STAGE_COUNT; stage++)
        atomic_store(&pipeline->running[stage], counts[stage]);
    for (int stage = 0; stage < STAGE_COUNT; stage++)
        for (int i = 0; i < counts[stage]; i++) {
            struct stage_thread *thread = &pipeline->threads[pipeline->thread_count];
            *thread = (struct stage_thread){.pipeline = pipeline, .stage = (enum stage)stage};
            if ((errno = pthread_create(&thread->thread, NULL, run_thread, thread)))
                return err_set_errno(err, NULL, "a thread for %s", names[stage]);
            pthread_setname_np(thread->thread, names[stage]);
            pipeline->thread_count++;
        }
    return 0;
}

size_t pipeline_depth(const struct settings *settings, const struct residency *residency)
{
    size_t batch = (size_t)residency_batch_max(residency);
    if (settings->depth > 0)
        return (size_t)settings->depth;
    return batch > 1 ? 2 * batch : 3;
}

size_t pipeline_capacity(const struct settings *settings, const struct residency *residency)
{
    return (size_t)residency_batch_max(residency) + pipeline_depth(settings, residency);
}

static struct pipeline *create(const struct settings *settings, struct residency *residency,
                               const struct queue *queues, const char *worker_id)
{
    size_t capacity = 2 * pipeline_capacity(settings, residency);
    struct pipeline *pipeline = calloc(1, sizeof *pipeline);
    if (!pipeline)
        return NULL;
    pipeline->settings = settings;
    pipeline->residency = residency;
    pipeline->queues = queues;
    pipeline->worker_id = worker_id;
    pipeline->redis.name = "redis";
    pipeline->dispatcher.name = "dispatcher";
    pipeline->inputs.name = "store-get";
    pipeline->results.name = "store-put";
    pipeline->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    bool whole = pipeline->done_fd >= 0 && (pipeline->roster = roster_create(capacity)) &&
                 (pipeline->away = away_create());
    for (int stage = 0; stage < STAGE_COUNT && whole; stage++)
        whole = stage == STAGE_LOAD || (pipeline->rings[stage] = ring_create(capacity)) != NULL;
    if (!whole)
        pipeline_destroy(&pipeline);
    return pipeline;
}

int pipeline_start(const struct settings *settings, struct residency *residency,
                   const struct queue *queues, const char *worker_id,
                   struct pipeline **out_pipeline, struct err *err)
{
    struct pipeline *pipeline = create(settings, residency, queues, worker_id);
    if (!pipeline)
        return err_set(err, ERR_NOMEM, NULL, "no memory for the pipeline");
    int rc = start_threads(pipeline, err);
    if (rc < 0) {
        /* A stage that has no thread can't close the next ring: end them all. */
        for (int stage = 0; stage < STAGE_COUNT; stage++)
            close_door(pipeline, (enum stage)stage);
        pipeline_destroy(&pipeline);
        return rc;
    }
    *out_pipeline = pipeline;
    return 0;
}

void pipeline_pass(struct pipeline *pipeline, enum stage next, struct task *task)
{
    enum stage stage = task_is_over(task) ? STAGE_DELIVER : next;
    if (stage == STAGE_LOAD) {
        enum residency_door door = residency_enter(pipeline->residency, task);
        if (door == RESIDENCY_PARKED)
            return;
        task->release |= door == RESIDENCY_SHUT;
        stage = door == RESIDENCY_OPEN ? STAGE_INFER : STAGE_DELIVER;
    }
    if (stage == STAGE_DELIVER)
        residency_leave(pipeline->residency, task);
    /* Rings are closed from the front, after the last that could push: this can't be refused. */
    if (ring_push(pipeline->rings[stage], task) < 0) {
        roster_remove(pipeline->roster, task);
        task_destroy(&task);
    }
}

static void pass_all(struct pipeline *pipeline, struct task *task)
{
    while (task) {
        struct task *next = task->next;
        pipeline_pass(pipeline, STAGE_DELIVER, task);
        task = next;
    }
}

void pipeline_shard_away(struct pipeline *pipeline, unsigned shard, bool is_away)
{
    pass_all(pipeline, away_set(pipeline->away, shard, is_away));
}

size_t pipeline_under_way(struct pipeline *pipeline)
{
    size_t waiting = away_count(pipeline->away), count = roster_count(pipeline->roster);
    return count > waiting ? count - waiting : 0;
}

void pipeline_drain(struct pipeline *pipeline)
{
    pass_all(pipeline, away_end(pipeline->away));
    ring_close(pipeline->rings[STAGE_GRANT]);
}

int pipeline_done_fd(const struct pipeline *pipeline)
{
    return pipeline->done_fd;
}

void pipeline_fail(struct pipeline *pipeline, int rc, const struct err *err)
{
    /* All else is said once, by who ends because of it. */
    if (rc == ERR_DEVICE)
        log_event(LOG_ERROR, "worker.fatal", "code", LOG_S, err_name(rc), "error", LOG_S, err->text,
                  NULL);
    if (!atomic_exchange(&pipeline->failing, 1)) {
        pipeline->why = *err;
        atomic_store(&pipeline->fatal, rc);
    }
    signal_done(pipeline);
}

bool pipeline_found_no_store(int rc, int status)
{
    return rc == ERR_UNAVAILABLE && status == 0;
}

void pipeline_do_without_store(struct pipeline *pipeline, struct task *task)
{
    task->release = true;
    atomic_store(&pipeline->no_store_ms, (long long)(clock_ms() + NO_STORE_PAUSE_MS));
}

int pipeline_open_client(struct pipeline *pipeline, int64_t timeout_ms,
                         struct http_client **out_client)
{
    struct err err = {0};
    int rc = http_client_create(&(struct http_client_options){.total_timeout_ms = timeout_ms},
                                out_client, &err);
    if (rc < 0)
        pipeline_fail(pipeline, rc, &err);
    return rc;
}

void pipeline_destroy(struct pipeline **pipeline)
{
    if (!*pipeline)
        return;
    for (size_t i = 0; i < (*pipeline)->thread_count; i++)
        pthread_join((*pipeline)->threads[i].thread, NULL);
    for (int stage = 0; stage < STAGE_COUNT; stage++)
        ring_destroy(&(*pipeline)->rings[stage]);
    outputs_spare_fini(&(*pipeline)->spare);
    away_destroy(&(*pipeline)->away);
    roster_destroy(&(*pipeline)->roster);
    if ((*pipeline)->done_fd >= 0)
        close((*pipeline)->done_fd);
    free((*pipeline)->threads);
    free(*pipeline);
    *pipeline = NULL;
}
