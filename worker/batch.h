/* SPDX-License-Identifier: MIT
 *
 * Tasks of one model that go into the network together, and its input, made ready row by row while
 * the network is at work on another batch.
 *
 *     if (batch_fits(&batch, task)) rc = batch_add(&batch, task, &err);
 *     batch_drop(&batch, i);                    // the task is nobody's any more
 *     batch_clear(&batch);                      // for the next ones; keeps its memory
 *     batch_fini(&batch);
 *
 * Tasks are the caller's. A plain struct: one thread at a time. */
#ifndef DARKROOM_WORKER_BATCH_H
#define DARKROOM_WORKER_BATCH_H

#include "gpu/model.h"
#include "worker/task.h"

#include <stdbool.h>
#include <stddef.h>

struct batch {
    struct task *tasks[MODEL_MAX_BATCH];
    int count;
    size_t rows;     /* of all tasks: a picture is one, and so is each digit */
    float *input;    /* owned: [rows][in_values] */
    size_t capacity; /* floats in it: a model's, bounded by batch and size, and then it stays */
};

size_t batch_rows_of(const struct task *task);

/* The first row of a task. */
size_t batch_row(const struct batch *batch, int index);

/* Of its model, and there is room. An empty one takes anybody. */
bool batch_fits(const struct batch *batch, const struct task *task);

/* Writes the task's rows and frees its picture. ERR_NOMEM: it is not in there. */
int batch_add(struct batch *batch, struct task *task);

/* Takes one out; those behind it move up. */
void batch_drop(struct batch *batch, int index);

void batch_clear(struct batch *batch);
void batch_fini(struct batch *batch);

#endif
