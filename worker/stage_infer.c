/* SPDX-License-Identifier: MIT
 *
 * The third stage: the network. It takes what is ready, up to a batch of one model, and never
 * waits for more. While it runs, a second thread gathers the next batch and makes its input ready,
 * and what it gave is copied nowhere: between two runs there is nothing to do. */
#include "common/clock.h"
#include "common/err.h"
#include "worker/batch.h"
#include "worker/pipeline.h"
#include "worker/spans.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

struct infer {
    struct pipeline *pipeline;
    pthread_t packer;

    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct batch batches[2];
    struct batch *gathering; /* the packer's; the other one is the network's */
    bool closed;             /* nothing more comes */

    int64_t network_cpu_us;
};

/* ---- the packer ------------------------------------------------------------------------------ */

/* Over, or too late to begin. */
static bool turned_away(struct infer *infer, struct task *task)
{
    task->release |= roster_is_hurried(infer->pipeline->roster);
    if (!task_is_over(task))
        return false;
    pipeline_pass(infer->pipeline, STAGE_DELIVER, task);
    return true;
}

/* The network may take the batch before or behind this, and waits a moment if it comes meanwhile:
 * one more picture is worth that. */
static void pack(struct infer *infer, struct task *task)
{
    pthread_mutex_lock(&infer->lock);
    while (!batch_fits(infer->gathering, task))
        pthread_cond_wait(&infer->changed, &infer->lock);
    int rc = batch_add(infer->gathering, task);
    pthread_cond_broadcast(&infer->changed);
    pthread_mutex_unlock(&infer->lock);
    if (rc < 0) {
        task->rc = err_set(&task->err, rc, NULL, "no memory for a batch");
        pipeline_pass(infer->pipeline, STAGE_DELIVER, task);
    }
}

static void *run_packer(void *argument)
{
    struct infer *infer = argument;
    void *item;
    while (ring_pop(infer->pipeline->rings[STAGE_INFER], &item) == 0)
        if (!turned_away(infer, item))
            pack(infer, item);
    pthread_mutex_lock(&infer->lock);
    infer->closed = true;
    pthread_cond_broadcast(&infer->changed);
    pthread_mutex_unlock(&infer->lock);
    atomic_fetch_add(&infer->pipeline->cpu_us[STAGE_INFER], pipeline_thread_cpu_us());
    return NULL;
}

/* ---- the network ----------------------------------------------------------------------------- */

/* The batch that was gathered; NULL once nothing more comes. */
static struct batch *take(struct infer *infer)
{
    pthread_mutex_lock(&infer->lock);
    while (infer->gathering->count == 0 && !infer->closed)
        pthread_cond_wait(&infer->changed, &infer->lock);
    struct batch *batch = infer->gathering;
    infer->gathering = &infer->batches[batch == &infer->batches[0]];
    pthread_cond_broadcast(&infer->changed);
    pthread_mutex_unlock(&infer->lock);
    return batch->count > 0 ? batch : NULL;
}

static void begin(struct infer *infer, struct batch *batch)
{
    for (int i = batch->count - 1; i >= 0; i--) {
        struct task *task = batch->tasks[i];
        if (task_is_over(task) || roster_is_hurried(infer->pipeline->roster)) {
            batch_drop(batch, i);
            turned_away(infer, task);
        } else {
            task_mark(task, STEP_WAIT);
            atomic_store(&task->progress_permille, 300);
            atomic_store(&task->in_network_ms, (long long)clock_ms());
        }
    }
    /* While the network is busy the next jobs can be made ready. */
    roster_nudge(infer->pipeline->roster);
}

/* More rows than a batch may have go in several. */
static int run_rows(struct model *model, size_t rows, const float *input, float *output,
                    struct err *err)
{
    const struct model_info *info = model_info(model);
    int rc = 0;
    for (size_t row = 0; rc == 0 && row < rows; row += MODEL_MAX_BATCH) {
        size_t count = rows - row < MODEL_MAX_BATCH ? rows - row : MODEL_MAX_BATCH;
        rc = model_run(model, (int)count, input + row * info->in_values,
                       output + row * info->out_values, err);
    }
    return rc;
}

/* Runs tasks[first, first + count). */
static int run(struct infer *infer, const struct batch *batch, int first, int count,
               struct err *err)
{
    struct resident *resident = batch->tasks[first]->resident;
    const struct model_info *info = resident->info;
    struct outputs *outputs;
    size_t row = batch_row(batch, first), rows = 0;
    for (int i = first; i < first + count; i++)
        rows += batch_rows_of(batch->tasks[i]);
    int rc = outputs_take(&infer->pipeline->spare, rows * info->out_values, &outputs);
    if (rc < 0)
        return err_set(err, rc, NULL, "no memory for the results of %d jobs", count);
    int64_t before_us = pipeline_thread_cpu_us();
    rc =
        run_rows(resident->model, rows, batch->input + row * info->in_values, outputs->values, err);
    infer->network_cpu_us += pipeline_thread_cpu_us() - before_us;
    residency_weigh(infer->pipeline->residency, resident, model_bytes(resident->model));
    row = 0;
    for (int i = first; i < first + count && rc == 0; i++) {
        batch->tasks[i]->outputs = outputs_share(outputs);
        batch->tasks[i]->output = outputs->values + row * info->out_values;
        row += batch_rows_of(batch->tasks[i]);
    }
    outputs_leave(&outputs);
    return rc;
}

static void run_alone(struct infer *infer, const struct batch *batch, int index)
{
    struct task *task = batch->tasks[index];
    task->rc = run(infer, batch, index, 1, &task->err);
    if (task->rc == ERR_DEVICE)
        pipeline_fail(infer->pipeline, task->rc, &task->err);
}

/* A batch that fails is taken apart, so that each job gets its own answer and nobody pays for a
 * neighbour. */
static void run_batch(struct infer *infer, const struct batch *batch)
{
    struct err err = {0};
    int64_t begin_us = clock_us();
    int rc = batch->count > 1 ? run(infer, batch, 0, batch->count, &err) : ERR_OK;
    if (batch->count > 1)
        spans_run(infer->pipeline->tracer, batch->tasks, (size_t)batch->count, begin_us, rc);
    if (rc == ERR_DEVICE)
        pipeline_fail(infer->pipeline, rc, &err);
    else if (batch->count == 1 || rc < 0)
        for (int i = 0; i < batch->count && !atomic_load(&infer->pipeline->fatal); i++)
            run_alone(infer, batch, i);
}

static void pass_on(struct infer *infer, struct batch *batch)
{
    for (int i = 0; i < batch->count; i++) {
        task_mark(batch->tasks[i], STEP_INFER);
        atomic_store(&batch->tasks[i]->progress_permille, 800);
        atomic_store(&batch->tasks[i]->in_network_ms, 0);
        pipeline_pass(infer->pipeline, STAGE_DELIVER, batch->tasks[i]);
    }
    batch_clear(batch);
}

/* ---- both ------------------------------------------------------------------------------------ */

static void destroy(struct infer *infer)
{
    for (int i = 0; i < 2; i++)
        batch_fini(&infer->batches[i]);
    pthread_cond_destroy(&infer->changed);
    pthread_mutex_destroy(&infer->lock);
    free(infer);
}

static int create(struct pipeline *pipeline, struct infer **out_infer, struct err *err)
{
    struct infer *infer = calloc(1, sizeof *infer);
    if (!infer)
        return err_set(err, ERR_NOMEM, NULL, "no memory for the network's stage");
    infer->pipeline = pipeline;
    infer->gathering = &infer->batches[0];
    pthread_mutex_init(&infer->lock, NULL);
    pthread_cond_init(&infer->changed, NULL);
    if ((errno = pthread_create(&infer->packer, NULL, run_packer, infer))) {
        destroy(infer);
        return err_set_errno(err, NULL, "a thread for batches");
    }
    pthread_setname_np(infer->packer, "dk-pack");
    *out_infer = infer;
    return 0;
}

void stage_infer_run(struct pipeline *pipeline)
{
    struct infer *infer = NULL;
    struct batch *batch;
    struct err err = {0};
    int rc = create(pipeline, &infer, &err);
    if (rc < 0) {
        pipeline_fail(pipeline, rc, &err);
        return;
    }
    while ((batch = take(infer))) {
        begin(infer, batch);
        run_batch(infer, batch);
        /* With a broken device nothing is settled: the leases bring the jobs back elsewhere. The
         * process ends around the packer. */
        if (atomic_load(&pipeline->fatal))
            return;
        pass_on(infer, batch);
    }
    pthread_join(infer->packer, NULL);
    atomic_fetch_sub(&pipeline->cpu_us[STAGE_INFER], infer->network_cpu_us);
    destroy(infer);
}
