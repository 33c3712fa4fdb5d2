/* SPDX-License-Identifier: MIT
 *
 * What goes into the network together, and who holds what came out. */
#include "worker/batch.h"

#include "common/err.h"
#include "tests/unit/check.h"
#include "worker/outputs.h"
#include "worker/resident.h"

enum { MOST = 4 };

static const struct model_info info = {.input = MODEL_FROM_DIGITS, .in_values = CGAN_INPUTS};
static struct resident one = {.info = &info, .batch_max = MOST},
                       other = {.info = &info, .batch_max = MOST};

/* `count` rows of a number that begins with `digit`. */
static struct task *task_of(struct resident *resident, int digit, int count)
{
    struct task *task = task_create();
    CHECK(task != NULL);
    task->resident = resident;
    task->digits = (struct digits){.seed = 7, .count = count};
    for (int i = 0; i < count; i++)
        task->digits.digit[i] = (unsigned char)((digit + i) % 10);
    return task;
}

static void check_rows(const struct batch *batch, int index)
{
    float rows[CGAN_MAX_DIGITS * CGAN_INPUTS];
    const struct task *task = batch->tasks[index];
    digits_fill(&task->digits, rows);
    CHECK_INT(memcmp(batch->input + batch_row(batch, index) * CGAN_INPUTS, rows,
                     batch_rows_of(task) * CGAN_INPUTS * sizeof rows[0]),
              0);
}

static void a_batch_takes_one_model_up_to_its_most(void)
{
    struct batch batch = {0};
    struct task *tasks[MOST + 2];
    for (int i = 0; i < MOST + 2; i++)
        tasks[i] = task_of(i == MOST + 1 ? &other : &one, i, 1);
    CHECK(batch_fits(&batch, tasks[MOST + 1]));
    CHECK_INT(batch_add(&batch, tasks[0]), 0);
    CHECK(!batch_fits(&batch, tasks[MOST + 1]));
    for (int i = 1; i < MOST; i++) {
        CHECK(batch_fits(&batch, tasks[i]));
        CHECK_INT(batch_add(&batch, tasks[i]), 0);
    }
    CHECK(!batch_fits(&batch, tasks[MOST]));
    batch_clear(&batch);
    CHECK(batch_fits(&batch, tasks[MOST + 1]));
    batch_fini(&batch);
    for (int i = 0; i < MOST + 2; i++)
        task_destroy(&tasks[i]);
}

static void rows_stay_with_their_tasks_when_one_is_dropped(void)
{
    const int counts[MOST] = {2, CGAN_MAX_DIGITS, 1, 3};
    for (int dropped = 0; dropped < MOST; dropped++) {
        struct batch batch = {0};
        struct task *tasks[MOST];
        for (int i = 0; i < MOST; i++) {
            tasks[i] = task_of(&one, 3 * i, counts[i]);
            CHECK_INT(batch_add(&batch, tasks[i]), 0);
        }
        batch_drop(&batch, dropped);
        CHECK_INT(batch.count, MOST - 1);
        CHECK_INT(batch.rows, 2 + CGAN_MAX_DIGITS + 1 + 3 - counts[dropped]);
        for (int i = 0; i < batch.count; i++) {
            CHECK(batch.tasks[i] == tasks[i + (i >= dropped)]);
            check_rows(&batch, i);
        }
        batch_fini(&batch);
        for (int i = 0; i < MOST; i++)
            task_destroy(&tasks[i]);
    }
}

static void outputs_stay_until_the_last_has_left(void)
{
    struct outputs_spare spare = {NULL};
    struct outputs *outputs, *first, *second, *next;
    CHECK_INT(outputs_take(&spare, 100, &outputs), 0);
    first = outputs_share(outputs);
    second = outputs_share(outputs);
    struct outputs *block = outputs;
    outputs_leave(&outputs);
    outputs_leave(&first);
    CHECK(outputs == NULL && first == NULL);
    /* Still in use: the next batch gets another. */
    CHECK_INT(outputs_take(&spare, 100, &next), 0);
    CHECK(next != block);
    outputs_leave(&second);
    outputs_leave(&second);
    outputs_leave(&next);
    outputs_spare_fini(&spare);
}

static void the_spare_is_used_again_where_it_is_large_enough(void)
{
    struct outputs_spare spare = {NULL};
    struct outputs *outputs;
    CHECK_INT(outputs_take(&spare, 100, &outputs), 0);
    struct outputs *block = outputs;
    outputs_leave(&outputs);
    CHECK_INT(outputs_take(&spare, 50, &outputs), 0);
    CHECK(outputs == block);
    outputs_leave(&outputs);
    CHECK_INT(outputs_take(&spare, 100000, &outputs), 0);
    outputs->values[99999] = 1;
    outputs_leave(&outputs);
    outputs_spare_fini(&spare);
}

int main(void)
{
    RUN(a_batch_takes_one_model_up_to_its_most);
    RUN(rows_stay_with_their_tasks_when_one_is_dropped);
    RUN(outputs_stay_until_the_last_has_left);
    RUN(the_spare_is_used_again_where_it_is_large_enough);
    return check_report();
}
