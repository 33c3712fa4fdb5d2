/* SPDX-License-Identifier: MIT */
#include "worker/batch.h"

#include "common/err.h"
#include "gpu/pixels.h"
#include "worker/resident.h"

#include <stdlib.h>
#include <string.h>

static size_t in_values(const struct batch *batch)
{
    return batch->tasks[0]->resident->info->in_values;
}

size_t batch_rows_of(const struct task *task)
{
    return task->resident->info->input == MODEL_FROM_DIGITS ? (size_t)task->digits.count : 1;
}

size_t batch_row(const struct batch *batch, int index)
{
    size_t row = 0;
    for (int i = 0; i < index; i++)
        row += batch_rows_of(batch->tasks[i]);
    return row;
}

bool batch_fits(const struct batch *batch, const struct task *task)
{
    return batch->count == 0 || (task->resident == batch->tasks[0]->resident &&
                                 batch->count < task->resident->batch_max);
}

/* At once for as many as may come, or it would be copied again and again. */
static int make_room(struct batch *batch, const struct task *task)
{
    size_t values = task->resident->info->in_values;
    size_t needed = (batch->rows + batch_rows_of(task)) * values;
    size_t usual = (size_t)task->resident->batch_max * values;
    if (needed <= batch->capacity)
        return 0;
    if (usual < needed)
        usual = 2 * needed;
    float *grown = realloc(batch->input, usual * sizeof *grown);
    if (!grown)
        return ERR_NOMEM;
    batch->input = grown;
    batch->capacity = usual;
    return 0;
}

int batch_add(struct batch *batch, struct task *task)
{
    const struct resident *resident = task->resident;
    if (make_room(batch, task) < 0)
        return ERR_NOMEM;
    float *rows = batch->input + batch->rows * resident->info->in_values;
    if (resident->info->input == MODEL_FROM_DIGITS)
        digits_fill(&task->digits, rows);
    else
        pixels_to_tensor(task->square.pixels, resident->size, resident->size, &resident->format,
                         rows);
    picture_fini(&task->square);
    batch->tasks[batch->count++] = task;
    batch->rows += batch_rows_of(task);
    return 0;
}

void batch_drop(struct batch *batch, int index)
{
    size_t values = in_values(batch), first = batch_row(batch, index);
    size_t rows = batch_rows_of(batch->tasks[index]);
    memmove(batch->input + first * values, batch->input + (first + rows) * values,
            (batch->rows - first - rows) * values * sizeof *batch->input);
    batch->rows -= rows;
    batch->count--;
    memmove(batch->tasks + index, batch->tasks + index + 1,
            (size_t)(batch->count - index) * sizeof batch->tasks[0]);
}

void batch_clear(struct batch *batch)
{
    batch->count = 0;
    batch->rows = 0;
}

void batch_fini(struct batch *batch)
{
    free(batch->input);
    *batch = (struct batch){0};
}
