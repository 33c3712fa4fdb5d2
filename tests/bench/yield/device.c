/* SPDX-License-Identifier: MIT
 *
 * A device that is none, for the real worker: a run takes its time asleep and gives back what went
 * in. Put in the place of the engine by the linker's --wrap; all else of the worker is as shipped.
 *
 *     YIELD_DEVICE=BASE:ROW     microseconds of a run, and of each row in it besides
 *     YIELD_COUNTERS=FILE       of at least sizeof(struct counters), shared with who measures
 *
 * What a run takes is counted from when it was asked for, so a machine that has no time to wake us
 * costs throughput and not accuracy. */
#include "common/clock.h"
#include "common/err.h"
#include "gpu/model.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

int __wrap_model_prepare(struct model *model, int batch, struct err *err);
int __wrap_model_run(struct model *model, int batch, const float *input, float *output,
                     struct err *err);

/* As tests/bench/yield/run.py reads them. */
struct counters {
    atomic_llong runs, rows, busy_us, ended_us; /* the last: when the last run ended, clock_us() */
};

static struct counters *open_counters(void)
{
    static struct counters nobody_asks;
    const char *path = getenv("YIELD_COUNTERS");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    void *shared =
        fd < 0 ? MAP_FAILED
               : mmap(NULL, sizeof(struct counters), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (fd >= 0)
        close(fd);
    return shared == MAP_FAILED ? &nobody_asks : shared;
}

static int64_t run_us(int batch)
{
    const char *text = getenv("YIELD_DEVICE");
    long long base = 0, row = 0;
    if (text)
        sscanf(text, "%lld:%lld", &base, &row);
    return base + row * batch;
}

static void sleep_until_us(int64_t until_us)
{
    const struct timespec until = {.tv_sec = until_us / 1000000,
                                   .tv_nsec = until_us % 1000000 * 1000};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR)
        ;
}

/* A picture goes out as it came in, so that encoding it costs what a picture costs. */
static void answer(const struct model_info *info, int batch, const float *input, float *output)
{
    if (info->in_values == info->out_values)
        memcpy(output, input, info->out_values * (size_t)batch * sizeof *output);
    else
        memset(output, 0, info->out_values * (size_t)batch * sizeof *output);
}

int __wrap_model_prepare(struct model *model, int batch, struct err *err)
{
    (void)model;
    (void)batch;
    (void)err;
    return 0;
}

int __wrap_model_run(struct model *model, int batch, const float *input, float *output,
                     struct err *err)
{
    static struct counters *counters; /* one thread runs models */
    int64_t began_us = clock_us();
    (void)err;
    if (!counters)
        counters = open_counters();
    answer(model_info(model), batch, input, output);
    sleep_until_us(began_us + run_us(batch));
    int64_t ended_us = clock_us();
    atomic_store(&counters->ended_us, ended_us);
    atomic_fetch_add(&counters->busy_us, ended_us - began_us);
    atomic_fetch_add(&counters->rows, batch);
    atomic_fetch_add(&counters->runs, 1);
    return 0;
}
