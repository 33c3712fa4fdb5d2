/* SPDX-License-Identifier: MIT */
#include "dispatcher/offload.h"

#include "common/clock.h"
#include "common/err.h"
#include "tests/unit/check.h"

#include <poll.h>
#include <pthread.h>

struct task {
    int worked, done;
    pthread_mutex_t *gate; /* held by the test while the work shall wait; NULL */
};

static void work(void *argument)
{
    struct task *task = argument;
    if (task->gate) {
        pthread_mutex_lock(task->gate);
        pthread_mutex_unlock(task->gate);
    }
    task->worked++;
}

static void done(void *argument)
{
    struct task *task = argument;
    task->done++;
}

static void finish_all(struct offload *offload)
{
    int64_t deadline = clock_ms() + 10000;
    while (offload_pending(offload) > 0 && clock_ms() < deadline) {
        struct pollfd wait = {.fd = offload_fd(offload), .events = POLLIN};
        poll(&wait, 1, 1000);
        offload_finish(offload);
    }
    CHECK_INT(offload_pending(offload), 0);
}

static void every_task_works_once_and_ends_once(void)
{
    struct offload *offload = NULL;
    struct task tasks[100] = {0};
    CHECK_INT(offload_open(2, 100, &offload, NULL), 0);
    for (int i = 0; i < 100; i++)
        CHECK_INT(offload_submit(offload, work, done, &tasks[i]), 0);
    finish_all(offload);
    for (int i = 0; i < 100; i++) {
        CHECK_INT(tasks[i].worked, 1);
        CHECK_INT(tasks[i].done, 1);
    }
    offload_close(&offload);
    CHECK(offload == NULL);
}

static void a_full_queue_refuses_and_takes_again_later(void)
{
    struct offload *offload = NULL;
    pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
    struct task tasks[3] = {{.gate = &gate}, {.gate = &gate}, {.gate = &gate}};
    CHECK_INT(offload_open(1, 2, &offload, NULL), 0);
    pthread_mutex_lock(&gate);
    CHECK_INT(offload_submit(offload, work, done, &tasks[0]), 0);
    CHECK_INT(offload_submit(offload, work, done, &tasks[1]), 0);
    CHECK_INT(offload_submit(offload, work, done, &tasks[2]), ERR_LIMIT);
    pthread_mutex_unlock(&gate);
    finish_all(offload);
    CHECK_INT(offload_submit(offload, work, done, &tasks[2]), 0);
    finish_all(offload);
    CHECK_INT(tasks[2].done, 1);
    offload_close(&offload);
}

static void closing_works_off_what_was_accepted(void)
{
    struct offload *offload = NULL;
    struct task tasks[10] = {0};
    CHECK_INT(offload_open(1, 10, &offload, NULL), 0);
    for (int i = 0; i < 10; i++)
        CHECK_INT(offload_submit(offload, work, done, &tasks[i]), 0);
    offload_close(&offload);
    for (int i = 0; i < 10; i++)
        CHECK_INT(tasks[i].worked, 1);
}

int main(void)
{
    RUN(every_task_works_once_and_ends_once);
    RUN(a_full_queue_refuses_and_takes_again_later);
    RUN(closing_works_off_what_was_accepted);
    return check_report();
}
