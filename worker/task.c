/* SPDX-License-Identifier: MIT */
#include "worker/task.h"

#include "common/clock.h"

#include <stdlib.h>

struct task *task_create(void)
{
    struct task *task = calloc(1, sizeof *task);
    if (task)
        task->mark_us = task->claimed_us = clock_us();
    return task;
}

void task_grant_fini(struct task_grant *grant)
{
    free(grant->get_url);
    free(grant->put_url);
    free(grant->put_type);
    free(grant->crop_url);
    free(grant->heat_map_url);
    *grant = (struct task_grant){0};
}

void task_destroy(struct task **task)
{
    if (!*task)
        return;
    job_spec_fini(&(*task)->spec);
    task_grant_fini(&(*task)->grant);
    picture_fini(&(*task)->square);
    buf_fini(&(*task)->crop_png);
    outputs_leave(&(*task)->outputs);
    free(*task);
    *task = NULL;
}

bool task_is_over(const struct task *task)
{
    return task->rc < 0 || task->release || task_verdict(task) != TASK_ON;
}

const char *task_step_name(enum task_step step)
{
    static const char *const names[STEP_COUNT] = {
        [STEP_GRANT] = "grant",   [STEP_FETCH] = "fetch",       [STEP_DECODE] = "decode",
        [STEP_WAIT] = "wait",     [STEP_INFER] = "infer",       [STEP_ENCODE] = "encode",
        [STEP_UPLOAD] = "upload", [STEP_COMPLETE] = "complete",
    };
    return names[step];
}

void task_mark(struct task *task, enum task_step step)
{
    int64_t now_us = clock_us();
    task->step_us[step] += now_us - task->mark_us;
    task->mark_us = now_us;
}
