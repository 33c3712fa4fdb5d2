/* SPDX-License-Identifier: MIT
 *
 * Models that come and go: what they hold, that one thread may load what another runs, and that
 * closing gives everything back. */
#include "gpu/model.h"

#include "common/err.h"
#include "common/memory.h"
#include "tests/models/golden.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>

enum { SIZE = 64, THREADS = 2 };

static struct model *open_light(void)
{
    struct model_options options = model_options_default();
    struct model *model = NULL;
    struct err err = {0};
    options.size = SIZE;
    options.threads = THREADS;
    if (model_open(golden_path("light"), &options, &model, &err) < 0)
        printf("# %s\n", err.text);
    return model;
}

static float *make_input(const struct model *model)
{
    size_t count = model_info(model)->in_values;
    float *input = malloc(count * sizeof *input);
    for (size_t i = 0; input && i < count; i++)
        input[i] = sinf((float)i * 0.37f);
    return input;
}

static void a_model_holds_what_was_estimated_or_less(void)
{
    struct model *model = open_light();
    CHECK(model != NULL);
    struct model_bytes before = model_bytes(model), estimate = model_estimate(model, 1);
    CHECK_INT(model_prepare(model, 1, NULL), 0);
    struct model_bytes after = model_bytes(model);
    model_close(&model);
    CHECK(before.host < after.host);
    CHECK(after.host <= estimate.host);
    CHECK(after.host > estimate.host / 20);
    CHECK_INT(after.device, 0);
}

/* A model that is loaded by one thread and run by another, meanwhile. */
struct handover {
    atomic_bool stop;
    struct model *model;
    const float *input, *want;
    size_t values;
    int runs, wrong;
};

static void *keep_running(void *argument)
{
    struct handover *h = argument;
    float *output = malloc(h->values * sizeof *output);
    do {
        h->wrong += model_run(h->model, 1, h->input, output, NULL) < 0 ||
                    memcmp(output, h->want, h->values * sizeof *output) != 0;
        h->runs++;
    } while (!atomic_load(&h->stop));
    free(output);
    return NULL;
}

static void models_are_loaded_in_one_thread_while_another_runs_its_own(void)
{
    struct model *model = open_light(), *next = NULL;
    CHECK(model != NULL);
    size_t values = model_info(model)->in_values;
    float *input = make_input(model), *want = malloc(values * sizeof *want);
    float *output = malloc(values * sizeof *output);
    CHECK_INT(model_run(model, 1, input, want, NULL), 0);
    struct handover h = {.model = model, .input = input, .want = want, .values = values};
    pthread_t runner;
    int loaded = 0, equal = 0;
    CHECK_INT(pthread_create(&runner, NULL, keep_running, &h), 0);
    for (int i = 0; i < 5; i++) {
        model_close(&next);
        next = open_light();
        loaded += model_prepare(next, 1, NULL) == 0;
    }
    atomic_store(&h.stop, true);
    pthread_join(runner, NULL);
    /* Prepared there, run here. */
    equal = model_run(next, 1, input, output, NULL) == 0 &&
            memcmp(output, want, values * sizeof *want) == 0;
    model_close(&next);
    model_close(&model);
    free(input);
    free(want);
    free(output);
    CHECK_INT(loaded, 5);
    CHECK_INT(h.wrong, 0);
    CHECK(h.runs > 0);
    CHECK(equal);
}

static void the_cpu_s_peak_and_memory_are_known(void)
{
    struct model_options options = model_options_default();
    uint64_t total = 0, unused = 0;
    double flops = 0;
    options.threads = 1;
    CHECK_INT(model_device_peak(&options, &flops, NULL), 0);
    printf("# %.0f GFLOP/s\n", flops / 1e9);
    CHECK(flops > 1e8 && flops < 1e14);
    CHECK_INT(model_device_memory(MODEL_CPU, &total, &unused, NULL), 0);
    CHECK(total > 0 && unused <= total);
}

static void *run_once(void *argument)
{
    struct handover *h = argument;
    h->wrong += model_run(h->model, 1, h->input, (float *)(uintptr_t)h->want, NULL) < 0;
    return NULL;
}

/* One life of a model as a worker has it: this thread opens and prepares, another one runs, this
 * one closes and cleans up. */
static bool live_once(int size, struct handover *h)
{
    struct model_options options = model_options_default();
    pthread_t runner;
    options.size = size;
    options.threads = 1;
    if (model_open(golden_path("light"), &options, &h->model, NULL) < 0 ||
        model_prepare(h->model, 1, NULL) < 0)
        return false;
    h->values = model_info(h->model)->in_values;
    bool ran = pthread_create(&runner, NULL, run_once, h) == 0 && pthread_join(runner, NULL) == 0;
    model_close(&h->model);
    memory_give_back();
    return ran && h->wrong == 0;
}

static int cycles = 16;

/* Of many sizes in turns, so that what is kept of one is of no use to the next. */
static void models_that_came_and_went_leave_no_memory_behind(void)
{
    enum { SIZES = 8, STEP = 16, WARM_UP = 2, LIMIT = 1024 * 1024 };
    const size_t values = 3 * (SIZES + 1) * STEP * (SIZES + 1) * STEP;
    float *input = calloc(values, sizeof *input), *output = malloc(values * sizeof *output);
    struct handover h = {.input = input, .want = output};
    uint64_t before = 0, after = 0;
    int lived = 0;
    for (int i = 0; i < WARM_UP + cycles; i++) {
        if (i == WARM_UP)
            before = memory_resident();
        lived += live_once(STEP * (2 + i % SIZES), &h);
    }
    after = memory_resident();
    printf("# %d cycles: %.0f KB before, %.0f KB after\n", cycles, (double)before / 1024,
           (double)after / 1024);
    free(input);
    free(output);
    CHECK_INT(lived, WARM_UP + cycles);
#if !defined __SANITIZE_ADDRESS__ /* whose allocator keeps what was freed, but finds what was not  \
                                   */
    CHECK(after < before + LIMIT);
#endif
}

/* test_load [CYCLES]: 1,000 in the slow suite. */
int main(int argc, char **argv)
{
    if (argc > 1)
        cycles = (int)strtol(argv[1], NULL, 10);
    memory_keep_tidy();
    RUN(a_model_holds_what_was_estimated_or_less);
    RUN(models_are_loaded_in_one_thread_while_another_runs_its_own);
    RUN(models_that_came_and_went_leave_no_memory_behind);
    RUN(the_cpu_s_peak_and_memory_are_known);
    return check_report();
}
