/* SPDX-License-Identifier: MIT
 *
 * The third stage: the network. It takes what is ready, up to a batch of one model, and never
 * waits for more: while it runs, the next batch gathers. */
#include "common/clock.h"
#include "common/err.h"
#include "gpu/pixels.h"
#include "worker/pipeline.h"

#include <stdlib.h>
#include <string.h>

struct infer {
    struct pipeline *pipeline;
    struct task *held; /* of another model: begins the next batch */
    struct task *batch[MODEL_MAX_BATCH];
    int count;
    float *input, *output; /* owned: [rows][in_values], [rows][out_values] */
    size_t capacity;       /* floats in each */
    int64_t network_cpu_us;
};

/* False once the ring is closed and empty. */
static bool gather(struct infer *infer)
{
    struct ring *ring = infer->pipeline->rings[STAGE_INFER];
    void *item = infer->held;
    infer->held = NULL;
    infer->count = 0;
    if (!item && ring_pop(ring, &item) < 0)
        return false;
    do {
        struct task *task = item;
        task->release |= roster_is_hurried(infer->pipeline->roster);
        if (task_is_over(task)) {
            pipeline_pass(infer->pipeline, STAGE_DELIVER, task);
        } else if (infer->count > 0 && task->resident != infer->batch[0]->resident) {
            infer->held = task;
            break;
        } else {
            task_mark(task, STEP_WAIT);
            atomic_store(&task->progress_permille, 300);
            atomic_store(&task->in_network_ms, (long long)clock_ms());
            infer->batch[infer->count++] = task;
        }
    } while ((infer->count == 0 || infer->count < infer->batch[0]->resident->batch_max) &&
             ring_try_pop(ring, &item));
    return true;
}

/* Buffers grow to the largest batch seen and stay: a model's, bounded by batch and size. */
static int make_room(struct infer *infer, size_t values)
{
    if (values <= infer->capacity)
        return 0;
    free(infer->input);
    free(infer->output);
    infer->capacity = 0;
    infer->input = malloc(values * sizeof *infer->input);
    infer->output = malloc(values * sizeof *infer->output);
    if (!infer->input || !infer->output)
        return ERR_NOMEM;
    infer->capacity = values;
    return 0;
}

static int keep_output(struct task *task, const float *output, size_t values)
{
    task->output = malloc(values * sizeof *output);
    if (!task->output)
        return err_set(&task->err, ERR_NOMEM, NULL, "no memory for a result");
    memcpy(task->output, output, values * sizeof *output);
    return 0;
}

/* How often the network runs for a job: a picture is one row, and so is each digit. */
static size_t rows_of(const struct task *task)
{
    return task->resident->info->input == MODEL_FROM_DIGITS ? (size_t)task->digits.count : 1;
}

static void fill_input(const struct task *task, float *input)
{
    const struct resident *resident = task->resident;
    if (resident->info->input == MODEL_FROM_DIGITS)
        digits_fill(&task->digits, input);
    else
        pixels_to_tensor(task->square.pixels, resident->size, resident->size, &resident->format,
                         input);
}

/* More rows than a batch may have go in several. */
static int run_rows(struct infer *infer, struct model *model, size_t rows, struct err *err)
{
    const struct model_info *info = model_info(model);
    int rc = 0;
    for (size_t row = 0; rc == 0 && row < rows; row += MODEL_MAX_BATCH) {
        size_t count = rows - row < MODEL_MAX_BATCH ? rows - row : MODEL_MAX_BATCH;
        rc = model_run(model, (int)count, infer->input + row * info->in_values,
                       infer->output + row * info->out_values, err);
    }
    return rc;
}

/* Runs batch[first, first + count). */
static int run(struct infer *infer, int first, int count, struct err *err)
{
    struct task **tasks = infer->batch + first;
    const struct model_info *info = tasks[0]->resident->info;
    size_t most = info->in_values > info->out_values ? info->in_values : info->out_values;
    size_t rows = 0, row = 0;
    for (int i = 0; i < count; i++)
        rows += rows_of(tasks[i]);
    int rc = make_room(infer, most * rows);
    if (rc < 0)
        return err_set(err, rc, NULL, "no memory for a batch of %d", count);
    for (int i = 0; i < count; row += rows_of(tasks[i]), i++)
        fill_input(tasks[i], infer->input + row * info->in_values);
    int64_t before_us = pipeline_thread_cpu_us();
    rc = run_rows(infer, tasks[0]->resident->model, rows, err);
    infer->network_cpu_us += pipeline_thread_cpu_us() - before_us;
    residency_weigh(infer->pipeline->residency, tasks[0]->resident,
                    model_bytes(tasks[0]->resident->model));
    row = 0;
    for (int i = 0; i < count && rc == 0; row += rows_of(tasks[i]), i++)
        tasks[i]->rc = keep_output(tasks[i], infer->output + row * info->out_values,
                                   rows_of(tasks[i]) * info->out_values);
    return rc;
}

static void run_alone(struct infer *infer, int index)
{
    struct task *task = infer->batch[index];
    task->rc = run(infer, index, 1, &task->err);
    if (task->rc == ERR_DEVICE)
        pipeline_fail(infer->pipeline, task->rc, &task->err);
}

/* A batch that fails is taken apart, so that each job gets its own answer and nobody pays for a
 * neighbour. */
static void run_batch(struct infer *infer)
{
    struct err err = {0};
    int rc = infer->count > 1 ? run(infer, 0, infer->count, &err) : ERR_OK;
    if (rc == ERR_DEVICE)
        pipeline_fail(infer->pipeline, rc, &err);
    else if (infer->count == 1 || rc < 0)
        for (int i = 0; i < infer->count && !atomic_load(&infer->pipeline->fatal); i++)
            run_alone(infer, i);
}

void stage_infer_run(struct pipeline *pipeline)
{
    struct infer infer = {.pipeline = pipeline};
    while (gather(&infer)) {
        if (infer.count == 0)
            continue;
        /* While the network is busy the next jobs can be made ready. */
        roster_nudge(pipeline->roster);
        run_batch(&infer);
        /* With a broken device nothing is settled: the leases bring the jobs back elsewhere. */
        if (atomic_load(&pipeline->fatal))
            return;
        for (int i = 0; i < infer.count; i++) {
            picture_fini(&infer.batch[i]->square);
            task_mark(infer.batch[i], STEP_INFER);
            atomic_store(&infer.batch[i]->progress_permille, 800);
            atomic_store(&infer.batch[i]->in_network_ms, 0);
            pipeline_pass(pipeline, STAGE_DELIVER, infer.batch[i]);
        }
    }
    free(infer.input);
    free(infer.output);
    atomic_fetch_sub(&pipeline->cpu_us[STAGE_INFER], infer.network_cpu_us);
}
